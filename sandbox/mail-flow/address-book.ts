// One tenant as its mail flow sees it: who has an address, which domains are its own, who is in a group. Follows the tenant's changes, so one book
// lasts as long as the tenant.
import { RecipientIndex } from '../exchange/recipient-index.ts'
import { entraProperty } from '../exchange/recipient-facts.ts'
import type { ExchangeObject, Recipient } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { domainOf, flagOf, listOf, textOf, withoutPrefix } from './object-properties.ts'

export type DomainType = 'Authoritative' | 'InternalRelay' | 'ExternalRelay'

/** Of recipients without a mailbox. */
const ELSEWHERE: readonly Recipient['recipientTypeDetails'][] = ['MailUser', 'GuestMailUser', 'MailContact']

export class AddressBook {
  readonly tenant: SimulatedTenant
  readonly #index: RecipientIndex

  constructor(tenant: SimulatedTenant) {
    this.tenant = tenant
    this.#index = new RecipientIndex(tenant)
  }

  /** Whose primary or proxy address it is, or whose mail goes there; `local+tag@` is `local@` where the tenant allows it. */
  find(address: string, nowMs: number): Recipient | undefined {
    const lower = address.toLowerCase()
    return this.#having(lower, nowMs) ?? this.#having(withoutTag(lower, this.#allowsPlus(nowMs)), nowMs)
  }

  /** Whoever goes by a name, address or GUID in a setting. */
  named(identity: string, nowMs: number): Recipient | undefined {
    return this.#index.named(withoutPrefix(identity)).find(({ guid }) => this.tenant.isVisible(guid, nowMs))
  }

  /** Object ids in these groups, nested ones included, dynamic ones not (rules know no such members). undefined: a group is missing. */
  membersOf(groups: readonly string[], nowMs: number): ReadonlySet<string> | undefined {
    const members = new Set<string>()
    const open: string[] = []
    for (const group of groups) {
      const id = this.named(group, nowMs)?.externalDirectoryObjectId
      if (id === undefined) return undefined
      for (const member of this.#membersOfOne(id)) open.push(member)
    }
    // By list and not by recursion: groups are members of each other.
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      if (members.has(id)) continue
      members.add(id)
      for (const member of this.#membersOfOne(id)) open.push(member)
    }
    return members
  }

  /** Of the accepted domain that `domain` is, or is below of where subdomains match. */
  domainType(domain: string, nowMs: number): DomainType | undefined {
    const lower = domain.toLowerCase()
    const accepted = this.settings('AcceptedDomain', nowMs).find((each) => {
      const own = textOf(each, 'DomainName').toLowerCase()
      return own === lower || (flagOf(each, 'MatchSubDomains') && own !== '' && lower.endsWith(`.${own}`))
    })
    if (accepted === undefined) return undefined
    const type = textOf(accepted, 'DomainType')
    return type === 'InternalRelay' || type === 'ExternalRelay' ? type : 'Authoritative'
  }

  /** Whether it's in a domain for which this tenant answers. */
  isOwn(address: string, nowMs: number): boolean {
    const type = this.domainType(domainOf(address), nowMs)
    return type === 'Authoritative' || type === 'InternalRelay'
  }

  /** Configuration objects that act by now. */
  settings(noun: string, nowMs: number): readonly ExchangeObject[] {
    return this.tenant.exchangeObjects(noun).filter(({ guid }) => this.tenant.isVisible(guid, nowMs))
  }

  /** Whether `RejectDirectSend`, `DisablePlusAddressInRecipients` … is on. */
  organizationFlag(name: string, nowMs: number): boolean {
    return this.settings('OrganizationConfig', nowMs).some((config) => flagOf(config, name))
  }

  /** Primary SMTP address, lower case. */
  primaryOf(recipient: Recipient): string {
    const primary = this.addressesOf(recipient).find((address) => address.startsWith('SMTP:'))
    const own = primary ?? textOf(recipient, 'PrimarySmtpAddress')
    return withoutPrefix(own === '' ? textOf(recipient, 'ExternalEmailAddress') : own).toLowerCase()
  }

  /** Exchange's, or Entra's where Exchange holds none. */
  addressesOf(recipient: Recipient): readonly string[] {
    const own = listOf(recipient, 'EmailAddresses')
    return own.length > 0
      ? own
      : listOf({ properties: { it: entraProperty(recipient, this.tenant, 'proxyAddresses') } }, 'it')
  }

  #having(address: string | undefined, nowMs: number): Recipient | undefined {
    if (address === undefined) return undefined
    return this.#index
      .named(address)
      .find((each) => this.tenant.isVisible(each.guid, nowMs) && this.#hasAddress(each, address))
  }

  /** A user principal name alone takes no mail. */
  #hasAddress(recipient: Recipient, address: string): boolean {
    const isSame = (each: string) => withoutPrefix(each).toLowerCase() === address
    return (
      this.primaryOf(recipient) === address ||
      this.addressesOf(recipient).some((each) => /^smtp:/i.test(each) && isSame(each)) ||
      (isElsewhere(recipient) && isSame(textOf(recipient, 'ExternalEmailAddress')))
    )
  }

  #membersOfOne(objectId: string): readonly string[] {
    return this.tenant.object(objectId)?.members ?? []
  }

  #allowsPlus(nowMs: number): boolean {
    return !this.organizationFlag('DisablePlusAddressInRecipients', nowMs)
  }
}

/** Whether mail to it goes to its ExternalEmailAddress. */
export function isElsewhere({ recipientTypeDetails }: Recipient): boolean {
  return ELSEWHERE.includes(recipientTypeDetails)
}

/** Up to the first `+`; undefined: nothing to leave out. */
function withoutTag(address: string, isAllowed: boolean): string | undefined {
  const plus = address.indexOf('+')
  const at = address.lastIndexOf('@')
  return isAllowed && plus > 0 && plus < at ? address.slice(0, plus) + address.slice(at) : undefined
}
