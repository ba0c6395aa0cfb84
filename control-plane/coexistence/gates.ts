// Whether a gate of a plan is open, judged from what relays reported and saw. What may still come is waited for; what will not is a problem. Pure.
// (coexistence.md §2.1 rows 5b, 12, 13, §2.2)
import { PROBES_IN_A_RUN } from '../../common/relay-contract.ts'
import { isLive } from '../relays/relay.ts'
import type { ProjectVersions, Relay } from '../relays/relay.ts'
import type { CountedEvidence, Run } from './evidence-store.ts'

/** `reason` and `problem` are codes: they are shown and kept. */
export type GateLook =
  | { readonly kind: 'open' }
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'closed'; readonly problem: string }

const OPEN: GateLook = { kind: 'open' }
const waiting = (reason: string): GateLook => ({ kind: 'waiting', reason })
const closed = (problem: string): GateLook => ({ kind: 'closed', problem })

const MINUTE_MS = 60_000
/** What Exchange Online names as the time that rules may take, and what we give them (coexistence.md §2.1 row 13). */
export const PROPAGATION_MS = 60 * MINUTE_MS
/** Validation mail comes within minutes; probes need their rule first. */
const VALIDATION_WAIT_MS = 30 * MINUTE_MS
const PROBES_WAIT_MS = PROPAGATION_MS + 60 * MINUTE_MS

type Known = Pick<Relay, 'relay' | 'state' | 'seenAt' | 'report'>

/** Every live relay has table and settings, and takes mail; one that is drained takes none, and isn't asked to. */
export function judgeRelays(relays: readonly Known[], wanted: ProjectVersions, now: number): GateLook {
  const takers = relays.filter((relay) => relay.state === 'active' && isLive(relay, now))
  if (takers.length === 0) return waiting('no-live-relay')
  const table = judgeTable(relays, wanted, now)
  if (table.kind !== 'open') return table
  if (takers.some(({ report }) => report?.isReady !== true)) return waiting('relay-not-ready')
  // Shown all the same, and believed by nobody.
  const hasExpired = takers.some(({ report }) => Date.parse(report?.certificateNotAfter ?? '') <= now)
  return hasExpired ? waiting('relay-certificate-expired') : OPEN
}

/** Every live relay has this revision and the settings. */
export function judgeTable(relays: readonly Known[], wanted: ProjectVersions, now: number): GateLook {
  const live = relays.filter((relay) => isLive(relay, now))
  if (live.length === 0) return waiting('no-live-relay')
  // What a relay has refused it refuses again, until somebody changes something.
  if (live.some(({ report }) => (report?.refused?.version ?? -1) >= wanted.snapshotVersion))
    return closed('relay-refuses-snapshot')
  const hasAll = live.every(
    ({ report }) =>
      report !== undefined && report.revision >= wanted.mappingRevision && report.settings >= wanted.settingsVersion,
  )
  return hasAll ? OPEN : waiting('relay-behind')
}

export function judgeValidation(
  seen: readonly CountedEvidence[],
  nonce: string | undefined,
  since: Date,
  now: number,
): GateLook {
  if (nonce === undefined) return waiting('validation-not-started')
  if (seen.some((each) => each.nonce === nonce && each.verdict === 'seen')) return OPEN
  return now - since.getTime() > VALIDATION_WAIT_MS ? closed('validation-not-seen') : waiting('validation-not-seen')
}

/** Of every run each live relay's messages have come back, all of them as expected. */
export function judgeProbes(
  runs: readonly Pick<Run, 'nonce'>[],
  seen: readonly CountedEvidence[],
  relays: readonly Known[],
  since: Date,
  now: number,
): GateLook {
  if (runs.length === 0) return waiting('probes-not-started')
  const ours = seen.filter(({ nonce }) => runs.some((run) => run.nonce === nonce))
  if (ours.some(({ verdict }) => verdict === 'altered')) return closed('probe-altered')
  const makers = relays.filter((relay) => relay.state === 'active' && isLive(relay, now))
  if (makers.length === 0) return waiting('no-live-relay')
  const came = (nonce: string, maker: string): number =>
    ours.find((each) => each.nonce === nonce && each.maker === maker && each.verdict === 'expected')?.messages ?? 0
  if (runs.every(({ nonce }) => makers.every(({ relay }) => came(nonce, relay) === PROBES_IN_A_RUN))) return OPEN
  if (now - since.getTime() <= PROBES_WAIT_MS) return waiting('probes-not-back')
  if (ours.some(({ verdict }) => verdict === 'other-tenant')) return closed('probe-of-other-tenant')
  return closed(ours.some(({ verdict }) => verdict === 'no-proof') ? 'probe-without-proof' : 'probe-lost')
}

/** @param routes  whose rules were enabled; a tenant that the project has no more acts no more */
export function judgePropagated(
  seen: readonly { readonly tenant: string | null; readonly direction: string }[],
  routes: readonly { readonly tenant: string | undefined; readonly direction: 'out' | 'in' }[] | undefined,
  since: Date,
  now: number,
): GateLook {
  if (now - since.getTime() >= PROPAGATION_MS) return OPEN
  if (routes === undefined || routes.length === 0) return waiting('rules-propagate')
  const acts = routes.every(({ tenant, direction }) =>
    seen.some((each) => each.tenant === tenant && each.direction === direction),
  )
  return acts ? OPEN : waiting('rules-propagate')
}

/**
 * Nothing came for the hold, and no relay holds mail that would need the connectors; of one that is silent what it last said counts.
 *
 * @param accepted  when messages were taken since the rules were disabled
 */
export function judgeHold(
  relays: readonly Known[],
  accepted: readonly Date[],
  since: Date,
  holdMs: number,
  now: number,
): GateLook {
  const quietSince = Math.max(since.getTime(), ...accepted.map(Number))
  if (now - quietSince < holdMs) return waiting('mail-may-still-come')
  for (const relay of relays) {
    const { report } = relay
    if (report !== undefined && report.queue.messages > 0) return waiting('relay-holds-mail')
    // What it said before the last message came says nothing of that message.
    if (isLive(relay, now) && (report === undefined || report.at.getTime() < quietSince))
      return waiting('relay-not-heard')
  }
  return OPEN
}
