// What Graph answers with: an entity of a published type with its members. Directory objects are entities as they are.

export interface Entity {
  /** Published type without namespace: `user`, `domain`. */
  readonly kind: string
  readonly id: string
  /** Members that have a value. `id` is not among them. */
  readonly properties: Readonly<Record<string, unknown>>
}

export function entity(kind: string, id: string, properties: Entity['properties']): Entity {
  return { kind, id, properties }
}

/** Entities by position; holes are what is gone, or not yet seen by readers. */
export interface Collection {
  readonly length: number
  at(position: number): Entity | undefined
}

export function collectionOf(entities: readonly Entity[]): Collection {
  return { length: entities.length, at: (position) => entities[position] }
}
