// Files of secrets in a directory that only we may enter: whole and durable or not there at all, readable by nobody else, and overwritten
// before they go. Errors of the file system become errors of a key service; what the files mean is file-provider.ts's.
import { randomBytes } from 'node:crypto'
import { chmod, constants, link, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { KeyServiceUnavailable, KeyUnusable } from './key-provider.ts'

/** What a crash left of a file that was being made. Younger ones may be another process's that is still at it. */
const LEFTOVER_AGE_MS = 3_600_000
const LEFTOVER = /^\.new-[0-9a-f]{16}$/

/** Makes the directory on the first run. @throws KeyUnusable in words when others can enter it, or it is none */
export async function openPrivateDirectory(directory: string, nowMs: number): Promise<void> {
  const made = await mkdir(directory, { recursive: true, mode: 0o700 })
  if (made !== undefined) await chmod(directory, 0o700) // whatever the umask
  await checkPrivateDirectory(directory)
  for (const name of (await listFiles(directory)).filter((each) => LEFTOVER.test(each))) {
    const { mtimeMs, nlink } = await stat(join(directory, name))
    if (nowMs - mtimeMs <= LEFTOVER_AGE_MS) continue
    // A crash between link and unlink leaves a second name of a file that is in use: that one must not be overwritten.
    if (nlink > 1) await rm(join(directory, name), { force: true })
    else await eraseFile(directory, name)
  }
}

export async function checkPrivateDirectory(directory: string): Promise<void> {
  const found = await stat(directory)
  if (!found.isDirectory()) throw new KeyUnusable(`the key directory ${directory} is not a directory`)
  refuseWiderMode(`the key directory ${directory}`, found.mode, 'chmod 700')
}

export async function listFiles(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (cause) {
    throw new KeyServiceUnavailable('the key directory cannot be read', { cause })
  }
}

/** undefined when there is no such file. @throws KeyUnusable when others may read it */
export async function readPrivateFile(directory: string, name: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    file = await open(join(directory, name), constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    throw new KeyServiceUnavailable(`${name} in the key directory cannot be opened`, { cause })
  }
  await using opened = file
  refuseWiderMode(`${name} in the key directory`, (await opened.stat()).mode, 'chmod 600')
  return opened.readFile('utf8')
}

/**
 * Makes a file that isn't there: whole and durable on return. Of two processes that make the same one, one wins.
 * @returns false when there is one of that name; it stays as it was
 */
export async function putNewFile(directory: string, name: string, text: string): Promise<boolean> {
  const temporary = `.new-${randomBytes(8).toString('hex')}`
  try {
    await using file = await open(join(directory, temporary), 'wx', 0o600)
    await file.writeFile(text)
    await file.sync()
  } catch (cause) {
    throw new KeyServiceUnavailable('the key directory cannot be written', { cause })
  }
  const isOurs = await link(join(directory, temporary), join(directory, name)).then(
    () => true,
    (cause: unknown) => {
      if (codeOf(cause) === 'EEXIST') return false
      throw new KeyServiceUnavailable('the key directory cannot be written', { cause })
    },
  )
  if (isOurs) await rm(join(directory, temporary))
  else await eraseFile(directory, temporary)
  await syncDirectory(directory)
  return isOurs
}

/** Overwrites what the file holds before its name goes. Nothing to do when it is gone. */
export async function eraseFile(directory: string, name: string): Promise<void> {
  let file: FileHandle
  try {
    file = await open(join(directory, name), 'r+')
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return
    throw new KeyServiceUnavailable(`${name} in the key directory cannot be overwritten`, { cause })
  }
  {
    await using opened = file
    const { size } = await opened.stat()
    await opened.write(randomBytes(size), 0, size, 0)
    await opened.sync()
  }
  await rm(join(directory, name), { force: true }) // another process may have been at the same
  await syncDirectory(directory)
}

function refuseWiderMode(what: string, mode: number, remedy: string): void {
  const bits = mode & 0o777
  if ((bits & 0o077) === 0) return
  throw new KeyUnusable(`${what} is open to other users (mode ${bits.toString(8).padStart(4, '0')}): ${remedy} it`)
}

async function syncDirectory(directory: string): Promise<void> {
  await using opened = await open(directory, 'r')
  await opened.sync()
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined)
