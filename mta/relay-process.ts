// What every process of a relay does alike, be it the only one, the primary or a worker: its log, and its end when something is beyond repair.
import { createLog } from '../common/log.ts'
import type { LogFields } from '../common/log.ts'
import { gatheredOutput } from '../common/log-output.ts'

/** For a stop in order: from the signal to the last session's end. (DU-6) */
export const GRACE_MS = 30_000
/** EX_SOFTWARE of sysexits.h */
const EXIT_SOFTWARE = 70

/**
 * The log goes to stderr, and whatever nobody catches ends the process.
 * @returns what takes the log, line by line
 */
export function startProcessLog(fields?: LogFields): (line: string) => void {
  const output = gatheredOutput((lines) => process.stderr.write(lines))
  const write = (line: string) => output.write(line)
  process.on('exit', () => output.flush())
  // What nobody caught has left the process in a state nobody knows: the spool is the truth, and a new process reads it. (WS-6)
  const log = createLog({ write, level: 'error', now: Date.now, ...(fields === undefined ? {} : { fields }) })
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error) => {
      log.error('relay.died', { error })
      process.exit(EXIT_SOFTWARE)
    })
  }
  return write
}
