// Everything secret or signed that the configuration names by file: certificates, keys, tokens, nonces. Read whole at start and on SIGHUP;
// a set with a fault is refused and the old one stays, so that half a rotation never serves. (product.md §8, PH-4)
import { createSecureContext, rootCertificates } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { X509Certificate } from 'node:crypto'
import type { Log } from '../common/log.ts'
import { fingerprintOf, loadAuthorities, loadKeyPair } from './certificates.ts'
import type { KeyPair } from './certificates.ts'
import { loadNonces } from './nonces.ts'
import type { Nonce } from './nonces.ts'
import { loadProofTokens } from './proof-tokens.ts'
import type { ProofTokens, TokenFile } from './proof-tokens.ts'
import type { Settings } from './settings.ts'

/** How a certificate is shown in a TLS handshake. */
export interface Shown {
  readonly pair: KeyPair
  readonly context: SecureContext
}

export interface Credentials {
  /** Of listeners, in the order of the configuration. */
  readonly certificates: readonly Shown[]
  /** Authorities of client certificates. */
  readonly clientTrust: readonly X509Certificate[]
  /** By tenant id; what is shown to its smart host. */
  readonly tenantCertificates: ReadonlyMap<string, KeyPair>
  /** PEM of the authorities of servers, by the file that the configuration names. */
  readonly serverTrust: ReadonlyMap<string, readonly string[]>
  readonly tokens: ProofTokens
  readonly nonces: readonly Nonce[]
}

export type CredentialSettings = Pick<Settings, 'certificates' | 'clientTrust' | 'tenants' | 'routes' | 'mx' | 'nonces'>

/** TLS 1.2 with AEAD and forward secrecy, and TLS 1.3 (PH-4). */
export const TLS_OPTIONS = {
  minVersion: 'TLSv1.2',
  ciphers: [
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'TLS_AES_128_GCM_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
} as const

/** @throws SettingsFault */
export function loadCredentials(settings: CredentialSettings): Credentials {
  const { certificates, clientTrust, tenants = [], routes, mx, nonces } = settings
  return {
    certificates: certificates.map((files) => shown(loadKeyPair(files))),
    clientTrust:
      clientTrust === undefined
        ? rootCertificates.map((pem) => new X509Certificate(pem))
        : loadAuthorities(clientTrust.file),
    tenantCertificates: new Map(
      tenants.flatMap(({ id, clientCertificate }) =>
        clientCertificate === undefined ? [] : [[id, loadKeyPair(clientCertificate)] as const],
      ),
    ),
    serverTrust: new Map(
      [...tenants.map(({ smartHost }) => smartHost), ...Object.values(routes ?? {}), mx].flatMap((host) =>
        host?.trust === undefined ? [] : [[host.trust.file, loadAuthorities(host.trust.file).map(String)] as const],
      ),
    ),
    tokens: loadProofTokens(tenants.flatMap(tokenFiles)),
    nonces: nonces === undefined ? [] : loadNonces(nonces.file),
  }
}

function tokenFiles({ id, proofTokens }: NonNullable<Settings['tenants']>[number]): TokenFile[] {
  return (['out', 'in'] as const).flatMap((direction) => {
    const token = proofTokens[direction]
    return token === undefined ? [] : [{ tenant: id, direction, file: token.file }]
  })
}

function shown(pair: KeyPair): Shown {
  const key = pair.key.export({ type: 'pkcs8', format: 'pem' })
  return { pair, context: createSecureContext({ ...TLS_OPTIONS, cert: pair.chain, key }) }
}

/** A certificate in use, for expiry metrics and checks (KM-7). */
export interface CertificateInUse {
  /** What it is for: `listener`, or the tenant it is shown to. */
  readonly use: string
  readonly file: string
  readonly fingerprint: string
  /** ms since the epoch */
  readonly notAfter: number
}

export function certificatesInUse({ certificates, tenantCertificates }: Credentials): CertificateInUse[] {
  const inUse = (use: string, { certificateFile, leaf }: KeyPair): CertificateInUse => ({
    use,
    file: certificateFile,
    fingerprint: fingerprintOf(leaf),
    notAfter: Date.parse(leaf.validTo),
  })
  return [
    ...certificates.map(({ pair }) => inUse('listener', pair)),
    ...[...tenantCertificates].map(([tenant, pair]) => inUse(`tenant ${tenant}`, pair)),
  ]
}

/** The credentials in force: whoever needs them asks at each use. */
export class CurrentCredentials {
  readonly #settings: CredentialSettings
  readonly #log: Log
  #current: Credentials

  /** @throws SettingsFault */
  constructor(settings: CredentialSettings, log: Log) {
    this.#settings = settings
    this.#log = log
    this.#current = loadCredentials(settings)
  }

  get(): Credentials {
    return this.#current
  }

  /** Reads all files again. A fault leaves everything as it was. */
  reload(): void {
    try {
      this.#current = loadCredentials(this.#settings)
      this.#log.info('credentials.loaded', { certificates: certificatesInUse(this.#current) })
    } catch (error) {
      this.#log.error('credentials.refused', { error })
    }
  }
}
