// What the relay tells the control plane of itself: what it has, not "ok". At each activation or refusal, and now and then. (product.md §5)
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../common/log.ts'
import { RELAY_PATHS, REPORT_EVERY_MS, REVOKED_STATUS } from '../../common/relay-contract.ts'
import type { RelayReport } from '../../common/relay-contract.ts'
import type { ControlPlaneClient } from '../enrolment/http-client.ts'
import type { HeldSnapshot } from './next-snapshot.ts'

/** What is known of the process, or processes, that carry mail. */
export interface RelayCondition {
  readonly isReady: boolean
  readonly reasons: readonly string[]
  readonly queue: RelayReport['queue']
  /** Of the certificate that ends first, ms since the epoch. */
  readonly certificateNotAfter: number | undefined
}

export interface ReportFacts {
  readonly held: HeldSnapshot | undefined
  /** The last push that was refused. */
  readonly refused: { readonly version: number | undefined; readonly reason: string } | undefined
  readonly condition: RelayCondition
  readonly softwareVersion: string
  /** ms since the epoch */
  readonly startedAt: number
  readonly droppedEvents: RelayReport['droppedEvents']
}

const APART_MS = 60
const MAX_REASON = 500
const MAX_REASONS = 20

/** Pure. */
export function makeReport({ held, refused, condition, ...facts }: ReportFacts): RelayReport {
  const { isReady, reasons, queue, certificateNotAfter } = condition
  const version = held?.version ?? 0
  // What was malformed has no version that anybody can believe: it is told as the next one.
  const refusedVersion = refused === undefined ? undefined : (refused.version ?? version + 1)
  return {
    version,
    revision: held?.table.version ?? 0,
    digest: held?.table.digest ?? '',
    entries: held?.table.entryCount ?? 0,
    settings: held?.project.version ?? 0,
    ...(refused === undefined || refusedVersion === undefined || refusedVersion <= version
      ? {}
      : { refused: { version: refusedVersion, reason: refused.reason.slice(0, MAX_REASON) } }),
    softwareVersion: facts.softwareVersion,
    startedAt: new Date(facts.startedAt).toISOString(),
    isReady,
    reasons: reasons.slice(0, MAX_REASONS).map((reason) => reason.slice(0, MAX_REASON)),
    state: held?.manifest.state ?? 'active',
    queue,
    ...(certificateNotAfter === undefined ? {} : { certificateNotAfter: new Date(certificateNotAfter).toISOString() }),
    droppedEvents: facts.droppedEvents,
  }
}

export interface ReporterDeps {
  readonly client: Pick<ControlPlaneClient, 'post'>
  readonly token: () => Promise<string>
  readonly facts: () => Promise<ReportFacts>
  readonly revoked: () => void
  readonly log: Log
}

export class Reporter {
  readonly #deps: ReporterDeps
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #asked = Promise.withResolvers<void>()

  constructor(deps: ReporterDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Something changed: a report goes out now. */
  now(): void {
    this.#asked.resolve()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#asked.resolve()
    await this.#running
  }

  async #run(): Promise<void> {
    const { client, token, facts, revoked, log } = this.#deps
    let isFailing = false
    while (!this.#stop.signal.aborted) {
      this.#asked = Promise.withResolvers()
      try {
        const report = makeReport(await facts())
        const { status } = await client.post(
          RELAY_PATHS.report,
          JSON.stringify(report),
          await token(),
          this.#stop.signal,
        )
        if (status === REVOKED_STATUS) return revoked()
        if (status !== 200 && !isFailing) log.warn('report.refused', { status })
        isFailing = status !== 200
      } catch (error) {
        // The stream tells of an outage already; a report is made anew each time.
        log.debug('report.failed', { error })
      }
      // What happens in quick succession is one report.
      await sleep(APART_MS, undefined, { signal: this.#stop.signal }).catch(() => {}) // told to stop
      const wait = new AbortController()
      const timer = sleep(REPORT_EVERY_MS, undefined, { signal: AbortSignal.any([this.#stop.signal, wait.signal]) })
      await Promise.race([timer.catch(() => {}), this.#asked.promise])
      wait.abort()
    }
  }
}
