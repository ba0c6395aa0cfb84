// The mapping table on disk, and the one a running relay works with. (OP-5, R3, R4)
import { readTable } from '../mapping/read-table.ts'
import { faultText, placesOf } from '../settings-fault.ts'
import { TableFault } from '../../rewrite-rules/index.ts'
import { codeOf, fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'

export type TableFacts =
  | {
      readonly kind: 'read'
      readonly project: string
      readonly version: number
      readonly entries: number
      readonly modifiedAt: number
    }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unusable'; readonly why: string }

export interface WantedTable {
  readonly file: string
  readonly project: string | undefined
  readonly maxAgeMs: number | undefined
}

export function judgeTable({ file, project, maxAgeMs }: WantedTable, facts: TableFacts, now: number): Finding {
  const check = 'table'
  if (facts.kind === 'missing')
    return fault(
      check,
      `${file} is not there: mail is answered 451 4.3.5`,
      'put the table in place: the relay takes it at once',
    )
  if (facts.kind === 'unusable')
    return fault(check, `${file} can't be used: ${facts.why}`, '`causeway table check` tells all faults')
  const { version, entries, modifiedAt } = facts
  const hours = Math.floor((now - modifiedAt) / 3_600_000)
  const says = `${file}: version ${version}, ${entries} ${entries === 1 ? 'entry' : 'entries'}, written ${hours} h ago`
  if (project !== undefined && facts.project !== project)
    return fault(
      check,
      `${says}, of project ${facts.project}, not ${project}`,
      'put the table of this project in place',
    )
  if (maxAgeMs !== undefined && now - modifiedAt > maxAgeMs)
    return fault(check, `${says}: older than limits.maxTableAge, mail is answered 451 4.3.5`, 'write it again')
  return ok(check, says)
}

export async function observeTable(file: string): Promise<TableFacts> {
  try {
    const { table, modifiedAt } = await readTable(file)
    return { kind: 'read', project: table.project, version: table.version, entries: table.entryCount, modifiedAt }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { kind: 'missing' }
    if (error instanceof TableFault)
      return { kind: 'unusable', why: placesOf('', error.faults).slice(0, 1).map(faultText).join('') }
    return { kind: 'unusable', why: error instanceof Error ? error.message : String(error) }
  }
}

export type RunningFacts =
  | {
      readonly kind: 'answered'
      readonly isReady: boolean
      readonly reasons: readonly string[]
      readonly tableVersion: number | undefined
    }
  | { readonly kind: 'silent'; readonly code: string }

/** @param fileVersion  of the table on disk */
export function judgeRunning(facts: RunningFacts, fileVersion: number | undefined): Finding {
  const check = 'relay'
  if (facts.kind === 'silent')
    return fault(
      check,
      `runs, but /readyz does not answer (${facts.code})`,
      "see the relay's log, and `metrics` in the configuration",
    )
  const { isReady, reasons, tableVersion } = facts
  if (!isReady) return fault(check, `runs, but takes no mail: ${reasons.join('; ')}`, "see the relay's log")
  return fileVersion !== undefined && tableVersion !== undefined && fileVersion !== tableVersion
    ? warning(
        check,
        `is ready with table version ${tableVersion}; the file has ${fileVersion}`,
        "see the relay's log for why it was refused (older, faulty, of another project)",
      )
    : ok(check, `is ready${tableVersion === undefined ? '' : ` with table version ${tableVersion}`}`)
}

const TIMEOUT_MS = 5_000

export async function observeRunning(at: { address: string; port: number }): Promise<RunningFacts> {
  const host = at.address.includes(':') ? `[${at.address}]` : at.address
  try {
    const get = (path: string) => fetch(`http://${host}:${at.port}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    const answer = (await (await get('/readyz')).json()) as { ready?: unknown; reasons?: unknown }
    const metrics = await (await get('/metrics')).text()
    const version = /^causeway_table_version (\d+)$/m.exec(metrics)?.[1]
    return {
      kind: 'answered',
      isReady: answer.ready === true,
      reasons: Array.isArray(answer.reasons) ? answer.reasons.map(String) : [],
      tableVersion: version === undefined ? undefined : Number(version),
    }
  } catch (error) {
    return { kind: 'silent', code: codeOf(error instanceof Error && error.cause !== undefined ? error.cause : error) }
  }
}
