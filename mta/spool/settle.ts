// What a start does about what it found: counts process deaths (DU-8), quarantines poison and damage (SF-4), sweeps unfinished files.
// Each step is durable before the next and may be done twice, so that a start that is cut short can be made again.
import type { Log } from '../../common/log.ts'
import type { QueueId } from '../queue-id.ts'
import { parseQueueId } from '../queue-id.ts'
import type { QuarantineEntry } from './contract.ts'
import type { Disk } from './disk.ts'
import type { HeldMessage } from './held-message.ts'
import { LARGE_DIRECTORY, largePath } from './large-file.ts'
import type { Quarantine } from './quarantine.ts'
import type { Damage, Recovered } from './recover.ts'
import type { Segment } from './segment.ts'

/** Process deaths with the same message in hand, after which it is quarantined (DU-8). */
const DEATHS_ALLOWED = 3
const MARKS_AT_ONCE = 1000

/** Copies what was found into quarantine, and tells the operator. Durable on return. */
export type QuarantinePart = (entry: QuarantineEntry, found: Buffer, isLarge: boolean) => Promise<void>

export interface SettleDeps {
  readonly disk: Disk
  readonly log: Log
  readonly quarantine: Quarantine
  readonly now: () => number
  quarantineHeld(held: HeldMessage, reason: QuarantineEntry['reason'], detail: string): Promise<void>
  readonly quarantinePart: QuarantinePart
  /** One death more, and no longer in hand. */
  countDeath(held: HeldMessage): Promise<void>
  /** A removal for a message whose damaged record stays at `offset` until its segment goes. */
  bury(queueId: QueueId, segment: Segment, offset: number): Promise<void>
  reportDamage(): void
}

export async function settleRecovery(recovered: Recovered, deps: SettleDeps): Promise<void> {
  if (recovered.tornBytes > 0) deps.log.info('spool.torn-write', { bytes: recovered.tornBytes })
  await settleDamage(recovered, deps)
  await settleLargeFiles(recovered, deps)
  await settleDeaths(recovered, deps)
}

async function settleDeaths({ inHandAtDeath, held }: Recovered, deps: SettleDeps): Promise<void> {
  const dead = inHandAtDeath.filter((message) => held.get(message.queueId) === message)
  const poison = dead.filter(({ deaths }) => deaths + 1 >= DEATHS_ALLOWED)
  const others = dead.filter(({ deaths }) => deaths + 1 < DEATHS_ALLOWED)
  for (let first = 0; first < others.length; first += MARKS_AT_ONCE) {
    await Promise.all(others.slice(first, first + MARKS_AT_ONCE).map((message) => deps.countDeath(message)))
  }
  for (const message of poison) {
    await deps.quarantineHeld(message, 'poison', `in hand at ${message.deaths + 1} process deaths`)
  }
}

async function settleDamage(recovered: Recovered, deps: SettleDeps): Promise<void> {
  const done = new Set<QueueId>()
  for (const damage of recovered.damage) {
    const { place, detail, queueId, segment } = damage
    deps.reportDamage()
    deps.log.error('spool.damaged', { place, detail, queueId })
    try {
      await settleOne(damage, recovered, done, deps)
      segment?.letGo(0)
    } catch (cause) {
      deps.log.error('spool.quarantine-failed', { place, cause }) // its segment stays as it is until the next start
    }
  }
}

async function settleOne(damage: Damage, { held }: Recovered, done: Set<QueueId>, deps: SettleDeps): Promise<void> {
  const { queueId, type, bytes, segment, offset } = damage
  if (bytes === undefined || segment === undefined) return
  const at = deps.now()
  if (queueId === undefined || type === undefined) {
    await deps.quarantinePart(entryOf(damage, damage.place, at), bytes, false)
    return
  }
  const message = held.get(queueId)
  switch (type) {
    case 'message':
    case 'large':
      // Another copy holds: nothing is lost.
      if (message !== undefined || done.has(queueId)) return
      done.add(queueId)
      await deps.quarantinePart(entryOf(damage, queueId, at), bytes, type === 'large')
      await deps.bury(queueId, segment, offset)
      return
    case 'state':
      if (message === undefined || isLater(message, segment, offset)) return
      await deps.quarantineHeld(message, 'damaged', 'its delivery state does not verify')
      return
    case 'remove':
      // Delivering it again, or taking the removal's word, would each be a guess.
      if (message !== undefined) await deps.quarantineHeld(message, 'damaged', 'its removal does not verify')
      return
    case 'mark':
      return
    default:
      return type satisfies never
  }
}

/**
 * Files that can't be read as segments, and such as are missing: the new list of segments won't name them, and what it doesn't name is
 * unlinked. So they are saved before it is written; when that fails, the spool isn't opened.
 */
export async function saveUnlisted(
  { damage }: Recovered,
  { quarantinePart, now }: Pick<SettleDeps, 'quarantinePart' | 'now'>,
): Promise<void> {
  for (const part of damage) {
    if (part.segment !== undefined || part.bytes === undefined) continue
    await quarantinePart(entryOf(part, part.place, now()), part.bytes, false)
  }
}

function entryOf({ bytes, detail }: Damage, name: string, at: number): QuarantineEntry {
  return { queueId: name, reason: 'damaged', at, sizeBytes: bytes?.length ?? 0, detail }
}

/** Whether the state that holds was written after the damaged one. */
function isLater(message: HeldMessage, segment: Segment, offset: number): boolean {
  const last = message.statePlace ?? message.place
  return last.segment.id > segment.id || (last.segment.id === segment.id && last.offset > offset)
}

async function settleLargeFiles(recovered: Recovered, deps: SettleDeps): Promise<void> {
  const { disk, quarantine } = deps
  for (const message of Array.from(recovered.held.values())) {
    if (message.largeBytes === 0) continue
    const size = disk.size(largePath(message.queueId))
    if (size === message.largeBytes) continue
    // A quarantine that was cut short has moved the file already.
    const detail =
      size === undefined && quarantine.hasLarge(message.queueId)
        ? 'found half quarantined'
        : `its file has ${size ?? 0} bytes`
    await deps.quarantineHeld(message, 'damaged', detail)
  }
  // Where records were lost, a file without one may be a message that was accepted; else it was never finished.
  const mayBeLost = recovered.damage.some(
    ({ bytes, type }) => bytes !== undefined && (type === undefined || type === 'large'),
  )
  for (const name of disk.list(LARGE_DIRECTORY)) {
    const queueId = parseQueueId(name)
    if (queueId !== undefined && recovered.held.has(queueId)) continue
    if (mayBeLost && queueId !== undefined && !recovered.removed.has(queueId)) {
      const sizeBytes = disk.size(largePath(queueId)) ?? 0
      const entry = { queueId, reason: 'damaged', at: deps.now(), sizeBytes, detail: 'its record is lost' } as const
      await deps.quarantinePart(entry, Buffer.alloc(0), true)
    } else {
      await disk.unlink(`${LARGE_DIRECTORY}/${name}`)
    }
  }
}
