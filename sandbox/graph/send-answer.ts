// An answer onto the wire: compressed for whoever can take it, or broken off as a fault wants it.
import type { ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { constants, gzip } from 'node:zlib'
import type { GraphAnswer } from './graph-call.ts'

const compress = promisify(gzip)
/** Below, compressing costs more than it saves. */
const COMPRESSED_FROM_BYTES = 1_024

export async function sendAnswer(
  response: ServerResponse,
  answer: GraphAnswer,
  headers: Readonly<Record<string, string>>,
  takesGzip: boolean,
): Promise<void> {
  if (answer.breaks === 'reset') {
    response.socket?.resetAndDestroy()
    return
  }
  const { content } = answer
  const all: Record<string, string> = { ...headers, ...answer.headers }
  let body = bodyOf(content)
  if (body.length > 0) all['content-type'] = contentType(content)
  if (takesGzip && body.length >= COMPRESSED_FROM_BYTES) {
    body = await compress(body, { level: constants.Z_BEST_SPEED })
    all['content-encoding'] = 'gzip'
    all['vary'] = 'Accept-Encoding'
  }
  response.writeHead(answer.status, { ...all, 'content-length': body.length })
  if (answer.breaks === 'cut') {
    const half = body.subarray(0, Math.floor(body.length / 2))
    response.write(half, () => response.socket?.resetAndDestroy())
    return
  }
  response.end(body)
}

function bodyOf(content: GraphAnswer['content']): Buffer {
  switch (content.kind) {
    case 'json':
      return Buffer.from(JSON.stringify(content.body))
    case 'text':
      return Buffer.from(content.text)
    case 'none':
      return Buffer.alloc(0)
    default:
      return content satisfies never
  }
}

function contentType(content: GraphAnswer['content']): string {
  return content.kind === 'text'
    ? content.type
    : 'application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8'
}
