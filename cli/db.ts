// `db migrate`: brings the database to the schema of this version. The only process that logs in as the schema's owner. (TI-2)
import { DONE, parseOptions, print, say, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const db: Command = {
  help: `Usage: causeway db migrate

Brings the database to the schema of this version: run it before the first start and after each upgrade, before api and worker.
It can be run again at any time, and by two at once.

MIGRATION_DATABASE_URL (or MIGRATION_DATABASE_URL_FILE) names the database and a role that may create tables and roles in it; without it
DATABASE_URL is taken. Api and worker log in as another role: causeway_service, or a member of it.`,

  async run(args) {
    const { positionals } = parseOptions(args, {})
    if (positionals.length !== 1 || positionals[0] !== 'migrate') throw new UsageError('say `causeway db migrate`')
    const { migrateDatabase } = await import('../control-plane/db/migrate-database.ts')
    const { loadMigrationConnection } = await import('../control-plane/settings.ts')
    const done = await migrateDatabase(loadMigrationConnection(process.env))
    for (const name of done) await print(`${name}\n`)
    say(done.length === 0 ? 'the database is up to date' : `${done.length} migrations done`)
    return DONE
  },
}
