// A simulated tenant in motion: its objects, and the log of what changed, which delta queries read. Changes go through here and nowhere else.
import { isDeepStrictEqual } from 'node:util'
import type { DirectoryObject, ExchangeObject, Recipient, TenantData } from './objects.ts'

/** What a delta tells: which object, and what of it. */
export interface Change {
  /** Dense, from 1. Delta tokens are such numbers. */
  readonly number: number
  readonly kind: DirectoryObject['kind']
  readonly id: string
  readonly what: 'properties' | 'removed' | { readonly member: string; readonly isRemoved: boolean }
}

/** One change as it was asked for. Made again in the same order they give the same tenant with the same change numbers. */
export type TenantOperation =
  | { readonly op: 'put-object'; readonly object: DirectoryObject; readonly visibleAtMs: number }
  | { readonly op: 'remove-object'; readonly id: string }
  | { readonly op: 'put-recipient'; readonly recipient: Recipient; readonly visibleAtMs: number }
  | { readonly op: 'remove-recipient'; readonly guid: string }
  | { readonly op: 'put-exchange-object'; readonly object: ExchangeObject; readonly visibleAtMs: number }
  | { readonly op: 'remove-exchange-object'; readonly guid: string }
  | { readonly op: 'set-data'; readonly data: TenantSettings }
  | { readonly op: 'reset-deltas' }

/** What is told of a tenant as a whole. */
export type TenantSettings = Omit<TenantData, 'objects' | 'recipients' | 'exchangeObjects'>

/** What there is beside the data: with it, delta links stay good after a restart. */
export interface TenantMotion {
  readonly changes: readonly Change[]
  readonly oldestDelta: number
  /** `[id, visible from, ms since the epoch]` */
  readonly appearing: readonly (readonly [string, number])[]
}

/** What is there later than it is made: readers before `atMs` don't see it. */
interface Appearing {
  readonly atMs: number
}

export class SimulatedTenant {
  readonly id: string
  #data: TenantSettings
  readonly #objects = new Map<string, DirectoryObject>()
  readonly #recipients = new Map<string, Recipient>()
  readonly #recipientOf = new Map<string, Recipient>()
  readonly #exchangeObjects = new Map<string, ExchangeObject>()
  readonly #appearing = new Map<string, Appearing>()
  readonly #changes: Change[]
  readonly #recipientChanges: string[] = []
  #oldestDelta: number
  #onChange: (operation: TenantOperation) => void = () => {}

  /** @param motion  of an earlier run; default: nothing has changed yet */
  constructor({ objects, recipients, exchangeObjects, ...data }: TenantData, motion?: TenantMotion) {
    this.id = data.id
    this.#data = data
    this.#changes = [...(motion?.changes ?? [])]
    this.#oldestDelta = motion?.oldestDelta ?? 0
    for (const [id, atMs] of motion?.appearing ?? []) this.#appearing.set(id, { atMs })
    for (const object of objects) this.#objects.set(object.id, object)
    for (const recipient of recipients) this.#keepRecipient(recipient)
    for (const object of exchangeObjects) this.#exchangeObjects.set(object.guid, object)
  }

  /** What changes by nobody's doing but an operator's: names, domains, licences, administrators. */
  get data(): TenantSettings {
    return this.#data
  }

  set data(data: TenantSettings) {
    this.#data = data
    this.#onChange({ op: 'set-data', data })
  }

  /** Told of every change once it is made, to save it. */
  set onChange(listener: (operation: TenantOperation) => void) {
    this.#onChange = listener
  }

  toMotion(): TenantMotion {
    return {
      changes: this.#changes,
      oldestDelta: this.#oldestDelta,
      appearing: [...this.#appearing].map(([id, { atMs }]) => [id, atMs]),
    }
  }

  /** Makes a change again. */
  apply(operation: TenantOperation): void {
    switch (operation.op) {
      case 'put-object':
        return this.putObject(operation.object, operation.visibleAtMs)
      case 'remove-object':
        return this.removeObject(operation.id)
      case 'put-recipient':
        return this.putRecipient(operation.recipient, operation.visibleAtMs)
      case 'remove-recipient':
        return this.removeRecipient(operation.guid)
      case 'put-exchange-object':
        return this.putExchangeObject(operation.object, operation.visibleAtMs)
      case 'remove-exchange-object':
        return this.removeExchangeObject(operation.guid)
      case 'set-data':
        this.data = operation.data
        return
      case 'reset-deltas':
        return this.resetDeltas()
      default:
        return operation satisfies never
    }
  }

  toData(): TenantData {
    return {
      ...this.data,
      objects: [...this.#objects.values()],
      recipients: [...this.#recipients.values()],
      exchangeObjects: [...this.#exchangeObjects.values()],
    }
  }

  object(id: string): DirectoryObject | undefined {
    return this.#objects.get(id)
  }

  /** In the order in which they were made. */
  objects(kind: DirectoryObject['kind']): Iterable<DirectoryObject> {
    return this.#objects.values().filter((object) => object.kind === kind)
  }

  objectCount(kind: DirectoryObject['kind']): number {
    let count = 0
    for (const object of this.#objects.values()) if (object.kind === kind) count++
    return count
  }

  recipient(guid: string): Recipient | undefined {
    return this.#recipients.get(guid)
  }

  /** Of a directory object. */
  recipientOf(objectId: string): Recipient | undefined {
    return this.#recipientOf.get(objectId)
  }

  recipients(): Iterable<Recipient> {
    return this.#recipients.values()
  }

  exchangeObject(guid: string): ExchangeObject | undefined {
    return this.#exchangeObjects.get(guid)
  }

  exchangeObjects(noun: string): readonly ExchangeObject[] {
    return [...this.#exchangeObjects.values()].filter((object) => object.noun === noun)
  }

  /** Whether readers see it by now. */
  isVisible(id: string, nowMs: number): boolean {
    return (this.#appearing.get(id)?.atMs ?? 0) <= nowMs
  }

  get lastChange(): number {
    return this.#changes.length
  }

  /** Tokens below it are answered 410. */
  get oldestDelta(): number {
    return this.#oldestDelta
  }

  /** After number `after`, oldest first. */
  changesSince(after: number): readonly Change[] {
    return this.#changes.slice(after)
  }

  get lastRecipientChange(): number {
    return this.#recipientChanges.length
  }

  /** Guids of the recipients put or removed after number `after`, for who keeps an index of them. */
  recipientChangesSince(after: number): readonly string[] {
    return after === this.#recipientChanges.length ? [] : this.#recipientChanges.slice(after)
  }

  /** @param visibleAtMs  from when on readers see a new one */
  putObject(object: DirectoryObject, visibleAtMs = 0): void {
    const before = this.#objects.get(object.id)
    this.#objects.set(object.id, object)
    if (visibleAtMs > 0) this.#appearing.set(object.id, { atMs: visibleAtMs })
    if (before === undefined || isAltered(before, object))
      this.#log({ kind: object.kind, id: object.id, what: 'properties' })
    if (before?.members !== object.members) this.#logMembers(object, before?.members ?? [])
    this.#onChange({ op: 'put-object', object, visibleAtMs })
  }

  removeObject(id: string): void {
    const object = this.#objects.get(id)
    if (object === undefined) return
    this.#objects.delete(id)
    this.#log({ kind: object.kind, id, what: 'removed' })
    for (const other of this.#objects.values()) this.#forget(id, other)
    const recipient = this.#recipientOf.get(id)
    if (recipient !== undefined) this.#dropRecipient(recipient.guid)
    this.#onChange({ op: 'remove-object', id })
  }

  putRecipient(recipient: Recipient, visibleAtMs = 0): void {
    if (visibleAtMs > 0) this.#appearing.set(recipient.guid, { atMs: visibleAtMs })
    this.#keepRecipient(recipient)
    this.#recipientChanges.push(recipient.guid)
    this.#onChange({ op: 'put-recipient', recipient, visibleAtMs })
  }

  removeRecipient(guid: string): void {
    this.#dropRecipient(guid)
    this.#onChange({ op: 'remove-recipient', guid })
  }

  putExchangeObject(object: ExchangeObject, visibleAtMs = 0): void {
    if (visibleAtMs > 0) this.#appearing.set(object.guid, { atMs: visibleAtMs })
    this.#exchangeObjects.set(object.guid, object)
    this.#onChange({ op: 'put-exchange-object', object, visibleAtMs })
  }

  removeExchangeObject(guid: string): void {
    this.#exchangeObjects.delete(guid)
    this.#onChange({ op: 'remove-exchange-object', guid })
  }

  /** Every token given so far is answered 410 from now on. */
  resetDeltas(): void {
    this.#oldestDelta = this.#changes.length + 1
    this.#log({ kind: 'user', id: '', what: 'properties' })
    this.#onChange({ op: 'reset-deltas' })
  }

  /** Whoever had the removed object as member, owner or manager has it no more. */
  #forget(id: string, other: DirectoryObject): void {
    if (other.manager === id) {
      const { manager: _, ...rest } = other
      this.#objects.set(other.id, rest)
    }
    const isMember = other.members.includes(id)
    if (!isMember && !other.owners.includes(id)) return
    const without = (ids: readonly string[]) => ids.filter((each) => each !== id)
    this.#objects.set(other.id, { ...other, members: without(other.members), owners: without(other.owners) })
    if (isMember) this.#log({ kind: other.kind, id: other.id, what: { member: id, isRemoved: true } })
  }

  #logMembers({ kind, id, members }: DirectoryObject, before: readonly string[]): void {
    const was = new Set(before)
    const is = new Set(members)
    for (const member of is) if (!was.has(member)) this.#log({ kind, id, what: { member, isRemoved: false } })
    for (const member of was) if (!is.has(member)) this.#log({ kind, id, what: { member, isRemoved: true } })
  }

  #dropRecipient(guid: string): void {
    const recipient = this.#recipients.get(guid)
    if (recipient?.externalDirectoryObjectId !== undefined)
      this.#recipientOf.delete(recipient.externalDirectoryObjectId)
    this.#recipients.delete(guid)
    this.#recipientChanges.push(guid)
  }

  #keepRecipient(recipient: Recipient): void {
    this.#recipients.set(recipient.guid, recipient)
    const { externalDirectoryObjectId: id } = recipient
    if (id !== undefined) this.#recipientOf.set(id, recipient)
  }

  #log(change: Omit<Change, 'number'>): void {
    this.#changes.push({ number: this.#changes.length + 1, ...change })
  }
}

function isAltered(before: DirectoryObject, after: DirectoryObject): boolean {
  // By value: what was read back from a file is never the same object.
  return before.manager !== after.manager || !isDeepStrictEqual(before.properties, after.properties)
}
