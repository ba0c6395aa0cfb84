// /users and what hangs on a user: manager, licences, groups, applications, drive.
import { DIRECTORY_TYPES, allOf, findUser, managerOf, objectsByIds } from './directory-objects.ts'
import { collectionOf, entity } from './entity.ts'
import { json, parameter } from './graph-call.ts'
import type { GraphAnswer, GraphCall, GraphHandler } from './graph-call.ts'
import { GraphFault, accessDenied, notFound } from './graph-error.ts'
import { readExpand, readSelect } from './list-options.ts'
import { answerCount, answerList, contextOf, shownEntity } from './listing.ts'
import type { Listed } from './listing.ts'
import { appRoleAssignmentsOf } from './app-roles.ts'
import { BASIC_MEMBERS, sightOf } from './sight.ts'
import { stableGuid } from './stable-guid.ts'

const USERS = { types: ['user'], isDirectory: true } as const

export const userHandlers: Readonly<Record<string, GraphHandler>> = {
  'GET /users': (call) => {
    refuseHidden(call)
    return answerList(call, listed(call))
  },
  'GET /users/$count': (call) => answerCount(call, listed(call)),
  'GET /users/{user-id}': (call) => {
    refuseHidden(call)
    const user = findUser(call, parameter(call, 'user-id'))
    const options = { select: readSelect(call, USERS.types), expand: readExpand(call, USERS) }
    return json({
      '@odata.context': contextOf(call, 'users', options.select, '/$entity'),
      ...shownEntity(call, user, options, false),
    })
  },
  'GET /users/{user-id}/manager': (call) => {
    const manager = managerOf(call, findUser(call, parameter(call, 'user-id')))
    if (manager === undefined) throw notFound('manager')
    const select = readSelect(call, DIRECTORY_TYPES)
    return json({
      '@odata.context': contextOf(call, 'directoryObjects', select, '/$entity'),
      ...shownEntity(call, manager, { select, expand: undefined }, true),
    })
  },
  'GET /users/{user-id}/memberOf': (call) => {
    const { id } = findUser(call, parameter(call, 'user-id'))
    const entities = objectsByIds(call, call.index.groupsOf(id))
    return answerList(call, { types: DIRECTORY_TYPES, isDirectory: true, context: 'directoryObjects', entities })
  },
  'GET /users/{user-id}/licenseDetails': licenseDetails,
  'GET /users/{user-id}/appRoleAssignments': (call) => {
    const { id } = findUser(call, parameter(call, 'user-id'))
    return answerList(call, {
      types: ['appRoleAssignment'],
      isDirectory: true,
      context: `appRoleAssignments`,
      entities: collectionOf(appRoleAssignmentsOf(call, id)),
    })
  },
  'GET /users/{user-id}/drive': drive,
}

function listed(call: GraphCall): Listed {
  return { ...USERS, context: 'users', entities: allOf(call, 'user') }
}

/** Whoever reads basic profiles alone may not ask for more of them. @throws GraphFault 403 */
function refuseHidden(call: GraphCall): void {
  if (sightOf('user', call.caller.roles) !== 'basic') return
  const select = readSelect(call, USERS.types) ?? []
  if (select.some((name) => name !== 'id' && !BASIC_MEMBERS.has(name))) throw accessDenied()
}

function licenseDetails(call: GraphCall): GraphAnswer {
  const { id, properties } = findUser(call, parameter(call, 'user-id'))
  const assigned = Array.isArray(properties['assignedLicenses']) ? properties['assignedLicenses'] : []
  const details = assigned.flatMap(({ skuId }: { skuId: string }) => {
    const licence = call.tenant.data.licences.find((each) => each.skuId === skuId)
    if (licence === undefined) return []
    const servicePlans = licence.servicePlans.map((plan) => ({
      ...plan,
      provisioningStatus: 'Success',
      appliesTo: 'User',
    }))
    const { skuPartNumber } = licence
    return [entity('licenseDetails', stableGuid(id, skuId), { skuId, skuPartNumber, servicePlans })]
  })
  return answerList(call, {
    types: ['licenseDetails'],
    isDirectory: false,
    context: `users('${id}')/licenseDetails`,
    entities: collectionOf(details),
  })
}

const DRIVE_QUOTA_BYTES = 2 ** 40

function drive(call: GraphCall): GraphAnswer {
  const { id, properties } = findUser(call, parameter(call, 'user-id'))
  const found = call.tenant.data.drives[id]
  if (found === undefined) throw new GraphFault(404, 'ResourceNotFound', "User's mysite not found.")
  const select = readSelect(call, ['drive'])
  const { displayName, userPrincipalName, createdDateTime } = properties
  const host = `${initialLabel(call)}-my.sharepoint.com`
  const owner = { user: { id, displayName, email: userPrincipalName } }
  const driveEntity = entity('drive', `b!${Buffer.from(id).toString('base64url')}`, {
    name: 'OneDrive',
    driveType: 'business',
    webUrl: `https://${host}/personal/${personalFolder(userPrincipalName)}/Documents`,
    ...(createdDateTime === undefined ? {} : { createdDateTime, lastModifiedDateTime: createdDateTime }),
    owner,
    quota: {
      total: DRIVE_QUOTA_BYTES,
      used: found.usedBytes,
      remaining: Math.max(0, DRIVE_QUOTA_BYTES - found.usedBytes),
      deleted: 0,
      state: 'normal',
    },
  })
  return json({
    '@odata.context': contextOf(call, 'drives', select, '/$entity'),
    ...shownEntity(call, driveEntity, { select, expand: undefined }, false),
  })
}

/** `contoso` of contoso.onmicrosoft.com. */
export function initialLabel({ tenant }: Pick<GraphCall, 'tenant'>): string {
  const initial = tenant.data.domains.find(({ isInitial }) => isInitial)?.id ?? 'tenant.onmicrosoft.com'
  return initial.split('.')[0] ?? initial
}

/** `anna_contoso_com` */
export function personalFolder(userPrincipalName: unknown): string {
  return String(userPrincipalName).replaceAll(/[^\w]/g, '_').toLowerCase()
}
