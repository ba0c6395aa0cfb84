// Who has moved from tenant to tenant, and what both held before: changes the tenants, and changes them back. Kept, where the sandbox has a directory.
import { isDeepStrictEqual } from 'node:util'
import type { AddressBook } from '../mail-flow/address-book.ts'
import type { KeptFile } from '../tenants/kept-file.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { mailboxKey, mailboxOf } from './correspondent.ts'
import { movedPerson } from './move-person.ts'
import type { MovedObjects } from './move-person.ts'

/** Somebody by any address of his. */
interface Somebody {
  readonly book: AddressBook
  readonly address: string
}

/** Keys of the mailboxes. */
interface Keys {
  readonly sourceKey: string
  readonly targetKey: string
}

interface Move extends Keys {
  /** The mailbox is there before anything points at it. */
  readonly changed: readonly {
    readonly tenantId: string
    readonly before: MovedObjects
    readonly after: MovedObjects
  }[]
}

export type KeptMoves = readonly Move[]

export interface PersonMovesDeps {
  readonly tenants: ReadonlyMap<string, SimulatedTenant>
  readonly nowMs: () => number
  readonly guid: () => string
  readonly movesFile?: KeptFile<KeptMoves> | undefined
}

export class PersonMoves {
  readonly #deps: PersonMovesDeps
  /** By key of the source's mailbox. */
  readonly #moves: Map<string, Move>

  constructor(deps: PersonMovesDeps) {
    this.#deps = deps
    this.#moves = new Map((deps.movesFile?.load() ?? []).map((move) => [move.sourceKey, move]))
  }

  /** @throws RangeError: such a move is none */
  move(from: Somebody, to: Somebody): Keys & { readonly routingAddress: string } {
    const nowMs = this.#deps.nowMs()
    const [source, target] = [from.book.tenant, to.book.tenant]
    if (source.id === target.id) throw new RangeError('a move goes to another tenant')
    const leaver = mailboxOf(from.book, from.address, nowMs)
    const arriver = to.book.find(to.address, nowMs)
    if (arriver === undefined) throw new RangeError('who moves is unknown in the other tenant')
    const places = [
      { book: from.book, recipient: leaver },
      { book: to.book, recipient: arriver },
    ] as const
    const moved = movedPerson(...places, nowMs, this.#deps.guid)
    const move: Move = {
      sourceKey: mailboxKey(source.id, leaver.guid),
      targetKey: mailboxKey(target.id, arriver.guid),
      changed: [
        { tenantId: target.id, before: objectsOf(target, arriver.guid), after: moved.target },
        { tenantId: source.id, before: objectsOf(source, leaver.guid), after: moved.source },
      ],
    }
    this.#moves.set(move.sourceKey, move)
    // First, so that a move of which half was made can be undone.
    this.#keep()
    put(target, moved.target)
    put(source, moved.source)
    return { ...move, routingAddress: moved.routingAddress }
  }

  /** @throws RangeError: he has not moved, or was changed after it */
  back({ book, address }: Somebody): Keys {
    const guid = book.find(address, this.#deps.nowMs())?.guid ?? ''
    const move = this.#moves.get(mailboxKey(book.tenant.id, guid))
    if (move === undefined) throw new RangeError('who should move back has not moved')
    const undone = move.changed.map(({ tenantId, before, after }) => {
      const tenant = this.#deps.tenants.get(tenantId)
      if (tenant === undefined) throw new RangeError('there is no such tenant')
      const now = objectsOf(tenant, after.recipient.guid)
      if (!isSame(now, after) && !isSame(now, before))
        throw new RangeError('who should move back was changed since he moved')
      return { tenant, before }
    })
    for (const { tenant, before } of undone.toReversed()) put(tenant, before)
    this.#moves.delete(move.sourceKey)
    this.#keep()
    return move
  }

  #keep(): void {
    this.#deps.movesFile?.save([...this.#moves.values()])
  }
}

function objectsOf(tenant: SimulatedTenant, guid: string): MovedObjects {
  const recipient = tenant.recipient(guid)
  if (recipient === undefined) throw new RangeError('who moves was removed')
  return { recipient, object: tenant.object(recipient.externalDirectoryObjectId ?? '') }
}

/** Read back from a file, what is absent is not even undefined. */
function isSame(one: MovedObjects, other: MovedObjects): boolean {
  return isDeepStrictEqual(one.recipient, other.recipient) && isDeepStrictEqual(one.object, other.object)
}

function put(tenant: SimulatedTenant, { recipient, object }: MovedObjects): void {
  if (object !== undefined) tenant.putObject(object)
  tenant.putRecipient(recipient)
}
