// The audit trail's resources as JSON: schemas of queries and answers, and how rows become them. Pure.
import { z } from 'zod'
import { time } from '../http/values.ts'
import type { AuditKey } from './audit-key.ts'
import { formatNote } from './checkpoint.ts'
import { withOrigin } from './checkpoint-store.ts'
import type { StoredCheckpoint } from './checkpoint-store.ts'
import type { FoundEvent } from './search-store.ts'
import type { TrailReport } from './verify-trail.ts'

const filterText = z.string().min(1).max(500)

export const eventQuery = {
  since: z.iso.datetime({ offset: true }).optional().meta({ description: 'At this time or later.' }),
  until: z.iso.datetime({ offset: true }).optional().meta({ description: 'Before this time.' }),
  action: z
    .string()
    .regex(/^[a-z][a-z-]*\.[a-z-]*$/, 'an action (`mapping.changed`), or an area (`mapping.`)')
    .max(100)
    .optional()
    .meta({ description: 'An action (`mapping.changed`), or all of an area (`mapping.`).' }),
  actor: filterText.optional().meta({ description: '`person:<tenant>/<object id>`, `key:<id>`, `relay:<id>`, …' }),
  project: filterText.optional(),
  object: filterText.optional().meta({ description: 'Id of what was acted on.' }),
  result: z.enum(['done', 'denied', 'failed']).optional(),
  order: z.enum(['newest', 'oldest']).default('newest').meta({ description: 'Which come first.' }),
}

export const eventSchema = z
  .strictObject({
    id: z.string(),
    sequence: z.int().meta({ description: 'From 1, without gaps.' }),
    time,
    action: z.string(),
    actor: z.string(),
    project: z.string().meta({ description: 'Empty: none.' }),
    object: z.string(),
    result: z.enum(['done', 'denied', 'failed']),
    before: z
      .string()
      .meta({ description: 'SHA-256 of what the object was, as canonical JSON (RFC 8785); empty: nothing.' }),
    after: z.string().meta({ description: 'Of what it became.' }),
    requestId: z.string(),
    payload: z
      .record(z.string(), z.unknown())
      .nullable()
      .meta({ description: 'Source address and details; null once cleared after the retention time.' }),
    hash: z.string().meta({ description: 'Of the chain up to and with this event, hex.' }),
  })
  .meta({ id: 'AuditEvent' })

export function shapeEvent({ header, payload, hash }: FoundEvent): z.input<typeof eventSchema> {
  const { id, sequence, time: at, action, actor, project, object, result, before, after, requestId } = header
  const shown = { id, sequence, time: at, action, actor, project, object, result, before, after, requestId, hash }
  if (payload === undefined) return { ...shown, payload: null }
  const { salt, ...details } = payload
  void salt // keeps the payload's hash from telling anything; of no use to a reader
  return { ...shown, payload: details }
}

export const checkpointSchema = z
  .strictObject({
    size: z.int().meta({ description: 'Events of the chain at that time.' }),
    hash: z.string().meta({ description: 'Of the last of them, hex.' }),
    time,
    key: z.string().meta({ description: 'Id of the key that signed it.' }),
    note: z.string().meta({
      description: 'The checkpoint as a signed note: keep it, and give it to `causeway audit verify --checkpoint`.',
    }),
    exportedAt: time.optional().meta({ description: 'When it was in write-once storage.' }),
  })
  .meta({ id: 'AuditCheckpoint' })

/** @param keys  all of the installation */
export function shapeCheckpoint(
  row: StoredCheckpoint,
  chain: string,
  keys: readonly AuditKey[],
): z.input<typeof checkpointSchema> {
  const [first, key] = [keys[0], keys.find(({ id }) => id === row.keyId)]
  if (first === undefined || key === undefined) throw new Error('unreachable: a checkpoint without its key')
  return {
    size: row.size,
    hash: row.hash.toString('hex'),
    time: row.time,
    key: row.keyId,
    note: formatNote(withOrigin(row, first.id, chain), key),
    ...(row.exportedAt === undefined ? {} : { exportedAt: row.exportedAt.toISOString() }),
  }
}

export const keySchema = z
  .strictObject({
    id: z.string().meta({ description: 'SHA-256 of the public key, hex.' }),
    ordinal: z.int(),
    algorithm: z.literal('Ed25519'),
    publicKey: z.string().meta({ description: '32 octets, base64 (RFC 8032).' }),
    createdAt: time,
    signature: z.string().meta({ description: 'By the key before, of the first by itself.' }),
  })
  .meta({ id: 'AuditKey' })

export function shapeKey({ id, ordinal, publicKey, createdAt, signature }: AuditKey): z.input<typeof keySchema> {
  return {
    id,
    ordinal,
    algorithm: 'Ed25519',
    publicKey: publicKey.toString('base64'),
    createdAt,
    signature: signature.toString('base64'),
  }
}

const MAX_VERIFIED = 100_000

export const verificationQuery = {
  from: z.coerce
    .number()
    .int()
    .min(1)
    .max(Number.MAX_SAFE_INTEGER - MAX_VERIFIED)
    .default(1)
    .meta({
      description: 'Sequence of the first event; the next one to ask for is the answer’s `next`.',
    }),
  limit: z.coerce.number().int().min(1).max(MAX_VERIFIED).default(10_000).meta({ description: 'Events at most.' }),
}

export const verificationSchema = z
  .strictObject({
    holds: z.boolean(),
    from: z.int(),
    to: z.int().meta({ description: 'Sequence of the last event that was verified.' }),
    events: z.int(),
    redacted: z.int().meta({ description: 'Events whose payload was cleared.' }),
    checkpoints: z.int(),
    provenTo: z.int().meta({ description: 'Up to here a signature says that these are the events.' }),
    provenAt: time.optional(),
    firstKey: z.string().meta({ description: 'Id of the installation’s first key.' }),
    fault: z
      .strictObject({
        code: z.string(),
        detail: z.string(),
        event: z.int().optional().meta({ description: 'Sequence of the first event that does not hold.' }),
        until: z.int().optional(),
        checkpoint: z.int().optional(),
      })
      .optional(),
    next: z.int().optional().meta({ description: 'Absent when the chain ends here, or does not hold.' }),
  })
  .meta({ id: 'AuditVerification' })

export function shapeReport({ report, next }: { report: TrailReport; next: number | undefined }) {
  const { holds, from, size, events, redacted, checkpoints, provenTo, provenAt, firstKey, fault } = report
  const { line, ...place } = fault ?? { line: 0 }
  void line // of a file that there isn't
  return {
    holds,
    from,
    to: size,
    events,
    redacted,
    checkpoints,
    provenTo,
    firstKey,
    ...(provenAt === undefined ? {} : { provenAt }),
    ...(fault === undefined ? {} : { fault: place }),
    ...(next === undefined ? {} : { next }),
  }
}
