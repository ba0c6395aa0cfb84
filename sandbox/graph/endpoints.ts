// HTTP of the simulated Graph: version and path, token, ids of the request, body in and answer out.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { GraphVersion } from '../contract/graph-paths.ts'
import type { SandboxServices } from '../services.ts'
import { answerRequest } from './answer-request.ts'
import type { GraphRequest } from './answer-request.ts'
import { json } from './graph-call.ts'
import type { GraphAnswer } from './graph-call.ts'
import { GraphFault, badRequest, errorBody } from './graph-error.ts'
import type { RequestTrace } from './graph-error.ts'
import { isDownload, openDownload } from './report-download.ts'
import { reportCsv } from './reports.ts'
import { sendAnswer } from './send-answer.ts'

export const GRAPH_AUDIENCE = 'https://graph.microsoft.com'

const MAX_BODY_BYTES = 4 * 2 ** 20
const VERSIONED = /^\/(v1\.0|beta)(\/.*)?$/i
const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export async function handleGraph(
  services: SandboxServices,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const trace = traceOf(services, request)
  let answer: GraphAnswer
  try {
    answer = await answerTo(services, request, trace)
  } catch (error) {
    if (!(error instanceof GraphFault)) throw error
    answer = { ...json(errorBody(error, trace), error.status), headers: error.headers }
  }
  const { requestId, clientRequestId, atMs } = trace
  const wantsItsId = request.headers['return-client-request-id']?.toString().toLowerCase() === 'true'
  const headers = {
    // Of the sandbox's clock: times in other headers are to be read against it.
    date: new Date(atMs).toUTCString(),
    'cache-control': 'no-cache',
    'request-id': requestId,
    ...(wantsItsId ? { 'client-request-id': clientRequestId } : {}),
  }
  const takesGzip = /\bgzip\b/i.test(request.headers['accept-encoding']?.toString() ?? '')
  await sendAnswer(response, answer, headers, takesGzip)
}

async function answerTo(
  services: SandboxServices,
  request: IncomingMessage,
  trace: RequestTrace,
): Promise<GraphAnswer> {
  const [rawPath = '', rawQuery = ''] = (request.url ?? '').split(/\?(.*)/s, 2)
  const query = new URLSearchParams(rawQuery)
  if (isDownload(rawPath)) return download(services, request, query)
  const [, version, path = '/'] = VERSIONED.exec(rawPath) ?? []
  if (version === undefined) throw new GraphFault(400, 'BadRequest', 'Invalid version.')
  const caller = await services.callerOf(request.headers.authorization, GRAPH_AUDIENCE)
  if (caller === undefined) throw unauthenticated(request)
  const asked: GraphRequest = {
    method: request.method ?? '',
    version: version.toLowerCase() as GraphVersion,
    path,
    query,
    headers: headersOf(request),
    body: await readBody(request),
  }
  return answerRequest({ services, caller, request: asked, trace })
}

/** A report's file. The link is all that is wanted. */
function download(
  { tenants, clock, record }: SandboxServices,
  request: IncomingMessage,
  query: URLSearchParams,
): GraphAnswer {
  if (request.method !== 'GET') throw new GraphFault(405, 'Request_BadRequest', 'A download is got.')
  if (request.headers.authorization !== undefined) {
    record.violation({
      rule: 'wrong-header',
      where: 'authorization',
      message: 'a download link takes no token',
      status: 400,
      request: 'GET download of a report',
    })
    throw new GraphFault(401, 'unauthenticated', 'A download link takes no token.')
  }
  const opened = openDownload(query, clock.nowMs())
  const tenant = opened && tenants.get(opened.tenantId)
  if (opened === undefined || tenant === undefined)
    throw new GraphFault(404, 'itemNotFound', 'The link is no longer valid.')
  const text = reportCsv(tenant, opened.report, opened.period, clock.nowMs())
  return { status: 200, content: { kind: 'text', type: 'application/octet-stream', text } }
}

function traceOf(services: SandboxServices, request: IncomingMessage): RequestTrace {
  const requestId = services.guid()
  const given = request.headers['client-request-id']?.toString() ?? ''
  return { requestId, clientRequestId: GUID.test(given) ? given : requestId, atMs: services.clock.nowMs() }
}

function unauthenticated(request: IncomingMessage): GraphFault {
  const isMissing = request.headers.authorization === undefined
  const challenge =
    'Bearer realm="", authorization_uri="https://login.sandbox.test/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"'
  return new GraphFault(
    401,
    'InvalidAuthenticationToken',
    isMissing ? 'Access token is empty.' : 'Access token validation failure. Invalid or expired token.',
    { 'www-authenticate': challenge },
  )
}

function headersOf({ headers }: IncomingMessage): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value?.toString()]))
}

/** undefined: none. @throws GraphFault 400, 413 */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw new GraphFault(413, 'Request_EntityTooLarge', 'The request is too large.')
    chunks.push(chunk)
  }
  const bytes = Buffer.concat(chunks)
  if (bytes.length === 0) return undefined
  const type = request.headers['content-type'] ?? 'application/json'
  if (!/\bjson\b/i.test(type)) return bytes
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    // Whatever it was: the client is told that it is no JSON.
    throw badRequest('Unable to read JSON request payload.')
  }
}
