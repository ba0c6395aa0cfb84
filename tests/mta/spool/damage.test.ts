// SF-1 and SF-4: whatever is done to the spool's files while it is closed is noticed, costs the messages it touches and no others, and
// what it touches is in quarantine.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { TAG_BYTES } from '../../../common/seal.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import { SpoolDamaged, SpoolUnusable } from '../../../mta/spool/contract.ts'
import { Disk } from '../../../mta/spool/disk.ts'
import {
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  decodeRecordHeader,
  findRecordMagic,
} from '../../../mta/spool/format.ts'
import type { RecordHeader } from '../../../mta/spool/format.ts'
import { RouteLists } from '../../../mta/spool/held-message.ts'
import { openKeyRing } from '../../../mta/spool/keys.ts'
import { LARGE_CHUNK_BYTES, LargeFileReader } from '../../../mta/spool/large-file.ts'
import { readStored } from '../../../mta/spool/read-message.ts'
import { recover } from '../../../mta/spool/recover.ts'
import { judgeGaps } from '../../../mta/spool/scan.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import type { OpenSpool } from '../../../mta/spool/spool.ts'
import {
  ROOT_KEY,
  T0,
  accept,
  assertIntact,
  bodyOf,
  errno,
  eventsOf,
  headerOf,
  openTemp,
  optionsFor,
  recordingLog,
  stateAfter,
  tempDirectory,
  wholeBody,
} from './spool-harness.ts'

interface Found {
  readonly header: RecordHeader
  readonly offset: number
  readonly end: number
}

const segmentsOf = (directory: string) => fs.readdirSync(directory).filter((name) => name.startsWith('segment-'))

/** The segment with the most in it. */
function segmentOf(directory: string): string {
  const bySize = segmentsOf(directory).map((name) => join(directory, name))
  return bySize.toSorted((a, b) => fs.statSync(b).size - fs.statSync(a).size)[0] ?? ''
}

function recordsOf(bytes: Buffer): Found[] {
  const found: Found[] = []
  for (let at = findRecordMagic(bytes, 0); at >= 0; at = findRecordMagic(bytes, at + 1)) {
    const header = decodeRecordHeader(bytes, at)
    if (header !== undefined) found.push({ header, offset: at, end: at + RECORD_HEADER_BYTES + header.payloadBytes })
  }
  return found
}

function alter(file: string, change: (bytes: Buffer) => Buffer | void): void {
  const bytes = fs.readFileSync(file)
  fs.writeFileSync(file, change(bytes) ?? bytes)
}

function flip(file: string, at: number): void {
  const fd = fs.openSync(file, 'r+')
  const byte = Buffer.alloc(1)
  fs.readSync(fd, byte, 0, 1, at)
  byte.writeUInt8(byte.readUInt8(0) ^ 0x41)
  fs.writeSync(fd, byte, 0, 1, at)
  fs.closeSync(fd)
}

/** A closed spool of `sizes`, in a directory of its own. */
async function closedSpool(directory: string, sizes: readonly number[]): Promise<QueueId[]> {
  const spool = await openSpool(optionsFor(directory))
  const ids: QueueId[] = []
  for (const bytes of sizes) ids.push(await accept(spool, bytes))
  await spool.close()
  return ids
}

interface Outcome {
  readonly events: string[]
  readonly quarantined: string[]
  readonly intact: QueueId[]
}

/** Opens the spool, reads all that is in it, and says what was noticed. Content that was altered unnoticed fails the test. */
async function examine(directory: string, sizes: ReadonlyMap<QueueId, number>): Promise<Outcome> {
  const log = recordingLog()
  const spool = await openSpool(optionsFor(directory, { log }))
  const intact: QueueId[] = []
  for (const { queueId } of Array.from(spool.entries())) {
    try {
      await assertIntact(spool, queueId, sizes.get(queueId) ?? -1)
      intact.push(queueId)
    } catch (error) {
      assert.ok(error instanceof SpoolDamaged, String(error))
      assert.equal(spool.find(queueId), undefined)
    }
  }
  const quarantined = (await spool.quarantine.list()).map(({ queueId }) => queueId)
  await spool.close()
  return { events: eventsOf(log), quarantined, intact }
}

const sizesOf = (ids: readonly QueueId[], sizes: readonly number[]) => new Map(ids.map((id, i) => [id, sizes[i] ?? 0]))

function copyOf(t: TestContext, directory: string): string {
  const copy = tempDirectory(t)
  fs.cpSync(directory, copy, { recursive: true })
  return copy
}

test('SF-1: every flipped byte of a log with each kind of record is noticed, and no message but the touched one is lost', async (t) => {
  const directory = tempDirectory(t)
  const spool = await openSpool(optionsFor(directory))
  const ids: QueueId[] = []
  for (const bytes of [40, 0, 17, 25]) ids.push(await accept(spool, bytes))
  const [first, second, third, fourth] = ids
  if (first === undefined || second === undefined || third === undefined || fourth === undefined)
    throw new Error('unreachable')
  await spool.update(second, stateAfter(1))
  await spool.take(second)
  await spool.update(third, stateAfter(1))
  await spool.update(third, stateAfter(2))
  await spool.remove(fourth)
  await spool.sweep(0) // stamps the fourth
  await spool.close()
  const file = segmentOf(directory)
  const good = fs.readFileSync(file)
  const records = recordsOf(good)
  assert.deepEqual(new Set(records.map(({ header }) => header.type)), new Set(['message', 'state', 'mark', 'remove']))
  const stamped = records.find(({ header }) => header.queueId === fourth)
  const disk = new Disk(directory)
  const keys = await openKeyRing(disk, ROOT_KEY, 'p1', false)
  for (let at = 0; at < good.length; at++) {
    // What a finished message leaves behind its header is nobody's any more: its removal says all there is to know.
    if (stamped !== undefined && at >= stamped.offset + RECORD_HEADER_BYTES && at < stamped.end) continue
    flip(file, at)
    const { damage, held } = await recover(disk, keys, new RouteLists(), () => T0)
    flip(file, at)
    const touched = records.find(({ offset, end }) => offset <= at && at < end)?.header
    const what = `byte ${at}, ${touched?.type ?? 'segment header'} of ${touched?.queueId ?? 'nobody'}`
    assert.ok(damage.length > 0, `unnoticed: ${what}`)
    const lost = [first, second, third].filter((queueId) => !held.has(queueId))
    assert.ok(
      lost.every((queueId) => queueId === touched?.queueId && touched.type === 'message'),
      `${what}: lost ${lost.join(' ')}`,
    )
    if (lost.length > 0)
      assert.ok(
        damage.some(({ bytes }) => bytes !== undefined && bytes.length > 0),
        `${what}: not kept`,
      )
  }
  const { damage, held } = await recover(disk, keys, new RouteLists(), () => T0)
  assert.deepEqual(damage, [])
  assert.equal(held.size, 3)
})

test('SF-1, SF-4: whatever is done to a log, what is read from it was written, and the start never fails over it', async (t) => {
  const directory = tempDirectory(t)
  const sizes = [40, 600, 17, 2_500, 90]
  const ids = await closedSpool(directory, sizes)
  const file = segmentOf(directory)
  const good = fs.readFileSync(file)
  const disk = new Disk(directory)
  const keys = await openKeyRing(disk, ROOT_KEY, 'p1', false)
  const at = fc.nat(good.length - 1)
  const length = fc.integer({ min: 1, max: 1_000 })
  const changes = fc.array(
    fc.oneof(
      fc.tuple(fc.constant('zero'), at, length, at),
      fc.tuple(fc.constant('copy'), at, length, at),
      fc.tuple(fc.constant('cut out'), at, length, at),
      fc.tuple(fc.constant('insert'), at, length, at),
      fc.tuple(fc.constant('cut off'), at, length, at),
    ),
    { minLength: 1, maxLength: 4 },
  )
  await fc.assert(
    fc.asyncProperty(changes, async (made) => {
      let bytes: Buffer = Buffer.from(good)
      for (const [kind, from, count, to] of made) {
        const [before, part, after] = [
          bytes.subarray(0, from),
          bytes.subarray(from, from + count),
          bytes.subarray(from + count),
        ]
        if (kind === 'zero') bytes = Buffer.concat([before, Buffer.alloc(part.length), after])
        else if (kind === 'copy') part.copy((bytes = Buffer.from(bytes)), Math.min(to, bytes.length))
        else if (kind === 'cut out') bytes = Buffer.concat([before, after])
        else if (kind === 'insert') bytes = Buffer.concat([before, part, part, after])
        else bytes = before
      }
      fs.writeFileSync(file, bytes)
      const { damage, held } = await recover(disk, keys, new RouteLists(), () => T0)
      const isLost = ids.some((queueId) => !held.has(queueId))
      assert.ok(!isLost || damage.length > 0)
      for (const message of held.values()) {
        const stored = await readStored(disk, keys, message)
        assert.ok('frame' in stored)
        assert.ok(stored.frame.rest.equals(bodyOf(message.queueId, sizes[ids.indexOf(message.queueId)] ?? -1)))
      }
    }),
    { numRuns: 300 },
  )
})

test("SF-1: every flipped byte of a large message's file is noticed, whether at its head, in a chunk or at its end", async (t) => {
  const directory = tempDirectory(t)
  const bodyBytes = 2 * LARGE_CHUNK_BYTES + 500
  const [queueId] = await closedSpool(directory, [bodyBytes])
  if (queueId === undefined) throw new Error('unreachable')
  const path = `large/${queueId}`
  const file = join(directory, path)
  const bytes = fs.readFileSync(file)
  const disk = new Disk(directory)
  const keys = await openKeyRing(disk, ROOT_KEY, 'p1', false)
  const salt = bytes.toString('hex', 52, 84)
  const totals = { salt, bodyBytes, headerBytes: headerOf(queueId).length }
  const isWhole = async () => {
    const reader = await LargeFileReader.open(disk, keys, path, queueId, totals)
    if (reader === undefined) return false
    let isGood = (await reader.header()) !== undefined
    for await (const chunk of reader.body()) isGood &&= chunk !== undefined
    await reader.close()
    return isGood
  }
  assert.ok(await isWhole())
  const chunkEnds = [1, 2].map((count) => 100 + count * (LARGE_CHUNK_BYTES + 16))
  for (let at = 0; at < bytes.length; at++) {
    const isAtAnEdge = at < 130 || at > bytes.length - 700 || chunkEnds.some((end) => Math.abs(at - end) < 30)
    if (!isAtAnEdge && at % 1_009 !== 0) continue
    flip(file, at)
    assert.equal(await isWhole(), false, `byte ${at}`)
    flip(file, at)
  }
  assert.ok(await isWhole())
})

const largeFaults: [what: string, change: (bytes: Buffer, other: Buffer) => Buffer][] = [
  ['two chunks swapped', (bytes) => swap(bytes, 100, 100 + LARGE_CHUNK_BYTES + 16, LARGE_CHUNK_BYTES + 16)],
  [
    'a chunk doubled over the next',
    (bytes) => copyWithin(bytes, 100 + LARGE_CHUNK_BYTES + 16, 100, LARGE_CHUNK_BYTES + 16),
  ],
  ['the last chunk and end cut off', (bytes) => bytes.subarray(0, 100 + LARGE_CHUNK_BYTES + 16)],
  ['one byte cut off', (bytes) => bytes.subarray(0, -1)],
  ['one byte added', (bytes) => Buffer.concat([bytes, Buffer.from([0])])],
  ['emptied', () => Buffer.alloc(0)],
  ['the file of another message', (_bytes, other) => other],
  ['its own head, the rest of another', (bytes, other) => Buffer.concat([bytes.subarray(0, 100), other.subarray(100)])],
  [
    'a chunk of another message',
    (bytes, other) =>
      Buffer.concat([
        bytes.subarray(0, 100),
        other.subarray(100, 100 + LARGE_CHUNK_BYTES + 16),
        bytes.subarray(100 + LARGE_CHUNK_BYTES + 16),
      ]),
  ],
]
for (const [what, change] of largeFaults) {
  test(`SF-1: a large message's file with ${what} is noticed and quarantined, the other one is read`, async (t) => {
    const directory = tempDirectory(t)
    const bytes = 3 * LARGE_CHUNK_BYTES
    const [queueId, otherId] = await closedSpool(directory, [bytes, bytes])
    if (queueId === undefined || otherId === undefined) throw new Error('unreachable')
    const other = fs.readFileSync(join(directory, 'large', otherId))
    alter(join(directory, 'large', queueId), (good) => change(good, other))
    const { quarantined, intact } = await examine(directory, sizesOf([queueId, otherId], [bytes, bytes]))
    assert.deepEqual(quarantined, [queueId])
    assert.deepEqual(intact, [otherId])
  })
}

function swap(bytes: Buffer, a: number, b: number, length: number): Buffer {
  const swapped = Buffer.from(bytes)
  bytes.copy(swapped, a, b, b + length)
  bytes.copy(swapped, b, a, a + length)
  return swapped
}

function copyWithin(bytes: Buffer, to: number, from: number, length: number): Buffer {
  const copied = Buffer.from(bytes)
  bytes.copy(copied, to, from, from + length)
  return copied
}

/** What may be lost: the ids by number; everything else must be intact. */
const logFaults: [
  what: string,
  mayLose: readonly number[],
  change: (bytes: Buffer, records: readonly Found[]) => Buffer,
][] = [
  [
    'two records swapped',
    [],
    (bytes, [, b, c]) =>
      Buffer.concat([
        bytes.subarray(0, b?.offset),
        bytes.subarray(c?.offset, c?.end),
        bytes.subarray(b?.offset, b?.end),
        bytes.subarray(c?.end),
      ]),
  ],
  [
    'a record copied over the next',
    [2],
    (bytes, [, b, c]) => copyWithin(bytes, c?.offset ?? 0, b?.offset ?? 0, (b?.end ?? 0) - (b?.offset ?? 0)),
  ],
  ['a record taken out', [1], (bytes, [, b]) => Buffer.concat([bytes.subarray(0, b?.offset), bytes.subarray(b?.end)])],
  [
    'a record zeroed',
    [1],
    (bytes, [, b]) =>
      Buffer.concat([
        bytes.subarray(0, b?.offset),
        Buffer.alloc((b?.end ?? 0) - (b?.offset ?? 0)),
        bytes.subarray(b?.end),
      ]),
  ],
  ['the last record cut off', [4], (bytes, records) => bytes.subarray(0, records.at(-1)?.offset)],
  ['half of the last record cut off', [4], (bytes, records) => bytes.subarray(0, (records.at(-1)?.offset ?? 0) + 70)],
  ['its length field made larger', [1], (bytes, [, b]) => withByte(bytes, (b?.offset ?? 0) + 9, 0x7f)],
  [
    'its length field made larger and the checksum right again',
    [1],
    (bytes, [, b]) => withLength(bytes, b?.offset ?? 0, 2_000),
  ],
  [
    'junk of a page in the middle',
    [1, 2],
    (bytes, [, b]) =>
      Buffer.concat([
        bytes.subarray(0, (b?.offset ?? 0) + 10),
        Buffer.alloc(400, 0xee),
        bytes.subarray((b?.offset ?? 0) + 410),
      ]),
  ],
  ['a page of zeros added at its end', [], (bytes) => Buffer.concat([bytes, Buffer.alloc(4096)])],
]

function withByte(bytes: Buffer, at: number, value: number): Buffer {
  const altered = Buffer.from(bytes)
  altered[at] = value
  return altered
}

function withLength(bytes: Buffer, offset: number, length: number): Buffer {
  const altered = Buffer.from(bytes)
  altered.writeUInt32BE(length, offset + 8)
  altered.writeUInt32BE(crc32(altered.subarray(offset, offset + 48)), offset + 48)
  return altered
}

for (const [what, mayLose, change] of logFaults) {
  test(`SF-4: a log with ${what}: the others are served, and what is lost is in quarantine`, async (t) => {
    const directory = tempDirectory(t)
    const sizes = [300, 300, 300, 300, 300]
    const ids = await closedSpool(directory, sizes)
    alter(segmentOf(directory), (bytes) => change(bytes, recordsOf(bytes)))
    const { events, quarantined, intact } = await examine(directory, sizesOf(ids, sizes))
    for (const [index, queueId] of ids.entries()) {
      if (!mayLose.includes(index)) assert.ok(intact.includes(queueId), `message ${index} is lost`)
    }
    if (what !== 'a page of zeros added at its end') assert.ok(events.includes('spool.damaged'), events.join(' '))
    if (intact.length < ids.length) assert.ok(quarantined.length > 0)
  })
}

test('SF-1: a segment that is missing, of another spool, an older copy of itself, or put there, is noticed', async (t) => {
  const directory = tempDirectory(t)
  const sizes = [300, 300]
  const ids = await closedSpool(directory, sizes)
  const foreign = tempDirectory(t)
  await closedSpool(foreign, [300])
  const older = copyOf(t, directory)
  const known = sizesOf(ids, sizes)

  const missing = copyOf(t, directory)
  fs.rmSync(segmentOf(missing))
  const afterMissing = await examine(missing, known)
  assert.ok(afterMissing.events.includes('spool.damaged'))
  assert.equal(afterMissing.quarantined.length, 1)

  const replaced = copyOf(t, directory)
  fs.copyFileSync(segmentOf(foreign), segmentOf(replaced))
  const afterReplaced = await examine(replaced, known)
  assert.ok(afterReplaced.events.includes('spool.damaged'))
  assert.deepEqual(afterReplaced.intact, [])

  const added = copyOf(t, directory)
  fs.copyFileSync(segmentOf(foreign), join(added, 'segment-0000000999'))
  const afterAdded = await examine(added, known)
  assert.ok(afterAdded.events.includes('spool.damaged'))
  assert.deepEqual(afterAdded.intact, ids)

  // The same keys, the same number, another history: two copies of the spool that each went on by themselves.
  const [one, other] = [copyOf(t, directory), copyOf(t, directory)]
  for (const fork of [one, other]) await closedSpool(fork, [300, 300, 300])
  const [latest] = segmentsOf(one).toSorted().toReversed()
  assert.ok(latest !== undefined && segmentsOf(other).includes(latest))
  fs.copyFileSync(join(other, latest), join(one, latest))
  const afterFork = await examine(one, known)
  assert.ok(afterFork.events.includes('spool.damaged'))
  assert.deepEqual(afterFork.intact, ids)

  // A message was removed and its segment dropped; the copy of before must not bring it back.
  const spool = await openSpool(optionsFor(directory))
  for (const queueId of ids) await spool.remove(queueId)
  await spool.sweep(0)
  await spool.close()
  for (const name of segmentsOf(older))
    if (!fs.existsSync(join(directory, name))) fs.copyFileSync(join(older, name), join(directory, name))
  assert.deepEqual((await examine(directory, known)).intact, [])
})

test('SF-4: with the list of segments damaged or gone the spool says so and serves everything', async (t) => {
  const directory = tempDirectory(t)
  const sizes = [300, 300]
  const ids = await closedSpool(directory, sizes)
  const length = fs.statSync(join(directory, 'manifest')).size
  for (let at = 0; at <= length; at += 7) {
    const copy = copyOf(t, directory)
    if (at + 7 > length) fs.rmSync(join(copy, 'manifest'))
    else flip(join(copy, 'manifest'), at)
    const { events, intact, quarantined } = await examine(copy, sizesOf(ids, sizes))
    assert.ok(events.includes('spool.damaged'), `byte ${at}`)
    assert.deepEqual(intact, ids)
    assert.deepEqual(quarantined, [])
  }
})

test("SF-4: damage that can't be saved because the disk is full is neither dropped nor forgotten", async (t) => {
  for (const damageAt of [20, 300]) {
    const directory = tempDirectory(t)
    const sizes = [300, 300, 300]
    const ids = await closedSpool(directory, sizes)
    // Without the list of segments a segment's header can't be made good from elsewhere.
    if (damageAt < SEGMENT_HEADER_BYTES) fs.rmSync(join(directory, 'manifest'))
    flip(segmentOf(directory), damageAt)
    const diskHooks = {
      before: ({ path }: { path: string }) => (path.startsWith('quarantine/') ? { error: errno('ENOSPC') } : undefined),
    }
    const full = await openSpool(optionsFor(directory, { diskHooks })).catch((error: unknown) => {
      assert.ok(error instanceof SpoolUnusable)
    })
    if (full !== undefined) await full.sweep(0)
    await full?.close()
    const { quarantined, intact } = await examine(directory, sizesOf(ids, sizes))
    assert.equal(quarantined.length, 1, `damage at ${damageAt}`)
    assert.deepEqual(intact, damageAt < SEGMENT_HEADER_BYTES ? [] : ids.slice(1))
  }
})

test('SF-4: damage is told once: after the next sweep the spool opens without a word', async (t) => {
  const directory = tempDirectory(t)
  const sizes = [300, 300, 300]
  const ids = await closedSpool(directory, sizes)
  const file = segmentOf(directory)
  flip(file, (recordsOf(fs.readFileSync(file))[1]?.offset ?? 0) + 200)
  const first = await examine(directory, sizesOf(ids, sizes))
  assert.deepEqual(first.quarantined, [ids[1]])
  const second = await examine(directory, sizesOf(ids, sizes))
  assert.deepEqual(second.events, [])
  assert.deepEqual(second.intact, [ids[0], ids[2]])
  assert.deepEqual(second.quarantined, [ids[1]])
})

test('SF-4: damage that appears while the spool is open is found when the message is read, and the others go on', async (t) => {
  const directory = tempDirectory(t)
  const sizes = [300, 300, 500_000]
  const ids = await closedSpool(directory, sizes)
  const log = recordingLog()
  const spool = await openTemp(t, { directory, log })
  const file = segmentOf(directory)
  flip(file, (recordsOf(fs.readFileSync(file))[1]?.offset ?? 0) + 200)
  const [first, second, third] = ids
  if (first === undefined || second === undefined || third === undefined) throw new Error('unreachable')
  await assert.rejects(spool.read(second), SpoolDamaged)
  assert.equal(spool.find(second), undefined)
  const message = await spool.read(third)
  flip(join(directory, 'large', third), 400_000)
  await assert.rejects(wholeBody(message), SpoolDamaged)
  await message.close()
  assert.equal(spool.find(third), undefined)
  await assertIntact(spool, first, 300)
  assert.equal(spool.health().quarantined, 2)
  assert.deepEqual(eventsOf(log), ['spool.quarantined', 'spool.quarantined'])
})

async function quarantinedOne(
  t: TestContext,
  bytes: number,
  at: (file: Buffer) => number,
  isLarge = false,
): Promise<[OpenSpool, QueueId]> {
  const directory = tempDirectory(t)
  const [queueId] = await closedSpool(directory, [bytes])
  if (queueId === undefined) throw new Error('unreachable')
  const file = isLarge ? join(directory, 'large', queueId) : segmentOf(directory)
  flip(file, at(fs.readFileSync(file)))
  const spool = await openTemp(t, { directory })
  await spool
    .read(queueId)
    .then(wholeBody)
    .catch(() => {})
  return [spool, queueId]
}

test('SF-4: an operator exports what can still be read of a damaged message, and removes it', async (t) => {
  const [spool, queueId] = await quarantinedOne(t, 5_000, (bytes) => bytes.length - 1_000)
  const [entry, ...more] = await spool.quarantine.list()
  assert.deepEqual(more, [])
  assert.equal(entry?.queueId, queueId)
  assert.equal(entry?.reason, 'damaged')
  const exported = await spool.quarantine.export(queueId)
  const whole = Buffer.concat([headerOf(queueId), bodyOf(queueId, 5_000)])
  assert.equal(exported.length, whole.length)
  assert.equal(exported.filter((byte, i) => byte !== whole[i]).length, 1)
  await spool.quarantine.remove(queueId)
  assert.deepEqual(await spool.quarantine.list(), [])
  assert.equal(spool.health().quarantined, 0)
  await assert.rejects(spool.quarantine.export(queueId))
})

test('SF-1, SF-4: zeros at the end of a closed log are damage like any other, and what is before them is exported whole', async (t) => {
  const directory = tempDirectory(t)
  const [first, last] = await closedSpool(directory, [40, 5_000])
  if (first === undefined || last === undefined) throw new Error('unreachable')
  const file = segmentOf(directory)
  const record = recordsOf(fs.readFileSync(file)).at(-1)
  assert.equal(record?.header.queueId, last)
  const sizes = sizesOf([first, last], [40, 5_000])

  // The tag ends it; two octets of the body more.
  const cut = copyOf(t, directory)
  alter(segmentOf(cut), (bytes) => void bytes.fill(0, bytes.length - TAG_BYTES - 2))
  assert.deepEqual(await examine(cut, sizes), {
    events: ['spool.damaged', 'spool.quarantined'],
    quarantined: [last],
    intact: [first],
  })
  const spool = await openTemp(t, { directory: cut })
  const exported = await spool.quarantine.export(last)
  const whole = Buffer.concat([headerOf(last), bodyOf(last, 5_000)])
  assert.equal(exported.length, whole.length)
  assert.ok(exported.subarray(0, -2).equals(whole.subarray(0, -2)))

  const gone = copyOf(t, directory)
  alter(segmentOf(gone), (bytes) => void bytes.fill(0, record.offset))
  const { events, intact } = await examine(gone, sizes)
  assert.deepEqual([events[0], intact], ['spool.damaged', [first]])
})

test('SF-4: where the end of a log is not known, zeros behind its last record were written ahead, and those within a record are its own', () => {
  const header = { queueId: 'q' } as RecordHeader
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES + 100)
  bytes.fill(1, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 30)
  const gaps = [{ from: SEGMENT_HEADER_BYTES, to: bytes.length }]
  const offset = SEGMENT_HEADER_BYTES
  const rejected = [{ header, offset, record: bytes.subarray(offset, offset + 40) }]
  const damagedTo = (...[records, known]: [typeof rejected, 'end' | 'whole']) =>
    judgeGaps(bytes, gaps, { accepted: [], rejected: records }, known).damaged.map(({ to }) => to - offset)
  assert.deepEqual(damagedTo([], 'whole'), [30])
  assert.deepEqual(damagedTo(rejected, 'whole'), [40])
  assert.deepEqual(damagedTo([], 'end'), [100])
})

test('SF-4: of a damaged large message all but the damaged octet is exported', async (t) => {
  const [spool, queueId] = await quarantinedOne(t, 600_000, () => 300_000, true)
  const exported = await spool.quarantine.export(queueId)
  const whole = Buffer.concat([headerOf(queueId), bodyOf(queueId, 600_000)])
  assert.equal(exported.length, whole.length)
  assert.equal(exported.filter((byte, i) => byte !== whole[i]).length, 1)
  await spool.quarantine.remove(queueId)
})

test('SF-4: a large message whose record is damaged beyond recognition is kept too, and exported from its own end', async (t) => {
  const [spool, queueId] = await quarantinedOne(t, 600_000, (bytes) => (recordsOf(bytes)[0]?.offset ?? 0) + 34)
  const names = (await spool.quarantine.list()).map((entry) => entry.queueId)
  assert.ok(names.includes(queueId), names.join(' '))
  assert.ok(
    (await spool.quarantine.export(queueId)).equals(Buffer.concat([headerOf(queueId), bodyOf(queueId, 600_000)])),
  )
})

test("a quarantine name can't lead out of its directory", async (t) => {
  const spool = await openTemp(t)
  for (const name of ['../keys', 'a/b', '', 'x'.repeat(65), '.', 'a.entry']) {
    await assert.rejects(spool.quarantine.export(name), name)
    await assert.rejects(spool.quarantine.remove(name), name)
  }
})

test('a tear at the end of the log is no damage', async (t) => {
  const directory = tempDirectory(t)
  const sizes = [300, 300]
  const spool = await openSpool(optionsFor(directory))
  const ids: QueueId[] = []
  for (const bytes of sizes) ids.push(await accept(spool, bytes))
  const copy = tempDirectory(t)
  fs.cpSync(directory, copy, { recursive: true })
  await spool.close()
  const file = segmentOf(copy)
  const last = recordsOf(fs.readFileSync(file)).at(-1)
  alter(file, (bytes) =>
    Buffer.concat([bytes.subarray(0, (last?.offset ?? SEGMENT_HEADER_BYTES) + 80), Buffer.alloc(4096)]),
  )
  const { events, intact, quarantined } = await examine(copy, sizesOf(ids, sizes))
  assert.deepEqual(events, ['spool.torn-write'])
  assert.deepEqual(intact, [ids[0]])
  assert.deepEqual(quarantined, [])
})
