// Runs of probes and validations, and what relays saw of them, in the database. Scope: the organisation.
import { sql } from 'kysely'
import { countOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { RelayId, TenantId } from '../ids.ts'
import type { ProjectPlace } from '../relays/relay-secret-store.ts'
import type { Evidence, Verdict } from './evidence.ts'

export interface Run {
  readonly nonce: string
  readonly kind: 'probe' | 'validation'
  readonly tenant: TenantId
  readonly direction: 'out' | 'in'
  readonly host: string
  readonly nonceId: string
  readonly startedAt: Date
  readonly expiresAt: Date
}

const of = ({ organisation, project }: ProjectPlace) =>
  sql`organisation_id = ${organisation} and project_id = ${project}`

export async function addRun(tx: Tx, place: ProjectPlace, run: Run): Promise<void> {
  await sql`insert into coexistence_run (organisation_id, project_id, nonce, kind, tenant_id, direction, host, nonce_id, started_at, expires_at)
            values (${place.organisation}, ${place.project}, ${run.nonce}, ${run.kind}, ${run.tenant}, ${run.direction}, ${run.host}, ${run.nonceId},
                    ${run.startedAt}, ${run.expiresAt})`.execute(tx)
}

/** The oldest first. @param at  only those in date then */
export function listRuns(tx: Tx, place: ProjectPlace, at?: Date): Promise<Run[]> {
  return rowsOf<Run>(
    tx,
    sql`select nonce, kind, tenant_id as tenant, direction, host, nonce_id as "nonceId", started_at as "startedAt", expires_at as "expiresAt"
          from coexistence_run where ${of(place)} and ${at === undefined ? sql`true` : sql`expires_at > ${at}`} order by started_at, nonce`,
  )
}

/** With what was seen of them, and with the nonces that let relays take their mail. @returns how many went */
export async function removeRuns(tx: Tx, place: ProjectPlace): Promise<number> {
  const gone = await rowsOf<{ nonce_id: string }>(
    tx,
    sql`with gone as (delete from coexistence_run where ${of(place)} returning nonce_id),
             closed as (delete from relay_nonce where ${of(place)} and id in (select nonce_id from gone))
        select nonce_id from gone`,
  )
  return gone.length
}

/**
 * Of a nonce without a run nothing is kept. A message that is seen again, sent twice or told of late, has the better word of the two, but for one that
 * was altered: then something alters them.
 * @returns how many were news
 */
export function keepEvidence(
  tx: Tx,
  place: ProjectPlace,
  relay: RelayId,
  seen: readonly (Evidence & { readonly at: Date })[],
): Promise<number> {
  const rows = seen.map(({ at, ...each }) => ({ ...each, at: at.toISOString() }))
  return countOf(
    tx,
    sql`insert into coexistence_evidence as kept (organisation_id, project_id, nonce, maker, index, relay_id, verdict, seen_at)
        select distinct on (s.nonce, s.maker, s.index) r.organisation_id, r.project_id, s.nonce, s.maker, s.index, ${relay}, s.verdict, s.at
          from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as s (nonce text, maker text, index integer, verdict text, at timestamptz)
          join coexistence_run r on r.nonce = s.nonce and (r.kind = 'validation') = (s.verdict = 'seen')
         where r.organisation_id = ${place.organisation} and r.project_id = ${place.project}
         order by s.nonce, s.maker, s.index, ${rank(sql`s.verdict`)}
        on conflict (organisation_id, project_id, nonce, maker, index)
        do update set verdict = excluded.verdict, relay_id = excluded.relay_id, seen_at = excluded.seen_at
         where ${rank(sql`excluded.verdict`)} < ${rank(sql`kept.verdict`)}`,
  )
}

/** What outweighs comes first. */
const rank = (verdict: ReturnType<typeof sql>) =>
  sql`array_position(array['altered', 'expected', 'seen', 'other-tenant', 'no-proof'], ${verdict})`

export interface CountedEvidence {
  readonly nonce: string
  readonly maker: string
  readonly verdict: Verdict
  readonly messages: number
}

export function countEvidence(tx: Tx, place: ProjectPlace): Promise<CountedEvidence[]> {
  return rowsOf<CountedEvidence>(
    tx,
    sql`select nonce, maker, verdict, count(*)::int as messages from coexistence_evidence
         where ${of(place)} group by nonce, maker, verdict`,
  )
}

/** When relays last took a message of people, and first took one by a rule of this tenant and direction since then; undefined: none. */
export async function acceptedSince(
  tx: Tx,
  place: ProjectPlace,
  since: Date,
): Promise<readonly { readonly tenant: string | null; readonly direction: string; readonly last: Date }[]> {
  return rowsOf(
    tx,
    sql`select fields->>'tenant' as tenant, coalesce(fields->>'direction', '') as direction, max(time) as last from message_event
         where ${of(place)} and event = 'accepted' and class = 'message' and time >= ${since}
         group by 1, 2`,
  )
}
