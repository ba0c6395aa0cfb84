// Messages that wait to leave a simulated tenant: tried again after growing pauses, by the machine's clock, until they are too old.
import type { EnvelopedMessage, Origin } from '../mail-flow/mail-view.ts'

/** Where a message in a queue wants to go. */
export type Way =
  | { readonly kind: 'connector'; readonly guid: string; readonly name: string }
  | { readonly kind: 'internet' }
  /** Through the rules once more: one of them couldn't be judged. */
  | { readonly kind: 'rules'; readonly origin: Origin }

export interface QueuedMail {
  readonly id: number
  readonly tenantId: string
  readonly way: Way
  readonly message: EnvelopedMessage
  /** ms since the epoch, of the machine */
  readonly sinceMs: number
  readonly attempts: number
  /** ms since the epoch, of the machine; undefined: under way. */
  readonly nextAttemptMs: number | undefined
  /** Of the last attempt; empty: there was none. */
  readonly reply: string
}

export interface Failure {
  readonly recipient: string
  /** `550 5.1.1 no such mailbox` */
  readonly reply: string
  /** Who said so; undefined: Exchange itself. */
  readonly host?: string
}

/** What an attempt left. Who is in neither list is done. */
export interface Attempted {
  readonly waiting: readonly string[]
  readonly failures: readonly Failure[]
  /** Why they wait. */
  readonly reply: string
}

/** ms */
export interface RetryTimes {
  /** After the first, second … attempt; the last one from then on. */
  readonly pauses: readonly number[]
  readonly expiry: number
}

const TIMES: RetryTimes = { pauses: [1_000, 2_000, 5_000, 10_000, 20_000, 30_000], expiry: 600_000 }
const MAX_AT_ONCE = 20

export interface MailQueueOptions {
  readonly times?: Partial<RetryTimes> | undefined
  /** Never fails but by a fault of the sandbox itself. */
  readonly attempt: (mail: QueuedMail, signal: AbortSignal) => Promise<Attempted>
  readonly onFailed: (mail: QueuedMail, failures: readonly Failure[]) => void
}

interface Waiting {
  mail: QueuedMail
  timer?: NodeJS.Timeout
}

export class MailQueue {
  readonly #times: RetryTimes
  readonly #options: MailQueueOptions
  readonly #mails = new Map<number, Waiting>()
  readonly #underWay = new Set<Promise<void>>()
  readonly #ready: Waiting[] = []
  readonly #ending = new AbortController()
  #count = 0

  constructor(options: MailQueueOptions) {
    this.#options = options
    this.#times = { ...TIMES, ...options.times }
  }

  /** Tried at once; with a reply, an attempt has failed already. */
  add(mail: Pick<QueuedMail, 'tenantId' | 'way' | 'message'>, reply = ''): void {
    const attempts = reply === '' ? 0 : 1
    const queued = { ...mail, id: ++this.#count, sinceMs: Date.now(), attempts, nextAttemptMs: undefined, reply }
    const waiting: Waiting = { mail: queued }
    this.#mails.set(queued.id, waiting)
    if (attempts === 0) this.#start(waiting)
    else this.#wait(waiting)
  }

  /** The oldest first. */
  list(): readonly QueuedMail[] {
    return [...this.#mails.values()].map(({ mail }) => mail)
  }

  /** All that wait, now. */
  retry(): void {
    for (const waiting of this.#mails.values()) {
      if (waiting.timer === undefined) continue
      this.#stop(waiting)
      this.#start(waiting)
    }
  }

  /** What still waits is lost; what is under way is broken off. */
  async close(): Promise<void> {
    this.#ending.abort()
    for (const waiting of this.#mails.values()) this.#stop(waiting)
    this.#ready.length = 0
    await Promise.all(this.#underWay)
  }

  #start(waiting: Waiting): void {
    this.#ready.push(waiting)
    this.#next()
  }

  #next(): void {
    while (this.#underWay.size < MAX_AT_ONCE && !this.#ending.signal.aborted) {
      const waiting = this.#ready.shift()
      if (waiting === undefined) return
      const running = this.#try(waiting).finally(() => {
        this.#underWay.delete(running)
        this.#next()
      })
      this.#underWay.add(running)
    }
  }

  async #try(waiting: Waiting): Promise<void> {
    const { mail } = waiting
    const left = await this.#options.attempt(mail, this.#ending.signal)
    if (this.#ending.signal.aborted) return
    const isExpired = Date.now() - mail.sinceMs >= this.#times.expiry
    const reply = expiredReply(left.reply)
    const expired = isExpired ? left.waiting.map((recipient) => ({ recipient, reply })) : []
    if (left.waiting.length === 0 || isExpired) this.#mails.delete(mail.id)
    else {
      const message = { ...mail.message, recipients: left.waiting }
      waiting.mail = { ...mail, message, attempts: mail.attempts + 1, reply: left.reply }
      this.#wait(waiting)
    }
    const failures = [...left.failures, ...expired]
    if (failures.length > 0) this.#options.onFailed(mail, failures)
  }

  #wait(waiting: Waiting): void {
    if (this.#ending.signal.aborted) return
    const { pauses } = this.#times
    const pause = pauses[Math.min(waiting.mail.attempts, pauses.length) - 1] ?? 0
    waiting.mail = { ...waiting.mail, nextAttemptMs: Date.now() + pause }
    waiting.timer = setTimeout(() => {
      this.#stop(waiting)
      this.#start(waiting)
    }, pause)
  }

  #stop(waiting: Waiting): void {
    clearTimeout(waiting.timer)
    delete waiting.timer
    waiting.mail = { ...waiting.mail, nextAttemptMs: undefined }
  }
}

function expiredReply(last: string): string {
  return `550 5.4.300 Message expired -> ${last}`
}
