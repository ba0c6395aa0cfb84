// Consents in the database. Scope: the organisation.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId, TenantId } from '../ids.ts'
import type { Choices } from './capabilities.ts'
import type { Consent, ConsentProblem, DomainsProblem, ExchangeState, ProblemDetails, Verdict } from './consent.ts'
import type { ProjectPlace } from './tenant-store.ts'

interface Row {
  readonly tenant_id: TenantId
  readonly state: Consent['state']
  readonly choices: Choices
  readonly granted: string[]
  readonly missing: string[]
  readonly exchange: ExchangeState
  readonly problem: ConsentProblem | null
  readonly problem_details: ProblemDetails | null
  readonly domains_problem: DomainsProblem | null
  readonly proved_at: Date | null
  readonly connected_at: Date | null
  readonly state_since: Date
  readonly checked_at: Date | null
  readonly version: number
}

const COLUMNS = sql`tenant_id, state, choices, granted, missing, exchange, problem, problem_details, domains_problem, proved_at,
  connected_at, state_since, checked_at, version`

const toConsent = (row: Row): Consent => ({
  tenant: row.tenant_id,
  state: row.state,
  choices: row.choices,
  granted: row.granted,
  missing: row.missing,
  exchange: row.exchange,
  problem: row.problem ?? undefined,
  problemDetails: row.problem_details ?? undefined,
  domainsProblem: row.domains_problem ?? undefined,
  provedAt: row.proved_at ?? undefined,
  connectedAt: row.connected_at ?? undefined,
  stateSince: row.state_since,
  checkedAt: row.checked_at ?? undefined,
  version: row.version,
})

/** undefined: nobody has asked for it yet. */
export async function findConsent(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  tenant: TenantId,
  lock: 'lock' | 'read' = 'read',
): Promise<Consent | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select ${COLUMNS} from consent
         where organisation_id = ${organisation} and project_id = ${project} and tenant_id = ${tenant}
         ${lock === 'lock' ? sql`for update` : sql``}`,
  )
  return row && toConsent(row)
}

/** One that was proved keeps its choices until the next proof: work goes on with what was granted, whatever more somebody asks for. */
export async function askConsent(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  tenant: TenantId,
  choices: Choices,
): Promise<void> {
  await sql`
    insert into consent (organisation_id, project_id, tenant_id, state, choices)
    values (${organisation}, ${project}, ${tenant}, 'asked', ${JSON.stringify(choices)}::jsonb)
    on conflict (organisation_id, project_id, tenant_id) do update
       set choices = case when consent.proved_at is null then excluded.choices else consent.choices end, version = consent.version + 1,
           state = case when consent.state in ('connected', 'checking') then consent.state else 'asked' end,
           state_since = case when consent.state in ('connected', 'checking') then consent.state_since else now() end,
           problem = null, problem_details = null`.execute(tx)
}

/** For another application it has to be given anew. */
export async function deleteConsent(tx: Tx, { organisation, project }: ProjectPlace, tenant: TenantId): Promise<void> {
  await sql`delete from consent where organisation_id = ${organisation} and project_id = ${project} and tenant_id = ${tenant}`.execute(
    tx,
  )
}

/** An administrator of the tenant has proved that it is his. @param by  tid/oid @param choices  that he was asked for; as they were when absent */
export async function setProved(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  tenant: TenantId,
  by: string,
  at: Date,
  choices?: Choices,
): Promise<void> {
  await sql`
    update consent set state = 'checking', choices = coalesce(${choices === undefined ? null : JSON.stringify(choices)}::jsonb, choices), state_since = ${at}, proved_at = ${at}, proved_by = ${by}, problem = null, problem_details = null,
           version = version + 1
     where organisation_id = ${organisation} and project_id = ${project} and tenant_id = ${tenant}`.execute(tx)
}

/** What an administrator's visit ended with, when not with a proof. One that is connected stays so: anybody may decline a second time. */
export async function setRefused(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  tenant: TenantId,
  problem: ConsentProblem,
  details: ProblemDetails = {},
): Promise<void> {
  await sql`
    update consent set state = 'refused', state_since = now(), problem = ${problem}, problem_details = ${JSON.stringify(details)}::jsonb,
           version = version + 1
     where organisation_id = ${organisation} and project_id = ${project} and tenant_id = ${tenant} and state in ('asked', 'refused')`.execute(
    tx,
  )
}

export async function setVerdict(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  tenant: TenantId,
  verdict: Verdict,
  at: Date,
): Promise<void> {
  const { state, granted, missing, exchange, problem = null, problemDetails } = verdict
  await sql`
    update consent
       set state = ${state}, state_since = case when state = ${state} then state_since else ${at} end,
           granted = ${[...granted]}, missing = ${[...missing]}, exchange = ${exchange}, problem = ${problem},
           problem_details = ${problemDetails === undefined ? null : JSON.stringify(problemDetails)}::jsonb,
           connected_at = case when ${state} = 'connected' then coalesce(connected_at, ${at}) else connected_at end,
           checked_at = ${at},
           version = case when (state, granted, missing, exchange, problem) is distinct from
                               (${state}, ${[...granted]}::text[], ${[...missing]}::text[], ${exchange}, ${problem}) then version + 1 else version end
     where organisation_id = ${organisation} and project_id = ${project} and tenant_id = ${tenant}`.execute(tx)
}

export async function setDomainsProblem(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  tenant: TenantId,
  problem: DomainsProblem | undefined,
): Promise<void> {
  await sql`
    update consent set domains_problem = ${problem === undefined ? null : JSON.stringify(problem)}::jsonb
     where organisation_id = ${organisation} and project_id = ${project} and tenant_id = ${tenant}`.execute(tx)
}

/** Links and visits that are over, of all organisations. */
export function sweepConsentFlows(tx: Tx, before: Date): Promise<number> {
  return countOf(tx, sql`delete from consent_flow where expires_at < ${before}`)
}

export interface DueCheck {
  readonly organisation: OrganisationId
  readonly project: ProjectId
  readonly tenant: TenantId
}

/** How long a look at a tenant is good for, by what goes on there. */
export interface CheckTimes {
  readonly idleMs: number
  readonly workingMs: number
  readonly pausedMs: number
}

/**
 * Tenants at which somebody has to look, and no job is about to. A tenant in which work goes on is looked at so often that a consent that was
 * withdrawn stops it within a minute (EC-4).
 */
export function findDueChecks(db: Db, { idleMs, workingMs, pausedMs }: CheckTimes, limit: number): Promise<DueCheck[]> {
  return withScope(db, { purpose: 'reconcile' }, (tx) =>
    rowsOf<DueCheck>(
      tx,
      sql`
      select c.organisation_id as organisation, c.project_id as project, c.tenant_id as tenant from consent c
       where c.state in ('checking', 'connected', 'paused')
         and coalesce(c.checked_at, '-infinity') < now() - interval '1 millisecond' * case
               when c.state <> 'connected' then ${pausedMs}::double precision
               when exists (select from operation o where o.organisation_id = c.organisation_id and o.project_id = c.project_id
                               and o.state in ('running', 'cancelling')) then ${workingMs}::double precision
               else ${idleMs}::double precision end
         and not exists (select from outbox b where b.organisation_id = c.organisation_id and b.object_id = c.tenant_id and b.kind = 'tenant.check')
         and not exists (select from job j where j.organisation_id = c.organisation_id and j.object_id = c.tenant_id and j.kind = 'tenant.check')
       order by c.checked_at nulls first
       limit ${limit}`,
    ),
  )
}
