// One call to Microsoft 365, from its token to the meaning of its answer: the only place that sends tokens, follows redirects, repeats reads and obeys
// the governor. Reads are repeated as retry.ts says; a call that changes something is sent once, always.
import { randomUUID } from 'node:crypto'
import { TOKEN_OPERATION } from './app-tokens.ts'
import type { AppTokens, TokenPlace } from './app-tokens.ts'
import type { CallRecord } from './call-record.ts'
import type { Connection } from './clients.ts'
import type { ConnectionEndpoints } from './endpoints.ts'
import type { Claim, Governor } from './governor.ts'
import { readJson } from './json-answer.ts'
import { checkLink, MAX_HOPS } from './links.ts'
import type { Address, LinkPurpose } from './links.ts'
import { MicrosoftError } from './microsoft-error.ts'
import type { Judged } from './microsoft-error.ts'
import { pause } from './pace.ts'
import type { Pace } from './pace.ts'
import { parseRetryAfter } from './retry-after.ts'
import { UNTOLD_WAIT_MS, waitBeforeRetry } from './retry.ts'
import { send } from './sender.ts'
import type { Answer, SendLimits } from './sender.ts'
import { readSeen } from './throttle-headers.ts'
import type { Seen } from './throttle.ts'

export interface CallerDeps {
  readonly tokens: AppTokens
  readonly governor: Governor
  readonly record: CallRecord
  readonly pace: Pace
  readonly userAgent: string
  readonly jsonLimits: SendLimits
  readonly reportLimits: SendLimits
}

export interface Call {
  readonly service: 'graph' | 'exchange'
  /** As ReadOptions has it. */
  readonly operation: string
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly address: Address
  readonly headers: Readonly<Record<string, string>>
  /** Sent as JSON; undefined: none. */
  readonly body?: unknown
  readonly claims: readonly Claim[]
  readonly judge: (status: number, body: unknown) => Judged
  /** Whether a good answer's value is of the shape that the caller needs; what is not counts as no answer. */
  readonly isExpected?: (value: unknown) => boolean
  /** Of a good answer, what its parts say about budgets, by bucket: members of a batch are throttled each by itself. */
  readonly seenInside?: (value: unknown) => ReadonlyMap<string, Seen>
  /** Of a good answer. */
  readonly countWarnings?: (value: unknown) => number
  readonly signal?: AbortSignal | undefined
}

const REDIRECTS = [302, 307, 308]
const UNAUTHORISED = 401

interface HopKind {
  readonly wanted: 'json' | 'stream'
  readonly isRead: boolean
}

/** One request, answered. */
interface Hop {
  readonly answer: Answer
  /** Taken from the answer's body. */
  readonly value: unknown
}

export class Caller {
  readonly endpoints: ConnectionEndpoints
  readonly #connection: Connection
  readonly #deps: CallerDeps

  constructor(connection: Connection, endpoints: ConnectionEndpoints, deps: CallerDeps) {
    this.#connection = connection
    this.endpoints = endpoints
    this.#deps = deps
  }

  /** Value of a good answer; an empty one is null. @throws MicrosoftError; the signal's reason */
  read(call: Call): Promise<unknown> {
    return this.#repeat(call, () => this.#followed(call, 'json').then(({ value }) => value))
  }

  /** The same, sent once. @throws MicrosoftError; the signal's reason */
  async write(call: Call): Promise<unknown> {
    // Asking for a token changes nothing, and may take several attempts.
    await this.#repeat(call, () => this.#deps.tokens.tokenFor(this.#tokenPlace(call)))
    const { value } = await this.#hop(call, call.address, { wanted: 'json', isRead: false })
    return value
  }

  /** A good answer with its body still to be read: from where the service itself sends us, without a token. @throws as read */
  open(call: Call): Promise<Answer> {
    return this.#repeat(call, () => this.#followed(call, 'stream').then(({ answer }) => answer))
  }

  async #repeat<T>(call: Call, once: () => Promise<T>): Promise<T> {
    const { pace } = this.#deps
    let hadNewToken = false
    for (let attempt = 1; ; attempt++) {
      try {
        return await once()
      } catch (error) {
        if (!(error instanceof MicrosoftError)) throw error
        if (error.code === 'AUTH_TOKEN' && error.status === UNAUTHORISED && isOfService(error) && !hadNewToken) {
          hadNewToken = true
          continue
        }
        const waitMs = waitBeforeRetry(error, attempt, pace.random())
        if (waitMs === undefined) throw withWait(error)
        if (waitMs > 0) await pause(pace, waitMs, call.signal)
      }
    }
  }

  /** Redirects of a GET, each checked; of anything else none is expected. */
  async #followed(call: Call, wanted: 'json' | 'stream'): Promise<Hop> {
    let address = call.address
    const been = new Set<string>()
    for (let hops = 0; hops <= MAX_HOPS; hops++) {
      been.add(address.url.href)
      const hop = await this.#hop(call, address, { wanted, isRead: true })
      if (!isRedirect(call, hop.answer)) return hop
      address = this.#redirect(call, hop.answer, wanted === 'stream' ? 'download' : call.service)
      if (been.has(address.url.href)) break
    }
    throw new MicrosoftError('LINK_REFUSED', { operation: call.operation })
  }

  #redirect(call: Call, answer: Answer, purpose: LinkPurpose): Address {
    const location = answer.headers.get('location')
    try {
      return checkLink(this.endpoints, purpose, location)
    } catch (error) {
      if (!(error instanceof MicrosoftError)) throw error
      throw this.#error(call, 'LINK_REFUSED', undefined, answer)
    }
  }

  /** One request and what it means. A redirect is handed back only when it may be followed. */
  async #hop(call: Call, address: Address, { wanted, isRead }: HopKind): Promise<Hop> {
    const { tokens, governor, record, pace } = this.#deps
    const tokenPlace = this.#tokenPlace(call)
    const token = address.takesToken ? await tokens.tokenFor(tokenPlace) : undefined
    const askedMs = pace.monotonicMs()
    // A download is no request to the service that has the budget.
    const permit = address.takesToken ? await this.#permit(call, governor) : undefined
    const sentMs = pace.monotonicMs()
    const clientRequestId = randomUUID()
    let answer: Answer | undefined
    // Stays so when the caller loses interest.
    let outcome: MicrosoftError | 'done' | 'cancelled' = 'cancelled'
    let value: unknown
    let seen: Seen = {}
    let inside: ReadonlyMap<string, Seen> | undefined
    try {
      answer = await this.#send(call, address, token, clientRequestId, wanted)
      const goesOn = isRead && isRedirect(call, answer)
      if (goesOn) await answer.discard()
      else value = await this.#understand(call, answer, address, wanted)
      seen = readSeen(answer.status, answer.headers, false, pace.now())
      if (!goesOn) inside = call.seenInside?.(value)
      outcome = 'done'
      return { answer, value }
    } catch (error) {
      if (!(error instanceof MicrosoftError)) throw error
      outcome = named(error, call.operation)
      if (answer !== undefined) seen = readSeen(answer.status, answer.headers, error.code === 'THROTTLED', pace.now())
      if (token !== undefined && error.code === 'AUTH_TOKEN') tokens.drop(tokenPlace, token)
      throw outcome
    } finally {
      permit?.done(seen, inside)
      record.note({
        place: this.#connection,
        service: call.service,
        operation: call.operation,
        isRead,
        clientRequestId,
        answer,
        outcome: typeof outcome === 'string' ? outcome : outcome.code,
        serviceCode: typeof outcome === 'string' ? undefined : outcome.serviceCode,
        waitedMs: sentMs - askedMs,
        tookMs: pace.monotonicMs() - sentMs,
        warnings: call.countWarnings?.(value),
      })
    }
  }

  async #permit(call: Call, governor: Governor) {
    try {
      return await governor.acquire({ claims: call.claims, caller: this.#connection.tenant, signal: call.signal })
    } catch (error) {
      if (!(error instanceof MicrosoftError)) throw error
      throw named(error, call.operation)
    }
  }

  #send(call: Call, address: Address, token: string | undefined, clientRequestId: string, wanted: 'json' | 'stream') {
    const { userAgent, jsonLimits, reportLimits } = this.#deps
    const isOurs = token !== undefined
    return send(
      {
        method: call.method,
        reachAt: address.reachAt,
        headers: {
          accept: wanted === 'json' ? 'application/json' : '*/*',
          'accept-encoding': 'gzip',
          'user-agent': userAgent,
          ...(isOurs
            ? { 'client-request-id': clientRequestId, 'return-client-request-id': 'true', ...call.headers }
            : {}),
          ...(call.body === undefined ? {} : { 'content-type': 'application/json; charset=utf-8' }),
          ...(isOurs ? { authorization: `Bearer ${token}` } : {}),
        },
        body: call.body === undefined ? undefined : JSON.stringify(call.body),
        signal: call.signal,
      },
      wanted === 'json' ? jsonLimits : reportLimits,
    )
  }

  /** The value of a good answer. @throws MicrosoftError for any other */
  async #understand(call: Call, answer: Answer, { takesToken }: Address, wanted: 'json' | 'stream'): Promise<unknown> {
    const isGood = answer.status >= 200 && answer.status < 300
    if (!isGood) {
      const { body, isCut } = await bodyOfRefusal(answer)
      const { code, serviceCode } = call.judge(answer.status, body)
      // Its reason was on the way, and the status alone says nothing: asked again, it is told.
      if (isCut && code === 'UNEXPECTED') throw this.#error(call, 'TRANSIENT', 'no-answer', answer)
      // A download's address lives for minutes: the service is asked for a new one. What its host thinks of it says nothing about consent.
      if (!takesToken && code !== 'THROTTLED') throw this.#error(call, 'TRANSIENT', 'download-refused', answer)
      throw this.#error(call, code, serviceCode, answer)
    }
    if (wanted === 'stream') return undefined
    const json = await readJson(answer).catch((error: unknown) => {
      throw error instanceof MicrosoftError ? this.#error(call, error.code, error.serviceCode, answer, error) : error
    })
    if (json === undefined || call.isExpected?.(json.value) === false)
      throw this.#error(call, 'TRANSIENT', 'not-understood', answer)
    return json.value
  }

  #error(call: Call, code: MicrosoftError['code'], serviceCode: string | undefined, answer: Answer, cause?: unknown) {
    return new MicrosoftError(code, {
      status: answer.status,
      serviceCode,
      requestId: answer.headers.get('request-id')?.slice(0, 100),
      waitMs: parseRetryAfter(answer.headers.get('retry-after'), this.#deps.pace.now()),
      operation: call.operation,
      cause,
    })
  }

  #tokenPlace(call: Call): TokenPlace {
    const { login, audiences } = this.endpoints
    return { connection: this.#connection, login, audience: audiences[call.service] }
  }
}

/** What it says besides its status; nothing when that can't be read. */
async function bodyOfRefusal(answer: Answer): Promise<{ readonly body: unknown; readonly isCut: boolean }> {
  try {
    return { body: (await readJson(answer))?.value, isCut: false }
  } catch (error) {
    if (error instanceof MicrosoftError) return { body: undefined, isCut: error.code === 'TRANSIENT' }
    throw error
  }
}

/** Only a GET is carried on: anything else would be sent twice. */
const isRedirect = ({ method }: Call, { status }: Answer): boolean => method === 'GET' && REDIRECTS.includes(status)

/** An error of the token endpoint is judged there. */
const isOfService = ({ operation }: MicrosoftError): boolean => operation !== TOKEN_OPERATION

const named = (error: MicrosoftError, operation: string): MicrosoftError =>
  error.operation === undefined ? new MicrosoftError(error.code, { ...detailsOf(error), operation }) : error

/** Whoever is told to come back is told when. */
function withWait(error: MicrosoftError): MicrosoftError {
  if (error.code !== 'THROTTLED' || error.waitMs !== undefined) return error
  return new MicrosoftError(error.code, { ...detailsOf(error), waitMs: UNTOLD_WAIT_MS })
}

function detailsOf({ status, serviceCode, requestId, waitMs, operation, cause }: MicrosoftError) {
  return { status, serviceCode, requestId, waitMs, operation, cause }
}
