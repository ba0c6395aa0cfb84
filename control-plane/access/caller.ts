// Who makes a request, as far as the credential shows it. What he may do where is looked up for each request. (AZ-2, AZ-8)
import type { ApiKeyId, OrganisationId, ProjectId } from '../ids.ts'
import type { Cap } from './permissions.ts'

/** A person of Entra: tenant and object id, never an e-mail address (AZ-1). */
export const principalOf = (tenantId: string, objectId: string): string =>
  `${tenantId.toLowerCase()}/${objectId.toLowerCase()}`

export interface SessionCaller {
  readonly kind: 'session'
  /** Seals answers kept for a retry (http/idempotency.ts). */
  readonly retrySecret: string
  readonly principal: string
  readonly displayName: string
  /** Hex SHA-256 of the cookie. */
  readonly sessionHash: string
  readonly csrfHash: string
  /** ms since the epoch; AZ-6 asks for ≤ 5 min. */
  readonly authenticatedAt: number
  readonly isBreakGlass: boolean
}

export interface KeyCaller {
  readonly kind: 'api-key'
  readonly retrySecret: string
  /** Of a personal key: its owner. Of a service key: who made it, for the audit. */
  readonly principal: string
  readonly key: ApiKeyId
  readonly organisation: OrganisationId
  readonly project: ProjectId | undefined
  /** Of a service key these are its permissions; of a personal one they narrow its owner's. */
  readonly permissions: ReadonlySet<string>
  readonly isService: boolean
  /** AZ-6 */
  readonly allowsDangerous: boolean
  readonly keyHash: string
}

export type Caller = SessionCaller | KeyCaller

/** Unique among callers and constant for one: whose Idempotency-Keys, rates and audit events these are. */
export function callerName(caller: Caller): string {
  return caller.kind === 'session' ? `person:${caller.principal}` : `key:${caller.key}`
}

/** The caller of a route that nobody reaches without a credential. */
export function callerOf(caller: Caller | undefined): Caller {
  if (caller === undefined) throw new Error('unreachable: the route is not public')
  return caller
}

export function capOf(caller: Caller): Cap {
  if (caller.kind === 'session') return {}
  return { permissions: caller.permissions, ...(caller.project === undefined ? {} : { project: caller.project }) }
}
