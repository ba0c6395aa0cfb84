// What one mailbox's owner has in front of him: the newest messages, the calendar, and whether he is out of office. Bounded: an evaluation may run
// for weeks.
import type { AutomaticReply } from './automatic-reply.ts'
import type { CalendarEntry } from './calendar-entry.ts'
import type { ReceivedMessage } from './read-message.ts'

const MESSAGES = 500
const MEETINGS = 500
const ANSWERED = 10_000

export class PersonFolder {
  #messages: ReceivedMessage[] = []
  readonly #calendar = new Map<string, CalendarEntry>()
  #automaticReply: AutomaticReply | undefined
  readonly #answered = new Set<string>()

  keep(message: ReceivedMessage): void {
    this.#messages.push(message)
    if (this.#messages.length > MESSAGES) this.#messages.shift()
  }

  /** The newest of this id. */
  message(messageId: string): ReceivedMessage | undefined {
    return this.#messages.findLast((message) => message.messageId === messageId)
  }

  entry(uid: string): CalendarEntry | undefined {
    return this.#calendar.get(uid)
  }

  /** In the order in which they came. */
  entries(): readonly CalendarEntry[] {
    return [...this.#calendar.values()]
  }

  put(entry: CalendarEntry): void {
    this.#calendar.set(entry.uid, entry)
    const [oldest] = this.#calendar.keys()
    if (this.#calendar.size > MEETINGS && oldest !== undefined) this.#calendar.delete(oldest)
  }

  get automaticReply(): AutomaticReply | undefined {
    return this.#automaticReply
  }

  /** Everybody is answered anew. */
  set automaticReply(setting: AutomaticReply | undefined) {
    this.#automaticReply = setting
    this.#answered.clear()
  }

  isAnswered(sender: string): boolean {
    return this.#answered.has(sender.toLowerCase())
  }

  answer(sender: string): void {
    if (this.#answered.size >= ANSWERED) this.#answered.clear()
    this.#answered.add(sender.toLowerCase())
  }

  /** All of another mailbox, which has moved here. */
  takeOver(other: PersonFolder): void {
    const all = [...new Set([...this.#messages, ...other.#messages])]
    this.#messages = all.toSorted((a, b) => a.atMs - b.atMs).slice(-MESSAGES)
    for (const entry of other.#calendar.values()) this.put(entry)
    this.#automaticReply ??= other.#automaticReply
    for (const sender of other.#answered) this.answer(sender)
  }
}
