// Where journals are and which file holds which day. A relay with several workers has one journal for each part of its spool.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

const DAY_MS = 86_400_000
const DAY_FILE = /^(\d{4}-\d\d-\d\d)\.jsonl$/

/** Of the spool, or of the part of it that one worker has. */
export function journalDirectory(spoolDirectory: string): string {
  return join(spoolDirectory, 'journal')
}

/** The relay's own and those of its workers, `worker-<n>`; whether there is a journal in them or not. */
export async function journalDirectories(spoolDirectory: string): Promise<string[]> {
  const names = await namesIn(spoolDirectory)
  const workers = names.filter((name) => /^worker-\d{1,4}$/.test(name))
  return [spoolDirectory, ...workers.map((name) => join(spoolDirectory, name))].map(journalDirectory)
}

export function dayFile(directory: string, day: string): string {
  return join(directory, `${day}.jsonl`)
}

/** Days that have a file, the oldest first, as `2026-11-22`. */
export async function journalDays(directory: string): Promise<string[]> {
  const names = await namesIn(directory)
  return names.flatMap((name) => DAY_FILE.exec(name)?.[1] ?? []).toSorted()
}

/** PR-4: a line is kept for `keepDays` whole days after the one it was written on. */
export function isExpired(day: string, now: number, keepDays: number): boolean {
  const written = Date.parse(day)
  return Number.isNaN(written) || Math.floor(now / DAY_MS) - Math.floor(written / DAY_MS) > keepDays
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).toSorted()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
