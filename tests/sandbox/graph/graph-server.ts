// The simulated Graph on a loopback port over hand-made tenants, and a caller that names its roles. At the end of a test nothing may have been asked
// or answered against the published contracts, unless the test says so.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { SandboxClock } from '../../../sandbox/clock.ts'
import { loadContracts } from '../../../sandbox/contract/contracts.ts'
import { ContractRecord } from '../../../sandbox/contract/record.ts'
import { Faults } from '../../../sandbox/faults/faults.ts'
import { handleGraph } from '../../../sandbox/graph/endpoints.ts'
import { graphStateOf } from '../../../sandbox/graph/graph-state.ts'
import type { SandboxServices } from '../../../sandbox/services.ts'
import type { TenantData } from '../../../sandbox/tenants/objects.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'
import { APP, APP_PRINCIPAL, TENANT, otherTenant, tinyTenant } from './tiny-tenant.ts'

export const CONTRACTS = loadContracts(new URL('../../contracts', import.meta.url).pathname)
export const START_MS = Date.parse('2026-11-22T12:00:00Z')
export const ORIGIN = 'https://graph.sandbox.test'
/** Of the permission set that reads everything. */
export const READER = [
  'Directory.Read.All',
  'Reports.Read.All',
  'ReportSettings.Read.All',
  'CrossTenantInformation.ReadBasic.All',
  'Domain.Read.All',
  'Files.Read.All',
  'LicenseAssignment.Read.All',
]

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly body: any // oxlint-disable-line typescript/no-explicit-any -- tests look into it
}

export interface GraphUnderTest {
  readonly url: string
  readonly services: SandboxServices
  readonly tenant: SimulatedTenant
  readonly state: ReturnType<typeof graphStateOf>
  /** @param target  path and query below the origin, or a link that an answer held */
  readonly get: (target: string, options?: Asking) => Promise<Answer>
  readonly post: (target: string, body: unknown, options?: Asking) => Promise<Answer>
  /** Before the end of the test, and with its checks. */
  close(): void
  /** All items of all pages. */
  list(target: string, options?: Asking): Promise<Record<string, unknown>[]>
}

export interface Asking {
  readonly roles?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as they are, in place of a token with these roles. */
  readonly authorization?: string
}

export interface ServerOptions {
  readonly data?: TenantData
  /** In place of `data`. */
  readonly tenant?: SimulatedTenant
  readonly allowsViolations?: boolean
}

export async function startGraph(t: TestContext, options: ServerOptions = {}): Promise<GraphUnderTest> {
  const graph = await openGraph(options)
  t.after(() => graph.close())
  return graph
}

/** For whoever closes it himself. */
export async function openGraph(options: ServerOptions = {}): Promise<GraphUnderTest> {
  const tenant = options.tenant ?? new SimulatedTenant(options.data ?? tinyTenant())
  const record = new ContractRecord()
  let guids = 0
  const services: SandboxServices = {
    tenants: new Map([tenant, new SimulatedTenant(otherTenant())].map((each) => [each.id, each])),
    clock: new SandboxClock(() => START_MS),
    contracts: CONTRACTS,
    record,
    faults: new Faults(),
    callerOf: (authorization, audience) => Promise.resolve(callerOf(authorization, audience)),
    servicePrincipals: () => [
      {
        id: APP_PRINCIPAL,
        appId: APP,
        displayName: 'Causeway',
        grantedRoles: {
          '00000003-0000-0000-c000-000000000000': ['User.Read.All'],
          '00000002-0000-0ff1-ce00-000000000000': ['Exchange.ManageAsApp'],
        },
      },
    ],
    exchangeRoles: () => [],
    guid: () => `00000000-0000-4000-8000-${String(++guids).padStart(12, '0')}`,
  }
  const server = createServer((request, response) => {
    handleGraph(services, request, response).catch((error: unknown) => response.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    server.close()
    server.closeAllConnections()
    if (options.allowsViolations !== true) assert.deepEqual(record.violations, [])
  }
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  async function ask(method: string, target: string, asking: Asking, body?: unknown): Promise<Answer> {
    const path = target.startsWith(ORIGIN) ? target.slice(ORIGIN.length) : target
    const response = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(asking.authorization === ''
          ? {}
          : { authorization: asking.authorization ?? tokenOf(asking.roles ?? READER) }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...asking.headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(await response.arrayBuffer())
    const isJson = response.headers.get('content-type')?.includes('json') === true
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined }
  }

  const get = (target: string, asking: Asking = {}) => ask('GET', target, asking)
  return {
    url,
    services,
    tenant,
    state: graphStateOf(services),
    close,
    get,
    post: (target, body, asking = {}) => ask('POST', target, asking, body),
    async list(target, asking) {
      const items: Record<string, unknown>[] = []
      for (let next: string | undefined = target; next !== undefined;) {
        const { status, body } = await get(next, asking)
        assert.equal(status, 200)
        items.push(...(body.value as Record<string, unknown>[]))
        next = body['@odata.nextLink'] as string | undefined
      }
      return items
    },
  }
}

/** A token that says what it opens: the real ones are Entra's business. */
export function tokenOf(roles: readonly string[], tenantId = TENANT, audience = 'https://graph.microsoft.com'): string {
  return `Bearer ${Buffer.from(JSON.stringify({ tenantId, audience, roles })).toString('base64url')}`
}

function callerOf(authorization: string | undefined, audience: string) {
  if (authorization?.startsWith('Bearer ey') !== true) return undefined
  const token = JSON.parse(Buffer.from(authorization.slice(7), 'base64url').toString()) as {
    tenantId: string
    audience: string
    roles: string[]
  }
  return token.audience === audience ? { tenantId: token.tenantId, clientId: APP, roles: token.roles } : undefined
}
