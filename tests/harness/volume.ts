// A small ext4 of its own, in a file behind a loop device: a disk that a test can fill, and that fails as a real one does.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, statfs, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

const MIB = 1024 * 1024

/** Why there can be no volume here, with what would change it; undefined when there can. */
export function whyNoVolume(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root: it mounts a file system'
  if (!existsSync('/sbin/mkfs.ext4') || !existsSync('/sbin/losetup'))
    return 'needs ext4: apt-get install e2fsprogs mount'
  if (!existsSync('/dev/loop-control'))
    return 'needs loop devices, which a container has only when it may: docker run --privileged'
  return undefined
}

export interface Volume {
  /** Where it is mounted. */
  readonly path: string
  freeBytes(): Promise<number>
  /** Another program's file leaves `freeBytes`, or less where that is as much as fits in blocks; 0: not one block. */
  fill(freeBytes: number): Promise<void>
  /** The kernel finds the file system in error and takes no writes any more, as after an I/O error. */
  fail(): Promise<void>
  /** What an operator does then: unmounts, checks and mounts it again. Nobody may have a file open. */
  repair(): void
  remove(): Promise<void>
}

export async function makeVolume(bytes: number): Promise<Volume> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-volume-'))
  const image = join(directory, 'image')
  const path = join(directory, 'mounted')
  await writeFile(image, '')
  await truncate(image, bytes)
  await mkdir(path)
  // No share kept back for root, so that a relay run by root meets a full disk as another user does.
  run('mkfs.ext4', ['-q', '-m', '0', '-E', 'lazy_itable_init=0', image])
  const mount = () => run('mount', ['-o', 'loop,errors=remount-ro', image, path])
  mount()
  const filler = join(path, 'filler')
  const freeBytes = async () => {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  }
  return {
    path,
    freeBytes,
    async fill(free) {
      await rm(filler, { force: true })
      run('sync', ['-f', path])
      const wanted = Math.round((await freeBytes()) - free)
      if (wanted <= 0) return
      // Whoever writes meanwhile may have left too little for it: what follows takes the rest.
      const mayFail = free === 0
      run(
        'fallocate',
        ['-l', String(Math.max(4_096, wanted - (mayFail ? 64 * 1024 : 0))), filler],
        mayFail ? [0, 1] : [0],
      )
      // The last blocks: its own extents take some, so that it is known only by trying.
      if (free === 0)
        spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4096', 'oflag=append', 'conv=notrunc'], {
          stdio: 'ignore',
        })
    },
    async fail() {
      const device = basename(run('findmnt', ['-no', 'SOURCE', path]).trim())
      await writeFile(`/sys/fs/ext4/${device}/trigger_fs_error`, 'test')
    },
    repair() {
      run('umount', [path])
      // 1: errors were corrected
      run('e2fsck', ['-p', image], [0, 1])
      mount()
    },
    async remove() {
      spawnSync('umount', [path], { stdio: 'ignore' })
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export const VOLUME_BYTES = 48 * MIB

function run(command: string, args: readonly string[], allowed: readonly number[] = [0]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (!allowed.includes(status ?? -1)) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`)
  return stdout
}
