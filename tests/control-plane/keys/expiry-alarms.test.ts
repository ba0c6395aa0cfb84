// Alarms before keys end, by a clock that the test owns (KM-7).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION, newId } from '../../../control-plane/ids.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { expiryAlarms, watchExpiry } from '../../../control-plane/keys/expiry-alarms.ts'
import { KEY_KINDS } from '../../../control-plane/keys/key-inventory.ts'
import type { KeyKind } from '../../../control-plane/keys/key-inventory.ts'
import { recordKey, removeKey } from '../../../control-plane/keys/key-inventory-store.ts'
import { ofInstallation } from '../../../control-plane/keys/key-owner.ts'
import { testDatabase } from '../../harness/postgres.ts'
import { addOrganisation, addProject } from './key-scene.ts'
import { numbered, rewrapScene } from './rewrap-scene.ts'

const DAY_MS = 86_400_000
const START = Date.parse('2026-11-28T12:00:00Z')

interface Told {
  readonly level: string
  readonly event: string
  readonly key: string
  readonly days: number
}

async function alarmScene(t: TestContext) {
  const database = await testDatabase(t)
  const { db } = database
  const clock = { now: new Date(START) }
  const lines: string[] = []
  const log = createLog({ write: (line) => void lines.push(line), level: 'debug', now: () => clock.now.getTime() })
  const deps = { log, now: () => clock.now }
  return {
    db,
    database,
    clock,
    lines,
    log,
    look: () => expiryAlarms(deps).reconcile(db),
    day(day: number) {
      clock.now = new Date(START + day * DAY_MS)
      return expiryAlarms(deps).reconcile(db)
    },
    /** What the log has said since the last time. */
    told: () => lines.splice(0).map((line) => JSON.parse(line) as Told),
    record: (
      organisation: OrganisationId,
      id: string,
      day: number | undefined,
      kind: KeyKind = 'dkim',
      project?: ProjectId,
    ) =>
      withScope(db, { organisation }, (tx) =>
        recordKey(tx, {
          organisation,
          kind,
          id,
          project,
          owner: 'DKIM of contoso.example',
          createdAt: new Date(START),
          expiresAt: day === undefined ? undefined : new Date(START + day * DAY_MS),
        }),
      ),
    events: (organisation: OrganisationId) =>
      withScope(db, { organisation }, (tx) =>
        rowsOf<{ type: string; project_id: string; body: Record<string, unknown> }>(
          tx,
          sql`select type, project_id, body from event order by id`,
        ),
      ),
  }
}

const days: [day: number, told: string | undefined, why: string][] = [
  [0, undefined, '100 days are left'],
  [69, undefined, '31 days are left'],
  [70, 'warn key.expiring 30', '30 days are left'],
  [71, undefined, 'it was told yesterday'],
  [92, undefined, '8 days are left'],
  [93, 'warn key.expiring 7', '7 days are left'],
  [98, undefined, '2 days are left'],
  [99, 'error key.expiring 1', 'one day is left'],
  [99.9, undefined, 'it was told'],
  [100, 'error key.expired 0', 'it has ended'],
  [400, undefined, 'it was told long ago'],
]

test('KM-7: 30, 7 and 1 days before a key ends and at its end there is one alarm each, in the log and as an event', async (t) => {
  const it = await alarmScene(t)
  const organisation = await addOrganisation(it.db)
  const project = await addProject(it.db, organisation)
  await it.record(organisation, 'dkm_1', 100, 'dkim', project)
  for (const [day, expected, why] of days) {
    await it.day(day)
    const told = it.told().map(({ level, event, days: left }) => `${level} ${event} ${left}`)
    assert.deepEqual(told, expected === undefined ? [] : [expected], `day ${day}: ${why}`)
    await it.look()
    assert.deepEqual(it.told(), [], `day ${day}, again`)
  }
  const events = await it.events(organisation)
  assert.deepEqual(
    events.map(({ type, project_id, body }) => [type, project_id, body['days']]),
    [
      ['key.expiring', project, 30],
      ['key.expiring', project, 7],
      ['key.expiring', project, 1],
      ['key.expired', project, 0],
    ],
  )
  assert.deepEqual(events[0]?.body, {
    kind: 'dkim',
    id: 'dkm_1',
    owner: 'DKIM of contoso.example',
    days: 30,
    expiresAt: new Date(START + 100 * DAY_MS).toISOString(),
  })
})

test('KM-7: however many workers look at once, each alarm is raised once', async (t) => {
  const it = await alarmScene(t)
  const organisation = await addOrganisation(it.db)
  const ids = Array.from({ length: 20 }, (_, n) => `k${n}`)
  for (const id of ids) await it.record(organisation, id, 5)
  await Promise.all([it.look(), it.look(), it.look(), it.look()])
  assert.deepEqual(
    it
      .told()
      .map(({ key }) => key)
      .toSorted(),
    ids.toSorted(),
  )
  assert.equal((await it.events(organisation)).length, ids.length)
})

test('KM-7: more keys than one look takes are all told of', async (t) => {
  const it = await alarmScene(t)
  const organisation = await addOrganisation(it.db)
  await sql`insert into key_inventory (organisation_id, kind, id, owner, created_at, expires_at)
            select ${organisation}, 'dkim', 'k' || n, 'x', ${new Date(START)}, ${new Date(START + DAY_MS)} from generate_series(1, 1100) n`.execute(
    it.database.owner.db,
  )
  await it.look()
  assert.equal(it.told().length, 1100)
})

test('KM-7: a key that was renewed has alarms of its own, one that is gone has none', async (t) => {
  const it = await alarmScene(t)
  await it.record(INSTALLATION, 'renewed', 20)
  await it.record(INSTALLATION, 'removed', 20)
  await it.record(INSTALLATION, 'endless', undefined)
  await it.look()
  assert.equal(it.told().length, 2)
  await it.record(INSTALLATION, 'renewed', 100)
  await withScope(it.db, { organisation: INSTALLATION }, (tx) => removeKey(tx, INSTALLATION, 'dkim', 'removed'))
  await it.day(19.5)
  assert.deepEqual(it.told(), [])
  await it.day(71)
  assert.deepEqual(
    it.told().map(({ key, days: left }) => [key, left]),
    [['renewed', 30]],
  )
})

test('KM-7: whoever asked for it is notified: a delivery is made with the alarm', async (t) => {
  const it = await alarmScene(t)
  const organisation = await addOrganisation(it.db)
  const webhook = newId('webhook')
  await withScope(it.db, { organisation }, (tx) =>
    sql`insert into webhook (organisation_id, id, url, events, secret_sealed, created_by)
        values (${organisation}, ${webhook}, 'https://x.example', '{key.*}', '\\x00', 'test')`.execute(tx),
  )
  await it.record(organisation, 'k', 7)
  await it.look()
  const deliveries = await withScope(it.db, { organisation }, (tx) =>
    rowsOf(tx, sql`select webhook_id, event_type from webhook_delivery`),
  )
  assert.deepEqual(deliveries, [{ webhook_id: webhook, event_type: 'key.expiring' }])
})

test('KM-7, TI-2: an alarm is told to the organisation whose key it is, and to no other', async (t) => {
  const it = await alarmScene(t)
  const [first, second] = [await addOrganisation(it.db), await addOrganisation(it.db)]
  await it.record(first, 'k', 7)
  await it.look()
  assert.equal((await it.events(first)).length, 1)
  assert.deepEqual(await it.events(second), [])
})

test('KM-7, OP-1: the days left to the next end of each kind are a figure, labelled by kind only', async (t) => {
  const it = await alarmScene(t)
  const organisation = await addOrganisation(it.db)
  await it.record(organisation, 'near', 12.5)
  await it.record(organisation, 'far', 80)
  await it.record(INSTALLATION, 'over', -2, 'checkpoint-key')
  await it.record(organisation, 'endless', undefined, 'api-key')
  const metrics = emptyMetrics()
  watchExpiry({ db: it.db, metrics, log: it.log, now: () => it.clock.now })
  const figures = async () =>
    (await metrics.metrics())
      .split('\n')
      .filter((line) => line.startsWith('causeway_key_expiry_days'))
      .toSorted()
  assert.deepEqual(await figures(), [
    'causeway_key_expiry_days{kind="checkpoint-key"} -2',
    'causeway_key_expiry_days{kind="dkim"} 12.5',
  ])
  assert.ok(KEY_KINDS.includes('dkim'))
  await withScope(it.db, { organisation: INSTALLATION }, (tx) => removeKey(tx, INSTALLATION, 'checkpoint-key', 'over'))
  assert.deepEqual(await figures(), ['causeway_key_expiry_days{kind="dkim"} 12.5'])
})

test('OP-1: with the database away the figure is left out, and the others are there', async (t) => {
  const it = await alarmScene(t)
  const metrics = emptyMetrics()
  watchExpiry({ db: it.db, metrics, log: it.log, now: () => it.clock.now })
  await it.record(INSTALLATION, 'k', 7)
  assert.match(await metrics.metrics(), /causeway_key_expiry_days\{kind="dkim"\} 7/)
  await sql`alter table key_inventory rename to elsewhere`.execute(it.database.owner.db)
  assert.doesNotMatch(await metrics.metrics(), /causeway_key_expiry_days\{/)
  assert.ok(it.lines.some((line) => line.includes('keys.expiry_not_read')))
})

test('KM-2, KM-7: keys that replace themselves raise no alarm as long as that works, and one when it does not', async (t) => {
  const it = await rewrapScene(t)
  const { db } = it.database
  const alarms: string[] = []
  const log = createLog({ write: (line) => void alarms.push(line), level: 'warn', now: () => it.clock.now.getTime() })
  const alarm = expiryAlarms({ log, now: () => it.clock.now })
  await it.write(it.owner, numbered(2))
  await it.write(ofInstallation(), numbered(1))
  const start = it.clock.now.getTime()
  for (let day = 0; day <= 800; day += 10) {
    it.clock.now = new Date(start + day * DAY_MS)
    await it.reconcile()
    await it.work()
    await alarm.reconcile(db)
  }
  assert.deepEqual(alarms, [])
  assert.equal((await it.keysOf(it.owner)).length, 3)
  // Nobody works any more.
  it.clock.now = new Date(start + 1100 * DAY_MS)
  await alarm.reconcile(db)
  assert.equal(alarms.length, 2)
  for (const line of alarms) assert.match(line, /"kind":"project-key"/)
})
