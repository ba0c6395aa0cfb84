// Makes mailboxes and mail users as Exchange's cmdlets answer them. `Guid`, `RecipientTypeDetails` and `ExternalDirectoryObjectId` stand in the
// recipient itself and not among its properties.
import type { MailboxFigures, Recipient } from './objects.ts'
import { MADE_AT, distinguishedName, legacyName, sizeText } from './place.ts'
import type { NamingPlace, Place } from './place.ts'

export interface MailboxRecipe {
  readonly isHidden?: boolean
  /** Exchange's `LegacyExchangeDN`; default as Exchange Online makes them. */
  readonly legacyExchangeDn?: string
  /** Properties of `Get-Mailbox` that differ. */
  readonly mailbox?: Readonly<Record<string, unknown>>
  /** bytes; default of chance */
  readonly sizeBytes?: number
  /** bytes; undefined: no archive */
  readonly archiveBytes?: number
}

export interface RecipientIdentity {
  readonly id: string
  readonly local: string
  readonly name: string
  readonly primary: string
  readonly addresses: readonly string[]
  readonly userPrincipalName: string
  readonly isSynced: boolean
}

const GB = 2 ** 30
const AVERAGE_ITEM_BYTES = 75_000
const NO_GUID = '00000000-0000-0000-0000-000000000000'
const RECEIVE_BYTES = 37_748_736

export function makeMailbox(
  place: Place,
  recipe: MailboxRecipe,
  identity: RecipientIdentity & {
    readonly type: 'UserMailbox' | 'SharedMailbox' | 'RoomMailbox' | 'EquipmentMailbox'
    readonly quotaGb: number
  },
): Recipient {
  const { random } = place
  const hasArchive = recipe.archiveBytes !== undefined
  return {
    guid: random.guid(),
    recipientTypeDetails: identity.type,
    externalDirectoryObjectId: identity.id,
    properties: {
      ...common(place, recipe, identity),
      RecipientType: 'UserMailbox',
      UserPrincipalName: identity.userPrincipalName,
      ExchangeGuid: random.guid(),
      ArchiveGuid: hasArchive ? random.guid() : NO_GUID,
      ArchiveStatus: hasArchive ? 'Active' : 'None',
      ArchiveName: hasArchive ? [`In-Place Archive -${identity.name}`] : [],
      AutoExpandingArchiveEnabled: false,
      LitigationHoldEnabled: false,
      RetentionHoldEnabled: false,
      InPlaceHolds: [],
      DelayHoldApplied: false,
      SingleItemRecoveryEnabled: true,
      RetainDeletedItemsFor: '14.00:00:00',
      ForwardingAddress: null,
      ForwardingSmtpAddress: null,
      DeliverToMailboxAndForward: false,
      GrantSendOnBehalfTo: [],
      MaxReceiveSize: sizeText(RECEIVE_BYTES),
      MaxSendSize: sizeText(RECEIVE_BYTES - 2 * 2 ** 20),
      ProhibitSendReceiveQuota: sizeText(identity.quotaGb * GB),
      IsMailboxEnabled: true,
      WhenMailboxCreated: MADE_AT,
      ...recipe.mailbox,
    },
    statistics: figures(place, recipe, identity.quotaGb),
  }
}

/** What has an address and no mailbox. */
export function mailRecipient(
  place: Place,
  recipe: MailboxRecipe,
  identity: RecipientIdentity & { readonly type: 'MailUser' | 'GuestMailUser' },
): Recipient {
  return {
    guid: place.random.guid(),
    recipientTypeDetails: identity.type,
    externalDirectoryObjectId: identity.id,
    properties: {
      ...common(place, recipe, identity),
      RecipientType: 'MailUser',
      UserPrincipalName: identity.userPrincipalName,
      ExternalEmailAddress: `SMTP:${identity.primary}`,
      ExchangeGuid: NO_GUID,
      ArchiveGuid: NO_GUID,
      ForwardingAddress: null,
      DeliverToMailboxAndForward: false,
      GrantSendOnBehalfTo: [],
      ...recipe.mailbox,
    },
  }
}

/** What `Get-Recipient` tells of everything. */
export function common(
  place: NamingPlace,
  recipe: MailboxRecipe,
  { id, local, name, primary, addresses, isSynced }: Omit<RecipientIdentity, 'userPrincipalName'>,
): Record<string, unknown> {
  return {
    // Exchange Online names what Entra made by Entra's id: display names are no names.
    Identity: id,
    Name: id,
    Alias: local.slice(0, 64),
    DisplayName: name,
    DistinguishedName: distinguishedName(place, id),
    PrimarySmtpAddress: primary,
    WindowsEmailAddress: primary,
    EmailAddresses: addresses,
    LegacyExchangeDN: recipe.legacyExchangeDn ?? legacyName(place, local),
    HiddenFromAddressListsEnabled: recipe.isHidden ?? false,
    IsDirSynced: isSynced,
    WhenCreated: MADE_AT,
    WhenChanged: MADE_AT,
  }
}

/** A third full at most, where nothing else is said. */
function figures({ random }: Place, { sizeBytes, archiveBytes }: MailboxRecipe, quotaGb: number): MailboxFigures {
  const bytes = sizeBytes ?? random.below((quotaGb * GB) / 3)
  return {
    items: Math.ceil(bytes / AVERAGE_ITEM_BYTES),
    bytes,
    deletedItemBytes: Math.floor(bytes / 20),
    ...(archiveBytes === undefined ? {} : { archiveItems: Math.ceil(archiveBytes / AVERAGE_ITEM_BYTES), archiveBytes }),
  }
}
