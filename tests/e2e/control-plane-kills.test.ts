// kill -9 of api and worker while changes and imports run: what was answered is there, once, in dense revisions that the audit trail proves, and the
// relays end with the very same table. (JQ-1, JQ-2, AU-2, RC-2, control-plane.md §3.1)
//   CAUSEWAY_KILL_ROUNDS=60   longer, with Redis as well; a job of a killed worker then waits for its lease as in production
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { compileTable } from '../../rewrite-rules/index.ts'
import { CONTOSO, FABRIKAM, user } from '../harness/control-plane.ts'
import type { Answer, ControlPlane } from '../harness/control-plane.ts'
import { killControlPlane } from '../harness/control-plane-kills.ts'
import type { KillReport } from '../harness/control-plane-kills.ts'
import { runCommand } from '../harness/postfix.ts'
import type { TestDatabase } from '../harness/postgres.ts'
import { testOnRedis, testRedis } from '../harness/redis.ts'
import { ROOT } from '../harness/relay.ts'
import { withControlPlane } from '../harness/start-control-plane.ts'

const LONG_ROUNDS = Number(process.env['CAUSEWAY_KILL_ROUNDS'] ?? 0)
const ROUNDS = LONG_ROUNDS > 0 ? LONG_ROUNDS : 3

interface RevisionRow {
  readonly revision: number
  readonly cause: string
}

test('api and worker killed at random lose nothing and double nothing', { timeout: 3_600_000 }, (t) => killed(t))
if (LONG_ROUNDS > 0)
  testOnRedis('api and worker killed at random lose nothing and double nothing, with jobs in Redis', async (t) => {
    await killed(t, (await testRedis(t)).url)
  })

function killed(t: TestContext, redisUrl?: string): Promise<void> {
  return withControlPlane(t, { apis: 2, ...(redisUrl === undefined ? {} : { redisUrl }) }, async (plane) => {
    const relays = [await plane.relay({ at: 0 }), await plane.relay({ at: 1 })]
    const { database } = plane
    assert.ok(database !== undefined)
    assert.equal(await plane.importUsers([user('first')]), 1)
    const workerDied = LONG_ROUNDS > 0 ? async () => {} : () => letTimePass(database)
    const report = await killControlPlane(plane, { rounds: ROUNDS, random: Math.random, workerDied })
    const { created, bulk, imported, ...rest } = report
    t.diagnostic(JSON.stringify({ created: created.length, bulk: bulk.length, imported: imported.length, ...rest }))
    assert.ok(created.length > 10 && imported.length > 0, 'too little load to prove anything')

    const last = await assertRevisions(plane, report)
    const table = await assertTable(plane, report, last)
    await plane.reached(last, { timeoutMs: 60_000 })
    for (const relay of await plane.fleet())
      assert.deepEqual([relay['revision'], relay['digest']], [last, table.digest], 'the same table as a fresh one')
    const name = created.at(-1)?.names[0] ?? ''
    for (const relay of relays) assert.equal(await plane.presented(relay, `${name}@${CONTOSO}`), `${name}@${FABRIKAM}`)
    await assertAudit(plane, report)
  })
}

/** Revisions are dense, and each was somebody's answer, once. @returns the last one */
async function assertRevisions(plane: ControlPlane, { created, bulk, imported }: KillReport): Promise<number> {
  const all: RevisionRow[] = []
  for (let next: string | undefined = `${plane.path}/mapping-revisions?limit=1000`; next !== undefined;) {
    const { body }: Answer = await plane.done('GET', next.replace(/^\/api\/v1/, ''))
    all.push(...body.items)
    next = body.next
  }
  const numbers = all.map(({ revision }) => revision).toSorted((a, b) => a - b)
  assert.deepEqual(
    numbers,
    Array.from(numbers, (_, index) => index + 1),
  )
  for (const [cause, answered] of [
    ['change', created],
    ['bulk', bulk],
    ['import', [{ revision: 1, names: [] }, ...imported]],
  ] as const) {
    const made = all.filter((each) => each.cause === cause).map(({ revision }) => revision)
    assert.deepEqual(
      made.toSorted((a, b) => a - b),
      answered.map(({ revision }) => revision).toSorted((a, b) => a - b),
      cause,
    )
  }
  return numbers.length
}

/** The table holds what was answered and nothing else. @returns it, compiled anew */
async function assertTable(plane: ControlPlane, { created, bulk, imported }: KillReport, revision: number) {
  const { body } = await plane.done('GET', `${plane.path}/mappings/export/json`)
  const names = ['first', ...[...created, ...bulk, ...imported].flatMap((each) => each.names)]
  const presented = (body.entries as { presented: string }[]).map((entry) => entry.presented)
  assert.deepEqual(presented.toSorted(), names.map((name) => `${name}@${FABRIKAM}`).toSorted())
  const table = compileTable(body)
  assert.equal(table.version, revision)
  return table
}

/** The chain holds, and tells each change once. */
async function assertAudit(plane: ControlPlane, { created, bulk, imported }: KillReport): Promise<void> {
  const trail = await plane.done('GET', `/organizations/${plane.organisation}/audit/export`)
  const directory = await mkdtemp(join(tmpdir(), 'causeway-trail-'))
  try {
    await writeFile(join(directory, 'audit.ndjson'), String(trail.body))
    const verified = await runCommand(join(ROOT, 'bin/causeway'), ['audit', 'verify', join(directory, 'audit.ndjson')])
    assert.equal(verified.status, 0, verified.output)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
  const lines = String(trail.body).trimEnd().split('\n')
  const actions = lines
    .map((line) => JSON.parse(line) as { kind: string; header: string })
    .filter(({ kind }) => kind === 'event')
    .map(({ header }) => (JSON.parse(header) as { action: string }).action)
  const count = (action: string) => actions.filter((each) => each === action).length
  assert.deepEqual(
    ['mapping.created', 'mapping.bulk-changed', 'mapping.import-started', 'mapping.imported'].map(count),
    [created.length, bulk.length, imported.length, imported.length + 1],
  )
}

/** As if the minute were over after which a dead worker is taken for dead. The queue may go on believing that it has its jobs. */
async function letTimePass({ owner: { db } }: TestDatabase): Promise<void> {
  await sql`update job set lease_until = now() - interval '1 second' where state = 'running'`.execute(db)
}
