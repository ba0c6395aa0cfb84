import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FRAME_KINDS, MAX_FRAME_BYTES } from '../../../common/relay-contract.ts'
import type { FrameKind } from '../../../common/relay-contract.ts'
import { encodeFrame, FrameDecoder, FrameFault, partFrames } from '../../../mta/mapping/frames.ts'

const kinds = Object.keys(FRAME_KINDS) as FrameKind[]

test('frames come out as they went in, wherever the network cuts them', () => {
  const frame = fc.record({ kind: fc.constantFrom(...kinds), payload: fc.uint8Array({ maxLength: 300 }) })
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
      (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(({ kind, payload }) => encodeFrame(kind, payload)))
        const decoder = new FrameDecoder()
        const out = []
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const length = cuts[i % cuts.length] ?? 1
          out.push(...decoder.push(bytes.subarray(at, at + length)))
          at += length
        }
        assert.ok(decoder.isBetweenFrames)
        assert.deepEqual(
          out.map(({ kind, payload }) => ({ kind, payload: new Uint8Array(payload) })),
          frames.map(({ kind, payload }) => ({ kind, payload: new Uint8Array(payload) })),
        )
      },
    ),
  )
})

const hostile: [head: Buffer, why: string][] = [
  [Buffer.from([0, 0, 0, 0, 1]), 'a frame without a kind'],
  [Buffer.from([0xff, 0xff, 0xff, 0xff, 1]), 'four gigabytes'],
  [Buffer.from([0, 0x10, 0, 1, 1]), 'one octet more than a frame may have'],
  [Buffer.from([0, 0, 0, 1, 0]), 'kind 0'],
  [Buffer.from([0, 0, 0, 1, 8]), 'a kind of a later version'],
  [Buffer.from('HTTP/1.1 502 Bad Gateway\r\n'), 'something else altogether'],
]
for (const [head, why] of hostile) {
  test(`refused before anything is kept of it: ${why}`, () => {
    assert.throws(() => new FrameDecoder().push(head), FrameFault)
  })
}

test('the largest frame is taken, and what a decoder keeps is never more than one', () => {
  const decoder = new FrameDecoder()
  const largest = encodeFrame('chunk', Buffer.alloc(MAX_FRAME_BYTES - 1))
  assert.equal(decoder.push(largest.subarray(0, 10)).length, 0)
  assert.equal(decoder.isBetweenFrames, false)
  const [frame] = decoder.push(largest.subarray(10))
  assert.equal(frame?.payload.length, MAX_FRAME_BYTES - 1)
  assert.throws(() => encodeFrame('chunk', Buffer.alloc(MAX_FRAME_BYTES)), RangeError)
})

test('any octets either are frames or are refused: nothing else is thrown', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        new FrameDecoder().push(Buffer.from(bytes))
      } catch (error) {
        assert.ok(error instanceof FrameFault)
      }
    }),
  )
})

test('a part of any size is one beginning and chunks that fit', () => {
  const [begin, ...chunks] = [...partFrames('settings', Buffer.alloc(600_000))]
  assert.equal(begin?.subarray(5).toString(), '{"name":"settings"}')
  assert.equal(
    chunks.reduce((sum, chunk) => sum + chunk.length - 5, 0),
    600_000,
  )
  assert.deepEqual([...partFrames('settings', Buffer.alloc(0))].length, 1)
})
