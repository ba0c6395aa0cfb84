// Rules tell the groups that they name as they were given them, or by their addresses: which, nobody has published. Ours are given by name, and compared by
// it. Pure. (coexistence.md §2.1 rows 9, 10)
import { isList } from './equality.ts'
import type { ObservedObject, Value } from './tenant-object.ts'

/** Of one tenant. */
export function withNamedGroups(observed: readonly ObservedObject[]): readonly ObservedObject[] {
  const names = new Map<string, string>()
  for (const { noun, name, properties, guid } of observed) {
    if (noun !== 'DistributionGroup') continue
    names.set(guid, name)
    for (const address of addressesOf(properties['PrimarySmtpAddress'], properties['EmailAddresses']))
      names.set(address, name)
  }
  if (names.size === 0) return observed
  const nameOf = (each: string): string => names.get(each.toLowerCase()) ?? each
  return observed.map((object) => {
    if (object.noun !== 'TransportRule') return object
    const properties = Object.fromEntries(
      Object.entries(object.properties).map(([property, value]) =>
        /MemberOf\d?$/.test(property) && isList(value) ? [property, value.map(nameOf)] : [property, value],
      ),
    )
    return { ...object, properties }
  })
}

function addressesOf(primary: Value | undefined, all: Value | undefined): string[] {
  const texts = [...(typeof primary === 'string' ? [primary] : []), ...(isList(all) ? all : [])]
  return texts.map((text) => text.replace(/^smtp:/i, '').toLowerCase())
}
