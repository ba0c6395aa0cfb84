// Microsoft 365 as the rest of the control plane has it: clients of each connection that share tokens, budgets and figures within this process.
import type { Log } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import { createExchangeClient } from '../exchange/admin-api.ts'
import { createGraphClient } from '../graph/client.ts'
import type { Settings } from '../settings.ts'
import { productVersion } from '../version.ts'
import { AppTokens, TOKEN_OPERATION } from './app-tokens.ts'
import { CallRecord } from './call-record.ts'
import type { CallFacts } from './call-record.ts'
import { Caller } from './caller.ts'
import type { ConnectionPlace, Microsoft365 } from './clients.ts'
import { connectionEndpoints } from './endpoints.ts'
import { Governor } from './governor.ts'
import type { MicrosoftError } from './microsoft-error.ts'
import { processPace } from './pace.ts'
import type { Pace } from './pace.ts'
import { JSON_LIMITS, REPORT_LIMITS } from './sender.ts'
import type { SendLimits } from './sender.ts'

export interface Microsoft365Deps {
  readonly settings: Pick<Settings, 'mode' | 'microsoft'>
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
  /** ms, monotonic */
  readonly monotonicMs: () => number
  /** Default: chance and timers of the process. */
  readonly pace?: Pace
  readonly jsonLimits?: SendLimits
  readonly reportLimits?: SendLimits
}

export function createMicrosoft365(deps: Microsoft365Deps): Microsoft365 {
  const { mode, microsoft } = deps.settings
  const pace = deps.pace ?? processPace(deps)
  const record = new CallRecord(deps.log, deps.metrics)
  const tokens = new AppTokens(
    () => pace.now(),
    (place, error, tookMs) => record.note(tokenFacts(place, error, tookMs)),
  )
  const callerDeps = {
    tokens,
    governor: new Governor(pace),
    record,
    pace,
    // Decorated traffic is preferred (Learn "Avoid getting throttled or blocked in SharePoint Online").
    userAgent: `NONISV|Causeway|Causeway/${productVersion()}`,
    jsonLimits: deps.jsonLimits ?? JSON_LIMITS,
    reportLimits: deps.reportLimits ?? REPORT_LIMITS,
  }
  return {
    clientsOf(connection) {
      const endpoints = connectionEndpoints(connection.cloud, mode, microsoft.sandbox)
      const caller = new Caller(connection, endpoints, callerDeps)
      const { budgets } = microsoft
      return {
        graph: createGraphClient({ connection, caller, budgets, pace }),
        exchange: createExchangeClient({ connection, caller, budgets }),
      }
    },
    forget: (place) => tokens.forget(place),
  }
}

function tokenFacts(place: ConnectionPlace, error: MicrosoftError | undefined, tookMs: number): CallFacts {
  return {
    place,
    service: 'entra',
    operation: TOKEN_OPERATION,
    isRead: true,
    clientRequestId: undefined,
    answer: error?.status === undefined ? undefined : { status: error.status },
    outcome: error?.code ?? 'done',
    serviceCode: error?.serviceCode,
    waitedMs: 0,
    tookMs,
  }
}
