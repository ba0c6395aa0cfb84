import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SmtpReply } from '../../../mta/message-record.ts'
import {
  judgeConnectFailure,
  judgeDialogue,
  judgeMissingRoute,
  judgeRefusal,
  judgeSilence,
} from '../../../mta/outbound/outcome.ts'
import type { Dialogue, Fault, HostVerdict } from '../../../mta/outbound/outcome.ts'
import { smtpReply } from '../../../mta/outbound/reply-reader.ts'

function reply(text: string | undefined): SmtpReply | undefined {
  return text === undefined ? undefined : smtpReply({ code: Number(text.slice(0, 3)), lines: [text.slice(4)] })
}

const CLOSED: Fault = { kind: 'closed', text: 'the connection closed' }
const OK = '250 2.0.0 ok'

type Said = { mail?: string; rcpts: (string | undefined)[]; data?: string; final?: string; fault?: Fault }

function dialogue({ mail, rcpts, data, final, fault }: Said): Dialogue {
  return { mail: reply(mail), rcpts: rcpts.map(reply), data: reply(data), final: reply(final), fault }
}

/** `kind status` of each recipient, then the host. */
const dialogues: [said: Said, outcomes: string[], host: HostVerdict, why: string][] = [
  [{ mail: OK, rcpts: [OK], data: '354 go', final: OK }, ['delivered 2.0.0'], 'well', 'as it should be'],
  [
    { mail: OK, rcpts: ['251 2.1.5 will forward'], data: '354', final: '250 ok' },
    ['delivered 2.0.0'],
    'well',
    '251 is a yes',
  ],
  [{ mail: OK, rcpts: [OK], data: '354', final: '299 2.9.9 ?' }, ['delivered 2.9.9'], 'well', 'so is any 2xx'],
  // MAIL
  [
    { mail: '550 5.7.1 no', rcpts: ['503 5.5.1', '503 5.5.1'], data: '503 5.5.1' },
    ['failed 5.7.1', 'failed 5.7.1'],
    'well',
    'DL-2: 5xx to MAIL is final for all',
  ],
  [
    { mail: '451 4.7.1 later', rcpts: ['503 5.5.1'], data: '503 5.5.1' },
    ['deferred 4.7.1'],
    'well',
    'the 503 that follows is not the reason',
  ],
  [
    { mail: '451 4.7.1 later', rcpts: ['550 5.1.1'], data: '503' },
    ['deferred 4.7.1'],
    'well',
    'nor a 550: RCPT was said out of order',
  ],
  [
    { mail: '421 4.3.2 bye', rcpts: [undefined], fault: CLOSED },
    ['deferred 4.3.2'],
    'said421',
    'DL-2: 421 backs off the whole host',
  ],
  [{ mail: '350 hm', rcpts: [OK], data: '354' }, ['deferred 4.5.0'], 'well', '3xx to MAIL is nonsense, so not final'],
  [{ mail: '552 5.3.4 too big', rcpts: ['503'], data: '503' }, ['failed 5.3.4'], 'well', 'RFC 1870 §6.1: too big'],
  // RCPT: mixed results are kept per recipient
  [
    { mail: OK, rcpts: [OK, '550 5.1.1 unknown', '450 4.2.1 busy', OK], data: '354', final: OK },
    ['delivered 2.0.0', 'failed 5.1.1', 'deferred 4.2.1', 'delivered 2.0.0'],
    'well',
    'DL-2: each keeps its own',
  ],
  [
    { mail: OK, rcpts: [OK, '550 5.1.1'], data: '354', final: '451 4.3.0' },
    ['deferred 4.3.0', 'failed 5.1.1'],
    'well',
    'also when the content is put off',
  ],
  [
    { mail: OK, rcpts: [OK, '450 4.2.1'], data: '354', final: '554 5.6.0' },
    ['failed 5.6.0', 'deferred 4.2.1'],
    'well',
    'also when it is refused',
  ],
  [
    { mail: OK, rcpts: [OK, '550 5.1.1'], data: '354', fault: CLOSED },
    ['deferred 4.4.2', 'failed 5.1.1'],
    'unwell',
    'also when the connection ends',
  ],
  [
    { mail: OK, rcpts: ['550 5.1.1'], data: '554 5.5.1 no recipients' },
    ['failed 5.1.1'],
    'well',
    'DATA refused for want of recipients says nothing of them',
  ],
  [
    { mail: OK, rcpts: ['550 5.1.1'], data: '354' },
    ['failed 5.1.1'],
    'well',
    'DATA accepted without recipients (RFC 2920 §3.1)',
  ],
  [
    { mail: OK, rcpts: [OK, '421 4.7.0 enough'], fault: CLOSED },
    ['deferred 4.4.2', 'deferred 4.7.0'],
    'said421',
    '421 to RCPT: the others wait too',
  ],
  [
    { mail: OK, rcpts: [OK, '552 5.5.3 too many'], data: '354', final: OK },
    ['delivered 2.0.0', 'deferred 4.5.3'],
    'well',
    'RFC 5321 §4.5.3.1.10: 552 for 452',
  ],
  [
    { mail: OK, rcpts: [OK, '552 too many'], data: '354', final: OK },
    ['delivered 2.0.0', 'deferred 4.0.0'],
    'well',
    'likewise without a status',
  ],
  [
    { mail: OK, rcpts: [OK, '552 5.2.2 full'], data: '354', final: OK },
    ['delivered 2.0.0', 'failed 5.2.2'],
    'well',
    'a full mailbox is something else',
  ],
  [{ mail: OK, rcpts: ['552 no'], data: '503' }, ['failed 5.0.0'], 'well', 'the first recipient is never one too many'],
  // DATA
  [{ mail: OK, rcpts: [OK], data: '451 4.3.0' }, ['deferred 4.3.0'], 'well', '4xx to DATA'],
  [{ mail: OK, rcpts: [OK], data: '554 5.7.1' }, ['failed 5.7.1'], 'well', '5xx to DATA'],
  [
    { mail: OK, rcpts: [OK], data: '250 2.0.0 thanks' },
    ['deferred 4.5.0'],
    'well',
    '250 to DATA: nothing was sent, so nothing is delivered',
  ],
  // final dot
  [{ mail: OK, rcpts: [OK], data: '354', final: '552 5.2.2 full' }, ['failed 5.2.2'], 'well', '5xx to the content'],
  [{ mail: OK, rcpts: [OK], data: '354', final: '421 4.3.2' }, ['deferred 4.3.2'], 'said421', '421 to the content'],
  [{ mail: OK, rcpts: [OK], data: '354', final: '354 more?' }, ['deferred 4.5.0'], 'well', '3xx to the content'],
  [
    { mail: OK, rcpts: [OK], data: '354', fault: CLOSED },
    ['deferred 4.4.2'],
    'unwell',
    'nobody knows: sent again, never lost (RFC 1047)',
  ],
  [
    { mail: OK, rcpts: [OK], data: '354', fault: { kind: 'timeout', text: '' } },
    ['deferred 4.4.2'],
    'unwell',
    'likewise',
  ],
  [
    { mail: OK, rcpts: [OK], data: '354', final: OK, fault: { kind: 'protocol', text: '' } },
    ['delivered 2.0.0'],
    'well',
    'what broke after its yes changes nothing',
  ],
  // faults
  [
    { rcpts: [undefined, undefined], fault: CLOSED },
    ['deferred 4.4.2', 'deferred 4.4.2'],
    'unwell',
    'nothing was said',
  ],
  [
    { mail: OK, rcpts: [undefined], fault: { kind: 'protocol', text: '' } },
    ['deferred 4.5.0'],
    'unwell',
    'DL-6: broken protocol is temporary',
  ],
  [
    { mail: OK, rcpts: [OK], data: '354', fault: { kind: 'stopped', text: '' } },
    ['deferred 4.3.2'],
    'well',
    'it was us who hung up',
  ],
]
for (const [said, outcomes, host, why] of dialogues) {
  test(`${JSON.stringify(said)} → ${outcomes.join(', ')}; ${host}: ${why}`, () => {
    const judged = judgeDialogue(dialogue(said))
    assert.deepEqual(
      judged.outcomes.map((outcome) => `${outcome.kind} ${outcome.reply.status}`),
      outcomes,
    )
    assert.equal(judged.host, host)
  })
}

const greetings: [said: string, status: string, why: string][] = [
  ['554 5.3.2 no service', '4.3.2', 'DL-2: a 5xx banner is temporary'],
  ['554 go away', '4.0.0', 'also without a status'],
  ['421 4.3.2 busy', '4.3.2', '421'],
  ['451 4.3.0', '4.3.0', '4xx'],
  ['250 hello', '4.5.0', 'a greeting that is none'],
]
for (const [said, status, why] of greetings) {
  test(`before MAIL, ${said} defers with ${status} and backs off the host: ${why}`, () => {
    const heard = reply(said)
    assert.ok(heard !== undefined)
    const { outcome, host } = judgeConnectFailure({ reply: heard })
    assert.deepEqual([outcome.kind, outcome.reply.status, host], ['deferred', status, 'down'])
  })
}

const faults: [kind: Fault['kind'], status: string, why: string][] = [
  ['unreachable', '4.4.1', 'RFC 3463 §3.5: no answer from host'],
  ['unresolved', '4.4.3', 'directory server failure'],
  ['timeout', '4.4.2', 'bad connection'],
  ['closed', '4.4.2', 'bad connection'],
  ['protocol', '4.5.0', 'protocol'],
  ['unencrypted', '4.7.4', 'DL-2, DL-6: security features not supported'],
  ['insecure', '4.7.5', 'DL-2: cryptographic failure'],
  ['forbidden', '4.4.4', 'unable to route: until the operator lists the address, or the mail is too old'],
]
for (const [kind, status, why] of faults) {
  test(`before MAIL, ${kind} defers with ${status} and backs off the host: ${why}`, () => {
    const { outcome, host } = judgeConnectFailure({ fault: { kind, text: '' } })
    assert.deepEqual([outcome.kind, outcome.reply.status, host], ['deferred', status, 'down'])
  })
}

test('what DNS, or every host of a domain, has said for certain fails, and is nobody’s trouble (DL-7)', () => {
  const { outcome, host } = judgeConnectFailure({ refusal: { code: 556, status: '5.1.10', text: '' } })
  assert.deepEqual([outcome.kind, host], ['failed', 'well'])
})

test('our own stop is not held against the host', () => {
  assert.equal(judgeConnectFailure({ fault: { kind: 'stopped', text: '' } }).host, 'well')
})

test('what this host can not take at all fails (R12); what the connection did not last for, or has no route, waits', () => {
  assert.equal(judgeRefusal({ code: 0, status: '5.6.7', text: '' }).kind, 'failed')
  assert.equal(judgeSilence(CLOSED).kind, 'deferred')
  assert.deepEqual(judgeMissingRoute('x').reply.status, '4.3.5')
})

test('property: a 4xx or a fault alone never fails a recipient, and nothing but a 2xx to the content delivers', () => {
  const said = fc.option(
    fc.constantFrom('250 ok', '354 go', '421 x', '450 x', '452 4.5.3 x', '550 5.1.1 x', '552 x', '554 x').map(reply),
    { nil: undefined },
  )
  fc.assert(
    fc.property(
      said,
      fc.array(said, { minLength: 1, maxLength: 5 }),
      said,
      said,
      fc.boolean(),
      (mail, rcpts, data, final, isBroken) => {
        const judged = judgeDialogue({ mail, rcpts, data, final, fault: isBroken ? CLOSED : undefined })
        for (const outcome of judged.outcomes) {
          if (outcome.kind === 'failed') assert.ok(outcome.reply.code >= 500 && outcome.reply.status.startsWith('5.'))
          if (outcome.kind === 'deferred') assert.ok(outcome.reply.status.startsWith('4.'))
          if (outcome.kind === 'delivered') assert.ok(final !== undefined && final.code >= 200 && final.code < 300)
        }
      },
    ),
    { numRuns: 1_000 },
  )
})
