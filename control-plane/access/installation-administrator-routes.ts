// Installation administrators over HTTP. The last one stays: without any, the break-glass code would be in force again (AZ-1).
import { z } from 'zod'
import { setScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { guid } from '../http/values.ts'
import { INSTALLATION } from '../ids.ts'
import { lockOrganisation } from '../organisations/organisation-store.ts'
import { callerName, callerOf, principalOf } from './caller.ts'
import { administratorBody, administratorSchema, shapeAdministrator } from './installation-administrator.ts'
import {
  addAdministrator,
  countInstallationAdministrators,
  findAdministrator,
  listAdministrators,
  removeAdministrator,
} from './installation-administrator-store.ts'

export function installationAdministratorRoutes(): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/installation/administrators',
      id: 'listInstallationAdministrators',
      summary: 'List installation administrators',
      tag: 'installation',
      access: 'installation.manage',
      query: z.strictObject(pageQuery),
      responses: { 200: { description: 'Administrators', schema: pageOf(administratorSchema) } },
      handler: ({ read, query, url }) =>
        read(async (tx) => {
          await setScope(tx, { purpose: 'administration' })
          const { after, limit } = parsePage(query, 1)
          const rows = await listAdministrators(tx, after && String(after[0]), limit + 1)
          return { status: 200, body: toPage(rows, limit, shapeAdministrator, ({ principal }) => [principal], url) }
        }),
    }),
    route({
      method: 'post',
      path: '/installation/administrators',
      id: 'addInstallationAdministrator',
      summary: 'Make somebody an installation administrator',
      tag: 'installation',
      access: 'installation.manage',
      body: administratorBody,
      isDangerous: true,
      responses: { 201: { description: 'Added', schema: administratorSchema } },
      problems: ['conflict'],
      handler: ({ change, body, caller, now }) =>
        change('installation.administrator-added', (tx) =>
          asAdministration(tx, async () => {
            const administrator = {
              principal: principalOf(body.tenantId, body.objectId),
              displayName: body.displayName,
              addedBy: callerName(callerOf(caller)),
              addedAt: new Date(now),
            }
            if (!(await addAdministrator(tx, administrator)))
              throw new Problem('conflict', { detail: 'This person is an installation administrator already.' })
            return {
              answer: { status: 201, body: shapeAdministrator(administrator) },
              object: administrator.principal,
              after: shapeAdministrator(administrator),
            }
          }),
        ),
    }),
    route({
      method: 'delete',
      path: '/installation/administrators/{tenant}/{object}',
      id: 'removeInstallationAdministrator',
      summary: 'Remove an installation administrator, but for the last',
      tag: 'installation',
      access: 'installation.manage',
      params: z.strictObject({ tenant: guid, object: guid }),
      responses: { 204: { description: 'Removed' } },
      problems: ['last-administrator'],
      handler: ({ change, params }) =>
        change('installation.administrator-removed', (tx) =>
          asAdministration(tx, async () => {
            const before = await findAdministrator(tx, principalOf(params.tenant, params.object))
            if (before === undefined) throw notFound()
            await removeAdministrator(tx, before.principal)
            if ((await countInstallationAdministrators(tx)) === 0) throw new Problem('last-administrator')
            return { answer: { status: 204 }, object: before.principal, before: shapeAdministrator(before) }
          }),
        ),
    }),
  ]
}

/** One after another (the installation's row is locked), and back to the installation's scope, whose audit trail tells of it. */
async function asAdministration<T>(tx: Tx, work: () => Promise<T>): Promise<T> {
  await lockOrganisation(tx, INSTALLATION)
  await setScope(tx, { organisation: INSTALLATION, purpose: 'administration' })
  const result = await work()
  await setScope(tx, { organisation: INSTALLATION })
  return result
}
