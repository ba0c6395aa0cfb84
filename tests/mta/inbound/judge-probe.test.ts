// Probes as they are made and as they come back: what is expected, what isn't, and what strangers make of it. (SP-4, SP-11, coexistence.md §2.1 row 12)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PROBES_IN_A_RUN } from '../../../common/relay-contract.ts'
import { judgeProbe } from '../../../mta/inbound/judge-probe.ts'
import type { ProbeRun } from '../../../mta/inbound/judge-probe.ts'
import { parseProbePart, probeMessage, probeTable } from '../../../mta/probe-message.ts'
import { makeProofTokens } from '../../../mta/proof-tokens.ts'
import { Tenants } from '../../../mta/tenants.ts'
import { DEFAULT_POLICY, rewriteMessage } from '../../../rewrite-rules/index.ts'

const TOKENS = { contoso: 'a'.repeat(43), back: 'b'.repeat(43), fabrikam: 'c'.repeat(43) }
const tokens = makeProofTokens(
  [
    { tenant: 'contoso', direction: 'out', tokens: [TOKENS.contoso] },
    { tenant: 'contoso', direction: 'in', tokens: [TOKENS.back] },
    { tenant: 'fabrikam', direction: 'out', tokens: [TOKENS.fabrikam] },
  ],
  (_index, rule) => new Error(rule),
)
const tenants = new Tenants([{ id: 'contoso', tenantId: undefined, acceptedDomains: ['contoso.com'] }])
const run: ProbeRun = { nonce: '0123456789abcdef', tenant: 'contoso', direction: 'out', host: 'out.relay.example' }
const judge = (content: Buffer | string, of = run) =>
  judgeProbe(Buffer.from(content as string, 'latin1'), of, { tokens, tenants, policy: DEFAULT_POLICY })
const name = (index: number) => ({ nonce: run.nonce, relay: 'rly_1', index })
const made = (index: number): string => probeMessage(name(index), run.host, run.direction).toString('latin1')
const proof = (token: string) => `X-Causeway-Project: ${token}\r\n`
const ADDED =
  'Received: from a.example by b.example; Thu, 1 Jan 2026 12:00:00 +0000\r\nX-MS-Exchange-Organization-SCL: -1\r\nAuthentication-Results: b.example; none\r\n'

for (const direction of ['out', 'in'] as const) {
  test(`the probes of a run ${direction} are plain SMTP content, and rewriting has something to do in each`, () => {
    const seen = new Set<string>()
    for (let index = 0; index < PROBES_IN_A_RUN; index++) {
      const content = probeMessage(name(index), run.host, direction)
      const text = content.toString('latin1')
      assert.match(text, /^(?:[\x20-\x7e]{0,200}\r\n)+$/, '7-bit, CR LF, short lines')
      assert.doesNotMatch(text, /^(?:X-Causeway-Trace|Received):/im, 'row 12: no trace fields')
      assert.ok(content.length < 8 * 1024)
      const options = { direction, table: probeTable(run.host), policy: DEFAULT_POLICY, smtpUtf8: false }
      const { bytes, report } = rewriteMessage(content, options)
      assert.ok(report.changes.length > 0)
      assert.doesNotMatch(
        bytes.toString('latin1').split('\r\n\r\n')[0] ?? '',
        direction === 'out' ? /<ada@mailbox\./ : /To: <ben@presented\./,
      )
      seen.add(text)
    }
    assert.equal(seen.size, PROBES_IN_A_RUN)
  })
}

const verdicts: [content: string, verdict: string | undefined, why: string][] = [
  [ADDED + proof(TOKENS.contoso) + made(0), 'expected', 'fields that servers add are no matter'],
  [ADDED + made(0), 'no-proof', 'the rule does not act yet'],
  [proof('d'.repeat(43)) + made(0), 'no-proof', 'no token of ours'],
  [proof(TOKENS.back) + made(0), 'other-tenant', "the tenant's token of the other direction"],
  [proof(TOKENS.fabrikam) + made(0), 'other-tenant', 'the token of another tenant'],
  [proof(TOKENS.contoso) + proof(TOKENS.fabrikam) + made(0), 'other-tenant', 'two that contradict each other'],
  [`${proof(TOKENS.contoso)}${made(0)}-- \r\nBest disclaimer\r\n`, 'altered', 'a disclaimer below'],
  [proof(TOKENS.contoso) + made(0).replace('Subject: ', 'Subject: [EXTERNAL] '), 'altered', 'a tag in the subject'],
  [proof(TOKENS.contoso) + made(0).replace('Ada <', 'A <'), 'altered', 'a display name'],
  [`Subject: another\r\n${proof(TOKENS.contoso)}${made(0)}`, 'altered', 'a second field of a name that was there'],
  [proof(TOKENS.contoso) + made(0).replace(/^Date:.*\r\n/m, ''), 'altered', 'a field is gone'],
  [proof(TOKENS.contoso) + made(1).replace(`rly_1 1`, 'rly_1 2'), 'altered', 'one probe that says it is another'],
  [proof(TOKENS.contoso) + made(2).replaceAll(run.nonce, 'fedcba9876543210'), 'altered', 'of another run'],
  [
    proof(TOKENS.contoso) + made(0).replace('rly_1 0', `rly_1 ${PROBES_IN_A_RUN}`),
    undefined,
    'a number that no run has',
  ],
  [proof(TOKENS.contoso) + made(0).replace('rly_1 0', 'rly_1 -0'), undefined, 'no number'],
  [proof(TOKENS.contoso) + made(0).replace('rly_1 0', '../x 0'), undefined, 'no id of a relay'],
  [`${proof(TOKENS.contoso)}Subject: a probe by hand\r\n\r\nHello.\r\n`, undefined, 'somebody wrote it by hand'],
  [`${proof(TOKENS.contoso)}X-Causeway-Probe-Part: rly_1 0\r\n\r\n`, 'altered', 'nothing else is left'],
  ['', undefined, 'nothing at all'],
  [`X: \0\r\n${made(0)}`, undefined, 'NUL in the header'],
]
for (const [content, verdict, why] of verdicts) {
  test(`SP-11 a probe is ${verdict ?? 'nobody’s'}: ${why}`, () => assert.equal(judge(content)?.verdict, verdict))
}

test('every probe of both directions comes back as expected, with what says which it was', () => {
  for (const direction of ['out', 'in'] as const) {
    for (let index = 0; index < PROBES_IN_A_RUN; index++) {
      const content = probeMessage(name(index), run.host, direction).toString('latin1')
      const token = direction === 'out' ? TOKENS.contoso : TOKENS.back
      assert.deepEqual(judge(ADDED + proof(token) + content, { ...run, direction }), {
        name: name(index),
        verdict: 'expected',
      })
    }
  }
})

test('an octet that is changed is never as expected', () => {
  fc.assert(
    fc.property(
      fc.nat(PROBES_IN_A_RUN - 1),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.nat(254),
      (index, where, by) => {
        const content = made(index)
        const at = Math.floor(where * content.length)
        const changed = String.fromCharCode((content.charCodeAt(at) + by + 1) % 256)
        const mutated = content.slice(0, at) + changed + content.slice(at + 1)
        assert.notEqual(judge(proof(TOKENS.contoso) + mutated)?.verdict, 'expected')
      },
    ),
    { numRuns: 500 },
  )
})

test('octets of a stranger are judged, whatever they are', () => {
  const line = fc.oneof(
    fc.constantFrom(
      'X-Causeway-Probe-Part: rly_1 3',
      'X-Causeway-Probe-Part:',
      proof(TOKENS.contoso).trim(),
      'From: <ada@mailbox.out.relay.example>',
      'Content-Type: multipart/mixed; boundary=x',
      '--x',
      '',
    ),
    fc.string({ unit: 'binary', maxLength: 80 }),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 60 }), (lines) => {
      assert.notEqual(judge(lines.join('\r\n'))?.verdict, 'expected')
    }),
    { numRuns: 500 },
  )
})

const parts: [value: string, index: number | undefined][] = [
  ['rly_1 0', 0],
  [' rly_1 19 ', 19],
  ['rly_1 20', undefined],
  ['rly_1 007', 7],
  ['rly_1 1e1', undefined],
  ['rly_1', undefined],
  [`${'r'.repeat(65)} 1`, undefined],
  ['rly_1 1\r\n x', undefined],
]
for (const [value, index] of parts)
  test(`X-Causeway-Probe-Part ${JSON.stringify(value)}`, () => assert.equal(parseProbePart(value)?.index, index))
