// What one request of the matrix is made of. Each feature has a table of its own beside this file; a route without an example fails the matrix.
import type { Permission, Standing } from '../../../../control-plane/access/permissions.ts'
import type { OrganisationId, ProjectId } from '../../../../control-plane/ids.ts'
import type { Reply, TestApi } from '../../../harness/api.ts'

/** What examples may count on. They can change it: each prepares what it needs before every use. */
export interface World {
  readonly api: TestApi
  readonly organisation: OrganisationId
  readonly project: ProjectId
  /** Of an organization administrator. */
  readonly key: string
}

/** Somebody who makes the request. */
export interface Column {
  readonly name: string
  readonly headers: Readonly<Record<string, string>>
  /** In the world's organisation; undefined: nobody, by no credential at all. */
  readonly standing: Standing | undefined
  readonly isInstallationAdministrator: boolean
  /** Comes with a browser's session rather than with an API key. */
  readonly isSession: boolean
}

export type Verdict = 'allowed' | 401 | 403 | 404 | 409

export interface Example {
  /** Path parameters; `organization` and `project` are the world's unless they stand here. */
  readonly params?: Readonly<Record<string, string>>
  readonly query?: string
  /** JSON, or as it is when it is text or bytes. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Status for whoever is allowed; default: any 2xx. */
  readonly expects?: number
  /** Results of the audit events that it leaves for whoever is allowed; default: `done` where something is changed, else none. */
  readonly audits?: readonly ('done' | 'denied' | 'failed')[]
  /**
   * What the handler adds to what the route's permission says, for those whom that lets through.
   * @param held  permissions at the place of the path
   */
  readonly verdict?: (column: Column, held: ReadonlySet<Permission>) => Verdict
}

/** One request that succeeds for whoever may make it, by the route's id. */
export type Examples = Readonly<Record<string, (world: World) => Example | Promise<Example>>>

export const ANY = { 'If-Match': '*' }
export const nothing = (): Example => ({})
export const person = () => ({ tenantId: crypto.randomUUID(), objectId: crypto.randomUUID() })

/** An organization administrator's own request. @throws when it fails: an example counts on it */
export async function done(
  { api, key }: World,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply['body']> {
  const reply = await api.request(method, path, body, { key, headers })
  if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`)
  return reply.body
}
