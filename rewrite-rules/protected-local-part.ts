// Local parts that mean something only to the system that made them: never matched by extension, domain or wildcard rule (R25),
// and the one such form that can be read: X.500 names as Exchange writes them into an address (R26).
import { Buffer } from 'node:buffer'

const PREFIXES = [
  'srs0=',
  'srs1=',
  'prvs=',
  'bounces+',
  'imcea',
  'systemmailbox',
  'healthmailbox',
  'discoverysearchmailbox',
]
const NAMES = new Set(['postmaster', 'mailer-daemon'])
const MICROSOFT_EXCHANGE = /^microsoftexchange[0-9a-f]{32}$/

const IMCEAEX = /^imceaex-/i

/** @param text  local part, unquoted, ASCII letters in any case */
export function isProtectedLocalPart(text: string): boolean {
  const lower = text.toLowerCase()
  if (NAMES.has(lower) || PREFIXES.some((prefix) => lower.startsWith(prefix))) return true
  // The VERP test below also finds what other systems' SRS looks like: `…+SRS=…`.
  return isVerp(lower) || MICROSOFT_EXCHANGE.test(lower)
}

function isVerp(text: string): boolean {
  const equals = text.lastIndexOf('=')
  if (equals < 0) return false
  const plus = text.indexOf('+')
  const hyphen = text.indexOf('-')
  return (plus >= 0 && plus < equals) || (hyphen >= 0 && hyphen < equals)
}

/** The X.500 name in an `IMCEAEX-…` local part; undefined for any other. */
export function decodeImceaex(text: string): string | undefined {
  if (!IMCEAEX.test(text)) return undefined
  const encoded = Buffer.from(text.slice('IMCEAEX-'.length))
  const name = Buffer.alloc(encoded.length)
  let length = 0
  for (let i = 0; i < encoded.length; i++) {
    const byte = encoded[i] ?? 0
    const high = byte === 0x2b ? hexDigit(encoded[i + 1]) : -1
    const low = high < 0 ? -1 : hexDigit(encoded[i + 2])
    if (low >= 0) {
      name[length++] = high * 16 + low
      i += 2
    } else name[length++] = byte === 0x5f ? 0x2f : byte
  }
  return name.toString('utf8', 0, length)
}

function hexDigit(code: number | undefined): number {
  if (code === undefined) return -1
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
