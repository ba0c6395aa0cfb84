// LM-1 for the disk: each row at the limit, one before it and one past it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import type { RoomInUse, RoomLimits } from '../../../mta/spool/room.ts'
import { whyNearlyNoRoom, whyNoRoom } from '../../../mta/spool/room.ts'
import type { VolumeSpace } from '../../../mta/spool/disk.ts'

const GIB = 1024 ** 3
const EMPTY: RoomInUse = { messages: 0, bytes: 0 }
const LARGE: VolumeSpace = { totalBytes: 100 * GIB, freeBytes: 90 * GIB, freeInodeRatio: 0.9 }
const SMALL: VolumeSpace = { totalBytes: 2 * GIB, freeBytes: 1 * GIB, freeInodeRatio: 0.9 }
const TWO_MESSAGES = 2 * DEFAULT_LIMITS.messageBytes
const FULL_SHARE = 80 * GIB

const rows: [
  why: string,
  inUse: Partial<RoomInUse>,
  space: Partial<VolumeSpace>,
  declared: number,
  isTaken: boolean,
][] = [
  ['an empty spool on a large volume', {}, {}, 0, true],
  ['one message below the limit', { messages: 199_999 }, {}, 0, true],
  ['the limit of messages', { messages: 200_000 }, {}, 0, false],
  ['one past it', { messages: 200_001 }, {}, 0, false],
  ['5 % of a large volume free', {}, { freeBytes: 5 * GIB }, 0, true],
  ['one octet less', {}, { freeBytes: 5 * GIB - 1 }, 0, false],
  ['room for two of the largest messages on a small volume', {}, { ...SMALL, freeBytes: TWO_MESSAGES }, 0, true],
  ['one octet less', {}, { ...SMALL, freeBytes: TWO_MESSAGES - 1 }, 0, false],
  ['5 % of the inodes free', {}, { freeInodeRatio: 0.05 }, 0, true],
  ['fewer', {}, { freeInodeRatio: 0.0499 }, 0, false],
  ['80 % of the volume in use', { bytes: FULL_SHARE }, {}, 0, true],
  ['one octet more', { bytes: FULL_SHARE + 1 }, {}, 0, false],
  ['a declared size that just fits', { bytes: FULL_SHARE - 1000 }, {}, 1000, true],
  ["one that just doesn't", { bytes: FULL_SHARE - 1000 }, {}, 1001, false],
]
for (const [why, inUse, space, declared, isTaken] of rows) {
  test(`room at ${why}: ${isTaken ? 'taken' : 'refused'}`, () => {
    const limits: RoomLimits = DEFAULT_LIMITS
    const reason = whyNoRoom(limits, { ...EMPTY, ...inUse }, { ...LARGE, ...space }, declared)
    assert.equal(reason === undefined, isTaken, reason)
  })
}

const nearly: [why: string, inUse: Partial<RoomInUse>, space: Partial<VolumeSpace>, isReady: boolean][] = [
  ['an empty spool on a large volume', {}, {}, true],
  ['a quarter above the floor', {}, { freeBytes: 6.25 * GIB }, true],
  ['one octet less', {}, { freeBytes: 6.25 * GIB - 1 }, false],
  ['95 % of the messages', { messages: 190_000 }, {}, false],
  ['one fewer', { messages: 189_999 }, {}, true],
  ['a quarter above the floor of inodes', {}, { freeInodeRatio: 0.0625 }, true],
  ['fewer', {}, { freeInodeRatio: 0.0624 }, false],
  ['room for the largest message in the share', { bytes: FULL_SHARE - DEFAULT_LIMITS.messageBytes }, {}, true],
  ['one octet more in it', { bytes: FULL_SHARE - DEFAULT_LIMITS.messageBytes + 1 }, {}, false],
]
for (const [why, inUse, space, isReady] of nearly) {
  test(`BP-3 ${why}: ${isReady ? 'ready' : 'not ready'}`, () => {
    const reason = whyNearlyNoRoom(DEFAULT_LIMITS, { ...EMPTY, ...inUse }, { ...LARGE, ...space })
    assert.equal(reason === undefined, isReady, reason)
  })
}

test('BP-3 property: whenever mail is refused, the relay has said before that it is not ready; and an empty one is', () => {
  const limits = fc.record({
    messageBytes: fc.integer({ min: 65_536, max: GIB }),
    freeSpaceRatio: fc.double({ min: 0, max: 0.95, noNaN: true }),
    freeSpaceMessages: fc.integer({ min: 0, max: 4 }),
    freeInodeRatio: fc.double({ min: 0, max: 0.95, noNaN: true }),
    queuedMessages: fc.integer({ min: 1, max: 1_000 }),
    queuedVolumeRatio: fc.double({ min: 0.01, max: 1, noNaN: true }),
  })
  const used = fc.record({ messages: fc.nat({ max: 1_100 }), bytes: fc.nat({ max: 20 * GIB }) })
  const free = fc.record({
    freeBytes: fc.nat({ max: 10 * GIB }),
    freeInodeRatio: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  fc.assert(
    fc.property(limits, used, free, (some, inUse, space) => {
      const volume = { totalBytes: 10 * GIB, ...space }
      if (whyNoRoom(some, inUse, volume, 0) !== undefined) assert.ok(whyNearlyNoRoom(some, inUse, volume) !== undefined)
      const unused = { totalBytes: 100 * GIB, freeBytes: 100 * GIB, freeInodeRatio: 1 }
      assert.equal(whyNearlyNoRoom(some, EMPTY, unused), undefined)
    }),
  )
})
