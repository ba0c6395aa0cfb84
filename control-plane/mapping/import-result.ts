// What an import, bulk change or restoring says it did, or would do: the same in an answer, as an operation's result, and in a dry run. Pure.
import { z } from 'zod'
import type { AcceptedDomains } from './mapping.ts'
import type { ChangeResult } from './table-change.ts'

export const WARNINGS = ['accepted-domains-unknown'] as const
export type Warning = (typeof WARNINGS)[number]

export const warningsSchema = z.array(z.enum(WARNINGS)).meta({
  description:
    '`accepted-domains-unknown`: a tenant of the project has named no accepted domains, so nothing says whether the addresses are theirs.',
})

export const tableChangeSchema = z
  .strictObject({
    revision: z.int().meta({ description: 'That the change made; where nothing changed, the one in force.' }),
    created: z.int(),
    changed: z.int(),
    unchanged: z.int().meta({ description: 'Entries of the request that are in the table already just so.' }),
    removed: z.int(),
    rulesChanged: z.int().meta({ description: 'Domain rules, wildcards and exceptions that came, changed or went.' }),
    entries: z.int().meta({ description: 'In the table afterwards.' }),
    warnings: warningsSchema,
  })
  .meta({ id: 'MappingTableChange', description: 'What a change did to the table; of a dry run what it would do.' })

export type TableChangeBody = z.output<typeof tableChangeSchema>

export const warningsOf = ({ isComplete }: AcceptedDomains): Warning[] =>
  isComplete ? [] : ['accepted-domains-unknown']

export function tableChangeBody(result: ChangeResult, accepted: AcceptedDomains): TableChangeBody {
  const { revision, created, changed, unchanged, removed, rulesChanged, entries } = result
  return { revision, created, changed, unchanged, removed, rulesChanged, entries, warnings: warningsOf(accepted) }
}
