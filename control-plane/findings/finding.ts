// A finding: as judging says it, as it is kept, and as the API shows it. Pure. (control-plane.md §2)
import { hash } from 'node:crypto'
import { z } from 'zod'
import { accountShape } from '../directory/account-summary.ts'
import type { AccountSummary } from '../directory/account-summary.ts'
import { time } from '../http/values.ts'
import type { AccountId, FindingId, TenantId } from '../ids.ts'
import { ABOUT, SEVERITIES } from './finding-kind.ts'
import type { About, Severity } from './finding-kind.ts'
import { FINDING_CODES, kindOf } from './finding-kinds.ts'
import type { FindingCode } from './finding-kinds.ts'

/** Ids, counts, sizes in octets, names of connectors and the like: what no other member says. No names of people. */
export type Details = Readonly<Record<string, string | number | boolean | readonly string[]>>

export interface JudgedFinding {
  readonly code: FindingCode
  readonly tenant: TenantId
  /** Of accounts and groups; the first of a pair. */
  readonly account?: AccountId
  /** The second of a pair. */
  readonly other?: AccountId
  readonly domain?: string
  readonly details: Details
  /** Name of what it is about. */
  readonly sortKey: string
}

/** By a judge that looks at one thing: what it says, and not of what. */
export interface Said {
  readonly code: FindingCode
  readonly details?: Details
}

/** What makes two findings the same one, in whichever run. 32 octets */
export function fingerprint({ code, tenant, account, other, domain }: JudgedFinding): Buffer {
  return hash('sha256', [code, tenant, account, other, domain].map((part) => part ?? '').join('\0'), 'buffer')
}

export const FINDING_STATES = ['open', 'acknowledged', 'resolved'] as const
export type FindingState = (typeof FINDING_STATES)[number]

export interface Finding {
  readonly id: FindingId
  readonly code: FindingCode
  readonly severity: Severity
  readonly about: About
  readonly tenant: TenantId
  readonly accountId: AccountId | undefined
  readonly otherId: AccountId | undefined
  readonly domain: string | undefined
  /** undefined: nothing is known of it any more. */
  readonly account: AccountSummary | undefined
  readonly other: AccountSummary | undefined
  readonly details: Details
  readonly sortKey: string
  readonly firstSeenAt: Date
  readonly lastSeenAt: Date
  readonly resolvedAt: Date | undefined
  readonly acknowledged: { readonly by: string; readonly at: Date } | undefined
  readonly note: string
  readonly version: number
}

export const stateOf = ({ resolvedAt, acknowledged }: Pick<Finding, 'resolvedAt' | 'acknowledged'>): FindingState =>
  resolvedAt !== undefined ? 'resolved' : acknowledged === undefined ? 'open' : 'acknowledged'

export const findingSchema = z
  .strictObject({
    id: z.string(),
    code: z.enum(FINDING_CODES),
    severity: z.enum(SEVERITIES),
    state: z.enum(FINDING_STATES),
    about: z.enum(ABOUT),
    tenant: z.string(),
    account: accountShape.optional(),
    other: accountShape.optional().meta({ description: 'The second of a pair.' }),
    domain: z.string().optional(),
    title: z.string(),
    explanation: z.string(),
    remedy: z.string(),
    details: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]))
      .meta({ description: 'What no other member says, by kind: counts, sizes in octets, names of settings.' }),
    firstSeenAt: time,
    lastSeenAt: time,
    resolvedAt: time.optional().meta({ description: 'When a run did not find it any more.' }),
    acknowledgedAt: time.optional(),
    acknowledgedBy: z.string().optional(),
    note: z.string().optional(),
  })
  .meta({
    id: 'Finding',
    description: 'Something about an account, a domain or a tenant that will hurt, and what to do.',
  })
export type FindingBody = z.input<typeof findingSchema>

export function shapeFinding(finding: Finding): FindingBody {
  const { id, code, severity, about, tenant, account, other, domain, details, resolvedAt, acknowledged, note } = finding
  const { title, explanation, remedy } = kindOf(code)
  return {
    id,
    code,
    severity,
    state: stateOf(finding),
    about,
    tenant,
    ...(account === undefined ? {} : { account }),
    ...(other === undefined ? {} : { other }),
    ...(domain === undefined ? {} : { domain }),
    title,
    explanation,
    remedy,
    details: { ...details } as FindingBody['details'],
    firstSeenAt: finding.firstSeenAt.toISOString(),
    lastSeenAt: finding.lastSeenAt.toISOString(),
    ...(resolvedAt === undefined ? {} : { resolvedAt: resolvedAt.toISOString() }),
    ...(acknowledged === undefined
      ? {}
      : { acknowledgedAt: acknowledged.at.toISOString(), acknowledgedBy: acknowledged.by }),
    ...(note === '' ? {} : { note }),
  }
}
