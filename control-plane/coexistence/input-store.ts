// What coexistence is made from, as the database has it: people by mapping entry and accounts, partners, names of certificates. Scope: the organisation.
// (coexistence.md §1.4, §1.7, §2.1)
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { MappedPerson } from './desired.ts'

export interface DomainOf {
  readonly tenant: TenantId
  /** A-labels, lower case. */
  readonly domain: string
}

/** @param mailbox  of the tenant that holds it */
export interface KnownPerson extends MappedPerson {
  readonly mailbox: string
}

/** Everybody with a mailbox that discovery has seen. @param scope  `pairs`: entries that pairs have written */
export async function readPeople(
  tx: Tx,
  place: ProjectPlace,
  scope: 'pairs' | 'all-mapped',
  domains: readonly DomainOf[],
): Promise<KnownPerson[]> {
  const rows = await rowsOf<Omit<KnownPerson, 'presentedGuid'> & { presentedGuid: string | null }>(
    tx,
    sql`
    with domain as (select * from unnest(${domains.map(({ domain }) => domain)}::text[], ${domains.map(({ tenant }) => tenant)}::text[]) as d (name, tenant_id))
    select m.tenant_id as "mailboxIn", p.tenant_id as "presentedBy", mailbox.object_id as "mailboxGuid", presented.object_id as "presentedGuid",
           e.mailbox
      from mapping_entry e
      join domain m on m.name = e.mailbox_domain
      join domain p on p.name = substring(e.presented_key from '[^@]*$')
     cross join lateral (${accountWith(place, sql`lower(normalize(e.mailbox, nfc))`, sql`m.tenant_id`)}) mailbox
      left join lateral (${accountWith(place, sql`e.presented_key`, sql`p.tenant_id`)}) presented on true
     where e.organisation_id = ${place.organisation} and e.project_id = ${place.project} and e.valid_to is null
       and ${scope === 'pairs' ? sql`e.source = 'pair'` : sql`true`}`,
  )
  return rows.map((row) => ({ ...row, presentedGuid: row.presentedGuid ?? undefined }))
}

/** Recipients of a tenant that stand for somebody elsewhere: contacts and mail users with an address there. */
export async function readPartners(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  domains: readonly string[],
): Promise<string[]> {
  const rows = await rowsOf<{ id: string }>(
    tx,
    sql`
    select distinct a.object_id as id
      from account_address x
      join account a on a.organisation_id = x.organisation_id and a.project_id = x.project_id and a.id = x.account_id and a.valid_to is null
     where x.organisation_id = ${place.organisation} and x.project_id = ${place.project} and x.tenant_id = ${tenant} and x.kind = 'smtp'
       and substring(x.key from '[^@]*$') = any(${[...domains]}::text[]) and a.kind in ('contact', 'mail-user')`,
  )
  return rows.map(({ id }) => id)
}

/** Of the certificates that relays show these tenants. */
export function readCertificateNames(
  tx: Tx,
  place: ProjectPlace,
): Promise<{ readonly tenant: TenantId; readonly names: readonly string[]; readonly expiresAt: Date | null }[]> {
  return rowsOf(
    tx,
    sql`select tenant_id as tenant, names, expires_at as "expiresAt" from certificate
         where organisation_id = ${place.organisation} and project_id = ${place.project} and purpose = 'tenant' and state = 'active'`,
  )
}

/** One account of a tenant that has this address. */
const accountWith = (place: ProjectPlace, key: ReturnType<typeof sql>, tenant: ReturnType<typeof sql>) => sql`
  select a.object_id
    from account_address x
    join account a on a.organisation_id = x.organisation_id and a.project_id = x.project_id and a.id = x.account_id and a.valid_to is null
   where x.organisation_id = ${place.organisation} and x.project_id = ${place.project} and x.kind = 'smtp'
     and x.key = ${key} and x.tenant_id = ${tenant}
   order by a.id limit 1`
