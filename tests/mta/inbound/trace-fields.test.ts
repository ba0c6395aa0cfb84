// R79 Received, R76 marker, R84 fields that are taken off.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { receivedField, rfc5322Date, traceField, withoutForgedFields } from '../../../mta/inbound/trace-fields.ts'
import type { ReceivedClause } from '../../../mta/inbound/trace-fields.ts'
import { scanHeader } from '../../../rewrite-rules/index.ts'

const CLAUSE = {
  helloName: 'mail.contoso.com',
  address: '192.0.2.1',
  by: 'relay.example',
  isEsmtp: true,
  isSmtpUtf8: false,
  queueId: '01JDA2B3C4XY5Z6Q',
  at: Date.UTC(2026, 10, 22, 10, 0, 0),
}

test('R79 Received says who, with what, as what and when, and for whom it doesn’t say', () => {
  assert.equal(
    receivedField(CLAUSE),
    'Received: from mail.contoso.com ([192.0.2.1])\r\n' +
      ' by relay.example with ESMTP id 01JDA2B3C4XY5Z6Q;\r\n' +
      ' Sun, 22 Nov 2026 10:00:00 +0000\r\n',
  )
})

const protocols: [over: Partial<ReceivedClause>, text: RegExp, why: string][] = [
  [{ isEsmtp: false }, / with SMTP id /, 'HELO'],
  [{ isSmtpUtf8: true }, / with UTF8SMTP id /, 'RFC 6531 §4.3'],
  [{ tls: {} }, / with ESMTPS id /, 'RFC 3848'],
  [{ isSmtpUtf8: true, tls: {} }, / with UTF8SMTPS id /, 'RFC 6531 §4.3'],
  [{ isEsmtp: false, tls: {} }, / with SMTP id /, 'HELO inside TLS: there is no word for it'],
  [{ address: '2001:db8::1' }, /\(\[IPv6:2001:db8::1\]\)/, 'RFC 5321 §4.1.3'],
]
for (const [over, text, why] of protocols) {
  test(`R79 Received matches ${text.source}: ${why}`, () => assert.match(receivedField({ ...CLAUSE, ...over }), text))
}

test('dates are UTC and in English, whatever the machine speaks', () => {
  assert.equal(rfc5322Date(Date.UTC(2027, 0, 1, 3, 4, 5)), 'Fri, 01 Jan 2027 03:04:05 +0000')
})

test('R76 the marker is a field of its own', () => {
  assert.equal(traceField('token v=1; d=out'), 'X-Causeway-Trace: token v=1; d=out\r\n')
})

const fields: [field: string, stays: boolean, why: string][] = [
  ['X-Causeway-Project: secret', false, 'the tenant proof (SP-6)'],
  ['x-causeway-project : secret', false, 'in any case, with a space before the colon'],
  ['X-Causeway-Project: secret\r\n folded', false, 'with all its lines'],
  ['X-Causeway-Projects: x', true, 'another name'],
  ['Authentication-Results: relay.example; dkim=pass', false, 'in our name (R84)'],
  ['Authentication-Results: RELAY.example; none', false, 'in any case'],
  ['authentication-results:\r\n\trelay.example 1; spf=pass', false, 'folded, with a version'],
  ['Authentication-Results: (co(mm)ent) relay.example (x); none', false, 'after a comment'],
  ['Authentication-Results: "relay.example"; none', false, 'quoted'],
  ['Authentication-Results: "rel\\ay.example"; none', false, 'quoted, with a quoted pair'],
  ['Authentication-Results: relay.example', false, 'without results'],
  ['Authentication-Results: relay.example.org; none', true, 'a longer name'],
  ['Authentication-Results: other.example; dkim=pass (relay.example;)', true, 'somebody else’s'],
  ['ARC-Authentication-Results: i=1; relay.example; none', true, 'another field'],
  ['X-Causeway-Trace: token v=1', true, 'markers are judged, not removed (R77)'],
]
for (const [field, stays, why] of fields) {
  test(`R84 ${JSON.stringify(field)} ${stays ? 'stays' : 'goes'}: ${why}`, () => {
    const bytes = Buffer.from(`From: a@b.example\r\n${field}\r\nTo: c@d.example\r\n\r\n`)
    const result = withoutForgedFields(scanHeader(bytes), bytes, 'relay.example')
    const expected = stays ? bytes.toString() : 'From: a@b.example\r\nTo: c@d.example\r\n\r\n'
    assert.equal(result.toString(), expected)
  })
}

test('a comment of a hundred thousand brackets is read in no time', () => {
  const bytes = Buffer.from(`Authentication-Results: ${'('.repeat(100_000)}\r\n\r\n`)
  const startedAt = performance.now()
  withoutForgedFields(scanHeader(bytes), bytes, 'relay.example')
  assert.ok(performance.now() - startedAt < 500)
})
