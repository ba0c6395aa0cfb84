// What is kept for a time goes when the time is over, and not before: by a clock that the test owns. (PR-4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import type { JobContext } from '../../../control-plane/jobs/job.ts'
import { retentionSweepJob, sweepInBatches } from '../../../control-plane/retention/sweep.ts'
import type { Sweeper } from '../../../control-plane/retention/sweep.ts'
import { commonSweepers } from '../../../control-plane/retention/sweepers.ts'
import { testDatabase } from '../../harness/postgres.ts'
import type { TestDatabase } from '../../harness/postgres.ts'
import { settingOn } from '../jobs/queues.ts'

const DAY_MS = 86_400_000
const START = Date.now()

interface Setting {
  readonly database: TestDatabase
  readonly organisation: OrganisationId
  sweep(days: number, of?: OrganisationId, sweepers?: readonly Sweeper[]): Promise<void>
  count(table: string): Promise<number>
}

async function setUp(t: TestContext): Promise<Setting> {
  const database = await testDatabase(t)
  const organisation = await settingOn(() => {}, database, undefined).organisation()
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  return {
    database,
    organisation,
    async sweep(days, of = organisation, sweepers = commonSweepers) {
      const change: JobContext['change'] = (work) => withScope(database.db, { organisation: of }, work)
      const { signal } = new AbortController()
      const job = {
        id: 1,
        organisation: of,
        project: undefined,
        kind: 'retention.sweep',
        object: '',
        attempt: 1,
        fence: 1,
      } as const
      const handler = retentionSweepJob({ sweepers, log, now: () => START + days * DAY_MS })
      await handler.run({
        ...job,
        signal,
        change,
        read: change,
        once: () => Promise.resolve(true),
        advance: () => Promise.resolve(),
        finish: change,
      })
    },
    async count(table) {
      const { rows } = await sql<{ count: number }>`select count(*) as count from ${sql.table(table)}`.execute(
        database.owner.db,
      )
      return rows[0]?.count ?? 0
    },
  }
}

async function fill({ database: { owner }, organisation }: Setting): Promise<void> {
  const at = new Date(START)
  const statements = [
    sql`insert into event (organisation_id, type, body, created_at) values (${organisation}, 'a.b', '{}', ${at})`,
    sql`insert into idempotency_key (organisation_id, caller, key, request_hash, status, answer_sealed, created_at)
        values (${organisation}, 'c', 'k', 'h', 200, '', ${at})`,
    sql`insert into webhook (organisation_id, id, url, events, secret_sealed, created_by) values (${organisation}, 'whk_1', 'https://x.example/', '{*}', '', 'x')`,
    sql`insert into webhook_delivery (organisation_id, id, webhook_id, event_type, body, created_at) values (${organisation}, 'dlv_1', 'whk_1', 'a.b', '{}', ${at})`,
    sql`insert into notification (organisation_id, id, events, recipients_sealed, created_by) values (${organisation}, 'ntf_1', '{*}', '', 'x')`,
    sql`insert into notification_delivery (organisation_id, id, notification_id, event_type, body, created_at) values (${organisation}, 'dlv_1', 'ntf_1', 'a.b', '{}', ${at})`,
    sql`insert into operation (organisation_id, id, kind, permission, state, started_by, finished_at) values (${organisation}, 'opr_1', 'a.b', 'mapping.import', 'succeeded', 'x', ${at})`,
    sql`insert into operation (organisation_id, id, kind, permission, state, started_by, created_at) values (${organisation}, 'opr_2', 'a.b', 'mapping.import', 'running', 'x', ${at})`,
    sql`insert into job (organisation_id, id, kind, state, failed_reason, failed_at) values (${organisation}, 1, 'keys.rewrap', 'failed', 'x', ${at})`,
    sql`insert into job (organisation_id, id, kind, created_at) values (${organisation}, 2, 'keys.rewrap', ${at})`,
  ]
  for (const statement of statements) await statement.execute(owner.db)
}

const ages: [table: string, days: number, left: number, why: string][] = [
  ['event', 1, 0, 'live events are kept for 24 h'],
  ['idempotency_key', 1, 0, 'answers for repeated requests for 24 h'],
  ['webhook_delivery', 30, 0, 'deliveries for 30 days'],
  ['notification_delivery', 30, 0, 'deliveries for 30 days'],
  ['operation', 30, 1, 'finished operations for 30 days, open ones as long as they last'],
  ['job', 30, 1, 'failed jobs for 30 days, others as long as they last'],
]
for (const [table, days, left, why] of ages) {
  test(`PR-4: ${table}: ${why}`, async (t) => {
    const it = await setUp(t)
    await fill(it)
    const before = await it.count(table)
    await it.sweep(days - 0.01)
    assert.equal(await it.count(table), before, 'not before')
    await it.sweep(days + 0.01)
    assert.equal(await it.count(table), left)
  })
}

test('a sweep is told once in the audit trail with its counts; repeated, it finds nothing and tells nothing; others are left alone', async (t) => {
  const it = await setUp(t)
  await fill(it)
  const other = await settingOn(() => {}, it.database, undefined).organisation()
  await fill({ ...it, organisation: other }).catch(() => {}) // ids of jobs are unique: what comes before them is enough
  const theirs = await it.count('event')
  await it.sweep(31)
  await it.sweep(31)
  const { rows } = await sql<{ action: string; payload: string }>`
    select action, payload from audit_event where organisation_id = ${it.organisation}`.execute(it.database.owner.db)
  assert.equal(rows.length, 1)
  const { salt, ...counts } = JSON.parse(rows[0]?.payload ?? '{}')
  assert.ok(salt)
  assert.deepEqual(counts, {
    events: 1,
    idempotencyKeys: 1,
    webhookDeliveries: 1,
    notificationDeliveries: 1,
    operations: 1,
    failedJobs: 1,
  })
  assert.equal(await it.count('event'), theirs - 1)
})

test("AU-4: audit payloads go after the organisation's own time, headers stay", async (t) => {
  const it = await setUp(t)
  await fill(it)
  await it.sweep(2) // leaves an audit event of now
  const payloads = () =>
    sql<{ kept: number; headers: number }>`select count(payload) as kept, count(header) as headers from audit_event
        where organisation_id = ${it.organisation} and action = 'retention.swept'`.execute(it.database.owner.db)
  await sql`update organisation set settings = '{"retention": {"auditDays": 90}}'`.execute(it.database.owner.db)
  await it.sweep(91)
  assert.deepEqual((await payloads()).rows[0], { kept: 2, headers: 2 }, 'written two days and 91 days after the start')
  await it.sweep(93)
  assert.deepEqual((await payloads()).rows[0], { kept: 1, headers: 2 })
})

test('sessions that have ended are swept by the sweep of the installation only', async (t) => {
  const it = await setUp(t)
  const ended = new Date(START - DAY_MS)
  await sql`
    insert into session (id_hash, principal, display_name, csrf_hash, authenticated_at, checked_at, last_used_at, expires_at)
    values ('x', 'p', 'n', 'c', ${ended}, ${ended}, ${ended}, ${ended})`.execute(it.database.owner.db)
  await it.sweep(0)
  assert.equal(await it.count('session'), 1)
  await it.sweep(0, INSTALLATION)
  assert.equal(await it.count('session'), 0)
})

test('a sweeper that fails does not keep the others from their turn, and the job is tried again', async (t) => {
  const it = await setUp(t)
  await fill(it)
  const broken: Sweeper = { name: 'broken', of: 'organisations', sweep: () => Promise.reject(new Error('x')) }
  await assert.rejects(it.sweep(2, it.organisation, [broken, ...commonSweepers]), AggregateError)
  assert.equal(await it.count('event'), 0)
})

test('a large sweep goes by batches and stops between them when it has to', async () => {
  const controller = new AbortController()
  const change = ((work: (tx: never) => unknown) => Promise.resolve(work(undefined as never))) as JobContext['change']
  const sizes = [5_000, 5_000, 12]
  const whole = await sweepInBatches({ change, signal: controller.signal }, () => Promise.resolve(sizes.shift() ?? 0))
  assert.equal(whole, 10_012)
  await assert.rejects(
    sweepInBatches({ change, signal: controller.signal }, (_tx, limit) => {
      controller.abort(new Error('stop'))
      return Promise.resolve(limit)
    }),
    /stop/,
  )
})
