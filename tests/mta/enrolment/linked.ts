// The link of a relay to a control plane in this process: real enrolment, real HTTP, a folder of its own; who carries mail is the test.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../../common/log.ts'
import type { Log } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import type { Metrics } from '../../../common/metrics.ts'
import { ALONE, enrolNow, openLink } from '../../../mta/control-plane-link.ts'
import type { ControlPlaneLink } from '../../../mta/control-plane-link.ts'
import { hasControlPlane, parseSettings } from '../../../mta/settings.ts'
import type { EnrolledSettings } from '../../../mta/settings.ts'
import type { PushServer } from '../../harness/push-server.ts'

export function enrolledSettings(directory: string, controlPlane: Record<string, unknown>): EnrolledSettings {
  const settings = parseSettings(
    join(directory, 'relay.yaml'),
    JSON.stringify({
      name: 'relay.test',
      listeners: [{ address: '127.0.0.1', port: 0, direction: 'out', tls: 'none', allow: ['127.0.0.0/8'] }],
      spool: { directory: 'spool', key: { file: 'spool.key' } },
      controlPlane,
    }),
    'host.test',
  )
  if (!hasControlPlane(settings)) throw new Error('unreachable: it was given one')
  return settings
}

export interface LinkedOptions {
  readonly controlPlane?: Record<string, unknown>
  /** ms since the epoch */
  readonly now?: () => number
}

export class Linked implements AsyncDisposable {
  readonly directory: string
  readonly rootKey: Uint8Array
  readonly log: Record<string, unknown>[] = []
  readonly metrics: Metrics = emptyMetrics()
  readonly told: string[] = []
  readonly #writeLog: Log
  link: ControlPlaneLink | undefined

  constructor(directory = mkdtempSync(join(tmpdir(), 'causeway-link-')), rootKey: Uint8Array = randomBytes(32)) {
    this.directory = directory
    this.rootKey = rootKey
    this.#writeLog = createLog({
      write: (line) => void this.log.push(JSON.parse(line) as Record<string, unknown>),
      level: 'debug',
      now: Date.now,
    })
  }

  enrol(controlPlane: Record<string, unknown>, signal = new AbortController().signal) {
    return enrolNow(enrolledSettings(this.directory, controlPlane), {
      ...this.deps(),
      signal,
      waiting: (why) => void this.told.push(why),
    })
  }

  deps(now: () => number = Date.now) {
    return { rootKey: this.rootKey, log: this.#writeLog, metrics: this.metrics, now }
  }

  /** Enrols, opens and dials. */
  static async to(server: PushServer, { controlPlane, now }: LinkedOptions = {}, again?: Linked): Promise<Linked> {
    const linked = again === undefined ? new Linked() : new Linked(again.directory, again.rootKey)
    const written = { url: server.url, enrolmentCode: server.code, ...controlPlane }
    const enrolled = await linked.enrol(written)
    linked.link = await openLink(enrolledSettings(linked.directory, written), enrolled, linked.deps(now))
    linked.link.start({
      ...ALONE,
      condition: async () => ({
        isReady: true,
        reasons: [],
        queue: { messages: 3, oldestAgeMs: 5, quarantined: 1, dead: 2 },
        certificateNotAfter: Date.UTC(2030, 0, 1),
      }),
    })
    return linked
  }

  get version(): number | undefined {
    return this.link?.snapshot.get()?.snapshotVersion
  }

  events(event: string): Record<string, unknown>[] {
    return this.log.filter((line) => line['event'] === event)
  }

  async close(): Promise<void> {
    await this.link?.close()
    this.link = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
