// How many findings of a project are there, by severity and kind.
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { time } from '../http/values.ts'
import type { TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { SEVERITIES } from './finding-kind.ts'
import { FINDING_CODES, kindOf } from './finding-kinds.ts'
import { findRun } from './finding-run-store.ts'
import { countFindings } from './finding-store.ts'

const countsSchema = z.strictObject({ open: z.int(), acknowledged: z.int() })
export const summarySchema = z
  .strictObject({
    judgedAt: time.optional().meta({ description: 'When the last run went to its end; absent: none did.' }),
    isUnderWay: z.boolean().meta({ description: 'Something has changed since, and is being judged.' }),
    severities: z.strictObject({ blocker: countsSchema, warning: countsSchema, notice: countsSchema }),
    kinds: z.array(
      z.strictObject({
        code: z.enum(FINDING_CODES),
        severity: z.enum(SEVERITIES),
        title: z.string(),
        open: z.int(),
        acknowledged: z.int(),
      }),
    ),
  })
  .meta({ id: 'FindingSummary', description: 'How many findings there are, by severity and kind.' })

export type FindingSummary = z.input<typeof summarySchema>

export async function summarise(tx: Tx, place: ProjectPlace, tenant?: TenantId): Promise<FindingSummary> {
  const { finishedAt, isUnderWay } = await findRun(tx, place)
  const kinds = await countFindings(tx, place, tenant)
  const none = () => ({ open: 0, acknowledged: 0 })
  const severities = { blocker: none(), warning: none(), notice: none() }
  for (const { severity, open, acknowledged } of kinds) {
    severities[severity].open += open
    severities[severity].acknowledged += acknowledged
  }
  return {
    ...(finishedAt === undefined ? {} : { judgedAt: finishedAt.toISOString() }),
    isUnderWay,
    severities,
    kinds: kinds.map((kind) => ({ ...kind, title: kindOf(kind.code).title })),
  }
}
