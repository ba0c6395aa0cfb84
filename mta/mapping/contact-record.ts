// When the control plane was last heard: kept over restarts, for the age of a snapshot goes on counting; told in the log when it is long ago. Mail never
// waits for it. (RC-4)
import type { Log } from '../../common/log.ts'
import { Disk } from '../spool/disk.ts'

export interface ContactDeps {
  readonly directory: string
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
}

const FILE = 'contact.json'
const SAVE_EVERY_MS = 60_000
const LOOK_EVERY_MS = 60_000
const HOUR_MS = 3_600_000
const WARN_AFTER_MS = HOUR_MS
const ALARM_AFTER_MS = 24 * HOUR_MS

export class ContactRecord {
  readonly #deps: ContactDeps
  readonly #disk: Disk
  #heardAt = 0
  #savedAt = 0
  #told: 'nothing' | 'warning' | 'alarm' = 'nothing'
  #timer: NodeJS.Timeout | undefined
  #saving: Promise<void> = Promise.resolve()

  constructor(deps: ContactDeps) {
    this.#deps = deps
    this.#disk = new Disk(deps.directory)
  }

  /** @returns ms since the epoch; 0 when it was never heard, or nobody knows */
  async load(): Promise<number> {
    try {
      const text = (await this.#disk.readWhole(FILE))?.toString()
      const { heardAt } = text === undefined ? {} : (JSON.parse(text) as { heardAt?: unknown })
      // A clock that was ahead must not hide an outage.
      if (typeof heardAt === 'number') this.#heardAt = Math.min(heardAt, this.#deps.now())
    } catch (error) {
      this.#deps.log.warn('control-plane.contact-unreadable', { error })
    }
    return this.#heardAt
  }

  heard(): void {
    const now = this.#deps.now()
    if (this.#told !== 'nothing') this.#deps.log.info('control-plane.back', { afterMs: now - this.#heardAt })
    this.#told = 'nothing'
    this.#heardAt = now
    if (now - this.#savedAt >= SAVE_EVERY_MS) void this.save()
  }

  /** Looks now and then how long ago it was. */
  watch(): void {
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS)
    this.#timer.unref()
    this.look()
  }

  look(): void {
    if (this.#heardAt === 0) return
    const silentMs = this.#deps.now() - this.#heardAt
    if (silentMs >= ALARM_AFTER_MS && this.#told !== 'alarm') {
      this.#told = 'alarm'
      this.#deps.log.error('control-plane.silent', { silentMs })
    } else if (silentMs >= WARN_AFTER_MS && this.#told === 'nothing') {
      this.#told = 'warning'
      this.#deps.log.warn('control-plane.silent', { silentMs })
    }
  }

  /** Never rejects: a time that is lost is a minute of age. */
  save(): Promise<void> {
    this.#savedAt = this.#deps.now()
    const text = JSON.stringify({ heardAt: this.#heardAt })
    this.#saving = this.#saving
      .then(() => this.#disk.replace(FILE, [Buffer.from(`${text}\n`)]))
      .catch((error: unknown) => this.#deps.log.warn('control-plane.contact-not-kept', { error }))
    return this.#saving
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
