// In what a simulated tenant differs from how it was: objects by their ids, property by property. Pure.
import { isDeepStrictEqual } from 'node:util'
import { textOf } from './api-client.ts'
import type { Fields } from './api-client.ts'

const LISTS = { objects: 'id', recipients: 'guid', exchangeObjects: 'guid', domains: 'id', licences: 'skuId' } as const
/** When somebody last wrote it, which no undo takes back; nor does any take back that a tenant's settings became its own (Enable-OrganizationCustomization). */
const PASSED_OVER = new Set(['WhenChanged', 'WhenChangedUTC', 'IsDehydrated'])

/** In words. @param before  of the sandbox's operation `state`, as `after` */
export function stateDifferences(before: Fields, after: Fields): readonly string[] {
  const others = Object.keys({ ...before, ...after }).filter((name) => !Object.hasOwn(LISTS, name))
  return [
    ...Object.entries(LISTS).flatMap(([list, key]) => listDifferences(list, key, before[list], after[list])),
    ...others.filter((name) => !isDeepStrictEqual(before[name], after[name])).map((name) => `${name} differs`),
  ]
}

function listDifferences(list: string, key: string, before: unknown, after: unknown): string[] {
  const [was, is] = [byKey(before, key), byKey(after, key)]
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((id) => {
    const [one, other] = [was.get(id), is.get(id)]
    if (one === undefined) return [`${named(list, other)} is new`]
    if (other === undefined) return [`${named(list, one)} is gone`]
    const names = differing(flat(one), flat(other))
    return names.length === 0 ? [] : [`${named(list, one)}: ${names.join(', ')} differ`]
  })
}

function byKey(list: unknown, key: string): ReadonlyMap<unknown, Fields> {
  return new Map(((list ?? []) as readonly Fields[]).map((each) => [each[key], each]))
}

function flat({ properties, ...rest }: Fields): Fields {
  return { ...rest, ...(properties as Fields | undefined) }
}

function differing(one: Fields, other: Fields): string[] {
  return Object.keys({ ...one, ...other }).filter(
    (name) => !PASSED_OVER.has(name) && !isDeepStrictEqual(one[name], other[name]),
  )
}

function named(list: string, object: Fields = {}): string {
  const properties = (object['properties'] ?? {}) as Fields
  const names = [
    ...['Name', 'DisplayName', 'displayName'].map((each) => textOf(properties, each)),
    textOf(object, 'id'),
  ]
  return `${textOf(object, 'noun') || list} ${names.find((each) => each !== '') ?? ''}`
}
