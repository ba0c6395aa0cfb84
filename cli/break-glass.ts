// `break-glass`: lets somebody in who runs commands on the server, when no administrator can sign in. (AZ-1)
import { randomBytes } from 'node:crypto'
import { DONE, parseOptions, print, say, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const breakGlass: Command = {
  help: `Usage: causeway break-glass

Prints a one-time code for the break-glass account, on standard output. It is good for an hour, and any earlier one is void. POST it to
/api/v1/session/break-glass as {"code": "…"}: the session manages organisations and installation administrators for an hour at most, and ends
when an installation administrator is appointed. Its use is alarmed and audited.

DATABASE_URL (or DATABASE_URL_FILE) names the database, as for \`causeway api\`. The API need not be restarted.`,

  async run(args) {
    const { positionals } = parseOptions(args, {})
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    const { openDatabase } = await import('../control-plane/db/database.ts')
    const { openBreakGlass } = await import('../control-plane/access/break-glass-store.ts')
    const { loadServiceConnection } = await import('../control-plane/settings.ts')
    const database = openDatabase({
      connection: loadServiceConnection(process.env),
      maxConnections: 1,
      onIdleError: () => {}, // the next statement tells
    })
    try {
      const code = await openBreakGlass({ db: database.db, now: Date.now, random: randomBytes })
      await print(`${code}\n`)
      say('good once, for an hour')
    } finally {
      await database.close()
    }
    return DONE
  },
}
