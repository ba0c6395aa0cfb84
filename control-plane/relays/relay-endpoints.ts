// `/relay/v1/…`: what relays themselves call. Not routes of the API: no API key opens them, and no relay's token opens those. (RC-1, RC-7,
// common/relay-contract.ts)
import { Router } from 'express'
import type { Request, RequestHandler, Response } from 'express'
import type { z } from 'zod'
import { RELAY_PATHS } from '../../common/relay-contract.ts'
import type { RelayEvent } from '../../common/relay-contract.ts'
import { FailureLimit } from '../access/failure-limit.ts'
import { requestIdOf } from '../http/app.ts'
import { badRequest, Problem } from '../http/problem.ts'
import { demand, TokenBuckets } from '../http/rate-limits.ts'
import { readJson } from '../http/read-body.ts'
import { acceptReport } from './accept-report.ts'
import { createAuthenticateRelay } from './authenticate-relay.ts'
import type { AuthenticateRelayDeps } from './authenticate-relay.ts'
import { enrol } from './enrol.ts'
import type { EnrolDeps } from './enrol.ts'
import type { RelayIdentity, RelayPlace } from './relay.ts'
import { enrolBody, eventsBody, MAX_EVENTS_BYTES, parseStreamQuery, reportBody } from './relay-bodies.ts'
import type { SnapshotStreams } from './stream-snapshots.ts'

export interface RelayEndpointDeps extends EnrolDeps, AuthenticateRelayDeps {
  readonly streams: SnapshotStreams
  /** Stores a relay's events; durable on return. */
  readonly takeEvents: (place: RelayPlace, events: readonly RelayEvent[]) => Promise<void>
  /** ms, monotonic */
  readonly monotonicMs: () => number
}

const MAX_BODY_BYTES = 64 * 1024
/** More than of enrolment codes (AZ-9): a whole project's relays may come from one address and one clock be wrong. */
const TOKEN_FAILURES = 120
/** Of one relay; a batch of events holds 500. */
const RELAY_RATE = { perSecond: 20, burst: 100 }

/** One of the app's handlers, before its routes. */
export function relayEndpoints(deps: RelayEndpointDeps): RequestHandler {
  const { streams, takeEvents, db, now, monotonicMs } = deps
  const authenticate = createAuthenticateRelay(deps)
  const enrolFailures = new FailureLimit(monotonicMs)
  const tokenFailures = new FailureLimit(monotonicMs, TOKEN_FAILURES)
  const rates = new TokenBuckets(RELAY_RATE, monotonicMs)

  const relayOf = async (request: Request, response: Response): Promise<RelayIdentity> => {
    const source = sourceOf(request, response)
    const identity = await limited(tokenFailures, source.sourceAddress, () =>
      authenticate(request.get('authorization'), source),
    )
    demand(rates.take(identity.relay))
    return identity
  }

  const router = Router()
  on(router, 'post', RELAY_PATHS.enrol, 'relayEnrol', async (request, response) => {
    const source = sourceOf(request, response)
    const answer = await limited(enrolFailures, source.sourceAddress, async () =>
      enrol(parseBody(enrolBody, await readJson(request, MAX_BODY_BYTES)), source, deps),
    )
    response.set('Cache-Control', 'no-store').json(answer)
  })
  on(router, 'get', RELAY_PATHS.stream, 'relayStream', async (request, response) => {
    const identity = await relayOf(request, response)
    const start = parseStreamQuery(request.query)
    if (start === undefined)
      throw badRequest([
        { pointer: '/query', code: 'query', detail: 'version, revision, digest and settings of what the relay has' },
      ])
    response.set({
      'Content-Type': 'application/octet-stream',
      'Cache-Control': 'no-store, no-transform',
      'X-Accel-Buffering': 'no',
    })
    await streams.serve(identity, start, response)
  })
  on(router, 'post', RELAY_PATHS.report, 'relayReport', async (request, response) => {
    const identity = await relayOf(request, response)
    await acceptReport(db, identity, parseBody(reportBody, await readJson(request, MAX_BODY_BYTES)), now())
    response.json({})
  })
  on(router, 'post', RELAY_PATHS.events, 'relayEvents', async (request, response) => {
    const identity = await relayOf(request, response)
    const { events } = parseBody(eventsBody, await readJson(request, MAX_EVENTS_BYTES))
    await takeEvents(identity, events)
    response.json({})
  })
  return router
}

function on(
  router: Router,
  method: 'get' | 'post',
  path: string,
  id: string,
  handle: (request: Request, response: Response) => Promise<void>,
): void {
  router[method](path, (request, response, next) => {
    response.locals['route'] = id
    handle(request, response).catch(next)
  })
  router.all(path, (_request, response, next) => {
    response.set('Allow', method.toUpperCase())
    next(new Problem('method-not-allowed'))
  })
}

const sourceOf = (request: Request, response: Response) => ({
  requestId: requestIdOf(response),
  sourceAddress: request.ip ?? '',
})

/** Counts what is refused; whoever was refused too often is not listened to. */
async function limited<T>(limit: FailureLimit, address: string, work: () => Promise<T>): Promise<T> {
  limit.demand(address)
  try {
    return await work()
  } catch (error) {
    if (error instanceof Problem && [401, 403].includes(error.status)) limit.note(address)
    throw error
  }
}

function parseBody<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw badRequest(
    parsed.error.issues
      .slice(0, 100)
      .map(({ path, code, message }) => ({ pointer: `/${path.join('/')}`, code, detail: message })),
  )
}
