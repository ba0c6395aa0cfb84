// `tour`: the whole product once through, by its REST API against the simulated tenants, each result checked.
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DONE, FAILED, needed, parseOptions, UnusableFile, UsageError } from './command.ts'
import type { Command } from './command.ts'
import type { TourPlace } from './tour/run-tour.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const PICTURE_COLUMNS = 150

const OPTIONS = {
  json: { type: 'boolean' },
  api: { type: 'string' },
  key: { type: 'string' },
  project: { type: 'string' },
  sandbox: { type: 'string' },
  app: { type: 'string' },
  relay: { type: 'string' },
  picture: { type: 'string' },
} as const

/** What `npm start` wrote for a shell. */
const NAMES = {
  api: 'API',
  key: 'KEY',
  project: 'PROJECT',
  sandbox: 'SANDBOX',
  app: 'CONNECT_APP',
  relay: 'RELAY_PORT',
} as const

export const tour: Command = {
  help: `Usage: causeway tour [--json] [--api URL --key KEY --project ID --sandbox URL --app ID --relay PORT] [--picture FILE]

Drives the whole product through its REST API against the simulated tenants: connects and reads both, matches people, sets up the relay, switches
coexistence on, has people write, meet, be away and move, switches it off, and compares both tenants with how they were. Every result is checked;
what is left out after a failure is said, and nothing stays switched on. May be run again. Of what npm start has running, unless it is told otherwise:

  --json           one line of JSON a step
  --api URL        the API, with /api/v1
  --key KEY        an API key of the organization
  --project ID     a project of it, for this alone
  --sandbox URL    the control of the simulated Microsoft 365
  --app ID         client id of the application by which tenants are connected
  --relay PORT     where the project's relay takes mail, on this machine
  --picture FILE   writes what it showed into FILE, as SVG

Exit code 0: all of it held; 1: something did not.`,

  async run(args) {
    const { values, positionals } = parseOptions(args, OPTIONS)
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`)
    const place = placeOf(values)
    const { hasHeld, runTour } = await import('./tour/run-tour.ts')
    const { pictureOf } = await import('./tour/picture.ts')
    const { shownEnd, shownStep } = await import('./tour/display.ts')
    const isTerminal = process.stdout.isTTY
    const ending = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort())
    const screen = {
      write: (text: string) => void process.stdout.write(text),
      form: values.json === true ? 'json' : isTerminal ? 'terminal' : 'people',
      columns: isTerminal ? process.stdout.columns : 0,
    } as const
    const outcomes = await runTour(place, screen, ending.signal)
    if (values.picture !== undefined) {
      const lines = [
        '$ bin/causeway tour',
        ...outcomes.map((each) => shownStep(each, PICTURE_COLUMNS)),
        '',
        shownEnd(outcomes),
      ]
      await writeFile(values.picture, pictureOf(lines))
    }
    return hasHeld(outcomes) ? DONE : FAILED
  },
}

type Values = { readonly [Name in keyof typeof NAMES]?: string | undefined }

/** @throws UsageError, UnusableFile */
function placeOf(values: Values): TourPlace {
  const isWhole = Object.keys(NAMES).every((name) => values[name as keyof Values] !== undefined)
  const file = join(resolve(process.env['CAUSEWAY_DATA'] ?? join(ROOT, 'data')), 'env.sh')
  if (!isWhole && !existsSync(file))
    throw new UnusableFile(`${file} is not there: npm start writes it. Start that first, or name everything by options`)
  const kept = isWhole ? new Map<string, string>() : variablesIn(readFileSync(file, 'utf8'))
  const of = (name: keyof Values): string => needed(values[name] ?? kept.get(NAMES[name]), `--${name}`)
  const relayPort = Number(of('relay'))
  if (!Number.isInteger(relayPort) || relayPort < 1 || relayPort > 65_535)
    throw new UsageError('--relay has to be a port')
  return {
    api: of('api'),
    key: of('key'),
    project: of('project'),
    sandbox: of('sandbox'),
    connectApp: of('app'),
    relayPort,
  }
}

function variablesIn(text: string): Map<string, string> {
  return new Map([...text.matchAll(/^export (\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]))
}
