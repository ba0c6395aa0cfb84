// The certificate authority that the simulated internet trusts (RFC 5280): EC P-256 with SHA-256, no intermediate. Dates are the caller's, so that
// expired certificates and those of tomorrow can be had.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { integer, objectId, sequence, tagged, time, toPem } from '../../common/der.ts'
import { isCertifiableName, readCertificateRequest } from './certificate-request.ts'

export interface Validity {
  /** ms since the epoch */
  readonly notBefore: number
  /** ms since the epoch */
  readonly notAfter: number
}

export interface Terms extends Validity {
  /** Default: server and client. */
  readonly usages?: readonly ('server' | 'client')[]
}

export interface KeyedCertificate {
  /** PEM */
  readonly certificate: string
  /** PKCS #8 PEM */
  readonly privateKey: string
}

const makeKeyPair = promisify(generateKeyPair)

const YEAR_MS = 365 * 86_400_000
const ECDSA_WITH_SHA256 = sequence(objectId('1.2.840.10045.4.3.2'))
const COMMON_NAME = '2.5.4.3'
const MAX_COMMON_NAME = 64
const NAME = 'Causeway Sandbox Authority'
const USAGES = { server: objectId('1.3.6.1.5.5.7.3.1'), client: objectId('1.3.6.1.5.5.7.3.2') }
const TRUE = tagged(0x01, Buffer.from([0xff]))
/** BIT STRINGs: how many bits are not used, then the bits from the left (RFC 5280 §4.2.1.3). */
const SIGNS_CERTIFICATES = tagged(0x03, Buffer.from([1, 0b0000_0110]))
const SIGNS = tagged(0x03, Buffer.from([7, 0b1000_0000]))
const SIGNS_AND_TAKES_KEYS = tagged(0x03, Buffer.from([5, 0b1010_0000]))

export class CertificateAuthority {
  /** PEM, for those who trust it. */
  readonly certificate: string
  readonly #key: KeyObject
  readonly #keyId: Buffer

  private constructor(certificate: string, key: KeyObject) {
    this.certificate = certificate
    this.#key = key
    this.#keyId = keyId(createPublicKey(key))
  }

  /** A new one, of which nothing is kept. @param now  ms since the epoch */
  static async create(now: number): Promise<CertificateAuthority> {
    const { privateKey } = await makeKeyPair('ec', { namedCurve: 'P-256' })
    return new CertificateAuthority(selfSigned(privateKey, now), privateKey)
  }

  /**
   * That of a directory, made there the first time; its key is for its owner only.
   * @param now  ms since the epoch
   * @throws when what is kept there doesn't belong together
   */
  static async open(directory: string, now: number): Promise<CertificateAuthority> {
    const keyPath = join(directory, 'authority.key')
    const certificatePath = join(directory, 'authority.crt')
    if (!existsSync(keyPath)) {
      if (existsSync(certificatePath)) throw new Error('the authority has a certificate and no key')
      const { privateKey } = await makeKeyPair('ec', { namedCurve: 'P-256' })
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      writeWhole(keyPath, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
    }
    chmodSync(keyPath, 0o600)
    const key = createPrivateKey(readFileSync(keyPath))
    if (!existsSync(certificatePath)) writeWhole(certificatePath, selfSigned(key, now))
    const certificate = readFileSync(certificatePath, 'utf8')
    if (!new X509Certificate(certificate).checkPrivateKey(key)) throw new Error("the authority's key is another's")
    return new CertificateAuthority(certificate, key)
  }

  /** With a new P-256 key. @param names  host names in A-labels; `*` as first label */
  async issue(names: readonly string[], terms: Terms): Promise<KeyedCertificate> {
    const { publicKey, privateKey } = await makeKeyPair('ec', { namedCurve: 'P-256' })
    return {
      certificate: this.#certify(names, publicKey, terms),
      privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    }
  }

  /**
   * For the names that a PKCS #10 request asks for.
   * @param request  PEM @param names  in place of them @returns PEM @throws RequestRefused, RangeError when a name is none
   */
  sign(request: string, terms: Terms, names?: readonly string[]): string {
    const { dnsNames, publicKey } = readCertificateRequest(request)
    return this.#certify(names ?? dnsNames, publicKey, terms)
  }

  #certify(names: readonly string[], publicKey: KeyObject, { notBefore, notAfter, usages }: Terms): string {
    const wanted = names.map((name) => name.toLowerCase())
    if (wanted.length === 0 || !wanted.every(isCertifiableName))
      throw new RangeError('a name is not the name of a host')
    const commonName = wanted.find((name) => name.length <= MAX_COMMON_NAME)
    const usage = publicKey.asymmetricKeyType === 'rsa' ? SIGNS_AND_TAKES_KEYS : SIGNS
    return certificateOf(this.#key, {
      notBefore,
      notAfter,
      subject: commonName === undefined ? sequence() : nameOf(commonName),
      publicKey,
      extensions: [
        extension('2.5.29.19', true, sequence()), // basic constraints: no authority
        extension('2.5.29.15', true, usage),
        extension(
          '2.5.29.37',
          false,
          sequence(...(usages ?? (['server', 'client'] as const)).map((one) => USAGES[one])),
        ),
        // Critical where there is no subject (RFC 5280 §4.2.1.6).
        extension(
          '2.5.29.17',
          commonName === undefined,
          sequence(...wanted.map((name) => tagged(0x82, Buffer.from(name)))),
        ),
        extension('2.5.29.14', false, tagged(0x04, keyId(publicKey))),
        extension('2.5.29.35', false, sequence(tagged(0x80, this.#keyId))),
      ],
    })
  }
}

interface Body extends Validity {
  readonly subject: Buffer
  readonly publicKey: KeyObject
  readonly extensions: readonly Buffer[]
}

function selfSigned(key: KeyObject, now: number): string {
  const publicKey = createPublicKey(key)
  return certificateOf(key, {
    notBefore: now - YEAR_MS,
    notAfter: now + 10 * YEAR_MS,
    subject: nameOf(NAME),
    publicKey,
    extensions: [
      extension('2.5.29.19', true, sequence(TRUE, integer(Buffer.from([0])))), // an authority, with no other below it
      extension('2.5.29.15', true, SIGNS_CERTIFICATES),
      extension('2.5.29.14', false, tagged(0x04, keyId(publicKey))),
    ],
  })
}

function certificateOf(signer: KeyObject, { notBefore, notAfter, subject, publicKey, extensions }: Body): string {
  if (!(notBefore < notAfter)) throw new RangeError('a certificate ends after it began')
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))), // v3
    integer(randomBytes(16)),
    ECDSA_WITH_SHA256,
    nameOf(NAME),
    sequence(time(notBefore), time(notAfter)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', body, signer)
  return toPem('CERTIFICATE', sequence(body, ECDSA_WITH_SHA256, tagged(0x03, Buffer.from([0]), signature)))
}

function nameOf(commonName: string): Buffer {
  return sequence(tagged(0x31, sequence(objectId(COMMON_NAME), tagged(0x0c, Buffer.from(commonName)))))
}

function extension(id: string, isCritical: boolean, value: Buffer): Buffer {
  return sequence(objectId(id), ...(isCritical ? [TRUE] : []), tagged(0x04, value))
}

/** RFC 7093 §2, method 1. */
function keyId(publicKey: KeyObject): Buffer {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
    .subarray(0, 20)
}

/** For its owner only, and never half. */
function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true })
  renameSync(`${path}.new`, path)
}
