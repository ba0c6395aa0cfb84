// The part of Exchange's filter language (OPATH) that clients use to choose recipients: `Alias -like 'a*' -and -not (City -eq $null)`.

/** @param property  by its name, lower case */
export type Filter = (read: (property: string) => unknown) => boolean

const TOKEN = /\s*(?:(\(|\))|-(\w+)|'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([\w.$:+]+(?:-[\w.:]+)*))/y
const MAX_DEPTH = 32

type Token =
  | { readonly kind: 'bracket'; readonly text: string }
  | { readonly kind: 'operator'; readonly text: string }
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'word'; readonly text: string }

/** undefined: not in the language. Never throws. */
export function parseFilter(text: string): Filter | undefined {
  const tokens = tokenise(text.trim().replace(/^\{(.*)\}$/s, '$1'))
  if (tokens === undefined) return undefined
  const reader = new FilterReader(tokens)
  const filter = reader.either(0)
  return reader.isAtEnd ? filter : undefined
}

function tokenise(text: string): readonly Token[] | undefined {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    if (text.slice(TOKEN.lastIndex).trim() === '') break
    const [, bracket, operator, single, double, word] = TOKEN.exec(text) ?? []
    if (bracket !== undefined) tokens.push({ kind: 'bracket', text: bracket })
    else if (operator !== undefined) tokens.push({ kind: 'operator', text: operator.toLowerCase() })
    else if (single !== undefined) tokens.push({ kind: 'literal', text: single.replaceAll("''", "'") })
    else if (double !== undefined) tokens.push({ kind: 'literal', text: double.replaceAll('""', '"') })
    else if (word !== undefined) tokens.push({ kind: 'word', text: word })
    else return undefined
  }
  return tokens
}

class FilterReader {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get isAtEnd(): boolean {
    return this.#at === this.#tokens.length
  }

  either(depth: number): Filter | undefined {
    let left = this.#both(depth)
    while (left !== undefined && this.#took('operator', 'or')) {
      const [first, second] = [left, this.#both(depth)]
      left = second === undefined ? undefined : (read) => first(read) || second(read)
    }
    return left
  }

  #both(depth: number): Filter | undefined {
    let left = this.#one(depth)
    while (left !== undefined && this.#took('operator', 'and')) {
      const [first, second] = [left, this.#one(depth)]
      left = second === undefined ? undefined : (read) => first(read) && second(read)
    }
    return left
  }

  #one(depth: number): Filter | undefined {
    if (depth > MAX_DEPTH) return undefined
    if (this.#took('operator', 'not')) {
      const inner = this.#one(depth + 1)
      return inner && ((read) => !inner(read))
    }
    if (this.#took('bracket', '(')) {
      const inner = this.either(depth + 1)
      return this.#took('bracket', ')') ? inner : undefined
    }
    const [property, operator, wanted] = [this.#next(), this.#next(), this.#next()]
    if (property?.kind !== 'word' || operator?.kind !== 'operator') return undefined
    if (wanted?.kind !== 'literal' && wanted?.kind !== 'word') return undefined
    const compare = comparison(operator.text, literalOf(wanted))
    const name = property.text.toLowerCase()
    return compare && ((read) => compare(read(name)))
  }

  #next(): Token | undefined {
    return this.#tokens[this.#at++]
  }

  #took(kind: Token['kind'], text: string): boolean {
    const token = this.#tokens[this.#at]
    if (token?.kind !== kind || token.text !== text) return false
    this.#at++
    return true
  }
}

/** As text, lower case; null for `$null`. */
function literalOf({ kind, text }: Token): string | null {
  const lower = text.toLowerCase()
  if (kind === 'literal') return lower
  return lower === '$null' ? null : lower.replace(/^\$(?=true$|false$)/, '')
}

function comparison(operator: string, wanted: string | null): ((value: unknown) => boolean) | undefined {
  const anyOf = (test: (text: string) => boolean) => (value: unknown) => textsOf(value).some((text) => test(text))
  const equal = wanted === null ? (value: unknown) => textsOf(value).length === 0 : anyOf((text) => text === wanted)
  switch (operator) {
    case 'eq':
      return equal
    case 'ne':
      return (value) => !equal(value)
    case 'like':
      return anyOf((text) => isLike(text, wanted ?? ''))
    case 'notlike':
      return (value) => !textsOf(value).some((text) => isLike(text, wanted ?? ''))
    case 'gt':
      return anyOf((text) => order(text, wanted ?? '') > 0)
    case 'ge':
      return anyOf((text) => order(text, wanted ?? '') >= 0)
    case 'lt':
      return anyOf((text) => order(text, wanted ?? '') < 0)
    case 'le':
      return anyOf((text) => order(text, wanted ?? '') <= 0)
    default:
      return undefined
  }
}

/** Of a list, each; of nothing, none. */
function textsOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((each: unknown) => textsOf(each))
  const isText = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  return isText && value !== '' ? [String(value).toLowerCase()] : []
}

/** Only at its ends may a pattern have `*`, as in Exchange. */
function isLike(text: string, pattern: string): boolean {
  const isOpenBefore = pattern.startsWith('*')
  const isOpenAfter = pattern.length > 1 && pattern.endsWith('*')
  const core = pattern.slice(isOpenBefore ? 1 : 0, isOpenAfter ? -1 : undefined)
  if (isOpenBefore && isOpenAfter) return text.includes(core)
  if (isOpenBefore) return text.endsWith(core)
  return isOpenAfter ? text.startsWith(core) : text === core
}

function order(left: string, right: string): number {
  const [a, b] = [Date.parse(left), Date.parse(right)]
  if (!Number.isNaN(a) && !Number.isNaN(b)) return a - b
  return left < right ? -1 : left > right ? 1 : 0
}
