// The Postgres of an evaluation: made at the first run, brought to this version's schema at each.
import { sql } from 'kysely'
import { openDatabase } from './database.ts'
import { startEmbeddedPostgres } from './embedded-postgres.ts'
import { migrateDatabase } from './migrate-database.ts'
import { SERVICE_ROLE } from './migrate.ts'

const NAME = 'causeway'

export interface EvaluationDatabase {
  /** DATABASE_URL of api and worker. */
  readonly url: string
  stop(): Promise<void>
}

export async function startEvaluationDatabase(directory: string): Promise<EvaluationDatabase> {
  const server = await startEmbeddedPostgres({ directory })
  try {
    const owner = (database: string) => ({ host: server.socket, user: server.owner, database })
    const first = openDatabase({ connection: owner('postgres'), maxConnections: 1, onIdleError: () => {} })
    try {
      const { rows } = await sql`select 1 from pg_database where datname = ${NAME}`.execute(first.db)
      if (rows.length === 0) await sql.raw(`create database ${NAME}`).execute(first.db)
    } finally {
      await first.close()
    }
    await migrateDatabase(owner(NAME))
    const ours = openDatabase({ connection: owner(NAME), maxConnections: 1, onIdleError: () => {} })
    try {
      // The migration makes the role; here it also logs in. Only root and the server's account reach the socket.
      await sql.raw(`alter role ${SERVICE_ROLE} login`).execute(ours.db)
    } finally {
      await ours.close()
    }
    return { url: `socket:${server.socket}?user=${SERVICE_ROLE}&database=${NAME}`, stop: () => server.stop() }
  } catch (error) {
    await server.stop()
    throw error
  }
}
