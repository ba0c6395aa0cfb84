// How a tour looks while it runs and when it is over: one line a step, in columns; for scripts one JSON object a line. Pure.
import type { StepOutcome } from './step.ts'

const SIGNS = { held: '✓', failed: '✗', skipped: '·' } as const
const TITLE_WIDTH = 52
const MS_WIDTH = 7

/** `columns` of the terminal at most; 0: as long as it is. */
export function shownStep({ number, of, title, state, ms, result, checks }: StepOutcome, columns: number): string {
  const first = `${SIGNS[state]} ${place(number, of)}  ${title.padEnd(TITLE_WIDTH)}`
  if (state === 'skipped') return `${first} ${'left out'.padStart(MS_WIDTH)}`
  const held = checks.filter(({ isHeld }) => isHeld).length
  const line = `${first} ${seconds(ms).padStart(MS_WIDTH)}  ${checks.length === 0 ? '' : `${held}/${checks.length} `}${result}`
  return columns > 0 && state === 'held' ? cut(line, columns) : line
}

export function shownProgress(number: number, of: number, title: string, text: string, columns: number): string {
  return cut(`  ${place(number, of)}  ${title.padEnd(TITLE_WIDTH)} ${text === '' ? '…' : text}`, columns)
}

export function shownEnd(outcomes: readonly StepOutcome[]): string {
  const count = (state: StepOutcome['state']) => outcomes.filter((each) => each.state === state).length
  const checks = outcomes.flatMap((each) => each.checks).length
  const ms = outcomes.reduce((sum, each) => sum + each.ms, 0)
  const failed = outcomes.find(({ state }) => state === 'failed')
  return failed === undefined && count('skipped') === 0
    ? `All of it held: ${outcomes.length} steps, ${checks} checks, ${seconds(ms)}.`
    : `${count('held')} steps held, ${count('failed')} failed, ${count('skipped')} were left out${failed === undefined ? '.' : `; the first to fail: ${failed.title}.`}`
}

/** One line of `--json`. */
export function stepLine({ number, of, name, title, state, ms, result, checks }: StepOutcome): string {
  return `${JSON.stringify({ step: number, of, name, title, state, ms, result, checks })}\n`
}

const place = (number: number, of: number): string => `${String(number).padStart(String(of).length)}/${of}`

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

function cut(line: string, columns: number): string {
  return columns > 0 && line.length > columns ? `${line.slice(0, columns - 1)}…` : line
}
