// Changes of a tenant as a week brings them, for delta tests: people renamed, gone and new, members in and out of groups.
import type { DirectoryObject } from './objects.ts'
import { SeededRandom } from './seeded-random.ts'
import type { SimulatedTenant } from './tenant.ts'

export interface Changed {
  readonly renamed: readonly string[]
  readonly removed: readonly string[]
  readonly added: readonly string[]
  /** `[group, member]` */
  readonly membersAdded: readonly (readonly [string, string])[]
  readonly membersRemoved: readonly (readonly [string, string])[]
}

/**
 * Makes `count` changes, the kinds in turn, each to another object; fewer when the tenant has too few users. The same seed over the same tenant
 * gives the same changes.
 */
export function changeSome(tenant: SimulatedTenant, count: number, seed = 1): Changed {
  const random = new SeededRandom(seed)
  const users = shuffled([...tenant.objects('user')], random)
  const groups = shuffled(
    [...tenant.objects('group')].filter(({ members }) => members.length > 0),
    random,
  )
  const changed = {
    renamed: [] as string[],
    removed: [] as string[],
    added: [] as string[],
    membersAdded: [] as [string, string][],
    membersRemoved: [] as [string, string][],
  }
  for (let nth = 0; nth < count; nth++) {
    const user = users.pop()
    if (user === undefined) break
    switch (nth % 5) {
      case 0:
      case 1:
        rename(tenant, user, nth)
        changed.renamed.push(user.id)
        break
      case 2: {
        const id = random.guid()
        addLike(tenant, user, id, nth)
        changed.added.push(id)
        break
      }
      case 3:
        tenant.removeObject(user.id)
        changed.removed.push(user.id)
        break
      default: {
        const found = groups.pop()
        const group = found === undefined ? undefined : tenant.object(found.id)
        if (group === undefined) break
        const [first] = group.members
        if (group.members.includes(user.id) || first === undefined) break
        tenant.putObject({ ...group, members: [...group.members.slice(1), user.id] })
        changed.membersAdded.push([group.id, user.id])
        changed.membersRemoved.push([group.id, first])
      }
    }
  }
  return changed
}

function rename(tenant: SimulatedTenant, user: DirectoryObject, nth: number): void {
  const displayName = `Renamed ${nth}`
  tenant.putObject({ ...user, properties: { ...user.properties, displayName } })
  const recipient = tenant.recipientOf(user.id)
  if (recipient === undefined) return
  tenant.putRecipient({ ...recipient, properties: { ...recipient.properties, DisplayName: displayName } })
}

/** Without a mailbox: that comes with a licence, later. */
function addLike(tenant: SimulatedTenant, { properties }: DirectoryObject, id: string, nth: number): void {
  const domain = String(properties['userPrincipalName']).split('@').at(-1) ?? ''
  const local = `new${nth}.${id.slice(0, 8)}`
  tenant.putObject({
    id,
    kind: 'user',
    properties: {
      accountEnabled: true,
      displayName: `New ${nth}`,
      userPrincipalName: `${local}@${domain}`,
      mailNickname: local,
      userType: 'Member',
      proxyAddresses: [],
      otherMails: [],
      businessPhones: [],
      assignedLicenses: [],
    },
    members: [],
    owners: [],
  })
}

function shuffled<T>(items: T[], random: SeededRandom): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = random.below(last + 1)
    const [a, b] = [items[last], items[other]]
    if (a !== undefined && b !== undefined) [items[last], items[other]] = [b, a]
  }
  return items
}
