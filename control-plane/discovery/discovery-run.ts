// What the steps of a discovery share: where it is, how it writes, when it stops.
import type { Tx } from '../db/database.ts'
import type { ExchangeClient, GraphClient } from '../microsoft/clients.ts'
import { demandConnected } from '../tenants/in-tenant.ts'
import type { OperationContext } from '../operations/operation-job.ts'
import type { Discovery, GapCode } from './discovery.ts'
import { noteGap } from './discovery-store.ts'
import type { PartPlace } from './part-store.ts'

export interface DiscoveryRun {
  readonly context: OperationContext
  readonly discovery: Discovery
  readonly at: PartPlace
  readonly graph: GraphClient
  /** undefined: its role is missing, or nobody asked for it. */
  readonly exchange: ExchangeClient | undefined
  /** Objects read so far, all steps together. */
  progress(step: string, more: number): Promise<void>
  /** One transaction of a step. A consent that was withdrawn meanwhile stops it here. @throws RetryLater */
  change<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  gap(code: GapCode): Promise<void>
}

export function startRun(
  context: OperationContext,
  discovery: Discovery,
  clients: { readonly graph: GraphClient; readonly exchange: ExchangeClient | undefined },
  at: PartPlace,
): DiscoveryRun {
  let done = 0
  const change = <T>(work: (tx: Tx) => Promise<T>): Promise<T> =>
    context.change(async (tx) => {
      await demandConnected(tx, at, at.tenant)
      return work(tx)
    })
  return {
    context,
    discovery,
    at,
    ...clients,
    async progress(step, more) {
      done += more
      await context.progress({ step, done, unit: 'objects' })
    },
    change,
    gap: (code) => change((tx) => noteGap(tx, at, discovery.id, code)),
  }
}
