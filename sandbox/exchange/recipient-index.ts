// The recipients of one tenant in the order of their making, and by everything that names one. It follows the tenant's changes; with 100,000
// mailboxes neither a page nor a look-up goes through all of them.
import type { Recipient } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import type { Cursor } from './cmdlet.ts'
import { nameOf } from './recipient-facts.ts'

export class RecipientIndex {
  readonly #tenant: SimulatedTenant
  /** By place; removed ones leave a hole, so that cursors hold. */
  readonly #inOrder: (Recipient | undefined)[] = []
  readonly #placeOf = new Map<string, number>()
  #read: number
  /** Made at the first look-up. */
  #byName: Map<string, Set<string>> | undefined

  constructor(tenant: SimulatedTenant) {
    this.#tenant = tenant
    this.#read = tenant.lastRecipientChange
    for (const recipient of tenant.recipients()) this.#place(recipient)
  }

  /** After a cursor, with their places. */
  *after(cursor: Cursor | undefined): Iterable<{ readonly recipient: Recipient; readonly cursor: Cursor }> {
    this.#follow()
    const last = cursor === undefined ? -1 : (this.#placeOf.get(cursor.id ?? '') ?? cursor.place)
    for (let place = last + 1; place < this.#inOrder.length; place++) {
      const recipient = this.#inOrder[place]
      if (recipient !== undefined) yield { recipient, cursor: { place, id: recipient.guid } }
    }
  }

  /** Whoever goes by this name, alias, address, GUID, distinguished name, legacy DN or user principal name. */
  named(identity: string): readonly Recipient[] {
    this.#follow()
    this.#byName ??= this.#nameAll()
    const name = commonNameOf(identity).trim().toLowerCase()
    const guids = this.#byName.get(name) ?? []
    const found = [...guids].flatMap((guid) => this.#tenant.recipient(guid) ?? [])
    // What Entra lends a recipient may have changed since.
    return found.filter((recipient) => namesOf(recipient, this.#tenant).has(name))
  }

  #follow(): void {
    for (const guid of this.#tenant.recipientChangesSince(this.#read)) {
      const place = this.#placeOf.get(guid)
      const before = place === undefined ? undefined : this.#inOrder[place]
      const now = this.#tenant.recipient(guid)
      if (before !== undefined) this.#name(before, (names) => names.delete(guid))
      if (now !== undefined) {
        this.#place(now)
        this.#name(now, (names) => names.add(guid))
      } else if (place !== undefined) {
        this.#inOrder[place] = undefined
        this.#placeOf.delete(guid)
      }
    }
    this.#read = this.#tenant.lastRecipientChange
  }

  #place(recipient: Recipient): void {
    const place = this.#placeOf.get(recipient.guid) ?? this.#inOrder.length
    this.#inOrder[place] = recipient
    this.#placeOf.set(recipient.guid, place)
  }

  #nameAll(): Map<string, Set<string>> {
    this.#byName = new Map()
    for (const recipient of this.#inOrder) {
      if (recipient !== undefined) this.#name(recipient, (names) => names.add(recipient.guid))
    }
    return this.#byName
  }

  #name(recipient: Recipient, change: (names: Set<string>) => void): void {
    const byName = this.#byName
    if (byName === undefined) return
    for (const name of namesOf(recipient, this.#tenant)) {
      const names = byName.get(name) ?? new Set()
      change(names)
      if (names.size === 0) byName.delete(name)
      else byName.set(name, names)
    }
  }
}

/** As cmdlets take them for Identity, lower case. A display name is none. */
function namesOf(recipient: Recipient, tenant: SimulatedTenant): ReadonlySet<string> {
  const { properties, guid, externalDirectoryObjectId } = recipient
  const entra =
    externalDirectoryObjectId === undefined ? undefined : tenant.object(externalDirectoryObjectId)?.properties
  const addresses = properties['EmailAddresses'] ?? entra?.['proxyAddresses']
  const names = [
    guid,
    externalDirectoryObjectId,
    nameOf(recipient, tenant),
    properties['Alias'] ?? entra?.['mailNickname'],
    properties['UserPrincipalName'] ?? entra?.['userPrincipalName'],
    properties['PrimarySmtpAddress'],
    properties['ExchangeGuid'],
    properties['LegacyExchangeDN'],
    ...(Array.isArray(addresses) ? (addresses as readonly unknown[]) : []),
    properties['ExternalEmailAddress'],
  ]
  return new Set(
    names
      .filter((name) => typeof name === 'string')
      .map((name) =>
        name
          .replace(/^smtp:/i, '')
          .trim()
          .toLowerCase(),
      ),
  )
}

/** `CN=Name,OU=…`: within one tenant the name is enough. */
function commonNameOf(identity: string): string {
  const escaped = /^CN=((?:\\.|[^,\\])+),OU=/i.exec(identity)?.[1]
  return escaped === undefined ? identity : escaped.replaceAll(/\\(.)/g, '$1')
}
