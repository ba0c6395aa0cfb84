// The journal of one spool directory, as the settings have it: for the running relay, and for a command that changes a spool at rest.
import type { Log } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import { messageIdTag, privacyKey, recipientTag } from '../privacy.ts'
import type { Settings } from '../settings.ts'
import { Journal } from './journal.ts'

export interface OpenJournalDeps {
  /** Of the marker: what the tags' key is made from. */
  readonly secret: string
  readonly log: Log
  readonly metrics?: Metrics
  readonly now: () => number
}

export function openJournal(
  { journal, limits, privacy }: Pick<Settings, 'journal' | 'limits' | 'privacy'>,
  spoolDirectory: string,
  { secret, ...deps }: OpenJournalDeps,
): Journal {
  const key = privacyKey(secret)
  return new Journal({
    ...deps,
    spoolDirectory,
    settings: journal,
    reserve: { ratio: limits.freeSpaceRatio, bytes: limits.freeSpaceMessages * limits.messageBytes },
    tags: {
      address: (address) => recipientTag(address, privacy, key),
      messageId: (id) => messageIdTag(id, privacy, key),
    },
    timer(run, delayMs) {
      const timer = setTimeout(run, delayMs)
      return () => clearTimeout(timer)
    },
  })
}
