// Projects in the database. Scope: the organisation, unless a function says otherwise.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { DoneStep } from './deletion.ts'
import type { Project } from './project.ts'

interface Row {
  readonly organisation_id: OrganisationId
  readonly id: ProjectId
  readonly name: string
  readonly description: string
  readonly shows_titles: boolean
  readonly version: number
  readonly mapping_revision: number
  readonly settings_version: number
  readonly snapshot_version: number
  readonly created_at: Date
  readonly created_by: string
  readonly deletion_requested_at: Date | null
  readonly deletion_requested_by: string | null
  readonly deletion_forced_by: string[]
  readonly deletion_started_at: Date | null
}

const COLUMNS = sql`organisation_id, id, name, description, shows_titles, version, mapping_revision, settings_version, snapshot_version,
  created_at, created_by, deletion_requested_at, deletion_requested_by, deletion_forced_by, deletion_started_at`

const toProject = (row: Row): Project => ({
  id: row.id,
  organisation: row.organisation_id,
  name: row.name,
  description: row.description,
  showsTitles: row.shows_titles,
  version: row.version,
  mappingRevision: row.mapping_revision,
  settingsVersion: row.settings_version,
  snapshotVersion: row.snapshot_version,
  createdAt: row.created_at,
  createdBy: row.created_by,
  deletion:
    row.deletion_requested_at === null
      ? undefined
      : {
          requestedAt: row.deletion_requested_at,
          requestedBy: row.deletion_requested_by ?? '',
          forcedBy: row.deletion_forced_by,
          startedAt: row.deletion_started_at ?? undefined,
        },
})

export interface ProjectFilter {
  /** undefined: all of the organisation. */
  readonly among: ReadonlySet<string> | undefined
  readonly namePrefix: string | undefined
  readonly isBeingDeleted: boolean | undefined
}

export interface ListedProject extends Project {
  /** What the list is ordered by. */
  readonly sortName: string
}

/** By name; those whose deletion has begun are gone already. */
export async function listProjects(
  tx: Tx,
  organisation: OrganisationId,
  { among, namePrefix, isBeingDeleted }: ProjectFilter,
  after: readonly [sortName: string, id: string] | undefined,
  limit: number,
): Promise<ListedProject[]> {
  const rows = await rowsOf<Row & { sort_name: string }>(
    tx,
    sql`
    select ${COLUMNS}, lower(name) collate "C" as sort_name from project
     where organisation_id = ${organisation} and deletion_started_at is null
       and ${among === undefined ? sql`true` : sql`id = any(${[...among]})`}
       and ${namePrefix === undefined ? sql`true` : sql`lower(name) collate "C" ^@ lower(${namePrefix})`}
       and ${isBeingDeleted === undefined ? sql`true` : sql`(deletion_requested_at is not null) = ${isBeingDeleted}`}
       and ${after === undefined ? sql`true` : sql`(lower(name) collate "C", id) > (${after[0]}, ${after[1]})`}
     order by lower(name) collate "C", id
     limit ${limit}`,
  )
  return rows.map((row) => ({ ...toProject(row), sortName: row.sort_name }))
}

/** @param isLocked  until the commit: changes of one project come one after another */
export async function findProject(
  tx: Tx,
  organisation: OrganisationId,
  id: ProjectId,
  { isLocked = false } = {},
): Promise<Project | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select ${COLUMNS} from project where organisation_id = ${organisation} and id = ${id}
        ${isLocked ? sql`for no key update` : sql``}`,
  )
  return row && toProject(row)
}

export async function insertProject(tx: Tx, project: Project): Promise<void> {
  const { organisation, id, name, description, showsTitles, version, createdAt, createdBy } = project
  await sql`
    insert into project (organisation_id, id, name, description, shows_titles, version, created_at, created_by)
    values (${organisation}, ${id}, ${name}, ${description}, ${showsTitles}, ${version}, ${createdAt}, ${createdBy})`.execute(
    tx,
  )
}

/** What people change of it, and its deletion. */
export async function updateProject(tx: Tx, project: Project): Promise<void> {
  const { organisation, id, name, description, showsTitles, version, deletion } = project
  await sql`
    update project set name = ${name}, description = ${description}, shows_titles = ${showsTitles}, version = ${version},
           deletion_requested_at = ${deletion?.requestedAt ?? null}, deletion_requested_by = ${deletion?.requestedBy ?? null},
           deletion_forced_by = ${[...(deletion?.forcedBy ?? [])]}
     where organisation_id = ${organisation} and id = ${id}`.execute(tx)
}

// ── Deletion ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Those whose deletion was asked for before `before`, or has begun. Scope: purpose `reconcile`. */
export async function dueProjects(
  tx: Tx,
  before: Date,
): Promise<{ organisation: OrganisationId; project: ProjectId }[]> {
  return rowsOf(
    tx,
    sql`select organisation_id as organisation, id as project from project
         where deletion_requested_at is not null and (deletion_requested_at <= ${before} or deletion_started_at is not null)
         order by deletion_requested_at`,
  )
}

/** From here on nobody gets in. */
export async function startDeletion(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  by: { requestedAt: Date; requestedBy: string; startedAt: Date },
): Promise<void> {
  await sql`
    update project set deletion_requested_at = coalesce(deletion_requested_at, ${by.requestedAt}),
           deletion_requested_by = coalesce(deletion_requested_by, ${by.requestedBy}),
           deletion_started_at = coalesce(deletion_started_at, ${by.startedAt})
     where organisation_id = ${organisation} and id = ${project}`.execute(tx)
}

/** Steps that are done, in the order in which they were. */
export async function loadDoneSteps(tx: Tx, organisation: OrganisationId, project: ProjectId): Promise<DoneStep[]> {
  const row = await rowOf<{ steps: DoneStep[] }>(
    tx,
    sql`select deletion_steps as steps from project where organisation_id = ${organisation} and id = ${project}`,
  )
  return row?.steps ?? []
}

export async function noteDoneStep(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  step: DoneStep,
): Promise<void> {
  // Once, however many processes are at it.
  await sql`
    update project set deletion_steps = deletion_steps || ${JSON.stringify([step])}::jsonb
     where organisation_id = ${organisation} and id = ${project}
       and not deletion_steps @> ${JSON.stringify([{ name: step.name }])}::jsonb`.execute(tx)
}

/** @returns false when it was gone */
export async function deleteProjectRow(tx: Tx, organisation: OrganisationId, project: ProjectId): Promise<boolean> {
  return (await countOf(tx, sql`delete from project where organisation_id = ${organisation} and id = ${project}`)) === 1
}
