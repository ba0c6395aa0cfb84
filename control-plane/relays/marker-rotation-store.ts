// Keys of the marker replaced: two of each are valid at a time. Of two tokens the first is stamped by relays, and both are known to them; a new one begins
// in second place, so that no mail bears a word which the tenants' rules do not except yet. (DL-10, coexistence.md §1.5)
import { sql } from 'kysely'
import { rowOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import type { Sealer } from '../keys/sealer.ts'
import { ensureMarker, findMarker, newMarkerToken, newSecret, sealMarker } from './relay-secret-store.ts'
import type { MarkerKeys, ProjectPlace } from './relay-secret-store.ts'

export interface PendingToken {
  readonly token: string
  /** When it was made. */
  readonly since: Date
}

const of = ({ organisation, project }: ProjectPlace) =>
  sql`organisation_id = ${organisation} and project_id = ${project}`

/**
 * A new secret, in use at once, or a new token, known to relays from now on and stamped after `stampPendingToken`; the one before stays valid (DL-10). The
 * secret makes the address tags too: events from before are found by it no more. The caller bumps the project's settings version.
 *
 * @throws Problem 409 marker-token-pending: one more would end the one that relays stamp, or the one that rules are being told of
 */
export async function rotateMarker(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  what: 'token' | 'secret',
  now: Date,
): Promise<void> {
  await ensureMarker(tx, sealer, place, now)
  const since = await lockMarker(tx, place)
  const before = await findMarker(tx, sealer, place)
  if (before === undefined) throw new Error('unreachable: it was made above')
  if (what === 'secret') {
    const after = { ...before, secret: newSecret(), previousSecret: before.secret }
    return storeKeys(tx, sealer, place, after, sql`secret_at = ${now}`)
  }
  if (since !== undefined) throw new Problem('marker-token-pending', { since: since.toISOString() })
  const after = { ...before, previousToken: newMarkerToken() }
  await storeKeys(tx, sealer, place, after, sql`token_at = ${now}, token_pending_since = ${now}`)
}

/** undefined: relays stamp the newest one. Nobody else rotates until the commit. */
export async function findPendingToken(tx: Tx, sealer: Sealer, place: ProjectPlace): Promise<PendingToken | undefined> {
  const since = await lockMarker(tx, place)
  const token = since && (await findMarker(tx, sealer, place))?.previousToken
  return since === undefined || token === undefined ? undefined : { token, since }
}

/** From now on relays stamp the token that was pending; nothing where none is. The caller bumps the project's settings version. */
export async function stampPendingToken(tx: Tx, sealer: Sealer, place: ProjectPlace): Promise<void> {
  const pending = await findPendingToken(tx, sealer, place)
  const before = pending && (await findMarker(tx, sealer, place))
  if (pending === undefined || before === undefined) return
  const after = { ...before, token: pending.token, previousToken: before.token }
  await storeKeys(tx, sealer, place, after, sql`token_pending_since = null`)
}

/** @returns since when a token is pending */
async function lockMarker(tx: Tx, place: ProjectPlace): Promise<Date | undefined> {
  const row = await rowOf<{ since: Date | null }>(
    tx,
    sql`select token_pending_since as since from relay_marker where ${of(place)} for update`,
  )
  return row?.since ?? undefined
}

async function storeKeys(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  keys: MarkerKeys,
  times: ReturnType<typeof sql>,
): Promise<void> {
  const sealed = await sealMarker(tx, sealer, place, keys)
  await sql`update relay_marker set keys_sealed = ${sealed}, version = version + 1, ${times} where ${of(place)}`.execute(
    tx,
  )
}
