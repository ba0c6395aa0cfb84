// Everything that the desired objects of a project are made from, gathered in one transaction; or what is missing before anything can be made.
// (coexistence.md §1, §2.1)
import { createHash } from 'node:crypto'
import type { Tx } from '../db/database.ts'
import type { TenantId } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { findMarker, readProofTokens } from '../relays/relay-secret-store.ts'
import type { MarkerKeys, ProofToken as ProofSecret } from '../relays/relay-secret-store.ts'
import type { Tenant } from '../tenants/tenant.ts'
import { listTenants } from '../tenants/tenant-store.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { CoexistenceSetting, FreeBusySetting } from './coexistence.ts'
import { isInScope } from './desired.ts'
import type { DesiredInput, TenantInput } from './desired.ts'
import { readCertificateNames, readPartners, readPeople } from './input-store.ts'
import { project8Of } from './names.ts'
import type { SwitchProblem } from './switch-store.ts'
import type { ProofToken } from './tenant-object.ts'

/** All that is known before the tenants are looked at. */
export interface Gathered {
  readonly tenants: readonly Tenant[]
  readonly secrets: readonly ProofSecret[]
  readonly input: Omit<DesiredInput, 'tenants'>
  readonly own: readonly Omit<TenantInput, 'observed' | 'probeNonces'>[]
  /** What is missing: nothing can be made before. */
  readonly problems: readonly SwitchProblem[]
}

export interface Wanted {
  readonly setting: CoexistenceSetting
  readonly freeBusy: FreeBusySetting
}

const NO_PROOF: ProofToken = { proof: 'out', sha256: '' }

export async function gather(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  { setting, freeBusy }: Wanted,
  at: Date,
): Promise<Gathered> {
  const tenants = await listTenants(tx, place)
  const certificates = await readCertificateNames(tx, place)
  const shown = new Map(tenants.map((tenant) => [tenant.id, certificateOf(tenant, certificates, at)]))
  const domains = tenants.flatMap((tenant) => domainsOf(tenant).map((domain) => ({ tenant: tenant.id, domain })))
  const isOn = setting.state === 'on'
  const people = isOn ? await readPeople(tx, place, setting.scope, domains) : []
  const secrets = await readProofTokens(tx, sealer, place)
  const marker = await findMarker(tx, sealer, place)
  const own: Gathered['own'][number][] = []
  for (const tenant of tenants) {
    const others = domains.filter((each) => each.tenant !== tenant.id).map(({ domain }) => domain)
    own.push({
      tenant: tenant.id,
      domains: domainsOf(tenant),
      certificateName: nameIn(shown.get(tenant.id)),
      proofs: { out: proofOf(secrets, tenant.id, 'out'), in: proofOf(secrets, tenant.id, 'in') },
      partners: isOn && setting.hasPartners ? await readPartners(tx, place, tenant.id, others) : [],
      pilots:
        setting.enhancedFiltering === 'pilot'
          ? [
              ...new Set(
                people
                  .filter((each) => each.mailboxIn === tenant.id && isInScope(each))
                  .map(({ mailbox }) => mailbox.toLowerCase()),
              ),
            ].toSorted()
          : [],
    })
  }
  const input = { project8: project8Of(place.project), setting, freeBusy, people, markerWords: wordsOf(marker) }
  return { tenants, secrets, input, own, problems: missing({ setting, freeBusy }, tenants, own, shown) }
}

function missing(
  { setting, freeBusy }: Wanted,
  tenants: readonly Tenant[],
  own: Gathered['own'],
  shown: ReadonlyMap<TenantId, Shown>,
): SwitchProblem[] {
  const isOn = setting.state === 'on'
  if (!isOn && freeBusy.state === 'off') return []
  if (tenants.length !== 2) return [{ code: 'two-tenants-needed' }]
  return [
    ...own.flatMap(({ tenant, domains }) => (domains.length === 0 ? [{ code: 'domains-unknown', tenant }] : [])),
    ...(isOn && (setting.relayHosts.out === '' || setting.relayHosts.in === '') ? [{ code: 'no-relay-hosts' }] : []),
    ...(isOn ? [...shown] : []).flatMap(([tenant, certificate]) =>
      'missing' in certificate ? [{ code: certificate.missing, tenant }] : [],
    ),
  ]
}

type Shown = ReturnType<typeof certificateOf>
const nameIn = (shown: Shown | undefined): string => (shown !== undefined && 'name' in shown ? shown.name : '')
type Named = Awaited<ReturnType<typeof readCertificateNames>>[number]

/**
 * What mail of a relay is attributed by: the certificate's name that is an accepted domain of that tenant (coexistence.md §3).
 * @returns the name, or what is missing
 */
function certificateOf(
  { id, acceptedDomains }: Tenant,
  certificates: readonly Named[],
  at: Date,
): { readonly name: string } | { readonly missing: string } {
  const own = certificates.filter(({ tenant }) => tenant === id)
  if (own.length === 0) return { missing: 'no-relay-certificate' }
  const inDate = own.filter(({ expiresAt }) => expiresAt === null || expiresAt > at)
  if (inDate.length === 0) return { missing: 'certificate-expired' }
  const name = inDate.flatMap(({ names }) => names).find((each) => acceptedDomains.includes(each.toLowerCase()))
  return name === undefined ? { missing: 'certificate-not-accepted' } : { name: name.toLowerCase() }
}

function domainsOf({ acceptedDomains, initialDomain }: Tenant): string[] {
  const all = initialDomain === undefined ? acceptedDomains : [...acceptedDomains, initialDomain]
  return [...new Set(all.map((each) => each.toLowerCase()))].toSorted()
}

function proofOf(secrets: readonly ProofSecret[], tenant: TenantId, direction: 'out' | 'in'): ProofToken {
  const current = secrets.find(
    (each) => each.tenant === tenant && each.direction === direction && each.state === 'current',
  )
  return current === undefined ? { ...NO_PROOF, proof: direction } : digestOf(current)
}

export const digestOf = ({ direction, token }: ProofSecret): ProofToken => ({
  proof: direction,
  sha256: createHash('sha256').update(token).digest('hex'),
})

/** In an order that does not depend on which of them relays stamp: that changes no rule. */
const wordsOf = (marker: MarkerKeys | undefined): readonly string[] =>
  [marker?.token, marker?.previousToken].filter((word) => word !== undefined).toSorted()
