// A relay as a process that is set up by nothing but an enrolment code, always at the same ports: it can be killed and started again any number of
// times on what it kept.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeNewRelay } from '../../cli/enrol-relay.ts'
import { ROOT } from './relay.ts'
import { eventually } from './wait.ts'

export interface RelayProcessOptions {
  /** Of the control plane: `http://127.0.0.1:8080` */
  readonly url: string
  readonly enrolmentCode: string
  readonly name: string
  readonly port: number
  readonly monitorPort: number
  readonly directory: string
  /** YAML: what its operator has written under it. */
  readonly more?: string
}

const START_MS = 60_000
const MAX_OUTPUT = 20_000_000
/** Everybody in a test has one address. */
const LIMITS = 'limits: { newConnectionsPerSecondAndAddress: 1000, connectionsPerAddress: 400 }\n'

export class RelayProcess {
  readonly directory: string
  readonly #configuration: string
  readonly #monitor: string
  #child: ChildProcess | undefined
  #output = ''

  constructor({ port, monitorPort, more = '', ...options }: RelayProcessOptions) {
    const { url, enrolmentCode: code, name, directory } = options
    this.directory = directory
    const place = (each: number) => `127.0.0.1:${each}`
    this.#monitor = place(monitorPort)
    const listen = [place(port)]
    this.#configuration = writeNewRelay({
      url,
      code,
      name,
      listen,
      monitor: this.#monitor,
      trust: undefined,
      directory,
    })
    appendFileSync(this.#configuration, LIMITS + more)
  }

  /** Everything that it said in all its lives. */
  output(): string {
    return this.#output
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Of its present life. */
  get pid(): number | undefined {
    return this.isRunning ? this.#child?.pid : undefined
  }

  /** Resolves when it lives. @throws with its output when it ends before */
  async start(): Promise<void> {
    const child = spawn(join(ROOT, 'bin/causeway'), ['relay', '--config', this.#configuration], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env },
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.#output = (this.#output + text).slice(-MAX_OUTPUT)))
    await eventually(
      'the relay to start',
      async () => {
        if (!this.isRunning) throw new Error(`the relay ended at its start:\n${this.#output.slice(-4_000)}`)
        const reply = await fetch(`http://${this.#monitor}/healthz`).catch(() => undefined)
        await reply?.body?.cancel()
        return reply?.ok === true ? true : undefined
      },
      START_MS,
    )
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.isRunning) return
    const ended = once(child, 'close')
    child.kill(signal)
    await ended
  }
}
