// Whether bytes that are no readable address list still show an address of the table (rewriting.md §12, `addr-unparsed` in From).
import type { Span } from './address-list.ts'
import type { AddressMap } from './lookup.ts'

/** RFC 5321 §4.5.3.1.1, and two quotes. */
const MAX_QUOTED_LOCAL_PART = 66

/** Looks at what stands on both sides of every @ in the span: literal text, nothing decoded. */
export function holdsKnownAddress(text: string, span: Span, map: AddressMap, smtpUtf8: boolean): boolean {
  const raw = text.slice(span.start, span.end)
  const isKnown = (local: string, domain: string) =>
    local !== '' &&
    (map.entryOf(local, domain) !== undefined || map.map('present', local, domain, smtpUtf8).kind === 'replaced')
  for (let at = raw.indexOf('@'); at >= 0; at = raw.indexOf('@', at + 1)) {
    let domainEnd = at + 1
    while (isDomainCharacter(raw.charCodeAt(domainEnd))) domainEnd++
    const domain = raw.slice(at + 1, domainEnd)
    if (domain === '') continue
    let wordStart = at
    while (isWordCharacter(raw.charCodeAt(wordStart - 1))) wordStart--
    let atomStart = wordStart
    while (isAtomCharacter(raw.charCodeAt(atomStart - 1))) atomStart--
    if (isKnown(raw.slice(wordStart, at), domain)) return true
    if (atomStart < wordStart && isKnown(raw.slice(atomStart, at), domain)) return true
    if (raw[at - 1] !== '"') continue
    const quoted = raw.slice(Math.max(0, at - MAX_QUOTED_LOCAL_PART), at)
    const quote = quoted.lastIndexOf('"', quoted.length - 2)
    if (quote >= 0 && isKnown(quoted.slice(quote), domain)) return true
  }
  return false
}

function isDomainCharacter(code: number): boolean {
  return isAlphanumeric(code) || code === 0x2d || code === 0x2e || code === 0x5f
}

/** What the local parts of nearly all people consist of: so that an apostrophe or `=` before one doesn't hide it. */
function isWordCharacter(code: number): boolean {
  return isDomainCharacter(code) || code === 0x2b
}

/** atext (RFC 5322 §3.2.3) and the dot. */
function isAtomCharacter(code: number): boolean {
  return isWordCharacter(code) || (code > 0x20 && code < 0x7f && !'"(),:;<>@[\\]'.includes(String.fromCharCode(code)))
}

function isAlphanumeric(code: number): boolean {
  const letter = code | 0x20
  return (code >= 0x30 && code <= 0x39) || (letter >= 0x61 && letter <= 0x7a && code < 0x80)
}
