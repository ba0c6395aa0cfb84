import assert from 'node:assert/strict'
import { test } from 'node:test'
import { processMemoryUse } from '../../../mta/inbound/memory-use.ts'

test('this process uses some of the memory it may have, and not all of it', () => {
  const use = processMemoryUse()
  assert.ok(use > 0 && use < 1, String(use))
})
