// Path templates as the contracts print them, and the segments of a request's path, both in one form, so that they can be compared.
// Rules: `matching` in graph-paths.json.

export type TemplateSegment =
  /** In lower case, `graph.` for `microsoft.graph.`. */
  | { readonly kind: 'literal'; readonly text: string }
  /** Without parameters: its parentheses may be left out. */
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'call'; readonly name: string; readonly parameters: readonly CallParameter[] }
  /** One segment, or several; `endsInColon`: `{item-path}:`. */
  | { readonly kind: 'parameter'; readonly name: string; readonly endsInColon: boolean; readonly isTrail: boolean }

export interface CallParameter {
  /** In lower case. */
  readonly name: string
  /** Of the template's placeholder. */
  readonly placeholder: string
  readonly isQuoted: boolean
}

export interface PathSegment {
  /** Percent-decoded. */
  readonly text: string
  /** As literals are written. */
  readonly folded: string
  /** Of `name('key')`: both parts; of `name(a='b')`: name and arguments. */
  readonly name: string
  readonly key?: string
  readonly arguments?: ReadonlyMap<string, { readonly value: string; readonly isQuoted: boolean }>
}

const TRAILS: readonly string[] = ['item-path', 'server-relative-path']
const MAX_PATH_LENGTH = 16_384

export function parseTemplate(template: string): readonly TemplateSegment[] {
  return template.slice(1).split('/').map(parseTemplateSegment)
}

function parseTemplateSegment(segment: string): TemplateSegment {
  const [, parameter, colon] = /^\{([^}]+)\}(:?)$/.exec(segment) ?? []
  if (parameter !== undefined) {
    return { kind: 'parameter', name: parameter, endsInColon: colon === ':', isTrail: TRAILS.includes(parameter) }
  }
  const [, name, inside] = /^([\w.]+)\((.*)\)$/.exec(segment) ?? []
  if (name === undefined || inside === undefined) return { kind: 'literal', text: fold(segment) }
  if (inside === '') return { kind: 'function', name: fold(name) }
  const parameters = inside.split(',').map((each): CallParameter => {
    const [, argument = '', quote, placeholder = ''] = /^(\w+)=('?)\{([^}]+)\}'?$/.exec(each) ?? []
    return { name: argument.toLowerCase(), placeholder, isQuoted: quote === "'" }
  })
  return { kind: 'call', name: fold(name), parameters }
}

/** undefined: no path of the service's: not absolute, an empty or relative segment, broken encoding, control characters, too long. */
export function parsePath(path: string): readonly PathSegment[] | undefined {
  if (!path.startsWith('/') || path.length > MAX_PATH_LENGTH) return undefined
  const segments: PathSegment[] = []
  for (const raw of path.slice(1).split('/')) {
    const text = decode(raw)
    // eslint-disable-next-line no-control-regex -- they are what is looked for
    if (text === undefined || ['', '.', '..'].includes(text) || /[\u0000-\u001f\u007f]/.test(text)) return undefined
    segments.push(parseSegment(text))
  }
  return segments
}

function parseSegment(text: string): PathSegment {
  const folded = fold(text)
  const [, name, inside] = /^([\w.$]+)\((.+)\)$/s.exec(text) ?? []
  if (name === undefined || inside === undefined) return { text, folded, name: folded }
  const [, key] = /^'((?:[^']|'')*)'$/.exec(inside) ?? []
  if (key !== undefined) return { text, folded, name: fold(name), key: key.replaceAll("''", "'") }
  const given = parseArguments(inside)
  return given === undefined ? { text, folded, name: folded } : { text, folded, name: fold(name), arguments: given }
}

/** `a='b',c=2020-01-01` */
function parseArguments(text: string): PathSegment['arguments'] {
  const found = new Map<string, { value: string; isQuoted: boolean }>()
  const one = /(\w+)=(?:'((?:[^']|'')*)'|([^',]+))(,|$)/y
  while (one.lastIndex < text.length) {
    const at = one.lastIndex
    const [, name = '', quoted, bare = '', end] = one.exec(text) ?? []
    const value = quoted?.replaceAll("''", "'") ?? bare
    const isLast = one.lastIndex === text.length
    if (one.lastIndex <= at || value === '' || found.has(name.toLowerCase()) || isLast !== (end === ''))
      return undefined
    found.set(name.toLowerCase(), { value, isQuoted: quoted !== undefined })
  }
  return found
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined // not UTF-8, or a lone percent sign
  }
}

function fold(text: string): string {
  return text.toLowerCase().replace(/^microsoft\.graph\./, 'graph.')
}

const FORBIDS_COLON: readonly string[] = ['drive-id', 'driveItem-id']

/** Value of parameter `name` in this segment; undefined: what stands there is no such value. */
export function parameterValue(
  { name, endsInColon }: { readonly name: string; readonly endsInColon: boolean },
  segment: PathSegment,
): string | undefined {
  const { text } = segment
  const value = endsInColon ? (text.endsWith(':') ? text.slice(0, -1) : '') : text
  if (value === '') return undefined
  if (FORBIDS_COLON.includes(name) && value.includes(':')) return undefined
  // `$value`, `$ref`: the service's own. A user name that begins like this is asked for as ('$name').
  if (value.startsWith('$')) return undefined
  // An operation or a cast that is not published is not somebody's name either.
  if (/^[\w.]+\((?:\w+=.*)?\)$/s.test(value) || /^(?:microsoft\.)?graph\.\w+$/i.test(value)) return undefined
  return value
}
