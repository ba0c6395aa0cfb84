// DU-1, DU-5, DU-8: the process or the machine stops anywhere, and what was promised is there. Here a sample of the stops, so that the suite
// stays quick; `npm run torture` makes them all.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import type { QueueId } from '../../../mta/queue-id.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import type { Life } from './crash-rounds.ts'
import { countSteps, powerCutRound, stopAfter, stopRound } from './crash-rounds.ts'
import {
  accept,
  assertIntact,
  nextQueueId,
  openTemp,
  optionsFor,
  recordingLog,
  stateAfter,
  tempDirectory,
  withSpool,
} from './spool-harness.ts'

test('DU-1: whichever system call is the last one, nothing accepted is lost and nothing removed comes back', async () => {
  const steps = await countSteps()
  assert.ok(steps > 80, String(steps))
  // Of the write that doesn't come to its end: nothing, a few bytes, most of a record.
  const cuts = [undefined, 30, 700]
  for (let last = 0; last < steps; last += 3) await stopRound(last, cuts[(last / 3) % cuts.length])
})

test('DU-1: a power cut that takes any unsynced pages and names with it costs nothing accepted', async () => {
  const steps = await countSteps()
  for (let last = 1; last < steps; last += 6) await powerCutRound(last, last)
})

test('SF-6: a removal is kept until the salt it removes is gone for certain, even when a power cut takes the overwriting back', async () => {
  const live: Life = async (options, promises) => {
    let removed: QueueId | undefined
    await withSpool(options, async (spool) => {
      await promises.accept(spool, 200_000)
      removed = await promises.accept(spool, 500)
    })
    // The removal is in another segment, which has nothing else in it and goes when the salt is overwritten.
    await withSpool(options, (spool) => promises.remove(spool, removed ?? nextQueueId()))
    await withSpool(options, async () => {})
  }
  const steps = await countSteps(live)
  for (let last = Math.floor(steps / 2); last < steps; last++) await powerCutRound(last, last, live)
})

test('DU-8: a message in hand at a process death is offered again with the death counted, and after three it is quarantined', async (t) => {
  const directory = tempDirectory(t)
  const poison = nextQueueId()
  let bystander: QueueId | undefined
  for (let deaths = 0; deaths < 3; deaths++) {
    const copy = tempDirectory(t)
    const spool = await openTemp(t, { directory })
    if (deaths === 0) {
      await accept(spool, 1_000, poison)
      bystander = await accept(spool, 1_000)
      await spool.update(bystander, stateAfter(1))
    } else {
      assert.equal(spool.find(poison)?.deaths, deaths)
      await assertIntact(spool, poison, 1_000)
      await spool.take(poison)
    }
    // Death: the directory as it is now, while the process still has the message in hand.
    fs.cpSync(directory, copy, { recursive: true })
    await spool.close()
    fs.rmSync(directory, { recursive: true })
    fs.renameSync(copy, directory)
  }
  const log = recordingLog()
  const spool = await openTemp(t, { directory, log })
  assert.equal(spool.find(poison), undefined)
  const [entry, ...more] = await spool.quarantine.list()
  assert.deepEqual(more, [])
  assert.equal(entry?.queueId, poison)
  assert.equal(entry?.reason, 'poison')
  assert.match((await spool.quarantine.export(poison)).toString('latin1'), /^Message-ID: /)
  if (bystander === undefined) throw new Error('unreachable')
  await assertIntact(spool, bystander, 1_000)
  assert.equal(spool.find(bystander)?.deaths, 0)
})

/** What the next process finds when this one dies now. */
async function afterDeath(
  directory: string,
  target: string,
  work: (found: Awaited<ReturnType<typeof openSpool>>) => void,
): Promise<void> {
  fs.cpSync(directory, target, { recursive: true })
  const found = await openSpool(optionsFor(target))
  work(found)
  await found.close()
}

test('DU-8: neither a closing in order, nor a death after the attempt was finished, counts', async (t) => {
  const directory = tempDirectory(t)
  let spool = await openSpool(optionsFor(directory))
  const inHand = await accept(spool, 100)
  const finished = await accept(spool, 100)
  await spool.update(finished, stateAfter(1))
  await spool.close()
  spool = await openSpool(optionsFor(directory))
  assert.equal(spool.find(inHand)?.deaths, 0)
  await afterDeath(directory, tempDirectory(t), (found) => {
    assert.equal(found.find(inHand)?.deaths, 0, 'taken by an earlier process, closed in order')
    assert.equal(found.find(finished)?.deaths, 0)
  })
  await spool.take(inHand)
  await spool.take(finished)
  await spool.update(finished, stateAfter(2))
  await afterDeath(directory, tempDirectory(t), (found) => {
    assert.equal(found.find(inHand)?.deaths, 1)
    assert.equal(found.find(finished)?.deaths, 0)
  })
  await spool.close()
})

test('DU-8: a start that is cut short anywhere neither forgets a death nor counts it twice', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openTemp(t, { directory })
  const queueId = await accept(spool, 100)
  for (let calls = 0, isThrough = false; !isThrough; calls++) {
    const copy = tempDirectory(t)
    fs.cpSync(directory, copy, { recursive: true })
    const { hooks, count } = stopAfter(calls)
    const cutShort = await openSpool(optionsFor(copy, { diskHooks: hooks })).catch(() => undefined)
    isThrough = count() <= calls
    fs.rmSync(`${copy}/lock`, { force: true })
    await afterDeath(copy, tempDirectory(t), (found) =>
      assert.equal(found.find(queueId)?.deaths, 1, `cut short after ${calls} calls`),
    )
    await cutShort?.close()
  }
})

test('DU-8: a finished attempt clears the count, putting a message on hold does not', async (t) => {
  const directory = tempDirectory(t)
  const copy = tempDirectory(t)
  const first = await openSpool(optionsFor(directory))
  const queueId = await accept(first, 100)
  fs.cpSync(directory, copy, { recursive: true })
  await first.close()
  let spool = await openSpool(optionsFor(copy))
  assert.equal(spool.find(queueId)?.deaths, 1)
  await spool.update(queueId, { ...stateAfter(0), isHeld: true })
  assert.equal(spool.find(queueId)?.deaths, 1)
  await spool.close()
  spool = await openSpool(optionsFor(copy))
  assert.equal(spool.find(queueId)?.deaths, 1)
  await spool.update(queueId, stateAfter(1))
  assert.equal(spool.find(queueId)?.deaths, 0)
  await spool.close()
})

test('DU-5: a start with 2,000 queued messages takes a fifth of the time that 10,000 are given', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openSpool(optionsFor(directory))
  await Promise.all(Array.from({ length: 2_000 }, () => accept(spool, 3_000)))
  await spool.close()
  // CPU rather than wall-clock time: what else the machine does meanwhile is not the spool's.
  const before = process.cpuUsage()
  const found = await openTemp(t, { directory })
  const { user, system } = process.cpuUsage(before)
  assert.equal(found.health().messages, 2_000)
  assert.ok(user + system < 1_000_000, `${(user + system) / 1e6} s`)
})
