// The whole tour, from a product that knows nothing to two tenants that are as they were: its steps in order, and how they are shown.
import { performance } from 'node:perf_hooks'
import { ApiClient } from './api-client.ts'
import { invitedStep, invitesStep } from './calendar-steps.ts'
import { compareStep, contractStep, disableStep, enableStep, onStep, planStep, quietStep } from './coexistence-steps.ts'
import { connectStep, discoverStep, matchStep, pairsStep } from './connect-steps.ts'
import { shownEnd, shownProgress, shownStep, stepLine } from './display.ts'
import { absenceStep, answerStep, bounceStep, countStep, receiptStep, traceStep, writeStep } from './mail-steps.ts'
import { Mail } from './mail.ts'
import { moveStep } from './move-step.ts'
import { certificatesStep, dkimStep, pushStep, settingsStep } from './relay-steps.ts'
import { runSteps } from './run-steps.ts'
import { SandboxClient } from './sandbox-client.ts'
import type { StepOutcome, TourStep } from './step.ts'
import type { TourContext } from './tour-context.ts'

export interface TourPlace {
  /** `http://127.0.0.1:8080/api/v1` */
  readonly api: string
  readonly key: string
  readonly project: string
  /** The sandbox's control: `http://127.0.0.1:8084`. */
  readonly sandbox: string
  /** Client id of the application by which tenants are connected. */
  readonly connectApp: string
  /** Port of the relay on this machine. */
  readonly relayPort: number
}

export interface TourScreen {
  /** Whole lines of text, or of JSON. */
  readonly write: (text: string) => void
  /** On a `terminal` it also shows what is going on. */
  readonly form: 'people' | 'terminal' | 'json'
  /** Of the terminal. */
  readonly columns: number
}

const STEPS: readonly TourStep<TourContext>[] = [
  quietStep,
  connectStep,
  discoverStep,
  matchStep,
  pairsStep,
  certificatesStep,
  dkimStep,
  settingsStep,
  pushStep,
  planStep,
  enableStep,
  writeStep,
  answerStep,
  onStep,
  traceStep,
  receiptStep,
  invitedStep,
  invitesStep,
  absenceStep,
  bounceStep,
  moveStep,
  countStep,
  disableStep,
  compareStep,
  contractStep,
]

/** @returns what came of each step */
export async function runTour(
  place: TourPlace,
  screen: TourScreen,
  signal: AbortSignal,
): Promise<readonly StepOutcome[]> {
  const sandbox = new SandboxClient(place.sandbox)
  const context: TourContext = {
    api: new ApiClient({ url: place.api, headers: { Authorization: `Bearer ${place.key}` } }),
    sandbox,
    mail: new Mail(sandbox),
    project: `/projects/${place.project}`,
    connectApp: place.connectApp,
    relayPort: place.relayPort,
    tenants: undefined,
    first: undefined,
    sent: [],
    letter: '',
    answer: '',
  }
  const outcomes: StepOutcome[] = []
  const { write, form, columns } = screen
  let current = { number: 0, of: STEPS.length, title: '' }
  // The line of what is going on is written over.
  const over = form === 'terminal' ? '\r\u001B[2K' : ''
  const progress = (text: string): void => {
    if (form === 'terminal') write(`${over}${shownProgress(current.number, current.of, current.title, text, columns)}`)
  }
  await runSteps(STEPS, context, {
    signal,
    monotonicMs: () => performance.now(),
    began: (number, of, title) => {
      current = { number, of, title }
      progress('')
    },
    progress,
    shown: (text) => {
      if (form !== 'json') write(`\n${text}\n\n`)
    },
    ended: (outcome) => {
      outcomes.push(outcome)
      write(form === 'json' ? stepLine(outcome) : `${over}${shownStep(outcome, form === 'terminal' ? columns : 0)}\n`)
    },
  })
  if (form !== 'json') write(`\n${shownEnd(outcomes)}\n`)
  return outcomes
}

export function hasHeld(outcomes: readonly StepOutcome[]): boolean {
  return outcomes.length === STEPS.length && outcomes.every(({ state }) => state === 'held')
}
