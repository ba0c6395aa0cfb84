// Path, query and body of a request against a route's schemas: typed, or all faults with JSON pointers. (control-plane.md §1, WS-4)
import type { z } from 'zod'
import { badRequest, Problem } from './problem.ts'
import type { RequestFault } from './problem.ts'

const MAX_DEPTH = 32
const MAX_FAULTS = 1_000

export interface RequestParts {
  readonly params: unknown
  readonly query: unknown
  readonly body: unknown
}

export interface RequestSchemas {
  readonly params?: z.ZodType | undefined
  readonly query?: z.ZodType | undefined
  readonly body?: z.ZodType | undefined
}

/** @throws Problem 400 with every fault of all three, 404 where only the path can't be of anything that exists */
export function readRequest(parts: RequestParts, schemas: RequestSchemas): RequestParts {
  const faults: RequestFault[] = []
  const read = (name: 'query' | 'body', root: string): unknown => {
    const schema = schemas[name]
    if (schema === undefined) return undefined
    const unstorable = textFaults(parts[name], root)
    const result = schema.safeParse(parts[name])
    if (result.success && unstorable.length === 0) return result.data
    faults.push(...unstorable, ...(result.success ? [] : faultsOf(result.error, root)))
    return undefined
  }
  const params = schemas.params?.safeParse(parts.params)
  if (params?.success === false || textFaults(parts.params, '').length > 0) throw new Problem('not-found')
  const query = read('query', '/query')
  const body = read('body', '')
  if (faults.length > 0) throw badRequest(faults.slice(0, MAX_FAULTS))
  return { params: params?.data, query, body }
}

/** @param root  of the pointers: empty for the body itself */
export function faultsOf(error: z.ZodError, root: string): RequestFault[] {
  return error.issues.flatMap((issue) => {
    const pointer = root + pointerOf(issue.path)
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        pointer: pointer + pointerOf([key]),
        code: 'unknown-member',
        detail: 'unknown member',
      }))
    }
    return [{ pointer, code: issue.code.replaceAll('_', '-'), detail: issue.message }]
  })
}

/**
 * Texts that no column can hold: Postgres has no NUL and no half of a surrogate pair, in text as in jsonb. Told here, once, for every member of
 * every route. Names of members too.
 */
function textFaults(value: unknown, pointer: string): RequestFault[] {
  if (typeof value === 'string')
    return isStorable(value) ? [] : [{ pointer, code: 'text', detail: 'no NUL and no half of a surrogate pair' }]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) => {
    const place = pointer + pointerOf([name])
    return [...(isStorable(name) ? [] : textFaults(name, place)), ...textFaults(member, place)]
  })
}

const isStorable = (text: string): boolean => !text.includes('\0') && text.isWellFormed()

/** RFC 6901 */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** @throws Problem when a value nests deeper than REST bodies may */
export function checkDepth(value: unknown): void {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw new Problem('malformed-body', { detail: `It nests deeper than ${MAX_DEPTH} levels.` })
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
  }
}
