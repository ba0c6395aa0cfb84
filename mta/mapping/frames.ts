// Frames of the stream from the control plane (common/relay-contract.ts): 4 octets length, 1 octet kind, payload. Whatever comes, memory stays
// within one frame. Pure.
import { FRAME_HEAD_BYTES, FRAME_KINDS, MAX_FRAME_BYTES } from '../../common/relay-contract.ts'
import type { FrameKind } from '../../common/relay-contract.ts'

export interface Frame {
  readonly kind: FrameKind
  readonly payload: Buffer
}

/** What came is no stream of frames: nothing behind it can be read. */
export class FrameFault extends Error {
  override readonly name = 'FrameFault'
}

const LENGTH_BYTES = 4
const KINDS = new Map(Object.entries(FRAME_KINDS).map(([kind, octet]) => [octet as number, kind as FrameKind]))

export class FrameDecoder {
  #pending: Buffer[] = []
  #pendingBytes = 0
  /** Of the frame at hand with its head; undefined: the head isn't there yet. */
  #wanted: number | undefined

  /** Nothing of a frame has come yet. */
  get isBetweenFrames(): boolean {
    return this.#pendingBytes === 0
  }

  /** @returns the frames that are complete now, in order. @throws FrameFault; afterwards nothing more may be pushed */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    let rest = chunk
    while (rest.length > 0) {
      const missing = (this.#wanted ?? FRAME_HEAD_BYTES) - this.#pendingBytes
      const taken = rest.subarray(0, missing)
      rest = rest.subarray(taken.length)
      this.#pending.push(taken)
      this.#pendingBytes += taken.length
      if (taken.length < missing) break
      const bytes = this.#pending.length === 1 ? taken : Buffer.concat(this.#pending)
      this.#wanted ??= wantedBytes(bytes)
      if (this.#pendingBytes < this.#wanted) {
        this.#pending = [bytes]
        continue
      }
      frames.push(frameOf(bytes))
      this.#pending = []
      this.#pendingBytes = 0
      this.#wanted = undefined
    }
    return frames
  }
}

/** @param head  length and kind. @returns length of the whole frame */
function wantedBytes(head: Buffer): number {
  const length = head.readUInt32BE(0)
  if (length < 1 || length > MAX_FRAME_BYTES) throw new FrameFault(`a frame of ${length} octets`)
  if (!KINDS.has(head.readUInt8(LENGTH_BYTES))) throw new FrameFault('a frame of unknown kind')
  return LENGTH_BYTES + length
}

function frameOf(bytes: Buffer): Frame {
  const kind = KINDS.get(bytes.readUInt8(LENGTH_BYTES))
  if (kind === undefined) throw new Error('unreachable: the kind was looked at with the head')
  return { kind, payload: bytes.subarray(FRAME_HEAD_BYTES) }
}

/** @param payload  shorter than `MAX_FRAME_BYTES` */
export function encodeFrame(kind: FrameKind, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  if (payload.length >= MAX_FRAME_BYTES) throw new RangeError(`a frame of ${payload.length} octets`)
  const bytes = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length)
  bytes.writeUInt32BE(1 + payload.length, 0)
  bytes.writeUInt8(FRAME_KINDS[kind], LENGTH_BYTES)
  bytes.set(payload, FRAME_HEAD_BYTES)
  return bytes
}

/** So that a reader's memory stays small, and its work between two chunks short. */
const CHUNK_BYTES = 256 * 1024

/** A part as frames, its beginning and its chunks. */
export function* partFrames(name: string, bytes: Uint8Array): Generator<Buffer> {
  yield encodeFrame('part', Buffer.from(JSON.stringify({ name })))
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    yield encodeFrame('chunk', bytes.subarray(at, at + CHUNK_BYTES))
}
