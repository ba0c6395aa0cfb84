// Everything secret or signed that the configuration names by file: certificates, keys, tokens, nonces. Read whole at start and on SIGHUP;
// a set with a fault is refused and the old one stays, so that half a rotation never serves. (product.md §8, PH-4)
import { createSecureContext, rootCertificates } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { constants, X509Certificate } from 'node:crypto'
import type { Log } from '../common/log.ts'
import { fingerprintOf, loadAuthorities, loadKeyPair, readText } from './certificates.ts'
import type { KeyPair } from './certificates.ts'
import { loadNonces } from './nonces.ts'
import type { Nonce } from './nonces.ts'
import { loadProofTokens } from './proof-tokens.ts'
import type { ProofTokens, TokenFile } from './proof-tokens.ts'
import type { Settings } from './settings.ts'
import type { SigningKeyFile } from './settings-signing.ts'
import type { DkimKey, DkimKeys } from './sign/dkim-keys.ts'
import { parseSigningKeys } from './signing-keys.ts'

/** How a certificate is shown in a TLS handshake. */
export interface Shown {
  readonly pair: KeyPair
  readonly context: SecureContext
}

/** What signs (R80), and what seals (R83). */
export interface SigningKeys {
  readonly dkim: DkimKeys
  readonly seal: DkimKey | undefined
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
  readonly signing: SigningKeys
  readonly nonces: readonly Nonce[]
}

export type CredentialSettings = Pick<
  Settings,
  'certificates' | 'clientTrust' | 'tenants' | 'routes' | 'mx' | 'nonces' | 'dkim' | 'seal'
>

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
  const { certificates, clientTrust, tenants = [], routes, mx, nonces, dkim, seal } = settings
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
    signing: {
      dkim: signingKeys(dkim),
      seal: seal && signingKeys([seal]).find(seal.domain)?.[0],
    },
    nonces: nonces === undefined ? [] : loadNonces(nonces.file),
  }
}

/** @throws SettingsFault */
function signingKeys(files: readonly SigningKeyFile[]): DkimKeys {
  const texts = files.map(({ domain, selector, key }) => ({ domain, selector, pem: readText(key.file) }))
  return parseSigningKeys(texts, (index) => files[index]?.key.file ?? '')
}

function tokenFiles({ id, proofTokens }: NonNullable<Settings['tenants']>[number]): TokenFile[] {
  return (['out', 'in'] as const).flatMap((direction) => {
    const token = proofTokens[direction]
    return token === undefined ? [] : [{ tenant: id, direction, file: token.file }]
  })
}

/**
 * Made once a load and shared by all connections: the keys of session tickets live in it, so a ticket is worth nothing after a reload.
 * Renegotiation is refused by OpenSSL itself, with an alert that leaves the session as it is (PH-4).
 */
export function shown(pair: KeyPair): Shown {
  const key = pair.key.export({ type: 'pkcs8', format: 'pem' })
  const context = createSecureContext({
    ...TLS_OPTIONS,
    cert: pair.chain,
    key,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    // OpenSSL resumes no session in which it asked for a certificate without one.
    sessionIdContext: 'causeway',
    // Client certificates are judged by inbound/client-certificate.ts: no authorities to load here, and none to name to clients.
    ca: [],
  })
  return { pair, context }
}

/**
 * What listeners offer: the first is for clients that name no server, or another.
 * @param pushed  by the control plane: they come before the machine's own where a client names a server
 * @param ownName  of the relay: a pushed certificate with this name is the first of all
 */
export function offeredCertificates(
  own: readonly Shown[],
  pushed: readonly Shown[],
  ownName: string,
): readonly Shown[] {
  if (pushed.length === 0) return own
  const named = pushed.find(({ pair }) => pair.leaf.checkHost(ownName) !== undefined)
  const first = named ?? own[0]
  return first === undefined ? pushed : [first, ...pushed, ...own]
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

export function certificatesInUse({
  certificates,
  tenantCertificates,
}: Pick<Credentials, 'certificates' | 'tenantCertificates'>): CertificateInUse[] {
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
