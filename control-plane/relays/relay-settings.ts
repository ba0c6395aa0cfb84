// What relays are told beside the table, made of the settings document, the project's tenants and its keys: settings in the clear, secrets apart,
// to be sealed to each relay. Pure. (common/relay-contract.ts, RC-2, RC-5)
import { createPublicKey } from 'node:crypto'
import { sealContext, SECRETS_FORMAT, SETTINGS_FORMAT } from '../../common/relay-contract.ts'
import type { Manifest, PushedSecrets, PushedSettings, PushedTenant } from '../../common/relay-contract.ts'
import { sealBox } from '../../common/sealed-box.ts'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import type { TenantId } from '../ids.ts'
import type { DkimAlgorithm } from './dkim-key.ts'
import { parseHostName } from './network-names.ts'
import type { MarkerKeys, Nonce, ProofToken } from './relay-secret-store.ts'
import type { SettingsDocument } from './settings-document.ts'

export interface SettingsTenant {
  readonly id: TenantId
  readonly label: string
  /** GUID, lower case. */
  readonly entraTenantId: string
  /** A-labels. */
  readonly acceptedDomains: readonly string[]
  readonly initialDomain: string | undefined
}

export interface ActiveDkimKey {
  readonly domain: string
  readonly selector: string
  readonly algorithm: DkimAlgorithm
  /** PKCS #8 PEM */
  readonly privateKey: string
}

export interface ActiveCertificate {
  /** Whose servers are shown it; undefined: shown by listeners. */
  readonly tenant: TenantId | undefined
  /** A-labels. */
  readonly names: readonly string[]
  /** PEM, the leaf first. */
  readonly chain: string
  /** PKCS #8 PEM */
  readonly privateKey: string
}

/** Of probes, or of a validation. */
export interface Run {
  readonly kind: 'probe' | 'validation'
  readonly nonce: string
  readonly tenant: TenantId
  readonly direction: 'out' | 'in'
  readonly host: string
}

export interface SettingsSource {
  /** The project's settings version. */
  readonly version: number
  readonly document: SettingsDocument
  /** Names that connectors lead to. */
  readonly hosts: readonly string[]
  readonly tenants: readonly SettingsTenant[]
  readonly dkim: readonly ActiveDkimKey[]
  readonly certificates: readonly ActiveCertificate[]
  /** Of Exchange Online, in the clouds of the tenants (SP-3). */
  readonly exchangeRanges: readonly string[]
  readonly proofTokens: readonly ProofToken[]
  readonly nonces: readonly Nonce[]
  /** In date. */
  readonly runs: readonly Run[]
  readonly marker: MarkerKeys
}

export function toPushedSettings(source: SettingsSource): PushedSettings {
  const { document, version, dkim } = source
  const seal = sealKeyOf(source)
  const hosts = hostsOf(source)
  return {
    format: SETTINGS_FORMAT,
    version,
    tenants: pushedTenants(source),
    proof: document.proof,
    policy: document.policy,
    allow: [...new Set([...source.exchangeRanges, ...document.allow])],
    dkim: dkim.map(({ domain, selector }) => ({ domain, selector })),
    ...(seal === undefined ? {} : { seal: { domain: seal.domain, selector: seal.selector } }),
    privacy: document.privacy,
    ...(document.maxTableAgeMs === undefined ? {} : { maxTableAgeMs: document.maxTableAgeMs }),
    ...(document.postmaster === undefined ? {} : { postmaster: document.postmaster }),
    ...(hosts.length === 0 ? {} : { hosts }),
    ...(document.clientTrust === undefined ? {} : { clientTrust: document.clientTrust }),
  }
}

export function toPushedSecrets(source: SettingsSource): PushedSecrets {
  const { dkim, nonces, marker, certificates } = source
  const seal = sealKeyOf(source)
  const labels = new Map(withDomains(source.tenants).map(({ id, label }) => [id, label]))
  const probes = source.runs.flatMap(({ tenant: id, ...run }) => {
    const tenant = labels.get(id)
    return tenant === undefined || run.kind !== 'probe'
      ? []
      : [{ nonce: run.nonce, tenant, direction: run.direction, host: parseHostName(run.host) ?? run.host }]
  })
  const listeners = certificates
    .filter(({ tenant }) => tenant === undefined)
    .map(({ names, chain, privateKey }) => ({ names, certificate: chain, key: privateKey }))
  const tokensOf = (tenant: TenantId, direction: 'out' | 'in') =>
    (['current', 'previous'] as const).flatMap((state) =>
      source.proofTokens
        .filter((each) => each.tenant === tenant && each.direction === direction && each.state === state)
        .map(({ token }) => token),
    )
  return {
    format: SECRETS_FORMAT,
    proofTokens: [...labels].flatMap(([id, tenant]) =>
      (['out', 'in'] as const).flatMap((direction) => {
        const tokens = tokensOf(id, direction)
        return tokens.length === 0 ? [] : [{ tenant, direction, tokens }]
      }),
    ),
    dkim: dkim.map(({ domain, selector, privateKey }) => ({ domain, selector, key: privateKey })),
    ...(seal === undefined ? {} : { seal: { domain: seal.domain, selector: seal.selector, key: seal.privateKey } }),
    clientCertificates: [...labels].flatMap(([id, tenant]) =>
      certificates
        .filter((each) => each.tenant === id)
        .map(({ chain, privateKey }) => ({ tenant, certificate: chain, key: privateKey })),
    ),
    ...(listeners.length === 0 ? {} : { listenerCertificates: listeners }),
    nonces: nonces.map(({ nonce, until }) => ({ nonce, until: until.toISOString() })),
    ...(probes.length === 0 ? {} : { probes }),
    marker,
  }
}

/** Names that connectors and runs lead to, and those that the relays' certificates have. */
function hostsOf({ certificates, runs, hosts }: SettingsSource): string[] {
  const names = [
    ...hosts,
    ...certificates.filter(({ tenant }) => tenant === undefined).flatMap((each) => each.names),
    ...runs.map(({ host }) => host),
  ]
  return [...new Set(names.map(parseHostName).filter((name) => name !== undefined))].toSorted()
}

/** @param sealingKey  SPKI DER of the relay's X25519 key in base64url */
export function sealSecrets(
  secrets: PushedSecrets,
  sealingKey: string,
  manifest: Pick<Manifest, 'project' | 'relay' | 'version'>,
): Buffer {
  const key = createPublicKey({ key: Buffer.from(sealingKey, 'base64url'), format: 'der', type: 'spki' })
  return sealBox(key, sealContext(manifest), Buffer.from(JSON.stringify(secrets)))
}

/** A tenant without a domain can send and receive nothing; relays would not take it. */
function withDomains(tenants: readonly SettingsTenant[]): SettingsTenant[] {
  return tenants
    .map((tenant) => ({ ...tenant, acceptedDomains: domainsOf(tenant) }))
    .filter(({ acceptedDomains }) => acceptedDomains.length > 0)
}

function domainsOf({ acceptedDomains, initialDomain }: SettingsTenant): string[] {
  const named = initialDomain === undefined ? acceptedDomains : [...acceptedDomains, initialDomain]
  return [...new Set(named.map(normaliseDomain).filter((domain) => domain !== undefined))].toSorted()
}

function pushedTenants({ tenants, document }: SettingsSource): PushedTenant[] {
  return withDomains(tenants).map(({ label, entraTenantId, acceptedDomains }) => {
    const smartHost = document.smartHosts.find(({ tenant }) => tenant === label)
    return {
      id: label,
      tenantId: entraTenantId,
      acceptedDomains,
      ...(smartHost === undefined ? {} : { smartHost: pushedHost(smartHost) }),
    }
  })
}

function pushedHost({
  host,
  port,
  tls,
  tlsName,
  trust,
}: SettingsDocument['smartHosts'][number]): NonNullable<PushedTenant['smartHost']> {
  return {
    host: parseHostName(host) ?? host, // an address
    port,
    tls,
    ...(tlsName === undefined ? {} : { tlsName: parseHostName(tlsName) ?? tlsName }),
    ...(trust === undefined ? {} : { trust }),
  }
}

/** RFC 8617 knows rsa-sha256 only. */
function sealKeyOf({ document, dkim }: SettingsSource): ActiveDkimKey | undefined {
  const domain = document.seal && normaliseDomain(document.seal.domain)
  return domain === undefined ? undefined : dkim.find((key) => key.domain === domain && key.algorithm !== 'ed25519')
}
