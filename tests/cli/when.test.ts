import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from '../../cli/command.ts'
import { durationMs, timeOf } from '../../cli/when.ts'

const NOW = Date.UTC(2026, 10, 22, 10, 0)
const times: [text: string, at: number | undefined, why: string][] = [
  ['2h', NOW - 7_200_000, 'so long ago'],
  ['15min', NOW - 900_000, 'likewise'],
  ['3d', NOW - 3 * 86_400_000, 'likewise'],
  ['2026-11-22', Date.UTC(2026, 10, 22), 'a day begins at midnight, UTC'],
  ['2026-11-22T09:30', Date.UTC(2026, 10, 22, 9, 30), 'UTC, whatever the zone of the machine'],
  ['2026-11-22 09:30:15', Date.UTC(2026, 10, 22, 9, 30, 15), 'as people write it'],
  ['2026-11-22T09:30:15.250Z', Date.UTC(2026, 10, 22, 9, 30, 15, 250), 'as the journal writes it'],
  ['2026-11-22T09:30+02:00', Date.UTC(2026, 10, 22, 7, 30), 'a zone that is written counts'],
  ['2026-13-40', undefined, 'no such day'],
  ['yesterday', undefined, 'no guessing'],
  ['2 weeks', undefined, 'no guessing'],
  ['', undefined, 'nothing'],
]
for (const [text, at, why] of times) {
  test(`--since ${JSON.stringify(text)}: ${why}`, () => {
    if (at === undefined) assert.throws(() => timeOf(text, '--since', NOW), UsageError)
    else assert.equal(timeOf(text, '--since', NOW), at)
  })
}

test('a length of time is no point in time', () => {
  assert.equal(durationMs('90s', '--older-than'), 90_000)
  assert.throws(() => durationMs('2026-11-22', '--older-than'), UsageError)
  assert.throws(() => durationMs('-1h', '--older-than'), UsageError)
})
