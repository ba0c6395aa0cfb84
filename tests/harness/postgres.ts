// A database of its own for one test, made from the migrated template of tests/setup.ts. Everything runs as the service role, as in production
// (TI-2); `owner` is for looking behind it.
import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { openDatabase } from '../../control-plane/db/database.ts'
import type { Database } from '../../control-plane/db/database.ts'
import { EMBEDDED_OWNER } from '../../control-plane/db/embedded-postgres.ts'
import { SERVICE_ROLE } from '../../control-plane/db/migrate.ts'

export interface TestDatabase extends Database {
  /** As the schema's owner, past row-level security. */
  readonly owner: Database
  /** Of the service role: what a process of the product is given. */
  readonly connection: { readonly host: string; readonly user: string; readonly database: string }
  readonly ownerConnection: { readonly host: string; readonly user: string; readonly database: string }
}

/** A test, or a whole file of them: `{ after }` of node:test. */
export interface Ending {
  after(close: () => Promise<void>): void
}

const ownerOptions = { maxConnections: 2, onIdleError: () => {} }

/** @param t  the database goes when it ends */
export async function testDatabase(t: Ending, options: { maxConnections?: number } = {}): Promise<TestDatabase> {
  const host = process.env['CAUSEWAY_TEST_PG']
  if (host === undefined) throw new Error('run with --test-global-setup=tests/setup.ts, as `npm test` does')
  const database = `t_${randomBytes(6).toString('hex')}`
  const admin = openDatabase({ connection: { host, user: EMBEDDED_OWNER, database: 'postgres' }, ...ownerOptions })
  await sql.raw(`create database ${database} template template_causeway strategy file_copy`).execute(admin.db)
  const ownerConnection = { host, user: EMBEDDED_OWNER, database }
  const connection = { host, user: SERVICE_ROLE, database }
  const owner = openDatabase({ connection: ownerConnection, ...ownerOptions })
  const service = openDatabase({ connection, maxConnections: options.maxConnections ?? 10, onIdleError: () => {} })
  t.after(async () => {
    await service.close()
    await owner.close()
    await sql.raw(`drop database ${database} with (force)`).execute(admin.db)
    await admin.close()
  })
  return { ...service, owner, connection, ownerConnection }
}
