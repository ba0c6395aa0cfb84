// The log of a process, and its end when something is beyond repair.
import { createLog } from './log.ts'
import type { LogFields } from './log.ts'
import { gatheredOutput } from './log-output.ts'

/** EX_SOFTWARE of sysexits.h */
const EXIT_SOFTWARE = 70

/**
 * The log goes to stderr, and whatever nobody catches ends the process.
 * @param died  event name of that end: `relay.died`
 * @returns what takes the log, line by line
 */
export function startProcessLog(died: string, fields?: LogFields): (line: string) => void {
  const output = gatheredOutput((lines) => process.stderr.write(lines))
  const write = (line: string) => output.write(line)
  process.on('exit', () => output.flush())
  // What nobody caught has left the process in a state nobody knows: what is on disk is the truth, and a new process reads it. (WS-6)
  const log = createLog({ write, level: 'error', now: Date.now, ...(fields === undefined ? {} : { fields }) })
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error) => {
      log.error(died, { error })
      process.exit(EXIT_SOFTWARE)
    })
  }
  return write
}
