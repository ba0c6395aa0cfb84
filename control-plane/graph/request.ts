// A request of Graph as the caller takes it: its address, what it costs, how its refusals are read.
import type { Budgets } from '../microsoft/budgets.ts'
import type { Call, Caller } from '../microsoft/caller.ts'
import type { Connection, Query, ReadOptions } from '../microsoft/clients.ts'
import { ownAddress } from '../microsoft/links.ts'
import type { Address } from '../microsoft/links.ts'
import type { Pace } from '../microsoft/pace.ts'
import { judgeGraphError } from './graph-error.ts'
import { graphClaims } from './workload.ts'
import type { GraphMethod } from './workload.ts'

export interface GraphDeps {
  readonly connection: Connection
  readonly caller: Caller
  readonly budgets: Budgets
  readonly pace: Pace
}

/** Background work steps back when the tenant is busy. */
const LOW_PRIORITY = { 'x-ms-throttle-priority': 'low' }

export function graphCall(deps: GraphDeps, method: GraphMethod, address: Address, options: ReadOptions): Call {
  return {
    service: 'graph',
    operation: options.operation,
    method,
    address,
    headers: { ...(method === 'GET' ? LOW_PRIORITY : {}), ...options.headers },
    claims: graphClaims(deps.budgets, deps.connection, { method, url: address.url }),
    judge: judgeGraphError,
    signal: options.signal,
  }
}

/** @param path  as GraphClient has it */
export function graphAddress({ caller }: GraphDeps, path: string, query: Query | undefined): Address {
  if (!/^\/[^?#\\]*$/.test(path) || /(?:^|\/)\.{1,2}(?:\/|$)/.test(path))
    throw new Error('unreachable: a path of Graph that is no path')
  const pairs = Object.entries(query ?? {}).map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
  const below = path.startsWith('/beta/') ? path : `/v1.0${path}`
  return ownAddress(caller.endpoints.graph, pairs.length === 0 ? below : `${below}?${pairs.join('&')}`)
}
