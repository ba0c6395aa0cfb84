// The header fields the relay adds on the way in, and those it takes off: Received, X-Causeway-Trace, the tenant proof, and results that
// somebody signed with our name. (R76, R79, R84; RFC 5321 §4.4, RFC 8601 §5) Pure.
import {
  applyEdits,
  fieldValue,
  MARKER_FIELD,
  NO_HEADER_LIMITS,
  ownMarkerFields,
  scanHeader,
} from '../../rewrite-rules/index.ts'
import type { HeaderBlock, HeaderField } from '../../rewrite-rules/index.ts'
import { PROOF_FIELD } from './tenant-proof.ts'

export interface ReceivedClause {
  /** As the client said it; shaped like a host name or literal by the grammar of EHLO, believed by nobody. */
  readonly helloName: string
  readonly address: string
  /** Our name. */
  readonly by: string
  readonly isEsmtp: boolean
  readonly isSmtpUtf8: boolean
  /** Came over TLS. */
  readonly tls?: unknown
  readonly queueId: string
  /** ms since the epoch */
  readonly at: number
}

/**
 * The Received field, CR LF included. No FOR clause: it would show one recipient to another (R79; RFC 5321 §7.2).
 */
export function receivedField(clause: ReceivedClause): string {
  const { helloName, address, by, queueId, at } = clause
  const literal = address.includes(':') ? `[IPv6:${address}]` : `[${address}]`
  return `Received: from ${helloName} (${literal})\r\n by ${by} with ${protocolOf(clause)} id ${queueId};\r\n ${rfc5322Date(at)}\r\n`
}

/** RFC 3848, RFC 6531 §4.3: there is no S for what began with HELO. */
function protocolOf({ isSmtpUtf8, isEsmtp, tls }: ReceivedClause): string {
  if (!isSmtpUtf8 && !isEsmtp) return 'SMTP'
  return (isSmtpUtf8 ? 'UTF8SMTP' : 'ESMTP') + (tls === undefined ? '' : 'S')
}

/** @param marker  body of the field, from the engine (R76) */
export function traceField(marker: string): string {
  return `${MARKER_FIELD}: ${marker}\r\n`
}

/** `Sun, 22 Nov 2026 10:00:00 +0000` (RFC 5322 §3.3) */
export function rfc5322Date(at: number): string {
  // toUTCString is fixed by ECMAScript in this very form, but for the zone.
  return new Date(at).toUTCString().replace('GMT', '+0000')
}

/** Whether a field of a received header must not go on: the tenant proof whoever set it, and results in our name (R84). */
function mustGo(header: HeaderBlock, field: HeaderField, authservId: string): boolean {
  if (field.name === PROOF_FIELD) return true
  return field.name === 'authentication-results' && isAuthservId(fieldValue(header, field), authservId)
}

/**
 * @param received  the header block as it came: only looked at
 * @param header  the same, rewritten
 * @param forbiddenTokens  markers with one of them go too (R76)
 * @returns `header` without the fields that must not go on
 */
export function withoutForgedFields(
  received: HeaderBlock,
  header: Buffer,
  authservId: string,
  forbiddenTokens: readonly string[] = [],
): Buffer {
  const doomedIn = (block: HeaderBlock): HeaderField[] => {
    const markers = forbiddenTokens.length === 0 ? [] : ownMarkerFields(block, forbiddenTokens)
    return block.fields.filter((field) => markers.includes(field) || mustGo(block, field, authservId))
  }
  if (doomedIn(received).length === 0) return header
  // It was within the limits when it came; rewriting may have made it longer.
  const doomed = doomedIn(scanHeader(header, NO_HEADER_LIMITS))
  return applyEdits(
    header,
    doomed.map(({ start, end }) => ({ start, end, text: '' })),
  )
}

/** Whether the results are said to be ours: `[CFWS] authserv-id [CFWS version] ";"` (RFC 8601 §2.2), compared without case. */
function isAuthservId(value: string, authservId: string): boolean {
  const start = skipCfws(value, 0)
  const quoted = value[start] === '"'
  const rest = quoted ? value.slice(start + 1).replaceAll(/\\(.)/g, '$1') : value.slice(start)
  const word = rest.slice(0, rest.search(quoted ? /"|$/ : /[\s;(]|$/))
  return word.toLowerCase() === authservId.toLowerCase()
}

function skipCfws(text: string, start: number): number {
  let depth = 0
  let at = start
  for (; at < text.length; at++) {
    const char = text[at]
    if (char === '\\' && depth > 0) at++
    else if (char === '(') depth++
    else if (char === ')' && depth > 0) depth--
    else if (depth === 0 && char !== ' ' && char !== '\t') return at
  }
  return at
}
