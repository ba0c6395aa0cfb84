import type { MappingTable, Policy } from '../rewrite-rules/index.ts'

/** What a message is rewritten with: the one table and policy that were in force when it began (R1, RC-3). */
export interface PinnedTable {
  readonly table: MappingTable
  readonly policy: Policy
}
