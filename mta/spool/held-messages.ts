// Every message the spool holds, and each change of it: a record in the log, taken note of in memory once it is durable (DU-4, DU-8).
// Changes of one message take effect one after the other, so what the second finds is what the first has made durable.
import type { KeyObject } from 'node:crypto'
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import type { QuarantineEntry } from './contract.ts'
import { SpoolDamaged } from './contract.ts'
import type { Disk } from './disk.ts'
import { HeldMessage } from './held-message.ts'
import type { RouteLists } from './held-message.ts'
import { HotMessages } from './hot-messages.ts'
import type { ReceivedBody } from './intake.ts'
import type { KeyRing } from './keys.ts'
import { largeFileBytes } from './large-file.ts'
import type { SegmentLog } from './log.ts'
import { readKey, readRecord, readStored } from './read-message.ts'
import type { Unreadable } from './read-message.ts'
import { sealContent, sealMark, sealRemoval, sealState } from './records.ts'
import type { Content, Mark } from './records.ts'
import type { Place, Segment } from './segment.ts'

const HOT_BYTES = 64 * 1024 * 1024

export interface HeldMessagesDeps {
  readonly disk: Disk
  readonly keys: KeyRing
  readonly log: SegmentLog
  readonly routes: RouteLists
  /** ms since the epoch */
  readonly now: () => number
  /** What recovery found, in order of acceptance. */
  readonly held: Map<QueueId, HeldMessage>
  /** Copies what was found into quarantine, the message's file along with it. Durable on return. */
  readonly quarantine: (entry: QuarantineEntry, found: Buffer, isLarge: boolean) => Promise<void>
}

export class HeldMessages {
  readonly hot = new HotMessages(HOT_BYTES)
  readonly #deps: HeldMessagesDeps
  readonly #held: Map<QueueId, HeldMessage>
  #largeBytes = 0

  constructor(deps: HeldMessagesDeps) {
    this.#deps = deps
    this.#held = deps.held
    for (const { largeBytes } of this.#held.values()) this.#largeBytes += largeBytes
  }

  get count(): number {
    return this.#held.size
  }

  /** Of the files of large messages. */
  get largeBytes(): number {
    return this.#largeBytes
  }

  get(queueId: QueueId): HeldMessage | undefined {
    return this.#held.get(queueId)
  }

  /** In order of acceptance. */
  all(): Iterable<HeldMessage> {
    return this.#held.values()
  }

  /**
   * One piece of work on a message after the other.
   * @param gone  what happens when the message isn't held, or no longer is when its turn comes
   */
  async exclusive<T>(
    queueId: QueueId,
    work: (held: HeldMessage) => Promise<T>,
    gone: () => T = () => {
      throw new Error(`the spool holds no message ${queueId}`)
    },
  ): Promise<T> {
    let held = this.#held.get(queueId)
    while (held?.busy !== undefined) {
      await held.busy
      held = this.#held.get(queueId)
    }
    if (held === undefined) return gone()
    const running = work(held)
    const done = running.then(
      () => {},
      () => {}, // reported to whoever asked for it
    )
    held.busy = done
    try {
      return await running
    } finally {
      if (held.busy === done) held.busy = undefined
    }
  }

  async add(header: Buffer, body: ReceivedBody, record: MessageRecord, state: DeliveryState): Promise<void> {
    const { keys, log, routes } = this.#deps
    const { queueId } = record
    if (this.#held.has(queueId)) throw new Error('unreachable: the queue id is taken')
    const content = contentOf(header, body, record, state)
    const type = body.kind === 'large' ? 'large' : 'message'
    const largeBytes = body.kind === 'large' ? largeFileBytes(body.totals) : 0
    let made: { held: HeldMessage; key: KeyObject } | undefined
    await log.append(
      (slot) => {
        // Before anything is written: what can't be held must not become durable.
        const held = new HeldMessage(
          record,
          largeBytes,
          { segment: slot.segment, offset: 0, bytes: 0 },
          content,
          routes,
        )
        held.setState(state, routes)
        const { pieces, key } = sealContent(keys, type, queueId, content, slot)
        made = { held, key }
        return pieces
      },
      (place) => {
        if (made === undefined) throw new Error('unreachable: a record is made before it is written')
        const { held, key } = made
        held.place = place
        place.segment.hold(place.bytes)
        this.#held.set(queueId, held)
        this.#largeBytes += largeBytes
        if (body.pieces !== undefined) {
          this.hot.put({ record, state, header, body: body.pieces, key, keyId: keys.currentId })
        }
      },
    )
  }

  async mark(held: HeldMessage, mark: Mark): Promise<void> {
    await this.#deps.log.append(
      (slot) => sealMark(held.queueId, mark, slot),
      (place) => {
        held.isInHand = mark.isInHand
        held.deaths = mark.deaths
        held.markPlace = replacePlace(held.markPlace, place)
      },
    )
  }

  /** Ends "in hand". */
  async setState(held: HeldMessage, state: DeliveryState): Promise<void> {
    const { disk, keys, log, routes } = this.#deps
    const { queueId } = held
    const { key, keyId } =
      this.hot.get(queueId) ?? (await readKey(disk, keys, held)) ?? (await this.#throwDamaged(held))
    const text = JSON.stringify(state)
    // An attempt that came to its end is proof that the message doesn't kill.
    const mark = { isInHand: false, deaths: state.attempts > held.attempts ? 0 : held.deaths }
    await log.append(
      (slot) => sealState(key, keyId, queueId, mark, text, slot),
      (place) => {
        held.setState(state, routes)
        setStatePlace(held, place, mark)
      },
    )
    // What isn't delivered at once waits for minutes; others need the room more.
    this.hot.delete(queueId)
  }

  async #throwDamaged(held: HeldMessage): Promise<never> {
    await this.quarantine(held, 'damaged', { detail: 'its key is unreadable', found: undefined })
    throw new SpoolDamaged('the message is damaged and has been quarantined')
  }

  async remove(held: HeldMessage): Promise<void> {
    const { queueId } = held
    await this.#deps.log.append(
      (slot) => sealRemoval(queueId, slot),
      (place) => {
        for (const left of held.places()) left.segment.letGo(left.bytes)
        held.place.segment.bury(held.place.offset, place.segment, this.#deps.now(), true)
        this.#held.delete(queueId)
        this.hot.delete(queueId)
        this.#largeBytes -= held.largeBytes
      },
    )
  }

  /** @param found  the record as it is on disk, if it has been read */
  async quarantine(
    held: HeldMessage,
    reason: QuarantineEntry['reason'],
    { detail, found }: { detail: string; found: Buffer | undefined },
  ): Promise<void> {
    const { queueId, sizeBytes } = held
    const bytes = found ?? (await readRecord(this.#deps.disk, held.place))
    const entry = { queueId, reason, at: this.#deps.now(), sizeBytes, detail }
    await this.#deps.quarantine(entry, bytes, held.largeBytes > 0)
    await this.remove(held)
  }

  /** Writes again, elsewhere, what the message has in `segment`: then the segment can go (SF-6). */
  async moveOut(held: HeldMessage, segment: Segment): Promise<void> {
    const { disk, keys } = this.#deps
    const isHere = (place: Place | undefined) => place?.segment === segment
    if (!isHere(held.place) && !isHere(held.statePlace)) {
      if (isHere(held.markPlace)) await this.mark(held, held)
      return
    }
    const stored = await readStored(disk, keys, held)
    if ('detail' in stored) return this.quarantine(held, 'damaged', stored satisfies Unreadable)
    const mark = { isInHand: held.isInHand, deaths: held.deaths }
    const { frame, key, keyId, state } = stored
    if (!isHere(held.place)) {
      return this.#deps.log.append(
        (slot) => sealState(key, keyId, held.queueId, mark, state, slot),
        (place) => setStatePlace(held, place, mark),
      )
    }
    return this.#moveContent(held, { ...mark, record: frame.record, state, header: frame.header, rest: [frame.rest] })
  }

  async #moveContent(held: HeldMessage, content: Content): Promise<void> {
    const { keys, log, now } = this.#deps
    this.hot.delete(held.queueId) // its key is that of the old copy
    const type = held.largeBytes > 0 ? 'large' : 'message'
    await log.append(
      (slot) => sealContent(keys, type, held.queueId, content, slot).pieces,
      (place) => {
        held.place.segment.bury(held.place.offset, place.segment, now(), true)
        for (const left of held.places()) left.segment.letGo(left.bytes)
        place.segment.hold(place.bytes)
        held.place = place
        held.statePlace = undefined
        held.markPlace = undefined
      },
    )
  }
}

/** What the first record of a message says: it is in hand from the moment it is accepted. */
function contentOf(header: Buffer, body: ReceivedBody, record: MessageRecord, state: DeliveryState): Content {
  const isLarge = body.kind === 'large'
  return {
    isInHand: true,
    deaths: 0,
    record: JSON.stringify(record),
    state: JSON.stringify(state),
    header: isLarge ? Buffer.alloc(0) : header,
    rest: isLarge ? [Buffer.from(JSON.stringify(body.totals))] : body.pieces,
  }
}

function setStatePlace(held: HeldMessage, place: Place, { isInHand, deaths }: Mark): void {
  held.isInHand = isInHand
  held.deaths = deaths
  held.statePlace = replacePlace(held.statePlace, place)
  held.markPlace = replacePlace(held.markPlace, undefined)
}

/** `to` counts in place of `from`. */
function replacePlace(from: Place | undefined, to: Place | undefined): Place | undefined {
  to?.segment.hold(to.bytes)
  from?.segment.letGo(from.bytes)
  return to
}
