// What the sender of a message that could not be delivered is told (RFC 3464).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nonDeliveryReport } from '../../../sandbox/mail/non-delivery.ts'
import { letter } from './small-world.ts'

test('a reply of several lines is told in one: no bare line feed keeps the report from where it goes', () => {
  const report = nonDeliveryReport({
    message: {
      sender: 'alice@fabrikam.com',
      recipients: ['olga@example.net'],
      content: letter('alice@fabrikam.com', 'olga@example.net', 'refused'),
    },
    failures: [
      { recipient: 'olga@example.net', reply: '550-5.7.1 not from you\n550 5.7.1 ask us', host: 'mx.example.net' },
    ],
    domain: 'fabrikam.onmicrosoft.com',
    id: 'id',
    nowMs: 0,
  })
  const text = Buffer.from(report?.content ?? '').toString()
  assert.match(text, /\r\nolga@example\.net: mx\.example\.net said 550-5\.7\.1 not from you 550 5\.7\.1 ask us\r\n/)
  assert.match(text, /\r\nStatus: 5\.7\.1\r\nDiagnostic-Code: smtp;550-5\.7\.1 not from you 550 5\.7\.1 ask us\r\n/)
  assert.doesNotMatch(text, /(?<!\r)\n/)
})
