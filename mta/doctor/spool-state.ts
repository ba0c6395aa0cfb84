// The spool as it lies there, looked at without its lock and without a change: whether its key opens it, what is in quarantine, what room it has.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { VolumeSpace } from '../spool/disk.ts'
import { Disk } from '../spool/disk.ts'
import { loadSpoolKey, openKeyRing } from '../spool/keys.ts'
import { readManifest } from '../spool/manifest.ts'
import { QUARANTINE_DIRECTORY } from '../spool/quarantine.ts'
import type { RoomLimits } from '../spool/room.ts'
import { whyNoRoom } from '../spool/room.ts'
import { codeOf, fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'

export type KeyFacts =
  | { readonly kind: 'opens' }
  /** There is no spool yet, or nothing was ever written to it. */
  | { readonly kind: 'unused' }
  | { readonly kind: 'refused'; readonly why: string }

export function judgeKey(facts: KeyFacts, directory: string): Finding {
  switch (facts.kind) {
    case 'opens':
      return ok('spool-key', `opens ${directory}`)
    case 'unused':
      return ok('spool-key', `${directory} holds nothing yet`)
    case 'refused':
      return fault(
        'spool-key',
        facts.why,
        'restore the key, and the file `keys` of the spool, that it was made with: without them its mail is lost',
      )
    default:
      return facts satisfies never
  }
}

/** @param directory  of the spool, or of one worker's part of it */
export async function observeKey(keyFile: string, directory: string, project: string): Promise<KeyFacts> {
  const disk = new Disk(directory)
  try {
    // Without this, asking for the key would make one.
    if (disk.size('keys') === undefined) {
      const isInUse = disk.list('.').some((name) => name.startsWith('segment-'))
      return isInUse
        ? { kind: 'refused', why: `${directory} holds mail, but its file \`keys\` is missing` }
        : { kind: 'unused' }
    }
    const keys = await openKeyRing(disk, loadSpoolKey(keyFile, directory), project, false)
    const manifest = await readManifest(disk, keys)
    return manifest === 'damaged'
      ? { kind: 'refused', why: `the list of segments in ${directory} does not verify` }
      : { kind: 'opens' }
  } catch (error) {
    return { kind: 'refused', why: error instanceof Error ? error.message : String(error) }
  }
}

export function judgeRoom(limits: RoomLimits, space: VolumeSpace, directory: string): Finding {
  const free = `${Math.floor(space.freeBytes / 2 ** 20)} MiB (${percent(space.freeBytes / space.totalBytes)}) free for ${directory}`
  const inodes = `${percent(space.freeInodeRatio)} of its inodes`
  const none = { messages: 0, bytes: 0 }
  const why = whyNoRoom(limits, none, space, 0)
  const todo = 'free space on the volume, or give the spool a larger one'
  if (why !== undefined) return fault('disk', `${free}, ${inodes}: ${why}, mail is answered 452`, todo)
  // Twice what is kept back: where the delivery journal stops writing.
  const half = { ...space, freeBytes: space.freeBytes / 2, freeInodeRatio: space.freeInodeRatio / 2 }
  return whyNoRoom(limits, none, half, 0) === undefined
    ? ok('disk', `${free}, ${inodes}`)
    : warning('disk', `${free}, ${inodes}: near its limit`, todo)
}

export function judgeQuarantine(entries: number): Finding {
  return entries === 0
    ? ok('quarantine', 'nothing')
    : warning('quarantine', `${entries} ${entries === 1 ? 'entry' : 'entries'}`, 'see `causeway quarantine list`')
}

export async function countQuarantined(directory: string): Promise<number> {
  try {
    const names = await readdir(join(directory, QUARANTINE_DIRECTORY))
    return names.filter((name) => name.endsWith('.entry')).length
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0
    throw error
  }
}

function percent(ratio: number): string {
  return `${Math.floor(ratio * 100)} %`
}
