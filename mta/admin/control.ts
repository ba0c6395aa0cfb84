// The running relay's side of `queue` and `quarantine`: HTTP over a Unix socket in the spool directory. Whoever may open the socket (0600
// in a 0700 directory) is the operator; nothing else is asked.
import { chmod, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Log } from '../../common/log.ts'
import { parseQueueId } from '../queue-id.ts'
import { CONTROL_SOCKET, socketPath } from './control-socket.ts'
import { QUEUE_CHANGES } from './queue-operations.ts'
import type { ChangeTarget, QueueFilter, QueueOperations } from './queue-operations.ts'

export interface ControlDeps {
  readonly spoolDirectory: string
  readonly operations: QueueOperations
  readonly log: Log
}

/** Room for a hundred thousand ids. */
const MAX_BODY_BYTES = 2 * 1024 * 1024
const REQUEST_TIMEOUT_MS = 60_000
const MAX_CONNECTIONS = 16
const LINES_PER_WRITE = 500

/** Call it only with the spool's lock in hand: a socket left there by a dead relay is replaced. */
export async function startControl({
  spoolDirectory,
  operations,
  log,
}: ControlDeps): Promise<{ close(): Promise<void> }> {
  const server = createServer(
    { maxHeaderSize: 8 * 1024, headersTimeout: 10_000, requestTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answer(request, response, operations, log).catch((error: unknown) => {
        log.error('control.request-failed', { error })
        if (response.headersSent) response.destroy()
        else sendJson(response, 500, { error: error instanceof Error ? error.message : 'internal error' })
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  const file = join(spoolDirectory, CONTROL_SOCKET)
  await rm(file, { force: true })
  await using socket = await socketPath(spoolDirectory)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket.path, resolve)
  })
  await chmod(file, 0o600)
  server.on('error', (error) => log.error('control.server-failed', { error }))
  return {
    close: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      await rm(file, { force: true })
    },
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  operations: QueueOperations,
  log: Log,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://relay')
  const [area, name, ...rest] = url.pathname.split('/').slice(1)
  if (rest.length > 0) return sendJson(response, 404, { error: 'no such route' })
  if (request.method === 'GET') {
    if (area === 'queue' && name === undefined) {
      const filter = filterOf(Object.fromEntries(url.searchParams))
      return filter === undefined
        ? sendJson(response, 400, { error: 'unknown filter' })
        : sendList(response, operations, filter)
    }
    if (area === 'queue') return show(response, operations, name ?? '')
    if (area === 'quarantine' && name === undefined) return sendJson(response, 200, await operations.quarantine.list())
    if (area === 'quarantine') return exportEntry(response, operations, name ?? '', log)
  }
  if (request.method === 'POST') {
    const body = await readJson(request)
    const change = QUEUE_CHANGES.find((each) => each === name)
    if (area === 'queue' && change !== undefined) {
      const target = targetOf(body)
      if (target === undefined) return sendJson(response, 400, { error: 'give ids or all' })
      const result = await operations.change(change, target)
      log.info('queue.changed-by-operator', { change, isAll: 'all' in target, changed: result.changed.length })
      return sendJson(response, 200, result)
    }
    if (area === 'quarantine' && name === 'remove') {
      const id = member(body, 'id')
      if (typeof id !== 'string') return sendJson(response, 400, { error: 'give id' })
      const isRemoved = await operations.quarantine.remove(id)
      if (isRemoved) log.info('quarantine.removed-by-operator', { queueId: id })
      return sendJson(response, isRemoved ? 200 : 404, {})
    }
  }
  return sendJson(response, 404, { error: 'no such route' })
}

/** One JSON object a line, so that neither side holds a long queue at once. */
async function sendList(response: ServerResponse, operations: QueueOperations, filter: QueueFilter): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  await pipeline(jsonLines(operations.list(filter)), response).catch((error: unknown) => {
    // Whoever asked has seen enough.
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE')) throw error
  })
}

async function* jsonLines(items: AsyncIterable<unknown>): AsyncIterable<string> {
  let lines: string[] = []
  for await (const item of items) {
    lines.push(`${JSON.stringify(item)}\n`)
    if (lines.length < LINES_PER_WRITE) continue
    yield lines.join('')
    lines = []
  }
  yield lines.join('')
}

async function show(response: ServerResponse, operations: QueueOperations, name: string): Promise<void> {
  const id = parseQueueId(name)
  const detail = id === undefined ? undefined : await operations.show(id)
  sendJson(response, detail === undefined ? 404 : 200, detail ?? {})
}

async function exportEntry(
  response: ServerResponse,
  operations: QueueOperations,
  name: string,
  log: Log,
): Promise<void> {
  const id = decodeURIComponent(name)
  const bytes = await operations.quarantine.export(id)
  if (bytes === undefined) return sendJson(response, 404, {})
  log.info('quarantine.exported-by-operator', { queueId: id })
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.length })
  response.end(bytes)
}

/**
 * Of a query's texts as of a body's values; undefined when any of it isn't understood: a filter that lets through more than was meant could
 * remove it.
 */
function filterOf(written: unknown): QueueFilter | undefined {
  if (typeof written !== 'object' || written === null || Array.isArray(written)) return undefined
  let filter: QueueFilter | undefined = {}
  for (const [name, value] of Object.entries(written)) filter = filter && withMember(filter, name, value)
  return filter
}

function withMember(filter: QueueFilter, name: string, value: unknown): QueueFilter | undefined {
  const flag = value === true || value === 'true' ? true : value === false || value === 'false' ? false : undefined
  if (name === 'direction' && (value === 'out' || value === 'in')) return { ...filter, direction: value }
  if (name === 'route' && typeof value === 'string') return { ...filter, route: value }
  if (name === 'sender' && typeof value === 'string') return { ...filter, sender: value }
  if (name === 'recipient' && typeof value === 'string') return { ...filter, recipient: value }
  const routes = name === 'routes' ? textsOf(value) : undefined
  if (routes !== undefined) return { ...filter, routes }
  if (name === 'receivedBefore' && /^\d{1,15}$/.test(String(value))) return { ...filter, receivedBefore: Number(value) }
  if (name === 'isDeferred' && flag !== undefined) return { ...filter, isDeferred: flag }
  if (name === 'isHeld' && flag !== undefined) return { ...filter, isHeld: flag }
  if (name === 'isDead' && flag !== undefined) return { ...filter, isDead: flag }
  return undefined
}

/** A query writes a list with commas: route names hold none. */
function textsOf(value: unknown): readonly string[] | undefined {
  const texts: unknown = typeof value === 'string' ? value.split(',') : value
  return Array.isArray(texts) && texts.every((text) => typeof text === 'string') ? texts : undefined
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw new Error('the request is too large')
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    // Not JSON is answered like JSON without the members that are needed.
    return undefined
  }
}

function targetOf(body: unknown): ChangeTarget | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  if ('all' in body) {
    const filter = filterOf(body.all)
    return filter && { all: filter }
  }
  if (!('ids' in body) || !Array.isArray(body.ids)) return undefined
  const ids = body.ids.map((id: unknown) => (typeof id === 'string' ? parseQueueId(id) : undefined))
  return ids.every((id) => id !== undefined) ? { ids } : undefined
}

function member(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, name) ? Reflect.get(body, name) : undefined
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}
