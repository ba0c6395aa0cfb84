// A step of the tour as data: what it is called, what it does, and what it found to be as it should. Pure.

/** One thing that had to hold. */
export interface Check {
  readonly what: string
  readonly isHeld: boolean
  /** Of one that doesn't hold: what was found, in words. */
  readonly found?: string
}

export interface TourStep<Context> {
  /** For scripts: stays the same. */
  readonly name: string
  readonly title: string
  /** Also after another one failed: it leaves nothing switched on and nobody moved. */
  readonly isTidying?: boolean
  /** @returns one line of what came of it. @throws StepFailed, or whatever kept it from being done */
  run(context: Context, step: Running): Promise<string>
}

/** What a step tells while it runs. */
export interface Running {
  /** How far it is: shown for the moment. */
  progress(text: string): void
  /** Something to look at, lines of it: for people alone. */
  show(text: string): void
  /** Notes what held. @throws StepFailed when it doesn't: nothing after it would mean anything */
  demand(what: string, isHeld: boolean, found?: string): void
  /** Equal as JSON. @throws StepFailed */
  demandEqual(what: string, found: unknown, expected: unknown): void
}

export type StepState = 'held' | 'failed' | 'skipped'

export interface StepOutcome {
  readonly number: number
  readonly of: number
  readonly name: string
  readonly title: string
  readonly state: StepState
  readonly ms: number
  /** What came of it, or why it failed. */
  readonly result: string
  readonly checks: readonly Check[]
}

/** Something is not as it has to be. */
export class StepFailed extends Error {
  override readonly name = 'StepFailed'
}
