// What every key service must do (KM-1), asked of both: the directory and the key vault.
import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyDestroyed, KeyUnusable, checkedKeyName, projectKeyName } from '../../../control-plane/keys/key-provider.ts'
import type { KeyProvider } from '../../../control-plane/keys/key-provider.ts'
import { simulatedVault } from './simulated-vault.ts'

const PROVIDERS: Record<string, (t: TestContext) => Promise<KeyProvider>> = {
  'a key directory': async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'causeway-keys-'))
    t.after(() => rmSync(directory, { recursive: true, force: true }))
    return openKeyDirectory(join(directory, 'keys'), Date.now)
  },
  'a key vault': async (t) => (await simulatedVault(t)).provider,
}

const KEY = 'prj-0123456789abcdefghjkmnpq'
const CONTEXT = 'org_1/prj_1/k1'
const newSecret = () => createSecretKey(randomBytes(32))

for (const [name, open] of Object.entries(PROVIDERS)) {
  test(`KM-1: ${name} gives back what it wrapped, in the same context only`, async (t) => {
    const provider = await open(t)
    await provider.create(KEY)
    const secret = newSecret()
    const wrapped = await provider.wrap(KEY, secret, CONTEXT)
    assert.equal(wrapped.provider, provider.id)
    assert.equal(wrapped.key, KEY)
    assert.ok(!Buffer.from(wrapped.bytes).includes(secret.export()))
    assert.ok((await provider.unwrap(wrapped, CONTEXT)).equals(secret))
    await assert.rejects(provider.unwrap(wrapped, 'org_1/prj_2/k1'), KeyUnusable)
  })

  test(`KM-1: ${name} unwraps nothing that was altered, shortened, or made by another key, version or provider`, async (t) => {
    const provider = await open(t)
    await provider.create(KEY)
    await provider.create('installation')
    const wrapped = await provider.wrap(KEY, newSecret(), CONTEXT)
    const other = await provider.wrap('installation', newSecret(), CONTEXT)
    const alter = (at: number) => {
      const bytes = Buffer.from(wrapped.bytes)
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
      return bytes
    }
    const cases: [value: object, why: string][] = [
      [{ bytes: alter(0) }, 'first octet altered'],
      [{ bytes: alter(wrapped.bytes.length - 1) }, 'last octet altered'],
      [{ bytes: wrapped.bytes.subarray(1) }, 'shortened'],
      [{ bytes: new Uint8Array() }, 'empty'],
      [{ bytes: other.bytes }, "another key's"],
      [{ provider: 'file:0' }, 'of another provider'],
      [{ version: '../installation/1' }, 'a path for a version'],
    ]
    for (const [change, why] of cases) {
      await assert.rejects(provider.unwrap({ ...wrapped, ...change }, CONTEXT), KeyUnusable, why)
    }
    await assert.rejects(provider.unwrap({ ...wrapped, key: '../x' }, CONTEXT), RangeError)
  })

  test(`KM-2: ${name} wraps by the new version after a rotation and still unwraps what the old one wrapped`, async (t) => {
    const provider = await open(t)
    await provider.create(KEY)
    const secret = newSecret()
    const before = await provider.wrap(KEY, secret, CONTEXT)
    const version = await provider.rotate(KEY)
    const after = await provider.wrap(KEY, secret, CONTEXT)
    assert.notEqual(version, before.version)
    assert.equal(after.version, version)
    assert.ok((await provider.unwrap(before, CONTEXT)).equals(secret))
    assert.ok((await provider.unwrap(after, CONTEXT)).equals(secret))
  })

  test(`KM-2: rotations of ${name} amid wrapping and unwrapping cause no error`, async (t) => {
    const provider = await open(t)
    await provider.create(KEY)
    const use = async () => {
      for (let round = 0; round < 8; round++) {
        const secret = newSecret()
        const wrapped = await provider.wrap(KEY, secret, CONTEXT)
        assert.ok((await provider.unwrap(wrapped, CONTEXT)).equals(secret))
      }
    }
    await Promise.all([use(), use(), use(), provider.rotate(KEY), provider.rotate(KEY)])
  })

  test(`KM-1: a key of ${name} that is created twice stays the same`, async (t) => {
    const provider = await open(t)
    await Promise.all([provider.create(KEY), provider.create(KEY)])
    const secret = newSecret()
    const wrapped = await provider.wrap(KEY, secret, CONTEXT)
    await provider.create(KEY)
    assert.ok((await provider.unwrap(wrapped, CONTEXT)).equals(secret))
  })

  test(`KM-3: what a destroyed key of ${name} wrapped opens no more; other keys do, and destroying again is no error`, async (t) => {
    const provider = await open(t)
    await provider.create(KEY)
    await provider.create('prj-other')
    const secret = newSecret()
    const doomed = await provider.wrap(KEY, secret, CONTEXT)
    const kept = await provider.wrap('prj-other', secret, CONTEXT)
    assert.deepEqual(await provider.destroy(KEY), { kind: 'destroyed' })
    assert.deepEqual(await provider.destroy(KEY), { kind: 'destroyed' })
    await assert.rejects(provider.unwrap(doomed, CONTEXT), KeyDestroyed)
    await assert.rejects(provider.wrap(KEY, secret, CONTEXT), KeyDestroyed)
    await assert.rejects(provider.rotate(KEY), KeyDestroyed)
    assert.ok((await provider.unwrap(kept, CONTEXT)).equals(secret))
  })

  test(`KM-3: an old version of ${name} can be ended alone`, async (t) => {
    const provider = await open(t)
    await provider.create(KEY)
    const secret = newSecret()
    const old = await provider.wrap(KEY, secret, CONTEXT)
    await provider.rotate(KEY)
    const current = await provider.wrap(KEY, secret, CONTEXT)
    await provider.destroy(KEY, old.version)
    await assert.rejects(
      provider.unwrap(old, CONTEXT),
      (error) => error instanceof KeyDestroyed || error instanceof KeyUnusable,
    )
    assert.ok((await provider.unwrap(current, CONTEXT)).equals(secret))
  })

  test(`${name} says that it is ready`, async (t) => {
    assert.deepEqual(await (await open(t)).health(), { isReady: true })
  })
}

test('a name of a key is one segment of a path, whatever it is made from', () => {
  assert.equal(projectKeyName('prj_0123456789abcdefghjkmnpq'), 'prj-0123456789abcdefghjkmnpq')
  for (const name of ['', '..', 'a/b', 'A', '-a', 'a-', 'a.b', 'a\0b', 'x'.repeat(81)]) {
    assert.throws(() => checkedKeyName(name), RangeError, JSON.stringify(name))
  }
  assert.equal(checkedKeyName('x'.repeat(80)), 'x'.repeat(80))
})
