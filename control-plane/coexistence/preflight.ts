// Gathers what a dry run of coexistence is judged by: the database, DNS, and the tenants as they were just seen. Changes nothing.
// (coexistence.md §1.6, §2.1 row 0)
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { countMailLicences } from '../findings/judge-licences.ts'
import type {
  Preflight,
  PreflightTenant,
  PresentedDomain,
  PublishedRecords,
  RelayFacts,
  RelayHost,
} from '../findings/preflight.ts'
import { readProjectView } from '../findings/view-store.ts'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import { loadProjectVersions } from '../relays/applied-store.ts'
import { checkDkimRecord } from '../relays/check-dkim-record.ts'
import type { DkimKey } from '../relays/dkim-key.ts'
import { listDkimKeys } from '../relays/dkim-key-store.ts'
import { isLive } from '../relays/relay.ts'
import { listRelays } from '../relays/relay-store.ts'
import { loadSettings } from '../relays/relay-settings-store.ts'
import { listTenants } from '../tenants/tenant-store.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { Tenant } from '../tenants/tenant.ts'
import type { CoexistenceSetting } from './coexistence.ts'
import { countMailboxes, countRouted, readCertifiedNames, readPeople } from './preflight-store.ts'
import type { CertifiedName, MappedDomain } from './preflight-store.ts'
import { isResolved, readRecords } from './published-records.ts'
import type { Dns } from './published-records.ts'
import { loadSwitch } from './switch-store.ts'
import type { ObservedObject } from './tenant-object.ts'

export interface PreflightDeps {
  readonly db: Db
  readonly dns: Dns
  /** ms since the epoch */
  readonly now: () => number
}

export interface PreflightQuestion {
  readonly setting: CoexistenceSetting
  /** Of both tenants; empty where they could not be looked at. */
  readonly observed: readonly ObservedObject[]
  /** External recipients of a day by label, as the administrator knows them. */
  readonly recipients: Readonly<Record<string, number>>
}

const DAY_MS = 86_400_000
const MAX_ROWS = 1_000

export async function readPreflight(
  { db, dns, now }: PreflightDeps,
  place: ProjectPlace,
  question: PreflightQuestion,
): Promise<Preflight> {
  const at = now()
  const { setting } = question
  const kept = await withScope(db, { organisation: place.organisation }, (tx) => readKept(tx, place, question, at))
  const hosts = {
    out: await lookAtHost(dns, setting.relayHosts.out, kept.certified),
    in: await lookAtHost(dns, setting.relayHosts.in, kept.certified),
  }
  return { ...kept, setting, hosts, domains: await lookAtDomains(dns, kept.domains, kept.keys), now: at }
}

async function readKept(
  tx: Tx,
  place: ProjectPlace,
  { setting, observed, recipients }: PreflightQuestion,
  now: number,
) {
  const { organisation, project } = place
  const view = await readProjectView(tx, place, now)
  const { people, domains } = await readPeople(tx, place, setting.scope)
  const mailboxes = await countMailboxes(tx, place)
  const certified = await readCertifiedNames(tx, place)
  const { document } = await loadSettings(tx, organisation, project)
  const keys = await listDkimKeys(tx, place, { state: 'active' }, { after: undefined, limit: MAX_ROWS })
  const tenants = (await listTenants(tx, place)).map((tenant): PreflightTenant => {
    const known = view.byId.get(tenant.id)
    return {
      id: tenant.id,
      label: tenant.label,
      acceptedDomains: domainsOf(tenant),
      observed: observed.filter((each) => each.tenant === tenant.id),
      certificate: certified.find((each) => each.tenant === tenant.id),
      hasSmartHost: document.smartHosts.some((host) => host.tenant === tenant.label),
      mailboxes: mailboxes.get(tenant.id) ?? 0,
      licences: known === undefined ? 0 : countMailLicences(known),
      ownRecipients: recipients[tenant.label],
    }
  })
  const seal = document.seal && normaliseDomain(document.seal.domain)
  const sealKey = keys.find(({ domain, algorithm }) => domain === seal && algorithm !== 'ed25519')
  const relays = await readRelays(tx, place, now)
  const counted = await countRouted(tx, place, new Date(now - DAY_MS))
  const { route } = (await loadSwitch(tx, place)).setting
  const routed = counted && { ...counted, route }
  return { view, tenants, people, domains, certified, keys, relays, sealDomain: sealKey?.domain, routed }
}

const domainsOf = ({ acceptedDomains, initialDomain }: Tenant): ReadonlySet<string> =>
  new Set(
    [...acceptedDomains, ...(initialDomain === undefined ? [] : [initialDomain])].map((name) => name.toLowerCase()),
  )

async function readRelays(tx: Tx, { organisation, project }: ProjectPlace, now: number): Promise<RelayFacts[]> {
  const wanted = await loadProjectVersions(tx, organisation, project)
  const relays = await listRelays(tx, organisation, project, {}, { after: undefined, limit: MAX_ROWS }, now)
  return relays
    .filter(({ state }) => state !== 'revoked')
    .map((relay) => {
      const { report } = relay
      return {
        id: relay.relay,
        isLive: isLive(relay, now),
        isCurrent:
          report !== undefined &&
          wanted !== undefined &&
          report.revision >= wanted.mappingRevision &&
          report.settings >= wanted.settingsVersion &&
          report.refused === undefined,
        isReady: report?.isReady === true && relay.state === 'active',
      }
    })
}

async function lookAtHost(dns: Dns, written: string, certified: readonly CertifiedName[]): Promise<RelayHost> {
  const name = written.toLowerCase()
  const hasCertificate = certified.some(
    ({ tenant, names }) => tenant === undefined && names.some((each) => isFor(each, name)),
  )
  return { name, hasCertificate, isResolved: name === '' ? undefined : await isResolved(dns, name) }
}

/** RFC 9525 §6.3: a wildcard stands for one whole label. */
const isFor = (certified: string, name: string): boolean =>
  certified === name || (certified.startsWith('*.') && certified.slice(1) === name.slice(name.indexOf('.')))

/** At the same time: the resolver is asked by few at once. */
const DOMAINS_AT_ONCE = 8

async function lookAtDomains(
  dns: Dns,
  domains: readonly MappedDomain[],
  keys: readonly DkimKey[],
): Promise<PresentedDomain[]> {
  const looked: PresentedDomain[] = []
  for (let at = 0; at < domains.length; at += DOMAINS_AT_ONCE)
    looked.push(
      ...(await Promise.all(
        domains.slice(at, at + DOMAINS_AT_ONCE).map(async (mapped) => {
          const records: PublishedRecords = await readRecords(dns, mapped.domain)
          return { ...mapped, records, dkim: await lookAtKeys(dns, mapped.domain, keys) }
        }),
      )),
    )
  return looked
}

/** Of several keys the worst: a receiver may take either. */
async function lookAtKeys(dns: Dns, domain: string, keys: readonly DkimKey[]): Promise<PresentedDomain['dkim']> {
  const own = keys.filter((key) => key.domain === domain)
  if (own.length === 0) return undefined
  const results = await Promise.all(own.map((key) => checkDkimRecord(key, dns.txt)))
  return (
    (['different', 'missing', 'unreachable'] as const).find((bad) => results.some(({ result }) => result === bad)) ??
    'found'
  )
}
