// Tables as the engine has them, compiled from the database and kept up by the changes since: the newest for look-ups and previews, and the one that relays
// are told, which may be held at an earlier revision. Both share their memory. Work on large ones is done in slices, so that requests go on meanwhile.
// (R3, product.md §9, coexistence.md §1.4)
import { setImmediate } from 'node:timers/promises'
import type { Log } from '../../common/log.ts'
import { MappingTable, TableFault, TableReader } from '../../rewrite-rules/index.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { LatestRun } from '../relays/latest-run.ts'
import type { Place } from './mapping.ts'
import { readDelta, readTableOctets, revisionsOf } from './mapping-store.ts'

export interface CompiledTablesDeps {
  readonly db: Db
  readonly log: Log
  /** Entries of all tables kept, about 0.2 KB each; the one asked for last stays in any case. */
  readonly maxEntries?: number
}

const MAX_ENTRIES = 3_000_000
/** A delta is applied in one go; what is larger had better come as a table (MappingTable.apply). */
const MAX_DELTA = 5_000
/** Revisions of one project at once: while one is held, those that follow it. */
const MAX_KEPT = 16

/** `told`: what relays are told, which may be held at an earlier revision than the newest. */
type Which = 'newest' | 'told'

interface Kept {
  readonly table: MappingTable
  /** The same for tables that share their memory. */
  readonly store: object
}

/** What is kept of one project. */
interface Slot {
  readonly place: Place
  /**
   * By revision, the newest last. A delta is applied to the last one only: a store's history does not branch (MappingTable.apply), and a table that is
   * held costs nothing beside those that come after it.
   */
  tables: readonly Kept[]
  /** A run that begins after the one under way alone has seen all that was committed by now. */
  readonly refresh: Readonly<Record<Which, LatestRun<MappingTable>>>
  /** Work on `tables`: one after the other. */
  turn: Promise<unknown>
  isWorking: boolean
  /** How many wait for it. */
  asked: number
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
  current(organisation: OrganisationId, project: ProjectId): Promise<MappingTable> {
    return this.#ask({ organisation, project }, 'newest')
  }

  /** The table that relays are told, as of the call or later. */
  told(organisation: OrganisationId, project: ProjectId): Promise<MappingTable> {
    return this.#ask({ organisation, project }, 'told')
  }

  async #ask(place: Place, which: Which): Promise<MappingTable> {
    const key = `${place.organisation} ${place.project}`
    const slot = this.#slots.get(key) ?? this.#newSlot(place)
    this.#slots.delete(key)
    this.#slots.set(key, slot)
    slot.asked++
    try {
      return await slot.refresh[which].get()
    } finally {
      slot.asked--
      this.#evict(slot)
    }
  }

  #newSlot(place: Place): Slot {
    const slot: Slot = {
      place,
      tables: [],
      refresh: {
        newest: new LatestRun(() => this.#refresh(slot, 'newest')),
        told: new LatestRun(() => this.#refresh(slot, 'told')),
      },
      turn: Promise.resolve(),
      isWorking: false,
      asked: 0,
      isCompacting: false,
    }
    return slot
  }

  async #refresh(slot: Slot, which: Which): Promise<MappingTable> {
    // A large table that is being compiled holds up nobody who wants one that is there.
    const known = slot.isWorking ? await this.#known(slot, which) : undefined
    if (known !== undefined) return known
    const work = async (): Promise<MappingTable> => {
      slot.isWorking = true
      try {
        return await this.#reach(slot, which)
      } finally {
        slot.isWorking = false
      }
    }
    const turn = slot.turn.then(work, work)
    slot.turn = turn
    return turn
  }

  async #known(slot: Slot, which: Which): Promise<MappingTable | undefined> {
    const revisions = await withScope(this.#db, { organisation: slot.place.organisation }, (tx) =>
      revisionsOf(tx, slot.place),
    )
    return findTable(slot, revisions[which])
  }

  /** Brings the slot's tables up to date: with deltas from the last one, else compiled. */
  async #reach(slot: Slot, which: Which): Promise<MappingTable> {
    const { place } = slot
    const { told, wanted, steps } = await withScope(this.#db, { organisation: place.organisation }, (tx) =>
      readSteps(tx, slot, which),
    )
    for (const { revision, delta } of steps) {
      const made = this.#applied(slot, delta) ?? { table: await this.#compile(place, revision), store: {} }
      // Others that are newer share no memory with it: they are reached again, from here.
      const isLast = slot.tables.every(({ table }) => table.version < revision)
      slot.tables = isLast ? [...slot.tables, made] : [made]
    }
    const needed = slot.tables.filter((each) => each.table.version >= told)
    slot.tables = needed.length > MAX_KEPT ? [...needed.slice(0, 1), ...needed.slice(1 - MAX_KEPT)] : needed
    if (steps.length > 0) void this.#compact(slot)
    const table = findTable(slot, wanted)
    if (table === undefined) throw new Error('unreachable: the table was just made')
    return table
  }

  /** undefined: there is none to begin with, too much has changed since, or what did is gone. */
  #applied(slot: Slot, delta: unknown): Kept | undefined {
    const last = slot.tables.at(-1)
    if (last === undefined || delta === undefined) return undefined
    try {
      return { table: last.table.apply(delta), store: last.store }
    } catch (error) {
      if (!(error instanceof TableFault)) throw error
      // It can't be: the rows it comes from keep R3 themselves. The table as a whole is the truth.
      this.#log.error('mapping.delta_refused', { project: slot.place.project, faults: error.faults.length, error })
      return undefined
    }
  }

  async #compile(place: Place, at: number): Promise<MappingTable> {
    const reader = new TableReader()
    await readTableOctets(this.#db, place, at, async ({ revision, rules }, blocks) => {
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
    const first = slot.tables.at(-1)
    if (slot.isCompacting || first?.table.needsCompaction !== true) return
    slot.isCompacting = true
    const slice = first.table.compaction()
    for (;;) {
      await setImmediate()
      const last = slot.tables.at(-1)
      if (last === undefined) break // evicted
      const compact = slice(last.table)
      if (compact === undefined) continue
      const store = compact === last.table ? last.store : {}
      slot.tables = [...slot.tables.slice(0, -1), { table: compact, store }]
      break
    }
    slot.isCompacting = false
  }

  #evict(used: Slot): void {
    let entries = 0
    for (const slot of this.#slots.values()) entries += entriesOf(slot)
    for (const [key, slot] of this.#slots) {
      if (entries <= this.#maxEntries) break
      if (slot === used || slot.asked > 0) continue
      entries -= entriesOf(slot)
      slot.tables = []
      this.#slots.delete(key)
    }
  }
}

interface Step {
  readonly revision: number
  /** From the last table there is then; undefined: it has to be compiled. */
  readonly delta: unknown
}

async function readSteps(
  tx: Tx,
  slot: Slot,
  which: Which,
): Promise<{ readonly told: number; readonly wanted: number; readonly steps: readonly Step[] }> {
  const { told, [which]: wanted } = await revisionsOf(tx, slot.place)
  // First what relays are told: from there the newest is reached by a delta, the other way round it is not.
  const revisions = findTable(slot, told) === undefined ? [told] : []
  if (told !== wanted && (revisions.length > 0 || findTable(slot, wanted) === undefined)) revisions.push(wanted)
  const steps: Step[] = []
  let from = slot.tables.at(-1)?.table.version
  for (const revision of revisions) {
    const delta =
      from !== undefined && from < revision ? await readDelta(tx, slot.place, from, revision, MAX_DELTA) : undefined
    steps.push({ revision, delta })
    from = revision
  }
  return { told, wanted, steps }
}

const findTable = ({ tables }: Slot, revision: number): MappingTable | undefined =>
  tables.find(({ table }) => table.version === revision)?.table

/** In memory: tables that share it count once. */
function entriesOf({ tables }: Slot): number {
  const stores = new Map<object, number>()
  for (const { table, store } of tables) stores.set(store, Math.max(stores.get(store) ?? 0, table.entryCount))
  return [...stores.values()].reduce((sum, each) => sum + each, 0)
}
