// `$search` on directory objects: clauses `"member:text"` joined by AND and OR; names and descriptions match by the beginnings of their words, other
// members by their beginning ("Use the $search query parameter", Microsoft Learn).
import { badRequest } from './graph-error.ts'

export interface SearchClause {
  readonly member: string
  readonly text: string
}

/** Any of these, of which all clauses have to match. */
export type Search = readonly (readonly SearchClause[])[]

const MAX_LENGTH = 2_048
const WORD_MEMBERS: ReadonlySet<string> = new Set(['displayName', 'description'])

/** @throws GraphFault 400 */
export function parseSearch(text: string): Search {
  if (text.length > MAX_LENGTH) throw invalid()
  const alternatives: SearchClause[][] = [[]]
  const part = /\s*"(?<member>\w+):(?<text>(?:[^"\\]|\\["\\])+)"\s*(?<joint>AND|OR|$)/gy
  while (part.lastIndex < text.length) {
    const found = part.exec(text)?.groups
    if (found === undefined) throw invalid()
    const { member = '', text: wanted = '', joint = '' } = found
    alternatives.at(-1)?.push({ member, text: wanted.replaceAll(/\\(["\\])/g, '$1').toLowerCase() })
    if (joint === '') return part.lastIndex === text.length ? alternatives : fail()
    if (joint === 'OR') alternatives.push([])
  }
  throw invalid()
}

/** Members it looks at. */
export function searchedMembers(search: Search): readonly string[] {
  return search.flat().map(({ member }) => member)
}

export function isFound(search: Search, properties: Readonly<Record<string, unknown>>): boolean {
  return search.some((clauses) => clauses.every((clause) => matches(clause, properties[clause.member])))
}

function matches(clause: SearchClause, value: unknown): boolean {
  if (Array.isArray(value)) return value.some((each: unknown) => matches(clause, each))
  if (typeof value !== 'string') return false
  const folded = value.toLowerCase()
  if (!WORD_MEMBERS.has(clause.member)) return folded.startsWith(clause.text)
  const words = folded.split(/[^\p{L}\p{N}]+/u)
  return clause.text
    .split(/[^\p{L}\p{N}]+/u)
    .filter((wanted) => wanted !== '')
    .every((wanted) => words.some((word) => word.startsWith(wanted)))
}

function fail(): never {
  throw invalid()
}

function invalid() {
  return badRequest('Syntax error: the search expression is not valid.')
}
