import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newQueueId, numberQueueIds, parseQueueId } from '../../mta/queue-id.ts'

test('100,000 ids of one millisecond are all different, and all are ids', () => {
  const ids = new Set<string>()
  for (let i = 0; i < 100_000; i++) ids.add(newQueueId(1_763_800_000_000))
  assert.equal(ids.size, 100_000)
  for (const id of ids) assert.equal(parseQueueId(id), id)
})

test('ids of two workers are never the same, though both make them in the same milliseconds', (context) => {
  context.after(() => numberQueueIds(0))
  const ids = new Set<string>()
  for (const worker of [1, 2, 63]) {
    numberQueueIds(worker)
    for (let i = 0; i < 100_000; i++) ids.add(newQueueId(1_763_800_000_000 + Math.floor(i / 1000)))
  }
  assert.equal(ids.size, 300_000)
})

test('a clock that goes back and forth makes no id twice', () => {
  const ids = Array.from({ length: 100_000 }, (_, i) => newQueueId(1_800_000_000_000 - (i % 2)))
  assert.equal(new Set(ids).size, 100_000)
  assert.deepEqual(ids.toSorted(), ids)
})

test('ids sort by time', () => {
  // Later than all that was made before: of what is earlier the count alone would keep the order.
  const times = [0, 1, 31, 32, 1023, 1024, 1_000_000].map((ms) => 2_000_000_000_000 + ms)
  const ids = times.map(newQueueId)
  assert.deepEqual(ids.toSorted(), ids)
})

const examples: [text: string, isId: boolean, why: string][] = [
  ['01m81fr05r870pkc', true, 'people type small letters'],
  ['01M81FR05R870PKC', true, 'as printed'],
  ['01M81FR05R870PK', false, 'too short'],
  ['01M81FR05R870PKCX', false, 'too long'],
  ['01M81FR05R870PKU', false, 'U is not in the alphabet'],
  ['../../etc/passwd', false, 'a path of the same length'],
]
for (const [text, isId, why] of examples) {
  test(`parseQueueId(${JSON.stringify(text)}): ${why}`, () => assert.equal(parseQueueId(text) !== undefined, isId))
}
