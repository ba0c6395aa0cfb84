// The key directory: modes, crashes, destruction, and that no project key is ever on the disk (KM-1, KM-3).
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createSecretKey, randomBytes } from 'node:crypto'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyDestroyed, KeyServiceUnavailable, KeyUnusable } from '../../../control-plane/keys/key-provider.ts'

const KEY = 'prj-1'
const SOURCE = new URL('../../../control-plane/keys/file-provider.ts', import.meta.url).href

function keyDirectory(t: TestContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'causeway-keys-'))
  t.after(() => rmSync(parent, { recursive: true, force: true }))
  return join(parent, 'keys')
}
const modeOf = (path: string) => statSync(path).mode & 0o777

test('KM-1: the first run makes the directory 0700 and its files 0600, whatever the umask', async (t) => {
  const directory = keyDirectory(t)
  const script = `process.umask(0); const { openKeyDirectory } = await import(${JSON.stringify(SOURCE)});
    await (await openKeyDirectory(${JSON.stringify(directory)}, Date.now)).create('${KEY}')`
  execFileSync(process.execPath, ['--input-type=module', '-e', script])
  assert.equal(modeOf(directory), 0o700)
  const files = readdirSync(directory)
  assert.deepEqual(files.toSorted(), ['directory.json', `${KEY}.1.key`])
  for (const file of files) assert.equal(modeOf(join(directory, file)), 0o600, file)
})

test('KM-1: a directory or file that others can reach is refused in words that say what to do', async (t) => {
  const directory = keyDirectory(t)
  const provider = await openKeyDirectory(directory, Date.now)
  await provider.create(KEY)
  for (const mode of [0o640, 0o604, 0o660, 0o644]) {
    chmodSync(join(directory, `${KEY}.1.key`), mode)
    await assert.rejects(provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c'), {
      name: 'KeyUnusable',
      message: /chmod 600/,
    })
  }
  for (const mode of [0o750, 0o701, 0o777]) {
    chmodSync(directory, mode)
    await assert.rejects(openKeyDirectory(directory, Date.now), { name: 'KeyUnusable', message: /chmod 700/ })
    const { isReady, reason } = await provider.health()
    assert.equal(isReady, false)
    assert.match(reason ?? '', /chmod 700/)
  }
})

test('KM-1: a key file that is a link to elsewhere is not followed', async (t) => {
  const directory = keyDirectory(t)
  const provider = await openKeyDirectory(directory, Date.now)
  await provider.create(KEY)
  const path = join(directory, `${KEY}.1.key`)
  const elsewhere = join(directory, '..', 'elsewhere')
  writeFileSync(elsewhere, readFileSync(path), { mode: 0o600 })
  rmSync(path)
  symlinkSync(elsewhere, path)
  await assert.rejects(provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c'), KeyServiceUnavailable)
})

const damages: [damage: (text: string) => string, why: string][] = [
  [() => '', 'empty'],
  [(text) => text.slice(0, 80), 'cut short'],
  [
    (text) =>
      text.replace(/"key":"./, (start) => (start.endsWith('A') ? `${start.slice(0, -1)}B` : `${start.slice(0, -1)}A`)),
    'a letter of the key altered',
  ],
  [(text) => text.replace('"version":1', '"version":2'), 'the file of another version'],
  [() => 'null', 'JSON, but no object'],
  [() => '\0'.repeat(200), 'zeros, as after a power cut'],
]
for (const [damage, why] of damages) {
  test(`KM-1: a damaged key file is said to be damaged, without quoting it: ${why}`, async (t) => {
    const directory = keyDirectory(t)
    const provider = await openKeyDirectory(directory, Date.now)
    await provider.create(KEY)
    const path = join(directory, `${KEY}.1.key`)
    const text = readFileSync(path, 'utf8')
    const secret = (JSON.parse(text) as { key: string }).key
    writeFileSync(path, damage(text))
    await assert.rejects(provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c'), (error: Error) => {
      assert.ok(error instanceof KeyUnusable)
      assert.match(error.message, /damaged/)
      assert.ok(!JSON.stringify([error.message, String(error.cause)]).includes(secret.slice(1, 12)))
      return true
    })
  })
}

test('KM-1: a key that is missing, though nobody destroyed it, is told apart from a destroyed one', async (t) => {
  const directory = keyDirectory(t)
  const provider = await openKeyDirectory(directory, Date.now)
  await provider.create(KEY)
  const wrapped = await provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c')
  rmSync(join(directory, `${KEY}.1.key`))
  await assert.rejects(provider.unwrap(wrapped, 'c'), { name: 'KeyUnusable', message: /missing/ })
})

test('KM-1: keys that another directory wrapped are refused as such, so that a lost volume is noticed', async (t) => {
  const provider = await openKeyDirectory(keyDirectory(t), Date.now)
  await provider.create(KEY)
  const wrapped = await provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c')
  const another = await openKeyDirectory(keyDirectory(t), Date.now)
  await assert.rejects(another.unwrap(wrapped, 'c'), { name: 'KeyUnusable', message: /this key directory is file:/ })
})

test('KM-1: the directory is the same after a restart, with all that was in it', async (t) => {
  const directory = keyDirectory(t)
  const first = await openKeyDirectory(directory, Date.now)
  await first.create(KEY)
  const secret = createSecretKey(randomBytes(32))
  const wrapped = await first.wrap(KEY, secret, 'c')
  const second = await openKeyDirectory(directory, Date.now)
  assert.equal(second.id, first.id)
  assert.ok((await second.unwrap(wrapped, 'c')).equals(secret))
})

test('KM-1: no project key is on the disk in the clear, in any form', async (t) => {
  const directory = keyDirectory(t)
  const provider = await openKeyDirectory(directory, Date.now)
  const secrets = []
  for (const key of ['prj-1', 'prj-2', 'installation']) {
    await provider.create(key)
    for (let round = 0; round < 5; round++) {
      const secret = createSecretKey(randomBytes(32))
      await provider.unwrap(await provider.wrap(key, secret, 'c'), 'c')
      secrets.push(secret.export())
    }
    await provider.rotate(key)
  }
  const files = readdirSync(directory).map((name) => readFileSync(join(directory, name)))
  assert.ok(files.length > 6)
  const own = (JSON.parse(readFileSync(join(directory, 'prj-1.1.key'), 'utf8')) as { key: string }).key
  assert.ok(
    files.some((file) => file.includes(own)),
    'the scan finds what is there',
  )
  for (const secret of secrets) {
    for (const form of [
      secret,
      secret.toString('hex'),
      secret.toString('base64').slice(0, 42),
      secret.toString('base64url'),
    ]) {
      assert.ok(!files.some((file) => file.includes(form)))
    }
  }
})

test('KM-3: destroying overwrites the very blocks of the key, not a copy of them', async (t) => {
  const directory = keyDirectory(t)
  const provider = await openKeyDirectory(directory, Date.now)
  await provider.create(KEY)
  await provider.rotate(KEY)
  const before = [1, 2].map((version) => {
    const path = join(directory, `${KEY}.${version}.key`)
    const witness = join(directory, '..', `witness-${version}`)
    linkSync(path, witness) // a second name of the same blocks
    return { witness, text: readFileSync(path, 'utf8') }
  })
  await provider.destroy(KEY)
  for (const { witness, text } of before) {
    const after = readFileSync(witness, 'latin1')
    assert.equal(after.length, text.length)
    assert.ok(!after.includes((JSON.parse(text) as { key: string }).key))
    assert.ok(!after.includes('causeway-key'))
  }
  assert.deepEqual(readdirSync(directory).toSorted(), ['directory.json', `${KEY}.destroyed`])
})

test('KM-3: a version number is used once: what a destroyed version wrapped stays shut after later rotations', async (t) => {
  const provider = await openKeyDirectory(keyDirectory(t), Date.now)
  await provider.create(KEY)
  const old = await provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c')
  await provider.destroy(KEY, '1')
  await assert.rejects(provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c'), KeyDestroyed)
  await provider.create(KEY)
  assert.equal((await provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c')).version, '2')
  await assert.rejects(provider.unwrap(old, 'c'), KeyDestroyed)
})

/** Runs `steps` in a process of its own that is killed at the `nth` call of a function of the file system. */
function killedAt(directory: string, call: string, nth: number, when: 'before' | 'after', steps: string): boolean {
  const script = `
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    const real = fs.promises[${JSON.stringify(call)}]
    let count = 0
    fs.promises[${JSON.stringify(call)}] = async (...args) => {
      const isLast = ++count === ${nth}
      if (isLast && ${when === 'before'}) process.kill(process.pid, 'SIGKILL')
      const result = await real(...args)
      if (isLast) process.kill(process.pid, 'SIGKILL')
      return result
    }
    syncBuiltinESMExports()
    const { openKeyDirectory } = await import(${JSON.stringify(SOURCE)})
    const provider = await openKeyDirectory(${JSON.stringify(directory)}, Date.now)
    ${steps}
  `
  const { signal, status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  })
  assert.ok(signal === 'SIGKILL' || status === 0, stderr)
  return signal === 'SIGKILL'
}

for (const [call, when, why] of [
  ['link', 'before', 'the file is written and has no name'],
  ['link', 'after', 'it has two names'],
  ['rm', 'after', 'the name is not durable yet'],
] as const) {
  test(`KM-1: killed while a key is rotated (${why}), the directory opens, and holds no half key`, async (t) => {
    const directory = keyDirectory(t)
    const provider = await openKeyDirectory(directory, Date.now)
    await provider.create(KEY)
    const secret = createSecretKey(randomBytes(32))
    const wrapped = await provider.wrap(KEY, secret, 'c')
    assert.ok(killedAt(directory, call, 1, when, `await provider.rotate('${KEY}')`), 'it was killed')

    const later = Date.now() + 2 * 3_600_000
    const reopened = await openKeyDirectory(directory, () => later)
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.startsWith('.new-')),
      [],
      'leftovers are gone',
    )
    assert.ok((await reopened.unwrap(wrapped, 'c')).equals(secret))
    const again = await reopened.wrap(KEY, secret, 'c')
    assert.ok((await reopened.unwrap(again, 'c')).equals(secret), 'the newest version is whole')
    await reopened.rotate(KEY)
  })
}

test('KM-1: a leftover that may still be in the making is left alone', async (t) => {
  const directory = keyDirectory(t)
  await openKeyDirectory(directory, Date.now)
  const young = join(directory, '.new-0123456789abcdef')
  writeFileSync(young, 'x', { mode: 0o600 })
  utimesSync(young, 1_000_000, 1_000_000)
  await openKeyDirectory(directory, () => 1_000_000_000 + 3_600_000)
  assert.ok(readdirSync(directory).includes('.new-0123456789abcdef'))
  await openKeyDirectory(directory, () => 1_000_000_000 + 3_600_001)
  assert.ok(!readdirSync(directory).includes('.new-0123456789abcdef'))
})

test('KM-3: killed at any step of a destruction, the key is destroyed after the next start, or was not yet begun', async (t) => {
  let kills = 0
  for (const call of ['link', 'rm', 'open']) {
    for (let nth = 1; nth <= 12; nth++) {
      const directory = keyDirectory(t)
      const provider = await openKeyDirectory(directory, Date.now)
      await provider.create(KEY)
      await provider.rotate(KEY)
      const secret = createSecretKey(randomBytes(32))
      const wrapped = await provider.wrap(KEY, secret, 'c')
      if (!killedAt(directory, call, nth, 'after', `await provider.destroy('${KEY}')`)) break
      kills++
      const reopened = await openKeyDirectory(directory, Date.now)
      const files = readdirSync(directory)
      if (files.includes(`${KEY}.destroyed`)) {
        await assert.rejects(reopened.unwrap(wrapped, 'c'), KeyDestroyed)
        assert.ok(!files.some((name) => name.endsWith('.key')), `${call} ${nth}`)
      } else {
        assert.ok((await reopened.unwrap(wrapped, 'c')).equals(secret), `${call} ${nth}`)
      }
      await reopened.destroy(KEY)
      await assert.rejects(reopened.unwrap(wrapped, 'c'), KeyDestroyed)
    }
  }
  assert.ok(kills >= 6, `killed ${kills} times`)
})

test('KM-1: processes that make the same key at once end with the same one', async (t) => {
  const directory = keyDirectory(t)
  const providers = await Promise.all([1, 2, 3, 4].map(() => openKeyDirectory(directory, Date.now)))
  assert.equal(new Set(providers.map(({ id }) => id)).size, 1)
  await Promise.all(providers.map((provider) => provider.create(KEY)))
  const secret = createSecretKey(randomBytes(32))
  for (const provider of providers) {
    const wrapped = await provider.wrap(KEY, secret, 'c')
    for (const reader of providers) assert.ok((await reader.unwrap(wrapped, 'c')).equals(secret))
  }
})

test('KM-4: a directory that cannot be read is a temporary fault', async (t) => {
  const directory = keyDirectory(t)
  const provider = await openKeyDirectory(directory, Date.now)
  await provider.create(KEY)
  rmSync(directory, { recursive: true })
  await assert.rejects(provider.wrap(KEY, createSecretKey(randomBytes(32)), 'c'), KeyServiceUnavailable)
  mkdirSync(directory, { mode: 0o700 })
})
