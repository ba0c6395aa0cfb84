// Writes a trail into an HTTP answer, as fast as the client reads it.
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { formatRecord } from './trail.ts'
import type { TrailRecord } from './trail.ts'

const CHUNK_CHARACTERS = 64 * 1024

/** @throws what reading throws: the answer is then cut off, and lacks its last line */
export async function sendTrail(
  records: AsyncIterable<TrailRecord>,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  try {
    await pipeline(Readable.from(chunked(records)), response, { signal })
  } catch (error) {
    // A client that has gone, or a server that stops: nobody is left to be told.
    if (!signal.aborted && !response.closed) throw error
  }
}

async function* chunked(records: AsyncIterable<TrailRecord>): AsyncGenerator<Buffer> {
  let text = ''
  for await (const record of records) {
    text += `${formatRecord(record)}\n`
    if (text.length < CHUNK_CHARACTERS) continue
    yield Buffer.from(text)
    text = ''
  }
  yield Buffer.from(text)
}
