// Queue ids: sortable by time of acceptance, unique per spool, without meaning to outsiders.
import { randomBytes } from 'node:crypto'

declare const brand: unique symbol
/** 10 characters of time and 6 random ones, Crockford base32: `01JDA2B3C4XY5Z6Q`. */
export type QueueId = string & { readonly [brand]: 'QueueId' }

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const PATTERN = /^[0-9A-HJKMNP-TV-Z]{16}$/

export function newQueueId(nowMs: number): QueueId {
  let id = ''
  for (let rest = nowMs, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) id = ALPHABET[rest % 32] + id
  for (const byte of randomBytes(6)) id += ALPHABET[byte % 32]
  return id as QueueId
}

/** undefined when `text` is not a queue id. */
export function parseQueueId(text: string): QueueId | undefined {
  const id = text.toUpperCase()
  return PATTERN.test(id) ? (id as QueueId) : undefined
}
