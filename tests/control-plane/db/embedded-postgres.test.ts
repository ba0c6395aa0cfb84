// The Postgres of an evaluation and of the tests: it runs where its account can't reach the program, and ends a server that was left behind.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { sql } from 'kysely'
import { openDatabase } from '../../../control-plane/db/database.ts'
import { reachableBinaries, startEmbeddedPostgres } from '../../../control-plane/db/embedded-postgres.ts'

const isRoot = process.getuid?.() === 0

test(
  'as root, in a checkout that only root can enter, the binaries are copied to where their account can run them',
  {
    skip: isRoot ? false : 'needs root: run the tests as root to see it',
  },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'causeway-binaries-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    chmodSync(folder, 0o755)
    const { initdb } = (await import(`@embedded-postgres/${process.platform}-${process.arch}`)) as { initdb: string }
    const [closed, open] = [join(folder, 'closed'), join(folder, 'open')]
    mkdirSync(closed, { mode: 0o700 })
    cpSync(dirname(dirname(initdb)), join(closed, 'native'), { recursive: true, verbatimSymlinks: true })
    mkdirSync(open, { mode: 0o755 })
    const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres']).toString())
    const account = { uid: id('-u'), gid: id('-g') }
    chownSync(open, account.uid, account.gid)
    const hidden = { initdb: join(closed, 'native/bin/initdb'), postgres: join(closed, 'native/bin/postgres') }
    assert.notEqual(spawnSync(hidden.initdb, ['--version'], account).status, 0)
    const found = reachableBinaries(hidden, open, account)
    for (const file of [found.initdb, found.postgres]) {
      const { status, stdout } = spawnSync(file, ['--version'], { ...account, encoding: 'utf8' })
      assert.equal(status, 0)
      assert.match(stdout, /PostgreSQL/)
    }
    assert.deepEqual(reachableBinaries({ ...found }, open, account), found, 'where they can be run they stay')
  },
)

test(
  'a server that was left behind by a killed process is ended, and what it had is there',
  { timeout: 60_000 },
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'causeway-left-'))
    t.after(() => rmSync(directory, { recursive: true, force: true }))
    const options = { directory, isThrowaway: true }
    const connection = { host: directory, user: 'causeway', database: 'postgres' }
    const run = async (statement: string) => {
      const open = openDatabase({ connection, maxConnections: 1, onIdleError: () => {} })
      try {
        return (await sql.raw(statement).execute(open.db)).rows
      } finally {
        await open.close()
      }
    }
    const left = await startEmbeddedPostgres(options)
    t.after(() => left.stop())
    await run('create table kept as select 7 as n')
    const pid = readFileSync(join(directory, 'data/postmaster.pid'), 'utf8').split('\n')[0]
    const next = await startEmbeddedPostgres(options)
    t.after(() => next.stop())
    assert.notEqual(readFileSync(join(directory, 'data/postmaster.pid'), 'utf8').split('\n')[0], pid)
    assert.deepEqual(await run('select n from kept'), [{ n: 7 }])
  },
)
