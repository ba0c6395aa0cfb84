// Who is let through when, in virtual time: budgets kept, turns fair, nobody forgotten. (microsoft-365.md §3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Governor } from '../../../control-plane/microsoft/governor.ts'
import type { Claim, Permit } from '../../../control-plane/microsoft/governor.ts'
import { MicrosoftError } from '../../../control-plane/microsoft/microsoft-error.ts'
import { pause } from '../../../control-plane/microsoft/pace.ts'
import { SHARE } from '../../../control-plane/microsoft/throttle.ts'
import { VirtualPace } from './virtual-pace.ts'

const perTenSeconds = (bucket: string, amount: number, cost = 1): Claim => ({
  bucket,
  limit: { units: { amount, windowMs: 10_000 } },
  cost,
})
const together = (bucket: string, concurrent: number): Claim => ({ bucket, limit: { concurrent }, cost: 1 })

function standing(): VirtualPace {
  const pace = new VirtualPace()
  pace.standsStill = true
  return pace
}

test('callers take turns, and each keeps his order', async () => {
  const governor = new Governor(new VirtualPace())
  const held = await governor.acquire({ claims: [together('b', 1)], caller: 'first' })
  const order: string[] = []
  const asked = ['a1', 'a2', 'a3', 'b1', 'c1', 'c2'].map(async (name) => {
    const permit = await governor.acquire({ claims: [together('b', 1)], caller: name.slice(0, 1) })
    order.push(name)
    permit.done({})
  })
  held.done({})
  await Promise.all(asked)
  assert.deepEqual(order, ['a1', 'b1', 'c1', 'a2', 'c2', 'a3'])
})

test('a dear call is not starved by cheap ones behind it, not even by those of another line', async () => {
  const governor = new Governor(new VirtualPace())
  const order: string[] = []
  const ask = async (name: string, cost: number, other: string) => {
    const claims = [together(other, 1_000), perTenSeconds('shared', 20, cost)]
    ;(await governor.acquire({ claims, caller: name })).done({})
    order.push(name)
  }
  await ask('fills', 15, 'x')
  await Promise.all([ask('dear', 10, 'x'), ask('cheap 1', 1, 'y'), ask('cheap 2', 1, 'z')])
  assert.deepEqual(order, ['fills', 'dear', 'cheap 1', 'cheap 2'])
})

test('who lacks nothing is not kept by who does: reads pass a write that waits', async () => {
  const governor = new Governor(new VirtualPace())
  const write = { claims: [together('exchange', 100), together('writes', 1)], caller: 'w' }
  const first = await governor.acquire(write)
  let isSecondThrough = false
  const second = governor.acquire(write).then((permit) => {
    isSecondThrough = true
    permit.done({})
  })
  ;(await governor.acquire({ claims: [together('exchange', 100), together('reads', 3)], caller: 'r' })).done({})
  assert.equal(isSecondThrough, false)
  first.done({})
  await second
})

test('a pause of one budget holds everybody who needs it, and nobody else', async () => {
  const pace = new VirtualPace()
  const governor = new Governor(pace)
  const first = await governor.acquire({ claims: [together('x', 9)], caller: 'a' })
  first.done({ throttled: { retryAfterMs: 40_000 } })
  ;(await governor.acquire({ claims: [together('y', 9)], caller: 'a' })).done({})
  assert.equal(pace.monotonicMs(), 0)
  ;(await governor.acquire({ claims: [together('z', 9), together('x', 9)], caller: 'b' })).done({})
  assert.equal(pace.monotonicMs(), 40_000)
})

test('who would wait for more than a minute is told at once when to come back', async () => {
  const pace = new VirtualPace()
  const governor = new Governor(pace)
  const held = await governor.acquire({ claims: [together('x', 9)], caller: 'a' })
  const waiting = [1, 2].map(() => governor.acquire({ claims: [together('x', 1)], caller: 'b' }))
  held.done({ throttled: { retryAfterMs: 300_000 } })
  for (const { status, reason } of (await Promise.allSettled(waiting)) as PromiseRejectedResult[]) {
    assert.equal(status, 'rejected')
    assert.ok(reason instanceof MicrosoftError)
    assert.deepEqual([reason.code, reason.status, reason.waitMs], ['THROTTLED', undefined, 300_000])
  }
  assert.equal(pace.monotonicMs(), 0)
})

test('who waited a minute for calls that did not end is told to come back, and those after him are served', async () => {
  const pace = new VirtualPace()
  const governor = new Governor(pace)
  const held = await governor.acquire({ claims: [together('x', 1)], caller: 'a' })
  await assert.rejects(governor.acquire({ claims: [together('x', 1)], caller: 'a' }), { code: 'THROTTLED' })
  assert.equal(pace.monotonicMs(), 60_000)
  const next = governor.acquire({ claims: [together('x', 1)], caller: 'a' })
  held.done({})
  ;(await next).done({})
})

test('a line that is full takes nobody more of that caller, but of others', async () => {
  const governor = new Governor(standing(), { maxWaitMs: 60_000, maxWaiting: 2 })
  const held = await governor.acquire({ claims: [together('x', 1)], caller: 'a' })
  const ask = (caller: string) => governor.acquire({ claims: [together('x', 1)], caller })
  const waiting = [ask('a'), ask('a'), ask('b')]
  await assert.rejects(ask('a'), { code: 'THROTTLED' })
  held.done({})
  await Promise.all(waiting.map(async (each) => (await each).done({})))
})

test('who is called off leaves the line with the reason, and the next is served', async () => {
  const governor = new Governor(new VirtualPace())
  const aborter = new AbortController()
  const fill = await governor.acquire({ claims: [perTenSeconds('x', 10, 8)], caller: 'a' })
  fill.done({})
  const dear = governor.acquire({ claims: [perTenSeconds('x', 10, 9)], caller: 'a', signal: aborter.signal })
  const cheap = governor.acquire({ claims: [perTenSeconds('x', 10, 1)], caller: 'a' })
  const reason = new Error('not wanted any more')
  aborter.abort(reason)
  await assert.rejects(dear, reason)
  ;(await cheap).done({})
  await assert.rejects(
    governor.acquire({ claims: [perTenSeconds('x', 10, 1)], caller: 'a', signal: aborter.signal }),
    reason,
  )
})

test('a permit counts as done once', async () => {
  const governor = new Governor(standing())
  const ask = () => governor.acquire({ claims: [together('x', 2)], caller: 'a' })
  const [first] = [await ask(), await ask()]
  first?.done({})
  first?.done({})
  const third = await ask()
  let isThrough = false
  const fourth = ask().then((permit: Permit) => {
    isThrough = true
    permit.done({})
  })
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isThrough, false)
  third.done({})
  await fourth
})

test('whatever comes: every call is let through or told when to come back, and no budget is ever passed', async () => {
  const call = fc.record({
    caller: fc.constantFrom('a', 'b', 'c'),
    cost: fc.integer({ min: 1, max: 6 }),
    line: fc.constantFrom('p', 'q'),
    afterMs: fc.nat(5_000),
    takesMs: fc.nat(2_000),
    retryAfterMs: fc.option(fc.integer({ min: 1, max: 90_000 }), { freq: 9, nil: undefined }),
    isCalledOff: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  })
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 10, max: 60 }), fc.array(call, { maxLength: 40 }), async (amount, calls) => {
      const pace = new VirtualPace()
      const governor = new Governor(pace)
      const sent: { atMs: number; cost: number }[] = []
      const running = { p: 0, q: 0 }
      let told = 0
      let calledOff = 0
      await Promise.all(
        calls.map(async ({ caller, cost, line, afterMs, takesMs, retryAfterMs, isCalledOff }) => {
          await pause(pace, afterMs, undefined)
          const aborter = new AbortController()
          if (isCalledOff) setImmediate(() => aborter.abort(new Error('off')))
          const claims = [together(line, 3), perTenSeconds('units', amount, cost)]
          try {
            const permit = await governor.acquire({ claims, caller, signal: aborter.signal })
            sent.push({ atMs: pace.monotonicMs(), cost })
            running[line]++
            assert.ok(running[line] <= 3)
            await pause(pace, takesMs, undefined)
            running[line]--
            permit.done(retryAfterMs === undefined ? {} : { throttled: { retryAfterMs } })
          } catch (error) {
            if (error instanceof MicrosoftError) told++
            else {
              assert.match(String(error), /off/)
              calledOff++
            }
          }
        }),
      )
      assert.equal(sent.length + told + calledOff, calls.length)
      for (const { atMs: from } of sent) {
        const inWindow = sent.filter(({ atMs }) => atMs >= from && atMs < from + 10_000)
        assert.ok(inWindow.reduce((sum, { cost }) => sum + cost, 0) <= amount * SHARE)
      }
    }),
    { numRuns: 60 },
  )
})
