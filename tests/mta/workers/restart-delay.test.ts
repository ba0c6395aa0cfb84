import assert from 'node:assert/strict'
import { test } from 'node:test'
import { restartDelayMs } from '../../../mta/workers/restart-delay.ts'

test('a worker that dies is back at once; one that goes on dying waits longer each time, half a minute at most', () => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1_000].map(restartDelayMs)
  assert.deepEqual(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000])
})
