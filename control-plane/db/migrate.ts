// Brings a database to the schema of this version: numbered .sql files, forward only, each in one transaction, safe when two processes start at
// once. Runs as the owner of the schema, which no other process logs in as. (TI-2)
import { readdir, readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import type { Migration } from 'kysely/migration'
import type { Db } from './database.ts'

const FOLDER = new URL('./migrations/', import.meta.url)
/** Group role of api and worker; the role they log in as is it or a member of it. */
export const SERVICE_ROLE = 'causeway_service'

/** @returns names of the migrations that were run @throws when one fails; it has then changed nothing */
export async function migrate(db: Db): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: loadMigrations }, allowUnorderedMigrations: false })
  const { error, results = [] } = await migrator.migrateToLatest()
  if (error !== undefined) {
    const failed = results.find(({ status }) => status === 'Error')?.migrationName ?? 'a migration'
    throw new Error(`${failed} failed`, { cause: error })
  }
  // So that a process can see whether it fits the database.
  await sql.raw(`grant select on kysely_migration to ${SERVICE_ROLE}`).execute(db)
  return results.map(({ migrationName }) => migrationName)
}

/** Names of migrations that this version knows and the database lacks. */
export async function pendingMigrations(db: Db): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: loadMigrations } })
  const known = await migrator.getMigrations()
  return known.filter(({ executedAt }) => executedAt === undefined).map(({ name }) => name)
}

/** Names of migrations that were run on the database and that this version does not know: a newer one has been at it. */
export async function unknownMigrations(db: Db): Promise<string[]> {
  const { rows: tables } = await sql<{
    is_there: boolean
  }>`select to_regclass('kysely_migration') is not null as is_there`.execute(db)
  if (tables[0]?.is_there !== true) return []
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db)
  const known = Object.keys(await loadMigrations())
  return rows.map(({ name }) => name).filter((name) => !known.includes(name))
}

async function loadMigrations(): Promise<Record<string, Migration>> {
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).toSorted()
  const entries = files.map(async (name): Promise<[string, Migration]> => {
    const text = await readFile(new URL(name, FOLDER), 'utf8')
    return [name.slice(0, -'.sql'.length), { up: async (db) => void (await sql.raw(text).execute(db)) }]
  })
  return Object.fromEntries(await Promise.all(entries))
}
