// Reads properties of configuration objects, which are whatever a cmdlet was given: one word where a list is meant, null where nothing is said.
import type { ExchangeObject, Recipient } from '../tenants/objects.ts'

type Holder = Pick<ExchangeObject | Recipient, 'properties'>

/** Empty: nothing is said. */
export function textOf({ properties }: Holder, name: string): string {
  const value = properties[name]
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}

export function listOf({ properties }: Holder, name: string): readonly string[] {
  const value = properties[name]
  const all: readonly unknown[] = Array.isArray(value) ? value : [value]
  return all.filter((each) => typeof each === 'string' && each !== '') as string[]
}

export function flagOf({ properties }: Holder, name: string): boolean {
  const value = properties[name]
  return value === true || (typeof value === 'string' && value.toLowerCase() === 'true')
}

/** Whether a property says anything: null, false and empty values don't. */
export function isSaid(value: unknown): boolean {
  return (
    value !== null &&
    value !== undefined &&
    value !== '' &&
    value !== false &&
    !(Array.isArray(value) && value.length === 0)
  )
}

/** Of `local@domain`, lower case; empty: it has none. */
export function domainOf(address: string): string {
  const at = address.lastIndexOf('@')
  return at < 0 ? '' : address.slice(at + 1).toLowerCase()
}

/** Of `smtp:local@domain`, the address. */
export function withoutPrefix(address: string): string {
  return address.replace(/^smtp:/i, '')
}
