// Whether relays, their certificates, names and settings are ready for coexistence. Pure. (coexistence.md §1.3, §1.8, §2.1 rows 1–5, §3)
import { owners, senders } from './preflight.ts'
import type { Preflight, PreflightFinding, PreflightTenant, RelayFacts, RelayHost } from './preflight.ts'

const DAY_MS = 86_400_000
const SOON_MS = 30 * DAY_MS
const MAX_NAMED = 20

export function judgeRelays(preflight: Preflight): PreflightFinding[] {
  const { hosts } = preflight
  const sending = senders(preflight)
  const owning = owners(preflight)
  // Relays hand mail to both: to who delivers it, and to who holds the mailbox.
  const concerned = preflight.tenants.filter((tenant) => sending.includes(tenant) || owning.includes(tenant))
  return [
    ...judgeFleet(preflight.relays),
    ...concerned.flatMap((tenant) => judgeCertificate(preflight, tenant)),
    ...concerned.flatMap(({ id, hasSmartHost }): PreflightFinding[] =>
      hasSmartHost ? [] : [{ code: 'smart-host-missing', tenant: id, details: {} }],
    ),
    ...sending.flatMap(({ id }) => judgeHost(hosts.out, id)),
    ...owning.flatMap(({ id }) => judgeHost(hosts.in, id)),
    ...judgeSetting(preflight),
  ]
}

function judgeFleet(relays: readonly RelayFacts[]): PreflightFinding[] {
  const live = relays.filter(({ isLive }) => isLive)
  const those = (
    code: 'relays-silent' | 'relays-behind' | 'relays-not-ready',
    found: readonly RelayFacts[],
  ): PreflightFinding[] =>
    found.length === 0
      ? []
      : [{ code, details: { count: found.length, relays: found.map(({ id }) => id).slice(0, MAX_NAMED) } }]
  return [
    ...(live.length === 0 ? [{ code: 'relays-none' as const, details: { enrolled: relays.length } }] : []),
    ...those('relays-silent', live.length === 0 ? [] : relays.filter(({ isLive }) => !isLive)),
    ...those(
      'relays-behind',
      live.filter(({ isCurrent }) => !isCurrent),
    ),
    ...those(
      'relays-not-ready',
      live.filter(({ isReady }) => !isReady),
    ),
  ]
}

function judgeCertificate({ tenants, now }: Preflight, tenant: PreflightTenant): PreflightFinding[] {
  const { id, certificate, acceptedDomains } = tenant
  if (certificate === undefined) return [{ code: 'relay-certificate-missing', tenant: id, details: {} }]
  const { names, expiresAt } = certificate
  const details = { names: [...names], expiresAt: expiresAt.toISOString() }
  const left = expiresAt.getTime() - now
  const others = tenants.filter((other) => other !== tenant)
  const isAccepted = names.some(
    (name) => acceptedDomains.has(name) && !others.some((other) => other.acceptedDomains.has(name)),
  )
  return [
    ...(left <= 0 ? [{ code: 'relay-certificate-ended' as const, tenant: id, details }] : []),
    ...(left > 0 && left <= SOON_MS ? [{ code: 'relay-certificate-ends-soon' as const, tenant: id, details }] : []),
    ...(isAccepted ? [] : [{ code: 'relay-certificate-not-accepted' as const, tenant: id, details }]),
  ]
}

function judgeHost({ name, hasCertificate, isResolved }: RelayHost, tenant: PreflightTenant['id']): PreflightFinding[] {
  if (name === '') return []
  const details = { host: name }
  return [
    ...(hasCertificate ? [] : [{ code: 'relay-host-uncertified' as const, tenant, details }]),
    ...(isResolved === false ? [{ code: 'relay-host-unresolved' as const, tenant, details }] : []),
  ]
}

function judgeSetting({ setting, sealDomain, hosts }: Preflight): PreflightFinding[] {
  const { arcSealingDomain, connectorHoldMs } = setting
  const unnamed = Object.entries(hosts)
    .filter(([, { name }]) => name === '')
    .map(([direction]) => direction)
  return [
    ...(unnamed.length > 0 ? [{ code: 'relay-host-unnamed' as const, details: { directions: unnamed } }] : []),
    ...(arcSealingDomain !== undefined && arcSealingDomain.toLowerCase() !== sealDomain
      ? [{ code: 'arc-seal-missing' as const, details: { trusted: arcSealingDomain, sealed: sealDomain ?? 'none' } }]
      : []),
    ...(connectorHoldMs < DAY_MS ? [{ code: 'connector-hold-short' as const, details: { connectorHoldMs } }] : []),
  ]
}
