// How long to wait, and whether to try again. (microsoft-365.md §3, retry table)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseBudgets } from '../../../control-plane/microsoft/budgets.ts'
import { MICROSOFT_ERROR_CODES, MicrosoftError } from '../../../control-plane/microsoft/microsoft-error.ts'
import type { MicrosoftErrorCode } from '../../../control-plane/microsoft/microsoft-error.ts'
import { REMEDIES } from '../../../control-plane/microsoft/remedies.ts'
import { outageWaitMs, parseRetryAfter, throttledWaitMs } from '../../../control-plane/microsoft/retry-after.ts'
import { MAX_ATTEMPTS, waitBeforeRetry } from '../../../control-plane/microsoft/retry.ts'
import { readSeen, throttleFacts } from '../../../control-plane/microsoft/throttle-headers.ts'
import { START_MS } from './virtual-pace.ts'

const retryAfters: [text: string | null, ms: number | undefined, why: string][] = [
  ['30', 30_000, 'whole seconds'],
  ['2.128', 2_128, "fractions, as in Microsoft's sample"],
  ['0', 1_000, 'at least a second: not a loop'],
  [' 5 ', 5_000, 'spaces around'],
  ['Sun, 22 Nov 2026 10:02:00 GMT', 120_000, 'an HTTP date'],
  ['Sun, 22 Nov 2026 09:00:00 GMT', 1_000, 'a date that has passed'],
  ['999999999', 86_400_000, 'a day at most'],
  ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400_000, 'a day at most, as a date'],
  [null, undefined, 'absent'],
  ['', undefined, 'empty'],
  ['-5', undefined, 'before now'],
  ['1e3', undefined, 'a notation that nobody sends'],
  ['0x10', undefined, 'another'],
  ['Infinity', undefined, 'no number'],
  ['soon', undefined, 'a word'],
  ['2026-11-22T10:02:00Z', undefined, 'a date in another form'],
  ['Sun, 22 Nov 2026 10:02:00 +0100', undefined, 'a date in another zone'],
]
for (const [text, ms, why] of retryAfters) {
  test(`Retry-After ${JSON.stringify(text)} is ${ms === undefined ? 'not understood' : `${ms} ms`}: ${why}`, () => {
    assert.equal(parseRetryAfter(text, START_MS), ms)
  })
}

test('untold waits: 15 s doubling to 300 s when throttled, 2 s doubling to 60 s after faults, a fifth more or less', () => {
  const steps = [1, 2, 3, 4, 5, 6, 7, 60]
  assert.deepEqual(
    steps.map((step) => throttledWaitMs(step, 0.5)),
    [15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000],
  )
  assert.deepEqual(
    steps.map((step) => outageWaitMs(step, 0.5)),
    [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000],
  )
  assert.deepEqual([throttledWaitMs(1, 0), throttledWaitMs(1, 0.999_999)], [12_000, 18_000])
  assert.deepEqual([outageWaitMs(1, 0), outageWaitMs(9, 0.999_999)], [1_600, 60_000])
})

const again: [
  code: MicrosoftErrorCode,
  status: number | undefined,
  waitMs: number | undefined,
  attempt: number,
  wait: number | undefined,
  why: string,
][] = [
  ['TRANSIENT', 500, undefined, 1, 2_000, 'a fault passes'],
  ['TRANSIENT', undefined, undefined, 3, 8_000, 'a connection that broke'],
  ['TRANSIENT', 502, 30_000, 1, 30_000, 'it says how long'],
  ['TRANSIENT', 502, 61_000, 1, undefined, 'longer than we wait here'],
  ['TRANSIENT', 500, undefined, MAX_ATTEMPTS, undefined, 'often enough'],
  ['THROTTLED', 429, 20_000, 1, 20_000, 'it says how long'],
  ['THROTTLED', 429, undefined, 1, 0, 'the budget rests, the governor has us wait'],
  ['THROTTLED', 503, 3_600_000, 1, undefined, 'the job comes back instead'],
  ['THROTTLED', undefined, 5_000, 1, undefined, "the governor's own: we have waited already"],
  ['THROTTLED', 429, 1_000, MAX_ATTEMPTS, undefined, 'often enough'],
]
for (const [code, status, waitMs, attempt, wait, why] of again) {
  test(`${code} ${status} with ${waitMs} ms, attempt ${attempt}: ${wait === undefined ? 'not again' : `after ${wait} ms`}, ${why}`, () => {
    assert.equal(waitBeforeRetry(new MicrosoftError(code, { status, waitMs }), attempt, 0.5), wait)
  })
}

test('whatever does not pass by itself is not tried again', () => {
  for (const code of MICROSOFT_ERROR_CODES) {
    const error = new MicrosoftError(code, { status: 400 })
    assert.equal(waitBeforeRetry(error, 1, 0.5) !== undefined, error.recovery === 'retry', code)
  }
})

test('each code has a cause and a remedy of its own, in one line', () => {
  const texts = Object.values(REMEDIES).flatMap(({ cause, remedy }) => [cause, remedy])
  assert.equal(new Set(texts).size, 2 * MICROSOFT_ERROR_CODES.length)
  for (const text of texts) assert.match(text, /^[A-Z][^\n]{20,300}\.$/)
})

test('headers about budgets are read when they are numbers, and logged as they came but short', () => {
  const headers = new Headers({
    'retry-after': '7',
    'x-ms-resource-unit': '5',
    'x-ms-throttle-limit-percentage': '1.2',
    'ratelimit-limit': '1200',
    'ratelimit-remaining': '12',
    'ratelimit-reset': '30',
    'x-ms-throttle-scope': `Tenant_Application/ReadWrite/a/${'b'.repeat(500)}`,
  })
  assert.deepEqual(readSeen(429, headers, false, START_MS), {
    throttled: { retryAfterMs: 7_000 },
    units: 5,
    usedShare: 1.2,
    rateLimit: { limit: 1_200, remaining: 12, resetMs: 30_000 },
  })
  assert.equal(throttleFacts(headers).throttleScope?.length, 200)
  assert.equal(throttleFacts(headers).rateLimit, '1200/12/30')
  const odd = new Headers({ 'x-ms-resource-unit': '-5', 'ratelimit-limit': 'many', 'ratelimit-remaining': '1' })
  assert.deepEqual(readSeen(200, odd, false, START_MS), { units: undefined, usedShare: undefined })
  assert.deepEqual(readSeen(500, odd, true, START_MS).throttled, { retryAfterMs: undefined })
  assert.equal(throttleFacts(undefined).rateLimit, undefined)
})

test('budgets: what is named replaces its default, what is wrong is told', () => {
  const faults: string[] = []
  const read = (text: string) => parseBudgets(text, (rule) => faults.push(rule))
  const budgets = read('reports=0.14/600, exchange-reads=1')
  assert.deepEqual(budgets.reports, { units: { amount: 0.14, windowMs: 600_000 } })
  assert.deepEqual(budgets['exchange-reads'], { concurrent: 1 })
  assert.deepEqual(budgets['directory-small'], { units: { amount: 3_500, windowMs: 10_000 } })
  assert.deepEqual(faults, [])
  const wrong = [
    'unheard=1',
    'reports=14',
    'exchange-reads=1/10',
    'reports=0/600',
    'exchange-writes=0',
    'reports=1/0',
    'mailbox-calls=1.5',
    '__proto__=1',
    'reports',
  ]
  for (const text of wrong) {
    faults.length = 0
    read(text)
    assert.equal(faults.length, 1, text)
  }
})
