// Accounts in slices, and who is related to whom: every question is a look-up by an index for each account of the slice, with a limit, so that neither
// the size of a tenant nor ten thousand objects with one address make it more than linear. Scope: the organisation.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { matchKey } from '../directory/account.ts'
import type { AccountSnapshot } from '../directory/account.ts'
import type { AccountId, TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { Relations, Sharer } from './judge-relations.ts'
import type { ProjectView, TenantView } from './project-view.ts'

export interface SliceAccount {
  readonly id: AccountId
  readonly tenant: TenantId
  readonly sortKey: string
  readonly snapshot: AccountSnapshot
  /** Of a source account that has a live pair. */
  readonly pairedWith: AccountId | null
  readonly pairedMaxReceive: number | null
}

/** By id, those in force. @param after  '': from the beginning */
export function readSlice(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  after: string,
  limit: number,
): Promise<SliceAccount[]> {
  return rowsOf<SliceAccount>(
    tx,
    sql`
    select a.id, a.tenant_id as tenant, a.sort_key as "sortKey", a.snapshot, p.target_account_id as "pairedWith",
           (select (t.snapshot -> 'mailbox' ->> 'maxReceiveSize')::bigint from account t
             where t.organisation_id = ${organisation} and t.project_id = ${project} and t.id = p.target_account_id and t.valid_to is null)
             as "pairedMaxReceive"
      from account a
      left join pair p on p.organisation_id = a.organisation_id and p.project_id = a.project_id and p.source_account_id = a.id and p.state <> 'unpaired'
     where a.organisation_id = ${organisation} and a.project_id = ${project} and a.id > ${after} and a.valid_to is null
     order by a.id limit ${limit}`,
  )
}

/** Holders of one name that are told of: of ten thousand, each is told of the next few. */
const MAX_HOLDERS = 5
const MAX_SHARERS = 20
/** As many as a discovery keeps of one account, of each sort. */
const MAX_NAMES = 2_000
const MAX_NAMESAKES = 10
/** As names and nicknames are kept for look-ups. */
const MAX_NICKNAME = 200

export async function readRelations(
  tx: Tx,
  place: ProjectPlace,
  slice: readonly SliceAccount[],
  project: ProjectView,
): Promise<ReadonlyMap<AccountId, Relations>> {
  const sharers = await readSharers(tx, place, slice, project)
  const upnOwners = await readUpnOwners(tx, place, slice)
  const newcomers = slice.filter(
    ({ tenant, pairedWith }) => pairedWith === null && project.byId.get(tenant)?.tenant.side === 'source',
  )
  const upnTaken = await readTakenNames(tx, place, newcomers, project.target)
  const nicknameTaken = await readTakenNicknames(tx, place, newcomers, project.target)
  const namesakes = await readNamesakes(tx, place, slice)
  const unknown = await readUnknownReferences(tx, place, slice)
  const inVain = await readPresentedInVain(tx, place, slice, project)
  return new Map(
    slice.map(({ id, pairedWith, pairedMaxReceive }): readonly [AccountId, Relations] => [
      id,
      {
        sharers: sharers.get(id) ?? [],
        ...given('upnOwner', upnOwners.get(id)),
        ...given('upnTaken', upnTaken.get(id)),
        ...given('nicknameTaken', nicknameTaken.get(id)),
        ...given('namesakes', namesakes.get(id)),
        ...unknown.get(id),
        ...(inVain.has(id) ? { isPresentedInVain: true } : {}),
        ...(pairedWith === null
          ? {}
          : { pair: { account: pairedWith, maxReceiveSize: pairedMaxReceive ?? undefined } }),
      },
    ]),
  )
}

const given = <K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } =>
  value === undefined ? {} : ({ [name]: value } as { readonly [P in K]?: V })

const json = (rows: readonly object[]): RawBuilder<unknown> => sql`${JSON.stringify(rows)}::jsonb`
const within = ({ organisation, project }: ProjectPlace, alias: string) =>
  sql`${sql.ref(`${alias}.organisation_id`)} = ${organisation} and ${sql.ref(`${alias}.project_id`)} = ${project}`

/** Sources by label, then the target: each pair of tenants is looked at from the one that comes first. */
function tenantOrder({ tenants, target }: ProjectView): readonly TenantView[] {
  return [...tenants.filter((tenant) => tenant !== target), ...(target === undefined ? [] : [target])]
}

async function readSharers(
  tx: Tx,
  place: ProjectPlace,
  slice: readonly SliceAccount[],
  project: ProjectView,
): Promise<Map<AccountId, Sharer[]>> {
  const order = tenantOrder(project)
  const later = order.flatMap(({ id }, at) => order.slice(at).map((other) => ({ t: id, o: other.id })))
  const rows = await rowsOf<Sharer & { id: AccountId }>(
    tx,
    sql`
    with looked as materialized (select * from jsonb_to_recordset(${json(slice.map(({ id, tenant }) => ({ i: id, t: tenant })))}) as r(i text, t text)),
         later as materialized (select * from jsonb_to_recordset(${json(later)}) as r(t text, o text)),
         shared as (
           select l.i, b.account_id, b.tenant_id, b.kind, count(*) as count
             from looked l
            cross join lateral (
              select k.key, k.kind from account_address k
               where ${within(place, 'k')} and k.account_id = l.i and k.kind in ('smtp', 'x500') limit ${MAX_NAMES}) k
             join later on later.t = l.t
            cross join lateral (
              select b.account_id, b.tenant_id, b.kind from account_address b
               where ${within(place, 'b')} and b.key = k.key and b.tenant_id = later.o and b.kind = k.kind
                 and b.account_id > case when later.o = l.t then l.i else '' end
               order by b.account_id limit ${MAX_HOLDERS}) b
            group by 1, 2, 3, 4)
    select s.i as id, s.account_id as account, s.tenant_id as tenant, s.kind as what, s.count, a.kind,
           exists (select from pair p where ${within(place, 'p')} and p.source_account_id = s.i and p.target_account_id = s.account_id
                      and p.state <> 'unpaired') as "isPaired"
      from shared s
     cross join lateral (
       select a.kind from account a where ${within(place, 'a')} and a.id = s.account_id and a.valid_to is null limit 1) a
     order by s.i, s.account_id, s.kind`,
  )
  const found = new Map<AccountId, Sharer[]>()
  for (const { id, ...sharer } of rows) {
    const list = found.get(id) ?? []
    if (list.length < MAX_SHARERS) found.set(id, [...list, sharer])
  }
  return found
}

/** Where it has the address itself too, two claim the address. */
async function readUpnOwners(
  tx: Tx,
  place: ProjectPlace,
  slice: readonly SliceAccount[],
): Promise<Map<AccountId, AccountId>> {
  const asked = slice.flatMap(({ id, tenant, snapshot: { userPrincipalName, addresses } }) => {
    if (userPrincipalName === undefined) return []
    const key = matchKey(userPrincipalName)
    return addresses.some((address) => matchKey(address) === key) ? [] : [{ i: id, t: tenant, k: key }]
  })
  return firstOf(
    tx,
    sql`
    select l.i as id, b.account_id as other
      from jsonb_to_recordset(${json(asked)}) as l(i text, t text, k text)
     cross join lateral (
       select b.account_id from account_address b
        where ${within(place, 'b')} and b.key = l.k and b.tenant_id = l.t and b.kind = 'smtp' and b.account_id <> l.i
        order by b.account_id limit 1) b`,
  )
}

/** Its name with the default domain of the target, where somebody has it as a name or an address. */
async function readTakenNames(
  tx: Tx,
  place: ProjectPlace,
  newcomers: readonly SliceAccount[],
  target: TenantView | undefined,
): Promise<Map<AccountId, AccountId>> {
  const domain = target?.defaultDomain
  if (target === undefined || domain === undefined) return new Map()
  const asked = newcomers.flatMap(({ id, snapshot: { kind, userPrincipalName } }) => {
    if (kind === 'guest' || userPrincipalName === undefined) return []
    const local = userPrincipalName.slice(0, Math.max(0, userPrincipalName.lastIndexOf('@')))
    return local === '' ? [] : [{ i: id, k: matchKey(`${local}@${domain}`) }]
  })
  return firstOf(
    tx,
    sql`
    select l.i as id, b.account_id as other
      from jsonb_to_recordset(${json(asked)}) as l(i text, k text)
     cross join lateral (
       select b.account_id from account_address b
        where ${within(place, 'b')} and b.key = l.k and b.tenant_id = ${target.id} and b.kind in ('upn', 'smtp')
        order by b.kind desc, b.account_id limit 1) b`,
  )
}

async function readTakenNicknames(
  tx: Tx,
  place: ProjectPlace,
  newcomers: readonly SliceAccount[],
  target: TenantView | undefined,
): Promise<Map<AccountId, AccountId>> {
  if (target === undefined) return new Map()
  const asked = newcomers.flatMap(({ id, snapshot: { kind, mailNickname, addresses } }) =>
    kind === 'guest' || addresses.length === 0 || mailNickname === undefined || mailNickname.length > MAX_NICKNAME
      ? []
      : [{ i: id, k: mailNickname.toLowerCase() }],
  )
  return firstOf(
    tx,
    sql`
    select l.i as id, b.id as other
      from jsonb_to_recordset(${json(asked)}) as l(i text, k text)
     cross join lateral (
       select b.id from account b
        where ${within(place, 'b')} and b.tenant_id = ${target.id} and b.valid_to is null
          and b.nickname_key = l.k and b.kind <> 'security-group'
        order by b.id limit 1) b`,
  )
}

async function readNamesakes(
  tx: Tx,
  place: ProjectPlace,
  slice: readonly SliceAccount[],
): Promise<Map<AccountId, NonNullable<Relations['namesakes']>>> {
  const asked = slice.flatMap(({ id, tenant, sortKey }) =>
    sortKey.trim() === '' ? [] : [{ i: id, t: tenant, k: sortKey }],
  )
  const rows = await rowsOf<{ id: AccountId; others: AccountId[] }>(
    tx,
    sql`
    select l.i as id, array(
             select b.id from account b
              where ${within(place, 'b')} and b.tenant_id = l.t and b.sort_key = l.k and b.valid_to is null
              order by b.id limit ${MAX_NAMESAKES + 2}) as others
      from jsonb_to_recordset(${json(asked)}) as l(i text, t text, k text)`,
  )
  return new Map(
    rows.flatMap(({ id, others: [self, first, ...rest] }) => {
      if (self !== id || first === undefined) return []
      const count = Math.min(1 + rest.length, MAX_NAMESAKES)
      return [[id, { first, count, isMore: 1 + rest.length > MAX_NAMESAKES }] as const]
    }),
  )
}

/** Recipients as cmdlets name them: by object id, address, nickname or name. */
async function readUnknownReferences(
  tx: Tx,
  place: ProjectPlace,
  slice: readonly SliceAccount[],
): Promise<Map<AccountId, Pick<Relations, 'unknownForwarding' | 'unknownOnBehalf'>>> {
  const asked = slice.flatMap(({ id, tenant, snapshot: { mailbox } }) => {
    const { forwardingAddress, grantSendOnBehalfTo = [] } = mailbox ?? {}
    const ask = (name: string, isForwarding: boolean) => {
      const key = matchKey(name)
      return { i: id, t: tenant, f: isForwarding, k: key, n: key.slice(0, MAX_NICKNAME).toWellFormed() }
    }
    return [
      ...(forwardingAddress === undefined ? [] : [ask(forwardingAddress, true)]),
      ...grantSendOnBehalfTo.map((name) => ask(name, false)),
    ]
  })
  if (asked.length === 0) return new Map()
  const rows = await rowsOf<{ id: AccountId; isForwarding: boolean; count: number }>(
    tx,
    sql`
    select l.i as id, l.f as "isForwarding", count(*) as count
      from jsonb_to_recordset(${json(asked)}) as l(i text, t text, f boolean, k text, n text)
     where not exists (select from account b where ${within(place, 'b')} and b.tenant_id = l.t and b.object_id = l.k and b.valid_to is null)
       and not exists (select from account_address b where ${within(place, 'b')} and b.tenant_id = l.t and b.key = l.k)
       and not exists (select from account b where ${within(place, 'b')} and b.tenant_id = l.t and b.sort_key = l.n and b.valid_to is null)
       and not exists (select from account b where ${within(place, 'b')} and b.tenant_id = l.t and b.valid_to is null
                          and b.nickname_key = l.n)
     group by 1, 2`,
  )
  const found = new Map<AccountId, Pick<Relations, 'unknownForwarding' | 'unknownOnBehalf'>>()
  for (const { id, isForwarding, count } of rows)
    found.set(id, { ...found.get(id), ...(isForwarding ? { unknownForwarding: true } : { unknownOnBehalf: count }) })
  return found
}

/**
 * Whose mapping entry names a presented address in a domain of another tenant, where no object has it. While that tenant has not been discovered nobody
 * knows; a mailbox that its entry does not name is presented by nobody.
 */
async function readPresentedInVain(
  tx: Tx,
  place: ProjectPlace,
  slice: readonly SliceAccount[],
  { owners, byId }: ProjectView,
): Promise<ReadonlySet<AccountId>> {
  const discovered = [...owners].filter(([, tenant]) => byId.get(tenant)?.completed !== undefined)
  const domains = discovered.map(([domain, tenant]) => ({ d: domain, t: tenant }))
  const asked = slice.flatMap(({ id, tenant, snapshot: { addresses } }) =>
    addresses.slice(0, MAX_NAMES).map((address) => ({ i: id, t: tenant, k: matchKey(address) })),
  )
  if (domains.length === 0 || asked.length === 0) return new Set()
  const rows = await rowsOf<{ id: AccountId }>(
    tx,
    sql`
    select distinct l.i as id
      from jsonb_to_recordset(${json(asked)}) as l(i text, t text, k text)
      join mapping_address m on ${within(place, 'm')} and m.key = l.k
      join mapping_entry e on ${within(place, 'e')} and e.id = m.entry_id and e.valid_to is null and lower(normalize(e.mailbox, nfc)) = l.k
      join jsonb_to_recordset(${json(domains)}) as o(d text, t text) on o.d = substring(e.presented_key from '[^@]*$') and o.t <> l.t
     where not exists (
       select from account_address b
        where ${within(place, 'b')} and b.key = e.presented_key and b.tenant_id = o.t and b.kind = 'smtp')`,
  )
  return new Set(rows.map(({ id }) => id))
}

async function firstOf(tx: Tx, statement: RawBuilder<unknown>): Promise<Map<AccountId, AccountId>> {
  const rows = await rowsOf<{ id: AccountId; other: AccountId }>(tx, statement)
  return new Map(rows.map(({ id, other }) => [id, other]))
}
