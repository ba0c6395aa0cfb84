// How many requests one caller and one address may make (reliability-security.md §4): token buckets, forgotten when full again. Per process:
// behind a balancer with n copies a caller gets up to n times as much.
import { Problem } from './problem.ts'

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

export const CALLER_RATE: Rate = { perSecond: 20, burst: 60 }
export const ADDRESS_RATE: Rate = { perSecond: 50, burst: 100 }

const MAX_BUCKETS = 50_000

interface Bucket {
  tokens: number
  at: number
}

export interface Taken {
  readonly isGranted: boolean
  /** Whole tokens left. */
  readonly remaining: number
  /** s until there is a token again. */
  readonly retryAfter: number
}

export class TokenBuckets {
  readonly #rate: Rate
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()

  /** @param now  ms, monotonic */
  constructor(rate: Rate, now: () => number) {
    this.#rate = rate
    this.#now = now
  }

  take(name: string): Taken {
    const { perSecond, burst } = this.#rate
    const now = this.#now()
    const bucket = this.#buckets.get(name) ?? { tokens: burst, at: now }
    const tokens = this.#tokensOf(bucket, now)
    const isGranted = tokens >= 1
    const left = isGranted ? tokens - 1 : tokens
    // Last in the map: those that were not used for the longest time come first.
    this.#buckets.delete(name)
    this.#makeRoom(now)
    this.#buckets.set(name, { tokens: left, at: now })
    return { isGranted, remaining: Math.floor(left), retryAfter: Math.max(1, Math.ceil((1 - left) / perSecond)) }
  }

  get size(): number {
    return this.#buckets.size
  }

  #tokensOf({ tokens, at }: Bucket, now: number): number {
    const { perSecond, burst } = this.#rate
    return Math.min(burst, tokens + ((now - at) / 1000) * perSecond)
  }

  /**
   * Forgets buckets that are full again, from the front, where they are: each is looked at once. If all are in use, a flood from many addresses,
   * forgetting the first is kinder than growing without bound.
   */
  #makeRoom(now: number): void {
    for (const [name, bucket] of this.#buckets) {
      if (this.#buckets.size < MAX_BUCKETS && this.#tokensOf(bucket, now) < this.#rate.burst) break
      this.#buckets.delete(name)
    }
  }
}

/**
 * Whom requests from an address are counted for: an IPv4 address, or the /64 of an IPv6 one, since whoever has one address has 2^64.
 * @param address  as Node gives it
 */
export function networkOf(address: string): string {
  const [plain = ''] = address.split('%', 1) // without the zone
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1]
  if (mapped !== undefined || !plain.includes(':')) return mapped ?? plain
  const [front = '', back] = plain.split('::', 2)
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const [before, after] = [groups(front), groups(back ?? '')]
  const width = after.some((group) => group.includes('.')) ? 7 : 8
  const zeros = back === undefined ? 0 : Math.max(0, width - before.length - after.length)
  const whole = [...before, ...Array<string>(zeros).fill('0'), ...after]
  return (
    whole
      .slice(0, 4)
      .map((group) => Number.parseInt(group, 16).toString(16))
      .join(':') + '::/64'
  )
}

/** @throws Problem 429 */
export function demand({ isGranted, retryAfter }: Taken): void {
  if (!isGranted) throw new Problem('too-many-requests', { retryAfter })
}

/** Of draft-ietf-httpapi-ratelimit-headers-08. */
export function rateLimitHeaders({ perSecond, burst }: Rate, { remaining, retryAfter }: Taken): Record<string, string> {
  return {
    'RateLimit-Policy': `"default";q=${burst};w=${Math.ceil(burst / perSecond)}`,
    RateLimit: `"default";r=${remaining};t=${retryAfter}`,
  }
}
