// Events that wait for the control plane: on disk, bounded, delivered at least once. They hold what the journal holds: ids, codes and tags, no content.
// It never holds up mail: what there is no room for is dropped, by class and oldest first, and counted. (RC-7)
//
//   <class>-<n>.jsonl   events of one class in order; each run of the relay begins files of its own, so that a torn line is always a file's last
//   state.json          how far each class was delivered, and what was dropped
import type { Log } from '../../common/log.ts'
import { MAX_EVENTS_PER_BATCH } from '../../common/relay-contract.ts'
import type { EventClass, RelayEvent, RelayReport } from '../../common/relay-contract.ts'
import { Counter } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { Disk } from '../spool/disk.ts'
import type { DiskFile } from '../spool/disk.ts'
import { bufferedLine, EVENT_CLASSES, eventIds, eventOf } from './event-line.ts'

export interface EventBufferDeps {
  readonly directory: string
  readonly maxBytes: number
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
  /** Calls `run` once after `delayMs`; the result calls it off. */
  readonly timer: (run: () => void, delayMs: number) => () => void
  /** For tests. */
  readonly disk?: Disk
}

export type Dropped = RelayReport['droppedEvents']

/** The oldest events, to be handed over. */
export interface EventBatch {
  readonly events: readonly RelayEvent[]
  /** They are in safe hands. */
  delivered(): Promise<void>
  /** Nobody takes them: they are counted as dropped. */
  rejected(): Promise<void>
}

interface Segment {
  readonly number: number
  sizeBytes: number
  /** Delivered, or passed over. */
  doneBytes: number
}

interface Lane {
  readonly segments: Segment[]
  /** Of this run; the last of the segments. */
  file: DiskFile | undefined
  waiting: string[]
}

/** On stable storage within this time: what a crash can cost. */
const FLUSH_MS = 1_000
const FLUSH_BYTES = 256 * 1024
/** So much may wait for a slow disk. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024
/** Parts of the buffer that go at once. */
const SEGMENTS = 64
const MIN_SEGMENT_BYTES = 16 * 1024
const READ_BYTES = 512 * 1024
/** Of one request: well below what a control plane takes (reliability-security.md §4). */
const MAX_BATCH_BYTES = 512 * 1024
const NAME = /^(metric|message|audit)-(\d{1,12})\.jsonl$/
const STATE = 'state.json'
const LINE_FEED = 0x0a

export class EventBuffer {
  readonly #deps: EventBufferDeps
  readonly #disk: Disk
  readonly #segmentBytes: number
  readonly #dropCounter: Counter<'class'>
  readonly #lanes: Record<EventClass, Lane> = { metric: newLane(), message: newLane(), audit: newLane() }
  #dropped: Record<EventClass, number> = { metric: 0, message: 0, audit: 0 }
  #waitingBytes = 0
  readonly #newId = eventIds()
  #nextNumber = 1
  #cancelFlush: (() => void) | undefined
  /** Whoever touches the files waits for the one before. */
  #last: Promise<unknown> = Promise.resolve()
  #whenMore: () => void = () => {}
  #isClosed = false

  private constructor(deps: EventBufferDeps) {
    this.#deps = deps
    this.#disk = deps.disk ?? new Disk(deps.directory)
    this.#segmentBytes = Math.max(MIN_SEGMENT_BYTES, Math.floor(deps.maxBytes / SEGMENTS))
    this.#dropCounter = new Counter({
      name: 'causeway_events_dropped_total',
      help: 'Events for the control plane that were thrown away, by class: the buffer was full, or failed.',
      labelNames: ['class'],
      registers: [deps.metrics],
    })
    for (const each of EVENT_CLASSES) this.#dropCounter.inc({ class: each }, 0)
  }

  static async open(deps: EventBufferDeps): Promise<EventBuffer> {
    const buffer = new EventBuffer(deps)
    await buffer.#load()
    return buffer
  }

  async #load(): Promise<void> {
    this.#disk.makeDirectory('.')
    const done = await this.#readState()
    for (const file of this.#disk.list('.')) {
      const [, name, number] = NAME.exec(file) ?? []
      const eventClass = EVENT_CLASSES.find((each) => each === name)
      if (eventClass === undefined) continue
      const segment = { number: Number(number), sizeBytes: this.#disk.size(file) ?? 0, doneBytes: 0 }
      const place = done[eventClass]
      if (place !== undefined && segment.number === place.segment)
        segment.doneBytes = Math.min(place.bytes, segment.sizeBytes)
      this.#lanes[eventClass].segments.push(segment)
      this.#nextNumber = Math.max(this.#nextNumber, segment.number + 1)
    }
    for (const { segments } of Object.values(this.#lanes)) segments.sort((a, b) => a.number - b.number)
  }

  /** Thrown away since the relay was enrolled. */
  get dropped(): Dropped {
    return { ...this.#dropped }
  }

  /** Who to tell when there is more to deliver. One listener. */
  onMore(run: () => void): void {
    this.#whenMore = run
  }

  /** Never throws, never waits. @param line  JSON and a line feed */
  add(eventClass: EventClass, line: string): void {
    if (this.#isClosed || this.#waitingBytes > MAX_WAITING_BYTES) return this.#drop(eventClass, 1)
    const buffered = bufferedLine(this.#newId(this.#deps.now()), line)
    this.#lanes[eventClass].waiting.push(buffered)
    this.#waitingBytes += buffered.length
    if (this.#waitingBytes > FLUSH_BYTES) void this.flush()
    else this.#cancelFlush ??= this.#deps.timer(() => void this.flush(), FLUSH_MS)
  }

  /** Resolves when what was added so far is on stable storage, or dropped. Never rejects. */
  flush(): Promise<void> {
    this.#cancelFlush?.()
    this.#cancelFlush = undefined
    return this.#alone(async () => {
      let hasWritten = false
      for (const eventClass of EVENT_CLASSES) hasWritten = (await this.#writeOut(eventClass)) || hasWritten
      if (!hasWritten) return
      await this.#makeRoom()
      this.#whenMore()
    })
  }

  async #writeOut(eventClass: EventClass): Promise<boolean> {
    const lane = this.#lanes[eventClass]
    const lines = lane.waiting
    if (lines.length === 0) return false
    lane.waiting = []
    const bytes = Buffer.from(lines.join(''))
    this.#waitingBytes -= lines.reduce((sum, { length }) => sum + length, 0)
    try {
      const segment = await this.#segmentOf(eventClass)
      if (lane.file === undefined) throw new Error('unreachable: the segment at hand has a file')
      await this.#disk.write(lane.file, [bytes], segment.sizeBytes)
      await this.#disk.sync(lane.file)
      segment.sizeBytes += bytes.length
      return true
    } catch (error) {
      // What of it reached the disk nobody knows: the file is not written any more.
      await this.#endFile(lane)
      this.#drop(eventClass, lines.length)
      this.#deps.log.warn('events.lost', { class: eventClass, events: lines.length, error })
      return false
    }
  }

  async #segmentOf(eventClass: EventClass): Promise<Segment> {
    const lane = this.#lanes[eventClass]
    const last = lane.segments.at(-1)
    if (lane.file !== undefined && last !== undefined && last.sizeBytes < this.#segmentBytes) return last
    await this.#endFile(lane)
    const segment = { number: this.#nextNumber++, sizeBytes: 0, doneBytes: 0 }
    lane.file = await this.#disk.create(fileName(eventClass, segment))
    await this.#disk.syncDirectory('.')
    lane.segments.push(segment)
    return segment
  }

  async #endFile(lane: Lane): Promise<void> {
    const { file } = lane
    lane.file = undefined
    if (file !== undefined) await this.#disk.close(file).catch(() => {}) // nothing is written to it any more
  }

  async #makeRoom(): Promise<void> {
    let hasDropped = false
    for (const eventClass of EVENT_CLASSES) {
      const lane = this.#lanes[eventClass]
      while (this.#sizeBytes > this.#deps.maxBytes && lane.segments.length > 0) {
        const [oldest] = lane.segments
        if (oldest === undefined) break
        this.#drop(eventClass, await this.#countLeft(eventClass, oldest))
        await this.#remove(eventClass, oldest)
        hasDropped = true
      }
    }
    if (!hasDropped) return
    await this.#writeState()
    this.#deps.log.warn('events.dropped', { ...this.#dropped })
  }

  get #sizeBytes(): number {
    return Object.values(this.#lanes)
      .flatMap(({ segments }) => segments)
      .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }

  async #countLeft(eventClass: EventClass, segment: Segment): Promise<number> {
    const bytes = await this.#readFrom(eventClass, segment, segment.sizeBytes - segment.doneBytes)
    return bytes.reduce((count, octet) => (octet === LINE_FEED ? count + 1 : count), 0)
  }

  async #remove(eventClass: EventClass, segment: Segment): Promise<void> {
    const lane = this.#lanes[eventClass]
    if (lane.segments.at(-1) === segment) await this.#endFile(lane)
    lane.segments.splice(lane.segments.indexOf(segment), 1)
    await this.#disk.unlink(fileName(eventClass, segment))
  }

  /** The oldest events, of all classes together; undefined when there are none. */
  next(most = MAX_EVENTS_PER_BATCH): Promise<EventBatch | undefined> {
    return this.#alone(async () => {
      const heads = await Promise.all(EVENT_CLASSES.map((eventClass) => this.#head(eventClass, most)))
      const taken = withinBytes(merged(heads, most))
      if (taken.length === 0) return undefined
      const events = taken.flatMap(({ event }) => event ?? [])
      const over = (isDelivered: boolean) => () => this.#alone(() => this.#over(taken, isDelivered))
      return { events, delivered: over(true), rejected: over(false) }
    })
  }

  async #head(eventClass: EventClass, most: number): Promise<Line[]> {
    const lane = this.#lanes[eventClass]
    const lines: Line[] = []
    // Some are removed on the way.
    const segments = lane.segments.slice()
    for (const segment of segments) {
      const bytes = await this.#readFrom(eventClass, segment, READ_BYTES)
      let start = 0
      for (
        let end = bytes.indexOf(LINE_FEED);
        end !== -1 && lines.length < most;
        end = bytes.indexOf(LINE_FEED, start)
      ) {
        const text = bytes.toString('utf8', start, end)
        start = end + 1
        lines.push({
          text,
          eventClass,
          segment,
          endBytes: segment.doneBytes + start,
          event: eventOf(eventClass, text),
        })
      }
      if (lines.length > 0) return lines
      // Nothing in it, or what a crash left of a line; unless it is being written, it is done with.
      const isOpen = lane.file !== undefined && segment === lane.segments.at(-1)
      if (!isOpen) await this.#remove(eventClass, segment)
    }
    return lines
  }

  async #over(lines: readonly Line[], isDelivered: boolean): Promise<void> {
    for (const { eventClass, segment, endBytes } of lines) {
      segment.doneBytes = Math.max(segment.doneBytes, endBytes)
      if (!isDelivered) this.#drop(eventClass, 1)
    }
    for (const eventClass of EVENT_CLASSES) {
      const lane = this.#lanes[eventClass]
      for (const segment of lane.segments.filter(
        ({ doneBytes, sizeBytes }) => doneBytes > 0 && doneBytes >= sizeBytes,
      )) {
        await this.#remove(eventClass, segment)
      }
    }
    await this.#writeState()
  }

  async #readFrom(eventClass: EventClass, segment: Segment, most: number): Promise<Buffer> {
    const length = Math.min(most, segment.sizeBytes - segment.doneBytes)
    if (length <= 0) return Buffer.alloc(0)
    const file = await this.#disk.openForReading(fileName(eventClass, segment))
    try {
      return await this.#disk.read(file, segment.doneBytes, length)
    } finally {
      await this.#disk.close(file)
    }
  }

  async #readState(): Promise<Partial<Record<EventClass, { segment: number; bytes: number }>>> {
    const text = (await this.#disk.readWhole(STATE))?.toString()
    if (text === undefined) return {}
    try {
      const { done, dropped } = JSON.parse(text) as {
        done: Record<EventClass, { segment: number; bytes: number }>
        dropped: Record<EventClass, number>
      }
      this.#dropped = { ...this.#dropped, ...dropped }
      return done
    } catch (error) {
      // Delivered again, then: the ids are the same.
      this.#deps.log.warn('events.state-unreadable', { error })
      return {}
    }
  }

  async #writeState(): Promise<void> {
    const done = Object.fromEntries(
      EVENT_CLASSES.flatMap((eventClass) => {
        const [first] = this.#lanes[eventClass].segments
        return first === undefined ? [] : [[eventClass, { segment: first.number, bytes: first.doneBytes }]]
      }),
    )
    await this.#disk.replace(STATE, [Buffer.from(`${JSON.stringify({ done, dropped: this.#dropped })}\n`)])
  }

  #drop(eventClass: EventClass, events: number): void {
    this.#dropped[eventClass] += events
    this.#dropCounter.inc({ class: eventClass }, events)
  }

  /** Runs `work` when what was begun before is over. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    await this.flush()
    this.#isClosed = true
    await this.#alone(async () => {
      for (const lane of Object.values(this.#lanes)) await this.#endFile(lane)
      await this.#writeState()
    })
  }
}

interface Line {
  /** Begins with its id, and so sorts by time. */
  readonly text: string
  readonly eventClass: EventClass
  readonly segment: Segment
  /** Where it ends in its segment. */
  readonly endBytes: number
  /** undefined: it is none, and passed over. */
  readonly event: RelayEvent | undefined
}

/**
 * The oldest of all classes. Those of one class stay in their order, whatever their ids say: a clock may have been set back between two runs, and
 * what stands behind something that is delivered must not count as delivered before it.
 */
function merged(heads: readonly (readonly Line[])[], most: number): Line[] {
  const next = heads.map(() => 0)
  const lines: Line[] = []
  while (lines.length < most) {
    let first: { readonly lane: number; readonly line: Line } | undefined
    for (const [lane, head] of heads.entries()) {
      const line = head[next[lane] ?? 0]
      if (line !== undefined && (first === undefined || line.text < first.line.text)) first = { lane, line }
    }
    if (first === undefined) break
    lines.push(first.line)
    next[first.lane] = (next[first.lane] ?? 0) + 1
  }
  return lines
}

/** The first of them that fit into one request; one at least. */
function withinBytes(lines: readonly Line[]): readonly Line[] {
  let bytes = 0
  const end = lines.findIndex(({ text }, index) => (bytes += text.length) > MAX_BATCH_BYTES && index > 0)
  return end === -1 ? lines : lines.slice(0, end)
}

function newLane(): Lane {
  return { segments: [], file: undefined, waiting: [] }
}

function fileName(eventClass: EventClass, { number }: Segment): string {
  return `${eventClass}-${number}.jsonl`
}
