// An account as the API shows it. Pure.
import { z } from 'zod'
import { time } from '../http/values.ts'
import { ACCOUNT_KINDS } from './account.ts'
import type { AccountSnapshot } from './account.ts'
import type { Account, ChangeRow } from './account-store.ts'

const snapshotShape = {
  objectId: z.string(),
  kind: z.enum(ACCOUNT_KINDS),
  displayName: z.string(),
  userPrincipalName: z.string().optional(),
  mail: z.string().optional(),
  mailNickname: z.string().optional(),
  addresses: z.array(z.string()).meta({ description: 'SMTP addresses, the primary one first.' }),
  x500: z.array(z.string()),
  otherAddresses: z.array(z.string()),
  isEnabled: z.boolean().optional(),
  isSynced: z.boolean().meta({ description: 'Written by an on-premises directory.' }),
  isHidden: z.boolean().optional(),
  attributes: z.record(z.string(), z.string()),
  licences: z.array(z.string()).meta({ description: 'SKU ids.' }),
  group: z
    .strictObject({
      members: z.int(),
      owners: z.int().optional(),
      membershipRule: z.string().optional(),
      visibility: z.string().optional(),
    })
    .optional(),
  mailbox: z
    .strictObject({
      recipientTypeDetails: z.string().optional(),
      exchangeGuid: z.string().optional(),
      archiveGuid: z.string().optional(),
      hasArchive: z.boolean().optional(),
      autoExpandingArchive: z.boolean().optional(),
      litigationHold: z.boolean().optional(),
      retentionHold: z.boolean().optional(),
      singleItemRecovery: z.boolean().optional(),
      forwardingSmtpAddress: z.string().optional(),
      forwardingAddress: z.string().optional(),
      deliverToMailboxAndForward: z.boolean().optional(),
      maxReceiveSize: z.int().optional(),
      grantSendOnBehalfTo: z.array(z.string()).optional(),
      usedBytes: z.int().optional(),
      items: z.int().optional(),
      deletedItemBytes: z.int().optional(),
      archiveBytes: z.int().optional(),
    })
    .optional(),
  drive: z.strictObject({ usedBytes: z.int(), files: z.int() }).optional(),
}
const snapshotSchema = z.strictObject(snapshotShape).meta({ id: 'AccountSnapshot' })

export const accountSchema = z
  .strictObject({
    id: z.string(),
    tenant: z.string(),
    ...snapshotShape,
    discoveredAt: time.meta({ description: 'When it was first seen as it is.' }),
    isGone: z.boolean().optional().meta({ description: 'It is in its tenant no more.' }),
  })
  .meta({ id: 'Account', description: 'An object of a tenant: user, mailbox of any kind, group, contact.' })

export function shapeAccount({ id, tenant, snapshot, createdAt, validTo }: Account): z.input<typeof accountSchema> {
  return {
    id,
    tenant,
    ...plain(snapshot),
    discoveredAt: createdAt.toISOString(),
    ...(validTo === null ? {} : { isGone: true }),
  }
}

export const accountDetailSchema = z
  .strictObject({
    ...accountSchema.shape,
    groups: z
      .array(z.strictObject({ id: z.string(), displayName: z.string() }))
      .meta({ description: 'That it is a member of, the first 1,000.' }),
  })
  .meta({ id: 'AccountDetail' })

export const versionSchema = z
  .strictObject({
    discovery: z.int().meta({ description: 'Number of the discovery that saw it so first.' }),
    until: z.int().optional().meta({ description: 'Of the one that saw it otherwise, or no more.' }),
    at: time,
    account: snapshotSchema,
  })
  .meta({ id: 'AccountVersion' })

export function shapeVersion({ validFrom, validTo, createdAt, snapshot }: Account): z.input<typeof versionSchema> {
  return {
    discovery: validFrom,
    ...(validTo === null ? {} : { until: validTo }),
    at: createdAt.toISOString(),
    account: plain(snapshot),
  }
}

export const changeSchema = z
  .strictObject({
    account: z.string(),
    change: z.enum(['created', 'changed', 'removed']),
    members: z.array(z.string()).meta({ description: 'Of the account, that differ.' }),
    before: snapshotSchema.optional(),
    after: snapshotSchema.optional(),
  })
  .meta({ id: 'AccountChange' })

export function shapeChange({ id, change, before, after }: ChangeRow): z.input<typeof changeSchema> {
  return {
    account: id,
    change,
    members: before === null || after === null ? [] : differing(before, after),
    ...(before === null ? {} : { before: plain(before) }),
    ...(after === null ? {} : { after: plain(after) }),
  }
}

function differing(before: AccountSnapshot, after: AccountSnapshot): string[] {
  const [a, b] = [before, after] as unknown as Record<string, unknown>[]
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((name) => JSON.stringify(a?.[name]) !== JSON.stringify(b?.[name]))
    .toSorted()
}

/** As it was stored: the schema of the answer holds it against what it should be. */
const plain = (snapshot: AccountSnapshot): z.input<typeof snapshotSchema> =>
  snapshot as unknown as z.input<typeof snapshotSchema>
