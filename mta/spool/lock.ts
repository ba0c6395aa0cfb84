// One process per spool (DU-7). Node has no flock: an exclusive SQLite transaction that is never finished holds a lock on its file,
// and the kernel lets go of it when the process dies, however it dies.
import fs from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SpoolUnusable } from './contract.ts'

export interface SpoolLock {
  release(): void
}

/**
 * @param name  of the lock's file; several processes of one relay share a directory that a primary holds by a lock of its own
 * @throws SpoolUnusable when another process, or another part of this one, holds the spool
 */
export function lockSpool(directory: string, name = 'lock'): SpoolLock {
  const file = join(directory, name)
  // Only when it isn't there: POSIX drops all locks of a process on a file as soon as it closes any descriptor of it.
  if (!fs.existsSync(file)) fs.closeSync(fs.openSync(file, 'a', 0o600))
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(file)
    database.exec('pragma locking_mode=exclusive; begin exclusive')
  } catch (cause) {
    database?.close()
    throw new SpoolUnusable(`the spool ${directory} is held by another process`, { cause })
  }
  const held = database
  return { release: () => held.close() }
}
