// Notifications in the database. Recipients are sealed; nothing here opens them.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { NotificationId, OrganisationId, ProjectId } from '../ids.ts'
import type { Notification } from './notification.ts'

export async function insertNotification(
  tx: Tx,
  notification: Pick<Notification, 'id' | 'organisation' | 'project' | 'events' | 'recipientsSealed' | 'isEnabled'>,
  createdBy: string,
): Promise<void> {
  const { id, organisation, project = '', events, recipientsSealed, isEnabled } = notification
  await sql`
    insert into notification (organisation_id, id, project_id, events, recipients_sealed, is_enabled, created_by)
    values (${organisation}, ${id}, ${project}, ${[...events]}, ${recipientsSealed}, ${isEnabled}, ${createdBy})`.execute(
    tx,
  )
}

/** At this place: the organisation's own, or the project's. */
export async function findNotification(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId | undefined,
  id: NotificationId,
  options: { readonly isLocked?: boolean } = {},
): Promise<Notification | undefined> {
  const row = await rowOf<NotificationRow>(
    tx,
    sql`select ${COLUMNS} from notification
         where organisation_id = ${organisation} and project_id = ${project ?? ''} and id = ${id}
         ${options.isLocked === true ? sql`for no key update` : sql``}`,
  )
  return row && toNotification(row)
}

export async function findNotificationById(
  tx: Tx,
  organisation: OrganisationId,
  id: NotificationId,
): Promise<Notification | undefined> {
  const row = await rowOf<NotificationRow>(
    tx,
    sql`select ${COLUMNS} from notification where organisation_id = ${organisation} and id = ${id}`,
  )
  return row && toNotification(row)
}

export async function listNotifications(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId | undefined,
  after: string,
  limit: number,
): Promise<Notification[]> {
  const rows = await rowsOf<NotificationRow>(
    tx,
    sql`select ${COLUMNS} from notification
         where organisation_id = ${organisation} and project_id = ${project ?? ''} and id > ${after} order by id limit ${limit}`,
  )
  return rows.map(toNotification)
}

export async function countNotifications(tx: Tx, organisation: OrganisationId): Promise<number> {
  const row = await rowOf<{ count: number }>(
    tx,
    sql`select count(*) as count from notification where organisation_id = ${organisation}`,
  )
  return row?.count ?? 0
}

export async function updateNotification(tx: Tx, notification: Notification): Promise<void> {
  const { organisation, id, events, recipientsSealed, isEnabled } = notification
  await sql`
    update notification set events = ${[...events]}, recipients_sealed = ${recipientsSealed}, is_enabled = ${isEnabled}, version = version + 1
     where organisation_id = ${organisation} and id = ${id}`.execute(tx)
}

export async function deleteNotification(tx: Tx, { organisation, id }: Notification): Promise<void> {
  await sql`delete from notification where organisation_id = ${organisation} and id = ${id}`.execute(tx)
}

const COLUMNS = sql`organisation_id, id, project_id, events, recipients_sealed, is_enabled, version, created_at`

interface NotificationRow {
  organisation_id: OrganisationId
  id: NotificationId
  project_id: ProjectId | ''
  events: string[]
  recipients_sealed: Buffer
  is_enabled: boolean
  version: number
  created_at: Date
}

function toNotification(row: NotificationRow): Notification {
  return {
    id: row.id,
    organisation: row.organisation_id,
    project: row.project_id === '' ? undefined : row.project_id,
    events: row.events,
    recipientsSealed: row.recipients_sealed,
    isEnabled: row.is_enabled,
    version: row.version,
    createdAt: row.created_at,
  }
}
