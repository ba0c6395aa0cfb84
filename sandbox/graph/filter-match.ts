// Whether an object is one that a filter means. Strings compare without case, as in the directory; a member without a value is null.
import type { Comparison, Filter, Literal, MemberPath } from './query-filter.ts'

/** @param value  the object's members by name, `id` among them */
export function isMatch(filter: Filter, value: unknown): boolean {
  switch (filter.kind) {
    case 'and':
      return isMatch(filter.left, value) && isMatch(filter.right, value)
    case 'or':
      return isMatch(filter.left, value) || isMatch(filter.right, value)
    case 'not':
      return !isMatch(filter.operand, value)
    case 'compare':
      return compares(valueAt(value, filter.path), filter.operator, filter.value)
    case 'in': {
      const found = valueAt(value, filter.path)
      return filter.values.some((each) => compares(found, 'eq', each))
    }
    case 'startswith':
    case 'endswith': {
      const found = valueAt(value, filter.path)
      if (typeof found !== 'string') return false
      const [text, part] = [found.toLowerCase(), filter.value.toLowerCase()]
      return filter.kind === 'startswith' ? text.startsWith(part) : text.endsWith(part)
    }
    case 'any': {
      const found = valueAt(value, filter.path)
      return (
        Array.isArray(found) && found.some((item: unknown) => isMatch(filter.condition, { [filter.variable]: item }))
      )
    }
    default:
      return filter satisfies never
  }
}

function valueAt(value: unknown, path: MemberPath): unknown {
  let found = value
  for (const name of path) {
    if (name === '$count') return Array.isArray(found) ? found.length : 0
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    found = (found as Record<string, unknown>)[name]
  }
  return found
}

function compares(found: unknown, operator: Comparison, literal: Literal): boolean {
  if (operator === 'ne') return !compares(found, 'eq', literal)
  if (literal.kind === 'null') return operator === 'eq' && (found === undefined || found === null)
  const order = orderOf(found, literal)
  switch (operator) {
    case 'eq':
      return order === 0
    case 'ge':
      return order >= 0
    case 'le':
      return order <= 0
    default:
      return operator satisfies never
  }
}

/** NaN: they don't compare. */
function orderOf(found: unknown, literal: Exclude<Literal, { kind: 'null' }>): number {
  switch (literal.kind) {
    case 'string':
    case 'guid': {
      if (typeof found !== 'string') return Number.NaN
      const [one, other] = [found.toLowerCase(), literal.value.toLowerCase()]
      return one < other ? -1 : one > other ? 1 : 0
    }
    case 'number':
      return typeof found === 'number' ? found - literal.value : Number.NaN
    case 'boolean':
      return typeof found === 'boolean' ? Number(found) - Number(literal.value) : Number.NaN
    case 'date':
      return typeof found === 'string' ? Date.parse(found) - literal.value : Number.NaN
    default:
      return literal satisfies never
  }
}
