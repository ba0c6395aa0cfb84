// Organisations in the database. Scope: the organisation, unless a function says otherwise.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import type { OrganisationId } from '../ids.ts'
import type { DeletionRequest } from '../projects/deletion.ts'
import { parseSettings } from './organisation-settings.ts'
import type { OrganisationSettings } from './organisation-settings.ts'
import type { Organisation } from './organisation.ts'

interface Row {
  readonly organisation_id: OrganisationId
  readonly name: string
  readonly region: string
  readonly version: number
  readonly settings_version: number
  readonly created_at: Date
  readonly deletion_requested_at: Date | null
  readonly deletion_requested_by: string | null
  readonly deletion_started_at: Date | null
}

const toOrganisation = (row: Row): Organisation => ({
  id: row.organisation_id,
  name: row.name,
  region: row.region,
  version: row.version,
  settingsVersion: row.settings_version,
  createdAt: row.created_at,
  deletion: toDeletion(row),
})

const toDeletion = (row: Row): DeletionRequest | undefined =>
  row.deletion_requested_at === null
    ? undefined
    : {
        requestedAt: row.deletion_requested_at,
        requestedBy: row.deletion_requested_by ?? '',
        forcedBy: [],
        startedAt: row.deletion_started_at ?? undefined,
      }

/**
 * Acts on who may do what, and on which tenants are whose, come one after another: each sees what the one before left. Inserts of rows that belong to
 * the organisation don't wait for it.
 */
export async function lockOrganisation(tx: Tx, organisation: OrganisationId): Promise<void> {
  await sql`select from organisation where organisation_id = ${organisation} for no key update`.execute(tx)
}

export async function findOrganisation(tx: Tx, organisation: OrganisationId): Promise<Organisation | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select organisation_id, name, region, version, settings_version, created_at, deletion_requested_at,
               deletion_requested_by, deletion_started_at
          from organisation where organisation_id = ${organisation} and deleted_at is null`,
  )
  return row && toOrganisation(row)
}

export interface ListedOrganisation {
  readonly id: OrganisationId
  readonly name: string
  readonly isMine: boolean
  /** What the list is ordered by: the database's idea of lower case, which need not be ours. */
  readonly sortName: string
}

/**
 * By name. Scope: the principal, and `administration` for all rather than only his own.
 * @param now  a support grant counts until its end
 */
export async function listOrganisations(
  tx: Tx,
  { principal, seesAll, now }: { principal: string; seesAll: boolean; now: Date },
  after: readonly [name: string, id: string] | undefined,
  limit: number,
): Promise<ListedOrganisation[]> {
  return rowsOf(
    tx,
    sql`
    with listed as (
      select o.organisation_id, o.name, lower(o.name) collate "C" as sort_name,
             exists (select from member m join role_assignment a on a.organisation_id = m.organisation_id and a.member_id = m.id
                      where m.organisation_id = o.organisation_id and m.principal = ${principal} and m.disabled_at is null)
             or exists (select from support_grant g where g.organisation_id = o.organisation_id and g.principal = ${principal}
                           and g.revoked_at is null and g.expires_at > ${now}) as is_mine
        from organisation o
       where o.organisation_id <> ${INSTALLATION} and o.deletion_started_at is null
         and ${after === undefined ? sql`true` : sql`(lower(o.name) collate "C", o.organisation_id) > (${after[0]}, ${after[1]})`})
    select organisation_id as id, name, is_mine as "isMine", sort_name as "sortName" from listed
     where is_mine or ${seesAll}
     order by sort_name, organisation_id
     limit ${limit}`,
  )
}

/** With its audit trail. Scope: the new organisation. */
export async function insertOrganisation(
  tx: Tx,
  { id, name, region, createdAt }: Pick<Organisation, 'id' | 'name' | 'region' | 'createdAt'>,
): Promise<void> {
  await sql`insert into organisation (organisation_id, name, region, created_at) values (${id}, ${name}, ${region}, ${createdAt})`.execute(
    tx,
  )
  await sql`insert into audit_chain (organisation_id) values (${id})`.execute(tx)
}

/** Name and deletion. */
export async function updateOrganisation(tx: Tx, organisation: Organisation): Promise<void> {
  const { id, name, version, deletion } = organisation
  await sql`
    update organisation set name = ${name}, version = ${version}, deletion_requested_at = ${deletion?.requestedAt ?? null},
           deletion_requested_by = ${deletion?.requestedBy ?? null}
     where organisation_id = ${id}`.execute(tx)
}

// ── Settings ───────────────────────────────────────────────────────────────────────────────────────────────────────

export async function loadSettings(tx: Tx, organisation: OrganisationId): Promise<OrganisationSettings> {
  const row = await rowOf<{ settings: unknown }>(
    tx,
    sql`select settings from organisation where organisation_id = ${organisation}`,
  )
  return parseSettings(row?.settings ?? {})
}

export async function updateSettings(
  tx: Tx,
  organisation: OrganisationId,
  region: string,
  settings: OrganisationSettings,
  version: number,
): Promise<void> {
  await sql`
    update organisation set region = ${region}, settings = ${JSON.stringify(settings)}::jsonb, settings_version = ${version}
     where organisation_id = ${organisation}`.execute(tx)
}

// ── Deletion ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Those whose deletion was asked for before `before`, or has begun. Scope: purpose `reconcile`. */
export async function dueOrganisations(tx: Tx, before: Date): Promise<OrganisationId[]> {
  const rows = await rowsOf<{ id: OrganisationId }>(
    tx,
    sql`select organisation_id as id from organisation
         where deletion_requested_at <= ${before} and deleted_at is null order by deletion_requested_at`,
  )
  return rows.map(({ id }) => id)
}

/** From here on nobody gets in. @returns false when it was undone meanwhile */
export async function startDeletion(tx: Tx, organisation: OrganisationId, now: Date): Promise<boolean> {
  const started = await countOf(
    tx,
    sql`update organisation set deletion_started_at = coalesce(deletion_started_at, ${now})
         where organisation_id = ${organisation} and deletion_requested_at is not null and deleted_at is null`,
  )
  return started === 1
}

/** All projects, those whose deletion has begun among them. */
export async function projectIdsOf(tx: Tx, organisation: OrganisationId): Promise<string[]> {
  const rows = await rowsOf<{ id: string }>(
    tx,
    sql`select id from project where organisation_id = ${organisation} order by id`,
  )
  return rows.map(({ id }) => id)
}

/** What is left is an id that the audit trail hangs on. @returns false when another process was faster */
export async function leaveTombstone(tx: Tx, organisation: OrganisationId, now: Date): Promise<boolean> {
  const left = await countOf(
    tx,
    sql`update organisation set name = organisation_id, settings = '{}', deleted_at = ${now}
         where organisation_id = ${organisation} and deleted_at is null`,
  )
  return left === 1
}

// ── Region (TI-5) ──────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Labels of the storage itself and of the organisations on it. Scope: purpose `administration`, so that all are seen.
 */
export async function regionsInUse(tx: Tx): Promise<{ storage: string; organisations: readonly string[] }> {
  const rows = await rowsOf<{ region: string; is_storage: boolean }>(
    tx,
    sql`select distinct region, organisation_id = ${INSTALLATION} as is_storage from organisation where deleted_at is null`,
  )
  const storage = rows.find(({ is_storage }) => is_storage)
  if (storage === undefined) throw new Error('unreachable: the schema comes with the installation')
  return { storage: storage.region, organisations: rows.filter((row) => !row.is_storage).map(({ region }) => region) }
}

/** Scope: the installation. */
export async function labelStorage(tx: Tx, region: string): Promise<void> {
  await sql`update organisation set region = ${region} where organisation_id = ${INSTALLATION}`.execute(tx)
}
