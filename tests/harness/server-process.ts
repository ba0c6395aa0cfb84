// One process of the control plane, `causeway api` or `causeway worker`, as an operator runs it: settings in the environment, its log on standard error.
// It can be killed and started again any number of times; what all its lives said is kept.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { ROOT } from './relay.ts'
import { eventually } from './wait.ts'

export type LogLine = Readonly<Record<string, unknown>>

const START_MS = 60_000
const MAX_OUTPUT = 20_000_000

export class ServerProcess {
  readonly command: 'api' | 'worker'
  readonly #env: Readonly<Record<string, string>>
  #child: ChildProcess | undefined
  #output = ''
  #starts = 0

  constructor(command: 'api' | 'worker', env: Readonly<Record<string, string>>) {
    this.command = command
    this.#env = env
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Of its present life. */
  get pid(): number | undefined {
    return this.isRunning ? this.#child?.pid : undefined
  }

  /** Everything that it said in all its lives. */
  output(): string {
    return this.#output
  }

  /** Lines of its log that name this event, oldest first. */
  logged(event: string): LogLine[] {
    return linesOf(this.#output).filter((line) => line['event'] === event)
  }

  /** Resolves when it says that it is up. @throws with its output when it ends before */
  async start(): Promise<void> {
    // Nothing of ours comes in from outside: what a developer's shell sets is no setting of the test.
    const inherited = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '' }
    const child = spawn(join(ROOT, 'bin/causeway'), [this.command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...inherited, ...this.#env },
    })
    this.#child = child
    const upBefore = this.#starts++
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.#output = (this.#output + text).slice(-MAX_OUTPUT)))
    await eventually(
      `the ${this.command} to start`,
      () => {
        if (!this.isRunning) throw new Error(`the ${this.command} ended at its start:\n${this.#output.slice(-4_000)}`)
        return this.logged(`${this.command}.started`).length > upBefore ? true : undefined
      },
      START_MS,
    )
  }

  /** @returns its exit code, or the signal's name; undefined when it doesn't run */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string | undefined> {
    const child = this.#child
    if (child === undefined || !this.isRunning) return undefined
    const ended = once(child, 'close') // with all that it said
    child.kill(signal)
    const [code, name] = (await ended) as [number | null, string | null]
    return code ?? name ?? undefined
  }
}

/** Lines of a log; what is none (a code for the console, V8's last words) is left out. */
export function linesOf(output: string): LogLine[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as LogLine)
}
