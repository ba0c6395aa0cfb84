// Application roles: those that Graph and Exchange have, by the ids of the published permission sets, and who was granted which.
import type { Contracts } from '../contract/contracts.ts'
import type { ServicePrincipalFacts } from '../services.ts'
import { entity } from './entity.ts'
import type { Entity } from './entity.ts'
import type { GraphCall } from './graph-call.ts'
import { stableGuid } from './stable-guid.ts'

export const GRAPH_APP = '00000003-0000-0000-c000-000000000000'
export const EXCHANGE_APP = '00000002-0000-0ff1-ce00-000000000000'

/** Microsoft's own, present in every tenant. */
export const RESOURCES: ReadonlyMap<string, string> = new Map([
  [GRAPH_APP, 'Microsoft Graph'],
  [EXCHANGE_APP, 'Office 365 Exchange Online'],
])

export interface AppRole {
  readonly id: string
  readonly name: string
}

const rolesOfContracts = new WeakMap<Contracts, ReadonlyMap<string, readonly AppRole[]>>()

/** Of a resource, by its application id, in the order of names; none for one that isn't published. */
export function rolesOf(contracts: Contracts, resourceAppId: string): readonly AppRole[] {
  let all = rolesOfContracts.get(contracts)
  if (all === undefined) {
    all = readRoles(contracts)
    rolesOfContracts.set(contracts, all)
  }
  return all.get(resourceAppId) ?? []
}

export function resourcePrincipalId(tenantId: string, appId: string): string {
  return stableGuid('service principal', tenantId, appId)
}

/** Of a user or service principal of the tenant. */
export function appRoleAssignmentsOf(call: GraphCall, principalId: string): Entity[] {
  const principal = call.services.servicePrincipals(call.tenant.id).find(({ id }) => id === principalId)
  return principal === undefined ? [] : grantsTo(call, principal)
}

function grantsTo(call: GraphCall, { id, displayName, grantedRoles }: ServicePrincipalFacts): Entity[] {
  const { contracts } = call.services
  return Object.entries(grantedRoles).flatMap(([resourceAppId, names]) =>
    names.map((name) => {
      const role = rolesOf(contracts, resourceAppId).find((each) => each.name === name)
      return entity('appRoleAssignment', Buffer.from(`${id} ${resourceAppId} ${name}`).toString('base64url'), {
        // A role that isn't among the published sets has an id all the same.
        appRoleId: role?.id ?? stableGuid('role', resourceAppId, name),
        principalDisplayName: displayName,
        principalId: id,
        principalType: 'ServicePrincipal',
        resourceDisplayName: RESOURCES.get(resourceAppId) ?? resourceAppId,
        resourceId: resourcePrincipalId(call.tenant.id, resourceAppId),
      })
    }),
  )
}

function readRoles({ permissionSets }: Contracts): ReadonlyMap<string, readonly AppRole[]> {
  const found = new Map<string, Map<string, string>>()
  const add = (resourceAppId: string | undefined, name: string, id: string | null) => {
    if (resourceAppId === undefined || id === null) return
    const roles = found.get(resourceAppId) ?? new Map<string, string>()
    found.set(resourceAppId, roles.set(name, id))
  }
  for (const { microsoftGraph } of Object.values(permissionSets.sets)) {
    for (const { name, id } of microsoftGraph.roles) add(microsoftGraph.resourceAppId, name, id)
  }
  for (const { resource, resourceAppId, name, id } of permissionSets.otherResourceRoles) {
    add(resourceAppId ?? appNamed(resource), name, id)
  }
  const inOrder = (roles: Map<string, string>) =>
    [...roles].map(([name, id]) => ({ name, id })).toSorted((one, other) => (one.name < other.name ? -1 : 1))
  return new Map([...found].map(([appId, roles]) => [appId, inOrder(roles)]))
}

function appNamed(resource: string): string | undefined {
  return [...RESOURCES].find(([, name]) => name === resource)?.[0]
}
