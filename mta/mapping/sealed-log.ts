// A file of sealed records, written once from its beginning: each new file has a key of its own, so that no nonce repeats, whatever a crash left of
// an earlier one. A record that is torn, altered or out of its place ends the file for whoever reads it. (RC-4, KM-1, SF-2)
import { randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { counterNonce, deriveKey, keyFromBytes, SALT_BYTES, seal, TAG_BYTES, unseal } from '../../common/seal.ts'
import { byteLength } from '../spool/disk.ts'
import type { Disk, DiskFile } from '../spool/disk.ts'

const MAGIC = Buffer.from('CWSNAP\x00\x01', 'latin1')
const HEAD_BYTES = MAGIC.length + SALT_BYTES
const LENGTH_BYTES = 4
const RECORD_BYTES = 256 * 1024

export interface SealedFiles {
  readonly disk: Disk
  readonly rootKey: Uint8Array
  /** What the files are for: they open only under the very same. */
  readonly purpose: string
}

export class SealedLogWriter {
  readonly #files: SealedFiles
  readonly #file: DiskFile
  readonly #key: KeyObject
  #index = 0
  #size = HEAD_BYTES

  private constructor(files: SealedFiles, file: DiskFile, key: KeyObject) {
    this.#files = files
    this.#file = file
    this.#key = key
  }

  /** Makes the file; one that is there is an error. Its name is durable once the directory is synced. */
  static async create(files: SealedFiles, path: string): Promise<SealedLogWriter> {
    const file = await files.disk.create(path)
    const salt = randomBytes(SALT_BYTES)
    const writer = new SealedLogWriter(files, file, keyOf(files, salt))
    await files.disk.write(file, [MAGIC, salt], 0)
    return writer
  }

  get sizeBytes(): number {
    return this.#size
  }

  /** Not durable before `sync`. After an error the file must not be written any more. */
  async append(bytes: Uint8Array): Promise<void> {
    const pieces: Buffer[] = []
    for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
      const plain = bytes.subarray(at, at + RECORD_BYTES)
      const length = Buffer.allocUnsafe(LENGTH_BYTES)
      length.writeUInt32BE(plain.length + TAG_BYTES)
      const nonce = counterNonce(0, this.#index++)
      pieces.push(length, ...seal(this.#key, nonce, Buffer.from(this.#files.purpose), [plain]))
    }
    await this.#files.disk.write(this.#file, pieces, this.#size)
    this.#size += byteLength(pieces)
  }

  sync(): Promise<void> {
    return this.#files.disk.sync(this.#file)
  }

  close(): Promise<void> {
    return this.#files.disk.close(this.#file)
  }
}

/**
 * The records of a file in order, as they were appended but for their division.
 * @returns whether the file is sound to its end
 * @throws what node:fs throws
 */
export async function* readSealedLog(files: SealedFiles, path: string): AsyncGenerator<Buffer, boolean> {
  const file = await files.disk.openForReading(path)
  try {
    const head = await files.disk.read(file, 0, HEAD_BYTES)
    if (head.length < HEAD_BYTES || !head.subarray(0, MAGIC.length).equals(MAGIC)) return false
    const key = keyOf(files, head.subarray(MAGIC.length))
    let position = HEAD_BYTES
    for (let index = 0; ; index++) {
      const length = await files.disk.read(file, position, LENGTH_BYTES)
      if (length.length === 0) return true
      const wanted = length.length < LENGTH_BYTES ? 0 : length.readUInt32BE()
      if (wanted <= TAG_BYTES || wanted > RECORD_BYTES + TAG_BYTES) return false
      const sealed = await files.disk.read(file, position + LENGTH_BYTES, wanted)
      const plain = unseal(key, counterNonce(0, index), Buffer.from(files.purpose), sealed)
      if (plain === undefined) return false
      yield plain
      position += LENGTH_BYTES + wanted
    }
  } finally {
    await files.disk.close(file)
  }
}

function keyOf({ rootKey, purpose }: SealedFiles, salt: Uint8Array): KeyObject {
  return deriveKey(keyFromBytes(rootKey), salt, purpose)
}
