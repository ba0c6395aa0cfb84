// Projects over HTTP: a list shows those that the caller may read, be it through a role in that project alone. (control-plane.md §2)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import type { Caller } from '../access/caller.ts'
import { permissionsAt, projectsOf } from '../access/permissions.ts'
import { loadCallerStanding } from '../access/standing-store.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { readableText } from '../http/values.ts'
import { newId } from '../ids.ts'
import type { OrganisationId } from '../ids.ts'
import { auditedProject, changeBody, createBody, projectSchema, shapeProject } from './project.ts'
import type { Project } from './project.ts'
import { existingProject } from './existing-project.ts'
import { insertProject, listProjects, updateProject } from './project-store.ts'
import type { ListedProject } from './project-store.ts'

export function projectRoutes(): AnyRoute[] {
  return [listRoute, createRoute, readRoute, changeRoute]
}

const organisationParams = z.strictObject({ organization: z.string() })
const projectParams = z.strictObject({ project: z.string() })

const listRoute = route({
  method: 'get',
  path: '/organizations/{organization}/projects',
  id: 'listProjects',
  summary: 'List the projects of an organization that you may read, by name',
  tag: 'projects',
  access: 'signed-in',
  params: organisationParams,
  query: z.strictObject({
    ...pageQuery,
    name: readableText(1, 200).optional().meta({ description: 'Those whose name begins with it, in any case.' }),
    deletion: z.enum(['requested', 'none']).optional().meta({ description: 'Whether deletion has been asked for.' }),
  }),
  responses: { 200: { description: 'Projects', schema: pageOf(projectSchema) } },
  handler: ({ read, organisation, caller, query, url, now }) =>
    read(async (tx) => {
      const { after, limit } = parsePage(query, 2)
      const filter = {
        among: await readable(tx, organisation, callerOf(caller), now),
        namePrefix: query.name,
        isBeingDeleted: query.deletion === undefined ? undefined : query.deletion === 'requested',
      }
      const from = after && ([String(after[0]), String(after[1])] as const)
      const rows = await listProjects(tx, organisation, filter, from, limit + 1)
      const keyOf = ({ sortName, id }: ListedProject) => [sortName, id]
      return { status: 200, body: toPage(rows, limit, shapeProject, keyOf, url) }
    }),
})

/** undefined: all of the organisation. */
async function readable(
  tx: Tx,
  organisation: OrganisationId,
  caller: Caller,
  now: number,
): Promise<ReadonlySet<string> | undefined> {
  const { standing, cap } = await loadCallerStanding(tx, organisation, caller, now)
  if (permissionsAt(standing, undefined, cap).has('project.read')) return undefined
  return new Set([...projectsOf(standing, cap)].filter((id) => permissionsAt(standing, id, cap).has('project.read')))
}

const createRoute = route({
  method: 'post',
  path: '/organizations/{organization}/projects',
  id: 'createProject',
  summary: 'Create a project',
  tag: 'projects',
  access: 'project.create',
  params: organisationParams,
  body: createBody,
  responses: { 201: { description: 'Created', schema: projectSchema } },
  handler: ({ change, organisation, body, caller, now }) =>
    change('project.created', async (tx) => {
      const project: Project = {
        id: newId('project'),
        organisation,
        ...body,
        version: 1,
        mappingRevision: 0,
        settingsVersion: 0,
        snapshotVersion: 0,
        createdAt: new Date(now),
        createdBy: callerName(callerOf(caller)),
        deletion: undefined,
      }
      await insertProject(tx, project)
      await publishEvent(tx, { organisation, project: project.id }, 'project.created', { project: project.id })
      const Location = `/api/v1/projects/${project.id}`
      return {
        answer: { status: 201, body: shapeProject(project), version: 1, headers: { Location } },
        object: project.id,
        after: auditedProject(project),
      }
    }),
})

const readRoute = route({
  method: 'get',
  path: '/projects/{project}',
  id: 'readProject',
  summary: 'Read a project',
  tag: 'projects',
  access: 'project.read',
  params: projectParams,
  responses: { 200: { description: 'The project', schema: projectSchema } },
  handler: ({ read, organisation, project: id }) =>
    read(async (tx) => {
      const project = await existingProject(tx, organisation, id)
      return { status: 200, body: shapeProject(project), version: project.version }
    }),
})

const changeRoute = route({
  method: 'patch',
  path: '/projects/{project}',
  id: 'changeProject',
  summary: 'Change name, description or what auditors see of a project',
  tag: 'projects',
  access: 'project.manage',
  params: projectParams,
  body: changeBody,
  ifMatch: 'optional',
  responses: { 200: { description: 'Changed', schema: projectSchema } },
  problems: ['deletion-pending'],
  handler: ({ change, organisation, project: id, body, checkVersion }) =>
    change('project.changed', async (tx) => {
      const before = await existingProject(tx, organisation, id, { isLocked: true })
      checkVersion(before.version)
      if (before.deletion !== undefined) throw new Problem('deletion-pending')
      const after: Project = {
        ...before,
        name: body.name ?? before.name,
        description: body.description ?? before.description,
        showsTitles: body.showsTitles ?? before.showsTitles,
        version: before.version + 1,
      }
      await updateProject(tx, after)
      await publishEvent(tx, { organisation, project: id }, 'project.changed', { project: id })
      return {
        answer: { status: 200, body: shapeProject(after), version: after.version },
        object: before.id,
        before: auditedProject(before),
        after: auditedProject(after),
      }
    }),
})
