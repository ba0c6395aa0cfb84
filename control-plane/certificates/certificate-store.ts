// Certificates of TLS names in Postgres: keys sealed, and gone once retired. Scope: the organisation. (KM-5, KM-7)
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { cursorTime } from '../http/page.ts'
import type { PageRequest } from '../http/page.ts'
import type { CertificateId, TenantId } from '../ids.ts'
import type { KeyKind } from '../keys/key-inventory.ts'
import { recordKey, recordUse, removeKey } from '../keys/key-inventory-store.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'
import type { ProjectPlace } from '../relays/relay-secret-store.ts'
import type { ActiveCertificate } from '../relays/relay-settings.ts'
import type { IssuedChain } from './certificate-chain.ts'
import type { Certificate, CertificatePurpose, CertificateState } from './certificate.ts'

export const CERTIFICATE_COLUMN: SealedColumn = {
  table: 'certificate',
  column: 'key_sealed',
  key: ['id'],
  sealedBy: 'project',
}

const KINDS: Readonly<Record<CertificatePurpose, KeyKind>> = {
  tenant: 'client-certificate',
  listener: 'tls-certificate',
}

export interface NewCertificate extends Pick<
  Certificate,
  'id' | 'purpose' | 'tenant' | 'names' | 'algorithm' | 'publicKey' | 'request' | 'replaces' | 'createdAt' | 'createdBy'
> {
  /** PKCS #8 PEM */
  readonly privateKey: string
  /** Absent: to be issued. */
  readonly issued: IssuedChain | undefined
}

export async function addCertificate(tx: Tx, sealer: Sealer, place: ProjectPlace, made: NewCertificate): Promise<void> {
  const { purpose, context } = placeInRow(CERTIFICATE_COLUMN, [made.id])
  const sealed = await sealer.seal(tx, place, purpose, context, Buffer.from(made.privateKey))
  const { issued } = made
  await sql`
    insert into certificate (organisation_id, project_id, id, purpose, tenant_id, names, algorithm, state, public_key, key_sealed, request,
                             chain, fingerprint, not_before, expires_at, replaces, created_at, created_by)
    values (${place.organisation}, ${place.project}, ${made.id}, ${made.purpose}, ${made.tenant ?? null}, ${[...made.names]},
            ${made.algorithm}, ${issued === undefined ? 'requested' : 'issued'}, ${made.publicKey}, ${sealed}, ${made.request ?? null},
            ${issued?.chain ?? null}, ${issued?.fingerprint ?? null}, ${issued?.notBefore ?? null}, ${issued?.expiresAt ?? null},
            ${made.replaces ?? null}, ${made.createdAt}, ${made.createdBy})`.execute(tx)
  await record(tx, place, made, issued?.expiresAt)
}

/** Locked until the commit where `lock` says so. */
export async function findCertificate(
  tx: Tx,
  place: ProjectPlace,
  id: CertificateId,
  lock: 'lock' | 'read' = 'read',
): Promise<Certificate | undefined> {
  const row = await rowOf<CertificateRow>(
    tx,
    sql`select ${columns} from certificate c
         where ${of(place)} and c.id = ${id} ${lock === 'lock' ? sql`for update of c` : sql``}`,
  )
  return row && toCertificate(row)
}

export interface CertificateFilter {
  readonly purpose?: CertificatePurpose | undefined
  readonly state?: CertificateState | undefined
  readonly tenant?: string | undefined
  readonly name?: string | undefined
}

/** Oldest first; one more than the page holds where there are more. */
export async function listCertificates(
  tx: Tx,
  place: ProjectPlace,
  { purpose, state, tenant, name }: CertificateFilter,
  { after, limit }: PageRequest,
): Promise<Certificate[]> {
  const [createdAt, id] = after ?? []
  const rows = await rowsOf<CertificateRow>(
    tx,
    sql`select ${columns} from certificate c
         where ${of(place)}
           and ${after === undefined ? sql`true` : sql`(c.created_at, c.id) > (${cursorTime(createdAt)}, ${id})`}
           and ${purpose === undefined ? sql`true` : sql`c.purpose = ${purpose}`}
           and ${state === undefined ? sql`true` : sql`c.state = ${state}`}
           and ${tenant === undefined ? sql`true` : sql`c.tenant_id = ${tenant}`}
           and ${name === undefined ? sql`true` : sql`${name} = any(c.names)`}
         order by c.created_at, c.id limit ${limit + 1}`,
  )
  return rows.map(toCertificate)
}

/** How many have keys. */
export async function countKept(tx: Tx, place: ProjectPlace): Promise<number> {
  const row = await rowOf<{ count: number }>(
    tx,
    sql`select count(*)::integer as count from certificate c where ${of(place)} and c.state <> 'retired'`,
  )
  return row?.count ?? 0
}

export async function storeChain(
  tx: Tx,
  place: ProjectPlace,
  certificate: Certificate,
  { chain, fingerprint, notBefore, expiresAt }: IssuedChain,
): Promise<void> {
  await sql`update certificate c
               set state = 'issued', chain = ${chain}, fingerprint = ${fingerprint}, not_before = ${notBefore}, expires_at = ${expiresAt},
                   version = version + 1
             where ${of(place)} and c.id = ${certificate.id}`.execute(tx)
  await record(tx, place, certificate, expiresAt)
}

/** Takes the place of the active one of the same tenant or listener name. @returns that one */
export async function activateCertificate(
  tx: Tx,
  place: ProjectPlace,
  certificate: Certificate,
  at: Date,
): Promise<CertificateId | undefined> {
  const { purpose, tenant, names, id } = certificate
  const row = await rowOf<CertificateRow>(
    tx,
    sql`select ${columns} from certificate c
         where ${of(place)} and c.purpose = ${purpose} and c.state = 'active' and coalesce(c.tenant_id, c.names[1]) = ${tenant ?? names[0]}
           for update of c`,
  )
  const before = row && toCertificate(row)
  if (before !== undefined) {
    await sql`update certificate c set state = 'replaced', version = version + 1 where ${of(place)} and c.id = ${before.id}`.execute(
      tx,
    )
    await record(tx, place, before, undefined) // its end is no matter for an alarm any more
  }
  await sql`update certificate c set state = 'active', activated_at = ${at}, version = version + 1
             where ${of(place)} and c.id = ${id}`.execute(tx)
  await record(tx, place, certificate, certificate.expiresAt)
  return before?.id
}

/** Its key goes for good. */
export async function retireCertificate(
  tx: Tx,
  place: ProjectPlace,
  { id, purpose }: Certificate,
  at: Date,
): Promise<void> {
  await sql`update certificate c set state = 'retired', retired_at = ${at}, key_sealed = null, version = version + 1
             where ${of(place)} and c.id = ${id}`.execute(tx)
  await removeKey(tx, place.organisation, KINDS[purpose], id)
}

/** What relays show. */
export async function readActiveCertificates(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
): Promise<ActiveCertificate[]> {
  const rows = await rowsOf<{ id: string; tenant: TenantId | null; names: string[]; chain: string; sealed: Buffer }>(
    tx,
    sql`select c.id, c.tenant_id as tenant, c.names, c.chain, c.key_sealed as sealed from certificate c
         where ${of(place)} and c.state = 'active' order by c.purpose, c.names, c.id`,
  )
  const certificates: ActiveCertificate[] = []
  for (const { id, tenant, names, chain, sealed } of rows) {
    const { purpose, context } = placeInRow(CERTIFICATE_COLUMN, [id])
    const privateKey = (await sealer.open(tx, place, purpose, context, sealed)).toString()
    certificates.push({ tenant: tenant ?? undefined, names, chain, privateKey })
  }
  return certificates
}

/** The active ones went to a relay. */
export async function noteCertificatesUsed(tx: Tx, place: ProjectPlace, now: Date): Promise<void> {
  const rows = await rowsOf<{ id: string; purpose: CertificatePurpose }>(
    tx,
    sql`select c.id, c.purpose from certificate c where ${of(place)} and c.state = 'active'`,
  )
  for (const [each, kind] of Object.entries(KINDS)) {
    const ids = rows.filter(({ purpose }) => purpose === each).map(({ id }) => id)
    if (ids.length > 0) await recordUse(tx, place.organisation, kind, ids, now)
  }
}

function record(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  { id, purpose, names, createdAt }: Pick<Certificate, 'id' | 'purpose' | 'names' | 'createdAt'>,
  expiresAt: Date | undefined,
): Promise<void> {
  const owner = `${purpose === 'tenant' ? 'relays towards a tenant' : 'listeners'} as ${names[0]}`
  return recordKey(tx, { organisation, kind: KINDS[purpose], id, project, owner, createdAt, expiresAt })
}

const of = ({ organisation, project }: ProjectPlace) =>
  sql`c.organisation_id = ${organisation} and c.project_id = ${project}`

const columns = sql`c.id, c.purpose, c.tenant_id as tenant, c.names, c.algorithm, c.state, c.public_key as "publicKey", c.request, c.chain,
  c.fingerprint, c.not_before as "notBefore", c.expires_at as "expiresAt", c.replaces, c.version, c.created_at as "createdAt",
  c.created_by as "createdBy", c.activated_at as "activatedAt", c.retired_at as "retiredAt",
  (select max(i.last_used_at) from key_inventory i
    where i.organisation_id = c.organisation_id and i.kind in ('client-certificate', 'tls-certificate') and i.id = c.id) as "lastUsedAt"`

/** Optional values are null in the database. */
type CertificateRow = {
  [K in keyof Certificate]: undefined extends Certificate[K] ? NonNullable<Certificate[K]> | null : Certificate[K]
}

const toCertificate = (row: CertificateRow): Certificate => ({
  ...row,
  tenant: row.tenant ?? undefined,
  request: row.request ?? undefined,
  chain: row.chain ?? undefined,
  fingerprint: row.fingerprint ?? undefined,
  notBefore: row.notBefore ?? undefined,
  expiresAt: row.expiresAt ?? undefined,
  replaces: row.replaces ?? undefined,
  activatedAt: row.activatedAt ?? undefined,
  retiredAt: row.retiredAt ?? undefined,
  lastUsedAt: row.lastUsedAt ?? undefined,
})
