// A relay as a process: settings, log, signals, and an orderly end. (DU-6)
import { createWriteStream } from 'node:fs'
import { createLog } from '../common/log.ts'
import { gatheredOutput } from '../common/log-output.ts'
import { createMetrics } from '../common/metrics.ts'
import { loadSettings } from './settings.ts'
import { startWorker } from './worker.ts'

export interface RunningRelay {
  readonly ports: readonly number[]
  reload(): Promise<void>
  stop(): Promise<void>
}

const GRACE_MS = 30_000
/** EX_SOFTWARE of sysexits.h */
const EXIT_SOFTWARE = 70

/** @param write  takes the log, line by line */
export async function startRelay(configFile: string, write: (line: string) => void): Promise<RunningRelay> {
  const settings = await loadSettings(configFile)
  const log = createLog({ write, level: settings.log.level, now: Date.now })
  for (const warning of settings.warnings) log.warn('settings.warning', { warning })
  const worker = await startWorker(settings, { log, metrics: createMetrics() })
  return { ports: worker.ports, reload: () => worker.reload(), stop: () => worker.stop(GRACE_MS) }
}

/**
 * Runs a relay until SIGTERM or SIGINT; SIGHUP reads certificates, keys and the mapping table again. The log goes to stderr.
 * @returns the process's exit code
 * @throws what makes a start impossible: SettingsFault, SpoolUnusable
 */
export async function runRelay(configFile: string): Promise<number> {
  const output = gatheredOutput((lines) => process.stderr.write(lines))
  const write = (line: string) => output.write(line)
  process.on('exit', () => output.flush())
  // What nobody caught has left the process in a state nobody knows: the spool is the truth, and a new process reads it. (WS-6)
  const log = createLog({ write, level: 'error', now: Date.now })
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error) => {
      log.error('relay.died', { error })
      process.exit(EXIT_SOFTWARE)
    })
  }
  const relay = await startRelay(configFile, write)
  process.on('SIGHUP', () => void relay.reload())
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  await relay.stop()
  return 0
}

/** Appends log lines to a file; for a relay that runs in the foreground beside something else. */
export function logFile(path: string): (line: string) => void {
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 })
  return (line) => void stream.write(line)
}
