// What a plan is made from and what it says, and the few words that its parts share. Pure. (coexistence.md §1, §2)
import type { TenantId } from '../ids.ts'
import { ruleNumber } from './names.ts'
import type { GateStep, Step } from './step.ts'
import type { DesiredObject, Noun, ObservedObject, Ownership, Properties } from './tenant-object.ts'

/** What the ledger knows of an object of ours that is not settled as gone. */
export interface LedgerObject {
  readonly tenant: TenantId
  readonly noun: Noun
  readonly key: string
  readonly name: string
  readonly ownership: Ownership
  /** Undefined: its creation was intended, and how that ended is not known. */
  readonly guid?: string
  /** As we last wrote it, `State` of rules among it. */
  readonly written: Properties
  /** As we meant to, by a call whose answer was lost. */
  readonly intended?: Properties
  /** Of changed objects: what was there. */
  readonly before?: Properties
}

export interface Problem {
  /** `drift`: ours, changed by somebody · `conflict`: somebody else's object has our name · `limit`: the tenant takes no more
   * `in-use`: ours and wanted no longer, but a rule that stays names it */
  readonly kind: 'drift' | 'conflict' | 'limit' | 'in-use'
  readonly tenant: TenantId
  readonly noun: Noun
  readonly key: string
  readonly properties: readonly string[]
}

export interface Plan {
  readonly steps: readonly Step[]
  readonly problems: readonly Problem[]
}

export interface PlanOptions {
  /** In marks. */
  readonly project: string
  readonly route: 'owner-tenant' | 'return'
  /** `connector-validation-<nonce>@<relay FQDN>`, by key of the outbound connector. */
  readonly validationRecipients: Readonly<Record<string, string>>
  /** Set as the time of a validation. */
  readonly now: Date
  /** Whether drift is overwritten: somebody has looked at it. */
  readonly isDriftConfirmed: boolean
}

/** A desired object, what the tenant has of it, and what the ledger knows. */
export interface Found {
  readonly object: DesiredObject
  readonly observed: ObservedObject | undefined
  readonly ledger: LedgerObject | undefined
}

/** Ours, and somebody else switched it off or took it away: it stays so until that is confirmed. */
export function isLeftOff({ observed, ledger }: Found, isDriftConfirmed: boolean): boolean {
  if (isDriftConfirmed || ledger === undefined) return false
  if (observed === undefined) return ledger.guid !== undefined
  const isOff = observed.isEnabled === false && ledger.written['State'] === 'Enabled'
  return isOff && ledger.intended?.['State'] !== 'Disabled'
}

export const isRouting = (key: string): boolean => /^rule-[234]/.test(key)
export const keyOf = ({ tenant, noun, key }: Pick<DesiredObject, 'tenant' | 'noun' | 'key'>) =>
  `${tenant} ${noun} ${key}`
export const gateIf = (isNeeded: boolean, gate: GateStep['gate']): GateStep[] =>
  isNeeded ? [{ kind: 'gate', gate }] : []

/** Whether people leave by this step: out of a group, or with the rule of a group that nobody is in any more. */
export function isLeaving(step: Step, wanted: readonly Pick<DesiredObject, 'tenant' | 'key'>[]): boolean {
  if (step.kind === 'gate') return false
  if (step.effect === 'remove-member') return true
  if (step.effect !== 'disable' || !isRouting(step.key)) return false
  const group = step.key === 'rule-40' ? 'group-elsewhere' : 'group-presented'
  return !wanted.some(({ tenant, key }) => tenant === step.tenant && key === group)
}

/** Place of a rule's number in an order of them. */
export function rank(places: readonly number[], key: string): number {
  return places.indexOf(ruleNumber(key) ?? 0)
}
