// What an operation costs of which budget, by the published table (contracts: throttling.json, workloads.identity.cost). Pure.

/** Which budgets a call is charged to; `none`: only the one of all calls of an application. */
export type Workload = 'identity' | 'reports' | 'invitations' | 'files' | 'none'

export interface Costed {
  readonly method: string
  /** As published: `/groups/{group-id}/members`. */
  readonly template: string
  readonly query: URLSearchParams
}

export interface Cost {
  readonly workload: Workload
  /** Resource units, or requests where those are counted. */
  readonly units: number
  readonly isWrite: boolean
}

/** As throttling.json writes it. */
export interface PublishedCosts {
  /** Resource units and writes: by method under `default`, else by operation (`GET groups/{id}/members`). */
  readonly cost: Readonly<Record<string, unknown>>
  readonly modifiers: Readonly<Record<string, number>>
}

const IDENTITY_SEGMENTS: ReadonlySet<string> = new Set([
  'applications',
  'contacts',
  'contracts',
  'devices',
  'directory',
  'directoryObjects',
  'directoryRoles',
  'domains',
  'groups',
  'oauth2PermissionGrants',
  'organization',
  'servicePrincipals',
  'subscribedSkus',
  'users',
])

const FILES = /^\/(?:drives|shares|sites|users\/[^/]+\/drives?|groups\/[^/]+\/drives?)(?:\/|$)/
const MULTI_ITEM = /\/(?:children|delta\(\)|drives|root\/search[^/]*)$/
const PERMISSIONS = /\/(?:permissions|invite|createLink)(?:\/|$)/

export function costOf(published: PublishedCosts, call: Costed): Cost {
  const { method, template } = call
  const isWrite = method !== 'GET'
  const workload = workloadOf(template)
  switch (workload) {
    case 'identity':
      return { workload, isWrite, units: identityUnits(published, call) }
    case 'files':
      return { workload, isWrite, units: fileUnits(call, isWrite) }
    case 'reports':
    case 'invitations':
    case 'none':
      return { workload, isWrite, units: 1 }
    default:
      return workload satisfies never
  }
}

function workloadOf(template: string): Workload {
  const [, first = ''] = template.split('/', 2)
  if (FILES.test(template)) return 'files'
  if (first === 'reports') return 'reports'
  if (first === 'invitations') return 'invitations'
  return IDENTITY_SEGMENTS.has(first) ? 'identity' : 'none'
}

function identityUnits({ cost, modifiers }: PublishedCosts, { method, template, query }: Costed): number {
  const name = `${method} ${template.slice(1).replaceAll(/\{[^}]*\}/g, '{id}')}`
  const units = firstNumber(cost[name]) ?? firstNumber((cost['default'] as PublishedCosts['cost'])[method]) ?? 1
  const top = query.get('$top')
  const asked =
    units +
    (query.has('$select') ? modifier(modifiers, '$select') : 0) +
    (query.has('$expand') ? modifier(modifiers, '$expand') : 0) +
    (top !== null && Number(top) < 20 ? modifier(modifiers, '$top<20') : 0)
  return Math.max(asked, modifier(modifiers, 'minimum'))
}

function fileUnits({ template, query }: Costed, isWrite: boolean): number {
  if (PERMISSIONS.test(template) || query.get('$expand')?.includes('permissions') === true) return 5
  if (MULTI_ITEM.test(template)) return query.has('token') ? 1 : 2
  return isWrite ? 2 : 1
}

function modifier(modifiers: PublishedCosts['modifiers'], name: string): number {
  return modifiers[name] ?? 0
}

function firstNumber(row: unknown): number | undefined {
  const first: unknown = Array.isArray(row) ? row[0] : undefined
  return typeof first === 'number' ? first : undefined
}
