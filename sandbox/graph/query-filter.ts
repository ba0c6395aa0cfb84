// Reads `$filter` (OData 4.01 §5.1.1, the part that directory objects support): eq, ne, ge, le, in, startswith, endswith, any(), and, or, not. What
// isn't among it is refused, as Graph refuses it.
import { GraphFault } from './graph-error.ts'

export type Literal =
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'guid'; readonly value: string }
  /** ms since the epoch */
  | { readonly kind: 'date'; readonly value: number }
  | { readonly kind: 'null'; readonly value: null }

export const COMPARISONS = ['eq', 'ne', 'ge', 'le'] as const
export type Comparison = (typeof COMPARISONS)[number]

/** Members from outside to inside; within `any` the first is its variable. The last may be `$count`. */
export type MemberPath = readonly string[]

export type Filter =
  | { readonly kind: 'and' | 'or'; readonly left: Filter; readonly right: Filter }
  | { readonly kind: 'not'; readonly operand: Filter }
  | { readonly kind: 'compare'; readonly path: MemberPath; readonly operator: Comparison; readonly value: Literal }
  | { readonly kind: 'in'; readonly path: MemberPath; readonly values: readonly Literal[] }
  | { readonly kind: 'startswith' | 'endswith'; readonly path: MemberPath; readonly value: string }
  | { readonly kind: 'any'; readonly path: MemberPath; readonly variable: string; readonly condition: Filter }

const MAX_LENGTH = 8_192
const MAX_DEPTH = 32
/** Of one `in`, and of the comparisons in one expression. */
const MAX_TERMS = 100

const TOKEN =
  /\s+|(?<text>'(?:[^']|'')*')|(?<date>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))|(?<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})|(?<number>-?\d+(?:\.\d+)?)|(?<word>\$?[A-Za-z_][\w]*)|(?<sign>[()/,:])/gy

interface Token {
  readonly kind: 'text' | 'date' | 'guid' | 'number' | 'word' | 'sign' | 'end'
  readonly text: string
  readonly at: number
}

/** @throws GraphFault 400 */
export function parseFilter(text: string): Filter {
  if (text.length > MAX_LENGTH) throw invalid('the expression is too long')
  const parser = new Parser(tokenize(text))
  const filter = parser.expression(0)
  parser.end()
  return filter
}

/** Whether it takes `ConsistencyLevel: eventual` and `$count=true` ("Advanced query capabilities on directory objects"). */
export function isAdvanced(filter: Filter): boolean {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return isAdvanced(filter.left) || isAdvanced(filter.right)
    case 'compare':
      return filter.operator === 'ne' || filter.path.includes('$count')
    case 'any':
      return isAdvanced(filter.condition)
    case 'not':
    case 'endswith':
      return true
    case 'in':
    case 'startswith':
      return false
    default:
      return filter satisfies never
  }
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex
    const found = TOKEN.exec(text)
    if (found === null) throw invalid(`syntax error at position ${at}`)
    const [kind, value] = Object.entries(found.groups ?? {}).find(([, each]) => each !== undefined) ?? []
    if (kind !== undefined && value !== undefined) tokens.push({ kind: kind as Token['kind'], text: value, at })
  }
  tokens.push({ kind: 'end', text: '', at: text.length })
  return tokens
}

class Parser {
  readonly #tokens: readonly Token[]
  #next = 0
  #terms = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  expression(depth: number): Filter {
    let left = this.#conjunction(depth)
    while (this.#takeWord('or')) left = { kind: 'or', left, right: this.#conjunction(depth) }
    return left
  }

  end(): void {
    if (this.#peek().kind !== 'end') throw this.#unexpected()
  }

  #conjunction(depth: number): Filter {
    let left = this.#unary(depth)
    while (this.#takeWord('and')) left = { kind: 'and', left, right: this.#unary(depth) }
    return left
  }

  #unary(depth: number): Filter {
    if (depth > MAX_DEPTH) throw invalid('the expression is nested too deep')
    if (++this.#terms > MAX_TERMS) throw invalid('the expression has too many terms')
    // `not` binds closer than a comparison's words: it takes what stands in parentheses, or one predicate.
    if (this.#takeWord('not')) return { kind: 'not', operand: this.#unary(depth + 1) }
    if (this.#takeSign('(')) {
      const inner = this.expression(depth + 1)
      this.#expectSign(')')
      return inner
    }
    return this.#predicate(depth)
  }

  #predicate(depth: number): Filter {
    const first = this.#word()
    if (this.#takeSign('(')) return this.#function(first)
    const path = [first]
    while (this.#takeSign('/')) {
      const name = this.#word()
      if (name === 'any' && this.#takeSign('(')) return this.#any(path, depth)
      path.push(name)
    }
    const operator = this.#word()
    if (operator === 'in') return { kind: 'in', path, values: this.#list() }
    if (isComparison(operator)) return { kind: 'compare', path, operator, value: this.#literal() }
    throw invalid(`the operator '${operator}' is not supported`)
  }

  #function(name: string): Filter {
    const kind = name.toLowerCase()
    if (kind !== 'startswith' && kind !== 'endswith') throw invalid(`the function '${name}' is not supported`)
    const path = [this.#word()]
    while (this.#takeSign('/')) path.push(this.#word())
    this.#expectSign(',')
    const value = this.#literal()
    if (value.kind !== 'string') throw invalid(`'${kind}' takes a string`)
    this.#expectSign(')')
    return { kind, path, value: value.value }
  }

  /** Behind `any(`. */
  #any(path: MemberPath, depth: number): Filter {
    const variable = this.#word()
    this.#expectSign(':')
    const condition = this.expression(depth + 1)
    this.#expectSign(')')
    if (!isAbout(condition, variable)) throw invalid(`the condition of 'any' is about '${variable}' alone`)
    return { kind: 'any', path, variable, condition }
  }

  #list(): Literal[] {
    this.#expectSign('(')
    const values = [this.#literal()]
    while (this.#takeSign(',')) values.push(this.#literal())
    this.#expectSign(')')
    if (values.length > MAX_TERMS) throw invalid(`'in' takes ${MAX_TERMS} values`)
    return values
  }

  #literal(): Literal {
    const { kind, text } = this.#peek()
    const literal = literalOf(kind, text)
    if (literal === undefined) throw this.#unexpected()
    this.#next++
    return literal
  }

  #word(): string {
    const { kind, text } = this.#peek()
    if (kind !== 'word') throw this.#unexpected()
    this.#next++
    return text
  }

  #takeWord(word: string): boolean {
    const { kind, text } = this.#peek()
    // A member may be called like an operator: it is one when a comparison follows.
    if (kind !== 'word' || text !== word || (word === 'not' && this.#isMember())) return false
    this.#next++
    return true
  }

  #isMember(): boolean {
    const after = this.#tokens[this.#next + 1]
    return after?.kind === 'word' && (isComparison(after.text) || after.text === 'in')
  }

  #takeSign(sign: string): boolean {
    const { kind, text } = this.#peek()
    if (kind !== 'sign' || text !== sign) return false
    this.#next++
    return true
  }

  #expectSign(sign: string): void {
    if (!this.#takeSign(sign)) throw this.#unexpected()
  }

  #peek(): Token {
    const token = this.#tokens[this.#next]
    if (token === undefined) throw new Error('unreachable: the end is a token, and nothing goes past it')
    return token
  }

  #unexpected(): GraphFault {
    return invalid(`syntax error at position ${this.#peek().at}`)
  }
}

function literalOf(kind: Token['kind'], text: string): Literal | undefined {
  switch (kind) {
    case 'text':
      return { kind: 'string', value: text.slice(1, -1).replaceAll("''", "'") }
    case 'number':
      return { kind: 'number', value: Number(text) }
    case 'guid':
      return { kind: 'guid', value: text.toLowerCase() }
    case 'date': {
      const value = Date.parse(text)
      return Number.isNaN(value) ? undefined : { kind: 'date', value }
    }
    case 'word':
      if (text === 'true' || text === 'false') return { kind: 'boolean', value: text === 'true' }
      return text === 'null' ? { kind: 'null', value: null } : undefined
    case 'sign':
    case 'end':
      return undefined
    default:
      return kind satisfies never
  }
}

function isAbout(condition: Filter, variable: string): boolean {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return isAbout(condition.left, variable) && isAbout(condition.right, variable)
    case 'not':
      return isAbout(condition.operand, variable)
    case 'any':
      return false
    case 'compare':
    case 'in':
    case 'startswith':
    case 'endswith':
      return condition.path[0] === variable
    default:
      return condition satisfies never
  }
}

function isComparison(word: string): word is Comparison {
  return (COMPARISONS as readonly string[]).includes(word)
}

function invalid(reason: string): GraphFault {
  return new GraphFault(400, 'BadRequest', `Invalid filter clause: ${reason}.`)
}
