// Application registrations, and what an administrator changes of them while Entra runs: certificates that an application has made for itself,
// permissions that it is to ask for from now on.
import { X509Certificate, createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { ControlFault } from './control-fault.ts'
import type { AppSeed } from './seed.ts'

export interface RegisteredApp extends AppSeed {
  readonly credentials: readonly AppCertificate[]
}

export interface AppCertificate {
  readonly certificate: X509Certificate
  /** base64url of the DER's hash, as `x5t#S256` and `x5t` carry it. */
  readonly sha256: string
  readonly sha1: string
}

const MIN_RSA_BITS = 2048
const GUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/

export class Registrations {
  readonly #apps = new Map<string, RegisteredApp>()
  readonly #seeds: ReadonlyMap<string, AppSeed>

  /**
   * @param kept  of an earlier run: what was changed then. Addresses and certificates of the seed hold beside it: they move with the seed's owner.
   * @throws when a certificate is not one
   */
  constructor(seeds: readonly AppSeed[], kept: readonly AppSeed[] = []) {
    this.#seeds = new Map(seeds.map((seed) => [seed.clientId.toLowerCase(), seed]))
    for (const seed of seeds) this.#keep(seed)
    for (const app of kept) {
      const seed = this.#seeds.get(app.clientId.toLowerCase())
      const union = (name: 'redirectUris' | 'certificates') => [...new Set([...(seed?.[name] ?? []), ...app[name]])]
      this.#keep({ ...seed, ...app, redirectUris: union('redirectUris'), certificates: union('certificates') })
    }
  }

  /** @param clientId  GUID, in any case */
  find(clientId: string): RegisteredApp | undefined {
    return this.#apps.get(clientId.toLowerCase())
  }

  all(): readonly RegisteredApp[] {
    return [...this.#apps.values()]
  }

  /** What a later run is given as `kept`: permissions only where they were changed, so that a seed that asks for more is not held back. */
  toKept(): readonly AppSeed[] {
    return this.all().map((app) => {
      const { credentials: _, permissions, ...rest } = app
      const seed = this.#seeds.get(app.clientId.toLowerCase())
      const isAsSeeded = seed !== undefined && isDeepStrictEqual(seed.permissions, permissions)
      return isAsSeeded || permissions === undefined ? rest : { ...rest, permissions }
    })
  }

  /** @throws ControlFault when there is such an application, or a certificate is not one */
  register(seed: AppSeed): void {
    const clientId = seed.clientId.toLowerCase()
    if (!GUID.test(clientId)) throw new ControlFault('clientId has to be a GUID')
    if (this.#apps.has(clientId)) throw new ControlFault('there is such an application')
    for (const pem of seed.certificates) checkUpload(pem)
    this.#keep({ ...seed, clientId })
  }

  /** @returns thumbprints in hexadecimal. @throws ControlFault when it is no certificate that Entra takes, or is there */
  addCertificate(app: RegisteredApp, pem: string): { sha1: string; sha256: string } {
    const added = checkUpload(pem)
    if (app.credentials.some(({ sha256 }) => sha256 === added.sha256))
      throw new ControlFault('the certificate is there')
    this.#keep({ ...app, certificates: [...app.certificates, pem] })
    return { sha1: hexOf(added.sha1), sha256: hexOf(added.sha256) }
  }

  /** @param thumbprint  SHA-1 or SHA-256, in hexadecimal, in any case. @throws ControlFault when there is none */
  removeCertificate(app: RegisteredApp, thumbprint: string): void {
    const wanted = thumbprint.toLowerCase().replaceAll(':', '')
    const left = app.credentials.filter(({ sha1, sha256 }) => hexOf(sha1) !== wanted && hexOf(sha256) !== wanted)
    if (left.length === app.credentials.length) throw new ControlFault('the application has no such certificate')
    this.#keep({ ...app, certificates: left.map(({ certificate }) => certificate.toString()) })
  }

  /** What it asks for when an administrator consents next. */
  setPermissions(app: RegisteredApp, permissions: Readonly<Record<string, readonly string[]>>): void {
    this.#keep({ ...app, permissions })
  }

  #keep(seed: AppSeed): void {
    this.#apps.set(seed.clientId.toLowerCase(), { ...seed, credentials: seed.certificates.map(readCertificate) })
  }
}

function readCertificate(pem: string): AppCertificate {
  const certificate = new X509Certificate(pem)
  const hash = (algorithm: string) => createHash(algorithm).update(certificate.raw).digest('base64url')
  return { certificate, sha256: hash('sha256'), sha1: hash('sha1') }
}

/** As the portal judges a file that is uploaded: one certificate with an RSA key, and no private key with it. */
function checkUpload(pem: string): AppCertificate {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) throw new ControlFault('the file holds a private key')
  if (pem.split('-----BEGIN CERTIFICATE-----').length !== 2)
    throw new ControlFault('the file has to hold one certificate in PEM')
  let read: AppCertificate
  try {
    read = readCertificate(pem)
  } catch {
    throw new ControlFault('the file has to hold one certificate in PEM')
  }
  const { publicKey } = read.certificate
  if (publicKey.asymmetricKeyType !== 'rsa' || (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS)
    throw new ControlFault(`the key has to be RSA of ${MIN_RSA_BITS} bits at least`)
  return read
}

function hexOf(base64url: string): string {
  return Buffer.from(base64url, 'base64url').toString('hex')
}
