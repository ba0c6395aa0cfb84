// What the spool holds, found out from its files alone (DU-5). Only reads: what is to be written (deaths, quarantine, truncation) is
// handed to the caller as a list, so that a start that is cut short can be made again.
import { SALT_BYTES } from '../../common/seal.ts'
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import { SpoolUnusable } from './contract.ts'
import type { Disk } from './disk.ts'
import { PREFIX_BYTES, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, judgePrefix } from './format.ts'
import type { Frame, RecordHeader, RecordType } from './format.ts'
import { HeldMessage } from './held-message.ts'
import type { RouteLists } from './held-message.ts'
import type { KeyRing } from './keys.ts'
import { largeFileBytes, parseTotals } from './large-file.ts'
import { readManifest } from './manifest.ts'
import type { Manifest, ManifestSegment } from './manifest.ts'
import { isRemoval, isStamped, openContent, openMark, openState } from './records.ts'
import type { Mark } from './records.ts'
import { attributeDamage, findCandidates, findGaps, judgeGaps } from './scan.ts'
import type { Candidate } from './scan.ts'
import { Segment, openSegment, parseSegmentPath, segmentFromManifest, segmentPath } from './segment.ts'

/** Something in the spool that isn't what was written. */
export interface Damage {
  /** Where: for the operator, and for the name of a quarantined piece. */
  readonly place: string
  readonly detail: string
  /** Of the record that it was, if that can still be told. */
  readonly queueId?: QueueId
  readonly type?: RecordType
  /** As found; empty when what should be there is missing, undefined when it was made good from elsewhere. */
  readonly bytes: Buffer | undefined
  readonly segment?: Segment
  readonly offset: number
}

export interface Recovered {
  readonly lastGeneration: number
  /** The first generation whose deaths haven't been counted. */
  readonly unsettled: number | undefined
  readonly nextSegment: number
  readonly segments: readonly Segment[]
  readonly held: Map<QueueId, HeldMessage>
  /** Ids that were removed in the records that are still there. */
  readonly removed: ReadonlyMap<QueueId, Segment>
  /** In hand when a process died (DU-8). */
  readonly inHandAtDeath: readonly HeldMessage[]
  readonly damage: readonly Damage[]
  /** Left by a crash in the middle of a write; normal. */
  readonly tornBytes: number
  /** Segments dropped or never used that are still in the directory. */
  readonly leftovers: readonly string[]
}

/** Throws SpoolUnusable when any segment is of a later version; touches nothing (SF-5). */
export async function refuseNewerSegments(disk: Disk): Promise<void> {
  for (const path of disk.list('.')) {
    if (parseSegmentPath(path) === undefined) continue
    const prefix = await disk.readStart(path, PREFIX_BYTES)
    if (prefix === undefined) continue // gone meanwhile: another process has the spool, as the lock will say
    if (judgePrefix('segment', prefix) === 'newer')
      throw new SpoolUnusable('the spool was written by a newer version of causeway')
  }
}

export async function recover(disk: Disk, keys: KeyRing, routes: RouteLists, now: () => number): Promise<Recovered> {
  const recovery = new Recovery(disk, keys, routes, now)
  return recovery.run(await readManifest(disk, keys))
}

const UNUSED: Manifest = { generation: 0, isClean: true, nextSegment: 1, segments: [] }

interface Scanned {
  readonly segment: Segment
  readonly bytes: Buffer
  readonly end: number | undefined
  readonly accepted: Candidate[]
  readonly rejected: Candidate[]
}

class Recovery {
  readonly #disk: Disk
  readonly #keys: KeyRing
  readonly #routes: RouteLists
  readonly #now: () => number
  readonly #segments: Segment[] = []
  readonly #held = new Map<QueueId, HeldMessage>()
  readonly #salts = new Map<QueueId, { keyId: number; salt: Buffer }>()
  readonly #removed = new Map<QueueId, Segment>()
  /** Generation of the record that put it in hand. */
  readonly #inHand = new Map<QueueId, number>()
  #damage: Damage[] = []
  #tornBytes = 0

  constructor(disk: Disk, keys: KeyRing, routes: RouteLists, now: () => number) {
    this.#disk = disk
    this.#keys = keys
    this.#routes = routes
    this.#now = now
  }

  async run(manifest: Manifest | 'missing' | 'damaged'): Promise<Recovered> {
    const files = this.#disk.list('.').filter((path) => parseSegmentPath(path) !== undefined)
    // A first start that came no further than its first segment has written nothing of anybody's.
    const isUnused =
      manifest === 'missing' && files.every((path) => (this.#disk.size(path) ?? 0) <= SEGMENT_HEADER_BYTES)
    const known = isUnused ? UNUSED : typeof manifest === 'object' ? manifest : undefined
    if (known === undefined) {
      this.#report({
        place: 'manifest',
        detail: `the list of segments is ${manifest === 'missing' ? 'missing' : 'damaged'}`,
        bytes: undefined,
        offset: 0,
      })
    }
    const listed =
      known?.segments.toSorted((a, b) => a.id - b.id) ?? files.map((path) => ({ id: parseSegmentPath(path) ?? 0 }))
    let previous: Scanned | undefined
    for (const entry of listed) {
      const scanned = await this.#scanSegment(entry)
      if (scanned === undefined) continue
      // A group is written only after the one before it was synced: a record in this segment proves the previous one whole.
      if (previous !== undefined) this.#judge(previous, isProof(scanned, previous))
      previous = scanned
    }
    if (previous !== undefined) this.#judge(previous, false)
    const leftovers = await this.#judgeUnlisted(files, new Set(listed.map(({ id }) => id)), known)
    return this.#conclude(known, files, leftovers)
  }

  #conclude(manifest: Manifest | undefined, files: readonly string[], leftovers: string[]): Recovered {
    const lastGeneration = Math.max(manifest?.generation ?? 0, ...this.#segments.map(({ generation }) => generation))
    const countFrom = manifest?.unsettled ?? lastGeneration
    const inHandAtDeath: HeldMessage[] = []
    for (const held of this.#held.values()) {
      for (const place of held.places()) place.segment.hold(place.bytes)
      if (!held.isInHand) continue
      // Not the word of an earlier generation: that death, if it was one, has been counted.
      if (manifest?.isClean !== true && (this.#inHand.get(held.queueId) ?? 0) >= countFrom) inHandAtDeath.push(held)
      else held.isInHand = false
    }
    this.#damage = this.#damage.filter((damage) => !this.#isHalfWiped(damage))
    for (const { segment } of this.#damage) {
      if (segment === undefined) continue
      segment.isCondemned = true
      segment.hold(0) // it stays until what is damaged has been copied to quarantine
    }
    const highest = Math.max(0, ...files.map((path) => parseSegmentPath(path) ?? 0))
    const inOrder = [...this.#held.values()].toSorted(
      (a, b) => a.receivedAt - b.receivedAt || (a.queueId < b.queueId ? -1 : 1),
    )
    return {
      lastGeneration,
      unsettled: inHandAtDeath.length > 0 ? countFrom : undefined,
      nextSegment: Math.max(manifest?.nextSegment ?? 1, highest + 1),
      segments: this.#segments,
      held: new Map(inOrder.map((held) => [held.queueId, held])),
      removed: this.#removed,
      inHandAtDeath,
      damage: this.#damage,
      tornBytes: this.#tornBytes,
      leftovers,
    }
  }

  #report(damage: Damage): void {
    this.#damage.push(damage)
  }

  /**
   * A message that was finished, or moved, and whose salt was being overwritten when the process died: no damage, only unfinished work.
   * @returns whether that is what it is
   */
  #isHalfWiped({ type, queueId, segment, offset }: Damage): boolean {
    if (segment === undefined || queueId === undefined || (type !== 'message' && type !== 'large')) return false
    const copy = this.#held.get(queueId)?.place
    const isCopyLater =
      copy !== undefined && (copy.segment.id > segment.id || (copy.segment === segment && copy.offset > offset))
    const killer = isCopyLater ? copy.segment : this.#removed.get(queueId)
    if (killer === undefined) return false
    segment.bury(offset, killer, this.#now(), true)
    return true
  }

  /** @param listed  as the manifest has it, or the bare id when there is no manifest */
  async #scanSegment(listed: ManifestSegment | { id: number }): Promise<Scanned | undefined> {
    const path = segmentPath(listed.id)
    const whole = await this.#disk.readWhole(path)
    if (whole === undefined) {
      this.#report({ place: path, detail: 'the segment is missing', bytes: Buffer.alloc(0), offset: 0 })
      return undefined
    }
    const opened = openSegment(this.#keys, listed.id, whole)
    const segment = 'salt' in listed ? this.#asListed(opened, listed, whole) : opened
    if (segment === undefined) {
      this.#report({ place: path, detail: 'the segment has no readable header', bytes: whole, offset: 0 })
      return undefined
    }
    const end = 'end' in listed ? listed.end : undefined
    const bytes = end === undefined ? whole : whole.subarray(0, end)
    segment.fileBytes = whole.length
    segment.end = Math.max(bytes.length, SEGMENT_HEADER_BYTES)
    this.#segments.push(segment)
    if (opened === undefined) {
      this.#report({ place: path, detail: "the segment's header is damaged", bytes: undefined, segment, offset: 0 })
    }
    if (end !== undefined && bytes.length < end) {
      const detail = `the segment ends ${end - bytes.length} bytes early`
      this.#report({ place: `${path}-${bytes.length}`, detail, bytes: Buffer.alloc(0), segment, offset: bytes.length })
    }
    return this.#apply(segment, bytes, end)
  }

  /** The segment the manifest speaks of: a file of the same name that was put in its place isn't. */
  #asListed(opened: Segment | undefined, listed: ManifestSegment, whole: Buffer): Segment | undefined {
    if (opened?.salt.toString('hex') === listed.salt) return opened
    const isForeign = opened !== undefined || whole.length < SEGMENT_HEADER_BYTES
    return isForeign ? undefined : segmentFromManifest(this.#keys, listed)
  }

  #apply(segment: Segment, bytes: Buffer, end: number | undefined): Scanned {
    const { candidates, isOrdered } = findCandidates(bytes, segment)
    if (!isOrdered) {
      const detail = 'records are not in the order they were written'
      this.#report({ place: segment.path, detail, bytes: undefined, segment, offset: 0 })
    }
    const accepted: Candidate[] = []
    const rejected: Candidate[] = []
    let last = 0
    for (const candidate of candidates) {
      // The second of two with one number is a copy, and says nothing of what was in its place.
      if (candidate.header.sequence <= last) continue
      if (this.#isApplied(segment, candidate)) {
        last = candidate.header.sequence
        accepted.push(candidate)
      } else {
        rejected.push(candidate)
      }
    }
    return { segment, bytes, end, accepted, rejected }
  }

  /** A record that verifies and yet can't be understood must not keep the others from being served. */
  #isApplied(segment: Segment, candidate: Candidate): boolean {
    try {
      return this.#applyRecord(segment, candidate)
    } catch {
      return false // reported with the other damage
    }
  }

  /** False when the record doesn't verify. */
  #applyRecord(segment: Segment, { header, offset, record }: Candidate): boolean {
    const place = { segment, offset, bytes: record.length }
    switch (header.type) {
      case 'message':
      case 'large': {
        if (isStamped(segment, record)) {
          this.#end(header.queueId, segment)
          return true
        }
        const opened = openContent(this.#keys, header, record)
        if (opened === undefined) return false
        this.#begin(header, opened.frame, place, record)
        return true
      }
      case 'state': {
        const held = this.#held.get(header.queueId)
        const sealed = this.#salts.get(header.queueId)
        // Its message is gone, and with it the key: what this says no longer counts.
        if (held === undefined || sealed === undefined) return true
        const key = this.#keys.messageKey(sealed.keyId, sealed.salt)
        const opened = key && openState(key, header, record)
        if (opened === undefined) return false
        held.setState(parseState(opened.state), this.#routes)
        this.#mark(held, opened.mark, header.generation)
        held.statePlace = place
        held.markPlace = undefined
        return true
      }
      case 'mark': {
        const mark = openMark(segment, header, record)
        if (mark === undefined) return false
        const held = this.#held.get(header.queueId)
        if (held === undefined) return true
        this.#mark(held, mark, header.generation)
        held.markPlace = place
        return true
      }
      case 'remove': {
        if (!isRemoval(segment, header, record)) return false
        this.#end(header.queueId, segment)
        this.#removed.set(header.queueId, segment)
        return true
      }
      default:
        return header.type satisfies never
    }
  }

  /** What was held of this message until now no longer counts, because of a record in `killer`. */
  #end(queueId: QueueId, killer: Segment): void {
    const held = this.#held.get(queueId)
    if (held === undefined) return
    held.place.segment.bury(held.place.offset, killer, this.#now(), true)
    this.#held.delete(queueId)
    this.#salts.delete(queueId)
  }

  #begin(
    header: RecordHeader,
    frame: Frame,
    place: { segment: Segment; offset: number; bytes: number },
    record: Buffer,
  ): void {
    const { queueId } = header
    const totals = header.type === 'large' ? parseTotals(frame.rest) : undefined
    const message = parseRecord(frame.record)
    const largeBytes = totals === undefined ? 0 : largeFileBytes(totals)
    const held = new HeldMessage(message, largeBytes, place, frame, this.#routes)
    held.setState(parseState(frame.state), this.#routes)
    this.#end(queueId, place.segment)
    this.#mark(held, frame, header.generation)
    this.#held.set(queueId, held)
    const saltAt = RECORD_HEADER_BYTES
    this.#salts.set(queueId, { keyId: header.keyId, salt: Buffer.from(record.subarray(saltAt, saltAt + SALT_BYTES)) })
  }

  #mark(held: HeldMessage, { isInHand, deaths }: Mark, generation: number): void {
    held.isInHand = isInHand
    held.deaths = deaths
    if (isInHand) this.#inHand.set(held.queueId, generation)
  }

  #judge({ segment, bytes, end, accepted, rejected }: Scanned, isProven: boolean): void {
    const gaps = findGaps(bytes, accepted)
    const known = end !== undefined ? 'end' : isProven ? 'whole' : 'nothing'
    const { damaged, tornBytes } = judgeGaps(bytes, gaps, { accepted, rejected }, known)
    this.#tornBytes += tornBytes
    for (const gap of damaged) {
      for (const part of attributeDamage(gap, rejected)) {
        const { from, to } = part.gap
        this.#report({
          place: `${segment.path}-${from}`,
          detail: `${to - from} bytes do not verify`,
          ...(part.header === undefined ? {} : { queueId: part.header.queueId, type: part.header.type }),
          bytes: Buffer.from(bytes.subarray(from, to)),
          segment,
          offset: from,
        })
      }
    }
    if (end === undefined)
      segment.end = accepted.reduce(
        (last, { offset, record }) => Math.max(last, offset + record.length),
        SEGMENT_HEADER_BYTES,
      )
  }

  /** Files the manifest doesn't list: dropped or not yet begun when the process died, or put there by somebody. */
  async #judgeUnlisted(
    files: readonly string[],
    listed: ReadonlySet<number>,
    manifest: Manifest | undefined,
  ): Promise<string[]> {
    const leftovers: string[] = []
    for (const path of files) {
      const id = parseSegmentPath(path) ?? 0
      if (listed.has(id)) continue
      leftovers.push(path)
      const mayHoldRecords = manifest === undefined || id < manifest.nextSegment
      if (mayHoldRecords || (this.#disk.size(path) ?? 0) <= SEGMENT_HEADER_BYTES) continue
      const bytes = (await this.#disk.readWhole(path)) ?? Buffer.alloc(0)
      this.#report({ place: path, detail: 'the segment is not one of this spool', bytes, offset: 0 })
    }
    return leftovers
  }
}

const isProof = (later: Scanned, earlier: Scanned) =>
  later.accepted.length > 0 && later.segment.generation === earlier.segment.generation && !earlier.segment.isSuspect

/** Sealed by this program in this version. */
export function parseRecord(json: Buffer): MessageRecord {
  return JSON.parse(json.toString()) as MessageRecord
}

export function parseState(json: Buffer): DeliveryState {
  return JSON.parse(json.toString()) as DeliveryState
}
