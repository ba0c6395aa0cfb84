// Which tokens were used already (RC-1): shared by all processes, kept while a token could be in date.
import { sql } from 'kysely'
import { countOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { RelayPlace } from './relay.ts'
import type { RelayToken } from './relay-token.ts'

/** @returns false when it was used before */
export async function useToken(tx: Tx, place: RelayPlace, { jti, expiresAt }: RelayToken): Promise<boolean> {
  const added = await countOf(
    tx,
    sql`insert into relay_token_use (organisation_id, project_id, relay_id, jti, expires_at)
        values (${place.organisation}, ${place.project}, ${place.relay}, ${jti}, ${expiresAt})
        on conflict do nothing`,
  )
  return added === 1
}

/** The scope has purpose `retention`, or is the organisation. @returns how many went */
export async function sweepTokenUses(tx: Tx, now: Date): Promise<number> {
  return countOf(tx, sql`delete from relay_token_use where expires_at < ${now}`)
}
