// A mapping file of pairs as it comes in: `source,target[,collection][,action]`, rows in batches, every fault with line and column. Memory stays flat
// whatever the file is. (migration-semantics.md §3.6, control-plane.md §3.5)
import { setImmediate } from 'node:timers/promises'
import { CsvRows } from '../../rewrite-rules/index.ts'
import { matchKey } from '../directory/account.ts'
import { collectionName } from '../directory/collection.ts'
import { Problem } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { MAX_TOLD } from '../mapping/table-change.ts'

export const MAX_PAIR_ROWS = 1_000_000
export const PAIR_COLUMNS = ['source', 'target', 'collection', 'action'] as const
type Column = (typeof PAIR_COLUMNS)[number]
export const ACTIONS = ['pair', 'unpair', 'exclude'] as const
export type Action = (typeof ACTIONS)[number]

const REQUIRED: readonly Column[] = ['source', 'target']
const ROWS_PER_BATCH = 2_000
const SLICE_BYTES = 64 * 1024
const MAX_REFERENCE_CHARACTERS = 1_100
const BYTE_ORDER_MARK = Buffer.from('\uFEFF')

export interface PairFileRow {
  /** Where it begins: no two on one line. */
  readonly line: number
  readonly sourceColumn: number
  readonly targetColumn: number
  readonly action: Action
  /** Object id, user principal name or address, as compared; '': none. */
  readonly sourceKey: string
  readonly targetKey: string
  /** '': none */
  readonly collection: string
  readonly collectionKey: string
}

export interface PairFile {
  readonly rows: number
  /** The first thousand. */
  readonly faults: readonly RequestFault[]
  readonly faultCount: number
}

/** @param take  gets the rows in batches; what it rejects with ends the reading */
export async function readPairFile(
  chunks: AsyncIterable<Buffer>,
  take: (rows: readonly PairFileRow[]) => Promise<void>,
): Promise<PairFile> {
  const intake = new Intake()
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length && !intake.isHopeless; at += SLICE_BYTES) {
        intake.write(chunk.subarray(at, at + SLICE_BYTES))
        if (intake.batch.length >= ROWS_PER_BATCH) await take(intake.batch.splice(0))
        else if (at + SLICE_BYTES < chunk.length) await setImmediate()
      }
      // What follows is let go by: a client that is still sending would not look for the answer.
    }
  } catch (error) {
    if (!(error instanceof Problem && intake.isHopeless)) throw error // too large as well: the fault says more
  }
  intake.end()
  if (intake.batch.length > 0) await take(intake.batch.splice(0))
  return intake.file()
}

class Intake {
  readonly batch: PairFileRow[] = []
  readonly #csv: CsvRows<Column>
  readonly #faults: RequestFault[] = []
  #faultCount = 0
  #rows = 0
  /** Octets before it is clear whether they are the mark. */
  #head: Buffer | undefined = Buffer.alloc(0)

  constructor() {
    this.#csv = new CsvRows(
      { columns: PAIR_COLUMNS, required: REQUIRED },
      {
        row: (cells, columns) => this.#row(cells, columns),
        syntaxError: (_row, _value, reason) => this.#fault('', 'csv', reason),
      },
    )
  }

  /** Whether reading on would tell nothing new. */
  get isHopeless(): boolean {
    return this.#csv.isBroken || this.#rows > MAX_PAIR_ROWS
  }

  write(chunk: Buffer): void {
    if (this.#head === undefined) {
      this.#csv.write(chunk)
      return
    }
    this.#head = Buffer.concat([this.#head, chunk])
    if (this.#head.length >= BYTE_ORDER_MARK.length) this.#endHead(this.#head)
  }

  end(): void {
    if (this.#head !== undefined) this.#endHead(this.#head)
    if (!this.isHopeless) this.#csv.end()
  }

  file(): PairFile {
    return { rows: this.#rows, faults: this.#faults, faultCount: this.#faultCount }
  }

  #endHead(head: Buffer): void {
    this.#head = undefined
    const isMarked = head.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
    this.#csv.write(isMarked ? head.subarray(BYTE_ORDER_MARK.length) : head)
  }

  #row(cells: readonly string[], columns: readonly Column[]): void {
    if (this.#rows > MAX_PAIR_ROWS) return
    if (++this.#rows > MAX_PAIR_ROWS) {
      this.#fault('', 'too-many-rows', `at most ${MAX_PAIR_ROWS}`)
      return
    }
    const cell = (column: Column): string => cells[columns.indexOf(column)] ?? ''
    const before = this.#faultCount
    const action = this.#action(cell('action'))
    const row = {
      line: this.#csv.placeOf('').line,
      sourceColumn: this.#csv.placeOf('source').column,
      targetColumn: this.#csv.placeOf('target').column,
      action,
      sourceKey: this.#reference('source', cell('source')),
      targetKey: this.#reference('target', cell('target')),
      ...this.#collection(cell('collection'), action),
    }
    this.#demandSides(row)
    if (this.#faultCount === before) this.batch.push(row)
  }

  #action(text: string): Action {
    const action = text === '' ? 'pair' : ACTIONS.find((one) => one === text.toLowerCase())
    if (action === undefined) this.#fault('action', 'action', `one of ${ACTIONS.join(', ')}`)
    return action ?? 'pair'
  }

  #reference(column: 'source' | 'target', text: string): string {
    if (text.length > MAX_REFERENCE_CHARACTERS)
      this.#fault(column, 'too-long', `at most ${MAX_REFERENCE_CHARACTERS} characters`)
    else if (/\p{Cc}/u.test(text)) this.#fault(column, 'characters', 'no control characters')
    return matchKey(text)
  }

  #collection(text: string, action: Action): Pick<PairFileRow, 'collection' | 'collectionKey'> {
    if (text === '') return { collection: '', collectionKey: '' }
    const name = collectionName.safeParse(text)
    if (!name.success) this.#fault('collection', 'collection', '1 to 200 characters that can be read')
    else if (action !== 'pair') this.#fault('collection', 'collection', 'only where a pair is made')
    return name.success
      ? { collection: name.data, collectionKey: matchKey(name.data) }
      : { collection: '', collectionKey: '' }
  }

  #demandSides({ action, sourceKey, targetKey }: PairFileRow): void {
    if (action === 'pair') {
      if (sourceKey === '') this.#fault('source', 'missing', 'a pair has two sides')
      if (targetKey === '') this.#fault('target', 'missing', 'a pair has two sides')
    } else if (sourceKey === '' && targetKey === '') this.#fault('source', 'missing', 'source, target or both')
  }

  #fault(column: Column | '', code: string, detail: string): void {
    this.#faultCount++
    if (this.#faults.length < MAX_TOLD)
      this.#faults.push({ pointer: column === '' ? '' : `/${column}`, code, detail, ...this.#csv.placeOf(column) })
  }
}
