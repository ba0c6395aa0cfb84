// The forms of the spool's files, by themselves: what is encoded decodes to the same, and nothing else decodes at all.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { newQueueId } from '../../../mta/queue-id.ts'
import {
  FORMAT_VERSION,
  MAX_PAYLOAD_BYTES,
  PREFIX_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_TYPES,
  decodeFrame,
  decodeRecordHeader,
  encodeFrameHead,
  encodeRecordHeader,
  filePrefix,
  judgePrefix,
} from '../../../mta/spool/format.ts'
import type { RecordHeader } from '../../../mta/spool/format.ts'

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const headers: fc.Arbitrary<RecordHeader> = fc.record(
  {
    type: fc.constantFrom(...RECORD_TYPES),
    keyId: fc.integer({ min: 0, max: 2 ** 16 - 1 }),
    payloadBytes: fc.integer({ min: 0, max: 5_000 }),
    segment: uint32,
    generation: uint32,
    groupStart: uint32,
    sequence: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
    queueId: fc.integer({ min: 0, max: 2 ** 48 }).map((ms) => newQueueId(ms)),
  },
  { noNullPrototype: true },
)

test('a record header decodes to what was encoded, wherever it stands, and only while its record is whole', () => {
  fc.assert(
    fc.property(headers, fc.integer({ min: 0, max: 50 }), (header, offset) => {
      const record = Buffer.concat([
        Buffer.alloc(offset),
        encodeRecordHeader(header),
        Buffer.alloc(header.payloadBytes),
      ])
      assert.deepEqual(decodeRecordHeader(record, offset), header)
      assert.equal(decodeRecordHeader(record.subarray(0, -1), offset), undefined)
      assert.equal(decodeRecordHeader(record, offset + 1), undefined)
    }),
  )
})

test('SF-1: no flipped bit of a record header goes unnoticed by its checksum', () => {
  fc.assert(
    fc.property(headers, fc.integer({ min: 0, max: RECORD_HEADER_BYTES * 8 - 1 }), (header, bit) => {
      const record = Buffer.concat([encodeRecordHeader(header), Buffer.alloc(header.payloadBytes)])
      record.writeUInt8(record.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      assert.equal(decodeRecordHeader(record, 0), undefined)
    }),
  )
})

test('a length beyond what a record may have is not believed', () => {
  const [header] = fc.sample(headers, 1)
  assert.ok(header)
  const record = encodeRecordHeader({ ...header, payloadBytes: MAX_PAYLOAD_BYTES + 1 })
  assert.equal(decodeRecordHeader(record, 0), undefined)
})

test('a frame decodes to its parts, and a shorter one to nothing', () => {
  const text = fc.string({ unit: 'binary', maxLength: 60 })
  fc.assert(
    fc.property(text, text, fc.uint8Array(), fc.uint8Array(), fc.boolean(), (record, state, header, rest, isInHand) => {
      const head = encodeFrameHead(isInHand, 2, record, state, header.length)
      const whole = Buffer.concat([head, header, rest])
      const frame = decodeFrame(whole)
      assert.deepEqual(frame?.record, Buffer.from(record))
      assert.deepEqual(frame?.state, Buffer.from(state))
      assert.ok(frame?.header.equals(header))
      assert.ok(frame?.rest.equals(rest))
      assert.equal(frame?.isInHand, isInHand)
      assert.equal(frame?.deaths, 2)
      if (head.length + header.length > 0)
        assert.equal(decodeFrame(whole.subarray(0, head.length + header.length - 1)), undefined)
    }),
  )
})

test("SF-5: a file's first bytes tell its kind, and a later version from damage", () => {
  for (const kind of ['segment', 'large', 'manifest', 'quarantine'] as const) {
    const prefix = filePrefix(kind)
    assert.equal(prefix.length, PREFIX_BYTES)
    assert.equal(prefix.readUInt16BE(8), FORMAT_VERSION)
    assert.equal(judgePrefix(kind, prefix), 'known')
    assert.equal(judgePrefix(kind === 'large' ? 'segment' : 'large', prefix), 'damaged')
    assert.equal(judgePrefix(kind, prefix.subarray(1)), 'damaged')
    for (let bit = 0; bit < PREFIX_BYTES * 8; bit++) {
      const altered = Buffer.from(prefix)
      altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      assert.equal(judgePrefix(kind, altered), 'damaged', `bit ${bit}`)
    }
  }
})
