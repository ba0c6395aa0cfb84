// The hash of a specification, by which an object's mark says what it was made from, and lists as sets. Pure. (coexistence.md §2)
import { createHash } from 'node:crypto'
import { isProofToken } from './tenant-object.ts'
import type { Properties, Value } from './tenant-object.ts'

/** SHA-256 over canonical JSON of name and properties, hex. Order of properties and of lists does not matter, nothing is the same as empty. */
export function specHash(name: string, properties: Properties): string {
  const entries = Object.keys(properties)
    .toSorted()
    .map((property) => [property, canonical(properties[property])])
    .filter(([, value]) => value !== null)
  return createHash('sha256')
    .update(JSON.stringify([name, entries]))
    .digest('hex')
}

export function isList(value: Value | undefined): value is readonly string[] {
  return Array.isArray(value)
}

/** @returns those of `of` that `without` does not name, case ignored */
export function listMinus(of: readonly string[], without: readonly string[]): readonly string[] {
  const known = new Set(without.map((each) => each.toLowerCase()))
  return of.filter((each) => !known.has(each.toLowerCase()))
}

function canonical(value: Value | undefined): unknown {
  if (value === undefined || value === null || value === '') return null
  if (isProofToken(value)) return { proof: value.proof, sha256: value.sha256 }
  if (isList(value)) return value.length === 0 ? null : [...new Set(value)].toSorted()
  return value
}
