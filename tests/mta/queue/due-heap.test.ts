import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DueHeap } from '../../../mta/queue/due-heap.ts'
import { Fifo } from '../../../mta/queue/fifo.ts'

test('property: what is due comes out in order of time, and what was taken out does not come', () => {
  const step = fc.oneof(
    fc.record({ push: fc.integer({ min: 0, max: 50 }) }),
    fc.record({ removeAt: fc.nat(100) }),
    fc.record({ shiftTo: fc.integer({ min: 0, max: 50 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new DueHeap<{ dueMs: number; heapIndex: number }>()
      let model: { dueMs: number; heapIndex: number }[] = []
      for (const each of steps) {
        if ('push' in each) {
          const item = { dueMs: each.push, heapIndex: -1 }
          heap.push(item)
          model.push(item)
        } else if ('removeAt' in each) {
          const item = model[each.removeAt % Math.max(1, model.length)]
          if (item === undefined) continue
          heap.remove(item)
          assert.equal(item.heapIndex, -1)
          heap.remove(item)
          model = model.filter((other) => other !== item)
        } else {
          const item = heap.shiftDue(each.shiftTo)
          const earliest = Math.min(...model.map(({ dueMs }) => dueMs))
          assert.equal(item?.dueMs, earliest <= each.shiftTo ? earliest : undefined)
          model = model.filter((other) => other !== item)
        }
        assert.equal(heap.first?.dueMs ?? Infinity, Math.min(...model.map(({ dueMs }) => dueMs)))
      }
    }),
  )
})

test('property: a line gives out what was put in, in order', () => {
  const step = fc.oneof(fc.record({ push: fc.integer() }), fc.constant('shift' as const))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const line = new Fifo<number>()
      const model: number[] = []
      for (const each of steps) {
        if (each === 'shift') {
          assert.equal(line.shift(), model.shift())
        } else {
          line.push(each.push)
          model.push(each.push)
        }
        assert.equal(line.first, model[0])
        assert.equal(line.length, model.length)
        assert.deepEqual([...line], model)
      }
    }),
  )
})

test('a long line is emptied in linear time', () => {
  const line = new Fifo<number>()
  const began = performance.now()
  for (let i = 0; i < 300_000; i++) line.push(i)
  for (let i = 0; i < 300_000; i++) assert.equal(line.shift(), i)
  assert.equal(line.shift(), undefined)
  assert.ok(performance.now() - began < 2_000)
})
