import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, createMetrics, emptyMetrics } from '../../common/metrics.ts'

test('the figures of the process carry our prefix, event-loop delay among them', async () => {
  const text = await createMetrics().metrics()
  for (const line of text.split('\n')) {
    if (line !== '' && !line.startsWith('#')) assert.match(line, /^causeway_/)
  }
  assert.match(text, /^causeway_nodejs_eventloop_lag_p99_seconds /m)
})

test('two registries know nothing of each other', async () => {
  const [one, other] = [emptyMetrics(), emptyMetrics()]
  new Counter({ name: 'causeway_test_things_total', help: 'Things.', registers: [one] }).inc(2)
  assert.match(await one.metrics(), /^causeway_test_things_total 2$/m)
  assert.equal((await other.metrics()).trim(), '')
})
