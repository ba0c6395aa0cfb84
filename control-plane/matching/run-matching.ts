// What the job of a matching does: reads both sides as their latest discoveries left them, decides, writes the results where nobody sees them, and
// makes them and their pairs appear in one transaction. Can be stopped anywhere and run again. (migration-semantics.md §3, JQ-2, JQ-5, JQ-6)
import { setImmediate } from 'node:timers/promises'
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { requestFindings } from '../findings/finding-run-store.ts'
import { Problem } from '../http/problem.ts'
import { newId, parseId } from '../ids.ts'
import type { AccountId, TenantId } from '../ids.ts'
import { holdAttempt } from '../jobs/job-store.ts'
import { expectManyRows, refreshStatistics } from '../mapping/change-store.ts'
import type { Place } from '../mapping/mapping.ts'
import type { OperationContext } from '../operations/operation-job.ts'
import { listTenants } from '../tenants/tenant-store.ts'
import { latestDiscoveries, readAccounts } from './account-record-store.ts'
import type { SortedAccount } from './account-record-store.ts'
import { Matcher } from './match.ts'
import type { Match } from './match.ts'
import { attributesOf, KeyMaker } from './match-record.ts'
import { confidenceOf, ruleName } from './match-rule.ts'
import type { Matching, MatchingCounts, ResultRow } from './matching.ts'
import {
  completeMatching,
  deleteOldResults,
  deleteResults,
  excludedAccounts,
  findMatching,
  insertResults,
  livePairs,
  proposePairs,
  withdrawProposals,
} from './matching-store.ts'
import type { LivePair } from './matching-store.ts'
import { lockPairs } from './pair-store.ts'

export interface RunMatchingDeps {
  readonly db: Db
  /** ms since the epoch */
  readonly now: () => number
}

const ROWS_PER_INSERT = 5_000
/** Results of older ones go; that they were, and what they came to, stays. */
const KEPT_RESULTS = 5

/** The work of an operation whose subject is a matching. @throws Problem when a side has not been discovered */
export async function runMatching(
  context: OperationContext,
  deps: RunMatchingDeps,
): Promise<Readonly<Record<string, unknown>>> {
  const { organisation, project, subject } = context
  const id = parseId('matching', subject)
  if (project === undefined || id === undefined) throw new Error('unreachable: the operation is about no matching')
  const place = { organisation, project }
  const matching = await context.read((tx) => findMatching(tx, place, id))
  if (matching === undefined) throw new Problem('not-found', { detail: 'The matching is not kept any more.' })
  // An earlier attempt has done it, and was ended before it could say so.
  if (matching.counts !== undefined) return resultOf(place, matching, matching.counts)
  await context.progress({ step: 'reading' })
  const sides = await context.read((tx) => findSides(tx, place))
  const decided = await decide(context, place, matching, sides)
  const expected = await store(context, place, matching, decided)
  const counts = await complete(context, place, matching, { ...sides, expected }, deps)
  await context.change((tx) => deleteOldResults(tx, place, KEPT_RESULTS))
  await context.read((tx) => refreshStatistics(tx, Infinity))
  return resultOf(place, matching, counts)
}

const resultOf = ({ project }: Place, { id }: Matching, counts: MatchingCounts): Record<string, unknown> => ({
  matching: id,
  results: `/api/v1/projects/${project}/matchings/${id}/results`,
  ...counts,
})

interface Side {
  readonly tenant: TenantId
  readonly discovery: number
}

interface Sides {
  readonly target: Side
  readonly sources: readonly Side[]
}

/** @throws Problem naming the tenants that nobody has discovered */
async function findSides(tx: Tx, place: Place): Promise<Sides> {
  const tenants = await listTenants(tx, place)
  const discoveries = await latestDiscoveries(tx, place)
  const missing = tenants.filter(({ id }) => !discoveries.has(id)).map(({ id }) => id)
  if (missing.length > 0) throw new Problem('discovery-needed', { tenants: missing })
  const sideOf = (side: 'source' | 'target'): Side[] =>
    tenants.flatMap((one) => (one.side === side ? [{ tenant: one.id, discovery: discoveries.get(one.id) ?? 0 }] : []))
  const [target] = sideOf('target')
  const sources = sideOf('source')
  if (target === undefined || sources.length === 0)
    throw new Problem('discovery-needed', { tenants: [], detail: 'The project needs a source and a target.' })
  return { target, sources }
}

/** What a result needs of its account that matching doesn't. */
interface Known {
  readonly sortKey: string
  readonly tenant: TenantId
}

interface Decided {
  readonly count: number
  /** Made when they are wanted: all at once they would be as large as what they came from. */
  readonly rows: (from: number, to: number) => ResultRow[]
}

async function decide(context: OperationContext, place: Place, { options }: Matching, sides: Sides): Promise<Decided> {
  const { pairs, excluded } = await context.read(async (tx) => ({
    pairs: await livePairs(tx, place, !options.replaceProposals),
    excluded: await excludedAccounts(tx, place),
  }))
  const bySource = new Map(pairs.map((pair) => [pair.source, pair]))
  const matcher = new Matcher(options, {
    livePairs: new Map(pairs.map((pair) => [pair.source, pair.target])),
    excluded,
  })
  const keys = new KeyMaker(options, place.project)
  const known = new Map<AccountId, Known>()
  let done = 0
  const read = (side: Side, names: readonly string[], take: (account: SortedAccount) => void): Promise<void> =>
    context.read(async (tx) => {
      for await (const accounts of readAccounts(tx, place, side, names)) {
        for (const account of accounts) take(account)
        done += accounts.length
        await context.progress({ step: 'reading', done, unit: 'accounts' })
      }
    })
  await read(sides.target, attributesOf(options.rules, 'target'), (account) =>
    matcher.addTarget(keys.targetRecord(account)),
  )
  for (const source of sides.sources) {
    await read(source, attributesOf(options.rules, 'source'), (account) => {
      known.set(account.id, { sortKey: account.sortKey, tenant: source.tenant })
      matcher.addSource(keys.sourceRecord(account))
    })
  }
  await context.progress({ step: 'matching' })
  await setImmediate()
  return decidedOf(matcher.decide(), known, options, bySource)
}

/** Not a closure of the above, which would keep all records. */
function decidedOf(
  matches: readonly Match[],
  known: ReadonlyMap<AccountId, Known>,
  options: Matching['options'],
  live: ReadonlyMap<AccountId, LivePair>,
): Decided {
  return {
    count: matches.length,
    rows: (from, to) => matches.slice(from, to).map((match) => rowOf(match, known.get(match.source), options, live)),
  }
}

function rowOf(
  match: Match,
  known: Known | undefined,
  { rules }: Matching['options'],
  live: ReadonlyMap<AccountId, LivePair>,
): ResultRow {
  const { source, outcome, reason, target, candidates, candidateCount } = match
  if (known === undefined) throw new Error('unreachable: only sources that were read are matched')
  const pair = live.get(source)
  const rule = match.rule === undefined ? undefined : rules[match.rule]
  const isPaired = outcome === 'paired'
  return {
    source,
    ...known,
    outcome,
    reason,
    rule: pair?.rule ?? (rule === undefined ? '' : ruleName(rule)),
    confidence: pair?.confidence ?? (rule === undefined ? undefined : confidenceOf(rule)),
    target,
    pair: isPaired ? (pair?.id ?? newId('pair')) : undefined,
    candidates,
    candidateCount,
  }
}

/** @returns how many pairs they propose */
async function store(
  context: OperationContext,
  place: Place,
  { id }: Matching,
  { count, rows }: Decided,
): Promise<number> {
  let proposed = 0
  await context.change((tx) => deleteResults(tx, place, id)) // of an attempt before
  for (let at = 0; at < count; at += ROWS_PER_INSERT) {
    const batch = rows(at, at + ROWS_PER_INSERT)
    await context.change((tx) => insertResults(tx, place, id, batch))
    proposed += batch.filter(({ outcome, reason }) => outcome === 'paired' && reason === undefined).length
    await context.progress({ step: 'writing', done: at, total: count, unit: 'accounts' })
  }
  await context.read((tx) => refreshStatistics(tx, count))
  return proposed
}

/** Not `context.change`, which would hold the job's row all the while, and so its lease from being renewed: the attempt is held at the end. */
function complete(
  context: OperationContext,
  place: Place,
  matching: Matching,
  { target, sources, expected }: Sides & { readonly expected: number },
  { db, now }: RunMatchingDeps,
): Promise<MatchingCounts> {
  const discoveries = Object.fromEntries([target, ...sources].map(({ tenant, discovery }) => [tenant, discovery]))
  return withScope(db, { organisation: place.organisation }, async (tx) => {
    await expectManyRows(tx, Infinity)
    await lockPairs(tx, place)
    if (matching.options.replaceProposals) await withdrawProposals(tx, place, matching, now())
    const proposed = await proposePairs(tx, place, matching, { target: target.tenant, expected, now: now() })
    context.checkCancelled()
    const counts = await completeMatching(tx, place, matching.id, { discoveries, proposed, now: now() })
    await requestFindings(tx, place)
    await publishEvent(tx, place, 'matching.completed', { matching: matching.id, ...counts.outcomes })
    await appendAudit(
      tx,
      place.organisation,
      {
        action: 'matching.completed',
        actor: matching.author,
        project: place.project,
        object: matching.id,
        result: 'done',
        payload: { ...counts.outcomes, proposed },
      },
      now(),
    )
    await holdAttempt(tx, context)
    return counts
  })
}
