// Which members of an entity an answer shows: those selected, or those that Graph shows when nothing is selected; hidden ones are empty for a caller
// who may not see them. Worked out once for each type and selection, since a discovery asks for a hundred thousand objects alike.
import type { GraphSchema } from '../contract/graph-schema.ts'
import type { Entity } from './entity.ts'
import { EntityTypes } from './entity-types.ts'
import { GraphFault } from './graph-error.ts'
import { DEFAULT_MEMBERS } from './default-members.ts'
import { BASIC_MEMBERS } from './sight.ts'
import type { Sight } from './sight.ts'

export interface Shown {
  /** Members named by `$select`; undefined: the default ones. */
  readonly select: readonly string[] | undefined
  /** The list is of a wider type than its entities: each says what it is. */
  readonly isTyped: boolean
  /** Members without a value are left out: the first round of a delta. */
  readonly isSparse?: boolean
  /** `id` is shown even when it wasn't selected. */
  readonly alwaysId?: boolean
}

interface Plan {
  readonly members: readonly PlannedMember[]
  readonly showsId: boolean
}

interface PlannedMember {
  readonly name: string
  /** Shown in place of a missing value; undefined: the member is left out then. */
  readonly empty: null | readonly [] | undefined
}

const MAX_PLANS = 1_000
const EMPTY = [] as const

export class Projections {
  readonly types: EntityTypes
  readonly #plans = new Map<string, Plan>()

  constructor(schema: GraphSchema) {
    this.types = new EntityTypes(schema)
  }

  show({ kind, id, properties }: Entity, shown: Shown, sight: Sight): Record<string, unknown> {
    const { members, showsId } = this.#plan(kind, shown.select)
    const result: Record<string, unknown> = {}
    if (shown.isTyped) result['@odata.type'] = `#microsoft.graph.${kind}`
    if (showsId || shown.alwaysId === true) result['id'] = id
    for (const { name, empty } of members) {
      const isHidden = sight === 'id' || (sight === 'basic' && !BASIC_MEMBERS.has(name))
      const value = isHidden ? undefined : properties[name]
      if (value !== undefined) result[name] = value
      else if (empty !== undefined && shown.isSparse !== true) result[name] = empty
    }
    return result
  }

  /** @throws GraphFault 400 when no type of these has such a member */
  check(types: readonly string[], select: readonly string[]): void {
    const unknown = select.find((name) => !types.some((type) => this.types.hasMember(type, name)))
    if (unknown === undefined) return
    const message = `Could not find a property named '${unknown.slice(0, 100)}' on type 'microsoft.graph.${types[0]}'.`
    throw new GraphFault(400, 'BadRequest', `Parsing OData Select and Expand failed: ${message}`)
  }

  #plan(kind: string, select: readonly string[] | undefined): Plan {
    const key = `${kind} ${select?.join() ?? '*'}`
    const known = this.#plans.get(key)
    if (known !== undefined) return known
    const members = this.types.members(kind)
    const names = select ?? DEFAULT_MEMBERS[kind] ?? [...members.keys()]
    const planned: PlannedMember[] = []
    for (const name of new Set(names)) {
      const type = members.get(name)
      if (name === 'id' || type === undefined) continue
      const empty = type.isCollection ? EMPTY : type.isNullable ? null : undefined
      planned.push({ name, empty })
    }
    const plan = { members: planned, showsId: select === undefined || select.includes('id') }
    if (this.#plans.size >= MAX_PLANS) this.#plans.clear()
    this.#plans.set(key, plan)
    return plan
  }
}
