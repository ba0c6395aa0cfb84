// Steps in a row: each is told once, a failure leaves out the rest but what tidies up, and what is shown says so.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shownEnd, shownStep, stepLine } from '../../../cli/tour/display.ts'
import { pictureOf } from '../../../cli/tour/picture.ts'
import { runSteps } from '../../../cli/tour/run-steps.ts'
import type { StepOutcome, TourStep } from '../../../cli/tour/step.ts'

const holds = (name: string): TourStep<string[]> => ({
  name,
  title: `to ${name}`,
  run: async (ran, step) => {
    ran.push(name)
    step.demand('one thing', true)
    return 'done'
  },
})
const fails = (name: string): TourStep<string[]> => ({
  name,
  title: `to ${name}`,
  run: async (ran, step) => {
    ran.push(name)
    step.demandEqual('the sum', 3, 4)
    return 'never'
  },
})
const tidies: TourStep<string[]> = { ...holds('tidy'), isTidying: true }

async function run(steps: readonly TourStep<string[]>[], signal = new AbortController().signal) {
  const ran: string[] = []
  const outcomes: StepOutcome[] = []
  const noop = () => {}
  const isHolding = await runSteps(steps, ran, {
    began: noop,
    progress: noop,
    shown: noop,
    ended: (outcome) => outcomes.push(outcome),
    monotonicMs: () => 0,
    signal,
  })
  return { ran, isHolding, states: outcomes.map(({ state }) => state), outcomes }
}

test('all of them are run in their order', async () => {
  const { ran, isHolding, states } = await run([holds('go'), holds('stay'), tidies])
  assert.deepEqual([ran, isHolding, states], [['go', 'stay', 'tidy'], true, ['held', 'held', 'held']])
})

test('after a failure only what tidies up is run', async () => {
  const { ran, isHolding, states, outcomes } = await run([holds('go'), fails('fall'), holds('stay'), tidies])
  assert.deepEqual([ran, isHolding], [['go', 'fall', 'tidy'], false])
  assert.deepEqual(states, ['held', 'failed', 'skipped', 'held'])
  assert.equal(outcomes[1]?.result, 'the sum: 3 in place of 4')
  assert.match(shownEnd(outcomes), /2 steps held, 1 failed, 1 were left out; the first to fail: to fall/)
})

test('a step that throws has failed with what it says, and with what caused it', async () => {
  const cause = new Error('no route to host')
  const broken = { ...holds('go'), run: () => Promise.reject(new Error('fetch failed', { cause })) }
  const { outcomes } = await run([broken])
  assert.equal(outcomes[0]?.result, 'fetch failed (no route to host)')
})

test('broken off, it leaves nothing untidy', async () => {
  const { ran, isHolding } = await run([holds('go'), tidies], AbortSignal.abort())
  assert.deepEqual([ran, isHolding], [['tidy'], false])
})

test('a step is one line for people and one of JSON for scripts', async () => {
  const { outcomes } = await run([holds('go'), fails('fall'), holds('stay')])
  const [held, failed, left] = outcomes.map((outcome) => shownStep(outcome, 0))
  assert.match(held ?? '', /^✓ 1\/3 {2}to go +0\.0 s {2}1\/1 done$/)
  assert.match(failed ?? '', /^✗ 2\/3 .*3 in place of 4$/)
  assert.match(left ?? '', /^· 3\/3 .*left out$/)
  assert.deepEqual(
    outcomes.map((outcome) => stepLine(outcome)).map((line) => [line.split('\n').length, JSON.parse(line).state]),
    [
      [2, 'held'],
      [2, 'failed'],
      [2, 'skipped'],
    ],
  )
})

test('its picture is well-formed whatever it shows', () => {
  const picture = pictureOf(['✓ 1/1  <b>&"', ''])
  assert.match(picture, /^<svg [^>]+>/)
  assert.ok(!picture.includes('<b>'))
  assert.match(picture, /&lt;b&gt;&amp;"/)
})
