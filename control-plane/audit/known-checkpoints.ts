// Checkpoints that were kept elsewhere, read from whatever they were kept in: one note a file, a directory of such files (checkpoint-directory.ts),
// or an earlier export. Which of them to believe is the verifier's business.
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseNote } from './checkpoint.ts'
import { readLines } from './trail-lines.ts'
import { parseRecord } from './trail.ts'

/** Longer than any note. */
const MAX_NOTE_BYTES = 4096

/** @returns notes; empty when there are none @throws errors of the file system */
export async function readKnownCheckpoints(path: string): Promise<string[]> {
  const found = await stat(path)
  if (found.isDirectory()) {
    const names = (await readdir(path)).filter((name) => name.endsWith('.checkpoint')).toSorted()
    const notes: string[] = []
    // What a crash left short is none (checkpoint-directory.ts).
    for (const name of names) notes.push(...(await noteOf(join(path, name))))
    return notes
  }
  const notes = found.size <= MAX_NOTE_BYTES ? await noteOf(path) : []
  return notes.length > 0 ? notes : notesOfExport(path)
}

async function noteOf(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8')
  return parseNote(text) === undefined ? [] : [text]
}

async function notesOfExport(path: string): Promise<string[]> {
  const notes: string[] = []
  for await (const { bytes } of readLines(createReadStream(path))) {
    const record = parseRecord(bytes)
    if (record?.kind === 'checkpoint') notes.push(record.note)
  }
  return notes
}
