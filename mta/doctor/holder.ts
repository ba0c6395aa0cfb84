// Which process has a spool open. (OP-5, DU-7)
import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'

/** The process that has the spool's lock open; undefined when there is none, or when only its owner may see. */
export async function holderOf(spoolDirectory: string): Promise<number | undefined> {
  const lock = join(spoolDirectory, 'lock')
  for (const name of await namesIn('/proc')) {
    if (!/^\d+$/.test(name)) continue
    for (const fd of await namesIn(`/proc/${name}/fd`)) {
      const target = await readlink(`/proc/${name}/fd/${fd}`).catch(() => '') // closed meanwhile
      if (target === lock) return Number(name)
    }
  }
  return undefined
}

async function namesIn(directory: string): Promise<string[]> {
  // Other people's processes can't be looked into, and any may end while we look.
  return readdir(directory).catch(() => [])
}
