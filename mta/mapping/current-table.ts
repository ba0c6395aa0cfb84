// The table in force: loaded from its file, swapped whole, replaced only by a newer valid one of the same project (R3). A message pins the
// one it began with by holding on to what `get` gave it.
import { stat } from 'node:fs/promises'
import type { Log } from '../../common/log.ts'
import { Counter, Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { TableFault } from '../../rewrite-rules/index.ts'
import type { MappingTable, Policy } from '../../rewrite-rules/index.ts'
import { placesOf, SettingsFault } from '../settings-fault.ts'
import type { PinnedTable } from '../pinned-table.ts'
import { isSameStamp, readTable, TableUnsettled, toStamp } from './read-table.ts'
import type { CsvIdentity, FileStamp, TableFile } from './read-table.ts'

export interface CurrentTableDeps {
  readonly file: string
  /** undefined: that of the first table that loads. */
  readonly project: string | undefined
  readonly policy: Policy
  /** A table whose file was not written for longer is no table; undefined: any age will do. */
  readonly maxAgeMs: number | undefined
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
}

export interface TableStatus {
  /** Of the table in force; undefined: none is, or it is too old. */
  readonly version: number | undefined
  /** Why no table is in force, or why the file's is not; undefined when all is well. In words for an operator, without addresses. */
  readonly trouble: string | undefined
}

type LoadResult = 'loaded' | 'unchanged' | 'refused' | 'missing' | 'unreadable'

const CHECK_EVERY_MS = 1_000
/** Faults in one log line: the file itself is what to look at. */
const MAX_LOGGED_FAULTS = 10

export class CurrentTable {
  readonly #deps: CurrentTableDeps
  readonly #loads: Counter<'result'>
  #loaded: TableFile | undefined
  #pinned: PinnedTable | undefined
  /** The file as it was last judged, whatever came of it: it is not judged twice. */
  #judged: FileStamp | undefined
  #trouble: string | undefined
  #running: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  constructor(deps: CurrentTableDeps) {
    this.#deps = deps
    this.#loads = new Counter({
      name: 'causeway_table_loads_total',
      help: 'Times the table file was read, by what came of it.',
      labelNames: ['result'],
      registers: [deps.metrics],
    })
    // Of several workers the one that is behind is worth knowing.
    const gauge = (name: string, help: string, aggregator: 'min' | 'max', value: () => number) =>
      new Gauge({
        name,
        help,
        registers: [deps.metrics],
        aggregator,
        collect() {
          this.set(value())
        },
      })
    gauge(
      'causeway_table_version',
      'Mapping revision in force; 0: none.',
      'min',
      () => this.#loaded?.table.version ?? 0,
    )
    gauge('causeway_table_entries', 'Entries of the table in force.', 'min', () => this.#loaded?.table.entryCount ?? 0)
    gauge(
      'causeway_table_age_seconds',
      'Since the file of the table in force was written; 0: none.',
      'max',
      () => this.#ageMs() / 1000,
    )
    // Beside the age, so that one alert rule fits every relay, whatever its limits.maxTableAge.
    gauge(
      'causeway_table_max_age_seconds',
      'limits.maxTableAge; 0: any age will do.',
      'max',
      () => (deps.maxAgeMs ?? 0) / 1000,
    )
    gauge(
      'causeway_table_trouble',
      "1 while the file's table is not the one in force: it is missing, faulty or older.",
      'max',
      () => (this.#trouble === undefined ? 0 : 1),
    )
  }

  /**
   * Loads the table, if it is there, and then whenever its file changes.
   * @throws SettingsFault when it is there and can't be used: better no relay than one that waits for what is there already
   */
  async start(): Promise<void> {
    try {
      await this.#read(true)
    } catch (error) {
      if (!isMissing(error) && !(error instanceof TableUnsettled)) throw startFault(this.#deps.file, error)
      this.#refuse(error, true)
    }
    this.#timer = setInterval(() => void this.check(), CHECK_EVERY_MS)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** What a message that begins now uses; undefined: 451 4.3.5. */
  get(): PinnedTable | undefined {
    return this.#isTooOld() ? undefined : this.#pinned
  }

  status(): TableStatus {
    const isTooOld = this.#isTooOld()
    return {
      version: isTooOld ? undefined : this.#loaded?.table.version,
      trouble: isTooOld ? 'the mapping table is older than limits.maxTableAge' : this.#trouble,
    }
  }

  /** Reads the file if it changed since it was last read. Never throws. */
  check(): Promise<void> {
    return this.#enqueue(false)
  }

  /** Reads the file whether it changed or not (SIGHUP). Never throws. */
  reload(): Promise<void> {
    return this.#enqueue(true)
  }

  /** One at a time: two loads at once could finish in the wrong order. */
  #enqueue(isForced: boolean): Promise<void> {
    this.#running = this.#running.then(() => this.#load(isForced))
    return this.#running
  }

  async #load(isForced: boolean): Promise<void> {
    try {
      await this.#read(isForced)
    } catch (error) {
      this.#refuse(error, isForced)
    }
  }

  /** @throws why the file's table is not taken */
  async #read(isForced: boolean): Promise<void> {
    const stamp = toStamp(await stat(this.#deps.file, { bigint: true }))
    if (!isForced && this.#judged !== undefined && isSameStamp(stamp, this.#judged)) return
    this.#judged = stamp
    const found = await readTable(this.#deps.file, (modifiedAt) => this.#csvIdentity(modifiedAt))
    this.#judged = found.stamp
    this.#take(found)
  }

  /** A CSV file is of our project, and newer than what is in force, whatever time it bears: a person put it there. */
  #csvIdentity(modifiedAt: number): CsvIdentity {
    const current = this.#loaded?.table
    const project = this.#deps.project ?? current?.project ?? 'csv'
    return {
      project,
      version: current === undefined || modifiedAt >= current.version ? modifiedAt : current.version + 1,
    }
  }

  #take(found: TableFile): void {
    const { table } = found
    const refusal = this.#whyNot(table)
    if (refusal !== undefined) throw new TableRefused(refusal)
    const isNew = table.digest !== this.#loaded?.table.digest || table.version !== this.#loaded.table.version
    this.#loaded = found
    this.#trouble = undefined
    if (isNew) {
      this.#pinned = { table, policy: this.#deps.policy }
      this.#deps.log.info('table.loaded', {
        project: table.project,
        version: table.version,
        entries: table.entryCount,
        digest: table.digest,
      })
    }
    this.#count(isNew ? 'loaded' : 'unchanged')
  }

  #whyNot(table: MappingTable): string | undefined {
    const current = this.#loaded?.table
    const project = this.#deps.project ?? current?.project
    if (project !== undefined && table.project !== project) return `it is of project ${table.project}, not ${project}`
    if (current === undefined) return undefined
    if (table.version < current.version) return `its version ${table.version} is older than ${current.version}`
    if (table.version === current.version && table.digest !== current.digest) {
      return `its content changed, but its version is still ${table.version}: a version only grows`
    }
    return undefined
  }

  #refuse(error: unknown, isForced: boolean): void {
    const { log } = this.#deps
    if (error instanceof TableUnsettled) {
      // The writer is not done: the next look will find the file changed again.
      this.#judged = undefined
    } else if (error instanceof TableFault) {
      this.#trouble = 'the table file is refused: it is faulty'
      // Without the values: they are addresses (PR-2).
      const faults = error.faults.slice(0, MAX_LOGGED_FAULTS).map(({ path, rule, reason }) => ({ path, rule, reason }))
      log.error('table.refused', { reason: 'it is faulty', faults, ...this.#inForce() })
      this.#count('refused')
    } else if (error instanceof TableRefused) {
      this.#trouble = `the table file is refused: ${error.message}`
      log.error('table.refused', { reason: error.message, ...this.#inForce() })
      this.#count('refused')
    } else {
      this.#noFile(error, isForced)
    }
  }

  /** It is looked for every second: said once. */
  #noFile(error: unknown, isForced: boolean): void {
    const { log } = this.#deps
    const trouble = isMissing(error) ? 'the table file is missing' : "the table file can't be read"
    const isKnown = this.#trouble === trouble && !isForced
    this.#trouble = trouble
    // What the file system says may change without the file; a fault of ours doesn't.
    if (error instanceof Error && 'syscall' in error) this.#judged = undefined
    if (isKnown) return
    if (isMissing(error)) log.warn('table.missing', this.#inForce())
    else log.error('table.unreadable', { error, ...this.#inForce() })
    this.#count(isMissing(error) ? 'missing' : 'unreadable')
  }

  #inForce(): { versionInForce?: number } {
    return this.#loaded === undefined ? {} : { versionInForce: this.#loaded.table.version }
  }

  #count(result: LoadResult): void {
    this.#loads.inc({ result })
  }

  #ageMs(): number {
    return this.#loaded === undefined ? 0 : Math.max(0, this.#deps.now() - this.#loaded.modifiedAt)
  }

  #isTooOld(): boolean {
    return this.#deps.maxAgeMs !== undefined && this.#ageMs() > this.#deps.maxAgeMs
  }
}

/** A valid table, but not one to follow the one in force. */
class TableRefused extends Error {
  override readonly name = 'TableRefused'
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function startFault(file: string, error: unknown): SettingsFault {
  if (error instanceof TableFault) return new SettingsFault(placesOf(file, error.faults), { cause: error })
  const rule = error instanceof TableRefused ? error.message : "can't be read"
  return new SettingsFault([{ file, path: '', value: '', rule }], { cause: error })
}
