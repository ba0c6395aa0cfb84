// Which calls an injected fault hits: always the same of the same run.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Faults } from '../../sandbox/faults/faults.ts'
import type { Fault, FaultPoint } from '../../sandbox/faults/faults.ts'

const users: FaultPoint = { service: 'graph', tenantId: 'c', operation: 'GET /users', isWrite: false }
const mailboxes: FaultPoint = { service: 'exchange', tenantId: 'c', operation: 'Get-Mailbox', isWrite: false }
const rule: FaultPoint = { ...mailboxes, operation: 'New-TransportRule', isWrite: true }

function fault(more: Partial<Fault> = {}): Fault {
  return { when: 'before', effect: { kind: 'status', status: 503 }, ...more }
}

function hits(faults: readonly Fault[], calls: readonly FaultPoint[]): (number | undefined)[] {
  const waiting = new Faults()
  for (const each of faults) waiting.add(each)
  return calls.map((call) => {
    const hit = waiting.take(call)
    return hit === undefined ? undefined : faults.indexOf(hit)
  })
}

const none = undefined

const ROWS: [why: string, faults: Fault[], calls: FaultPoint[], hits: (number | undefined)[]][] = [
  ['one fault hits the next call, once', [fault()], [users, users], [0, none]],
  ['three times', [fault({ times: 3 })], [users, mailboxes, users, users], [0, 0, 0, none]],
  ['from the third on', [fault({ nth: 3, times: 2 })], [users, users, users, users, users], [none, none, 0, 0, none]],
  ['of one service', [fault({ service: 'exchange' })], [users, mailboxes], [none, 0]],
  ['of one tenant', [fault({ tenantId: 'd' })], [users, { ...users, tenantId: 'd' }], [none, 0]],
  ['of one operation', [fault({ operation: 'get-mailbox' })], [users, mailboxes], [none, 0]],
  ['of one operation, not of those that begin like it', [fault({ operation: 'GET /user' })], [users], [none]],
  ['of operations that begin alike', [fault({ operation: 'GET /us*' })], [mailboxes, users], [none, 0]],
  ['of all operations', [fault({ operation: '*' })], [mailboxes], [0]],
  [
    'of what changes something',
    [fault({ isWrite: true, nth: 2 })],
    [rule, users, mailboxes, rule],
    [none, none, none, 0],
  ],
  ['of what changes nothing', [fault({ isWrite: false })], [rule, mailboxes], [none, 0]],
  [
    'counts matching calls only',
    [fault({ nth: 2, operation: 'GET /users' })],
    [users, mailboxes, users],
    [none, none, 0],
  ],
  ['the older goes first, the younger keeps what it has', [fault(), fault()], [users, users, users], [0, 1, none]],
  [
    'one that waits counts calls that another hits',
    [fault({ times: 2 }), fault({ nth: 3 })],
    [users, users, users],
    [0, 0, 1],
  ],
]
for (const [why, faults, calls, expected] of ROWS) {
  test(`faults: ${why}`, () => {
    assert.deepEqual(hits(faults, calls), expected)
  })
}

test('who listens is told of every hit, and of nothing else', () => {
  const faults = new Faults()
  const told: [Fault, FaultPoint][] = []
  const stop = faults.onHit((...hit) => told.push(hit))
  const one = fault({ nth: 2, times: 2 })
  faults.add(one)
  for (const call of [users, rule]) faults.take(call)
  assert.deepEqual(told, [[one, rule]])
  stop()
  faults.take(users)
  assert.equal(told.length, 1)
})

test('none is left after clearing', () => {
  const faults = new Faults()
  faults.add(fault({ times: 5 }))
  faults.clear()
  assert.equal(faults.take(users), undefined)
})

for (const wrong of [{ nth: 0 }, { times: 0 }, { nth: 1.5 }, { times: Number.NaN }]) {
  test(`a fault that counts from ${JSON.stringify(wrong)} is refused`, () => {
    assert.throws(() => new Faults().add(fault(wrong)), RangeError)
  })
}

test('a single fault hits exactly `times` calls from the `nth` matching one on, whatever else is called', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      fc.array(fc.boolean(), { maxLength: 30 }),
      (nth, times, calls) => {
        const one = fault({ nth, times, service: 'graph' })
        const found = hits(
          [one],
          calls.map((isUsers) => (isUsers ? users : mailboxes)),
        )
        let seen = 0
        const expected = calls.map((isUsers) => {
          if (!isUsers) return undefined
          seen++
          return seen >= nth && seen < nth + times ? 0 : undefined
        })
        assert.deepEqual(found, expected)
      },
    ),
  )
})
