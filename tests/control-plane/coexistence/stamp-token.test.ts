// When relays may stamp a new token of the marker: a table of what was written into the tenants, and when. (DL-10, coexistence.md §2.1 row 13)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isNamed } from '../../../control-plane/coexistence/stamp-token.ts'
import type { Properties } from '../../../control-plane/coexistence/tenant-object.ts'

const NOW = Date.parse('2026-11-29T12:00:00Z')
const HOUR = 3_600_000
const ago = (ms: number) => new Date(NOW - ms)
const pending = { token: 'new', since: ago(3 * HOUR) }
const routing = (words: readonly string[]): Properties => ({ ExceptIfHeaderContainsWords: words })
const rule = (written: Properties, writtenAt = ago(2 * HOUR), intended?: Properties) => ({
  noun: 'TransportRule' as const,
  written,
  writtenAt,
  ...(intended === undefined ? {} : { intended }),
})
const both = rule(routing(['old', 'new']))
const group = { ...rule({}), noun: 'DistributionGroup' as const }

const CASES: readonly [why: string, isNamed: boolean, args: Partial<Arguments>][] = [
  [
    'every rule has named both for longer',
    true,
    { kept: [both, rule({ HeaderContainsWords: ['new', 'old'] }), group] },
  ],
  ['an hour ago exactly', true, { kept: [rule(routing(['old', 'new']), ago(HOUR))] }],
  ['a moment less than an hour ago', false, { kept: [both, rule(routing(['old', 'new']), ago(HOUR - 1))] }],
  ['one does not name it', false, { kept: [both, rule(routing(['old']))] }],
  ['one that cleans does not name it', false, { kept: [both, rule({ HeaderContainsWords: ['old'] })] }],
  ['a word that holds it is another word', false, { kept: [rule(routing(['old', 'newer']))] }],
  ['one was meant, and nobody knows whether it took', false, { kept: [rule(routing(['old', 'new']), ago(HOUR), {})] }],
  ['one is meant to be made', false, { kept: [rule({}, ago(2 * HOUR), routing(['old', 'new']))] }],
  ['there is no rule, nor was there since', true, { kept: [group] }],
  ['there is none, but one made before the token may act still', false, { pending: { token: 'new', since: ago(1) } }],
  ['one was switched off a moment ago', false, { kept: [both], marks: { disabledAt: ago(1).toISOString() } }],
  ['one was switched off long ago', true, { kept: [both], marks: { disabledAt: ago(HOUR).toISOString() } }],
  ['it is off, and nothing is left', true, { state: 'off', pending: { token: 'new', since: ago(0) } }],
  ['it is off, and a rule is left', false, { state: 'off', kept: [both] }],
]

interface Arguments {
  readonly pending: Parameters<typeof isNamed>[0]
  readonly state: 'on' | 'off'
  readonly marks: { readonly disabledAt?: string }
  readonly kept: Parameters<typeof isNamed>[2]
}

test('DL-10: relays stamp a new token when every rule has named it for an hour, or none is left', () => {
  for (const [why, expected, more] of CASES) {
    const { state = 'on', marks = {}, kept = [] } = more
    assert.equal(isNamed(more.pending ?? pending, { state, marks }, kept, new Date(NOW)), expected, why)
  }
})
