// Finds the template that a path is of: most literal segments win, then the shorter template.
import { parameterValue, parsePath, parseTemplate } from './path-template.ts'
import type { CallParameter, PathSegment, TemplateSegment } from './path-template.ts'

export interface PathMatch<T> {
  readonly template: string
  readonly entry: T
  /** By the template's names: `user-id`, `period`. */
  readonly parameters: Readonly<Record<string, string>>
}

interface Node<T> {
  readonly literals: Map<string, Node<T>>
  readonly functions: Map<string, Node<T>>
  readonly calls: { readonly name: string; readonly parameters: readonly CallParameter[]; readonly next: Node<T> }[]
  readonly parameters: { readonly parameter: Parameter; readonly next: Node<T> }[]
  leaf?: { readonly template: string; readonly entry: T }
}

type Parameter = Extract<TemplateSegment, { kind: 'parameter' }>

interface Candidate<T> {
  readonly leaf: { readonly template: string; readonly entry: T }
  readonly literals: number
  readonly values: readonly (readonly [string, string])[]
}

export class PathIndex<T> {
  readonly #root: Node<T> = newNode()

  /** @throws when the template is here already */
  add(template: string, entry: T): void {
    let node = this.#root
    for (const segment of parseTemplate(template)) node = childFor(node, segment)
    if (node.leaf !== undefined) throw new Error(`${template} is there twice`)
    node.leaf = { template, entry }
  }

  /** @param path  percent-encoded */
  find(path: string): PathMatch<T> | undefined {
    const segments = parsePath(path)
    if (segments === undefined) return undefined
    let best: Candidate<T> | undefined
    for (const candidate of walk(this.#root, segments, 0, 0, [])) {
      if (best === undefined || isBetter(candidate, best)) best = candidate
    }
    return best && { ...best.leaf, parameters: Object.fromEntries(best.values) }
  }
}

function isBetter<T>(one: Candidate<T>, other: Candidate<T>): boolean {
  if (one.literals !== other.literals) return one.literals > other.literals
  return one.leaf.template.length < other.leaf.template.length
}

/** Every way in which the segments from `at` on lead to a leaf. The templates bound it, not the path. */
function* walk<T>(
  node: Node<T>,
  segments: readonly PathSegment[],
  at: number,
  literals: number,
  values: Candidate<T>['values'],
): Generator<Candidate<T>> {
  const segment = segments[at]
  if (segment === undefined) {
    if (node.leaf !== undefined) yield { leaf: node.leaf, literals, values }
    return
  }
  const { folded, name, key } = segment
  const literal = node.literals.get(folded)
  if (literal !== undefined) yield* walk(literal, segments, at + 1, literals + 1, values)
  const named = node.functions.get(
    folded.endsWith('()') ? withoutNamespace(folded.slice(0, -2)) : withoutNamespace(folded),
  )
  if (named !== undefined) yield* walk(named, segments, at + 1, literals + 1, values)
  const keyed = key === undefined || key === '' ? undefined : node.literals.get(name)
  if (keyed !== undefined && key !== undefined) {
    for (const { parameter, next } of keyed.parameters) {
      if (parameter.isTrail || parameter.endsInColon) continue
      yield* walk(next, segments, at + 1, literals + 1, [...values, [parameter.name, key]])
    }
  }
  for (const call of node.calls) {
    const given = argumentsFor(call, segment)
    if (given !== undefined) yield* walk(call.next, segments, at + 1, literals + 1, [...values, ...given])
  }
  for (const { parameter, next } of node.parameters) {
    if (parameter.isTrail) {
      const trail = trailFrom(segments, at, parameter.endsInColon)
      if (trail !== undefined)
        yield* walk(next, segments, trail.end, literals, [...values, [parameter.name, trail.value]])
      continue
    }
    const value = parameterValue(parameter, segment)
    if (value !== undefined) yield* walk(next, segments, at + 1, literals, [...values, [parameter.name, value]])
  }
}

/** Up to the colon that ends it, or to the end of the path; a path of items holds no other colon. */
function trailFrom(
  segments: readonly PathSegment[],
  at: number,
  endsInColon: boolean,
): { value: string; end: number } | undefined {
  const parts: string[] = []
  for (let end = at; end < segments.length; end++) {
    const text = segments[end]?.text ?? ''
    const colon = text.indexOf(':')
    if (colon === -1) {
      parts.push(text)
      continue
    }
    const isEnd = endsInColon && colon === text.length - 1 && colon > 0
    return isEnd ? { value: [...parts, text.slice(0, -1)].join('/'), end: end + 1 } : undefined
  }
  return endsInColon ? undefined : { value: parts.join('/'), end: segments.length }
}

function argumentsFor(
  call: { readonly name: string; readonly parameters: readonly CallParameter[] },
  { name, arguments: given }: PathSegment,
): (readonly [string, string])[] | undefined {
  if (given === undefined || given.size !== call.parameters.length || withoutNamespace(name) !== call.name)
    return undefined
  const values: (readonly [string, string])[] = []
  for (const parameter of call.parameters) {
    const argument = given.get(parameter.name)
    if (argument === undefined || argument.isQuoted !== parameter.isQuoted) return undefined
    values.push([parameter.placeholder, argument.value])
  }
  return values
}

function withoutNamespace(name: string): string {
  return name.startsWith('graph.') ? name.slice('graph.'.length) : name
}

function childFor<T>(node: Node<T>, segment: TemplateSegment): Node<T> {
  switch (segment.kind) {
    case 'literal':
      return childNamed(node.literals, segment.text)
    case 'function':
      return childNamed(node.functions, segment.name)
    case 'call': {
      const { name, parameters } = segment
      const isSame = (call: { name: string; parameters: readonly CallParameter[] }) =>
        call.name === name && JSON.stringify(call.parameters) === JSON.stringify(parameters)
      const known = node.calls.find(isSame)
      if (known !== undefined) return known.next
      const next = newNode<T>()
      node.calls.push({ name, parameters, next })
      return next
    }
    case 'parameter': {
      const known = node.parameters.find(
        ({ parameter }) => parameter.name === segment.name && parameter.endsInColon === segment.endsInColon,
      )
      if (known !== undefined) return known.next
      const next = newNode<T>()
      node.parameters.push({ parameter: segment, next })
      return next
    }
    default:
      return segment satisfies never
  }
}

function childNamed<T>(children: Map<string, Node<T>>, name: string): Node<T> {
  let child = children.get(name)
  if (child === undefined) {
    child = newNode()
    children.set(name, child)
  }
  return child
}

function newNode<T>(): Node<T> {
  return { literals: new Map(), functions: new Map(), calls: [], parameters: [] }
}
