// A relay as a process: settings, log, signals, and an orderly end. (DU-6)
import { createWriteStream } from 'node:fs'
import { createLog } from '../common/log.ts'
import type { Log } from '../common/log.ts'
import { createMetrics } from '../common/metrics.ts'
import { startProcessLog } from '../common/process-log.ts'
import { GRACE_MS } from './relay-process.ts'
import { hasControlPlane, loadSettings } from './settings.ts'
import type { Settings } from './settings.ts'
import { startWorker } from './worker.ts'
import { findPartitions } from './workers/partitions.ts'

export interface RunningRelay {
  readonly ports: readonly number[]
  reload(): Promise<void>
  stop(): Promise<void>
}

/** A relay in this process, with one worker. @param write  takes the log, line by line */
export async function startRelay(configFile: string, write: (line: string) => void): Promise<RunningRelay> {
  const settings = await loadSettings(configFile)
  return startAlone(settings, settingsLog(settings, write), new AbortController().signal)
}

function settingsLog(settings: Settings, write: (line: string) => void): Log {
  const log = createLog({ write, level: settings.log.level, now: Date.now })
  for (const warning of settings.warnings) log.warn('settings.warning', { warning })
  return log
}

/** @throws when `signal` is aborted before an enrolled relay is set up */
async function startAlone(settings: Settings, log: Log, signal: AbortSignal): Promise<RunningRelay> {
  const metrics = createMetrics()
  if (hasControlPlane(settings)) {
    // What it takes is for those who have a control plane.
    const { startEnrolledRelay } = await import('./enrolled-relay.ts')
    return startEnrolledRelay(settings, { log, metrics, signal })
  }
  const worker = await startWorker(settings, { log, metrics })
  return { ports: worker.ports, reload: () => worker.reload(), stop: () => worker.stop(GRACE_MS) }
}

/**
 * Runs a relay until SIGTERM or SIGINT; SIGHUP reads certificates, keys and the mapping table again. The log goes to stderr.
 * @returns the process's exit code
 * @throws what makes a start impossible: SettingsFault, SpoolUnusable, WorkerUnusable
 */
export async function runRelay(configFile: string): Promise<number> {
  const write = startProcessLog('relay.died')
  const settings = await loadSettings(configFile)
  const log = settingsLog(settings, write)
  // One process is all it takes for one worker, unless an earlier number of workers left mail.
  if (findPartitions(settings.spool.directory, settings.workers).length > 1) {
    return (await import('./workers/primary.ts')).runPrimary(settings, { log, write })
  }
  const told = new AbortController()
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  void stopped.then(() => told.abort())
  let relay: RunningRelay
  try {
    relay = await startAlone(settings, log, told.signal)
  } catch (error) {
    // It waited for its enrolment, and had nothing in hand.
    if (told.signal.aborted) return 0
    throw error
  }
  process.on('SIGHUP', () => void relay.reload())
  // Without a listener the signal would end the process.
  process.on('SIGUSR2', () =>
    log.warn('relay.restart-refused', { reason: 'there is one worker only: restart the relay' }),
  )
  await stopped
  await relay.stop()
  return 0
}

/** Appends log lines to a file; for a relay that runs in the foreground beside something else. */
export function logFile(path: string): (line: string) => void {
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 })
  return (line) => void stream.write(line)
}
