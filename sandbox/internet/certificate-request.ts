// A request for a certificate, PKCS #10 (RFC 2986), read as an authority that believes nothing does: strict DER, a key of a kind it signs, alternative
// names that are host names and nothing else, and a signature that shows who holds the key. Pure.
import { createPublicKey, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { elements, objectId } from '../../common/der.ts'
import type { Element } from '../../common/der.ts'

export interface CertificateRequest {
  /** Lower case, at least one. */
  readonly dnsNames: readonly string[]
  readonly publicKey: KeyObject
}

export class RequestRefused extends Error {
  override readonly name = 'RequestRefused'
}

const TAG = { integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, sequence: 0x30, set: 0x31, attributes: 0xa0 } as const
const EXTENSION_REQUEST = objectId('1.2.840.113549.1.9.14')
const ALTERNATIVE_NAMES = objectId('2.5.29.17')
const DNS_NAME = 0x82

const MAX_REQUEST_BYTES = 16 * 1024
const MAX_NAMES = 100

/** By algorithm: the digest, and the kind of key it belongs to. */
const SIGNATURES: readonly { readonly id: Buffer; readonly digest: string | null; readonly keyType: string }[] = [
  { id: objectId('1.2.840.113549.1.1.11'), digest: 'sha256', keyType: 'rsa' },
  { id: objectId('1.2.840.113549.1.1.12'), digest: 'sha384', keyType: 'rsa' },
  { id: objectId('1.2.840.10045.4.3.2'), digest: 'sha256', keyType: 'ec' },
  { id: objectId('1.2.840.10045.4.3.3'), digest: 'sha384', keyType: 'ec' },
]
const CURVES = new Set(['prime256v1', 'secp384r1'])
const MIN_RSA_BITS = 2048

/** @param request  PEM, one block @throws RequestRefused */
export function readCertificateRequest(request: string): CertificateRequest {
  const der = fromPem(request)
  const [outer, ...more] = elements(der) ?? []
  const parts = within(outer, TAG.sequence)
  if (parts?.length !== 3 || more.length > 0) throw new RequestRefused('not a PKCS #10 request')
  const [info, algorithm, signature] = parts
  const fields = within(info, TAG.sequence)
  const [version, subject, key, attributes] = fields ?? []
  if (
    info === undefined ||
    fields?.length !== 4 ||
    version?.tag !== TAG.integer ||
    Buffer.compare(version.content, Buffer.from([0])) !== 0 ||
    within(subject, TAG.sequence) === undefined ||
    key?.tag !== TAG.sequence ||
    attributes?.tag !== TAG.attributes
  ) {
    throw new RequestRefused('not a PKCS #10 request')
  }
  const publicKey = readKey(key)
  checkSignature(info, algorithm, signature, publicKey)
  return { dnsNames: readNames(attributes), publicKey }
}

/** Of a host, in A-labels and lower case; the first label may be `*`. */
export function isCertifiableName(name: string): boolean {
  const labels = (name.startsWith('*.') ? name.slice(2) : name).split('.')
  return name.length <= 253 && labels.length >= 2 && labels.every((label) => LABEL.test(label))
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

function fromPem(text: string): Buffer {
  const match = text.length > 2 * MAX_REQUEST_BYTES ? null : PEM.exec(text)
  const der = Buffer.from(match?.[2] ?? '', 'base64')
  if (der.length === 0 || der.length > MAX_REQUEST_BYTES) throw new RequestRefused('not one PEM block of a request')
  return der
}

const PEM =
  /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/

function within(element: Element | undefined, tag: number): Element[] | undefined {
  return element?.tag === tag ? elements(element.content) : undefined
}

function readKey({ bytes }: Element): KeyObject {
  let key
  try {
    key = createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' })
  } catch (error) {
    throw new RequestRefused('the key cannot be read', { cause: error })
  }
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  const isTaken =
    key.asymmetricKeyType === 'ec'
      ? CURVES.has(namedCurve ?? '')
      : key.asymmetricKeyType === 'rsa' && (modulusLength ?? 0) >= MIN_RSA_BITS
  if (!isTaken) throw new RequestRefused('keys are RSA of 2048 bits or more, P-256 or P-384')
  return key
}

function checkSignature(
  info: Element,
  algorithm: Element | undefined,
  signature: Element | undefined,
  key: KeyObject,
): void {
  const id = within(algorithm, TAG.sequence)?.[0]
  const known = SIGNATURES.find((one) => id !== undefined && one.id.equals(id.bytes))
  if (known === undefined || known.keyType !== key.asymmetricKeyType) {
    throw new RequestRefused('the signature is of a kind that is not taken')
  }
  // A BIT STRING begins with how many of its last bits are none.
  const isWhole = signature?.tag === TAG.bits && signature.content[0] === 0
  if (!isWhole || !verify(known.digest, info.bytes, key, signature.content.subarray(1))) {
    throw new RequestRefused('the signature does not belong to the key')
  }
}

/** Of the one extensionRequest; what else is asked for is the authority's to decide. */
function readNames({ content }: Element): string[] {
  const lists = (elements(content) ?? []).flatMap((attribute) => {
    const parts = within(attribute, TAG.sequence)
    if (parts?.length !== 2) throw new RequestRefused('an attribute cannot be read')
    const [type, values] = parts
    return type !== undefined && EXTENSION_REQUEST.equals(type.bytes) ? [within(values, TAG.set)] : []
  })
  const [extensions, ...more] = lists[0] ?? []
  const list = within(extensions, TAG.sequence)
  if (list === undefined || lists.length !== 1 || more.length > 0)
    throw new RequestRefused('no extensions are requested')
  const named = list.filter((extension) => {
    const id = within(extension, TAG.sequence)?.[0]
    return id !== undefined && ALTERNATIVE_NAMES.equals(id.bytes)
  })
  const value = within(named[0], TAG.sequence)?.at(-1)
  const [names] = value?.tag === TAG.octets ? (elements(value.content) ?? []) : []
  const entries = within(names, TAG.sequence)
  if (named.length !== 1 || entries === undefined || entries.length === 0 || entries.length > MAX_NAMES) {
    throw new RequestRefused('between one and a hundred alternative names are needed')
  }
  return entries.map(({ tag, content: octets }) => {
    const name = Buffer.from(octets).toString('latin1').toLowerCase()
    if (tag !== DNS_NAME || !isCertifiableName(name)) throw new RequestRefused('a name is not the name of a host')
    return name
  })
}
