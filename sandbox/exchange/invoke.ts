// One InvokeCommand, alone or in a batch: is it a call that Microsoft publishes, may the caller make it, and what comes of it.
import { judgeCmdlet } from '../contract/cmdlet-call.ts'
import { isRead } from '../contract/management-roles.ts'
import type { Violation, ViolationRule } from '../contract/violation.ts'
import type { AppCaller, SandboxServices } from '../services.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { refusalByRoles } from './access.ts'
import type { ExchangeBehaviour } from './behaviour.ts'
import type { Cmdlet, CmdletAnswer } from './cmdlet.ts'
import type { CmdletTable } from './cmdlets.ts'
import {
  ExchangeError,
  badRequest,
  errorBody,
  notSimulated,
  unboundParameters,
  unfitValue,
  unknownCmdlet,
} from './exchange-error.ts'
import { jsonAnswer, underFault } from './http-answer.ts'
import type { HttpAnswer } from './http-answer.ts'
import { checkHeaders, readInput, readPageSize, readSelect } from './invocation.ts'
import type { Invocation } from './invocation.ts'
import { EXCHANGE_ORIGIN, nextLink, readSkipToken } from './next-link.ts'
import type { PagePlace, PagedCall } from './next-link.ts'
import { Parameters } from './parameters.ts'
import type { RecipientIndex } from './recipient-index.ts'
import { logWrite } from './write-log.ts'

export interface Exchange {
  readonly services: SandboxServices
  readonly behaviour: ExchangeBehaviour
  readonly tenant: SimulatedTenant
  readonly recipients: RecipientIndex
  readonly caller: AppCaller
  readonly cmdlets: CmdletTable
}

/** Of the module alone: they have endpoints of their own, or none. */
const NOT_INVOKED = /^(?:Get-EXO\w+|(?:Dis)?Connect-ExchangeOnline|Get-ConnectionInformation)$/i

export async function invoke(exchange: Exchange, invocation: Invocation): Promise<HttpAnswer> {
  const { services, tenant } = exchange
  const input = readInput(invocation.body)
  if (input === undefined) {
    return refused(exchange, 'InvokeCommand', [wrong('wrong-type', 'body', 'it is no CmdletInput')], () =>
      badRequest('The request body is not a CmdletInput with CmdletName and Parameters.'),
    )
  }
  const published = services.contracts.cmdlets.byName.get(input.name.toLowerCase())
  const name = published?.name ?? input.name
  const call = { tenantId: tenant.id, operation: name.slice(0, 60), isWrite: !isRead(name) }
  const fault = services.faults.take({ service: 'exchange', ...call })
  return underFault(fault, () => carryOut(exchange, invocation, { ...input, name }))
}

async function carryOut(
  exchange: Exchange,
  invocation: Invocation,
  { name, parameters }: { readonly name: string; readonly parameters: Readonly<Record<string, unknown>> },
): Promise<HttpAnswer> {
  const { services, behaviour, tenant, caller } = exchange
  const { violations } = judgeCmdlet(services.contracts, name, parameters)
  const published = services.contracts.cmdlets.byName.get(name.toLowerCase())
  if (published === undefined || NOT_INVOKED.test(name)) {
    const unknown = violations[0] ?? wrong('unknown-cmdlet', name.slice(0, 60), 'InvokeCommand does not have it')
    return refused(exchange, name, [unknown], () => unknownCmdlet(name))
  }
  const isWrite = !isRead(name)
  services.record.use('exchange', name, 'documented', isWrite, tenant.id)
  const faultyHeaders = checkHeaders(invocation, name)
  if (faultyHeaders.length > 0) {
    return refused(exchange, name, faultyHeaders, () => badRequest(faultyHeaders.map((each) => each.message).join(' ')))
  }
  const refusal = refusalByRoles(services, behaviour, caller, { name, isWrite })
  if (refusal !== undefined) return refusal
  if (violations.length > 0) return refused(exchange, name, violations, () => errorOf(violations))
  const cmdlet = exchange.cmdlets.get(name.toLowerCase())
  const canonical = Object.fromEntries(
    Object.entries(parameters).map(([as, value]) => [published.parameters.get(as.toLowerCase())?.name ?? as, value]),
  )
  const ignored = cmdlet === undefined ? name : ignoredParameter(cmdlet, new Parameters(canonical))
  if (cmdlet === undefined || ignored !== undefined) {
    const what = cmdlet === undefined ? name : `${name} -${ignored ?? ''}`
    return refused(exchange, name, [wrong('not-simulated', what, 'the simulated Exchange does not do it')], () =>
      notSimulated(what),
    )
  }
  try {
    return await run(exchange, invocation, cmdlet, new Parameters(canonical))
  } catch (error) {
    if (error instanceof ExchangeError) return errorAnswer(exchange, error)
    throw error
  }
}

async function run(
  exchange: Exchange,
  invocation: Invocation,
  cmdlet: Cmdlet,
  parameters: Parameters,
): Promise<HttpAnswer> {
  const { services, tenant, behaviour } = exchange
  const nowMs = services.clock.nowMs()
  const paged: PagedCall = {
    path: invocation.path,
    select: invocation.query.get('$select') ?? undefined,
    input: readInput(invocation.body),
  }
  const token = invocation.query.get('$skiptoken')
  const place = token === null ? undefined : readSkipToken(token, paged)
  if (token !== null && place === undefined) {
    const message = 'a link is POSTed with the body of the call that it was handed out for'
    return refused(exchange, cmdlet.name, [wrong('wrong-link', '$skiptoken', message)], () =>
      badRequest('The skip token is not valid for this request.'),
    )
  }
  const answer = await cmdlet.run({
    parameters,
    tenant,
    recipients: exchange.recipients,
    services,
    behaviour,
    isVisible: (id) => tenant.isVisible(id, nowMs),
    select: readSelect(paged.select),
  })
  if (cmdlet.isWrite) {
    const { guid } = answer
    const write = { tenantId: tenant.id, cmdlet: cmdlet.name, parameters: parameters.given, atMs: nowMs }
    logWrite(services, guid === undefined ? write : { ...write, guid })
  }
  return pageOf(exchange, paged, answer, {
    size: readPageSize(invocation.headers('prefer')),
    resultSize: parameters.resultSize(),
    place,
  })
}

function pageOf(
  { behaviour, tenant }: Exchange,
  paged: PagedCall,
  { rows, defaultSize = Number.POSITIVE_INFINITY, warnings = [] }: CmdletAnswer,
  asked: { readonly size: number; readonly resultSize: number | undefined; readonly place: PagePlace | undefined },
): HttpAnswer {
  const { size, resultSize, place } = asked
  const left = place === undefined ? (resultSize ?? defaultSize) : (place.left ?? Number.POSITIVE_INFINITY)
  const wanted = Math.min(size, left)
  const value: Record<string, unknown>[] = []
  let cursor = place?.cursor
  let hasMore = false
  for (const row of rows(cursor)) {
    if (value.length === wanted) {
      hasMore = true
      break
    }
    value.push(row.read())
    cursor = row.cursor
  }
  const leftAfter = left - value.length
  const next =
    hasMore && leftAfter > 0 && cursor !== undefined
      ? nextLink(paged, { cursor, left: Number.isFinite(leftAfter) ? leftAfter : null })
      : undefined
  const cutOff = hasMore && leftAfter === 0 ? [truncated(resultSize)] : []
  return jsonAnswer(
    200,
    {
      '@odata.context': `${EXCHANGE_ORIGIN}/adminapi/beta/${tenant.id}/$metadata#Collection(Exchange.GenericHashTable)`,
      'adminapi.warnings@odata.type': '#Collection(String)',
      '@adminapi.warnings': [...behaviour.warnings, ...warnings, ...cutOff],
      value,
      ...(next === undefined ? {} : { '@odata.nextLink': next }),
    },
    { 'preference-applied': `odata.maxpagesize=${size}` },
  )
}

function truncated(resultSize: number | undefined): string {
  return resultSize === undefined
    ? 'By default, only the first 1000 items are returned. Use the ResultSize parameter to specify the number of items returned. To return all items, specify "-ResultSize Unlimited".'
    : 'There are more results available than are currently displayed. To view them, increase the value for the ResultSize parameter.'
}

function ignoredParameter({ heeds }: Cmdlet, parameters: Parameters): string | undefined {
  const heeded = new Set(heeds.map((each) => each.toLowerCase()))
  // A switch that is off asks for nothing.
  return parameters.names.find((name) => !heeded.has(name.toLowerCase()) && parameters.value(name) !== false)
}

function errorOf(violations: readonly Violation[]): ExchangeError {
  const [first] = violations
  const named = violations.map(({ where }) => parameterOf(where))
  return first?.rule === 'wrong-type' || first?.rule === 'value-not-allowed'
    ? unfitValue(parameterOf(first.where), `Cannot convert value: ${first.message}.`)
    : unboundParameters(named)
}

/** `Get-Mailbox -Identity` → `Identity` */
function parameterOf(where: string): string {
  return / -(.+)$/s.exec(where)?.[1] ?? ''
}

/** Answered as Exchange would, and recorded: the product must not call like that. */
export function refused(
  exchange: Pick<Exchange, 'services' | 'behaviour'>,
  request: string,
  violations: readonly Violation[],
  error: () => ExchangeError,
): HttpAnswer {
  for (const violation of violations)
    exchange.services.record.violation({ ...violation, request: request.slice(0, 60) })
  return errorAnswer(exchange, error())
}

function errorAnswer({ behaviour }: Pick<Exchange, 'behaviour'>, error: ExchangeError): HttpAnswer {
  return jsonAnswer(error.facts.status, errorBody(error, behaviour.warnings))
}

export function wrong(rule: ViolationRule, where: string, message: string): Violation {
  return { rule, where, message, status: 400 }
}
