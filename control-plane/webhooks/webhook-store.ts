// Webhooks in the database. Secrets are sealed; nothing here opens them.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId, WebhookId } from '../ids.ts'
import type { Webhook } from './webhook.ts'

export interface NewWebhook extends Pick<
  Webhook,
  'id' | 'organisation' | 'project' | 'url' | 'description' | 'events' | 'isEnabled'
> {
  readonly secretSealed: Uint8Array
  readonly createdBy: string
}

export async function insertWebhook(tx: Tx, webhook: NewWebhook): Promise<void> {
  const { id, organisation, project = '', url, description, events, isEnabled, secretSealed, createdBy } = webhook
  await sql`
    insert into webhook (organisation_id, id, project_id, url, description, events, is_enabled, secret_sealed, created_by)
    values (${organisation}, ${id}, ${project}, ${url}, ${description}, ${[...events]}, ${isEnabled}, ${secretSealed}, ${createdBy})`.execute(
    tx,
  )
}

/** At this place: the organisation's own, or the project's. */
export async function findWebhook(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId | undefined,
  id: WebhookId,
  options: { readonly isLocked?: boolean } = {},
): Promise<Webhook | undefined> {
  const row = await rowOf<WebhookRow>(
    tx,
    sql`select ${COLUMNS} from webhook
         where organisation_id = ${organisation} and project_id = ${project ?? ''} and id = ${id}
         ${options.isLocked === true ? sql`for no key update` : sql``}`,
  )
  return row && toWebhook(row)
}

export async function findWebhookById(
  tx: Tx,
  organisation: OrganisationId,
  id: WebhookId,
): Promise<Webhook | undefined> {
  const row = await rowOf<WebhookRow>(
    tx,
    sql`select ${COLUMNS} from webhook where organisation_id = ${organisation} and id = ${id}`,
  )
  return row && toWebhook(row)
}

export async function listWebhooks(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId | undefined,
  after: string,
  limit: number,
): Promise<Webhook[]> {
  const rows = await rowsOf<WebhookRow>(
    tx,
    sql`select ${COLUMNS} from webhook
         where organisation_id = ${organisation} and project_id = ${project ?? ''} and id > ${after} order by id limit ${limit}`,
  )
  return rows.map(toWebhook)
}

export async function countWebhooks(tx: Tx, organisation: OrganisationId): Promise<number> {
  const row = await rowOf<{ count: number }>(
    tx,
    sql`select count(*) as count from webhook where organisation_id = ${organisation}`,
  )
  return row?.count ?? 0
}

/** Another URL, or being enabled, begins anew: what failed before says nothing. */
export async function updateWebhook(tx: Tx, webhook: Webhook): Promise<void> {
  const { organisation, id, url, description, events, isEnabled } = webhook
  await sql`
    update webhook
       set url = ${url}, description = ${description}, events = ${[...events]}, is_enabled = ${isEnabled}, version = version + 1,
           failures = 0, rests_until = null
     where organisation_id = ${organisation} and id = ${id}`.execute(tx)
}

/** The secret in force becomes the previous one, which signs as well for a while. @param previousSealed  it, sealed as such */
export async function replaceSecret(
  tx: Tx,
  { organisation, id }: Webhook,
  sealed: Uint8Array,
  previous: { readonly sealed: Uint8Array; readonly until: Date },
): Promise<void> {
  await sql`
    update webhook
       set secret_sealed = ${sealed}, previous_secret_sealed = ${previous.sealed}, previous_secret_until = ${previous.until}, version = version + 1
     where organisation_id = ${organisation} and id = ${id}`.execute(tx)
}

export async function findSecrets(
  tx: Tx,
  organisation: OrganisationId,
  id: WebhookId,
): Promise<{ secret: Buffer; previous: Buffer | null; previousUntil: Date | null } | undefined> {
  return rowOf(
    tx,
    sql`select secret_sealed as secret, previous_secret_sealed as previous, previous_secret_until as "previousUntil"
          from webhook where organisation_id = ${organisation} and id = ${id}`,
  )
}

export async function deleteWebhook(tx: Tx, { organisation, id }: Webhook): Promise<void> {
  await sql`delete from webhook where organisation_id = ${organisation} and id = ${id}`.execute(tx)
}

export async function noteSuccess(tx: Tx, { organisation, id }: Webhook): Promise<void> {
  await sql`update webhook set failures = 0, rests_until = null
             where organisation_id = ${organisation} and id = ${id} and (failures > 0 or rests_until is not null)`.execute(
    tx,
  )
}

/** @returns failures in a row, this one among them */
export async function noteFailure(tx: Tx, { organisation, id }: Webhook): Promise<number> {
  const row = await rowOf<{ failures: number }>(
    tx,
    sql`update webhook set failures = failures + 1 where organisation_id = ${organisation} and id = ${id} returning failures`,
  )
  return row?.failures ?? 0
}

export async function letRest(tx: Tx, { organisation, id }: Webhook, until: Date): Promise<void> {
  await sql`update webhook set rests_until = ${until} where organisation_id = ${organisation} and id = ${id}`.execute(
    tx,
  )
}

/** The receiver said that it is gone. @returns whether it was enabled */
export async function disable(tx: Tx, { organisation, id }: Webhook): Promise<boolean> {
  const disabled = await countOf(
    tx,
    sql`update webhook set is_enabled = false, version = version + 1
         where organisation_id = ${organisation} and id = ${id} and is_enabled`,
  )
  return disabled === 1
}

const COLUMNS = sql`organisation_id, id, project_id, url, description, events, is_enabled, failures, rests_until, previous_secret_until, version, created_at`

interface WebhookRow {
  organisation_id: OrganisationId
  id: WebhookId
  project_id: ProjectId | ''
  url: string
  description: string
  events: string[]
  is_enabled: boolean
  failures: number
  rests_until: Date | null
  previous_secret_until: Date | null
  version: number
  created_at: Date
}

function toWebhook(row: WebhookRow): Webhook {
  return {
    id: row.id,
    organisation: row.organisation_id,
    project: row.project_id === '' ? undefined : row.project_id,
    url: row.url,
    description: row.description,
    events: row.events,
    isEnabled: row.is_enabled,
    failures: row.failures,
    restsUntil: row.rests_until ?? undefined,
    previousSecretUntil: row.previous_secret_until ?? undefined,
    version: row.version,
    createdAt: row.created_at,
  }
}
