// A project's relays as the control plane knows them: state, last report, and what follows from both. Pure. (control-plane.md §2, §3.7)
import type { RelayReport } from '../../common/relay-contract.ts'
import type { OrganisationId, ProjectId, RelayId } from '../ids.ts'

export const RELAY_STATES = ['active', 'draining', 'revoked'] as const
/**
 * - `draining`: takes no new mail, delivers what it holds
 * - `revoked`: cut off for good
 */
export type RelayState = (typeof RELAY_STATES)[number]

/** A relay that was not heard from for so long is not waited for. */
export const LIVE_MS = 5 * 60_000

export interface RelayPlace {
  readonly organisation: OrganisationId
  readonly project: ProjectId
  readonly relay: RelayId
}

/** What the control plane needs to talk with it. */
export interface RelayIdentity extends RelayPlace {
  readonly state: RelayState
  /** Ed25519 and X25519, SPKI DER in base64url. */
  readonly signingKey: string
  readonly sealingKey: string
}

/** Of a relay's last report: what it has. */
export interface HeldSnapshot {
  readonly version: number
  readonly revision: number
  readonly digest: string
  readonly settings: number
}

export interface Relay extends RelayIdentity {
  readonly name: string
  readonly version: number
  readonly enrolledAt: Date
  readonly stateChangedAt: Date
  readonly seenAt: Date
  readonly softwareVersion: string
  /** undefined: it has not reported yet. */
  readonly report: (RelayReport & { readonly at: Date }) | undefined
}

/** Enrolled, not revoked, heard from in the last 5 minutes. */
export function isLive({ state, seenAt }: Pick<Relay, 'state' | 'seenAt'>, now: number): boolean {
  return state !== 'revoked' && now - seenAt.getTime() <= LIVE_MS
}

/** What a project's relays are to have. */
export interface ProjectVersions {
  readonly snapshotVersion: number
  readonly mappingRevision: number
  readonly settingsVersion: number
}

export interface Standing {
  readonly isLive: boolean
  /** Has everything that it is to have. */
  readonly isApplied: boolean
  /** undefined: nothing was reported yet. */
  readonly lagRevisions: number | undefined
}

export function standingOf(
  relay: Pick<Relay, 'state' | 'seenAt' | 'report'>,
  wanted: ProjectVersions,
  now: number,
): Standing {
  const { report } = relay
  return {
    isLive: isLive(relay, now),
    isApplied: report !== undefined && report.version >= wanted.snapshotVersion,
    lagRevisions: report === undefined ? undefined : Math.max(0, wanted.mappingRevision - report.revision),
  }
}

/**
 * What all live relays have at least: each of the three by itself. undefined while there is none, or one that has nothing yet.
 *
 * @param live  what each live relay has; undefined: nothing
 */
export function commonlyApplied(live: readonly (HeldSnapshot | undefined)[]): ProjectVersions | undefined {
  if (live.length === 0 || live.includes(undefined)) return undefined
  const least = (member: 'version' | 'revision' | 'settings') => Math.min(...live.map((held) => held?.[member] ?? 0))
  return { snapshotVersion: least('version'), mappingRevision: least('revision'), settingsVersion: least('settings') }
}

/** One relay that is not revoked, as it is counted. */
export interface FleetMember {
  readonly relay: RelayId
  readonly seenAt: Date
  /** Snapshot version and mapping revision of its last report; undefined: it has not reported yet. */
  readonly held: { readonly version: number; readonly revision: number } | undefined
  readonly refusedVersion: number | undefined
  readonly wanted: Pick<ProjectVersions, 'snapshotVersion' | 'mappingRevision'>
}

export const STANDINGS = ['current', 'behind', 'refused', 'ahead', 'silent'] as const
/**
 * - `refused`: it has told why it doesn't take the version that it is to have
 * - `ahead`: it has what was never made here: an older state of the database is in force, and it is told nothing
 * - `silent`: not heard from in the last 5 minutes
 */
export type FleetStanding = (typeof STANDINGS)[number]

export function fleetStanding({ seenAt, held, refusedVersion, wanted }: FleetMember, now: number): FleetStanding {
  if (now - seenAt.getTime() > LIVE_MS) return 'silent'
  if (held === undefined) return 'behind'
  if (held.version > wanted.snapshotVersion || held.revision > wanted.mappingRevision) return 'ahead'
  if (held.version === wanted.snapshotVersion) return 'current'
  return refusedVersion === wanted.snapshotVersion ? 'refused' : 'behind'
}

/** @returns how many stand how, and of those behind by id which version they have */
export function judgeFleet(
  fleet: readonly FleetMember[],
  now: number,
): { readonly counts: Readonly<Record<FleetStanding, number>>; readonly behind: ReadonlyMap<string, string> } {
  const counts = { current: 0, behind: 0, refused: 0, ahead: 0, silent: 0 }
  const behind = new Map<string, string>()
  for (const member of fleet) {
    const standing = fleetStanding(member, now)
    counts[standing]++
    if (standing === 'behind') behind.set(member.relay, String(member.held?.version ?? ''))
  }
  return { counts, behind }
}
