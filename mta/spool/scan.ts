// Reads one segment as a crash, a bad disk or a bad hand may have left it. Pure.
// Nothing that isn't authenticated is believed, a length least of all: after anything doubtful the next record is looked for by its
// magic, so damage costs the records it touches and no more (SF-4).
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, decodeRecordHeader, findRecordMagic } from './format.ts'
import type { RecordHeader } from './format.ts'
import type { Segment } from './segment.ts'

/** What may be a record: its header's checksum holds. */
export interface Candidate {
  readonly header: RecordHeader
  readonly offset: number
  /** Header and payload. */
  readonly record: Buffer
}

/** Bytes [from, to) of the segment that no record accounts for. */
export interface Gap {
  readonly from: number
  readonly to: number
}

/** All candidates of the segment, ordered by sequence; `isOrdered` is false when they lay in another order, or one twice. */
export function findCandidates(bytes: Buffer, segment: Segment): { candidates: Candidate[]; isOrdered: boolean } {
  const candidates: Candidate[] = []
  let isOrdered = true
  let last = 0
  for (let at = findRecordMagic(bytes, SEGMENT_HEADER_BYTES); at >= 0; at = findRecordMagic(bytes, at + 1)) {
    const header = decodeRecordHeader(bytes, at)
    if (header === undefined || header.segment !== segment.id || header.generation !== segment.generation) continue
    if (header.sequence <= last) isOrdered = false
    last = header.sequence
    candidates.push({ header, offset: at, record: bytes.subarray(at, at + RECORD_HEADER_BYTES + header.payloadBytes) })
  }
  if (!isOrdered) candidates.sort((a, b) => a.header.sequence - b.header.sequence)
  return { candidates, isOrdered }
}

/** Bytes of the segment's records that none of `accepted` covers, in order. */
export function findGaps(bytes: Buffer, accepted: readonly Candidate[]): Gap[] {
  const gaps: Gap[] = []
  let end = SEGMENT_HEADER_BYTES
  for (const { offset, record } of accepted.toSorted((a, b) => a.offset - b.offset)) {
    if (offset > end) gaps.push({ from: end, to: offset })
    end = Math.max(end, offset + record.length)
  }
  if (end < bytes.length) gaps.push({ from: end, to: bytes.length })
  return gaps
}

/**
 * Splits the gaps into damage and what a crash tore: a group that was being written may be there in part, in any order; all before it
 * was on stable storage. Zeros behind the last record were written ahead, and are neither; but a rejected record may end with zeros of
 * its own, and where the segment's end is known nothing was written ahead of it.
 * @param known  of the segment: `end` when where it ends is known, `whole` when only that it was on stable storage when it was left
 */
export function judgeGaps(
  bytes: Buffer,
  gaps: readonly Gap[],
  { accepted, rejected }: { readonly accepted: readonly Candidate[]; readonly rejected: readonly Candidate[] },
  known: 'end' | 'whole' | 'nothing',
): { damaged: Gap[]; tornBytes: number } {
  let durable = 0
  let lastEnd = SEGMENT_HEADER_BYTES
  for (const { header, offset, record } of accepted) {
    durable = Math.max(durable, header.groupStart)
    lastEnd = Math.max(lastEnd, offset + record.length)
  }
  const damaged: Gap[] = []
  let tornBytes = 0
  for (const { from, to } of gaps) {
    const end = from < lastEnd || known === 'end' ? to : endWithoutZerosAhead(bytes, from, to, rejected)
    const split = known !== 'nothing' ? end : Math.min(Math.max(from, durable), end)
    if (split > from) damaged.push({ from, to: split })
    tornBytes += end - split
  }
  return { damaged, tornBytes }
}

function endWithoutZerosAhead(bytes: Buffer, from: number, to: number, rejected: readonly Candidate[]): number {
  let end = to
  while (end > from && bytes[end - 1] === 0) end--
  // A record cut by the end of the file is as long as what is there of it.
  return rejected.reduce((last, { offset, record }) => Math.max(last, offset + record.length), end)
}

/** The damage, cut where headers that still read say whose it is. */
export function attributeDamage(
  gap: Gap,
  rejected: readonly Candidate[],
): { gap: Gap; header: RecordHeader | undefined }[] {
  const parts: { gap: Gap; header: RecordHeader | undefined }[] = []
  let from = gap.from
  for (const { header, offset, record } of rejected.toSorted((a, b) => a.offset - b.offset)) {
    if (offset < from || offset >= gap.to) continue
    if (offset > from) parts.push({ gap: { from, to: offset }, header: undefined })
    // Its length is not believed beyond the next record that holds.
    from = Math.min(offset + record.length, gap.to)
    parts.push({ gap: { from: offset, to: from }, header })
  }
  if (from < gap.to) parts.push({ gap: { from, to: gap.to }, header: undefined })
  return parts
}
