// SF-6: what finished messages leave on the disk goes: their salts within a minute, the space they took soon after.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { QueueId } from '../../../mta/queue-id.ts'
import { RECORD_HEADER_BYTES, decodeRecordHeader, findRecordMagic } from '../../../mta/spool/format.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import { SWEEP_EVERY_MS } from '../../../mta/spool/sweep.ts'
import { T0, accept, assertIntact, openTemp, optionsFor, reopen, stateAfter, tempDirectory } from './spool-harness.ts'

const MIB = 1024 * 1024

/** Salts of the message that are still on the disk, stamps not counted. */
function saltsOf(directory: string, queueId: QueueId): string[] {
  const salts: string[] = []
  for (const name of fs.readdirSync(directory).filter((file) => file.startsWith('segment-'))) {
    const bytes = fs.readFileSync(join(directory, name))
    for (let at = findRecordMagic(bytes, 0); at >= 0; at = findRecordMagic(bytes, at + 1)) {
      const header = decodeRecordHeader(bytes, at)
      if (header?.queueId !== queueId || (header.type !== 'message' && header.type !== 'large')) continue
      const salt = bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + 32)
      if (salt.readUInt32BE(12) !== 0) salts.push(salt.toString('hex'))
    }
  }
  return salts
}

const diskBytes = (directory: string) =>
  fs
    .readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .reduce((sum, name) => sum + fs.statSync(join(directory, name)).size, 0)

for (const bytes of [2_000, 400_000]) {
  test(`SF-6: a finished message of ${bytes} bytes can't be read any more within 60 s, though queued mail keeps its segment`, async (t) => {
    let now = T0
    const directory = tempDirectory(t)
    const spool = await openTemp(t, { directory, now: () => now })
    const queued = await Promise.all([accept(spool, 200_000), accept(spool, 200_000)])
    const finished = await accept(spool, bytes)
    assert.equal(saltsOf(directory, finished).length, 1)
    await spool.remove(finished)
    now += SWEEP_EVERY_MS // by then the timer has swept once, at the latest
    await spool.sweep()
    assert.deepEqual(saltsOf(directory, finished), [])
    assert.ok(2 * SWEEP_EVERY_MS <= 60_000)
    assert.deepEqual(fs.readdirSync(join(directory, 'large')), [])
    for (const queueId of queued) await assertIntact(spool, queueId, 200_000)
  })
}

test('SF-6: a message finished just now is left for the next sweep', async (t) => {
  let now = T0
  const directory = tempDirectory(t)
  const spool = await openTemp(t, { directory, now: () => now })
  await accept(spool, 200_000)
  const finished = await accept(spool, 2_000)
  await spool.remove(finished)
  now += SWEEP_EVERY_MS - 1
  await spool.sweep()
  assert.equal(saltsOf(directory, finished).length, 1)
  now += 1
  await spool.sweep()
  assert.equal(saltsOf(directory, finished).length, 0)
})

test('SF-6: closing leaves no finished message readable', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openSpool(optionsFor(directory))
  const kept = await accept(spool, 200_000)
  const finished = [await accept(spool, 2_000), await accept(spool, 400_000)]
  for (const queueId of finished) await spool.remove(queueId)
  await spool.close()
  for (const queueId of finished) assert.deepEqual(saltsOf(directory, queueId), [])
  await assertIntact(await openTemp(t, { directory }), kept, 200_000)
})

test('SF-6: a finished message stays finished when its salt is gone, across crashes and restarts', async (t) => {
  const directory = tempDirectory(t)
  let spool = await openSpool(optionsFor(directory))
  const kept = await accept(spool, 200_000)
  const finished = await accept(spool, 2_000)
  await spool.update(finished, stateAfter(1))
  await spool.remove(finished)
  await spool.sweep(0)
  for (let restart = 0; restart < 3; restart++) {
    const copy = tempDirectory(t)
    fs.cpSync(directory, copy, { recursive: true })
    const found = await openTemp(t, { directory: copy })
    assert.equal(found.find(finished), undefined)
    await assertIntact(found, kept, 200_000)
    spool = await reopen(spool, optionsFor(directory))
  }
  await spool.close()
})

test('SF-6: where little is queued it moves out and the segment goes; all of it survives, with state, mark and order', async (t) => {
  const directory = tempDirectory(t)
  let spool = await openSpool(optionsFor(directory))
  const small = await accept(spool, 500)
  const deferred = await accept(spool, 700)
  const large = await accept(spool, 400_000)
  const inHand = await accept(spool, 900)
  await spool.update(small, stateAfter(2))
  await spool.update(large, stateAfter(3))
  await spool.update(deferred, stateAfter(0))
  const ballast = await Promise.all(Array.from({ length: 8 }, () => accept(spool, 250_000)))
  const [first] = fs.readdirSync(directory).filter((name) => name.startsWith('segment-'))
  spool = await reopen(spool, optionsFor(directory))
  await spool.take(inHand)
  await spool.update(deferred, stateAfter(5)) // in another segment than the message
  await Promise.all([small, ...ballast].map((queueId) => spool.remove(queueId)))
  // Far less than a quarter of the first segment is alive now.
  await spool.sweep(0)
  spool = await reopen(spool, optionsFor(directory))
  assert.ok(!fs.readdirSync(directory).includes(first ?? ''), 'the first segment is still there')
  assert.deepEqual(
    [...spool.entries()].map(({ queueId }) => queueId),
    [deferred, large, inHand],
  )
  assert.equal((await assertIntact(spool, deferred, 700)).attempts, 5)
  assert.equal((await assertIntact(spool, large, 400_000)).attempts, 3)
  assert.equal((await assertIntact(spool, inHand, 900)).attempts, 0)
  await spool.close()
})

test('SF-6: with one message held while very many pass, dead bytes stay within live bytes + 256 MiB', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openTemp(t, { directory })
  const held = await accept(spool, 1_000)
  let most = 0
  // Each round keeps one message of the round before, so that every segment has something in it that pins it and the next.
  let previous: QueueId | undefined
  for (let round = 0; round < 55; round++) {
    const ids = await Promise.all(Array.from({ length: 24 }, () => accept(spool, 255_000)))
    await Promise.all(ids.slice(1).map((queueId) => spool.remove(queueId)))
    if (previous !== undefined) await spool.remove(previous)
    previous = ids[0]
    most = Math.max(most, diskBytes(directory))
  }
  assert.ok(most < 257 * MIB, `${Math.round(most / MIB)} MiB`)
  assert.ok(most > 32 * MIB, 'the test has not filled a segment')
  await spool.sweep(0)
  assert.ok(diskBytes(directory) < 72 * MIB, `${Math.round(diskBytes(directory) / MIB)} MiB after the sweep`)
  await assertIntact(spool, held, 1_000)
})

test("SF-6: states of messages that stay for days don't fill the disk either", async (t) => {
  const directory = tempDirectory(t)
  const spool = await openTemp(t, { directory })
  const ids = await Promise.all(Array.from({ length: 20 }, () => accept(spool, 500)))
  const text = 'x'.repeat(250_000)
  const recipients = [{ kind: 'queued', lastReply: { code: 450, status: '4.2.0', text } }] as const
  for (let attempts = 1; attempts <= 55; attempts++) {
    await Promise.all(ids.map((queueId) => spool.update(queueId, { ...stateAfter(attempts), recipients })))
    assert.ok(diskBytes(directory) < 257 * MIB)
  }
  for (const queueId of ids) assert.equal((await assertIntact(spool, queueId, 500)).attempts, 55)
})
