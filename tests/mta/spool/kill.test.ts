// DU-1 with real processes: killed with -9 at random moments while eight sessions accept, defer, deliver and remove.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seeded } from './crash-rounds.ts'
import { killAtStep, killRound } from './kill-writer.ts'
import { Promises, tempDirectory } from './spool-harness.ts'

test('DU-1: 20 processes killed with -9 at random moments lose nothing they answered for', async (t) => {
  const directory = tempDirectory(t)
  const promises = new Promises()
  const random = seeded(Date.now())
  for (let round = 0; round < 20; round++) await killRound(directory, promises, random() * 120, `round ${round}`)
  assert.ok(promises.accepted.size > 50, `${promises.accepted.size} accepted`)
})

test('DU-1: a process that kills itself before, within or after a write of the log loses nothing either', async (t) => {
  for (const [step, moment] of [
    [40, 'before'],
    [41, 'within'],
    [42, 'after'],
  ] as const) {
    assert.equal(await killAtStep(tempDirectory(t), step, moment), true)
  }
})
