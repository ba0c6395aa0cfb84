// What the database knows for a dry run of coexistence: who is presented where, how many write, what was certified. Scope: the organisation.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PeopleFacts, PresentedDomain, RoutedMail } from '../findings/preflight.ts'
import type { AccountId, TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'

export type MappedDomain = Pick<PresentedDomain, 'domain' | 'owner' | 'people'>

export interface PeopleInTenants {
  readonly people: readonly PeopleFacts[]
  /** Those with the most people first. */
  readonly domains: readonly MappedDomain[]
}

const MAX_NAMED = 20
const MAX_DOMAINS = 100

/**
 * Entries whose mailbox and presented address are in different tenants of the project, with who has these addresses. Over a whole table it takes
 * seconds a million entries.
 * @param scope  of the switch
 */
export async function readPeople(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  scope: 'pairs' | 'all-mapped',
): Promise<PeopleInTenants> {
  const within = (alias: string) =>
    sql`${sql.ref(`${alias}.organisation_id`)} = ${organisation} and ${sql.ref(`${alias}.project_id`)} = ${project}`
  const found = await rowOf<{
    people: Omit<PeopleFacts, 'accounts'>[]
    missing: { mailboxIn: TenantId; presentedBy: TenantId; account: AccountId }[]
    domains: MappedDomain[]
  }>(
    tx,
    sql`
    with owner as materialized (
           select distinct on (d.name) d.name, t.id as tenant
             from tenant_connection t
            cross join lateral unnest(t.accepted_domains || t.initial_domain) as d(name)
            where ${within('t')} and d.name is not null
            order by d.name, t.id),
         crossing as (
           select e.presented_key, lower(normalize(e.mailbox, nfc)) as mailbox, p.name as domain, m.tenant as mailbox_in, p.tenant as presented_by
             from mapping_entry e
             join owner m on m.name = e.mailbox_domain
             -- Keys are local@domain, and no domain has an @.
             join owner p on p.name = substring(e.presented_key from '[^@]*$')
            where ${within('e')} and e.valid_to is null and m.tenant <> p.tenant
              and ${scope === 'pairs' ? sql`e.source = 'pair'` : sql`true`}),
         known as materialized (
           select c.mailbox_in, c.presented_by, c.domain, h.account_id as account,
                  exists (select from account_address b
                           where ${within('b')} and b.key = c.presented_key and b.tenant_id = c.presented_by and b.kind = 'smtp') as has_object,
                  exists (select from account_address b
                           where ${within('b')} and b.account_id = h.account_id and b.kind = 'smtp' and b.key <> c.mailbox) as has_alias
             from crossing c
             left join lateral (
               select b.account_id from account_address b
                where ${within('b')} and b.key = c.mailbox and b.tenant_id = c.mailbox_in and b.kind = 'smtp'
                order by b.account_id limit 1) h on true),
         people as (
           select mailbox_in as "mailboxIn", presented_by as "presentedBy", count(*) as people,
                  count(*) filter (where account is null) as "withoutMailbox",
                  count(*) filter (where account is not null and not has_object) as "withoutObject",
                  count(*) filter (where account is not null and has_object and has_alias) as "withAliases"
             from known group by 1, 2 order by 1, 2),
         missing as (
           select mailbox_in as "mailboxIn", presented_by as "presentedBy", account,
                  row_number() over (partition by mailbox_in, presented_by order by account) as place
             from known where not has_object and account is not null),
         domains as (
           select domain, presented_by as owner, count(*) as people from known
            where has_object and account is not null group by 1, 2 order by 3 desc, 1 limit ${MAX_DOMAINS})
    select (select coalesce(jsonb_agg(p), '[]') from people p) as people,
           (select coalesce(jsonb_agg(m order by m.account), '[]') from missing m where m.place <= ${MAX_NAMED}) as missing,
           (select coalesce(jsonb_agg(d), '[]') from domains d) as domains`,
  )
  const { people = [], missing = [], domains = [] } = found ?? {}
  return {
    people: people.map((each) => ({
      ...each,
      accounts: missing
        .filter(({ mailboxIn, presentedBy }) => mailboxIn === each.mailboxIn && presentedBy === each.presentedBy)
        .map(({ account }) => account),
    })),
    domains,
  }
}

/** Users and shared mailboxes that have a mailbox, or a licence and nobody could look. */
export async function countMailboxes(
  tx: Tx,
  { organisation, project }: ProjectPlace,
): Promise<ReadonlyMap<TenantId, number>> {
  const rows = await rowsOf<{ tenant: TenantId; mailboxes: number }>(
    tx,
    sql`select a.tenant_id as tenant, count(*) as mailboxes from account a
         where a.organisation_id = ${organisation} and a.project_id = ${project} and a.valid_to is null
           and a.kind in ('user', 'shared-mailbox') and jsonb_array_length(a.snapshot -> 'addresses') > 0
         group by 1`,
  )
  return new Map(rows.map(({ tenant, mailboxes }) => [tenant, mailboxes]))
}

export interface CertifiedName {
  /** undefined: of a listener. */
  readonly tenant: TenantId | undefined
  readonly names: readonly string[]
  readonly expiresAt: Date
}

/** Certificates that relays show. */
export async function readCertifiedNames(tx: Tx, { organisation, project }: ProjectPlace): Promise<CertifiedName[]> {
  const rows = await rowsOf<{ tenant: TenantId | null; names: string[]; expiresAt: Date }>(
    tx,
    sql`select c.tenant_id as tenant, c.names, c.expires_at as "expiresAt" from certificate c
         where c.organisation_id = ${organisation} and c.project_id = ${project} and c.state = 'active'
         order by c.purpose, c.names, c.id`,
  )
  return rows.map(({ tenant, ...certificate }) => ({ ...certificate, tenant: tenant ?? undefined }))
}

/** By the events of the relays. undefined: they took no mail. */
export async function countRouted(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  since: Date,
): Promise<Pick<RoutedMail, 'delivered' | 'broughtIn'> | undefined> {
  const within = sql`m.organisation_id = ${organisation} and m.project_id = ${project} and m.time >= ${since}`
  const tenants = sql`tenant_connection t on t.organisation_id = m.organisation_id and t.project_id = m.project_id`
  const found = await rowOf<{
    isAny: boolean
    delivered: Readonly<Record<TenantId, number>>
    broughtIn: Readonly<Record<TenantId, number>>
  }>(
    tx,
    sql`
    with delivered as (
           select t.id, count(*) as recipients
             from message_event m join ${tenants} and m.fields ->> 'route' = 'tenant:' || t.label
            where ${within} and m.event = 'delivered' and m.fields ->> 'direction' = 'out'
              and lower(substring(m.fields ->> 'recipient' from '[^@]*$')) <> all (array_remove(array_append(t.accepted_domains, t.initial_domain), null))
            group by 1),
         brought_in as (
           select t.id, sum((m.fields ->> 'recipients')::bigint) as recipients
             from message_event m join ${tenants} and m.fields ->> 'tenant' = t.label
            where ${within} and m.event = 'accepted' and m.fields ->> 'direction' = 'in' and jsonb_typeof(m.fields -> 'recipients') = 'number'
            group by 1)
    select exists (select from message_event m where ${within} and m.event = 'accepted') as "isAny",
           (select coalesce(jsonb_object_agg(id, recipients), '{}') from delivered) as delivered,
           (select coalesce(jsonb_object_agg(id, recipients), '{}') from brought_in) as "broughtIn"`,
  )
  if (found?.isAny !== true) return undefined
  const mapOf = (counts: Readonly<Record<TenantId, number>>) => new Map(Object.entries(counts) as [TenantId, number][])
  return { delivered: mapOf(found.delivered), broughtIn: mapOf(found.broughtIn) }
}
