// HTTP of the simulated Entra: which endpoint a request is for, its form, its cookie, its answer.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { beginAdminConsent, decideAdminConsent } from './admin-consent.ts'
import { beginAuthorize, decideAuthorize, refused } from './authorize.ts'
import type { Asked, Decision } from './authorize.ts'
import type { EntraControl } from './control.ts'
import { CONTROL_HEADER, ControlFault, runControl } from './control-routes.ts'
import { EntraError, errorBody } from './entra-error.ts'
import type { BrowserSession, EntraState } from './entra-state.ts'
import { FAULTY_ENDPOINTS } from './faults.ts'
import type { Fault } from './faults.ts'
import { keySet, openIdConfiguration } from './metadata.ts'
import { page } from './reply.ts'
import type { Answer } from './reply.ts'
import { answerTokenRequest } from './token-endpoint.ts'

interface Served {
  readonly state: EntraState
  readonly control: EntraControl
  readonly isSecure: boolean
}

interface Exchange extends Served {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** As in the path. */
  readonly tenant: string
  readonly query: URLSearchParams
}

const MAX_BODY_BYTES = 256 * 1024
const SESSION_COOKIE = 'sandbox-session'

const ENDPOINTS: Readonly<Record<string, (exchange: Exchange) => Promise<void> | void>> = {
  'GET v2.0/.well-known/openid-configuration': metadata,
  'GET discovery/v2.0/keys': keys,
  'GET oauth2/v2.0/authorize': authorize,
  'GET v2.0/adminconsent': adminConsent,
  'POST choose': choose,
  'POST oauth2/v2.0/token': token,
  'GET oauth2/v2.0/logout': signOut,
}

export async function handleRequest(served: Served, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2)
  const [, first = '', rest = ''] = /^\/([\w.-]+)\/(.+)$/.exec(path) ?? []
  const exchange = { ...served, request, response, tenant: first, query: new URLSearchParams(query) }
  if (first === 'control' && request.method === 'POST') return control(exchange, rest)
  const key = `${request.method ?? ''} ${rest}`
  if (!Object.hasOwn(ENDPOINTS, key)) return send(response, 404, 'text/plain', 'no such endpoint\n')
  try {
    await ENDPOINTS[key]?.(exchange)
  } catch (error) {
    if (!(error instanceof EntraError)) throw error
    sendAnswer(response, refused(served.state, error, undefined))
  }
}

function metadata(exchange: Exchange): Promise<void> {
  return publish(exchange, 'metadata', () => openIdConfiguration(exchange.state, exchange.tenant))
}

function keys(exchange: Exchange): Promise<void> {
  return publish(exchange, 'keys', () => keySet(exchange.state, exchange.tenant))
}

async function token(exchange: Exchange): Promise<void> {
  await publish(exchange, 'token', async () => {
    const form = new URLSearchParams(await readBody(exchange.request))
    return answerTokenRequest(exchange.state, exchange.tenant, form)
  })
}

/** Answers with JSON, an error in Entra's form, or whatever fault was asked for. */
async function publish(
  { state, response, query }: Exchange,
  endpoint: (typeof FAULTY_ENDPOINTS)[number],
  make: () => unknown,
): Promise<void> {
  const fault = state.faults.take(endpoint)
  if (fault !== undefined) return answerFault(response, fault)
  try {
    const body = await make()
    sendJson(response, 200, body)
  } catch (error) {
    if (!(error instanceof EntraError)) throw error
    const correlationId = query.get('client-request-id') ?? state.guid()
    const trace = { at: new Date(state.nowMs()), traceId: state.guid(), correlationId }
    sendJson(response, error.status, errorBody(error, trace, state.issuerOrigin))
  }
}

function authorize(exchange: Exchange): void {
  sendAnswer(exchange.response, beginAuthorize(exchange.state, exchange, sessionOf(exchange)))
}

function adminConsent(exchange: Exchange): void {
  sendAnswer(exchange.response, beginAdminConsent(exchange.state, exchange))
}

/** The account chooser's form. */
async function choose(exchange: Exchange): Promise<void> {
  const { state, request, response, tenant, isSecure } = exchange
  const form = new URLSearchParams(await readBody(request))
  const asked: Asked = { tenant, query: new URLSearchParams(form.get('query') ?? '') }
  const user = form.get('user')
  const decision: Decision =
    user === null ? { kind: 'deny' } : { kind: 'approve', user, hasMfa: form.get('mfa') === 'yes' }
  if (form.get('action') === 'adminconsent') return sendAnswer(response, decideAdminConsent(state, asked, decision))
  const { answer, session } = decideAuthorize(state, asked, decision)
  if (session !== undefined) {
    const id = state.random(32).toString('base64url')
    state.browserSessions.set(id, session)
    const secure = isSecure ? '; Secure' : ''
    response.setHeader('set-cookie', `${SESSION_COOKIE}=${id}; Path=/; HttpOnly; SameSite=Lax${secure}`)
  }
  sendAnswer(response, answer)
}

/** Ends the browser's session; goes on to an address that some application has registered, and to no other. */
function signOut(exchange: Exchange): void {
  const { state, response, query } = exchange
  state.browserSessions.delete(cookieOf(exchange))
  response.setHeader('set-cookie', `${SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0`)
  const next = query.get('post_logout_redirect_uri')
  if (next !== null && state.directory.isRegisteredAddress(next)) {
    return sendAnswer(response, { kind: 'redirect', location: next })
  }
  sendAnswer(response, page(200, 'Signed out', '<p>You may close this window.</p>'))
}

async function control({ control: operations, request, response }: Exchange, operation: string): Promise<void> {
  if (request.headers[CONTROL_HEADER] === undefined)
    return send(response, 403, 'text/plain', `${CONTROL_HEADER} is missing\n`)
  try {
    sendJson(response, 200, await runControl(operations, operation, parseJson(await readBody(request))))
  } catch (error) {
    if (!(error instanceof ControlFault) && !(error instanceof EntraError)) throw error
    sendJson(response, 400, { error: error.message })
  }
}

function sessionOf(exchange: Exchange): BrowserSession | undefined {
  return exchange.state.browserSessions.get(cookieOf(exchange))
}

function cookieOf({ request }: Exchange): string {
  return new RegExp(`(?:^|; )${SESSION_COOKIE}=([^;]*)`).exec(request.headers.cookie ?? '')?.[1] ?? ''
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw new EntraError(9002313)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ControlFault('the body has to be a JSON object')
  }
}

function answerFault(response: ServerResponse, fault: Fault['answer']): void {
  switch (fault.kind) {
    case 'status': {
      const after = fault.retryAfterS === undefined ? {} : { 'retry-after': String(fault.retryAfterS) }
      response.writeHead(fault.status, { 'content-type': 'text/html', ...after })
      response.end(fault.body ?? '<h1>Service unavailable</h1>')
      return
    }
    case 'redirect':
      response.writeHead(307, { location: fault.location }).end()
      return
    case 'flood': {
      response.writeHead(200, { 'content-type': 'application/json' })
      const block = Buffer.alloc(64 * 1024, ' ')
      const pour = () => {
        while (!response.destroyed && response.write(block));
      }
      response.on('drain', pour)
      pour()
      return
    }
    case 'silence':
      return
    case 'reset':
      response.destroy()
      return
    default:
      fault satisfies never
  }
}

function sendAnswer(response: ServerResponse, answer: Answer): void {
  if (answer.kind === 'page') return send(response, answer.status, 'text/html; charset=utf-8', answer.html)
  response.writeHead(302, { location: answer.location, 'cache-control': 'no-store' }).end()
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, 'application/json; charset=utf-8', JSON.stringify(body))
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  response.end(body)
}
