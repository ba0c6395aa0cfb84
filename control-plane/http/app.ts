// The HTTP application: order of what happens to a request, mounting of every route, and the last error handler.
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import express from 'express'
import type { ErrorRequestHandler, Express, Request, RequestHandler, Response } from 'express'
import type { Log } from '../../common/log.ts'
import { Counter, Histogram } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { isDatabaseAway } from '../db/database.ts'
import { newId } from '../ids.ts'
import { KeyServiceUnavailable } from '../keys/key-provider.ts'
import { BODY_LIMITS, BodyDeadline } from './body-deadline.ts'
import type { BodyLimits } from './body-deadline.ts'
import { API_BASE, describeApi, pathOf } from './openapi.ts'
import { Problem, PROBLEMS } from './problem.ts'
import type { ProblemName } from './problem.ts'
import { ADDRESS_RATE, CALLER_RATE, demand, networkOf, rateLimitHeaders, TokenBuckets } from './rate-limits.ts'
import { isStreamBody } from './route.ts'
import type { AnyRoute } from './route.ts'
import { securityHeaders } from './security-headers.ts'
import { serveRoute } from './serve-route.ts'
import type { ServeDeps } from './serve-route.ts'
import { refuseDubiousHttp } from './strict-http.ts'

export interface AppDeps extends Omit<ServeDeps, 'takeRate'> {
  readonly routes: readonly AnyRoute[]
  readonly metrics: Metrics
  /** Of the product, for the description. */
  readonly version: string
  /** Addresses or ranges of proxies whose X-Forwarded-For counts (WS-7). */
  readonly trustedProxies: readonly string[]
  /** Served in cleartext: evaluation on loopback, or TLS ends before us. */
  readonly isPlain: boolean
  /** ms, monotonic */
  readonly monotonicMs: () => number
  /** Rates other than the product's, for benches. */
  readonly rates?: { readonly caller: typeof CALLER_RATE; readonly address: typeof ADDRESS_RATE }
  /** Limits other than the product's, for tests. */
  readonly bodyLimits?: BodyLimits
  /** Ends long streams when the server stops. */
  readonly stopping: AbortSignal
  /** What comes before the API and is no route of it: the relays' own streams, pages. */
  readonly handlers?: readonly RequestHandler[]
}

export function createApp(deps: AppDeps): Express {
  const { routes, log, metrics, monotonicMs, rates = { caller: CALLER_RATE, address: ADDRESS_RATE } } = deps
  const byAddress = new TokenBuckets(rates.address, monotonicMs)
  const byCaller = new TokenBuckets(rates.caller, monotonicMs)
  const serveDeps: ServeDeps = { ...deps, takeRate: (caller) => demand(byCaller.take(caller)) }
  const figures = createFigures(metrics)
  const app = express()
  app.disable('x-powered-by')
  app.set('etag', false)
  app.set('trust proxy', [...deps.trustedProxies])
  app.set('query parser', 'simple')
  app.use((_request, response, next) => {
    response.locals['requestId'] = newId('request')
    response.set('X-Request-Id', requestIdOf(response))
    next()
  })
  app.use(securityHeaders(deps.isPlain))
  app.use(observed(log, figures, monotonicMs))
  app.use(refuseDubiousHttp)
  app.use(limitBodies(deps.bodyLimits ?? BODY_LIMITS))
  for (const handler of deps.handlers ?? []) app.use(handler)
  app.use((request, response, next) => {
    const taken = byAddress.take(networkOf(request.ip ?? ''))
    response.set(rateLimitHeaders(rates.address, taken))
    demand(taken)
    next()
  })
  const description = JSON.stringify(describeApi(routes, deps.version))
  app.get(`${API_BASE}/openapi.json`, (_request, response) => void response.type('application/json').send(description))
  app.get('/problems/:name', explainProblem)
  mount(app, routes, serveDeps, deps.stopping)
  app.use((_request, _response, next) => next(new Problem('not-found')))
  app.use(answerError(log, figures))
  return app
}

function mount(app: Express, routes: readonly AnyRoute[], deps: ServeDeps, stopping: AbortSignal): void {
  const methods = new Map<string, Set<string>>()
  for (const spec of routes) {
    const path = pathOf(spec).replaceAll(/\{(\w+)\}/g, ':$1')
    methods.set(path, (methods.get(path) ?? new Set()).add(spec.method.toUpperCase()))
    app[spec.method](path, (request, response, next) => {
      response.locals['route'] = spec.id
      if (isStreamBody(spec.body)) allowStream(response)
      const gone = new AbortController()
      response.once('close', () => gone.abort())
      const info = {
        requestId: requestIdOf(response),
        sourceAddress: request.ip ?? '',
        signal: AbortSignal.any([gone.signal, stopping]),
      }
      serveRoute(spec, request, response, info, deps).catch(next)
    })
  }
  for (const [path, allowed] of methods) {
    app.all(path, (_request, response, next) => {
      response.set('Allow', [...allowed].toSorted().join(', '))
      next(new Problem('method-not-allowed'))
    })
  }
}

const explainProblem: RequestHandler = (request, response, next) => {
  const name = String(request.params['name'])
  if (!Object.hasOwn(PROBLEMS, name)) {
    next(new Problem('not-found'))
    return
  }
  const [status, title, description] = PROBLEMS[name as ProblemName]
  response.json({ type: `/problems/${name}`, status, title, description })
}

/** The one place where an error becomes an answer (WS-6). */
function answerError(log: Log, { broken }: Figures): ErrorRequestHandler {
  return (error: unknown, request: Request, response: Response, _next) => {
    const problem = toProblem(error)
    const requestId = requestIdOf(response)
    if (problem.status >= 500) log.error('request.failed', { requestId, route: response.locals['route'], error })
    // An answer that has begun can only be cut off.
    if (response.headersSent) {
      broken.inc()
      response.destroy()
    } else sendProblem(request, response, problem)
  }
}

function sendProblem(request: Request, response: Response, problem: Problem): void {
  if (problem.members.retryAfter !== undefined) response.set('Retry-After', String(problem.members.retryAfter))
  if (problem.status === 401) response.set('WWW-Authenticate', 'Bearer')
  // What is left of a body that was refused is not read: the connection can't be used again.
  if (!request.complete) response.set('Connection', 'close')
  response
    .status(problem.status)
    .type('application/problem+json')
    .send(JSON.stringify(problem.toJson(requestIdOf(response))))
}

function limitBodies(limits: BodyLimits): RequestHandler {
  return (request, response, next) => {
    response.locals['bodyDeadline'] = new BodyDeadline(request, limits, () => {
      if (response.headersSent) request.destroy()
      else sendProblem(request, response, new Problem('request-timeout'))
    })
    next()
  }
}

/** For handlers that take a long stream: from here on its body may take as long as it keeps coming (WS-7). */
function allowStream(response: Response): void {
  const deadline: unknown = response.locals['bodyDeadline']
  if (deadline instanceof BodyDeadline) deadline.allowStream()
}

function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (isUnavailable(error)) return new Problem('unavailable', { retryAfter: 5 }, { cause: error })
  // Express: a path that is no UTF-8 once decoded.
  if (error instanceof URIError) return new Problem('not-found')
  return new Problem('internal', {}, { cause: error })
}

/** OP-3, KM-4 */
const isUnavailable = (error: unknown): boolean => error instanceof KeyServiceUnavailable || isDatabaseAway(error)

interface Figures {
  readonly requests: Counter<'route' | 'status'>
  readonly seconds: Histogram<'route'>
  readonly broken: Counter
}

function createFigures(metrics: Metrics): Figures {
  return {
    requests: new Counter({
      name: 'causeway_api_requests_total',
      help: 'Requests, by route and class of status.',
      labelNames: ['route', 'status'],
      registers: [metrics],
    }),
    seconds: new Histogram({
      name: 'causeway_api_request_seconds',
      help: 'Time from request to the end of the answer; without long streams.',
      labelNames: ['route'],
      buckets: [0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers: [metrics],
    }),
    broken: new Counter({
      name: 'causeway_api_answers_broken_total',
      help: 'Answers that had begun and were cut off by a fault: event streams and exports.',
      registers: [metrics],
    }),
  }
}

function observed(log: Log, figures: Figures, monotonicMs: () => number): RequestHandler {
  return (_request, response, next) => {
    const started = monotonicMs()
    response.once('finish', () => {
      const route = String(response.locals['route'] ?? 'none')
      const ms = monotonicMs() - started
      figures.requests.inc({ route, status: `${Math.floor(response.statusCode / 100)}xx` })
      figures.seconds.observe({ route }, ms / 1000)
      log.info('request.done', {
        requestId: requestIdOf(response),
        route,
        status: response.statusCode,
        ms: Math.round(ms),
      })
    })
    next()
  }
}

export function requestIdOf(response: Response): string {
  return String(response.locals['requestId'] ?? randomUUID())
}

/** Strict HTTP and bounded times (WS-7). */
export function hardenServer(server: Server): void {
  server.headersTimeout = 30_000
  server.requestTimeout = 0 // bodies: body-deadline.ts
  server.keepAliveTimeout = 30_000
  server.maxHeadersCount = 0 // counted in strict-http.ts; 16 KiB of them at most
}
