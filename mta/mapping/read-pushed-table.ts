// A table as it comes in, read in slices: one of a million entries must not hold up mail. (RC-6)
import { setImmediate } from 'node:timers/promises'
import { TableFault, TableReader } from '../../rewrite-rules/index.ts'
import type { MappingTable } from '../../rewrite-rules/index.ts'
import { faultText } from './next-snapshot.ts'
import { PushRefused } from './push-refused.ts'
import type { TableSink } from './push-intake.ts'

const SLICE_BYTES = 64 * 1024

export class PushedTable implements TableSink {
  readonly #reader = new TableReader()
  readonly #keep: ((chunk: Buffer) => Promise<void>) | undefined
  readonly #forget: () => Promise<void>

  /** @param keep  gets each chunk as well. @param forget  what was kept is not wanted */
  constructor(keep?: (chunk: Buffer) => Promise<void>, forget: () => Promise<void> = async () => {}) {
    this.#keep = keep
    this.#forget = forget
  }

  async write(chunk: Buffer): Promise<void> {
    const kept = this.#keep?.(chunk)
    // Heard of when all of the chunk is read; until then it must not count as nobody's.
    kept?.catch(() => {})
    for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
      this.#reader.write(chunk.subarray(at, at + SLICE_BYTES))
      await setImmediate()
    }
    await kept
  }

  abort(): Promise<void> {
    return this.#forget()
  }

  /** Once all is written. @throws PushRefused */
  async table(): Promise<MappingTable> {
    try {
      for (;;) {
        const table = this.#reader.step()
        if (table !== undefined) return table
        await setImmediate()
      }
    } catch (error) {
      if (error instanceof TableFault) throw new PushRefused(`its table is refused: ${faultText(error)}`)
      throw error
    }
  }
}
