// What memory keeps of every message in the spool: some 300 bytes, no content (DU-5: a hundred thousand of them start up and fit).
import { mayHearOfDelay } from '../delay-notice.ts'
import { replyStatus } from '../message-record.ts'
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import type { SpoolEntry } from './contract.ts'
import type { Mark } from './records.ts'
import type { Place } from './segment.ts'

/** Route lists are few and repeat: equal ones of up to this many recipients are kept once. */
const SHARED_ROUTES = 4

export class HeldMessage {
  readonly queueId: QueueId
  readonly receivedAt: number
  readonly sizeBytes: number
  readonly direction: MessageRecord['direction']
  readonly isNullSender: boolean
  readonly isOwnReport: boolean
  readonly #mayHearOfDelay: boolean
  /** One a recipient, in their order. */
  readonly recipientRoutes: readonly string[]
  /** Bytes of the file of its own; 0 when the content is in the log. */
  readonly largeBytes: number

  /** Its `message` or `large` record. */
  place: Place
  /** Its last `state` record; undefined while the one in its first record holds. */
  statePlace: Place | undefined
  /** The mark that says what `isInHand` and `deaths` say, when it isn't the state or the first record. */
  markPlace: Place | undefined
  isInHand: boolean
  deaths: number

  attempts = 0
  nextAttemptAt = 0
  isHeld = false
  isDead = false
  hasDelayToTell = false
  routes: readonly string[] = []
  lastStatus: string | undefined

  /** The operation under way; the next one on this message waits for it. */
  busy: Promise<unknown> | undefined

  constructor(record: MessageRecord, largeBytes: number, place: Place, mark: Mark, routes: RouteLists) {
    this.queueId = record.queueId
    this.receivedAt = record.receivedAt
    this.sizeBytes = record.headerBytes + record.bodyBytes
    this.direction = record.direction
    this.isNullSender = record.reversePath === ''
    this.isOwnReport = record.isOwnReport
    this.#mayHearOfDelay = mayHearOfDelay(record)
    this.recipientRoutes = routes.share(record.recipients.map(({ route }) => route))
    this.largeBytes = largeBytes
    this.place = place
    this.isInHand = mark.isInHand
    this.deaths = mark.deaths
  }

  setState(state: DeliveryState, routes: RouteLists): void {
    this.attempts = state.attempts
    this.nextAttemptAt = state.nextAttemptAt
    this.isHeld = state.isHeld
    this.isDead = state.isDead
    this.hasDelayToTell =
      this.#mayHearOfDelay &&
      state.recipients.some((recipient) => recipient.kind === 'queued' && recipient.delayToldAt === undefined)
    const queued = this.recipientRoutes.filter((_, index) => state.recipients[index]?.kind === 'queued')
    this.routes = routes.share([...new Set(queued)])
    this.lastStatus = lastStatusOf(state)
  }

  toEntry(): SpoolEntry {
    const { queueId, receivedAt, sizeBytes, direction, isNullSender, isOwnReport, routes, deaths } = this
    const { attempts, nextAttemptAt, isHeld, isDead, hasDelayToTell, lastStatus } = this
    return {
      queueId,
      receivedAt,
      sizeBytes,
      direction,
      isNullSender,
      isOwnReport,
      routes,
      recipientCount: this.recipientRoutes.length,
      state: { attempts, nextAttemptAt, isHeld, isDead },
      hasDelayToTell,
      ...(lastStatus === undefined ? {} : { lastStatus }),
      deaths,
    }
  }

  /** Record and file that hold its content, states and marks: what keeps their segments from being dropped. */
  places(): Place[] {
    return [this.place, this.statePlace, this.markPlace].filter((place) => place !== undefined)
  }
}

function lastStatusOf({ recipients }: DeliveryState): string | undefined {
  for (const recipient of recipients) {
    if (recipient.kind === 'queued' && recipient.lastReply !== undefined) return replyStatus(recipient.lastReply)
  }
  return undefined
}

/** Equal lists of route names, kept once. Bounded: names come from the configuration, lists are short. */
export class RouteLists {
  readonly #lists = new Map<string, readonly string[]>()

  share(routes: readonly string[]): readonly string[] {
    if (routes.length > SHARED_ROUTES) return routes
    const key = routes.join('\0')
    const known = this.#lists.get(key)
    if (known !== undefined) return known
    this.#lists.set(key, routes)
    return routes
  }
}
