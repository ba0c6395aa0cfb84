// A cmdlet of the simulated Exchange: what it heeds, whether it changes something, and the rows that it answers, from any position on.
import type { SandboxServices } from '../services.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import type { ExchangeBehaviour } from './behaviour.ts'
import type { Parameters } from './parameters.ts'
import type { RecipientIndex } from './recipient-index.ts'

export interface CmdletCall {
  readonly parameters: Parameters
  readonly tenant: SimulatedTenant
  readonly recipients: RecipientIndex
  readonly services: SandboxServices
  readonly behaviour: ExchangeBehaviour
  /** Whether readers see what has this id by now. */
  readonly isVisible: (id: string) => boolean
  /** Properties asked for by `$select`, lower case; undefined: all. */
  readonly select: ReadonlySet<string> | undefined
}

export interface Cmdlet {
  /** As published: `Get-Mailbox`. */
  readonly name: string
  readonly isWrite: boolean
  /** Parameters that it does something about. Another one that is published, but would be passed over here, is refused. */
  readonly heeds: readonly string[]
  /** @throws ExchangeError as Exchange would refuse it */
  readonly run: (call: CmdletCall) => CmdletAnswer | Promise<CmdletAnswer>
}

export interface CmdletAnswer {
  readonly rows: Rows
  /** How many of them at most, were no ResultSize given; default any number. */
  readonly defaultSize?: number
  readonly warnings?: readonly string[]
  /** Of a write: what was made, changed or removed. */
  readonly guid?: string
}

/** Where a page ended. */
export interface Cursor {
  readonly place: number
  /** Of the last object, where it may have another place after a restart. */
  readonly id?: string
}

export interface Row {
  readonly cursor: Cursor
  /** With annotations. */
  readonly read: () => Record<string, unknown>
}

/** What comes after a cursor, in an order that stays; nothing before it is gone through again. */
export type Rows = (after: Cursor | undefined) => Iterable<Row>

/** Of a write that says nothing, which is most of them. */
export const noRows: Rows = () => []

export function rowsOf<T>(items: readonly T[], read: (item: T) => Record<string, unknown>): Rows {
  return function* (after) {
    for (let place = after === undefined ? 0 : after.place + 1; place < items.length; place++) {
      const item = items[place] as T
      yield { cursor: { place }, read: () => read(item) }
    }
  }
}
