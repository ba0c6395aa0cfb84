// A disk as a power cut leaves it: of what was never synced, any page and any name may be there or not, in any combination.
// Watches a spool's system calls through its hooks, keeps what has been synced, and on demand writes a directory as it might be found.
import fs from 'node:fs'
import { dirname, join } from 'node:path'
import type { DiskHooks, DiskStep } from '../../../mta/spool/disk.ts'

const PAGE_BYTES = 4096

interface Inode {
  /** As last synced. */
  durable: Buffer
  /** As the process sees it. */
  current: Buffer
}

export class PowerCut {
  readonly #directory: string
  /** Names as the process sees them, and as a sync of their directory left them. */
  readonly #names = new Map<string, Inode>()
  readonly #durableNames = new Map<string, Inode>()
  /** What a sync under way covers: what is written while it runs may or may not be. */
  readonly #syncing = new Map<string, { inode: Inode; content: Buffer }>()
  readonly #syncingNames = new Map<string, Map<string, Inode>>()

  constructor(directory: string) {
    this.#directory = directory
  }

  readonly hooks: DiskHooks = {
    before: (step) => {
      const { call, path } = step
      const inode = this.#names.get(path)
      if (call === 'sync' && inode !== undefined) this.#syncing.set(path, { inode, content: inode.current })
      if (call === 'syncDirectory') this.#syncingNames.set(path, this.#under(path))
      return undefined
    },
    after: (step) => this.#note(step),
  }

  #note({ call, path, position, bytes, to }: DiskStep): void {
    switch (call) {
      case 'open':
        if (!this.#names.has(path)) this.#names.set(path, { durable: Buffer.alloc(0), current: Buffer.alloc(0) })
        return
      case 'write': {
        const inode = this.#names.get(path)
        if (inode === undefined || position === undefined || bytes === undefined) return
        const whole = Buffer.alloc(Math.max(inode.current.length, position + bytes))
        inode.current.copy(whole)
        const fd = fs.openSync(join(this.#directory, path), 'r')
        fs.readSync(fd, whole, position, bytes, position)
        fs.closeSync(fd)
        inode.current = whole
        return
      }
      case 'truncate':
        // The spool relies on no truncation; the content behind the end is never read again.
        return
      case 'sync': {
        const synced = this.#syncing.get(path)
        if (synced !== undefined) synced.inode.durable = synced.content
        return
      }
      case 'rename': {
        const inode = this.#names.get(path)
        this.#names.delete(path)
        if (inode !== undefined && to !== undefined) this.#names.set(to, inode)
        return
      }
      case 'unlink':
        this.#names.delete(path)
        return
      case 'syncDirectory':
        for (const name of this.#durableNames.keys()) if (dirname(name) === path) this.#durableNames.delete(name)
        for (const [name, inode] of this.#syncingNames.get(path) ?? []) this.#durableNames.set(name, inode)
        return
      case 'read':
      case 'close':
        return
      default:
        return call satisfies never
    }
  }

  #under(directory: string): Map<string, Inode> {
    return new Map([...this.#names].filter(([name]) => dirname(name) === directory))
  }

  /** Writes the spool as the power cut may leave it. @param random  in [0, 1) */
  writeTo(target: string, random: () => number): void {
    for (const folder of ['large', 'quarantine']) fs.mkdirSync(join(target, folder), { recursive: true })
    const contents = new Map<Inode, Buffer>()
    for (const name of new Set([...this.#durableNames.keys(), ...this.#names.keys()])) {
      const before = this.#durableNames.get(name)
      const after = this.#names.get(name)
      const inode = random() < 0.5 ? before : after
      if (inode === undefined) continue
      const content = contents.get(inode) ?? mix(inode, random)
      contents.set(inode, content)
      fs.writeFileSync(join(target, name), content)
    }
  }
}

/** Each page as synced or as last written. */
function mix({ durable, current }: Inode, random: () => number): Buffer {
  const length = random() < 0.5 ? durable.length : Math.max(durable.length, current.length)
  const mixed = Buffer.alloc(length)
  durable.copy(mixed)
  for (let at = 0; at < length; at += PAGE_BYTES)
    if (random() < 0.5) current.copy(mixed, at, at, Math.min(at + PAGE_BYTES, current.length))
  return mixed
}
