// The simulated key vault, spoken to as the REST API is, without the SDK: what it refuses, and that its keys are real.
import assert from 'node:assert/strict'
import { createPublicKey, publicEncrypt, constants } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { startVault } from '../../sandbox/vault/vault.ts'
import type { VaultOptions } from '../../sandbox/vault/vault.ts'
import { TestAuthority } from '../harness/certificates.ts'

const HOST = 'kv-test.vault.azure.net'
const authority = new TestAuthority()
const leaf = authority.issue({ names: [`DNS:${HOST}`], usage: ['serverAuth'], keyType: 'ec' })
const ca = readFileSync(authority.certificate)

interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Record<string, never> & { error?: { code: string; innererror?: { code: string } } }
}

async function vaultWithCaller(t: TestContext, options: Partial<VaultOptions> = {}) {
  const tls = { cert: readFileSync(leaf.certificate, 'utf8'), key: readFileSync(leaf.key, 'utf8') }
  const vault = await startVault({ host: HOST, tls, now: Date.now, ...options })
  t.after(() => vault.close())
  const token = vault.issueToken(60_000)
  const call = (method: string, path: string, body?: unknown, bearer: string | undefined = token): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const headers = bearer === '' ? {} : { authorization: `Bearer ${bearer}` }
      const url = path.includes('?') ? path : `${path}?api-version=7.6`
      const sent = request(
        { host: '127.0.0.1', servername: HOST, port: vault.port, ca, method, path: url, headers },
        (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
          response.on('end', () => {
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: (text === '' ? {} : JSON.parse(text)) as Answer['body'],
            })
          })
        },
      )
      sent.on('error', reject)
      sent.end(typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body))
    })
  return { vault, call }
}

test('a request without a token, with an unknown one or with one that has expired is challenged', async (t) => {
  let now = 1_000_000
  const { vault, call } = await vaultWithCaller(t, { now: () => now })
  const token = vault.issueToken(1000)
  for (const bearer of ['', 'nobody']) {
    const { status, headers, body } = await call('GET', '/keys/a', undefined, bearer)
    assert.equal(status, 401)
    assert.equal(body.error?.code, 'Unauthorized')
    assert.match(
      String(headers['www-authenticate']),
      /^Bearer authorization="https:\/\/login\.microsoftonline\.com\/[0-9a-f-]+", resource="https:\/\/vault\.azure\.net"$/,
    )
  }
  assert.equal((await call('GET', '/keys/a', undefined, token)).status, 404)
  now += 1000
  assert.equal((await call('GET', '/keys/a', undefined, token)).status, 401)
})

test('a key that was made with its public half unwraps in the vault: the keys are real', async (t) => {
  const { call } = await vaultWithCaller(t)
  const made = await call('POST', '/keys/a/create', { kty: 'RSA', key_size: 2048, key_ops: ['wrapKey', 'unwrapKey'] })
  assert.equal(made.status, 200)
  const { key } = made.body as unknown as { key: { kid: string; kty: string; n: string; e: string } }
  assert.match(key.kid, new RegExp(`^https://${HOST}:\\d+/keys/a/[0-9a-f]{32}$`))
  assert.ok(!JSON.stringify(made.body).includes('"d"'), 'the private half stays inside')
  const publicKey = createPublicKey({ key: { kty: 'RSA', n: key.n, e: key.e }, format: 'jwk' })
  const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
  const value = publicEncrypt({ key: publicKey, ...padding }, Buffer.from('secret')).toString('base64url')
  const path = new URL(key.kid).pathname
  const unwrapped = await call('POST', `${path}/unwrapkey`, { alg: 'RSA-OAEP-256', value })
  assert.deepEqual(
    Buffer.from((unwrapped.body as unknown as { value: string }).value, 'base64url').toString(),
    'secret',
  )
  const wrong = await call('POST', `${path}/unwrapkey`, { alg: 'RSA-OAEP', value })
  assert.deepEqual([wrong.status, wrong.body.error?.code], [400, 'BadParameter'])
})

const refusals: [method: string, path: string, body: unknown, status: number, code: string, why: string][] = [
  ['GET', '/keys/none', undefined, 404, 'KeyNotFound', 'no such key'],
  ['GET', '/keys/a/0123', undefined, 404, 'KeyNotFound', 'no such version'],
  ['GET', '/keys/a_b', undefined, 400, 'BadParameter', 'no name of a key'],
  ['GET', '/keys/a?api-version=1.0', undefined, 400, 'BadParameter', 'no such version of the API'],
  ['GET', '/secrets/a', undefined, 404, 'NotFound', 'another collection'],
  ['PUT', '/keys/a', {}, 405, 'MethodNotAllowed', 'no such operation'],
  ['POST', '/keys/b/create', { kty: 'EC' }, 400, 'BadParameter', 'a type it does not make'],
  ['POST', '/keys/b/create', { kty: 'RSA', key_size: 1024 }, 400, 'BadParameter', 'a key too small'],
  ['POST', '/keys/b/create', '{', 400, 'BadParameter', 'no JSON'],
  ['POST', '/keys/b/create', '"text"', 400, 'BadParameter', 'no object'],
  ['POST', '/keys/b/create', `"${'x'.repeat(70_000)}"`, 413, 'RequestTooLarge', 'too large'],
  ['DELETE', '/deletedkeys/a', undefined, 404, 'KeyNotFound', 'purging what is not deleted'],
]
for (const [method, path, body, status, code, why] of refusals) {
  test(`the vault refuses ${method} ${path}: ${why}`, async (t) => {
    const { vault, call } = await vaultWithCaller(t)
    await vault.keys.create('a', 'RSA', 2048, ['wrapKey'])
    const answer = await call(method, path, body)
    assert.deepEqual([answer.status, answer.body.error?.code], [status, code])
  })
}

test('a deleted key waits: it can come back, its name is taken, and after purging it is gone', async (t) => {
  const { vault, call } = await vaultWithCaller(t)
  await vault.keys.create('a', 'RSA', 2048, ['wrapKey'])
  vault.keys.pollsToDelete = 1
  const deleted = await call('DELETE', '/keys/a')
  assert.match((deleted.body as unknown as { recoveryId: string }).recoveryId, /\/deletedkeys\/a$/)
  assert.equal((await call('GET', '/keys/A')).status, 404)
  assert.equal((await call('GET', '/deletedkeys/a')).status, 404, 'the vault is still at it')
  assert.equal((await call('GET', '/deletedkeys/a')).status, 200)
  const again = await call('POST', '/keys/a/create', { kty: 'RSA', key_size: 2048 })
  assert.deepEqual([again.status, again.body.error?.innererror?.code], [409, 'ObjectIsDeletedButRecoverable'])
  assert.equal((await call('POST', '/deletedkeys/a/recover')).status, 200)
  assert.equal((await call('GET', '/keys/a')).status, 200)

  vault.keys.pollsToDelete = 0
  await call('DELETE', '/keys/a')
  assert.equal((await call('DELETE', '/deletedkeys/a')).status, 204)
  assert.equal((await call('GET', '/deletedkeys/a')).status, 404)
  assert.equal((await call('POST', '/keys/a/create', { kty: 'RSA', key_size: 2048 })).status, 200)
})

test('purge protection holds against everybody', async (t) => {
  const { vault, call } = await vaultWithCaller(t, { recoveryLevel: 'Recoverable' })
  await vault.keys.create('a', 'RSA', 2048, ['wrapKey'])
  await call('DELETE', '/keys/a')
  const { status, body } = await call('DELETE', '/deletedkeys/a')
  assert.deepEqual([status, body.error?.code], [403, 'Forbidden'])
})

test('rotating adds a version like the one before; versions are listed, disabled ones refuse', async (t) => {
  const { vault, call } = await vaultWithCaller(t)
  await vault.keys.create('a', 'RSA', 2048, ['wrapKey', 'unwrapKey'])
  await call('POST', '/keys/a/rotate')
  const { value } = (await call('GET', '/keys/a/versions')).body as unknown as { value: { kid: string }[] }
  assert.equal(value.length, 2)
  const [first = '', second = ''] = value.map(({ kid }) => new URL(kid).pathname)
  assert.equal((await call('PATCH', first, { attributes: { enabled: false } })).status, 200)
  const wrap = { alg: 'RSA-OAEP-256', value: Buffer.from('x').toString('base64url') }
  const refused = await call('POST', `${first}/wrapkey`, wrap)
  assert.deepEqual([refused.status, refused.body.error?.innererror?.code], [403, 'KeyDisabled'])
  assert.equal((await call('POST', `${second}/wrapkey`, wrap)).status, 200)
})

test('faults come as ordered: so many failures with their Retry-After, then work again', async (t) => {
  const { vault, call } = await vaultWithCaller(t)
  await vault.keys.create('a', 'RSA', 2048, ['wrapKey'])
  vault.setFaults({ failures: { count: 2, status: 429, retryAfter: '7' } })
  for (let turn = 0; turn < 2; turn++) {
    const { status, headers } = await call('GET', '/keys/a')
    assert.deepEqual([status, headers['retry-after']], [429, '7'])
  }
  assert.equal((await call('GET', '/keys/a')).status, 200)
  vault.setFaults({ isUnreachable: true })
  await assert.rejects(call('GET', '/keys/a'), { code: 'ECONNRESET' })
})
