// Settings of api and worker: what the environment may say, and that every fault of it is told. (product.md §2, KM-5)
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadMigrationConnection, loadSettings, SETTINGS, SettingsFault } from '../../control-plane/settings.ts'

const EVALUATION = {
  CAUSEWAY_MODE: 'evaluation',
  PUBLIC_URL: 'http://127.0.0.1:8080',
  DATABASE_URL: 'socket:/run/pg?user=causeway_service&database=causeway',
}
const PRODUCTION = {
  PUBLIC_URL: 'https://causeway.contoso.com',
  DATABASE_URL: 'postgres://causeway@db.internal/causeway',
}

test('the smallest environments are complete', () => {
  const evaluation = loadSettings(EVALUATION)
  assert.equal(evaluation.mode, 'evaluation')
  assert.deepEqual(evaluation.database.connection, { host: '/run/pg', user: 'causeway_service', database: 'causeway' })
  assert.deepEqual(evaluation.keys, { kind: 'file', directory: 'keys' })
  const production = loadSettings(PRODUCTION)
  assert.equal(production.mode, 'production')
  assert.equal(production.redisUrl, undefined)
})

const GUID = '11111111-2222-3333-4444-555555555555'
const faulty: [set: Record<string, string>, told: RegExp, why: string][] = [
  [
    { PUBLIC_URL: 'http://causeway.contoso.com' },
    /^PUBLIC_URL must be https$/,
    'a session cookie would travel in cleartext',
  ],
  [{ PUBLIC_URL: 'https://causeway.contoso.com/api' }, /^PUBLIC_URL must have no path$/, 'paths are ours'],
  [
    { DATABASE_URL: 'postgres://a:secret@db/causeway' },
    /^DATABASE_URL holds a secret: in production set DATABASE_URL_FILE/,
    'KM-5',
  ],
  [{ REDIS_URL: 'rediss://:secret@redis:6379' }, /^REDIS_URL holds a secret/, 'KM-5'],
  [{ DATABASE_URL: 'mysql://db' }, /^DATABASE_URL must be a postgres:\/\/ URL$/, 'another database'],
  [{ PORT: '80801' }, /^PORT must be an integer from 0 to 65535$/, 'out of bounds'],
  [{ PORT: '0x50' }, /^PORT must be an integer/, 'another notation'],
  [{ CAUSEWAY_MODE: 'prod' }, /^CAUSEWAY_MODE must be one of production, evaluation$/, 'a word nobody knows'],
  [
    {
      ENTRA_TENANT_ID: GUID,
      ENTRA_CLIENT_ID: GUID,
      ENTRA_CERTIFICATE_FILE: 'c',
      ENTRA_KEY_FILE: 'k',
      ENTRA_SANDBOX_URL: 'http://127.0.0.1:1',
    },
    /^ENTRA_SANDBOX_URL a simulated Entra is for evaluations only$/,
    'anybody could sign in',
  ],
  [{ ENTRA_SANDBOX_URL: 'http://127.0.0.1:1' }, /^ENTRA_SANDBOX_URL a simulated Entra is/, 'also without a sign-in'],
  [
    { SANDBOX_GRAPH_URL: 'http://127.0.0.1:1', SANDBOX_EXCHANGE_URL: 'http://127.0.0.1:2' },
    /^SANDBOX_GRAPH_URL a simulated Graph is for evaluations only$/,
    'tenants would be made up',
  ],
  [
    { SANDBOX_GRAPH_URL: 'http://127.0.0.1:1' },
    /^SANDBOX_GRAPH_URL and SANDBOX_EXCHANGE_URL are needed together$/,
    'half of a tenant',
  ],
  [
    {
      CAUSEWAY_MODE: 'evaluation',
      SANDBOX_GRAPH_URL: 'http://127.0.0.1:1',
      SANDBOX_EXCHANGE_URL: 'http://127.0.0.1:2',
    },
    /^SANDBOX_GRAPH_URL needs ENTRA_SANDBOX_URL/,
    "Microsoft's tokens would go to a sandbox",
  ],
  [{ MICROSOFT_BUDGETS: 'everything=1/1' }, /^MICROSOFT_BUDGETS has no budget "everything"/, 'nobody would obey it'],
  [{ MICROSOFT_BUDGETS: 'reports=14' }, /^MICROSOFT_BUDGETS must have reports as units\/seconds$/, 'of how long?'],
  [{ ENTRA_TENANT_ID: 'contoso.com' }, /^ENTRA_TENANT_ID must be a GUID$/, 'a name can change hands'],
  [{ TLS_KEY_FILE: 'k' }, /^TLS_CERTIFICATE_FILE is needed with the other of the two$/, 'half a pair'],
  [
    { KEY_PROVIDER: 'key-vault', KEY_VAULT_URL: 'http://v.vault.azure.net' },
    /^KEY_VAULT_URL must be https$/,
    'keys in cleartext',
  ],
  [{ DATABASE_URL_FILE: '/nonexistent/x' }, /^DATABASE_URL and DATABASE_URL_FILE are both set$/m, 'which one?'],
]
for (const [set, told, why] of faulty) {
  test(`${JSON.stringify(set)} is refused: ${why}`, () => {
    assert.throws(
      () => loadSettings({ ...PRODUCTION, ...set }),
      (error) => error instanceof SettingsFault && error.faults.some((fault) => told.test(fault)),
    )
  })
}

test('a simulated Microsoft 365 is reached where an evaluation says, and budgets are the published ones but for those named', () => {
  const sandbox = { entra: 'http://127.0.0.1:1', graph: 'http://127.0.0.1:2', exchange: 'http://127.0.0.1:3' }
  const { microsoft } = loadSettings({
    ...EVALUATION,
    ENTRA_SANDBOX_URL: sandbox.entra,
    SANDBOX_GRAPH_URL: sandbox.graph,
    SANDBOX_EXCHANGE_URL: sandbox.exchange,
    MICROSOFT_BUDGETS: 'reports=0.14/600',
  })
  const { entra, graph, exchange } = microsoft.sandbox
  assert.deepEqual([entra?.origin, graph?.origin, exchange?.origin], Object.values(sandbox))
  assert.deepEqual(microsoft.budgets.reports.units, { amount: 0.14, windowMs: 600_000 })
  assert.deepEqual(microsoft.budgets['directory-large'].units, { amount: 8_000, windowMs: 10_000 })
  assert.deepEqual(loadSettings(PRODUCTION).microsoft.sandbox, {
    entra: undefined,
    graph: undefined,
    exchange: undefined,
  })
})

test('all faults are told at once', () => {
  assert.throws(
    () => loadSettings({ PORT: 'x', LOG_LEVEL: 'loud' }),
    (error) =>
      error instanceof SettingsFault &&
      ['PORT', 'LOG_LEVEL', 'PUBLIC_URL', 'DATABASE_URL'].every((name) =>
        error.faults.some((fault) => fault.startsWith(name)),
      ),
  )
})

test('KM-5: a secret comes from a file, and no fault shows it', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-settings-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const file = join(directory, 'url')
  writeFileSync(file, 'postgres://causeway:canary@db.internal/causeway\n')
  const { DATABASE_URL: _, ...others } = PRODUCTION
  const settings = loadSettings({ ...others, DATABASE_URL_FILE: file })
  assert.equal(settings.database.connection, 'postgres://causeway:canary@db.internal/causeway')
  assert.throws(
    () => loadSettings({ ...PRODUCTION, DATABASE_URL: 'postgres://a:canary@db/x', PORT: 'x' }),
    (error) => error instanceof SettingsFault && !error.message.includes('canary'),
  )
})

test('`db migrate` takes the owner’s connection, and the usual one where there is none', () => {
  assert.equal(
    loadMigrationConnection({ CAUSEWAY_MODE: 'evaluation', MIGRATION_DATABASE_URL: 'postgres://owner@db/x' }),
    'postgres://owner@db/x',
  )
  assert.equal(loadMigrationConnection({ DATABASE_URL: 'postgres://owner@db/x' }), 'postgres://owner@db/x')
})

test('docs/control-plane-settings.md is made of the table of settings; UPDATE_GOLDEN=1 writes it', () => {
  const file = new URL('../../docs/control-plane-settings.md', import.meta.url)
  const text = readFileSync(file, 'utf8')
  const rows = SETTINGS.map(({ name, form, why, ...setting }) => {
    const value = setting.default === undefined ? 'unset' : setting.default === '' ? 'none' : `\`${setting.default}\``
    return `| \`${name}\` | ${form} | ${value} | ${why} |`
  })
  const table = ['| name | value | default | why |', '| --- | --- | --- | --- |', ...rows].join('\n')
  const made = text.replace(/\| name \|[\s\S]*?(?=\n\n<!-- end -->)/, table)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, made)
  else assert.equal(text, made)
})
