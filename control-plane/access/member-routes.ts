// Members over HTTP. Nobody gives or takes a role that holds more than he holds himself, and the last administrator stays (AZ-5).
import { z } from 'zod'
import { publishEvent } from '../db/outbox.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { guid } from '../http/values.ts'
import { newId } from '../ids.ts'
import { lockOrganisation } from '../organisations/organisation-store.ts'
import { callerName, callerOf, principalOf } from './caller.ts'
import { checkAssignments, demandAdministrator, demandHeldAt, existingMember, seesNames } from './change-members.ts'
import { assignmentsBody, memberSchema, personBody, shapeMember, toAssignments, withoutSame } from './member.ts'
import type { Member } from './member.ts'
import {
  deleteAssignments,
  deleteMember,
  findMemberOf,
  insertAssignments,
  insertMember,
  listMembers,
  updateMember,
} from './member-store.ts'

const params = z.strictObject({ organization: z.string() })
const oneParams = z.strictObject({ organization: z.string(), member: z.string() })

export function memberRoutes(): AnyRoute[] {
  return [listRoute, addRoute, readRoute, changeRoute, assignRoute, removeRoute]
}

const listRoute = route({
  method: 'get',
  path: '/organizations/{organization}/members',
  id: 'listMembers',
  summary: 'List members with their roles',
  tag: 'access',
  access: 'organization.read',
  params,
  query: z
    .strictObject({
      ...pageQuery,
      tenantId: guid.optional(),
      objectId: guid.optional().meta({ description: 'With `tenantId`: this person.' }),
      role: z
        .string()
        .regex(/^[a-z0-9_-]{1,40}$/)
        .optional()
        .meta({ description: 'Who has this role anywhere.' }),
      project: z
        .string()
        .regex(/^prj_[0-9a-z]{24}$/)
        .optional()
        .meta({ description: 'Who has a role in this very project.' }),
    })
    .refine(({ tenantId, objectId }) => (tenantId === undefined) === (objectId === undefined), {
      path: ['objectId'],
      message: 'tenantId and objectId go together',
    }),
  responses: { 200: { description: 'Members', schema: pageOf(memberSchema) } },
  handler: ({ read, organisation, caller, now, query, url }) =>
    read(async (tx) => {
      const { after, limit } = parsePage(query, 1)
      const principal = query.tenantId === undefined ? undefined : principalOf(query.tenantId, query.objectId ?? '')
      const filter = { principal, role: query.role, project: query.project }
      const rows = await listMembers(tx, organisation, filter, after && String(after[0]), limit + 1)
      const showsNames = await seesNames(tx, { organisation, caller, now })
      const shape = (member: Member) => shapeMember(member, showsNames)
      return { status: 200, body: toPage(rows, limit, shape, ({ id }) => [id], url) }
    }),
})

const addRoute = route({
  method: 'post',
  path: '/organizations/{organization}/members',
  id: 'addMember',
  summary: 'Add a member',
  tag: 'access',
  access: 'member.manage',
  params,
  body: z.strictObject({ ...personBody, assignments: assignmentsBody.default([]) }),
  responses: { 201: { description: 'Added', schema: memberSchema } },
  problems: ['conflict'],
  handler: async (context) =>
    context.change('member.added', async (tx) => {
      const { organisation, body, caller, now } = context
      const principal = principalOf(body.tenantId, body.objectId)
      const assignments = toAssignments(body.assignments)
      await lockOrganisation(tx, organisation)
      const existing = await findMemberOf(tx, organisation, principal)
      if (existing !== undefined)
        throw new Problem('conflict', { detail: 'This person is a member already.', member: existing.id })
      await checkAssignments(tx, organisation, assignments)
      await demandHeldAt(tx, context, assignments)
      const member: Member = {
        id: newId('member'),
        principal,
        displayName: body.displayName,
        assignments,
        version: 1,
        createdAt: new Date(now),
        disabledAt: undefined,
      }
      await insertMember(tx, organisation, member, callerName(callerOf(caller)))
      await publishEvent(tx, { organisation }, 'member.added', { member: member.id })
      const Location = `/api/v1/organizations/${organisation}/members/${member.id}`
      return {
        answer: { status: 201, body: shapeMember(member, true), version: 1, headers: { Location } },
        object: member.id,
        after: shapeMember(member, true),
        details: { assignments },
      }
    }),
})

const readRoute = route({
  method: 'get',
  path: '/organizations/{organization}/members/{member}',
  id: 'readMember',
  summary: 'Read a member',
  tag: 'access',
  access: 'organization.read',
  params: oneParams,
  responses: { 200: { description: 'The member', schema: memberSchema } },
  handler: ({ read, organisation, caller, now, params: { member: text } }) =>
    read(async (tx) => {
      const member = await existingMember(tx, organisation, text)
      const showsName = await seesNames(tx, { organisation, caller, now })
      return { status: 200, body: shapeMember(member, showsName), version: member.version }
    }),
})

const changeRoute = route({
  method: 'patch',
  path: '/organizations/{organization}/members/{member}',
  id: 'changeMember',
  summary: 'Rename, disable or enable a member',
  tag: 'access',
  access: 'member.manage',
  params: oneParams,
  body: z.strictObject({
    displayName: personBody.displayName.unwrap().optional(),
    isDisabled: z
      .boolean()
      .optional()
      .meta({ description: 'Disabled: may do nothing here, from the next request on.' }),
  }),
  ifMatch: 'optional',
  responses: { 200: { description: 'Changed', schema: memberSchema } },
  problems: ['last-administrator'],
  handler: async (context) =>
    context.change('member.changed', async (tx) => {
      const { organisation, body, now } = context
      await lockOrganisation(tx, organisation)
      const before = await existingMember(tx, organisation, context.params.member)
      context.checkVersion(before.version)
      const { isDisabled = before.disabledAt !== undefined } = body
      const changesRights = isDisabled !== (before.disabledAt !== undefined)
      await demandHeldAt(tx, context, changesRights ? before.assignments : [])
      const member: Member = {
        ...before,
        displayName: body.displayName ?? before.displayName,
        disabledAt: isDisabled ? (before.disabledAt ?? new Date(now)) : undefined,
        version: before.version + 1,
      }
      await updateMember(tx, organisation, member)
      await demandAdministrator(tx, organisation)
      await publishEvent(tx, { organisation }, 'member.changed', { member: member.id })
      return {
        answer: { status: 200, body: shapeMember(member, true), version: member.version },
        object: member.id,
        before: shapeMember(before, true),
        after: shapeMember(member, true),
        details: { isDisabled },
      }
    }),
})

const assignRoute = route({
  method: 'put',
  path: '/organizations/{organization}/members/{member}/assignments',
  id: 'assignRoles',
  summary: "Replace a member's roles",
  tag: 'access',
  access: 'member.manage',
  params: oneParams,
  body: z.strictObject({ assignments: assignmentsBody }),
  ifMatch: 'needed',
  responses: { 200: { description: 'Replaced', schema: memberSchema } },
  problems: ['last-administrator'],
  handler: async (context) =>
    context.change('member.assigned', async (tx) => {
      const { organisation, body, caller, now } = context
      await lockOrganisation(tx, organisation)
      const before = await existingMember(tx, organisation, context.params.member)
      context.checkVersion(before.version)
      const assignments = toAssignments(body.assignments)
      const added = withoutSame(assignments, before.assignments)
      const removed = withoutSame(before.assignments, assignments)
      await checkAssignments(tx, organisation, assignments)
      await demandHeldAt(tx, context, [...added, ...removed])
      await deleteAssignments(tx, organisation, before.id, removed)
      await insertAssignments(tx, organisation, before.id, added, callerName(callerOf(caller)), new Date(now))
      const member: Member = { ...before, assignments, version: before.version + 1 }
      await updateMember(tx, organisation, member)
      await demandAdministrator(tx, organisation)
      await publishEvent(tx, { organisation }, 'member.assigned', { member: member.id })
      return {
        answer: { status: 200, body: shapeMember(member, true), version: member.version },
        object: member.id,
        before: shapeMember(before, true),
        after: shapeMember(member, true),
        details: { added, removed },
      }
    }),
})

const removeRoute = route({
  method: 'delete',
  path: '/organizations/{organization}/members/{member}',
  id: 'removeMember',
  summary: 'Remove a member, with his roles and personal API keys',
  tag: 'access',
  access: 'member.manage',
  params: oneParams,
  ifMatch: 'optional',
  responses: { 204: { description: 'Removed' } },
  problems: ['last-administrator'],
  handler: async (context) =>
    context.change('member.removed', async (tx) => {
      const { organisation } = context
      await lockOrganisation(tx, organisation)
      const before = await existingMember(tx, organisation, context.params.member)
      context.checkVersion(before.version)
      await demandHeldAt(tx, context, before.assignments)
      await deleteMember(tx, organisation, before.id)
      await demandAdministrator(tx, organisation)
      await publishEvent(tx, { organisation }, 'member.removed', { member: before.id })
      return { answer: { status: 204 }, object: before.id, before: shapeMember(before, true) }
    }),
})
