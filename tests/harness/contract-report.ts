// What a whole test run used of Microsoft's contracts, gathered from the records of its processes (contracts: README, "How a test uses them" 8).
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RecordedViolation, Use } from '../../sandbox/contract/record.ts'
import { CONTOSO, FABRIKAM } from '../../sandbox/tenants/constants.ts'

export interface RunReport {
  /** Operations of Graph, by published status. */
  readonly operations: Readonly<Record<string, readonly string[]>>
  readonly cmdlets: readonly string[]
  /** Operations and cmdlets that change something, by side: `source`, `target`, or a tenant's id. */
  readonly writes: Readonly<Record<string, readonly string[]>>
  readonly violations: readonly RecordedViolation[]
}

type Line = { readonly use: Omit<Use, 'count'> } | { readonly violation: RecordedViolation }

export function readRunReport(directory: string): RunReport {
  const lines = readdirSync(directory)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(directory, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
  const uses = lines.flatMap((line) => ('use' in line ? [line.use] : []))
  const ofGraph = uses.filter(({ service }) => service === 'graph')
  return {
    operations: namesBy(ofGraph, ({ status }) => status),
    cmdlets: unique(uses.filter(({ service }) => service === 'exchange').map(({ name }) => name)),
    writes: namesBy(
      uses.filter(({ isWrite }) => isWrite),
      ({ tenantId }) => ({ [CONTOSO]: 'source', [FABRIKAM]: 'target' })[tenantId] ?? tenantId,
    ),
    violations: lines.flatMap((line) => ('violation' in line ? [line.violation] : [])),
  }
}

/** A few lines; none when nothing was used. */
export function shownReport({ operations, cmdlets, writes, violations }: RunReport): string {
  const byStatus = ['listed', 'documented', 'inferred', 'delegated-only'].map((status) => {
    return `${operations[status]?.length ?? 0} ${status}`
  })
  if (Object.keys(operations).length === 0 && cmdlets.length === 0) return ''
  const inferred = operations['inferred'] ?? []
  const unknown = violations.filter(({ rule }) => rule === 'unknown-operation' || rule === 'unknown-cmdlet').length
  const written = ['source', 'target'].map((side) => `${side}: ${(writes[side] ?? []).join(', ') || 'none'}`)
  return [
    `Microsoft Graph, operations used: ${byStatus.join(', ')}, ${unknown} unknown`,
    ...(inferred.length === 0 ? [] : [`  inferred: ${inferred.join(', ')}`]),
    `Exchange Online, cmdlets used: ${cmdlets.join(', ') || 'none'}`,
    `writes: ${written.join('; ')}`,
    `violations of published contracts: ${violations.length}`,
  ].join('\n')
}

function namesBy(
  uses: readonly Omit<Use, 'count'>[],
  keyOf: (use: Omit<Use, 'count'>) => string,
): Record<string, string[]> {
  const groups = Object.groupBy(uses, keyOf)
  return Object.fromEntries(
    Object.entries(groups).map(([key, group = []]) => [key, unique(group.map(({ name }) => name))]),
  )
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)].toSorted()
}
