import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { findPartitions, findSpools, makesProbes, planPartitions } from '../../../mta/workers/partitions.ts'

const plans: [workers: number, found: number[], takes: string[], empties: string[], why: string][] = [
  [1, [], ['/spool'], [], 'one worker has the directory itself'],
  [1, [0], ['/spool'], [], 'and what it holds'],
  [2, [], ['/spool/worker-1', '/spool/worker-2'], [], 'several have a part each'],
  [2, [0, 1], ['/spool/worker-1', '/spool/worker-2'], ['/spool'], 'what one worker left is emptied'],
  [1, [1, 3], ['/spool'], ['/spool/worker-1', '/spool/worker-3'], 'what several left likewise'],
  [2, [3, 2, 12], ['/spool/worker-1', '/spool/worker-2'], ['/spool/worker-3', '/spool/worker-12'], 'fewer than before'],
]
for (const [workers, found, takes, empties, why] of plans) {
  test(`${workers} workers, mail in ${JSON.stringify(found)}: ${why}`, () => {
    const planned = planPartitions('/spool', workers, found)
    const directories = (takesMail: boolean) =>
      planned.filter((each) => each.takesMail === takesMail).map(({ directory }) => directory)
    assert.deepEqual([directories(true), directories(false)], [takes, empties])
  })
}

test('whatever was there: each part is planned once, and none that holds mail is left out', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.uniqueArray(fc.integer({ min: 0, max: 999 })), (workers, found) => {
      const planned = planPartitions('/spool', workers, found)
      const numbers = planned.map(({ worker }) => worker)
      assert.equal(new Set(numbers).size, numbers.length)
      assert.equal(new Set(planned.map(({ directory }) => directory)).size, numbers.length)
      assert.equal(planned.filter(({ takesMail }) => takesMail).length, workers)
      for (const worker of found) assert.ok(numbers.includes(worker))
    }),
  )
})

test('a part holds something when it has a segment or a large message; other names are nobody’s', (context) => {
  const top = mkdtempSync(join(tmpdir(), 'causeway-partitions-'))
  context.after(() => rmSync(top, { recursive: true }))
  const part = (name: string, ...files: string[]) => {
    mkdirSync(join(top, name, 'large'), { recursive: true })
    for (const file of ['keys', ...files]) writeFileSync(join(top, name, file), '')
  }
  part('worker-1', 'segment-0000000001')
  part('worker-2', 'large/01M8HQBSE7SQX7V7')
  part('worker-3')
  part('worker-01', 'segment-0000000001')
  part('worker-x', 'segment-0000000001')
  part('.', 'manifest')
  assert.deepEqual(
    findPartitions(top, 1).map(({ worker, takesMail }) => [worker, takesMail]),
    [
      [0, true],
      [1, false],
      [2, false],
    ],
  )
  assert.deepEqual(
    findSpools(top),
    ['.', 'worker-1', 'worker-2', 'worker-3'].map((name) => join(top, name)),
  )
  assert.deepEqual(findSpools(join(top, 'nowhere')), [])
  assert.equal(findPartitions(join(top, 'nowhere'), 2).length, 2)
})

test('SP-11: one process makes the probes, whatever number of workers there was before', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 16 }), fc.uniqueArray(fc.nat(16)), (workers, found) => {
      assert.equal(planPartitions('spool', workers, found).filter(makesProbes).length, 1)
    }),
  )
})
