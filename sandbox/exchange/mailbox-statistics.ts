// Get-MailboxStatistics: how much is in a mailbox or its archive. Whose mailbox nobody has opened yet has none, and a warning says so.
import type { MailboxFigures, Recipient } from '../tenants/objects.ts'
import type { Cmdlet, CmdletCall } from './cmdlet.ts'
import { noRows, rowsOf } from './cmdlet.ts'
import { absentMailbox, ambiguousIdentity } from './exchange-error.ts'
import { PropertyWriter } from './properties.ts'
import type { Properties } from './properties.ts'
import { MAILBOX_TYPES, nameOf } from './recipient-facts.ts'
import { identityProperties } from './recipient-properties.ts'

/** Deleted items are counted by this average: how many they are is not kept. */
const AVERAGE_ITEM_BYTES = 75_000

const MAILBOX_KINDS: ReadonlySet<string> = new Set([...MAILBOX_TYPES, 'GroupMailbox'])

/** What is in the mailbox, or in its archive. */
export interface Contents {
  readonly items: number
  readonly bytes: number
  readonly deletedItems: number
  readonly deletedBytes: number
}

export const getMailboxStatistics: Cmdlet = {
  name: 'Get-MailboxStatistics',
  isWrite: false,
  heeds: ['Identity', 'Archive', 'UseCustomRouting'],
  run: (call) => {
    const isArchive = call.parameters.isOn('Archive')
    const mailbox = findMailbox(call, isArchive)
    const contents = contentsOf(mailbox.statistics, isArchive)
    if (contents === undefined) {
      const name = nameOf(mailbox, call.tenant)
      return {
        rows: noRows,
        warnings: [
          `The user hasn't logged on to mailbox '${name}' ('${mailbox.guid}'), so there is no data to return. After the user logs on, this warning will no longer appear.`,
        ],
      }
    }
    const writer = new PropertyWriter(call.select, call.behaviour.sizes)
    return { rows: rowsOf([contents], () => writer.write(statistics(call, mailbox, contents, isArchive))) }
  },
}

/** @param isArchive  its archive is meant: a mailbox without one is absent */
export function findMailbox(
  { parameters, recipients, behaviour, isVisible }: CmdletCall,
  isArchive: boolean,
): Recipient {
  const identity = parameters.text('Identity') ?? ''
  const [found, other] = recipients
    .named(identity)
    .filter(({ guid, recipientTypeDetails }) => MAILBOX_KINDS.has(recipientTypeDetails) && isVisible(guid))
  if (other !== undefined) throw ambiguousIdentity(identity)
  const hasArchive = found?.statistics?.archiveBytes !== undefined || found?.properties['ArchiveStatus'] === 'Active'
  if (found === undefined || (isArchive && !hasArchive)) throw absentMailbox(identity, behaviour.absentStatus)
  return found
}

/** undefined: nobody has opened it yet. */
export function contentsOf(figures: MailboxFigures | undefined, isArchive: boolean): Contents | undefined {
  if (figures === undefined) return undefined
  const { items, bytes, deletedItemBytes, archiveItems = 0, archiveBytes } = figures
  if (isArchive) {
    return archiveBytes === undefined
      ? undefined
      : { items: archiveItems, bytes: archiveBytes, deletedItems: 0, deletedBytes: 0 }
  }
  const deletedItems = Math.ceil(deletedItemBytes / AVERAGE_ITEM_BYTES)
  return { items, bytes, deletedItems, deletedBytes: deletedItemBytes }
}

function statistics(
  { tenant }: CmdletCall,
  mailbox: Recipient,
  { items, bytes, deletedItems, deletedBytes }: Contents,
  isArchive: boolean,
): Properties {
  const { properties, guid, externalDirectoryObjectId, recipientTypeDetails } = mailbox
  const identity = identityProperties(mailbox, tenant)
  const mailboxGuid = properties[isArchive ? 'ArchiveGuid' : 'ExchangeGuid'] ?? guid
  return {
    AssociatedItemCount: 0,
    AttachmentTableTotalSize: 0,
    DeletedItemCount: deletedItems,
    DisconnectDate: null,
    DisconnectReason: null,
    DisplayName: properties['DisplayName'] ?? identity['DisplayName'],
    ExternalDirectoryObjectId: externalDirectoryObjectId ?? '',
    Identity: mailboxGuid,
    IsArchiveMailbox: isArchive,
    IsQuarantined: false,
    IsValid: true,
    ItemCount: items,
    LastLogoffTime: null,
    LastLogonTime: null,
    LegacyDN: properties['LegacyExchangeDN'] ?? identity['LegacyExchangeDN'],
    MailboxGuid: mailboxGuid,
    MailboxType: isArchive ? 'Archive' : 'Private',
    MailboxTypeDetail: recipientTypeDetails,
    MessageTableTotalSize: bytes,
    OwnerADGuid: guid,
    StorageLimitStatus: null,
    TotalDeletedItemSize: deletedBytes,
    TotalItemSize: bytes,
  }
}
