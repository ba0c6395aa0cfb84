// Which lines of a journal answer a question about a message. The accepted line names Message-ID, sender and recipients as they came; the
// lines after it only the queue id and what each recipient became: so what a question means is found out on the way, in one reading.
import type { JournalEntry } from './journal-entry.ts'
import type { EntryFilter } from './read-journal.ts'

/** Each list that isn't empty must hold for a line; one of its members is enough. */
export interface TraceQuestion {
  readonly ids: readonly string[]
  /** As the journal has them: hashed with each secret that may have been in use, and in clear. */
  readonly messageIds: readonly string[]
  readonly senders: readonly string[]
  readonly recipients: readonly string[]
  readonly events: readonly string[]
  /** ISO 8601, as in the entries: what is earlier is read, where the answer may begin there, but not given. */
  readonly since?: string
}

/** Messages that are followed; beyond, the oldest are no longer: they are done most likely. */
const MAX_FOLLOWED = 200_000

/** Whether the answer can lie in days before those that are asked for: what was accepted then is followed from there. */
export function looksBack({ messageIds, senders, recipients }: TraceQuestion): boolean {
  return messageIds.length + senders.length + recipients.length > 0
}

export function traceFilter(question: TraceQuestion): EntryFilter {
  const { since = '' } = question
  const [ids, messageIds, senders, recipients, events] = [
    new Set(question.ids),
    new Set(question.messageIds),
    foldedSet(question.senders),
    foldedSet(question.recipients),
    new Set(question.events),
  ]
  /** Recipients by index; undefined: all of the message. */
  const followed = new Map<string, Set<number> | undefined>()

  const follow = (queueId: string, indices: Set<number> | undefined): void => {
    if (followed.size >= MAX_FOLLOWED) {
      const [oldest] = followed.keys()
      if (oldest !== undefined) followed.delete(oldest)
    }
    followed.set(queueId, indices)
  }

  const noteAccepted = ({ queueId, messageId, from, to }: JournalEntry): void => {
    if (messageIds.size > 0 && !(typeof messageId === 'string' && messageIds.has(messageId))) return
    if (senders.size > 0 && !isAmong(senders, from)) return
    if (recipients.size === 0) return follow(queueId, undefined)
    const named: unknown[] = Array.isArray(to) ? to : []
    const indices = new Set(named.flatMap((each, index) => (isAmong(recipients, each) ? [index] : [])))
    if (indices.size > 0) follow(queueId, indices)
    // Named with their later addresses only: all of the message is looked at.
    else if (messageIds.size + senders.size > 0) follow(queueId, new Set())
  }

  return (entry) => {
    const { event, queueId, time } = entry
    if (looksBack(question)) {
      if (event === 'accepted') noteAccepted(entry)
      if (!isFollowed(entry)) return false
    }
    return (
      time >= since &&
      (ids.size === 0 || ids.has(queueId) || isReport(entry['report'])) &&
      (events.size === 0 || events.has(event))
    )
  }

  /** What a report is about is part of its own story. */
  function isReport(report: unknown): boolean {
    return typeof report === 'string' && ids.has(report)
  }

  function isFollowed({ queueId, recipient, recipientIndex }: JournalEntry): boolean {
    const isKnown = followed.has(queueId)
    if (recipients.size === 0) return isKnown
    if (messageIds.size + senders.size > 0 && !isKnown) return false
    const indices = followed.get(queueId)
    if (typeof recipientIndex !== 'number') return indices !== undefined && indices.size > 0
    if (indices?.has(recipientIndex) === true) return true
    if (!isAmong(recipients, recipient)) return false
    follow(queueId, new Set([...(indices ?? []), recipientIndex]))
    return true
  }
}

function foldedSet(texts: readonly string[]): Set<string> {
  return new Set(texts.flatMap((text) => [text, text.toLowerCase()]))
}

/** In clear an address stands as it was written: case doesn't count there. */
function isAmong(folded: ReadonlySet<string>, value: unknown): boolean {
  return typeof value === 'string' && (folded.has(value) || folded.has(value.toLowerCase()))
}
