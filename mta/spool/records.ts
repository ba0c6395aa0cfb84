// Makes and checks the log's records. Pure but for the salts the key ring draws.
// Nonces: a message's key seals its content once with the nonce 0 and its delivery states with (generation, sequence); a segment's key
// seals marks, removals and stamps with (generation, sequence), its own header with 0. Generations begin at 1, and no sequence number is
// used twice in one, whether what it sealed reached the disk or not: so no nonce repeats under a key (SF-2).
import type { KeyObject } from 'node:crypto'
import { SALT_BYTES, TAG_BYTES, counterNonce, seal, unseal, unsealUnverified } from '../../common/seal.ts'
import type { QueueId } from '../queue-id.ts'
import { byteLength } from './disk.ts'
import {
  RECORD_HEADER_BYTES,
  STAMP_LABEL,
  decodeFrame,
  decodeStamp,
  encodeFrameHead,
  encodeRecordHeader,
  encodeStamp,
} from './format.ts'
import type { Frame, RecordHeader, RecordType } from './format.ts'
import type { KeyRing } from './keys.ts'
import type { Segment } from './segment.ts'

/** Whether a message is being processed, and at how many process deaths it was (DU-8). */
export interface Mark {
  readonly isInHand: boolean
  readonly deaths: number
}

const MARK_BYTES = 2

function encodeMark({ isInHand, deaths }: Mark): Buffer {
  return Buffer.from([isInHand ? 1 : 0, Math.min(deaths, 255)])
}

function decodeMark(plain: Buffer): Mark | undefined {
  return plain.length < MARK_BYTES ? undefined : { isInHand: plain[0] === 1, deaths: plain.readUInt8(1) }
}

/** Where the log puts a record: known only when its commit group is formed, and not the same after a failed write. */
export interface Slot {
  readonly segment: Segment
  readonly groupStart: number
  readonly sequence: number
}

/** What a `message` or `large` record holds. */
export interface Content extends Mark {
  /** JSON */
  readonly record: string | Buffer
  /** JSON */
  readonly state: string | Buffer
  /** Empty in `large`. */
  readonly header: Uint8Array
  /** Body, in pieces; in `large` the totals of the file, JSON. */
  readonly rest: readonly Uint8Array[]
}

const CONTENT_NONCE = counterNonce(0, 0)

function headerFor(type: RecordType, queueId: QueueId, keyId: number, payloadBytes: number, slot: Slot): Buffer {
  return encodeRecordHeader({
    type,
    keyId,
    payloadBytes,
    segment: slot.segment.id,
    generation: slot.segment.generation,
    groupStart: slot.groupStart,
    sequence: slot.sequence,
    queueId,
  })
}

const nonceOf = ({ generation, sequence }: Pick<RecordHeader, 'generation' | 'sequence'>) =>
  counterNonce(generation, sequence)

/** Draws a fresh key each time: the same content sealed twice under one key and nonce would give its authentication away. */
export function sealContent(
  keys: KeyRing,
  type: 'message' | 'large',
  queueId: QueueId,
  content: Content,
  slot: Slot,
): { pieces: Buffer[]; key: KeyObject } {
  const salt = keys.newSalt()
  const key = keys.messageKey(keys.currentId, salt)
  if (key === undefined) throw new Error('unreachable: the current project key is in the ring')
  const head = encodeFrameHead(content.isInHand, content.deaths, content.record, content.state, content.header.length)
  const plain = [head, content.header, ...content.rest]
  const header = headerFor(type, queueId, keys.currentId, SALT_BYTES + byteLength(plain) + TAG_BYTES, slot)
  return { pieces: [header, salt, ...seal(key, CONTENT_NONCE, header, plain)], key }
}

/** `state` is JSON, `keyId` and `key` those of the message. */
export function sealState(
  key: KeyObject,
  keyId: number,
  queueId: QueueId,
  mark: Mark,
  state: string | Buffer,
  slot: Slot,
): Buffer[] {
  const plain = Buffer.concat([encodeMark(mark), typeof state === 'string' ? Buffer.from(state) : state])
  const header = headerFor('state', queueId, keyId, plain.length + TAG_BYTES, slot)
  return [header, ...seal(key, counterNonce(slot.segment.generation, slot.sequence), header, [plain])]
}

export function sealMark(queueId: QueueId, mark: Mark, slot: Slot): Buffer[] {
  const plain = encodeMark(mark)
  const header = headerFor('mark', queueId, slot.segment.keyId, plain.length + TAG_BYTES, slot)
  return [header, ...seal(slot.segment.key, counterNonce(slot.segment.generation, slot.sequence), header, [plain])]
}

export function sealRemoval(queueId: QueueId, slot: Slot): Buffer[] {
  const header = headerFor('remove', queueId, slot.segment.keyId, TAG_BYTES, slot)
  return [header, ...seal(slot.segment.key, counterNonce(slot.segment.generation, slot.sequence), header, [])]
}

/**
 * What is written over the salt of a finished message (SF-6): its content is lost with the salt, and a reader still knows that it was
 * finished and not damaged. `generation` and `sequence` are the writing process's own, not the record's.
 */
export function stampFor(segment: Segment, recordHeader: Buffer, generation: number, sequence: number): Buffer {
  const nonce = counterNonce(generation, sequence)
  const [tag] = seal(segment.key, nonce, Buffer.concat([STAMP_LABEL, recordHeader]), [])
  if (tag === undefined) throw new Error('unreachable: a sealed text ends with its tag')
  return encodeStamp(nonce, tag)
}

/** One whole record, header and payload. */
export function headerBytesOf(record: Buffer): Buffer {
  return record.subarray(0, RECORD_HEADER_BYTES)
}

function payloadOf(record: Buffer): Buffer {
  return record.subarray(RECORD_HEADER_BYTES)
}

export function isStamped(segment: Segment, record: Buffer): boolean {
  const stamp = decodeStamp(payloadOf(record).subarray(0, SALT_BYTES))
  if (stamp === undefined) return false
  return unseal(segment.key, stamp.nonce, Buffer.concat([STAMP_LABEL, headerBytesOf(record)]), stamp.tag) !== undefined
}

/** Content and key of a `message` or `large` record; undefined when any byte of it is not what was written. */
export function openContent(
  keys: KeyRing,
  header: RecordHeader,
  record: Buffer,
): { frame: Frame; key: KeyObject } | undefined {
  const payload = payloadOf(record)
  if (payload.length < SALT_BYTES + TAG_BYTES) return undefined
  const key = keys.messageKey(header.keyId, payload.subarray(0, SALT_BYTES))
  const plain = key && unseal(key, CONTENT_NONCE, headerBytesOf(record), payload.subarray(SALT_BYTES))
  const frame = plain && decodeFrame(plain)
  return key !== undefined && frame !== undefined ? { frame, key } : undefined
}

/** What can be made out of a damaged record, unverified: for an operator's eyes (SF-4). */
export function guessContent(keys: KeyRing, keyId: number, record: Buffer): Frame | undefined {
  const payload = payloadOf(record)
  if (payload.length < SALT_BYTES + TAG_BYTES) return undefined
  const key = keys.messageKey(keyId, payload.subarray(0, SALT_BYTES))
  return key && decodeFrame(unsealUnverified(key, CONTENT_NONCE, payload.subarray(SALT_BYTES)))
}

export function openState(
  key: KeyObject,
  header: RecordHeader,
  record: Buffer,
): { mark: Mark; state: Buffer } | undefined {
  const plain = unseal(key, nonceOf(header), headerBytesOf(record), payloadOf(record))
  const mark = plain && decodeMark(plain)
  return plain === undefined || mark === undefined ? undefined : { mark, state: plain.subarray(MARK_BYTES) }
}

export function openMark(segment: Segment, header: RecordHeader, record: Buffer): Mark | undefined {
  const plain = unseal(segment.key, nonceOf(header), headerBytesOf(record), payloadOf(record))
  return plain && decodeMark(plain)
}

export function isRemoval(segment: Segment, header: RecordHeader, record: Buffer): boolean {
  return unseal(segment.key, nonceOf(header), headerBytesOf(record), payloadOf(record)) !== undefined
}
