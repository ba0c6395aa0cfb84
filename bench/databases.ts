// A server with the product's schema as a template, for benches that make their databases of it as tests do.
import { sql } from 'kysely'
import { openDatabase } from '../control-plane/db/database.ts'
import { EMBEDDED_OWNER } from '../control-plane/db/embedded-postgres.ts'
import { migrate, SERVICE_ROLE } from '../control-plane/db/migrate.ts'

/** @param host  folder of the server's socket */
export async function prepareDatabases(host: string): Promise<void> {
  const connect = (database: string) =>
    openDatabase({ connection: { host, user: EMBEDDED_OWNER, database }, maxConnections: 1, onIdleError: () => {} })
  const admin = connect('postgres')
  await sql`create database template_causeway`.execute(admin.db)
  await sql.raw(`create role ${SERVICE_ROLE} login`).execute(admin.db)
  await admin.close()
  const template = connect('template_causeway')
  await migrate(template.db)
  await template.close()
}
