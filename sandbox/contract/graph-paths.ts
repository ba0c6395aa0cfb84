// graph-paths.json, indexed: which operations Graph has, which it is known not to have, and what each takes.
import { PathIndex } from './path-index.ts'
import type { PathMatch } from './path-index.ts'
import type { Violation } from './violation.ts'

export type GraphVersion = 'v1.0' | 'beta'
export type PublishedStatus = 'listed' | 'documented' | 'inferred' | 'delegated-only'

export interface GraphOperation {
  /** Method and published template: `GET /users/{user-id}/manager`. An alias has the name of what it stands for. */
  readonly name: string
  readonly method: string
  /** What matched: the published template, or an alias of it. */
  readonly template: string
  readonly version: GraphVersion
  readonly status: PublishedStatus
  /** Application permissions. */
  readonly permissions: OperationPermissions
  /** Any token will do: each inner request of a batch is judged alone. */
  readonly isOpenToAll: boolean
  /** Changes something; false also for a POST that only asks. */
  readonly isWrite: boolean
  /** By the template's names: `user-id`. */
  readonly parameters: Readonly<Record<string, string>>
  readonly responseType?: string
}

export interface OperationPermissions {
  readonly least: readonly string[]
  readonly other: readonly string[]
  /** A permission that opens it only along with one of these others. */
  readonly alsoRequires: Readonly<Record<string, readonly string[]>>
}

/** An operation without a request. */
export interface PublishedOperation extends Omit<GraphOperation, 'parameters'> {
  readonly query: ReadonlySet<string>
  readonly queryRequired: readonly string[]
  readonly queryPatterns: ReadonlyMap<string, RegExp>
  readonly requestType?: string
  /** Parameters of an action, by name, with their types. */
  readonly requestBody?: Readonly<Record<string, string>>
  readonly requestContentTypes: readonly string[]
  readonly responseBody?: Readonly<Record<string, string>>
}

export type Finding =
  | { readonly kind: 'found'; readonly operation: GraphOperation; readonly published: PublishedOperation }
  | { readonly kind: 'none'; readonly violation: Violation }

/** As the file has it; what is not read is left out. */
export interface GraphPathsFile {
  readonly paths: readonly {
    readonly path: string
    readonly version: GraphVersion
    readonly methods: Readonly<Record<string, MethodFile>>
  }[]
  readonly aliases: readonly { readonly path: string; readonly aliasOf: string; readonly methods: readonly string[] }[]
  readonly refused: Readonly<Record<string, readonly string[]>>
}

interface MethodFile {
  readonly query: readonly string[]
  readonly queryDocumented?: readonly string[]
  readonly queryRequired?: readonly string[]
  readonly queryValuePatterns?: Readonly<Record<string, string>>
  readonly requestType?: string
  readonly requestBody?: Readonly<Record<string, string>>
  readonly requestContentType?: string
  readonly alternateRequestBodies?: readonly { readonly contentType: string }[]
  readonly responseType?: string | null
  readonly responseBody?: Readonly<Record<string, string>>
  readonly status: PublishedStatus
  readonly permissions: {
    readonly least?: readonly string[]
    readonly other?: readonly string[]
    readonly alsoRequires?: Readonly<Record<string, string>>
  } | null
}

interface Template {
  readonly operations: Map<string, PublishedOperation>
  refused: readonly string[]
}

/** POST because the question doesn't fit into a URL. */
const QUESTIONS: ReadonlySet<string> = new Set([
  '$batch',
  'checkmembergroups',
  'checkmemberobjects',
  'exportitems',
  'findmeetingtimes',
  'getavailableextensionproperties',
  'getbyids',
  'getmailtips',
  'getmembergroups',
  'getmemberobjects',
  'getschedule',
  'translateexchangeids',
  'validateproperties',
])

export class GraphPaths {
  readonly #paths = new PathIndex<Template>()
  readonly #aliases = new PathIndex<{ readonly aliasOf: string; readonly methods: readonly string[] }>()
  readonly #byTemplate = new Map<string, Template>()
  readonly #byName = new Map<string, PublishedOperation>()

  constructor(file: GraphPathsFile) {
    for (const { path, version, methods } of file.paths) {
      const { operations } = this.#template(path)
      for (const [method, published] of Object.entries(methods)) {
        const operation = publishedOperation(method, path, version, published)
        operations.set(method, operation)
        this.#byName.set(operation.name, operation)
      }
    }
    for (const [path, methods] of Object.entries(file.refused)) this.#template(path).refused = methods
    for (const { path, ...alias } of file.aliases) this.#aliases.add(path, alias)
  }

  /** Every operation, in the order of the file. */
  get operations(): Iterable<PublishedOperation> {
    return this.#byName.values()
  }

  published(name: string): PublishedOperation | undefined {
    return this.#byName.get(name)
  }

  /** @param path  after the version, percent-encoded */
  find(method: string, version: GraphVersion, path: string): Finding {
    const match = this.#paths.find(path)
    if (match !== undefined) return chosen(method, version, match, match.entry)
    const alias = this.#aliases.find(path)
    const template = alias && this.#byTemplate.get(alias.entry.aliasOf)
    if (alias === undefined || template === undefined) {
      return none('unknown-operation', method, 'Graph publishes no such path', 400)
    }
    if (!alias.entry.methods.includes(method)) {
      return none('unknown-operation', named(method, alias.template), 'the path takes no such method', 405)
    }
    return chosen(method, version, alias, template)
  }

  #template(path: string): Template {
    let template = this.#byTemplate.get(path)
    if (template === undefined) {
      template = { operations: new Map(), refused: [] }
      this.#byTemplate.set(path, template)
      this.#paths.add(path, template)
    }
    return template
  }
}

function chosen(method: string, version: GraphVersion, match: PathMatch<unknown>, of: Template): Finding {
  const where = named(method, match.template)
  if (of.refused.includes(method)) {
    return none('refused-operation', where, 'described, but the service does not have it', 405)
  }
  const published = of.operations.get(method)
  if (published === undefined) return none('unknown-operation', where, 'the path takes no such method', 405)
  if (published.version !== version) return none('wrong-version', where, `published in ${published.version} only`, 400)
  const { name, status, permissions, isOpenToAll, isWrite, responseType } = published
  const operation: GraphOperation = {
    name,
    method,
    template: match.template,
    version,
    status,
    permissions,
    isOpenToAll,
    isWrite,
    parameters: match.parameters,
    ...(responseType === undefined ? {} : { responseType }),
  }
  return { kind: 'found', operation, published }
}

function none(rule: Violation['rule'], where: string, message: string, status: Violation['status']): Finding {
  return { kind: 'none', violation: { rule, where, message, status } }
}

/** Methods are bounded: a hostile one is as long as it likes. */
function named(method: string, template: string): string {
  return `${method.slice(0, 20)} ${template}`
}

function publishedOperation(
  method: string,
  template: string,
  version: GraphVersion,
  file: MethodFile,
): PublishedOperation {
  const { queryDocumented, queryRequired = [], queryValuePatterns = {}, permissions, requestBody, responseBody } = file
  const query = queryDocumented ?? file.query
  const requestType = file.requestType
  const requestContentTypes = [
    ...(file.requestContentType === undefined ? [] : [file.requestContentType]),
    ...(file.alternateRequestBodies ?? []).map(({ contentType }) => contentType),
  ]
  const last = template.slice(template.lastIndexOf('/') + 1).toLowerCase()
  return {
    name: `${method} ${template}`,
    method,
    template,
    version,
    status: file.status,
    permissions: {
      least: permissions?.least ?? [],
      other: permissions?.other ?? [],
      alsoRequires: Object.fromEntries(
        Object.entries(permissions?.alsoRequires ?? {}).map(([name, others]) => [name, others.split(',')]),
      ),
    },
    isOpenToAll: template === '/$batch',
    isWrite: method !== 'GET' && !QUESTIONS.has(last),
    query: new Set([...query, ...queryRequired]),
    queryRequired,
    queryPatterns: new Map(
      Object.entries(queryValuePatterns).map(([name, pattern]) => [name, new RegExp(pattern, 's')]),
    ),
    requestContentTypes,
    ...(requestType === undefined ? {} : { requestType }),
    ...(requestBody === undefined ? {} : { requestBody }),
    ...(file.responseType === undefined || file.responseType === null ? {} : { responseType: file.responseType }),
    ...(responseBody === undefined ? {} : { responseBody }),
  }
}
