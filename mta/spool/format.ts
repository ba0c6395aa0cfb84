// What the spool's files look like. Pure: bytes to values and back.
// Every file starts with a prefix that all versions share, so that an older program knows a newer file without understanding it (SF-5).
// A segment of the log is a header and records; a record is a header and a sealed payload, whose associated data is the header (SF-1).
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { SALT_BYTES, TAG_BYTES } from '../../common/seal.ts'
import type { QueueId } from '../queue-id.ts'
import { parseQueueId } from '../queue-id.ts'

export const FORMAT_VERSION = 1
/** AES-256-GCM, keys by HKDF-SHA-256. */
const ALGORITHM = 1

// ---- prefix of every file: magic 8, version 2, algorithm 2, CRC-32 of these 4 ----

export const PREFIX_BYTES = 16
const MAGIC = { segment: 'CWsegmnt', large: 'CWlarge.', manifest: 'CWmanif.', quarantine: 'CWquarnt' } as const
export type FileKind = keyof typeof MAGIC

export function filePrefix(kind: FileKind): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.write(MAGIC[kind], 'latin1')
  prefix.writeUInt16BE(FORMAT_VERSION, 8)
  prefix.writeUInt16BE(ALGORITHM, 10)
  prefix.writeUInt32BE(crc32(prefix.subarray(0, 12)), 12)
  return prefix
}

/** `newer`: made by a later version of this program, intact as far as can be known. */
export function judgePrefix(kind: FileKind, bytes: Buffer): 'known' | 'newer' | 'damaged' {
  if (bytes.length < PREFIX_BYTES || bytes.readUInt32BE(12) !== crc32(bytes.subarray(0, 12))) return 'damaged'
  if (bytes.toString('latin1', 0, 8) !== MAGIC[kind]) return 'damaged'
  if (bytes.readUInt16BE(8) > FORMAT_VERSION) return 'newer'
  return bytes.readUInt16BE(8) === FORMAT_VERSION && bytes.readUInt16BE(10) === ALGORITHM ? 'known' : 'damaged'
}

/** 16 bytes that stand for the project in file headers: its name may be of any length. */
export function projectDigest(project: string): Buffer {
  return createHash('sha256').update(project).digest().subarray(0, 16)
}

// ---- segment header: prefix, key id, segment, generation, project, salt of the segment's key, tag over all before it ----

const SEGMENT_TAG_AT = 80
export const SEGMENT_HEADER_BYTES = SEGMENT_TAG_AT + TAG_BYTES

export interface SegmentHeader {
  readonly keyId: number
  readonly segment: number
  readonly generation: number
  readonly project: Buffer
  readonly salt: Buffer
}

/** Without its tag: `SEGMENT_HEADER_BYTES - TAG_BYTES` long. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_TAG_AT)
  filePrefix('segment').copy(bytes)
  bytes.writeUInt32BE(header.keyId, 16)
  bytes.writeUInt32BE(header.segment, 20)
  bytes.writeUInt32BE(header.generation, 24)
  header.project.copy(bytes, 32)
  header.salt.copy(bytes, 48)
  return bytes
}

/** Not authenticated yet: the caller checks the tag with the key that `salt` gives. undefined when it can't be a header. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES || judgePrefix('segment', bytes) !== 'known') return undefined
  return {
    keyId: bytes.readUInt32BE(16),
    segment: bytes.readUInt32BE(20),
    generation: bytes.readUInt32BE(24),
    project: bytes.subarray(32, 48),
    salt: bytes.subarray(48, SEGMENT_TAG_AT),
  }
}

// ---- record header ----

const RECORD_MAGIC = Buffer.from([0xc5, 0x57, 0x52, 0x1f])
const RECORD_CRC_AT = 48
export const RECORD_HEADER_BYTES = 52
/** A state of thousands of recipients with long replies fits; more is a fault of the caller. */
export const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

/**
 * - `message`: salt, then record, delivery state, header block and body as one sealed chunk
 * - `large`: salt, then record, delivery state and totals of the file that holds header block and body
 * - `state`: delivery state, under the message's key
 * - `mark`: in hand or not, and process deaths, under the segment's key (DU-8)
 * - `remove`: the message is finished, under the segment's key
 */
export const RECORD_TYPES = ['message', 'large', 'state', 'mark', 'remove'] as const
export type RecordType = (typeof RECORD_TYPES)[number]

export interface RecordHeader {
  readonly type: RecordType
  readonly keyId: number
  readonly payloadBytes: number
  readonly segment: number
  /** Fencing number of the process that wrote it (DU-7). */
  readonly generation: number
  /** Where its commit group begins in the segment: all before it was on stable storage when this record was written. */
  readonly groupStart: number
  /** Grows by at least one from record to record of a generation. */
  readonly sequence: number
  readonly queueId: QueueId
}

export function encodeRecordHeader(header: RecordHeader): Buffer {
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES)
  RECORD_MAGIC.copy(bytes)
  bytes[4] = RECORD_TYPES.indexOf(header.type) + 1
  bytes[5] = 0
  bytes.writeUInt16BE(header.keyId, 6)
  bytes.writeUInt32BE(header.payloadBytes, 8)
  bytes.writeUInt32BE(header.segment, 12)
  bytes.writeUInt32BE(header.generation, 16)
  bytes.writeUInt32BE(header.groupStart, 20)
  bytes.writeUIntBE(0, 24, 2)
  bytes.writeUIntBE(header.sequence, 26, 6)
  bytes.write(header.queueId, 32, 16, 'latin1')
  bytes.writeUInt32BE(crc32(bytes.subarray(0, RECORD_CRC_AT)), RECORD_CRC_AT)
  return bytes
}

/** The header at `offset`, if there is one and its record ends within `bytes`. Its checksum holds, but nothing is authenticated yet. */
export function decodeRecordHeader(bytes: Buffer, offset: number): RecordHeader | undefined {
  const header = peekRecordHeader(bytes, offset)
  return header !== undefined && offset + RECORD_HEADER_BYTES + header.payloadBytes <= bytes.length ? header : undefined
}

/** The same where only the beginning of the record is at hand. */
export function peekRecordHeader(bytes: Buffer, offset: number): RecordHeader | undefined {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return undefined
  const header = bytes.subarray(offset, offset + RECORD_HEADER_BYTES)
  if (RECORD_MAGIC.compare(header, 0, 4) !== 0) return undefined
  if (header.readUInt32BE(RECORD_CRC_AT) !== crc32(header.subarray(0, RECORD_CRC_AT))) return undefined
  const type = RECORD_TYPES[header.readUInt8(4) - 1]
  const payloadBytes = header.readUInt32BE(8)
  const queueId = parseQueueId(header.toString('latin1', 32, 48))
  if (type === undefined || queueId === undefined || header[5] !== 0 || header.readUInt16BE(24) !== 0) return undefined
  if (payloadBytes > MAX_PAYLOAD_BYTES) return undefined
  return {
    type,
    keyId: header.readUInt16BE(6),
    payloadBytes,
    segment: header.readUInt32BE(12),
    generation: header.readUInt32BE(16),
    groupStart: header.readUInt32BE(20),
    sequence: header.readUIntBE(26, 6),
    queueId,
  }
}

/** Offset of the next place at or after `from` where a record may begin; -1 when there is none. */
export function findRecordMagic(bytes: Buffer, from: number): number {
  return bytes.indexOf(RECORD_MAGIC, from)
}

// ---- payload of `message` and `large`: in hand 1, deaths 1, zero 2, three lengths of 4; record, state, header block, rest ----

const FRAME_HEAD_BYTES = 16

export interface Frame {
  readonly isInHand: boolean
  readonly deaths: number
  /** JSON */
  readonly record: Buffer
  /** JSON */
  readonly state: Buffer
  /** Empty in `large`. */
  readonly header: Buffer
  /** Body of the message; in `large` the totals of the file, JSON. */
  readonly rest: Buffer
}

/** The frame up to its header block: the caller seals it, then the header block, then the rest. */
export function encodeFrameHead(
  isInHand: boolean,
  deaths: number,
  record: string | Buffer,
  state: string | Buffer,
  headerBytes: number,
): Buffer {
  const recordBytes = Buffer.byteLength(record)
  const stateBytes = Buffer.byteLength(state)
  const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES + recordBytes + stateBytes)
  head[0] = isInHand ? 1 : 0
  head[1] = Math.min(deaths, 255)
  head.writeUInt16BE(0, 2)
  head.writeUInt32BE(recordBytes, 4)
  head.writeUInt32BE(stateBytes, 8)
  head.writeUInt32BE(headerBytes, 12)
  put(head, record, FRAME_HEAD_BYTES)
  put(head, state, FRAME_HEAD_BYTES + recordBytes)
  return head
}

function put(into: Buffer, text: string | Buffer, offset: number): void {
  if (typeof text === 'string') into.write(text, offset)
  else text.copy(into, offset)
}

/** undefined when the lengths don't fit: then it was not this program that sealed it, or it is read without verification. */
export function decodeFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < FRAME_HEAD_BYTES) return undefined
  const recordEnd = FRAME_HEAD_BYTES + bytes.readUInt32BE(4)
  const stateEnd = recordEnd + bytes.readUInt32BE(8)
  const headerEnd = stateEnd + bytes.readUInt32BE(12)
  if (headerEnd > bytes.length) return undefined
  return {
    isInHand: bytes[0] === 1,
    deaths: bytes.readUInt8(1),
    record: bytes.subarray(FRAME_HEAD_BYTES, recordEnd),
    state: bytes.subarray(recordEnd, stateEnd),
    header: bytes.subarray(stateEnd, headerEnd),
    rest: bytes.subarray(headerEnd),
  }
}

// ---- what takes the place of a finished message's salt (SF-6): nonce 12, zero 4, tag 16 under the segment's key ----

const STAMP_ZERO = Buffer.alloc(4)
export const STAMP_LABEL = Buffer.from('finished')

export function encodeStamp(nonce: Buffer, tag: Buffer): Buffer {
  return Buffer.concat([nonce, STAMP_ZERO, tag], SALT_BYTES)
}

/** undefined when these 32 bytes can only be a salt. */
export function decodeStamp(salt: Buffer): { nonce: Buffer; tag: Buffer } | undefined {
  if (salt.length !== SALT_BYTES || STAMP_ZERO.compare(salt, 12, 16) !== 0) return undefined
  return { nonce: salt.subarray(0, 12), tag: salt.subarray(16) }
}
