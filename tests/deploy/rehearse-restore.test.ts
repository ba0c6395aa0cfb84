// OP-4: a backup of a control plane at work comes back. The rehearsal that operators run says so, and says when it would not; and what a restored database
// that is older than its relays does to them, with the way out that docs/control-plane-alarms.md names. On real processes and a Postgres as production has it.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { migrateDatabase } from '../../control-plane/db/migrate-database.ts'
import { CONTOSO, FABRIKAM, user } from '../harness/control-plane.ts'
import type { ControlPlane } from '../harness/control-plane.ts'
import { missingPostgres, startDebianPostgres } from '../harness/debian-postgres.ts'
import type { DebianPostgres } from '../harness/debian-postgres.ts'
import { ROOT, startRelay } from '../harness/relay.ts'
import { withControlPlane } from '../harness/start-control-plane.ts'
import { eventually } from '../harness/wait.ts'

const options = { timeout: 300_000, ...(missingPostgres === undefined ? {} : { skip: missingPostgres }) }
const OWNER = 'causeway_owner'
const SERVICE = 'causeway_app'
const PASSWORD = 'a-password'

interface World {
  readonly postgres: DebianPostgres
  readonly work: string
  /** DATABASE_URL of api and worker. */
  readonly databaseUrl: string
}

/** The database as docs/running-the-control-plane.md makes it: an owner that is no superuser, a role of the service. */
async function makeWorld(t: TestContext): Promise<World> {
  const postgres = await startDebianPostgres()
  t.after(() => postgres.close())
  const work = mkdtempSync(join(tmpdir(), 'causeway-restore-'))
  t.after(() => rmSync(work, { recursive: true, force: true }))
  await postgres.run(`create role ${OWNER} login createrole password '${PASSWORD}'`)
  await postgres.run(`create database causeway owner ${OWNER}`)
  await migrateDatabase(postgres.urlAs(OWNER, PASSWORD, 'causeway'))
  await postgres.run(`create role ${SERVICE} login password '${PASSWORD}' in role causeway_service`)
  return { postgres, work, databaseUrl: postgres.urlAs(SERVICE, PASSWORD, 'causeway') }
}

async function rehearse({ postgres, work }: World, env: Readonly<Record<string, string>>) {
  const files = { BACKUP_DATABASE_URL: postgres.urlOf('causeway'), SCRATCH_DATABASE_URL: postgres.urlOf() }
  const named = Object.entries(files).map(([name, url]) => {
    writeFileSync(join(work, name), url, { mode: 0o600 })
    return [`${name}_FILE`, join(work, name)]
  })
  const child = spawn(join(ROOT, 'deploy/rehearse-restore.sh'), {
    env: { PATH: `${postgres.bin}:${process.env['PATH'] ?? ''}`, HOME: work, ...Object.fromEntries(named), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, said }
}

async function leftovers({ postgres }: World): Promise<string> {
  const query =
    "select (select count(*) from pg_database where datname like 'causeway_reh%') + (select count(*) from pg_roles where rolname like 'causeway_reh%')"
  return execFileSync(join(postgres.bin, 'psql'), [postgres.urlOf(), '-Atc', query]).toString().trim()
}

const copyOf = (directory: string, work: string, name: string): string => {
  const copy = join(work, name)
  cpSync(directory, copy, { recursive: true })
  chmodSync(copy, 0o700)
  return copy
}

test(
  'OP-4 a rehearsal says that a backup comes back with its keys, and says what is lost when it would not',
  options,
  async (t) => {
    const world = await makeWorld(t)
    await withControlPlane(t, { databaseUrl: world.databaseUrl }, async (plane) => {
      await plane.relay()
      await plane.importUsers([user('u1'), user('u2')])
      await plane.done('POST', `/organizations/${plane.organisation}/webhooks`, {
        url: 'https://receiver.example/hook',
        events: ['mapping.*'],
      })
      await plane.reached(1)
      const keys = copyOf(join(plane.keyDirectory, 'keys'), world.work, 'keys')

      const good = await rehearse(world, { KEY_DIRECTORY: keys })
      assert.equal(good.code, 0, good.said)
      assert.match(good.said, /^rows: \d+, as in the dump$/m)
      assert.match(good.said, /^ok +keys +all \d+ keys that are not destroyed unwrap$/m)
      assert.match(good.said, /^ok +sealed-values +all [1-9]\d* sealed values open$/m)
      assert.match(good.said, /^ok +audit +2 chains hold, [1-9]\d* events$/m)
      assert.match(good.said, /^ok +mapping-tables +1 tables come out whole, 2 entries$/m)
      assert.match(good.said, /^ok +database-role +causeway_rehearsal_\d+ owns nothing/m)
      assert.match(good.said, /^the backup comes back, with its keys\n$/m)
      assert.equal(await leftovers(world), '0', 'what it made is taken away again')
      assert.ok(!good.said.includes(PASSWORD))

      // A project's key is not in the copy: it was made before the project was.
      const [project = ''] = readdirSync(keys).filter((name) => name.startsWith('prj-'))
      rmSync(join(keys, project))
      const older = await rehearse(world, { KEY_DIRECTORY: keys })
      assert.equal(older.code, 1)
      assert.match(older.said, /^fault +keys +1 are lost, .*was the database restored without its keys\?$/m)
      assert.match(older.said, /^fault +sealed-values +[1-9]\d* are lost/m)

      const none = await rehearse(world, { KEY_DIRECTORY: join(world.work, 'nothing') })
      assert.equal(none.code, 1)
      assert.match(none.said, /^fault +keys +the key directory is not there, or empty$/m)

      // Damage that a backup would carry on for ever.
      await world.postgres.run(
        "update audit_event set actor = 'nobody' where organisation_id = 'installation' and sequence = 2",
        'causeway',
      )
      const damaged = await rehearse(world, {
        KEY_DIRECTORY: copyOf(join(plane.keyDirectory, 'keys'), world.work, 'keys2'),
      })
      assert.equal(damaged.code, 1)
      assert.match(
        damaged.said,
        /^fault +audit +1 are lost, 1 are well: installation: event 2 is found by other values/m,
      )
      assert.equal(await leftovers(world), '0')
    })
  },
)

test(
  'OP-4 a role that row-level security leaves rows out for makes no dump, and nothing is said to be well',
  options,
  async (t) => {
    const world = await makeWorld(t)
    const ran = await rehearse(world, {
      BACKUP_DATABASE_URL_FILE: fileOf(world, 'owner', world.postgres.urlAs(OWNER, PASSWORD, 'causeway')),
    })
    assert.equal(ran.code, 1)
    assert.match(ran.said, /FAILED: pg_dump: has its role BYPASSRLS/)
  },
)

const fileOf = ({ work }: World, name: string, text: string): string => {
  const file = join(work, name)
  writeFileSync(file, text, { mode: 0o600 })
  return file
}

test(
  'OP-4, RC-2, RC-3 an older database is restored under relays that are ahead: they keep what they have and mail flows; it shows; enrolled anew they follow',
  options,
  async (t) => {
    const world = await makeWorld(t)
    const { postgres, work, databaseUrl } = world
    const tool = (name: string, ...args: string[]) =>
      execFileSync(join(postgres.bin, name), args, {
        stdio: 'pipe',
        env: { ...process.env, PGOPTIONS: '--client-min-messages=warning' },
      })
    await withControlPlane(t, { databaseUrl, env: { AUDIT_EXPORT_DIRECTORY: join(work, 'audit') } }, async (plane) => {
      const relay = await plane.relay()
      await plane.importUsers([user('u1')])
      await plane.reached(1)
      const dump = join(work, 'backup.dump')
      tool('pg_dump', '--format=custom', `--file=${dump}`, postgres.urlOf('causeway'))

      // What happens after the backup, and is lost with it.
      await plane.importUsers([user('u2')])
      await plane.importUsers([user('u3')])
      await plane.reached(3)

      await Promise.all(plane.processes.map((each) => each.stop()))
      await postgres.run('drop database causeway with (force)')
      await postgres.run(`create database causeway owner ${OWNER}`)
      tool('pg_restore', '--exit-on-error', `--dbname=${postgres.urlOf('causeway')}`, dump)
      await Promise.all(plane.processes.map((each) => each.start()))

      const isMapped = async (of: typeof relay, name: string) =>
        (await plane.presented(of, `${name}@${CONTOSO}`)) === `${name}@${FABRIKAM}`
      await eventually('the relay to be found ahead', () => plane.apis[0]?.logged('relay.ahead')[0])
      assert.ok(await isMapped(relay, 'u3'), 'it keeps what it has')
      await eventually('the figure that has the alarm', async () =>
        (await figuresOf(plane)).includes('causeway_relays{standing="ahead"} 1') ? true : undefined,
      )
      const [shown] = await plane.fleet()
      assert.deepEqual([shown?.['revision'], shown?.['lagRevisions']], [3, 0])

      // A change reaches nobody: its numbers are below what the relay has.
      assert.equal(await plane.importUsers([user('u4')]), 2)
      await eventually('the change to be kept from it', () => {
        const told = plane.apis[0]?.logged('relay.ahead') ?? []
        return told.length > 1 ? true : undefined
      })
      assert.deepEqual([await isMapped(relay, 'u3'), await isMapped(relay, 'u4')], [true, false])

      // The way out: cut off, then enrolled anew, with the same spool.
      await plane.done('POST', `${plane.path}/relays/${String(shown?.['id'])}/revoke`)
      await eventually('the end of intake', async () => {
        const answer = await fetch(`http://127.0.0.1:${relay.adminPort}/readyz`)
        return (await answer.text()).includes('cut the relay off') ? true : undefined
      })
      await relay.stop()
      const code = String(
        (await plane.done('POST', `${plane.path}/relay-enrolments`, { name: 'relay-1.test' })).body.code,
      )
      const again = await startRelay({
        directory: relay.directory,
        nextHopPort: 9,
        settings: {
          name: 'relay-1.test',
          table: undefined,
          routes: undefined,
          controlPlane: { url: plane.urls[0], enrolmentCode: code },
        },
      })
      plane.relays[0] = again
      assert.deepEqual(
        [await isMapped(again, 'u1'), await isMapped(again, 'u3'), await isMapped(again, 'u4')],
        [true, false, true],
      )
      await plane.importUsers([user('u5')])
      await eventually('the next change', async () => ((await isMapped(again, 'u5')) ? true : undefined))
      await eventually('the figure to be well', async () => {
        const figures = await figuresOf(plane)
        return figures.includes('causeway_relays{standing="ahead"} 0') &&
          figures.includes('causeway_relays{standing="current"} 1')
          ? true
          : undefined
      })
    })
  },
)

async function figuresOf(plane: ControlPlane): Promise<string> {
  const port = plane.worker.logged('worker.started').at(-1)?.['metricsPort']
  return (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text()
}
