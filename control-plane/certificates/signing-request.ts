// Keys for TLS names and the requests to sign them: PKCS #10 (RFC 2986) with the names as subjectAltName (RFC 5280 §4.2.1.6), SHA-256. What else a
// certificate says is the authority's to decide.
import { generateKeyPair, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { integer, objectId, sequence, tagged, toPem } from '../../common/der.ts'

export const MADE_ALGORITHMS = ['ec-p256', 'rsa-3072'] as const
export type MadeAlgorithm = (typeof MADE_ALGORITHMS)[number]

export interface RequestedKey {
  /** PKCS #8 PEM */
  readonly privateKey: string
  /** SPKI DER, base64. */
  readonly publicKey: string
  /** PEM */
  readonly request: string
}

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
const SHA256_WITH_RSA = '1.2.840.113549.1.1.11'
const COMMON_NAME = '2.5.4.3'
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'
const SUBJECT_ALT_NAME = '2.5.29.17'
/** RFC 5280, ub-common-name. */
const MAX_COMMON_NAME = 64

const generate = promisify(generateKeyPair)

/** @param names  dNSNames in A-labels, the first one is the subject too where it is short enough */
export async function requestCertificate(
  algorithm: MadeAlgorithm,
  names: readonly [string, ...string[]],
): Promise<RequestedKey> {
  const { publicKey, privateKey } =
    algorithm === 'ec-p256'
      ? await generate('ec', { namedCurve: 'P-256' })
      : await generate('rsa', { modulusLength: 3_072 })
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    request: toPem('CERTIFICATE REQUEST', signedRequest(names, publicKey, privateKey)),
  }
}

function signedRequest(names: readonly [string, ...string[]], publicKey: KeyObject, privateKey: KeyObject): Buffer {
  const [first] = names
  const subject =
    first.length > MAX_COMMON_NAME
      ? sequence()
      : sequence(tagged(0x31, sequence(objectId(COMMON_NAME), tagged(0x0c, Buffer.from(first)))))
  const alternatives = sequence(...names.map((name) => tagged(0x82, Buffer.from(name, 'latin1'))))
  const extensions = sequence(sequence(objectId(SUBJECT_ALT_NAME), tagged(0x04, alternatives)))
  const body = sequence(
    integer(Buffer.from([0])), // v1
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa0, sequence(objectId(EXTENSION_REQUEST), tagged(0x31, extensions))),
  )
  const algorithm =
    publicKey.asymmetricKeyType === 'ec'
      ? sequence(objectId(ECDSA_WITH_SHA256))
      : sequence(objectId(SHA256_WITH_RSA), tagged(0x05))
  return sequence(body, algorithm, tagged(0x03, Buffer.from([0]), sign('sha256', body, privateKey)))
}
