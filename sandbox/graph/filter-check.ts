// Whether a filter fits the published types: its members exist, its literals are of their types, collections are asked by `any` alone.
import type { EntityTypes, MemberType } from './entity-types.ts'
import { GraphFault } from './graph-error.ts'
import type { Filter, Literal, MemberPath } from './query-filter.ts'

/**
 * @param types  published types of what is filtered: a member has to be one of any of them
 * @throws GraphFault 400
 */
export function checkFilter(filter: Filter, types: readonly string[], known: EntityTypes): void {
  check(filter, (path) => typeOf(path, types, known))
}

type TypeOf = (path: MemberPath) => MemberType

function check(filter: Filter, typeOfPath: TypeOf): void {
  switch (filter.kind) {
    case 'and':
    case 'or':
      check(filter.left, typeOfPath)
      check(filter.right, typeOfPath)
      return
    case 'not':
      check(filter.operand, typeOfPath)
      return
    case 'compare':
      checkLiterals(filter.path, typeOfPath(filter.path), [filter.value])
      return
    case 'in':
      checkLiterals(filter.path, typeOfPath(filter.path), filter.values)
      return
    case 'startswith':
    case 'endswith':
      checkLiterals(filter.path, typeOfPath(filter.path), [{ kind: 'string', value: filter.value }])
      return
    case 'any': {
      const { name, isCollection } = typeOfPath(filter.path)
      if (!isCollection) throw invalid("'any' is asked of collections")
      check(filter.condition, ([, ...rest]) => {
        const item: MemberType = { name, isCollection: false, isNullable: false }
        return rest.length === 0 ? item : typeOfPath([...filter.path, ...rest])
      })
      return
    }
    default:
      filter satisfies never
  }
}

function typeOf(path: MemberPath, types: readonly string[], known: EntityTypes): MemberType {
  for (const type of types) {
    const found = typeWithin(type, path, known)
    if (found !== undefined) return found
  }
  const named = path.join('/').slice(0, 100)
  throw invalid(`Could not find a property named '${named}' on type 'microsoft.graph.${types[0]}'`)
}

function typeWithin(type: string, path: MemberPath, known: EntityTypes): MemberType | undefined {
  let at: MemberType = { name: type, isCollection: false, isNullable: false }
  for (const [index, member] of path.entries()) {
    const isLast = index === path.length - 1
    if (member === '$count') {
      return isLast && at.isCollection ? { name: 'Int32', isCollection: false, isNullable: false } : undefined
    }
    const next = known.members(at.name).get(member)
    if (next === undefined) return undefined
    at = next
  }
  return at
}

function checkLiterals(path: MemberPath, type: MemberType, values: readonly Literal[]): void {
  const named = path.join('/').slice(0, 100)
  if (type.isCollection) throw invalid(`the collection '${named}' is asked by 'any'`)
  for (const { kind } of values) {
    if (kind === 'null' || LITERALS[kind].test(type.name)) continue
    throw invalid(`a binary operator with incompatible types was detected for '${named}'`)
  }
}

/** Which published types take a literal; a string also stands for an identifier and for a member of an enumeration. */
const LITERALS: Readonly<Record<Exclude<Literal['kind'], 'null'>, RegExp>> = {
  string: /^(?:String|Guid|[a-z]\w*)$/,
  number: /^(?:Int16|Int32|Int64|Decimal|Double|Single|Byte)$/,
  boolean: /^Boolean$/,
  guid: /^(?:Guid|String)$/,
  date: /^(?:DateTimeOffset|Date)$/,
}

function invalid(reason: string): GraphFault {
  return new GraphFault(400, 'BadRequest', `Invalid filter clause: ${reason}.`)
}
