// Calendar parts and reports that must be read whole and are large: done by one worker thread, so that only their own session waits. The
// table stays here: the thread asks, a handful at a time. What takes too long, or too much memory, stays as it came. (BP-2, PS-8)
import { Worker } from 'node:worker_threads'
import type { Log } from '../../common/log.ts'
import { answerQueries } from '../../rewrite-rules/index.ts'
import type { AddressMap, Answer, PartResult, PartWork, Query } from '../../rewrite-rules/index.ts'
import type { Limits } from '../limits.ts'
import type { InboundMetrics } from './inbound-metrics.ts'

/** To the thread. */
export type LargePartRequest =
  { readonly kind: 'work'; readonly work: PartWork } | { readonly kind: 'answers'; readonly answers: readonly Answer[] }

/** From the thread. */
export type LargePartResponse =
  | { readonly kind: 'queries'; readonly queries: readonly Query[] }
  | { readonly kind: 'done'; readonly result: PartResult }

export interface LargePartsDeps {
  readonly limits: Pick<Limits, 'largePartsWaiting' | 'largePartMs' | 'largePartMemoryBytes'>
  readonly log: Log
  readonly metrics: Pick<InboundMetrics, 'largeParts'>
  /** What the thread runs; a test may give another. */
  readonly script?: URL
}

/** Too many parts wait already: the message is answered 451. */
export class LargePartsFull extends Error {
  override readonly name = 'LargePartsFull'
}

interface Job {
  readonly work: PartWork
  readonly map: AddressMap
  readonly done: (result: PartResult | undefined) => void
}

const MIB = 1024 * 1024
const SCRIPT = new URL('./large-part-worker.ts', import.meta.url)

export class LargeParts {
  readonly #deps: LargePartsDeps
  readonly #waiting: Job[] = []
  #worker: Worker | undefined
  #isBusy = false
  #isClosed = false

  constructor(deps: LargePartsDeps) {
    this.#deps = deps
  }

  /**
   * @returns undefined: the part is to stay as it is
   * @throws LargePartsFull
   */
  async run(work: PartWork, map: AddressMap): Promise<PartResult | undefined> {
    if (this.#isClosed || this.#waiting.length >= this.#deps.limits.largePartsWaiting) {
      throw new LargePartsFull('too many large parts wait')
    }
    return new Promise((done) => {
      this.#waiting.push({ work, map, done })
      if (!this.#isBusy) void this.#workOff()
    })
  }

  /** Ends the thread; what still waits stays as it is. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { done } of this.#waiting.splice(0)) done(undefined)
    await this.#worker?.terminate()
  }

  async #workOff(): Promise<void> {
    this.#isBusy = true
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      job.done(await this.#do(job))
    }
    this.#isBusy = false
  }

  async #do(job: Job): Promise<PartResult | undefined> {
    const { log, metrics, limits } = this.#deps
    const about = { part: job.work.kind, bytes: job.work.body.byteLength }
    const worker = (this.#worker ??= this.#start())
    try {
      const result = await converse(worker, job, limits.largePartMs)
      metrics.largeParts.inc({ result: result === undefined ? 'ended' : 'done' })
      if (result !== undefined) return result
      if (!this.#isClosed) log.warn('large-part.ended', { ...about, afterMs: limits.largePartMs })
    } catch (error) {
      metrics.largeParts.inc({ result: 'failed' })
      log.error('large-part.failed', { ...about, error })
    }
    // Whatever it still does, nobody waits for it.
    this.#worker = undefined
    worker.on('error', () => {}) // nothing new
    await worker.terminate()
    return undefined
  }

  #start(): Worker {
    const { limits, script = SCRIPT } = this.#deps
    const worker = new Worker(script, {
      name: 'large-parts',
      resourceLimits: { maxOldGenerationSizeMb: limits.largePartMemoryBytes / MIB },
    })
    worker.unref()
    return worker
  }
}

/**
 * Has one part done.
 * @returns undefined when it takes longer than `timeoutMs`, or the thread is ended meanwhile
 * @throws what ended the thread: an exception in it, or the end of its memory
 */
function converse(worker: Worker, { work, map }: Job, timeoutMs: number): Promise<PartResult | undefined> {
  const say = (request: LargePartRequest): void => worker.postMessage(request)
  return new Promise((resolve, reject) => {
    const hear = (response: LargePartResponse): void => {
      if (response.kind === 'done') end(() => resolve(response.result))
      else say({ kind: 'answers', answers: answerQueries(response.queries, map) })
    }
    const fail = (error: Error): void => end(() => reject(error))
    const giveUp = (): void => end(() => resolve(undefined))
    const timer = setTimeout(giveUp, timeoutMs)
    const end = (settle: () => void): void => {
      clearTimeout(timer)
      // One by one: without its own listeners, which removeAllListeners takes too, the thread is never heard again.
      worker.off('message', hear).off('error', fail).off('exit', giveUp)
      settle()
    }
    worker.on('message', hear).on('error', fail).on('exit', giveUp)
    say({ kind: 'work', work })
  })
}
