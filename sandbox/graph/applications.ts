// /servicePrincipals: applications as the tenant knows them, Microsoft's own among them, and the roles they were granted.
import { RESOURCES, appRoleAssignmentsOf, resourcePrincipalId, rolesOf } from './app-roles.ts'
import { collectionOf, entity } from './entity.ts'
import type { Entity } from './entity.ts'
import { json, parameter } from './graph-call.ts'
import type { GraphCall, GraphHandler } from './graph-call.ts'
import { notFound } from './graph-error.ts'
import { readSelect } from './list-options.ts'
import { answerList, contextOf, shownEntity } from './listing.ts'

/** Where Microsoft's own applications are at home. */
const MICROSOFT_SERVICES = 'f8cdef31-a31e-4b4a-93e4-5f571e91255a'

export const applicationHandlers: Readonly<Record<string, GraphHandler>> = {
  'GET /servicePrincipals': (call) =>
    answerList(call, {
      types: ['servicePrincipal'],
      isDirectory: true,
      context: 'servicePrincipals',
      entities: collectionOf(servicePrincipals(call)),
    }),
  'GET /servicePrincipals/{servicePrincipal-id}': (call) => {
    const select = readSelect(call, ['servicePrincipal'])
    return json({
      '@odata.context': contextOf(call, 'servicePrincipals', select, '/$entity'),
      ...shownEntity(call, findPrincipal(call), { select, expand: undefined }, false),
    })
  },
  'GET /servicePrincipals/{servicePrincipal-id}/appRoleAssignments': (call) =>
    answerList(call, {
      types: ['appRoleAssignment'],
      isDirectory: true,
      context: 'appRoleAssignments',
      entities: collectionOf(appRoleAssignmentsOf(call, findPrincipal(call).id)),
    }),
  // Nobody in the simulated tenants has agreed to an application for himself.
  'GET /oauth2PermissionGrants': (call) =>
    answerList(call, {
      types: ['oAuth2PermissionGrant'],
      isDirectory: true,
      context: 'oauth2PermissionGrants',
      entities: collectionOf([]),
    }),
}

function findPrincipal(call: GraphCall): Entity {
  const id = parameter(call, 'servicePrincipal-id')
  const found = servicePrincipals(call).find((each) => each.id === id.toLowerCase())
  if (found === undefined) throw notFound(id.slice(0, 200))
  return found
}

function servicePrincipals(call: GraphCall): Entity[] {
  const { services, tenant } = call
  const own = [...RESOURCES].map(([appId, displayName]) =>
    entity('servicePrincipal', resourcePrincipalId(tenant.id, appId), {
      ...principalMembers(appId, displayName),
      appOwnerOrganizationId: MICROSOFT_SERVICES,
      appRoles: rolesOf(services.contracts, appId).map(({ id, name }) => ({
        allowedMemberTypes: ['Application'],
        description: name,
        displayName: name,
        id,
        isEnabled: true,
        origin: 'Application',
        value: name,
      })),
    }),
  )
  const others = services
    .servicePrincipals(tenant.id)
    .filter(({ appId }) => !RESOURCES.has(appId))
    .map(({ id, appId, displayName }) => entity('servicePrincipal', id, principalMembers(appId, displayName)))
  return [...own, ...others]
}

function principalMembers(appId: string, displayName: string) {
  return {
    accountEnabled: true,
    appDisplayName: displayName,
    appId,
    appRoleAssignmentRequired: false,
    displayName,
    servicePrincipalNames: [appId],
    servicePrincipalType: 'Application',
    signInAudience: 'AzureADMultipleOrgs',
  }
}
