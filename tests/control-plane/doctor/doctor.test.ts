// OP-5: `doctor` on a good installation of the control plane and on several broken ones: real Postgres with passwords, Redis, key directory, certificates,
// public address, mail server. What it prints is kept in golden/ (UPDATE_GOLDEN=1 writes it).
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import type { Finding } from '../../../common/doctor/finding.ts'
import { createLog } from '../../../common/log.ts'
import { openDatabase } from '../../../control-plane/db/database.ts'
import { migrateDatabase } from '../../../control-plane/db/migrate-database.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { ofInstallation } from '../../../control-plane/keys/key-owner.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { openKeyRing } from '../../../control-plane/keys/project-keys.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import { NextHop } from '../../harness/next-hop.ts'
import { startPasswordPostgres } from '../../harness/password-postgres.ts'
import { freePort } from '../../harness/ports.ts'
import { testOnRedis, testRedis } from '../../harness/redis.ts'
import { ROOT } from '../../harness/relay.ts'

const SLOW = { timeout: 120_000 }
const authority = new TestAuthority()
const postgres = await startPasswordPostgres()
const work = mkdtempSync(join(tmpdir(), 'causeway-doctor-'))
after(async () => {
  await postgres.close()
  rmSync(work, { recursive: true, force: true })
  authority[Symbol.dispose]()
})

interface Ran {
  readonly code: number | null
  readonly text: string
  readonly stderr: string
  readonly findings: readonly Finding[]
}

async function run(env: Readonly<Record<string, string>>, args: readonly string[]) {
  const inherited = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '' }
  const child = spawn(join(ROOT, 'bin/causeway'), ['doctor', ...args], {
    env: { ...inherited, NODE_EXTRA_CA_CERTS: authority.certificate, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** Both forms say the same; what differs from machine to machine and from run to run gives way to what it is. */
async function doctor(env: Readonly<Record<string, string>>): Promise<Ran> {
  const { code, stdout, stderr } = await run(env, ['--json'])
  const machine = new Set(['node', 'dependencies', 'fips', 'time-sync', 'core-dumps', 'swap', 'clock', 'disk'])
  const findings = (JSON.parse(stdout) as Finding[]).filter(({ check }) => !machine.has(check))
  const text = findings
    .map(
      ({ check, verdict, says, todo = '' }) =>
        `${verdict.padEnd(8)}${check.padEnd(20)}${says}\n${' '.repeat(28)}→ ${todo}\n`,
    )
    .join('')
    .replaceAll(/ {28}→ \n/g, '')
    .replaceAll(work, 'WORK')
    .replaceAll(new RegExp(`${authority.directory}/\\w+`, 'g'), 'CERTIFICATE')
    .replaceAll(/\d+ migrations are missing: .*/g, 'N migrations are missing')
    .replaceAll(/of user \d+/g, 'of user UID')
    .replaceAll(/Postgres \d+\.\d+/g, 'Postgres VERSION')
    .replaceAll(/(127\.0\.0\.1|localhost):\d+/g, '$1:PORT')
    .replaceAll(/file:[0-9a-f]{32}/g, 'file:ID')
    .replaceAll(/of \d+$/gm, 'of ALLOWED')
  return { code, text, stderr, findings }
}

function assertGolden(name: string, text: string): void {
  const file = new URL(`golden/${name}.txt`, import.meta.url)
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(new URL('golden/', import.meta.url), { recursive: true })
    writeFileSync(file, text)
  }
  assert.equal(text, readFileSync(file, 'utf8'), 'UPDATE_GOLDEN=1 writes it')
}

function secretFile(name: string, text: string, mode = 0o600): string {
  const path = join(work, name)
  writeFileSync(path, `${text}\n`)
  chmodSync(path, mode)
  return path
}

/** Something that answers on HTTPS. @returns its origin */
async function publicServer(t: Pick<TestContext, 'after'>, body: string): Promise<string> {
  const leaf = authority.issue({ names: ['DNS:localhost'], usage: ['serverAuth'], keyType: 'ec' })
  const tls = { cert: readFileSync(leaf.certificate), key: readFileSync(leaf.key) }
  const server = createServer(tls, (request, response) => {
    response.writeHead(request.url === '/healthz' ? 200 : 404).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `https://localhost:${(server.address() as AddressInfo).port}`
}

const daysFromNow = (days: number): string =>
  new Date(Date.now() + days * 86_400_000).toISOString().replaceAll(/[-:T]|\.\d+/g, '')

interface Entra {
  /** Of its certificate. */
  readonly daysLeft?: number
  readonly hasForeignKey?: boolean
}

/** What production has. */
async function production(
  t: Pick<TestContext, 'after'>,
  { daysLeft = 200.5, hasForeignKey = false }: Entra = {},
): Promise<Record<string, string>> {
  const hop = await NextHop.start()
  t.after(() => hop.close())
  const entra = authority.issue({ commonName: 'causeway', keyType: 'ec', notAfter: daysFromNow(daysLeft) })
  const other = authority.issue({ commonName: 'causeway', keyType: 'ec' })
  const id = '00000000-0000-4000-8000-000000000001'
  return {
    PUBLIC_URL: await publicServer(t, '{"status":"alive"}'),
    DATABASE_URL_FILE: secretFile('database-url', postgres.serviceUrl),
    KEY_DIRECTORY: join(work, 'keys'),
    AUDIT_EXPORT_DIRECTORY: join(work, 'audit'),
    ENTRA_TENANT_ID: id,
    ENTRA_CLIENT_ID: id,
    ENTRA_CERTIFICATE_FILE: entra.certificate,
    ENTRA_KEY_FILE: hasForeignKey ? other.key : entra.key,
    SMTP_URL: `smtp://127.0.0.1:${hop.port}`,
  }
}

async function asOwner(statement: string): Promise<void> {
  const database = openDatabase({ connection: postgres.ownerUrl, maxConnections: 1, onIdleError: () => {} })
  try {
    await sql.raw(statement).execute(database.db)
  } finally {
    await database.close()
  }
}

/** What a first start makes: the key directory, and the installation's key under it. */
async function makeKeys(directory: string): Promise<void> {
  const database = openDatabase({ connection: postgres.serviceUrl, maxConnections: 2, onIdleError: () => {} })
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  const uses = new KeyUses({ db: database.db, log, now: () => new Date() })
  const cache = new KeyCache(Date.now)
  try {
    const provider = await openKeyDirectory(directory, Date.now)
    await openKeyRing(ofInstallation(), { db: database.db, provider, cache, uses, now: () => new Date() })
    await uses.settle()
  } finally {
    cache.close()
    await database.close()
  }
}

test(
  'OP-5 a new installation before `db migrate`, as the owner: the role, the schema and the queue are told; nothing is made',
  SLOW,
  async (t) => {
    const directories = [join(work, 'keys'), join(work, 'audit')]
    const env = { ...(await production(t)), DATABASE_URL_FILE: secretFile('owner-url', postgres.ownerUrl) }
    const ran = await doctor(env)
    assertGolden('new', ran.text)
    assert.equal(ran.code, 1)
    assert.deepEqual(directories.filter(existsSync), [], 'looking makes nothing')
    await migrateDatabase(postgres.ownerUrl)
    await postgres.createService()
  },
)

test(
  'OP-5 a good installation: everything is ok, exit code 0, and the table says the same as the JSON',
  SLOW,
  async (t) => {
    const env = await production(t)
    await makeKeys(env['KEY_DIRECTORY'] ?? '')
    mkdirSync(env['AUDIT_EXPORT_DIRECTORY'] ?? '')
    const before = readdirSync(env['KEY_DIRECTORY'] ?? '').toSorted()
    const ran = await doctor(env)
    assertGolden('good', ran.text)
    assert.equal(ran.code, 0, ran.stderr)
    assert.match(ran.stderr, /^\d+ checks, 0 faults, \d+ warnings\n$/)
    assert.deepEqual(readdirSync(env['KEY_DIRECTORY'] ?? '').toSorted(), before)

    const table = await run(env, [])
    assert.equal(table.code, 0)
    assert.match(table.stdout, /^ok {7}keys {16}the key directory .* opens the installation's 1 key$/m)
  },
)

testOnRedis(
  'OP-5, JQ-3 a bad installation: open key files, a table without row-level security, a Redis that forgets, a stranger at the public address',
  async (t) => {
    const redis = await testRedis(t, ['--maxmemory-policy', 'allkeys-lru'])
    const env = {
      ...(await production(t, { daysLeft: 5.5 })),
      PUBLIC_URL: await publicServer(t, '<h1>Welcome</h1>'),
      REDIS_URL: redis.url,
      SMTP_URL: `smtp://127.0.0.1:${await freePort()}`,
      METRICS_ADDRESS: '0.0.0.0',
      DATABASE_URL_FILE: secretFile('open-database-url', postgres.serviceUrl, 0o666),
    }
    const keys = join(work, 'keys')
    const [key = ''] = readdirSync(keys).filter((name) => name.endsWith('.key'))
    chmodSync(join(keys, key), 0o644)
    await asOwner('alter table member no force row level security')
    try {
      const ran = await doctor(env)
      assertGolden('bad', ran.text.replaceAll(redis.url, 'REDIS'))
      assert.equal(ran.code, 1)
    } finally {
      await asOwner('alter table member force row level security')
      chmodSync(join(keys, key), 0o600)
    }
  },
)

const broken: [what: string, env: (t: TestContext) => Promise<Record<string, string>>, check: string, says: RegExp][] =
  [
    [
      'the key directory of another installation',
      async (t) => {
        const other = join(work, 'other-keys')
        const provider = await openKeyDirectory(other, Date.now)
        await provider.create('installation')
        return { ...(await production(t)), KEY_DIRECTORY: other }
      },
      'keys',
      /wrapped by file:[0-9a-f]{32}, and this key directory is file:/,
    ],
    [
      'a key directory that was not mounted',
      async (t) => ({ ...(await production(t)), KEY_DIRECTORY: join(work, 'not-mounted') }),
      'keys',
      /not there or empty, and the database has keys/,
    ],
    [
      'a key directory that others can enter',
      async (t) => {
        const open = join(work, 'open-keys')
        mkdirSync(open)
        chmodSync(open, 0o755)
        return { ...(await production(t)), KEY_DIRECTORY: open }
      },
      'key-directory',
      /0755.*refuse to start/,
    ],
    [
      'a certificate for which the key is another one',
      (t) => production(t, { hasForeignKey: true }),
      'certificate',
      /ENTRA_CERTIFICATE_FILE: .*the key is not that of/,
    ],
    [
      'a Redis that is away',
      async (t) => ({ ...(await production(t)), REDIS_URL: join(work, 'no-redis.sock') }),
      'queue',
      /Redis does not answer/,
    ],
    [
      'a vault that nobody can name',
      async (t) => ({
        ...(await production(t)),
        KEY_PROVIDER: 'key-vault',
        KEY_VAULT_URL: 'https://vault.evil.example',
      }),
      'keys',
      /a key vault is in one of/,
    ],
  ]
for (const [what, env, check, says] of broken) {
  test(`OP-5 ${what}: a fault, with what to do`, SLOW, async (t) => {
    const { code, findings } = await doctor(await env(t))
    assert.equal(code, 1)
    const found = findings.filter((each) => each.check === check && each.verdict === 'fault')
    assert.ok(
      found.some((each) => says.test(each.says) && each.todo !== undefined),
      JSON.stringify(findings.filter((each) => each.check === check)),
    )
  })
}

test('OP-5 a database that is away is told, and the rest all the same; no password is printed', SLOW, async (t) => {
  const url = `postgres://causeway_app:hunter2secret@127.0.0.1:${await freePort()}/causeway`
  const env = { ...(await production(t)), DATABASE_URL_FILE: secretFile('away-url', url) }
  const { code, text, stderr, findings } = await doctor(env)
  assert.equal(code, 1)
  assert.match(text, /^fault {3}database {12}it can't be used \(ECONNREFUSED\)$/m)
  assert.ok(findings.some(({ check, verdict }) => check === 'public-url' && verdict === 'ok'))
  assert.ok(!text.includes('hunter2secret') && !stderr.includes('hunter2secret'))
})

test(
  'OP-5 settings that can not be used are findings, all of them, and exit code 1; a wrong option is exit code 2',
  SLOW,
  async () => {
    const env = {
      DATABASE_URL: 'postgres://u:hunter2secret@localhost/x',
      PUBLIC_URL: 'http://causeway.example',
      PORT: 'x',
    }
    const { code, text, findings } = await doctor(env)
    assert.equal(code, 1)
    assert.ok(
      findings.length >= 3 && findings.every(({ check, verdict }) => check === 'settings' && verdict === 'fault'),
    )
    assert.match(text, /PUBLIC_URL must be https/)
    assert.ok(!text.includes('hunter2secret'))
    assert.equal((await run(env, ['--loud'])).code, 2)
  },
)
