// Keys over HTTP: the inventory, and rotation on demand. No route shows a key, or takes one. (KM-2, KM-5, KM-7, control-plane.md §4)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import type { Permission } from '../access/permissions.ts'
import type { Tx } from '../db/database.ts'
import { pageOf, parsePage, toPage } from '../http/page.ts'
import { notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { operationShape, shapeOperation } from '../operations/operation.ts'
import { createOperation, findOperation, operationUrl } from '../operations/operation-store.ts'
import { existingProject } from '../projects/existing-project.ts'
import { listKeys } from './key-inventory-store.ts'
import { ofInstallation, ofProject } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import { listProjectKeys } from './project-key-store.ts'
import { keyQuery, keySchema, rotationBody, shapeKey } from './key-shapes.ts'
import { aboutKey, aboutNamedKey } from './rotate-as-asked.ts'

const tag = 'keys'
const ofOrganization = z.strictObject({ organization: z.string() })
const ofOneProject = z.strictObject({ project: z.string() })
const ofNothing = z.strictObject({})

export function keyRoutes(): AnyRoute[] {
  return [
    listRoute('/organizations/{organization}/keys', 'listOrganizationKeys', 'organization.read', {
      params: ofOrganization,
      summary: 'Keys and certificates of an organization and its projects',
    }),
    listRoute('/projects/{project}/keys', 'listProjectKeys', 'project.read', {
      params: ofOneProject,
      summary: 'Keys and certificates of a project',
    }),
    listRoute('/installation/keys', 'listInstallationKeys', 'installation.manage', {
      params: ofNothing,
      summary: 'Keys of the installation itself',
    }),
    rotationRoute('/projects/{project}/key-rotations', 'rotateProjectKeys', 'secret.manage', {
      params: ofOneProject,
      summary: "Replace a project's key",
      description:
        'New data gets the new key at once; what is there is sealed anew in the background, and can be read all the while. Happens by itself once a year.',
      ownerOf: async (tx, { organisation, project }) => {
        const { id } = await existingProject(tx, organisation, project)
        return ofProject(organisation, id)
      },
    }),
    rotationRoute('/installation/key-rotations', 'rotateInstallationKeys', 'installation.manage', {
      params: ofNothing,
      summary: "Replace the installation's key, or all keys in the key service",
      description:
        'As of a project. With level `root` every named key of the key service gets a new version: the one of the installation and those of all projects.',
      ownerOf: () => Promise.resolve(ofInstallation()),
    }),
  ]
}

function listRoute(
  path: string,
  id: string,
  access: Permission,
  { params, summary }: { params: z.ZodObject; summary: string },
): AnyRoute {
  return route({
    method: 'get',
    path,
    id,
    summary,
    description: 'Ordered by kind and id.',
    tag,
    access,
    params,
    query: keyQuery,
    responses: { 200: { description: 'Keys', schema: pageOf(keySchema) } },
    handler: ({ read, organisation, project, query: { kind, expiresBefore, ...page }, url }) =>
      read(async (tx) => {
        const { after, limit } = parsePage(page, 2)
        const filter = {
          project,
          kind,
          expiresBefore: expiresBefore === undefined ? undefined : new Date(expiresBefore),
          after: after && ([String(after[0]), String(after[1])] as const),
        }
        const rows = await listKeys(tx, organisation, filter, limit + 1)
        return { status: 200, body: toPage(rows, limit, shapeKey, (key) => [key.kind, key.id], url) }
      }),
  })
}

interface Rotation {
  readonly params: z.ZodObject
  readonly summary: string
  readonly description: string
  readonly ownerOf: (
    tx: Tx,
    place: Pick<Context<unknown, unknown, unknown>, 'organisation' | 'project'>,
  ) => Promise<KeyOwner>
}

const rotationRoute = (
  path: string,
  id: string,
  access: Permission,
  { params, summary, description, ownerOf }: Rotation,
): AnyRoute =>
  route({
    method: 'post',
    path,
    id,
    summary,
    description,
    tag,
    access,
    params,
    body: rotationBody,
    isDangerous: true,
    responses: { 202: { description: 'Goes on as this operation', schema: operationShape } },
    handler: ({ change, organisation, project, caller, body: { level } }) =>
      change('key.rotation-requested', async (tx) => {
        const owner = await ownerOf(tx, { organisation, project })
        const operation = await createOperation(
          tx,
          { organisation, project },
          {
            kind: 'keys.rewrap',
            permission: access,
            object: level === 'root' ? aboutNamedKey(owner) : aboutKey(await currentKeyId(tx, owner)),
            // Half of it would be done later anyway: what older keys sealed is found and sealed anew.
            isCancellable: false,
            startedBy: callerName(callerOf(caller)),
          },
        )
        const begun = await findOperation(tx, organisation, operation)
        if (begun === undefined) throw new Error('unreachable: it was made in this transaction')
        return {
          answer: { status: 202, body: shapeOperation(begun), headers: { Location: operationUrl(operation) } },
          object: operation,
          details: { level },
        }
      }),
  })

/** undefined: there never was a key. @throws Problem 404 once they are destroyed, which ends the project */
async function currentKeyId(tx: Tx, owner: KeyOwner): Promise<string | undefined> {
  const keys = await listProjectKeys(tx, owner)
  const current = keys.find(({ state }) => state === 'current')
  if (current === undefined && keys.length > 0) throw notFound()
  return current?.id
}
