// Whether a message was sent by a machine, as far as its header tells. (RFC 3834 §2, §5; RFC 2076 §3.9; RFC 2369, RFC 2919) Pure.
import { fieldValue } from '../rewrite-rules/index.ts'
import type { HeaderBlock } from '../rewrite-rules/index.ts'

/** Fields that only list software writes. */
const LIST_FIELDS = new Set([
  'list-archive',
  'list-help',
  'list-id',
  'list-owner',
  'list-post',
  'list-subscribe',
  'list-unsubscribe',
])
const BULK = new Set(['bulk', 'junk', 'list'])

/** In doubt it was: what isn't `no` in Auto-Submitted is automatic, however malformed. */
export function isAutomaticMail(header: HeaderBlock): boolean {
  return header.fields.some((field) => {
    if (LIST_FIELDS.has(field.name)) return true
    if (field.name === 'auto-submitted') return firstWord(fieldValue(header, field)) !== 'no'
    return field.name === 'precedence' && BULK.has(firstWord(fieldValue(header, field)))
  })
}

/** The keyword before parameters, with comments left out; in lower case. */
function firstWord(text: string): string {
  let word = ''
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? ''
    if (char === '\\' && depth > 0) at++
    else if (char === '(') depth++
    else if (char === ')' && depth > 0) depth--
    else if (depth > 0) continue
    else if (char === ';') break
    else if (char === ' ' || char === '\t') {
      if (word !== '') break
    } else word += char
  }
  return word.toLowerCase()
}
