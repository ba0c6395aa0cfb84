// CSV that is written while it is read: harmless to spreadsheets (WS-3), at the pace of whoever takes it.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { formatCell } from '../../rewrite-rules/index.ts'

/** Spreadsheets take a file without it for one in the machine's own encoding. */
const BYTE_ORDER_MARK = '\uFEFF'

/** Waits until the client has taken what was written. */
export async function writeTo(response: ServerResponse, signal: AbortSignal, text: string): Promise<void> {
  signal.throwIfAborted()
  if (!response.write(text)) await once(response, 'drain', { signal })
}

const line = (cells: readonly string[]): string => `${cells.map(formatCell).join(',')}\r\n`

export async function writeCsv(
  response: ServerResponse,
  signal: AbortSignal,
  header: readonly string[],
  batches: AsyncIterable<readonly (readonly string[])[]>,
): Promise<void> {
  await writeTo(response, signal, BYTE_ORDER_MARK + line(header))
  for await (const rows of batches) await writeTo(response, signal, rows.map(line).join(''))
  response.end()
}
