// Address → what `present` or `locate` (R4) makes of it, and why (R20–R28).
import type { Direction, MatchRule } from './change-report.ts'

/** `present` and `locate` of R4. */
export type MapFunction = 'present' | 'locate'

/** What a function of R4 makes of one address. */
export type Mapped =
  /** No match, an exception, or already equal after normalisation (R45): the bytes stay. `code` goes into the report. */
  | { readonly kind: 'kept'; readonly code?: 'rule-conflict' | 'eai-skipped' }
  | {
      readonly kind: 'replaced'
      readonly rule: MatchRule
      /** New local part as on the wire: dot-atom when possible, else quoted-string (R28); Unicode text. */
      readonly local: string
      readonly domain: string
      /**
       * What of the found bytes stays (R41): `local-part` (domain and wildcard rules: splice the domain only), `extension` (R22: splice
       * `local` up to its first `+` over the found local part up to its first `+`, and the domain), or nothing.
       */
      readonly keep: 'nothing' | 'extension' | 'local-part'
    }

/** All that the header, calendar and report code needs of a table: also answered from a list where the table itself is out of reach (BP-2). */
export interface AddressMap {
  /**
   * @param local   local part as found, quotes kept, obsolete CFWS removed; Unicode text
   * @param domain  domain as found, obsolete CFWS removed; Unicode text
   * @param smtpUtf8  whether the message is SMTPUTF8: else an `eai` replacement is not used (R27)
   */
  map(fn: MapFunction, local: string, domain: string, smtpUtf8: boolean): Mapped
  /** Identity of the entry that steps (2), (3) or R26 find for an address; undefined when none does. Equal numbers, same entry. */
  entryOf(local: string, domain: string): number | undefined
}

/** The function for receiving-side addresses of a direction (R31): class R and RCPT-like places of the content. */
export function recipientFunction(direction: Direction): MapFunction {
  return direction === 'out' ? 'present' : 'locate'
}
