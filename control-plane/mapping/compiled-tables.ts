// Tables as the engine has them, compiled from the database and kept up by the changes since: for look-ups, previews and the relays' streams.
// Work on large ones is done in slices, so that requests go on meanwhile. (R3, product.md §9)
import { setImmediate } from 'node:timers/promises'
import type { Log } from '../../common/log.ts'
import { MappingTable, TableFault, TableReader } from '../../rewrite-rules/index.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { Place } from './mapping.ts'
import { readDelta, readTableOctets, revisionOf } from './mapping-store.ts'

export interface CompiledTablesDeps {
  readonly db: Db
  readonly log: Log
  /** Entries of all tables kept, about 0.2 KB each; the one asked for last stays in any case. */
  readonly maxEntries?: number
}

const MAX_ENTRIES = 3_000_000
/** A delta is applied in one go; what is larger had better come as a table (MappingTable.apply). */
const MAX_DELTA = 5_000

/** What is kept of one project. */
interface Slot {
  readonly place: Place
  table: MappingTable | undefined
  running: Promise<MappingTable> | undefined
  /** Begins after `running`: it alone has seen all that was committed by now. */
  next: Promise<MappingTable> | undefined
  isCompacting: boolean
}

export class CompiledTables {
  readonly #db: Db
  readonly #log: Log
  readonly #maxEntries: number
  /** In the order of use, the last one last. */
  readonly #slots = new Map<string, Slot>()

  constructor({ db, log, maxEntries = MAX_ENTRIES }: CompiledTablesDeps) {
    this.#db = db
    this.#log = log
    this.#maxEntries = maxEntries
  }

  /**
   * The table with everything that was committed before the call; the project is known to exist. Its `project` is the project's id, its
   * `version` the mapping revision.
   */
  async current(organisation: OrganisationId, project: ProjectId): Promise<MappingTable> {
    const key = `${organisation} ${project}`
    const slot = this.#slots.get(key) ?? {
      place: { organisation, project },
      table: undefined,
      running: undefined,
      next: undefined,
      isCompacting: false,
    }
    this.#slots.delete(key)
    this.#slots.set(key, slot)
    try {
      return await this.#refreshed(slot)
    } finally {
      this.#evict(slot)
    }
  }

  #refreshed(slot: Slot): Promise<MappingTable> {
    if (slot.running === undefined) return this.#begin(slot)
    slot.next ??= slot.running.then(
      () => this.#begin(slot),
      () => this.#begin(slot),
    )
    return slot.next
  }

  #begin(slot: Slot): Promise<MappingTable> {
    slot.next = undefined
    slot.running = this.#refresh(slot).finally(() => {
      slot.running = undefined
    })
    return slot.running
  }

  async #refresh(slot: Slot): Promise<MappingTable> {
    const { place } = slot
    const table = slot.table
    const delta =
      table === undefined
        ? undefined
        : await withScope(this.#db, { organisation: place.organisation }, async (tx) => {
            const revision = await revisionOf(tx, place)
            return revision === table.version ? 'same' : readDelta(tx, place, table.version, revision, MAX_DELTA)
          })
    // A compaction may have put an equal table in its place meanwhile.
    if (delta === 'same' && slot.table !== undefined) return slot.table
    slot.table = (delta !== 'same' && delta !== undefined && this.#applied(slot, delta)) || (await this.#compile(place))
    void this.#compact(slot)
    return slot.table
  }

  #applied(slot: Slot, delta: unknown): MappingTable | undefined {
    try {
      return slot.table?.apply(delta)
    } catch (error) {
      if (!(error instanceof TableFault)) throw error
      // It can't be: the rows it comes from keep R3 themselves. The table as a whole is the truth.
      this.#log.error('mapping.delta_refused', { project: slot.place.project, faults: error.faults.length, error })
      return undefined
    }
  }

  async #compile(place: Place): Promise<MappingTable> {
    const reader = new TableReader()
    await readTableOctets(this.#db, place, async ({ revision, rules }, blocks) => {
      const head = { format: 'causeway-mapping-table/1', project: place.project, version: revision, ...rules }
      reader.write(Buffer.from(`${JSON.stringify(head).slice(0, -1)},"entries":[`))
      let comma = 1
      for await (const block of blocks) {
        reader.write(block.subarray(comma))
        comma = 0 // the first entry stands behind none
        await setImmediate()
      }
      reader.write(Buffer.from(']}'))
    })
    for (;;) {
      const table = reader.step()
      if (table !== undefined) return table
      await setImmediate()
    }
  }

  /** Moves the live entries of a table of which most are dead into memory of their own, while it goes on being used. */
  async #compact(slot: Slot): Promise<void> {
    if (slot.isCompacting || slot.table?.needsCompaction !== true) return
    slot.isCompacting = true
    const slice = slot.table.compaction()
    for (;;) {
      await setImmediate()
      if (slot.table === undefined) break // evicted
      const compact = slice(slot.table)
      if (compact === undefined) continue
      slot.table = compact
      break
    }
    slot.isCompacting = false
  }

  #evict(used: Slot): void {
    let entries = 0
    for (const { table } of this.#slots.values()) entries += table?.entryCount ?? 0
    for (const [key, slot] of this.#slots) {
      if (entries <= this.#maxEntries) break
      if (slot === used || slot.running !== undefined) continue
      entries -= slot.table?.entryCount ?? 0
      slot.table = undefined
      this.#slots.delete(key)
    }
  }
}
