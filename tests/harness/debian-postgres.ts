// A Postgres of Debian's package with its tools (pg_dump, pg_restore, psql), on TCP with passwords, for tests of backups: the embedded server comes without
// tools, and those of the package refuse a server that is newer than they are. Without the package such tests are skipped by name; in CI that is a failure.
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { openDatabase } from '../../control-plane/db/database.ts'
import { freePort } from './ports.ts'
import { eventually } from './wait.ts'

const LIBRARY = '/usr/lib/postgresql'

const newest = existsSync(LIBRARY)
  ? readdirSync(LIBRARY)
      .filter((version) => existsSync(join(LIBRARY, version, 'bin/initdb')))
      .toSorted((a, b) => Number(b) - Number(a))[0]
  : undefined

/** Why tests that need it can't run here; undefined: they can. */
export const missingPostgres =
  newest === undefined ? 'needs Postgres with its tools: apt-get install postgresql' : undefined
if (missingPostgres !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${missingPostgres}`)

export interface DebianPostgres {
  /** Folder of initdb, pg_dump and the others. */
  readonly bin: string
  /** `postgres://…` of a superuser, of database `postgres` unless another is named. */
  urlOf(database?: string): string
  /** As `urlOf`, of another role with this password. */
  urlAs(role: string, password: string, database: string): string
  /** One or more statements as the superuser. */
  run(statement: string, database?: string): Promise<void>
  close(): Promise<void>
}

export async function startDebianPostgres(): Promise<DebianPostgres> {
  if (newest === undefined) throw new Error(missingPostgres)
  const bin = join(LIBRARY, newest, 'bin')
  const directory = mkdtempSync(join(tmpdir(), 'causeway-debian-pg-'))
  chmodSync(directory, 0o755)
  const data = join(directory, 'data')
  const password = randomBytes(12).toString('hex')
  const passwordFile = join(directory, 'password')
  writeFileSync(passwordFile, password, { mode: 0o644 })
  // Postgres refuses to run as root.
  const account = process.getuid?.() === 0 ? accountOf('postgres') : {}
  if ('uid' in account) execFileSync('chown', ['postgres', directory])
  const settled = [
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
    `--pwfile=${passwordFile}`,
  ]
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', ...settled], { ...account, stdio: 'pipe' })
  const port = await freePort()
  const flags = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${directory}`, 'fsync=off']
  const child = spawn(join(bin, 'postgres'), ['-D', data, ...flags.flatMap((flag) => ['-c', flag])], {
    ...account,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  await eventually('Postgres', () => {
    if (child.exitCode !== null) throw new Error(`Postgres ended:\n${said}`)
    return said.includes('ready to accept connections') ? true : undefined
  })
  const urlAs = (role: string, secret: string, database: string) =>
    `postgres://${role}:${secret}@127.0.0.1:${port}/${database}`
  const urlOf = (database = 'postgres') => urlAs('postgres', password, database)
  return {
    bin,
    urlOf,
    urlAs,
    async run(statement, database) {
      const opened = openDatabase({ connection: urlOf(database), maxConnections: 1, onIdleError: () => {} })
      try {
        await sql.raw(statement).execute(opened.db)
      } finally {
        await opened.close()
      }
    },
    async close() {
      const ended = once(child, 'exit')
      child.kill('SIGINT')
      await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function accountOf(name: string): { uid: number; gid: number } {
  const id = (flag: string) => Number(execFileSync('id', [flag, name]).toString())
  return { uid: id('-u'), gid: id('-g') }
}
