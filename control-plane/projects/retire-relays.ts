// First step of a project's deletion: its relays take no new mail, deliver what they hold, and are revoked. (PR-5) Whoever forces the deletion
// discards what they still hold.
import { publishEvent } from '../db/outbox.ts'
import { LIVE_MS } from '../relays/relay.ts'
import type { Relay, RelayState } from '../relays/relay.ts'
import { changeRelayState, findRelay, listRelays } from '../relays/relay-store.ts'
import { isForced } from './deletion.ts'
import type { DeletionStep } from './delete-project.ts'
import { findProject } from './project-store.ts'
import { bumpSnapshot } from './relay-visible.ts'

const DAY_MS = 86_400_000
/** Longer than any message waits in a queue (DL-1: 5 days): after it a relay that was not heard of holds nothing that could still be delivered. */
export const MAX_DRAIN_MS = 6 * DAY_MS
/** A revoked relay learns of it on its stream or with its next report, as long as it is known. */
export const TELL_MS = 2 * 60_000
const LOOK_AGAIN_MS = 60_000
const MAX_RELAYS = 1_000

export type RelayStep =
  | { readonly kind: 'change'; readonly state: RelayState }
  | { readonly kind: 'wait'; readonly why: 'delivers' | 'learns' }
  | { readonly kind: 'over' }

/** What is next for one relay. Pure. @param startedAt  of the deletion, ms; @param now  ms */
export function nextForRelay(
  relay: Pick<Relay, 'state' | 'stateChangedAt' | 'seenAt' | 'report'>,
  { discards, startedAt, now }: { discards: boolean; startedAt: number; now: number },
): RelayStep {
  const { state, report } = relay
  const stateChangedAt = relay.stateChangedAt.getTime()
  const seenAt = relay.seenAt.getTime()
  if (state === 'revoked') {
    const wasLive = stateChangedAt - seenAt <= LIVE_MS
    return wasLive && now - stateChangedAt < TELL_MS ? { kind: 'wait', why: 'learns' } : { kind: 'over' }
  }
  const isPastAll = now - startedAt >= MAX_DRAIN_MS || now - seenAt >= MAX_DRAIN_MS
  const isEmpty =
    state === 'draining' &&
    report?.state === 'draining' &&
    report.at.getTime() >= stateChangedAt &&
    report.queue.messages === 0
  if (discards || isPastAll || isEmpty) return { kind: 'change', state: 'revoked' }
  return state === 'active' ? { kind: 'change', state: 'draining' } : { kind: 'wait', why: 'delivers' }
}

/** @param now  ms since the epoch */
export const retireRelays = (now: () => number): DeletionStep => ({
  name: 'relays',
  run: ({ organisation, project }, { change }) =>
    change(async (tx) => {
      const found = await findProject(tx, organisation, project)
      const request = found?.deletion
      if (request === undefined) return { kind: 'done' }
      const at = now()
      const page = { after: undefined, limit: MAX_RELAYS }
      const relays = await listRelays(tx, organisation, project, {}, page, at)
      const steps = relays.map((relay) => ({
        relay,
        step: nextForRelay(relay, {
          discards: isForced(request),
          startedAt: (request.startedAt ?? new Date(at)).getTime(),
          now: at,
        }),
      }))
      const changes = steps.filter(({ step }) => step.kind === 'change')
      for (const { relay, step } of changes) {
        // Relay before project, as everybody locks them; what somebody changed meanwhile is looked at next time.
        const current = await findRelay(tx, relay, 'lock')
        if (step.kind !== 'change' || current?.state !== relay.state) continue
        await changeRelayState(tx, relay, step.state, new Date(at))
        await publishEvent(tx, { organisation, project }, `relay.${step.state}`, { relay: relay.relay })
      }
      if (changes.length > 0) await bumpSnapshot(tx, organisation, project, 'relays')
      return steps.every(({ step }) => step.kind === 'over')
        ? { kind: 'done', details: { revoked: relays.length } }
        : { kind: 'wait', waitMs: LOOK_AGAIN_MS, reason: 'relays' }
    }),
})
