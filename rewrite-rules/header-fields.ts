// Which header fields hold addresses, whose they are and in which syntax: the table of rewriting.md §3. What is not here is class N and
// never changes (R30).
import type { Direction } from './change-report.ts'
import { recipientFunction } from './lookup.ts'
import type { MapFunction } from './lookup.ts'

export interface AddressField {
  /** As the report writes it. */
  readonly name: string
  /** O originator, R recipient, U URI list, A Autocrypt. */
  readonly class: 'O' | 'R' | 'U' | 'A'
}

const FIELDS: readonly AddressField[] = [
  { name: 'From', class: 'O' },
  { name: 'Sender', class: 'O' },
  { name: 'Reply-To', class: 'O' },
  { name: 'Resent-From', class: 'O' },
  { name: 'Resent-Sender', class: 'O' },
  { name: 'Resent-Reply-To', class: 'O' },
  { name: 'Return-Receipt-To', class: 'O' },
  { name: 'Disposition-Notification-To', class: 'O' },
  { name: 'X-Confirm-Reading-To', class: 'O' },
  { name: 'Errors-To', class: 'O' },
  { name: 'Mail-Reply-To', class: 'O' },
  { name: 'Mail-Followup-To', class: 'O' },
  { name: 'To', class: 'R' },
  { name: 'Cc', class: 'R' },
  { name: 'Bcc', class: 'R' },
  { name: 'Resent-To', class: 'R' },
  { name: 'Resent-Cc', class: 'R' },
  { name: 'Resent-Bcc', class: 'R' },
  { name: 'Apparently-To', class: 'R' },
  { name: 'List-Post', class: 'U' },
  { name: 'List-Owner', class: 'U' },
  { name: 'List-Help', class: 'U' },
  { name: 'List-Subscribe', class: 'U' },
  { name: 'List-Unsubscribe', class: 'U' },
  { name: 'Autocrypt', class: 'A' },
]

const BY_LOWER_CASE_NAME: ReadonlyMap<string, AddressField> = new Map(
  FIELDS.map((field) => [field.name.toLowerCase(), field]),
)

// Most fields of a message are of class N: their first letter and length tell, and their names need not be hashed.
const MAX_LENGTH = 32
const STARTS = new Uint8Array(128 * MAX_LENGTH)
for (const name of BY_LOWER_CASE_NAME.keys()) STARTS[name.charCodeAt(0) * MAX_LENGTH + name.length] = 1

/** @param name  in lower case, not empty */
export function findAddressField(name: string): AddressField | undefined {
  if (name.length >= MAX_LENGTH || STARTS[name.charCodeAt(0) * MAX_LENGTH + name.length] !== 1) return undefined
  return BY_LOWER_CASE_NAME.get(name)
}

/** What becomes of the addresses in a field (R31); undefined: they stay. */
export function fieldFunction(field: AddressField, direction: Direction): MapFunction | undefined {
  if (field.class === 'R') return recipientFunction(direction)
  return direction === 'out' ? 'present' : undefined
}
