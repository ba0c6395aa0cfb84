// Lists by key, never by offset: stable order, a cursor that names the last row of the page. (control-plane.md §1) Pure.
import { z } from 'zod'
import { badRequest } from './problem.ts'

export const DEFAULT_LIMIT = 100
export const MAX_LIMIT = 1000

/** Query of every list. */
export const pageQuery = {
  cursor: z.string().max(1000).optional().meta({ description: 'Where the last page ended: from its `next`.' }),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(MAX_LIMIT)
    .default(DEFAULT_LIMIT)
    .meta({ description: 'Items on the page.' }),
}

export interface PageRequest {
  /** Key values of the last row before the page, in the list's order; undefined: from the start. */
  readonly after: readonly (string | number)[] | undefined
  readonly limit: number
}

/**
 * @param width  how many key values the list's order has
 * @throws Problem for a cursor that is none of this list
 */
export function parsePage(query: { cursor?: string | undefined; limit: number }, width: number): PageRequest {
  if (query.cursor === undefined) return { after: undefined, limit: query.limit }
  const after = parseCursor(query.cursor)
  if (after?.length !== width) throw notACursor()
  return { after, limit: query.limit }
}

const notACursor = () => badRequest([{ pointer: '/query/cursor', code: 'cursor', detail: 'not a cursor of this list' }])

export function formatCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url')
}

function parseCursor(text: string): (string | number)[] | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    return Array.isArray(value) && value.every(isKeyValue) ? (value as (string | number)[]) : undefined
  } catch {
    return undefined
  }
}

/** Postgres takes no NUL in text. */
const isKeyValue = (part: unknown): boolean =>
  typeof part === 'string' ? !part.includes('\0') : Number.isSafeInteger(part)

const MAX_TIME_MS = Date.UTC(9999, 0)

/** A key value that is a time, in ms since the epoch. @throws Problem for a cursor that has none there */
export function cursorTime(value: string | number | undefined): Date {
  if (typeof value === 'number' && value >= 0 && value <= MAX_TIME_MS) return new Date(value)
  throw notACursor()
}

/** A key value that is a whole number, ≥ 0. @throws Problem for a cursor that has none there */
export function cursorNumber(value: string | number | undefined): number {
  if (typeof value === 'number' && value >= 0) return value
  throw notACursor()
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Path and query of the next page; absent on the last. */
  readonly next?: string
}

/** @param rows  `limit` + 1 of them where there are more: the surplus one only says so */
export function toPage<Row, T>(
  rows: readonly Row[],
  limit: number,
  shape: (row: Row) => T,
  keyOf: (row: Row) => readonly (string | number)[],
  url: string,
): Page<T> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const items = shown.map(shape)
  return rows.length > limit && last !== undefined
    ? { items, next: nextUrl(url, formatCursor(keyOf(last))) }
    : { items }
}

function nextUrl(url: string, cursor: string): string {
  const [path = '', query = ''] = url.split('?', 2)
  const parameters = new URLSearchParams(query)
  parameters.set('cursor', cursor)
  return `${path}?${parameters.toString()}`
}

export function pageOf<T extends z.ZodType>(item: T) {
  return z.strictObject({
    items: z.array(item),
    next: z.string().optional().meta({ description: 'The next page; absent on the last.' }),
  })
}
