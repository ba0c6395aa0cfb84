// What the rest of the relay may rely on (mta/spool/contract.ts), on a spool that nothing goes wrong with.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { emptyMetrics } from '../../../common/metrics.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import { SpoolFull } from '../../../mta/spool/contract.ts'
import { INLINE_BYTES } from '../../../mta/spool/intake.ts'
import { LARGE_CHUNK_BYTES } from '../../../mta/spool/large-file.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import { aRecord } from '../a-record.ts'
import {
  ROOT_KEY,
  T0,
  accept,
  assertIntact,
  headerOf,
  nextQueueId,
  openTemp,
  optionsFor,
  recordingLog,
  reopen,
  stateAfter,
  tempDirectory,
} from './spool-harness.ts'

const sizes: [bytes: number, why: string][] = [
  [0, 'no body at all'],
  [1, 'one octet'],
  [4_096, 'an ordinary message'],
  [INLINE_BYTES - headerOf(nextQueueId()).length, 'the largest that the log takes'],
  [INLINE_BYTES - headerOf(nextQueueId()).length + 1, 'the smallest with a file of its own'],
  [4 * LARGE_CHUNK_BYTES, 'a body that ends with a chunk'],
  [1_000_000, 'many chunks'],
]

test('DU-1: a committed message is there, byte for byte, at once and after a restart', async (t) => {
  const directory = tempDirectory(t)
  let spool = await openSpool(optionsFor(directory))
  const ids = []
  for (const [bytes, why] of sizes) ids.push({ queueId: await accept(spool, bytes), bytes, why })
  for (const { queueId, bytes } of ids) await assertIntact(spool, queueId, bytes)
  spool = await reopen(spool, optionsFor(directory))
  for (const { queueId, bytes } of ids) await assertIntact(spool, queueId, bytes)
  await spool.close()
})

test('a message is not in the spool before its commit, and never after an abort', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openTemp(t, { directory })
  for (const bytes of [100, INLINE_BYTES * 2]) {
    const queueId = nextQueueId()
    const intake = spool.begin(queueId)
    await intake.write(Buffer.alloc(bytes))
    assert.equal(spool.find(queueId), undefined)
    await intake.abort()
    await intake.abort()
    assert.equal(spool.find(queueId), undefined)
  }
  assert.deepEqual(fs.readdirSync(join(directory, 'large')), [])
})

test('a body is the same at any chunking, and the chunk may be reused once `write` has resolved', async (t) => {
  const spool = await openTemp(t)
  for (const chunkBytes of [1, 977, 65_536, LARGE_CHUNK_BYTES + 1, 1_000_000]) {
    const queueId = nextQueueId()
    const total = chunkBytes === 1 ? 3_000 : 700_000
    const intake = spool.begin(queueId)
    const expected = Buffer.alloc(total)
    for (let at = 0; at < total; at += chunkBytes) {
      const chunk = Buffer.alloc(Math.min(chunkBytes, total - at), at % 251)
      chunk.copy(expected, at)
      await intake.write(chunk)
      chunk.fill(0xff)
    }
    await intake.commit(headerOf(queueId), aRecord({ queueId, bodyBytes: total }), stateAfter(0))
    const message = await spool.read(queueId)
    for (let pass = 0; pass < 2; pass++) {
      const chunks = []
      for await (const chunk of message.body()) chunks.push(chunk)
      assert.ok(Buffer.concat(chunks).equals(expected), `chunks of ${chunkBytes}, pass ${pass}`)
    }
    await message.close()
    await message.close()
  }
})

test('entries come in the order of acceptance, also after a restart and after being moved', async (t) => {
  const directory = tempDirectory(t)
  let spool = await openSpool(optionsFor(directory))
  const ids = []
  for (let i = 0; i < 20; i++) ids.push(await accept(spool, 100))
  const kept = ids.filter((_, i) => i % 2 === 0)
  for (const queueId of ids) if (!kept.includes(queueId)) await spool.remove(queueId)
  spool = await reopen(spool, optionsFor(directory))
  await spool.sweep(0)
  spool = await reopen(spool, optionsFor(directory))
  assert.deepEqual(
    [...spool.entries()].map(({ queueId }) => queueId),
    kept,
  )
  await spool.close()
})

test('an entry shows what the queue needs: sender, sizes, routes still queued, state', async (t) => {
  const spool = await openTemp(t)
  const queueId = nextQueueId()
  const recipient = (route: string) => ({ path: 'a@x.example', received: 'a@x.example', route })
  const recipients = ['mailbox', 'return', 'mailbox'].map(recipient)
  const record = aRecord({ queueId, reversePath: '', isOwnReport: true, recipients, headerBytes: 50, bodyBytes: 7 })
  const queued = { kind: 'queued' } as const
  const intake = spool.begin(queueId)
  await intake.write(Buffer.alloc(7))
  await intake.commit(headerOf(queueId), record, { ...stateAfter(0), recipients: [queued, queued, queued] })
  const entry = spool.find(queueId)
  assert.deepEqual(entry?.routes, ['mailbox', 'return'])
  assert.equal(entry?.isNullSender, true)
  assert.equal(entry?.isOwnReport, true)
  assert.equal(entry?.recipientCount, 3)
  assert.equal(entry?.sizeBytes, 57)
  const delivered = {
    kind: 'delivered',
    reply: { code: 250, status: '2.0.0', text: 'ok' },
    remote: 'mx',
    at: T0,
  } as const
  const state = { ...stateAfter(1, T0 + 60_000), isHeld: true, recipients: [queued, delivered, delivered] }
  await spool.update(queueId, state)
  assert.deepEqual(spool.find(queueId)?.routes, ['mailbox'])
  assert.deepEqual(spool.find(queueId)?.state, { attempts: 1, nextAttemptAt: T0 + 60_000, isHeld: true, isDead: false })
  const message = await spool.read(queueId)
  assert.deepEqual(message.state, state)
  assert.deepEqual(message.record, record)
})

test('DU-4: the last delivery state is the one a restart finds', async (t) => {
  const directory = tempDirectory(t)
  let spool = await openSpool(optionsFor(directory))
  const queueId = await accept(spool, 500)
  const largeId = await accept(spool, 500_000)
  for (const attempts of [1, 2, 3]) {
    await spool.update(queueId, stateAfter(attempts))
    await spool.update(largeId, stateAfter(attempts + 10))
  }
  spool = await reopen(spool, optionsFor(directory))
  assert.equal((await assertIntact(spool, queueId, 500)).attempts, 3)
  assert.equal((await assertIntact(spool, largeId, 500_000)).attempts, 13)
  assert.equal(spool.find(largeId)?.state.attempts, 13)
  await spool.close()
})

test('a removed message is gone for good, its file too, and removing it again is nothing', async (t) => {
  const directory = tempDirectory(t)
  let spool = await openSpool(optionsFor(directory))
  const ids = [await accept(spool, 500), await accept(spool, 500_000)]
  const kept = await accept(spool, 500)
  for (const queueId of ids) await spool.remove(queueId)
  for (const queueId of ids) await spool.remove(queueId)
  assert.deepEqual(fs.readdirSync(join(directory, 'large')), [])
  spool = await reopen(spool, optionsFor(directory))
  for (const queueId of ids) assert.equal(spool.find(queueId), undefined)
  await assertIntact(spool, kept, 500)
  await spool.close()
})

test('operations on one message at the same time take effect one after the other', async (t) => {
  const spool = await openTemp(t)
  const queueId = await accept(spool, 500)
  await Promise.all([
    spool.take(queueId),
    ...[1, 2, 3, 4].map((attempts) => spool.update(queueId, stateAfter(attempts))),
  ])
  assert.equal((await assertIntact(spool, queueId, 500)).attempts, 4)
  await Promise.all([spool.remove(queueId), spool.remove(queueId)])
  assert.equal(spool.find(queueId), undefined)
})

test('a message that is being read can be removed meanwhile', async (t) => {
  const spool = await openTemp(t)
  const queueId = await accept(spool, 1_000_000)
  const message = await spool.read(queueId)
  await spool.remove(queueId)
  let bytes = 0
  for await (const chunk of message.body()) bytes += chunk.length
  assert.equal(bytes, 1_000_000)
  await message.close()
})

test('LM-1: at the limit of queued messages the next one is refused, and taken again when one has gone', async (t) => {
  const spool = await openTemp(t, { limits: { ...DEFAULT_LIMITS, queuedMessages: 3 } })
  const first = await accept(spool, 10)
  for (let i = 0; i < 2; i++) {
    spool.checkRoom(1000)
    await accept(spool, 10)
  }
  assert.throws(() => spool.checkRoom(1000), SpoolFull)
  await assert.rejects(accept(spool, 10), SpoolFull)
  assert.match(spool.health().refusing ?? '', /too many messages/)
  assert.equal(spool.health().messages, 3)
  await spool.remove(first)
  spool.checkRoom(1000)
  assert.equal(spool.health().refusing, undefined)
})

test('many messages at once share syncs, and each is durable when its commit returns', async (t) => {
  let syncs = 0
  const diskHooks = { after: ({ call }: { call: string }) => void (syncs += call === 'sync' ? 1 : 0) }
  const spool = await openTemp(t, { diskHooks })
  const before = syncs
  const ids = await Promise.all(Array.from({ length: 100 }, () => accept(spool, 1_000)))
  assert.ok(syncs - before <= 5, `${syncs - before} syncs for 100 messages`)
  for (const queueId of ids) await assertIntact(spool, queueId, 1_000)
})

test('the log goes on in a new segment when one is full, and drops segments in which nothing is left', async (t) => {
  const directory = tempDirectory(t)
  let spool = await openSpool(optionsFor(directory))
  const held = await accept(spool, 1_000)
  const bytes = 250_000
  for (let round = 0; round < 40; round++) {
    const ids = await Promise.all(Array.from({ length: 10 }, () => accept(spool, bytes)))
    await Promise.all(ids.map((queueId) => spool.remove(queueId)))
  }
  await spool.sweep(0)
  const left = fs.readdirSync(directory).filter((name) => name.startsWith('segment-'))
  assert.ok(left.length <= 3, left.join(' '))
  await assertIntact(spool, held, 1_000)
  spool = await reopen(spool, optionsFor(directory))
  await assertIntact(spool, held, 1_000)
  assert.equal(spool.health().messages, 1)
  await spool.close()
})

test('SF-7: directories are 0700, files 0600, and no file name carries an address', async (t) => {
  const directory = join(tempDirectory(t), 'spool')
  const spool = await openTemp(t, { directory })
  await accept(spool, 100)
  await accept(spool, 500_000)
  await spool.remove(await accept(spool, 100))
  await spool.sweep(0)
  assert.equal(fs.statSync(directory).mode & 0o777, 0o700)
  for (const name of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const stat = fs.statSync(join(directory, name))
    assert.equal(stat.mode & 0o777, stat.isDirectory() ? 0o700 : 0o600, name)
    assert.doesNotMatch(name, /@|alice|dana|example/)
  }
})

test('SF-3: neither content nor addresses nor keys are ever on the disk in the clear', async (t) => {
  const directory = tempDirectory(t)
  const seen: string[] = []
  const canaries = ['canary', 'alice@', 'dana@', 'fabrikam', ROOT_KEY.toString('latin1'), ROOT_KEY.toString('hex')]
  const search = () => {
    for (const name of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
      if (fs.statSync(join(directory, name)).isDirectory()) continue
      const bytes = fs.readFileSync(join(directory, name))
      for (const canary of canaries)
        if (bytes.includes(Buffer.from(canary, 'latin1'))) seen.push(`${canary} in ${name}`)
    }
  }
  const spool = await openTemp(t, { directory, diskHooks: { after: ({ call }) => void (call === 'sync' && search()) } })
  const small = await accept(spool, 1_000)
  const intake = spool.begin(nextQueueId())
  await intake.write(Buffer.from('canary '.repeat(100_000)))
  search()
  await intake.abort()
  await spool.update(await accept(spool, 400_000), {
    ...stateAfter(1),
    recipients: [{ kind: 'queued', lastReply: { code: 450, status: '4.2.0', text: 'canary dana@example.net' } }],
  })
  await spool.remove(small)
  await spool.sweep(0)
  search()
  assert.deepEqual(seen, [])
})

test('what the spool measures is in the registry it is given', async (t) => {
  const metrics = emptyMetrics()
  const spool = await openTemp(t, { metrics })
  await accept(spool, 1_000)
  const text = await metrics.metrics()
  assert.match(text, /causeway_spool_records_total 1/)
  assert.match(text, /causeway_spool_sync_seconds_count 1/)
})

test("the timer sweeps by itself, and doesn't keep the process alive", async (t) => {
  let now = T0
  const directory = tempDirectory(t)
  const spool = await openTemp(t, { directory, sweepEveryMs: 5, now: () => now, log: recordingLog() })
  const kept = await accept(spool, 1_000)
  const gone = await accept(spool, 1_000)
  await spool.remove(gone)
  const segment = join(directory, fs.readdirSync(directory).find((name) => name.startsWith('segment-')) ?? '')
  const before = fs.readFileSync(segment)
  now += 30_000
  for (let i = 0; i < 200 && fs.readFileSync(segment).equals(before); i++)
    await new Promise((resolve) => setTimeout(resolve, 5))
  assert.notDeepEqual(fs.readFileSync(segment), before)
  await assertIntact(spool, kept, 1_000)
})
