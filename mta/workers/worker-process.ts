// One worker's process as the primary sees it: started, told, asked, and in the end gone.
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { parseFromWorker } from './messages.ts'
import type { FromWorker, Subject, ToWorker, WorkerStart } from './messages.ts'

export type Start =
  | { readonly kind: 'started' }
  | { readonly kind: 'failed'; readonly isUnusable: boolean; readonly text: string }
  /** Without a word. */
  | { readonly kind: 'died' }

export interface Exit {
  /** Exit code, or the signal's name. */
  readonly status: number | string
  /** Last figures of a process that ended in order. */
  readonly metrics: unknown
  readonly isDrained: boolean
  /** What it said of why it can't start. */
  readonly failure: string | undefined
}

export interface WorkerEvents {
  took(client: number): void
  left(client: number): void
  active(version: number): void
  events(messages: readonly string[], audit: readonly string[]): void
}

const ENTRY = new URL('./relay-worker.ts', import.meta.url)
/** Monitoring waits for it. */
const ANSWER_MS = 1_000
/** What a process needs after its sessions' grace: to record, sweep and close its spool. */
const END_MS = 10_000
/** More would only pile up in the channel of a process that is stuck. */
const MAX_UNANSWERED = 16
/** A log line that is no line is passed on in pieces. */
const MAX_LINE = 64 * 1024

export class WorkerProcess {
  readonly worker: number
  readonly started: Promise<Start>
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  readonly #asked = new Map<number, (answer: unknown) => void>()
  #questions = 0
  /** In its channel, or being answered; also those that nobody waits for any more. */
  #unanswered = 0
  #ended: { isDrained: boolean; metrics: unknown } | undefined
  #failure: string | undefined

  /** @param write  takes what it logs, whole lines */
  constructor(start: WorkerStart, events: WorkerEvents, write: (lines: string) => void) {
    this.worker = start.worker
    this.#child = fork(ENTRY, [], {
      serialization: 'advanced', // keeps what JSON doesn't know: NaN, Infinity
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
    if (this.#child.stderr !== null) passLines(this.#child.stderr, write)
    let began: (start: Start) => void = () => {}
    this.started = new Promise((resolve) => (began = resolve))
    this.exited = new Promise((resolve) => {
      const gone = (status: number | string): void => {
        for (const answered of this.#asked.values()) answered(undefined)
        began({ kind: 'died' })
        resolve({
          status,
          metrics: this.#ended?.metrics,
          isDrained: this.#ended?.isDrained === true,
          failure: this.#failure,
        })
      }
      this.#child.once('close', (code, signal) => gone(code ?? signal ?? 'unknown'))
      // It could not be made at all; after any other error `close` comes as well.
      this.#child.on('error', (error) => this.#child.pid === undefined && gone(error.message))
    })
    this.#child.on('message', (message) => {
      const parsed = parseFromWorker(message)
      if (parsed !== undefined) this.#heard(parsed, events, began)
    })
    this.#tell({ kind: 'start', start })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  #heard(message: FromWorker, events: WorkerEvents, began: (start: Start) => void): void {
    switch (message.kind) {
      case 'started':
        return began(message)
      case 'failed':
        this.#failure = message.text
        return began(message)
      case 'took':
        return events.took(message.client)
      case 'left':
        return events.left(message.client)
      case 'active':
        return events.active(message.version)
      case 'events':
        return events.events(message.messages, message.audit)
      case 'ended':
        this.#ended = message
        return
      case 'answer':
        this.#unanswered--
        return this.#asked.get(message.question)?.(message.answer)
      default:
        return message satisfies never
    }
  }

  /** undefined: no answer in time. */
  ask(subject: Subject, withinMs = ANSWER_MS): Promise<unknown> {
    if (this.#unanswered >= MAX_UNANSWERED) return Promise.resolve(undefined)
    this.#unanswered++
    const question = ++this.#questions
    return new Promise((resolve) => {
      const done = (answer: unknown): void => {
        clearTimeout(timer)
        this.#asked.delete(question)
        resolve(answer)
      }
      const timer = setTimeout(() => done(undefined), withinMs)
      this.#asked.set(question, done)
      this.#tell({ kind: 'ask', question, subject })
    })
  }

  /** Our copy of the socket stays open: should the process die before it has its own, another one serves the client. */
  hand(client: number, listener: number, socket: Socket): void {
    this.#tell({ kind: 'client', client, listener }, socket)
  }

  reload(): void {
    this.#tell({ kind: 'reload' })
  }

  /** Of the snapshot: what changed it, that it changed as a whole, that it is confirmed, that the relay is cut off. */
  tellSnapshot(message: ToWorker & { kind: 'push' | 'whole' | 'confirmed' | 'revoked' }): void {
    this.#tell(message)
  }

  /** Ends it in order; by force when it takes longer than `graceMs` and what the end itself needs. */
  async stop(graceMs: number): Promise<Exit> {
    this.#tell({ kind: 'stop', graceMs })
    const timer = setTimeout(() => this.kill(), graceMs + END_MS)
    const exit = await this.exited
    clearTimeout(timer)
    return exit
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #tell(message: ToWorker, socket?: Socket): void {
    if (!this.#child.connected) return
    // A process that is gone is heard of by its exit.
    this.#child.send(message, socket, { keepOpen: true }, () => {})
  }
}

/** Lines of several processes into one stream: each whole. */
function passLines(stream: Readable, write: (lines: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8').on('data', (text: string) => {
    const all = rest + text
    const end = all.length > MAX_LINE && !text.includes('\n') ? all.length : all.lastIndexOf('\n') + 1
    if (end > 0) write(all.slice(0, end))
    rest = all.slice(end)
  })
  stream.on('end', () => rest !== '' && write(`${rest}\n`))
}
