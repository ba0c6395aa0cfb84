// Work that comes by the clock, and the rights of those who do it. (JQ-1, TI-2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { openDatabase, sqlState } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import { migrateQueue } from '../../../control-plane/jobs/queue-backend.ts'
import { reconcileAll } from '../../../control-plane/jobs/reconcile-all.ts'
import { requestDue } from '../../../control-plane/jobs/schedule-store.ts'
import { testDatabase } from '../../harness/postgres.ts'
import { settingOn } from './queues.ts'

const hourly = { kind: 'audit.checkpoint', everyMs: 3_600_000, of: 'organisations' } as const

test('what comes by the clock is asked for once a period, however many look, in every organisation', async (t) => {
  const database = await testDatabase(t)
  const it = settingOn(() => {}, database, undefined)
  const ours = await it.organisation()
  const asked = await Promise.all(Array.from({ length: 5 }, () => requestDue(database.db, hourly)))
  assert.deepEqual(
    asked.toSorted((a, b) => a - b),
    [0, 0, 0, 0, 2],
  )
  const { rows } = await sql<{ organisation_id: string }>`select organisation_id from outbox order by 1`.execute(
    database.owner.db,
  )
  assert.deepEqual(
    rows.map(({ organisation_id }) => organisation_id),
    [INSTALLATION, ours].toSorted(),
  )
  await sql`update job_schedule set requested_at = now() - interval '2 hours'`.execute(database.owner.db)
  assert.equal(await requestDue(database.db, hourly), 0, 'what waits still is not asked for again')
  await sql`delete from outbox`.execute(database.owner.db)
  await sql`update job_schedule set requested_at = now() - interval '2 hours'`.execute(database.owner.db)
  assert.equal(await requestDue(database.db, { ...hourly, of: 'installation' }), 1)
})

test('a reconciler that fails is told and does not keep the others from their turn', async (t) => {
  const database = await testDatabase(t)
  const lines: string[] = []
  const turns: string[] = []
  await reconcileAll({
    db: database.db,
    log: createLog({ write: (line) => void lines.push(line), level: 'debug', now: Date.now }),
    periodic: [],
    reconcilers: [
      { name: 'broken', reconcile: () => Promise.reject(new Error('x')) },
      { name: 'sound', reconcile: () => Promise.resolve(void turns.push('sound')) },
    ],
  })
  assert.deepEqual(turns, ['sound'])
  assert.ok(lines.some((line) => line.includes('reconcile.failed') && line.includes('broken')))
})

test('TI-2: migrating the queue twice changes nothing, and the service role may change rows of it but no schema', async (t) => {
  const database = await testDatabase(t)
  await migrateQueue(database.ownerConnection)
  await migrateQueue(database.ownerConnection)
  const service = openDatabase({ connection: database.connection, maxConnections: 1, onIdleError: () => {} })
  t.after(() => service.close())
  await sql`select count(*) from bullmq.job`.execute(service.db)
  const refused = [
    sql`create table bullmq.mine (x int)`,
    sql`drop table bullmq.job`,
    sql`alter table bullmq.job add column mine int`,
    sql`create sequence bullmq.mine`,
    sql`update bullmq.migration set version = 1`,
    sql`create table public.mine (x int)`,
  ]
  for (const statement of refused)
    await assert.rejects(statement.execute(service.db), (error) => sqlState(error) === '42501')
})
