// Copies the live entries of a table into a store of their own, in slices: deltas leave dead rows behind, which are as bounded as this is
// run. Deltas may go on being applied to the old store between the slices.
import type { TableContent } from './table-builder.ts'
import { TableStore } from './table-store.ts'

/** A few milliseconds' worth. */
const ROWS_PER_SLICE = 1000

export class TableCompaction {
  readonly #from: TableStore
  readonly #to = new TableStore()
  /** Rows and removals of the old store that have been dealt with. */
  #rows = 0
  #removals: number

  constructor(from: TableStore) {
    this.#from = from
    this.#removals = from.removedRows.length
  }

  /**
   * @param latest  the table as it is now
   * @returns a table equal to `latest`, in the new store, once all is copied
   */
  slice(latest: TableContent): TableContent | undefined {
    if (latest.store !== this.#from) return latest // loaded anew meanwhile, so there is nothing to get rid of
    this.#removeAgain()
    const end = Math.min(this.#rows + ROWS_PER_SLICE, this.#from.entryRows)
    for (; this.#rows < end; this.#rows++) {
      if (this.#from.isLive(this.#rows, latest.revision)) this.#to.add(this.#from.entry(this.#rows))
    }
    this.#to.keys.indexKeys(Infinity, this.#to.revision, () => {
      throw new Error('unreachable: entries of one revision have no key in common')
    })
    if (this.#rows < this.#from.entryRows) return undefined
    return { ...latest, store: this.#to, revision: this.#to.revision }
  }

  /** Entries that were removed since the last slice, of those copied before: first of all, since others may have their addresses now. */
  #removeAgain(): void {
    const removed = this.#from.removedRows
    for (; this.#removals < removed.length; this.#removals++) {
      const row = removed[this.#removals]
      if (row === undefined || row >= this.#rows) continue
      const copy = this.#to.findPresented(this.#from.entry(row).presented, this.#to.revision)
      if (copy !== undefined) this.#to.remove(copy)
    }
  }
}

/** The same table in a store of its own. Time in proportion to the table. */
export function copyTable(content: TableContent): TableContent {
  const compaction = new TableCompaction(content.store)
  for (;;) {
    const copy = compaction.slice(content)
    if (copy !== undefined) return copy
  }
}
