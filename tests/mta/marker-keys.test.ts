import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { loadMarkerKeys, parseMarkerKeys } from '../../mta/marker-keys.ts'
import { SettingsFault } from '../../mta/settings-fault.ts'

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'causeway-marker-'))
  context.after(() => rmSync(path, { recursive: true }))
  return path
}

test('R76 a missing file is made, 0600, and is the same the next time', async (context) => {
  const top = folder(context)
  const file = join(top, 'secrets/marker.json')
  const made = await loadMarkerKeys(file)
  assert.match(made.token, /^[0-9a-f]{32}$/)
  assert.ok(made.secret.length >= 43)
  assert.deepEqual([made.tokens, made.secrets], [[made.token], [made.secret]])
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(join(top, 'secrets')), ['marker.json'])
  assert.deepEqual(await loadMarkerKeys(file), made)
})

test('two relays that start at once have the same keys', async (context) => {
  const file = join(folder(context), 'marker.json')
  const made = await Promise.all([1, 2, 3, 4].map(() => loadMarkerKeys(file)))
  assert.equal(new Set(made.map(({ token }) => token)).size, 1)
})

const token = 'a'.repeat(16)
const secret = 's'.repeat(32)

test('DL-10 a previous token and secret stay valid', () => {
  const keys = {
    format: 'causeway-marker/1',
    token,
    secret,
    previousToken: 'b'.repeat(16),
    previousSecret: 't'.repeat(32),
  }
  const read = parseMarkerKeys('marker.json', JSON.stringify(keys))
  assert.deepEqual([read.token, read.tokens], [token, [token, keys.previousToken]])
  assert.deepEqual([read.secret, read.secrets], [secret, [secret, keys.previousSecret]])
})

const refused: [text: string, fault: RegExp, why: string][] = [
  ['', /is not a JSON object/, 'empty'],
  ['[]', /is not a JSON object/, 'a list'],
  [JSON.stringify({ token, secret }), /format: must be causeway-marker\/1/, 'no format'],
  [
    JSON.stringify({ format: 'causeway-marker/1', token: 'a'.repeat(15), secret }),
    /token: must be 16 to 64/,
    'a token anybody can guess',
  ],
  [
    JSON.stringify({ format: 'causeway-marker/1', token: `${token} x`, secret }),
    /token: must be/,
    'a mail flow rule matches one word',
  ],
  [
    JSON.stringify({ format: 'causeway-marker/1', token, secret: 's'.repeat(31) }),
    /secret: must be 32 to 256/,
    'a short secret',
  ],
  [JSON.stringify({ format: 'causeway-marker/1', token, secret, colour: 1 }), /colour: unknown key/, 'an unknown key'],
  [
    JSON.stringify({ format: 'causeway-marker/1', token, secret, previousToken: 5 }),
    /previousToken: must be/,
    'no text',
  ],
]
for (const [text, fault, why] of refused) {
  test(`a marker file that is refused: ${why}`, () => {
    assert.throws(
      () => parseMarkerKeys('/x/marker.json', text),
      (error) =>
        error instanceof SettingsFault && fault.test(error.message) && error.message.startsWith('/x/marker.json: '),
    )
  })
}

test('KM-5 a fault does not repeat what is secret', async (context) => {
  const file = join(folder(context), 'marker.json')
  writeFileSync(file, '{ "secret": "hunter2"')
  await assert.rejects(
    loadMarkerKeys(file),
    (error) => error instanceof SettingsFault && !error.message.includes('hunter2'),
  )
})

test(
  'a file that can not be made is a fault',
  { skip: process.getuid?.() === 0 && 'root may write anywhere' },
  async () => {
    await assert.rejects(loadMarkerKeys('/proc/marker.json'), SettingsFault)
  },
)
