// kill -9 of the whole relay at random moments under load. `npm run torture` does the same for longer.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { killRounds } from '../harness/kill-rounds.ts'

test('DU-1, DU-4: 20 kills at random moments lose no accepted message and double at most those in flight', async (context) => {
  const result = await killRounds(20, Math.random)
  context.diagnostic(JSON.stringify(result))
  assert.deepEqual(result.lost, [])
  assert.ok(result.accepted > 100, `too little load to prove anything: ${result.accepted} accepted`)
  assert.ok(result.duplicates <= result.duplicatesAllowed, `${result.duplicates} duplicates`)
})
