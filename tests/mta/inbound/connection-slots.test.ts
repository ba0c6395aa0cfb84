// LM-1: connections in all, per address, and new ones a second; stress mode.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConnectionSlots } from '../../../mta/inbound/connection-slots.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'

/** Opens `count` connections, each from another address unless one is named, slowly enough for the rate. */
function open(slots: ConnectionSlots, count: number, address?: string, startAt = 0): (string | undefined)[] {
  return Array.from({ length: count }, (_, i) => slots.take(address ?? `10.0.${i >> 8}.${i & 255}`, startAt + i * 1000))
}

test('LM-1 500 connections in all, the 501st is refused, and taken when one has gone', () => {
  const slots = new ConnectionSlots(DEFAULT_LIMITS)
  assert.deepEqual(new Set(open(slots, 500)), new Set([undefined]))
  assert.equal(slots.take('192.0.2.1', 1e6), 'total')
  slots.release('10.0.0.0')
  assert.equal(slots.take('192.0.2.1', 2e6), undefined)
})

test('LM-1 50 connections from one address, the 51st is refused; another address is not its business', () => {
  const slots = new ConnectionSlots(DEFAULT_LIMITS)
  assert.deepEqual(new Set(open(slots, 50, '192.0.2.1')), new Set([undefined]))
  assert.equal(slots.take('192.0.2.1', 1e6), 'per-address')
  assert.equal(slots.take('192.0.2.2', 1e6), undefined)
})

test('LM-1 20 new connections a second and address, the 21st is refused, the next second begins anew', () => {
  const slots = new ConnectionSlots(DEFAULT_LIMITS)
  for (let i = 0; i < 20; i++) assert.equal(slots.take('192.0.2.1', 500), undefined)
  assert.equal(slots.take('192.0.2.1', 1499), 'rate')
  assert.equal(slots.take('192.0.2.1', 1500), undefined)
})

test('LM-1 stress from 450 of 500 on, until fewer than 350 are open', () => {
  const slots = new ConnectionSlots(DEFAULT_LIMITS)
  open(slots, 449)
  assert.equal(slots.isStressed, false)
  slots.take('192.0.2.1', 1e6)
  assert.equal(slots.isStressed, true)
  for (let i = 0; i < 100; i++) slots.release(`10.0.0.${i}`)
  assert.deepEqual([slots.open, slots.isStressed], [350, true])
  slots.release('10.0.0.100')
  assert.equal(slots.isStressed, false)
})

test('peers that are gone are forgotten', () => {
  const slots = new ConnectionSlots(DEFAULT_LIMITS)
  for (let i = 0; i < 20; i++) slots.take('192.0.2.1', 0)
  for (let i = 0; i < 20; i++) slots.release('192.0.2.1')
  slots.sweep(999)
  assert.equal(slots.take('192.0.2.1', 999), 'rate')
  slots.sweep(1000)
  assert.equal(slots.take('192.0.2.1', 1000), undefined)
})

test('a slot that nobody took can’t be given back', () => {
  assert.throws(() => new ConnectionSlots(DEFAULT_LIMITS).release('192.0.2.1'), /unreachable/)
})
