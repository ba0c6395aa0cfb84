// API keys over HTTP: everyone's own, within what he holds; service keys with secret.manage. Their text is shown once. (AZ-6, AZ-8)
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { demandFreshness, Denied } from '../http/authorise.ts'
import { cursorTime, pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import type { MemberId, OrganisationId, ProjectId } from '../ids.ts'
import { newApiKey } from './api-key.ts'
import {
  apiKeyCreatedSchema,
  apiKeySchema,
  chooseExpiry,
  createKeyBody,
  KEY_KINDS,
  KEY_STATES,
  keyVersion,
  shapeCreatedKey,
  shapeKey,
} from './api-key-shape.ts'
import type { ApiKey } from './api-key-shape.ts'
import { findApiKey, insertApiKey, listApiKeys, revokeApiKey } from './api-key-store.ts'
import type { KeyView } from './api-key-store.ts'
import { callerOf } from './caller.ts'
import type { Caller } from './caller.ts'
import { existingProjects, findMemberOf } from './member-store.ts'
import type { Permission } from './permissions.ts'
import { firstMissing, inOrder } from './role.ts'
import { loadHeld } from './standing-store.ts'

type Acting = Pick<Context<unknown, unknown, unknown>, 'organisation' | 'caller' | 'now'>
type Held = (project?: string) => ReadonlySet<Permission>

const params = z.strictObject({ organization: z.string() })
const oneParams = z.strictObject({ organization: z.string(), apiKey: z.string() })

export function apiKeyRoutes(): AnyRoute[] {
  return [listRoute, createRoute, readRoute, revokeRoute]
}

const listRoute = route({
  method: 'get',
  path: '/organizations/{organization}/api-keys',
  id: 'listApiKeys',
  summary: 'List your API keys, or with secret.manage all of them: the newest first',
  tag: 'access',
  access: 'signed-in',
  params,
  query: z.strictObject({
    ...pageQuery,
    kind: z.enum(KEY_KINDS).optional().meta({ description: 'Only these.' }),
    state: z.enum(KEY_STATES).optional().meta({ description: 'Only in this state.' }),
    project: z
      .string()
      .regex(/^prj_[0-9a-z]{24}$/)
      .optional()
      .meta({ description: 'Only for this very project.' }),
    owner: z.literal('me').optional().meta({ description: 'Only your own.' }),
  }),
  responses: { 200: { description: 'API keys', schema: pageOf(apiKeySchema) } },
  handler: ({ read, organisation, caller: someone, now, query, url }) =>
    read(async (tx) => {
      const caller = callerOf(someone)
      const { after, limit } = parsePage(query, 2)
      const from = after && { createdAt: cursorTime(after[0]), id: String(after[1]) }
      const held = await loadHeld(tx, organisation, caller, now)
      const seesAll = held().has('secret.manage') && query.owner === undefined
      const filter = {
        isService: query.kind === undefined ? undefined : query.kind === 'service',
        state: query.state,
        project: query.project,
      }
      const view = seesAll ? ({ kind: 'all' } as const) : ownView(caller)
      const rows = await listApiKeys(tx, organisation, view, filter, new Date(now), from, limit + 1)
      const keyOf = ({ createdAt, id }: ApiKey) => [createdAt.getTime(), id]
      return { status: 200, body: toPage(rows, limit, (key) => shapeKey(key, now), keyOf, url) }
    }),
})

const createRoute = route({
  method: 'post',
  path: '/organizations/{organization}/api-keys',
  id: 'createApiKey',
  summary: 'Make an API key; its text is shown once',
  description:
    'An API key that makes another one gives it no more than it has itself, no longer than it lives, and never dangerous acts.',
  tag: 'access',
  access: 'signed-in',
  params,
  body: createKeyBody,
  responses: { 201: { description: 'Made', schema: apiKeyCreatedSchema } },
  problems: ['forbidden', 'conflict', 'sign-in-again'],
  handler: async (context) => {
    const { organisation, body, now } = context
    const caller = callerOf(context.caller)
    if (body.allowsDangerous) demandFreshSession(caller, now)
    return context.change('api-key.created', async (tx) => {
      const held = await loadHeld(tx, organisation, caller, now)
      const { project, expiresAt } = await placed(tx, context, held, body)
      const isService = body.kind === 'service'
      const needed: Permission[] = isService ? ['secret.manage', ...body.permissions] : body.permissions
      const missing = firstMissing(held(project), needed)
      if (missing !== undefined) throw new Denied(organisation, missing)
      const member = isService ? undefined : await ownMember(tx, organisation, caller)
      const { text, prefix, hash } = newApiKey()
      const { name, allowsDangerous } = body
      const key: ApiKey = {
        id: newId('api-key'),
        name,
        prefix,
        principal: caller.principal,
        isService,
        project,
        allowsDangerous,
        permissions: inOrder(body.permissions),
        createdAt: new Date(now),
        expiresAt,
        lastUsedAt: undefined,
        revokedAt: undefined,
      }
      await insertApiKey(tx, organisation, key, hash, member)
      await publishEvent(tx, { organisation }, 'api-key.created', { apiKey: key.id })
      const Location = `/api/v1/organizations/${organisation}/api-keys/${key.id}`
      return {
        answer: {
          status: 201,
          body: shapeCreatedKey(key, text, now),
          version: keyVersion(key),
          headers: { Location },
        },
        object: key.id,
        after: shapeKey(key, now),
        details: { kind: body.kind, permissions: key.permissions, allowsDangerous },
      }
    })
  },
})

const readRoute = route({
  method: 'get',
  path: '/organizations/{organization}/api-keys/{apiKey}',
  id: 'readApiKey',
  summary: 'Read an API key, but for its text',
  tag: 'access',
  access: 'signed-in',
  params: oneParams,
  responses: { 200: { description: 'The API key', schema: apiKeySchema } },
  handler: (context) =>
    context.read(async (tx) => {
      const key = await visibleKey(tx, context, context.params.apiKey)
      return { status: 200, body: shapeKey(key, context.now), version: keyVersion(key) }
    }),
})

const revokeRoute = route({
  method: 'delete',
  path: '/organizations/{organization}/api-keys/{apiKey}',
  id: 'revokeApiKey',
  summary: 'Revoke an API key, from the next request on',
  tag: 'access',
  access: 'signed-in',
  params: oneParams,
  ifMatch: 'optional',
  responses: { 204: { description: 'Revoked' } },
  handler: async (context) => {
    const { organisation, now, params: path } = context
    const found = await context.read((tx) => visibleKey(tx, context, path.apiKey))
    context.checkVersion(keyVersion(found))
    // As it is: nothing changes, and nothing is told.
    if (found.revokedAt !== undefined) return { status: 204 }
    return context.change('api-key.revoked', async (tx) => {
      const before = await visibleKey(tx, context, path.apiKey)
      if (!(await revokeApiKey(tx, organisation, before.id, new Date(now)))) throw new Problem('stale-etag')
      await publishEvent(tx, { organisation }, 'api-key.revoked', { apiKey: before.id })
      return { answer: { status: 204 }, object: before.id, before: shapeKey(before, now) }
    })
  },
})

/** AZ-6: a person who has just signed in; a key made for dangerous acts makes no second one. @throws Problem 401 */
function demandFreshSession(caller: Caller, now: number): void {
  if (caller.kind === 'api-key')
    throw new Problem('sign-in-again', { reason: 'an API key makes none for dangerous acts' })
  demandFreshness(caller, now)
}

/** For which project, and until when. @throws Problem 400 with all that is wrong */
async function placed(
  tx: Tx,
  { organisation, caller, now }: Acting,
  held: Held,
  body: z.output<typeof createKeyBody>,
): Promise<{ project: ProjectId | undefined; expiresAt: Date }> {
  const faults: RequestFault[] = []
  const project = body.project === undefined ? undefined : parseId('project', body.project)
  const exists = project !== undefined && (await existingProjects(tx, organisation, [project])).has(project)
  // One in which he has nothing is none that he may know of.
  if (body.project !== undefined && !(exists && held(project).size > 0))
    faults.push({ pointer: '/project', code: 'unknown', detail: 'no such project' })
  const expiry = chooseExpiry(body, now, await makerEnd(tx, organisation, callerOf(caller)))
  if (!(expiry instanceof Date)) throw badRequest([...faults, expiry])
  if (faults.length > 0) throw badRequest(faults)
  return { project, expiresAt: expiry }
}

async function makerEnd(tx: Tx, organisation: OrganisationId, caller: Caller): Promise<number | undefined> {
  if (caller.kind === 'session') return undefined
  const maker = await findApiKey(tx, organisation, caller.key)
  if (maker === undefined) throw new Problem('not-signed-in') // gone since the request began
  return maker.expiresAt.getTime()
}

/** @throws Problem 409: a service is nobody, and whom support was granted to is a guest for hours */
async function ownMember(tx: Tx, organisation: OrganisationId, caller: Caller): Promise<MemberId> {
  const isPerson = caller.kind === 'session' || !caller.isService
  const member = isPerson ? await findMemberOf(tx, organisation, caller.principal) : undefined
  if (member === undefined) throw new Problem('conflict', { detail: 'Only members have personal API keys.' })
  return member.id
}

const ownView = (caller: Caller): KeyView =>
  caller.kind === 'api-key' && caller.isService
    ? { kind: 'one', id: caller.key }
    : { kind: 'of', principal: caller.principal }

/** One's own, and with secret.manage where it is for, anybody's. @throws Problem 404 */
async function visibleKey(tx: Tx, { organisation, caller: someone, now }: Acting, text: string): Promise<ApiKey> {
  const caller = callerOf(someone)
  const id = parseId('api-key', text)
  const key = id && (await findApiKey(tx, organisation, id))
  if (key === undefined) throw notFound()
  const held: Held = await loadHeld(tx, organisation, caller, now)
  if (!isOwn(key, caller) && !held(key.project).has('secret.manage')) throw notFound()
  return key
}

function isOwn(key: ApiKey, caller: Caller): boolean {
  const view = ownView(caller)
  return view.kind === 'one' ? key.id === view.id : !key.isService && key.principal === caller.principal
}
