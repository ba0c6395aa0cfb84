// `start`: everything on one machine, for trying it out (what `npm start` runs).
import { parseOptions, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const startCommand: Command = {
  help: `Usage: causeway start

Starts a relay with an example table and a small "internet" mailbox as its next hop, sends one message through, prints it before and
after, and stays up until Ctrl-C.`,

  async run(args) {
    const { positionals } = parseOptions(args, {})
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    return (await import('./start.ts')).start()
  },
}
