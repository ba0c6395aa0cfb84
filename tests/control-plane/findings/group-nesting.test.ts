// Groups within groups: cycles by table, against a slow and obvious definition, and in linear time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { judgeNesting } from '../../../control-plane/findings/group-nesting.ts'

type Edge = readonly [string, string]
const edges = (text: string): Edge[] => text.split(' ').map((pair) => [pair[0] ?? '', pair[1] ?? ''])

test('groups that contain each other are told once, each set by itself', () => {
  const cases: readonly (readonly [edges: string, cycles: string[], why: string])[] = [
    ['ab bc', [], 'a chain is none'],
    ['ab bc ac', [], 'two ways to the same group are none'],
    ['aa', ['a'], 'a group that is in itself'],
    ['ab ba', ['ab'], 'two in each other'],
    ['ab bc ca cd de', ['abc'], 'what hangs on a cycle is not of it'],
    ['ab ba cd dc bc', ['ab', 'cd'], 'two cycles with a bridge'],
    ['ab bc ca bd da', ['abcd'], 'two cycles with a group in common are one'],
  ]
  for (const [text, cycles, why] of cases)
    assert.deepEqual(
      judgeNesting(edges(text)).cycles.map((cycle) => cycle.join('')),
      cycles,
      why,
    )
})

/** a and b reach each other, by walking. */
function obvious(list: readonly Edge[]): string[] {
  const reach = (from: string): Set<string> => {
    const seen = new Set<string>()
    const open = [from]
    for (let at = open.pop(); at !== undefined; at = open.pop())
      for (const [group, member] of list) if (group === at && !seen.has(member)) open.push((seen.add(member), member))
    return seen
  }
  const names = [...new Set(list.flat())].toSorted()
  const reached = new Map(names.map((name) => [name, reach(name)]))
  const cycles = names
    .filter((name) => reached.get(name)?.has(name) === true)
    .map((name) =>
      names
        .filter((other) => reached.get(name)?.has(other) === true && reached.get(other)?.has(name) === true)
        .join(''),
    )
  return [...new Set(cycles)].toSorted()
}

test('cycles are what walking finds, in whatever order memberships come', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g')
  const edge = fc.tuple(name, name)
  fc.assert(
    fc.property(fc.uniqueArray(edge, { selector: (pair) => pair.join(''), maxLength: 20 }), (list) => {
      const wanted = obvious(list)
      for (const order of [list, list.toReversed()])
        assert.deepEqual(
          judgeNesting(order).cycles.map((cycle) => cycle.join('')),
          wanted,
        )
    }),
  )
})

test('a ring of 100,000 groups is one cycle, found without recursion', () => {
  const count = 100_000
  const ring = Array.from({ length: count }, (_, n): Edge => [`g${n}`, `g${(n + 1) % count}`])
  const { cycles, nested } = judgeNesting(ring)
  assert.equal(cycles.length, 1)
  assert.equal(cycles[0]?.length, count)
  assert.equal(nested.size, count)
})
