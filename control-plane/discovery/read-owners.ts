// Owners of the groups that changed: there is no delta of them. Twenty groups a request. (microsoft-365.md §4)
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { listOf, textOf } from './directory-object.ts'
import type { DiscoveryRun } from './discovery-run.ts'
import { lastCompleted } from './discovery-store.ts'
import { changedGroups, putParts } from './part-store.ts'

const GROUPS_A_STEP = 200
/** Entra: a group has 100 owners at most ("Microsoft Entra service limits"): one page. */
const OPERATION = 'GET /groups/{group-id}/owners'

export async function readOwners(run: DiscoveryRun): Promise<void> {
  const { context, at, graph } = run
  const since = await context.read((tx) => lastCompleted(tx, at, at.tenant))
  for (let after = ''; ;) {
    context.checkCancelled()
    const groups = await context.read((tx) => changedGroups(tx, at, since, after, GROUPS_A_STEP))
    const last = groups.at(-1)
    if (last === undefined) return
    const outcomes = await graph.batch(
      groups.map(({ objectId }) => ({
        id: objectId,
        method: 'GET',
        url: `/groups/${encodeURIComponent(objectId)}/owners?$select=id`,
      })),
      { operation: OPERATION, signal: context.signal },
    )
    const parts = outcomes.flatMap((outcome) => {
      if (outcome.kind === 'failed') {
        // Gone since it was read: the next discovery learns it.
        if (outcome.error.code === 'NOT_FOUND') return []
        throw outcome.error
      }
      return [{ objectId: outcome.id, part: { ids: ownerIds(outcome.body) } }]
    })
    await run.change((tx) => putParts(tx, at, 'owners', parts, false))
    await run.progress('reading owners of groups', 0)
    after = last.objectId
  }
}

function ownerIds(body: unknown): string[] {
  if (typeof body !== 'object' || body === null || !('value' in body))
    throw new MicrosoftError('UNEXPECTED', { operation: OPERATION })
  return listOf(body.value)
    .map((owner) => textOf((owner as Record<string, unknown> | null)?.['id'])?.toLowerCase())
    .filter((id) => id !== undefined)
    .toSorted()
}
