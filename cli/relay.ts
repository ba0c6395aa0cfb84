// `relay`: runs a relay until it is told to stop.
import { needed, parseOptions, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const relay: Command = {
  help: `Usage: causeway relay --config FILE

Runs a relay in the foreground. Its log goes to standard error, one JSON object a line.

  --config FILE   the relay's configuration (docs/relay-configuration.md)

SIGTERM or SIGINT: it stops accepting, finishes what it has in hand within 30 seconds, and exits 0.
SIGHUP: it reads the mapping table again.
SIGUSR2: with several workers, replaces them one after another; clients are taken all the while (docs/workers.md).`,

  async run(args) {
    const { values, positionals } = parseOptions(args, { config: { type: 'string' } })
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    const config = needed(values.config, '--config FILE')
    return (await import('../mta/main.ts')).runRelay(config)
  },
}
