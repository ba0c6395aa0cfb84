// `doctor`: is this machine fit to run, or is the relay on it well? (product.md §8, OP-5)
import { fileURLToPath } from 'node:url'
import { examineInstallation, examineRelay } from '../mta/doctor/examine.ts'
import type { Finding } from '../mta/doctor/finding.ts'
import { DONE, FAILED, parseOptions, print, printable, say, UsageError } from './command.ts'
import type { Command } from './command.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

export const doctor: Command = {
  help: `Usage: causeway doctor [--config FILE] [--json]

Looks, changes nothing, and says of each thing: ok, warning or fault, and what to do. Without --config: the installation (Node,
dependencies, FIPS state). With it: the relay and its machine too (file modes, spool key, disk, clock, core dumps, table, certificates,
ports, next hops). Run it as the user of the relay.

  --config FILE   the relay's configuration
  --json          the findings as JSON

It connects to the relay's ports and to its next hops, says EHLO and leaves. Exit code 1: there is a fault; a configuration that can't be
used is one.`,

  async run(args) {
    const { values, positionals } = parseOptions(args, { config: { type: 'string' }, json: { type: 'boolean' } })
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    const { config } = values
    if (config === '') throw new UsageError('--config takes a FILE')
    const findings = [
      ...(await examineInstallation(ROOT)),
      ...(config === undefined ? [] : await examineRelay(config, Date.now)),
    ]
    if (values.json === true) await print(`${JSON.stringify(findings, null, 2)}\n`)
    else await print(findings.map(shown).join(''))
    const [faults, warnings] = ['fault', 'warning'].map(
      (verdict) => findings.filter((finding) => finding.verdict === verdict).length,
    )
    say(`${findings.length} checks, ${faults} faults, ${warnings} warnings`)
    return faults === 0 ? DONE : FAILED
  },
}

function shown({ check, verdict, says, todo }: Finding): string {
  const line = `${verdict.padEnd(7)}  ${check.padEnd(18)}  ${printable(says)}\n`
  return todo === undefined ? line : `${line}${' '.repeat(29)}→ ${printable(todo)}\n`
}
