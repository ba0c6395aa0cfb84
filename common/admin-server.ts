// /metrics, /healthz and /readyz of a process on their own port: read by monitoring and balancers, without anything personal. (OP-1)
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'

export interface Readiness {
  readonly isReady: boolean
  /** Why not, in words for an operator. */
  readonly reasons: readonly string[]
}

export interface AdminServerDeps {
  readonly metrics: Pick<Metrics, 'contentType' | 'metrics'>
  readonly readiness: () => Readiness | Promise<Readiness>
  readonly log: Log
}

export interface AdminServer {
  readonly port: number
  close(): Promise<void>
}

const MAX_HEADER_BYTES = 8 * 1024
const REQUEST_TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 64

/** @throws when the address can't be listened on */
export async function startAdminServer(
  at: { address: string; port: number },
  deps: AdminServerDeps,
): Promise<AdminServer> {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: REQUEST_TIMEOUT_MS,
    },
    (request, response) => {
      answer(request, response, deps).catch((error: unknown) => {
        deps.log.error('admin.request-failed', { error })
        response.destroy()
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(at.port, at.address, resolve)
  })
  server.on('error', (error) => deps.log.error('admin.server-failed', { error }))
  const bound = server.address()
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : at.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { metrics, readiness }: AdminServerDeps,
): Promise<void> {
  // No request here has a body: one that comes is not read, and the connection ends with the reply.
  if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) {
    response.shouldKeepAlive = false
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return send(response, 405, 'text/plain', 'method not allowed\n')
  }
  switch (request.url?.split('?', 1)[0]) {
    case '/healthz':
      return send(response, 200, 'application/json', `${JSON.stringify({ status: 'alive' })}\n`)
    case '/readyz': {
      const { isReady, reasons } = await readiness()
      return send(response, isReady ? 200 : 503, 'application/json', `${JSON.stringify({ ready: isReady, reasons })}\n`)
    }
    case '/metrics':
      return send(response, 200, metrics.contentType, await metrics.metrics())
    default:
      return send(response, 404, 'text/plain', 'not found\n')
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(body)
}
