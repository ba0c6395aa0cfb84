// Who am I, and what may I do where: as this very credential, and as of now. (control-plane.md §2)
import { z } from 'zod'
import { setScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { pageQuery, parsePage, toPage } from '../http/page.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { time } from '../http/values.ts'
import type { OrganisationId } from '../ids.ts'
import { findOrganisation, listOrganisations } from '../organisations/organisation-store.ts'
import { callerOf } from './caller.ts'
import type { Caller } from './caller.ts'
import { findSupportEnd, nameProjects } from './me-store.ts'
import { permissionsAt, projectsOf } from './permissions.ts'
import { isInstallationAdministrator, loadCallerStanding } from './standing-store.ts'

const permissions = z.array(z.string())

const organizationSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  permissions: permissions.meta({ description: 'In the whole organization, all its projects included.' }),
  projects: z
    .array(z.strictObject({ id: z.string(), name: z.string(), permissions }))
    .meta({ description: 'Those in which there is something of its own.' }),
  supportUntil: time.optional().meta({ description: 'Support was granted to you until then.' }),
  needsNewerSignIn: z
    .boolean()
    .meta({ description: 'The organization wants a newer sign-in before it lets you do any of it.' }),
})

const meSchema = z
  .strictObject({
    kind: z.enum(['person', 'service-key', 'break-glass']),
    tenantId: z.string().optional().meta({ description: 'Of a person.' }),
    objectId: z.string().optional(),
    displayName: z.string().optional().meta({ description: 'In a browser’s session.' }),
    apiKey: z.string().optional().meta({ description: 'Id of the API key that you come with.' }),
    isInstallationAdministrator: z.boolean(),
    organizations: z.array(organizationSchema).meta({ description: 'By name.' }),
    next: z.string().optional().meta({ description: 'The next page of organizations; absent on the last.' }),
  })
  .meta({ id: 'Me' })

interface Listed {
  readonly id: OrganisationId
  readonly name: string
  readonly sortName: string
}

export function meRoutes(): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/me',
      id: 'readMe',
      summary: 'Who you are, and your permissions in each organization and project',
      tag: 'session',
      access: 'signed-in',
      query: z.strictObject(pageQuery),
      responses: { 200: { description: 'You', schema: meSchema } },
      handler: ({ read, caller: someone, query, url, now }) =>
        read(async (tx) => {
          const caller = callerOf(someone)
          const { after, limit } = parsePage(query, 2)
          const from = after && ([String(after[0]), String(after[1])] as const)
          const identity = { ...identityOf(caller), isInstallationAdministrator: await isAdministrator(tx, caller) }
          const listed = await organisationsOf(tx, caller, now, from, limit + 1)
          const page = toPage(
            listed,
            limit,
            (row) => row,
            ({ sortName, id }) => [sortName, id],
            url,
          )
          const organizations: z.input<typeof organizationSchema>[] = []
          for (const row of page.items) organizations.push(await shape(tx, row, caller, now))
          return {
            status: 200,
            body: { ...identity, organizations, ...(page.next === undefined ? {} : { next: page.next }) },
          }
        }),
    }),
  ]
}

function identityOf(caller: Caller) {
  const apiKey = caller.kind === 'api-key' ? { apiKey: caller.key } : {}
  if (caller.kind === 'api-key' && caller.isService) return { kind: 'service-key', ...apiKey } as const
  const displayName = caller.kind === 'session' ? { displayName: caller.displayName } : {}
  if (caller.kind === 'session' && caller.isBreakGlass) return { kind: 'break-glass', ...displayName } as const
  const [tenantId = '', objectId = ''] = caller.principal.split('/')
  return { kind: 'person', tenantId, objectId, ...displayName, ...apiKey } as const
}

/** No API key acts for the installation. */
async function isAdministrator(tx: Tx, caller: Caller): Promise<boolean> {
  if (caller.kind !== 'session' || caller.isBreakGlass) return false
  await setScope(tx, { principal: caller.principal })
  return isInstallationAdministrator(tx, caller.principal)
}

async function organisationsOf(
  tx: Tx,
  caller: Caller,
  now: number,
  after: readonly [string, string] | undefined,
  limit: number,
): Promise<Listed[]> {
  if (caller.kind === 'session') {
    const { principal } = caller
    await setScope(tx, { principal })
    return listOrganisations(tx, { principal, seesAll: false, now: new Date(now) }, after, limit)
  }
  await setScope(tx, { organisation: caller.organisation })
  const organisation = await findOrganisation(tx, caller.organisation)
  return organisation === undefined || after !== undefined ? [] : [{ ...organisation, sortName: '' }]
}

async function shape(
  tx: Tx,
  { id, name }: Listed,
  caller: Caller,
  now: number,
): Promise<z.input<typeof organizationSchema>> {
  await setScope(tx, { organisation: id })
  const { standing, cap } = await loadCallerStanding(tx, id, caller, now)
  const projects = await nameProjects(tx, id, [...projectsOf(standing, cap)])
  const supportUntil = standing.hasSupportGrant
    ? await findSupportEnd(tx, id, caller.principal, new Date(now))
    : undefined
  return {
    id,
    name,
    permissions: [...permissionsAt(standing, undefined, cap)],
    projects: projects
      .map((project) => ({ ...project, permissions: [...permissionsAt(standing, project.id, cap)] }))
      .filter((project) => project.permissions.length > 0),
    ...(supportUntil === undefined ? {} : { supportUntil: supportUntil.toISOString() }),
    needsNewerSignIn:
      caller.kind === 'session' &&
      standing.maxSessionMs !== undefined &&
      now - caller.authenticatedAt > standing.maxSessionMs,
  }
}
