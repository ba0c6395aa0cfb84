// What a tenant is: its organisation, domains and licences, and whose domain a name is.
import type { Domain } from '../tenants/objects.ts'
import { DIRECTORY_TYPES, objectsByIds } from './directory-objects.ts'
import { collectionOf, entity } from './entity.ts'
import type { Entity } from './entity.ts'
import { json, parameter } from './graph-call.ts'
import type { GraphAnswer, GraphCall, GraphHandler } from './graph-call.ts'
import { GraphFault, notFound } from './graph-error.ts'
import { readSelect } from './list-options.ts'
import { answerList, contextOf, shownEntity } from './listing.ts'

export const tenantHandlers: Readonly<Record<string, GraphHandler>> = {
  'GET /organization': (call) =>
    answerList(call, {
      types: ['organization'],
      isDirectory: false,
      context: 'organization',
      entities: collectionOf([organization(call)]),
    }),
  'GET /domains': (call) =>
    answerList(call, {
      types: ['domain'],
      isDirectory: false,
      context: 'domains',
      entities: collectionOf(call.tenant.data.domains.map(domainEntity)),
    }),
  'GET /domains/{domain-id}': (call) => {
    const select = readSelect(call, ['domain'])
    return json({
      '@odata.context': contextOf(call, 'domains', select, '/$entity'),
      ...shownEntity(call, domainEntity(findDomain(call)), { select, expand: undefined }, false),
    })
  },
  'GET /domains/{domain-id}/domainNameReferences': domainNameReferences,
  'GET /subscribedSkus': (call) =>
    answerList(call, {
      types: ['subscribedSku'],
      isDirectory: false,
      context: 'subscribedSkus',
      entities: collectionOf(subscribedSkus(call)),
    }),
  "GET /tenantRelationships/findTenantInformationByDomainName(domainName='{domainName}')": (call) => {
    const name = parameter(call, 'domainName').toLowerCase()
    const found = [...call.services.tenants.values()].find(({ data }) =>
      data.domains.some((each) => each.isVerified && each.id.toLowerCase() === name),
    )
    if (found === undefined) {
      throw new GraphFault(
        404,
        'Directory_ObjectNotFound',
        'Unable to read the company information from the directory.',
      )
    }
    const { displayName, domains } = found.data
    return json({
      '@odata.context': contextOf(call, 'microsoft.graph.tenantInformation', undefined),
      tenantId: found.id,
      federationBrandName: null,
      displayName,
      defaultDomainName: domains.find(({ isDefault }) => isDefault)?.id ?? null,
    })
  },
}

function organization({ tenant: { data } }: GraphCall): Entity {
  return entity('organization', data.id, {
    displayName: data.displayName,
    countryLetterCode: data.countryLetterCode,
    tenantType: 'AAD',
    ...(data.isSyncedFromOnPremises ? { onPremisesSyncEnabled: true } : {}),
    verifiedDomains: data.domains
      .filter(({ isVerified }) => isVerified)
      .map(({ id, isDefault, isInitial, authenticationType, supportedServices }) => ({
        capabilities: supportedServices.join(', '),
        isDefault,
        isInitial,
        name: id,
        type: authenticationType,
      })),
  })
}

function domainEntity({ id, ...domain }: Domain): Entity {
  return entity('domain', id, {
    authenticationType: domain.authenticationType,
    isAdminManaged: true,
    isDefault: domain.isDefault,
    isInitial: domain.isInitial,
    isRoot: true,
    isVerified: domain.isVerified,
    supportedServices: domain.supportedServices,
    ...(domain.isVerified ? { passwordValidityPeriodInDays: 2_147_483_647, passwordNotificationWindowInDays: 14 } : {}),
  })
}

function findDomain(call: GraphCall): Domain {
  const name = parameter(call, 'domain-id')
  const found = call.tenant.data.domains.find(({ id }) => id.toLowerCase() === name.toLowerCase())
  if (found === undefined) throw notFound(name.slice(0, 200))
  return found
}

/** Whoever has a name or an address in the domain. */
function domainNameReferences(call: GraphCall): GraphAnswer {
  const ending = `@${findDomain(call).id.toLowerCase()}`
  const ids = [...call.index.ids('user'), ...call.index.ids('group'), ...call.index.ids('orgContact')]
  const all = objectsByIds(call, ids)
  const entities = {
    length: all.length,
    at(position: number) {
      const object = all.at(position)
      return object !== undefined && isNamed(object, ending) ? object : undefined
    },
  }
  return answerList(call, { types: DIRECTORY_TYPES, isDirectory: true, context: 'directoryObjects', entities })
}

function isNamed({ properties }: Entity, ending: string): boolean {
  const { userPrincipalName, mail, proxyAddresses } = properties
  const names: unknown[] = [userPrincipalName, mail, ...(Array.isArray(proxyAddresses) ? proxyAddresses : [])]
  return names.some((name) => typeof name === 'string' && name.toLowerCase().endsWith(ending))
}

function subscribedSkus({ tenant, index }: GraphCall): Entity[] {
  const consumed = new Map<string, number>()
  for (const id of index.ids('user')) {
    const assigned = tenant.object(id)?.properties['assignedLicenses']
    if (!Array.isArray(assigned)) continue
    for (const { skuId } of assigned as { skuId: string }[]) consumed.set(skuId, (consumed.get(skuId) ?? 0) + 1)
  }
  return tenant.data.licences.map(({ skuId, skuPartNumber, enabled, servicePlans }) =>
    entity('subscribedSku', `${tenant.id}_${skuId}`, {
      accountId: tenant.id,
      accountName: tenant.data.displayName,
      appliesTo: 'User',
      capabilityStatus: 'Enabled',
      consumedUnits: consumed.get(skuId) ?? 0,
      prepaidUnits: { enabled, suspended: 0, warning: 0, lockedOut: 0 },
      servicePlans: servicePlans.map((plan) => ({ ...plan, provisioningStatus: 'Success', appliesTo: 'User' })),
      skuId,
      skuPartNumber,
      subscriptionIds: [],
    }),
  )
}
