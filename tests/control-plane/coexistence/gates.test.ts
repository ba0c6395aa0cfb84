// When a gate of a plan is open, still waits, or never will be: tables of what relays reported and saw. (coexistence.md §2.1 rows 5b, 12, 13, §2.2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PROBES_IN_A_RUN } from '../../../common/relay-contract.ts'
import { readEvidence } from '../../../control-plane/coexistence/evidence.ts'
import type { CountedEvidence } from '../../../control-plane/coexistence/evidence-store.ts'
import {
  judgeHold,
  judgeProbes,
  judgePropagated,
  judgeRelays,
  judgeTable,
  judgeValidation,
} from '../../../control-plane/coexistence/gates.ts'
import type { GateLook } from '../../../control-plane/coexistence/gates.ts'
import type { Relay } from '../../../control-plane/relays/relay.ts'

const NOW = Date.parse('2026-08-01T12:00:00Z')
const MINUTE = 60_000
const before = (ms: number) => new Date(NOW - ms)
const wanted = { snapshotVersion: 9, mappingRevision: 4, settingsVersion: 3 }

type Known = Pick<Relay, 'relay' | 'state' | 'seenAt' | 'report'>
type Report = NonNullable<Known['report']>

function relay(name: string, report: Partial<Report> | undefined = {}, more: Partial<Known> = {}): Known {
  const whole: Report = {
    at: before(1_000),
    version: 9,
    revision: 4,
    digest: '',
    entries: 1,
    settings: 3,
    softwareVersion: '1.0.0',
    startedAt: '2026-08-01T00:00:00Z',
    isReady: true,
    reasons: [],
    state: 'active',
    queue: { messages: 0, oldestAgeMs: 0, quarantined: 0, dead: 0 },
    droppedEvents: { metric: 0, message: 0, audit: 0 },
    ...report,
  }
  return { relay: `rly_${name}` as Relay['relay'], state: 'active', seenAt: before(1_000), report: whole, ...more }
}
const fresh = (name: string): Known => ({ ...relay(name), report: undefined })
const silent = { seenAt: before(6 * MINUTE) }
const said = (look: GateLook): string =>
  look.kind === 'open' ? 'open' : look.kind === 'waiting' ? `waiting ${look.reason}` : `closed ${look.problem}`

const relays: [relays: Known[], ready: string, table: string, why: string][] = [
  [[], 'waiting no-live-relay', 'waiting no-live-relay', 'there is none'],
  [[relay('a')], 'open', 'open', 'one has everything'],
  [[relay('a'), relay('b', {}, silent)], 'open', 'open', 'a silent one is not waited for'],
  [[relay('a', {}, silent)], 'waiting no-live-relay', 'waiting no-live-relay', 'all are silent'],
  [[relay('a'), fresh('b')], 'waiting relay-behind', 'waiting relay-behind', 'one has reported nothing yet'],
  [[relay('a'), relay('b', { revision: 3 })], 'waiting relay-behind', 'waiting relay-behind', 'an old table'],
  [[relay('a'), relay('b', { settings: 2 })], 'waiting relay-behind', 'waiting relay-behind', 'old settings'],
  [[relay('a', { version: 8 })], 'open', 'open', 'a newer snapshot that holds nothing else'],
  [[relay('a', { isReady: false })], 'waiting relay-not-ready', 'open', 'not ready: a certificate, its disk'],
  [
    [relay('a', { certificateNotAfter: before(0).toISOString() })],
    'waiting relay-certificate-expired',
    'open',
    'its certificate has run out',
  ],
  [[relay('a', { certificateNotAfter: before(-1_000).toISOString() })], 'open', 'open', 'or nearly'],
  [[relay('a', {}, { state: 'draining' })], 'waiting no-live-relay', 'open', 'drained: it takes no mail'],
  [[relay('a'), relay('b', { isReady: false }, { state: 'draining' })], 'open', 'open', 'another one is drained'],
  [
    [relay('a', { revision: 3, refused: { version: 9, reason: 'x' } })],
    'closed relay-refuses-snapshot',
    'closed relay-refuses-snapshot',
    'it refuses what it is to have',
  ],
  [[relay('a', { refused: { version: 8, reason: 'x' } })], 'open', 'open', 'it refused an older one'],
]
for (const [known, ready, table, why] of relays) {
  test(`row 0, decision 4: relays are ${ready}, their table ${table}: ${why}`, () => {
    assert.equal(said(judgeRelays(known, wanted, NOW)), ready)
    assert.equal(said(judgeTable(known, wanted, NOW)), table)
  })
}

const seen = (nonce: string, maker: string, verdict: CountedEvidence['verdict'], messages = PROBES_IN_A_RUN) => ({
  nonce,
  maker,
  verdict,
  messages,
})

const validations: [seen: CountedEvidence[], nonce: string | undefined, sinceMs: number, look: string][] = [
  [[], undefined, 0, 'waiting validation-not-started'],
  [[], 'n', 30 * MINUTE, 'waiting validation-not-seen'],
  [[], 'n', 30 * MINUTE + 1, 'closed validation-not-seen'],
  [[seen('n', '', 'seen', 1)], 'n', 31 * MINUTE, 'open'],
  [[seen('m', '', 'seen', 1)], 'n', 0, 'waiting validation-not-seen'],
  [[seen('n', '', 'expected', 1)], 'n', 0, 'waiting validation-not-seen'],
]
for (const [evidence, nonce, sinceMs, look] of validations) {
  test(`row 5b: ${JSON.stringify(evidence)} of ${nonce ?? 'none'} after ${sinceMs} ms: ${look}`, () =>
    assert.equal(said(judgeValidation(evidence, nonce, before(sinceMs), NOW)), look))
}

const runs = [{ nonce: 'out' }, { nonce: 'in' }]
const both = [seen('out', 'rly_a', 'expected'), seen('in', 'rly_a', 'expected')]
const probes: [
  runs: { nonce: string }[],
  seen: CountedEvidence[],
  relays: Known[],
  sinceMs: number,
  look: string,
  why: string,
][] = [
  [[], [], [relay('a')], 0, 'waiting probes-not-started', 'nobody asked for any'],
  [runs, both, [relay('a')], 0, 'open', 'all of both runs are back'],
  [runs, both, [relay('a'), relay('b', {}, silent)], 0, 'open', 'of a silent relay none are waited for'],
  [runs, both, [relay('a'), relay('b', {}, { state: 'draining' })], 0, 'open', 'nor of a drained one'],
  [runs, both, [], 0, 'waiting no-live-relay', 'nobody is there any more'],
  [runs, both, [relay('a'), relay('b')], 0, 'waiting probes-not-back', "another relay's own are missing"],
  [
    runs,
    [...both.slice(1), seen('out', 'rly_a', 'expected', 19)],
    [relay('a')],
    0,
    'waiting probes-not-back',
    'one is missing',
  ],
  [
    runs,
    [...both.slice(1), seen('out', 'rly_a', 'no-proof')],
    [relay('a')],
    0,
    'waiting probes-not-back',
    'the rule does not act yet',
  ],
  [
    runs,
    [...both, seen('out', 'rly_b', 'altered', 1)],
    [relay('a')],
    0,
    'closed probe-altered',
    'something changes mail on its way',
  ],
  [runs, [...both, seen('old', 'rly_a', 'altered', 1)], [relay('a')], 0, 'open', 'a run of earlier'],
  [runs, [], [relay('a')], 120 * MINUTE, 'waiting probes-not-back', 'at the end of patience'],
  [runs, [], [relay('a')], 120 * MINUTE + 1, 'closed probe-lost', 'nothing came back'],
  [
    runs,
    [seen('out', 'rly_a', 'no-proof')],
    [relay('a')],
    121 * MINUTE,
    'closed probe-without-proof',
    'the rule never acted',
  ],
  [
    runs,
    [seen('out', 'rly_a', 'other-tenant')],
    [relay('a')],
    121 * MINUTE,
    'closed probe-of-other-tenant',
    'it came by another way',
  ],
]
for (const [of, evidence, known, sinceMs, look, why] of probes) {
  test(`row 12: probes are ${look}: ${why}`, () =>
    assert.equal(said(judgeProbes(of, evidence, known, before(sinceMs), NOW)), look))
}

const contoso = { tenant: 'contoso', direction: 'out' } as const
const fabrikam = { tenant: 'fabrikam', direction: 'in' } as const
const propagation: [
  seen: { tenant: string | null; direction: string }[],
  routes: Parameters<typeof judgePropagated>[1],
  sinceMs: number,
  look: string,
][] = [
  [[], [contoso], 60 * MINUTE - 1, 'waiting rules-propagate'],
  [[], [contoso], 60 * MINUTE, 'open'],
  [[contoso], [contoso], 0, 'open'],
  [[contoso], [contoso, fabrikam], 0, 'waiting rules-propagate'],
  [[contoso, fabrikam], [contoso, fabrikam], 0, 'open'],
  [[{ ...contoso, direction: 'in' }], [contoso], 0, 'waiting rules-propagate'],
  [[{ tenant: null, direction: 'out' }], [{ tenant: undefined, direction: 'out' }], 0, 'waiting rules-propagate'],
  [[contoso], undefined, 0, 'waiting rules-propagate'],
  [[contoso], [], 0, 'waiting rules-propagate'],
]
for (const [accepted, routes, sinceMs, look] of propagation) {
  test(`row 13: ${JSON.stringify(accepted)} for ${JSON.stringify(routes)} after ${sinceMs} ms: ${look}`, () =>
    assert.equal(said(judgePropagated(accepted, routes, before(sinceMs), NOW)), look))
}

const HOLD = 48 * 60 * MINUTE
const holding = { queue: { messages: 1, oldestAgeMs: 5, quarantined: 0, dead: 0 } }
const holds: [relays: Known[], accepted: Date[], sinceMs: number, holdMs: number, look: string, why: string][] = [
  [[relay('a')], [], HOLD, HOLD, 'open', 'nothing came, nothing is held'],
  [[relay('a')], [], HOLD - 1, HOLD, 'waiting mail-may-still-come', 'not yet'],
  [[relay('a')], [before(MINUTE)], 2 * HOLD, HOLD, 'waiting mail-may-still-come', 'a message came: from then on again'],
  [[relay('a')], [before(HOLD)], 2 * HOLD, HOLD, 'open', 'none since'],
  [[relay('a', holding)], [], HOLD, HOLD, 'waiting relay-holds-mail', 'its spool is not empty'],
  [[relay('a'), relay('b', holding, silent)], [], HOLD, HOLD, 'waiting relay-holds-mail', 'a silent one holds mail'],
  [[relay('a', { at: before(500) })], [], 400, 0, 'waiting relay-not-heard', 'what it said is of before'],
  [[relay('a', { at: before(300) })], [], 400, 0, 'open', 'it has said so since'],
  [[fresh('a')], [], HOLD, HOLD, 'waiting relay-not-heard', 'it has not reported yet'],
  [[relay('a', {}, silent)], [], HOLD, HOLD, 'open', 'a silent one that was empty'],
  [[], [], HOLD, HOLD, 'open', 'there are no relays any more'],
]
for (const [known, accepted, sinceMs, holdMs, look, why] of holds) {
  test(`§2.2: the hold is ${look}: ${why}`, () =>
    assert.equal(said(judgeHold(known, accepted, before(sinceMs), holdMs, NOW)), look))
}

const good = { nonce: '0123456789abcdef', maker: 'rly_a', index: 3, verdict: 'expected' }
const events: [event: string, fields: Record<string, unknown>, isEvidence: boolean, why: string][] = [
  ['probe', good, true, 'as it is told'],
  ['probe', { ...good, verdict: 'no-proof', tenant: 'x', more: {} }, true, 'whatever else is told'],
  ['probe', { ...good, verdict: 'seen' }, false, 'validation is told by another word'],
  ['probe', { ...good, verdict: 'fine' }, false, 'no verdict'],
  ['probe', { ...good, index: PROBES_IN_A_RUN }, false, 'more than a run has'],
  ['probe', { ...good, index: -1 }, false, 'less'],
  ['probe', { ...good, index: 0.5 }, false, 'between'],
  ['probe', { ...good, index: '3' }, false, 'a text'],
  ['probe', { ...good, maker: "rly_'; drop" }, false, 'no id'],
  ['probe', { ...good, maker: '' }, false, 'nobody'],
  ['probe', { ...good, nonce: 'NONCE-0123456789' }, false, 'no nonce'],
  ['probe', {}, false, 'nothing'],
  ['validation', { nonce: good.nonce }, true, 'a nonce is all there is'],
  ['validation', { nonce: ['0123456789abcdef'] }, false, 'a list'],
  ['accepted', good, false, 'another event'],
]
for (const [event, fields, isEvidence, why] of events) {
  test(`evidence of ${event}: ${String(isEvidence)}: ${why}`, () =>
    assert.equal(readEvidence(event, fields) !== undefined, isEvidence))
}

test('whatever a stolen relay tells, what is kept of it has its shape', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('probe', 'validation'),
      fc.dictionary(fc.constantFrom('nonce', 'maker', 'index', 'verdict'), fc.anything()),
      (event, fields) => {
        const evidence = readEvidence(event, fields)
        if (evidence === undefined) return
        assert.match(evidence.nonce, /^[a-z0-9]{16,64}$/)
        assert.ok(evidence.index >= 0 && evidence.index < PROBES_IN_A_RUN)
      },
    ),
  )
})
