// Lets calls through as budgets allow: all that a call needs is taken at one moment, just before it is sent. Whoever shares budgets waits in one line,
// served in turn by caller and in order within one; who can't be served soon is told when to come back rather than kept.
import type { Limit } from './budgets.ts'
import { MicrosoftError } from './microsoft-error.ts'
import type { Pace } from './pace.ts'
import { Bucket } from './throttle.ts'
import type { Seen } from './throttle.ts'

/** What a call takes of one budget. */
export interface Claim {
  /** Unique in the process: whose budget of what. */
  readonly bucket: string
  readonly limit: Limit
  readonly cost: number
}

export interface Asked {
  /** The first is the workload's own: what its answer says is about that one. Never empty. */
  readonly claims: readonly Claim[]
  /** Who shares: callers take turns. */
  readonly caller: string
  readonly signal?: AbortSignal | undefined
}

export interface Permit {
  /** Once, whatever became of the call. @param seen  of the first claim; nothing when no answer came @param inside  of others, by bucket */
  done(seen: Seen, inside?: ReadonlyMap<string, Seen>): void
}

export interface GovernorLimits {
  /** Who would wait longer is told to come back. */
  readonly maxWaitMs: number
  /** Calls of one caller in one line. */
  readonly maxWaiting: number
}

export const GOVERNOR_LIMITS: GovernorLimits = { maxWaitMs: 60_000, maxWaiting: 1_000 }
/** Told to whoever waited in vain for calls to end: when they do, nobody knows. */
const COME_BACK_MS = 10_000
const MANY_BUCKETS = 5_000

interface Waiter extends Asked {
  readonly giveUpAtMs: number
  readonly resolve: (permit: Permit) => void
  readonly reject: (reason: unknown) => void
}

/** Of those who need the same buckets. Callers in the order of their turns, each with his calls in the order they came. */
type Line = Map<string, Waiter[]>

export class Governor {
  readonly #pace: Pace
  readonly #limits: GovernorLimits
  readonly #buckets = new Map<string, Bucket>()
  /** By the buckets they need; the one that was served last stands last. */
  readonly #lines = new Map<string, Line>()
  #wakeUp: { readonly atMs: number; callOff: () => void } | undefined

  constructor(pace: Pace, limits: GovernorLimits = GOVERNOR_LIMITS) {
    this.#pace = pace
    this.#limits = limits
  }

  /** @throws MicrosoftError THROTTLED with `waitMs` for who would wait too long; the signal's reason */
  async acquire(asked: Asked): Promise<Permit> {
    asked.signal?.throwIfAborted()
    if (this.#waitingOf(asked) >= this.#limits.maxWaiting)
      throw new MicrosoftError('THROTTLED', { waitMs: COME_BACK_MS })
    const nowMs = this.#pace.monotonicMs()
    for (const { bucket, limit } of asked.claims) this.#bucket(bucket, limit, nowMs).limit = limit
    let leave: (() => void) | undefined
    try {
      return await new Promise<Permit>((resolve, reject) => {
        const waiter: Waiter = { ...asked, giveUpAtMs: nowMs + this.#limits.maxWaitMs, resolve, reject }
        this.#enqueue(waiter)
        leave = () => {
          if (this.#remove(waiter)) reject(asked.signal?.reason)
          this.#pump()
        }
        asked.signal?.addEventListener('abort', leave, { once: true })
        this.#pump()
      })
    } finally {
      if (leave !== undefined) asked.signal?.removeEventListener('abort', leave)
    }
  }

  #bucket(name: string, limit: Limit, nowMs: number): Bucket {
    const known = this.#buckets.get(name)
    if (known !== undefined) return known
    if (this.#buckets.size >= MANY_BUCKETS) this.#forgetFresh(nowMs)
    const made = new Bucket(limit)
    this.#buckets.set(name, made)
    return made
  }

  #forgetFresh(nowMs: number): void {
    for (const [name, bucket] of this.#buckets) if (bucket.isFresh(nowMs)) this.#buckets.delete(name)
  }

  #waitingOf(asked: Asked): number {
    return this.#lines.get(lineOf(asked))?.get(asked.caller)?.length ?? 0
  }

  #enqueue(waiter: Waiter): void {
    const key = lineOf(waiter)
    const line = this.#lines.get(key) ?? new Map<string, Waiter[]>()
    this.#lines.set(key, line)
    const own = line.get(waiter.caller)
    if (own === undefined) line.set(waiter.caller, [waiter])
    else own.push(waiter)
  }

  /** @returns whether it was still waiting */
  #remove(waiter: Waiter): boolean {
    const key = lineOf(waiter)
    const line = this.#lines.get(key)
    const own = line?.get(waiter.caller)
    const at = own?.indexOf(waiter) ?? -1
    if (line === undefined || own === undefined || at < 0) return false
    own.splice(at, 1)
    if (own.length === 0) line.delete(waiter.caller)
    if (line.size === 0) this.#lines.delete(key)
    return true
  }

  /** Serves whom it can, turns away whom it can't serve in time, and sets the timer for the rest. */
  #pump(): void {
    const nowMs = this.#pace.monotonicMs()
    // Whoever stands in front and lacks something of a bucket has it kept for him: those behind might take it for ever.
    const kept = new Set<string>()
    let wakeAtMs = Infinity
    // A line that was served goes to the end, and is come to again.
    for (const [key, line] of this.#lines) {
      const at = this.#serveOne(line, kept, nowMs)
      if (line.size === 0) this.#lines.delete(key)
      else if (at === 'served') {
        this.#lines.delete(key)
        this.#lines.set(key, line)
      } else wakeAtMs = Math.min(wakeAtMs, at)
    }
    this.#wakeAt(wakeAtMs)
  }

  /** @returns when to look again */
  #serveOne(line: Line, kept: Set<string>, nowMs: number): 'served' | number {
    let wakeAtMs = Infinity
    for (const [caller, waiters] of line) {
      for (let waiter = waiters[0]; waiter !== undefined; waiter = waiters[0]) {
        const canAtMs = this.#earliestMs(waiter, kept, nowMs)
        if (canAtMs <= nowMs) {
          this.#shift(line, caller, waiters)
          // His next one comes after everybody else's.
          if (waiters.length > 0) {
            line.delete(caller)
            line.set(caller, waiters)
          }
          waiter.resolve(this.#permit(waiter, nowMs))
          return 'served'
        }
        const isInVain = (canAtMs !== Infinity && canAtMs > waiter.giveUpAtMs) || waiter.giveUpAtMs <= nowMs
        if (!isInVain) {
          for (const bucket of this.#lacking(waiter, nowMs)) kept.add(bucket)
          wakeAtMs = Math.min(wakeAtMs, canAtMs, waiter.giveUpAtMs)
          break
        }
        this.#shift(line, caller, waiters)
        waiter.reject(
          new MicrosoftError('THROTTLED', { waitMs: canAtMs === Infinity ? COME_BACK_MS : canAtMs - nowMs }),
        )
      }
    }
    return wakeAtMs
  }

  #shift(line: Line, caller: string, waiters: Waiter[]): void {
    waiters.shift()
    if (waiters.length === 0) line.delete(caller)
  }

  /** @returns Infinity when nobody can tell */
  #earliestMs({ claims }: Waiter, kept: ReadonlySet<string>, nowMs: number): number {
    const times = claims.map(({ bucket, limit, cost }) => this.#bucket(bucket, limit, nowMs).earliestMs(cost, nowMs))
    const at = Math.max(...times)
    return at <= nowMs && claims.some(({ bucket }) => kept.has(bucket)) ? Infinity : at
  }

  #lacking({ claims }: Waiter, nowMs: number): string[] {
    const lacks = ({ bucket, limit, cost }: Claim) => this.#bucket(bucket, limit, nowMs).earliestMs(cost, nowMs) > nowMs
    return claims.filter(lacks).map(({ bucket }) => bucket)
  }

  #permit({ claims }: Waiter, nowMs: number): Permit {
    for (const { bucket, limit, cost } of claims) this.#bucket(bucket, limit, nowMs).take(cost, nowMs)
    let isDone = false
    return {
      done: (seen, inside) => {
        if (isDone) return
        isDone = true
        const doneMs = this.#pace.monotonicMs()
        for (const [index, { bucket, limit, cost }] of claims.entries()) {
          const own = { ...(index === 0 ? seen : {}), ...inside?.get(bucket) }
          this.#bucket(bucket, limit, doneMs).done(cost, own, this.#pace.random(), doneMs)
        }
        this.#pump()
      },
    }
  }

  #wakeAt(atMs: number): void {
    if (this.#wakeUp?.atMs === atMs) return
    this.#wakeUp?.callOff()
    this.#wakeUp = undefined
    if (atMs === Infinity) return
    const callOff = this.#pace.setTimer(
      () => {
        this.#wakeUp = undefined
        this.#pump()
      },
      Math.max(0, Math.ceil(atMs - this.#pace.monotonicMs())),
    )
    this.#wakeUp = { atMs, callOff }
  }
}

const lineOf = ({ claims }: Asked): string => claims.map(({ bucket }) => bucket).join('\n')
