// Writes a whole table as a file: JSON as product.md §8 has it, or CSV that no spreadsheet takes for formulas (WS-3). What comes out reads as the
// same table again.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { CSV_HEADER, csvRow } from '../../rewrite-rules/index.ts'
import type { WrittenEntry } from '../../rewrite-rules/index.ts'
import type { Db } from '../db/database.ts'
import { formatEtag } from '../http/etag.ts'
import { readTable } from './mapping-store.ts'
import type { Place } from './mapping.ts'

/** Spreadsheets take a file without it for one in the machine's own encoding. */
const BYTE_ORDER_MARK = '\uFEFF'

type Write = (text: string) => Promise<void>

export function writeJsonTable(db: Db, place: Place, response: ServerResponse, signal: AbortSignal): Promise<void> {
  return readTable(db, place, async ({ revision, rules }, batches) => {
    const write = begin(response, revision, signal)
    const head = { format: 'causeway-mapping-table/1', project: place.project, version: revision, ...rules }
    await write(`${JSON.stringify(head).slice(0, -1)},"entries":[\n`)
    let separator = ''
    for await (const lines of batches) {
      await write(separator + lines)
      separator = ',\n'
    }
    await write('\n]}\n')
    response.end()
  })
}

export function writeCsvTable(db: Db, place: Place, response: ServerResponse, signal: AbortSignal): Promise<void> {
  return readTable(db, place, async ({ revision }, batches) => {
    const write = begin(response, revision, signal)
    await write(BYTE_ORDER_MARK + CSV_HEADER)
    for await (const lines of batches) {
      const entries = JSON.parse(`[${lines}]`) as WrittenEntry[]
      await write(entries.map(csvRow).join(''))
    }
    response.end()
  })
}

/** The revision is known by now; what was written waits until the client has taken it. */
function begin(response: ServerResponse, revision: number, signal: AbortSignal): Write {
  response.setHeader('ETag', formatEtag(revision))
  return async (text) => {
    signal.throwIfAborted()
    if (!response.write(text)) await once(response, 'drain', { signal })
  }
}
