// Chains are verified where they are kept, over and over: what is new, and once a week all; what is wrong is written down, shown and told until it is
// right again. (AU-3, OP-2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { watchAudit } from '../../../control-plane/audit/audit-figures.ts'
import { makeCheckpoint } from '../../../control-plane/audit/make-checkpoint.ts'
import { findVerification, storeVerification } from '../../../control-plane/audit/verification-store.ts'
import { verifyChain } from '../../../control-plane/audit/verify-chain.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import { append, auditScene, NOW } from './audit-scene.ts'

const never = new AbortController().signal
const DAY_MS = 86_400_000

async function chainScene(t: TestContext) {
  const it = await auditScene(t)
  const { db } = it.database
  const { id: organisation } = await it.organisation()
  const lines: string[] = []
  const log = createLog({ write: (line) => void lines.push(line), level: 'info', now: () => it.clock.now })
  const metrics = emptyMetrics()
  watchAudit({ db, metrics, log, exports: true, now: () => it.clock.now, monotonicMs: () => it.clock.now })
  return {
    ...it,
    organisation,
    /** As the job does it. @returns how many steps it took */
    async verify(): Promise<number> {
      const before = await withScope(db, { organisation }, (tx) => findVerification(tx, organisation))
      const deps = { db, log, now: () => it.clock.now, eventsAStep: 4 }
      let steps = 0
      for await (const state of verifyChain(organisation, before, deps, never)) {
        steps++
        await withScope(db, { organisation }, (tx) => storeVerification(tx, organisation, state))
      }
      return steps
    },
    state: () => withScope(db, { organisation }, (tx) => findVerification(tx, organisation)),
    async grow(events: number): Promise<void> {
      for (let event = 0; event < events; event++) await append(db, organisation, it.clock.now)
      await makeCheckpoint(organisation, it.deps)
    },
    /** As somebody who has taken over the database. */
    tamper: (statement: RawBuilder<unknown>) => statement.execute(it.database.owner.db),
    told: () => lines.splice(0).map((line) => JSON.parse(line) as Record<string, unknown>),
    async figure(name: string): Promise<number> {
      const line = (await metrics.metrics()).split('\n').find((each) => each.startsWith(`causeway_audit_${name} `))
      return Number(line?.split(' ')[1])
    },
  }
}

test('AU-3: a chain is gone through in steps, then only what is new; after a week all of it again', async (t) => {
  const it = await chainScene(t)
  await it.grow(10)
  assert.equal(await it.verify(), 3)
  const first = await it.state()
  assert.deepEqual([first?.size, first?.fault, first?.verifiedAt?.getTime()], [10, undefined, NOW])
  await it.grow(2)
  it.clock.now += DAY_MS
  assert.equal(await it.verify(), 1, 'two events are one step')
  assert.equal((await it.state())?.size, 12)
  assert.equal((await it.state())?.roundStartedAt.getTime(), NOW)
  it.clock.now = NOW + 7 * DAY_MS
  assert.equal(await it.verify(), 4, 'all twelve, and a look whether there are more')
  assert.equal((await it.state())?.roundStartedAt.getTime(), it.clock.now)
  assert.deepEqual(it.told(), [])
})

test('an organisation of which nothing was signed yet has nothing to verify', async (t) => {
  const it = await chainScene(t)
  assert.equal(await it.verify(), 0)
  assert.equal(await it.figure('chain_ok'), 1)
})

const event = (sequence: number) => sql`audit_event where organisation_id <> 'installation' and sequence = ${sequence}`
const damages: [what: string, statement: RawBuilder<unknown>, code: string, sequence: number | undefined][] = [
  [
    'a header that was changed',
    sql`update audit_event set header = replace(header, 'thing', 'other') where organisation_id <> 'installation' and sequence = 12`,
    'changed',
    12,
  ],
  [
    'a column that was changed',
    sql`update audit_event set actor = 'somebody' where organisation_id <> 'installation' and sequence = 12`,
    'changed',
    12,
  ],
  ['an event that was deleted', sql`delete from ${event(11)}`, 'missing', 11],
  ['the last event, deleted', sql`delete from ${event(12)}`, 'truncated', 12],
  ['the event at which the last time ended, deleted', sql`delete from ${event(10)}`, 'truncated', 10],
  [
    'the hash at which the last time ended, changed',
    sql`update audit_event set hash = sha256(hash) where organisation_id <> 'installation' and sequence = 10`,
    'changed',
    10,
  ],
  [
    'a checkpoint that was removed',
    sql`delete from audit_checkpoint where organisation_id <> 'installation' and size = 11`,
    'checkpoint',
    undefined,
  ],
]
for (const [what, statement, code, sequence] of damages) {
  test(`AU-3, OP-2: ${what} is found, told, and shown by the figure that has the alarm`, async (t) => {
    const it = await chainScene(t)
    await it.grow(10)
    await it.verify()
    await it.grow(1)
    await it.grow(1)
    assert.equal(await it.figure('chain_ok'), 1)
    await it.tamper(statement)
    await it.verify()
    assert.equal(await it.figure('chain_ok'), 0)
    assert.deepEqual(
      it.told().map(({ level, event: name, code: found, sequence: at }) => [level, name, found, at]),
      [['error', 'audit.chain-broken', code, sequence]],
    )
  })
}

test('AU-3: what was changed before the last end is found by the weekly round, and the alarm ends when it is put right', async (t) => {
  const it = await chainScene(t)
  await it.grow(10)
  await it.verify()
  await it.tamper(sql`update audit_event set actor = 'x' where organisation_id <> 'installation' and sequence = 2`)
  await it.verify()
  assert.equal(await it.figure('chain_ok'), 1, 'only what is new was looked at')
  it.clock.now += 7 * DAY_MS
  await it.verify()
  assert.equal(await it.figure('chain_ok'), 0)
  await it.verify()
  assert.equal(await it.figure('chain_ok'), 0, 'it stays until it is put right')
  await it.tamper(
    sql`update audit_event set actor = 'system:test' where organisation_id <> 'installation' and sequence = 2`,
  )
  await it.verify()
  assert.equal(await it.figure('chain_ok'), 1)
  assert.deepEqual(
    it.told().map(({ event: name }) => name),
    ['audit.chain-broken', 'audit.chain-broken', 'audit.chain-holds-again'],
  )
})

test('OP-2: chains that nobody verifies, nobody signs, and checkpoints that nobody exports show by their age', async (t) => {
  const it = await chainScene(t)
  await it.tamper(sql`update organisation set created_at = ${new Date(NOW)}`)
  await it.grow(3)
  await makeCheckpoint(INSTALLATION, it.deps) // of the key that was made
  await it.verify()
  const figures = async () => [
    await it.figure('verified_seconds'),
    await it.figure('checkpoint_overdue_seconds'),
    await it.figure('export_overdue_seconds'),
  ]
  const [, overdueAtFirst] = await figures()
  assert.equal(overdueAtFirst, 0)
  it.clock.now += 600_000
  await append(it.database.db, it.organisation, it.clock.now)
  assert.deepEqual(await figures(), [600, 0, 600], 'due from now on')
  it.clock.now += 60_000
  assert.deepEqual(await figures(), [660, 60, 660])
  await makeCheckpoint(it.organisation, it.deps)
  await it.tamper(sql`update audit_checkpoint set exported_at = now()`)
  assert.deepEqual(await figures(), [660, 0, 0])
})
