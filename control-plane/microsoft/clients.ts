// What the rest of the control plane may ask of Microsoft 365: one set of clients a connected tenant. Every call is bounded by the tenant's budgets,
// follows only links of the connection's own hosts, and throws MicrosoftError. Reads are repeated by the client while that is harmless; a call
// that changes something is sent once, always (migration-semantics.md §7.1.5).
import type { OrganisationId, ProjectId, TenantId } from '../ids.ts'
import type { Cloud } from './clouds.ts'

/** Which tenant, as whom. Everything about it is read anew when a client is made: certificates rotate. */
export interface ConnectionPlace {
  readonly organisation: OrganisationId
  readonly project: ProjectId
  readonly tenant: TenantId
}

export interface Connection extends ConnectionPlace {
  readonly cloud: Cloud
  /** GUID, lower case. */
  readonly entraTenantId: string
  readonly clientId: string
  /** PEM. */
  readonly certificate: string
  /** PEM, in memory only. */
  readonly privateKey: string
  /** Of the tenant, as last counted: picks its budget of the directory. Unknown: as if few. */
  readonly people?: number | undefined
}

export type Query = Readonly<Record<string, string>>

export interface ReadOptions {
  /** Operation as graph-paths.json writes it, for log and metrics: `GET /users/delta()`. */
  readonly operation: string
  readonly query?: Query
  /** Beside those of every call. */
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface GraphPage<T> {
  readonly items: readonly T[]
  /** Where the next page is; checkpoint it with the page's effects in one transaction. */
  readonly next: string | undefined
  /** On the last page of a delta: where what changes from now on is. */
  readonly delta: string | undefined
}

export interface BatchCall {
  readonly id: string
  readonly method: 'GET'
  /** Relative to the version root: `/users/{id}/manager`, with its query. */
  readonly url: string
}

export type BatchOutcome =
  | { readonly id: string; readonly kind: 'done'; readonly status: number; readonly body: unknown }
  | { readonly id: string; readonly kind: 'failed'; readonly error: import('./microsoft-error.ts').MicrosoftError }

export interface GraphClient {
  /** @param path  below `v1.0`, or starting with `/beta/`; segments already encoded */
  get<T>(path: string, options: ReadOptions): Promise<T>
  /** One page: of a collection or delta from its start (`path`), or where an answer said that it goes on (`link`). */
  page<T>(at: { readonly path: string } | { readonly link: string }, options: ReadOptions): Promise<GraphPage<T>>
  /** A report: rows of its CSV, decoded, one record a row by column name. Streams. */
  report(path: string, options: ReadOptions): AsyncIterable<Readonly<Record<string, string>>>
  /** Up to any number of reads, sent 20 a batch; each has its own outcome, in the order asked. Members that were throttled are repeated. */
  batch(calls: readonly BatchCall[], options: ReadOptions): Promise<readonly BatchOutcome[]>
  /** A change, sent once. Whether it took effect is unknown when this throws TRANSIENT. */
  write<T>(
    method: 'POST' | 'PATCH' | 'PUT' | 'DELETE',
    path: string,
    body: unknown,
    options: ReadOptions,
  ): Promise<T | undefined>
}

export type Parameters = Readonly<Record<string, unknown>>

export interface ExchangeClient {
  /** Rows of a `Get-` or `Test-` cmdlet, page by page. @param select  properties; all when absent */
  read<T>(
    cmdlet: string,
    parameters: Parameters,
    options?: { readonly select?: readonly string[]; readonly signal?: AbortSignal },
  ): AsyncIterable<readonly T[]>
  /** A cmdlet that changes something, sent once. Rows it answers, often none. */
  invoke<T>(cmdlet: string, parameters: Parameters, options?: { readonly signal?: AbortSignal }): Promise<readonly T[]>
}

export interface MicrosoftClients {
  readonly graph: GraphClient
  readonly exchange: ExchangeClient
}

export interface Microsoft365 {
  clientsOf(connection: Connection): MicrosoftClients
  /** Forgets tokens: after a rotation, a withdrawn consent, a removed tenant. */
  forget(place: ConnectionPlace): void
}
