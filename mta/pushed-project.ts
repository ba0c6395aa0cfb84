// Pushed settings and secrets made into what the relay works with; all of them or nothing, so that half a rotation never serves. (RC-3, RC-5)
import { hash } from 'node:crypto'
import type { ProjectSettings } from './active-snapshot.ts'
import { fault, parseAuthorities, parseKeyPair } from './certificates.ts'
import type { KeyPair } from './certificates.ts'
import { shown } from './credentials.ts'
import type { Shown } from './credentials.ts'
import { parseMarkerKeys } from './marker-keys.ts'
import { parseNonces } from './nonces.ts'
import { tagsOf } from './privacy.ts'
import { makeProofTokens } from './proof-tokens.ts'
import { PushedFault, readPushedSecrets, readPushedSettings, withoutValues } from './pushed-settings.ts'
import type { ReadSecrets, ReadSettings } from './pushed-settings.ts'
import { tenantRoute } from './route-names.ts'
import type { SmartHost } from './settings-routes.ts'
import { parseSigningKeys } from './signing-keys.ts'
import { Tenants } from './tenants.ts'

export interface PushedProjectSettings {
  /** Of the settings (not of the snapshot). */
  readonly version: number
  /** ms; undefined: any age will do. */
  readonly maxTableAgeMs: number | undefined
  /** Of all tenants, normalised: nothing may be mapped to another one (RC-5). */
  readonly acceptedDomains: ReadonlySet<string>
  readonly project: ProjectSettings
}

/** What the machine itself can do. */
export interface LocalAbilities {
  /** The configuration file has `mx`. */
  readonly hasMx: boolean
}

/**
 * @param settings, secrets  JSON
 * @throws PushedFault; nothing of a secret is in it
 */
export function makePushedProject(
  settings: Uint8Array,
  secrets: Uint8Array,
  { hasMx }: LocalAbilities,
): PushedProjectSettings {
  const read = readPushedSettings(settings)
  const kept = readPushedSecrets(secrets)
  if (read.policy.route === 'mx' && !hasMx)
    throw new PushedFault('settings: policy.route: `mx` needs the section `mx` in the configuration of the relay')
  return withoutValues(() => ({
    version: read.version,
    maxTableAgeMs: read.maxTableAgeMs,
    acceptedDomains: new Set(read.tenants.flatMap(({ acceptedDomains }) => acceptedDomains)),
    project: projectOf(read, kept),
  }))
}

/** @throws SettingsFault */
function projectOf(settings: ReadSettings, secrets: ReadSecrets): ProjectSettings {
  const { tenants, policy, proof, postmaster, allow, privacy } = settings
  const hosts = tenants.flatMap(({ id, smartHost }) => (smartHost === undefined ? [] : [{ id, smartHost }]))
  const marker = parseMarkerKeys(
    'secrets: marker',
    JSON.stringify({ format: 'causeway-marker/1', ...asObject(secrets.marker) }),
  )
  return {
    policy,
    tenants: new Tenants(tenants),
    proof,
    tokens: tokensOf(settings, secrets),
    signing: signingOf(settings, secrets),
    nonces: parseNonces('secrets', secrets.nonces),
    ...(secrets.probes.length === 0 ? {} : { probes: probesOf(settings, secrets) }),
    ...(settings.hosts.length === 0 ? {} : { hosts: settings.hosts }),
    marker,
    postmaster,
    allow,
    routes: Object.fromEntries(hosts.map(({ id, smartHost }) => [tenantRoute(id), hostOf(smartHost)])),
    tenantCertificates: certificatesOf(settings, secrets),
    listenerCertificates: listenersOf(secrets),
    ...(settings.clientTrust === undefined
      ? {}
      : { clientTrust: parseAuthorities('settings: clientTrust', settings.clientTrust) }),
    serverTrust: new Map(hosts.flatMap(({ id, smartHost }) => trustOf(id, smartHost))),
    tags: tagsOf(privacy, marker.secret),
  }
}

type PushedServer = NonNullable<ReadSettings['tenants'][number]['smartHost']>

function hostOf({ trust, ...host }: PushedServer): SmartHost {
  return trust === undefined ? host : { ...host, trust: { file: trustName(trust) } }
}

/** Other authorities have another name, so that connections made with the old ones serve nobody any more (R85). */
function trustName(pem: string): string {
  return `sha256:${hash('sha256', pem, 'hex')}`
}

function trustOf(tenant: string, { trust }: PushedServer): [string, readonly string[]][] {
  if (trust === undefined) return []
  const authorities = parseAuthorities(`settings: trust of tenant ${tenant}`, trust)
  return [[trustName(trust), authorities.map(String)]]
}

function tokensOf({ tenants }: ReadSettings, { proofTokens }: ReadSecrets) {
  for (const { tenant } of proofTokens) mustBeTenant('proofTokens', tenant, tenants)
  return makeProofTokens(proofTokens, (index, rule) => fault(`secrets: proofTokens[${index}]`, rule))
}

function certificatesOf({ tenants }: ReadSettings, { clientCertificates }: ReadSecrets): Map<string, KeyPair> {
  return new Map(
    clientCertificates.map(({ tenant, certificate, key }, index) => {
      mustBeTenant('clientCertificates', tenant, tenants)
      const place = `secrets: clientCertificates[${index}]`
      return [tenant, parseKeyPair({ certificate: `${place}.certificate`, key: `${place}.key` }, { certificate, key })]
    }),
  )
}

function listenersOf({ listenerCertificates }: ReadSecrets): Shown[] {
  return listenerCertificates.map(({ names, certificate, key }, index) => {
    const place = `secrets: listenerCertificates[${index}]`
    const pair = parseKeyPair({ certificate: `${place}.certificate`, key: `${place}.key` }, { certificate, key })
    if (names.length === 0 || names.some((name) => pair.leaf.checkHost(name, { subject: 'never' }) === undefined))
      throw fault(place, 'the certificate is not of all its names')
    try {
      return shown(pair)
    } catch (cause) {
      throw fault(place, 'can not be shown in a TLS handshake', cause)
    }
  })
}

/** Two directions of more tenants than a project has. */
const MOST_PROBES = 100

/** Each has its nonce, or its mail would be ordinary mail. */
function probesOf({ tenants }: ReadSettings, { probes, nonces }: ReadSecrets): ReadSecrets['probes'] {
  if (probes.length > MOST_PROBES) throw fault('secrets: probes', `must be at most ${MOST_PROBES}`)
  const known = new Set(parseNonces('secrets', nonces).map(({ nonce }) => nonce))
  for (const [index, { tenant, nonce }] of probes.entries()) {
    mustBeTenant('probes', tenant, tenants)
    if (!known.has(nonce)) throw fault(`secrets: probes[${index}]`, 'its nonce is none of `nonces`')
  }
  return probes
}

function mustBeTenant(list: string, id: string, tenants: ReadSettings['tenants']): void {
  if (!tenants.some((tenant) => tenant.id === id))
    throw fault(`secrets: ${list}`, 'one is of no tenant of the settings')
}

/** Each key that the settings name has to be there, and to be one. */
function signingOf(settings: ReadSettings, secrets: ReadSecrets): ProjectSettings['signing'] {
  const keyOf = ({ domain, selector }: ReadSettings['dkim'][number], keys: ReadSecrets['dkim']) => {
    const key = keys.find((each) => each.domain === domain && each.selector === selector)
    if (key === undefined) throw fault('secrets', `there is no key for ${selector}._domainkey.${domain}`)
    return { domain, selector, pem: key.key }
  }
  const { seal } = settings
  const nameOf = (index: number): string => `secrets: dkim: key ${index + 1} of the settings`
  return {
    dkim: parseSigningKeys(
      settings.dkim.map((name) => keyOf(name, secrets.dkim)),
      nameOf,
    ),
    seal:
      seal &&
      parseSigningKeys([keyOf(seal, secrets.seal === undefined ? [] : [secrets.seal])], () => 'secrets: seal').find(
        seal.domain,
      )?.[0],
  }
}

function asObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {}
}
