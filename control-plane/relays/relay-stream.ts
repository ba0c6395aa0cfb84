// One relay's open stream: told what its project is at, sends what the relay lacks, one push at a time, and waits for its report in between. However
// many changes come meanwhile, the next push goes straight to what is current then. (product.md §5, RC-1, RC-2)
import { setImmediate } from 'node:timers/promises'
import { HEARTBEAT_MS } from '../../common/relay-contract.ts'
import type { ManifestPart, PartName } from '../../common/relay-contract.ts'
import type { Log } from '../../common/log.ts'
import type { MappingTable } from '../../rewrite-rules/index.ts'
import type { RelayId } from '../ids.ts'
import { StreamEnded } from './frame-writer.ts'
import type { FrameWriter } from './frame-writer.ts'
import { planPush } from './plan-push.ts'
import type { PushPlan } from './plan-push.ts'
import type { ProjectState } from './project-state-store.ts'
import type { HeldSnapshot, RelayIdentity } from './relay.ts'
import type { StreamStart } from './relay-bodies.ts'
import { sealSecrets } from './relay-settings.ts'
import type { StreamedRelay } from './relay-store.ts'
import { frame, manifestBytes, partFrames, rotationFrame, sealingFrames } from './snapshot.ts'
import { rotationsFrom } from './snapshot-keys.ts'
import type { SnapshotSigner } from './snapshot-keys.ts'

/** What a project is at, and who signs it. */
export interface Told {
  readonly state: ProjectState
  readonly signer: SnapshotSigner
}

/** All that one push is made of; of one moment. */
export interface PushMaterial extends Told {
  readonly table: MappingTable
}

export interface StreamDeps {
  readonly installation: string
  /** @returns undefined: the project is gone */
  readonly material: (needs: 'versions' | 'settings') => Promise<PushMaterial | undefined>
  /** Octets of `causeway-mapping-delta`; undefined: there is none, or it would be too large. */
  readonly delta: (from: number, table: MappingTable) => Promise<Uint8Array | undefined>
  /** The relay is known to believe this key. */
  readonly believed: (relay: RelayIdentity, key: string) => Promise<void>
  readonly pushed: (kind: 'whole' | 'delta' | 'settings' | 'state', bytes: number) => void
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
  readonly timing: StreamTiming
}

export interface StreamTiming {
  readonly heartbeatMs: number
  /** Of two pushes to one relay the second begins so much later at least: what changes meanwhile goes with it. */
  readonly betweenPushesMs: number
  /** A push that nobody reported on for so long is taken for applied; a relay that did not take it says so when it is sent the next. */
  readonly acknowledgeMs: number
}

export const STREAM_TIMING: StreamTiming = { heartbeatMs: HEARTBEAT_MS, betweenPushesMs: 100, acknowledgeMs: 60_000 }

interface InFlight {
  readonly held: HeldSnapshot
  readonly key: string
  /** Time of the relay's last report before it. */
  readonly reportedAt: number | undefined
  readonly sentMs: number
}

/** Chunks that are written before others get their turn. */
const CHUNKS_A_TURN = 8

export class RelayStream {
  readonly relay: RelayId
  readonly #identity: RelayIdentity
  readonly #writer: FrameWriter
  readonly #deps: StreamDeps
  #held: HeldSnapshot | undefined
  #wantsWhole: boolean
  #told: Told | undefined
  /** Time of the relay's last report when the stream began: that one says nothing about pushes of this stream. */
  #oldReport: number | undefined
  #believes: string | undefined
  #inFlight: InFlight | undefined
  #refused = -1
  #isPushing = false
  #nextPushMs = 0
  #isAwake = false
  #wake = (): void => {}

  constructor(identity: RelayIdentity, { held, wantsWhole, key }: StreamStart, writer: FrameWriter, deps: StreamDeps) {
    this.relay = identity.relay
    this.#identity = identity
    this.#held = held
    this.#wantsWhole = wantsWhole
    this.#believes = key
    this.#writer = writer
    this.#deps = deps
  }

  /** Tells it what the project is at. A relay that is no more among the project's was revoked. */
  see(told: Told | undefined): void {
    const relay = told?.state.relays.find((each) => each.relay === this.relay)
    if (told === undefined || relay === undefined) {
      // Within a push there is no place for another frame; the next request of the relay tells it.
      if (this.#isPushing) this.#writer.cut()
      else this.#writer.end(frame('revoked'))
    }
    if (this.#told === undefined) this.#oldReport = relay?.reportedAt?.getTime()
    this.#told = told
    this.#wakeUp()
  }

  /** Ends it: the server stops, or the relay has another stream. */
  stop(): void {
    if (this.#isPushing) this.#writer.cut()
    else this.#writer.end()
    this.#wakeUp()
  }

  /** Resolves when it is over. */
  async run(): Promise<StreamEnded['why']> {
    try {
      for (;;) {
        if (this.#writer.isEnded) return 'closed'
        const waitMs = await this.#step()
        await this.#wokenWithin(waitMs)
      }
    } catch (error) {
      if (error instanceof StreamEnded) return error.why
      this.#writer.cut()
      throw error
    }
  }

  /** Does what is due. @returns ms until something is, if nobody wakes it */
  async #step(): Promise<number> {
    const { heartbeatMs } = this.#deps.timing
    this.#isAwake = false
    const told = this.#told
    let waitMs = heartbeatMs
    if (told !== undefined) {
      await this.#acknowledge(told)
      waitMs = await this.#pushWhatIsDue(told)
    }
    if (performance.now() - this.#writer.lastWriteMs >= heartbeatMs) await this.#writer.write(frame('heartbeat'))
    return Math.min(waitMs, this.#writer.lastWriteMs + heartbeatMs - performance.now())
  }

  /** @returns ms after which to look again */
  async #pushWhatIsDue({ state }: Told): Promise<number> {
    const { acknowledgeMs, betweenPushesMs } = this.#deps.timing
    if (state.snapshotVersion <= this.#refused) return Infinity
    const plan = planPush(this.#held, this.#wantsWhole, state)
    if (plan.kind === 'nothing') return Infinity
    if (plan.kind === 'ahead') {
      this.#deps.log.error('relay.ahead', {
        relay: this.relay,
        held: this.#held?.version,
        version: state.snapshotVersion,
      })
      this.#refused = state.snapshotVersion // said once
      return Infinity
    }
    const now = performance.now()
    if (this.#inFlight !== undefined) return this.#inFlight.sentMs + acknowledgeMs - now
    if (now < this.#nextPushMs) return this.#nextPushMs - now
    this.#nextPushMs = now + betweenPushesMs
    await this.#push(plan.kind === 'whole' || plan.hasNewSettings ? 'settings' : 'versions')
    return betweenPushesMs
  }

  /** What became of the push in flight, by the relay's last report. */
  async #acknowledge({ state }: Told): Promise<void> {
    const relay = state.relays.find((each) => each.relay === this.relay)
    const reportedAt = relay?.reportedAt?.getTime()
    const flight = this.#inFlight
    if (
      relay?.held !== undefined &&
      reportedAt !== this.#oldReport &&
      relay.held.version > (this.#held?.version ?? -1)
    ) {
      this.#held = relay.held
      if (flight === undefined || relay.held.version < flight.held.version) return
      this.#inFlight = undefined
      if (relay.pinnedKey !== flight.key) await this.#deps.believed(this.#identity, flight.key)
    } else if (flight === undefined) {
      return
    } else if (reportedAt !== flight.reportedAt && (relay?.refusedVersion ?? -1) >= flight.held.version) {
      // What it has stays; it gets the next version, not this one again.
      this.#refused = flight.held.version
      this.#inFlight = undefined
    } else if (performance.now() - flight.sentMs >= this.#deps.timing.acknowledgeMs) {
      this.#held = flight.held
      this.#inFlight = undefined
    }
  }

  async #push(needs: 'versions' | 'settings'): Promise<void> {
    const startMs = performance.now()
    const material = await this.#deps.material(needs)
    const relay = material?.state.relays.find((each) => each.relay === this.relay)
    if (material === undefined || relay === undefined) return this.see(material)
    // It may have moved on since it was looked at: the plan is made anew, of the moment that is pushed.
    const plan = planPush(this.#held, this.#wantsWhole, material.state)
    if (plan.kind === 'nothing' || plan.kind === 'ahead') return
    const needsSettings = plan.kind === 'whole' || plan.hasNewSettings
    if (needsSettings && material.state.told === undefined) return this.#push('settings')
    const delta =
      plan.kind === 'change' && plan.tableFrom !== undefined
        ? await this.#deps.delta(plan.tableFrom, material.table)
        : undefined
    const isSameTable =
      plan.kind === 'change' && plan.tableFrom === undefined && this.#held?.digest === material.table.digest
    const isWhole = plan.kind === 'whole' || (!isSameTable && delta === undefined)
    if (isWhole && material.state.told === undefined) return this.#push('settings')
    this.#isPushing = true
    try {
      if (!(await this.#introduceKey(material.signer, relay.pinnedKey))) {
        this.#refused = material.state.snapshotVersion // said once
        return
      }
      await this.#send(isWhole ? { kind: 'whole' } : plan, delta, relay, material, startMs)
    } finally {
      this.#isPushing = false
    }
  }

  /** Makes the relay believe the key that signs. @returns false: nothing leads there from the one that it has */
  async #introduceKey(signer: SnapshotSigner, pinned: string): Promise<boolean> {
    this.#believes ??= pinned
    const path = rotationsFrom(this.#believes, signer)
    if (path === undefined) {
      this.#deps.log.error('relay.key-unknown', { relay: this.relay, key: this.#believes })
      return false
    }
    for (const rotation of path) await this.#writer.write(rotationFrame(rotation))
    this.#believes = signer.id
    return true
  }

  async #send(
    plan: Extract<PushPlan, { kind: 'whole' | 'change' }>,
    delta: Uint8Array | undefined,
    relay: StreamedRelay,
    { state, signer, table }: PushMaterial,
    startMs: number,
  ): Promise<void> {
    const { installation, log, now, pushed } = this.#deps
    const { project } = this.#identity
    const before = this.#writer.bytesWritten
    const version = state.snapshotVersion
    const parts: ManifestPart[] = []
    if (plan.kind === 'whole') parts.push(await this.#part('table', table.snapshotChunks()))
    else if (delta !== undefined) parts.push(await this.#part('table-delta', [delta]))
    if (plan.kind === 'whole' || plan.hasNewSettings) {
      if (state.told === undefined) throw new Error('unreachable: settings were asked for')
      const { settings, secrets } = state.told
      parts.push(await this.#part('settings', [Buffer.from(JSON.stringify(settings))]))
      const sealed = sealSecrets(secrets, this.#identity.sealingKey, { project, relay: this.relay, version })
      parts.push(await this.#part('secrets', [sealed]))
    }
    const manifest = manifestBytes(
      {
        installation,
        project,
        relay: this.relay,
        version,
        createdAt: new Date(now()).toISOString(),
        key: signer.id,
        ...(plan.kind === 'whole' ? {} : { base: plan.base }),
        table: { revision: table.version, digest: table.digest, entries: table.entryCount },
        settings: { version: state.settingsVersion },
        state: relay.state === 'draining' ? 'draining' : 'active',
      },
      parts,
    )
    await this.#writer.write(sealingFrames(manifest, signer.privateKey))
    this.#wantsWhole = false
    this.#inFlight = {
      held: { version, revision: table.version, digest: table.digest, settings: state.settingsVersion },
      key: signer.id,
      reportedAt: relay.reportedAt?.getTime(),
      sentMs: performance.now(),
    }
    const kind =
      plan.kind === 'whole' ? 'whole' : delta !== undefined ? 'delta' : plan.hasNewSettings ? 'settings' : 'state'
    const bytes = this.#writer.bytesWritten - before
    pushed(kind, bytes)
    log.info('relay.pushed', {
      relay: this.relay,
      project,
      kind,
      version,
      revision: table.version,
      bytes,
      ms: Math.round(performance.now() - startMs),
    })
  }

  async #part(name: PartName, chunks: Iterable<Uint8Array>): Promise<ManifestPart> {
    const frames = partFrames(name, chunks)
    for (let count = 1; ; count++) {
      const next = frames.next()
      if (next.done === true) return next.value
      await this.#writer.write(next.value)
      if (count % CHUNKS_A_TURN === 0) await setImmediate()
    }
  }

  #wakeUp(): void {
    this.#isAwake = true
    this.#wake()
  }

  #wokenWithin(ms: number): Promise<void> {
    if (this.#isAwake) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, ms))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
