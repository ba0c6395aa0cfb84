// The journal of one spool directory, as the settings have it: for the running relay, and for a command that changes a spool at rest.
import type { Log } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { Tags } from '../privacy.ts'
import type { Settings } from '../settings.ts'
import { Journal } from './journal.ts'

export interface OpenJournalDeps {
  readonly tags: Tags
  /** Gets each line as well, whatever becomes of it in the file. */
  readonly noted?: (line: string) => void
  readonly log: Log
  readonly metrics?: Metrics
  readonly now: () => number
}

export function openJournal(
  { journal, limits }: Pick<Settings, 'journal' | 'limits'>,
  spoolDirectory: string,
  deps: OpenJournalDeps,
): Journal {
  return new Journal({
    ...deps,
    spoolDirectory,
    settings: journal,
    reserve: { ratio: limits.freeSpaceRatio, bytes: limits.freeSpaceMessages * limits.messageBytes },
    timer(run, delayMs) {
      const timer = setTimeout(run, delayMs)
      return () => clearTimeout(timer)
    },
  })
}
