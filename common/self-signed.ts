// A key pair and its self-signed certificate: by what an application proves itself to Entra, which wants no authority behind it. X.509 v3 (RFC 5280)
// in DER, RSA-3072 with SHA-256, nothing but the fields that must be there.
import { generateKeyPair, randomBytes, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { integer, objectId, sequence, tagged, time, toPem } from './der.ts'

export interface SelfSigned {
  /** PEM */
  readonly certificate: string
  /** PKCS #8 PEM */
  readonly privateKey: string
}

const DAY_MS = 86_400_000
const SHA256_WITH_RSA = '1.2.840.113549.1.1.11'
const COMMON_NAME = '2.5.4.3'

const makeKeyPair = promisify(generateKeyPair)

/** Good from a day ago, since clocks differ. @param days  from now @param now  ms since the epoch */
export async function makeSelfSigned(commonName: string, days: number, now: number): Promise<SelfSigned> {
  const { publicKey, privateKey } = await makeKeyPair('rsa', { modulusLength: 3072 })
  const algorithm = sequence(objectId(SHA256_WITH_RSA), tagged(0x05))
  const name = sequence(tagged(0x31, sequence(objectId(COMMON_NAME), tagged(0x0c, Buffer.from(commonName)))))
  const validity = sequence(time(now - DAY_MS), time(now + days * DAY_MS))
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))), // v3
    integer(randomBytes(16)),
    algorithm,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = sign('sha256', body, privateKey)
  const certificate = sequence(body, algorithm, tagged(0x03, Buffer.from([0]), signature))
  return {
    certificate: toPem('CERTIFICATE', certificate),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}
