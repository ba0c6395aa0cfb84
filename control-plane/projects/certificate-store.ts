// Certificates of deletion: added once, never changed. Those of organisations belong to the installation.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { DeletionCertificateId, OrganisationId } from '../ids.ts'
import { certificateText } from './deletion.ts'
import type { DeletionCertificate } from './deletion.ts'

export interface CertificateRow {
  readonly id: DeletionCertificateId
  readonly subject: string
  readonly createdAt: Date
}

export async function insertCertificate(
  tx: Tx,
  home: OrganisationId,
  certificate: DeletionCertificate,
  createdAt: Date,
): Promise<void> {
  await sql`
    insert into deletion_certificate (organisation_id, id, subject, document, created_at)
    values (${home}, ${certificate.id}, ${certificate.subject.id}, ${certificateText(certificate)}, ${createdAt})`.execute(
    tx,
  )
}

export async function findCertificate(
  tx: Tx,
  home: OrganisationId,
  id: DeletionCertificateId,
): Promise<DeletionCertificate | undefined> {
  const row = await rowOf<{ document: string }>(
    tx,
    sql`select document from deletion_certificate where organisation_id = ${home} and id = ${id}`,
  )
  return row && (JSON.parse(row.document) as DeletionCertificate)
}

/** Oldest first. @param subject  of this project or organisation only */
export async function listCertificates(
  tx: Tx,
  home: OrganisationId,
  subject: string | undefined,
  after: readonly [createdAt: Date, id: string] | undefined,
  limit: number,
): Promise<CertificateRow[]> {
  return rowsOf(
    tx,
    sql`
    select id, subject, created_at as "createdAt"
      from deletion_certificate
     where organisation_id = ${home} and (${subject ?? null}::text is null or subject = ${subject ?? null})
       and (${after?.[0] ?? null}::timestamptz is null or (created_at, id) > (${after?.[0] ?? null}, ${after?.[1] ?? ''}))
     order by created_at, id
     limit ${limit}`,
  )
}

/** All of an organisation: for the certificate of its own deletion. */
export async function loadCertificates(tx: Tx, home: OrganisationId): Promise<DeletionCertificate[]> {
  const rows = await rowsOf<{ document: string }>(
    tx,
    sql`select document from deletion_certificate where organisation_id = ${home} order by created_at, id`,
  )
  return rows.map(({ document }) => JSON.parse(document) as DeletionCertificate)
}
