// Keys of the configuration for a relay that a control plane sets up: where it is, and what lets the relay in the first time. (product.md §8, RC-1)
import { isScalar } from 'yaml'
import { isLoopback } from './network-names.ts'
import { integer, parsed } from './settings-forms.ts'
import { fileOf, keyPair, path } from './settings-parts.ts'
import type { KeyPairFiles } from './settings-parts.ts'
import { optional, required, section } from './settings-reader.ts'
import type { Form, Values } from './settings-reader.ts'

/** Keys whose values are pushed: beside `controlPlane` they would say the same thing twice. */
export const PUSHED_KEYS = [
  ['project'],
  ['table'],
  ['routes'],
  ['tenants'],
  ['proof'],
  ['nonces'],
  ['dkim'],
  ['seal'],
  ['marker'],
  ['policy'],
  ['privacy'],
  ['postmaster'],
  ['limits', 'maxTableAge'],
] as const

/** Gives it without the slash at its end. */
const url = parsed(
  'a URL `https://…`, without user, query and fragment; `http://` to a loopback address only',
  (written) => {
    const parsedUrl = URL.parse(written)
    if (parsedUrl === null || parsedUrl.username !== '' || parsedUrl.password !== '') return undefined
    if (parsedUrl.search !== '' || parsedUrl.hash !== '') return undefined
    // As the URL has it: an IPv6 address in brackets.
    const host = parsedUrl.hostname.replace(/^\[(.*)\]$/, '$1')
    const isHere = isLoopback(host) || host === 'localhost'
    if (parsedUrl.protocol !== 'https:' && !(parsedUrl.protocol === 'http:' && isHere)) return undefined
    return parsedUrl.href.replace(/\/+$/, '')
  },
)

const codeFile = fileOf('The code, alone in the file.')

export type EnrolmentCode = { readonly file: string } | { readonly code: string }

/** The code itself, or a section that names its file. What is written is never shown: it may be a code (KM-5). */
const enrolmentCode: Form<EnrolmentCode> = {
  text: 'the code, or `{ file: … }`',
  read(place, reading) {
    if (!isScalar(place.node)) return codeFile.read(place, reading)
    const { value } = place.node
    if (typeof value === 'string' && /^[\x21-\x7e]{1,512}$/.test(value)) return { code: value }
    return reading.fault(place, 'must be the code as text, or `{ file: … }`', '')
  },
}

const controlPlaneSettings = {
  url: required(url, 'Where the control plane answers. The relay dials out; nothing has to reach it.'),
  enrolmentCode: optional<EnrolmentCode | undefined>(
    enrolmentCode,
    undefined,
    'Lets the relay in the first time: a code that the control plane gives out, for one use within 15 minutes. Not needed any more once the relay is enrolled.',
    'none: it is enrolled already',
  ),
  state: optional<{ readonly directory: string } | undefined>(
    section({
      directory: required(path, 'Made, 0700, when missing.'),
    }),
    undefined,
    'Where the relay keeps its keys, the last good snapshot, and events that are not delivered yet; encrypted with the spool key but for the events, which hold what the journal holds.',
    '`control-plane` in the spool directory',
  ),
  trust: optional<{ readonly file: string } | undefined>(
    fileOf('PEM: the certificates of the authorities that are believed.'),
    undefined,
    'Whose certificates the control plane may have.',
    'the public authorities that Node ships',
  ),
  clientCertificate: optional<KeyPairFiles | undefined>(
    keyPair,
    undefined,
    'Shown to who ends TLS in front of the control plane and asks for one (RC-1). Read at start only.',
    'none is shown',
  ),
  eventBufferBytes: optional(
    integer(2 ** 20, 2 ** 40, 'octets'),
    64 * 1024 * 1024,
    'Disk that events may take while the control plane does not take them. When it is full the oldest go, first metrics, then messages, audit last (RC-7).',
  ),
}

export const controlPlane = section(controlPlaneSettings)
export type WrittenControlPlane = Values<typeof controlPlaneSettings>
