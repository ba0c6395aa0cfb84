// Unwrapped keys in memory: for at most 24 hours, and as long as that without the key service (KM-1, KM-4).
import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { KeyDestroyed, KeyServiceUnavailable } from '../../../control-plane/keys/key-provider.ts'

const HOUR_MS = 3_600_000
const KEY = createSecretKey(randomBytes(32))

/** A cache with its clock, and a key service that counts its calls. */
function cacheAt(t: TestContext) {
  const clock = { ms: 0 }
  const service: { calls: number; fault?: Error } = { calls: 0 }
  const cache = new KeyCache(() => clock.ms)
  t.after(() => cache.close())
  const get = () =>
    cache.get('k', async () => {
      service.calls++
      await setImmediate()
      if (service.fault !== undefined) throw service.fault
      return KEY
    })
  return { cache, clock, service, get }
}
const settle = async () => {
  for (let turn = 0; turn < 5; turn++) await setImmediate()
}

test('KM-1: many who ask at once cause one call', async (t) => {
  const { service, get } = cacheAt(t)
  assert.deepEqual(await Promise.all([get(), get(), get()]), [KEY, KEY, KEY])
  await get()
  assert.equal(service.calls, 1)
})

test('KM-1: a key is in memory for 24 hours and not a moment longer, even if nobody asks', async (t) => {
  const { cache, clock, service, get } = cacheAt(t)
  await get()
  service.fault = new KeyServiceUnavailable('away')
  clock.ms = 24 * HOUR_MS - 1
  assert.equal(await get(), KEY)
  clock.ms = 24 * HOUR_MS
  cache.dropExpired()
  assert.equal(cache.size, 0)
  await assert.rejects(get(), KeyServiceUnavailable)
})

test('KM-1: the hour clears out by itself', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const { cache, clock } = cacheAt(t)
  cache.put('k', KEY)
  clock.ms = 24 * HOUR_MS
  t.mock.timers.tick(HOUR_MS)
  assert.equal(cache.size, 0)
})

test('KM-4: from 12 hours on the key is fetched again in passing, so that an outage then has 24 hours', async (t) => {
  const { clock, service, get } = cacheAt(t)
  await get()
  clock.ms = 12 * HOUR_MS - 1
  await get()
  await settle()
  assert.equal(service.calls, 1)
  clock.ms = 12 * HOUR_MS
  await get()
  await settle()
  assert.equal(service.calls, 2)
  service.fault = new KeyServiceUnavailable('away')
  clock.ms = 36 * HOUR_MS - 1
  assert.equal(await get(), KEY)
})

test('KM-4: while the service is away the cached key goes on, and the service is asked once a minute', async (t) => {
  const { clock, service, get } = cacheAt(t)
  await get()
  service.fault = new KeyServiceUnavailable('away')
  clock.ms = 13 * HOUR_MS
  for (let turn = 0; turn < 50; turn++) {
    assert.equal(await get(), KEY)
    await settle()
  }
  assert.equal(service.calls, 2)
  clock.ms += 60_000
  await get()
  await settle()
  assert.equal(service.calls, 3)
})

test('KM-3: when the service says that the key is destroyed, the cached one goes too', async (t) => {
  const { clock, service, get } = cacheAt(t)
  await get()
  service.fault = new KeyDestroyed('gone')
  clock.ms = 13 * HOUR_MS
  await get()
  await settle()
  await assert.rejects(get(), KeyDestroyed)
})

test('a failed call is not remembered', async (t) => {
  const { service, get } = cacheAt(t)
  service.fault = new KeyServiceUnavailable('away')
  await assert.rejects(get(), KeyServiceUnavailable)
  delete service.fault
  assert.equal(await get(), KEY)
})
