// What /metrics says of the relay's receiving side: made once a process, shared by its listeners. (OP-1)
import { Counter, Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { CERTIFICATE_REPLIES, REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'
import { HANDSHAKE_FAILURES } from './tls-handshake.ts'

/** What `direction` can be; `any` on a listener where the message's token tells it. */
const DIRECTIONS = ['out', 'in', 'any'] as const

export interface InboundMetrics {
  /** Greeted and not closed yet. */
  readonly open: Gauge
  readonly accepted: Counter<'direction'>
  readonly acceptedBytes: Counter<'direction'>
  /** Negative replies by their name in replies.ts: a closed set. */
  readonly refusals: Counter<'direction' | 'reason'>
  /** Recipients that became one with another by rewriting (R13). */
  readonly collapsed: Counter<'direction'>
  /** Codes of the engine's report (rewriting.md §14). */
  readonly reportCodes: Counter<'direction' | 'code'>
  readonly largeParts: Counter<'result'>
  /** Connector validations and probes taken (SP-11). */
  readonly probes: Counter
  /** Messages by what X-MS-Exchange-CrossTenant-Id names (SP-4). */
  readonly crossTenant: Counter<'tenant'>
  /** `full`, `resumed`, or why it failed; `none` where it got to no version. */
  readonly handshakes: Counter<'result' | 'protocol'>
}

export function createInboundMetrics(metrics: Metrics): InboundMetrics {
  const registers = [metrics]
  const counter = <L extends string>(name: string, help: string, labelNames: L[]): Counter<L> =>
    new Counter({ name: `causeway_inbound_${name}_total`, help, labelNames, registers })
  const refusals = counter('refusals', 'Negative replies by reason', ['direction', 'reason'])
  // A series that begins at 1 shows no increase: the first refusal of its kind, often the one that matters, would go unseen.
  for (const { code, reason } of [...Object.values<Reply>(REPLIES), ...Object.values(CERTIFICATE_REPLIES)]) {
    if (code >= 400) for (const direction of DIRECTIONS) refusals.inc({ direction, reason }, 0)
  }
  const handshakes = counter('tls_handshakes', 'TLS handshakes by result and version', ['result', 'protocol'])
  for (const result of HANDSHAKE_FAILURES) handshakes.inc({ result, protocol: 'none' }, 0)
  return {
    open: new Gauge({ name: 'causeway_inbound_connections_open', help: 'Connections of clients', registers }),
    accepted: counter('messages_accepted', 'Messages answered with 250', ['direction']),
    acceptedBytes: counter('accepted_bytes', 'Octets of accepted messages as they go on', ['direction']),
    refusals,
    collapsed: counter('recipients_collapsed', 'Recipients merged with another after rewriting', ['direction']),
    reportCodes: counter('report_codes', 'Codes of the rewriting report', ['direction', 'code']),
    largeParts: counter('large_parts', 'Large parts handed to the worker thread, by result', ['result']),
    probes: counter('probes', 'Connector validations and probes answered', []),
    crossTenant: counter('cross_tenant_ids', 'Messages by what X-MS-Exchange-CrossTenant-Id names', ['tenant']),
    handshakes,
  }
}
