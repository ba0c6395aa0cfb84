// The credential of a request → who makes it. A cookie is a browser's session, a bearer token an API key; both at once is nobody. (AZ-2, AZ-8)
import type { IncomingMessage } from 'node:http'
import { sql } from 'kysely'
import { rowOf, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import { retrySecretOf } from '../http/idempotency.ts'
import type { ApiKeyId, OrganisationId, ProjectId } from '../ids.ts'
import { recordUse } from '../keys/key-inventory-store.ts'
import { credentialHash, isApiKey } from './api-key.ts'
import type { Caller, KeyCaller, SessionCaller } from './caller.ts'
import type { FailureLimit } from './failure-limit.ts'

/**
 * undefined without any credential.
 * @param now  ms since the epoch
 * @param sourceAddress  whose failures count against it (AZ-9)
 * @throws Problem 401 for one that is not, or no longer, valid: unknown and wrong look the same; 429 after too many of them
 */
export type Authenticate = (
  request: IncomingMessage,
  now: number,
  sourceAddress?: string,
) => Promise<Caller | undefined>

export interface AuthenticateDeps {
  readonly db: Db
  /**
   * Looks a session up by its cookie's value; undefined: there is none, or it has ended.
   * @param isPassive  a page asks by itself: no sign of a person, and no use of the session (AZ-3)
   */
  readonly findSession: (sessionId: string, now: number, isPassive: boolean) => Promise<SessionCaller | undefined>
  /**
   * Bearer tokens that were not valid. Sessions don't count: their ids can't be guessed, and a page left open over its session's end would shut
   * out a whole office.
   */
  readonly failures?: FailureLimit
}

export const SESSION_COOKIE = '__Host-causeway'
/** `last_used_at` is worth no more writes. */
const NOTE_USE_EVERY_MS = 60_000

export function createAuthenticate({ db, findSession, failures }: AuthenticateDeps): Authenticate {
  return async (request, now, sourceAddress = '') => {
    const { authorization } = request.headers
    const cookie = sessionCookie(request.headers.cookie)
    if (authorization === undefined && cookie === undefined) return undefined
    if (authorization !== undefined && cookie !== undefined) throw new Problem('not-signed-in')
    if (authorization === undefined) {
      const session = await findSession(cookie ?? '', now, isEventStream(request))
      if (session === undefined) throw new Problem('not-signed-in')
      return session
    }
    failures?.demand(sourceAddress)
    const caller = await findKeyCaller(db, bearerToken(authorization), now)
    if (caller === undefined) {
      failures?.note(sourceAddress)
      throw new Problem('not-signed-in')
    }
    return caller
  }
}

/** Browsers open a broken one again and again, with nobody in front of them. */
const isEventStream = ({ headers: { accept = '' } }: IncomingMessage): boolean => accept.includes('text/event-stream')

export const sessionCookie = (header: string | undefined): string | undefined => readCookie(header, SESSION_COOKIE)

export function readCookie(header: string | undefined, wanted: string): string | undefined {
  for (const pair of (header ?? '').split(';')) {
    const [name, ...value] = pair.split('=')
    if (name?.trim() === wanted) return value.join('=').trim()
  }
  return undefined
}

function bearerToken(authorization: string): string {
  const match = /^Bearer ([\x21-\x7e]{1,200})$/i.exec(authorization)
  return match?.[1] ?? ''
}

async function findKeyCaller(db: Db, token: string, now: number): Promise<KeyCaller | undefined> {
  if (!isApiKey(token)) return undefined
  const keyHash = credentialHash(token)
  const row = await withScope(db, { credential: keyHash }, (tx) =>
    rowOf<{
      organisation_id: OrganisationId
      id: ApiKeyId
      principal: string
      is_service: boolean
      permissions: string[]
      project_id: string
      allows_dangerous: boolean
      last_used_at: Date | null
    }>(
      tx,
      sql`select organisation_id, id, principal, is_service, permissions, project_id, allows_dangerous, last_used_at
            from api_key where key_hash = ${keyHash} and revoked_at is null and expires_at > ${new Date(now)}`,
    ),
  )
  if (row === undefined) return undefined
  if (now - (row.last_used_at?.getTime() ?? 0) > NOTE_USE_EVERY_MS) {
    await withScope(db, { organisation: row.organisation_id }, async (tx) => {
      await sql`update api_key set last_used_at = ${new Date(now)}
                 where organisation_id = ${row.organisation_id} and id = ${row.id}`.execute(tx)
      await recordUse(tx, row.organisation_id, 'api-key', [row.id], new Date(now))
    })
  }
  return {
    kind: 'api-key',
    retrySecret: retrySecretOf(token),
    principal: row.principal,
    key: row.id,
    organisation: row.organisation_id,
    project: row.project_id === '' ? undefined : (row.project_id as ProjectId),
    permissions: new Set(row.permissions),
    isService: row.is_service,
    allowsDangerous: row.allows_dangerous,
    keyHash,
  }
}
