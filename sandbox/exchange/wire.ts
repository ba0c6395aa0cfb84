// Bytes in and out: a request's body within a limit; an answer, compressed or broken off as it is to be.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { constants, gzip } from 'node:zlib'
import type { HttpAnswer } from './http-answer.ts'

/** Parameters of one call: a name may be long, but not that long. */
const MAX_BODY_BYTES = 1024 * 1024
const GZIP_FROM_BYTES = 1024
const compress = promisify(gzip)

/** undefined: longer than the limit; the rest is not read. */
export async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  // An answer still has to go back over the connection: what is left unread does not end it.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

export async function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  answer: HttpAnswer,
  canCompress: boolean,
): Promise<void> {
  if (answer.breaks === 'reset') {
    request.socket.resetAndDestroy()
    return
  }
  const plain = bytesOf(answer.body)
  const isCompressed =
    canCompress && plain.length >= GZIP_FROM_BYTES && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
  const body = isCompressed ? await compress(plain, { level: constants.Z_BEST_SPEED }) : plain
  response.writeHead(answer.status, {
    'request-id': randomUUID(),
    ...answer.headers,
    'content-length': body.length,
    ...(isCompressed ? { 'content-encoding': 'gzip', vary: 'Accept-Encoding' } : {}),
  })
  if (answer.breaks === 'cut') {
    response.write(body.subarray(0, Math.ceil(body.length / 2)), () => request.socket.resetAndDestroy())
    return
  }
  response.end(body)
  // A body that was refused unread would be taken for the next request.
  if (!request.complete) response.once('finish', () => request.socket.destroySoon())
}

function bytesOf(body: HttpAnswer['body']): Uint8Array {
  if (body instanceof Uint8Array) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body), 'utf8')
}
