// Where something is held about a person, and what becomes of it when he is to be erased: what every entry of person-sources.ts gives. (PR-6)
import type { Tx } from '../db/database.ts'
import type { Sealer } from '../keys/sealer.ts'
import type { MoreOfPerson, Person, Place } from './person.ts'

/** Why rows stay. */
export const REASONS = {
  'in-force':
    'The mapping table, a rule, a collection or a setting needs it: change that by its own route. Entries of the table, and what was read of a tenant, go with `force`.',
  paired: 'A pair would write it again: unpair first.',
  'in-tenant': 'It is in the tenant, and would be read again: remove the person there. Goes with `force` until then.',
  membership: 'The person may act here: take the membership away first.',
  audit: 'That something was done, when and by whom stays proved: ids and times only, details are cleared.',
  'ids-only': 'It names an opaque id that leads nowhere any more, and goes by the clock.',
  temporary: 'It is under way, and goes with its end, a day later at most.',
} as const
export type Reason = keyof typeof REASONS

export interface At {
  /** Sees the organisation. */
  readonly tx: Tx
  readonly place: Place
  readonly sealer: Sealer
  /** ms since the epoch */
  readonly now: number
}

export type Row = Readonly<Record<string, unknown>>

export interface EraseOptions {
  /** Also what is in force, where it can go. */
  readonly isForced: boolean
  /** Who asked for it: `callerName`. */
  readonly author: string
}

export interface Erasure {
  /** Rows that went, or went without the person. */
  readonly erased: number
  readonly stays: readonly { readonly reason: Reason; readonly rows: number }[]
}

export interface PersonSource {
  /** Names its section. */
  readonly name: string
  /** Tables that it answers for, as data-inventory.ts names them. */
  readonly tables: readonly string[]
  /** By what else the same person is known, as far as this says. */
  readonly recognise?: (at: At, person: Person) => Promise<MoreOfPerson>
  /** What is held, as the person may see it: nobody else's addresses. */
  readonly rows: (at: At, person: Person) => AsyncIterable<readonly Row[]>
  readonly erase: (at: At, person: Person, options: EraseOptions) => Promise<Erasure>
}

export function erasure(erased: number, stays: Partial<Readonly<Record<Reason, number>>> = {}): Erasure {
  const told = Object.entries(stays).map(([reason, rows]) => ({ reason: reason as Reason, rows }))
  return { erased, stays: told.filter(({ rows }) => rows > 0) }
}
