// The failure table, a row a test, on the product as processes: what goes away, what goes on, and what happens when it is back. Mail never waits for
// any of it. (OP-3, RC-1, RC-4, RC-7, RC-9, JQ-1, JQ-5)
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from 'kysely'
import { openDatabase } from '../../control-plane/db/database.ts'
import { startEmbeddedPostgres } from '../../control-plane/db/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../../control-plane/db/embedded-postgres.ts'
import { migrateDatabase } from '../../control-plane/db/migrate-database.ts'
import { SERVICE_ROLE } from '../../control-plane/db/migrate.ts'
import { CONTOSO, FABRIKAM, tableFile, user } from '../harness/control-plane.ts'
import type { ControlPlane } from '../harness/control-plane.ts'
import { testOnRedis, testRedis } from '../harness/redis.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { sendMail, SmtpClient } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'
import { socketUrl, withControlPlane } from '../harness/start-control-plane.ts'

/** So many that an import of them is an operation, for the worker. */
const MANY = 5_500
const crowd = (name: string) => Array.from({ length: MANY }, (_, each) => user(`${name}${each}`))
const from = `u1@${CONTOSO}`
const mail = { from, to: ['dana@example.net'], data: Buffer.from(`From: <${from}>\r\nSubject: x\r\n\r\nHello.\r\n`) }

const assertFlows = async (plane: ControlPlane, relay: RunningRelay): Promise<void> =>
  assert.equal(await plane.presented(relay, from), `u1@${FABRIKAM}`)

/** An import that is taken, and done by the worker some time. @returns its operation */
async function startImport(plane: ControlPlane, name: string): Promise<string> {
  const path = `${plane.path}/mappings/import`
  const answer = await plane.done('POST', path, tableFile(crowd(name)), { headers: { 'If-Match': '*' } })
  assert.equal(answer.status, 202)
  return String(answer.body.operation)
}

/** One small change by REST. @returns its revision */
async function change(plane: ControlPlane, name: string): Promise<number> {
  const { status, body } = await plane.done('POST', `${plane.path}/mappings`, user(name))
  assert.equal(status, 201)
  return Number(body.revision)
}

testOnRedis(
  'OP-3, JQ-5 without Redis: mail flows, reads and changes are answered; what waited is done when it is back, empty',
  async (t) => {
    const redis = await testRedis(t)
    await withControlPlane(t, { redisUrl: redis.url }, async (plane) => {
      const relay = await plane.relay()
      await plane.importUsers([user('u1')])
      await plane.succeeded(await startImport(plane, 'a'))
      await redis.kill()

      await assertFlows(plane, relay)
      await plane.reached(await change(plane, 'u2'))
      assert.equal(await plane.presented(relay, `u2@${CONTOSO}`), `u2@${FABRIKAM}`)
      const waiting = await startImport(plane, 'b')
      await plane.until('the queue to be missed', '//status', ({ components }) =>
        components.some(({ name, state }: { name: string; state: string }) => name === 'queue' && state === 'down'),
      )
      assert.equal((await plane.ask('GET', '//readyz')).status, 200)
      assert.equal((await plane.done('GET', `/operations/${waiting}`)).body.state, 'queued')

      await redis.start({ isEmpty: true })
      const { revision } = await plane.succeeded(waiting)
      await plane.reached(revision)
      assert.equal(await plane.presented(relay, `b7@${CONTOSO}`), `b7@${FABRIKAM}`)
      await plane.until('all to be up', '//status', ({ status }) => status === 'operational')
    })
  },
)

test(
  'OP-3 without Postgres: mail flows, the API says 503 and when to come again, and all goes on when it is back',
  { timeout: 180_000 },
  async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'causeway-pg-'))
    let server = await startEmbeddedPostgres({ directory, isThrowaway: true })
    try {
      const databaseUrl = await prepare(server)
      await withControlPlane(t, { databaseUrl }, async (plane) => {
        const relay = await plane.relay()
        await plane.importUsers([user('u1')])
        await plane.reached(1)
        await crash(server, directory)

        await assertFlows(plane, relay)
        for (const [method, path, body] of [
          ['GET', `${plane.path}/mappings`, undefined],
          ['POST', `${plane.path}/mappings`, user('u2')],
        ] as const) {
          const { status, headers, body: problem } = await plane.ask(method, path, body)
          assert.deepEqual([status, problem.type], [503, '/problems/unavailable'])
          assert.match(headers.get('retry-after') ?? '', /^[1-9]\d*$/)
        }
        assert.equal((await plane.ask('GET', '//readyz')).status, 503)
        assert.equal((await plane.ask('GET', '//healthz')).status, 200)
        await assertFlows(plane, relay)

        server = await startEmbeddedPostgres({ directory, isThrowaway: true })
        await plane.until('readiness', '//readyz', ({ ready }) => ready)
        await plane.reached(await change(plane, 'u2'))
        const { revision } = await plane.succeeded(await startImport(plane, 'a'))
        await plane.reached(revision)
        assert.equal(await plane.presented(relay, `a7@${CONTOSO}`), `a7@${FABRIKAM}`)
        const survivors = plane.processes.filter(({ isRunning }) => isRunning)
        assert.equal(survivors.length, plane.processes.length, 'no process ended with it')
      })
    } finally {
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    }
  },
)

test(
  'OP-3, RC-7 api and worker killed: mail flows, and what happened meanwhile is told once they are back',
  { timeout: 180_000 },
  (t) =>
    withControlPlane(t, {}, async (plane) => {
      const relay = await plane.relay()
      await plane.importUsers([user('u1')])
      await plane.reached(1)
      await Promise.all(plane.processes.map((each) => each.stop('SIGKILL')))
      for (let message = 0; message < 3; message++) await assertFlows(plane, relay)
      await Promise.all(plane.processes.map((each) => each.start()))
      const query = new URLSearchParams({ sender: from, outcome: 'delivered' }).toString()
      const { items } = await plane.until(
        'the trace of them',
        `${plane.path}/messages?${query}`,
        ({ items: found }: { items: unknown[] }) => found.length >= 3,
      )
      assert.equal(items.length, 3)
      await plane.reached(await change(plane, 'u2'))
    }),
)

test(
  'RC-9 one relay drained by REST sends clients away; RC-1 one that is revoked takes no mail and delivers what it holds',
  { timeout: 180_000 },
  (t) =>
    withControlPlane(t, {}, async (plane) => {
      const [one, two] = [await plane.relay(), await plane.relay({ settings: { retry: { firstWaits: ['1s'] } } })]
      await plane.importUsers([user('u1')])
      await plane.reached(1)
      const idOf = async (name: string) => {
        const found = (await plane.fleet()).find((each) => each['name'] === name)
        return String(found?.['id'])
      }
      const act = (id: string, verb: string) => plane.done('POST', `${plane.path}/relays/${id}/${verb}`)

      const first = await idOf('relay-1.test')
      await act(first, 'drain')
      await eventually('421', () => SmtpClient.connect(one.outPort).then(hangUp, sentAway))
      await assertFlows(plane, two)
      await act(first, 'resume')
      await eventually('readiness', async () => ((await readiness(one)).ready ? true : undefined))
      await assertFlows(plane, one)

      // Something to hold: the next hop is busy for now.
      plane.hop.behave({ act: ({ stage }) => (stage === 'MAIL' ? '451 4.3.0 later' : undefined) })
      assert.match(await sendMail(two.outPort, mail), /^250 /)
      await act(await idOf('relay-2.test'), 'revoke')
      await eventually('the end of intake', async () =>
        (await sendMail(two.outPort, mail)).startsWith('451 ') ? true : undefined,
      )
      assert.match(String((await readiness(two)).reasons), /cut the relay off/)
      const takenBefore = plane.hop.taken.length
      plane.hop.behave({})
      await eventually('what it held', () => plane.hop.taken[takenBefore])
      assert.match(plane.hop.taken[takenBefore]?.mail ?? '', new RegExp(`<u1@${FABRIKAM}>`))
      await assertFlows(plane, one)
      const revoked = await plane.done('GET', `${plane.path}/relays?state=revoked`)
      assert.deepEqual(
        revoked.body.items.map(({ name }: { name: string }) => name),
        ['relay-2.test'],
      )
    }),
)

const hangUp = (client: SmtpClient): undefined => {
  client.close()
}
const sentAway = (error: unknown): true => {
  assert.match(String(error), /421 4\.3\.2/)
  return true
}

async function readiness({ adminPort }: RunningRelay): Promise<{ ready: boolean; reasons: string[] }> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`)
  return (await answer.json()) as { ready: boolean; reasons: string[] }
}

/** A database of this version. @returns DATABASE_URL of it */
async function prepare({ socket, owner }: EmbeddedPostgres): Promise<string> {
  const as = (database: string) => ({ host: socket, user: owner, database })
  const run = async (database: string, statement: string) => {
    const opened = openDatabase({ connection: as(database), maxConnections: 1, onIdleError: () => {} })
    try {
      await sql.raw(statement).execute(opened.db)
    } finally {
      await opened.close()
    }
  }
  await run('postgres', 'create database causeway')
  await migrateDatabase(as('causeway'))
  await run('causeway', `alter role ${SERVICE_ROLE} login`)
  return socketUrl({ host: socket, user: SERVICE_ROLE, database: 'causeway' })
}

/** At once, without a word to anybody: as when its machine goes. */
async function crash(server: EmbeddedPostgres, directory: string): Promise<void> {
  const [pid] = (await readFile(join(directory, 'data/postmaster.pid'), 'utf8')).split('\n')
  process.kill(Number(pid), 'SIGQUIT')
  await server.stop()
}
