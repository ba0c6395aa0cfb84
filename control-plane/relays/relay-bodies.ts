// What relays send (common/relay-contract.ts), read: shapes and bounds. Members that are unknown are of a later version, and are left out.
import { z } from 'zod'
import type { EnrolRequest, RelayEvent, RelayReport } from '../../common/relay-contract.ts'
import { MAX_EVENTS_PER_BATCH } from '../../common/relay-contract.ts'
import { areRelayKeys } from './enrolment.ts'
import type { HeldSnapshot } from './relay.ts'

/** One line: nothing that a peer of the relay could have formed reaches a log or page with control characters in it (PR-3). */
const line = (most: number) => z.string().transform((text) => text.replaceAll(/\p{Cc}/gu, ' ').slice(0, most))
const count = z.int().min(0)
const digest = z.string().regex(/^[0-9a-f]{64}$/)
/** RFC 3339, UTC */
const time = z.iso.datetime()

export const enrolBody: z.ZodType<EnrolRequest> = z
  .object({
    code: z.string().min(1).max(512),
    name: z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/),
    softwareVersion: line(100),
    signingKey: z.string().max(200),
    sealingKey: z.string().max(200),
  })
  .refine(areRelayKeys, {
    message: 'signingKey must be an Ed25519 key and sealingKey an X25519 key, both SPKI DER in base64url',
  })

export const reportBody: z.ZodType<RelayReport> = z.object({
  version: count,
  revision: count,
  digest: digest.or(z.literal('')),
  entries: count,
  settings: count,
  refused: z.object({ version: count, reason: line(1_000) }).exactOptional(),
  softwareVersion: line(100),
  startedAt: time,
  isReady: z.boolean(),
  reasons: z.array(line(500)).max(50),
  state: z.enum(['active', 'draining']),
  queue: z.object({
    messages: count,
    oldestAgeMs: z.number().min(0).transform(Math.round),
    quarantined: count,
    dead: count,
  }),
  certificateNotAfter: time.exactOptional(),
  droppedEvents: z.object({ metric: count, message: count, audit: count }),
})

const MAX_FIELDS_BYTES = 8 * 1024

const eventBody: z.ZodType<RelayEvent> = z.object({
  id: z.string().regex(/^[\x21-\x7e]{1,128}$/),
  class: z.enum(['metric', 'message', 'audit']),
  time,
  event: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/),
  queueId: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/)
    .exactOptional(),
  fields: z
    .record(z.string().max(64), z.unknown())
    .refine((fields) => Buffer.byteLength(JSON.stringify(fields)) <= MAX_FIELDS_BYTES, { message: 'at most 8 KiB' }),
})

export const eventsBody: z.ZodType<{ events: RelayEvent[] }> = z.object({
  events: z.array(eventBody).max(MAX_EVENTS_PER_BATCH),
})

/** A batch of events that are as large as they may be, and what JSON adds to them. */
export const MAX_EVENTS_BYTES = MAX_EVENTS_PER_BATCH * (MAX_FIELDS_BYTES + 1_024)

const number = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)

const streamQuery = z
  .object({ version: number, revision: number, digest, settings: number })
  .partial()
  .extend({ whole: z.string().optional(), key: z.string().max(255).optional() })

/** What a relay says when it opens its stream. */
export interface StreamStart {
  /** undefined: nothing. */
  readonly held: HeldSnapshot | undefined
  /** It can't use what it has. */
  readonly wantsWhole: boolean
  /** Id of the snapshot key that it believes; undefined: it doesn't say. */
  readonly key: string | undefined
}

/** undefined: it is no query of a relay. What is not whole counts as nothing: a part of a snapshot is none. */
export function parseStreamQuery(query: unknown): StreamStart | undefined {
  const parsed = streamQuery.safeParse(query)
  if (!parsed.success) return undefined
  const { version, revision, digest: held, settings, whole, key } = parsed.data
  const hasAll = version !== undefined && revision !== undefined && held !== undefined && settings !== undefined
  return {
    held: hasAll ? { version, revision, digest: held, settings } : undefined,
    wantsWhole: whole === '1',
    key,
  }
}
