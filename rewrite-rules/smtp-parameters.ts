// Values of the DSN parameters of RCPT (RFC 3461 §4), as far as rewriting makes them.
import { Buffer } from 'node:buffer'
import { isAscii } from './addr-spec.ts'
import type { EsmtpParameters } from './envelope.ts'

/** RFC 3461 §4.2 */
const MAX_ORCPT_OCTETS = 500

/**
 * ORCPT value that names an address (R9): RFC 3461 §4.2, for a non-ASCII one RFC 6533 §3 in the form that any server takes.
 *
 * @returns undefined where it would be longer than any server has to take: the recipient matters more than the name in his reports
 */
export function formatOrcpt(address: string): string | undefined {
  const orcpt = isAscii(address) ? `rfc822;${encodeXtext(address)}` : `utf-8;${encodeUtf8Xtext(address)}`
  return orcpt.length <= MAX_ORCPT_OCTETS ? orcpt : undefined
}

/** xtext (RFC 3461 §4) of printable ASCII text. */
function encodeXtext(text: string): string {
  return text.replace(/[^!-*,-<>-~]/g, (character) => {
    return [...Buffer.from(character)].map((byte) => `+${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
  })
}

/** utf-8-addr-xtext (RFC 6533 §3): `\x{…}` for all that is not printable ASCII, and for `\`, `+` and `=`. */
function encodeUtf8Xtext(text: string): string {
  return text.replace(/[^!-*,-<>-[\]-~]/gu, (character) => {
    return `\\x{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(2, '0')}}`
  })
}

/**
 * NOTIFY of a recipient that stands for two (R10): NEVER loses to anything, others are united, a missing one counts as FAILURE beside them.
 * Keywords in any case; undefined stands for a missing parameter.
 */
export function mergeNotify(
  a: EsmtpParameters[string] | undefined,
  b: EsmtpParameters[string] | undefined,
): EsmtpParameters[string] | undefined {
  if (isNever(a)) return b
  if (isNever(b)) return a
  if (a === undefined && b === undefined) return undefined
  const united = new Set([...keywords(a), ...keywords(b)])
  return [...united].join(',')
}

function isNever(value: EsmtpParameters[string] | undefined): boolean {
  return typeof value === 'string' && value.toUpperCase() === 'NEVER'
}

function keywords(value: EsmtpParameters[string] | undefined): string[] {
  return typeof value === 'string' ? value.toUpperCase().split(',') : ['FAILURE']
}
