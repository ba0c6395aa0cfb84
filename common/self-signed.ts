// A key pair and its self-signed certificate: by what an application proves itself to Entra, which wants no authority behind it. X.509 v3 (RFC 5280)
// in DER, RSA-3072 with SHA-256, nothing but the fields that must be there.
import { generateKeyPair, randomBytes, sign } from 'node:crypto'
import { promisify } from 'node:util'

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

/** Good from a day ago, since clocks differ. @param days  from now, until 2049 at most @param now  ms since the epoch */
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
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? []
  return {
    certificate: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => tagged(0x30, ...parts)

function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(content.length)]), content])
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length]
  const octets = []
  for (let rest = length; rest > 0; rest >>= 8) octets.unshift(rest & 0xff)
  return [0x80 | octets.length, ...octets]
}

/** Positive: a leading zero where the first bit is set. */
function integer(bytes: Buffer): Buffer {
  return tagged(0x02, ...((bytes[0] ?? 0) >= 0x80 ? [Buffer.from([0])] : []), bytes)
}

/** UTCTime, good until 2049. */
function time(at: number): Buffer {
  const text = new Date(at).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return tagged(0x17, Buffer.from(text.slice(2)))
}

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return tagged(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

function base128(arc: number): number[] {
  const octets = [arc & 0x7f]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) octets.unshift(0x80 | (rest & 0x7f))
  return octets
}
