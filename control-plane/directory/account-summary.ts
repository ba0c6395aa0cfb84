// An account in a few words, as pairs, results of matchings and collections name it; and how lists of it are searched. Scope: the organisation.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { z } from 'zod'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { Place } from '../mapping/mapping.ts'
import { ACCOUNT_KINDS } from './account.ts'

export const accountShape = z
  .strictObject({
    id: z.string(),
    tenant: z.string(),
    objectId: z.string(),
    kind: z.enum(ACCOUNT_KINDS),
    displayName: z.string(),
    userPrincipalName: z.string().optional(),
    address: z.string().optional().meta({ description: 'Primary SMTP address.' }),
    isGone: z
      .boolean()
      .optional()
      .meta({ description: 'It is in its tenant no more; this is what was last known of it.' }),
  })
  .meta({ id: 'AccountSummary', description: 'An account, as what is about it names it.' })
export type AccountSummary = z.output<typeof accountShape>

/** An id in a filter or body, whatever it is of: what can't be one finds nothing, and never reaches the database with what that takes for a fault. */
export const idText = z.string().regex(/^[\x21-\x7e]{1,40}$/, 'an id')

/** As a column: the summary of the account that `id` names, as JSON; null where nothing is known of it. */
export function summaryOf({ organisation, project }: Place, id: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
    select jsonb_strip_nulls(jsonb_build_object(
             'id', a.id, 'tenant', a.tenant_id, 'objectId', a.object_id, 'kind', a.kind, 'displayName', a.display_name,
             'userPrincipalName', a.user_principal_name, 'address', coalesce(a.snapshot -> 'addresses' ->> 0, a.mail),
             'isGone', case when a.valid_to is not null then true end))
      from account a
     where a.organisation_id = ${organisation} and a.project_id = ${project} and a.id = ${id}
     order by a.valid_from desc limit 1)`
}

/** Of these, by id; absent where nothing is known. */
export async function findSummaries(
  tx: Tx,
  place: Place,
  ids: readonly string[],
): Promise<ReadonlyMap<string, AccountSummary>> {
  const rows = await rowsOf<{ id: string; summary: AccountSummary | null }>(
    tx,
    sql`select wanted.id, ${summaryOf(place, sql`wanted.id`)} as summary from unnest(${[...ids]}::text[]) as wanted(id)`,
  )
  return new Map(rows.flatMap(({ id, summary }) => (summary === null ? [] : [[id, summary] as const])))
}

/** Of an account of which nothing is known any more: its tenant was taken out of the project. */
export const unknownAccount = (id: string, tenant = ''): AccountSummary => ({
  id,
  tenant,
  objectId: '',
  kind: 'user',
  displayName: '',
  isGone: true,
})

/** Beyond everything that begins so: no text holds the last code point. */
const afterPrefix = (prefix: string): string => `${prefix}\u{10ffff}`

/**
 * Whether an account's name, or one of its addresses, begins so.
 * @param text  as compared
 */
export function beginsWith(
  { organisation, project }: Place,
  text: string,
  sortKey: RawBuilder<unknown>,
  accounts: readonly RawBuilder<unknown>[],
): RawBuilder<unknown> {
  const found = sql`select b.account_id from account_address b
     where b.organisation_id = ${organisation} and b.project_id = ${project} and b.key >= ${text} and b.key < ${afterPrefix(text)}`
  return sql`((${sortKey} >= ${text} and ${sortKey} < ${afterPrefix(text)})
      or ${sql.join(
        accounts.map((account) => sql`${account} in (${found})`),
        sql` or `,
      )})`
}
