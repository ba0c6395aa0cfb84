// The product's REST API as the tour speaks it: every POST may be sent again, every change names the version it is of, long work is watched by its
// events. (control-plane.md §1)
import { setTimeout as sleep } from 'node:timers/promises'
import { readEvents } from './event-stream.ts'
import { StepFailed } from './step.ts'

export type Fields = Readonly<Record<string, unknown>>

/** A member that is text; empty: it is not there. */
export const textOf = (fields: Fields, name: string): string => {
  const value = fields[name]
  return typeof value === 'string' ? value : ''
}

export interface Answer {
  readonly status: number
  readonly body: Fields
  readonly etag: string
}

export interface ApiPlace {
  /** `http://127.0.0.1:8080/api/v1` */
  readonly url: string
  /** Who asks: an API key, or the session of somebody who signed in. */
  readonly headers: Readonly<Record<string, string>>
}

/** The API answered with a problem (RFC 9457). */
export class ApiRefused extends Error {
  override readonly name = 'ApiRefused'
  readonly status: number
  readonly problem: Fields

  constructor(request: string, status: number, problem: Fields) {
    const words = [problem['title'], problem['detail'], faults(problem)].filter(
      (each) => each !== undefined && each !== '',
    )
    super(`${request} was answered ${status}: ${words.length === 0 ? JSON.stringify(problem) : words.join(': ')}`)
    this.status = status
    this.problem = problem
  }
}

const ATTEMPTS = 6
const FIRST_WAIT_MS = 200
const MAX_WAIT_MS = 10_000
const ANSWER_WITHIN_MS = 60_000
const RETRIED = new Set([429, 502, 503, 504])
const PAGES = 1_000

export class ApiClient {
  readonly #place: ApiPlace

  constructor(place: ApiPlace) {
    this.#place = place
  }

  get url(): string {
    return this.#place.url
  }

  get(path: string): Promise<Answer> {
    return this.#ask('GET', path, {})
  }

  /** Sent again with the same key when its answer got lost: it is done once. */
  post(path: string, body: unknown = {}, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.#ask('POST', path, { body, headers: { 'Idempotency-Key': crypto.randomUUID(), ...headers } })
  }

  /** Of the version that is read first. @param change  the new one of what is there @param of  whose version counts */
  put(path: string, change: (before: Fields) => unknown, of = path): Promise<Answer> {
    return this.#changed('PUT', path, change, of)
  }

  patch(path: string, change: (before: Fields) => unknown): Promise<Answer> {
    return this.#changed('PATCH', path, change, path)
  }

  /** All pages of a list. */
  async list(path: string): Promise<readonly Fields[]> {
    const items: Fields[] = []
    let next: string | undefined = path
    for (let page = 0; next !== undefined; page++) {
      if (page === PAGES) throw new Error(`GET ${path} has no end`)
      const { body }: Answer = await this.get(next)
      items.push(...(body['items'] as Fields[]))
      const { next: link } = body
      next = typeof link === 'string' ? link.replace(/^.*\/api\/v1/, '') : undefined
    }
    return items
  }

  /**
   * The operation at its end.
   *
   * @throws StepFailed when it did not succeed, or did not end in time
   */
  async finished(operation: string, withinMs: number, progress: (text: string) => void): Promise<Fields> {
    const end = Date.now() + withinMs
    const path = `/operations/${operation}`
    for (;;) {
      const { body } = await this.get(path)
      if (body['state'] === 'succeeded') return body
      if (body['state'] === 'failed' || body['state'] === 'cancelled')
        throw new StepFailed(
          `the operation ${textOf(body, 'kind')} ${body['state']}: ${JSON.stringify(body['problem'] ?? {})}`,
        )
      if (Date.now() >= end) throw new StepFailed(`the operation ${textOf(body, 'kind')} takes too long`)
      await this.#watch(path, Math.min(end - Date.now(), ANSWER_WITHIN_MS), progress)
    }
  }

  /** Until its stream ends or breaks: what it is then is read anew. One that told nothing is no reason to ask at once. */
  async #watch(path: string, forMs: number, progress: (text: string) => void): Promise<void> {
    try {
      const response = await fetch(`${this.#place.url}${path}/events`, {
        headers: this.#place.headers,
        signal: AbortSignal.timeout(forMs),
      })
      let hasTold = false
      for await (const operation of response.ok && response.body !== null ? readEvents(response.body) : []) {
        hasTold = true
        progress(howFar(operation['progress'] as Fields))
      }
      if (!hasTold) await sleep(FIRST_WAIT_MS)
    } catch {
      await sleep(FIRST_WAIT_MS) // the answer to the next question tells what is wrong, if anything is
    }
  }

  async #changed(method: string, path: string, change: (before: Fields) => unknown, of: string): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const before = await this.get(of)
      try {
        return await this.#ask(method, path, { body: change(before.body), headers: { 'If-Match': before.etag } })
      } catch (error) {
        // Somebody was faster: the change is made anew of what is there now.
        if (!(error instanceof ApiRefused) || error.status !== 412 || attempt === ATTEMPTS) throw error
      }
    }
  }

  /** @throws ApiRefused; StepFailed when nobody answers */
  async #ask(
    method: string,
    path: string,
    { body, headers = {} }: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> },
  ): Promise<Answer> {
    const request = `${method} ${path.split('?', 1)[0] ?? ''}`
    let waitMs = FIRST_WAIT_MS
    for (let attempt = 1; ; attempt++) {
      const reply = await this.#once(method, path, body, headers)
      if (reply instanceof Response) {
        const text = await reply.text()
        const fields = parsed(text)
        if (reply.ok) return { status: reply.status, body: fields, etag: reply.headers.get('etag') ?? '' }
        if (!RETRIED.has(reply.status) || attempt === ATTEMPTS) throw new ApiRefused(request, reply.status, fields)
        const asked = Number(reply.headers.get('retry-after') ?? Number.NaN)
        if (Number.isFinite(asked)) waitMs = Math.max(waitMs, asked * 1000)
      } else if (attempt === ATTEMPTS) throw new StepFailed(`${request} got no answer`, { cause: reply })
      await sleep(Math.min(waitMs, MAX_WAIT_MS))
      waitMs *= 2
    }
  }

  /** @returns what kept the answer away, where there is none */
  #once(
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
  ): Promise<Response | Error> {
    return fetch(`${this.#place.url}${path}`, {
      method,
      headers: {
        ...this.#place.headers,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    }).catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
  }
}

function howFar({ done, total, unit = '', step = '' }: Fields): string {
  const count = typeof total === 'number' ? `${String(done)} of ${total}` : String(done)
  return [`${count} ${String(unit)}`.trim(), String(step)].filter((each) => each !== '').join(', ')
}

function parsed(text: string): Fields {
  if (text === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Fields) : {}
  } catch {
    return { title: text.slice(0, 200) } // a proxy's page
  }
}

/** Of a body that is refused: where, and why. */
function faults({ faults: list }: Fields): string | undefined {
  if (!Array.isArray(list)) return undefined
  return list.map(({ pointer, detail }: Fields) => `${String(pointer)} ${String(detail)}`).join('; ')
}
