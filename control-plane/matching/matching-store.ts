// Matchings and their results in the database. Results are written under a matching that is not complete, which nobody is shown; completing it makes
// them, and the pairs they propose, appear at once. Scope: the organisation.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { fromMicros, microsOf } from '../db/micros.ts'
import { cursorNumber } from '../http/page.ts'
import type { PageRequest } from '../http/page.ts'
import type { AccountId, MatchingId, OperationId, PairId } from '../ids.ts'
import type { Place } from '../mapping/mapping.ts'
import type { OperationState } from '../operations/operation.ts'
import { beginsWith, findSummaries, summaryOf, unknownAccount } from '../directory/account-summary.ts'
import type { AccountSummary } from '../directory/account-summary.ts'
import type { Outcome, Reason } from './match.ts'
import type { Confidence } from './match-rule.ts'
import type { Matching, MatchingCounts, ResultBody, ResultRow, StoredOptions } from './matching.ts'

const of = ({ organisation, project }: Place, alias = 'm'): RawBuilder<unknown> => {
  const name = sql.ref(alias)
  return sql`${name}.organisation_id = ${organisation} and ${name}.project_id = ${project}`
}

interface MatchingRow {
  id: MatchingId
  operation_id: OperationId
  state: OperationState
  options: StoredOptions
  discoveries: Record<string, number> | null
  counts: MatchingCounts | null
  author: string
  created_at: Date
  created_micros: number
  completed_at: Date | null
}

/** An operation that is gone before it was complete has failed. */
const MATCHING = sql`m.id, m.operation_id, m.options, m.discoveries, m.counts, m.author, m.created_at, m.completed_at,
  ${microsOf('m.created_at')} as created_micros,
  case when m.completed_at is not null then 'succeeded'
       else coalesce((select o.state from operation o where o.organisation_id = m.organisation_id and o.id = m.operation_id), 'failed')
   end as state`

const toMatching = (row: MatchingRow): Matching => ({
  id: row.id,
  operation: row.operation_id,
  state: row.state,
  options: row.options,
  discoveries: row.discoveries ?? undefined,
  counts: row.counts ?? undefined,
  author: row.author,
  createdAt: row.created_at,
  createdMicros: row.created_micros,
  completedAt: row.completed_at ?? undefined,
})

export async function insertMatching(
  tx: Tx,
  place: Place,
  matching: Pick<Matching, 'id' | 'operation' | 'options' | 'author'>,
  now: number,
): Promise<void> {
  const { id, operation, options, author } = matching
  await sql`
    insert into matching (organisation_id, project_id, id, operation_id, options, author, created_at)
    values (${place.organisation}, ${place.project}, ${id}, ${operation}, ${JSON.stringify(options)}::jsonb, ${author},
            ${new Date(now)})`.execute(tx)
}

export async function findMatching(tx: Tx, place: Place, id: MatchingId): Promise<Matching | undefined> {
  const row = await rowOf<MatchingRow>(tx, sql`select ${MATCHING} from matching m where ${of(place)} and m.id = ${id}`)
  return row && toMatching(row)
}

/** The newest whose results are there. */
export async function findLatest(tx: Tx, place: Place): Promise<Matching | undefined> {
  const row = await rowOf<MatchingRow>(
    tx,
    sql`select ${MATCHING} from matching m where ${of(place)} and m.completed_at is not null
         order by m.created_at desc, m.id desc limit 1`,
  )
  return row && toMatching(row)
}

/** The operation of one that has not ended. Lock pairs before, where another must not begin meanwhile. */
export async function findUnfinished(tx: Tx, place: Place): Promise<OperationId | undefined> {
  const row = await rowOf<{ id: OperationId }>(
    tx,
    sql`select o.id from matching m
          join operation o on o.organisation_id = m.organisation_id and o.id = m.operation_id
         where ${of(place)} and m.completed_at is null and o.state in ('queued', 'running', 'cancelling') limit 1`,
  )
  return row?.id
}

/** The newest first. */
export async function listMatchings(tx: Tx, place: Place, { after, limit }: PageRequest): Promise<Matching[]> {
  const rows = await rowsOf<MatchingRow>(
    tx,
    sql`select ${MATCHING} from matching m where ${of(place)}
         ${after === undefined ? sql`` : sql`and (m.created_at, m.id) < (${fromMicros(cursorNumber(after[0]))}, ${after[1]})`}
         order by m.created_at desc, m.id desc limit ${limit + 1}`,
  )
  return rows.map(toMatching)
}

// ── Results ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ResultFilter {
  readonly outcome?: Outcome | undefined
  readonly rule?: string | undefined
  /** Beginning of a name or address, as compared. */
  readonly search?: string | undefined
}

interface StoredResult {
  readonly sort_key: string
  readonly source_account_id: AccountId
  readonly source: AccountSummary | null
  readonly outcome: Outcome
  readonly reason: Reason | null
  readonly rule: string
  readonly confidence: Confidence | null
  readonly target_account_id: AccountId | null
  readonly pair_id: string | null
  readonly candidates: readonly string[]
  readonly candidate_count: number
}

export interface Result {
  readonly sortKey: string
  readonly source: AccountId
  readonly body: ResultBody
}

/** By name of the source account; one more than the page holds where there are more. */
export async function listResults(
  tx: Tx,
  place: Place,
  id: MatchingId,
  { outcome, rule, search }: ResultFilter,
  { after, limit }: PageRequest,
): Promise<Result[]> {
  const rows = await rowsOf<StoredResult>(
    tx,
    sql`select r.*, ${summaryOf(place, sql`r.source_account_id`)} as source
          from match_result r
         where ${of(place, 'r')} and r.matching_id = ${id}
           and exists (select from matching m where ${of(place)} and m.id = ${id} and m.completed_at is not null)
           ${outcome === undefined ? sql`` : sql`and r.outcome = ${outcome}`}
           ${rule === undefined ? sql`` : sql`and r.rule = ${rule}`}
           ${search === undefined ? sql`` : sql`and ${beginsWith(place, search, sql`r.sort_key`, [sql`r.source_account_id`])}`}
           ${after === undefined ? sql`` : sql`and (r.sort_key, r.source_account_id) > (${after[0]}, ${after[1]})`}
         order by r.sort_key, r.source_account_id limit ${limit + 1}`,
  )
  const named = new Set(
    rows.flatMap((row) => [...row.candidates, row.target_account_id].filter((account) => account !== null)),
  )
  const summaries = await findSummaries(tx, place, [...named])
  return rows.map((row) => ({
    sortKey: row.sort_key,
    source: row.source_account_id,
    body: shapeResult(row, (account) => summaries.get(account) ?? unknownAccount(account)),
  }))
}

function shapeResult(row: StoredResult, summary: (id: string) => AccountSummary): ResultBody {
  return {
    source: row.source ?? unknownAccount(row.source_account_id),
    outcome: row.outcome,
    ...(row.reason === null ? {} : { reason: row.reason }),
    ...(row.rule === '' ? {} : { rule: row.rule }),
    ...(row.confidence === null ? {} : { confidence: row.confidence }),
    ...(row.target_account_id === null ? {} : { target: summary(row.target_account_id) }),
    ...(row.pair_id === null ? {} : { pair: row.pair_id }),
    candidates: row.candidates.map(summary),
    candidateCount: row.candidate_count,
  }
}

export async function deleteResults(tx: Tx, place: Place, id: MatchingId): Promise<void> {
  await sql`delete from match_result r where ${of(place, 'r')} and r.matching_id = ${id}`.execute(tx)
}

export async function insertResults(tx: Tx, place: Place, id: MatchingId, rows: readonly ResultRow[]): Promise<void> {
  await sql`
    insert into match_result (organisation_id, project_id, matching_id, sort_key, source_account_id, source_tenant_id, outcome, reason, rule, confidence,
                              target_account_id, pair_id, candidates, candidate_count)
    select ${place.organisation}, ${place.project}, ${id}, "sortKey", source, tenant, outcome, reason, rule, confidence, target, pair,
           array(select jsonb_array_elements_text(candidates)), "candidateCount"
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        as r("sortKey" text, source text, tenant text, outcome text, reason text, rule text, confidence text, target text, pair text,
             candidates jsonb, "candidateCount" integer)`.execute(tx)
}

// ── What a matching begins with and ends in ────────────────────────────────────────────────────────────────────────

export interface LivePair {
  readonly id: PairId
  readonly source: AccountId
  readonly target: AccountId
  readonly rule: string
  readonly confidence: Confidence
}

/** @param withProposals  else without those of matchings that nobody has confirmed */
export function livePairs(tx: Tx, place: Place, withProposals: boolean): Promise<LivePair[]> {
  return rowsOf<LivePair>(
    tx,
    sql`select p.id, p.source_account_id as source, p.target_account_id as target, p.rule, p.confidence from pair p
         where ${of(place, 'p')} and p.state <> 'unpaired'
           ${withProposals ? sql`` : sql`and not (p.state = 'proposed' and p.origin = 'matched')`}`,
  )
}

/**
 * Makes the pairs that the results propose. Where somebody has made others meanwhile those stay, and the result says so.
 * Lock pairs before.
 * @param expected  how many the results propose
 * @returns how many are new
 */
export async function proposePairs(
  tx: Tx,
  place: Place,
  { id, author }: Pick<Matching, 'id' | 'author'>,
  { target, expected, now }: { readonly target: string; readonly expected: number; readonly now: number },
): Promise<number> {
  const proposed = await countOf(
    tx,
    sql`insert into pair (organisation_id, project_id, id, source_tenant_id, source_account_id, target_tenant_id, target_account_id,
                          origin, state, rule, confidence, matching_id, sort_key, created_by, created_at)
        select r.organisation_id, r.project_id, r.pair_id, r.source_tenant_id, r.source_account_id, ${target}, r.target_account_id,
               'matched', 'proposed', r.rule, r.confidence, r.matching_id, r.sort_key, ${author}, ${new Date(now)}::timestamptz
          from match_result r
         where ${of(place, 'r')} and r.matching_id = ${id} and r.outcome = 'paired' and r.reason is null
            on conflict do nothing`,
  )
  if (proposed === expected) return proposed
  await sql`
    update match_result r
       set pair_id = live.id, reason = case when live.id is null then 'taken' else 'live-pair' end,
           outcome = case when live.id is null then 'conflict' else 'paired' end,
           target_account_id = case when live.id is not null then r.target_account_id end
      from match_result lost
      left join pair live on ${of(place, 'live')} and live.source_account_id = lost.source_account_id
                         and live.target_account_id = lost.target_account_id and live.state <> 'unpaired'
     where ${of(place, 'lost')} and lost.matching_id = ${id} and lost.outcome = 'paired' and lost.reason is null
       and not exists (select from pair p where ${of(place, 'p')} and p.id = lost.pair_id)
       and ${of(place, 'r')} and r.matching_id = ${id} and r.sort_key = lost.sort_key
       and r.source_account_id = lost.source_account_id`.execute(tx)
  return proposed
}

/** Proposals that nobody has confirmed and that the results don't say again. Lock pairs before. */
export async function withdrawProposals(
  tx: Tx,
  place: Place,
  { id, author }: Pick<Matching, 'id' | 'author'>,
  now: number,
): Promise<void> {
  await sql`
    update pair p
       set state = 'unpaired', decided_by = ${author}, decided_at = ${new Date(now)}, version = p.version + 1
     where ${of(place, 'p')} and p.state = 'proposed' and p.origin = 'matched'
       and not exists (select from match_result r
                        where ${of(place, 'r')} and r.matching_id = ${id} and r.sort_key = p.sort_key
                          and r.source_account_id = p.source_account_id and r.target_account_id = p.target_account_id)`.execute(
    tx,
  )
}

/** @param discoveries  number by tenant */
export async function completeMatching(
  tx: Tx,
  place: Place,
  id: MatchingId,
  { discoveries, proposed, now }: { discoveries: Readonly<Record<string, number>>; proposed: number; now: number },
): Promise<MatchingCounts> {
  const rows = await rowsOf<{ outcome: Outcome; rule: string; count: number }>(
    tx,
    sql`select outcome, rule, count(*) as count from match_result r
         where ${of(place, 'r')} and r.matching_id = ${id} group by outcome, rule order by rule`,
  )
  const outcomes: Record<Outcome, number> = { paired: 0, ambiguous: 0, conflict: 0, suggested: 0, unmatched: 0 }
  const rules: Record<string, number> = {}
  for (const { outcome, rule, count } of rows) {
    outcomes[outcome] += count
    if (rule !== '') rules[rule] = (rules[rule] ?? 0) + count
  }
  const counts = { total: rows.reduce((sum, { count }) => sum + count, 0), outcomes, rules, proposed }
  await sql`
    update matching m
       set completed_at = ${new Date(now)}, discoveries = ${JSON.stringify(discoveries)}::jsonb, counts = ${JSON.stringify(counts)}::jsonb
     where ${of(place)} and m.id = ${id}`.execute(tx)
  return counts
}

/** Of matchings that newer ones have taken the place of. @param keep  of the newest */
export async function deleteOldResults(tx: Tx, place: Place, keep: number): Promise<void> {
  await sql`
    delete from match_result r
     where ${of(place, 'r')}
       and r.matching_id in (select m.id from matching m where ${of(place)} and m.completed_at is not null
                              order by m.created_at desc, m.id desc offset ${keep})`.execute(tx)
}

// ── Exclusions ─────────────────────────────────────────────────────────────────────────────────────────────────────

export async function excludedAccounts(tx: Tx, place: Place): Promise<Set<AccountId>> {
  const rows = await rowsOf<{ account_id: AccountId }>(
    tx,
    sql`select account_id from match_exclusion x where ${of(place, 'x')}`,
  )
  return new Set(rows.map((row) => row.account_id))
}

export interface Exclusion {
  readonly id: AccountId
  readonly account: AccountSummary
  readonly excludedBy: string
  readonly createdAt: Date
}

/** By account id. */
export async function listExclusions(tx: Tx, place: Place, { after, limit }: PageRequest): Promise<Exclusion[]> {
  const rows = await rowsOf<{
    account_id: AccountId
    account: AccountSummary | null
    author: string
    created_at: Date
  }>(
    tx,
    sql`select x.account_id, x.author, x.created_at, ${summaryOf(place, sql`x.account_id`)} as account from match_exclusion x
         where ${of(place, 'x')} ${after === undefined ? sql`` : sql`and x.account_id > ${after[0]}`}
         order by x.account_id limit ${limit + 1}`,
  )
  return rows.map((row) => ({
    id: row.account_id,
    account: row.account ?? unknownAccount(row.account_id),
    excludedBy: row.author,
    createdAt: row.created_at,
  }))
}

/** @returns whether it wasn't before */
export async function excludeAccount(
  tx: Tx,
  place: Place,
  account: { readonly id: AccountId; readonly tenant: string },
  author: string,
  now: number,
): Promise<boolean> {
  const added = await countOf(
    tx,
    sql`insert into match_exclusion (organisation_id, project_id, account_id, tenant_id, author, created_at)
        values (${place.organisation}, ${place.project}, ${account.id}, ${account.tenant}, ${author}, ${new Date(now)})
        on conflict do nothing`,
  )
  return added > 0
}

/** @returns how many were excluded */
export function includeAccounts(tx: Tx, place: Place, ids: readonly AccountId[]): Promise<number> {
  return countOf(tx, sql`delete from match_exclusion x where ${of(place, 'x')} and x.account_id = any(${[...ids]})`)
}
