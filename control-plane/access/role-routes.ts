// Roles over HTTP. Whoever makes or changes one holds all that it holds, before and after (AZ-5).
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { Denied } from '../http/authorise.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import { lockOrganisation } from '../organisations/organisation-store.ts'
import { callerOf } from './caller.ts'
import { BUILT_IN_ROLES } from './permissions.ts'
import type { Permission } from './permissions.ts'
import {
  firstMissing,
  inOrder,
  isBuiltIn,
  roleBody,
  roleSchema,
  shadowsBuiltIn,
  shapeBuiltIn,
  shapeRole,
} from './role.ts'
import type { CustomRole } from './role.ts'
import { actsThrough, countAssigned, deleteRole, findRole, insertRole, listRoles, updateRole } from './role-store.ts'
import { loadHeld } from './standing-store.ts'

const params = z.strictObject({ organization: z.string() })
const oneParams = z.strictObject({ organization: z.string(), role: z.string() })
type Acting = Pick<Context<unknown, unknown, unknown>, 'organisation' | 'caller' | 'now'>

export function roleRoutes(): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/organizations/{organization}/roles',
      id: 'listRoles',
      summary: 'List roles: the built-in ones first',
      tag: 'access',
      access: 'organization.read',
      params,
      query: z.strictObject({
        ...pageQuery,
        kind: z.enum(['built-in', 'custom']).optional().meta({ description: 'Only these.' }),
      }),
      responses: { 200: { description: 'Roles', schema: pageOf(roleSchema) } },
      handler: ({ read, organisation, query, url }) =>
        read(async (tx) => {
          const { after, limit } = parsePage(query, 2)
          const isPastBuiltIns = after !== undefined && Number(after[0]) === 1
          const builtIns = Object.keys(BUILT_IN_ROLES)
            .toSorted()
            .filter(
              (id) => query.kind !== 'custom' && !isPastBuiltIns && (after === undefined || id > String(after[1])),
            )
          const custom =
            query.kind === 'built-in'
              ? []
              : await listRoles(tx, organisation, isPastBuiltIns ? String(after[1]) : undefined, limit + 1)
          const rows = [...builtIns.map(shapeBuiltIn), ...custom.map(shapeRole)].slice(0, limit + 1)
          const keyOf = (row: (typeof rows)[number]) => [row.isBuiltIn ? 0 : 1, row.id]
          return { status: 200, body: toPage(rows, limit, (row) => row, keyOf, url) }
        }),
    }),
    route({
      method: 'post',
      path: '/organizations/{organization}/roles',
      id: 'createRole',
      summary: 'Make a role of your own',
      tag: 'access',
      access: 'role.manage',
      params,
      body: roleBody,
      responses: { 201: { description: 'Made', schema: roleSchema } },
      problems: ['built-in-role', 'name-taken'],
      handler: async (context) =>
        context.change('role.created', async (tx) => {
          const { organisation, body, now } = context
          const role: CustomRole = {
            id: newId('role'),
            version: 1,
            createdAt: new Date(now),
            name: body.name,
            permissions: inOrder(body.permissions),
          }
          if (shadowsBuiltIn(role.name)) throw new Problem('built-in-role')
          await lockOrganisation(tx, organisation)
          await demandHeld(tx, context, role.permissions)
          await insertRole(tx, organisation, role)
          await publishEvent(tx, { organisation }, 'role.created', { role: role.id })
          const Location = `/api/v1/organizations/${organisation}/roles/${role.id}`
          const answer = { status: 201, body: shapeRole(role), version: role.version, headers: { Location } }
          return { answer, object: role.id, after: shapeRole(role) }
        }),
    }),
    route({
      method: 'get',
      path: '/organizations/{organization}/roles/{role}',
      id: 'readRole',
      summary: 'Read a role',
      tag: 'access',
      access: 'organization.read',
      params: oneParams,
      responses: { 200: { description: 'The role', schema: roleSchema } },
      handler: ({ read, organisation, params: { role: id } }) =>
        read(async (tx) => {
          if (isBuiltIn(id)) return { status: 200, body: shapeBuiltIn(id), version: 'built-in' }
          const role = await existingRole(tx, organisation, id)
          return { status: 200, body: shapeRole(role), version: role.version }
        }),
    }),
    route({
      method: 'patch',
      path: '/organizations/{organization}/roles/{role}',
      id: 'changeRole',
      summary: 'Change a role of your own',
      tag: 'access',
      access: 'role.manage',
      params: oneParams,
      body: roleBody.partial(),
      ifMatch: 'needed',
      responses: { 200: { description: 'Changed', schema: roleSchema } },
      problems: ['built-in-role', 'role-in-use', 'name-taken'],
      handler: async (context) =>
        context.change('role.changed', async (tx) => {
          const { organisation, body } = context
          const before = await changeableRole(tx, context, context.params.role)
          context.checkVersion(before.version)
          const role: CustomRole = {
            ...before,
            name: body.name ?? before.name,
            permissions: inOrder(body.permissions ?? before.permissions),
            version: before.version + 1,
          }
          if (shadowsBuiltIn(role.name)) throw new Problem('built-in-role')
          await demandHeld(tx, context, [...before.permissions, ...role.permissions])
          await updateRole(tx, organisation, role)
          await publishEvent(tx, { organisation }, 'role.changed', { role: role.id })
          return {
            answer: { status: 200, body: shapeRole(role), version: role.version },
            object: role.id,
            before: shapeRole(before),
            after: shapeRole(role),
          }
        }),
    }),
    route({
      method: 'delete',
      path: '/organizations/{organization}/roles/{role}',
      id: 'deleteRole',
      summary: 'Delete a role of your own that nobody has',
      tag: 'access',
      access: 'role.manage',
      params: oneParams,
      ifMatch: 'needed',
      responses: { 204: { description: 'Deleted' } },
      problems: ['built-in-role', 'role-in-use', 'role-assigned'],
      handler: async (context) =>
        context.change('role.deleted', async (tx) => {
          const { organisation } = context
          const before = await changeableRole(tx, context, context.params.role)
          context.checkVersion(before.version)
          await demandHeld(tx, context, before.permissions)
          const members = await countAssigned(tx, organisation, before.id)
          if (members > 0) throw new Problem('role-assigned', { members })
          await deleteRole(tx, organisation, before.id)
          await publishEvent(tx, { organisation }, 'role.deleted', { role: before.id })
          return { answer: { status: 204 }, object: before.id, before: shapeRole(before) }
        }),
    }),
  ]
}

async function existingRole(tx: Tx, organisation: Acting['organisation'], text: string): Promise<CustomRole> {
  const id = parseId('role', text)
  const role = id && (await findRole(tx, organisation, id))
  if (role === undefined) throw notFound()
  return role
}

/** Locks the organisation: what is held, assigned and changed is one picture. @throws Problem for roles that the caller can't change */
async function changeableRole(tx: Tx, { organisation, caller }: Acting, text: string): Promise<CustomRole> {
  if (isBuiltIn(text)) throw new Problem('built-in-role')
  await lockOrganisation(tx, organisation)
  const role = await existingRole(tx, organisation, text)
  // Also of a service key: whoever made it would change his own role through it.
  if (await actsThrough(tx, organisation, callerOf(caller).principal, role.id)) throw new Problem('role-in-use')
  return role
}

/** As of now, not as of the request's beginning: the caller may have lost it meanwhile. */
async function demandHeld(tx: Tx, { organisation, caller, now }: Acting, needed: readonly Permission[]): Promise<void> {
  const held = await loadHeld(tx, organisation, callerOf(caller), now)
  const missing = firstMissing(held(), ['role.manage', ...needed])
  if (missing !== undefined) throw new Denied(organisation, missing)
}
