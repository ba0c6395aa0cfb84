// Queue ids: sortable by time of acceptance, unique per relay, whichever of its processes made them, without meaning to outsiders.
import { randomInt } from 'node:crypto'

declare const brand: unique symbol
/** 10 characters of time and 6 of the process and its order there, Crockford base32: `01JDA2B3C4XY5Z6Q`. */
export type QueueId = string & { readonly [brand]: 'QueueId' }

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const PATTERN = /^[0-9A-HJKMNP-TV-Z]{16}$/
const TIME_CHARACTERS = 10
const REST_CHARACTERS = 6
/** Of the 30 bits in 6 characters, 6 tell processes apart and 24 count within a millisecond, from a random number on. */
const PROCESSES = 64
const COUNTS = 2 ** 24

let processNumber = 0
let timeMs = -1
let timeText = ''
let count = 0

/** The ids of this process differ from those of processes with other numbers: an id must name one message of the relay, not one a spool. */
export function numberQueueIds(worker: number): void {
  processNumber = worker % PROCESSES
}

/**
 * A clock that is set back doesn't take the ids back: what is made in a millisecond for the second time could be what was made in it before.
 * @param nowMs  ms since the epoch
 */
export function newQueueId(nowMs: number): QueueId {
  const wholeMs = Math.floor(nowMs)
  if (wholeMs > timeMs) startMillisecond(wholeMs)
  else if (++count === COUNTS) startMillisecond(timeMs + 1)
  return (timeText + base32(processNumber * COUNTS + count, REST_CHARACTERS)) as QueueId
}

function startMillisecond(ms: number): void {
  timeMs = ms
  timeText = base32(ms, TIME_CHARACTERS)
  count = randomInt(COUNTS)
}

function base32(value: number, characters: number): string {
  let text = ''
  for (let rest = value, i = 0; i < characters; i++, rest = Math.floor(rest / 32))
    text = ALPHABET.charAt(rest % 32) + text
  return text
}

/** undefined when `text` is not a queue id. */
export function parseQueueId(text: string): QueueId | undefined {
  const id = text.toUpperCase()
  return PATTERN.test(id) ? (id as QueueId) : undefined
}
