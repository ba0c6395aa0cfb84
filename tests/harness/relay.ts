// Runs the real relay as a child process on loopback, the way an operator would: a configuration file and `bin/causeway relay`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePorts } from './ports.ts'

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export interface RelayOptions {
  /** Next hop of every route. */
  readonly nextHopPort: number
  /** Table file content; undefined: the file is not there. */
  readonly table?: unknown
  /** Merged over the minimal configuration of product.md §8. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Folder to use again (a restart); a new one is made otherwise. */
  readonly directory?: string
  /** Environment of the process, over ours. */
  readonly env?: Readonly<Record<string, string>>
  /** A command to run it under: strace. */
  readonly under?: readonly string[]
  /** Wait for /readyz; with no table the relay is up but never ready. */
  readonly waitFor?: 'ready' | 'alive'
}

export interface RunningRelay {
  readonly directory: string
  readonly configFile: string
  readonly outPort: number
  readonly inPort: number
  readonly adminPort: number
  readonly pid: number
  /** Everything written to stdout and stderr so far. */
  output(): string
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | string>
  stop(signal?: NodeJS.Signals): Promise<number | string>
  /** Removes the folder; stop first. */
  remove(): Promise<void>
}

export async function startRelay(options: RelayOptions): Promise<RunningRelay> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'causeway-relay-')))
  const [outPort = 0, inPort = 0, adminPort = 0] = await freePorts(3)
  const hop = { kind: 'smart-host', host: '127.0.0.1', port: options.nextHopPort, tls: 'none' }
  const config = {
    name: 'relay.test',
    listeners: [
      { address: '127.0.0.1', port: outPort, direction: 'out', tls: 'none', allow: ['127.0.0.0/8'] },
      { address: '127.0.0.1', port: inPort, direction: 'in', tls: 'none', allow: ['127.0.0.0/8'] },
    ],
    table: { file: 'table.json' },
    spool: { directory: 'spool', key: { file: 'spool.key' } },
    routes: { 'owner-tenant': hop, mailbox: hop },
    metrics: { address: '127.0.0.1', port: adminPort },
    workers: 1,
    ...options.settings,
  }
  const configFile = join(directory, 'relay.json')
  await writeFile(configFile, JSON.stringify(config, null, 2))
  if (options.table !== undefined) await writeFile(join(directory, 'table.json'), JSON.stringify(options.table))

  const [file, ...args] = [...(options.under ?? []), join(ROOT, 'bin/causeway'), 'relay', '--config', configFile]
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-10_000_000)))
  }
  const exited = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  const path = options.waitFor === 'alive' ? 'healthz' : 'readyz'
  let said = 'nothing'
  for (let waited = 0; ; waited += 25) {
    const reply = await fetch(`http://127.0.0.1:${adminPort}/${path}`).catch(() => undefined)
    said = (await reply?.text().catch(() => undefined)) ?? said
    if (reply?.ok === true) break
    if (child.exitCode !== null || child.signalCode !== null || waited > 30_000) {
      child.kill('SIGKILL')
      const end = child.signalCode ?? child.exitCode ?? 'still running'
      throw new Error(`the relay did not get as far as /${path} (${end}); it said ${said}:\n${output}`)
    }
    await sleep(25)
  }
  return {
    directory,
    configFile,
    outPort,
    inPort,
    adminPort,
    pid: child.pid ?? 0,
    output: () => output,
    exited,
    stop(signal = 'SIGTERM') {
      child.kill(signal)
      return exited
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}
