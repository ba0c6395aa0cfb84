// The open streams of this process. A change of a project wakes those of its relays, the clock looks after them in any case; what a project is at is
// read once for all of them. (product.md §5, RC-1 … RC-3)
import type { ServerResponse } from 'node:http'
import type { Log } from '../../common/log.ts'
import { Counter, Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { MappingTable } from '../../rewrite-rules/index.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import type { WakeUps } from '../db/wake-ups.ts'
import type { OrganisationId, ProjectId, RelayId } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { FrameWriter } from './frame-writer.ts'
import { LatestRun } from './latest-run.ts'
import { holdProjectState, loadProjectState } from './project-state-store.ts'
import type { RelayIdentity } from './relay.ts'
import type { StreamStart } from './relay-bodies.ts'
import type { ProjectPlace } from './relay-secret-store.ts'
import { storePinnedKey } from './relay-store.ts'
import { RelayStream, STREAM_TIMING } from './relay-stream.ts'
import type { PushMaterial, StreamTiming, Told } from './relay-stream.ts'
import type { SnapshotKeys } from './snapshot-keys.ts'

/** Where the tables come from (mapping/). */
export interface TableSource {
  /** The project's table as relays are told it, at that revision or, where it moves on at that moment, at a newer one. */
  told(organisation: OrganisationId, project: ProjectId): Promise<MappingTable>
  /**
   * What leads from revision `from` to `table`: octets of `causeway-mapping-delta/1` with the digest of the table after it. undefined: it can't be
   * had any more, or would take more than `maxBytes`.
   */
  delta(place: ProjectPlace, from: number, table: MappingTable, maxBytes: number): Promise<Uint8Array | undefined>
}

export interface StreamServiceDeps {
  readonly db: Db
  readonly sealer: Sealer
  readonly snapshotKeys: SnapshotKeys
  readonly tables: TableSource
  readonly wakeUps: Pick<WakeUps, 'on'>
  readonly installation: string
  readonly metrics: Metrics
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
  readonly timing?: StreamTiming
  /** ms without a byte read, while some wait, after which a relay is cut off. */
  readonly stallMs?: number
  /** ms; all projects with open streams are looked after so often. */
  readonly clockMs?: number
}

const STALL_MS = 30_000
const CLOCK_MS = 5_000
/** A delta is applied in one go: what is larger holds up a relay's mail, and had better come as a table. */
const MAX_DELTA_BYTES = 4 * 1024 * 1024
const TRIES = 4

interface Feed {
  readonly place: ProjectPlace
  readonly streams: Map<RelayId, RelayStream>
  readonly refresh: LatestRun<void>
  readonly material: Readonly<Record<'versions' | 'settings', LatestRun<PushMaterial | undefined>>>
  /** By `from`; all lead to `deltasTo`. */
  deltas: Map<number, Promise<Uint8Array | undefined>>
  deltasTo: MappingTable | undefined
}

export class SnapshotStreams {
  readonly #deps: StreamServiceDeps
  readonly #feeds = new Map<ProjectId, Feed>()
  readonly #signer: LatestRun<Told['signer']>
  readonly #figures: ReturnType<typeof createFigures>
  readonly #stopListening: () => void
  readonly #clock: NodeJS.Timeout
  /** Of those that can't follow a project without holding it: one at a time, for each takes two connections. */
  #holding: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(deps: StreamServiceDeps) {
    this.#deps = deps
    this.#signer = new LatestRun(() => deps.snapshotKeys.current())
    this.#figures = createFigures(deps.metrics)
    this.#stopListening = deps.wakeUps.on((wakeUp) => {
      if (wakeUp === undefined || (wakeUp.topic === 'snapshot' && wakeUp.project === '')) this.#refreshAll()
      else if (wakeUp.topic === 'snapshot') this.#refresh(wakeUp.project as ProjectId)
    })
    this.#clock = setInterval(() => this.#refreshAll(), deps.clockMs ?? CLOCK_MS)
  }

  /**
   * Serves one relay until it goes, is cut off, or the server stops; ends the response. Its earlier stream here, if there is one, ends.
   *
   * @param response  headers are set, nothing is sent
   */
  async serve(identity: RelayIdentity, start: StreamStart, response: ServerResponse): Promise<void> {
    const { log, stallMs = STALL_MS } = this.#deps
    const { relay, project } = identity
    if (this.#isClosed) {
      response.end()
      return
    }
    const feed = this.#feedOf(identity)
    feed.streams.get(relay)?.stop()
    response.flushHeaders()
    const writer = new FrameWriter(response, stallMs)
    const stream = new RelayStream(identity, start, writer, this.#streamDeps(feed))
    feed.streams.set(relay, stream)
    this.#figures.open.inc()
    log.info('relay.stream-opened', { relay, project, version: start.held?.version })
    this.#refresh(project)
    try {
      const why = await stream.run()
      log.info('relay.stream-ended', { relay, project, why })
      if (why === 'stalled') this.#figures.cut.inc()
    } catch (error) {
      log.warn('relay.stream-broken', { relay, project, error })
    } finally {
      this.#figures.open.dec()
      if (feed.streams.get(relay) === stream) feed.streams.delete(relay)
      if (feed.streams.size === 0 && this.#feeds.get(project) === feed) this.#feeds.delete(project)
    }
  }

  /** Ends all streams; later ones end at once. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#clock)
    this.#stopListening()
    for (const { streams } of this.#feeds.values()) for (const stream of streams.values()) stream.stop()
  }

  #feedOf({ organisation, project }: ProjectPlace): Feed {
    const known = this.#feeds.get(project)
    if (known !== undefined) return known
    const place = { organisation, project }
    const feed: Feed = {
      place,
      streams: new Map(),
      refresh: new LatestRun(() => this.#tell(feed)),
      material: {
        versions: new LatestRun(() => this.#material(place, 'versions')),
        settings: new LatestRun(() => this.#material(place, 'settings')),
      },
      deltas: new Map(),
      deltasTo: undefined,
    }
    this.#feeds.set(project, feed)
    return feed
  }

  #refreshAll(): void {
    for (const project of this.#feeds.keys()) this.#refresh(project)
  }

  #refresh(project: ProjectId): void {
    const feed = this.#feeds.get(project)
    if (feed === undefined) return
    // The database is away: streams stay, and the clock tries again. Mail doesn't wait for either (RC-4).
    feed.refresh.get().catch((error: unknown) => this.#deps.log.warn('relay.project-unreadable', { project, error }))
  }

  async #tell(feed: Feed): Promise<void> {
    // Those that were there before it is read: a relay that enrolled since would look like one that was revoked.
    const streams = [...feed.streams.values()]
    const [state, signer] = await Promise.all([
      loadProjectState(feed.place, 'versions', this.#deps),
      this.#signer.get(),
    ])
    for (const stream of streams) stream.see(state && { state, signer })
  }

  /** State and table of one moment; undefined: the project is gone. */
  async #material(place: ProjectPlace, needs: 'versions' | 'settings'): Promise<PushMaterial | undefined> {
    const signer = await this.#signer.get()
    for (let tries = 0; tries < TRIES; tries++) {
      const state = await loadProjectState(place, needs, this.#deps)
      if (state === undefined) return undefined
      const table = await this.#deps.tables.told(place.organisation, place.project)
      if (table.version === state.mappingRevision) return { state, signer, table }
    }
    return this.#held(() =>
      holdProjectState(place, needs, this.#deps, async (state) => {
        const table = await this.#deps.tables.told(place.organisation, place.project)
        if (table.version !== state.mappingRevision)
          throw new Error('unreachable: the table moved on while its project was held')
        return { state, signer, table }
      }),
    )
  }

  #held<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#holding.then(work, work)
    this.#holding = run
    return run
  }

  #streamDeps(feed: Feed) {
    const { installation, log, now, db, timing = STREAM_TIMING } = this.#deps
    return {
      installation,
      log,
      now,
      timing,
      material: (needs: 'versions' | 'settings') => feed.material[needs].get(),
      delta: (from: number, table: MappingTable) => this.#delta(feed, from, table),
      believed: (identity: RelayIdentity, key: string) =>
        withScope(db, { organisation: identity.organisation }, (tx) => storePinnedKey(tx, identity, key)),
      pushed: (kind: 'whole' | 'delta' | 'settings' | 'state', bytes: number) => {
        this.#figures.pushes.inc({ kind })
        this.#figures.bytes.inc(bytes)
      },
    }
  }

  /** Ten relays at the same revision get the same octets. */
  #delta(feed: Feed, from: number, table: MappingTable): Promise<Uint8Array | undefined> {
    if (feed.deltasTo !== table) {
      feed.deltasTo = table
      feed.deltas = new Map()
    }
    let delta = feed.deltas.get(from)
    if (delta === undefined) {
      delta = this.#deps.tables.delta(feed.place, from, table, MAX_DELTA_BYTES)
      feed.deltas.set(from, delta)
      const { deltas } = feed
      delta.catch(() => deltas.delete(from))
    }
    return delta
  }
}

function createFigures(metrics: Metrics) {
  const registers = [metrics]
  return {
    open: new Gauge({ name: 'causeway_relay_streams', help: 'Streams of relays that are open here.', registers }),
    pushes: new Counter({
      name: 'causeway_relay_pushes_total',
      help: 'Snapshots sent to relays, by what they held.',
      labelNames: ['kind'],
      registers,
    }),
    bytes: new Counter({
      name: 'causeway_relay_pushed_bytes_total',
      help: 'Octets of snapshots sent to relays.',
      registers,
    }),
    cut: new Counter({
      name: 'causeway_relay_streams_cut_total',
      help: 'Streams cut off because the relay did not read.',
      registers,
    }),
  }
}
