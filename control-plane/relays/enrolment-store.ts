// Enrolments in Postgres: codes as hashes, found by hash without knowing whose they are.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import type { EnrolmentId, OrganisationId, ProjectId, RelayId } from '../ids.ts'

export interface Enrolment {
  readonly id: EnrolmentId
  readonly name: string
  readonly createdAt: Date
  readonly createdBy: string
  readonly expiresAt: Date
  readonly cancelledAt: Date | undefined
  readonly usedAt: Date | undefined
  readonly relay: RelayId | undefined
}

export interface NewEnrolment {
  readonly id: EnrolmentId
  readonly name: string
  readonly codeHash: string
  readonly createdAt: Date
  readonly createdBy: string
  readonly expiresAt: Date
}

export async function addEnrolment(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  { id, name, codeHash, createdAt, createdBy, expiresAt }: NewEnrolment,
): Promise<void> {
  await sql`
    insert into relay_enrolment (organisation_id, project_id, id, name, code_hash, created_at, created_by, expires_at)
    values (${organisation}, ${project}, ${id}, ${name}, ${codeHash}, ${createdAt}, ${createdBy}, ${expiresAt})`.execute(
    tx,
  )
}

/** Whose code it is. The scope is the code's hash as credential. */
export async function findEnrolmentPlace(
  tx: Tx,
  codeHash: string,
): Promise<{ organisation: OrganisationId; project: ProjectId; enrolment: EnrolmentId } | undefined> {
  const row = await rowOf<{ organisation_id: OrganisationId; project_id: ProjectId; id: EnrolmentId }>(
    tx,
    sql`select organisation_id, project_id, id from relay_enrolment where code_hash = ${codeHash}`,
  )
  return row && { organisation: row.organisation_id, project: row.project_id, enrolment: row.id }
}

/** Locks it until the commit: a code is used once, however many come with it. */
export async function lockEnrolment(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  id: EnrolmentId,
): Promise<Enrolment | undefined> {
  const row = await rowOf<EnrolmentRow>(
    tx,
    sql`select ${columns} from relay_enrolment
         where organisation_id = ${organisation} and project_id = ${project} and id = ${id} for update`,
  )
  return row && toEnrolment(row)
}

export async function useEnrolment(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  id: EnrolmentId,
  relay: RelayId,
  at: Date,
): Promise<void> {
  await sql`update relay_enrolment set used_at = ${at}, relay_id = ${relay}
             where organisation_id = ${organisation} and project_id = ${project} and id = ${id}`.execute(tx)
}

/** @returns false when it was used or cancelled before */
export async function cancelEnrolment(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  id: EnrolmentId,
  at: Date,
): Promise<boolean> {
  const cancelled = await countOf(
    tx,
    sql`update relay_enrolment set cancelled_at = ${at}
         where organisation_id = ${organisation} and project_id = ${project} and id = ${id}
           and used_at is null and cancelled_at is null`,
  )
  return cancelled === 1
}

/** Newest first; one more than the page holds where there are more. */
export async function listEnrolments(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  { after, limit }: PageRequest,
): Promise<Enrolment[]> {
  const [createdAt, id] = after ?? []
  const rows = await rowsOf<EnrolmentRow>(
    tx,
    sql`select ${columns} from relay_enrolment
         where organisation_id = ${organisation} and project_id = ${project}
           and ${after === undefined ? sql`true` : sql`(created_at, id) < (${new Date(Number(createdAt))}, ${id})`}
         order by created_at desc, id desc
         limit ${limit + 1}`,
  )
  return rows.map(toEnrolment)
}

const columns = sql`id, name, created_at, created_by, expires_at, cancelled_at, used_at, relay_id`

interface EnrolmentRow {
  id: EnrolmentId
  name: string
  created_at: Date
  created_by: string
  expires_at: Date
  cancelled_at: Date | null
  used_at: Date | null
  relay_id: RelayId | null
}

const toEnrolment = (row: EnrolmentRow): Enrolment => ({
  id: row.id,
  name: row.name,
  createdAt: row.created_at,
  createdBy: row.created_by,
  expiresAt: row.expires_at,
  cancelledAt: row.cancelled_at ?? undefined,
  usedAt: row.used_at ?? undefined,
  relay: row.relay_id ?? undefined,
})

/** Codes whose time was over before that, used or not; the relays that came by them stay. @returns how many went, at most `limit` */
export function sweepEnrolments(tx: Tx, organisation: OrganisationId, before: Date, limit: number): Promise<number> {
  return countOf(
    tx,
    sql`delete from relay_enrolment where (organisation_id, project_id, id) in (
          select organisation_id, project_id, id from relay_enrolment
           where organisation_id = ${organisation} and expires_at < ${before} limit ${limit})`,
  )
}
