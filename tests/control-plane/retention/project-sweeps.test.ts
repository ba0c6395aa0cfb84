// What relays and tables leave behind goes by the clock, but for what something that stays still refers to. (PR-4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import type { JobContext } from '../../../control-plane/jobs/job.ts'
import { sweepHistory } from '../../../control-plane/mapping/revision-store.ts'
import { retentionSweepJob } from '../../../control-plane/retention/sweep.ts'
import { commonSweepers } from '../../../control-plane/retention/sweepers.ts'
import { testDatabase } from '../../harness/postgres.ts'
import type { TestDatabase } from '../../harness/postgres.ts'
import { settingOn } from '../jobs/queues.ts'

const DAY_MS = 86_400_000
const START = Date.now()
const daysOn = (days: number) => new Date(START + days * DAY_MS)

interface Setting {
  readonly database: TestDatabase
  readonly organisation: OrganisationId
  readonly project: ProjectId
  run(...statements: RawBuilder<unknown>[]): Promise<void>
  /** The sweep of one organisation, so many days after the start. */
  sweep(days: number, of?: OrganisationId): Promise<void>
  /** One column of all rows of a table, sorted. */
  left(table: string, column: string): Promise<unknown[]>
  told(): Promise<Record<string, unknown>[]>
}

async function setUp(t: TestContext): Promise<Setting> {
  const database = await testDatabase(t)
  const { db } = database.owner
  const organisation = await settingOn(() => {}, database, undefined).organisation()
  const project = newId('project')
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  const run: Setting['run'] = async (...statements) => {
    for (const statement of statements) await statement.execute(db)
  }
  await run(
    sql`insert into project (organisation_id, id, name, created_by) values (${organisation}, ${project}, 'Merger', 'test')`,
  )
  return {
    database,
    organisation,
    project,
    run,
    async sweep(days, of = organisation) {
      const change: JobContext['change'] = (work) => withScope(database.db, { organisation: of }, work)
      const { signal } = new AbortController()
      const handler = retentionSweepJob({ sweepers: commonSweepers, log, now: () => START + days * DAY_MS })
      const job = { id: 1, organisation: of, project: undefined, kind: 'retention.sweep', object: '' } as const
      const once = () => Promise.resolve(true)
      await handler.run({
        ...job,
        attempt: 1,
        fence: 1,
        signal,
        change,
        read: change,
        once,
        advance: () => Promise.resolve(),
        finish: change,
      })
    },
    async left(table, column) {
      const { rows } = await sql<{ value: unknown }>`
        select ${sql.ref(column)} as value from ${sql.table(table)} order by 1`.execute(db)
      return rows.map(({ value }) => value)
    },
    async told() {
      const { rows } = await sql<{ payload: string }>`
        select payload from audit_event where organisation_id = ${organisation} order by sequence`.execute(db)
      return rows.map(({ payload }) => {
        const { salt, ...counts } = JSON.parse(payload) as Record<string, unknown>
        assert.ok(salt)
        return counts
      })
    },
  }
}

const relay = (it: Setting, id: string, state: string, settings: number | null) =>
  sql`insert into relay (organisation_id, project_id, id, name, state, signing_key, sealing_key, software_version, enrolled_at,
                         state_changed_at, pinned_key, seen_at, settings_version)
      values (${it.organisation}, ${it.project}, ${id}, 'relay', ${state}, 'k', 'k', '1', now(), now(), 'k', now(), ${settings})`

test('codes of enrolment stay for 30 days after they open nothing any more, used or not; relays stay', async (t) => {
  const it = await setUp(t)
  const code = (id: string, used: boolean) =>
    sql`insert into relay_enrolment (organisation_id, project_id, id, code_hash, created_at, created_by, expires_at, used_at, relay_id)
        values (${it.organisation}, ${it.project}, ${id}, ${id}, ${new Date(START - 900_000)}, 'x', ${daysOn(0)},
                ${used ? daysOn(0) : null}, ${used ? 'rly_1' : null})`
  await it.run(relay(it, 'rly_1', 'active', 1), code('enr_used', true), code('enr_unused', false))
  await it.sweep(29.9)
  assert.deepEqual(await it.left('relay_enrolment', 'id'), ['enr_unused', 'enr_used'])
  await it.sweep(30.1)
  assert.deepEqual(await it.left('relay_enrolment', 'id'), [])
  assert.deepEqual(await it.left('relay', 'id'), ['rly_1'])
  await it.sweep(30.2)
  assert.deepEqual(await it.told(), [{ relayEnrolments: 2 }], 'told once')
})

test('settings that were replaced stay for 400 days from then on, and as long as a relay works by them', async (t) => {
  const it = await setUp(t)
  const document = (version: number, day: number) =>
    sql`insert into relay_settings (organisation_id, project_id, version, document, created_at, created_by)
        values (${it.organisation}, ${it.project}, ${version}, '{}', ${daysOn(day)}, 'x')`
  // Versions between two documents are of keys and tenants: a relay at 4 works by document 3.
  await it.run(
    document(1, 0),
    document(3, 10),
    document(6, 20),
    document(7, 30),
    document(9, 40),
    relay(it, 'rly_live', 'draining', 4),
    relay(it, 'rly_gone', 'revoked', 6),
    relay(it, 'rly_new', 'active', null),
  )
  const versions = () => it.left('relay_settings', 'version')
  await it.sweep(409.9)
  assert.deepEqual(await versions(), [1, 3, 6, 7, 9], 'the first was in force until day 10')
  await it.sweep(410.1)
  assert.deepEqual(await versions(), [3, 6, 7, 9])
  await it.sweep(5_000)
  assert.deepEqual(await versions(), [3, 9], 'the one in force, and that of the relay')
  await it.run(sql`update relay set settings_version = 9 where id = 'rly_live'`)
  await it.sweep(5_001)
  assert.deepEqual(await versions(), [9])
})

test('SP-11: nonces go at their end', async (t) => {
  const it = await setUp(t)
  const nonce = (id: string, day: number) =>
    sql`insert into relay_nonce (organisation_id, project_id, id, nonce_sealed, created_at, expires_at)
        values (${it.organisation}, ${it.project}, ${id}, '', ${daysOn(0)}, ${daysOn(day)})`
  await it.run(nonce('non_1', 1), nonce('non_2', 2))
  await it.sweep(0.9)
  assert.deepEqual(await it.left('relay_nonce', 'id'), ['non_1', 'non_2'])
  await it.sweep(1)
  assert.deepEqual(await it.left('relay_nonce', 'id'), ['non_2'])
})

test('revisions go 400 days after they were made, once their tables are gone and nothing that stays is of them', async (t) => {
  const it = await setUp(t)
  const { organisation, project } = it
  const revision = (number: number, day: number) =>
    sql`insert into mapping_revision (organisation_id, project_id, revision, author, cause, created, changed, removed, rules_changed, entries, created_at)
        values (${organisation}, ${project}, ${number}, 'x', 'change', 1, 0, 0, 0, 1, ${daysOn(day)})`
  const entry = (id: string, from: number, to: number | null) =>
    sql`insert into mapping_entry (organisation_id, project_id, id, valid_from, valid_to, presented_key, presented, mailbox, mailbox_domain,
                                   keys, wire, source, author, created_at)
        values (${organisation}, ${project}, ${id}, ${from}, ${to}, ${id}, ${id}, ${id}, 'x', '{}', '{}', 'manual', 'x', ${daysOn(0)})`
  const rule = (id: string, from: number, to: number | null) =>
    sql`insert into mapping_rule (organisation_id, project_id, id, valid_from, valid_to, kind, rule_key, wire, author, created_at)
        values (${organisation}, ${project}, ${id}, ${from}, ${to}, 'exception', ${id}, '{}', 'x', ${daysOn(0)})`
  await it.run(
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((number) => revision(number, 10 * number)),
    sql`update project set mapping_revision = 8 where id = ${project}`,
    entry('map_short', 1, 2), // changed once
    entry('map_short', 2, 4),
    entry('map_old', 3, null),
    rule('rul_old', 5, null),
    entry('map_late', 6, 8),
  )
  const revisions = () => it.left('mapping_revision', 'revision')
  const history = (days: number) =>
    withScope(it.database.db, { organisation }, (tx) => sweepHistory(tx, it, daysOn(days - 400), 1_000))
  await it.sweep(5_000)
  assert.deepEqual(await revisions(), [1, 2, 3, 4, 5, 6, 7, 8], 'as long as the tables can be had')
  await history(475)
  await it.sweep(474)
  assert.deepEqual(await revisions(), [3, 5, 6, 7, 8], '7 is the horizon, 3, 5 and 6 are named by what is left')
  await it.sweep(5_000)
  assert.deepEqual(await revisions(), [3, 5, 6, 7, 8])
  await history(481)
  await it.sweep(481)
  assert.deepEqual(await revisions(), [3, 5, 8], 'the table as it is, and where its parts come from')
})

test('the sweep of one organisation leaves those of others alone', async (t) => {
  const it = await setUp(t)
  const other = await settingOn(() => {}, it.database, undefined).organisation()
  await it.run(
    sql`insert into relay_nonce (organisation_id, project_id, id, nonce_sealed, created_at, expires_at)
        values (${it.organisation}, ${it.project}, 'non_1', '', now(), ${daysOn(0)})`,
  )
  await it.sweep(1, other)
  assert.deepEqual(await it.left('relay_nonce', 'id'), ['non_1'])
})
