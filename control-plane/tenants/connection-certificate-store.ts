// Certificates of connections in Postgres: private halves sealed, and gone once retired. Scope: the organisation. (KM-5, KM-7)
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { cursorTime } from '../http/page.ts'
import type { PageRequest } from '../http/page.ts'
import type { ConnectionCertificateId, TenantId } from '../ids.ts'
import { recordKey, removeKey } from '../keys/key-inventory-store.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'
import type { ConnectionCertificate, MadeCertificate } from './connection-certificate.ts'
import type { ProjectPlace } from './tenant-store.ts'

export const CONNECTION_CERTIFICATE_COLUMN: SealedColumn = {
  table: 'connection_certificate',
  column: 'private_key_sealed',
  key: ['id'],
  sealedBy: 'project',
}

interface Row extends Omit<ConnectionCertificate, 'activatedAt' | 'retiredAt'> {
  readonly activatedAt: Date | null
  readonly retiredAt: Date | null
}

const COLUMNS = sql`id, tenant_id as tenant, state, thumbprint, certificate, expires_at as "expiresAt", created_at as "createdAt",
  activated_at as "activatedAt", retired_at as "retiredAt", version`

const toCertificate = (row: Row): ConnectionCertificate => ({
  ...row,
  activatedAt: row.activatedAt ?? undefined,
  retiredAt: row.retiredAt ?? undefined,
})

const of = ({ organisation, project }: ProjectPlace) =>
  sql`organisation_id = ${organisation} and project_id = ${project}`

export interface NewCertificate extends MadeCertificate {
  readonly id: ConnectionCertificateId
  readonly tenant: TenantId
  /** Of the tenant. */
  readonly label: string
  readonly createdAt: Date
  readonly createdBy: string
}

export async function addCertificate(tx: Tx, sealer: Sealer, place: ProjectPlace, made: NewCertificate): Promise<void> {
  const { purpose, context } = placeInRow(CONNECTION_CERTIFICATE_COLUMN, [made.id])
  const sealed = await sealer.seal(tx, place, purpose, context, Buffer.from(made.privateKey))
  await sql`
    insert into connection_certificate (organisation_id, project_id, tenant_id, id, state, thumbprint, certificate, private_key_sealed,
                                        expires_at, created_at, created_by)
    values (${place.organisation}, ${place.project}, ${made.tenant}, ${made.id}, 'new', ${made.thumbprint}, ${made.certificate}, ${sealed},
            ${made.expiresAt}, ${made.createdAt}, ${made.createdBy})`.execute(tx)
  await recordKey(tx, {
    organisation: place.organisation,
    kind: 'app-certificate',
    id: made.id,
    project: place.project,
    owner: `connection to ${made.label}`,
    createdAt: made.createdAt,
    expiresAt: made.expiresAt,
  })
}

export async function findCertificate(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  id: ConnectionCertificateId,
  lock: 'lock' | 'read' = 'read',
): Promise<ConnectionCertificate | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select ${COLUMNS} from connection_certificate where ${of(place)} and tenant_id = ${tenant} and id = ${id}
        ${lock === 'lock' ? sql`for update` : sql``}`,
  )
  return row && toCertificate(row)
}

/** Oldest first; one more than the page holds where there are more. */
export async function listCertificates(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  { after, limit }: PageRequest,
): Promise<ConnectionCertificate[]> {
  const [createdAt, id] = after ?? []
  const rows = await rowsOf<Row>(
    tx,
    sql`select ${COLUMNS} from connection_certificate
         where ${of(place)} and tenant_id = ${tenant}
           and ${after === undefined ? sql`true` : sql`(created_at, id) > (${cursorTime(createdAt)}, ${id})`}
         order by created_at, id limit ${limit + 1}`,
  )
  return rows.map(toCertificate)
}

export async function usableCertificates(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
): Promise<ConnectionCertificate[]> {
  const rows = await rowsOf<Row>(
    tx,
    sql`select ${COLUMNS} from connection_certificate where ${of(place)} and tenant_id = ${tenant} and state <> 'retired'
         order by (state = 'active') desc, created_at desc, id`,
  )
  return rows.map(toCertificate)
}

/** The private half, PEM. @throws when no key opens it */
export async function openCertificate(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  id: ConnectionCertificateId,
): Promise<string | undefined> {
  const row = await rowOf<{ sealed: Buffer | null }>(
    tx,
    sql`select private_key_sealed as sealed from connection_certificate where ${of(place)} and id = ${id}`,
  )
  if (row === undefined || row.sealed === null) return undefined
  const { purpose, context } = placeInRow(CONNECTION_CERTIFICATE_COLUMN, [id])
  return (await sealer.open(tx, place, purpose, context, row.sealed)).toString()
}

/** Takes the place of the active one, which stays usable until it is retired: the app registration may know both. */
export async function activateCertificate(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  id: ConnectionCertificateId,
  at: Date,
): Promise<void> {
  await sql`update connection_certificate set state = 'new', version = version + 1
             where ${of(place)} and tenant_id = ${tenant} and state = 'active'`.execute(tx)
  await sql`update connection_certificate set state = 'active', activated_at = ${at}, version = version + 1
             where ${of(place)} and id = ${id}`.execute(tx)
}

/** Its private half goes for good. */
export async function retireCertificate(
  tx: Tx,
  place: ProjectPlace,
  id: ConnectionCertificateId,
  at: Date,
): Promise<void> {
  await sql`update connection_certificate set state = 'retired', retired_at = ${at}, private_key_sealed = null, version = version + 1
             where ${of(place)} and id = ${id}`.execute(tx)
  await removeKey(tx, place.organisation, 'app-certificate', id)
}
