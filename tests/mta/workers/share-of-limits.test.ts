import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import { shareOfLimits } from '../../../mta/workers/share-of-limits.ts'

const COUNTS = [
  'connections',
  'connectionsPerAddress',
  'newConnectionsPerSecondAndAddress',
  'queuedMessages',
  'largePartsWaiting',
] as const
const NEXT_HOP = ['nextHopConnections', 'nextHopConnectionsPerHost'] as const
const RATIOS = ['memoryHighWaterRatio', 'queuedVolumeRatio'] as const

test('one worker has the limits as they are', () => {
  assert.deepEqual(shareOfLimits(DEFAULT_LIMITS, 1, 1), DEFAULT_LIMITS)
})

test('the shares add up to what was configured, and to less than one a process more', () => {
  const limit = fc.integer({ min: 1, max: 100_000 })
  fc.assert(
    fc.property(limit, fc.integer({ min: 1, max: 64 }), fc.integer({ min: 0, max: 64 }), (whole, workers, left) => {
      const processes = workers + left
      const limits = { ...DEFAULT_LIMITS }
      for (const name of [...COUNTS, ...NEXT_HOP]) limits[name] = whole
      const share = shareOfLimits(limits, workers, processes)
      for (const [names, count] of [
        [COUNTS, workers],
        [NEXT_HOP, processes],
      ] as const) {
        for (const name of names) {
          assert.ok(share[name] * count >= whole, name)
          assert.ok((share[name] - 1) * count < whole, name)
        }
      }
    }),
  )
})

test('every limit that is not shared holds for one message, session or reply, or looks at the volume', () => {
  const share = shareOfLimits(DEFAULT_LIMITS, 2, 2)
  const changed = Object.entries(DEFAULT_LIMITS).filter(([name, value]) => share[name as keyof typeof share] !== value)
  assert.deepEqual(changed.map(([name]) => name).toSorted(), [...COUNTS, ...NEXT_HOP, ...RATIOS].toSorted())
})
