// What the assessment report is made of, in whatever form: every finding that is there, and how many. Scope: the organisation.
import type { Tx } from '../db/database.ts'
import type { TenantId } from '../ids.ts'
import { listTenants } from '../tenants/tenant-store.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { shapeFinding } from './finding.ts'
import type { Finding, FindingBody } from './finding.ts'
import type { FindingCode } from './finding-kinds.ts'
import { keyOf, listFindings } from './finding-store.ts'
import { summarise } from './finding-summary.ts'
import type { FindingSummary } from './finding-summary.ts'

const ROWS_PER_BATCH = 1_000

export interface Assessment {
  readonly project: string
  readonly tenants: readonly {
    readonly id: TenantId
    readonly label: string
    readonly side: 'source' | 'target'
    readonly name: string
  }[]
  readonly summary: FindingSummary
  /** All of them, once. */
  readonly findings: AsyncIterable<readonly FindingBody[]>
  /** Of one kind, the first. */
  readonly firstOf: (code: FindingCode, limit: number) => Promise<readonly FindingBody[]>
}

/** In a transaction that sees one moment. */
export async function assess(tx: Tx, place: ProjectPlace): Promise<Assessment> {
  const tenants = await listTenants(tx, place)
  return {
    project: place.project,
    tenants: tenants.map(({ id, label, side, name }) => ({ id, label, side, name })),
    summary: await summarise(tx, place),
    findings: batches(tx, place),
    async firstOf(code, limit) {
      const rows = await listFindings(tx, place, { code }, { after: undefined, limit })
      return rows.slice(0, limit).map(shapeFinding)
    },
  }
}

async function* batches(tx: Tx, place: ProjectPlace): AsyncGenerator<readonly FindingBody[]> {
  for (let after: Finding | undefined; ;) {
    const page = { after: after && keyOf(after), limit: ROWS_PER_BATCH }
    const rows = await listFindings(tx, place, {}, page)
    const shown = rows.slice(0, ROWS_PER_BATCH)
    if (shown.length > 0) yield shown.map(shapeFinding)
    after = shown.at(-1)
    if (rows.length <= ROWS_PER_BATCH) return
  }
}
