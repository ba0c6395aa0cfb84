// `worker`: runs background jobs until it is told to stop.
import { parseOptions, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const worker: Command = {
  help: `Usage: causeway worker

Runs background jobs in the foreground. Settings come from the environment (docs/control-plane-settings.md); the log goes to
standard error, one JSON object a line.

SIGTERM or SIGINT: it takes nothing new, finishes what it has in hand within 30 seconds, and exits 0.`,

  async run(args) {
    const { positionals } = parseOptions(args, {})
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    return (await import('../control-plane/worker.ts')).runWorker(process.env)
  },
}
