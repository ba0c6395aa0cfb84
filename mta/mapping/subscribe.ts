// Keeps the stream to the control plane open: dials, says what the relay has, takes what comes, and dials again, later and later, for as long as the
// relay runs. What comes is hostile until the keeper has judged it. (RC-1, RC-4)
import { setTimeout as sleep } from 'node:timers/promises'
import type { IncomingMessage } from 'node:http'
import type { Log } from '../../common/log.ts'
import { HEARTBEAT_MS, RELAY_PATHS, REVOKED_STATUS } from '../../common/relay-contract.ts'
import type { StreamQuery } from '../../common/relay-contract.ts'
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { ControlPlaneClient } from '../enrolment/http-client.ts'
import { serverTimeOf } from '../enrolment/http-client.ts'
import { retryDelayMs } from '../enrolment/retry-delay.ts'
import { FrameDecoder, FrameFault } from './frames.ts'
import type { Frame } from './frames.ts'
import type { HeldSnapshot } from './next-snapshot.ts'
import type { PushIntake } from './push-intake.ts'
import type { Remedy } from './push-refused.ts'
import type { KeptTable, SnapshotKeeper } from './snapshot-keeper.ts'

export interface SubscribeDeps {
  readonly client: Pick<ControlPlaneClient, 'open'>
  readonly token: () => Promise<string>
  readonly held: () => HeldSnapshot | undefined
  readonly keeper: Pick<SnapshotKeeper, 'intake' | 'take' | 'malformed'>
  /** The stream is open: the control plane can be told what the relay has. */
  readonly connected: () => void
  /** The control plane was heard, and has nothing newer than what the relay has. */
  readonly confirmed: () => void
  /** Id of the snapshot key that the relay believes. */
  readonly pinnedKey: () => string
  /** A frame with another key. @returns whether the pinned one signed it */
  readonly rotate: (payload: Buffer) => Promise<boolean>
  readonly revoked: () => Promise<void>
  readonly log: Log
  readonly metrics: Metrics
  readonly now: () => number
  /** In [0, 1) */
  readonly random: () => number
  /** ms; for tests. */
  readonly silenceMs?: number
}

/** Without a frame for so long the connection is dead, whatever the network says. */
const SILENCE_MS = 3 * HEARTBEAT_MS
/** A clock that is further off makes tokens that nobody takes. */
const MAX_CLOCK_OFF_MS = 30_000

/** How a connection ended. */
type End =
  | { readonly kind: 'revoked' }
  | { readonly kind: 'lost'; readonly why: string; readonly error?: unknown }
  | { readonly kind: 'refused'; readonly remedy: Remedy }

export class Subscription {
  readonly #deps: SubscribeDeps
  readonly #stop = new AbortController()
  #isConnected = false
  #failures = 0
  #wantsWhole = false
  /** A newer version was offered and could not be taken. */
  #isBehind = false
  #running: Promise<void> | undefined

  constructor(deps: SubscribeDeps) {
    this.#deps = deps
    connectedGauge(deps.metrics, () => this.#isConnected)
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { log, random, revoked } = this.#deps
    while (!this.#stop.signal.aborted) {
      const end = await this.#connect().catch((error: unknown): End => ({ kind: 'lost', why: 'failed', error }))
      this.#isConnected = false
      if (this.#stop.signal.aborted) return
      if (end.kind === 'revoked') return revoked()
      if (end.kind === 'refused') this.#wantsWhole = end.remedy === 'whole'
      const delayMs = retryDelayMs(++this.#failures, random())
      // What was refused is in the log already.
      if (end.kind === 'lost') log.warn('control-plane.lost', { reason: end.why, retryInMs: delayMs, ...errorOf(end) })
      await sleep(delayMs, undefined, { signal: this.#stop.signal }).catch(() => {}) // told to stop
    }
  }

  async #connect(): Promise<End> {
    const { client, token, log, now } = this.#deps
    const response = await client.open(this.#path(), await token(), this.#stop.signal)
    try {
      const { statusCode: status = 0 } = response
      if (status === REVOKED_STATUS) return { kind: 'revoked' }
      if (status !== 200) {
        const clockOffMs = now() - (serverTimeOf(response) ?? now())
        const isOff = Math.abs(clockOffMs) > MAX_CLOCK_OFF_MS
        if (isOff) log.error('control-plane.clock', { clockOffMs })
        return { kind: 'lost', why: `answered with status ${status}` }
      }
      this.#isConnected = true
      log.info('control-plane.connected', { version: this.#deps.held()?.version })
      this.#deps.connected()
      return await this.#listen(response)
    } finally {
      response.destroy()
    }
  }

  #path(): string {
    const held = this.#deps.held()
    const query: StreamQuery = {
      ...(held === undefined
        ? {}
        : {
            version: String(held.version),
            revision: String(held.table.version),
            digest: held.table.digest,
            settings: String(held.project.version),
          }),
      ...(this.#wantsWhole ? { whole: '1' } : {}),
      key: this.#deps.pinnedKey(),
    }
    const text = new URLSearchParams({ ...query }).toString()
    return text === '' ? RELAY_PATHS.stream : `${RELAY_PATHS.stream}?${text}`
  }

  async #listen(response: IncomingMessage): Promise<End> {
    const { keeper, silenceMs = SILENCE_MS } = this.#deps
    const decoder = new FrameDecoder()
    const box: { intake: PushIntake<KeptTable> } = { intake: keeper.intake() }
    response.setTimeout(silenceMs, () => response.destroy(new Error('nothing was heard')))
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        for (const frame of decoder.push(chunk)) {
          const end = await this.#frame(frame, box)
          if (end !== undefined) return end
        }
      }
      return { kind: 'lost', why: 'the control plane ended the stream' }
    } catch (error) {
      if (!(error instanceof FrameFault)) return { kind: 'lost', why: 'the stream broke', error }
      keeper.malformed(`it is malformed: ${error.message}`)
      return { kind: 'refused', remedy: 'distrust' }
    } finally {
      await box.intake.abort()
    }
  }

  async #frame(frame: Frame, box: { intake: PushIntake<KeptTable> }): Promise<End | undefined> {
    const { keeper, rotate, confirmed } = this.#deps
    if (frame.kind === 'revoked') return { kind: 'revoked' }
    if (frame.kind === 'key' && !box.intake.isUnderWay) {
      if (await rotate(frame.payload)) return undefined
      keeper.malformed('a new key that the pinned one did not sign')
      return { kind: 'refused', remedy: 'distrust' }
    }
    if (frame.kind === 'heartbeat') {
      // In the middle of a push, or after one that was refused, there is something newer.
      if (!box.intake.isUnderWay && !this.#isBehind) {
        this.#failures = 0
        confirmed()
      }
      return undefined
    }
    const push = await box.intake.frame(frame)
    if (push === undefined) return undefined
    box.intake = keeper.intake()
    const taken = await keeper.take(push)
    if (taken.kind === 'active') {
      this.#failures = 0
      this.#wantsWhole = false
      this.#isBehind = false
      return undefined
    }
    this.#isBehind = true
    // A sound push that can't be used: the control plane hears of it, and sends another when there is one.
    return taken.remedy === 'wait' ? undefined : { kind: 'refused', remedy: taken.remedy }
  }
}

function connectedGauge(metrics: Metrics, isConnected: () => boolean): Gauge {
  return new Gauge({
    name: 'causeway_control_plane_connected',
    help: '1 while the stream from the control plane is open.',
    registers: [metrics],
    collect() {
      this.set(isConnected() ? 1 : 0)
    },
  })
}

function errorOf({ error }: End & { kind: 'lost' }): { error?: unknown } {
  return error === undefined ? {} : { error }
}
