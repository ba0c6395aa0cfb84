// Unwrapped project keys, in memory only and for at most 24 hours (KM-1). While a key is here the key service may be away (KM-4): from half
// its time on it is asked for again in passing, so that a short outage never meets an empty cache.
import type { KeyObject } from 'node:crypto'
import { KeyServiceUnavailable } from './key-provider.ts'

const HOUR_MS = 3_600_000
export const MAX_CACHED_MS = 24 * HOUR_MS
export const REFRESH_AFTER_MS = 12 * HOUR_MS
/** Between two attempts to refresh a key whose service is away. */
const REFRESH_AGAIN_MS = 60_000

interface Entry {
  readonly key: KeyObject
  readonly unwrappedMs: number
  refreshTriedMs: number
}

export class KeyCache {
  readonly #entries = new Map<string, Entry>()
  readonly #underWay = new Map<string, Promise<KeyObject>>()
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout

  /** @param now  ms since the epoch */
  constructor(now: () => number) {
    this.#now = now
    // Keys that nobody asks for any more have to go too.
    this.#timer = setInterval(() => this.dropExpired(), HOUR_MS).unref()
  }

  /**
   * The key, from memory or from `unwrap`; many who ask at once cause one call.
   * @throws what `unwrap` throws, when there is no key in memory
   */
  async get(id: string, unwrap: () => Promise<KeyObject>): Promise<KeyObject> {
    const entry = this.#entries.get(id)
    if (entry === undefined || this.#now() - entry.unwrappedMs >= MAX_CACHED_MS) {
      this.#entries.delete(id)
      return this.#unwrap(id, unwrap)
    }
    const isDue =
      this.#now() - entry.unwrappedMs >= REFRESH_AFTER_MS && this.#now() - entry.refreshTriedMs >= REFRESH_AGAIN_MS
    if (isDue) {
      entry.refreshTriedMs = this.#now()
      void this.#refresh(id, unwrap)
    }
    return entry.key
  }

  /** For a key that was just made. */
  put(id: string, key: KeyObject): void {
    this.#entries.set(id, { key, unwrappedMs: this.#now(), refreshTriedMs: 0 })
  }

  drop(id: string): void {
    this.#entries.delete(id)
  }

  dropExpired(): void {
    for (const [id, { unwrappedMs }] of this.#entries) {
      if (this.#now() - unwrappedMs >= MAX_CACHED_MS) this.#entries.delete(id)
    }
  }

  get size(): number {
    return this.#entries.size
  }

  close(): void {
    clearInterval(this.#timer)
    this.#entries.clear()
  }

  async #refresh(id: string, unwrap: () => Promise<KeyObject>): Promise<void> {
    try {
      await this.#unwrap(id, unwrap)
    } catch (error) {
      // Away: the key in memory goes on until its 24 hours are over. Any other answer is definite, and whoever asks next gets to hear it.
      if (!(error instanceof KeyServiceUnavailable)) this.drop(id)
    }
  }

  #unwrap(id: string, unwrap: () => Promise<KeyObject>): Promise<KeyObject> {
    const running = this.#underWay.get(id)
    if (running !== undefined) return running
    const started = unwrap()
      .then((key) => {
        this.put(id, key)
        return key
      })
      .finally(() => this.#underWay.delete(id))
    this.#underWay.set(id, started)
    return started
  }
}
