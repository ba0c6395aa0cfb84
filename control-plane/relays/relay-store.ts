// Relays in Postgres: identity, state, and what each last reported.
import { sql } from 'kysely'
import type { RelayReport } from '../../common/relay-contract.ts'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import type { OrganisationId, ProjectId, RelayId } from '../ids.ts'
import { LIVE_MS } from './relay.ts'
import type { FleetMember, Relay, RelayIdentity, RelayPlace, RelayState } from './relay.ts'

export interface NewRelay extends RelayPlace {
  readonly name: string
  readonly softwareVersion: string
  readonly signingKey: string
  readonly sealingKey: string
  readonly pinnedKey: string
  readonly at: Date
}

export async function addRelay(tx: Tx, relay: NewRelay): Promise<void> {
  await sql`
    insert into relay (organisation_id, project_id, id, name, state, signing_key, sealing_key, software_version, enrolled_at,
                       state_changed_at, pinned_key, seen_at)
    values (${relay.organisation}, ${relay.project}, ${relay.relay}, ${relay.name}, 'active', ${relay.signingKey}, ${relay.sealingKey},
            ${relay.softwareVersion}, ${relay.at}, ${relay.at}, ${relay.pinnedKey}, ${relay.at})`.execute(tx)
}

/** The scope is the relay itself, or its organisation. */
export async function findRelayIdentity(tx: Tx, relay: RelayId): Promise<RelayIdentity | undefined> {
  const row = await rowOf<IdentityRow>(
    tx,
    sql`select organisation_id, project_id, id, state, signing_key, sealing_key from relay where id = ${relay}`,
  )
  return row && toIdentity(row)
}

/** So exact is `seen_at`; a busy relay is not written with each of its requests. */
const NOTE_SEEN_EVERY_MS = 10_000

export async function noteSeen(tx: Tx, { organisation, project, relay }: RelayPlace, at: Date): Promise<void> {
  await sql`update relay set seen_at = greatest(seen_at, ${at}), is_stale = false
             where organisation_id = ${organisation} and project_id = ${project} and id = ${relay}
               and (is_stale or seen_at <= ${new Date(at.getTime() - NOTE_SEEN_EVERY_MS)})`.execute(tx)
}

export async function storeReport(tx: Tx, place: RelayPlace, report: RelayReport, at: Date): Promise<void> {
  const { queue, droppedEvents, refused } = report
  await sql`
    update relay
       set reported_at = ${at}, seen_at = greatest(seen_at, ${at}), is_stale = false, snapshot_version = ${report.version}, mapping_revision = ${report.revision},
           mapping_digest = ${report.digest}, mapping_entries = ${report.entries}, settings_version = ${report.settings},
           refused_version = ${refused?.version ?? null}, refused_reason = ${refused?.reason ?? null},
           software_version = ${report.softwareVersion}, started_at = ${report.startedAt}, is_ready = ${report.isReady},
           reasons = ${report.reasons}, reported_state = ${report.state},
           queue_messages = ${queue.messages}, queue_oldest_ms = ${queue.oldestAgeMs}, queue_quarantined = ${queue.quarantined},
           queue_dead = ${queue.dead}, certificate_not_after = ${report.certificateNotAfter ?? null},
           dropped_metric = ${droppedEvents.metric}, dropped_message = ${droppedEvents.message}, dropped_audit = ${droppedEvents.audit}
     where organisation_id = ${place.organisation} and project_id = ${place.project} and id = ${place.relay}`.execute(
    tx,
  )
}

/** The key that it is known to believe from now on. */
export async function storePinnedKey(tx: Tx, place: RelayPlace, key: string): Promise<void> {
  await sql`update relay set pinned_key = ${key}
             where organisation_id = ${place.organisation} and project_id = ${place.project} and id = ${place.relay}
               and pinned_key <> ${key}`.execute(tx)
}

/** Locked until the commit where `lock` says so. */
export async function findRelay(
  tx: Tx,
  { organisation, project, relay }: RelayPlace,
  lock: 'lock' | 'read' = 'read',
): Promise<Relay | undefined> {
  const row = await rowOf<RelayRow>(
    tx,
    sql`select ${columns} from relay
         where organisation_id = ${organisation} and project_id = ${project} and id = ${relay}
           ${lock === 'lock' ? sql`for update` : sql``}`,
  )
  return row && toRelay(row)
}

export interface RelayFilter {
  readonly state?: RelayState | undefined
  /** Those seen since this time, or not. */
  readonly isLive?: boolean | undefined
}

/** Oldest first; one more than the page holds where there are more. */
export async function listRelays(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  { state, isLive }: RelayFilter,
  { after, limit }: PageRequest,
  now: number,
): Promise<Relay[]> {
  const [enrolledAt, id] = after ?? []
  const seenSince = new Date(now - LIVE_MS)
  const live = sql`(state <> 'revoked' and seen_at >= ${seenSince})`
  const rows = await rowsOf<RelayRow>(
    tx,
    sql`select ${columns} from relay
         where organisation_id = ${organisation} and project_id = ${project}
           and ${after === undefined ? sql`true` : sql`(enrolled_at, id) > (${new Date(Number(enrolledAt))}, ${id})`}
           and ${state === undefined ? sql`true` : sql`state = ${state}`}
           and ${isLive === undefined ? sql`true` : isLive ? live : sql`not ${live}`}
         order by enrolled_at, id
         limit ${limit + 1}`,
  )
  return rows.map(toRelay)
}

/** What every stream of the project has to know of its relay. */
export interface StreamedRelay extends RelayIdentity {
  readonly pinnedKey: string
  readonly reportedAt: Date | undefined
  readonly held:
    | { readonly version: number; readonly revision: number; readonly digest: string; readonly settings: number }
    | undefined
  readonly refusedVersion: number | undefined
}

export async function listStreamedRelays(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
): Promise<StreamedRelay[]> {
  const rows = await rowsOf<RelayRow>(
    tx,
    sql`select ${columns} from relay where organisation_id = ${organisation} and project_id = ${project} and state <> 'revoked'`,
  )
  return rows.map((row) => ({
    ...toIdentity(row),
    pinnedKey: row.pinned_key,
    reportedAt: row.reported_at ?? undefined,
    held:
      row.snapshot_version === null
        ? undefined
        : {
            version: row.snapshot_version,
            revision: row.mapping_revision ?? 0,
            digest: row.mapping_digest ?? '',
            settings: row.settings_version ?? 0,
          },
    refusedVersion: row.refused_version ?? undefined,
  }))
}

/** All that are waited for before a change counts as applied. */
export async function listLiveRelays(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  now: number,
): Promise<Relay[]> {
  const rows = await rowsOf<RelayRow>(
    tx,
    sql`select ${columns} from relay
         where organisation_id = ${organisation} and project_id = ${project}
           and state <> 'revoked' and seen_at >= ${new Date(now - LIVE_MS)}`,
  )
  return rows.map(toRelay)
}

export async function changeRelayState(
  tx: Tx,
  { organisation, project, relay }: RelayPlace,
  state: RelayState,
  at: Date,
): Promise<void> {
  await sql`update relay set state = ${state}, version = version + 1, state_changed_at = ${at}
             where organisation_id = ${organisation} and project_id = ${project} and id = ${relay}`.execute(tx)
}

/** Relays of all organisations that fell silent and were not told as such yet. The scope has purpose `reconcile`. */
export async function listSilentRelays(tx: Tx, now: number, limit: number): Promise<RelayPlace[]> {
  const rows = await rowsOf<{ organisation_id: OrganisationId; project_id: ProjectId; id: RelayId }>(
    tx,
    sql`select organisation_id, project_id, id from relay
         where state <> 'revoked' and not is_stale and seen_at < ${new Date(now - LIVE_MS)}
         order by seen_at limit ${limit}`,
  )
  return rows.map((row) => ({ organisation: row.organisation_id, project: row.project_id, relay: row.id }))
}

/** All that are not revoked, of all organisations, with what their projects are at. The scope has purpose `reconcile`. */
export async function listFleet(tx: Tx): Promise<FleetMember[]> {
  const rows = await rowsOf<{
    id: RelayId
    seen_at: Date
    snapshot_version: number | null
    mapping_revision: number | null
    refused_version: number | null
    wanted_version: number
    wanted_revision: number
  }>(
    tx,
    sql`select r.id, r.seen_at, r.snapshot_version, r.mapping_revision, r.refused_version,
               p.snapshot_version as wanted_version, coalesce(p.held_revision, p.mapping_revision) as wanted_revision
          from relay r join project p on p.organisation_id = r.organisation_id and p.id = r.project_id
         where r.state <> 'revoked'`,
  )
  return rows.map((row) => ({
    relay: row.id,
    seenAt: row.seen_at,
    held:
      row.snapshot_version === null
        ? undefined
        : { version: row.snapshot_version, revision: row.mapping_revision ?? 0 },
    refusedVersion: row.refused_version ?? undefined,
    wanted: { snapshotVersion: row.wanted_version, mappingRevision: row.wanted_revision },
  }))
}

/** @returns false when it was heard from meanwhile, or another process was faster */
export async function markStale(tx: Tx, { organisation, project, relay }: RelayPlace, now: number): Promise<boolean> {
  const marked = await countOf(
    tx,
    sql`update relay set is_stale = true
         where organisation_id = ${organisation} and project_id = ${project} and id = ${relay}
           and state <> 'revoked' and not is_stale and seen_at < ${new Date(now - LIVE_MS)}`,
  )
  return marked === 1
}

const columns = sql`organisation_id, project_id, id, name, state, signing_key, sealing_key, software_version, version, enrolled_at,
  state_changed_at, pinned_key, seen_at, reported_at, snapshot_version, mapping_revision, mapping_digest, mapping_entries,
  settings_version, refused_version, refused_reason, started_at, is_ready, reasons, reported_state, queue_messages, queue_oldest_ms,
  queue_quarantined, queue_dead, certificate_not_after, dropped_metric, dropped_message, dropped_audit`

interface IdentityRow {
  organisation_id: OrganisationId
  project_id: ProjectId
  id: RelayId
  state: RelayState
  signing_key: string
  sealing_key: string
}

interface RelayRow extends IdentityRow {
  name: string
  software_version: string
  version: number
  enrolled_at: Date
  state_changed_at: Date
  pinned_key: string
  seen_at: Date
  reported_at: Date | null
  snapshot_version: number | null
  mapping_revision: number | null
  mapping_digest: string | null
  mapping_entries: number | null
  settings_version: number | null
  refused_version: number | null
  refused_reason: string | null
  started_at: Date | null
  is_ready: boolean | null
  reasons: string[]
  reported_state: 'active' | 'draining' | null
  queue_messages: number | null
  queue_oldest_ms: number | null
  queue_quarantined: number | null
  queue_dead: number | null
  certificate_not_after: Date | null
  dropped_metric: number
  dropped_message: number
  dropped_audit: number
}

const toIdentity = (row: IdentityRow): RelayIdentity => ({
  organisation: row.organisation_id,
  project: row.project_id,
  relay: row.id,
  state: row.state,
  signingKey: row.signing_key,
  sealingKey: row.sealing_key,
})

const toRelay = (row: RelayRow): Relay => ({
  ...toIdentity(row),
  name: row.name,
  version: row.version,
  enrolledAt: row.enrolled_at,
  stateChangedAt: row.state_changed_at,
  seenAt: row.seen_at,
  softwareVersion: row.software_version,
  report: toReport(row),
})

/** All columns of a report are written at once. */
function toReport(row: RelayRow): Relay['report'] {
  if (row.reported_at === null) return undefined
  return {
    at: row.reported_at,
    version: row.snapshot_version ?? 0,
    revision: row.mapping_revision ?? 0,
    digest: row.mapping_digest ?? '',
    entries: row.mapping_entries ?? 0,
    settings: row.settings_version ?? 0,
    ...(row.refused_version === null
      ? {}
      : { refused: { version: row.refused_version, reason: row.refused_reason ?? '' } }),
    softwareVersion: row.software_version,
    startedAt: (row.started_at ?? row.reported_at).toISOString(),
    isReady: row.is_ready ?? false,
    reasons: row.reasons,
    state: row.reported_state ?? 'active',
    queue: {
      messages: row.queue_messages ?? 0,
      oldestAgeMs: row.queue_oldest_ms ?? 0,
      quarantined: row.queue_quarantined ?? 0,
      dead: row.queue_dead ?? 0,
    },
    ...(row.certificate_not_after === null ? {} : { certificateNotAfter: row.certificate_not_after.toISOString() }),
    droppedEvents: { metric: row.dropped_metric, message: row.dropped_message, audit: row.dropped_audit },
  }
}
