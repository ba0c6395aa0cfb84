// A relay in this process that a control plane sets up: it answers monitoring at once, enrols, opens its spool for the project it now knows, and takes mail
// as soon as there is a snapshot. (RC-1, product.md §8)
import type { Log } from '../common/log.ts'
import type { Metrics } from '../common/metrics.ts'
import { startAdminServer } from '../common/admin-server.ts'
import { ALONE, enrolNow, openLink } from './control-plane-link.ts'
import { withProjectOf } from './enrolment/enrolled-settings.ts'
import { GRACE_MS } from './relay-process.ts'
import type { EnrolledSettings } from './settings.ts'
import { Disk } from './spool/disk.ts'
import { loadSpoolKey } from './spool/keys.ts'
import { lockSpool } from './spool/lock.ts'
import { startWorker } from './worker.ts'
import type { RunningWorker } from './worker.ts'

export interface EnrolledRelayDeps {
  readonly log: Log
  readonly metrics: Metrics
  /** The relay is told to stop before it is enrolled. */
  readonly signal: AbortSignal
}

/** @throws SettingsFault, SpoolUnusable; when `signal` is aborted before it is enrolled */
export async function startEnrolledRelay(
  settings: EnrolledSettings,
  { log, metrics, signal }: EnrolledRelayDeps,
): Promise<Pick<RunningWorker, 'ports' | 'reload'> & { stop(): Promise<void> }> {
  const opened = new AsyncDisposableStack()
  try {
    let worker: RunningWorker | undefined
    let why = 'starting'
    const readiness = () => worker?.readiness() ?? { isReady: false, reasons: [why] }
    if (settings.metrics !== undefined) {
      const admin = await startAdminServer(settings.metrics, { metrics, readiness, log })
      opened.defer(() => admin.close())
    }
    const state = settings.controlPlane.state.directory
    new Disk(state).makeDirectory('.')
    const lock = lockSpool(state)
    opened.defer(() => lock.release())
    const rootKey = loadSpoolKey(settings.spool.key.file, settings.spool.directory)
    const deps = { rootKey, log, metrics, now: Date.now }
    const enrolled = await enrolNow(settings, { ...deps, signal, waiting: (reason) => (why = reason) })
    const link = await openLink(settings, enrolled, deps)
    opened.defer(() => link.close())
    const { snapshot, events } = link
    const running = await startWorker(withProjectOf(settings, enrolled.enrolment), {
      log,
      metrics,
      pushed: { relay: enrolled.enrolment.relay, snapshot, events },
    })
    worker = running
    link.start({
      ...ALONE,
      async condition() {
        const { certificateNotAfter, ...queue } = running.figures()
        return { ...running.readiness(), queue, certificateNotAfter }
      },
    })
    return {
      ports: running.ports,
      reload: () => running.reload(),
      async stop() {
        await running.stop(GRACE_MS)
        await opened.disposeAsync()
      },
    }
  } catch (error) {
    await opened.disposeAsync()
    throw error
  }
}
