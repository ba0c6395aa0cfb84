// HTTP of the control API: `POST /control/<operation>` with a JSON object. A page in a browser can't reach it: the header makes any cross-origin
// request ask first, and nobody answers that.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { CONTROL_HEADER, ControlFault } from '../entra/control-routes.ts'
import { EntraError } from '../entra/entra-error.ts'
import { NotInSandbox } from './control.ts'
import type { SandboxControl } from './control.ts'
import { OPERATIONS } from './operations.ts'

const MAX_BODY_BYTES = 4 * 1024 * 1024

export async function handleControl(
  control: SandboxControl,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const name = /^\/control\/([a-z-]+)$/.exec(request.url ?? '')?.[1] ?? ''
  const operation = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined
  if (operation === undefined) return send(response, 404, { error: 'no such operation' })
  if (request.method !== 'POST') return send(response, 405, { error: 'operations are posted' })
  if (request.headers[CONTROL_HEADER] === undefined)
    return send(response, 403, { error: `${CONTROL_HEADER} is missing` })
  try {
    const outcome = await operation(control, await readFields(request))
    send(response, 200, outcome ?? {})
  } catch (error) {
    const isTheirs =
      error instanceof ControlFault ||
      error instanceof NotInSandbox ||
      error instanceof EntraError ||
      error instanceof RangeError
    if (!isTheirs) throw error
    send(response, error instanceof NotInSandbox ? 404 : 400, { error: error.message })
  }
}

/** No body is an object without fields. */
async function readFields(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw new ControlFault('the body is too large')
    chunks.push(chunk)
  }
  if (size === 0) return {}
  const fields = parseJson(Buffer.concat(chunks).toString('utf8'))
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new ControlFault('the body has to be a JSON object')
  }
  return fields as Readonly<Record<string, unknown>>
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ControlFault('the body has to be a JSON object')
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
  response.end(JSON.stringify(body))
}
