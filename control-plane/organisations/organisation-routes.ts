// Organisations over HTTP: founded by installation administrators, run by their own. (control-plane.md §2)
import { z } from 'zod'
import { callerName, callerOf, principalOf } from '../access/caller.ts'
import type { Caller } from '../access/caller.ts'
import { insertMember } from '../access/member-store.ts'
import { permissionsAt, projectsOf } from '../access/permissions.ts'
import { ORGANISATION_ADMINISTRATOR } from '../access/role.ts'
import { isInstallationAdministrator, loadCallerStanding } from '../access/standing-store.ts'
import { setScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { INSTALLATION, newId } from '../ids.ts'
import type { OrganisationId } from '../ids.ts'
import { createBody, listedSchema, organisationName, organisationSchema, shapeOrganisation } from './organisation.ts'
import type { Organisation } from './organisation.ts'
import {
  findOrganisation,
  insertOrganisation,
  listOrganisations,
  lockOrganisation,
  updateOrganisation,
} from './organisation-store.ts'
import type { ListedOrganisation } from './organisation-store.ts'

export interface OrganisationDeps {
  /** Label of this installation (TI-5). */
  readonly region: string
}

const params = z.strictObject({ organization: z.string() })

export function organisationRoutes(deps: OrganisationDeps): AnyRoute[] {
  return [listRoute, createRoute(deps), readRoute, renameRoute, requestDeletionRoute, undoDeletionRoute]
}

const listRoute = route({
  method: 'get',
  path: '/organizations',
  id: 'listOrganizations',
  summary: 'List your organizations, by name',
  tag: 'organizations',
  access: 'signed-in',
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'Organizations', schema: pageOf(listedSchema) } },
  handler: ({ read, caller: someone, query, url, now }) =>
    read(async (tx) => {
      const caller = callerOf(someone)
      const { after, limit } = parsePage(query, 2)
      const from = after && ([String(after[0]), String(after[1])] as const)
      const rows =
        caller.kind === 'api-key'
          ? await ofKey(tx, caller, now, from)
          : await ofPerson(tx, caller, new Date(now), from, limit + 1)
      const shape = ({ id, name, isMine }: ListedOrganisation) => ({ id, name, isMine })
      const keyOf = ({ sortName, id }: ListedOrganisation) => [sortName, id]
      return { status: 200, body: toPage(rows, limit, shape, keyOf, url) }
    }),
})

async function ofPerson(
  tx: Tx,
  caller: Caller & { kind: 'session' },
  now: Date,
  after: readonly [string, string] | undefined,
  limit: number,
): Promise<ListedOrganisation[]> {
  const { principal, isBreakGlass } = caller
  await setScope(tx, { principal })
  const seesAll = isBreakGlass || (await isInstallationAdministrator(tx, principal))
  if (seesAll) await setScope(tx, { principal, purpose: 'administration' })
  return listOrganisations(tx, { principal, seesAll, now }, after, limit)
}

/** A key is of one organisation, whatever else its owner belongs to. */
async function ofKey(
  tx: Tx,
  caller: Caller & { kind: 'api-key' },
  now: number,
  after: readonly [string, string] | undefined,
): Promise<ListedOrganisation[]> {
  await setScope(tx, { organisation: caller.organisation })
  const { standing, cap } = await loadCallerStanding(tx, caller.organisation, caller, now)
  const places = [undefined, ...projectsOf(standing, cap)]
  const organisation = await findOrganisation(tx, caller.organisation)
  const isMine = places.some((project) => permissionsAt(standing, project, cap).size > 0)
  return organisation === undefined || !isMine || after !== undefined
    ? []
    : [{ id: organisation.id, name: organisation.name, isMine, sortName: '' }]
}

const createRoute = ({ region: ours }: OrganisationDeps) =>
  route({
    method: 'post',
    path: '/organizations',
    id: 'createOrganization',
    summary: 'Found an organization and name its first administrator',
    tag: 'organizations',
    access: 'installation.manage',
    body: createBody,
    responses: { 201: { description: 'Founded', schema: organisationSchema } },
    problems: ['region-mismatch'],
    handler: ({ change, body, caller, now }) =>
      change('organization.created', async (tx) => {
        const { name, region = ours, administrator } = body
        if (region !== ours) throw new Problem('region-mismatch', { region: ours })
        const createdAt = new Date(now)
        const organisation: Organisation = {
          id: newId('organisation'),
          name,
          region,
          createdAt,
          version: 1,
          settingsVersion: 1,
          deletion: undefined,
        }
        const member = {
          id: newId('member'),
          principal: principalOf(administrator.tenantId, administrator.objectId),
          displayName: administrator.displayName,
          assignments: [
            {
              role: ORGANISATION_ADMINISTRATOR,
              project: '',
            },
          ],
          version: 1,
          createdAt,
          disabledAt: undefined,
        }
        await setScope(tx, { organisation: organisation.id })
        await insertOrganisation(tx, organisation)
        await insertMember(tx, organisation.id, member, callerName(callerOf(caller)))
        // Told in the installation's audit trail: the new one has nobody yet who could read its own.
        await setScope(tx, { organisation: INSTALLATION })
        const shape = shapeOrganisation(organisation)
        const Location = `/api/v1/organizations/${organisation.id}`
        return {
          answer: { status: 201, body: shape, version: 1, headers: { Location } },
          object: organisation.id,
          after: shape,
          details: { administrator: member.principal },
        }
      }),
  })

const readRoute = route({
  method: 'get',
  path: '/organizations/{organization}',
  id: 'readOrganization',
  summary: 'Read an organization',
  tag: 'organizations',
  access: 'organization.read',
  params,
  responses: { 200: { description: 'The organization', schema: organisationSchema } },
  handler: ({ read, organisation: id }) =>
    read(async (tx) => {
      const organisation = await existing(tx, id)
      return { status: 200, body: shapeOrganisation(organisation), version: organisation.version }
    }),
})

const renameRoute = route({
  method: 'patch',
  path: '/organizations/{organization}',
  id: 'renameOrganization',
  summary: 'Rename an organization',
  tag: 'organizations',
  access: 'organization.manage',
  params,
  body: z.strictObject({ name: organisationName }),
  ifMatch: 'optional',
  responses: { 200: { description: 'Renamed', schema: organisationSchema } },
  problems: ['deletion-pending'],
  handler: ({ change, organisation: id, body, checkVersion }) =>
    change('organization.renamed', async (tx) => {
      const before = await locked(tx, id)
      checkVersion(before.version)
      if (before.deletion !== undefined) throw new Problem('deletion-pending')
      return save(tx, before, { ...before, name: body.name }, 'organization.renamed')
    }),
})

const requestDeletionRoute = route({
  method: 'delete',
  path: '/organizations/{organization}',
  id: 'requestOrganizationDeletion',
  summary: 'Ask for the deletion of an organization and all that is its own',
  description:
    'It can be undone for 7 days. Then all projects are deleted with their keys, and all else but the audit trail.',
  tag: 'organizations',
  access: 'organization.manage',
  params,
  ifMatch: 'optional',
  isDangerous: true,
  responses: { 202: { description: 'Asked for', schema: organisationSchema } },
  problems: ['deletion-pending'],
  handler: ({ change, organisation: id, caller, now, checkVersion }) =>
    change('organization.deletion-requested', async (tx) => {
      const before = await locked(tx, id)
      checkVersion(before.version)
      if (before.deletion !== undefined) throw new Problem('deletion-pending')
      const requestedBy = callerName(callerOf(caller))
      const deletion = { requestedAt: new Date(now), requestedBy, forcedBy: [], startedAt: undefined }
      return save(tx, before, { ...before, deletion }, 'organization.deletion-requested', 202)
    }),
})

const undoDeletionRoute = route({
  method: 'delete',
  path: '/organizations/{organization}/deletion',
  id: 'undoOrganizationDeletion',
  summary: 'Undo the deletion of an organization',
  tag: 'organizations',
  access: 'organization.manage',
  params,
  responses: { 200: { description: 'Undone', schema: organisationSchema } },
  problems: ['deletion-not-requested'],
  handler: ({ change, organisation: id }) =>
    change('organization.deletion-undone', async (tx) => {
      const before = await locked(tx, id)
      if (before.deletion === undefined) throw new Problem('deletion-not-requested')
      return save(tx, before, { ...before, deletion: undefined }, 'organization.deletion-undone')
    }),
})

async function existing(tx: Tx, id: OrganisationId): Promise<Organisation> {
  const organisation = await findOrganisation(tx, id)
  if (organisation === undefined || organisation.deletion?.startedAt !== undefined) throw notFound()
  return organisation
}

async function locked(tx: Tx, id: OrganisationId): Promise<Organisation> {
  await lockOrganisation(tx, id)
  return existing(tx, id)
}

async function save(tx: Tx, before: Organisation, changed: Organisation, event: string, status = 200) {
  const after = { ...changed, version: before.version + 1 }
  await updateOrganisation(tx, after)
  await publishEvent(tx, { organisation: after.id }, event, { organization: after.id })
  return {
    answer: { status, body: shapeOrganisation(after), version: after.version },
    object: after.id,
    before: shapeOrganisation(before),
    after: shapeOrganisation(after),
  }
}
