// The consent of a tenant over HTTP: what would be asked for and why, a link for the tenant's administrator, how far it is, look now. (EC-2, EC-3)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent, requestJob } from '../db/outbox.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { parseId } from '../ids.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { newCookieSecret } from '../access/session-cookie.ts'
import { choicesBody, neededFor, readChoices } from './capabilities.ts'
import { LACKS, NoCredential, openConnection } from './connection.ts'
import type { ConnectionDeps } from './connection.ts'
import { keepConsentFlow, LINK_LIFE_MS } from './consent-flow.ts'
import { consentSchema, manifestSchema, shapeConsent, shapeManifest } from './consent-shape.ts'
import { askConsent, findConsent } from './consent-store.ts'
import { CONSENT_PATHS } from './consent-visit-routes.ts'
import { EXCHANGE_APP_ID, GRAPH_APP_ID } from './permission-sets.ts'
import type { Tenant } from './tenant.ts'
import { findTenant } from './tenant-store.ts'
import type { ProjectPlace } from './tenant-store.ts'
import { time } from '../http/values.ts'

export interface ConsentRouteDeps extends ConnectionDeps {
  readonly publicUrl: URL
  readonly random: (bytes: number) => Buffer
}

const params = z.strictObject({ project: z.string(), tenant: z.string() })

const askedSchema = z
  .strictObject({
    link: z.string().meta({
      description: 'For an administrator of the tenant, to be opened in a browser. Shown once; a secret.',
    }),
    expiresAt: time,
    clientId: z.string(),
    redirectUris: z.array(z.string()).meta({ description: 'That the app registration has to know, of type web.' }),
    permissions: z
      .array(
        z.strictObject({
          resourceAppId: z.string(),
          name: z.string(),
          id: z.string(),
        }),
      )
      .meta({
        description: 'Application permissions that the app registration has to ask for; it must ask for no other.',
      }),
  })
  .meta({ id: 'ConsentRequest' })

export function consentRoutes(deps: ConsentRouteDeps): AnyRoute[] {
  return [manifestRoute, readRoute(deps), askRoute(deps), checkRoute]
}

const manifestRoute = route({
  method: 'get',
  path: '/projects/{project}/tenants/{tenant}/consent/manifest',
  id: 'readPermissionManifest',
  summary: 'Read what can be asked of a tenant, permission by permission, and why',
  tag: 'tenants',
  access: 'tenant.read',
  params,
  responses: { 200: { description: 'By capability and level', schema: manifestSchema } },
  handler: ({ read, organisation, project, params: { tenant } }) =>
    read(async (tx) => ({
      status: 200,
      body: shapeManifest((await existingTenant(tx, placeOf(organisation, project), tenant)).side),
    })),
})

const readRoute = (deps: ConsentRouteDeps) =>
  route({
    method: 'get',
    path: '/projects/{project}/tenants/{tenant}/consent',
    id: 'readTenantConsent',
    summary: 'Read how far the connection to a tenant is',
    description: 'With what is granted and missing, what keeps the product out, and what to do about it.',
    tag: 'tenants',
    access: 'tenant.read',
    params,
    responses: { 200: { description: 'The consent', schema: consentSchema } },
    handler: ({ read, organisation, project, params: { tenant: text } }) =>
      read(async (tx) => {
        const place = placeOf(organisation, project)
        const tenant = await existingTenant(tx, place, text)
        const consent = await findConsent(tx, place, tenant.id)
        const body = shapeConsent(consent, clientIdOf(tenant, deps), place.project.slice(-8))
        return { status: 200, body, version: consent?.version ?? 0 }
      }),
  })

const askRoute = (deps: ConsentRouteDeps) =>
  route({
    method: 'post',
    path: '/projects/{project}/tenants/{tenant}/consent',
    id: 'askTenantConsent',
    summary: 'Make the link by which an administrator of the tenant consents',
    description:
      'Good for a day, for any administrator of the registered tenant. The administrator consents at Microsoft and signs in once more: only both together prove that the tenant is his.',
    tag: 'tenants',
    access: 'tenant.connect',
    params,
    body: choicesBody,
    responses: { 201: { description: 'The link', schema: askedSchema } },
    problems: ['conflict'],
    handler: async ({ change, organisation, project, params: { tenant: text }, body, caller, now, read }) => {
      const place = placeOf(organisation, project)
      const tenant = await read((tx) => existingTenant(tx, place, text))
      const choices = readChoices(body, tenant.side)
      if ('unknown' in choices) {
        throw badRequest(
          choices.unknown.map((name) => ({
            pointer: '/optionalPermissions',
            code: 'unknown-permission',
            detail: `${name} is no optional permission of these capabilities`,
          })),
        )
      }
      const { clientId, entraTenantId } = await connectionOf(deps, place, tenant)
      const link = newCookieSecret(deps.random)
      const expiresAt = new Date(now + LINK_LIFE_MS)
      const askedBy = callerName(callerOf(caller))
      const subject = { ...place, tenant: tenant.id, entraTenantId, clientId, choices, askedBy }
      // Kept first: a link whose request was not recorded is answered by a consent that nobody waits for, and does nothing.
      await keepConsentFlow({ ...subject, step: 'link' }, [link], expiresAt, deps)
      return change('tenant.consent_asked', async (tx) => {
        await askConsent(tx, place, tenant.id, choices)
        await publishEvent(tx, place, 'tenant.asked', { tenant: tenant.id })
        const url = new URL(CONSENT_PATHS.start, deps.publicUrl)
        url.searchParams.set('link', link)
        return {
          answer: {
            status: 201,
            body: {
              link: url.href,
              expiresAt: expiresAt.toISOString(),
              clientId,
              redirectUris: [CONSENT_PATHS.callback, CONSENT_PATHS.signedIn].map(
                (path) => new URL(path, deps.publicUrl).href,
              ),
              permissions: neededFor(choices).permissions.map(({ resource, name, id }) => ({
                resourceAppId: resource === 'graph' ? GRAPH_APP_ID : EXCHANGE_APP_ID,
                name,
                id,
              })),
            },
          },
          object: tenant.id,
          after: choices,
          details: { capabilities: choices.capabilities.map(({ capability, level }) => `${capability}:${level}`) },
        }
      })
    },
  })

const checkRoute = route({
  method: 'post',
  path: '/projects/{project}/tenants/{tenant}/health/checks',
  id: 'checkTenant',
  summary: 'Look at the tenant now',
  description: 'As it is done by the clock. The result shows in `…/consent` and `…/health`.',
  tag: 'tenants',
  access: 'tenant.connect',
  params,
  responses: { 202: { description: 'It will be looked at' } },
  problems: ['tenant-not-connected'],
  handler: ({ change, organisation, project, params: { tenant: text } }) =>
    change('tenant.check_asked', async (tx) => {
      const place = placeOf(organisation, project)
      const tenant = await existingTenant(tx, place, text)
      const consent = await findConsent(tx, place, tenant.id)
      if (consent?.provedAt === undefined)
        throw new Problem('tenant-not-connected', { state: consent?.state ?? 'none' })
      await requestJob(tx, place, 'tenant.check', tenant.id)
      return { answer: { status: 202 }, object: tenant.id }
    }),
})

export function placeOf(organisation: OrganisationId, project: ProjectId | undefined): ProjectPlace {
  if (project === undefined) throw new Error('unreachable: the path names a project')
  return { organisation, project }
}

export async function existingTenant(tx: Tx, place: ProjectPlace, text: string): Promise<Tenant> {
  const id = parseId('tenant', text)
  const tenant = id && (await findTenant(tx, place, id))
  if (tenant === undefined) throw notFound()
  return tenant
}

/** @throws Problem that says what to do first */
export async function connectionOf(deps: ConnectionDeps, place: ProjectPlace, tenant: Tenant) {
  try {
    return await openConnection(deps, place, tenant)
  } catch (error) {
    if (error instanceof NoCredential) throw new Problem('conflict', { detail: LACKS[error.lacks] })
    throw error
  }
}

const clientIdOf = ({ appModel, clientId }: Tenant, { sharedApp }: ConsentRouteDeps): string | undefined =>
  appModel === 'single-tenant' ? clientId : sharedApp?.clientId
