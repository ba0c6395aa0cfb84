// MAIL and RCPT judged by the limits, and the envelope that becomes of them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMail, parseRcpt } from '../../../mta/inbound/command-grammar.ts'
import type { MailArguments, RcptArguments } from '../../../mta/inbound/command-grammar.ts'
import type { RecipientRules } from '../../../mta/inbound/recipients.ts'
import { declaredBytes, refuseMail, Transaction } from '../../../mta/inbound/transaction.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'

function mail(text: string): MailArguments {
  const parsed = parseMail(`MAIL FROM:${text}`)
  assert.equal(parsed.kind, 'parsed')
  return parsed.kind === 'parsed' ? parsed.value : assert.fail()
}
function rcpt(text: string): RcptArguments {
  const parsed = parseRcpt(`RCPT TO:${text}`, false)
  return parsed.kind === 'parsed' ? parsed.value : assert.fail(text)
}

const rules = (postmaster?: string): RecipientRules => ({
  name: 'relay.example',
  hosts: [],
  postmaster,
  tenants: undefined,
  direction: 'out',
  nonces: [{ nonce: '0123456789abcdef', until: 1000 }],
  isLocal: true,
  now: 999,
  map: undefined,
})

const mails: [text: string, reason: string | undefined][] = [
  ['<a@b.example>', undefined],
  ['<a@b.example> SIZE=209715200', undefined],
  ['<a@b.example> SIZE=209715201', 'too-big'],
  ['<a@b.example> REQUIRETLS', 'tls-needed'],
]
for (const [text, reason] of mails) {
  test(`MAIL FROM:${text} is ${reason ?? 'taken'}`, () => {
    assert.equal(refuseMail(mail(text), DEFAULT_LIMITS)?.reason, reason)
  })
}

test('what SIZE declares, 0 without it', () => {
  assert.equal(declaredBytes(mail('<> SIZE=4711').parameters), 4711)
  assert.equal(declaredBytes(mail('<>').parameters), 0)
})

test('the envelope holds every recipient as received, repeated ones too, source routes taken off', () => {
  const transaction = new Transaction(mail('<a@b.example> RET=FULL'), 0)
  const add = (text: string): string =>
    transaction.addRecipient(rcpt(text), DEFAULT_LIMITS, rules('ops@b.example')).reason
  assert.equal(add('<c@d.example> NOTIFY=NEVER'), 'recipient-ok')
  assert.equal(add('<@e.example:c@d.example>'), 'recipient-ok')
  assert.equal(add('<Postmaster>'), 'recipient-ok')
  assert.deepEqual(transaction.envelope(), {
    reversePath: 'a@b.example',
    parameters: { RET: 'FULL' },
    forwardPaths: [
      { path: 'c@d.example', parameters: { NOTIFY: 'NEVER' } },
      { path: 'c@d.example', parameters: {} },
      { path: 'ops@b.example', parameters: {} },
    ],
  })
})

test('LM-1 recipients: at the limit 452, and the unqualified postmaster without a name 550', () => {
  const limits = { ...DEFAULT_LIMITS, recipientsPerMessage: 100 }
  const transaction = new Transaction(mail('<>'), 0)
  assert.equal(transaction.addRecipient(rcpt('<postmaster>'), limits, rules()).line.slice(0, 9), '550 5.1.1')
  for (let i = 0; i < 100; i++) {
    assert.equal(transaction.addRecipient(rcpt(`<u${i}@d.example>`), limits, rules()).code, 250)
  }
  assert.equal(transaction.addRecipient(rcpt('<one-more@d.example>'), limits, rules()).line.slice(0, 9), '452 4.5.3')
})

test('SP-11: a transaction is for nonces, or for people', () => {
  const nonce = rcpt('<probe-0123456789abcdef@relay.example>')
  const person = rcpt('<c@d.example>')
  const reasons = (...recipients: RcptArguments[]) => {
    const transaction = new Transaction(mail('<>'), 0)
    const answers = recipients.map((recipient) => transaction.addRecipient(recipient, DEFAULT_LIMITS, rules()).reason)
    return [...answers, transaction.isProbe]
  }
  assert.deepEqual(reasons(nonce, nonce), ['recipient-ok', 'recipient-ok', true])
  assert.deepEqual(reasons(nonce, person), ['recipient-ok', 'probe-apart', true])
  assert.deepEqual(reasons(person, nonce), ['recipient-ok', 'probe-apart', false])
})
