// What a simulated tenant holds. Directory objects carry the members that Graph publishes for them, Exchange objects the properties that cmdlets
// answer; both are plain data, so that a tenant can be written to a file and compared with another.

/** A user, group or organisational contact of Entra ID. */
export interface DirectoryObject {
  readonly id: string
  readonly kind: 'user' | 'group' | 'orgContact'
  /** By Graph's member name, every one that has a value. `id` is not among them. */
  readonly properties: Readonly<Record<string, unknown>>
  /** Of a group: object ids. */
  readonly members: readonly string[]
  readonly owners: readonly string[]
  /** Of a user. */
  readonly manager?: string
}

/** A recipient of Exchange: mailbox, mail user, mail contact, group. */
export interface Recipient {
  /** Exchange's `Guid`. */
  readonly guid: string
  readonly recipientTypeDetails:
    | 'UserMailbox'
    | 'SharedMailbox'
    | 'RoomMailbox'
    | 'EquipmentMailbox'
    | 'MailUser'
    | 'GuestMailUser'
    | 'MailContact'
    | 'MailUniversalDistributionGroup'
    | 'MailUniversalSecurityGroup'
    | 'DynamicDistributionGroup'
    | 'GroupMailbox'
  /** Entra's object; undefined: Exchange alone knows it (a dynamic distribution group). */
  readonly externalDirectoryObjectId?: string
  /** As cmdlets answer them: `LegacyExchangeDN`, `EmailAddresses`, `ForwardingSmtpAddress`, `LitigationHoldEnabled` … */
  readonly properties: Readonly<Record<string, unknown>>
  /** What is in the mailbox; undefined: none. */
  readonly statistics?: MailboxFigures
}

export interface MailboxFigures {
  readonly items: number
  readonly bytes: number
  readonly deletedItemBytes: number
  readonly archiveItems?: number
  readonly archiveBytes?: number
}

/** A configuration object of Exchange: connector, transport rule, accepted domain, remote domain … */
export interface ExchangeObject {
  readonly guid: string
  /** Noun of its cmdlets: `InboundConnector`, `TransportRule`, `OrganizationConfig`. */
  readonly noun: string
  readonly properties: Readonly<Record<string, unknown>>
}

export interface Licence {
  readonly skuId: string
  readonly skuPartNumber: string
  readonly enabled: number
  readonly servicePlans: readonly { readonly servicePlanId: string; readonly servicePlanName: string }[]
}

export interface Domain {
  readonly id: string
  readonly isVerified: boolean
  readonly isDefault: boolean
  readonly isInitial: boolean
  readonly authenticationType: 'Managed' | 'Federated'
  readonly supportedServices: readonly string[]
}

export interface Drive {
  readonly usedBytes: number
  readonly files: number
}

/** A tenant from its seed, or as it was saved. */
export interface TenantData {
  readonly id: string
  readonly displayName: string
  readonly countryLetterCode: string
  readonly isSyncedFromOnPremises: boolean
  readonly cloud: 'global' | 'gcc-high' | 'dod' | 'china'
  readonly domains: readonly Domain[]
  readonly licences: readonly Licence[]
  readonly objects: readonly DirectoryObject[]
  readonly recipients: readonly Recipient[]
  readonly exchangeObjects: readonly ExchangeObject[]
  /** By user. */
  readonly drives: Readonly<Record<string, Drive>>
  /** Of the usage reports. */
  readonly reportsConcealNames: boolean
  /** Object ids of who may consent for the tenant. */
  readonly administrators: readonly string[]
}
