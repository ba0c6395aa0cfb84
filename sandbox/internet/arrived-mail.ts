// The messages that arrived somewhere, the newest of them, and the waiting for more.
import type { MailOrigin, MailVerdict } from './mail-verdict.ts'

/** Outside. */
export interface ArrivedMail extends MailOrigin {
  /** Counts up from 1. */
  readonly number: number
  /** ms since the epoch */
  readonly at: number
  readonly recipients: readonly string[]
  /** As it came, dots unstuffed. */
  readonly content: Buffer
  /** undefined: in clear. */
  readonly tls: { readonly protocol: string; readonly cipher: string } | undefined
  readonly verdict: MailVerdict
}

export interface MailBounds {
  readonly messages: number
  readonly bytes: number
}

/** One that is kept: counted up from 1. */
interface Kept {
  readonly number: number
  readonly content: Buffer
}

export class ArrivedMails<T extends Kept = ArrivedMail> {
  readonly #bounds: MailBounds
  readonly #listeners = new Set<(mail: T) => void>()
  readonly #waiting = new Set<(error: Error) => void>()
  #kept: T[] = []
  #bytes = 0
  #count = 0

  constructor(bounds: MailBounds) {
    this.#bounds = bounds
  }

  add(mail: Omit<T, 'number'>): T {
    // A T without its number and a number are a T, which the compiler can't tell.
    const arrived = { ...mail, number: ++this.#count } as unknown as T
    this.#kept.push(arrived)
    this.#bytes += arrived.content.length
    while (this.#kept.length > this.#bounds.messages || (this.#bytes > this.#bounds.bytes && this.#kept.length > 1)) {
      this.#bytes -= this.#kept.shift()?.content.length ?? 0
    }
    for (const listener of this.#listeners) listener(arrived)
    return arrived
  }

  /** Those still kept, the oldest first. */
  list(): readonly T[] {
    return [...this.#kept]
  }

  /** How many there ever were. */
  get count(): number {
    return this.#count
  }

  clear(): void {
    this.#kept = []
    this.#bytes = 0
  }

  /** @returns ends it */
  onArrival(listener: (mail: T) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The first kept or coming one that is wanted. @param what  for the error of having waited in vain */
  async waitFor(what: string, isWanted: (mail: T) => boolean, timeoutMs = 20_000): Promise<T> {
    const found = this.#kept.find(isWanted)
    if (found !== undefined) return found
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const stop = this.onArrival((mail) => {
      if (isWanted(mail)) resolve(mail)
    })
    const timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms in vain for ${what}`)), timeoutMs)
    this.#waiting.add(reject)
    try {
      return await promise
    } finally {
      stop()
      clearTimeout(timer)
      this.#waiting.delete(reject)
    }
  }

  /** Whoever still waits is told so. */
  close(): void {
    for (const reject of this.#waiting) reject(new Error('the mail server was closed'))
  }
}
