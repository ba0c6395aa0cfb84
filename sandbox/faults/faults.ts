// Faults that a test or an operator puts in the way of Graph and Exchange: each hits calls it counts itself, so that the same run meets the
// same fault at the same place.
import type { Service } from '../contract/record.ts'

export type FaultEffect =
  /** Answered by somebody else than the operation: throttling, an outage, a gateway. */
  | {
      readonly kind: 'status'
      readonly status: number
      /** As the header stands: seconds, an HTTP date, or nonsense. */
      readonly retryAfter?: string
      readonly body?: unknown
      readonly headers?: Readonly<Record<string, string>>
    }
  /** The connection is reset without an answer. */
  | { readonly kind: 'reset' }
  /** Half of the body, then a reset. */
  | { readonly kind: 'cut' }
  /** The answer is held back. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** 200 with a body that is not the operation's. */
  | { readonly kind: 'wrong-body'; readonly body: string }
  /** Every item of the answer's list is in it twice. */
  | { readonly kind: 'twice' }

export interface Fault {
  /** Default: both. */
  readonly service?: Service
  /** Default: all. */
  readonly tenantId?: string
  /** Exact name (`GET /users`, `Get-Mailbox`), or a beginning with `*` after it; default: all. In any case of letters. */
  readonly operation?: string
  /** Calls that change something, or that don't; default: both. */
  readonly isWrite?: boolean
  /** From which of the matching calls on, counted from when the fault was added; default 1, the next. */
  readonly nth?: number
  /** How many of them; default 1. */
  readonly times?: number
  /** The effect of the call: not begun, or complete. */
  readonly when: 'before' | 'after'
  readonly effect: FaultEffect
}

export interface FaultPoint {
  readonly service: Service
  readonly tenantId: string
  readonly operation: string
  readonly isWrite: boolean
}

interface Waiting {
  readonly fault: Fault
  seen: number
}

export class Faults {
  readonly #listeners = new Set<(fault: Fault, at: FaultPoint) => void>()
  #waiting: Waiting[] = []

  /** @throws RangeError when it counts from before the first or hits nothing */
  add(fault: Fault): void {
    for (const count of [fault.nth ?? 1, fault.times ?? 1]) {
      if (!Number.isSafeInteger(count) || count < 1) throw new RangeError('nth and times count from 1')
    }
    this.#waiting.push({ fault, seen: 0 })
  }

  clear(): void {
    this.#waiting = []
  }

  /** Told of every hit, before its effect. @returns ends it */
  onHit(listener: (fault: Fault, at: FaultPoint) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Counts this call for every fault that it matches; the oldest that is due hits it. */
  take(at: FaultPoint): Fault | undefined {
    let hit: Fault | undefined
    for (const waiting of this.#waiting) {
      const { fault } = waiting
      if (!isAbout(fault, at)) continue
      const isDue = waiting.seen + 1 >= (fault.nth ?? 1)
      // A fault that another was before in keeps what it has left.
      if (isDue && hit !== undefined) continue
      waiting.seen++
      if (isDue) hit = fault
    }
    this.#waiting = this.#waiting.filter(({ fault, seen }) => seen < (fault.nth ?? 1) + (fault.times ?? 1) - 1)
    if (hit !== undefined) for (const listener of this.#listeners) listener(hit, at)
    return hit
  }
}

function isAbout({ service, tenantId, operation, isWrite }: Fault, at: FaultPoint): boolean {
  return (
    (service === undefined || service === at.service) &&
    (isWrite === undefined || isWrite === at.isWrite) &&
    (tenantId === undefined || tenantId === at.tenantId) &&
    (operation === undefined || isNamed(operation.toLowerCase(), at.operation.toLowerCase()))
  )
}

function isNamed(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}
