// LM-1 for the disk: each row at the limit, one before it and one past it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import type { RoomInUse, RoomLimits } from '../../../mta/spool/room.ts'
import { whyNoRoom } from '../../../mta/spool/room.ts'
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
