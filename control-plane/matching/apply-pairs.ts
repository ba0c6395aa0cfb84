// Changes of many pairs at once: a mapping file, or the confirmation of all proposals that a filter takes. The same within a request and as the work of
// an operation, which can be stopped anywhere and run again; a dry run does all of it and takes it back. (migration-semantics.md §3.6, JQ-5)
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { demandRoom } from '../directory/collection-store.ts'
import { Problem } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { holdAttempt } from '../jobs/job-store.ts'
import { expectManyRows, refreshStatistics } from '../mapping/change-store.ts'
import type { Place } from '../mapping/mapping.ts'
import { MAX_TOLD } from '../mapping/table-change.ts'
import { OperationCancelled } from '../operations/operation-job.ts'
import type { OperationContext } from '../operations/operation-job.ts'
import { confirmMany } from './change-pairs.ts'
import type { By } from './change-pairs.ts'
import type { PairChangeBody } from './pair-change.ts'
import { sidesOf } from './pair-sides.ts'
import {
  collectRows,
  confirmRows,
  countNamed,
  deleteStagedPairs,
  excludeRows,
  findPairFaults,
  findStagedPairs,
  makeCollections,
  pairRows,
  resolveRows,
  setPairResult,
  unpairRows,
} from './pair-file-store.ts'
import type { PairFileFault, StagedPairs } from './pair-file-store.ts'
import { lockPairs } from './pair-store.ts'
import { syncPairs } from './sync-pairs.ts'

type OnProgress = ((pairs: number) => Promise<void>) | undefined

/** Carries out a staged file. @throws Problem 409 with every fault, 422, 503; then the transaction is of no more use */
export async function applyPairFile(
  tx: Tx,
  place: Place,
  { id, confirm }: Pick<StagedPairs, 'id' | 'confirm'>,
  by: By,
  onProgress?: OnProgress,
): Promise<PairChangeBody> {
  await lockPairs(tx, place)
  await expectManyRows(tx, Infinity)
  await resolveRows(tx, place, id, await sidesOf(tx, place))
  const { items, total } = await findPairFaults(tx, place, id, MAX_TOLD)
  if (total > 0)
    throw new Problem('pair-conflict', {
      faults: items.map(toFault),
      ...(total > items.length ? { more: total - items.length } : {}),
    })
  const unpaired = await unpairRows(tx, place, id, by)
  const confirmed = await confirmRows(tx, place, id, by)
  const paired = await pairRows(tx, place, id, by)
  const excluded = await excludeRows(tx, place, id, by)
  const collections = await makeCollections(tx, place, id, by)
  await demandRoom(tx, place, 0)
  const collected = await collectRows(tx, place, id, by.now)
  const mapping = await syncPairs(tx, place, [...unpaired, ...confirmed, ...paired], {
    ...by,
    confirm,
    demandsConfirm: unpaired.length > 0,
    onProgress,
  })
  const { revision, states } = mapping
  const counts = {
    paired: paired.length,
    confirmed: confirmed.length,
    unchanged: (await countNamed(tx, place, id)) - paired.length - confirmed.length,
    unpaired: unpaired.length,
    excluded,
    collections,
    collected,
  }
  await publishEvent(tx, place, 'pair.imported', { ...counts, revision })
  return { ...counts, revision, mapping: states }
}

const DETAILS: Readonly<Record<string, string>> = {
  'unknown-account': 'no object of that side has this id, user principal name or address',
  'several-accounts': 'several objects of that side have it: name one by its object id',
  'named-twice': 'in another row it is something else',
  'already-paired': 'it is in another pair: unpair that one first, in this file or before',
  incompatible: 'objects of these kinds can not be paired',
  'not-paired': 'there is no such pair',
  'has-content': 'content was copied for the pair: unpair it by itself',
}

function toFault({ line, column, side, code, existing, other }: PairFileFault): RequestFault {
  return {
    pointer: `/${side}`,
    code,
    detail: DETAILS[code] ?? code,
    line,
    column,
    ...(existing === null ? {} : { existing }),
    ...(other === null ? {} : { other: `line ${other}` }),
  }
}

/** Carries out a staged confirmation. */
async function applyConfirmation(
  tx: Tx,
  place: Place,
  { filter = {}, confirm }: StagedPairs,
  by: By,
  onProgress: OnProgress,
): Promise<PairChangeBody> {
  const { confirmed, mapping } = await confirmMany(tx, place, { filter, count: confirm }, by, onProgress)
  const none = { paired: 0, unchanged: 0, unpaired: 0, excluded: 0, collections: 0, collected: 0 }
  return { ...none, confirmed, revision: mapping.revision, mapping: mapping.states }
}

class TakenBack extends Error {
  override readonly name = 'TakenBack'
  readonly result: PairChangeBody

  constructor(result: PairChangeBody) {
    super('a dry run')
    this.result = result
  }
}

/** What `work` comes to, without a trace of it. @param run  a transaction that is rolled back when its work rejects */
export async function tryOut(
  run: (work: (tx: Tx) => Promise<PairChangeBody>) => Promise<PairChangeBody>,
  work: (tx: Tx) => Promise<PairChangeBody>,
): Promise<PairChangeBody> {
  try {
    return await run(async (tx) => {
      throw new TakenBack(await work(tx))
    })
  } catch (error) {
    if (error instanceof TakenBack) return error.result
    throw error
  }
}

export interface ApplyPairsDeps {
  readonly db: Db
  /** ms since the epoch */
  readonly now: () => number
}

/** The work of an operation whose subject is a staged change of pairs. @throws Problem, OperationCancelled, StaleAttempt; nothing has changed then */
export async function applyPairs(
  context: OperationContext,
  { db, now }: ApplyPairsDeps,
): Promise<Readonly<Record<string, unknown>>> {
  const { organisation, project, subject } = context
  if (project === undefined) throw new Error('unreachable: the operation is about pairs of a project')
  const place = { organisation, project }
  await context.progress({ step: 'checking' })
  await context.read((tx) => refreshStatistics(tx, Infinity))
  const staged = await context.read((tx) => findStagedPairs(tx, place, subject))
  if (staged === undefined) throw new Problem('not-found', { detail: 'What was uploaded is not kept any more.' })
  // An earlier attempt has done it, and was ended before it could say so.
  if (staged.result !== undefined) return staged.result
  const onProgress = (done: number): Promise<void> => context.progress({ step: 'writing', done })
  const by = { author: staged.author, now: now() }
  const apply = (tx: Tx): Promise<PairChangeBody> =>
    staged.kind === 'file'
      ? applyPairFile(tx, place, staged, by, onProgress)
      : applyConfirmation(tx, place, staged, by, onProgress)
  // Not `context.change`, which would hold the job's row all the while, and so its lease from being renewed: the attempt is held at the end.
  const run = (work: (tx: Tx) => Promise<PairChangeBody>): Promise<PairChangeBody> =>
    withScope(db, { organisation }, work)
  try {
    const result = staged.validatesOnly
      ? await tryOut(run, apply)
      : await run(async (tx) => {
          const applied = await apply(tx)
          context.checkCancelled()
          await setPairResult(tx, place, subject, { ...applied })
          await tell(tx, place, context, staged, applied, by)
          await holdAttempt(tx, context)
          return applied
        })
    await context.read((tx) => refreshStatistics(tx, Infinity))
    return { ...result }
  } catch (error) {
    if (error instanceof OperationCancelled || (error instanceof Problem && error.status < 500))
      await context.change((tx) => deleteStagedPairs(tx, place, subject))
    throw error
  }
}

async function tell(
  tx: Tx,
  { organisation, project }: Place,
  { operation }: OperationContext,
  { kind, author }: StagedPairs,
  result: PairChangeBody,
  { now }: By,
): Promise<void> {
  await appendAudit(
    tx,
    organisation,
    {
      action: kind === 'file' ? 'pair.imported' : 'pair.confirmed',
      actor: author,
      project,
      object: operation,
      result: 'done',
      payload: { ...result },
    },
    now,
  )
}
