// Shares work between all who ask for its result at about the same time: one run at a time, and whoever asks while one runs gets the next, which
// began after he asked.

export class LatestRun<T> {
  readonly #work: () => Promise<T>
  #running: Promise<T> | undefined
  #next: Promise<T> | undefined

  constructor(work: () => Promise<T>) {
    this.#work = work
  }

  /** The result of a run that begins now or later. */
  get(): Promise<T> {
    if (this.#running === undefined) return this.#begin()
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    )
    return this.#next
  }

  #begin(): Promise<T> {
    this.#next = undefined
    const run = this.#work()
    const running = run.finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    // Whoever asked is told of its failure through `run`; this chain only cleans up.
    running.catch(() => {})
    this.#running = running
    return run
  }
}
