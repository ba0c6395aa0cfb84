// Puts a tenant together from its cast: gives ids, so that groups may name members before these exist, makes every object, and counts licences.
import { makeContact, makeGroup } from './group.ts'
import type { ContactRecipe, GroupRecipe } from './group.ts'
import { SKUS } from './licences.ts'
import type { SkuName } from './licences.ts'
import type { DirectoryObject, Drive, ExchangeObject, Licence, Recipient, TenantData } from './objects.ts'
import { makePerson } from './person.ts'
import type { PersonRecipe } from './person.ts'
import type { Place } from './place.ts'

/** Members and owners by handle: a person's `local`, a group's as `#local`, a contact's as `@local`; `*` stands for every person. */
export interface Cast {
  readonly people: readonly PersonRecipe[]
  readonly groups: readonly GroupRecipe[]
  readonly contacts: readonly ContactRecipe[]
  /** `[person, manager]`, by handle. */
  readonly managers: readonly (readonly [string, string])[]
  /** What Exchange alone knows. */
  readonly recipients: readonly Recipient[]
  readonly exchangeObjects: readonly ExchangeObject[]
  readonly licences: readonly BoughtLicence[]
}

export interface BoughtLicence {
  readonly sku: SkuName
  /** Beyond what is assigned: 0 = exhausted. */
  readonly free: number
}

export function assemble(
  place: Place,
  about: Omit<TenantData, 'licences' | 'objects' | 'recipients' | 'exchangeObjects' | 'drives'>,
  cast: Cast,
): TenantData {
  const ids = idsOf(place, cast)
  const resolve = (handles: readonly string[]): readonly string[] =>
    handles.flatMap((handle) =>
      handle === '*'
        ? cast.people.filter(({ kind = 'person' }) => kind === 'person').map(({ local }) => known(ids, local))
        : [known(ids, handle)],
    )
  const managers = new Map(cast.managers.map(([person, manager]) => [known(ids, person), known(ids, manager)]))
  const objects: DirectoryObject[] = []
  const recipients: Recipient[] = []
  const drives: Record<string, Drive> = {}
  for (const recipe of cast.people) {
    const id = known(ids, recipe.local)
    const made = makePerson(place, { ...recipe, id, mailbox: withIds(recipe.mailbox, ids) })
    const manager = managers.get(id)
    objects.push(manager === undefined ? made.object : { ...made.object, manager })
    if (made.recipient !== undefined) recipients.push(made.recipient)
    if (made.drive !== undefined) drives[id] = made.drive
  }
  for (const recipe of cast.groups) {
    const id = known(ids, `#${recipe.local}`)
    const made = makeGroup(place, {
      ...recipe,
      id,
      members: [...new Set(resolve(recipe.members))],
      owners: resolve(recipe.owners ?? []),
    })
    objects.push(made.object)
    if (made.recipient !== undefined) recipients.push(made.recipient)
  }
  for (const recipe of cast.contacts) {
    const made = makeContact(place, { ...recipe, id: known(ids, `@${recipe.local}`) })
    objects.push(made.object)
    recipients.push(made.recipient)
  }
  return {
    ...about,
    licences: cast.licences.map((bought) => licence(bought, objects)),
    objects,
    recipients: [...recipients, ...cast.recipients],
    exchangeObjects: cast.exchangeObjects,
    drives,
  }
}

function idsOf({ random }: Place, cast: Cast): ReadonlyMap<string, string> {
  const ids = new Map<string, string>()
  const give = (handle: string, id: string | undefined) => {
    if (ids.has(handle)) throw new Error(`the cast has two of ${handle}`)
    ids.set(handle, id ?? random.guid())
  }
  for (const { local, id } of cast.people) give(local, id)
  for (const { local, id } of cast.groups) give(`#${local}`, id)
  for (const { local, id } of cast.contacts) give(`@${local}`, id)
  return ids
}

function known(ids: ReadonlyMap<string, string>, handle: string): string {
  const id = ids.get(handle)
  if (id === undefined) throw new Error(`nobody in the cast is ${handle}`)
  return id
}

/** Exchange's own references (`ForwardingAddress`, `GrantSendOnBehalfTo`) are written as handles in a cast. */
function withIds(
  mailbox: Readonly<Record<string, unknown>> | undefined,
  ids: ReadonlyMap<string, string>,
): Readonly<Record<string, unknown>> {
  const { ForwardingAddress: forwarding, GrantSendOnBehalfTo: onBehalf, ...rest } = mailbox ?? {}
  return {
    ...rest,
    ...(typeof forwarding === 'string' ? { ForwardingAddress: known(ids, forwarding) } : {}),
    ...(Array.isArray(onBehalf) ? { GrantSendOnBehalfTo: onBehalf.map((handle) => known(ids, String(handle))) } : {}),
  }
}

function licence({ sku, free }: BoughtLicence, objects: readonly DirectoryObject[]): Licence {
  const { skuId, skuPartNumber, servicePlans } = SKUS[sku]
  const assigned = objects.filter(({ properties }) => {
    const licences = properties['assignedLicenses']
    return Array.isArray(licences) && licences.some((each: { skuId?: unknown }) => each.skuId === skuId)
  }).length
  return { skuId, skuPartNumber, enabled: assigned + free, servicePlans }
}
