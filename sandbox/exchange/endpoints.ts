// HTTP of the simulated Exchange admin API, as the Exchange Online module speaks it: InvokeCommand and its batch. Who asks, for which tenant, and how
// many at a time is decided here; what a call is and does, in invoke.ts.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SandboxServices } from '../services.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { EXCHANGE_APP_ROLE, EXCHANGE_AUDIENCE, refuse, unauthenticated } from './access.ts'
import { runBatch } from './batch.ts'
import { defaultBehaviour } from './behaviour.ts'
import type { ExchangeBehaviour } from './behaviour.ts'
import { CMDLETS } from './cmdlets.ts'
import type { CmdletTable } from './cmdlets.ts'
import { badRequest } from './exchange-error.ts'
import { plainError, underFault } from './http-answer.ts'
import type { HttpAnswer } from './http-answer.ts'
import { invoke, refused, wrong } from './invoke.ts'
import { RecipientIndex } from './recipient-index.ts'
import { readBody, sendAnswer } from './wire.ts'

/** What is kept of a tenant between calls. */
interface TenantState {
  readonly recipients: RecipientIndex
  inFlight: number
}

interface Target {
  readonly version: string
  /** As in the path: GUID or domain. */
  readonly tenant: string
  readonly resource: 'InvokeCommand' | '$batch'
}

const states = new WeakMap<SimulatedTenant, TenantState>()
const DEFAULTS = defaultBehaviour()

/** @param cmdlets  default: those that are simulated */
export async function handleExchange(
  services: SandboxServices,
  request: IncomingMessage,
  response: ServerResponse,
  cmdlets: CmdletTable = CMDLETS,
): Promise<void> {
  const behaviour = services.exchangeBehaviour ?? DEFAULTS
  const answer = await answerTo(services, behaviour, request, cmdlets)
  await sendAnswer(request, response, answer, behaviour.gzip)
}

async function answerTo(
  services: SandboxServices,
  behaviour: ExchangeBehaviour,
  request: IncomingMessage,
  cmdlets: CmdletTable,
): Promise<HttpAnswer> {
  const at = { services, behaviour }
  const url = URL.parse(request.url ?? '/', 'http://exchange')
  const target = url === null ? undefined : targetOf(url.pathname)
  if (url === null || target === undefined) {
    return refused(at, 'path', [wrong('unknown-operation', 'path', 'there is no such resource')], () =>
      badRequest('The request is for no resource of this service.', 404),
    )
  }
  if (request.method !== 'POST') {
    return refused(at, target.resource, [wrong('unknown-operation', 'method', 'calls and links are POSTed')], () =>
      badRequest('The requested resource does not support this method.', 405),
    )
  }
  const text = await readBody(request)
  if (text === undefined) return plainError(413, 'The request is too large.')
  const caller = await services.callerOf(request.headers.authorization, EXCHANGE_AUDIENCE)
  if (caller === undefined) return unauthenticated()
  const tenant = findTenant(services, target.tenant)
  if (tenant === undefined || tenant.id !== caller.tenantId) {
    return refuse(behaviour, 'The token is not of the organization that the request is for.')
  }
  if (!caller.roles.includes(EXCHANGE_APP_ROLE)) {
    return refuse(behaviour, `The application lacks the permission ${EXCHANGE_APP_ROLE}.`)
  }
  const state = stateOf(tenant)
  if (behaviour.concurrency !== undefined && state.inFlight >= behaviour.concurrency) {
    // There are no published limits, and no Retry-After with them.
    return plainError(429, 'Too many concurrent requests for this organization.')
  }
  state.inFlight++
  try {
    if (behaviour.delayMs > 0) await sleep(behaviour.delayMs)
    const exchange = { services, behaviour, tenant, recipients: state.recipients, caller, cmdlets }
    const body = parseJson(text)
    const invokePath = `/adminapi/${target.version}/${target.tenant}/InvokeCommand`
    if (target.resource === '$batch') {
      const goesOn = /odata\.continue-on-error/i.test(headerOf(request, 'prefer') ?? '')
      const fault = services.faults.take({
        service: 'exchange',
        tenantId: tenant.id,
        operation: '$batch',
        isWrite: false,
      })
      return await underFault(fault, () => runBatch(exchange, body, invokePath, goesOn))
    }
    const headers = (name: string) => headerOf(request, name)
    return await invoke(exchange, { path: invokePath, query: url.searchParams, headers, body })
  } finally {
    state.inFlight--
  }
}

function targetOf(path: string): Target | undefined {
  const [, version, tenant, name = ''] = /^\/adminapi\/(beta|v1\.0)\/([\w.-]+)\/([^/]+)$/i.exec(path) ?? []
  if (version === undefined || tenant === undefined) return undefined
  const resource = name.replace(/^%24/, '$').toLowerCase()
  if (resource === 'invokecommand') return { version: version.toLowerCase(), tenant, resource: 'InvokeCommand' }
  return resource === '$batch' ? { version: version.toLowerCase(), tenant, resource: '$batch' } : undefined
}

function findTenant({ tenants }: SandboxServices, named: string): SimulatedTenant | undefined {
  const name = named.toLowerCase()
  const owns = ({ data }: SimulatedTenant) =>
    data.domains.some(({ id, isVerified }) => isVerified && id.toLowerCase() === name)
  return tenants.get(name) ?? [...tenants.values()].find((tenant) => owns(tenant))
}

function stateOf(tenant: SimulatedTenant): TenantState {
  let state = states.get(tenant)
  if (state === undefined) {
    state = { recipients: new RecipientIndex(tenant), inFlight: 0 }
    states.set(tenant, state)
  }
  return state
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** undefined: not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    // Told as any other body that is none.
    return undefined
  }
}
