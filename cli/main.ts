// bin/causeway: finds the command, runs it, turns what comes of it into an exit code. (product.md §8)
import { existsSync, readFileSync } from 'node:fs'
import { DONE, FAILED, print, say, UNUSABLE, UnusableFile, UsageError } from './command.ts'
import type { Command } from './command.ts'

interface Listed {
  readonly summary: string
  /** Loaded when it is asked for: `rewrite` starts without the relay. */
  readonly load: () => Promise<Command>
}

const COMMANDS: ReadonlyMap<string, Listed> = new Map([
  [
    'rewrite',
    {
      summary: 'rewrites one message: standard input to standard output',
      load: async () => (await import('./rewrite.ts')).rewrite,
    },
  ],
  ['table', { summary: 'checks a mapping table', load: async () => (await import('./table.ts')).table }],
  ['relay', { summary: 'runs a relay', load: async () => (await import('./relay.ts')).relay }],
  [
    'queue',
    {
      summary: "shows and changes what waits in a relay's spool",
      load: async () => (await import('./queue.ts')).queue,
    },
  ],
  [
    'quarantine',
    { summary: 'damaged and poison mail of a spool', load: async () => (await import('./quarantine.ts')).quarantine },
  ],
  ['audit', { summary: 'verifies an exported audit trail', load: async () => (await import('./audit.ts')).audit }],
  ['trace', { summary: 'tells what became of messages', load: async () => (await import('./trace.ts')).trace }],
  [
    'doctor',
    {
      summary: 'checks the installation, and the relay or control plane on it',
      load: async () => (await import('./doctor.ts')).doctor,
    },
  ],
  ['api', { summary: "runs the control plane's API", load: async () => (await import('./api.ts')).api }],
  [
    'worker',
    { summary: "runs the control plane's background jobs", load: async () => (await import('./worker.ts')).worker },
  ],
  [
    'break-glass',
    {
      summary: 'opens the one-time account of the control plane again',
      load: async () => (await import('./break-glass.ts')).breakGlass,
    },
  ],
  [
    'db',
    {
      summary: "brings the control plane's database up to date, or goes through it",
      load: async () => (await import('./db.ts')).db,
    },
  ],
  [
    'tour',
    {
      summary: 'the whole product once through against the simulated tenants, each result checked',
      load: async () => (await import('./tour.ts')).tour,
    },
  ],
  ['sandbox', { summary: 'runs a simulated Microsoft 365', load: async () => (await import('./sandbox.ts')).sandbox }],
  [
    'start',
    {
      summary: 'the whole product on one machine, with two simulated tenants; takes the tour',
      load: async () => (await import('./start-command.ts')).startCommand,
    },
  ],
])

function overview(): string {
  const width = Math.max(...[...COMMANDS.keys()].map((name) => name.length))
  const lines = [...COMMANDS].map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
  return [
    'Usage: causeway COMMAND [OPTIONS]',
    '',
    ...lines,
    '',
    'causeway COMMAND --help tells more. Exit code: 0 done, 1 failed, 2 wrong usage or an unusable file.',
  ].join('\n')
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined) {
    say(overview())
    return UNUSABLE
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    await print(`${overview()}\n`)
    return DONE
  }
  if (name === '--version') {
    await print(`causeway ${version()}\n`)
    return DONE
  }
  const listed = COMMANDS.get(name)
  if (listed === undefined)
    throw new UsageError(`there is no command ${JSON.stringify(name)}; causeway --help lists them`)
  const command = await listed.load()
  if (wantsHelp(rest)) {
    await print(`${command.help}\n`)
    return DONE
  }
  return command.run(rest)
}

/** Before any `--`: after it everything is a name. */
function wantsHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return (end === -1 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : ''
}

/** Known faults are told in a sentence; anything else is ours, and shows where it came from. */
function failed(error: unknown): number {
  if (error instanceof UsageError || error instanceof UnusableFile) {
    say(`causeway: ${error.message}`)
    return UNUSABLE
  }
  const room = absentRoom(error)
  if (room !== undefined) {
    say(`causeway: this command needs ${room}/, which this image does not hold`)
    return UNUSABLE
  }
  // Told by name: importing the classes would load the relay for every command.
  const name = error instanceof Error ? error.name : ''
  // What a worker couldn't use it has told in full.
  if (error instanceof Error && ['SettingsFault', 'WorkerUnusable', 'RegionMismatch'].includes(name)) {
    for (const line of error.message.split('\n')) say(`causeway: ${line}`)
    return UNUSABLE
  }
  if (name === 'SpoolUnusable') {
    say(`causeway: ${withCauses(error)}`)
    return UNUSABLE
  }
  if (name === 'ControlError') {
    say(`causeway: ${withCauses(error)}`)
    return FAILED
  }
  if (name === 'KeyUnusable' || name === 'KeyServiceUnavailable' || name === 'DatabaseUnreachable') {
    say(`causeway: ${withCauses(error)}`)
    return name === 'KeyUnusable' ? UNUSABLE : FAILED
  }
  say(`causeway: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  if (error instanceof Error && error.cause instanceof Error) say(`because: ${withCauses(error.cause)}`)
  return FAILED
}

/** The folder of sources that a command missed: an image holds one half of the product. */
function absentRoom(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('url' in error) || typeof error.url !== 'string') return undefined
  const root = new URL('..', import.meta.url)
  if (!error.url.startsWith(root.href)) return undefined
  const [room = ''] = error.url.slice(root.href.length).split('/', 1)
  return existsSync(new URL(room, root)) ? undefined : room
}

function withCauses(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${withCauses(error.cause)})` : error.message
}

// A reader that has seen enough (`| head`) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? DONE : FAILED)
})
process.exitCode = await main(process.argv.slice(2)).catch(failed)
// What a command leaves open must not keep the process; what it wrote must be out first.
await new Promise<void>((resolve) => void process.stdout.write('', () => resolve()))
await new Promise<void>((resolve) => void process.stderr.write('', () => resolve()))
process.exit()
