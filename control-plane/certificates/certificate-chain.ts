// What is uploaded for a TLS name: the issued chain, and a key that was made elsewhere. Every fault is told with its place, and no value is in it, for
// what is pasted may hold a key. Pure. (KM-5, KM-6, SP-2)
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { RequestFault } from '../http/problem.ts'
import type { CertificatePurpose } from './certificate.ts'

/** UTF-16 code units: eight certificates with RSA keys of 4,096 bits take half of it. */
export const MAX_CHAIN_LENGTH = 32_768
export const MAX_KEY_LENGTH = 16_384
const MAX_CERTIFICATES = 8

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const ANY_USAGE = '2.5.29.37.0'

export interface IssuedChain {
  /** PEM, the leaf first, and nothing else. */
  readonly chain: string
  /** Hex SHA-256 of the leaf. */
  readonly fingerprint: string
  /** When the last of the chain begins. */
  readonly notBefore: Date
  /** When the first of the chain ends. */
  readonly expiresAt: Date
}

export interface ChainFor {
  readonly purpose: CertificatePurpose
  readonly names: readonly string[]
  /** SPKI DER, base64. */
  readonly publicKey: string
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[A-Za-z0-9+/=\s]*-----END \1-----/g

/** The chain, or why it isn't one for this key, these names and this time. Text around the PEM blocks, as openssl writes it, is left out. */
export function readChain(
  text: string,
  { purpose, names, publicKey }: ChainFor,
  now: Date,
): IssuedChain | RequestFault[] {
  const fault = (code: string, detail: string): RequestFault => ({ pointer: '/chain', code, detail })
  if (/PRIVATE KEY/.test(text))
    return [
      fault('private-key', 'holds a private key: give certificates only, and make a new key if this one was real'),
    ]
  const blocks = [...text.matchAll(PEM_BLOCK)]
  if (blocks.length === 0) return [fault('pem', 'holds no certificate in PEM form')]
  if (blocks.length > MAX_CERTIFICATES) return [fault('length', `has more than ${MAX_CERTIFICATES} certificates`)]
  if (blocks.some(([, label]) => label !== 'CERTIFICATE'))
    return [fault('pem', 'holds something else than certificates')]
  const certificates = blocks.map(([pem]) => readCertificate(pem))
  const unreadable = certificates.flatMap((certificate, index) => (certificate === undefined ? [index + 1] : []))
  if (unreadable.length > 0) return [fault('certificate', `certificate ${unreadable.join(', ')} can not be read`)]
  const read = certificates.filter((certificate) => certificate !== undefined)
  const [leaf] = read
  if (leaf === undefined) throw new Error('unreachable: there is a block')
  const faults = [
    ...(spkiOf(leaf.publicKey) === publicKey ? [] : [fault('key', 'the first certificate is not of the key')]),
    ...names
      .filter((name) => leaf.checkHost(name, { subject: 'never' }) === undefined)
      .map((name) => fault('name', `the first certificate does not have the name ${name}`)),
    ...(isFor(purpose, leaf)
      ? []
      : [fault('usage', `the first certificate is not for ${purpose === 'listener' ? 'servers' : 'TLS'}`)]),
    ...read.flatMap((certificate, index) => {
      if (certificate.validFromDate > now) return [fault('date', `certificate ${index + 1} does not hold yet`)]
      return certificate.validToDate > now ? [] : [fault('date', `certificate ${index + 1} has expired`)]
    }),
    ...read.flatMap((certificate, index) => {
      const issuer = read[index + 1]
      return issuer === undefined || isIssuedBy(certificate, issuer)
        ? []
        : [
            fault(
              'order',
              `certificate ${index + 1} is not issued by the next one: the leaf comes first, then its issuers`,
            ),
          ]
    }),
  ]
  if (faults.length > 0) return faults
  return {
    chain: read.map(String).join(''),
    fingerprint: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
    notBefore: new Date(Math.max(...read.map(({ validFromDate }) => validFromDate.getTime()))),
    expiresAt: new Date(Math.min(...read.map(({ validToDate }) => validToDate.getTime()))),
  }
}

export interface GivenKey {
  /** PKCS #8 PEM */
  readonly privateKey: string
  /** SPKI DER, base64. */
  readonly publicKey: string
  /** `ec-p256`, `rsa-4096` */
  readonly algorithm: string
}

/** A key that was made elsewhere: PKCS #8, PKCS #1 or SEC 1, without passphrase, of an approved kind (KM-6). */
export function readPrivateKey(text: string): GivenKey | RequestFault {
  const fault = (code: string, detail: string): RequestFault => ({ pointer: '/key', code, detail })
  let key: KeyObject
  try {
    key = createPrivateKey(text)
  } catch {
    // Without the cause, which may quote what is written.
    return fault('key', 'is no private key in PEM form that can be read without a passphrase')
  }
  const algorithm = algorithmOf(key)
  if (algorithm === undefined) return fault('algorithm', 'must be RSA of 2048 to 4096 bits, or EC P-256 or P-384')
  return {
    privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: spkiOf(createPublicKey(key)),
    algorithm,
  }
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  const { modulusLength = 0, namedCurve } = asymmetricKeyDetails ?? {}
  if (asymmetricKeyType === 'rsa')
    return modulusLength >= 2_048 && modulusLength <= 4_096 ? `rsa-${modulusLength}` : undefined
  if (asymmetricKeyType !== 'ec') return undefined
  return namedCurve === 'prime256v1' ? 'ec-p256' : namedCurve === 'secp384r1' ? 'ec-p384' : undefined
}

const spkiOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'der' }).toString('base64')

/** Without the extension a certificate is for everything (RFC 5280 §4.2.1.12). Towards a tenant either kind is taken, as SP-2 has it. */
function isFor(purpose: CertificatePurpose, { keyUsage }: X509Certificate): boolean {
  // Node's types say that it is always there.
  const usages: readonly string[] | undefined = keyUsage
  if (usages === undefined) return true
  const wanted = purpose === 'listener' ? [SERVER_AUTH, ANY_USAGE] : [SERVER_AUTH, CLIENT_AUTH, ANY_USAGE]
  return usages.some((usage) => wanted.includes(usage))
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(pem)
    // Keys of unknown kinds are told of when they are asked for.
    return certificate.publicKey.asymmetricKeyType === undefined ? undefined : certificate
  } catch {
    return undefined
  }
}
