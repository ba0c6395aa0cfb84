// What a source file writes to the log and counts by, read as text: names of fields and labels. Strict where it can't tell: what is neither a name nor
// a literal is handed back as it stands, for somebody to say what it holds.

export interface LogCall {
  /** Names of fields. */
  readonly fields: readonly string[]
  /** `details` of `...details` or of `log.warn('…', details)`: fields come from there. */
  readonly others: readonly string[]
}

/** Calls of a `log`: `log.info(…)`, `this.#deps.log.warn(…)`. A helper of the file that returns an object literal is read as that literal. */
export function logCalls(text: string): LogCall[] {
  return [...text.matchAll(/\blog\s*\??\.\s*(?:debug|info|warn|error)\s*\(/gi)].map((match) => {
    const [, fields] = splitTopLevel(text, match.index + match[0].length)
    if (fields === undefined) return { fields: [], others: [] }
    return fields.startsWith('{') ? literal(fields, text) : spread(fields, text)
  })
}

/** Of all metrics of the file. @throws where labels are no list of literals */
export function metricLabels(text: string): string[] {
  return [...text.matchAll(/\blabelNames\b(.{0,2})/g)].flatMap((match) => {
    const start = match.index + 'labelNames'.length
    if (match[1] !== ': ' || text[start + 2] !== '[') throw new Error(`labels that can't be read: ${match[0]}`)
    return splitTopLevel(text, start + 3).map((label) => {
      const name = /^'(\w+)'$/.exec(label)?.[1]
      if (name === undefined) throw new Error(`a label that is no literal: ${label}`)
      return name
    })
  })
}

function literal(object: string, text: string): LogCall {
  const fields: string[] = []
  const others: string[] = []
  for (const entry of splitTopLevel(object, 1)) {
    const name = /^(?:(\w+)|'([^']+)')\s*(?::|$)/.exec(entry)
    if (name !== null) fields.push(name[1] ?? name[2] ?? '')
    else if (entry.startsWith('...')) {
      const from = spread(entry.slice(3), text)
      fields.push(...from.fields)
      others.push(...from.others)
    } else others.push(entry)
  }
  return { fields, others }
}

function spread(expression: string, text: string): LogCall {
  const helper = /^(\w+)\(/.exec(expression)?.[1]
  const made =
    helper === undefined ? null : new RegExp(`\\bconst ${helper} = \\((?:[^=]|=(?!>))*\\) => \\(\\{`).exec(text)
  if (made === null) return { fields: [], others: [expression] }
  return literal(`{${splitTopLevel(text, made.index + made[0].length).join(',')}}`, text)
}

/** Parts between commas from `start` up to the bracket that closes what was opened before it; without comments. */
function splitTopLevel(text: string, start: number): string[] {
  const parts: string[] = []
  let part = ''
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const skipped = /^(?:\/\/[^\n]*|\/\*[\s\S]*?\*\/)/.exec(text.slice(at, at + 2_000))?.[0]
    if (skipped !== undefined) {
      at += skipped.length - 1
      continue
    }
    const string = stringAt(text, at)
    if (string !== '') {
      part += string
      at += string.length - 1
      continue
    }
    const character = text[at] ?? ''
    if (depth === 0 && (character === ',' || ')]}'.includes(character))) {
      if (part.trim() !== '') parts.push(part.trim())
      part = ''
      if (character !== ',') return parts
      continue
    }
    if ('([{'.includes(character)) depth++
    if (')]}'.includes(character)) depth--
    part += character
  }
  throw new Error('a bracket is not closed')
}

/** A string or template that begins here; nothing in one can open or close what is around it. */
function stringAt(text: string, at: number): string {
  const quote = text[at] ?? ''
  if (!`'"\``.includes(quote) || quote === '') return ''
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === '\\') end++
    else if (quote === '`' && text.startsWith('${', end)) end = closeOf(text, end + 2)
    else if (text[end] === quote) return text.slice(at, end + 1)
  }
  throw new Error('a string is not closed')
}

/** Of the brace that closes what stands before `start`. */
function closeOf(text: string, start: number): number {
  for (let at = start; at < text.length; at++) {
    const string = stringAt(text, at)
    if (string !== '') at += string.length - 1
    else if (text[at] === '{') at = closeOf(text, at + 1)
    else if (text[at] === '}') return at
  }
  throw new Error('a brace is not closed')
}
