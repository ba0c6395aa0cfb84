// PH-8 and RFC 3463: the form of everything we say.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CERTIFICATE_REFUSALS } from '../../../mta/inbound/client-certificate.ts'
import {
  certificateRefusal,
  ehloReply,
  greeting,
  heloReply,
  queuedReply,
  refusalReply,
  REPLIES,
} from '../../../mta/inbound/replies.ts'
import type { TlsStanding } from '../../../mta/inbound/replies.ts'
import { newQueueId } from '../../../mta/queue-id.ts'
import { Refusal } from '../../../rewrite-rules/index.ts'

const all = [
  ...Object.values(REPLIES),
  ...CERTIFICATE_REFUSALS.map(certificateRefusal),
  greeting('relay.example'),
  heloReply('relay.example'),
  queuedReply(newQueueId(0)),
]

test('every reply is one line of printable ASCII with its own code, at most 512 octets long (RFC 5321 §4.5.3.1.5)', () => {
  for (const { code, line } of all) {
    assert.match(line, /^[2-5]\d\d [ -~]{2,500}\r\n$/)
    assert.ok(line.startsWith(`${code} `), line)
  }
})

test('an enhanced status code stands in all but greeting, EHLO and 354, and its class is the reply’s (RFC 2034)', () => {
  for (const reply of Object.values(REPLIES)) {
    if (reply.code === 354) continue
    const [, status] = reply.line.split(' ')
    assert.match(status ?? '', /^[245]\.\d{1,3}\.\d{1,3}$/, reply.line)
    assert.equal(status?.[0], String(reply.code)[0], reply.line)
  }
})

test('421 always closes (RFC 5321 §3.8), and nothing else closes that leaves room to go on', () => {
  for (const reply of Object.values(REPLIES)) if (reply.code === 421) assert.equal(reply.closes, true, reply.line)
})

test('PH-8 no reply names a version', () => {
  for (const { line } of all) assert.doesNotMatch(line, /node|smtp-server|\d+\.\d+\.\d+[^ ]/i)
})

const ehlo: [tls: TlsStanding, offered: readonly string[], why: string][] = [
  ['none', [], 'a listener without TLS'],
  ['offered', ['STARTTLS'], 'in cleartext nobody can keep REQUIRETLS'],
  ['on', ['REQUIRETLS'], 'PH-3: not again inside TLS; RFC 8689 §3'],
]
for (const [tls, offered, why] of ehlo) {
  test(`PH-7 EHLO, TLS ${tls}: ${why}`, () => {
    const always = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES', 'DSN']
    const lines = ['relay.example', ...always, ...offered]
    assert.equal(
      ehloReply('relay.example', 209_715_200, tls).line,
      `${lines.map((line) => `250-${line}\r\n`).join('')}250 SIZE 209715200\r\n`,
    )
  })
}

test('a refusal of the engine is said in its own words, made harmless and short', () => {
  assert.equal(
    refusalReply(new Refusal(552, '5.3.4', 'Message header too large')).line,
    '552 5.3.4 Message header too large\r\n',
  )
  const hostile = refusalReply(new Refusal(554, '5.6.0', `a\r\n250 ok\u00e9${'x'.repeat(500)}`))
  assert.match(hostile.line, /^554 5\.6\.0 a\?\?250 ok\?x+\r\n$/)
  assert.ok(hostile.line.length <= 200 + '554 5.6.0 \r\n'.length)
})
