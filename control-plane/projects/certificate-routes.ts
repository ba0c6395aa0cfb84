// Certificates of deletion, to be read by whoever may read the audit trail: of projects in their organisation, of organisations in the
// installation. (KM-3)
import { z } from 'zod'
import { digestOf } from '../audit/audit.ts'
import { cursorTime, pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { time } from '../http/values.ts'
import { parseId } from '../ids.ts'
import type { OrganisationId } from '../ids.ts'
import type { Tx } from '../db/database.ts'
import { findCertificate, listCertificates } from './certificate-store.ts'
import { CERTIFICATE_FORMAT } from './deletion.ts'

const certificateFields = {
  format: z.literal(CERTIFICATE_FORMAT),
  id: z.string(),
  organization: z.string(),
  subject: z.strictObject({ kind: z.enum(['project', 'organization']), id: z.string() }),
  requestedAt: time,
  requestedBy: z.string(),
  forcedBy: z.array(z.string()),
  startedAt: time,
  completedAt: time,
  steps: z.array(z.strictObject({ name: z.string(), completedAt: time, details: z.record(z.string(), z.unknown()) })),
  backupsExpireAt: time.meta({ description: 'No backup holds it any longer; until then none can be read.' }),
}
const certificateSchema = z
  .strictObject({
    certificate: z.strictObject({
      ...certificateFields,
      projects: z.array(z.strictObject(certificateFields)).optional(),
    }),
    sha256: z.string().meta({
      description:
        'Of the certificate as canonical JSON (RFC 8785): `after` of the audit event that tells of the deletion.',
    }),
  })
  .meta({ id: 'DeletionCertificate', description: 'What was deleted, when, and on whose word.' })

const itemSchema = z.strictObject({ id: z.string(), subject: z.string(), createdAt: time })
const query = z.strictObject({
  ...pageQuery,
  subject: z
    .string()
    .regex(/^[a-z0-9_]{1,40}$/)
    .optional()
    .meta({ description: 'Id of the project or organization that was deleted.' }),
})

type ListQuery = z.output<typeof query>

async function list(tx: Tx, home: OrganisationId, asked: ListQuery, url: string) {
  const { after, limit } = parsePage(asked, 2)
  const from = after && ([cursorTime(after[0]), String(after[1])] as const)
  const rows = await listCertificates(tx, home, asked.subject, from, limit + 1)
  return toPage(
    rows,
    limit,
    (row) => ({ id: row.id, subject: row.subject, createdAt: row.createdAt.toISOString() }),
    (row) => [row.createdAt.getTime(), row.id],
    url,
  )
}

async function read(tx: Tx, home: OrganisationId, text: string) {
  const id = parseId('deletion-certificate', text)
  const certificate = id && (await findCertificate(tx, home, id))
  if (certificate === undefined) throw notFound()
  return { status: 200, body: { certificate, sha256: digestOf(certificate) } }
}

export function certificateRoutes(): AnyRoute[] {
  const page = { 200: { description: 'Certificates, oldest first', schema: pageOf(itemSchema) } }
  const one = { 200: { description: 'The certificate', schema: certificateSchema } }
  return [
    route({
      method: 'get',
      path: '/organizations/{organization}/deletion-certificates',
      id: 'listDeletionCertificates',
      summary: 'List certificates of deleted projects',
      tag: 'projects',
      access: 'audit.read',
      params: z.strictObject({ organization: z.string() }),
      query,
      responses: page,
      handler: ({ read: reading, organisation, query: asked, url }) =>
        reading(async (tx) => ({ status: 200, body: await list(tx, organisation, asked, url) })),
    }),
    route({
      method: 'get',
      path: '/organizations/{organization}/deletion-certificates/{certificate}',
      id: 'readDeletionCertificate',
      summary: 'Read the certificate of a deleted project',
      tag: 'projects',
      access: 'audit.read',
      params: z.strictObject({ organization: z.string(), certificate: z.string() }),
      responses: one,
      handler: ({ read: reading, organisation, params }) => reading((tx) => read(tx, organisation, params.certificate)),
    }),
    route({
      method: 'get',
      path: '/installation/deletion-certificates',
      id: 'listOrganizationDeletionCertificates',
      summary: 'List certificates of deleted organizations',
      tag: 'installation',
      access: 'installation.manage',
      query,
      responses: page,
      handler: ({ read: reading, organisation, query: asked, url }) =>
        reading(async (tx) => ({ status: 200, body: await list(tx, organisation, asked, url) })),
    }),
    route({
      method: 'get',
      path: '/installation/deletion-certificates/{certificate}',
      id: 'readOrganizationDeletionCertificate',
      summary: 'Read the certificate of a deleted organization',
      tag: 'installation',
      access: 'installation.manage',
      params: z.strictObject({ certificate: z.string() }),
      responses: one,
      handler: ({ read: reading, organisation, params }) => reading((tx) => read(tx, organisation, params.certificate)),
    }),
  ]
}
