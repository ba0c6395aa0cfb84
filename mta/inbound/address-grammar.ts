// Paths of MAIL and RCPT: `<[@a,@b:]local-part@domain>` (RFC 5321 §4.1.2, RFC 6531 §3.3). The address itself is read by the engine's one
// grammar (PS-1, PH-5); here are the brackets, the source route, and what no envelope may hold.
import { isIPv4, isIPv6 } from 'node:net'
import { normaliseDomain, parseAddrSpec } from '../../rewrite-rules/index.ts'

export interface Mailbox {
  /** As written, quotes kept. */
  readonly local: string
  /** As written; `[…]` is an address literal; `""` only for the unqualified `postmaster`. */
  readonly domain: string
}

export interface Path {
  /** undefined: the null reverse-path. */
  readonly mailbox: Mailbox | undefined
  /** Offset after the closing bracket. */
  readonly end: number
}

/** The mailbox as it goes on: the path as written, less its source route. */
export function formatMailbox({ local, domain }: Mailbox): string {
  return domain === '' ? local : `${local}@${domain}`
}

/**
 * Reads the path at `start` of `text`; undefined when there is none that PH-5 takes.
 * @param text  decoded from UTF-8
 */
export function readPath(text: string, start: number): Path | undefined {
  if (text[start] !== '<') return undefined
  const close = closingBracket(text, start + 1)
  if (close === undefined) return undefined
  const inside = text.slice(start + 1, close)
  const end = close + 1
  if (inside === '') return { mailbox: undefined, end }
  const written = withoutSourceRoute(inside)
  const mailbox = written === undefined ? undefined : readMailbox(written)
  return mailbox === undefined ? undefined : { mailbox, end }
}

function readMailbox(text: string): Mailbox | undefined {
  // RFC 5321 §4.1.1.3: the one name that needs no domain, in any case.
  if (text.toLowerCase() === 'postmaster') return { local: text, domain: '' }
  const mailbox = parseAddrSpec(text)
  // Invisible in a log or a list of recipients, and never needed.
  if (mailbox === undefined || /[\u2028\u2029]/.test(text)) return undefined
  return isMailDomain(mailbox.domain) ? mailbox : undefined
}

/** A name that maps to A-labels (PS-6) and has no trailing dot, or the literal of an IP address (RFC 5321 §4.1.3). */
function isMailDomain(domain: string): boolean {
  if (!domain.startsWith('[')) return !domain.endsWith('.') && normaliseDomain(domain) !== undefined
  const address = domain.slice(1, -1)
  return isIPv4(address) || (/^ipv6:/i.test(address) && isIPv6(address.slice('IPv6:'.length)))
}

/** Offset of the `>` that isn't in quotes. */
function closingBracket(text: string, start: number): number | undefined {
  let isQuoted = false
  for (let at = start; at < text.length; at++) {
    const char = text[at]
    if (char === '"') isQuoted = !isQuoted
    else if (isQuoted && char === '\\') at++
    else if (!isQuoted && char === '>') return at
  }
  return undefined
}

/** A route must be well formed and is then forgotten (R8; RFC 5321 app. C). */
function withoutSourceRoute(path: string): string | undefined {
  if (!path.startsWith('@')) return path
  for (let at = 0; path[at] === '@';) {
    // Colons and commas may stand in a literal.
    const literalEnd = path[at + 1] === '[' ? path.indexOf(']', at) : at
    if (literalEnd === -1) return undefined
    const rest = path.slice(literalEnd).search(/[,:]/)
    const end = literalEnd + rest
    if (rest === -1 || !isMailDomain(path.slice(at + 1, end))) return undefined
    if (path[end] === ':') return path.slice(end + 1)
    at = end + 1
  }
  return undefined
}
