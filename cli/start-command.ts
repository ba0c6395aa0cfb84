// `start`: everything on one machine, for trying it out (what `npm start` runs).
import { parseOptions, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const startCommand: Command = {
  help: `Usage: causeway start

Starts the control plane (API and job worker) on a Postgres of its own, a simulated Microsoft 365 with two organizations (Entra ID, Graph, Exchange),
a relay that is enrolled with the control plane, and a small "internet" mailbox as its next hop; sends one message through, prints it before and
after, and stays up until Ctrl-C. All of it listens on loopback addresses only. What it keeps is in data/ (CAUSEWAY_DATA names another folder): remove it to begin anew.

CAUSEWAY_PORT_BASE moves all ports: the API's is that number, the others follow. Default 8080.`,

  async run(args) {
    const { positionals } = parseOptions(args, {})
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    return (await import('./start.ts')).start()
  },
}
