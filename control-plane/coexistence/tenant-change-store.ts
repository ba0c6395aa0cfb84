// The change ledger of tenants and their states before and after, in the database. Scope: the organisation. (coexistence.md §2.2, EC-5)
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { cursorNumber } from '../http/page.ts'
import type { PageRequest } from '../http/page.ts'
import type { OperationId, TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { PROOF_HEADER } from './tenant-object.ts'
import type { Written, WrittenByUs } from './equality-proof.ts'
import type { Noun, ObservedObject, Properties } from './tenant-object.ts'

export interface ChangeIntent {
  readonly tenant: TenantId
  /** Of the cmdlet; an organisation that is still as every new one is customised once, which nothing undoes. */
  readonly noun: Noun | 'OrganizationConfig'
  readonly key: string
  /** Of an object that is there. */
  readonly guid?: string | undefined
  readonly cmdlet: string
  /** As called, but for proof tokens: these stand as digests. */
  readonly parameters: Properties
  readonly before?: ObservedObject | undefined
  readonly operation: OperationId
  readonly author: string
}

export interface TenantChange extends ChangeIntent {
  /** Dense in the project, from 1. */
  readonly sequence: number
  readonly after: ObservedObject | undefined
  readonly state: 'intent' | 'done' | 'undone' | 'failed'
  readonly problem: string | undefined
  readonly createdAt: Date
  readonly settledAt: Date | undefined
}

export type Settlement =
  | { readonly state: 'done'; readonly guid?: string; readonly after?: ObservedObject }
  | { readonly state: 'undone' }
  | { readonly state: 'failed'; readonly problem: string }

const COLUMNS = sql`sequence, tenant_id as tenant, noun, object_key as key, object_guid as guid, cmdlet, parameters, before, after, state, problem,
  operation_id as operation, author, created_at as "createdAt", settled_at as "settledAt"`
const of = ({ organisation, project }: ProjectPlace) =>
  sql`organisation_id = ${organisation} and project_id = ${project}`

type Nullable<T> = { readonly [K in keyof T]: undefined extends T[K] ? Exclude<T[K], undefined> | null : T[K] }
type Row = Nullable<Required<TenantChange>>

const toChange = (row: Row): TenantChange => ({
  ...row,
  guid: row.guid ?? undefined,
  before: row.before ?? undefined,
  after: row.after ?? undefined,
  problem: row.problem ?? undefined,
  settledAt: row.settledAt ?? undefined,
})

/**
 * Before the call, in a transaction that is committed before it. Those of one project queue here, so that sequences stay dense.
 * @returns its sequence
 * @throws TypeError when a proof token would be written as it is (KM-5)
 */
export async function appendIntent(tx: Tx, place: ProjectPlace, intent: ChangeIntent, at: Date): Promise<number> {
  const { tenant, noun, key, guid, cmdlet, parameters, before, operation, author } = intent
  for (const said of [parameters, before?.properties ?? {}]) refuseProof(said)
  await sql`select from project where organisation_id = ${place.organisation} and id = ${place.project} for no key update`.execute(
    tx,
  )
  const row = await rowOf<{ sequence: number }>(
    tx,
    sql`insert into tenant_change (organisation_id, project_id, sequence, tenant_id, noun, object_key, object_guid, cmdlet, parameters, before, state,
                                   operation_id, author, created_at)
        select ${place.organisation}, ${place.project}, 1 + coalesce(max(sequence), 0), ${tenant}, ${noun}, ${key}, ${guid ?? null}, ${cmdlet},
               ${JSON.stringify(parameters)}::jsonb, ${jsonOrNull(before)}::jsonb, 'intent', ${operation}, ${author}, ${at}
          from tenant_change where ${of(place)}
        returning sequence`,
  )
  if (row === undefined) throw new Error('an insert returned no row')
  return row.sequence
}

/** @returns whether it was open: of a change that is settled only `done` becomes something else, `undone` */
export async function settleChange(
  tx: Tx,
  place: ProjectPlace,
  sequence: number,
  settlement: Settlement,
  at: Date,
): Promise<boolean> {
  const { state } = settlement
  const [guid, after] = state === 'done' ? [settlement.guid ?? null, settlement.after] : [null, undefined]
  if (after !== undefined) refuseProof(after.properties)
  const from = state === 'undone' ? ['intent', 'done'] : ['intent']
  const settled = await countOf(
    tx,
    sql`update tenant_change set state = ${state}, settled_at = ${at}, object_guid = coalesce(${guid}, object_guid),
               after = coalesce(${jsonOrNull(after)}::jsonb, after), problem = ${state === 'failed' ? settlement.problem : null}
         where ${of(place)} and sequence = ${sequence} and state = any(${from}::text[])`,
  )
  return settled === 1
}

/** It took this call, so none of the same before it that are still open had done it. */
export async function settleEarlierTries(
  tx: Tx,
  place: ProjectPlace,
  { sequence, tenant, noun, key, cmdlet }: Pick<TenantChange, 'sequence' | 'tenant' | 'noun' | 'key' | 'cmdlet'>,
  at: Date,
): Promise<void> {
  await sql`update tenant_change set state = 'failed', problem = 'not-done', settled_at = ${at}
             where ${of(place)} and sequence < ${sequence} and state = 'intent' and tenant_id = ${tenant} and noun = ${noun}
               and object_key = ${key} and cmdlet = ${cmdlet}`.execute(tx)
}

export interface ChangeFilter {
  readonly tenant?: TenantId | undefined
  readonly state?: TenantChange['state'] | undefined
  readonly operation?: string | undefined
}

/** The newest first; one more than the page holds where there are more. */
export async function listChanges(
  tx: Tx,
  place: ProjectPlace,
  { after, limit }: PageRequest,
  { tenant, state, operation }: ChangeFilter = {},
): Promise<TenantChange[]> {
  const rows = await rowsOf<Row>(
    tx,
    sql`select ${COLUMNS} from tenant_change
         where ${of(place)} and ${after === undefined ? sql`true` : sql`sequence < ${cursorNumber(after[0])}`}
           and ${tenant === undefined ? sql`true` : sql`tenant_id = ${tenant}`}
           and ${state === undefined ? sql`true` : sql`state = ${state}`}
           and ${operation === undefined ? sql`true` : sql`operation_id = ${operation}`}
         order by sequence desc limit ${limit + 1}`,
  )
  return rows.map(toChange)
}

/** What may have happened or not, the oldest first. */
export async function openIntents(tx: Tx, place: ProjectPlace): Promise<TenantChange[]> {
  const rows = await rowsOf<Row>(
    tx,
    sql`select ${COLUMNS} from tenant_change where ${of(place)} and state = 'intent' order by sequence`,
  )
  return rows.map(toChange)
}

/** Whom an operation found missing in the directory since then, by the groups that wanted them. */
export function missingMembers(
  tx: Tx,
  place: ProjectPlace,
  operation: OperationId,
  since: Date,
): Promise<{ readonly tenant: TenantId; readonly key: string; readonly member: string }[]> {
  return rowsOf(
    tx,
    sql`select distinct tenant_id as tenant, object_key as key, parameters->>'Member' as member from tenant_change
         where ${of(place)} and operation_id = ${operation} and created_at > ${since} and state = 'failed' and problem = 'NOT_FOUND'
           and cmdlet = 'Add-DistributionGroupMember'`,
  )
}

/** Of every object that we ever wrote, the last change that took effect and stands. */
export async function lastWritten(tx: Tx, place: ProjectPlace): Promise<TenantChange[]> {
  const rows = await rowsOf<Row>(
    tx,
    sql`select distinct on (tenant_id, noun, object_key) ${COLUMNS} from tenant_change
         where ${of(place)} and state = 'done' order by tenant_id, noun, object_key, sequence desc`,
  )
  return rows.map(toChange)
}

/**
 * Properties that we ever wrote, with every value that we gave them and what it took the place of, by `<tenant> <noun> <guid>`; `*`: we made it. Of members and calls that change no
 * object, nothing.
 */
export async function writtenByUs(tx: Tx, place: ProjectPlace): Promise<WrittenByUs> {
  const rows = await rowsOf<{ tenant: string; noun: string; guid: string; name: string; values: Written[] }>(
    tx,
    sql`select tenant_id as tenant, noun, object_guid as guid, case when cmdlet like 'New-%' then '*' else p.name end as name,
               coalesce(jsonb_agg(distinct jsonb_build_object('value', p.value, 'before', c.before -> 'properties' -> p.name))
                          filter (where cmdlet like 'Set-%'), '[]') as values
          from tenant_change c cross join lateral jsonb_each(c.parameters) as p (name, value)
         where ${of(place)} and state in ('done', 'undone') and object_guid is not null and (cmdlet like 'New-%' or cmdlet like 'Set-%')
         group by 1, 2, 3, 4`,
  )
  const written = new Map<string, Map<string, readonly Written[]>>()
  for (const { tenant, noun, guid, name, values } of rows) {
    const key = `${tenant} ${noun} ${guid.toLowerCase()}`
    written.set(key, (written.get(key) ?? new Map<string, readonly Written[]>()).set(name, values))
  }
  return written
}

export interface TenantState {
  readonly tenant: TenantId
  readonly operation: OperationId
  readonly moment: 'before' | 'after'
  readonly objects: readonly ObservedObject[]
  readonly observedAt: Date
}

/** Of an operation the first `before` stays, since one that is done again finds the tenant half changed, and the last `after`. */
export async function keepState(tx: Tx, place: ProjectPlace, state: TenantState): Promise<void> {
  const { tenant, operation, moment, objects, observedAt } = state
  for (const { properties } of objects) refuseProof(properties)
  await sql`insert into tenant_state (organisation_id, project_id, tenant_id, operation_id, moment, objects, observed_at)
            values (${place.organisation}, ${place.project}, ${tenant}, ${operation}, ${moment}, ${JSON.stringify(objects)}::jsonb, ${observedAt})
            on conflict (organisation_id, project_id, tenant_id, operation_id, moment)
            do update set objects = excluded.objects, observed_at = excluded.observed_at where tenant_state.moment = 'after'`.execute(
    tx,
  )
}

/** The newest of its moment. */
export function newestState(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  moment: TenantState['moment'],
): Promise<TenantState | undefined> {
  return rowOf<TenantState>(
    tx,
    sql`select tenant_id as tenant, operation_id as operation, moment, objects, observed_at as "observedAt" from tenant_state
         where ${of(place)} and tenant_id = ${tenant} and moment = ${moment} order by observed_at desc limit 1`,
  )
}

const jsonOrNull = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value))

/** Without a header's name it is that of the rule, which may be ours. */
function refuseProof({ SetHeaderName: header, SetHeaderValue: value }: Properties): void {
  const isForeign = typeof header === 'string' && header.trim().toLowerCase() !== PROOF_HEADER.toLowerCase()
  if (typeof value === 'string' && !isForeign) throw new TypeError('a proof token is kept as its digest only')
}
