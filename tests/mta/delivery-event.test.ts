import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deliveryEvent } from '../../mta/delivery-event.ts'
import type { DeliveryAttempt } from '../../mta/delivery-event.ts'
import { aRecord } from './a-record.ts'

const acceptedAt = Date.UTC(2026, 10, 22, 10, 15)
const attempt: DeliveryAttempt = {
  record: aRecord({ receivedAt: acceptedAt, intakeMs: 12 }),
  recipient: 0,
  attempt: 3,
  result: 'deferred',
  reply: { code: 451, status: '4.4.2', text: '4.4.2 <dana@example.net>: come back later' },
  remote: 'mx.example:25',
  startedAt: acceptedAt + 5_000,
  connectMs: 7.0499,
  sendMs: 20.06,
  retryAt: acceptedAt + 65_000,
}

test('one recipient, one attempt, one record with the four delays', () => {
  const { event, level, fields } = deliveryEvent(attempt, () => 'tag@example.net')
  assert.deepEqual([event, level], ['delivery.deferred', 'info'])
  assert.deepEqual(fields, {
    queueId: '01JDA2B3C4XY5Z6Q',
    direction: 'out',
    route: 'owner-tenant',
    recipient: 'tag@example.net',
    recipientIndex: 0,
    attempt: 3,
    remote: 'mx.example:25',
    code: 451,
    status: '4.4.2',
    delaysMs: { intake: 12, queue: 5_000, connect: 7, send: 20.1 },
    retryAt: '2026-11-22T10:16:05.000Z',
  })
})

test('PR-2 neither the address nor the text of a next hop, which may quote it, is in the record', () => {
  const text = JSON.stringify(deliveryEvent(attempt, () => undefined))
  assert.doesNotMatch(text, /dana|example\.net|come back/)
})

test('a clock that went back gives no negative delay', () => {
  const { fields } = deliveryEvent({ ...attempt, startedAt: acceptedAt - 1 }, () => undefined)
  assert.equal(fields.delaysMs.queue, 0)
})

test('a failure is worth reading in the morning', () => {
  assert.equal(deliveryEvent({ ...attempt, result: 'failed' }, () => undefined).level, 'warn')
})

test('how the connection was secured is told, and nothing of it for one in cleartext', () => {
  const fieldsOf = (tls: DeliveryAttempt['tls']) => {
    const { tls: protocol, verifiedBy } = deliveryEvent({ ...attempt, tls }, () => undefined).fields
    return [protocol, verifiedBy]
  }
  assert.deepEqual(fieldsOf({ protocol: 'TLSv1.3', verifiedBy: 'name' }), ['TLSv1.3', 'name'])
  assert.deepEqual(fieldsOf({ protocol: 'TLSv1.2', verifiedBy: 'nothing' }), ['TLSv1.2', undefined])
  assert.deepEqual(fieldsOf(undefined), [undefined, undefined])
})
