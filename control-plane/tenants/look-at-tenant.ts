// One look at a tenant: who it says it is, what it grants, whether Exchange lets us in, which domains it has. Reads only; decides nothing.
// (microsoft-365.md §2.3, §2.4)
import type { MicrosoftClients } from '../microsoft/clients.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import { missingFrom, neededFor } from './capabilities.ts'
import type { Choices } from './capabilities.ts'
import type { ExchangeState, Look } from './consent.ts'
import { detailsOf } from './in-tenant.ts'
import { EXCHANGE_APP_ID, EXCHANGE_MANAGE_AS_APP, GRAPH_APP_ID } from './permission-sets.ts'

export interface TenantDomains {
  /** A-labels: those that take mail. */
  readonly accepted: readonly string[]
  readonly initial: string | undefined
}

export interface TenantLook {
  readonly look: Look
  /** undefined: not seen. */
  readonly domains?: TenantDomains
}

export interface LookedAt {
  readonly entraTenantId: string
  readonly clientId: string
  readonly choices: Choices
}

interface Role {
  readonly id: string
  readonly value: string | null
}

interface GraphDomain {
  readonly id: string
  readonly isVerified: boolean
  readonly isInitial: boolean
  readonly supportedServices: readonly string[]
}

/** @throws for faults of ours only */
export async function lookAtTenant(
  { graph, exchange }: MicrosoftClients,
  { entraTenantId, clientId, choices }: LookedAt,
  signal?: AbortSignal,
): Promise<TenantLook> {
  const options = signal === undefined ? {} : { signal }
  try {
    const { items: organisations } = await graph.page<{ id: string }>(
      { path: '/organization' },
      { operation: 'GET /organization', query: { $select: 'id' }, ...options },
    )
    // An app token alone proves nothing; but one that answers for another tenant proves that something is wrong.
    if (organisations[0]?.id.toLowerCase() !== entraTenantId)
      throw new MicrosoftError('UNEXPECTED', { operation: 'GET /organization', serviceCode: 'another-tenant' })
    const granted = await grantedRoles(graph, clientId, options)
    const needed = neededFor(choices)
    const missing = missingFrom(needed.permissions, granted)
    const asksExchange = needed.permissions.some(({ name }) => name === EXCHANGE_MANAGE_AS_APP.name)
    const exchangeState = asksExchange ? await exchangeStateOf(exchange, options) : 'not-asked'
    const domains = await domainsOf(graph, options)
    return { look: { kind: 'seen', granted, missing, exchange: exchangeState }, domains }
  } catch (error) {
    if (!(error instanceof MicrosoftError)) throw error
    return { look: { kind: 'failed', problem: error.code, details: detailsOf(error) } }
  }
}

/** More than any application has roles; and pages may lead back to one another. */
const MAX_PAGES = 50

type Options = { readonly signal?: AbortSignal }

/** Names of the application roles that the tenant granted, of Graph and of Exchange. Ids are the tenant's own word, not a list of ours. */
async function grantedRoles(graph: MicrosoftClients['graph'], clientId: string, options: Options): Promise<string[]> {
  const principalOf = async (appId: string) => {
    const { items } = await graph.page<{ id: string; appRoles?: readonly Role[] }>(
      { path: '/servicePrincipals' },
      {
        operation: 'GET /servicePrincipals',
        query: { $filter: `appId eq '${appId}'`, $select: 'id,appId,appRoles' },
        ...options,
      },
    )
    return items[0]
  }
  const own = await principalOf(clientId)
  if (own === undefined) throw new MicrosoftError('CONSENT_MISSING', { operation: 'GET /servicePrincipals' })
  const roles = new Map<string, string>()
  for (const appId of [GRAPH_APP_ID, EXCHANGE_APP_ID])
    for (const { id, value } of (await principalOf(appId))?.appRoles ?? []) if (value !== null) roles.set(id, value)
  const granted = new Set<string>()
  const operation = 'GET /servicePrincipals/{servicePrincipal-id}/appRoleAssignments'
  let at: { readonly path: string } | { readonly link: string } | undefined = {
    path: `/servicePrincipals/${encodeURIComponent(own.id)}/appRoleAssignments`,
  }
  for (let pages = 0; at !== undefined && pages < MAX_PAGES; pages++) {
    const page: { items: readonly { appRoleId: string }[]; next: string | undefined } = await graph.page<{
      appRoleId: string
    }>(at, { operation, ...options })
    for (const { appRoleId } of page.items) {
      const name = roles.get(appRoleId)
      if (name !== undefined) granted.add(name)
    }
    at = page.next === undefined ? undefined : { link: page.next }
  }
  return [...granted].toSorted()
}

/** Whether the application holds Exchange's own roles too: the permission alone opens nothing. */
async function exchangeStateOf(exchange: MicrosoftClients['exchange'], options: Options): Promise<ExchangeState> {
  try {
    for await (const _ of exchange.read('Get-OrganizationConfig', {}, { select: ['Name'], ...options })) break
    return 'ready'
  } catch (error) {
    if (!(error instanceof MicrosoftError)) throw error
    return error.code === 'RBAC_MISSING' || error.code === 'CONSENT_MISSING' ? 'missing' : 'unknown'
  }
}

async function domainsOf(graph: MicrosoftClients['graph'], options: Options): Promise<TenantDomains> {
  const { items } = await graph.page<GraphDomain>({ path: '/domains' }, { operation: 'GET /domains', ...options })
  const verified = items.filter(({ isVerified }) => isVerified)
  const named = (domains: readonly GraphDomain[]) =>
    domains.map(({ id }) => normaliseDomain(id)).filter((name) => name !== undefined)
  const takesMail = ({ supportedServices }: GraphDomain) => supportedServices.includes('Email')
  return {
    accepted: named(verified.filter(takesMail)).toSorted(),
    initial: named(verified.filter(({ isInitial }) => isInitial))[0],
  }
}
