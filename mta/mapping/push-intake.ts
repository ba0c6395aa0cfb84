// A push as its frames come in: parts, manifest, signature. Tables are read and kept as they pass, so that none is ever whole in memory as text;
// nothing is believed before the signature was judged. (common/relay-contract.ts, RC-2)
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { MAX_PART_BYTES, PART_NAMES } from '../../common/relay-contract.ts'
import type { ManifestPart, PartName } from '../../common/relay-contract.ts'
import { FrameFault } from './frames.ts'
import type { Frame } from './frames.ts'

/** Takes a table's octets. */
export interface TableSink {
  write(chunk: Buffer): Promise<void>
  /** The table is not wanted. Idempotent. */
  abort(): Promise<void>
}

/** All of a push, unjudged. */
export interface ReceivedPush<Sink extends TableSink> {
  readonly manifest: Buffer
  readonly signature: Buffer
  /** In the order they came. */
  readonly parts: readonly ManifestPart[]
  /** The parts but for the table. */
  readonly bytes: ReadonlyMap<PartName, Buffer>
  readonly table: Sink | undefined
}

interface OpenPart {
  readonly name: PartName
  readonly hash: Hash
  readonly chunks: Buffer[]
  sizeBytes: number
}

export class PushIntake<Sink extends TableSink> {
  readonly #beginTable: () => Promise<Sink>
  readonly #parts: ManifestPart[] = []
  readonly #bytes = new Map<PartName, Buffer>()
  #open: OpenPart | undefined
  #table: Sink | undefined
  #manifest: Buffer | undefined

  constructor(beginTable: () => Promise<Sink>) {
    this.#beginTable = beginTable
  }

  /** Something of a push has come, and not all of it. */
  get isUnderWay(): boolean {
    return this.#open !== undefined || this.#parts.length > 0 || this.#manifest !== undefined
  }

  /**
   * Takes the next frame; heartbeats may stand anywhere.
   * @returns the push once it is complete: then a new intake takes the next one
   * @throws FrameFault where it doesn't belong there; then `abort`
   */
  async frame({ kind, payload }: Frame): Promise<ReceivedPush<Sink> | undefined> {
    switch (kind) {
      case 'heartbeat':
        return undefined
      case 'part':
        await this.#begin(payload)
        return undefined
      case 'chunk':
        await this.#chunk(payload)
        return undefined
      case 'manifest':
        this.#endPart()
        if (this.#manifest !== undefined) throw new FrameFault('a second manifest')
        this.#manifest = payload
        return undefined
      case 'signature':
        return this.#complete(payload)
      case 'key':
      case 'revoked':
        throw new FrameFault(`a frame ${kind} within a push`)
      default:
        return kind satisfies never
    }
  }

  async abort(): Promise<void> {
    await this.#table?.abort()
  }

  async #begin(payload: Buffer): Promise<void> {
    if (this.#manifest !== undefined) throw new FrameFault('a part behind the manifest')
    this.#endPart()
    const name = partName(payload)
    if (name === undefined || this.#parts.some((part) => part.name === name))
      throw new FrameFault('a part that is unknown, or came before')
    this.#open = { name, hash: createHash('sha256'), chunks: [], sizeBytes: 0 }
    if (name === 'table') this.#table = await this.#beginTable()
  }

  async #chunk(payload: Buffer): Promise<void> {
    const open = this.#open
    if (open === undefined) throw new FrameFault('a chunk of no part')
    open.sizeBytes += payload.length
    if (open.sizeBytes > MAX_PART_BYTES[open.name]) throw new FrameFault(`a part ${open.name} that is too large`)
    open.hash.update(payload)
    if (open.name === 'table') await this.#table?.write(payload)
    else open.chunks.push(payload)
  }

  #endPart(): void {
    if (this.#open === undefined) return
    const { name, hash, chunks, sizeBytes } = this.#open
    this.#parts.push({ name, sizeBytes, sha256: hash.digest('hex') })
    if (name !== 'table') this.#bytes.set(name, Buffer.concat(chunks))
    this.#open = undefined
  }

  #complete(signature: Buffer): ReceivedPush<Sink> {
    if (this.#manifest === undefined) throw new FrameFault('a signature of nothing')
    return { manifest: this.#manifest, signature, parts: this.#parts, bytes: this.#bytes, table: this.#table }
  }
}

function partName(payload: Buffer): PartName | undefined {
  try {
    const value: unknown = JSON.parse(payload.toString())
    return typeof value === 'object' && value !== null && 'name' in value
      ? PART_NAMES.find((name) => name === value.name)
      : undefined
  } catch {
    return undefined // told as unknown
  }
}
