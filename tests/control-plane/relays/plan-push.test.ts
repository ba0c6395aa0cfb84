// Whether a relay gets nothing, the whole or what changed. (product.md §5)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { LatestRun } from '../../../control-plane/relays/latest-run.ts'
import { planPush } from '../../../control-plane/relays/plan-push.ts'
import type { PushPlan } from '../../../control-plane/relays/plan-push.ts'
import { commonlyApplied, isLive, LIVE_MS, standingOf } from '../../../control-plane/relays/relay.ts'
import { rotationsFrom } from '../../../control-plane/relays/snapshot-keys.ts'

const current = { snapshotVersion: 9, mappingRevision: 5, settingsVersion: 3 }
const held = { version: 9, revision: 5, digest: 'd', settings: 3 }
const change = (more: Partial<Extract<PushPlan, { kind: 'change' }>>): PushPlan => ({
  kind: 'change',
  base: 8,
  tableFrom: undefined,
  hasNewSettings: false,
  ...more,
})

const examples: [held: typeof held | undefined, wantsWhole: boolean, plan: PushPlan, why: string][] = [
  [undefined, false, { kind: 'whole' }, 'it has nothing'],
  [held, false, { kind: 'nothing' }, 'it has what there is'],
  [held, true, { kind: 'nothing' }, 'of the same version it would take no other form'],
  [{ ...held, version: 8 }, false, change({}), 'something beside table and settings changed: its state'],
  [{ ...held, version: 8, revision: 2 }, false, change({ tableFrom: 2 }), 'the table changed'],
  [{ ...held, version: 8, settings: 2 }, false, change({ hasNewSettings: true }), 'the settings changed'],
  [
    { ...held, version: 1, revision: 0, settings: 0 },
    false,
    change({ base: 1, tableFrom: 0, hasNewSettings: true }),
    'all of it changed',
  ],
  [{ ...held, version: 8, revision: 4 }, true, { kind: 'whole' }, 'it can not use what it has'],
  [{ ...held, version: 10 }, false, { kind: 'ahead' }, 'its version was never made here'],
  [{ ...held, version: 8, revision: 6 }, true, { kind: 'ahead' }, 'nor was its revision'],
]
for (const [has, wantsWhole, plan, why] of examples) {
  test(`a push is ${plan.kind}: ${why}`, () => assert.deepEqual(planPush(has, wantsWhole, current), plan))
}

test('of all versions between two, each single plan leads to what is current, and then to nothing', () => {
  for (let version = 1; version <= current.snapshotVersion; version++)
    for (let revision = 0; revision <= current.mappingRevision; revision++)
      for (let settings = 0; settings <= current.settingsVersion; settings++) {
        const plan = planPush({ version, revision, digest: 'd', settings }, false, current)
        if (version === current.snapshotVersion) assert.equal(plan.kind, 'nothing')
        else {
          assert.ok(plan.kind === 'change' && plan.base === version)
          assert.equal(plan.tableFrom === undefined, revision === current.mappingRevision)
          assert.equal(plan.hasNewSettings, settings !== current.settingsVersion)
        }
      }
  assert.equal(planPush(held, false, current).kind, 'nothing')
})

const at = (ms: number) => new Date(1_000_000 + ms)
test('a relay is waited for until it was silent for 5 minutes, or is revoked', () => {
  const now = 1_000_000 + LIVE_MS
  assert.ok(isLive({ state: 'active', seenAt: at(0) }, now))
  assert.ok(isLive({ state: 'draining', seenAt: at(0) }, now), 'it delivers what it holds')
  assert.ok(!isLive({ state: 'active', seenAt: at(-1) }, now))
  assert.ok(!isLive({ state: 'revoked', seenAt: at(LIVE_MS) }, now))
})

test('what all have is the least of each, and nothing while one has nothing', () => {
  const one = { version: 7, revision: 3, digest: '', settings: 2 }
  const two = { version: 6, revision: 4, digest: '', settings: 2 }
  assert.deepEqual(commonlyApplied([one, two]), { snapshotVersion: 6, mappingRevision: 3, settingsVersion: 2 })
  assert.equal(commonlyApplied([one, undefined]), undefined)
  assert.equal(commonlyApplied([]), undefined)
})

test('a relay that has reported nothing has applied nothing, and its lag is not known', () => {
  const standing = standingOf({ state: 'active', seenAt: at(0), report: undefined }, current, 1_000_000)
  assert.deepEqual(standing, { isLive: true, isApplied: false, lagRevisions: undefined })
})

test('rotations lead from a key to the current one in their order; from a stranger nowhere, and a ring is no way', () => {
  const rotation = (by: string, to: string) => ({ by, next: { id: to, publicKey: '' }, signature: '' })
  const signer = { id: 'c' as never, rotations: [rotation('b', 'c'), rotation('a', 'b')] }
  assert.deepEqual(
    rotationsFrom('a', signer)?.map(({ next }) => next.id),
    ['b', 'c'],
  )
  assert.deepEqual(rotationsFrom('c', signer), [])
  assert.equal(rotationsFrom('x', signer), undefined)
  assert.equal(rotationsFrom('a', { id: 'c' as never, rotations: [rotation('a', 'b'), rotation('b', 'a')] }), undefined)
})

test('work is shared by who asks before it begins; who asks while it runs gets the next run', async () => {
  let runs = 0
  const gates: (() => void)[] = []
  const shared = new LatestRun(async () => {
    const run = ++runs
    await new Promise<void>((resolve) => gates.push(resolve))
    return run
  })
  const first = shared.get()
  const later = [shared.get(), shared.get(), shared.get()]
  assert.equal(runs, 1)
  gates[0]?.()
  assert.equal(await first, 1)
  await sleep(0)
  gates[1]?.()
  assert.deepEqual(await Promise.all(later), [2, 2, 2])
  const again = shared.get()
  gates[2]?.()
  assert.equal(await again, 3)
})

test('a run that fails fails those who waited for it, and the next one runs all the same', async () => {
  let runs = 0
  const shared = new LatestRun(async () => {
    await sleep(0)
    if (++runs === 1) throw new Error('away')
    return runs
  })
  const first = shared.get()
  const second = shared.get()
  await assert.rejects(first, /away/)
  assert.equal(await second, 2)
})
