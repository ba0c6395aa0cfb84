// Reads fields of the control API's operations, beside what entra/control-routes.ts reads. Whoever gets them wrong is told which.
import { ControlFault, text } from '../entra/control-routes.ts'
import type { Fields } from '../entra/control-routes.ts'

export function record(fields: Fields, name: string): Fields {
  const value = fields[name]
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ControlFault(`${name} has to be an object`)
  }
  return value as Fields
}

export function texts(fields: Fields, name: string): readonly string[] {
  const value = fields[name]
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string')) {
    throw new ControlFault(`${name} has to be a list of strings`)
  }
  return value
}

export function positive(fields: Fields, name: string, missing?: number): number {
  const value = fields[name] ?? missing
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
    throw new ControlFault(`${name} has to be a number above 0`)
  }
  return value
}

/** undefined where nothing is given. */
export function optional<T>(fields: Fields, name: string, read: (fields: Fields, name: string) => T): T | undefined {
  return fields[name] === undefined ? undefined : read(fields, name)
}

/** A time of RFC 3339. @returns ms since the epoch */
export function time(fields: Fields, name: string): number {
  const given = text(fields, name)
  const atMs = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(given) ? Date.parse(given) : Number.NaN
  if (Number.isNaN(atMs)) throw new ControlFault(`${name} has to be a time like 2026-11-30T10:00:00Z`)
  return atMs
}
