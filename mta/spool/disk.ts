// Every system call of the spool goes through here, so that a test can fail each one, cut a write short, or stop the process
// before and after it. Callbacks of node:fs rather than fs/promises: half the CPU a call.
import fs from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/** Written from the event loop's thread when a group is no larger: a copy into the page cache that saves a trip to the thread pool. */
const SYNCHRONOUS_WRITE_BYTES = 64 * 1024
/** Linux takes 1,024 buffers a writev (IOV_MAX). */
const MAX_PIECES = 1000

export const DISK_CALLS = [
  'open',
  'write',
  'sync',
  'syncDirectory',
  'read',
  'rename',
  'unlink',
  'truncate',
  'close',
] as const
export type DiskCall = (typeof DISK_CALLS)[number]

export interface DiskStep {
  readonly call: DiskCall
  /** Relative to the spool directory. */
  readonly path: string
  /** Of a write: where, and how much. */
  readonly position?: number
  readonly bytes?: number
  /** Of a rename. */
  readonly to?: string
}

/** What goes wrong in place of a call: the error; for a write, how many bytes still reach the file. */
export interface DiskFault {
  readonly error: NodeJS.ErrnoException
  readonly writtenBytes?: number
}

/** For tests: may return a fault, or end the process. */
export interface DiskHooks {
  before?(step: DiskStep): DiskFault | undefined
  after?(step: DiskStep): void
}

export interface DiskFile {
  readonly path: string
  readonly fd: number
}

/** What statfs says of the volume. */
export interface VolumeSpace {
  readonly totalBytes: number
  readonly freeBytes: number
  /** 1 where the file system has no fixed number of inodes. */
  readonly freeInodeRatio: number
}

/** All paths are relative to the spool directory. Files are made 0600, directories 0700 (SF-7). Errors are those of node:fs. */
export class Disk {
  readonly directory: string
  readonly #hooks: DiskHooks

  constructor(directory: string, hooks: DiskHooks = {}) {
    this.directory = directory
    this.#hooks = hooks
  }

  /** Durable on return, with the directories above it that had to be made. */
  makeDirectory(path: string): void {
    const directory = resolve(this.directory, path)
    const first = fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
    if (first === undefined) return
    for (let made = directory; made.length >= first.length; made = dirname(made)) syncNames(dirname(made))
  }

  /** Opens a new file for reading and writing; one that is there already is an error. */
  create(path: string): Promise<DiskFile> {
    return this.#open(path, 'wx+')
  }

  openForReading(path: string): Promise<DiskFile> {
    return this.#open(path, 'r')
  }

  /** Opens a file that exists for reading and writing in place. */
  openForWriting(path: string): Promise<DiskFile> {
    return this.#open(path, 'r+')
  }

  #open(path: string, flags: string): Promise<DiskFile> {
    return this.#call('open', path, (done) =>
      fs.open(join(this.directory, path), flags, 0o600, (error, fd) => done(error, { path, fd })),
    )
  }

  close(file: DiskFile): Promise<void> {
    return this.#call('close', file.path, (done) => fs.close(file.fd, (error) => done(error)))
  }

  /** Writes all of `pieces` one after the other from `position` on. Not durable before `sync`. */
  async write(file: DiskFile, pieces: readonly Uint8Array[], position: number): Promise<void> {
    for (let first = 0; first < pieces.length; first += MAX_PIECES) {
      const some = pieces.length <= MAX_PIECES ? pieces : pieces.slice(first, first + MAX_PIECES)
      await this.#writeSome(file, some, position)
      position += byteLength(some)
    }
  }

  async #writeSome(file: DiskFile, pieces: readonly Uint8Array[], position: number): Promise<void> {
    const total = byteLength(pieces)
    const step: DiskStep = { call: 'write', path: file.path, position, bytes: total }
    const fault = this.#hooks.before?.(step)
    if (fault !== undefined) {
      if (fault.writtenBytes !== undefined) {
        fs.writeSync(file.fd, Buffer.concat(pieces).subarray(0, fault.writtenBytes), 0, undefined, position)
        this.#hooks.after?.(step)
      }
      throw fault.error
    }
    let rest = pieces
    for (let written = 0; ; rest = skipBytes(rest, written)) {
      written =
        total <= SYNCHRONOUS_WRITE_BYTES
          ? fs.writevSync(file.fd, rest, position)
          : await writev(file.fd, rest, position)
      position += written
      if (written === byteLength(rest)) break
      if (written === 0) throw new Error('unreachable: a write of no bytes without an error')
    }
    this.#hooks.after?.(step)
  }

  /** Returns once the file's bytes are on stable storage. A failed sync is never worth a second try (DU-3). */
  sync(file: DiskFile): Promise<void> {
    return this.#call('sync', file.path, (done) => fs.fdatasync(file.fd, (error) => done(error)))
  }

  /** Returns once names made, changed or removed in the directory are on stable storage. */
  async syncDirectory(path: string): Promise<void> {
    await this.#call('syncDirectory', path, (done) =>
      fs.open(join(this.directory, path), 'r', (openError, fd) => {
        if (openError !== null) return done(openError)
        return fs.fsync(fd, (syncError) => fs.close(fd, (closeError) => done(syncError ?? closeError)))
      }),
    )
  }

  /** Up to `length` bytes from `position` on; fewer at the end of the file. */
  async read(file: DiskFile, position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length)
    let filled = 0
    while (filled < length) {
      const count = await this.#call<number>('read', file.path, (done) =>
        fs.read(file.fd, bytes, filled, length - filled, position + filled, (error, read) => done(error, read)),
      )
      if (count === 0) break
      filled += count
    }
    return bytes.subarray(0, filled)
  }

  /** undefined when there is no such file. */
  async readWhole(path: string): Promise<Buffer | undefined> {
    const size = this.size(path)
    return size === undefined ? undefined : this.readStart(path, size)
  }

  /** Up to `length` bytes from the file's beginning; undefined when there is no such file. */
  async readStart(path: string, length: number): Promise<Buffer | undefined> {
    const file = await this.openForReading(path).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    })
    if (file === undefined) return undefined
    try {
      return await this.read(file, 0, length)
    } finally {
      await this.close(file)
    }
  }

  /** Puts `bytes` in the place of the file in one step: all or nothing, durable on return. */
  async replace(path: string, pieces: readonly Uint8Array[]): Promise<void> {
    const temporary = `${path}.new`
    await this.unlink(temporary)
    const file = await this.create(temporary)
    try {
      await this.write(file, pieces, 0)
      await this.sync(file)
    } finally {
      await this.close(file)
    }
    await this.rename(temporary, path)
    await this.syncDirectory(dirname(path))
  }

  rename(from: string, to: string): Promise<void> {
    const step: DiskStep = { call: 'rename', path: from, to }
    return this.#run(step, (done) =>
      fs.rename(join(this.directory, from), join(this.directory, to), (error) => done(error)),
    )
  }

  /** Cuts a file off at `length` bytes. */
  truncate(path: string, length: number): Promise<void> {
    return this.#call('truncate', path, (done) =>
      fs.truncate(join(this.directory, path), length, (error) => done(error)),
    )
  }

  /** Idempotent. */
  unlink(path: string): Promise<void> {
    return this.#call('unlink', path, (done) =>
      fs.unlink(join(this.directory, path), (error) => done(error?.code === 'ENOENT' ? null : error)),
    )
  }

  /** File names in a directory, sorted; none when there is no such directory. */
  list(path: string): string[] {
    try {
      return fs.readdirSync(join(this.directory, path)).toSorted()
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return []
      throw error
    }
  }

  /** undefined when there is no such file. */
  size(path: string): number | undefined {
    return fs.statSync(join(this.directory, path), { throwIfNoEntry: false })?.size
  }

  /** Changes whenever the file is replaced by another, whoever does it; undefined when there is no such file. */
  identity(path: string): string | undefined {
    const stat = fs.statSync(join(this.directory, path), { throwIfNoEntry: false })
    // Not the inode alone: the next file may well get the number of the last one.
    return stat && `${stat.ino} ${stat.ctimeMs} ${stat.size}`
  }

  space(): VolumeSpace {
    const volume = fs.statfsSync(this.directory)
    return {
      totalBytes: volume.blocks * volume.bsize,
      freeBytes: volume.bavail * volume.bsize,
      freeInodeRatio: volume.files === 0 ? 1 : volume.ffree / volume.files,
    }
  }

  #call<T = void>(
    call: DiskCall,
    path: string,
    run: (done: (error: NodeJS.ErrnoException | null, value?: T) => void) => void,
  ): Promise<T> {
    return this.#run({ call, path }, run)
  }

  #run<T = void>(
    step: DiskStep,
    run: (done: (error: NodeJS.ErrnoException | null, value?: T) => void) => void,
  ): Promise<T> {
    return new Promise((fulfil, reject) => {
      const fault = this.#hooks.before?.(step)
      if (fault !== undefined) return reject(fault.error)
      return run((error, value) => {
        if (error !== null) return reject(error)
        this.#hooks.after?.(step)
        return fulfil(value as T)
      })
    })
  }
}

export function byteLength(pieces: readonly Uint8Array[]): number {
  let total = 0
  for (const piece of pieces) total += piece.length
  return total
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function skipBytes(pieces: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let first = 0
  for (let piece = pieces[first]; piece !== undefined && piece.length <= count; piece = pieces[++first]) {
    count -= piece.length
  }
  const rest = pieces.slice(first)
  const head = rest[0]
  if (head !== undefined && count > 0) rest[0] = head.subarray(count)
  return rest
}

function writev(fd: number, pieces: readonly Uint8Array[], position: number): Promise<number> {
  return new Promise((fulfil, reject) => {
    fs.writev(fd, pieces, position, (error, written) => (error === null ? fulfil(written) : reject(error)))
  })
}

function syncNames(directory: string): void {
  const fd = fs.openSync(directory, 'r')
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}
