// OP-1: what monitoring reads of several processes as of one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, emptyMetrics, Gauge, Histogram } from '../../../common/metrics.ts'
import type { Figures } from '../../../common/metrics.ts'
import { RelayFigures } from '../../../mta/workers/relay-figures.ts'

async function figuresOf(accepted: number, queued: number, oldest: number): Promise<Figures> {
  const metrics = emptyMetrics()
  const registers = [metrics]
  new Counter({ name: 'accepted_total', help: 'x', labelNames: ['direction'], registers }).inc(
    { direction: 'out' },
    accepted,
  )
  new Gauge({ name: 'queued', help: 'x', registers }).set(queued)
  new Gauge({ name: 'oldest_seconds', help: 'x', registers, aggregator: 'max' }).set(oldest)
  new Gauge({ name: 'ready', help: 'x', registers, aggregator: 'omit' }).set(1)
  const seconds = new Histogram({ name: 'seconds', help: 'x', buckets: [1, 10], registers })
  for (let i = 0; i < accepted; i++) seconds.observe(5)
  // As it comes over the channel.
  return structuredClone(await metrics.getMetricsAsJSON())
}

async function own(): Promise<Figures> {
  const metrics = emptyMetrics()
  new Gauge({ name: 'ready', help: 'x', registers: [metrics] }).set(1)
  return metrics.getMetricsAsJSON()
}

async function lines(figures: RelayFigures, answered: object[]): Promise<string[]> {
  const text = await figures.merged(await own(), new Set(answered)).metrics()
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

test('counters and histograms add up, gauges by their kind, and what is the relay’s alone is told once', async () => {
  const figures = new RelayFigures()
  const [first, second] = [{}, {}]
  figures.heard(first, await figuresOf(3, 10, 60))
  figures.heard(second, await figuresOf(4, 20, 30))
  assert.deepEqual(await lines(figures, [first, second]), [
    'ready 1',
    'accepted_total{direction="out"} 7',
    'queued 30',
    'oldest_seconds 60',
    'seconds_bucket{le="1"} 0',
    'seconds_bucket{le="10"} 7',
    'seconds_bucket{le="+Inf"} 7',
    'seconds_sum 35',
    'seconds_count 7',
  ])
})

test('what a process counted stays when it dies, once; what it had is gone with it', async () => {
  const figures = new RelayFigures()
  const [first, second, third] = [{}, {}, {}]
  figures.heard(first, await figuresOf(3, 10, 60))
  figures.heard(second, await figuresOf(4, 20, 30))
  await Promise.all([figures.retire(first), figures.retire(first)])
  assert.deepEqual((await lines(figures, [second])).slice(1, 4), [
    'accepted_total{direction="out"} 7',
    'queued 20',
    'oldest_seconds 30',
  ])
  figures.heard(third, await figuresOf(1, 1, 1))
  await Promise.all([figures.retire(second), figures.retire(third)])
  assert.deepEqual(await lines(figures, []), [
    'ready 1',
    'accepted_total{direction="out"} 8',
    'seconds_bucket{le="1"} 0',
    'seconds_bucket{le="10"} 8',
    'seconds_bucket{le="+Inf"} 8',
    'seconds_sum 40',
    'seconds_count 8',
  ])
})

test('a process that doesn’t answer keeps what it counted; what it said it had is old', async () => {
  const figures = new RelayFigures()
  const [first, second] = [{}, {}]
  figures.heard(first, await figuresOf(3, 10, 60))
  figures.heard(second, await figuresOf(4, 20, 30))
  const told = await lines(figures, [second])
  assert.deepEqual(
    told.filter((line) => /^(?:accepted|queued|oldest)/.test(line)),
    ['accepted_total{direction="out"} 7', 'queued 20', 'oldest_seconds 30'],
  )
})

test('what are no figures changes nothing', async () => {
  const figures = new RelayFigures()
  const process = {}
  figures.heard(process, await figuresOf(3, 10, 60))
  for (const answer of [undefined, null, 'x', {}, [1], [{ name: 'x' }], [{ name: 1, values: [] }]])
    figures.heard(process, answer)
  assert.ok((await lines(figures, [process])).includes('accepted_total{direction="out"} 3'))
})
