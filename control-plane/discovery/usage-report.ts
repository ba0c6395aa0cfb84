// Rows of the two usage reports, read into parts of accounts: sizes of all mailboxes and drives in one file each. Pure. (microsoft-365.md §4)
import { matchKey } from '../directory/account.ts'
import { parseCount } from './exchange-part.ts'
import { optional } from './directory-object.ts'

export interface MailboxUsage {
  readonly items?: number
  readonly usedBytes?: number
  readonly deletedItemBytes?: number
}

export interface DriveUsage {
  readonly usedBytes: number
  readonly files: number
}

export type ReportRow = Readonly<Record<string, string>>

export interface ReportedRow<T> {
  /** Of whom: `matchKey` of his user principal name. */
  readonly upnKey: string
  readonly part: T
}

/** Hidden names are hashes without an @: the row is of nobody then. */
function ownerOf(row: ReportRow, column: string): string | undefined {
  const name = row[column] ?? ''
  return name.includes('@') && !name.includes('\0') && row['Is Deleted'] !== 'True' ? matchKey(name) : undefined
}

export function readMailboxUsage(row: ReportRow): ReportedRow<MailboxUsage> | undefined {
  const upnKey = ownerOf(row, 'User Principal Name')
  if (upnKey === undefined) return undefined
  return {
    upnKey,
    part: {
      ...optional('items', parseCount(row['Item Count'])),
      ...optional('usedBytes', parseCount(row['Storage Used (Byte)'])),
      ...optional('deletedItemBytes', parseCount(row['Deleted Item Size (Byte)'])),
    },
  }
}

export function readDriveUsage(row: ReportRow): ReportedRow<DriveUsage> | undefined {
  const upnKey = ownerOf(row, 'Owner Principal Name')
  if (upnKey === undefined) return undefined
  return {
    upnKey,
    part: { usedBytes: parseCount(row['Storage Used (Byte)']) ?? 0, files: parseCount(row['File Count']) ?? 0 },
  }
}
