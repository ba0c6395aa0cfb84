// Alarms before keys and certificates end: 30, 7 and 1 days before, and at the end, each once (KM-7).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION, newId } from '../../../control-plane/ids.ts'
import { alarmDays, dueAlarms } from '../../../control-plane/keys/key-inventory.ts'
import type { InventoryEntry } from '../../../control-plane/keys/key-inventory.ts'
import {
  listExpiring,
  recordAlarm,
  recordKey,
  recordUse,
  removeKey,
} from '../../../control-plane/keys/key-inventory-store.ts'
import { testDatabase } from '../../harness/postgres.ts'
import { addOrganisation } from './key-scene.ts'

const DAY_MS = 86_400_000
const NOW = new Date('2026-11-28T12:00:00Z')
const inDays = (days: number) => new Date(NOW.getTime() + days * DAY_MS)

const ends: [daysLeft: number | undefined, alarm: number | undefined, why: string][] = [
  [undefined, undefined, 'it never ends'],
  [31, undefined, 'far away'],
  [30.01, undefined, 'a little more than 30 days'],
  [30, 30, 'exactly 30 days'],
  [7.5, 30, 'between'],
  [7, 7, 'exactly a week'],
  [1, 1, 'exactly a day'],
  [0.5, 1, 'today'],
  [0, 0, 'now'],
  [-400, 0, 'long ago'],
]
for (const [days, alarm, why] of ends) {
  test(`KM-7: a key with ${days ?? 'no'} days left has the alarm ${alarm ?? 'none'}: ${why}`, () => {
    assert.equal(alarmDays(days === undefined ? undefined : inDays(days), NOW), alarm)
  })
}

test('KM-7: an alarm is raised once, the next one all the same, and after a long sleep only the most urgent', () => {
  const entry: InventoryEntry = {
    organisation: 'org_1',
    kind: 'dkim',
    id: 'dkm_1',
    project: undefined,
    owner: 'contoso.example',
    createdAt: NOW,
    expiresAt: inDays(5),
    lastUsedAt: undefined,
    alarmedDays: undefined,
  }
  assert.deepEqual(dueAlarms([entry], NOW), [{ entry, days: 7 }])
  assert.deepEqual(dueAlarms([{ ...entry, alarmedDays: 30 }], NOW).length, 1)
  assert.deepEqual(dueAlarms([{ ...entry, alarmedDays: 7 }], NOW), [])
  assert.equal(dueAlarms([{ ...entry, alarmedDays: 7 }], inDays(4.5))[0]?.days, 1)
  assert.deepEqual(dueAlarms([{ ...entry, alarmedDays: 0 }], inDays(99)), [])
})

test('KM-7: the reconciler finds what is due in all organisations, nearest first, and nothing twice', async (t) => {
  const { db } = await testDatabase(t)
  const first = await addOrganisation(db)
  const second = await addOrganisation(db)
  const record = (organisation: typeof first, id: string, expiresAt: Date | undefined) =>
    withScope(db, { organisation }, (tx) =>
      recordKey(tx, {
        organisation,
        kind: 'dkim',
        id,
        project: undefined,
        owner: 'contoso.example',
        createdAt: NOW,
        expiresAt,
      }),
    )
  await record(first, 'far', inDays(40))
  await record(first, 'month', inDays(20))
  await record(second, 'week', inDays(6))
  await record(second, 'gone', inDays(-1))
  await record(first, 'forever', undefined)
  const due = (now: Date) => withScope(db, { purpose: 'reconcile' }, (tx) => listExpiring(tx, now, 100))
  const found = dueAlarms(await due(NOW), NOW)
  assert.deepEqual(
    found.map(({ entry, days }) => [entry.organisation, entry.id, days]),
    [
      [second, 'gone', 0],
      [second, 'week', 7],
      [first, 'month', 30],
    ],
  )
  for (const { entry, days } of found) {
    await withScope(db, { organisation: entry.organisation as typeof first }, (tx) => recordAlarm(tx, entry, days))
  }
  assert.deepEqual(await due(NOW), [])
  assert.deepEqual(
    (await due(inDays(5.5))).map(({ id }) => id),
    ['week'],
  )
  await record(second, 'week', inDays(300)) // renewed
  assert.deepEqual(await due(inDays(5.5)), [])
  assert.deepEqual(
    (await due(inDays(275))).map(({ id }) => id),
    ['month', 'far', 'week'],
  )
  await withScope(db, { organisation: second }, (tx) => removeKey(tx, second, 'dkim', 'week'))
  assert.deepEqual(
    (await due(inDays(299))).map(({ id }) => id),
    ['month', 'far'],
  )
})

test('KM-7, TI-2: an organisation sees its own keys only; without a scope there are none', async (t) => {
  const { db } = await testDatabase(t)
  const organisation = await addOrganisation(db)
  const entry = {
    organisation,
    kind: 'dkim' as const,
    id: 'd',
    project: undefined,
    owner: 'x',
    createdAt: NOW,
    expiresAt: NOW,
  }
  await withScope(db, { organisation }, (tx) => recordKey(tx, entry))
  for (const scope of [
    {},
    { organisation: newId('organisation') },
    { organisation: INSTALLATION },
    { purpose: 'dispatch' as const },
  ]) {
    assert.deepEqual(await withScope(db, scope, (tx) => listExpiring(tx, NOW, 10)), [])
  }
  await assert.rejects(
    withScope(db, { organisation: INSTALLATION }, (tx) => recordKey(tx, entry)),
    /row-level security/,
  )
})

test('KM-7: the last use is noted to the hour', async (t) => {
  const { db } = await testDatabase(t)
  const organisation = await addOrganisation(db)
  const at = (minutes: number) => new Date(NOW.getTime() + minutes * 60_000)
  await withScope(db, { organisation }, async (tx) => {
    await recordKey(tx, {
      organisation,
      kind: 'dkim',
      id: 'd',
      project: undefined,
      owner: 'x',
      createdAt: NOW,
      expiresAt: NOW,
    })
    const uses: [minutes: number, noted: number][] = [
      [0, 0],
      [59, 0],
      [60, 60],
      [61, 60],
      [500, 500],
    ]
    for (const [minutes, noted] of uses) {
      await recordUse(tx, organisation, 'dkim', ['d', 'other'], at(minutes))
      assert.deepEqual((await listExpiring(tx, NOW, 10))[0]?.lastUsedAt, at(noted))
    }
  })
})
