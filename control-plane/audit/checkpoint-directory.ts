// Write-once storage for checkpoints: a directory, best on another machine or a volume that lets nobody change a file. Each checkpoint is a file of
// its own, made new (O_EXCL), on disk before it counts, and never written over. (AU-3)
import { mkdir, open, readFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointContradicted } from './checkpoint-storage.ts'
import type { CheckpointStorage } from './checkpoint-storage.ts'

/** A file that a crash left short stays as it is: the note goes beside it, under the next name. */
const MAX_LEFTOVERS = 100
const SIZE_DIGITS = 16

/** `<directory>/<chain>/<size>.checkpoint`; made when missing, 0700. */
export function openCheckpointDirectory(directory: string): CheckpointStorage {
  return {
    async write(chain, size, note) {
      if (!/^[a-z0-9_]{1,64}$/.test(chain)) throw new RangeError('not the name of a chain')
      const folder = join(directory, chain)
      const madeFrom = await mkdir(folder, { recursive: true, mode: 0o700 })
      if (madeFrom !== undefined) await syncFolder(directory)
      const name = String(size).padStart(SIZE_DIGITS, '0')
      for (let leftover = 0; leftover <= MAX_LEFTOVERS; leftover++) {
        const path = join(folder, leftover === 0 ? `${name}.checkpoint` : `${name}.${leftover}.checkpoint`)
        const found = await writeNew(path, note)
        if (found === undefined) return syncFolder(folder)
        if (found === note) return undefined
        if (!note.startsWith(found))
          throw new CheckpointContradicted(`${path} is another checkpoint than the database has for this size`)
      }
      throw new Error(`${MAX_LEFTOVERS} broken files for one checkpoint in ${folder}`)
    },
  }
}

/** @returns what is in the file when there was one */
async function writeNew(path: string, text: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    file = await open(path, 'wx', 0o400)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return readFile(path, 'utf8')
    throw error
  }
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  return undefined
}

/** The name of a new file is on disk only when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
