// Messages taken out of the way of the others: damaged ones, and those that were in hand at three process deaths (SF-4, DU-8).
// An entry is a file: prefix, length of a description, description (JSON, no content), and the bytes of the log as they were found,
// still sealed. The file of a large message lies beside it. Nothing here is ever delivered; an operator lists, exports and removes.
import { basename } from 'node:path'
import { SALT_BYTES } from '../../common/seal.ts'
import type { QueueId } from '../queue-id.ts'
import { parseQueueId } from '../queue-id.ts'
import type { QuarantineEntry } from './contract.ts'
import type { Disk } from './disk.ts'
import {
  PREFIX_BYTES,
  RECORD_HEADER_BYTES,
  decodeRecordHeader,
  filePrefix,
  findRecordMagic,
  judgePrefix,
} from './format.ts'
import type { Frame } from './format.ts'
import type { KeyRing } from './keys.ts'
import { LARGE_DIRECTORY, guessLargeContent, parseTotals } from './large-file.ts'
import { guessContent, openContent } from './records.ts'

export const QUARANTINE_DIRECTORY = 'quarantine'
const ENTRY_SUFFIX = '.entry'
const LARGE_SUFFIX = '.large'
const FIRST_BYTE_AT = PREFIX_BYTES + 4

export class Quarantine {
  readonly #disk: Disk
  readonly #keys: KeyRing
  #count: number

  constructor(disk: Disk, keys: KeyRing) {
    this.#disk = disk
    this.#keys = keys
    this.#count = this.#names().length
  }

  get count(): number {
    return this.#count
  }

  /** Durable on return; a large message's file goes along. Doing it again, after a crash in between, changes nothing. */
  async put(entry: QuarantineEntry, found: readonly Uint8Array[], isLarge: boolean): Promise<void> {
    const description = Buffer.from(JSON.stringify(entry))
    const length = Buffer.alloc(4)
    length.writeUInt32BE(description.length)
    const path = entryPath(entry.queueId)
    await this.#disk.replace(path, [filePrefix('quarantine'), length, description, ...found])
    if (isLarge && this.#disk.size(`${LARGE_DIRECTORY}/${entry.queueId}`) !== undefined) {
      await this.#disk.rename(`${LARGE_DIRECTORY}/${entry.queueId}`, largeEntryPath(entry.queueId))
      await this.#disk.syncDirectory(QUARANTINE_DIRECTORY)
      await this.#disk.syncDirectory(LARGE_DIRECTORY)
    }
    this.#count = this.#names().length
  }

  hasLarge(queueId: QueueId): boolean {
    return this.#disk.size(largeEntryPath(queueId)) !== undefined
  }

  async list(): Promise<QuarantineEntry[]> {
    const entries: QuarantineEntry[] = []
    for (const queueId of this.#names()) {
      const bytes = await this.#disk.readWhole(entryPath(queueId))
      if (bytes !== undefined) entries.push(describe(queueId, bytes))
    }
    return entries
  }

  /** Header block and body; of a damaged entry what can be made out, which may be nothing. @throws when there is no such entry */
  async export(queueId: string): Promise<Buffer> {
    const bytes = await this.#disk.readWhole(entryPath(queueId))
    if (bytes === undefined) throw new Error(`nothing is quarantined as ${queueId}`)
    const found = bytes.subarray(FIRST_BYTE_AT + descriptionBytes(bytes))
    const frame = findContent(this.#keys, found)
    const largeId = parseQueueId(queueId)
    if (largeId !== undefined && this.hasLarge(largeId)) {
      return guessLargeContent(
        this.#disk,
        this.#keys,
        largeEntryPath(queueId),
        largeId,
        frame && parseTotals(frame.rest),
      )
    }
    return frame === undefined ? Buffer.alloc(0) : Buffer.concat([frame.header, frame.rest])
  }

  async remove(queueId: string): Promise<void> {
    await this.#disk.unlink(largeEntryPath(queueId))
    await this.#disk.unlink(entryPath(queueId))
    await this.#disk.syncDirectory(QUARANTINE_DIRECTORY)
    this.#count = this.#names().length
  }

  #names(): string[] {
    const files = this.#disk.list(QUARANTINE_DIRECTORY).filter((name) => name.endsWith(ENTRY_SUFFIX))
    return files.map((name) => basename(name, ENTRY_SUFFIX))
  }
}

/** @throws when `queueId` could lead out of the directory */
function safeName(queueId: string): string {
  if (!/^[0-9A-Za-z-]{1,64}$/.test(queueId)) throw new Error('not the name of a quarantined message')
  return queueId
}

const entryPath = (queueId: string) => `${QUARANTINE_DIRECTORY}/${safeName(queueId)}${ENTRY_SUFFIX}`
const largeEntryPath = (queueId: string) => `${QUARANTINE_DIRECTORY}/${safeName(queueId)}${LARGE_SUFFIX}`

function descriptionBytes(bytes: Buffer): number {
  return judgePrefix('quarantine', bytes) === 'known' && bytes.length >= FIRST_BYTE_AT
    ? bytes.readUInt32BE(PREFIX_BYTES)
    : 0
}

function describe(queueId: string, bytes: Buffer): QuarantineEntry {
  try {
    // Written by `put`; checked below as far as a reader relies on it.
    const entry = JSON.parse(
      bytes.toString('utf8', FIRST_BYTE_AT, FIRST_BYTE_AT + descriptionBytes(bytes)),
    ) as QuarantineEntry
    if (entry.queueId === queueId) return entry
  } catch {
    // falls through: the description is damaged too
  }
  return { queueId, reason: 'damaged', at: 0, sizeBytes: bytes.length, detail: 'the description is unreadable' }
}

/** The first message in bytes found in the log: verified if there is one that verifies, else the best guess. */
function findContent(keys: KeyRing, found: Buffer): Frame | undefined {
  let guess: Frame | undefined
  for (let at = findRecordMagic(found, 0); at >= 0; at = findRecordMagic(found, at + 1)) {
    const header = decodeRecordHeader(found, at)
    if (header === undefined || (header.type !== 'message' && header.type !== 'large')) continue
    const record = found.subarray(at, at + RECORD_HEADER_BYTES + header.payloadBytes)
    const opened = openContent(keys, header, record)
    if (opened !== undefined) return opened.frame
    guess ??= plausible(guessContent(keys, header.keyId, record))
  }
  // A header that is beyond recognition was where the damage begins.
  if (guess === undefined && found.length > RECORD_HEADER_BYTES + SALT_BYTES)
    guess = plausible(guessContent(keys, keys.currentId, found))
  return guess
}

/** Unverified text that still has the form of a message's frame. */
function plausible(frame: Frame | undefined): Frame | undefined {
  return frame !== undefined && frame.record[0] === 0x7b && frame.record.at(-1) === 0x7d ? frame : undefined
}
