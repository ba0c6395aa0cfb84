// Operations: begun with a request, done by a job, watched and cancelled over HTTP. (control-plane.md §1, JQ-2, JQ-5, JQ-6)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { emptyMetrics } from '../../../common/metrics.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import { StreamAccess } from '../../../control-plane/events/stream-access.ts'
import { Problem } from '../../../control-plane/http/problem.ts'
import type { OperationId, OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { migrateQueue, openQueue } from '../../../control-plane/jobs/queue-backend.ts'
import { startJobs } from '../../../control-plane/jobs/start-jobs.ts'
import { CancelWatch } from '../../../control-plane/operations/cancel-watch.ts'
import { operationJob } from '../../../control-plane/operations/operation-job.ts'
import type { OperationWork } from '../../../control-plane/operations/operation-job.ts'
import { operationRoutes } from '../../../control-plane/operations/operation-routes.ts'
import { createOperation } from '../../../control-plane/operations/operation-store.ts'
import { operationReconciler } from '../../../control-plane/operations/reconcile-operations.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'
import { readEvents } from '../../harness/event-reader.ts'
import { eventually } from '../../harness/wait.ts'
import { allHandlers, TIMING } from '../jobs/queues.ts'

interface Setting extends TestApi {
  begin(organisation: OrganisationId, project?: ProjectId, isCancellable?: boolean): Promise<OperationId>
  read(key: string, id: OperationId): Promise<any> // oxlint-disable-line typescript/no-explicit-any -- tests look into it
  reached(key: string, id: OperationId, state: string): Promise<any> // oxlint-disable-line typescript/no-explicit-any -- as above
}

/** @param work  what the job `mapping.import` does; undefined: no worker */
async function operationApi(t: TestContext, work?: OperationWork): Promise<Setting> {
  const closing: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const close of closing.toReversed()) await close()
  })
  const api = await testApi(t, async ({ database, log }) => {
    const wakeUps = new WakeUps(database.connection, log)
    await wakeUps.start()
    closing.push(() => wakeUps.close())
    if (work !== undefined) {
      await migrateQueue(database.ownerConnection)
      const queue = openQueue({ log, connection: database.connection })
      const watch = new CancelWatch({ db: database.db, wakeUps, log })
      const monotonicMs = () => performance.now()
      const jobs = startJobs({
        db: database.db,
        queue,
        wakeUps,
        log,
        metrics: emptyMetrics(),
        handlers: allHandlers({ 'mapping.import': operationJob(work, { watch, monotonicMs }) }),
        periodic: [],
        reconcilers: [operationReconciler({}, 200)],
        random: () => 0.5,
        monotonicMs,
        timing: TIMING,
      })
      closing.push(
        () => queue.close(),
        () => watch.close(),
        () => jobs.stop(2_000),
      )
    }
    const streamAccess = new StreamAccess({ db: database.db, now: Date.now, checkEveryMs: 200 })
    return operationRoutes({ db: database.db, wakeUps, streamAccess })
  })
  const read: Setting['read'] = async (key, id) => {
    const { status, body } = await api.request('GET', `/operations/${id}`, undefined, { key })
    assert.equal(status, 200)
    return body
  }
  return {
    ...api,
    read,
    begin: (organisation, project, isCancellable = true) =>
      withScope(api.database.db, { organisation }, (tx) =>
        createOperation(
          tx,
          { organisation, project },
          {
            kind: 'mapping.import',
            permission: 'mapping.import',
            object: 'map_1',
            total: 10,
            unit: 'rows',
            isCancellable,
            startedBy: 'person:test',
          },
        ),
      ),
    reached: (key, id, state) =>
      eventually(`it is ${state}`, async () => {
        const operation = await read(key, id)
        return operation.state === state ? operation : undefined
      }),
  }
}

test('an operation is done by its job, says how far it is, and ends with its result', async (t) => {
  const mayGoOn = Promise.withResolvers<void>()
  const it = await operationApi(t, async ({ progress, subject }) => {
    await progress({ step: 'writing', done: 4 })
    await mayGoOn.promise
    return { subject, mapping: '/api/v1/projects/p/mapping-revisions/2' }
  })
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const id = await it.begin(organisation, project)
  const half = await eventually('it is half done', async () => {
    const operation = await it.read(key, id)
    return operation.progress.step === 'writing' ? operation : undefined
  })
  assert.deepEqual(half.progress, { done: 4, total: 10, unit: 'rows', step: 'writing' })
  assert.deepEqual([half.state, half.project, half.object, half.attempts], ['running', project, 'map_1', 1])
  mayGoOn.resolve()
  const done = await it.reached(key, id, 'succeeded')
  assert.deepEqual(done.progress, { done: 10, total: 10, unit: 'rows' })
  assert.deepEqual(done.result, { subject: 'map_1', mapping: '/api/v1/projects/p/mapping-revisions/2' })
  assert.equal(done.isCancellable, false)
  const late = await it.request('POST', `/operations/${id}/cancel`, undefined, { key })
  assert.deepEqual([late.status, late.body.type], [409, '/problems/operation-finished'])
})

test('JQ-6: cancelling takes effect within 10 s at a step, be the wake-up lost or not', async (t) => {
  const steps: number[] = []
  const it = await operationApi(t, async ({ progress }) => {
    for (let step = 0; ; step++) {
      await progress({ done: step })
      steps.push(step)
      await sleep(20)
    }
  })
  const { id: organisation, key } = await it.organisation()
  const id = await it.begin(organisation)
  await eventually('it runs', () => (steps.length > 5 ? true : undefined))
  const started = performance.now()
  const reply = await it.request('POST', `/operations/${id}/cancel`, undefined, { key })
  assert.deepEqual([reply.status, reply.body.state], [202, 'cancelling'])
  await it.reached(key, id, 'cancelled')
  assert.ok(performance.now() - started < 10_000)
  const stoppedAt = steps.length
  await sleep(100)
  assert.equal(steps.length, stoppedAt, 'nothing goes on')

  // Behind the back of everybody, without a wake-up.
  const silent = await it.begin(organisation)
  await it.reached(key, silent, 'running')
  await sql`update operation set state = 'cancelling' where id = ${silent}`.execute(it.database.owner.db)
  const from = performance.now()
  await it.reached(key, silent, 'cancelled')
  assert.ok(performance.now() - from < 10_000)
})

test('JQ-6: an operation that waits for its next attempt is cancelled at once as well', async (t) => {
  const it = await operationApi(t, () => Promise.reject(new Error('the other side is broken')))
  const { id: organisation, key } = await it.organisation()
  const id = await it.begin(organisation)
  await eventually('the first attempt has failed', async () => {
    const { rows } = await sql`select from job where state = 'queued' and attempts = 1 and run_after > now()`.execute(
      it.database.owner.db,
    )
    return rows[0]
  })
  await it.request('POST', `/operations/${id}/cancel`, undefined, { key })
  const started = performance.now()
  await it.reached(key, id, 'cancelled')
  assert.ok(performance.now() - started < 4_000, 'the wait for the next attempt is 5 s')
})

test('a Problem ends the operation with it, at the first attempt; what is given up says so; neither goes on for ever', async (t) => {
  let attempts = 0
  const it = await operationApi(t, ({ attempt }) => {
    attempts = attempt
    return Promise.reject(
      attempts === 1 && mood === 'problem' ? new Problem('conflict', { detail: 'row 7' }) : new TypeError('secret'),
    )
  })
  let mood = 'problem'
  const { id: organisation, key } = await it.organisation()
  const conflicting = await it.begin(organisation)
  const failed = await it.reached(key, conflicting, 'failed')
  assert.deepEqual(
    [failed.problem.type, failed.problem.status, failed.problem.detail, failed.attempts],
    ['/problems/conflict', 409, 'row 7', 1],
  )
  mood = 'broken'
  const broken = await it.begin(organisation)
  const givenUp = await eventually('it is given up', async () => {
    await sql`update job set run_after = now() where state = 'queued'`.execute(it.database.owner.db)
    const operation = await it.read(key, broken)
    return operation.state === 'failed' ? operation : undefined
  })
  assert.deepEqual([givenUp.problem.type, givenUp.problem.reason], ['/problems/operation-given-up', 'TypeError'])
  assert.equal(attempts, 5)
})

test('JQ-1: an open operation that no job is about gets its job again', async (t) => {
  const it = await operationApi(t, () => Promise.resolve({}))
  const { id: organisation, key } = await it.organisation()
  await sql`
    insert into operation (organisation_id, id, kind, permission, state, started_by, updated_at)
    values (${organisation}, 'opr_000000000000000000000000', 'mapping.import', 'mapping.import', 'running', 'x', now() - interval '1 hour')`.execute(
    it.database.owner.db,
  )
  await it.reached(key, 'opr_000000000000000000000000' as OperationId, 'succeeded')
})

test('AZ-4: an operation is read and cancelled with the permission that started it, and does not exist without', async (t) => {
  const it = await operationApi(t)
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const other = await it.project(organisation, 'Other')
  const theirs = await it.organisation('Fabrikam')
  const id = await it.begin(organisation, project)
  const readers: [key: string, status: number, why: string][] = [
    [key, 200, 'an administrator'],
    [(await it.member(organisation, 'migration-administrator', project)).key, 200, 'who may import in that project'],
    [(await it.member(organisation, 'migration-administrator', other)).key, 404, 'who may import in another one'],
    [(await it.member(organisation, 'help-desk')).key, 404, 'who may only read mappings'],
    [theirs.key, 404, 'an administrator of another organisation'],
  ]
  for (const [reader, status, why] of readers) {
    assert.equal((await it.request('GET', `/operations/${id}`, undefined, { key: reader })).status, status, why)
    const events = await readEvents(`${it.url}/api/v1/operations/${id}/events`, { Authorization: `Bearer ${reader}` })
    assert.equal(events.status, status, why)
    events.close()
    const cancelled = await it.request('POST', `/operations/${id}/cancel`, undefined, { key: reader })
    assert.equal(cancelled.status, status === 200 ? 202 : 404, why)
  }
  assert.equal((await it.request('GET', `/operations/${id}`)).status, 401)
  for (const nonsense of ['opr_x', 'opr_111111111111111111111111', 'prj_111111111111111111111111'])
    assert.equal((await it.request('GET', `/operations/${nonsense}`, undefined, { key })).status, 404)
})

test('AU-1: cancelling is told once in the audit trail of the organisation; what can not be cancelled is refused', async (t) => {
  const it = await operationApi(t)
  const { id: organisation, key } = await it.organisation()
  const id = await it.begin(organisation)
  const headers = { 'Idempotency-Key': 'k' }
  for (let n = 0; n < 3; n++) await it.request('POST', `/operations/${id}/cancel`, undefined, { key, headers })
  const fixed = await it.begin(organisation, undefined, false)
  const refused = await it.request('POST', `/operations/${fixed}/cancel`, undefined, { key })
  assert.deepEqual([refused.status, refused.body.type], [409, '/problems/operation-not-cancellable'])
  const { rows } = await sql`select action, object from audit_event where organisation_id = ${organisation}`.execute(
    it.database.owner.db,
  )
  assert.deepEqual(rows, [{ action: 'operation.cancelled', object: id }])
})

test('lists come by pages, the newest first, filtered by state and kind, and show no more than one may', async (t) => {
  const it = await operationApi(t)
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const ids: OperationId[] = []
  for (let n = 0; n < 7; n++) ids.unshift(await it.begin(organisation, n % 2 === 0 ? project : undefined))
  await it.request('POST', `/operations/${ids[0]}/cancel`, undefined, { key })
  const all: string[] = []
  for (let url: string | undefined = `/organizations/${organisation}/operations?limit=3`; url !== undefined;) {
    const { body } = await it.request('GET', url, undefined, { key })
    all.push(...body.items.map(({ id }: { id: string }) => id))
    url = body.next?.replace('/api/v1', '')
  }
  assert.deepEqual(all, ids)
  const list = async (path: string, reader = key) =>
    (await it.request('GET', path, undefined, { key: reader })).body.items.map(({ id }: { id: string }) => id)
  assert.deepEqual(await list(`/organizations/${organisation}/operations?state=cancelling`), [ids[0]])
  assert.equal((await list(`/organizations/${organisation}/operations?state=open`)).length, 7)
  assert.deepEqual(await list(`/organizations/${organisation}/operations?kind=project.delete`), [])
  assert.deepEqual(await list(`/projects/${project}/operations`), [ids[0], ids[2], ids[4], ids[6]])
  const helpDesk = await it.member(organisation, 'help-desk')
  assert.deepEqual(await list(`/organizations/${organisation}/operations`, helpDesk.key), [])
})

test('who watches an operation sees it change and end; opened again after the end the stream is 204', async (t) => {
  const mayGoOn = Promise.withResolvers<void>()
  const it = await operationApi(t, async ({ progress }) => {
    await mayGoOn.promise
    await progress({ step: 'last', done: 9 })
    return {}
  })
  const { id: organisation, key } = await it.organisation()
  const id = await it.begin(organisation)
  const url = `${it.url}/api/v1/operations/${id}/events`
  const reader = await readEvents(url, { Authorization: `Bearer ${key}` })
  const first = await reader.next()
  assert.equal(first?.type, 'operation')
  assert.equal(first?.data.id, id)
  mayGoOn.resolve()
  let last = first
  for (let event = await reader.next(); event !== undefined; event = await reader.next()) {
    assert.ok(Number(event.id) > Number(last?.id))
    last = event
  }
  assert.equal(last?.data.state, 'succeeded')
  const again = await fetch(url, { headers: { Authorization: `Bearer ${key}`, 'Last-Event-ID': last?.id ?? '' } })
  assert.equal(again.status, 204)
})
