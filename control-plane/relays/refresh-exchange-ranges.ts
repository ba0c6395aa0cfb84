// Reads Microsoft's list of Exchange Online's addresses once a day, for the clouds that projects are in, and tells the relays when it changed. What can
// not be read or is no list changes nothing. Run by the clock, in any number of processes. (SP-3)
import type { Log } from '../../common/log.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { setScope, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { sendOutbound } from '../http/outbound-client.ts'
import type { OutboundDeps } from '../http/outbound-client.ts'
import { INSTALLATION } from '../ids.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { lastRefresh, projectsInCloud, storeExchangeRanges } from './exchange-range-store.ts'
import { CLOUDS } from '../microsoft/clouds.ts'
import type { Cloud } from '../microsoft/clouds.ts'
import { endpointListUrl, parseEndpointList, REFRESH_EVERY_MS } from './exchange-ranges.ts'

export interface RefreshDeps {
  readonly db: Db
  /** @throws when there is no answer */
  readonly get: (url: URL) => Promise<{ readonly status: number; readonly body: Uint8Array }>
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
}

const TRY_EVERY_MS = 15 * 60_000
const TIMEOUT_MS = 20_000
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

export const endpointListClient =
  (outbound: OutboundDeps): RefreshDeps['get'] =>
  (url) =>
    sendOutbound(
      {
        method: 'GET',
        url,
        headers: { accept: 'application/json' },
        timeoutMs: TIMEOUT_MS,
        maxAnswerBytes: MAX_ANSWER_BYTES,
      },
      outbound,
    )

/** One of the passes of jobs/reconcile-all.ts: most of them find nothing to do. */
export function exchangeRangeReconciler(deps: RefreshDeps): { readonly name: string; reconcile(): Promise<void> } {
  let triedAt = -Infinity
  return {
    name: 'relays.exchange-ranges',
    async reconcile() {
      const now = deps.now()
      if (now - triedAt < TRY_EVERY_MS) return
      triedAt = now
      for (const cloud of CLOUDS) await refreshCloud(cloud, deps)
    },
  }
}

async function refreshCloud(cloud: Cloud, { db, get, log, now }: RefreshDeps): Promise<void> {
  const at = new Date(now())
  const readAt = await withScope(db, {}, (tx) => lastRefresh(tx, cloud))
  if (readAt !== undefined && at.getTime() - readAt.getTime() < REFRESH_EVERY_MS) return
  const isUsed = await withScope(
    db,
    { purpose: 'reconcile' },
    async (tx) => (await projectsInCloud(tx, cloud)).length > 0,
  )
  if (!isUsed) return
  const ranges = await readRanges(cloud, get, log)
  if (ranges === undefined) return
  // One transaction: relays are told of every change of the list, or it did not change.
  await withScope(db, { purpose: 'reconcile' }, async (tx) => {
    const { added, removed } = await storeExchangeRanges(tx, cloud, ranges, at)
    log.info('exchange-ranges.read', { cloud, ranges: ranges.length, added, removed })
    if (added + removed === 0) return
    for (const { organisation, project } of await projectsInCloud(tx, cloud)) {
      await setScope(tx, { organisation })
      await bumpSnapshot(tx, organisation, project, 'settings')
    }
    await setScope(tx, { organisation: INSTALLATION })
    const payload = { cloud, added, removed }
    const entry = {
      action: 'exchange-ranges.changed',
      actor: 'system:exchange-ranges',
      result: 'done' as const,
      payload,
    }
    await appendAudit(tx, INSTALLATION, entry, at.getTime())
  })
}

async function readRanges(cloud: Cloud, get: RefreshDeps['get'], log: Log): Promise<string[] | undefined> {
  try {
    const { status, body } = await get(endpointListUrl(cloud))
    const ranges = status === 200 ? parseEndpointList(Buffer.from(body).toString()) : undefined
    if (ranges === undefined) log.warn('exchange-ranges.refused', { cloud, status })
    return ranges
  } catch (error) {
    log.warn('exchange-ranges.unreachable', { cloud, error })
    return undefined
  }
}
