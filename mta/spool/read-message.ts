// Reads one message from the files that hold it. Every byte is verified before it is handed out (SF-1).
import type { KeyObject } from 'node:crypto'
import { SALT_BYTES } from '../../common/seal.ts'
import { SpoolDamaged } from './contract.ts'
import type { SpooledMessage } from './contract.ts'
import type { Disk } from './disk.ts'
import { RECORD_HEADER_BYTES, decodeRecordHeader } from './format.ts'
import type { Frame } from './format.ts'
import type { HeldMessage } from './held-message.ts'
import type { HotMessage } from './hot-messages.ts'
import type { KeyRing } from './keys.ts'
import { LargeFileReader, largePath, parseTotals } from './large-file.ts'
import { openContent, openState } from './records.ts'
import { parseRecord, parseState } from './recover.ts'
import type { Place } from './segment.ts'

/** A message's records, verified. */
export interface StoredMessage {
  readonly frame: Frame
  readonly key: KeyObject
  readonly keyId: number
  /** JSON: the last one written. */
  readonly state: Buffer
}

/** What is read doesn't verify: `detail` for the operator, `found` as it is on disk. */
export interface Unreadable {
  readonly detail: string
  readonly found: Buffer
}

export async function readRecord(disk: Disk, place: Place): Promise<Buffer> {
  const file = await disk.openForReading(place.segment.path)
  try {
    return await disk.read(file, place.offset, place.bytes)
  } finally {
    await disk.close(file)
  }
}

export async function readStored(disk: Disk, keys: KeyRing, held: HeldMessage): Promise<StoredMessage | Unreadable> {
  const record = await readRecord(disk, held.place)
  const header = decodeRecordHeader(record, 0)
  const opened = header?.queueId === held.queueId ? openContent(keys, header, record) : undefined
  if (header === undefined || opened === undefined) return { detail: 'its record does not verify', found: record }
  const stored = { ...opened, keyId: header.keyId, state: opened.frame.state }
  if (held.statePlace === undefined) return stored
  const stateRecord = await readRecord(disk, held.statePlace)
  const stateHeader = decodeRecordHeader(stateRecord, 0)
  const isOurs = stateHeader?.queueId === held.queueId && stateHeader.type === 'state'
  const state = isOurs ? openState(opened.key, stateHeader, stateRecord) : undefined
  if (state === undefined) return { detail: 'its delivery state does not verify', found: record }
  return { ...stored, state: state.state }
}

/** The key of a message that isn't at hand: its salt is read, and nothing else. */
export async function readKey(
  disk: Disk,
  keys: KeyRing,
  held: HeldMessage,
): Promise<{ key: KeyObject; keyId: number } | undefined> {
  const head = await readRecord(disk, { ...held.place, bytes: RECORD_HEADER_BYTES + SALT_BYTES })
  if (head.length < RECORD_HEADER_BYTES + SALT_BYTES) return undefined
  const keyId = head.readUInt16BE(6)
  const key = keys.messageKey(keyId, head.subarray(RECORD_HEADER_BYTES))
  return key && { key, keyId }
}

export function openHot(hot: HotMessage): SpooledMessage {
  return { record: hot.record, state: hot.state, header: hot.header, body: () => hot.body, close: async () => {} }
}

/** @param damaged  quarantines the message */
export async function openStored(
  disk: Disk,
  keys: KeyRing,
  held: HeldMessage,
  stored: StoredMessage,
  damaged: (found: Unreadable) => Promise<void>,
): Promise<SpooledMessage | Unreadable> {
  const { frame } = stored
  const record = parseRecord(frame.record)
  const state = parseState(stored.state)
  if (held.largeBytes === 0) {
    const body = [frame.rest]
    return { record, state, header: frame.header, body: () => body, close: async () => {} }
  }
  const totals = parseTotals(frame.rest)
  const reader = totals && (await LargeFileReader.open(disk, keys, largePath(held.queueId), held.queueId, totals))
  const header = await reader?.header()
  if (reader === undefined || header === undefined) {
    await reader?.close()
    return { detail: 'its file is missing or does not verify', found: await readRecord(disk, held.place) }
  }
  const body = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of reader.body()) {
      if (chunk === undefined) {
        await damaged({ detail: 'its file does not verify', found: await readRecord(disk, held.place) })
        throw new SpoolDamaged('the message is damaged and has been quarantined')
      }
      yield chunk
    }
  }
  return { record, state, header, body, close: () => reader.close() }
}
