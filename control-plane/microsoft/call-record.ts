// What is kept of each request: one log line and some figures, by the operation's name. No addresses of requests, which hold ids and bearer secrets; ids
// of the service's own requests, which its support asks for. (microsoft-365.md §3; OP-1, PR-2)
import { Counter, Histogram } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { Log } from '../../common/log.ts'
import type { ConnectionPlace } from './clients.ts'
import type { MicrosoftErrorCode } from './microsoft-error.ts'
import { throttleFacts } from './throttle-headers.ts'

export interface CallFacts {
  readonly place: ConnectionPlace
  readonly service: 'entra' | 'graph' | 'exchange'
  readonly operation: string
  readonly isRead: boolean
  /** undefined: it has none. */
  readonly clientRequestId: string | undefined
  /** undefined: there was no answer. */
  readonly answer: { readonly status: number; readonly headers?: Headers | undefined } | undefined
  readonly outcome: 'done' | 'cancelled' | MicrosoftErrorCode
  readonly serviceCode: string | undefined
  /** In ms: until it was let through, and from then on. */
  readonly waitedMs: number
  readonly tookMs: number
  /** Warnings of a cmdlet. */
  readonly warnings?: number | undefined
}

/** Names come from our own code, but a label must be of a closed set whatever comes. */
const MAX_OPERATIONS = 300
const OPERATION = /^(?:(?:GET|POST|PUT|PATCH|DELETE) \/[\w{}()$='/.:-]{0,150}|[A-Z][a-z]+-[A-Za-z]{1,60})$/

export class CallRecord {
  readonly #log: Log
  readonly #operations = new Set<string>()
  readonly #requests: Counter<'service' | 'operation' | 'outcome'>
  readonly #seconds: Histogram<'service'>
  readonly #waits: Histogram<'service'>

  constructor(log: Log, metrics: Metrics) {
    this.#log = log
    const registers = [metrics]
    this.#requests = new Counter({
      name: 'causeway_microsoft_requests_total',
      help: 'Requests to Microsoft 365, by operation and what became of each.',
      labelNames: ['service', 'operation', 'outcome'],
      registers,
    })
    this.#seconds = new Histogram({
      name: 'causeway_microsoft_request_seconds',
      help: 'How long a request to Microsoft 365 took, its answer read.',
      labelNames: ['service'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 100],
      registers,
    })
    this.#waits = new Histogram({
      name: 'causeway_microsoft_wait_seconds',
      help: 'How long a request to Microsoft 365 waited for its budgets.',
      labelNames: ['service'],
      buckets: [0.01, 0.1, 1, 5, 15, 30, 60],
      registers,
    })
  }

  note(call: CallFacts): void {
    const { service, outcome } = call
    const operation = this.#nameOf(call.operation)
    this.#requests.inc({ service, operation, outcome })
    this.#seconds.observe({ service }, call.tookMs / 1_000)
    this.#waits.observe({ service }, call.waitedMs / 1_000)
    // Reads that went well are many and tell little.
    if (outcome === 'done' && call.isRead) this.#log.debug('microsoft.request', logFields(call, operation))
    else this.#log.info('microsoft.request', logFields(call, operation))
  }

  #nameOf(operation: string): string {
    if (this.#operations.has(operation)) return operation
    if (this.#operations.size >= MAX_OPERATIONS || !OPERATION.test(operation)) return 'other'
    this.#operations.add(operation)
    return operation
  }
}

const logFields = (call: CallFacts, operation: string, facts = throttleFacts(call.answer?.headers)) => ({
  organization: call.place.organisation,
  project: call.place.project,
  tenant: call.place.tenant,
  service: call.service,
  operation,
  outcome: call.outcome,
  status: call.answer?.status,
  serviceCode: call.serviceCode,
  serviceRequestId: call.answer?.headers?.get('request-id')?.slice(0, 100),
  clientRequestId: call.clientRequestId,
  waitedMs: Math.round(call.waitedMs),
  ms: Math.round(call.tookMs),
  retryAfter: facts.retryAfter,
  units: facts.units,
  usedShare: facts.usedShare,
  throttleScope: facts.throttleScope,
  throttleReason: facts.throttleReason,
  rateLimit: facts.rateLimit,
  warnings: call.warnings,
})
