// One database brought to this version's schema, by its owner: ours, and that of the queue's Postgres backend. (TI-2)
import { migrateQueue } from '../jobs/queue-backend.ts'
import type { Connection } from '../settings.ts'
import { openDatabase } from './database.ts'
import { migrate } from './migrate.ts'

const STATEMENT_TIMEOUT_MS = 10 * 60_000

/** @returns names of the migrations that were run */
export async function migrateDatabase(connection: Connection): Promise<string[]> {
  const database = openDatabase({
    connection,
    maxConnections: 2,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    onIdleError: () => {}, // the next statement tells
  })
  try {
    const run = await migrate(database.db)
    await migrateQueue(connection)
    return run
  } finally {
    await database.close()
  }
}
