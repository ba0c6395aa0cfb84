import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MessageRecord } from '../../../mta/message-record.ts'
import { NO_CAPABILITIES, parseCapabilities } from '../../../mta/outbound/capabilities.ts'
import { planTransaction } from '../../../mta/outbound/transaction.ts'
import { record, recipient } from './fixtures.ts'

const ALL = parseCapabilities(['hop', 'PIPELINING', 'SIZE 1000', '8BITMIME', 'SMTPUTF8', 'DSN'])
const JUERGEN = 'j\u00fcrgen@fabrikam.example'

/** Command lines without line ends; `5.x.y` where nothing is sent for it. */
function planned(more: Partial<MessageRecord>, hop = ALL, isProven = false): string[] {
  const made = record({ headerBytes: 100, bodyBytes: 23, ...more })
  const plan = planTransaction(made, made.recipients, hop, isProven)
  if (plan.kind === 'refused') return [plan.reply.status]
  return [plan.mail, ...plan.rcpts].map((each) => (typeof each === 'string' ? each.replace(/\r\n$/, '') : each.status))
}

const FROM = 'MAIL FROM:<alice@fabrikam.example>'
const TO = 'RCPT TO:<dana@example.net>'

const examples: [more: Partial<MessageRecord>, hop: typeof ALL, commands: string[], why: string][] = [
  [{}, ALL, [`${FROM} SIZE=123`, TO], 'R11: the size after rewriting'],
  [{}, NO_CAPABILITIES, [FROM, TO], 'nothing is offered, nothing is said'],
  [{ reversePath: '' }, NO_CAPABILITIES, ['MAIL FROM:<>', TO], 'R7: null stays null'],
  [{ bodyBytes: 900 }, ALL, [`${FROM} SIZE=1000`, TO], 'R11: at the limit'],
  [{ bodyBytes: 901 }, ALL, ['5.3.4'], 'one octet more than the next hop takes (RFC 1870)'],
  [{ bodyBytes: 901 }, { ...ALL, sizeLimit: 0 }, [`${FROM} SIZE=1001`, TO], 'RFC 1870 §3: 0 is no limit'],
  [{ body8BitMime: true }, ALL, [`${FROM} SIZE=123 BODY=8BITMIME`, TO], 'R12: declared, offered'],
  [{ body8BitMime: true }, NO_CAPABILITIES, [FROM, TO], 'R12: declared, not needed, not offered'],
  [
    { body8BitMime: true, has8Bit: true },
    NO_CAPABILITIES,
    ['5.6.3'],
    'R12: 8-bit content is not sent without 8BITMIME',
  ],
  [{ has8Bit: true }, ALL, [`${FROM} SIZE=123`, TO], 'R12: never upgraded silently'],
  [{ has8Bit: true }, NO_CAPABILITIES, ['5.6.3'], 'R12: declared or not'],
  [{ smtpUtf8: true }, ALL, [`${FROM} SIZE=123 SMTPUTF8`, TO], 'R12: declared, offered'],
  [{ smtpUtf8: true }, NO_CAPABILITIES, [FROM, TO], 'RFC 6531 §3.4: all ASCII does not need it'],
  [{ smtpUtf8: true, has8Bit: true }, { ...ALL, smtpUtf8: false }, ['5.6.7'], 'R12: SMTPUTF8 content'],
  [{ smtpUtf8: true, reversePath: JUERGEN }, { ...ALL, smtpUtf8: false }, ['5.6.7'], 'R12: SMTPUTF8 path'],
  [{ smtpUtf8: true, reversePath: JUERGEN }, ALL, [`MAIL FROM:<${JUERGEN}> SIZE=123 SMTPUTF8`, TO], 'as it should be'],
  [{ reversePath: JUERGEN }, ALL, ['5.6.7'], 'R12: a mapping to such an address does not upgrade the message'],
  [
    { recipients: [recipient(JUERGEN), recipient('dana@example.net')] },
    ALL,
    [`${FROM} SIZE=123`, '5.6.7', TO],
    'one recipient in need leaves the others alone',
  ],
  [
    { smtpUtf8: true, recipients: [recipient(JUERGEN)] },
    ALL,
    [`${FROM} SIZE=123 SMTPUTF8`, `RCPT TO:<${JUERGEN}>`],
    'declared and offered',
  ],
  [{ ret: 'HDRS', envid: 'QQ+2B1' }, ALL, [`${FROM} SIZE=123 RET=HDRS ENVID=QQ+2B1`, TO], 'R10: passed as xtext'],
  [{ ret: 'HDRS', envid: 'QQ+2B1' }, NO_CAPABILITIES, [FROM, TO], 'R10: only to who offers DSN'],
  [
    { recipients: [recipient('a@b.example', { notify: 'SUCCESS,FAILURE', orcpt: 'rfc822;x+2By@c.example' })] },
    ALL,
    [`${FROM} SIZE=123`, 'RCPT TO:<a@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2By@c.example'],
    'R9, R10: each recipient has his own',
  ],
  [
    { recipients: [recipient('a@b.example', { notify: 'NEVER', orcpt: 'rfc822;x@c.example' })] },
    NO_CAPABILITIES,
    [FROM, 'RCPT TO:<a@b.example>'],
    'R9: only to who offers DSN',
  ],
]
for (const [more, hop, commands, why] of examples) {
  test(`${JSON.stringify(more)} to a hop with ${hop === ALL ? 'everything' : JSON.stringify(hop)}: ${why}`, () =>
    assert.deepEqual(planned(more, hop), commands))
}

test('a line break never becomes a command', () => {
  assert.throws(() => planned({ reversePath: 'a@b\r\nRCPT TO:<x@y>' }))
  assert.throws(() => planned({ recipients: [recipient('a@b\r\nDATA')] }))
  assert.throws(() => planned({ envid: 'a b' }))
  assert.throws(() => planned({ recipients: [recipient('a@b', { orcpt: 'rfc822;x NOTIFY=NEVER' })] }))
})

const offers: [lines: string[], offered: Partial<typeof ALL>, why: string][] = [
  [['hop.example'], NO_CAPABILITIES, 'a greeting only'],
  [
    ['PIPELINING', '8BITMIME'],
    { pipelining: false, eightBitMime: true },
    'the first line is the greeting, whatever it says',
  ],
  [['hop', 'pipelining'], { pipelining: true }, 'keywords in any case'],
  [['hop', 'PIPELINING yes'], { pipelining: false }, 'a parameter that the keyword does not have'],
  [['hop', 'PIPELINING '], { pipelining: true }, 'a space at the end is none'],
  [['hop', '-8BITMIME'], { eightBitMime: false }, 'no keyword'],
  [['hop', '8BITMIMEX'], { eightBitMime: false }, 'another keyword'],
  [['hop', 'SIZE'], { sizeLimit: 0 }, 'RFC 1870: no limit told'],
  [['hop', 'SIZE 0'], { sizeLimit: 0 }, 'RFC 1870: no limit'],
  [['hop', 'SIZE 35882577'], { sizeLimit: 35_882_577 }, 'a limit'],
  [['hop', 'SIZE -1'], { sizeLimit: undefined }, 'not a number'],
  [['hop', `SIZE ${'9'.repeat(21)}`], { sizeLimit: undefined }, 'RFC 1870: 20 digits'],
  [['hop', 'SIZE 5', 'SIZE 500'], { sizeLimit: 5 }, 'the first counts'],
  [['hop', 'SMTPUTF8 x'], { smtpUtf8: true }, 'RFC 6531 §3.1: its parameters are ignored'],
  [['hop', 'DSN', '__proto__', 'constructor'], { dsn: true }, 'PS-3: names are names'],
]
for (const [lines, offered, why] of offers) {
  test(`EHLO ${JSON.stringify(lines)}: ${why}`, () => {
    const parsed = parseCapabilities(lines)
    assert.deepEqual({ ...parsed, ...offered }, parsed)
  })
}

const TAKES_REQUIRETLS = { ...ALL, requireTls: true }
const requireTls: [hop: typeof ALL, isProven: boolean, commands: string[], why: string][] = [
  [TAKES_REQUIRETLS, true, [`${FROM} SIZE=123 REQUIRETLS`, TO], 'passed on to a host that is proven and offers it'],
  [TAKES_REQUIRETLS, false, ['5.7.10'], 'what nobody has proven may say that it offers it'],
  [ALL, true, ['5.7.30'], 'a host without it would drop the demand'],
  [ALL, false, ['5.7.10'], 'in cleartext, or to whomever: never'],
]
for (const [hop, isProven, commands, why] of requireTls) {
  test(`R12, DL-7, RFC 8689: REQUIRETLS is honoured or the message is not sent: ${why}`, () => {
    assert.deepEqual(planned({ requireTls: true }, hop, isProven), commands)
  })
}

test('RFC 8689 §2: REQUIRETLS is said for no message that did not ask for it', () => {
  assert.deepEqual(planned({}, TAKES_REQUIRETLS, true), [`${FROM} SIZE=123`, TO])
})
