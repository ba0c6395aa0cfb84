// Where the next page is. A link is good for the call that it was handed out for, POSTed once more with the same body; it needs no memory here, and
// holds across a restart.
import { createHash } from 'node:crypto'
import type { Cursor } from './cmdlet.ts'

/** As Exchange calls itself in what it hands out, wherever it is reached. */
export const EXCHANGE_ORIGIN = 'https://outlook.sandbox.test'

export interface PagePlace {
  readonly cursor: Cursor
  /** How many more rows the ResultSize allows; null: any number. */
  readonly left: number | null
}

/** Which call a link belongs to. */
export interface PagedCall {
  /** `/adminapi/beta/{tenant}/InvokeCommand` */
  readonly path: string
  readonly select: string | undefined
  /** `CmdletInput`, as it was parsed. */
  readonly input: unknown
}

export function nextLink(call: PagedCall, { cursor, left }: PagePlace): string {
  const token = Buffer.from(JSON.stringify([cursor.place, cursor.id ?? null, left, digestOf(call)])).toString(
    'base64url',
  )
  const select = call.select === undefined ? '' : `%24select=${encodeURIComponent(call.select)}&`
  return `${EXCHANGE_ORIGIN}${call.path}?${select}%24skiptoken=${token}`
}

/** undefined: not a link of this call. */
export function readSkipToken(token: string, call: PagedCall): PagePlace | undefined {
  let read: unknown
  try {
    read = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))
  } catch {
    // Not one of ours.
    return undefined
  }
  if (!Array.isArray(read)) return undefined
  const [place, id, left, digest] = read as unknown[]
  if (digest !== digestOf(call) || !Number.isSafeInteger(place)) return undefined
  const cursor: Cursor = { place: Number(place), ...(typeof id === 'string' ? { id } : {}) }
  return { cursor, left: typeof left === 'number' ? left : null }
}

function digestOf({ path, select, input }: PagedCall): string {
  const what = JSON.stringify([path.toLowerCase().replace('/v1.0/', '/beta/'), select ?? null, input])
  return createHash('sha256').update(what).digest('base64url').slice(0, 22)
}
