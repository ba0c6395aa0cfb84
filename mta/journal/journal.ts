// The delivery journal: what became of every recipient at every attempt, kept for a month for whoever asks where a message is. It stands beside
// the spool, never in its way: what can't be written is dropped, counted and told, and no delivery waits for it or fails by it. (SF-6, DU-1, PR-4)
import { mkdir, open, statfs, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Log } from '../../common/log.ts'
import { Counter } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { DeliveryEvent } from '../delivery-event.ts'
import type { MailEvent } from '../mail-event.ts'
import { deliveryLine, mailLine } from './journal-entry.ts'
import type { Tags } from './journal-entry.ts'
import { dayFile, isExpired, journalDays, journalDirectory } from './journal-files.ts'

export interface JournalSettings {
  readonly keepDays: number
  /** Of one day's file; what comes on top is dropped. */
  readonly maxDayBytes: number
}

export interface JournalDeps {
  /** The journal is the folder `journal` in it. */
  readonly spoolDirectory: string
  readonly settings: JournalSettings
  /** Free space that is the mail's: with less than twice of it nothing is written. */
  readonly reserve: { readonly ratio: number; readonly bytes: number }
  readonly tags: Tags
  /** Gets each line as well, whatever becomes of it here. */
  readonly noted?: (line: string) => void
  readonly log: Log
  readonly metrics?: Metrics
  /** ms since the epoch */
  readonly now: () => number
  /** Calls `run` once after `delayMs`; the result calls it off. */
  readonly timer: (run: () => void, delayMs: number) => () => void
}

type Loss = 'backlog' | 'day-full' | 'no-room' | 'failed'

/** Lines of one day, not yet written. */
interface Batch {
  readonly day: string
  lines: string[]
  /** UTF-16 units: what memory counts. */
  length: number
}

/** A line is on disk within this time while the disk keeps up. */
const FLUSH_MS = 250
/** So much is written at once without waiting. */
const BATCH_LENGTH = 64 * 1024
/** So much may wait for a slow disk. */
const MAX_WAITING = 4 * 1024 * 1024
const SWEEP_MS = 3_600_000
/** A journal that can't be written is told of so often. */
const WARN_MS = 60_000

export class Journal {
  readonly #deps: JournalDeps
  readonly #directory: string
  readonly #counters: ReturnType<typeof counters> | undefined
  #waiting: Batch[] = []
  #waitingLength = 0
  #writing: Promise<void> | undefined
  #cancelFlush: (() => void) | undefined
  #cancelSweep: (() => void) | undefined
  #sweeping: Promise<void> | undefined
  #file: { readonly day: string; readonly handle: FileHandle; size: number } | undefined
  #warnedAt: Partial<Record<Loss, number>> = {}
  #isClosed = false

  constructor(deps: JournalDeps) {
    this.#deps = deps
    this.#directory = journalDirectory(deps.spoolDirectory)
    this.#counters = deps.metrics && counters(deps.metrics)
    this.#sweepEveryHour()
  }

  /** Never throws, never waits. */
  delivery(event: DeliveryEvent): void {
    this.#note((at) => deliveryLine(at, event))
  }

  /** Never throws, never waits. */
  mail(event: MailEvent): void {
    this.#note((at) => mailLine(at, event, this.#deps.tags))
  }

  /** Resolves when what has been noted so far is written, or dropped. Never rejects. */
  async flush(): Promise<void> {
    this.#cancelFlush?.()
    this.#cancelFlush = undefined
    await this.#write()
  }

  /** Deletes the days whose time is over. May be cut short and done again. Never rejects. */
  async sweep(): Promise<void> {
    const { log, now, settings } = this.#deps
    try {
      const days = await journalDays(this.#directory)
      const expired = days.filter((day) => isExpired(day, now(), settings.keepDays))
      for (const day of expired) {
        if (this.#file?.day === day) await this.#closeFile()
        await unlink(dayFile(this.#directory, day))
      }
      if (expired.length > 0) log.info('journal.swept', { days: expired })
    } catch (error) {
      log.warn('journal.sweep-failed', { error })
    }
  }

  /** Writes what is left. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelSweep?.()
    await this.#sweeping
    await this.flush()
    await this.#closeFile()
  }

  #note(makeLine: (at: number) => string): void {
    try {
      if (this.#isClosed) return this.#lost('failed', 1, new Error('the journal is closed'))
      const line = makeLine(this.#deps.now())
      this.#deps.noted?.(line)
      if (this.#waitingLength + line.length > MAX_WAITING) return this.#lost('backlog', 1)
      this.#append(line)
    } catch (error) {
      this.#lost('failed', 1, error)
    }
  }

  #append(line: string): void {
    const day = line.slice('{"time":"'.length, '{"time":"2026-11-22'.length)
    let batch = this.#waiting.at(-1)
    if (batch?.day !== day || batch.length > BATCH_LENGTH) {
      batch = { day, lines: [], length: 0 }
      this.#waiting.push(batch)
    }
    batch.lines.push(line)
    batch.length += line.length
    this.#waitingLength += line.length
    if (batch.length > BATCH_LENGTH) void this.#write()
    else this.#cancelFlush ??= this.#deps.timer(() => void this.flush(), FLUSH_MS)
  }

  /** One write at a time, until nothing waits. */
  async #write(): Promise<void> {
    do {
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = undefined
      })
      await this.#writing
      // Noted when the write was over, but not yet seen to be.
    } while (this.#waiting.length > 0)
  }

  async #writeAll(): Promise<void> {
    for (let batch = this.#waiting.shift(); batch !== undefined; batch = this.#waiting.shift()) {
      try {
        await this.#writeBatch(batch)
      } catch (error) {
        this.#lost('failed', batch.lines.length, error)
        // Part of a line may have been written: the next one begins on a line of its own.
        await this.#closeFile()
      }
      this.#waitingLength -= batch.length
    }
  }

  async #writeBatch({ day, lines }: Batch): Promise<void> {
    const file = await this.#fileOf(day)
    const bytes = Buffer.from(lines.join(''))
    if (file.size + bytes.length > this.#deps.settings.maxDayBytes) return this.#lost('day-full', lines.length)
    if (!(await this.#hasRoom())) return this.#lost('no-room', lines.length)
    for (let written = 0; written < bytes.length;) {
      const { bytesWritten } = await file.handle.write(bytes, written)
      written += bytesWritten
      file.size += bytesWritten
    }
    this.#counters?.lines.inc(lines.length)
  }

  async #fileOf(day: string) {
    if (this.#file?.day === day) return this.#file
    await this.#closeFile()
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    const handle = await open(dayFile(this.#directory, day), 'a+', 0o600)
    try {
      const { size } = await handle.stat()
      const last = size === 0 ? undefined : await handle.read(Buffer.alloc(1), 0, 1, size - 1)
      const isTorn = last !== undefined && last.buffer[0] !== 0x0a
      if (isTorn) await handle.write('\n')
      this.#file = { day, handle, size: size + (isTorn ? 1 : 0) }
      return this.#file
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    try {
      await file?.handle.close()
    } catch (error) {
      this.#deps.log.warn('journal.close-failed', { error })
    }
  }

  async #hasRoom(): Promise<boolean> {
    const { ratio, bytes } = this.#deps.reserve
    const { bavail, blocks, bsize } = await statfs(this.#directory)
    return bavail * bsize >= 2 * Math.max(ratio * blocks * bsize, bytes)
  }

  #lost(loss: Loss, lines: number, error?: unknown): void {
    const { log, now } = this.#deps
    this.#counters?.lost.inc({ loss }, lines)
    const at = now()
    const last = this.#warnedAt[loss]
    // A clock that was set back must not keep it quiet.
    if (last !== undefined && Math.abs(at - last) < WARN_MS) return
    this.#warnedAt[loss] = at
    log.warn('journal.lines-lost', { loss, lines, ...(error === undefined ? {} : { error }) })
  }

  #sweepEveryHour(): void {
    this.#sweeping = this.sweep()
    void this.#sweeping.then(() => {
      if (!this.#isClosed) this.#cancelSweep = this.#deps.timer(() => this.#sweepEveryHour(), SWEEP_MS)
    })
  }
}

function counters(metrics: Metrics) {
  const registers = [metrics]
  return {
    lines: new Counter({
      name: 'causeway_journal_lines_total',
      help: 'Lines of the delivery journal written',
      registers,
    }),
    lost: new Counter({
      name: 'causeway_journal_lost_lines_total',
      help: 'Lines of the delivery journal that were dropped: the disk was too slow, full, or failed',
      labelNames: ['loss'],
      registers,
    }),
  }
}
