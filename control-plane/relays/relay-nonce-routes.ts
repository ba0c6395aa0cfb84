// `…/relay-settings/nonces`: made by hand for a probe, or for the validation of a connector, whose address it is written into. Shown once, since
// without it nobody could write that address; it lets nobody in. (SP-11)
import { z } from 'zod'
import { cursorTime, pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { time } from '../http/values.ts'
import { newId, parseId } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { lockProject } from './project-place-store.ts'
import { placeOf, projectParams } from './project-params.ts'
import { addNonce } from './relay-secret-store.ts'
import { listNonces, removeNonce } from './relay-secret-view-store.ts'
import type { NonceView } from './relay-secret-view-store.ts'
import { tellRelays } from './tell-relays.ts'

const tag = 'relays'
const path = '/projects/{project}/relay-settings'
const MINUTE_MS = 60_000
const MOST_MINUTES = 24 * 60
/** Relays take a thousand. */
const MOST_NONCES = 100

const nonceMembers = { id: z.string(), createdAt: time, expiresAt: time }
const nonceSchema = z.strictObject(nonceMembers).meta({ id: 'RelayNonce' })
const newNonceSchema = z
  .strictObject({
    ...nonceMembers,
    nonce: z.string().meta({
      description:
        'Shown this once. Mail to `probe-<nonce>` or `connector-validation-<nonce>` at the name of a relay is answered and delivered nowhere.',
    }),
  })
  .meta({ id: 'NewRelayNonce' })

export function relayNonceRoutes(sealer: Sealer): AnyRoute[] {
  return [createNonce(sealer), listNoncesRoute, deleteNonce]
}

const createNonce = (sealer: Sealer): AnyRoute =>
  route({
    method: 'post',
    path: `${path}/nonces`,
    id: 'createRelayNonce',
    summary: 'Make a nonce for a probe or the validation of a connector',
    description: `At most ${MOST_NONCES} at a time.`,
    tag,
    access: 'relay.manage',
    params: projectParams,
    body: z.strictObject({
      minutes: z.int().min(1).max(MOST_MINUTES).default(60).meta({ description: 'So long it is taken.' }),
    }),
    problems: ['conflict'],
    responses: { 201: { description: 'The nonce, shown once', schema: newNonceSchema } },
    handler: (context) =>
      context.change('relay-nonce.created', async (tx) => {
        const place = placeOf(context)
        const now = new Date(context.now)
        await lockProject(tx, place)
        const others = await listNonces(tx, place, now, { after: undefined, limit: MOST_NONCES })
        if (others.length >= MOST_NONCES)
          throw new Problem('conflict', {
            detail: `There are ${MOST_NONCES} nonces: delete some, or wait for their end.`,
          })
        const id = newId('nonce')
        const expiresAt = new Date(context.now + context.body.minutes * MINUTE_MS)
        const nonce = await addNonce(tx, sealer, place, expiresAt, now, id)
        await tellRelays(tx, place)
        const body = { ...nonceShape({ id, createdAt: now, expiresAt }), nonce }
        return { answer: { status: 201, body, headers: { 'Cache-Control': 'no-store' } }, object: id }
      }),
  })

const listNoncesRoute = route({
  method: 'get',
  path: `${path}/nonces`,
  id: 'listRelayNonces',
  summary: 'Nonces that are taken, without what they are',
  description: 'The oldest first.',
  tag,
  access: 'relay.read',
  params: projectParams,
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'A page of them', schema: pageOf(nonceSchema).meta({ id: 'RelayNoncePage' }) } },
  handler: (context) =>
    context.read(async (tx) => {
      const { query, now, url } = context
      const page = parsePage(query, 2)
      if (page.after !== undefined) cursorTime(page.after[0])
      const rows = await listNonces(tx, placeOf(context), new Date(now), page)
      const key = ({ createdAt, id }: NonceView) => [createdAt.getTime(), id]
      return { status: 200, body: toPage(rows, page.limit, nonceShape, key, url) }
    }),
})

const deleteNonce = route({
  method: 'delete',
  path: `${path}/nonces/{nonce}`,
  id: 'deleteRelayNonce',
  summary: 'End a nonce before its time',
  tag,
  access: 'relay.manage',
  params: projectParams.extend({ nonce: z.string().meta({ description: 'Its id.' }) }),
  responses: { 204: { description: 'Mail to it is ordinary mail from now on' } },
  handler: (context) =>
    context.change('relay-nonce.deleted', async (tx) => {
      const place = placeOf(context)
      const id = parseId('nonce', context.params.nonce)
      if (id === undefined || !(await removeNonce(tx, place, id))) throw notFound()
      await tellRelays(tx, place)
      return { answer: { status: 204 }, object: id }
    }),
})

const nonceShape = ({ id, createdAt, expiresAt }: NonceView) => ({
  id,
  createdAt: createdAt.toISOString(),
  expiresAt: expiresAt.toISOString(),
})
