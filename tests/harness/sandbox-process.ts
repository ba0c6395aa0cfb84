// `causeway sandbox` as a process of its own, for tests and benches that kill it, start it again on what it kept, or measure the product beside it.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { ContractReport } from '../../sandbox/contract/record.ts'
import { freeRange } from './ports.ts'
import { ROOT } from './relay.ts'
import { eventually } from './wait.ts'

export interface SandboxProcessOptions {
  /** Keeps its state in here; default: all of it ends with the process. */
  readonly directory?: string
  /** Plain people of each tenant; default: the sixty that show every kind of object. */
  readonly people?: number
}

const START_MS = 120_000

export class SandboxProcess {
  readonly #options: SandboxProcessOptions
  readonly #port: number
  #child: ChildProcess | undefined
  #output = ''

  private constructor(options: SandboxProcessOptions, port: number) {
    this.#options = options
    this.#port = port
  }

  static async start(options: SandboxProcessOptions = {}): Promise<SandboxProcess> {
    const made = new SandboxProcess(options, await freeRange(4))
    await made.start()
    return made
  }

  readonly #url = (offset: number): string => `http://127.0.0.1:${this.#port + offset}`

  get entraUrl(): string {
    return this.#url(0)
  }

  /** Settings by which the product reaches it. */
  get env(): Readonly<Record<string, string>> {
    return { ENTRA_SANDBOX_URL: this.#url(0), SANDBOX_GRAPH_URL: this.#url(1), SANDBOX_EXCHANGE_URL: this.#url(2) }
  }

  /** At the same ports as before. Resolves when it says that it is up. */
  async start(): Promise<void> {
    const { directory, people } = this.#options
    const flags = [
      ['--port', String(this.#port)],
      ...(directory === undefined ? [] : [['--data', directory]]),
      ...(people === undefined ? [] : [['--people', String(people)]]),
    ].flat()
    const child = spawn(join(ROOT, 'bin/causeway'), ['sandbox', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.#output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
    await eventually(
      'the sandbox to start',
      () => {
        if (child.exitCode !== null) throw new Error(`the sandbox ended at its start:\n${this.#output}`)
        return this.#output.includes('application') ? true : undefined
      },
      START_MS,
    )
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'close')
    child.kill(signal)
    await ended
  }

  /** An operation of the control API. @throws with what it said when it is no success */
  control<T = unknown>(operation: string, fields: object = {}): Promise<T> {
    return this.#post(`${this.#url(3)}/control/${operation}`, fields)
  }

  /** One of Entra's own. */
  entra<T = unknown>(operation: string, fields: object): Promise<T> {
    return this.#post(`${this.#url(0)}/control/${operation}`, fields)
  }

  /** What was used of Microsoft's contracts, and where they were broken. */
  report(): Promise<ContractReport> {
    return this.control('report')
  }

  async #post<T>(url: string, fields: object): Promise<T> {
    const headers = { 'x-sandbox-control': '1', 'Content-Type': 'application/json' }
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(fields) })
    const text = await response.text()
    if (!response.ok) throw new Error(`${url} was answered ${response.status}: ${text}`)
    return JSON.parse(text) as T
  }
}
