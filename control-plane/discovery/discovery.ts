// One discovery of one tenant: what it reads, in which order, and what it could not see. Pure. (microsoft-365.md §4)
import { z } from 'zod'
import { time } from '../http/values.ts'
import type { AccountId, DiscoveryId, OperationId, TenantId } from '../ids.ts'
import { ACCOUNT_KINDS } from '../directory/account.ts'

export const DISCOVERY_STATES = ['running', 'completed', 'failed', 'cancelled'] as const

/** What a missing permission, role or setting hides, and how to show it. */
export const GAPS = {
  'exchange-not-asked': {
    hides: 'mailbox types, archives, holds, forwarding, X.500 names, connectors and rules',
    remedy:
      'Ask for consent again with the optional permission Exchange.ManageAsApp, and run the commands that the consent shows.',
  },
  'exchange-role-missing': {
    hides: 'mailbox types, archives, holds, forwarding, X.500 names, connectors and rules',
    remedy:
      'Run the commands that the consent shows, as an administrator of the tenant: the application lacks its roles in Exchange.',
  },
  'report-names-concealed': {
    hides: 'sizes of mailboxes and drives',
    remedy:
      'In the Microsoft 365 admin center, Settings, Org settings, Reports: switch "Display concealed user, group, and site names" off.',
  },
  'report-unavailable': {
    hides: 'sizes of mailboxes and drives',
    remedy: 'The usage report could not be read. New tenants have none for some days; run the discovery again later.',
  },
} as const satisfies Readonly<Record<string, { readonly hides: string; readonly remedy: string }>>
export type GapCode = keyof typeof GAPS

export interface DiscoveryCounts {
  /** In force, by kind. */
  readonly kinds: Readonly<Record<string, number>>
  readonly created: number
  readonly changed: number
  readonly removed: number
}

export interface Discovery {
  readonly id: DiscoveryId
  readonly tenant: TenantId
  readonly number: number
  readonly mode: 'full' | 'delta'
  readonly state: (typeof DISCOVERY_STATES)[number]
  readonly operation: OperationId
  /** Whose mailboxes are asked one by one. */
  readonly statisticsFor: readonly AccountId[]
  readonly counts: Partial<DiscoveryCounts>
  readonly gaps: readonly GapCode[]
  readonly startedAt: Date
  readonly finishedAt: Date | undefined
}

export const discoverySchema = z
  .strictObject({
    id: z.string(),
    tenant: z.string(),
    number: z.int().meta({ description: 'Dense in the tenant: versions of accounts count by it.' }),
    mode: z.enum(['full', 'delta']),
    state: z.enum(DISCOVERY_STATES),
    operation: z.string(),
    counts: z
      .strictObject({
        kinds: z.partialRecord(z.enum(ACCOUNT_KINDS), z.int()),
        created: z.int(),
        changed: z.int(),
        removed: z.int(),
      })
      .optional(),
    gaps: z
      .array(z.strictObject({ code: z.string(), hides: z.string(), remedy: z.string() }))
      .meta({ description: 'What could not be seen, and what to do about it.' }),
    startedAt: time,
    finishedAt: time.optional(),
  })
  .meta({ id: 'Discovery', description: 'One reading of a tenant.' })

export function shapeDiscovery(discovery: Discovery): z.input<typeof discoverySchema> {
  const { id, tenant, number, mode, state, operation, counts, gaps, startedAt, finishedAt } = discovery
  return {
    id,
    tenant,
    number,
    mode,
    state,
    operation,
    ...(counts.kinds === undefined ? {} : { counts: counts as DiscoveryCounts }),
    gaps: gaps.map((code) => ({ code, ...GAPS[code] })),
    startedAt: startedAt.toISOString(),
    ...(finishedAt === undefined ? {} : { finishedAt: finishedAt.toISOString() }),
  }
}
