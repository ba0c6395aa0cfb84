// How single values of a configuration are written: text, numbers, durations.
import { isScalar } from 'yaml'
import type { Form } from './settings-reader.ts'

/** Text that `parse` understands; it gives undefined when not. */
export function parsed<T>(rule: string, parse: (written: string) => T | undefined): Form<T> {
  return {
    text: rule,
    read(place, reading) {
      const written = isScalar(place.node) && typeof place.node.value === 'string' ? place.node.value : undefined
      const value = written === undefined ? undefined : parse(written)
      return value === undefined ? reading.fault(place, `must be ${rule}`) : value
    },
  }
}

export const parsedBoolean: Form<boolean> = {
  text: '`true` or `false`',
  read(place, reading) {
    const value = isScalar(place.node) ? place.node.value : undefined
    return typeof value === 'boolean' ? value : reading.fault(place, 'must be `true` or `false`')
  },
}

export function oneOf<const T extends string>(...values: readonly T[]): Form<T> {
  const rule = values.map((value) => `\`${value}\``).join(' or ')
  return parsed(rule, (written) => values.find((value) => value === written))
}

/** @param unit  as the documentation names it; empty for a bare count */
export function integer(least: number, most: number, unit = ''): Form<number> {
  return number(`integer, ${grouped(least)} to ${grouped(most)}${unit === '' ? '' : ` ${unit}`}`, (value) => {
    return Number.isSafeInteger(value) && value >= least && value <= most
  })
}

export function ratio(least: number, most: number): Form<number> {
  return number(`number, ${least} to ${most}`, (value) => value >= least && value <= most)
}

function number(rule: string, isValid: (value: number) => boolean): Form<number> {
  return {
    text: rule,
    read(place, reading) {
      const value = isScalar(place.node) ? place.node.value : undefined
      return typeof value === 'number' && isValid(value) ? value : reading.fault(place, `must be: ${rule}`)
    },
  }
}

const UNIT_MS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

/** Gives ms; written as `90s`, `5min`, `1h`, `2d`, or as a number of seconds. */
export function duration(leastMs: number, mostMs: number): Form<number> {
  const rule = `duration (\`90s\`, \`5min\`, \`1h\`, \`2d\`, or a number of seconds), ${durationText(leastMs)} to ${durationText(mostMs)}`
  return {
    text: rule,
    read(place, reading) {
      const ms = isScalar(place.node) ? durationMs(place.node.value) : undefined
      if (ms === undefined || ms < leastMs || ms > mostMs) return reading.fault(place, `must be: ${rule}`)
      return ms
    },
  }
}

function durationMs(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? Math.round(value * 1000) : undefined
  if (typeof value !== 'string') return undefined
  const [, digits, unit] = /^(\d{1,15}) ?([a-z]{1,3})$/.exec(value) ?? []
  const unitMs = unit === undefined ? undefined : UNIT_MS.get(unit)
  return unitMs === undefined ? undefined : Number(digits) * unitMs
}

export function durationText(ms: number): string {
  const unit = [...UNIT_MS].findLast(([, unitMs]) => ms % unitMs === 0 && ms >= unitMs)
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`
}

function grouped(value: number): string {
  return value.toLocaleString('en-US')
}
