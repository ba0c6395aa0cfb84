// DU-3: a write or sync fails. Whoever waited for it is told, nothing of it counts later, what was durable before is served, and the spool
// goes on with another segment, or refuses until it can.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { SpoolBroken, SpoolFull } from '../../../mta/spool/contract.ts'
import type { DiskCall, DiskFault, DiskHooks, DiskStep } from '../../../mta/spool/disk.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import { failRound } from './fault-rounds.ts'
import {
  T0,
  accept,
  assertIntact,
  errno,
  eventsOf,
  nextQueueId,
  openTemp,
  optionsFor,
  recordingLog,
  stateAfter,
  tempDirectory,
} from './spool-harness.ts'

/** Fails the calls that `isFailing` names, for as long as `active` is set. */
class Faults {
  active = false
  made: DiskStep[] = []
  readonly #isFailing: (step: DiskStep) => boolean
  readonly #fault: DiskFault

  constructor(isFailing: (step: DiskStep) => boolean, fault: DiskFault = { error: errno('EIO') }) {
    this.#isFailing = isFailing
    this.#fault = fault
  }

  readonly hooks: DiskHooks = {
    before: (step) => {
      if (!this.active || !this.#isFailing(step)) return undefined
      this.made.push(step)
      return this.#fault
    },
  }
}

const isLogCall = (call: DiskCall) => (step: DiskStep) => step.call === call && step.path.startsWith('segment-')

const once = (isFailing: (step: DiskStep) => boolean) => {
  let isDone = false
  return (step: DiskStep) => {
    if (isDone || !isFailing(step)) return false
    isDone = true
    return true
  }
}

for (const call of ['write', 'sync'] as const) {
  for (const code of ['EIO', 'ENOSPC'] as const) {
    test(`DU-3: a ${call} of the log that fails with ${code}: its whole group is refused, the next message is accepted`, async (t) => {
      const directory = tempDirectory(t)
      const log = recordingLog()
      const faults = new Faults(once(isLogCall(call)), { error: errno(code) })
      const spool = await openSpool(optionsFor(directory, { log, diskHooks: faults.hooks }))
      const before = await accept(spool, 500)
      faults.active = true
      const group = Array.from({ length: 5 }, () => nextQueueId())
      const results = await Promise.allSettled(group.map((queueId) => accept(spool, 500, queueId)))
      for (const result of results) {
        assert.ok(result.status === 'rejected' && result.reason instanceof SpoolBroken)
        assert.equal((result.reason.cause as NodeJS.ErrnoException).code, code)
      }
      const suspect = faults.made[0]?.path
      const after = await accept(spool, 500)
      for (const queueId of group) assert.equal(spool.find(queueId), undefined)
      await assertIntact(spool, before, 500)
      assert.deepEqual(eventsOf(log), ['spool.write-failed'])
      await spool.close()
      const again = await openTemp(t, { directory })
      await assertIntact(again, before, 500)
      await assertIntact(again, after, 500)
      for (const queueId of group) assert.equal(again.find(queueId), undefined)
      assert.equal(again.health().messages, 2)
      assert.ok(suspect !== undefined)
    })
  }
}

test('DU-3: a segment whose sync failed is never written or synced again', async (t) => {
  const steps: DiskStep[] = []
  const faults = new Faults(once(isLogCall('sync')))
  const hooks: DiskHooks = {
    before: (step) => {
      const fault = faults.hooks.before?.(step)
      if (fault === undefined && faults.made.length > 0) steps.push(step)
      return fault
    },
  }
  const spool = await openTemp(t, { diskHooks: hooks })
  faults.active = true
  await assert.rejects(accept(spool, 500), SpoolBroken)
  for (let i = 0; i < 5; i++) await accept(spool, 500)
  const suspect = faults.made[0]?.path
  const again = steps.filter(({ call, path }) => path === suspect && (call === 'write' || call === 'sync'))
  assert.deepEqual(again, [])
})

test('DU-3: what a failed group left on disk is not found by the next start, not even after a crash', async (t) => {
  const directory = tempDirectory(t)
  const isFailingOnce = once(isLogCall('sync'))
  const faults = new Faults((step) => step.call === 'truncate' || isFailingOnce(step))
  const spool = await openTemp(t, { directory, diskHooks: faults.hooks })
  const kept = await accept(spool, 500)
  faults.active = true
  const refused = nextQueueId()
  await assert.rejects(accept(spool, 500, refused), SpoolBroken)
  await accept(spool, 500)
  const copy = tempDirectory(t)
  fs.cpSync(directory, copy, { recursive: true })
  const found = await openTemp(t, { directory: copy })
  assert.equal(found.find(refused), undefined)
  await assertIntact(found, kept, 500)
})

test('DU-3: a state or removal that could not be written is told, and the message is as it was', async (t) => {
  const faults = new Faults(isLogCall('sync'))
  const spool = await openTemp(t, { diskHooks: faults.hooks })
  const queueId = await accept(spool, 500)
  await spool.update(queueId, stateAfter(1))
  faults.active = true
  await assert.rejects(spool.update(queueId, stateAfter(2)), SpoolBroken)
  await assert.rejects(spool.remove(queueId), SpoolBroken)
  await assert.rejects(spool.take(queueId), SpoolBroken)
  faults.active = false
  assert.equal((await assertIntact(spool, queueId, 500)).attempts, 1)
})

test('DU-3: when no segment can be written at all, the spool refuses and serves, and takes mail again once it can', async (t) => {
  let now = T0
  const isWriting = ({ call }: DiskStep) => call === 'write' || call === 'sync'
  const faults = new Faults(isWriting, { error: errno('ENOSPC') })
  const spool = await openTemp(t, { diskHooks: faults.hooks, now: () => now })
  const queueId = await accept(spool, 500)
  faults.active = true
  await assert.rejects(accept(spool, 500), SpoolBroken)
  await assert.rejects(accept(spool, 500), SpoolBroken)
  assert.throws(() => spool.checkRoom(0), SpoolFull)
  assert.match(spool.health().refusing ?? '', /can't be written/)
  await assertIntact(spool, queueId, 500)
  faults.active = false
  now += 4_999
  await assert.rejects(accept(spool, 500), SpoolBroken)
  now += 1
  await accept(spool, 500)
  assert.equal(spool.health().refusing, undefined)
  spool.checkRoom(0)
})

test('DU-3: a spool that refuses tries again by itself while peers ask for room', async (t) => {
  let now = T0
  const faults = new Faults(({ call }) => call === 'write')
  const spool = await openTemp(t, { diskHooks: faults.hooks, now: () => now })
  faults.active = true
  await assert.rejects(accept(spool, 500), SpoolBroken)
  await assert.rejects(accept(spool, 500), SpoolBroken)
  faults.active = false
  now += 5_000
  for (let i = 0; i < 200 && spool.health().refusing !== undefined; i++)
    await new Promise((resolve) => setTimeout(resolve, 5))
  spool.checkRoom(0)
})

const largeFaults: DiskCall[] = ['open', 'write', 'sync', 'syncDirectory']
for (const call of largeFaults) {
  test(`DU-3: a large message whose file's ${call} fails is refused, and leaves no file`, async (t) => {
    const directory = tempDirectory(t)
    const faults = new Faults((step) => step.call === call && step.path.startsWith('large'))
    const spool = await openTemp(t, { directory, diskHooks: faults.hooks })
    const kept = await accept(spool, 500_000)
    faults.active = true
    await assert.rejects(accept(spool, 500_000), SpoolBroken)
    faults.active = false
    await assertIntact(spool, kept, 500_000)
    assert.deepEqual(fs.readdirSync(`${directory}/large`), [kept])
    await accept(spool, 500_000)
  })
}

test('DU-3: a large message whose record could not be written leaves no file either', async (t) => {
  const directory = tempDirectory(t)
  const faults = new Faults(once(isLogCall('write')))
  const spool = await openTemp(t, { directory, diskHooks: faults.hooks })
  faults.active = true
  await assert.rejects(accept(spool, 500_000), SpoolBroken)
  assert.deepEqual(fs.readdirSync(`${directory}/large`), [])
  await accept(spool, 500_000)
})

test('DU-3: with a failure at every third call that writes, in turn, whatever was promised is kept', async () => {
  for (let number = 1; await failRound(number, number % 2 === 0 ? 'EIO' : 'ENOSPC'); number += 3);
})

test("a spool that can't be opened says so, and can be opened afterwards", async (t) => {
  for (let number = 1, isOpen = false; !isOpen; number++) {
    const directory = tempDirectory(t)
    let made = 0
    const before = ({ call }: DiskStep): DiskFault | undefined =>
      call !== 'read' && call !== 'close' && ++made === number ? { error: errno('EIO') } : undefined
    const result = await openSpool(optionsFor(directory, { diskHooks: { before } })).then(
      (spool) => spool,
      (error: unknown) => {
        assert.ok(error instanceof Error && error.name === 'SpoolUnusable', String(error))
        return undefined
      },
    )
    isOpen = made < number
    await result?.close()
    await accept(await openTemp(t, { directory }), 100)
  }
})

test('backpressure: `write` of a large message waits for the disk, and no more than a bounded part is in memory', async (t) => {
  let written = 0
  const diskHooks: DiskHooks = {
    after: ({ call, path, bytes }) => void (call === 'write' && path.startsWith('large') && (written += bytes ?? 0)),
  }
  const spool = await openTemp(t, { diskHooks })
  const intake = spool.begin(nextQueueId())
  const chunk = Buffer.alloc(64 * 1024)
  let taken = 0
  let longest = 0
  for (let i = 0; i < 200; i++) {
    const wait = intake.write(chunk)
    taken += chunk.length
    longest = Math.max(longest, taken - written)
    if (wait !== undefined) await wait
  }
  assert.ok(longest < 1024 * 1024, `${longest} bytes were not on disk`)
  await intake.abort()
})
