// Time as the simulated tenants know it: the machine's, moved ahead at will. Delays, budgets and expiries all count by it.

export class SandboxClock {
  readonly #machineMs: () => number
  readonly #onAdvance: (aheadMs: number) => void
  #aheadMs: number

  /** @param machineMs  ms since the epoch @param aheadMs  of an earlier run @param onAdvance  told how far it is ahead now */
  constructor(
    machineMs: () => number,
    { aheadMs = 0, onAdvance = () => {} }: { aheadMs?: number; onAdvance?: (aheadMs: number) => void } = {},
  ) {
    this.#machineMs = machineMs
    this.#aheadMs = aheadMs
    this.#onAdvance = onAdvance
  }

  /** ms since the epoch */
  readonly nowMs = (): number => this.#machineMs() + this.#aheadMs

  /** Never back. @param ms  >= 0 */
  advance(ms: number): void {
    if (!(ms >= 0)) throw new Error('time goes forward')
    this.#aheadMs += ms
    this.#onAdvance(this.#aheadMs)
  }
}
