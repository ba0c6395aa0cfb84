// What a look at a tenant makes of its consent. (EC-4, microsoft-365.md §2.3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TenantId } from '../../../control-plane/ids.ts'
import { MICROSOFT_ERROR_CODES } from '../../../control-plane/microsoft/microsoft-error.ts'
import { judgeLook, SPREAD_MS } from '../../../control-plane/tenants/consent.ts'
import type { Consent, Look } from '../../../control-plane/tenants/consent.ts'

const PROVED = Date.parse('2026-11-28T12:00:00Z')
const consent = (state: Consent['state'], change: Partial<Consent> = {}): Consent => ({
  tenant: 'tnt_x' as TenantId,
  state,
  choices: { capabilities: [{ capability: 'discovery', level: 'minimal' }], optional: [] },
  granted: ['User.Read.All'],
  missing: [],
  exchange: 'not-asked',
  problem: undefined,
  problemDetails: undefined,
  domainsProblem: undefined,
  provedAt: new Date(PROVED),
  connectedAt: undefined,
  stateSince: new Date(PROVED),
  checkedAt: undefined,
  version: 1,
  ...change,
})
const well: Look = { kind: 'seen', granted: ['User.Read.All'], missing: [], exchange: 'ready' }
const lacking: Look = { ...well, missing: ['Domain.Read.All'] }
const failed = (problem: Extract<Look, { kind: 'failed' }>['problem']): Look => ({
  kind: 'failed',
  problem,
  details: {},
})

const MINUTE = 60_000
const cases: readonly (readonly [
  from: Consent['state'],
  look: Look,
  afterMs: number,
  to: Consent['state'],
  problem: string | undefined,
  isAgain: boolean,
  why: string,
])[] = [
  ['checking', well, 1_000, 'connected', undefined, false, 'everything is granted'],
  ['checking', lacking, MINUTE, 'checking', 'CONSENT_MISSING', true, 'it has not spread yet'],
  ['checking', lacking, SPREAD_MS, 'refused', 'NOT_SPREAD', false, 'ten minutes were enough'],
  [
    'checking',
    failed('CONSENT_MISSING'),
    MINUTE,
    'checking',
    'CONSENT_MISSING',
    true,
    'the service principal is not there yet',
  ],
  [
    'checking',
    failed('AUTH_TOKEN'),
    MINUTE,
    'checking',
    'AUTH_TOKEN',
    true,
    'nor does Entra know the application there',
  ],
  ['checking', failed('CONSENT_MISSING'), SPREAD_MS, 'refused', 'CONSENT_MISSING', false, 'it never came'],
  [
    'checking',
    failed('POLICY_BLOCKED'),
    1_000,
    'refused',
    'POLICY_BLOCKED',
    false,
    'waiting does not help against a policy',
  ],
  [
    'checking',
    failed('CREDENTIAL_EXPIRED'),
    1_000,
    'refused',
    'CREDENTIAL_EXPIRED',
    false,
    'nor against an old certificate',
  ],
  ['connected', well, MINUTE, 'connected', undefined, false, 'as it was'],
  ['connected', lacking, MINUTE, 'paused', 'CONSENT_MISSING', false, 'a permission was taken back'],
  ['connected', failed('CONSENT_MISSING'), MINUTE, 'paused', 'CONSENT_MISSING', false, 'the consent was withdrawn'],
  ['connected', failed('CREDENTIAL_EXPIRED'), MINUTE, 'paused', 'CREDENTIAL_EXPIRED', false, 'the certificate is over'],
  ['connected', failed('TRANSIENT'), MINUTE, 'connected', undefined, true, 'an outage says nothing of the consent'],
  ['connected', failed('THROTTLED'), MINUTE, 'connected', undefined, true, 'nor does being too fast'],
  ['paused', well, MINUTE, 'connected', undefined, false, 'it was given again'],
  ['paused', failed('POLICY_BLOCKED'), MINUTE, 'paused', 'POLICY_BLOCKED', false, 'another reason now'],
]
for (const [from, look, afterMs, to, problem, isAgain, why] of cases) {
  test(`EC-4: ${from} → ${to} after ${afterMs / 1000} s: ${why}`, () => {
    const verdict = judgeLook(consent(from), look, PROVED + afterMs)
    assert.equal(verdict.state, to)
    assert.equal(verdict.problem, problem)
    assert.equal(verdict.againMs !== undefined, isAgain)
  })
}

test('no look keeps a tenant connected that an administrator has to mend, whatever Microsoft calls it', () => {
  for (const code of MICROSOFT_ERROR_CODES) {
    const { state } = judgeLook(consent('connected'), failed(code), PROVED)
    assert.equal(state, code === 'THROTTLED' || code === 'TRANSIENT' ? 'connected' : 'paused', code)
  }
})

test('while a consent spreads the looks come every 5 to 30 seconds', () => {
  const at = (ms: number) => judgeLook(consent('checking'), lacking, PROVED + ms).againMs ?? 0
  assert.equal(at(0), 5_000)
  for (let ms = 0; ms < SPREAD_MS; ms += 10_000) assert.ok(at(ms) >= 5_000 && at(ms) <= 30_000)
  assert.equal(at(5 * MINUTE), 30_000)
})
