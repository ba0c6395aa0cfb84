// One calendar or report part from its encoded body to its encoded body (R54, R60-R72). It is plain data in and out and asks the table
// only through an `AddressMap`, so that a large part can be done where the table isn't: elsewhere its questions are collected, here they
// are answered, there it is finished (BP-2).
import { Buffer } from 'node:buffer'
import { ReportRecorder } from './change-report.ts'
import type { Change, Direction, IcsSkipReason, ReportCode } from './change-report.ts'
import { hasNulOctets, readText } from './charset.ts'
import type { AddressMap, MapFunction, Mapped } from './lookup.ts'
import { rewriteCalendar } from './rewrite-calendar.ts'
import { rewriteReportPart } from './rewrite-report-part.ts'
import type { DecodedBody, Splice } from './splice.ts'
import { decodeBody } from './transfer-encoding.ts'
import type { TransferEncoding } from './transfer-encoding.ts'

const MIB = 1024 * 1024
/** rewriting.md §12 */
export const MAX_DECODED_OCTETS = 10 * MIB
/** The most that so many octets take when encoded in lines of usual length. */
export const MAX_ENCODED_OCTETS: Readonly<Record<TransferEncoding, number>> = {
  identity: MAX_DECODED_OCTETS,
  base64: 16 * MIB,
  'quoted-printable': 32 * MIB,
}

/** A part to be rewritten. Can be cloned into another thread; the memory of `body` may be transferred. */
export interface PartWork {
  readonly kind: 'calendar' | 'report'
  readonly body: Uint8Array
  readonly encoding: TransferEncoding
  /** Content-Type parameters; '' where there is none. */
  readonly charset: string
  readonly method: string
  /** For a body of a single line, whose own can't be seen. */
  readonly lineBreak: string
  readonly direction: Direction
  readonly smtpUtf8: boolean
  readonly displayNameAddress: boolean
  /** IMAP number of the part. */
  readonly path: string
}

/** What became of a part. Can be cloned. */
export interface PartResult {
  /** The new body; undefined where it stays as it is. */
  readonly body: Uint8Array | undefined
  readonly changes: readonly Change[]
  readonly changeCount: number
  readonly codes: readonly ReportCode[]
}

/** A question to the table: what `fn` makes of an address, or, without `fn`, which entry it belongs to. */
export interface Query {
  readonly fn: MapFunction | undefined
  readonly local: string
  readonly domain: string
  readonly smtpUtf8: boolean
}

export interface Answer {
  readonly query: Query
  readonly mapped: Mapped
  readonly entry: number | undefined
}

const KEPT: Mapped = { kind: 'kept' }

export function rewritePart(work: PartWork, map: AddressMap): PartResult {
  const recorder = new ReportRecorder()
  const body = changedBody(work, map, recorder)
  const { changes, changeCount, codes } = recorder
  return { body, changes, changeCount, codes }
}

/** All that must be asked before the part can be finished, each question once. */
export function collectQueries(work: PartWork): Query[] {
  const queries = new Map<string, Query>()
  const ask = (query: Query): void => void queries.set(queryKey(query), query)
  rewritePart(work, {
    map(fn, local, domain, smtpUtf8) {
      ask({ fn, local, domain, smtpUtf8 })
      return KEPT
    },
    entryOf(local, domain) {
      ask({ fn: undefined, local, domain, smtpUtf8: false })
      return undefined
    },
  })
  return [...queries.values()]
}

export function answerQueries(queries: readonly Query[], map: AddressMap): Answer[] {
  return queries.map((query) => {
    const { fn, local, domain, smtpUtf8 } = query
    if (fn === undefined) return { query, mapped: KEPT, entry: map.entryOf(local, domain) }
    return { query, mapped: map.map(fn, local, domain, smtpUtf8), entry: undefined }
  })
}

/** @param answers  to all of `collectQueries(work)`, in any order */
export function finishWork(work: PartWork, answers: readonly Answer[]): PartResult {
  const byKey = new Map(answers.map((answer) => [queryKey(answer.query), answer]))
  const find = (query: Query): Answer => {
    const answer = byKey.get(queryKey(query))
    if (answer === undefined) throw new Error('unreachable: a question that was not collected')
    return answer
  }
  return rewritePart(work, {
    map: (fn, local, domain, smtpUtf8) => find({ fn, local, domain, smtpUtf8 }).mapped,
    entryOf: (local, domain) => find({ fn: undefined, local, domain, smtpUtf8: false }).entry,
  })
}

/** No domain has a space, so no two queries have the same key. */
function queryKey({ fn, local, domain, smtpUtf8 }: Query): string {
  return `${fn ?? 'entry'} ${smtpUtf8} ${domain} ${local}`
}

function changedBody(work: PartWork, map: AddressMap, recorder: ReportRecorder): Buffer | undefined {
  const body = Buffer.from(work.body.buffer, work.body.byteOffset, work.body.byteLength)
  const hasNul = body.includes(0) && !(work.kind === 'calendar' && hasNulOctets(work.charset))
  const decoded = hasNul ? undefined : decodeBody(body, work.encoding, work.lineBreak, MAX_DECODED_OCTETS)
  if (!hasNul && decoded?.isSuspicious !== false) recorder.code('cte-suspicious')
  const splices = decoded === undefined ? 'encoding' : planSplices(work, decoded, map, recorder)
  if (typeof splices === 'string') {
    recorder.code(skipCode(work.kind, splices))
    return undefined
  }
  return splices.length === 0 ? undefined : decoded?.encode(splices)
}

/** What is reported of a part that stays as it is because it can't be processed (R60). */
export function skipCode(kind: PartWork['kind'], reason: IcsSkipReason): ReportCode {
  if (kind === 'calendar') return `ics-skipped:${reason}`
  return reason === 'encoding' ? 'mime-broken' : 'mime-limit'
}

function planSplices(
  work: PartWork,
  { octets }: DecodedBody,
  map: AddressMap,
  recorder: ReportRecorder,
): readonly Splice[] | IcsSkipReason {
  if (octets.length > MAX_DECODED_OCTETS) return 'size'
  if (work.kind === 'report') return rewriteReportPart(octets, { ...work, map }, recorder)
  const text = readText(octets, work.charset)
  if (text === undefined) return 'charset'
  const splices = rewriteCalendar(text, { ...work, map }, recorder)
  return typeof splices === 'string' ? splices : text.toOctets(splices)
}
