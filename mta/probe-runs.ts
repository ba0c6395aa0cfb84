// Runs of probes: hands the tenant its messages as deliveries are handed over, under the certificate shown to that tenant, and again later, for a mail
// flow rule may take long to act. Ends when the run is named no more, or all its messages were taken back here. (coexistence.md §2.1 row 12)
import { PROBES_IN_A_RUN } from '../common/relay-contract.ts'
import type { PushedProbe } from '../common/relay-contract.ts'
import type { Log } from '../common/log.ts'
import type { ProjectSettings } from './active-snapshot.ts'
import { replyStatus } from './message-record.ts'
import type { MessageRecord } from './message-record.ts'
import type { Outbound, OutboundPlace } from './outbound/deliver.ts'
import { nextHopOf } from './outbound/route.ts'
import { probeMessage, probeRecipient } from './probe-message.ts'
import { newQueueId } from './queue-id.ts'
import { tenantRoute } from './route-names.ts'

export interface ProbeRunsDeps {
  /** Id of the relay. */
  readonly relay: string
  readonly outbound: Pick<Outbound, 'place'>
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
  /** Calls `run` once after `delayMs`, unless the returned function is called before. */
  readonly timer: (run: () => void, delayMs: number) => () => void
}

/** From the end of one round to the next: soon at first, for a rule that is just being made. */
const ROUND_MS = [2_000, 3_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000]
const LAST_ROUND_MS = 600_000
/** Nothing of the run came back here, and it may come back at another relay: then one round in so many is a whole one, and the others are one message. */
const WHOLE_ROUND_IN = 3
/** Deliveries have all the places there are. */
const NO_PLACE_MS = 1_000

interface Run {
  readonly probe: PushedProbe
  /** Numbers of what isn't back yet. */
  readonly missing: Set<number>
  /** One was brought back here: the way is open. */
  isOpen: boolean
  rounds: number
  /** Ends what it waits for. */
  cancel: () => void
  working: Promise<void>
}

export class ProbeRuns {
  readonly #deps: ProbeRunsDeps
  readonly #runs = new Map<string, Run>()
  #routes: ProjectSettings['routes'] = {}
  /** What runs that have ended still have in hand. */
  #ended: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(deps: ProbeRunsDeps) {
    this.#deps = deps
  }

  /** Other settings are in force: new runs begin, those that are named no more end. */
  follow({ probes = [], routes }: Pick<ProjectSettings, 'probes' | 'routes'>): void {
    this.#routes = routes
    for (const [nonce, run] of this.#runs) {
      if (probes.some((probe) => probe.nonce === nonce)) continue
      run.cancel()
      this.#runs.delete(nonce)
      this.#ended = Promise.all([this.#ended, run.working])
    }
    for (const probe of probes) {
      if (this.#runs.has(probe.nonce)) continue
      const missing = new Set(Array.from({ length: PROBES_IN_A_RUN }, (_, index) => index))
      const run: Run = { probe, missing, isOpen: false, rounds: 0, cancel: () => {}, working: Promise.resolve() }
      this.#runs.set(probe.nonce, run)
      this.#begin(run)
    }
  }

  /** A message came back as it should. */
  cameBack(nonce: string, relay: string, index: number): void {
    const run = this.#runs.get(nonce)
    if (run === undefined || relay !== this.#deps.relay) return
    run.missing.delete(index)
    if (run.isOpen) return
    run.isOpen = true
    run.cancel()
    this.#begin(run)
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    const runs = [...this.#runs.values()]
    this.#runs.clear()
    for (const run of runs) run.cancel()
    await Promise.all([this.#ended, ...runs.map(({ working }) => working)])
  }

  /** One round after the other: a run never takes more than one place. */
  #begin(run: Run): void {
    run.working = run.working.then(async () => {
      run.cancel()
      if (!this.#isOn(run) || run.missing.size === 0) return
      try {
        await this.#round(run)
      } catch (error) {
        this.#deps.log.error('probe.failed', { nonce: run.probe.nonce, error })
      }
      if (this.#isOn(run))
        run.cancel = this.#deps.timer(() => this.#begin(run), ROUND_MS[run.rounds++] ?? LAST_ROUND_MS)
    })
  }

  #isOn(run: Run): boolean {
    return !this.#isClosed && this.#runs.get(run.probe.nonce) === run
  }

  async #round(run: Run): Promise<void> {
    const { log } = this.#deps
    const { nonce, tenant, direction } = run.probe
    const isWhole = run.isOpen || run.rounds % WHOLE_ROUND_IN === WHOLE_ROUND_IN - 1
    let handed = 0
    let failure: string | undefined
    for (const index of [...run.missing].slice(0, isWhole ? PROBES_IN_A_RUN : 1)) {
      if (!this.#isOn(run)) return
      if (!run.missing.has(index)) continue // back meanwhile
      failure = await this.#hand(run, index)
      // Its server said no, or nothing: it would say the same of the others.
      if (failure !== undefined) break
      handed++
    }
    const about = { nonce, tenant, direction, messages: handed, round: run.rounds + 1 }
    if (failure === undefined) log.info('probe.sent', about)
    else log.warn('probe.not-sent', { ...about, status: failure })
  }

  /** @returns why it was not taken; undefined: it was */
  async #hand(run: Run, index: number): Promise<string | undefined> {
    const { nonce, tenant, direction, host } = run.probe
    const route = this.#routes[tenantRoute(tenant)]
    if (route === undefined) return 'no smart host'
    const place = await this.#place(run, nextHopOf(route, tenant))
    if (place === undefined) return 'ended'
    const content = probeMessage({ nonce, relay: this.#deps.relay, index }, host, direction)
    const bodyStart = content.indexOf('\r\n\r\n') + 4
    const body = content.subarray(bodyStart)
    const header = content.subarray(0, bodyStart)
    const record = this.#record(probeRecipient(nonce, host), tenant, direction, header.length, body.length)
    try {
      const { outcomes } = await place.deliver({ record, header, body: () => [body] }, [0])
      const [outcome] = outcomes
      if (outcome?.kind === 'delivered') return undefined
      return outcome === undefined ? 'unknown' : replyStatus(outcome.reply)
    } finally {
      place.release()
      place.recorded()
    }
  }

  /** undefined: the run ended while it waited for one. */
  async #place(run: Run, hop: ReturnType<typeof nextHopOf>): Promise<OutboundPlace | undefined> {
    while (this.#isOn(run)) {
      const place = this.#deps.outbound.place(hop)
      if (place !== undefined) return place
      await new Promise<void>((resolve) => {
        const cancel = this.#deps.timer(resolve, NO_PLACE_MS)
        run.cancel = () => {
          cancel()
          resolve()
        }
      })
    }
    return undefined
  }

  #record(
    recipient: string,
    tenant: string,
    direction: 'out' | 'in',
    headerBytes: number,
    bodyBytes: number,
  ): MessageRecord {
    const now = this.#deps.now()
    return {
      queueId: newQueueId(now),
      project: 'probe',
      direction,
      tableVersion: 0,
      receivedAt: now,
      intakeMs: 0,
      reversePath: '',
      receivedReversePath: '',
      smtpUtf8: false,
      body8BitMime: false,
      has8Bit: false,
      isOwnReport: false,
      recipients: [{ path: recipient, received: recipient, notify: 'NEVER', route: tenantRoute(tenant) }],
      headerBytes,
      bodyBytes,
    }
  }
}
