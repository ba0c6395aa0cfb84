// Once for the whole run: a Postgres server, a migrated template, and its whereabouts in the environment of the test files.
// Gathers what the run used of Microsoft's contracts, and prints it at the end (as JSON into CAUSEWAY_CONTRACT_REPORT_FILE, when that is set).
// A single file is run with `node --test --test-global-setup=tests/setup.ts FILE`.
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { openDatabase } from '../control-plane/db/database.ts'
import { startEmbeddedPostgres } from '../control-plane/db/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../control-plane/db/embedded-postgres.ts'
import { migrate, SERVICE_ROLE } from '../control-plane/db/migrate.ts'
import { readRunReport, shownReport } from './harness/contract-report.ts'

const MIN_IN_MEMORY = 4 * 1024 ** 3

let server: EmbeddedPostgres | undefined
let directory: string | undefined
let contractReport: string | undefined

export async function globalSetup(): Promise<void> {
  // A hundred files load the whole product, and start processes that do: compiled once is half of what it takes to start.
  process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, '../node_modules/.cache/compiled')
  directory = mkdtempSync(join(folderOfDatabases(), 'causeway-pg-'))
  server = await startEmbeddedPostgres({ directory, isThrowaway: true })
  await onDatabase('postgres', async ({ db }) => {
    await sql`create database template_causeway`.execute(db)
    await sql.raw(`create role ${SERVICE_ROLE} login`).execute(db)
  })
  await onDatabase('template_causeway', async ({ db }) => {
    await migrate(db)
  })
  process.env['CAUSEWAY_TEST_PG'] = server.socket
  contractReport = mkdtempSync(join(tmpdir(), 'causeway-contracts-'))
  process.env['CAUSEWAY_CONTRACT_REPORT'] = contractReport
}

export async function globalTeardown(): Promise<void> {
  await server?.stop()
  if (contractReport !== undefined) report(contractReport)
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
}

/**
 * In memory where there is enough of it. Every test has a database of its own, a thousand files: ext4 looks at each inode that was deleted in the last
 * half minute before it makes another, which took a sixth of all the time of a run.
 */
function folderOfDatabases(): string {
  const inMemory = '/dev/shm'
  try {
    const { bavail, bsize } = statfsSync(inMemory)
    if (bavail * bsize >= MIN_IN_MEMORY) return inMemory
  } catch {
    // Not Linux.
  }
  return tmpdir()
}

function report(gathered: string): void {
  const run = readRunReport(gathered)
  const shown = shownReport(run)
  if (shown !== '') console.log(shown)
  const file = process.env['CAUSEWAY_CONTRACT_REPORT_FILE']
  if (file !== undefined && file !== '') writeFileSync(file, `${JSON.stringify(run, undefined, 2)}\n`)
  rmSync(gathered, { recursive: true, force: true })
}

async function onDatabase(
  database: string,
  work: (open: ReturnType<typeof openDatabase>) => Promise<void>,
): Promise<void> {
  if (server === undefined) throw new Error('unreachable: no server')
  const connection = { host: server.socket, user: server.owner, database }
  const open = openDatabase({ connection, maxConnections: 1, onIdleError: () => {} })
  try {
    await work(open)
  } finally {
    await open.close()
  }
}
