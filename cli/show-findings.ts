// Findings as people read them: one line each, what to do below it, and how many there are at the end.
import type { Finding } from '../common/doctor/finding.ts'
import { printable, say } from './command.ts'

export function shownFindings(findings: readonly Finding[]): string {
  return findings.map(shown).join('')
}

/** Says how many there are, on standard error. @returns the faults */
export function tellCounts(findings: readonly Finding[]): number {
  const count = (verdict: Finding['verdict']) => findings.filter((finding) => finding.verdict === verdict).length
  const faults = count('fault')
  say(`${findings.length} checks, ${faults} faults, ${count('warning')} warnings`)
  return faults
}

function shown({ check, verdict, says, todo }: Finding): string {
  const line = `${verdict.padEnd(7)}  ${check.padEnd(18)}  ${printable(says)}\n`
  return todo === undefined ? line : `${line}${' '.repeat(29)}→ ${printable(todo)}\n`
}
