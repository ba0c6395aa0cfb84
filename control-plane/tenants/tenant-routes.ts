// Tenants of a project over HTTP. A change of domains is told to the relays, and refused when the mapping would fall outside. (control-plane.md §3.3)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import { demandCoexistenceOff, despiteCoexistence } from '../coexistence/demand-off.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { requestFindings } from '../findings/finding-run-store.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { lockOrganisation } from '../organisations/organisation-store.ts'
import { existingProject } from '../projects/existing-project.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { deleteConsent, findConsent } from './consent-store.ts'
import { demandMappedInside } from './mapped-domains.ts'
import {
  changeBody,
  changesRelays,
  clashOf,
  initialDomainRule,
  isInitialDomain,
  MAX_TENANTS,
  registerBody,
  shapeTenant,
  takenDomains,
  tenantSchema,
} from './tenant.ts'
import type { Tenant } from './tenant.ts'
import {
  canClaimTenant,
  deleteTenant,
  findTenant,
  insertTenant,
  listTenants,
  releaseClaims,
  updateTenant,
} from './tenant-store.ts'
import type { ProjectPlace } from './tenant-store.ts'

const params = z.strictObject({ project: z.string() })
const oneParams = z.strictObject({ project: z.string(), tenant: z.string() })

export function tenantRoutes(): AnyRoute[] {
  return [listRoute, registerRoute, readRoute, changeRoute, removeRoute]
}

const listRoute = route({
  method: 'get',
  path: '/projects/{project}/tenants',
  id: 'listTenants',
  summary: 'List the tenants of a project, by label',
  tag: 'tenants',
  access: 'tenant.read',
  params,
  query: z.strictObject({
    ...pageQuery,
    side: z.enum(['source', 'target']).optional().meta({ description: 'Only these.' }),
  }),
  responses: { 200: { description: 'Tenants', schema: pageOf(tenantSchema) } },
  handler: ({ read, organisation, project, query, url }) =>
    read(async (tx) => {
      const { after, limit } = parsePage(query, 1)
      const place = placeOf(organisation, project)
      const rows = await listTenants(tx, place, query.side, after && String(after[0]), limit + 1)
      return { status: 200, body: toPage(rows, limit, shapeTenant, ({ label }) => [label], url) }
    }),
})

const registerRoute = route({
  method: 'post',
  path: '/projects/{project}/tenants',
  id: 'registerTenant',
  summary: 'Register a tenant of a project',
  description:
    'Refused when the tenant belongs to another organization of this installation, when another tenant of the project has one of its domains, and when the mapping would fall outside the domains of the project.',
  tag: 'tenants',
  access: 'tenant.connect',
  params,
  body: registerBody,
  responses: { 201: { description: 'Registered', schema: tenantSchema } },
  problems: ['tenant-taken', 'tenant-registered', 'domain-taken', 'domain-in-use', 'deletion-pending', 'conflict'],
  handler: ({ change, organisation, project, body, caller, now }) =>
    change('tenant.registered', async (tx) => {
      const place = placeOf(organisation, project)
      const { tenantId: entraTenantId, clientId, initialDomain, ...rest } = body
      const tenant: Tenant = {
        id: newId('tenant'),
        ...rest,
        entraTenantId,
        clientId,
        initialDomain,
        version: 1,
        createdAt: new Date(now),
      }
      await lock(tx, place)
      const others = await listTenants(tx, place)
      if (others.length >= MAX_TENANTS)
        throw new Problem('conflict', { detail: `A project has ${MAX_TENANTS} tenants at most.` })
      const clash = clashOf(tenant, others)
      if (clash !== undefined) throw new Problem('tenant-registered', { member: clash })
      demandOwnDomains(tenant, others)
      // It becomes the organisation's with the proof of its administrator (EC-3): registering alone takes it from nobody.
      if (!(await canClaimTenant(tx, organisation, entraTenantId))) throw new Problem('tenant-taken')
      await bumpSnapshot(tx, organisation, place.project, 'settings')
      await insertTenant(tx, place, tenant, callerName(callerOf(caller)))
      await demandMappedInside(tx, place)
      await publishEvent(tx, place, 'tenant.registered', { tenant: tenant.id })
      const Location = `/api/v1/projects/${place.project}/tenants/${tenant.id}`
      return {
        answer: { status: 201, body: shapeTenant(tenant), version: 1, headers: { Location } },
        object: tenant.id,
        after: shapeTenant(tenant),
        details: { tenantId: entraTenantId, side: tenant.side, domains: tenant.acceptedDomains.length },
      }
    }),
})

const readRoute = route({
  method: 'get',
  path: '/projects/{project}/tenants/{tenant}',
  id: 'readTenant',
  summary: 'Read a tenant of a project',
  tag: 'tenants',
  access: 'tenant.read',
  params: oneParams,
  responses: { 200: { description: 'The tenant', schema: tenantSchema } },
  handler: ({ read, organisation, project, params: { tenant: text } }) =>
    read(async (tx) => {
      const tenant = await existingTenant(tx, placeOf(organisation, project), text)
      return { status: 200, body: shapeTenant(tenant), version: tenant.version }
    }),
})

const changeRoute = route({
  method: 'patch',
  path: '/projects/{project}/tenants/{tenant}',
  id: 'changeTenant',
  summary: 'Change name, app registration or domains of a tenant',
  description:
    '`null` takes `clientId` or `initialDomain` away. Side, label, cloud and tenant id stay: register it anew.',
  tag: 'tenants',
  access: 'tenant.connect',
  params: oneParams,
  body: changeBody,
  ifMatch: 'optional',
  responses: { 200: { description: 'Changed', schema: tenantSchema } },
  problems: ['conflict', 'domain-taken', 'domain-in-use', 'deletion-pending'],
  handler: ({ change, organisation, project, params: { tenant: text }, body, checkVersion }) =>
    change('tenant.changed', async (tx) => {
      const place = placeOf(organisation, project)
      await lock(tx, place)
      const before = await existingTenant(tx, place, text)
      checkVersion(before.version)
      const { initialDomain } = body
      if (typeof initialDomain === 'string' && !isInitialDomain(initialDomain, before.cloud))
        throw badRequest([{ pointer: '/initialDomain', code: 'custom', detail: initialDomainRule(before.cloud) }])
      const after: Tenant = {
        ...before,
        name: body.name ?? before.name,
        appModel: body.appModel ?? before.appModel,
        clientId: body.clientId === undefined ? before.clientId : (body.clientId ?? undefined),
        acceptedDomains: body.acceptedDomains ?? before.acceptedDomains,
        initialDomain: initialDomain === undefined ? before.initialDomain : (initialDomain ?? undefined),
        version: before.version + 1,
      }
      demandOwnDomains(after, await listTenants(tx, place))
      const consent = await findConsent(tx, place, after.id)
      if (body.acceptedDomains !== undefined && consent?.connectedAt !== undefined)
        throw new Problem('conflict', { detail: 'The tenant is connected, and names its domains itself.' })
      await updateTenant(tx, place, after)
      // Another application is another consent.
      if (after.appModel !== before.appModel || after.clientId !== before.clientId)
        await deleteConsent(tx, place, after.id)
      if (changesRelays(before, after)) {
        await bumpSnapshot(tx, organisation, place.project, 'settings')
        await demandMappedInside(tx, place)
      }
      await publishEvent(tx, place, 'tenant.changed', { tenant: after.id })
      return {
        answer: { status: 200, body: shapeTenant(after), version: after.version },
        object: after.id,
        before: shapeTenant(before),
        after: shapeTenant(after),
        details: { domains: after.acceptedDomains.length },
      }
    }),
})

const removeRoute = route({
  method: 'delete',
  path: '/projects/{project}/tenants/{tenant}',
  id: 'removeTenant',
  summary: 'Remove a tenant from a project',
  description:
    'Refused while the mapping uses its domains, or coexistence is not off. In no project any more, the tenant can be attached to another organization.',
  tag: 'tenants',
  access: 'tenant.connect',
  params: oneParams,
  query: z.strictObject({ despiteCoexistence }),
  ifMatch: 'optional',
  responses: { 204: { description: 'Removed' } },
  problems: ['domain-in-use', 'deletion-pending', 'coexistence-on'],
  handler: ({ change, organisation, project, params: { tenant: text }, checkVersion, query }) =>
    change('tenant.removed', async (tx) => {
      const place = placeOf(organisation, project)
      await lock(tx, place)
      const before = await existingTenant(tx, place, text)
      checkVersion(before.version)
      await demandCoexistenceOff(tx, place, query.despiteCoexistence)
      await deleteTenant(tx, place, before.id)
      await bumpSnapshot(tx, organisation, place.project, 'settings')
      await demandMappedInside(tx, place)
      await releaseClaims(tx, organisation)
      await publishEvent(tx, place, 'tenant.removed', { tenant: before.id })
      await requestFindings(tx, place)
      return {
        answer: { status: 204 },
        object: before.id,
        before: shapeTenant(before),
        details: { tenantId: before.entraTenantId },
      }
    }),
})

function placeOf(organisation: OrganisationId, project: ProjectId | undefined): ProjectPlace {
  if (project === undefined) throw new Error('unreachable: the path names a project')
  return { organisation, project }
}

/** Organisation before project, always: two that lock both never wait for each other. */
async function lock(tx: Tx, { organisation, project }: ProjectPlace): Promise<void> {
  await lockOrganisation(tx, organisation)
  const { deletion } = await existingProject(tx, organisation, project, { isLocked: true })
  if (deletion !== undefined) throw new Problem('deletion-pending')
}

async function existingTenant(tx: Tx, place: ProjectPlace, text: string): Promise<Tenant> {
  const id = parseId('tenant', text)
  const tenant = id && (await findTenant(tx, place, id))
  if (tenant === undefined) throw notFound()
  return tenant
}

function demandOwnDomains(tenant: Tenant, others: readonly Tenant[]): void {
  const domains = takenDomains(tenant, others)
  if (domains.length > 0) throw new Problem('domain-taken', { domains })
}
