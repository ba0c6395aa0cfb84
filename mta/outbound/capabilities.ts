// What a next hop offers, from its reply to EHLO. Strict: what isn't written as the standard says is not offered. (RFC 5321 §4.1.1.1)

export interface Capabilities {
  readonly pipelining: boolean
  readonly eightBitMime: boolean
  readonly smtpUtf8: boolean
  readonly dsn: boolean
  readonly startTls: boolean
  /** RFC 8689 */
  readonly requireTls: boolean
  /** undefined: SIZE is not offered; 0: offered without a limit. (RFC 1870 §3) */
  readonly sizeLimit: number | undefined
}

/** After HELO. */
export const NO_CAPABILITIES: Capabilities = {
  pipelining: false,
  eightBitMime: false,
  smtpUtf8: false,
  dsn: false,
  startTls: false,
  requireTls: false,
  sizeLimit: undefined,
}

/** @param lines  of the 250 reply; the first is a greeting */
export function parseCapabilities(lines: readonly string[]): Capabilities {
  const offered = new Map<string, string>()
  for (const line of lines.slice(1)) {
    const space = line.indexOf(' ')
    const keyword = (space === -1 ? line : line.slice(0, space)).toUpperCase()
    if (!/^[A-Z0-9][A-Z0-9-]*$/.test(keyword) || offered.has(keyword)) continue
    offered.set(keyword, space === -1 ? '' : line.slice(space + 1).trim())
  }
  return {
    pipelining: offered.get('PIPELINING') === '',
    eightBitMime: offered.get('8BITMIME') === '',
    smtpUtf8: offered.has('SMTPUTF8'), // RFC 6531 §3.1: parameters of the keyword are to be ignored
    dsn: offered.get('DSN') === '',
    startTls: offered.get('STARTTLS') === '',
    requireTls: offered.get('REQUIRETLS') === '',
    sizeLimit: sizeLimit(offered.get('SIZE')),
  }
}

/** RFC 1870 §3: up to 20 digits, or none. */
function sizeLimit(parameter: string | undefined): number | undefined {
  if (parameter === undefined || !/^\d{0,20}$/.test(parameter)) return undefined
  return Number(parameter)
}
