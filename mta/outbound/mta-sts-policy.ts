// An MTA-STS policy and the record that announces it, as text. Whoever controls the web host of a domain wrote the one, and its DNS the other:
// what isn't written as the standard says is none. Pure, linear. (RFC 8461 §3.1, §3.2)
import { parseHostName } from '../network-names.ts'

export const STS_MODES = ['enforce', 'testing', 'none'] as const
export type StsMode = (typeof STS_MODES)[number]

export interface StsPolicy {
  readonly mode: StsMode
  /** Host names, or `*.` and a name: one label in place of the star. */
  readonly mx: readonly string[]
  readonly maxAgeSeconds: number
}

/** RFC 8461 §3.2 */
const MOST_AGE_SECONDS = 31_557_600
/** More than any domain has; a policy is kept for as long as a year. */
const MOST_MX = 100

/** The id that the one valid record of `_mta-sts` has; undefined: MTA-STS is not used. */
export function parseStsRecord(records: readonly string[]): string | undefined {
  const ours = records.filter((record) => /^v=STSv1[ \t]*(?:;|$)/.test(record))
  const [record] = ours
  if (ours.length !== 1 || record === undefined || record.length > 1_000) return undefined
  const ids = record
    .split(';')
    .map((field) => field.trim())
    .flatMap((field) => (field.startsWith('id=') ? [field.slice(3)] : []))
  const [id] = ids
  return ids.length === 1 && id !== undefined && /^[A-Za-z0-9]{1,32}$/.test(id) ? id : undefined
}

/** @returns undefined when it is no policy that can be followed */
export function parseStsPolicy(text: string): StsPolicy | undefined {
  const fields = new Map<string, string>()
  const mx: string[] = []
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line))
  for (const line of lines) {
    if (line.trim() === '') continue
    const colon = line.indexOf(':')
    if (colon <= 0) return undefined
    const key = line.slice(0, colon).trim()
    const value = line.slice(colon + 1).trim()
    if (key === 'mx') {
      const pattern = mxPattern(value)
      if (pattern === undefined || mx.length >= MOST_MX) return undefined
      mx.push(pattern)
      // RFC 8461 §3.2: of a repeated field the first counts.
    } else if (!fields.has(key)) fields.set(key, value)
  }
  const mode = STS_MODES.find((each) => each === fields.get('mode'))
  const maxAge = fields.get('max_age') ?? ''
  if (fields.get('version') !== 'STSv1' || mode === undefined || !/^\d{1,10}$/.test(maxAge)) return undefined
  if (mode !== 'none' && mx.length === 0) return undefined
  return { mode, mx, maxAgeSeconds: Math.min(Number(maxAge), MOST_AGE_SECONDS) }
}

function mxPattern(written: string): string | undefined {
  if (!written.startsWith('*.')) return parseHostName(written)
  const name = parseHostName(written.slice(2))
  return name === undefined ? undefined : `*.${name}`
}

/** RFC 8461 §4.1: a star stands for exactly one label. @param host  lower case, A-labels */
export function isMxOfPolicy(host: string, { mx }: StsPolicy): boolean {
  const dot = host.indexOf('.')
  const parent = dot === -1 ? undefined : `*${host.slice(dot)}`
  return mx.some((pattern) => pattern === host || pattern === parent)
}
