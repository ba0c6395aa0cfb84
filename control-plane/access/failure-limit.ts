// Brute force (AZ-9): ten failures a minute from one address, or against one account, and further attempts are refused unseen until a minute has
// passed without so many. Per process: behind a balancer with n copies there are up to n times as many.
import { isIPv6 } from 'node:net'
import { Problem } from '../http/problem.ts'

const MAX_FAILURES = 10
const WINDOW_MS = 60_000
/** What is kept in memory; the oldest go first. */
const MAX_NAMES = 50_000

export class FailureLimit {
  readonly #monotonicMs: () => number
  readonly #most: number
  /** When the last failures of each were, the oldest first; names in the order of their last failure. */
  readonly #failures = new Map<string, readonly number[]>()

  /** @param monotonicMs  ms, monotonic. @param most  failures a minute */
  constructor(monotonicMs: () => number, most = MAX_FAILURES) {
    this.#monotonicMs = monotonicMs
    this.#most = most
  }

  /**
   * Before anything is looked at, so that an attempt that is refused tells nothing.
   * @param account  a constant or an id, where the attempt names one
   * @throws Problem 429
   */
  demand(address: string, account?: string): void {
    const now = this.#monotonicMs()
    for (const name of namesOf(address, account)) {
      const recent = this.#recent(name, now)
      const [oldest] = recent
      if (oldest === undefined || recent.length < this.#most) continue
      throw new Problem('too-many-requests', { retryAfter: Math.max(1, Math.ceil((oldest + WINDOW_MS - now) / 1000)) })
    }
  }

  note(address: string, account?: string): void {
    const now = this.#monotonicMs()
    for (const name of namesOf(address, account)) {
      const recent = [...this.#recent(name, now), now].slice(-this.#most)
      this.#failures.delete(name)
      this.#failures.set(name, recent)
    }
    for (const name of this.#failures.keys()) {
      if (this.#failures.size <= MAX_NAMES) break
      this.#failures.delete(name)
    }
  }

  #recent(name: string, now: number): readonly number[] {
    return (this.#failures.get(name) ?? []).filter((at) => now - at < WINDOW_MS)
  }
}

function namesOf(address: string, account: string | undefined): string[] {
  const from = `from ${addressBlock(address)}`
  return account === undefined ? [from] : [from, `for ${account}`]
}

/** An IPv6 host has at least a whole /64 to itself (RFC 6177): its addresses count as one. */
export function addressBlock(address: string): string {
  if (!isIPv6(address)) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped?.[1] !== undefined) return mapped[1]
  // A URL has one spelling for each address.
  const host = new URL(`http://[${address.split('%', 1)[0] ?? ''}]`).hostname.slice(1, -1)
  const [head = '', tail] = host.split('::', 2)
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = tail === undefined ? first : [...first, ...Array(8 - first.length - last.length).fill('0'), ...last]
  return `${groups.slice(0, 4).join(':')}::/64`
}
