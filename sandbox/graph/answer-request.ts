// One request from somebody who is known, to its answer: is there such an operation, is its budget spent, may the caller, is it asked as published,
// does a fault stand in the way; and is the answer as published, too. Members of a batch come through here one by one.
import { judgeGraphAnswer } from '../contract/graph-answer.ts'
import type { GraphOperation, GraphVersion } from '../contract/graph-paths.ts'
import { isPermitted, judgeGraphRequest } from '../contract/graph-request.ts'
import type { Violation } from '../contract/violation.ts'
import type { Fault } from '../faults/faults.ts'
import type { AppCaller, SandboxServices } from '../services.ts'
import { faultyAnswer, isBroken } from './fault-effects.ts'
import { json } from './graph-call.ts'
import type { GraphAnswer, GraphCall } from './graph-call.ts'
import { GraphFault, accessDenied, errorBody } from './graph-error.ts'
import type { RequestTrace } from './graph-error.ts'
import { graphStateOf } from './graph-state.ts'
import { HANDLERS } from './handlers.ts'
import { TOKEN_OPTIONS, openLink } from './link.ts'

export interface GraphRequest {
  readonly method: string
  readonly version: GraphVersion
  /** After the version. */
  readonly path: string
  readonly query: URLSearchParams
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: unknown
}

interface Asked {
  readonly services: SandboxServices
  readonly caller: AppCaller
  readonly request: GraphRequest
  readonly trace: RequestTrace
}

/** Never throws for what a client did. */
export async function answerRequest(asked: Asked): Promise<GraphAnswer> {
  const { services, caller, request } = asked
  const { method, version, path, query } = request
  const link = openLink({ version, path, query, tenantId: caller.tenantId })
  const isIssuedLink = link !== undefined && method === 'GET'
  const { operation, violations: judged } = judgeGraphRequest(services.contracts, { ...request, isIssuedLink })
  const violations = isIssuedLink ? judged : [...judged, ...judgeLink(query, judged)]
  record(services, operation?.name ?? `${method.slice(0, 20)} ?`, violations)
  if (operation === undefined) {
    return refused(asked, faultOf(violations))
  }
  services.record.use('graph', operation.name, operation.status, operation.isWrite, caller.tenantId)
  const { name, isWrite } = operation
  const fault = services.faults.take({ service: 'graph', tenantId: caller.tenantId, operation: name, isWrite })
  const answer = await faultyAnswer(fault, () => operate(asked, operation, violations, link?.payload))
  return checked(asked, operation, answer, fault)
}

async function operate(
  asked: Asked,
  operation: GraphOperation,
  violations: readonly Violation[],
  link: unknown,
): Promise<GraphAnswer> {
  const { services, caller, request } = asked
  const { query, headers, path, body } = request
  const state = graphStateOf(services)
  const tenant = services.tenants.get(caller.tenantId)
  if (tenant === undefined) return refused(asked, new GraphFault(404, 'Request_ResourceNotFound', 'No such tenant.'))
  const index = state.indexOf(tenant)
  const { method, template } = operation
  const verdict = state.throttling.charge({
    method,
    template,
    query,
    appId: caller.clientId,
    tenantId: tenant.id,
    users: index.count('user'),
  })
  const withBudget = (answer: GraphAnswer): GraphAnswer => ({
    ...answer,
    headers: { ...verdict.headers, ...answer.headers },
  })
  if (verdict.isRefused) return withBudget(refused(asked, new GraphFault(429, 'TooManyRequests', 'Too many requests.')))
  if (!isPermitted(services.contracts, operation, caller.roles)) return withBudget(refused(asked, accessDenied()))
  if (violations.length > 0) return withBudget(refused(asked, faultOf(violations)))
  const handler = HANDLERS.get(operation.name)
  if (handler === undefined) {
    record(services, operation.name, [NOT_SIMULATED])
    return withBudget(
      refused(asked, new GraphFault(501, 'NotImplemented', 'This simulated service does not have the operation.')),
    )
  }
  const call: GraphCall = {
    services,
    state,
    tenant,
    index,
    caller,
    operation,
    path,
    query,
    headers,
    body,
    link,
    nowMs: services.clock.nowMs(),
    dispatch: (step) => answerStep(asked, step),
  }
  try {
    return withBudget(await handler(call))
  } catch (error) {
    if (!(error instanceof GraphFault)) throw error
    if (error.status === 501) record(services, operation.name, [NOT_SIMULATED])
    return withBudget(refused(asked, error))
  }
}

const NOT_SIMULATED: Violation = {
  rule: 'not-simulated',
  where: '',
  message: 'published, but not among what is simulated',
  status: 400,
}

/** A token that stands in no link of ours was changed, or made up. */
function judgeLink(query: URLSearchParams, judged: readonly Violation[]): Violation[] {
  const option = TOKEN_OPTIONS.find((name) => query.has(name))
  if (option === undefined || query.get(option) === 'latest') return []
  // `$skiptoken` is published nowhere, so there the contract said it already.
  if (judged.some(({ where }) => where === option)) return []
  return [{ rule: 'wrong-link', where: option, message: 'no link with it was handed out', status: 400 }]
}

/** A member of a batch: its own request, of the same caller. */
function answerStep(asked: Asked, step: Parameters<GraphCall['dispatch']>[0]): Promise<GraphAnswer> {
  const [path = '', query = ''] = step.url.split('?', 2)
  const { method, headers, body } = step
  const { version } = asked.request
  const requestId = asked.services.guid()
  return answerRequest({
    ...asked,
    trace: { ...asked.trace, requestId },
    request: { method, version, path, query: new URLSearchParams(query), headers, body },
  })
}

/** What leaves is as published, or the record says what was not; a fault's own answer is nobody's to check. */
function checked(
  { services }: Asked,
  operation: GraphOperation,
  answer: GraphAnswer,
  fault: Fault | undefined,
): GraphAnswer {
  if (fault !== undefined && isBroken(fault)) return answer
  const { content, status } = answer
  const body = content.kind === 'json' ? content.body : content.kind === 'text' ? content.text : undefined
  const wrong = judgeGraphAnswer(services.contracts, operation, status, body)
  record(services, `answer of ${operation.name}`, wrong)
  return answer
}

function refused({ trace }: Asked, fault: GraphFault): GraphAnswer {
  return { ...json(errorBody(fault, trace), fault.status), headers: fault.headers }
}

function faultOf(violations: readonly Violation[]): GraphFault {
  const [first] = violations
  const status = first?.status ?? 400
  const message = first === undefined ? 'Bad request.' : `${first.where}: ${first.message}.`
  return new GraphFault(status, status === 404 ? 'Request_ResourceNotFound' : 'BadRequest', message)
}

function record({ record: violated }: SandboxServices, request: string, violations: readonly Violation[]): void {
  for (const violation of violations) violated.violation({ ...violation, request })
}
