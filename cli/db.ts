// `db`: brings the database to this version's schema, the only process that logs in as the schema's owner (TI-2); and goes through what a database holds.
import { DONE, FAILED, parseOptions, print, say, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { shownFindings, tellCounts } from './show-findings.ts'

export const db: Command = {
  help: `Usage: causeway db migrate
       causeway db verify [--json]

migrate: brings the database to the schema of this version: run it before the first start and after each upgrade, before api and worker.
It can be run again at any time, and by two at once. MIGRATION_DATABASE_URL (or MIGRATION_DATABASE_URL_FILE) names the database and a role
that may create tables and roles in it; without it DATABASE_URL is taken. Api and worker log in as another role: causeway_service, or a
member of it.

verify: goes through all that a database holds, and changes nothing: every key unwraps, every sealed value opens, every audit chain holds,
every mapping table comes out whole. For a database that was restored, before anything is started on it; deploy/rehearse-restore.sh uses it.
DATABASE_URL and the settings of the keys (KEY_PROVIDER …), as for \`causeway api\`, name the database and the keys that belong to it.
Exit code 1: something is lost. Of a million entries it takes some minutes.`,

  async run(args) {
    const { values, positionals } = parseOptions(args, { json: { type: 'boolean' } })
    const [action, ...rest] = positionals
    if (rest.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(rest[0])}`)
    if (action === 'verify') return verify(values.json === true)
    if (action !== 'migrate' || values.json === true)
      throw new UsageError('say `causeway db migrate` or `causeway db verify`')
    const { migrateDatabase } = await import('../control-plane/db/migrate-database.ts')
    const { loadMigrationConnection } = await import('../control-plane/settings.ts')
    const done = await migrateDatabase(loadMigrationConnection(process.env))
    for (const name of done) await print(`${name}\n`)
    say(done.length === 0 ? 'the database is up to date' : `${done.length} migrations done`)
    return DONE
  },
}

async function verify(asJson: boolean): Promise<number> {
  const { examineStoredData } = await import('../control-plane/doctor/stored-data.ts')
  const { loadStoredDataSettings } = await import('../control-plane/settings.ts')
  const findings = await examineStoredData(loadStoredDataSettings(process.env), Date.now)
  await print(asJson ? `${JSON.stringify(findings, null, 2)}\n` : shownFindings(findings))
  return tellCounts(findings) === 0 ? DONE : FAILED
}
