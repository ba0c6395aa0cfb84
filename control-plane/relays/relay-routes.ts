// `…/relays`: the fleet of a project as it is, and taking relays out of service. (control-plane.md §2)
import { z } from 'zod'
import { publishEvent } from '../db/outbox.ts'
import type { Tx } from '../db/database.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { parseId } from '../ids.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { loadProjectVersions, lockLiveRelays, noteApplied, revisionTimes } from './applied-store.ts'
import { placeOf, projectParams } from './project-params.ts'
import { RELAY_STATES, standingOf } from './relay.ts'
import type { ProjectVersions, Relay, RelayState } from './relay.ts'
import type { ProjectPlace } from './relay-secret-store.ts'
import { changeRelayState, findRelay, listRelays } from './relay-store.ts'

const relayParams = projectParams.extend({ relay: z.string() })

const relaySchema = z
  .strictObject({
    id: z.string(),
    name: z.string().meta({ description: 'On the wire (EHLO).' }),
    state: z.enum(RELAY_STATES),
    version: z.int().meta({ description: 'Of this resource; the ETag.' }),
    isLive: z.boolean().meta({ description: 'Not revoked, and heard from in the last 5 minutes.' }),
    isApplied: z.boolean().meta({ description: 'Has everything that the project is at.' }),
    softwareVersion: z.string(),
    enrolledAt: z.iso.datetime(),
    stateChangedAt: z.iso.datetime(),
    seenAt: z.iso.datetime(),
    revision: z.int().optional().meta({ description: 'Of the mapping that it has; absent: it has not reported yet.' }),
    snapshotVersion: z.int().optional(),
    settingsVersion: z.int().optional(),
    digest: z.string().optional().meta({ description: 'SHA-256 of the mapping that it has.' }),
    entries: z.int().optional(),
    lagRevisions: z.int().optional(),
    lagSeconds: z
      .number()
      .optional()
      .meta({ description: 'Since the first revision was made that it lacks; 0: it lacks none.' }),
    reportedAt: z.iso.datetime().optional(),
    startedAt: z.iso.datetime().optional(),
    isReady: z.boolean().optional(),
    reasons: z.array(z.string()).optional().meta({ description: 'Why it is not ready.' }),
    refused: z
      .strictObject({ snapshotVersion: z.int(), reason: z.string() })
      .optional()
      .meta({ description: 'The last push that it did not take, while it has nothing newer (RC-5).' }),
    queue: z.strictObject({ messages: z.int(), oldestAgeMs: z.int(), quarantined: z.int(), dead: z.int() }).optional(),
    certificateNotAfter: z.iso.datetime().optional().meta({ description: 'End of the certificate that ends first.' }),
    droppedEvents: z
      .strictObject({ metric: z.int(), message: z.int(), audit: z.int() })
      .optional()
      .meta({ description: 'Thrown away since enrolment because its buffer was full (RC-7).' }),
  })
  .meta({ id: 'Relay' })

const found = { 200: { description: 'The relay', schema: relaySchema } }

export function relayRoutes(): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/projects/{project}/relays',
      id: 'listRelays',
      summary: 'List the relays of a project',
      description: 'Oldest first.',
      tag: 'relays',
      access: 'relay.read',
      params: projectParams,
      query: z.strictObject({
        ...pageQuery,
        state: z.enum(RELAY_STATES).optional(),
        isLive: z
          .stringbool({ truthy: ['true'], falsy: ['false'] })
          .optional()
          .meta({ override: { type: 'boolean' } }),
      }),
      responses: { 200: { description: 'A page of relays', schema: pageOf(relaySchema).meta({ id: 'RelayPage' }) } },
      handler: async (context) => {
        const { query, url, now } = context
        const place = placeOf(context)
        const page = parsePage(query, 2)
        return context.read(async (tx) => {
          const relays = await listRelays(tx, place.organisation, place.project, query, page, now)
          const shapes = await shapesOf(tx, place, relays, now)
          const body = toPage(
            relays,
            page.limit,
            (relay) => shapes.get(relay),
            ({ enrolledAt, relay }) => [enrolledAt.getTime(), relay],
            url,
          )
          return { status: 200, body }
        })
      },
    }),
    route({
      method: 'get',
      path: '/projects/{project}/relays/{relay}',
      id: 'readRelay',
      summary: 'Read one relay',
      tag: 'relays',
      access: 'relay.read',
      params: relayParams,
      responses: found,
      handler: (context) =>
        context.read(async (tx) => {
          const relay = await relayOf(tx, context, 'read')
          return answerOf(tx, relay, context.now)
        }),
    }),
    act('drain', 'drainRelay', 'Let a relay take no new mail; it delivers what it holds', 'draining'),
    act('resume', 'resumeRelay', 'Let a draining relay take mail again', 'active'),
    act(
      'revoke',
      'revokeRelay',
      'Cut a relay off for good; mail that it holds is still delivered by its last settings',
      'revoked',
    ),
  ]
}

function act(verb: string, id: string, summary: string, state: RelayState): AnyRoute {
  return route({
    method: 'post',
    path: `/projects/{project}/relays/{relay}/${verb}`,
    id,
    summary,
    description: 'Asked for again it changes nothing more. A revoked relay stays revoked (409).',
    tag: 'relays',
    access: 'relay.manage',
    params: relayParams,
    ifMatch: 'optional',
    responses: found,
    problems: ['conflict'],
    handler: (context) =>
      context.change(
        `relay.${state === 'active' ? 'resumed' : state === 'draining' ? 'drained' : 'revoked'}`,
        async (tx) => {
          const { organisation, project } = placeOf(context)
          const { now } = context
          const before = await relayOf(tx, context, 'lock')
          context.checkVersion(before.version)
          if (before.state === 'revoked' && state !== 'revoked')
            throw new Problem('conflict', { detail: 'The relay was revoked. Enrol the machine anew.' })
          if (before.state !== state) {
            await changeRelayState(tx, before, state, new Date(now))
            await bumpSnapshot(tx, organisation, project, 'relays')
            await publishEvent(tx, { organisation, project }, `relay.${state}`, { relay: before.relay })
            // What only this one lacked has reached all that are waited for.
            if (state === 'revoked')
              await noteApplied(tx, organisation, project, await lockLiveRelays(tx, organisation, project, now), now)
          }
          const after = await relayOf(tx, context, 'read')
          return {
            answer: await answerOf(tx, after, now),
            object: before.relay,
            before: { state: before.state },
            after: { state },
          }
        },
      ),
  })
}

type RelayContext = Pick<Context<z.output<typeof relayParams>, unknown, unknown>, 'organisation' | 'project' | 'params'>

async function relayOf(tx: Tx, context: RelayContext, lock: 'lock' | 'read'): Promise<Relay> {
  const id = parseId('relay', context.params.relay)
  const relay = id && (await findRelay(tx, { ...placeOf(context), relay: id }, lock))
  if (relay === undefined) throw notFound()
  return relay
}

async function answerOf(tx: Tx, relay: Relay, now: number) {
  const shapes = await shapesOf(tx, relay, [relay], now)
  return { status: 200, body: shapes.get(relay), version: relay.version }
}

async function shapesOf(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  relays: readonly Relay[],
  now: number,
): Promise<ReadonlyMap<Relay, z.input<typeof relaySchema>>> {
  const wanted = await loadProjectVersions(tx, organisation, project)
  if (wanted === undefined) throw notFound()
  const lacking = relays.flatMap(({ report }) => (report === undefined ? [] : [report.revision + 1]))
  const times = await revisionTimes(tx, organisation, project, lacking)
  return new Map(relays.map((relay) => [relay, shapeOf(relay, wanted, times, now)]))
}

function shapeOf(
  relay: Relay,
  wanted: ProjectVersions,
  times: ReadonlyMap<number, Date>,
  now: number,
): z.input<typeof relaySchema> {
  const { report } = relay
  const { isLive, isApplied, lagRevisions } = standingOf(relay, wanted, now)
  const lackedSince = report && times.get(report.revision + 1)
  return {
    id: relay.relay,
    name: relay.name,
    state: relay.state,
    version: relay.version,
    isLive,
    isApplied,
    softwareVersion: relay.softwareVersion,
    enrolledAt: relay.enrolledAt.toISOString(),
    stateChangedAt: relay.stateChangedAt.toISOString(),
    seenAt: relay.seenAt.toISOString(),
    ...(report && {
      revision: report.revision,
      snapshotVersion: report.version,
      settingsVersion: report.settings,
      ...(report.digest === '' ? {} : { digest: report.digest }),
      entries: report.entries,
      lagRevisions,
      ...(lagRevisions === 0 ? { lagSeconds: 0 } : {}),
      ...(lackedSince && { lagSeconds: Math.max(0, now - lackedSince.getTime()) / 1000 }),
      reportedAt: report.at.toISOString(),
      startedAt: report.startedAt,
      isReady: report.isReady,
      reasons: [...report.reasons],
      ...(report.refused && { refused: { snapshotVersion: report.refused.version, reason: report.refused.reason } }),
      queue: report.queue,
      ...(report.certificateNotAfter && { certificateNotAfter: report.certificateNotAfter }),
      droppedEvents: report.droppedEvents,
    }),
  }
}
