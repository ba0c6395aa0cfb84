// The switch of coexistence: what an administrator sets, and the states it goes through. Pure. (migration-semantics.md §2, coexistence.md §1)

export interface CoexistenceSetting {
  readonly state: 'on' | 'off'
  /** Whose mail: people of pairs only, or everybody with a mapping entry. */
  readonly scope: 'pairs' | 'all-mapped'
  /** Which mail of the tenant that holds the mailboxes passes the relay: of members of a group, or all that leaves. */
  readonly mode: 'member' | 'all-outbound'
  /** Also mail to colleagues who are mail users or contacts here. */
  readonly hasPartners: boolean
  /** Who delivers mail to outsiders: the tenant that owns the presented domain, or the one it came from. */
  readonly route: 'owner-tenant' | 'return'
  readonly enhancedFiltering: 'off' | 'everyone' | 'pilot'
  /** Domain whose ARC seals the tenants shall trust; undefined: nothing is changed. */
  readonly arcSealingDomain?: string | undefined
  /** Turns TNEF off for outsiders, tenant-wide. */
  readonly turnsTnefOff: boolean
  /** How long connectors stay after mail stopped entering. */
  readonly connectorHoldMs: number
  /** Where the connectors of each direction reach the relay: names; empty while nobody has said. */
  readonly relayHosts: { readonly out: string; readonly in: string }
}

export const FIRST_SETTING: CoexistenceSetting = {
  state: 'off',
  scope: 'all-mapped',
  mode: 'member',
  hasPartners: false,
  route: 'owner-tenant',
  enhancedFiltering: 'off',
  turnsTnefOff: false,
  connectorHoldMs: 48 * 3_600_000,
  relayHosts: { out: '', in: '' },
}

/** A switch of its own. */
export interface FreeBusySetting {
  readonly state: 'on' | 'off'
  readonly accessLevel: 'AvailabilityOnly' | 'LimitedDetails'
  /** Name of a group of under 10,000 members; undefined: everybody. */
  readonly accessScope?: string | undefined
}

export const FIRST_FREE_BUSY: FreeBusySetting = { state: 'off', accessLevel: 'AvailabilityOnly' }

export type SwitchState = 'off' | 'turning_on' | 'on' | 'turning_off' | 'drift'

/**
 * - `turn-on`, `turn-off`: the administrator asks; `turn-on` while it is on: for something else
 * - `reached`: the tenants are as the setting says
 * - `refused`: a lasting error came before the first routing rule was enabled; the enable is undone
 * - `drifted`: a tenant is no longer as we recorded
 * - `repaired`: it is again, by us with confirmation or by the administrator
 */
export type SwitchEvent = 'turn-on' | 'turn-off' | 'reached' | 'refused' | 'drifted' | 'repaired'

const TRANSITIONS: Readonly<Record<SwitchState, Partial<Record<SwitchEvent, SwitchState>>>> = {
  off: { 'turn-on': 'turning_on' },
  turning_on: { 'turn-off': 'turning_off', reached: 'on', refused: 'turning_off' },
  on: { 'turn-on': 'turning_on', 'turn-off': 'turning_off', drifted: 'drift' },
  // Turned on again while it holds: connectors are still there, rules are enabled anew.
  turning_off: { 'turn-on': 'turning_on', reached: 'off' },
  drift: { 'turn-off': 'turning_off', repaired: 'on' },
}

/** @returns undefined when the event does not belong to the state */
export function nextState(state: SwitchState, event: SwitchEvent): SwitchState | undefined {
  return TRANSITIONS[state][event]
}
