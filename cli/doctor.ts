// `doctor`: is this machine fit to run, or is what runs on it well? (product.md §8, OP-5)
import { fileURLToPath } from 'node:url'
import type { Finding } from '../common/doctor/finding.ts'
import { examineInstallation } from '../common/doctor/installation.ts'
import { DONE, FAILED, parseOptions, print, say, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { shownFindings, tellCounts } from './show-findings.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

export const doctor: Command = {
  help: `Usage: causeway doctor [--config FILE] [--json]

Looks, changes nothing, and says of each thing: ok, warning or fault, and what to do. Always: the installation (Node, dependencies, FIPS
state). With --config: a relay and its machine too (file modes, spool key, disk, clock, core dumps, table, certificates, ports, next hops).
Without it, where the environment has the settings of a control plane: what api and worker need (settings, database, its role and row-level
security, queue, keys, files, certificates, public address, mail server, clocks). Run it as the user, and with the environment, of what runs.

  --config FILE   the relay's configuration
  --json          the findings as JSON

Of a relay it connects to the ports and next hops, says EHLO and leaves; of a control plane it connects to database, queue, key service,
PUBLIC_URL and mail server. Exit code 0: no fault; 1: there is one, and a configuration or settings that can't be used are one; 2: wrong usage.`,

  async run(args) {
    const { values, positionals } = parseOptions(args, { config: { type: 'string' }, json: { type: 'boolean' } })
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    const { config } = values
    if (config === '') throw new UsageError('--config takes a FILE')
    const findings = [...(await examineInstallation(ROOT)), ...(await examineWhatRuns(config))]
    if (values.json === true) await print(`${JSON.stringify(findings, null, 2)}\n`)
    else await print(shownFindings(findings))
    return tellCounts(findings) === 0 ? DONE : FAILED
  },
}

/** An image holds one half of the product: the other is loaded only where it is asked for. */
async function examineWhatRuns(config: string | undefined): Promise<readonly Finding[]> {
  if (config !== undefined) return (await import('./doctor-relay.ts')).examine(config)
  if (!isControlPlaneSetUp(process.env)) {
    say(
      'neither --config nor settings of a control plane (PUBLIC_URL, DATABASE_URL …): the installation alone was looked at',
    )
    return []
  }
  return (await import('./doctor-control-plane.ts')).examine()
}

/** Without one of these nobody has set up a control plane here. Other names (`PORT`) are in many an environment. */
const TELLING = ['CAUSEWAY_MODE', 'DATABASE_URL', 'KEY_DIRECTORY', 'KEY_VAULT_URL', 'PUBLIC_URL']

function isControlPlaneSetUp(env: Readonly<Record<string, string | undefined>>): boolean {
  return TELLING.some((name) => env[name] !== undefined || env[`${name}_FILE`] !== undefined)
}
