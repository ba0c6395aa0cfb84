// Bodies as they come over the wire: JSON of bounded size in UTF-8, or a stream that the handler reads under a bound. (reliability-security.md §4)
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Problem } from './problem.ts'
import type { StreamBody } from './route.ts'

export const MAX_JSON_BYTES = 1024 * 1024

/** @throws Problem 400, 413, 415 */
export async function readJson(request: IncomingMessage, maxBytes = MAX_JSON_BYTES): Promise<unknown> {
  if (mediaTypeOf(request) !== 'application/json')
    throw new Problem('unsupported-media-type', { expected: ['application/json'] })
  const chunks: Buffer[] = []
  let size = 0
  checkLength(request, maxBytes)
  for await (const chunk of chunksOf(request)) {
    size += chunk.length
    if (size > maxBytes) throw new Problem('too-large', { maxBytes })
    chunks.push(chunk)
  }
  const bytes = Buffer.concat(chunks)
  if (!isUtf8(bytes)) throw new Problem('malformed-body', { detail: 'It is not UTF-8.' })
  try {
    return JSON.parse(bytes.toString()) as unknown
  } catch {
    throw new Problem('malformed-body', { detail: 'It is not JSON.' })
  }
}

/** @throws Problem 413, 415 before anything is read */
export function readStream(request: IncomingMessage, { stream, maxBytes }: StreamBody): void {
  if (!stream.includes(mediaTypeOf(request))) throw new Problem('unsupported-media-type', { expected: stream })
  checkLength(request, maxBytes)
}

/** The body's chunks, ended with Problem 413 once they are more than `maxBytes`. */
export async function* boundedBody(request: IncomingMessage, maxBytes: number): AsyncGenerator<Buffer> {
  let size = 0
  for await (const chunk of chunksOf(request)) {
    size += chunk.length
    if (size > maxBytes) throw new Problem('too-large', { maxBytes })
    yield chunk
  }
}

/** Of bodies whose hash somebody wants. */
const hashes = new WeakMap<IncomingMessage, Hash>()

/**
 * Hashes the body while it is read, by whomever.
 * @returns to be called once: reads what is left, at most `maxBytes` more; hex SHA-256 of the whole body @throws Problem as `boundedBody`
 */
export function hashBody(request: IncomingMessage, maxBytes: number): () => Promise<string> {
  const hash = createHash('sha256')
  hashes.set(request, hash)
  return async () => {
    const rest = boundedBody(request, maxBytes)
    while ((await rest.next()).done !== true);
    return hash.digest('hex')
  }
}

/**
 * Whoever stops reading leaves the connection open for the answer: by default it would be cut, and the client never learn why.
 * @throws Problem 400 when the client goes away, or is too slow (body-deadline.ts), in the middle
 */
async function* chunksOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    const hash = hashes.get(request)
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      hash?.update(chunk)
      yield chunk
    }
  } catch (error) {
    if (request.complete) throw error
    throw new Problem('malformed-body', { detail: 'It ends early.' }, { cause: error })
  }
}

export function mediaTypeOf(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

function checkLength(request: IncomingMessage, maxBytes: number): void {
  // A small body that unpacks to a large one.
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity')
    throw new Problem('unsupported-media-type', { detail: 'Bodies are taken without Content-Encoding.' })
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw new Problem('too-large', { maxBytes })
}
