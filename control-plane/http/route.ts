// A route as a value: one definition validates, authorises, documents and serves (control-plane.md §1, AZ-4). Features make lists of routes;
// app.ts serves them, openapi.ts describes them, tests go through them.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { z } from 'zod'
import type { Caller } from '../access/caller.ts'
import type { Permission } from '../access/permissions.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { ProblemName } from './problem.ts'

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'

/**
 * - `public`: anybody
 * - `signed-in`: any caller with a valid credential; the handler shows what is his
 * - `installation.manage`: an installation administrator
 * - another permission: at the organisation or project of the path
 */
export type Access = 'public' | 'signed-in' | Permission

/** What a handler gives back. */
export interface Answer {
  readonly status: number
  /** JSON, checked against the route's schema for the status. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** Becomes the ETag. */
  readonly version?: number | string
  /** In place of `body`: writes the whole response body itself; headers are set before. */
  readonly stream?: (response: ServerResponse, signal: AbortSignal) => Promise<void>
}

/** What a change did: told once in the audit trail, in the change's own transaction (AU-1). */
export interface Change {
  readonly answer: Answer
  /** Id of what was changed. */
  readonly object?: string
  /** State before and after: only their digests are kept. */
  readonly before?: unknown
  readonly after?: unknown
  /** What a reader of the trail should know beside: ids, names of settings, counts. No content, no secrets. */
  readonly details?: Readonly<Record<string, unknown>>
}

export interface Context<Params, Query, Body> {
  /** undefined on public routes, which look at no credential. */
  readonly caller: Caller | undefined
  /** Of the caller, at the place of the path. */
  readonly permissions: ReadonlySet<Permission>
  /** Of the path, or whose the path's project is; `INSTALLATION` where the path names neither. */
  readonly organisation: OrganisationId
  /** Of the path. */
  readonly project: ProjectId | undefined
  readonly params: Params
  readonly query: Query
  readonly body: Body
  /** Its body is unread where the route's `body` is a stream. */
  readonly request: IncomingMessage
  /** Path and query as sent. */
  readonly url: string
  readonly requestId: string
  readonly sourceAddress: string
  /** ms since the epoch */
  readonly now: number
  /** Ends when the client goes away or the server stops. */
  readonly signal: AbortSignal
  /** Reads in one transaction that sees the organisation. */
  readonly read: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>
  /**
   * Changes something in one transaction that sees the organisation; writes the audit event, and the answer for a repeated Idempotency-Key,
   * in the same transaction. Once a request, and nowhere else does a route change anything.
   * @param action  `<area>.<what>` of the audit event
   */
  readonly change: (action: string, work: (tx: Tx) => Promise<Change>) => Promise<Answer>
  /**
   * Tells the audit trail of something that changes nothing and must be known: an export, a look at content (AU-1). Written when it resolves:
   * before anything is shown.
   * @param action  `<area>.<what>`
   */
  readonly note: (action: string, told?: Pick<Change, 'object' | 'details'>) => Promise<void>
  /** Header If-Match against the version found. @throws Problem 412, 428 where the route says it is needed */
  readonly checkVersion: (version: number | string) => void
}

export interface StreamBody {
  /** Media types that are taken. */
  readonly stream: readonly string[]
  readonly maxBytes: number
}

export interface ResponseSpec {
  readonly description: string
  /** JSON; absent: no body, or a stream of `contentType`. */
  readonly schema?: z.ZodType
  /** Several where a parameter chooses. */
  readonly contentType?: string | readonly string[]
}

export interface RouteSpec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly method: Method
  /** OpenAPI form below /api/v1 or, where it begins with `//`, the root: `/organizations/{organization}/projects`. */
  readonly path: string
  /** Unique: `listProjects`. */
  readonly id: string
  readonly summary: string
  readonly description?: string
  readonly tag: string
  readonly access: Access
  readonly params?: P
  readonly query?: Q
  readonly body?: B | StreamBody
  readonly responses: Readonly<Record<number, ResponseSpec>>
  /** Problems beside those that every route can answer. */
  readonly problems?: readonly ProblemName[]
  /** Whether If-Match must be there (428); default: it may. Only for resources with versions. */
  readonly ifMatch?: 'needed' | 'optional'
  /** AZ-6 */
  readonly isDangerous?: boolean
  /** A POST that changes nothing (preview, validation): no audit event, no Idempotency-Key. */
  readonly changesNothing?: boolean
  /** Octets of a JSON body; default 1 MiB. */
  readonly maxBodyBytes?: number
  /** Long streams: not ended by the request timeout. */
  readonly isLongLived?: boolean
  readonly handler: (context: Context<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Answer>
}

export type AnyRoute = RouteSpec<z.ZodType, z.ZodType, z.ZodType>

/** Keeps the types of one definition together, then forgets them. */
export function route<
  P extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
  B extends z.ZodType = z.ZodUndefined,
>(spec: RouteSpec<P, Q, B>): AnyRoute {
  return spec
}

export function isStreamBody(body: AnyRoute['body']): body is StreamBody {
  return body !== undefined && 'stream' in body
}

export const isChanging = (spec: Pick<AnyRoute, 'method' | 'changesNothing'>): boolean =>
  spec.method !== 'get' && spec.changesNothing !== true
