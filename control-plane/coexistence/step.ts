// One thing to do in a tenant, or to wait for, as data: what is run, shown as a dry run, and kept in the change ledger. (coexistence.md §1.1, §2.2)
import type { TenantId } from '../ids.ts'
import type { Noun, Properties, Value } from './tenant-object.ts'

export interface Call {
  readonly cmdlet: string
  /** Proof tokens as digests: the secrets are put in when it is sent. */
  readonly parameters: Readonly<Record<string, Value>>
}

export interface CallStep extends Call {
  readonly kind: 'call'
  readonly tenant: TenantId
  readonly noun: Noun
  readonly key: string
  readonly name: string
  /** Undefined: the object is made by this step or by an earlier one of the plan. */
  readonly guid?: string
  readonly effect:
    'create' | 'set' | 'validate' | 'enable' | 'disable' | 'add-member' | 'remove-member' | 'remove' | 'write-back'
  /** Properties that the tenant has by it, `State` among them: recorded as intended before the call and as written after it. */
  readonly writes: Properties
  /** What those properties were. Of removals everything. */
  readonly before: Properties
  /** To go back. The object not being there, and a member being there or not, are success: twice is harmless. */
  readonly undo: readonly Call[]
}

/**
 * - `relays-ready`: every live relay is reachable and holds table and settings
 * - `table-before`: every live relay has the table that names the people who are added
 * - `table-after`: relays were let have the table that forgets the people who were removed, and every live one has it
 * - `validated`: the relay saw the connector's validation mail
 * - `probes`: every probe came back as expected
 * - `propagated`: each enabled rule was seen acting, or an hour has passed
 * - `hold`: nothing has entered for the hold, and the relays' spools are empty; with a connector's key: nothing has entered by that one
 */
export type Gate = 'relays-ready' | 'table-before' | 'table-after' | 'validated' | 'probes' | 'propagated' | 'hold'

export interface GateStep {
  readonly kind: 'gate'
  readonly gate: Gate
  readonly tenant?: TenantId
  readonly key?: string
}

export type Step = CallStep | GateStep

/** What takes back steps that were done, last first. */
export function undoOf(done: readonly Step[]): readonly (Call & { readonly tenant: TenantId })[] {
  return done
    .flatMap((step) => (step.kind === 'call' ? step.undo.map((call) => ({ ...call, tenant: step.tenant })) : []))
    .toReversed()
}
