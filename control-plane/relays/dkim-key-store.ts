// DKIM keys in Postgres: private halves sealed, and gone once retired. (KM-5, KM-7)
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import type { DkimKeyId } from '../ids.ts'
import { recordKey, recordUse, removeKey } from '../keys/key-inventory-store.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'
import type { CheckResult, DkimAlgorithm, DkimKey, DkimKeyPair, DkimState } from './dkim-key.ts'
import type { ProjectPlace } from './relay-secret-store.ts'
import type { ActiveDkimKey } from './relay-settings.ts'

export const DKIM_COLUMN: SealedColumn = {
  table: 'dkim_key',
  column: 'private_sealed',
  key: ['id'],
  sealedBy: 'project',
}

export interface NewDkimKey {
  readonly id: DkimKeyId
  readonly domain: string
  readonly selector: string
  readonly algorithm: DkimAlgorithm
  readonly pair: DkimKeyPair
  readonly replaces?: DkimKeyId | undefined
  readonly createdAt: Date
  readonly createdBy: string
  readonly expiresAt: Date
}

/** @throws unique_violation when the domain has the selector already */
export async function addDkimKey(tx: Tx, sealer: Sealer, place: ProjectPlace, key: NewDkimKey): Promise<void> {
  const { purpose, context } = placeInRow(DKIM_COLUMN, [key.id])
  const sealed = await sealer.seal(tx, place, purpose, context, Buffer.from(key.pair.privateKey))
  await sql`
    insert into dkim_key (organisation_id, project_id, id, domain, selector, algorithm, state, public_key, private_sealed, replaces,
                          created_at, created_by, expires_at)
    values (${place.organisation}, ${place.project}, ${key.id}, ${key.domain}, ${key.selector}, ${key.algorithm}, 'generated',
            ${key.pair.publicKey}, ${sealed}, ${key.replaces ?? null}, ${key.createdAt}, ${key.createdBy}, ${key.expiresAt})`.execute(
    tx,
  )
  await recordKey(tx, {
    organisation: place.organisation,
    kind: 'dkim',
    id: key.id,
    project: place.project,
    owner: `DKIM of ${key.domain}`,
    createdAt: key.createdAt,
    expiresAt: key.expiresAt,
  })
}

/** Locked until the commit where `lock` says so. */
export async function findDkimKey(
  tx: Tx,
  place: ProjectPlace,
  id: DkimKeyId,
  lock: 'lock' | 'read' = 'read',
): Promise<DkimKey | undefined> {
  const row = await rowOf<DkimRow>(
    tx,
    sql`select ${columns} from dkim_key k
         where ${of(place)} and k.id = ${id} ${lock === 'lock' ? sql`for update of k` : sql``}`,
  )
  return row && toKey(row)
}

export interface DkimFilter {
  readonly domain?: string | undefined
  readonly state?: DkimState | undefined
}

/** Oldest first; one more than the page holds where there are more. */
export async function listDkimKeys(
  tx: Tx,
  place: ProjectPlace,
  { domain, state }: DkimFilter,
  { after, limit }: PageRequest,
): Promise<DkimKey[]> {
  const [createdAt, id] = after ?? []
  const rows = await rowsOf<DkimRow>(
    tx,
    sql`select ${columns} from dkim_key k
         where ${of(place)}
           and ${after === undefined ? sql`true` : sql`(k.created_at, k.id) > (${new Date(Number(createdAt))}, ${id})`}
           and ${domain === undefined ? sql`true` : sql`k.domain = ${domain}`}
           and ${state === undefined ? sql`true` : sql`k.state = ${state}`}
         order by k.created_at, k.id limit ${limit + 1}`,
  )
  return rows.map(toKey)
}

export async function storeCheck(
  tx: Tx,
  place: ProjectPlace,
  id: DkimKeyId,
  result: CheckResult,
  at: Date,
): Promise<void> {
  await sql`
    update dkim_key k
       set checked_at = ${at}, check_result = ${result}, version = version + 1,
           state = case when state = 'generated' and ${result} = 'found' then 'published'
                        when state = 'published' and ${result} in ('missing', 'different') then 'generated' else state end
     where ${of(place)} and k.id = ${id}`.execute(tx)
}

/** Retires the active key of the same domain and kind, whose place it takes. @returns the retired one */
export async function activateDkimKey(
  tx: Tx,
  place: ProjectPlace,
  key: DkimKey,
  at: Date,
): Promise<DkimKeyId | undefined> {
  const before = await rowOf<{ id: DkimKeyId }>(
    tx,
    sql`select k.id from dkim_key k
         where ${of(place)} and k.domain = ${key.domain} and k.state = 'active'
           and (k.algorithm = 'ed25519') = ${key.algorithm === 'ed25519'} for update`,
  )
  if (before !== undefined) await retireDkimKey(tx, place, before.id, at)
  await sql`update dkim_key k set state = 'active', activated_at = ${at}, version = version + 1
             where ${of(place)} and k.id = ${key.id}`.execute(tx)
  return before?.id
}

/** Its private half goes for good. */
export async function retireDkimKey(tx: Tx, place: ProjectPlace, id: DkimKeyId, at: Date): Promise<void> {
  await sql`update dkim_key k set state = 'retired', retired_at = ${at}, private_sealed = null, version = version + 1
             where ${of(place)} and k.id = ${id}`.execute(tx)
  await removeKey(tx, place.organisation, 'dkim', id)
}

/** What relays sign with. */
export async function readActiveKeys(tx: Tx, sealer: Sealer, place: ProjectPlace): Promise<ActiveDkimKey[]> {
  const rows = await rowsOf<{
    id: DkimKeyId
    domain: string
    selector: string
    algorithm: DkimAlgorithm
    private_sealed: Buffer
  }>(
    tx,
    sql`select k.id, k.domain, k.selector, k.algorithm, k.private_sealed from dkim_key k
         where ${of(place)} and k.state = 'active' order by k.domain, k.selector`,
  )
  const keys: ActiveDkimKey[] = []
  for (const { id, domain, selector, algorithm, private_sealed } of rows) {
    const { purpose, context } = placeInRow(DKIM_COLUMN, [id])
    const privateKey = (await sealer.open(tx, place, purpose, context, private_sealed)).toString()
    keys.push({ domain, selector, algorithm, privateKey })
  }
  return keys
}

/** The active keys went to a relay. */
export async function noteKeysUsed(tx: Tx, place: ProjectPlace, now: Date): Promise<void> {
  const rows = await rowsOf<{ id: string }>(
    tx,
    sql`select k.id from dkim_key k where ${of(place)} and k.state = 'active'`,
  )
  if (rows.length > 0)
    await recordUse(
      tx,
      place.organisation,
      'dkim',
      rows.map(({ id }) => id),
      now,
    )
}

const of = ({ organisation, project }: ProjectPlace) =>
  sql`k.organisation_id = ${organisation} and k.project_id = ${project}`

const columns = sql`k.id, k.domain, k.selector, k.algorithm, k.state, k.public_key, k.replaces, k.version, k.created_at, k.created_by,
  k.expires_at, k.checked_at, k.check_result, k.activated_at, k.retired_at,
  (select i.last_used_at from key_inventory i where i.organisation_id = k.organisation_id and i.kind = 'dkim' and i.id = k.id) as last_used_at`

interface DkimRow {
  id: DkimKeyId
  domain: string
  selector: string
  algorithm: DkimAlgorithm
  state: DkimState
  public_key: string
  replaces: DkimKeyId | null
  version: number
  created_at: Date
  created_by: string
  expires_at: Date
  checked_at: Date | null
  check_result: CheckResult | null
  activated_at: Date | null
  retired_at: Date | null
  last_used_at: Date | null
}

const toKey = (row: DkimRow): DkimKey => ({
  id: row.id,
  domain: row.domain,
  selector: row.selector,
  algorithm: row.algorithm,
  state: row.state,
  publicKey: row.public_key,
  replaces: row.replaces ?? undefined,
  version: row.version,
  createdAt: row.created_at,
  createdBy: row.created_by,
  expiresAt: row.expires_at,
  checkedAt: row.checked_at ?? undefined,
  checkResult: row.check_result ?? undefined,
  activatedAt: row.activated_at ?? undefined,
  retiredAt: row.retired_at ?? undefined,
  lastUsedAt: row.last_used_at ?? undefined,
})
