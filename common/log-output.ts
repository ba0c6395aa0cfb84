// Where log lines go: gathered for one turn of the event loop and written together, since a system call for each line costs a busy relay
// more than making the line.

/** More than this is written at once: a burst stays bounded. */
const MAX_GATHERED = 64 * 1024

export interface LogOutput {
  write(line: string): void
  /** Writes what is gathered now; for the last lines of a process. */
  flush(): void
}

/** @param write  takes any number of whole lines */
export function gatheredOutput(write: (lines: string) => void): LogOutput {
  let gathered = ''
  let isScheduled = false
  const flush = (): void => {
    isScheduled = false
    const lines = gathered
    gathered = ''
    if (lines !== '') write(lines)
  }
  return {
    flush,
    write(line) {
      gathered += line
      if (gathered.length > MAX_GATHERED) flush()
      else if (!isScheduled) {
        isScheduled = true
        setImmediate(flush)
      }
    },
  }
}
