// `…/messages`: what became of a message, from what relays told of it. No content is kept anywhere here (RC-8). (control-plane.md §2)
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { parseId } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { placeOf, projectParams } from '../relays/project-params.ts'
import { findMarker } from '../relays/relay-secret-store.ts'
import type { ProjectPlace } from '../relays/relay-secret-store.ts'
import { addressForms, messageIdForms } from './address-tags.ts'
import { KEEP_DAYS, OUTCOMES } from './message-event.ts'
import { tracePath } from './message-path.ts'
import { countRecipients, MAX_LINES_SEARCHED, searchMessages } from './message-store.ts'
import type { AcceptedMessage, RecipientCounts } from './message-store.ts'

const DAY_MS = 86_400_000

const NEWEST = `Of the newest ${MAX_LINES_SEARCHED} events with it; name a time to reach older ones.`

const text = (most: number, description: string) => z.string().min(1).max(most).optional().meta({ description })

const messageSchema = z
  .strictObject({
    queueId: z.string(),
    relay: z.string(),
    acceptedAt: z.iso.datetime(),
    direction: z.string().optional(),
    messageId: z.string().optional().meta({ description: 'As the privacy of the project has it.' }),
    from: z.string().optional(),
    to: z
      .array(z.string())
      .meta({ description: 'As the sender wrote them, as the privacy of the project has it; the first ones.' }),
    bytes: z.number().optional(),
    recipients: z.strictObject({
      total: z.int().optional(),
      delivered: z.int(),
      deferred: z.int(),
      failed: z.int(),
    }),
    revision: z.int().optional().meta({ description: 'Of the mapping that it was rewritten by.' }),
    snapshotVersion: z.int().optional(),
  })
  .meta({ id: 'TracedMessage' })

const lineSchema = z
  .strictObject({
    id: z.string(),
    time: z.iso.datetime(),
    event: z.string(),
    fields: z.record(z.string(), z.unknown()),
  })
  .meta({
    id: 'MessageEvent',
    description: 'One line of the journal of a relay: of an attempt one for each recipient.',
  })

const pathSchema = z
  .strictObject({
    queueId: z.string(),
    hops: z.array(
      z.strictObject({
        relay: z.string(),
        queueId: z.string(),
        kind: z.enum(['message', 'report']).meta({ description: 'report: a bounce that the relay made of it.' }),
        events: z.array(lineSchema),
      }),
    ),
    isComplete: z.boolean().meta({ description: 'false: there are more events than are shown.' }),
  })
  .meta({ id: 'MessagePath' })

export function messageRoutes({ sealer }: { readonly sealer: Sealer }): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/projects/{project}/messages',
      id: 'searchMessages',
      summary: 'Search for messages that the relays of the project accepted',
      description: `Newest first. Kept ${KEEP_DAYS} days. An address or Message-ID is found whether events hold it hashed or plain; with privacy \`off\` there are no addresses to be found.`,
      tag: 'messages',
      access: 'message.trace',
      params: projectParams,
      query: z.strictObject({
        ...pageQuery,
        since: z.iso.datetime().optional(),
        until: z.iso.datetime().optional().meta({ description: 'Not included.' }),
        queueId: text(128, 'Queue id at a relay.'),
        messageId: text(1_000, 'With or without angle brackets.'),
        sender: text(700, 'Address, or what events show of it; `<>`: the null reverse-path.'),
        recipient: text(
          700,
          `Address as its sender wrote it or as it was rewritten, or what events show of it. ${NEWEST}`,
        ),
        outcome: z
          .enum(OUTCOMES)
          .optional()
          .meta({ description: `Of at least one recipient, at any time. But for delivered: ${NEWEST}` }),
        relay: text(64, 'Id of a relay.'),
      }),
      responses: {
        200: { description: 'A page of messages', schema: pageOf(messageSchema).meta({ id: 'TracedMessagePage' }) },
      },
      handler: (context) => {
        const { query, url, now } = context
        const place = placeOf(context)
        const page = parsePage(query, 3)
        const relay = query.relay === undefined ? undefined : parseId('relay', query.relay)
        if (query.relay !== undefined && relay === undefined)
          throw badRequest([{ pointer: '/query/relay', code: 'id', detail: 'is no id of a relay' }])
        return context.read(async (tx) => {
          const secrets = await secretsOf(tx, sealer, place)
          const filter = {
            since: query.since === undefined ? new Date(now - KEEP_DAYS * DAY_MS) : new Date(query.since),
            until: query.until === undefined ? new Date(now + DAY_MS) : new Date(query.until),
            queueId: query.queueId,
            messageId: query.messageId === undefined ? undefined : messageIdForms(query.messageId, secrets),
            sender: query.sender === undefined ? undefined : addressForms(query.sender, secrets),
            recipient: query.recipient === undefined ? undefined : addressForms(query.recipient, secrets),
            outcome: query.outcome,
            relay,
          }
          const found = await searchMessages(tx, place, filter, page)
          const counts = await countRecipients(tx, place, found.slice(0, page.limit))
          const body = toPage(
            found,
            page.limit,
            (message) => shapeOf(message, counts.get(`${message.relay} ${message.queueId}`)),
            ({ acceptedAt, relay: at, id }) => [acceptedAt.getTime(), at, id],
            url,
          )
          return { status: 200, body }
        })
      },
    }),
    route({
      method: 'get',
      path: '/projects/{project}/messages/{queueId}',
      id: 'traceMessage',
      summary: 'Follow one message over relays and attempts',
      description:
        'By its queue id at any relay. Its way over other relays of the project is found by its Message-ID, bounces by what their relay said.',
      tag: 'messages',
      access: 'message.trace',
      params: projectParams.extend({ queueId: z.string().max(128) }),
      responses: { 200: { description: 'Its path', schema: pathSchema } },
      handler: (context) =>
        context.read(async (tx) => {
          const path = await tracePath(tx, placeOf(context), context.params.queueId)
          if (path === undefined) throw notFound()
          return { status: 200, body: path }
        }),
    }),
  ]
}

/** The secrets that tags were made with. */
async function secretsOf(tx: Tx, sealer: Sealer, place: ProjectPlace): Promise<string[]> {
  const marker = await findMarker(tx, sealer, place)
  if (marker === undefined) return []
  return marker.previousSecret === undefined ? [marker.secret] : [marker.secret, marker.previousSecret]
}

function shapeOf(
  { relay, queueId, acceptedAt, fields }: AcceptedMessage,
  counts: RecipientCounts | undefined,
): z.input<typeof messageSchema> {
  const { direction, messageId, from, to, bytes, recipients, tableVersion, snapshotVersion } = fields
  const whole = (value: unknown): value is number => Number.isSafeInteger(value)
  return {
    queueId,
    relay,
    acceptedAt: acceptedAt.toISOString(),
    ...(typeof direction === 'string' ? { direction } : {}),
    ...(typeof messageId === 'string' ? { messageId } : {}),
    ...(typeof from === 'string' ? { from } : {}),
    to: Array.isArray(to) ? to.filter((each) => typeof each === 'string') : [],
    ...(typeof bytes === 'number' ? { bytes } : {}),
    recipients: {
      ...(whole(recipients) ? { total: recipients } : {}),
      ...(counts ?? { delivered: 0, deferred: 0, failed: 0 }),
    },
    ...(whole(tableVersion) ? { revision: tableVersion } : {}),
    ...(whole(snapshotVersion) ? { snapshotVersion } : {}),
  }
}
