// Reads a mapping table from its file, JSON or CSV, in slices: a table of a million entries must not hold up mail while it loads.
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { TableReader } from '../../rewrite-rules/index.ts'
import type { MappingTable } from '../../rewrite-rules/index.ts'

/** When any of it differs, the file is another, or has other content. */
export interface FileStamp {
  readonly inode: bigint
  readonly sizeBytes: bigint
  readonly modifiedNs: bigint
  readonly changedNs: bigint
}

export interface TableFile {
  readonly table: MappingTable
  readonly stamp: FileStamp
  /** ms since the epoch */
  readonly modifiedAt: number
}

/** The file was written to while it was read: what was read means nothing. */
export class TableUnsettled extends Error {
  override readonly name = 'TableUnsettled'
}

const CHUNK_BYTES = 256 * 1024

/** What a CSV file can't say of itself. */
export interface CsvIdentity {
  readonly project: string
  readonly version: number
}

/**
 * @param csvIdentity  of a CSV file that was written at `modifiedAt`, ms since the epoch
 * @throws TableFault when it is no valid table (R3), TableUnsettled, or what the file system says
 */
export async function readTable(
  file: string,
  csvIdentity: (modifiedAt: number) => CsvIdentity = byTime,
): Promise<TableFile> {
  await using handle = await open(file, 'r')
  const stamp = await stampOf(handle)
  const modifiedAt = Number(stamp.modifiedNs / 1_000_000n)
  const reader = new TableReader(csvIdentity(modifiedAt))
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  try {
    for (
      let read = await handle.read(chunk, 0, CHUNK_BYTES);
      read.bytesRead > 0;
      read = await handle.read(chunk, 0, CHUNK_BYTES)
    ) {
      reader.write(chunk.subarray(0, read.bytesRead))
      await setImmediate()
    }
    let table = reader.step()
    while (table === undefined) {
      await setImmediate()
      table = reader.step()
    }
    await mustBeUnchanged(handle, stamp)
    return { table, stamp, modifiedAt }
  } catch (error) {
    // A table that is half written is faulty; that it is half written says more.
    await mustBeUnchanged(handle, stamp)
    throw error
  }
}

/** A version only grows, as the time of writing does. */
function byTime(modifiedAt: number): CsvIdentity {
  return { project: 'csv', version: modifiedAt }
}

async function mustBeUnchanged(handle: FileHandle, stamp: FileStamp): Promise<void> {
  if (!isSameStamp(await stampOf(handle), stamp)) throw new TableUnsettled('the file changed while it was read')
}

async function stampOf(handle: FileHandle): Promise<FileStamp> {
  return toStamp(await handle.stat({ bigint: true }))
}

export function toStamp(stats: { ino: bigint; size: bigint; mtimeNs: bigint; ctimeNs: bigint }): FileStamp {
  return { inode: stats.ino, sizeBytes: stats.size, modifiedNs: stats.mtimeNs, changedNs: stats.ctimeNs }
}

export function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return (
    a.inode === b.inode && a.sizeBytes === b.sizeBytes && a.modifiedNs === b.modifiedNs && a.changedNs === b.changedNs
  )
}
