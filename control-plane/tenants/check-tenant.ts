// The job that looks at a tenant and writes down what it found: while a consent spreads, by the clock afterwards, and when somebody asks. Takes over
// the domains that the tenant itself names. (EC-4, control-plane.md §3.3)
import type { Tx } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import type { Db } from '../db/database.ts'
import { withScope } from '../db/database.ts'
import { requestFindings } from '../findings/finding-run-store.ts'
import { Problem } from '../http/problem.ts'
import { parseId } from '../ids.ts'
import type { TenantId } from '../ids.ts'
import type { JobContext, JobHandler } from '../jobs/job.ts'
import type { Reconciler } from '../jobs/reconcile-all.ts'
import { RetryLater } from '../jobs/retry.ts'
import { lockOrganisation } from '../organisations/organisation-store.ts'
import { existingProject } from '../projects/existing-project.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { openConnection, NoCredential } from './connection.ts'
import { findConsent, findDueChecks, setDomainsProblem, setVerdict } from './consent-store.ts'
import type { CheckTimes } from './consent-store.ts'
import { judgeLook } from './consent.ts'
import type { Consent, Look } from './consent.ts'
import { tellState } from './in-tenant.ts'
import type { InTenantDeps } from './in-tenant.ts'
import { lookAtTenant } from './look-at-tenant.ts'
import type { TenantDomains } from './look-at-tenant.ts'
import { demandMappedInside } from './mapped-domains.ts'
import { changesRelays } from './tenant.ts'
import type { Tenant } from './tenant.ts'
import { findTenant, listTenants, updateTenant } from './tenant-store.ts'
import type { ProjectPlace } from './tenant-store.ts'

export const CHECK_TIMES: CheckTimes = { idleMs: 5 * 60_000, workingMs: 30_000, pausedMs: 60_000 }
const CHECKS_A_PASS = 100

export function checkTenantJob(deps: InTenantDeps): JobHandler {
  return {
    async run(job) {
      const id = parseId('tenant', job.object)
      const { organisation, project } = job
      if (id === undefined || project === undefined) return
      const place = { organisation, project }
      const [tenant, consent] = await job.read(
        async (tx) => [await findTenant(tx, place, id), await findConsent(tx, place, id)] as const,
      )
      if (tenant === undefined || consent?.provedAt === undefined) return
      const { look, domains } = await looked(tenant, consent, place, job, deps)
      const againMs = await job.change((tx) => settle(tx, place, tenant, look, deps.now()))
      if (domains !== undefined) await takeDomains(job, place, id, domains)
      if (againMs !== undefined) throw new RetryLater(againMs)
    },
  }
}

/** Asks for the looks that are due. */
export function checkTenantReconciler(times: CheckTimes = CHECK_TIMES): Reconciler {
  return {
    name: 'tenants.check',
    async reconcile(db: Db) {
      for (const { organisation, project, tenant } of await findDueChecks(db, times, CHECKS_A_PASS))
        await withScope(db, { organisation }, (tx) => requestJob(tx, { organisation, project }, 'tenant.check', tenant))
    },
  }
}

async function looked(tenant: Tenant, consent: Consent, place: ProjectPlace, job: JobContext, deps: InTenantDeps) {
  try {
    const connection = await openConnection(deps, place, tenant)
    // A token that was kept says nothing of today.
    deps.microsoft.forget({ ...place, tenant: tenant.id })
    const { entraTenantId } = tenant
    const about = { entraTenantId, clientId: connection.clientId, choices: consent.choices }
    return await lookAtTenant(deps.microsoft.clientsOf(connection), about, job.signal)
  } catch (error) {
    if (!(error instanceof NoCredential)) throw error
    const look: Look = { kind: 'failed', problem: 'AUTH_TOKEN', details: { serviceCode: `no-${error.lacks}` } }
    return { look, domains: undefined }
  }
}

async function settle(
  tx: Tx,
  place: ProjectPlace,
  { id }: Tenant,
  look: Look,
  now: number,
): Promise<number | undefined> {
  const consent = await findConsent(tx, place, id, 'lock')
  if (consent?.provedAt === undefined) return undefined
  const verdict = judgeLook(consent, look, now)
  await setVerdict(tx, place, id, verdict, new Date(now))
  if (verdict.state !== consent.state) await tellState(tx, place, id, verdict, now)
  else if (verdict.missing.join() !== consent.missing.join()) await requestFindings(tx, place)
  return verdict.againMs
}

/** The tenant's own word replaces what was named at its registration, unless the mapping would fall outside: then that is said, and nothing changes. */
async function takeDomains(job: JobContext, place: ProjectPlace, id: TenantId, domains: TenantDomains): Promise<void> {
  try {
    await job.change((tx) => replaceDomains(tx, place, id, domains))
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    const { domains: outside } = error.members as { domains?: readonly { readonly domain: string }[] }
    const names = (outside ?? []).map((each) => (typeof each === 'string' ? each : each.domain))
    await job.change((tx) => setDomainsProblem(tx, place, id, { outside: names }))
  }
}

async function replaceDomains(tx: Tx, place: ProjectPlace, id: TenantId, domains: TenantDomains): Promise<void> {
  await lockOrganisation(tx, place.organisation)
  const { deletion } = await existingProject(tx, place.organisation, place.project, { isLocked: true })
  const before = await findTenant(tx, place, id)
  if (deletion !== undefined || before === undefined || domains.accepted.length === 0) return
  const taken = new Set(
    (await listTenants(tx, place)).filter((other) => other.id !== id).flatMap(({ acceptedDomains }) => acceptedDomains),
  )
  const clash = domains.accepted.filter((name) => taken.has(name))
  if (clash.length > 0) throw new Problem('domain-taken', { domains: clash })
  const after: Tenant = {
    ...before,
    acceptedDomains: domains.accepted,
    initialDomain: domains.initial ?? before.initialDomain,
    version: before.version + 1,
  }
  if (changesRelays(before, after)) {
    await updateTenant(tx, place, after)
    await bumpSnapshot(tx, place.organisation, place.project, 'settings')
    await demandMappedInside(tx, place)
  }
  await setDomainsProblem(tx, place, id, undefined)
}
