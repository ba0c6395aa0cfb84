// Reads journals: line by line in bounded memory, those of several workers merged by time.
import { createReadStream } from 'node:fs'
import { parseEntry } from './journal-entry.ts'
import type { JournalEntry } from './journal-entry.ts'
import { dayFile, journalDays, journalDirectories } from './journal-files.ts'

/** Decides over one entry, in the order of its file. */
export type EntryFilter = (entry: JournalEntry) => boolean

export interface JournalQuery {
  /** Days before it aren't read at all: `2026-11-22`. */
  readonly firstDay?: string
  /** Any text that a line must hold to be looked at: spares reading the rest. */
  readonly hint?: string
  /** Called once for each journal: what a filter remembers is true of that one only, for a message never changes its worker. */
  readonly filter: () => EntryFilter
}

/** A line of 1,000 recipients in clear is about a third of it. */
const MAX_LINE = 1024 * 1024
const READ_BYTES = 256 * 1024

/** In order of time; entries of one journal in the order they were written, whatever its clock did. */
export async function* readJournal(spoolDirectory: string, query: JournalQuery): AsyncGenerator<JournalEntry> {
  const sources: { entries: AsyncGenerator<JournalEntry>; next: JournalEntry }[] = []
  for (const directory of await journalDirectories(spoolDirectory)) {
    const entries = entriesOf(directory, query)
    const first = await entries.next()
    if (first.done !== true) sources.push({ entries, next: first.value })
  }
  while (sources.length > 0) {
    let earliest = 0
    for (const [index, { next }] of sources.entries()) {
      if (next.time < (sources[earliest]?.next.time ?? '')) earliest = index
    }
    const source = sources[earliest]
    if (source === undefined) return
    yield source.next
    const { done, value } = await source.entries.next()
    if (done === true) sources.splice(earliest, 1)
    else source.next = value
  }
}

async function* entriesOf(
  directory: string,
  { firstDay = '', hint, filter }: JournalQuery,
): AsyncGenerator<JournalEntry> {
  const isWanted = filter()
  for (const day of await journalDays(directory)) {
    if (day < firstDay) continue
    for await (const lines of linesOf(dayFile(directory, day))) {
      for (const line of lines) {
        if (hint !== undefined && !line.includes(hint)) continue
        const entry = parseEntry(line)
        if (entry !== undefined && isWanted(entry)) yield entry
      }
    }
  }
}

/** What is longer than any line we write is skipped; so is a day that is swept meanwhile. */
async function* linesOf(path: string): AsyncGenerator<string[]> {
  let rest = ''
  let isSkipping = false
  try {
    for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: READ_BYTES })) {
      const lines = String(chunk).split('\n')
      if (isSkipping && lines.length > 1) {
        lines[0] = ''
        rest = ''
        isSkipping = false
      }
      lines[0] = rest + (lines[0] ?? '')
      rest = lines.pop() ?? ''
      if (rest.length > MAX_LINE) isSkipping = true
      if (isSkipping) rest = ''
      yield lines
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
  if (rest !== '') yield [rest]
}
