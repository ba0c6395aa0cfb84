// Events for the control plane as the buffer keeps them: an id, a blank, a line of the journal. And as they are handed over. (RC-7) Pure but for the id.
import { randomBytes, randomInt } from 'node:crypto'
import type { EventClass, RelayEvent } from '../../common/relay-contract.ts'

/** What goes first when there is no room: in this order. */
export const EVENT_CLASSES: readonly EventClass[] = ['metric', 'message', 'audit']

const ID_LENGTH = 36
const MAX_FIELDS_BYTES = 8 * 1024

/** rand_a of RFC 9562: 12 bits that count within a millisecond, begun low so that there is room to count. */
const FIRST_COUNT = 0x100
const COUNTS = 0x1000

/** Gives UUIDs of version 7 (RFC 9562 §5.7, §6.2 method 1): each sorts behind the one before, however fast they come and wherever the clock goes. */
export function eventIds(): (nowMs: number) => string {
  let ms = 0
  let count = 0
  return (nowMs) => {
    if (nowMs > ms) {
      ms = nowMs
      count = randomInt(FIRST_COUNT)
    } else if (++count === COUNTS) {
      ms++
      count = 0
    }
    const bytes = randomBytes(16)
    bytes.writeUIntBE(ms, 0, 6)
    bytes.writeUInt16BE(0x7000 | count, 6)
    bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8)
    const hex = bytes.toString('hex')
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  }
}

/** @param line  JSON and a line feed, as the journal writes it */
export function bufferedLine(id: string, line: string): string {
  return `${id} ${line}`
}

/** A client that was refused (SP-9), as a line. */
export function refusedLine(nowMs: number, address: string, reason: string): string {
  return `${JSON.stringify({ time: new Date(nowMs).toISOString(), event: 'client.refused', address, reason })}\n`
}

/** A probe that came back, or validation mail (SP-11), as a line. */
export function nonceMailLine(
  nowMs: number,
  event: 'probe' | 'validation',
  fields: Readonly<Record<string, string | number>>,
): string {
  return `${JSON.stringify({ time: new Date(nowMs).toISOString(), event, ...fields })}\n`
}

/** undefined for what is no whole line: the last one before a crash may be torn. */
export function eventOf(eventClass: EventClass, buffered: string): RelayEvent | undefined {
  let value: unknown
  try {
    value = JSON.parse(buffered.slice(ID_LENGTH + 1))
  } catch {
    return undefined // torn
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { time, event, queueId, ...fields } = value as Partial<Record<string, unknown>>
  if (typeof time !== 'string' || typeof event !== 'string') return undefined
  return {
    id: buffered.slice(0, ID_LENGTH),
    class: eventClass,
    time,
    event,
    ...(typeof queueId === 'string' ? { queueId } : {}),
    fields: bounded(fields),
  }
}

/** The list of recipients is what can be long: how many there are stands beside it. */
function bounded(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (Buffer.byteLength(JSON.stringify(fields)) <= MAX_FIELDS_BYTES) return fields
  const short = Object.entries(fields).filter(([, value]) =>
    typeof value === 'string' ? value.length <= 512 : typeof value !== 'object',
  )
  return Object.fromEntries(short)
}
