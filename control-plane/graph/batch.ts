// JSON batches (Learn "Combine multiple HTTP requests using JSON batching"): 20 reads a request, each with an outcome of its own whatever the envelope
// says. Only members that failed for a passing reason are sent again, after the wait that they themselves ask for.
import type { BatchCall, BatchOutcome, ReadOptions } from '../microsoft/clients.ts'
import type { Claim } from '../microsoft/governor.ts'
import { listMember, member, textMember } from '../microsoft/json-answer.ts'
import { ownAddress } from '../microsoft/links.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { pause } from '../microsoft/pace.ts'
import { parseRetryAfter } from '../microsoft/retry-after.ts'
import { waitBeforeRetry } from '../microsoft/retry.ts'
import { SHARE } from '../microsoft/throttle.ts'
import type { Seen } from '../microsoft/throttle.ts'
import { judgeGraphError } from './graph-error.ts'
import { graphCall } from './request.ts'
import type { GraphDeps } from './request.ts'
import { graphClaims, sumClaims } from './workload.ts'

const MAX_MEMBERS = 20

interface Member {
  readonly call: BatchCall
  readonly claims: readonly Claim[]
  outcome: BatchOutcome
}

/** @throws MicrosoftError when an envelope got no answer; members' own errors are outcomes */
export async function sendBatches(
  deps: GraphDeps,
  calls: readonly BatchCall[],
  options: ReadOptions,
): Promise<readonly BatchOutcome[]> {
  const members = calls.map((call): Member => {
    const { url } = ownAddress(deps.caller.endpoints.graph, `/v1.0${relativePath(call.url)}`)
    const claims = graphClaims(deps.budgets, deps.connection, { method: call.method, url })
    return { call, claims, outcome: noAnswer(call, options) }
  })
  let waiting: readonly Member[] = members
  for (let attempt = 1; waiting.length > 0; attempt++) {
    for (const batch of batchesOf(waiting)) await sendBatch(deps, batch, options)
    const again: { readonly one: Member; readonly waitMs: number }[] = []
    for (const one of waiting) {
      if (one.outcome.kind === 'done') continue
      const waitMs = waitBeforeRetry(one.outcome.error, attempt, deps.pace.random())
      if (waitMs !== undefined) again.push({ one, waitMs })
    }
    if (again.length === 0) break
    await pause(deps.pace, Math.max(...again.map(({ waitMs }) => waitMs)), options.signal)
    waiting = again.map(({ one }) => one)
  }
  return members.map(({ outcome }) => outcome)
}

/** Before any of it is known. */
const noAnswer = ({ id }: BatchCall, { operation }: ReadOptions): BatchOutcome => ({
  id,
  kind: 'failed',
  error: new MicrosoftError('TRANSIENT', { serviceCode: 'no-answer', operation }),
})

function relativePath(url: string): string {
  if (/^\/[^/#\\][^#\\]*$/.test(url)) return url
  throw new Error('unreachable: a batch holds paths of Graph')
}

/** As many as an envelope takes, and as a budget has. */
function batchesOf(members: readonly Member[]): Member[][] {
  const batches: Member[][] = []
  let batch: Member[] = []
  for (const one of members) {
    const isFull = batch.length >= MAX_MEMBERS || !fits(sumClaims([...batch, one].map(({ claims }) => claims)))
    if (batch.length > 0 && isFull) {
      batches.push(batch)
      batch = []
    }
    batch.push(one)
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}

const fits = (claims: readonly Claim[]): boolean =>
  claims.every(({ limit: { units }, cost }) => units === undefined || cost <= units.amount * SHARE)

/** Gives each member its outcome. Ids are ours: a caller's may be long, or be there twice. */
async function sendBatch(deps: GraphDeps, batch: readonly Member[], options: ReadOptions): Promise<void> {
  const { headers } = options
  const address = ownAddress(deps.caller.endpoints.graph, '/v1.0/$batch')
  const value = await deps.caller.read({
    ...graphCall(deps, 'POST', address, { operation: options.operation, ...signalOf(options) }),
    claims: sumClaims(batch.map(({ claims }) => claims)),
    body: {
      requests: batch.map(({ call: { method, url } }, index) => ({
        id: String(index),
        method,
        url,
        ...(headers === undefined ? {} : { headers }),
      })),
    },
    isExpected: (answer) => Array.isArray(member(answer, 'responses')),
    seenInside: (answer) => seenOf(batch, readResponses(answer), deps.pace.now()),
  })
  const responses = readResponses(value)
  for (const [index, one] of batch.entries())
    one.outcome = outcomeOf(one.call, responses.get(String(index)), options, deps.pace.now())
}

const signalOf = ({ signal }: ReadOptions) => (signal === undefined ? {} : { signal })

interface Response {
  readonly status: number
  readonly body: unknown
  readonly retryAfter: string | undefined
}

/** The first of each id; what can't be read is not there. */
function readResponses(value: unknown): Map<string, Response> {
  const responses = new Map<string, Response>()
  for (const each of listMember(value, 'responses').slice(0, MAX_MEMBERS)) {
    const id = textMember(each, 'id')
    const status = member(each, 'status')
    if (id === undefined || responses.has(id) || typeof status !== 'number') continue
    const headers = member(each, 'headers')
    responses.set(id, { status, body: member(each, 'body'), retryAfter: textMember(headers, 'retry-after') })
  }
  return responses
}

function outcomeOf(
  { id }: BatchCall,
  response: Response | undefined,
  options: ReadOptions,
  nowMs: number,
): BatchOutcome {
  if (response === undefined) return noAnswer({ id, method: 'GET', url: '' }, options)
  const { status, body, retryAfter } = response
  if (status >= 200 && status < 300) return { id, kind: 'done', status, body }
  const { code, serviceCode } = judgeGraphError(status, body)
  const waitMs = code === 'THROTTLED' ? parseRetryAfter(retryAfter, nowMs) : undefined
  const error = new MicrosoftError(code, { status, serviceCode, waitMs, operation: options.operation })
  return { id, kind: 'failed', error }
}

/** By the workload of each member that was throttled. */
function seenOf(batch: readonly Member[], responses: Map<string, Response>, nowMs: number): Map<string, Seen> {
  const seen = new Map<string, Seen>()
  for (const [index, { claims }] of batch.entries()) {
    const response = responses.get(String(index))
    const [own] = claims
    if (response === undefined || own === undefined) continue
    if (judgeGraphError(response.status, response.body).code !== 'THROTTLED' || response.status < 400) continue
    const before = seen.get(own.bucket)?.throttled?.retryAfterMs
    const asked = parseRetryAfter(response.retryAfter, nowMs)
    const retryAfterMs = before === undefined || asked === undefined ? (asked ?? before) : Math.max(before, asked)
    seen.set(own.bucket, { throttled: { retryAfterMs } })
  }
  return seen
}
