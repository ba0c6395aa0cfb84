// Who a message may be for, as far as RCPT alone tells it; what only the header decides is judged again when the header is there.
// (SP-5, SP-11) Pure.
import type { AddressMap, Direction } from '../../rewrite-rules/index.ts'
import { nonceOf } from '../nonces.ts'
import type { Nonce } from '../nonces.ts'
import type { Tenants } from '../tenants.ts'
import { formatMailbox } from './address-grammar.ts'
import type { Mailbox } from './address-grammar.ts'
import { REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'

export interface RecipientRules {
  /** Ours; nobody has a mailbox there. */
  readonly name: string
  /** Names of the project's relays beside it, lower case; nobody has one there either, but where a tenant has that domain too. */
  readonly hosts: readonly string[]
  /** addr-spec; who gets mail to the unqualified name (RFC 5321 §4.5.1). undefined: nobody */
  readonly postmaster: string | undefined
  /** undefined: the two-route configuration, where nobody is refused. */
  readonly tenants: Tenants | undefined
  /** undefined: the token in the header will tell. */
  readonly direction: Direction | undefined
  readonly nonces: readonly Nonce[]
  /** Whether everybody who reaches the listener is trusted: loopback without TLS (product.md §8). */
  readonly isLocal: boolean
  /** ms since the epoch */
  readonly now: number
  /** undefined: no table yet; the message will not be taken anyway. */
  readonly map: AddressMap | undefined
}

export type RecipientVerdict =
  | { readonly kind: 'taken'; readonly path: string; readonly isProbe: boolean }
  | { readonly kind: 'refused'; readonly reply: Reply }

const refused = (reply: Reply): RecipientVerdict => ({ kind: 'refused', reply })

/** @param reversePath  as received */
export function judgeRecipient(mailbox: Mailbox, reversePath: string, rules: RecipientRules): RecipientVerdict {
  if (mailbox.domain === '') {
    return rules.postmaster === undefined
      ? refused(REPLIES.noPostmaster)
      : { kind: 'taken', path: rules.postmaster, isProbe: false }
  }
  const path = formatMailbox(mailbox)
  if (nonceOf(path, [rules.name.toLowerCase(), ...rules.hosts], rules.nonces, rules.now) !== undefined)
    return { kind: 'taken', path, isProbe: true }
  if (rules.tenants === undefined || rules.isLocal) return { kind: 'taken', path, isProbe: false }
  if (isNowhere(mailbox.domain, rules)) return refused(REPLIES.mayNotRelay)
  const { direction, tenants } = rules
  if (direction === 'out' && !mayBeSender(reversePath, tenants)) return refused(REPLIES.senderNotOurs)
  if (direction === 'in' && rules.map !== undefined) {
    if (tenants.ownerOf(locatedDomain(mailbox, rules.map)) === undefined) return refused(REPLIES.mayNotRelay)
  }
  return { kind: 'taken', path, isProbe: false }
}

/** SP-5 `out`: a sender of the project, or the null reverse-path. */
export function mayBeSender(reversePath: string, tenants: Tenants): boolean {
  return reversePath === '' || tenants.ownerOfAddress(reversePath) !== undefined
}

/** A literal, this machine, or the relays themselves: no mail is for there. */
function isNowhere(domain: string, { name, hosts, tenants }: RecipientRules): boolean {
  const lower = domain.toLowerCase()
  return (
    domain.startsWith('[') ||
    lower === name.toLowerCase() ||
    (hosts.includes(lower) && tenants?.ownerOf(lower) === undefined) ||
    lower === 'localhost' ||
    lower.endsWith('.localhost') ||
    lower === 'localhost.localdomain'
  )
}

function locatedDomain({ local, domain }: Mailbox, map: AddressMap): string {
  const mapped = map.map('locate', local, domain, true)
  return mapped.kind === 'replaced' ? mapped.domain : domain
}
