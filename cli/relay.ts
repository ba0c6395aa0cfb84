// `relay`: runs a relay until it is told to stop; with `--enrol` one that a control plane sets up.
import { text } from 'node:stream/consumers'
import { needed, parseOptions, say, UsageError } from './command.ts'
import type { Command } from './command.ts'

export const relay: Command = {
  help: `Usage: causeway relay --config FILE
       causeway relay --enrol URL CODE [--name NAME] [--listen ADDRESS:PORT]…
                      [--monitor ADDRESS:PORT] [--trust FILE] [--directory DIR]

Runs a relay in the foreground. Its log goes to standard error, one JSON object a line.

  --config FILE            the relay's configuration (docs/relay-configuration.md)

  --enrol URL CODE         set up by the control plane at URL, which gave out CODE: writes DIR/relay.yaml and runs it. Where
                           that is there already, it stays as it is. CODE may be -: it is read from standard input, where
                           other users of the machine do not see it
  --name NAME              its name on the wire; default: the host's
  --listen ADDRESS:PORT    where peers connect; default: 0.0.0.0:25
  --monitor ADDRESS:PORT   where /metrics, /healthz and /readyz are answered; default: nowhere
  --trust FILE             PEM: authorities of the control plane's certificate; default: the public ones
  --directory DIR          configuration, keys and spool; default: causeway-relay

SIGTERM or SIGINT: it stops accepting, finishes what it has in hand within 30 seconds, and exits 0.
SIGHUP: it reads the mapping table again.
SIGUSR2: with several workers, replaces them one after another; clients are taken all the while (docs/workers.md).`,

  async run(args) {
    const { values, positionals } = parseOptions(args, {
      config: { type: 'string' },
      enrol: { type: 'string' },
      name: { type: 'string' },
      listen: { type: 'string', multiple: true },
      monitor: { type: 'string' },
      trust: { type: 'string' },
      directory: { type: 'string' },
    })
    const { config, enrol, ...more } = values
    if (enrol === undefined) {
      const [only] = Object.keys(more)
      if (only !== undefined) throw new UsageError(`--${only} needs --enrol`)
      if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
      return (await import('../mta/main.ts')).runRelay(needed(config, '--config FILE'))
    }
    if (config !== undefined) throw new UsageError('--config stands beside --enrol, which writes it')
    const [code, unexpected] = positionals
    if (unexpected !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(unexpected)}`)
    const { writeNewRelay } = await import('./enrol-relay.ts')
    const given = needed(code, 'CODE')
    const file = writeNewRelay({
      url: enrol,
      // KM-5: arguments are everybody's to see.
      code: given === '-' ? (await text(process.stdin)).trim() : given,
      name: more.name,
      listen: more.listen ?? ['0.0.0.0:25'],
      monitor: more.monitor,
      trust: more.trust,
      directory: more.directory ?? 'causeway-relay',
    })
    say(`causeway: the relay is configured by ${file}`)
    return (await import('../mta/main.ts')).runRelay(file)
  },
}
