// What is in force in a relay that a control plane sets up: swapped whole, one version for everything a message needs (RC-3). Where it comes from, disk,
// stream or primary, is others' business.
import { setImmediate } from 'node:timers/promises'
import type { ActiveSnapshot, CurrentSnapshot, ProjectSettings, SnapshotStatus } from '../active-snapshot.ts'
import type { Log } from '../../common/log.ts'
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { HeldSnapshot } from './next-snapshot.ts'

export interface PushedSnapshotDeps {
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
}

export class PushedSnapshot implements CurrentSnapshot {
  readonly #deps: PushedSnapshotDeps
  #held: HeldSnapshot | undefined
  #active: ActiveSnapshot | undefined
  /** When it was last known that this is what the control plane has for us, ms since the epoch. */
  #confirmedAt = 0
  #isRevoked = false
  readonly #listeners: ((settings: ProjectSettings) => void)[] = []
  #prepare: (settings: ProjectSettings) => Promise<void> = async () => {}
  #compaction: Promise<void> | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(deps: PushedSnapshotDeps) {
    this.#deps = deps
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
    gauge('causeway_snapshot_version', 'Snapshot version in force; 0: none.', 'min', () => this.#held?.version ?? 0)
    gauge(
      'causeway_snapshot_age_seconds',
      'Since the control plane was last heard to have nothing newer; 0: no snapshot yet.',
      'max',
      () => this.#ageMs() / 1000,
    )
    gauge(
      'causeway_snapshot_max_age_seconds',
      'The greatest age at which mail is taken; 0: any will do.',
      'max',
      () => (this.#held?.project.maxTableAgeMs ?? 0) / 1000,
    )
    gauge('causeway_table_version', 'Mapping revision in force; 0: none.', 'min', () => this.#held?.table.version ?? 0)
    gauge('causeway_table_entries', 'Entries of the table in force.', 'min', () => this.#held?.table.entryCount ?? 0)
  }

  /** The newest version; undefined: there was none yet. */
  get held(): HeldSnapshot | undefined {
    return this.#held
  }

  get confirmedAt(): number {
    return this.#confirmedAt
  }

  get isRevoked(): boolean {
    return this.#isRevoked
  }

  get(): ActiveSnapshot | undefined {
    return this.#isRevoked || this.isDraining || this.#isTooOld() ? undefined : this.#active
  }

  forReports(): ActiveSnapshot | undefined {
    return this.#active
  }

  settings(): ProjectSettings | undefined {
    return this.#active
  }

  get isDraining(): boolean {
    return this.#held?.manifest.state === 'draining'
  }

  status(): SnapshotStatus {
    const version = this.#isRevoked || this.#isTooOld() ? undefined : this.#held?.table.version
    return { version, trouble: this.#trouble() }
  }

  #trouble(): string | undefined {
    if (this.#isRevoked) return 'the control plane has cut the relay off'
    if (this.#held === undefined) return 'no snapshot yet'
    return this.#isTooOld() ? 'the snapshot was not confirmed for longer than maxTableAge' : undefined
  }

  onSettings(run: (settings: ProjectSettings) => void): void {
    this.#listeners.push(run)
    const settings = this.settings()
    if (settings !== undefined) run(settings)
  }

  /** Awaits `run` now, where there are settings, and before any others are in force. */
  async prepare(run: (settings: ProjectSettings) => Promise<void>): Promise<void> {
    this.#prepare = run
    if (this.#held !== undefined) await run(this.#held.project.project)
  }

  /** Runs `work` when what was begun before is over: from reading what is held to putting another in its place nothing may come between. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  /** From here on messages begin with this version. For `work` that is alone. */
  async activate(held: HeldSnapshot): Promise<void> {
    const { project } = held.project
    if (held.project !== this.#held?.project) await this.#prepare(project)
    const hasOtherSettings = held.project !== this.#held?.project
    this.#held = held
    this.#active = { ...project, table: held.table, snapshotVersion: held.version }
    if (hasOtherSettings) for (const run of this.#listeners) run(project)
    this.#deps.log.info('snapshot.activated', {
      version: held.version,
      revision: held.table.version,
      entries: held.table.entryCount,
      settings: held.project.version,
      state: held.manifest.state,
    })
    this.#compactLater()
  }

  /** The control plane has nothing newer. @param at  ms since the epoch */
  confirm(at: number): void {
    this.#confirmedAt = Math.max(this.#confirmedAt, at)
  }

  /** No mail is taken any more: 451. */
  revoke(): void {
    this.#isRevoked = true
  }

  /** Nothing here comes from files. */
  async reload(): Promise<void> {}

  /** Rows that deltas removed stay in memory until the live ones have a store of their own: the very same table, in less room. */
  #compactLater(): void {
    if (this.#compaction !== undefined || this.#held?.table.needsCompaction !== true) return
    this.#compaction = this.#compact()
      .catch((error: unknown) => this.#deps.log.error('snapshot.compaction-failed', { error }))
      .finally(() => (this.#compaction = undefined))
  }

  async #compact(): Promise<void> {
    const slice = this.#held?.table.compaction()
    if (slice === undefined) return
    for (let isDone = false; !isDone;) {
      isDone = await this.alone(async () => {
        if (this.#held === undefined || this.#active === undefined) return true
        const table = slice(this.#held.table)
        if (table === undefined) return false
        this.#held = { ...this.#held, table }
        this.#active = { ...this.#active, table }
        return true
      })
      await setImmediate()
    }
  }

  #ageMs(): number {
    return this.#held === undefined ? 0 : Math.max(0, this.#deps.now() - this.#confirmedAt)
  }

  #isTooOld(): boolean {
    const maxAgeMs = this.#held?.project.maxTableAgeMs
    return maxAgeMs !== undefined && this.#ageMs() > maxAgeMs
  }
}
