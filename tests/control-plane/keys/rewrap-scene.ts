// What tests of rotations begin with: tables of sealed values, and a worker that runs jobs when the test says so.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import type { OperationId, OrganisationId } from '../../../control-plane/ids.ts'
import { returnTurns, takeOutbox, takeTurns } from '../../../control-plane/jobs/dispatch-store.ts'
import { queueId } from '../../../control-plane/jobs/job.ts'
import { JobRunner } from '../../../control-plane/jobs/run.ts'
import { homeOf, projectOf } from '../../../control-plane/keys/key-owner.ts'
import type { KeyOwner } from '../../../control-plane/keys/key-owner.ts'
import type { KeyProvider } from '../../../control-plane/keys/key-provider.ts'
import { openKeyRing } from '../../../control-plane/keys/project-keys.ts'
import type { KeyDeps } from '../../../control-plane/keys/project-keys.ts'
import { listProjectKeys } from '../../../control-plane/keys/project-key-store.ts'
import type { ProjectKey } from '../../../control-plane/keys/project-key-store.ts'
import { rewrapJob, rewrapReconciler } from '../../../control-plane/keys/rewrap-job.ts'
import { aboutKey, aboutNamedKey } from '../../../control-plane/keys/rotate-as-asked.ts'
import { placeInRow } from '../../../control-plane/keys/sealed-columns.ts'
import type { SealedColumn } from '../../../control-plane/keys/sealed-columns.ts'
import { sealedBy } from '../../../control-plane/keys/sealed-value.ts'
import { CancelWatch } from '../../../control-plane/operations/cancel-watch.ts'
import type { Operation } from '../../../control-plane/operations/operation.ts'
import { createOperation, findOperation } from '../../../control-plane/operations/operation-store.ts'
import { allHandlers } from '../jobs/queues.ts'
import { keyScene } from './key-scene.ts'
import type { KeyScene } from './key-scene.ts'

export const NOTES: SealedColumn = { table: 'note', column: 'text_sealed', key: ['id'], sealedBy: 'project' }
export const LETTERS: SealedColumn = { table: 'letter', column: 'text_sealed', key: ['id'], sealedBy: 'installation' }
export const DAY_MS = 86_400_000

export interface RewrapScene extends KeyScene {
  /** Lines of the worker's log. */
  readonly told: string[]
  /** A worker; `keys` as of a process of its own. */
  worker(keys?: KeyDeps, columns?: readonly SealedColumn[]): JobRunner
  /** All jobs whose turn it is, each once, until there are no more. @returns how many */
  work(runner?: JobRunner): Promise<number>
  reconcile(): Promise<void>
  write(owner: KeyOwner, ids: readonly string[], deps?: KeyDeps): Promise<void>
  /** Every value by its id: which key sealed it, and what it says to whoever opens it now. */
  values(
    owner: KeyOwner,
  ): Promise<Map<string, { readonly keyId: string | undefined; readonly text: string; readonly sealed: Buffer }>>
  keysOf(owner: KeyOwner): Promise<ProjectKey[]>
  ask(owner: KeyOwner, level?: 'data' | 'root'): Promise<OperationId>
  operation(owner: KeyOwner, id: OperationId): Promise<Operation>
  /** Actions in the audit trail of an organisation. */
  actions(organisation: OrganisationId): Promise<string[]>
}

export const textOf = (id: string): string => `text of ${id}`
const columnOf = (owner: KeyOwner): SealedColumn => (owner.kind === 'project' ? NOTES : LETTERS)

export async function rewrapScene(t: TestContext, provider?: KeyProvider): Promise<RewrapScene> {
  const closing: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const close of closing.toReversed()) await close()
  })
  const scene = await keyScene(t, provider)
  const { database, clock, deps: keys } = scene
  const { db } = database
  for (const statement of [
    `create table note (organisation_id text not null, project_id text not null, id text not null, text_sealed bytea, primary key (organisation_id, project_id, id))`,
    `select protect('note')`,
    `create table letter (organisation_id text not null, id text not null, text_sealed bytea, primary key (organisation_id, id))`,
    `select protect('letter')`,
  ])
    await sql.raw(statement).execute(database.owner.db)
  const told: string[] = []
  const log = createLog({ write: (line) => void told.push(line), level: 'debug', now: () => clock.now.getTime() })
  const wakeUps = new WakeUps(database.connection, log)
  await wakeUps.start()
  closing.push(() => wakeUps.close())
  const watch = new CancelWatch({ db, wakeUps, log })
  closing.push(() => watch.close())
  // Whoever looks at this clock finds a second gone, so that progress is written at every step.
  let ticks = 0
  const monotonicMs = () => (ticks += 1_000)

  const worker: RewrapScene['worker'] = (own = keys, columns = [NOTES, LETTERS]) =>
    new JobRunner({
      db,
      log,
      metrics: emptyMetrics(),
      handlers: allHandlers({
        'keys.rewrap': rewrapJob({ keys: own, columns, log, operations: { watch, monotonicMs } }),
      }),
      leaseMs: 60_000,
      random: () => 0.5,
      monotonicMs,
    })
  const usual = worker()

  return {
    ...scene,
    told,
    worker,
    async work(runner = usual) {
      const begun = new Set<number>()
      for (;;) {
        await takeOutbox(db)
        const turns = await takeTurns(db, 100)
        const fresh = turns.filter(({ id }) => !begun.has(id))
        await returnTurns(
          db,
          turns.filter(({ id }) => begun.has(id)),
        )
        if (fresh.length === 0) return begun.size
        for (const turn of fresh) {
          begun.add(turn.id)
          await runner.run(queueId(turn), turn.kind)
        }
      }
    },
    reconcile: () => rewrapReconciler({ now: () => clock.now }).reconcile(db),
    async write(owner, ids, deps = keys) {
      const ring = await openKeyRing(owner, deps)
      await withScope(db, { organisation: owner.organisation }, (tx) =>
        insertValues(tx, owner, ids, (id) => ring.seal(placeInRow(columnOf(owner), [id]), Buffer.from(textOf(id)))),
      )
    },
    async values(owner) {
      const ring = await openKeyRing(owner, keys)
      const rows = await withScope(db, { organisation: owner.organisation }, (tx) =>
        rowsOf<{ id: string; text_sealed: Buffer }>(
          tx,
          owner.kind === 'project'
            ? sql`select id, text_sealed from note where project_id = ${owner.project}`
            : sql`select id, text_sealed from letter`,
        ),
      )
      return new Map(
        rows.map(({ id, text_sealed: sealed }) => {
          const text = ring.open(placeInRow(columnOf(owner), [id]), sealed).toString()
          return [id, { keyId: sealedBy(sealed), text, sealed }]
        }),
      )
    },
    keysOf: (owner) => withScope(db, { organisation: homeOf(owner) }, (tx) => listProjectKeys(tx, owner)),
    async ask(owner, level = 'data') {
      const place = { organisation: homeOf(owner), project: projectOf(owner) ?? undefined }
      return withScope(db, { organisation: place.organisation }, async (tx) => {
        const current = (await listProjectKeys(tx, owner)).find(({ state }) => state === 'current')
        const object = level === 'root' ? aboutNamedKey(owner) : aboutKey(current?.id)
        return createOperation(tx, place, {
          kind: 'keys.rewrap',
          permission: 'secret.manage',
          object,
          isCancellable: false,
          startedBy: 'person:test',
        })
      })
    },
    async operation(owner, id) {
      const organisation = homeOf(owner)
      const found = await withScope(db, { organisation }, (tx) => findOperation(tx, organisation, id))
      assert.ok(found !== undefined)
      return found
    },
    async actions(organisation) {
      const rows = await withScope(db, { organisation }, (tx) =>
        rowsOf<{ action: string }>(tx, sql`select action from audit_event order by sequence`),
      )
      return rows.map(({ action }) => action)
    },
  }
}

export async function insertValues(
  tx: Tx,
  owner: KeyOwner,
  ids: readonly string[],
  sealedOf: (id: string) => Buffer,
): Promise<void> {
  for (const id of ids) {
    const sealed = sealedOf(id)
    await (
      owner.kind === 'project'
        ? sql`insert into note values (${owner.organisation}, ${owner.project}, ${id}, ${sealed})`
        : sql`insert into letter values (${owner.organisation}, ${id}, ${sealed})`
    ).execute(tx)
  }
}

export const numbered = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, n) => `n${String(from + n).padStart(4, '0')}`)
