// The audit trail over HTTP: search, one event, export, checkpoints and keys, verification. The same for an organisation's chain and, for
// installation administrators, the installation's own. (AU-1 … AU-4, control-plane.md §2)
import { z } from 'zod'
import type { Log } from '../../common/log.ts'
import type { Permission } from '../access/permissions.ts'
import type { Db } from '../db/database.ts'
import { cursorNumber, pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { parseId } from '../ids.ts'
import { KeyDestroyed, KeyServiceUnavailable, KeyUnusable } from '../keys/key-provider.ts'
import type { Sealer } from '../keys/sealer.ts'
import { loadSigner, readAuditKeys, rotateAuditKey } from './audit-key-store.ts'
import {
  checkpointSchema,
  eventQuery,
  eventSchema,
  keySchema,
  shapeCheckpoint,
  shapeEvent,
  shapeKey,
  shapeReport,
  verificationQuery,
  verificationSchema,
} from './audit-shapes.ts'
import { listCheckpoints } from './checkpoint-store.ts'
import { makeCheckpoint } from './make-checkpoint.ts'
import { findAuditEvent, searchAudit } from './search-store.ts'
import { sendTrail } from './send-trail.ts'
import { TRAIL_MEDIA_TYPE } from './trail.ts'
import { NoKeysYet, NoSuchTrail, readTrail } from './trail-store.ts'
import { verifyStored } from './verify-stored.ts'

export interface AuditRoutesDeps {
  readonly db: Db
  readonly sealer: Sealer
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
}

interface ChainPlace {
  /** Path of the chain. */
  readonly path: string
  /** Of the routes' ids: `list${name}AuditEvents`. */
  readonly name: string
  readonly params: z.ZodObject
  readonly read: Permission
  readonly export: Permission
}

const ORGANISATION: ChainPlace = {
  path: '/organizations/{organization}/audit',
  name: '',
  params: z.strictObject({ organization: z.string() }),
  read: 'audit.read',
  export: 'audit.export',
}
const INSTALLATION_CHAIN: ChainPlace = {
  path: '/installation/audit',
  name: 'Installation',
  params: z.strictObject({}),
  read: 'installation.manage',
  export: 'installation.manage',
}

const tag = 'audit'
const MAX_SEQUENCE = Number.MAX_SAFE_INTEGER

export function auditRoutes(deps: AuditRoutesDeps): AnyRoute[] {
  return [...chainRoutes(ORGANISATION, deps), ...chainRoutes(INSTALLATION_CHAIN, deps), rotationRoute(deps)]
}

function chainRoutes(place: ChainPlace, deps: AuditRoutesDeps): AnyRoute[] {
  // Paths with a fixed last part come before the one with an event's id.
  return [
    searchRoute(place),
    exportRoute(place, deps),
    checkpointsRoute(place, deps),
    keysRoute(place, deps),
    verificationRoute(place, deps),
    eventRoute(place),
  ]
}

function searchRoute({ path, name, params, read: access }: ChainPlace): AnyRoute {
  return route({
    method: 'get',
    path,
    id: `list${name}AuditEvents`,
    summary: 'Search the audit trail',
    description:
      'In the order in which the events were written: pages never skip or repeat one, and the last page of `order=oldest` can be asked again for what came since.',
    tag,
    access,
    params,
    query: z.strictObject({ ...pageQuery, ...eventQuery }),
    responses: { 200: { description: 'Events', schema: pageOf(eventSchema) } },
    handler: ({ read, organisation, query, url }) =>
      read(async (tx) => {
        const { after, limit } = parsePage(query, 1)
        const { since, until, order, ...rest } = query
        const filter = {
          ...rest,
          since: since === undefined ? undefined : new Date(since),
          until: until === undefined ? undefined : new Date(until),
        }
        const rows = await searchAudit(tx, organisation, filter, {
          isNewestFirst: order === 'newest',
          after: after && cursorNumber(after[0]),
          limit: limit + 1,
        })
        return { status: 200, body: toPage(rows, limit, shapeEvent, ({ header }) => [header.sequence], url) }
      }),
  })
}

function eventRoute({ path, name, params, read: access }: ChainPlace): AnyRoute {
  return route({
    method: 'get',
    path: `${path}/{event}`,
    id: `read${name}AuditEvent`,
    summary: 'Read one audit event',
    tag,
    access,
    params: params.extend({ event: z.string() }),
    responses: { 200: { description: 'The event', schema: eventSchema } },
    handler: ({ read, organisation, params: { event } }) =>
      read(async (tx) => {
        const id = parseId('event', String(event))
        const found = id && (await findAuditEvent(tx, organisation, id))
        if (found === undefined) throw notFound()
        return { status: 200, body: shapeEvent(found) }
      }),
  })
}

function exportRoute({ path, name, params, export: access }: ChainPlace, deps: AuditRoutesDeps): AnyRoute {
  return route({
    method: 'get',
    path: `${path}/export`,
    id: `export${name}Audit`,
    summary: 'Export the audit trail',
    description:
      'One JSON object a line, to be verified by `causeway audit verify`: keys, events with their payloads, checkpoints. A checkpoint is made first, so the export ends with one, and proves itself. The last event in it is the export itself.',
    tag,
    access,
    params,
    query: z.strictObject({
      from: z.coerce
        .number()
        .int()
        .min(1)
        .max(MAX_SEQUENCE)
        .default(1)
        .meta({ description: 'Sequence of the first event: those before it are proven by what follows.' }),
    }),
    responses: { 200: { description: 'The trail', contentType: TRAIL_MEDIA_TYPE } },
    isLongLived: true,
    handler: async ({ organisation, query: { from }, note }) => {
      await note('audit.exported', { details: { from } })
      await sealForExport(organisation, deps)
      const trail = await begun(readTrail(deps.db, organisation, { from, to: MAX_SEQUENCE }))
      return {
        status: 200,
        headers: {
          'Content-Type': TRAIL_MEDIA_TYPE,
          'Content-Disposition': `attachment; filename="audit-${organisation}.ndjson"`,
        },
        stream: (response, signal) => sendTrail(trail, response, signal),
      }
    },
  })
}

/** @throws Problem 503 when nothing could be exported without the key service */
async function sealForExport(organisation: Parameters<typeof makeCheckpoint>[0], deps: AuditRoutesDeps): Promise<void> {
  try {
    await makeCheckpoint(organisation, deps)
  } catch (error) {
    const isOfKeys =
      error instanceof KeyServiceUnavailable || error instanceof KeyDestroyed || error instanceof KeyUnusable
    if (!isOfKeys) throw error
    // What was signed before can still be exported, and says itself where its proof ends.
    if ((await readAuditKeys(deps.db)).length === 0)
      throw new Problem('unavailable', { retryAfter: 30 }, { cause: error })
    deps.log.error('audit.checkpoint_failed', { organization: organisation, error })
  }
}

/** Reads the first record, so that a trail that isn't there is told before the answer begins. @throws Problem 400 */
async function begun(records: ReturnType<typeof readTrail>): Promise<ReturnType<typeof readTrail>> {
  try {
    const first = await records.next()
    return (async function* () {
      if (first.done !== true) yield first.value
      yield* records
    })()
  } catch (error) {
    if (error instanceof NoSuchTrail) throw noSuchEvent()
    throw error
  }
}

const noSuchEvent = () =>
  badRequest([{ pointer: '/query/from', code: 'no-such-event', detail: 'the trail has no event before this one' }])

function checkpointsRoute({ path, name, params, read: access }: ChainPlace, deps: AuditRoutesDeps): AnyRoute {
  return route({
    method: 'get',
    path: `${path}/checkpoints`,
    id: `list${name}AuditCheckpoints`,
    summary: 'List signed checkpoints, newest first',
    tag,
    access,
    params,
    query: z.strictObject(pageQuery),
    responses: { 200: { description: 'Checkpoints', schema: pageOf(checkpointSchema) } },
    handler: async ({ read, organisation, query, url }) => {
      const { after, limit } = parsePage(query, 1)
      const below = after && cursorNumber(after[0])
      const rows = await read((tx) => listCheckpoints(tx, organisation, below, limit + 1))
      const keys = await readAuditKeys(deps.db)
      const shape = (row: (typeof rows)[number]) => shapeCheckpoint(row, organisation, keys)
      return { status: 200, body: toPage(rows, limit, shape, ({ size }) => [size], url) }
    },
  })
}

function keysRoute({ path, name, params, read: access }: ChainPlace, deps: AuditRoutesDeps): AnyRoute {
  return route({
    method: 'get',
    path: `${path}/keys`,
    id: `list${name}AuditKeys`,
    summary: 'List the keys that sign checkpoints, oldest first',
    description:
      "The installation's, the same for all its organizations. The id of the first one stands in every checkpoint: keep it elsewhere, and give it to `causeway audit verify --key`.",
    tag,
    access,
    params,
    responses: { 200: { description: 'Keys', schema: z.strictObject({ items: z.array(keySchema) }) } },
    handler: async () => ({ status: 200, body: { items: (await readAuditKeys(deps.db)).map(shapeKey) } }),
  })
}

function verificationRoute({ path, name, params, read: access }: ChainPlace, deps: AuditRoutesDeps): AnyRoute {
  return route({
    method: 'get',
    path: `${path}/verification`,
    id: `verify${name}Audit`,
    summary: 'Verify a part of the audit trail',
    description:
      'Hashes, payloads, signatures, and the values that events are found by, as they are in the database now. A server that somebody has taken over can answer anything: for proof, export the trail and verify it elsewhere.',
    tag,
    access,
    params,
    query: z.strictObject(verificationQuery),
    responses: { 200: { description: 'What was found', schema: verificationSchema } },
    handler: async ({ organisation, query: { from, limit }, signal }) => {
      try {
        const report = await verifyStored(deps.db, organisation, { from, to: from + limit - 1 }, signal)
        return { status: 200, body: shapeReport(report) }
      } catch (error) {
        if (error instanceof NoSuchTrail) throw noSuchEvent()
        if (error instanceof NoKeysYet) throw new Problem('unavailable', { retryAfter: 30 }, { cause: error })
        throw error
      }
    },
  })
}

function rotationRoute(deps: AuditRoutesDeps): AnyRoute {
  return route({
    method: 'post',
    path: '/installation/audit/keys',
    id: 'rotateAuditKey',
    summary: 'Replace the key that signs checkpoints',
    description: 'The old key signs the new one, and its private half is destroyed. Happens by itself once a year.',
    tag,
    access: 'installation.manage',
    params: z.strictObject({}),
    responses: { 201: { description: 'The new key', schema: keySchema } },
    isDangerous: true,
    handler: async ({ change, now }) => {
      await loadSigner(deps)
      return change('audit.key-rotated', async (tx) => {
        const key = await rotateAuditKey(tx, deps.sealer, now)
        return { answer: { status: 201, body: shapeKey(key) }, object: key.id, details: { ordinal: key.ordinal } }
      })
    },
  })
}
