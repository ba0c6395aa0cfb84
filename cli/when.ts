// Points in time and lengths of it, as they are written on a command line.
import { UsageError } from './command.ts'

const UNIT_MS = new Map([
  ['s', 1_000],
  ['m', 60_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])
/** A date, or a date and time; without a zone it is UTC, as all times that the relay prints. */
const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?)?$/

/** `90s`, `15min`, `2h`, `3d`. @throws UsageError */
export function durationMs(text: string, option: string): number {
  const ms = readDuration(text)
  if (ms === undefined) throw new UsageError(`${option} takes a length of time such as 90s, 15min, 2h or 3d`)
  return ms
}

/** So long ago, or ISO 8601. @returns ms since the epoch @throws UsageError */
export function timeOf(text: string, option: string, now: number): number {
  const ago = readDuration(text)
  if (ago !== undefined) return now - ago
  const [, date, time = '00:00', zone = 'Z'] = ISO.exec(text) ?? []
  const at = date === undefined ? Number.NaN : Date.parse(`${date}T${time}${zone}`)
  if (Number.isNaN(at))
    throw new UsageError(`${option} takes a time such as 2026-11-22T10:00 (UTC), or 2h or 3d for so long ago`)
  return at
}

function readDuration(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,6}) ?([a-z]{1,3})$/.exec(text) ?? []
  const unitMs = UNIT_MS.get(unit)
  return unitMs === undefined ? undefined : Number(digits) * unitMs
}

/** ISO 8601 to the second. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
}
