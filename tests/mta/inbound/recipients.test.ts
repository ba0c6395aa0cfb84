// SP-5 and SP-11 as far as RCPT alone decides them: who may be a recipient, and of which sender.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMail, parseRcpt } from '../../../mta/inbound/command-grammar.ts'
import { judgeRecipient, mayBeSender } from '../../../mta/inbound/recipients.ts'
import type { RecipientRules } from '../../../mta/inbound/recipients.ts'
import { Tenants } from '../../../mta/tenants.ts'
import { compileTable, DEFAULT_POLICY } from '../../../rewrite-rules/index.ts'
import { EXAMPLE_TABLE } from '../../harness/example-table.ts'

const tenants = new Tenants([
  { id: 's', tenantId: undefined, acceptedDomains: ['contoso.com', 'xn--mnchen-3ya.example'] },
  { id: 't', tenantId: undefined, acceptedDomains: ['fabrikam.com'] },
])
const map = compileTable(EXAMPLE_TABLE).withPolicy(DEFAULT_POLICY)
const NONCE = '0123456789abcdef'
const rules: RecipientRules = {
  name: 'relay.example',
  hosts: ['out.relay.example', 'fabrikam.com'],
  postmaster: undefined,
  tenants,
  direction: 'out',
  nonces: [{ nonce: NONCE, until: 1000 }],
  isLocal: false,
  now: 999,
  map,
}

function judge(path: string, reversePath = 'alice@contoso.com', changes: Partial<RecipientRules> = {}): string {
  const parsed = parseRcpt(`RCPT TO:<${path}>`, true)
  if (parsed.kind === 'refused') return parsed.reply.reason
  const verdict = judgeRecipient(parsed.value.mailbox, reversePath, { ...rules, ...changes })
  if (verdict.kind === 'refused') return verdict.reply.reason
  return verdict.isProbe ? `probe ${verdict.path}` : verdict.path
}

const senders: [address: string, isOurs: boolean, why: string][] = [
  ['', true, 'the null reverse-path: bounces and automatic replies'],
  ['alice@contoso.com', true, 'a domain of the project'],
  ['alice@CONTOSO.com', true, 'in any case'],
  ['x@münchen.example', true, 'U-label and A-label are one domain (PS-6)'],
  ['x@XN--MNCHEN-3YA.example', true, 'likewise'],
  ['alice@contoso。com', true, 'an ideographic full stop is a dot (UTS 46)'],
  ['"a@evil.example"@contoso.com', true, 'a quoted local part may hold an @'],
  ['alice@sub.contoso.com', false, 'a sub-domain is another domain'],
  ['alice@notcontoso.com', false, 'no suffix match'],
  ['alice@contoso.com.evil.example', false, 'no prefix match'],
  ['contoso.com@evil.example', false, 'the domain is behind the last @'],
  ['"alice@contoso.com"@evil.example', false, 'likewise in quotes'],
  ['alice@con\u200btoso.com', true, 'UTS 46 ignores a zero-width space: it is this domain wherever it is looked up'],
  ['alice@contoso.co', false, 'cut short'],
  ['alice@[192.0.2.1]', false, 'a literal is nobody of ours'],
  ['postmaster', false, 'no domain at all'],
]
for (const [address, isOurs, why] of senders) {
  test(`SP-5 out: ${JSON.stringify(address)} may ${isOurs ? '' : 'not '}be a sender: ${why}`, () => {
    assert.equal(mayBeSender(address, tenants), isOurs)
    assert.equal(judge('dana@example.net', address), isOurs ? 'dana@example.net' : 'sender-not-ours')
  })
}

test('PH-5, PS-6: a trailing dot never gets as far as a sender check', () => {
  assert.equal(parseMail('MAIL FROM:<alice@contoso.com.>').kind, 'refused')
})

const anywhere: [path: string, answer: string, why: string][] = [
  ['dana@example.net', 'dana@example.net', 'out: anybody'],
  ['dana@[192.0.2.1]', 'relay-denied', 'an address literal'],
  ['dana@[IPv6:2001:db8::1]', 'relay-denied', 'likewise'],
  ['root@localhost', 'relay-denied', 'this machine'],
  ['root@LOCALHOST.localdomain', 'relay-denied', 'this machine'],
  ['root@x.localhost', 'relay-denied', 'this machine'],
  ['x@Relay.Example', 'relay-denied', 'nobody has a mailbox at the relay'],
  ['postmaster', 'no-postmaster', 'the operator has not said who he is'],
  [`probe-${NONCE}@relay.example`, `probe probe-${NONCE}@relay.example`, 'SP-11: a nonce in force'],
  [
    `Connector-Validation-${NONCE}@RELAY.example`,
    `probe Connector-Validation-${NONCE}@RELAY.example`,
    'SP-11, in any case',
  ],
  [`probe-${NONCE}0@relay.example`, 'relay-denied', 'SP-11: another nonce'],
  [`probe-${NONCE}@OUT.relay.example`, `probe probe-${NONCE}@OUT.relay.example`, 'SP-11: another name of the relays'],
  [`probe-${NONCE}@fabrikam.com`, `probe probe-${NONCE}@fabrikam.com`, 'SP-11: one that a tenant has as well'],
  ['dana@out.relay.example', 'relay-denied', 'nobody has a mailbox at a relay'],
  ['dana@fabrikam.com', 'dana@fabrikam.com', 'but in a domain of a tenant'],
  [`${NONCE}@relay.example`, 'relay-denied', 'SP-11: no prefix'],
  [`probe-${NONCE}@relay.example.net`, `probe-${NONCE}@relay.example.net`, 'SP-11: another host is ordinary mail'],
]
for (const [path, answer, why] of anywhere) {
  test(`SP-5 RCPT TO:<${path}>: ${why}`, () => assert.equal(judge(path), answer))
}

test("SP-11: an expired nonce is ordinary mail, and the sender of a probe is nobody's business", () => {
  assert.equal(judge(`probe-${NONCE}@relay.example`, '', { now: 1000 }), 'relay-denied')
  assert.match(judge(`connector-validation-${NONCE}@relay.example`, 'O365ConnectorValidation@evil.example'), /^probe /)
})

const incoming: [path: string, answer: string, why: string][] = [
  ['alice.smith@fabrikam.com', 'alice.smith@fabrikam.com', 'located in a domain of the project'],
  ['unknown@fabrikam.com', 'unknown@fabrikam.com', 'its tenant will say that it knows nobody of the name'],
  ['dana@example.net', 'relay-denied', 'an outsider'],
  ['x@fabrikam.com.evil.example', 'relay-denied', 'no prefix match'],
  ['x@sub.fabrikam.com', 'relay-denied', 'a sub-domain is another domain'],
]
for (const [path, answer, why] of incoming) {
  test(`SP-5 in: RCPT TO:<${path}>: ${why}`, () => {
    assert.equal(judge(path, 'dana@example.net', { direction: 'in' }), answer)
  })
}

test('SP-5: where the token tells the direction, sender and recipients are judged with the header', () => {
  assert.equal(judge('dana@example.net', 'eve@evil.example', { direction: undefined }), 'dana@example.net')
})

test('product.md §8: on a loopback listener the address range alone admits', () => {
  assert.equal(judge('dana@example.net', 'eve@evil.example', { isLocal: true }), 'dana@example.net')
  assert.equal(judge('dana@[192.0.2.1]', 'eve@evil.example', { tenants: undefined }), 'dana@[192.0.2.1]')
})

test('mail to the unqualified postmaster goes to whom the operator named, or nowhere', () => {
  assert.equal(judge('PostMaster', '', { postmaster: 'ops@contoso.com' }), 'ops@contoso.com')
  assert.equal(judge('postmaster@contoso.com'), 'postmaster@contoso.com')
})
