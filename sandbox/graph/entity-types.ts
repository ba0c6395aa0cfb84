// The published types of what Graph answers with: which members there are, and of which type. Looked up often, so worked out once.
import type { GraphSchema } from '../contract/graph-schema.ts'

export interface MemberType {
  /** Without `Collection()` and without `!`: `String`, `assignedLicense`. */
  readonly name: string
  readonly isCollection: boolean
  readonly isNullable: boolean
}

export class EntityTypes {
  readonly #schema: GraphSchema
  readonly #members = new Map<string, ReadonlyMap<string, MemberType>>()

  constructor(schema: GraphSchema) {
    this.#schema = schema
  }

  /** Properties, with those of the type's bases; none for a type that isn't published. */
  members(type: string): ReadonlyMap<string, MemberType> {
    let members = this.#members.get(type)
    if (members === undefined) {
      members = new Map([...this.#schema.propertyTypes(type)].map(([name, text]) => [name, parseType(text)]))
      this.#members.set(type, members)
    }
    return members
  }

  /** A property, or a relation to other entities. */
  hasMember(type: string, name: string): boolean {
    return this.members(type).has(name) || this.#schema.selectable(type)?.has(name) === true
  }
}

function parseType(text: string): MemberType {
  const isNullable = !text.endsWith('!')
  const bare = isNullable ? text : text.slice(0, -1)
  const [, element] = /^Collection\((.*)\)$/.exec(bare) ?? []
  return { name: element ?? bare, isCollection: element !== undefined, isNullable }
}
