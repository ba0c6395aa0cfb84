// Single values that several sections of the configuration hold: addresses, names, paths, key files.
import { resolve, dirname } from 'node:path'
import { isScalar } from 'yaml'
import { normaliseDomain, parseAddrSpec } from '../rewrite-rules/index.ts'
import { isAddress, parseAddressRange, parseHostName } from './network-names.ts'
import { integer, parsed } from './settings-forms.ts'
import { required, section } from './settings-reader.ts'
import type { Form, Values } from './settings-reader.ts'

export const address = parsed('an IPv4 or IPv6 address', (written) => (isAddress(written) ? written : undefined))
export const port = integer(0, 65_535)
export const nextHopPort = integer(1, 65_535)
export const range = parsed('an address range (`192.0.2.0/24`, `2001:db8::/32`) or one address', (written) =>
  parseAddressRange(written) === undefined ? undefined : written,
)
export const host = parsed('a host name or an address', (written) =>
  isAddress(written) ? written : parseHostName(written),
)
export const hostName = parsed('a host name (letters, digits, hyphens, dots)', parseHostName)
export const mailAddress = parsed('an address `local-part@domain`', (written) =>
  parseAddrSpec(written) === undefined ? undefined : written,
)
/** Gives it in lower case and A-labels (PS-6). */
export const mailDomain = parsed('a mail domain', (written) => {
  const domain = normaliseDomain(written)
  return domain === undefined ? undefined : parseHostName(domain)
})

/** Gives an absolute path: a relative one counts from the configuration's folder. */
export const path: Form<string> = {
  text: 'a path',
  read(place, reading) {
    const written = isScalar(place.node) ? place.node.value : undefined
    if (typeof written !== 'string' || written === '' || written.includes('\0')) {
      return reading.fault(place, 'must be a path')
    }
    return resolve(dirname(reading.file), written)
  },
}

/** @param why  what the file holds */
export const fileOf = (why: string) => section({ file: required(path, why) })

const keyPairSettings = {
  certificate: required(path, 'PEM: the certificate, then those that lead to its root.'),
  key: required(path, 'PEM: its private key, without a passphrase, readable by the relay alone.'),
}
/** Certificate and key, by their files. */
export const keyPair = section(keyPairSettings)
export type KeyPairFiles = Values<typeof keyPairSettings>
