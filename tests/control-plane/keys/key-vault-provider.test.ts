// The key vault when it misbehaves, and when somebody else answers in its place (KM-1, KM-3, KM-4, WS-5).
import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { judgeVaultError, parseRetryAfter } from '../../../control-plane/keys/key-vault-error.ts'
import { parseVaultUrl } from '../../../control-plane/keys/key-vault-provider.ts'
import { KeyDestroyed, KeyServiceUnavailable, KeyUnusable } from '../../../control-plane/keys/key-provider.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import { VAULT_HOST, simulatedVault } from './simulated-vault.ts'

const KEY = 'prj-1'
const newSecret = () => createSecretKey(randomBytes(32))

const addresses: [address: string, isTaken: boolean, why: string][] = [
  ['https://kv-a.vault.azure.net', true, 'a vault'],
  ['https://kv-a.vault.azure.net/', true, 'a vault, with the slash of the portal'],
  ['https://hsm-a.managedhsm.azure.net', true, 'a managed HSM'],
  ['https://kv-a.vault.usgovcloudapi.net', true, 'a vault of the US government cloud'],
  ['http://kv-a.vault.azure.net', false, 'not https'],
  ['https://vault.azure.net', false, 'the domain alone'],
  ['https://vault.azure.net.evil.example', false, 'a name that only begins like one'],
  ['https://evilvault.azure.net', false, 'no dot before the domain'],
  ['https://kv-a.vault.azure.net@evil.example', false, 'the host is another'],
  ['https://user:secret@kv-a.vault.azure.net', false, 'with a password'],
  ['https://kv-a.vault.azure.net/keys/x', false, 'with a path'],
  ['https://169.254.169.254', false, 'the metadata service'],
  ['kv-a', false, 'no address at all'],
]
for (const [address, isTaken, why] of addresses) {
  test(`WS-5: ${address} is ${isTaken ? 'taken' : 'refused'} as the address of a key vault: ${why}`, () => {
    if (isTaken) assert.equal(parseVaultUrl(address), new URL(address).origin)
    else assert.throws(() => parseVaultUrl(address), TypeError)
  })
}

const restError = (statusCode: number, innerCode?: string, headers: Record<string, string> = {}) =>
  Object.assign(new Error('x'), {
    name: 'RestError',
    statusCode,
    details: { error: { code: 'x', ...(innerCode === undefined ? {} : { innerError: { code: innerCode } }) } },
    response: { headers: { get: (name: string) => headers[name] } },
  })

const judgements: [error: unknown, expected: new (...args: never[]) => Error, why: string][] = [
  [restError(404), KeyDestroyed, 'the vault has no such key'],
  [restError(409, 'ObjectIsDeletedButRecoverable'), KeyDestroyed, 'the key was deleted'],
  [restError(409), KeyServiceUnavailable, 'another conflict passes'],
  [restError(403, 'KeyDisabled'), KeyUnusable, 'the key is disabled'],
  [restError(403, 'ForbiddenByRbac'), KeyServiceUnavailable, 'a role can be given back'],
  [restError(403), KeyServiceUnavailable, "the vault's firewall"],
  [restError(401), KeyServiceUnavailable, 'a token that is not believed'],
  [restError(400), KeyUnusable, 'the wrapped key is none'],
  [restError(429), KeyServiceUnavailable, 'throttled'],
  [restError(503), KeyServiceUnavailable, 'away'],
  [restError(307), KeyServiceUnavailable, 'a redirect, which is not followed'],
  [new Error('socket hang up'), KeyServiceUnavailable, 'no answer'],
  [new TypeError('x'), KeyServiceUnavailable, "an answer that the SDK can't read"],
  ['text', KeyServiceUnavailable, 'not even an error'],
]
for (const [error, expected, why] of judgements) {
  test(`KM-4: an error of the vault is ${expected.name}: ${why}`, () => {
    const judged = judgeVaultError(error, KEY, 0)
    assert.equal(judged.constructor, expected)
    assert.equal(judged.cause, error)
  })
}

test('KM-4: Retry-After is seconds or a date, and nothing else', () => {
  const now = Date.parse('2026-11-28T12:00:00Z')
  const cases: [value: string | undefined, ms: number | undefined][] = [
    ['17', 17_000],
    ['0', 0],
    ['Sat, 28 Nov 2026 12:00:30 GMT', 30_000],
    ['Sat, 28 Nov 2026 11:00:00 GMT', 0],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ]
  for (const [value, ms] of cases) assert.equal(parseRetryAfter(value, now), ms, value)
})

test('KM-4: a vault that is busy for a moment is asked again, after the time it names', async (t) => {
  const { vault, provider, waits } = await simulatedVault(t)
  await provider.create(KEY)
  vault.setFaults({ failures: { count: 1, status: 429, retryAfter: '3' } })
  const secret = newSecret()
  const wrapped = await provider.wrap(KEY, secret, 'c')
  assert.deepEqual(waits, [3000])
  vault.setFaults({ failures: { count: 2, status: 503, body: '<html>Bad gateway</html>' } })
  assert.ok((await provider.unwrap(wrapped, 'c')).equals(secret))
  assert.deepEqual(waits, [3000, 200, 400])
})

test('KM-4: a vault that wants more time than there is answers temporarily, with that time', async (t) => {
  const { vault, provider, waits } = await simulatedVault(t)
  await provider.create(KEY)
  vault.setFaults({ failures: { count: 99, status: 429, retryAfter: '60' } })
  await assert.rejects(provider.wrap(KEY, newSecret(), 'c'), (error) => {
    assert.ok(error instanceof KeyServiceUnavailable)
    assert.equal(error.retryAfterMs, 60_000)
    return true
  })
  assert.deepEqual(waits, [])
})

test('KM-4: a vault that is cut off, or never answers, is a temporary fault within the deadline', async (t) => {
  const { vault, provider, another } = await simulatedVault(t)
  await provider.create(KEY)
  vault.setFaults({ isUnreachable: true })
  await assert.rejects(provider.wrap(KEY, newSecret(), 'c'), KeyServiceUnavailable)
  const { isReady, reason } = await provider.health()
  assert.equal(isReady, false)
  assert.match(reason ?? '', /reached/)
  const { promise, resolve } = Promise.withResolvers<void>()
  vault.setFaults({ until: promise })
  const hasty = another({ deadlineMs: 150 })
  const started = performance.now()
  await assert.rejects(hasty.wrap(KEY, newSecret(), 'c'), KeyServiceUnavailable)
  assert.ok(performance.now() - started < 5_000)
  resolve()
})

test('KM-4: a vault that refuses this process says so, and keeps no key for destroyed', async (t) => {
  const { another } = await simulatedVault(t)
  const stranger = another({
    credential: { getToken: async () => ({ token: 'nobody', expiresOnTimestamp: Date.now() + 60_000 }) },
  })
  await assert.rejects(stranger.create(KEY), { name: 'KeyServiceUnavailable', message: /refuses/ })
  const mute = another({ credential: { getToken: () => Promise.reject(new Error('no identity here')) } })
  await assert.rejects(mute.create(KEY), KeyServiceUnavailable)
})

test('WS-5: a redirect is not followed, and takes no token with it', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  const elsewhere = await simulatedVault(t)
  vault.setFaults({ redirect: `${elsewhere.vault.url}/keys/x` })
  await assert.rejects(provider.create(KEY), KeyServiceUnavailable)
  assert.deepEqual(elsewhere.vault.requests, [])
  vault.setFaults({ redirect: `${vault.url}/keys/other` })
  const before = vault.requests.length
  await assert.rejects(provider.create(KEY), KeyServiceUnavailable)
  assert.ok(
    vault.requests.slice(before).every(({ path }) => path.includes(KEY)),
    'not within the vault either',
  )
})

test('WS-5: an answer about a key of another host, or about another key, is refused', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  await provider.create(KEY)
  const wrapped = await provider.wrap(KEY, newSecret(), 'c')
  for (const faults of [
    { foreignHost: 'evil.vault.azure.net' },
    { foreignHost: `${VAULT_HOST}.evil.example` },
    { otherKey: 'causeway-prj-2' },
  ]) {
    vault.setFaults(faults)
    await assert.rejects(provider.wrap(KEY, newSecret(), 'c'), KeyUnusable)
    await assert.rejects(provider.unwrap(wrapped, 'c'), KeyUnusable)
    await assert.rejects(provider.create(KEY), KeyUnusable)
  }
})

test('WS-5: a token is given to nobody who asks for one of another resource', async (t) => {
  const { vault, another } = await simulatedVault(t)
  let asked = 0
  const provider = another({
    credential: {
      getToken: async () => {
        asked++
        return { token: vault.issueToken(60_000), expiresOnTimestamp: Date.now() + 60_000 }
      },
    },
  })
  for (const challengeResource of [
    'https://management.azure.com',
    'https://evil.example',
    'https://azure.net.evil.example',
  ]) {
    vault.setFaults({ challengeResource })
    await assert.rejects(provider.create(KEY), KeyServiceUnavailable)
  }
  assert.equal(asked, 0)
})

test('WS-5: a server whose certificate is not of a trusted authority sees no token', async (t) => {
  const { another } = await simulatedVault(t)
  const impostor = new TestAuthority('Impostor')
  const { certificate, key } = impostor.issue({ names: [`DNS:${VAULT_HOST}`], usage: ['serverAuth'], keyType: 'ec' })
  const seen: unknown[] = []
  const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
    seen.push(request.headers)
    response.end()
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const provider = another({ vaultUrl: `https://${VAULT_HOST}:${(server.address() as AddressInfo).port}` })
  await assert.rejects(provider.create(KEY), KeyServiceUnavailable)
  assert.deepEqual(seen, [])
})

test('KM-6: the vault makes RSA keys of 3072 bits that can wrap and unwrap and nothing else', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  await provider.create(KEY)
  const { versions, type } = vault.keys.find(`causeway-${KEY}`)
  assert.equal(type, 'RSA')
  assert.deepEqual(
    versions.map(({ bits, operations }) => [bits, operations]),
    [[3072, ['wrapKey', 'unwrapKey']]],
  )
})

test('KM-1: keys in the HSM are made where that is asked for', async (t) => {
  const { vault, another } = await simulatedVault(t)
  await another({ isHardware: true, prefix: 'second' }).create(KEY)
  assert.equal(vault.keys.find(`second-${KEY}`).type, 'RSA-HSM')
})

test('KM-3: a vault that takes its time to delete and purge is waited for', async (t) => {
  const { vault, provider, waits } = await simulatedVault(t)
  await provider.create(KEY)
  vault.keys.pollsToDelete = 3
  assert.deepEqual(await provider.destroy(KEY), { kind: 'destroyed' })
  assert.ok(waits.length >= 4)
  assert.throws(() => vault.keys.find(`causeway-${KEY}`))
  assert.throws(() => vault.keys.findDeleted(`causeway-${KEY}`))
})

test('KM-3: a destruction that the vault interrupted goes on where it stopped', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  await provider.create(KEY)
  const wrapped = await provider.wrap(KEY, newSecret(), 'c')
  vault.keys.delete(`causeway-${KEY}`) // deleted, and the process died before purging
  await assert.rejects(provider.unwrap(wrapped, 'c'), KeyDestroyed)
  await assert.rejects(provider.create(KEY), KeyDestroyed, 'no new key takes the name of one that can still come back')
  assert.deepEqual(await provider.destroy(KEY), { kind: 'destroyed' })
  assert.throws(() => vault.keys.findDeleted(`causeway-${KEY}`))
})

test('KM-3: a key that the vault is still deleting, for an earlier attempt, is not taken for gone', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  await provider.create(KEY)
  vault.keys.pollsToDelete = 5
  vault.keys.delete(`causeway-${KEY}`)
  assert.deepEqual(await provider.destroy(KEY), { kind: 'destroyed' })
  assert.throws(() => vault.keys.findDeleted(`causeway-${KEY}`), 'purged, not merely out of sight')
  assert.ok(vault.requests.some(({ method, path }) => method === 'DELETE' && path.startsWith('/deletedkeys/')))
})

test('KM-3: a vault that never gets done is a temporary fault, and no destruction', async (t) => {
  const { vault, provider, another } = await simulatedVault(t)
  await provider.create(KEY)
  vault.keys.pollsToDelete = 1_000_000
  await assert.rejects(another({ deadlineMs: 300 }).destroy(KEY), KeyServiceUnavailable)
})

test('KM-3: under purge protection a destroyed key is refused and its end is dated', async (t) => {
  const { provider } = await simulatedVault(t, { recoveryLevel: 'Recoverable' })
  await provider.create(KEY)
  const wrapped = await provider.wrap(KEY, newSecret(), 'c')
  const destruction = await provider.destroy(KEY)
  assert.equal(destruction.kind, 'scheduled')
  const days = (destruction.kind === 'scheduled' ? destruction.purgeAt.getTime() - Date.now() : 0) / 86_400_000
  assert.ok(days > 89 && days <= 90)
  await assert.rejects(provider.unwrap(wrapped, 'c'), KeyDestroyed)
})

test('KM-1: a key that was disabled, or has expired by a rule of the vault, is unusable and not gone', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  await provider.create(KEY)
  const wrapped = await provider.wrap(KEY, newSecret(), 'c')
  vault.keys.update(`causeway-${KEY}`, '', { isEnabled: false })
  await assert.rejects(provider.unwrap(wrapped, 'c'), { name: 'KeyUnusable', message: /disabled/ })
  vault.keys.update(`causeway-${KEY}`, '', { isEnabled: true, expiresMs: Date.now() - 1000 })
  await assert.rejects(provider.unwrap(wrapped, 'c'), { name: 'KeyUnusable', message: /expiry/ })
})
