// Findings of a dry run as the API shows them: as kept ones, but for what a life in the database adds. Pure. (control-plane.md §2)
import { z } from 'zod'
import { ABOUT, SEVERITIES } from './finding-kind.ts'
import { FINDING_CODES, kindOf } from './finding-kinds.ts'
import type { PreflightFinding } from './preflight.ts'

export const preflightFindingSchema = z
  .strictObject({
    code: z.enum(FINDING_CODES),
    severity: z.enum(SEVERITIES),
    about: z.enum(ABOUT),
    tenant: z.string().optional(),
    domain: z.string().optional(),
    title: z.string(),
    explanation: z.string(),
    remedy: z.string(),
    details: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]))
      .meta({ description: 'The evidence, by kind: counts, names of rules and connectors, ids.' }),
  })
  .meta({ id: 'PreflightFinding', description: 'What stands against coexistence or will hurt, seen by a dry run.' })

export function shapePreflightFinding(finding: PreflightFinding): z.input<typeof preflightFindingSchema> {
  const { code, tenant, domain, details } = finding
  const { severity, about, title, explanation, remedy } = kindOf(code)
  return {
    code,
    severity,
    about,
    ...(tenant === undefined ? {} : { tenant }),
    ...(domain === undefined ? {} : { domain }),
    title,
    explanation,
    remedy,
    details: { ...details } as z.input<typeof preflightFindingSchema>['details'],
  }
}
