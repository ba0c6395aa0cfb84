// Where the directory's objects are to be found without going through all of them: positions that stay what they are, sign-in names, groups of a
// member, recent changes of memberships. Kept up from the tenant's log of changes.
import type { DirectoryObject } from '../tenants/objects.ts'
import type { Change, SimulatedTenant } from '../tenants/tenant.ts'

export type DirectoryKind = DirectoryObject['kind']

export class DirectoryIndex {
  /** Positions are of this index, and mean nothing to another. */
  readonly epoch: string
  readonly #tenant: SimulatedTenant
  /** In the order in which they were first seen. An object that goes leaves a hole, one that comes back has its old place. */
  readonly #ids: Readonly<Record<DirectoryKind, string[]>> = { user: [], group: [], orgContact: [] }
  readonly #known = new Set<string>()
  readonly #counts: Record<DirectoryKind, number> = { user: 0, group: 0, orgContact: 0 }
  readonly #present = new Set<string>()
  readonly #userByName = new Map<string, string>()
  readonly #nameOfUser = new Map<string, string>()
  readonly #groupsOf = new Map<string, Set<string>>()
  readonly #membersChanged = new Map<string, number>()
  readonly #unified = new Set<string>()
  #applied: number
  #horizon: number

  constructor(tenant: SimulatedTenant, epoch: string) {
    this.epoch = epoch
    this.#tenant = tenant
    this.#applied = tenant.lastChange
    this.#horizon = 0
    for (const kind of ['user', 'group', 'orgContact'] as const) {
      for (const object of tenant.objects(kind)) {
        this.#keep(object)
        for (const member of object.members) this.#join(object.id, member)
      }
    }
  }

  /** Takes in what changed since the last time. */
  sync(): void {
    if (this.#applied === this.#tenant.lastChange) return
    for (const change of this.#tenant.changesSince(this.#applied)) this.#apply(change)
    this.#applied = this.#tenant.lastChange
  }

  /** By position. Some may be gone: ask the tenant. */
  ids(kind: DirectoryKind): readonly string[] {
    return this.#ids[kind]
  }

  count(kind: DirectoryKind): number {
    return this.#counts[kind]
  }

  /** @param name  object id or user principal name */
  findUser(name: string): DirectoryObject | undefined {
    const object = this.#tenant.object(this.#userByName.get(name.toLowerCase()) ?? name.toLowerCase())
    return object?.kind === 'user' ? object : undefined
  }

  groupsOf(id: string): readonly string[] {
    return [...(this.#groupsOf.get(id) ?? [])]
  }

  /** Number of the last change of its members; 0: none since the beginning. */
  membersChangedAt(group: string): number {
    return this.#membersChanged.get(group) ?? 0
  }

  /** Also of one that is gone. */
  isUnifiedGroup(id: string): boolean {
    return this.#unified.has(id)
  }

  /** The last change before the first one that readers don't see yet: as far as a delta may tell. */
  horizon(nowMs: number): number {
    const changes = this.#tenant.changesSince(this.#horizon)
    for (const { number, id, what } of changes) {
      const isSeen =
        this.#tenant.isVisible(id, nowMs) && (typeof what === 'string' || this.#tenant.isVisible(what.member, nowMs))
      if (!isSeen) break
      this.#horizon = number
    }
    return this.#horizon
  }

  #apply({ number, kind, id, what }: Change): void {
    if (what === 'removed') {
      this.#remove(kind, id)
      return
    }
    const object = this.#tenant.object(id)
    if (object !== undefined) this.#keep(object)
    if (what === 'properties') return
    this.#membersChanged.set(id, number)
    if (what.isRemoved) this.#groupsOf.get(what.member)?.delete(id)
    else this.#join(id, what.member)
  }

  #keep({ id, kind, properties }: DirectoryObject): void {
    if (!this.#known.has(id)) {
      this.#known.add(id)
      this.#ids[kind].push(id)
    }
    if (!this.#present.has(id)) {
      this.#present.add(id)
      this.#counts[kind]++
    }
    if (kind === 'user') this.#name(id, properties['userPrincipalName'])
    const types = properties['groupTypes']
    if (kind === 'group' && Array.isArray(types) && types.includes('Unified')) this.#unified.add(id)
  }

  #name(id: string, name: unknown): void {
    const folded = typeof name === 'string' ? name.toLowerCase() : undefined
    const before = this.#nameOfUser.get(id)
    if (folded === before) return
    if (before !== undefined && this.#userByName.get(before) === id) this.#userByName.delete(before)
    if (folded === undefined) {
      this.#nameOfUser.delete(id)
      return
    }
    this.#nameOfUser.set(id, folded)
    this.#userByName.set(folded, id)
  }

  #join(group: string, member: string): void {
    const groups = this.#groupsOf.get(member)
    if (groups === undefined) this.#groupsOf.set(member, new Set([group]))
    else groups.add(group)
  }

  #remove(kind: DirectoryKind, id: string): void {
    // It may be there again by now: later changes in the log say so.
    if (this.#present.delete(id)) this.#counts[kind]--
    if (kind === 'user') this.#name(id, undefined)
    if (kind !== 'group') return
    for (const groups of this.#groupsOf.values()) groups.delete(id)
  }
}
