// What is to be said of an account and others: names and addresses that two have, and people who stand in two tenants. Pure: who is related to whom is
// looked up before (relation-store.ts). Each pair is said once, of the account that comes first: sources before the target, then by id.
import type { AccountKind, AccountSnapshot } from '../directory/account.ts'
import type { AccountId, TenantId } from '../ids.ts'
import type { Details } from './finding.ts'
import type { FindingCode } from './finding-kinds.ts'

/** Another account that has a name of this one. */
export interface Sharer {
  readonly account: AccountId
  readonly tenant: TenantId
  readonly kind: AccountKind
  readonly what: 'smtp' | 'x500'
  /** Names in common. */
  readonly count: number
  /** A live pair of the project. */
  readonly isPaired: boolean
}

export interface Relations {
  readonly sharers: readonly Sharer[]
  /** Of its tenant, who has its user principal name as an address. */
  readonly upnOwner?: AccountId
  /** Of the target, who has the name that it would get there; looked up only while it has no pair. */
  readonly upnTaken?: AccountId
  readonly nicknameTaken?: AccountId
  /** Others of its tenant with its display name, where it is the first of them. */
  readonly namesakes?: { readonly first: AccountId; readonly count: number; readonly isMore: boolean }
  /** Whom it names and nobody has seen. */
  readonly unknownForwarding?: boolean
  /** Its mapping entry presents it with an address of another tenant that nobody there has. */
  readonly isPresentedInVain?: boolean
  readonly unknownOnBehalf?: number
  /** Of the mailbox that it is paired with, octets. */
  readonly pair?: { readonly account: AccountId; readonly maxReceiveSize: number | undefined }
}

export const NO_RELATIONS: Relations = { sharers: [] }

export interface SaidOfTwo {
  readonly code: FindingCode
  /** undefined: of itself. */
  readonly other?: AccountId
  readonly details?: Details
}

export function judgeRelations(account: AccountSnapshot, tenant: TenantId, relations: Relations): SaidOfTwo[] {
  const { sharers, upnOwner, upnTaken, nicknameTaken, namesakes, pair } = relations
  const said: SaidOfTwo[] = sharers
    .filter(({ isPaired }) => !isPaired)
    .map(({ account: other, count, ...sharer }) => ({
      code: codeOf(account.kind, sharer, sharer.tenant === tenant),
      other,
      details: sharer.what === 'x500' ? { names: count } : { addresses: count },
    }))
  if (upnOwner !== undefined) said.push({ code: 'upn-is-address-of-another', other: upnOwner })
  if (upnTaken !== undefined) said.push({ code: 'upn-taken-in-target', other: upnTaken })
  if (nicknameTaken !== undefined) said.push({ code: 'nickname-taken-in-target', other: nicknameTaken })
  if (namesakes !== undefined) {
    const { first, count, isMore } = namesakes
    said.push({ code: 'display-name-double', other: first, details: { accounts: count + 1, isMore } })
  }
  if (relations.isPresentedInVain === true) said.push({ code: 'presented-without-object' })
  if (relations.unknownForwarding === true) said.push({ code: 'forwarding-to-unknown' })
  if (relations.unknownOnBehalf !== undefined && relations.unknownOnBehalf > 0)
    said.push({ code: 'send-on-behalf-unknown', details: { unknown: relations.unknownOnBehalf } })
  const own = account.mailbox?.maxReceiveSize
  if (own !== undefined && pair?.maxReceiveSize !== undefined && pair.maxReceiveSize < own)
    said.push({
      code: 'receive-size-lower-in-target',
      other: pair.account,
      details: { bytes: pair.maxReceiveSize, sourceBytes: own },
    })
  return said
}

const STANDS_FOR_ANOTHER: readonly AccountKind[] = ['contact', 'mail-user']

function codeOf(
  kind: AccountKind,
  { what, kind: otherKind }: Pick<Sharer, 'what' | 'kind'>,
  isSameTenant: boolean,
): FindingCode {
  if (what === 'x500') return 'x500-in-two-accounts'
  if (isSameTenant) return 'address-claimed-twice'
  const kinds = [kind, otherKind]
  if (kinds.includes('guest')) return 'guest-of-other-tenant'
  return kinds.some((one) => STANDS_FOR_ANOTHER.includes(one)) ? 'contact-of-other-tenant' : 'address-in-two-tenants'
}
