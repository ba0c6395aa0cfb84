// Sends one request and reads one answer: no retries, no redirects, no cookies; as long as we are willing to wait for the other side, and as many bytes
// as we are willing to take after unpacking. Everything above decides what the answer means.
import { MicrosoftError } from './microsoft-error.ts'

export interface Outgoing {
  readonly method: string
  /** Where it really goes. */
  readonly reachAt: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SendLimits {
  /** Of waiting for the other side, head and body together; the time that we take ourselves between two chunks doesn't count. */
  readonly timeoutMs: number
  readonly maxBytes: number
}

/** A page of 999 objects is a few MiB. */
export const JSON_LIMITS: SendLimits = { timeoutMs: 100_000, maxBytes: 32 * 1024 * 1024 }
/** A report of 100,000 mailboxes is about 30 MiB. */
export const REPORT_LIMITS: SendLimits = { timeoutMs: 600_000, maxBytes: 512 * 1024 * 1024 }

export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** In chunks, once. @throws MicrosoftError TRANSIENT when it is cut or too slow, UNEXPECTED when it is too long */
  body(): AsyncGenerator<Uint8Array>
  /** Gives the connection up, when the body is not wanted. */
  discard(): Promise<void>
}

/** @throws MicrosoftError TRANSIENT when there was no answer; the signal's reason */
export async function send(outgoing: Outgoing, limits: SendLimits): Promise<Answer> {
  const patience = new Patience(limits.timeoutMs, outgoing.signal)
  const { method, reachAt, headers, body } = outgoing
  const response = await patience.during(() =>
    fetch(reachAt, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      redirect: 'manual',
      signal: patience.signal,
    }),
  )
  return {
    status: response.status,
    headers: response.headers,
    body: () => chunksOf(response, limits.maxBytes, patience),
    discard: async () => {
      await response.body?.cancel()
    },
  }
}

async function* chunksOf(response: Response, maxBytes: number, patience: Patience): AsyncGenerator<Uint8Array> {
  if (response.body === null) return
  const reader = response.body.getReader()
  let size = 0
  try {
    for (;;) {
      const { done, value } = await patience.during(() => reader.read())
      if (done) return
      size += value.length
      if (size > maxBytes) throw new MicrosoftError('UNEXPECTED', { status: response.status, serviceCode: 'too-long' })
      yield value
    }
  } finally {
    // Whoever stopped in the middle wants no more of it; at its end, or once it failed, this does nothing.
    await reader.cancel().catch(() => {})
  }
}

/** Counts down only while we wait, and gives up for all at once. */
class Patience {
  readonly #given = new AbortController()
  readonly #signal: AbortSignal | undefined
  #leftMs: number

  constructor(ms: number, signal: AbortSignal | undefined) {
    this.#leftMs = ms
    this.#signal = signal
  }

  get signal(): AbortSignal {
    return this.#signal === undefined ? this.#given.signal : AbortSignal.any([this.#given.signal, this.#signal])
  }

  async during<T>(wait: () => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    const timer = setTimeout(() => this.#given.abort(new Error('no answer in time')), Math.max(0, this.#leftMs))
    try {
      return await wait()
    } catch (cause) {
      this.#signal?.throwIfAborted()
      throw new MicrosoftError('TRANSIENT', {
        serviceCode: this.#given.signal.aborted ? 'timeout' : 'no-answer',
        cause,
      })
    } finally {
      clearTimeout(timer)
      this.#leftMs -= performance.now() - startedAt
    }
  }
}
