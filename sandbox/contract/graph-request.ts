// Judges a request to Graph: is there such an operation, may it be asked like this, is the body of its type. (contracts: graph-paths.json)
import type { Contracts } from './contracts.ts'
import { judgeRequestBody } from './graph-body.ts'
import type { GraphOperation, GraphVersion, PublishedOperation } from './graph-paths.ts'
import { elementType, isExtensionName } from './graph-schema.ts'
import type { GraphSchema } from './graph-schema.ts'
import { isOpenTo } from './permissions.ts'
import type { Violation } from './violation.ts'

export type { GraphOperation, GraphVersion } from './graph-paths.ts'

export interface GraphRequest {
  readonly method: string
  readonly version: GraphVersion
  /** After the version, from `/`, as it came: still percent-encoded. Without query. */
  readonly path: string
  readonly query: URLSearchParams
  /** Parsed JSON; a string or bytes for other content types; undefined: none. */
  readonly body: unknown
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** A URL that an answer handed out and that came back unchanged. */
  readonly isIssuedLink: boolean
}

export interface Judgement {
  /** undefined: there is none. */
  readonly operation: GraphOperation | undefined
  readonly violations: readonly Violation[]
}

export function judgeGraphRequest(contracts: Contracts, request: GraphRequest): Judgement {
  const found = contracts.graph.find(request.method, request.version, request.path)
  if (found.kind !== 'found') return { operation: undefined, violations: [found.violation] }
  const { published, operation } = found
  const violations = [
    ...(request.isIssuedLink ? [] : judgeQuery(contracts, published, request.query)),
    ...judgeRequestBody(contracts.schema, published, request.body, contentType(request.headers)),
  ]
  return { operation, violations }
}

/** Whether a token with these application roles may call it. */
export function isPermitted(_contracts: Contracts, operation: GraphOperation, roles: readonly string[]): boolean {
  return isOpenTo(operation, roles)
}

function judgeQuery({ schema }: Contracts, published: PublishedOperation, query: URLSearchParams): Violation[] {
  const violations: Violation[] = []
  for (const name of new Set(query.keys())) {
    const where = name.slice(0, 60)
    if (!published.query.has(name)) {
      violations.push(wrong('unknown-query-option', where, 'the operation has no such query option'))
      continue
    }
    if (query.getAll(name).length > 1) violations.push(wrong('query-value', where, 'a query option stands once'))
    const value = query.get(name) ?? ''
    if (published.queryPatterns.get(name)?.test(value) === false) {
      violations.push(wrong('query-value', where, 'the operation takes no such value'))
    }
    if (name === '$select') violations.push(...judgeSelect(schema, published.responseType, value))
  }
  for (const name of published.queryRequired) {
    if (!query.has(name)) violations.push(wrong('missing-query-option', name, 'the operation cannot be without it'))
  }
  return violations
}

/** Graph refuses a member that the type does not have; of a list of directory objects one may ask for members of users. */
function judgeSelect(schema: GraphSchema, responseType: string | undefined, value: string): Violation[] {
  if (responseType === undefined) return []
  const known = schema.selectable(elementType(responseType) ?? responseType)
  if (known === undefined) return []
  return value
    .split(',')
    .map((name) => name.trim().split('/', 1)[0] ?? '')
    .filter((name) => !known.has(name) && name !== '*' && !isExtensionName(name))
    .slice(0, 20)
    .map((name) => wrong('query-value', `$select=${name.slice(0, 60)}`, 'the type has no such member'))
}

function wrong(rule: Violation['rule'], where: string, message: string): Violation {
  return { rule, where, message, status: 400 }
}

function contentType(headers: GraphRequest['headers']): string | undefined {
  const given = headers['content-type']
  return typeof given === 'string' ? given : given?.[0]
}
