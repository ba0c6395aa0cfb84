// What a discovery knows of one object of a tenant: user, group, contact, mailbox of any kind. Read by matching, findings, mapping and reports. Pure.
// (migration-semantics.md §1, microsoft-365.md §4)

export const ACCOUNT_KINDS = [
  'user',
  'guest',
  'shared-mailbox',
  'room',
  'equipment',
  'microsoft-365-group',
  'security-group',
  'mail-enabled-security-group',
  'distribution-list',
  'dynamic-distribution-list',
  'contact',
  'mail-user',
] as const
export type AccountKind = (typeof ACCOUNT_KINDS)[number]

export const GROUP_KINDS: readonly AccountKind[] = [
  'microsoft-365-group',
  'security-group',
  'mail-enabled-security-group',
  'distribution-list',
  'dynamic-distribution-list',
]

export interface AccountSnapshot {
  /** Entra object id, a GUID in lower case; of what Entra does not know, Exchange's GUID. */
  readonly objectId: string
  readonly kind: AccountKind
  readonly displayName: string
  readonly userPrincipalName?: string
  readonly mail?: string
  readonly mailNickname?: string
  /** SMTP addresses as the tenant writes them, without prefix, the primary first. */
  readonly addresses: readonly string[]
  /** LegacyExchangeDN and X500 addresses, without prefix. */
  readonly x500: readonly string[]
  /** `sip:…` and what else there is, with prefix. */
  readonly otherAddresses: readonly string[]
  readonly isEnabled?: boolean
  /** `onPremisesSyncEnabled`: written by the on-premises directory, not by us. */
  readonly isSynced: boolean
  /** Hidden from address lists. */
  readonly isHidden?: boolean
  /**
   * What else was read, by Graph's member name: givenName, employeeId, onPremisesImmutableId, department, usageLocation, extensionAttribute1 …
   * Only members with a value.
   */
  readonly attributes: Readonly<Record<string, string>>
  /** SKU ids. */
  readonly licences: readonly string[]
  readonly group?: GroupFacts
  /** undefined: none, or nobody could look (the discovery says which). */
  readonly mailbox?: MailboxFacts
  readonly drive?: { readonly usedBytes: number; readonly files: number }
}

export interface GroupFacts {
  readonly members: number
  readonly owners?: number
  /** Of a dynamic group. */
  readonly membershipRule?: string
  readonly visibility?: string
}

export interface MailboxFacts {
  /** `UserMailbox`, `SharedMailbox`, `RoomMailbox` …; absent without the Exchange role. */
  readonly recipientTypeDetails?: string
  readonly exchangeGuid?: string
  readonly archiveGuid?: string
  readonly hasArchive?: boolean
  readonly autoExpandingArchive?: boolean
  readonly litigationHold?: boolean
  readonly retentionHold?: boolean
  readonly singleItemRecovery?: boolean
  readonly forwardingSmtpAddress?: string
  readonly forwardingAddress?: string
  readonly deliverToMailboxAndForward?: boolean
  /** bytes */
  readonly maxReceiveSize?: number
  readonly grantSendOnBehalfTo?: readonly string[]
  /** From the usage report, or the mailbox's own statistics. */
  readonly usedBytes?: number
  readonly items?: number
  readonly deletedItemBytes?: number
  readonly archiveBytes?: number
}

/** As addresses are compared in matching (migration-semantics.md §3.3): whole, trimmed, NFC, lower case. */
export function matchKey(address: string): string {
  return address.trim().normalize('NFC').toLowerCase()
}

/** Where the tenant said so: primary first, as `proxyAddresses` and `EmailAddresses` write them. */
export function splitProxyAddresses(
  proxies: readonly string[],
): Pick<AccountSnapshot, 'addresses' | 'x500' | 'otherAddresses'> {
  const primary: string[] = []
  const secondary: string[] = []
  const x500: string[] = []
  const otherAddresses: string[] = []
  for (const proxy of proxies) {
    if (proxy.startsWith('SMTP:')) primary.push(proxy.slice(5))
    else if (/^smtp:/i.test(proxy)) secondary.push(proxy.slice(5))
    else if (/^x500:/i.test(proxy)) x500.push(proxy.slice(5))
    else if (proxy.includes(':')) otherAddresses.push(proxy)
    else if (proxy !== '') secondary.push(proxy)
  }
  return { addresses: [...new Set([...primary, ...secondary])], x500: [...new Set(x500)], otherAddresses }
}
