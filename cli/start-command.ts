// `start`: everything on one machine, for trying it out (what `npm start` runs).
import { parseOptions, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const startCommand: Command = {
  help: `Usage: causeway start [--tour | --no-tour]

Starts the control plane (API and job worker) on a Postgres of its own, a simulated Microsoft 365 with two organizations (Entra ID, Graph, Exchange,
and mail that flows), an outside world with a mail server and DNS, and a relay that is enrolled with the control plane; takes the tour (causeway
tour --help), and stays up until Ctrl-C. All of it listens on loopback addresses only. What it keeps is in data/ (CAUSEWAY_DATA names another
folder): remove it to begin anew.

  --tour      takes the tour also when it has held before
  --no-tour   does not

CAUSEWAY_PORT_BASE moves all ports: the API's is that number, the others follow. Default 8080.`,

  async run(args) {
    const options = { tour: { type: 'boolean' }, 'no-tour': { type: 'boolean' } } as const
    const { values, positionals } = parseOptions(args, options)
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    if (values.tour === true && values['no-tour'] === true) throw new UsageError('either --tour or --no-tour')
    return (await import('./start.ts')).start(values['no-tour'] === true ? false : values.tour)
  },
}
