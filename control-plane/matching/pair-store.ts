// Pairs in the database. At most one live pair per account is the database's own rule; who changes pairs locks them first, so that two changes
// come one after another and not across each other. Scope: the organisation.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { rowOf, rowsOf, sqlState } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import { Problem } from '../http/problem.ts'
import type { AccountId, MatchingId, PairId, TenantId } from '../ids.ts'
import type { Place } from '../mapping/mapping.ts'
import { beginsWith, summaryOf } from '../directory/account-summary.ts'
import type { AccountSummary } from '../directory/account-summary.ts'
import type { LiveAccount } from './account-record-store.ts'
import type { Confidence } from './match-rule.ts'
import { BY_HAND } from './pair.ts'
import type { MappingReason, MappingState, Origin, Pair, PairFilter, PairState, Side } from './pair.ts'

const LOCK_WAIT_MS = 10_000
const LOCK_NOT_AVAILABLE = '55P03'

/** Until the commit. Comes before the lock of the mapping table. @throws Problem 503 while a long change is going on */
export async function lockPairs(tx: Tx, { project }: Place): Promise<void> {
  try {
    await sql`select set_config('lock_timeout', ${`${LOCK_WAIT_MS}ms`}, true)`.execute(tx)
    await sql`select pg_advisory_xact_lock(hashtextextended(${`pairs:${project}`}, 0))`.execute(tx)
    await sql`select set_config('lock_timeout', '0', true)`.execute(tx)
  } catch (error) {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
    throw new Problem('unavailable', { retryAfter: 15, detail: 'A large change of pairs is going on.' })
  }
}

const of = ({ organisation, project }: Place, alias = 'p'): RawBuilder<unknown> => {
  const name = sql.ref(alias)
  return sql`${name}.organisation_id = ${organisation} and ${name}.project_id = ${project}`
}

interface PairRow {
  id: PairId
  source_account_id: AccountId
  target_account_id: AccountId
  source_tenant_id: TenantId
  target_tenant_id: TenantId
  source: AccountSummary | null
  target: AccountSummary | null
  origin: Origin
  state: PairState
  rule: string
  confidence: Confidence
  matching_id: MatchingId | null
  presents: Side
  holds: Side
  sort_key: string
  shown_mapping: MappingState
  mapping_state: MappingState
  mapping_reason: MappingReason | ''
  entry_id: string | null
  content_copied_at: Date | null
  version: number
  created_by: string
  created_at: Date
  decided_by: string | null
  decided_at: Date | null
}

/** What it wrote can have been replaced or removed by a person since. */
const SHOWN_MAPPING = sql`
  case when e.id is not null then 'written' when p.mapping_state = 'written' then 'manual-wins' else p.mapping_state end`

const joinEntry = (place: Place): RawBuilder<unknown> => sql`
  left join mapping_entry e on ${of(place, 'e')} and e.source_ref = p.id and e.source = 'pair' and e.valid_to is null`

function toPair(row: PairRow): Pair {
  const isChangedByHand = row.shown_mapping === 'manual-wins' && row.mapping_state === 'written'
  const stored = row.mapping_reason === '' ? undefined : row.mapping_reason
  const reason = isChangedByHand ? 'changed-by-hand' : row.state === 'confirmed' ? stored : 'not-confirmed'
  return {
    id: row.id,
    source: row.source_account_id,
    target: row.target_account_id,
    sourceTenant: row.source_tenant_id,
    targetTenant: row.target_tenant_id,
    sourceSummary: row.source ?? undefined,
    targetSummary: row.target ?? undefined,
    origin: row.origin,
    state: row.state,
    rule: row.rule,
    confidence: row.confidence,
    matching: row.matching_id ?? undefined,
    presents: row.presents,
    holds: row.holds,
    sortKey: row.sort_key,
    mapping: { state: row.shown_mapping, reason, entry: row.entry_id ?? undefined },
    contentCopiedAt: row.content_copied_at ?? undefined,
    version: row.version,
    createdBy: row.created_by,
    createdAt: row.created_at,
    decidedBy: row.decided_by ?? undefined,
    decidedAt: row.decided_at ?? undefined,
  }
}

const pairs = (place: Place): RawBuilder<unknown> => sql`
  select p.*, e.id as entry_id, ${SHOWN_MAPPING} as shown_mapping,
         ${summaryOf(place, sql`p.source_account_id`)} as source, ${summaryOf(place, sql`p.target_account_id`)} as target
    from pair p ${joinEntry(place)}`

export async function findPair(tx: Tx, place: Place, id: PairId): Promise<Pair | undefined> {
  const row = await rowOf<PairRow>(tx, sql`${pairs(place)} where ${of(place)} and p.id = ${id}`)
  return row && toPair(row)
}

function filtered(place: Place, filter: PairFilter): RawBuilder<unknown> {
  const { state, origin, rule, confidence, mapping, matching, account, collection, search } = filter
  const conditions = [
    of(place),
    state === undefined ? sql`p.state <> 'unpaired'` : sql`p.state = ${state}`,
    ...(origin === undefined ? [] : [sql`p.origin = ${origin}`]),
    ...(rule === undefined ? [] : [sql`p.rule = ${rule}`]),
    ...(confidence === undefined ? [] : [sql`p.confidence = ${confidence}`]),
    ...(mapping === undefined ? [] : [sql`${SHOWN_MAPPING} = ${mapping}`]),
    // Follows from the condition before, and has an index.
    ...(mapping === 'blocked'
      ? [sql`p.state = 'confirmed' and p.mapping_state = 'blocked' and p.mapping_reason <> ''`]
      : []),
    ...(matching === undefined ? [] : [sql`p.matching_id = ${matching}`]),
    ...(account === undefined ? [] : [sql`${account} in (p.source_account_id, p.target_account_id)`]),
    ...(collection === undefined
      ? []
      : [
          sql`exists (select from collection_member c
                       where ${of(place, 'c')} and c.collection_id = ${collection} and c.account_id = p.source_account_id)`,
        ]),
    ...(search === undefined
      ? []
      : [beginsWith(place, search, sql`p.sort_key`, [sql`p.source_account_id`, sql`p.target_account_id`])]),
  ]
  return sql.join(conditions, sql` and `)
}

/** By name of the source account; one more than the page holds where there are more. */
export async function listPairs(
  tx: Tx,
  place: Place,
  filter: PairFilter,
  { after, limit }: PageRequest,
): Promise<Pair[]> {
  const rows = await rowsOf<PairRow>(
    tx,
    sql`${pairs(place)}
         where ${filtered(place, filter)}
           ${after === undefined ? sql`` : sql`and (p.sort_key, p.id) > (${after[0]}, ${after[1]})`}
         order by p.sort_key, p.id limit ${limit + 1}`,
  )
  return rows.map(toPair)
}

/** Live pairs of these accounts. */
export function pairsOf(
  tx: Tx,
  place: Place,
  accounts: readonly AccountId[],
): Promise<{ id: PairId; source: AccountId; target: AccountId; state: PairState }[]> {
  return rowsOf(
    tx,
    sql`select p.id, p.source_account_id as source, p.target_account_id as target, p.state from pair p
         where ${of(place)} and p.state <> 'unpaired'
           and (p.source_account_id = any(${[...accounts]}) or p.target_account_id = any(${[...accounts]}))
         order by p.id`,
  )
}

export interface NewPair {
  readonly id: PairId
  readonly source: LiveAccount
  readonly target: LiveAccount
  readonly presents: Side
  readonly holds: Side
}

/** Made by a person, and so confirmed. Lock pairs before. */
export async function insertPair(
  tx: Tx,
  place: Place,
  { id, source, target, presents, holds }: NewPair,
  author: string,
  now: number,
): Promise<void> {
  const at = new Date(now)
  await sql`
    insert into pair (organisation_id, project_id, id, source_tenant_id, source_account_id, target_tenant_id, target_account_id, origin,
                      state, rule, confidence, presents, holds, sort_key, created_by, created_at, decided_by, decided_at)
    values (${place.organisation}, ${place.project}, ${id}, ${source.tenant}, ${source.id}, ${target.tenant}, ${target.id}, 'mapped',
            'confirmed', ${BY_HAND.rule}, ${BY_HAND.confidence}, ${presents}, ${holds}, ${source.sortKey}, ${author}, ${at}, ${author},
            ${at})`.execute(tx)
}

export async function setPairState(
  tx: Tx,
  place: Place,
  id: PairId,
  state: 'confirmed' | 'unpaired',
  author: string,
  now: number,
): Promise<void> {
  await sql`
    update pair p set state = ${state}, decided_by = ${author}, decided_at = ${new Date(now)}, version = p.version + 1
     where ${of(place)} and p.id = ${id}`.execute(tx)
}

export async function setPairOptions(
  tx: Tx,
  place: Place,
  id: PairId,
  { presents, holds }: { readonly presents: Side; readonly holds: Side },
): Promise<void> {
  await sql`
    update pair p set presents = ${presents}, holds = ${holds}, version = p.version + 1
     where ${of(place)} and p.id = ${id}`.execute(tx)
}

/** How many proposals a bulk confirmation would take. */
export async function countProposals(tx: Tx, place: Place, filter: PairFilter): Promise<number> {
  const row = await rowOf<{ count: number }>(
    tx,
    sql`select count(*) as count from pair p ${joinEntry(place)} where ${filtered(place, { ...filter, state: 'proposed' })}`,
  )
  return row?.count ?? 0
}

/** Lock pairs before. @returns those that were confirmed */
export async function confirmProposals(
  tx: Tx,
  place: Place,
  filter: PairFilter,
  author: string,
  now: number,
): Promise<PairId[]> {
  const rows = await rowsOf<{ id: PairId }>(
    tx,
    sql`update pair u set state = 'confirmed', decided_by = ${author}, decided_at = ${new Date(now)}, version = u.version + 1
         where ${of(place, 'u')}
           and u.id in (select p.id from pair p ${joinEntry(place)} where ${filtered(place, { ...filter, state: 'proposed' })})
     returning u.id`,
  )
  return rows.map(({ id }) => id)
}
