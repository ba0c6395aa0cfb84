// Runs the tour's steps one after the other. After a failure only those are run that leave things tidy.
import { isDeepStrictEqual } from 'node:util'
import { StepFailed } from './step.ts'
import type { Check, Running, StepOutcome, TourStep } from './step.ts'

export interface RunOptions {
  readonly began: (number: number, of: number, title: string) => void
  readonly progress: (text: string) => void
  /** After the step's own line. */
  readonly shown: (text: string) => void
  readonly ended: (outcome: StepOutcome) => void
  /** ms, monotonic */
  readonly monotonicMs: () => number
  /** Asked before each step: the rest but for tidying is left out. */
  readonly signal: AbortSignal
}

/** @returns whether all of them held */
export async function runSteps<Context>(
  steps: readonly TourStep<Context>[],
  context: Context,
  { began, progress, shown, ended, monotonicMs, signal }: RunOptions,
): Promise<boolean> {
  let isHolding = true
  for (const [index, step] of steps.entries()) {
    const { name, title } = step
    const place = { number: index + 1, of: steps.length, name, title }
    if ((!isHolding || signal.aborted) && step.isTidying !== true) {
      isHolding = false
      ended({ ...place, state: 'skipped', ms: 0, result: '', checks: [] })
      continue
    }
    began(place.number, place.of, title)
    const checks: Check[] = []
    const pictures: string[] = []
    const from = monotonicMs()
    const outcome = await step
      .run(
        context,
        running(checks, progress, (text) => pictures.push(text)),
      )
      .then(
        (result) => ({ state: 'held', result }) as const,
        (error: unknown) => ({ state: 'failed', result: words(error) }) as const,
      )
    if (outcome.state === 'failed') isHolding = false
    ended({ ...place, ...outcome, ms: Math.round(monotonicMs() - from), checks })
    for (const text of pictures) shown(text)
  }
  return isHolding
}

function running(checks: Check[], progress: (text: string) => void, show: (text: string) => void): Running {
  const demand = (what: string, isHeld: boolean, found?: string): void => {
    checks.push(isHeld || found === undefined ? { what, isHeld } : { what, isHeld, found })
    if (!isHeld) throw new StepFailed(found === undefined ? `${what}: it isn't so` : `${what}: ${found}`)
  }
  return {
    progress,
    show,
    demand,
    demandEqual: (what, found, expected) =>
      demand(
        what,
        isDeepStrictEqual(found, expected),
        `${shortened(JSON.stringify(found))} in place of ${shortened(JSON.stringify(expected))}`,
      ),
  }
}

const MAX_SHOWN = 400

/** `undefined` has no JSON. */
function shortened(text: string | undefined): string {
  if (text === undefined) return 'nothing'
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)} …` : text
}

/** A failed check says all there is to say; of anything else what caused it belongs to it. */
function words(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof StepFailed || !(error.cause instanceof Error)) return error.message
  return `${error.message} (${words(error.cause)})`
}
