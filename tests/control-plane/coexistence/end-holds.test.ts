// What keeps relays from the newest table ends with its reason: by the clock, whoever forgot it. (coexistence.md §1.4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { FIRST_SETTING } from '../../../control-plane/coexistence/coexistence.ts'
import { heldTableReconciler } from '../../../control-plane/coexistence/end-holds.ts'
import { loadSwitch, lockSwitch, storeSwitch } from '../../../control-plane/coexistence/switch-store.ts'
import { rowsOf } from '../../../control-plane/db/database.ts'
import { isTableHeld } from '../../../control-plane/mapping/held-table-store.ts'
import { withFleet } from '../relays/fleet.ts'
import type { Fleet } from '../relays/fleet.ts'

const MINUTE_MS = 60_000

const cases: readonly {
  readonly why: string
  readonly minutes?: number
  readonly meanwhile?: (it: Fleet) => Promise<unknown>
  readonly isEnded: boolean
  readonly isProblem?: boolean
}[] = [
  { why: 'the groups have not followed yet', isEnded: false },
  { why: 'nor in 59 minutes', minutes: 59, isEnded: false },
  { why: 'in an hour they have not', minutes: 61, isEnded: true, isProblem: true },
  { why: 'the switch was turned off', meanwhile: (it) => setSwitch(it, 'off'), isEnded: true },
  {
    why: 'the last relay was revoked',
    isEnded: true,
    meanwhile: (it) => it.inOrganisation((tx) => sql`update relay set state = 'revoked'`.execute(tx)),
  },
]

for (const { why, minutes = 0, meanwhile, isEnded, isProblem = false } of cases) {
  test(`a table that is held ${isEnded ? 'is let go' : 'stays'}: ${why}`, (t) =>
    withFleet(t, {}, async (it) => {
      const relay = await it.relay()
      await relay.open()
      await setSwitch(it, 'on')
      const before = await it.map([1])
      await relay.untilRevision(before)
      const newest = await it.inOrganisation(async (tx) => {
        const made = await it.mapIn(tx, [{ user: 1, mailbox: 'u1@moved.example' }])
        await sql`update project set held_revision = ${before}, held_since = ${new Date(it.clock.now())} where id = ${it.project}`.execute(
          tx,
        )
        return made
      })
      const { db } = it.api.database
      await meanwhile?.(it)
      const reconciler = heldTableReconciler(() => it.clock.now() + minutes * MINUTE_MS)
      await reconciler.reconcile(db)
      await reconciler.reconcile(db)
      const { isHeld, row } = await it.inOrganisation(async (tx) => ({
        isHeld: await isTableHeld(tx, it),
        row: await loadSwitch(tx, it),
      }))
      assert.equal(isHeld, !isEnded)
      assert.deepEqual(
        row.problems.map(({ code }) => code),
        isProblem ? ['table-held-too-long'] : [],
      )
      const audited = await it.inOrganisation((tx) =>
        rowsOf(tx, sql`select id from audit_event where action = 'coexistence.table-released'`),
      )
      assert.equal(audited.length, isProblem ? 1 : 0)
      if (isProblem) await relay.untilRevision(newest)
    }))
}

function setSwitch(it: Fleet, state: 'on' | 'off'): Promise<void> {
  return it.inOrganisation(async (tx) => {
    const row = await lockSwitch(tx, it)
    await storeSwitch(tx, it, { ...row, setting: { ...FIRST_SETTING, state }, state }, new Date(it.clock.now()))
  })
}
