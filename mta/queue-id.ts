// Queue ids: sortable by time of acceptance, unique per spool, without meaning to outsiders.
import { randomFillSync } from 'node:crypto'

declare const brand: unique symbol
/** 10 characters of time and 6 random ones, Crockford base32: `01JDA2B3C4XY5Z6Q`. */
export type QueueId = string & { readonly [brand]: 'QueueId' }

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const PATTERN = /^[0-9A-HJKMNP-TV-Z]{16}$/
const TIME_CHARACTERS = 10
const RANDOM_CHARACTERS = 6

// Drawn for many ids at once: a call to the system's generator for each would be a tenth of an id's message's time in the queue.
const randomOctets = Buffer.alloc(RANDOM_CHARACTERS * 512)
let used = randomOctets.length
let timeMs = Number.NaN
let timeText = ''

/** @param nowMs  ms since the epoch */
export function newQueueId(nowMs: number): QueueId {
  if (nowMs !== timeMs) {
    timeText = ''
    for (let rest = nowMs, i = 0; i < TIME_CHARACTERS; i++, rest = Math.floor(rest / 32)) {
      timeText = ALPHABET.charAt(rest % 32) + timeText
    }
    timeMs = nowMs
  }
  if (used === randomOctets.length) {
    randomFillSync(randomOctets)
    used = 0
  }
  let id = timeText
  for (const end = used + RANDOM_CHARACTERS; used < end; used++) id += ALPHABET.charAt((randomOctets[used] ?? 0) % 32)
  return id as QueueId
}

/** undefined when `text` is not a queue id. */
export function parseQueueId(text: string): QueueId | undefined {
  const id = text.toUpperCase()
  return PATTERN.test(id) ? (id as QueueId) : undefined
}
