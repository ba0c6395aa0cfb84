// A message too large for the log: a file of its own, sealed in chunks while it is being received, so that memory stays bounded
// however large it is. Prefix, key id, project, queue id, salt, tag; chunks of body and then header block; an end with the totals.
// The header block comes last because a relay knows it last (rewriting.md R79). The file counts only once a log record names it.
import type { KeyObject } from 'node:crypto'
import { SALT_BYTES, Sealer, TAG_BYTES, counterNonce, seal, unseal, unsealUnverified } from '../../common/seal.ts'
import type { QueueId } from '../queue-id.ts'
import type { Disk, DiskFile } from './disk.ts'
import { byteLength } from './disk.ts'
import { PREFIX_BYTES, filePrefix, judgePrefix } from './format.ts'
import type { KeyRing } from './keys.ts'

export const LARGE_DIRECTORY = 'large'
/** Plain bytes of every chunk but the last. */
export const LARGE_CHUNK_BYTES = 128 * 1024
const SEALED_CHUNK_BYTES = LARGE_CHUNK_BYTES + TAG_BYTES
/** Handed to the disk at once while nothing else is on its way there; `write` waits when as much again has gathered. */
const WRITE_BYTES = 128 * 1024
const WAIT_BYTES = 256 * 1024
const HEAD_BYTES = PREFIX_BYTES + 4 + 16 + 16 + SALT_BYTES
const FIRST_CHUNK_AT = HEAD_BYTES + TAG_BYTES
const HEAD_NONCE = counterNonce(0xffffffff, 0)

/** What the log record says of the file, and the file's end too. */
export interface LargeTotals {
  readonly salt: string
  readonly bodyBytes: number
  readonly headerBytes: number
}

export function largePath(queueId: QueueId): string {
  return `${LARGE_DIRECTORY}/${queueId}`
}

const dataBytesOf = ({ bodyBytes, headerBytes }: LargeTotals) => bodyBytes + headerBytes
const chunkCountOf = (totals: LargeTotals) => Math.ceil(dataBytesOf(totals) / LARGE_CHUNK_BYTES)

/** Where the end record begins. */
const endAtOf = (totals: LargeTotals) => FIRST_CHUNK_AT + dataBytesOf(totals) + chunkCountOf(totals) * TAG_BYTES

export function largeFileBytes(totals: LargeTotals): number {
  return endAtOf(totals) + Buffer.byteLength(endTextOf(totals)) + TAG_BYTES
}

/** Totals as JSON text holds them; undefined when it doesn't. */
export function parseTotals(text: Buffer): LargeTotals | undefined {
  try {
    const { salt, bodyBytes, headerBytes } = JSON.parse(text.toString()) as Partial<LargeTotals>
    if (typeof salt !== 'string' || typeof bodyBytes !== 'number' || typeof headerBytes !== 'number') return undefined
    return { salt, bodyBytes, headerBytes }
  } catch {
    return undefined // not JSON
  }
}

const endTextOf = ({ salt, bodyBytes, headerBytes }: LargeTotals) => JSON.stringify({ salt, bodyBytes, headerBytes })

/** Message, position and whether it is the end: a chunk that is moved, left out or taken from elsewhere doesn't verify (SF-1). */
function chunkLabel(queueId: QueueId, index: number, isEnd: boolean): Buffer {
  const label = Buffer.alloc(16 + 4 + 1)
  label.write(queueId, 'latin1')
  label.writeUInt32BE(index, 16)
  label[20] = isEnd ? 1 : 0
  return label
}

function encodeHead(keys: KeyRing, queueId: QueueId, salt: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  filePrefix('large').copy(head)
  head.writeUInt32BE(keys.currentId, PREFIX_BYTES)
  keys.project.copy(head, PREFIX_BYTES + 4)
  head.write(queueId, PREFIX_BYTES + 20, 'latin1')
  salt.copy(head, PREFIX_BYTES + 36)
  return head
}

export class LargeFileWriter {
  readonly #disk: Disk
  readonly #queueId: QueueId
  readonly #path: string
  readonly #key: KeyObject
  readonly #salt: Buffer
  readonly #ready: Promise<DiskFile>
  readonly #nameIsDurable: Promise<void>
  #pending: Buffer[] = []
  #pendingBytes = 0
  #position = 0
  #writing: Promise<void> | undefined
  #failure: { readonly cause: unknown } | undefined
  #sealer: Sealer | undefined
  #chunkBytes = 0
  #chunks = 0
  #dataBytes = 0
  #isClosed = false

  constructor(disk: Disk, keys: KeyRing, queueId: QueueId) {
    const salt = keys.newSalt()
    const key = keys.largeKey(keys.currentId, salt)
    if (key === undefined) throw new Error('unreachable: the current project key is in the ring')
    this.#disk = disk
    this.#queueId = queueId
    this.#path = largePath(queueId)
    this.#key = key
    this.#salt = salt
    const head = encodeHead(keys, queueId, salt)
    this.#push(head, ...seal(key, HEAD_NONCE, head, []))
    this.#ready = disk.create(this.#path)
    // While the body comes in: at the commit only the file itself is left to be synced.
    this.#nameIsDurable = this.#ready.then(() => disk.syncDirectory(LARGE_DIRECTORY))
    for (const early of [this.#ready, this.#nameIsDurable]) early.catch(() => {}) // reported by `finish` or the next `write`
  }

  /** The chunk is consumed before it resolves. @throws the disk's error */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#seal(chunk)
    if (this.#failure !== undefined) return Promise.reject(this.#failure.cause)
    if (this.#pendingBytes >= WRITE_BYTES) this.#start()
    return this.#pendingBytes >= WAIT_BYTES ? this.#writing : undefined
  }

  /** Durable on return, its name included. @throws the disk's error */
  async finish(header: Uint8Array): Promise<LargeTotals> {
    const bodyBytes = this.#dataBytes
    this.#seal(header)
    this.#endChunk()
    const totals = { salt: this.#salt.toString('hex'), bodyBytes, headerBytes: header.length }
    const label = chunkLabel(this.#queueId, this.#chunks, true)
    this.#push(...seal(this.#key, counterNonce(0, this.#chunks), label, [Buffer.from(endTextOf(totals))]))
    await this.#settled()
    const file = await this.#ready
    await this.#disk.sync(file)
    await this.#nameIsDurable
    await this.#close(file)
    return totals
  }

  /** Closes and unlinks the file, finished or not; never throws: what is left of it is swept at the next start. */
  async abort(): Promise<void> {
    this.#pending = []
    this.#pendingBytes = 0
    await this.#writing?.catch(() => {})
    await this.#nameIsDurable.catch(() => {})
    const file = await this.#ready.catch(() => undefined)
    if (file === undefined) return
    await this.#close(file).catch(() => {})
    await this.#disk.unlink(this.#path).catch(() => {})
  }

  async #close(file: DiskFile): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#disk.close(file)
  }

  #push(...pieces: Buffer[]): void {
    this.#pending.push(...pieces)
    this.#pendingBytes += byteLength(pieces)
  }

  #seal(plain: Uint8Array): void {
    for (let from = 0; from < plain.length;) {
      this.#sealer ??= new Sealer(
        this.#key,
        counterNonce(0, this.#chunks),
        chunkLabel(this.#queueId, this.#chunks, false),
      )
      const part = plain.subarray(from, from + LARGE_CHUNK_BYTES - this.#chunkBytes)
      this.#push(this.#sealer.update(part))
      this.#chunkBytes += part.length
      this.#dataBytes += part.length
      from += part.length
      if (this.#chunkBytes === LARGE_CHUNK_BYTES) this.#endChunk()
    }
  }

  #endChunk(): void {
    if (this.#sealer === undefined) return
    this.#push(this.#sealer.end())
    this.#sealer = undefined
    this.#chunkBytes = 0
    this.#chunks++
  }

  /** One write at a time; what gathers meanwhile follows it. */
  #start(): void {
    if (this.#writing !== undefined) return
    this.#writing = this.#writePending()
      .catch((cause: unknown) => {
        this.#failure ??= { cause }
      })
      .finally(() => {
        this.#writing = undefined
        if (this.#pendingBytes >= WRITE_BYTES && this.#failure === undefined) this.#start()
      })
  }

  async #writePending(): Promise<void> {
    const file = await this.#ready
    const pieces = this.#pending
    const position = this.#position
    this.#pending = []
    this.#position += this.#pendingBytes
    this.#pendingBytes = 0
    await this.#disk.write(file, pieces, position)
  }

  /** Everything sealed so far is written. */
  async #settled(): Promise<void> {
    while (this.#writing !== undefined || this.#pendingBytes > 0) {
      if (this.#failure !== undefined) throw this.#failure.cause
      this.#start()
      await this.#writing
    }
    if (this.#failure !== undefined) throw this.#failure.cause
  }
}

/** A file whose head and end have been verified, open for reading. */
export class LargeFileReader {
  readonly #disk: Disk
  readonly #file: DiskFile
  readonly #key: KeyObject
  readonly #queueId: QueueId
  readonly #totals: LargeTotals
  readonly #reads = new Set<Promise<Buffer>>()
  #isOpen = true

  private constructor(disk: Disk, file: DiskFile, key: KeyObject, queueId: QueueId, totals: LargeTotals) {
    this.#disk = disk
    this.#file = file
    this.#key = key
    this.#queueId = queueId
    this.#totals = totals
  }

  /** undefined when the file is missing, damaged at its head or end, or not the one that `totals` speak of. */
  static async open(
    disk: Disk,
    keys: KeyRing,
    path: string,
    queueId: QueueId,
    totals: LargeTotals,
  ): Promise<LargeFileReader | undefined> {
    if (disk.size(path) !== largeFileBytes(totals)) return undefined
    const file = await disk.openForReading(path)
    const key = await verifiedKey(disk, file, keys, queueId, totals)
    if (key !== undefined) return new LargeFileReader(disk, file, key, queueId, totals)
    await disk.close(file)
    return undefined
  }

  /** The header block; undefined when it is damaged. */
  async header(): Promise<Buffer | undefined> {
    const { bodyBytes, headerBytes } = this.#totals
    const first = Math.floor(bodyBytes / LARGE_CHUNK_BYTES)
    const chunks: Buffer[] = []
    for (let index = first; index < chunkCountOf(this.#totals); index++) {
      const chunk = unsealChunk(this.#key, this.#queueId, index, await this.#sealedChunk(index))
      if (chunk === undefined) return undefined
      chunks.push(chunk)
    }
    const skip = bodyBytes - first * LARGE_CHUNK_BYTES
    return Buffer.concat(chunks).subarray(skip, skip + headerBytes)
  }

  /** Body chunks in order, each verified before it is handed out; undefined in place of one that is damaged, and then no more. */
  async *body(): AsyncGenerator<Buffer | undefined> {
    const count = Math.ceil(this.#totals.bodyBytes / LARGE_CHUNK_BYTES)
    let ahead = count > 0 ? this.#sealedChunk(0) : undefined
    for (let index = 0; ahead !== undefined; index++) {
      const sealed = await ahead
      ahead = index + 1 < count ? this.#sealedChunk(index + 1) : undefined
      const chunk = unsealChunk(this.#key, this.#queueId, index, sealed)
      if (chunk === undefined) {
        yield undefined
        return
      }
      yield chunk.subarray(0, this.#totals.bodyBytes - index * LARGE_CHUNK_BYTES)
    }
  }

  #sealedChunk(index: number): Promise<Buffer> {
    const from = FIRST_CHUNK_AT + index * SEALED_CHUNK_BYTES
    const to = Math.min(from + SEALED_CHUNK_BYTES, endAtOf(this.#totals))
    const read = this.#disk.read(this.#file, from, to - from)
    this.#reads.add(read)
    read.catch(() => {}).finally(() => this.#reads.delete(read)) // thrown where it is awaited
    return read
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    // A read that is still on its way would otherwise find another file under the same number.
    await Promise.allSettled(this.#reads)
    await this.#disk.close(this.#file)
  }
}

function unsealChunk(key: KeyObject, queueId: QueueId, index: number, sealed: Buffer): Buffer | undefined {
  return unseal(key, counterNonce(0, index), chunkLabel(queueId, index, false), sealed)
}

async function verifiedKey(
  disk: Disk,
  file: DiskFile,
  keys: KeyRing,
  queueId: QueueId,
  totals: LargeTotals,
): Promise<KeyObject | undefined> {
  const head = await disk.read(file, 0, FIRST_CHUNK_AT)
  const key = keyOfHead(keys, head)
  if (
    key === undefined ||
    unseal(key, HEAD_NONCE, head.subarray(0, HEAD_BYTES), head.subarray(HEAD_BYTES)) === undefined
  ) {
    return undefined
  }
  const isOurs = head.toString('latin1', PREFIX_BYTES + 20, PREFIX_BYTES + 36) === queueId
  if (!isOurs || head.toString('hex', PREFIX_BYTES + 36, HEAD_BYTES) !== totals.salt) return undefined
  const endAt = endAtOf(totals)
  const end = await disk.read(file, endAt, largeFileBytes(totals) - endAt)
  const index = chunkCountOf(totals)
  const text = unseal(key, counterNonce(0, index), chunkLabel(queueId, index, true), end)
  return text?.toString() === endTextOf(totals) ? key : undefined
}

function keyOfHead(keys: KeyRing, head: Buffer): KeyObject | undefined {
  if (head.length < FIRST_CHUNK_AT || judgePrefix('large', head) !== 'known') return undefined
  return keys.largeKey(head.readUInt32BE(PREFIX_BYTES), head.subarray(PREFIX_BYTES + 36, HEAD_BYTES))
}

/**
 * Header block and body as far as they can be made out, unverified: for an operator's eyes (SF-4).
 * @param totals  from the log record; undefined when that is lost too, and the file's own end must do
 */
export async function guessLargeContent(
  disk: Disk,
  keys: KeyRing,
  path: string,
  queueId: QueueId,
  totals: LargeTotals | undefined,
): Promise<Buffer> {
  const bytes = (await disk.readWhole(path)) ?? Buffer.alloc(0)
  const salt = totals === undefined ? undefined : Buffer.from(totals.salt, 'hex')
  const key = keyOfHead(keys, bytes.subarray(0, FIRST_CHUNK_AT)) ?? (salt && keys.largeKey(keys.currentId, salt))
  const known = totals ?? (key && findTotals(key, queueId, bytes))
  if (key === undefined || known === undefined) return Buffer.alloc(0)
  const chunks: Buffer[] = []
  for (let index = 0; index < chunkCountOf(known); index++) {
    const from = FIRST_CHUNK_AT + index * SEALED_CHUNK_BYTES
    const sealed = bytes.subarray(from, Math.min(from + SEALED_CHUNK_BYTES, endAtOf(known)))
    chunks.push(unsealUnverified(key, counterNonce(0, index), sealed))
  }
  const content = Buffer.concat(chunks)
  return Buffer.concat([content.subarray(known.bodyBytes), content.subarray(0, known.bodyBytes)])
}

/** The totals in the file's end, whose length is not known but has few possible values. */
function findTotals(key: KeyObject, queueId: QueueId, bytes: Buffer): LargeTotals | undefined {
  const numbers = 2 * String(Number.MAX_SAFE_INTEGER).length
  const shortest = Buffer.byteLength(endTextOf({ salt: 'f'.repeat(2 * SALT_BYTES), bodyBytes: 0, headerBytes: 0 }))
  for (let textBytes = shortest; textBytes < shortest + numbers; textBytes++) {
    const endAt = bytes.length - textBytes - TAG_BYTES
    const index = Math.ceil((endAt - FIRST_CHUNK_AT) / SEALED_CHUNK_BYTES)
    if (index < 0) return undefined
    const text = unseal(key, counterNonce(0, index), chunkLabel(queueId, index, true), bytes.subarray(endAt))
    if (text !== undefined) return parseTotals(text)
  }
  return undefined
}
