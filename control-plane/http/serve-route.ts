// Serves one route: credential → rate → permission → parse → handler → checked answer. The only place where a change is wrapped into its one
// transaction with audit event and Idempotency-Key. (control-plane.md §1, AU-1, AU-2)
import type { Request, Response } from 'express'
import type { Log } from '../../common/log.ts'
import type { Authenticate } from '../access/authenticate.ts'
import { callerName } from '../access/caller.ts'
import type { Caller } from '../access/caller.ts'
import { digestOf } from '../audit/audit.ts'
import type { AuditEntry } from '../audit/audit.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { sqlState, UNIQUE_VIOLATION, withScope } from '../db/database.ts'
import type { Database } from '../db/database.ts'
import { authorise, demandFreshness, Denied } from './authorise.ts'
import type { Authorised } from './authorise.ts'
import { checkCrossSite } from './cross-site.ts'
import { checkIfMatch, formatEtag } from './etag.ts'
import { findAnswer, isKeyUsed, MAX_KEY_LENGTH, requestHashOf, storeAnswer } from './idempotency.ts'
import type { IdempotentRequest, RetryKey } from './idempotency.ts'
import { badRequest, Problem } from './problem.ts'
import { hashBody, readJson, readStream } from './read-body.ts'
import { checkDepth, readRequest } from './read-request.ts'
import { isChanging, isStreamBody } from './route.ts'
import type { AnyRoute, Answer, Change, Context } from './route.ts'

export interface ServeDeps {
  readonly database: Database
  readonly authenticate: Authenticate
  /** Takes one request of this caller; rejects with Problem 429. */
  readonly takeRate: (caller: string) => void
  readonly log: Log
  readonly now: () => number
  /** Where people reach the API. */
  readonly publicUrl: URL
}

export interface RequestInfo {
  readonly requestId: string
  readonly sourceAddress: string
  readonly signal: AbortSignal
}

/** @throws Problem, or anything unexpected: the error handler of app.ts answers */
export async function serveRoute(
  spec: AnyRoute,
  request: Request,
  response: Response,
  info: RequestInfo,
  deps: ServeDeps,
): Promise<void> {
  const now = deps.now()
  const { db } = deps.database
  // A public route is for everybody, and has its own way to tell who comes: a cookie that has ended must not keep its owner from signing in.
  const caller = spec.access === 'public' ? undefined : await deps.authenticate(request, now, info.sourceAddress)
  if (caller !== undefined) deps.takeRate(callerName(caller))
  const noted = async (error: unknown): Promise<never> => {
    if (error instanceof Denied && caller !== undefined) await noteDenial(spec, caller, error, info, deps)
    throw error
  }
  const place = await authorise(db, spec.access, caller, request.params as Record<string, string>, now).catch(noted)
  if (spec.method !== 'get' && caller?.kind === 'session') checkCrossSite(request, caller, deps.publicUrl)
  if (spec.isDangerous === true) demandFreshness(caller, now)

  const body = await readBody(spec, request)
  const parts = readRequest(
    { params: request.params, query: request.query, body },
    {
      params: spec.params,
      query: spec.query,
      body: isStreamBody(spec.body) ? undefined : spec.body,
    },
  )
  const retry = retryOf(spec, request, caller, place, body)
  const earlier = retry && (await findEarlier(db, retry))
  if (earlier !== undefined) {
    send(spec, response, earlier)
    return
  }
  const context: Context<unknown, unknown, unknown> = {
    ...parts,
    ...place,
    ...info,
    caller,
    request,
    url: request.originalUrl,
    now,
    read: (work) => withScope(db, { organisation: place.organisation }, work),
    change: (action, work) => change(spec, action, work, { caller, place, retry, info, now, database: deps.database }),
    note: (action, told = {}) => note(action, told, { caller, place, info, now, database: deps.database }),
    checkVersion: (version) => checkIfMatch(request.get('if-match'), version, spec.ifMatch === 'needed'),
  }
  if (spec.ifMatch === 'needed' && request.get('if-match') === undefined) throw new Problem('etag-needed')
  const answer = await runHandler(spec, context)
    .catch((error: unknown) => answerOfTwin(error, retry, db))
    .catch(noted)
  await reply(spec, response, answer, info.signal)
}

/** What a handler throws before its first await is noted as well. */
async function runHandler(spec: AnyRoute, context: Context<unknown, unknown, unknown>): Promise<Answer> {
  return spec.handler(context)
}

/** A request that may be sent again. */
interface Retry {
  readonly key: RetryKey
  /** With the body in it. Of a streamed one: reads what is left of it. */
  readonly whole: () => Promise<IdempotentRequest>
}

interface ChangeDeps {
  readonly caller: Caller | undefined
  readonly place: Authorised
  readonly retry: Retry | undefined
  readonly info: RequestInfo
  readonly now: number
  readonly database: Database
}

async function change(
  spec: AnyRoute,
  action: string,
  work: Parameters<Context<unknown, unknown, unknown>['change']>[1],
  { caller, place, retry, info, now, database: { db } }: ChangeDeps,
): Promise<Answer> {
  const { organisation } = place
  if (!isChanging(spec)) throw new Error(`unreachable: ${spec.id} is no changing route`)
  const request = await retry?.whole()
  return withScope(db, { organisation }, async (tx) => {
    const { answer, before, after, ...told } = await work(tx)
    const entry: AuditEntry = {
      ...entryOf(action, told, { caller, place, info }),
      ...(before === undefined ? {} : { before: digestOf(before) }),
      ...(after === undefined ? {} : { after: digestOf(after) }),
    }
    if (request !== undefined) await storeAnswer(tx, request, answer)
    await appendAudit(tx, organisation, entry, now)
    return answer
  })
}

/**
 * The same request twice at once: the other one's answer is the answer, whatever this one met because of it (a name that is taken, a stale ETag).
 * @throws error when there was no other one
 */
async function answerOfTwin(error: unknown, retry: Retry | undefined, db: Database['db']): Promise<Answer> {
  if (retry === undefined || !(error instanceof Problem || sqlState(error) === UNIQUE_VIOLATION)) throw error
  const stored = await findEarlier(db, retry)
  if (stored === undefined) throw error
  return stored
}

/** @throws Problem 409 when the key was used for another request */
async function findEarlier(db: Database['db'], { key, whole }: Retry): Promise<Answer | undefined> {
  const scope = { organisation: key.organisation }
  if (!(await withScope(db, scope, (tx) => isKeyUsed(tx, key)))) return undefined
  const request = await whole() // while no transaction waits: uploads can take minutes
  return withScope(db, scope, (tx) => findAnswer(tx, request))
}

async function note(
  action: string,
  told: Pick<Change, 'object' | 'details'>,
  { database: { db }, now, ...from }: Omit<ChangeDeps, 'retry'>,
): Promise<void> {
  const { organisation } = from.place
  await withScope(db, { organisation }, (tx) => appendAudit(tx, organisation, entryOf(action, told, from), now))
}

/** Who did it where, from the request. */
function entryOf(
  action: string,
  { object, details = {} }: Pick<Change, 'object' | 'details'>,
  { caller, place: { project }, info }: Pick<ChangeDeps, 'caller' | 'place' | 'info'>,
): AuditEntry {
  return {
    action,
    actor: caller === undefined ? 'anonymous' : callerName(caller),
    ...(project === undefined ? {} : { project }),
    ...(object === undefined ? {} : { object }),
    result: 'done',
    requestId: info.requestId,
    payload: { ...details, sourceAddress: info.sourceAddress },
  }
}

async function noteDenial(
  spec: AnyRoute,
  caller: Caller,
  denied: Denied,
  info: RequestInfo,
  deps: ServeDeps,
): Promise<void> {
  const { organisation } = denied
  const entry: AuditEntry = {
    action: 'access.denied',
    actor: callerName(caller),
    result: 'denied',
    requestId: info.requestId,
    payload: { route: spec.id, permission: denied.members['permission'], sourceAddress: info.sourceAddress },
  }
  await withScope(deps.database.db, { organisation }, (tx) => appendAudit(tx, organisation, entry, deps.now()))
}

async function readBody(spec: AnyRoute, request: Request): Promise<unknown> {
  if (spec.body === undefined) return undefined
  if (isStreamBody(spec.body)) {
    readStream(request, spec.body)
    return undefined
  }
  const value = await readJson(request, spec.maxBodyBytes)
  checkDepth(value)
  return value
}

function retryOf(
  spec: AnyRoute,
  request: Request,
  caller: Caller | undefined,
  place: Authorised,
  body: unknown,
): Retry | undefined {
  const key = request.get('idempotency-key')
  if (key === undefined || spec.method !== 'post' || !isChanging(spec) || caller === undefined) return undefined
  if (key.length === 0 || key.length > MAX_KEY_LENGTH)
    throw badRequest([
      { pointer: '/headers/idempotency-key', code: 'too-long', detail: `1 to ${MAX_KEY_LENGTH} characters` },
    ])
  const retryKey = {
    organisation: place.organisation,
    caller: callerName(caller),
    key,
    retrySecret: caller.retrySecret,
  }
  const of = (what: unknown) => ({
    ...retryKey,
    requestHash: requestHashOf(spec.method, request.originalUrl, what),
  })
  if (!isStreamBody(spec.body)) return { key: retryKey, whole: () => Promise.resolve(of(body)) }
  const rest = hashBody(request, spec.body.maxBytes)
  let whole: Promise<IdempotentRequest> | undefined
  return { key: retryKey, whole: () => (whole ??= rest().then(of)) }
}

async function reply(spec: AnyRoute, response: Response, answer: Answer, signal: AbortSignal): Promise<void> {
  if (answer.stream === undefined) {
    send(spec, response, answer)
    return
  }
  setHead(response, answer)
  await answer.stream(response, signal)
}

function send(spec: AnyRoute, response: Response, answer: Answer): void {
  const declared = spec.responses[answer.status]
  if (declared === undefined) throw new Error(`unreachable: ${spec.id} does not declare ${answer.status}`)
  // What a client sees is what the description promises: anything else is our fault, and told as such.
  const body = declared.schema === undefined ? undefined : declared.schema.parse(answer.body)
  setHead(response, answer)
  if (body === undefined) response.end()
  else response.json(body)
}

function setHead(response: Response, answer: Answer): void {
  response.status(answer.status)
  if (answer.version !== undefined) response.set('ETag', formatEtag(answer.version))
  for (const [name, value] of Object.entries(answer.headers ?? {}))
    response.set(name, typeof value === 'string' ? value : [...value])
}
