import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeReport } from '../../../mta/mapping/report.ts'
import type { ReportFacts } from '../../../mta/mapping/report.ts'
import { KeeperWorld } from './keeper-world.ts'

const facts: ReportFacts = {
  held: undefined,
  refused: undefined,
  condition: {
    isReady: false,
    reasons: ['no snapshot yet'],
    queue: { messages: 0, oldestAgeMs: 0, quarantined: 0, dead: 0 },
    certificateNotAfter: undefined,
  },
  softwareVersion: '1.2.3',
  startedAt: Date.UTC(2026, 10, 28),
  droppedEvents: { metric: 1, message: 2, audit: 3 },
}

test('before there is a snapshot a report says that there is none, and why', () => {
  assert.deepEqual(makeReport(facts), {
    version: 0,
    revision: 0,
    digest: '',
    entries: 0,
    settings: 0,
    softwareVersion: '1.2.3',
    startedAt: '2026-11-28T00:00:00.000Z',
    isReady: false,
    reasons: ['no snapshot yet'],
    state: 'active',
    queue: { messages: 0, oldestAgeMs: 0, quarantined: 0, dead: 0 },
    droppedEvents: { metric: 1, message: 2, audit: 3 },
  })
})

test('it tells what the relay has, and a refusal as long as that is newer', async () => {
  await using world = await KeeperWorld.holding()
  const { held } = world
  const report = makeReport({ ...facts, held, refused: { version: 2, reason: 'x'.repeat(1000) } })
  assert.deepEqual(
    [report.version, report.revision, report.entries, report.settings, report.digest],
    [1, 7, 6, 1, held?.table.digest],
  )
  assert.deepEqual(report.refused, { version: 2, reason: 'x'.repeat(500) })
  assert.equal(makeReport({ ...facts, held, refused: { version: 1, reason: 'x' } }).refused, undefined)
  const malformed = makeReport({ ...facts, held, refused: { version: undefined, reason: 'malformed' } })
  assert.deepEqual(malformed.refused, { version: 2, reason: 'malformed' })
})
