// Certificates of a connection over HTTP: make, upload yourself to the app registration, activate, retire. (EC-1, KM-7)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import type { Tx } from '../db/database.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import type { Microsoft365 } from '../microsoft/clients.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import {
  connectionCertificateSchema,
  makeConnectionCertificate,
  MAX_USABLE,
  shapeCertificate,
} from './connection-certificate.ts'
import type { ConnectionCertificate } from './connection-certificate.ts'
import {
  activateCertificate,
  addCertificate,
  findCertificate,
  listCertificates,
  retireCertificate,
  usableCertificates,
} from './connection-certificate-store.ts'
import { LACKS, NoCredential, openConnection } from './connection.ts'
import type { ConnectionDeps } from './connection.ts'
import { existingTenant, placeOf } from './consent-routes.ts'
import { explain } from './consent-shape.ts'
import type { ProjectPlace } from './tenant-store.ts'
import type { Tenant } from './tenant.ts'

export interface CertificateRouteDeps extends ConnectionDeps {
  readonly microsoft: Microsoft365
}

const params = z.strictObject({ project: z.string(), tenant: z.string() })
const oneParams = z.strictObject({ project: z.string(), tenant: z.string(), certificate: z.string() })
/** Somebody waits for the answer: what takes longer is tried again by himself. */
const TRY_FOR_MS = 15_000
const BASE = '/projects/{project}/tenants/{tenant}/certificates'

export function connectionCertificateRoutes(deps: CertificateRouteDeps): AnyRoute[] {
  return [listRoute, makeRoute(deps), readRoute, activateRoute(deps), retireRoute(deps)]
}

const listRoute = route({
  method: 'get',
  path: BASE,
  id: 'listConnectionCertificates',
  summary: 'List the certificates of a connection, oldest first',
  tag: 'tenants',
  access: 'tenant.read',
  params,
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'Certificates', schema: pageOf(connectionCertificateSchema) } },
  handler: ({ read, organisation, project, params: { tenant: text }, query, url }) =>
    read(async (tx) => {
      const request = parsePage(query, 2)
      const place = placeOf(organisation, project)
      const tenant = await existingTenant(tx, place, text)
      const rows = await listCertificates(tx, place, tenant.id, request)
      const key = ({ createdAt, id }: ConnectionCertificate) => [createdAt.getTime(), id]
      return { status: 200, body: toPage(rows, request.limit, shapeCertificate, key, url) }
    }),
})

const makeRoute = ({ sealer }: CertificateRouteDeps) =>
  route({
    method: 'post',
    path: BASE,
    id: 'makeConnectionCertificate',
    summary: 'Make a key pair and certificate for the connection',
    description:
      'For tenants of the single-tenant model. Upload `certificate` to the app registration, then activate it. The private key never leaves.',
    tag: 'tenants',
    access: 'tenant.connect',
    params,
    responses: { 201: { description: 'Made', schema: connectionCertificateSchema } },
    problems: ['conflict'],
    handler: async ({ change, organisation, project, params: { tenant: text }, caller, now, read }) => {
      const place = placeOf(organisation, project)
      const { label } = await read((tx) => existingTenant(tx, place, text))
      const made = await makeConnectionCertificate(label, now)
      return change('tenant.certificate_made', async (tx) => {
        const tenant = await existingTenant(tx, place, text)
        if (tenant.appModel !== 'single-tenant')
          throw new Problem('conflict', {
            detail:
              "The tenant is connected by the installation's own registration, which has its certificate by setting.",
          })
        if ((await usableCertificates(tx, place, tenant.id)).length >= MAX_USABLE)
          throw new Problem('conflict', {
            detail: `A connection has ${MAX_USABLE} certificates at most: retire one first.`,
          })
        const id = newId('connection-certificate')
        const createdBy = callerName(callerOf(caller))
        const createdAt = new Date(now)
        await addCertificate(tx, sealer, place, { ...made, id, tenant: tenant.id, label, createdAt, createdBy })
        const certificate = await existingCertificate(tx, place, tenant, id)
        const Location = `/api/v1/projects/${place.project}/tenants/${tenant.id}/certificates/${id}`
        return {
          answer: { status: 201, body: shapeCertificate(certificate), version: 1, headers: { Location } },
          object: id,
          details: { tenant: tenant.id, thumbprint: made.thumbprint },
        }
      })
    },
  })

const readRoute = route({
  method: 'get',
  path: `${BASE}/{certificate}`,
  id: 'readConnectionCertificate',
  summary: 'Read a certificate of a connection',
  tag: 'tenants',
  access: 'tenant.read',
  params: oneParams,
  responses: { 200: { description: 'The certificate', schema: connectionCertificateSchema } },
  handler: ({ read, organisation, project, params: { tenant: text, certificate: id } }) =>
    read(async (tx) => {
      const place = placeOf(organisation, project)
      const tenant = await existingTenant(tx, place, text)
      const certificate = await existingCertificate(tx, place, tenant, id)
      return { status: 200, body: shapeCertificate(certificate), version: certificate.version }
    }),
})

const activateRoute = (deps: CertificateRouteDeps) =>
  route({
    method: 'post',
    path: `${BASE}/{certificate}/activate`,
    id: 'activateConnectionCertificate',
    summary: 'Use this certificate from now on',
    description: 'Tried first: when the app registration does not know it, nothing changes and the problem says why.',
    tag: 'tenants',
    access: 'tenant.connect',
    params: oneParams,
    ifMatch: 'optional',
    responses: { 200: { description: 'In use', schema: connectionCertificateSchema } },
    problems: ['conflict', 'certificate-refused', 'unavailable'],
    handler: async ({ change, read, organisation, project, params: ids, checkVersion, now, signal }) => {
      const place = placeOf(organisation, project)
      const [tenant, certificate] = await read(async (tx) => {
        const found = await existingTenant(tx, place, ids.tenant)
        return [found, await existingCertificate(tx, place, found, ids.certificate)] as const
      })
      if (certificate.state === 'retired') throw new Problem('conflict', { detail: 'It was retired: its key is gone.' })
      // One that is in use has proved itself.
      if (certificate.state !== 'active') await tryCertificate(deps, place, tenant, certificate, signal)
      return change('tenant.certificate_activated', async (tx) => {
        const before = await existingCertificate(tx, place, tenant, ids.certificate, 'lock')
        checkVersion(before.version)
        if (before.state === 'retired') throw new Problem('conflict', { detail: 'It was retired: its key is gone.' })
        if (before.state !== 'active') await activateCertificate(tx, place, tenant.id, before.id, new Date(now))
        const after = await existingCertificate(tx, place, tenant, ids.certificate)
        deps.microsoft.forget({ ...place, tenant: tenant.id })
        return {
          answer: { status: 200, body: shapeCertificate(after), version: after.version },
          object: after.id,
          details: { tenant: tenant.id, thumbprint: after.thumbprint },
        }
      })
    },
  })

const retireRoute = ({ microsoft }: CertificateRouteDeps) =>
  route({
    method: 'delete',
    path: `${BASE}/{certificate}`,
    id: 'retireConnectionCertificate',
    summary: 'Destroy the private key of a certificate',
    description:
      'Not of the one in use while there is no other: the tenant would be lost. Take it out of the app registration too.',
    tag: 'tenants',
    access: 'tenant.connect',
    params: oneParams,
    ifMatch: 'optional',
    responses: { 204: { description: 'Retired' } },
    problems: ['conflict'],
    handler: ({ change, organisation, project, params: ids, checkVersion, now }) =>
      change('tenant.certificate_retired', async (tx) => {
        const place = placeOf(organisation, project)
        const tenant = await existingTenant(tx, place, ids.tenant)
        const certificate = await existingCertificate(tx, place, tenant, ids.certificate, 'lock')
        checkVersion(certificate.version)
        if (certificate.state === 'active')
          throw new Problem('conflict', { detail: 'It is in use: activate another one first.' })
        if (certificate.state !== 'retired') await retireCertificate(tx, place, certificate.id, new Date(now))
        microsoft.forget({ ...place, tenant: tenant.id })
        return {
          answer: { status: 204 },
          object: certificate.id,
          details: { tenant: tenant.id, thumbprint: certificate.thumbprint },
        }
      }),
  })

async function existingCertificate(
  tx: Tx,
  place: ProjectPlace,
  tenant: Tenant,
  text: string,
  lock: 'lock' | 'read' = 'read',
): Promise<ConnectionCertificate> {
  const id = parseId('connection-certificate', text)
  const certificate = id && (await findCertificate(tx, place, tenant.id, id, lock))
  if (certificate === undefined) throw notFound()
  return certificate
}

/** A token with it, and the cheapest of reads. @throws Problem */
async function tryCertificate(
  deps: CertificateRouteDeps,
  place: ProjectPlace,
  tenant: Tenant,
  certificate: ConnectionCertificate,
  signal: AbortSignal,
): Promise<void> {
  const deadline = AbortSignal.timeout(TRY_FOR_MS)
  try {
    const connection = await openConnection(deps, place, tenant, certificate)
    deps.microsoft.forget({ ...place, tenant: tenant.id })
    const { graph } = deps.microsoft.clientsOf(connection)
    await graph.page(
      { path: '/organization' },
      {
        operation: 'GET /organization',
        query: { $select: 'id' },
        signal: AbortSignal.any([signal, deadline]),
      },
    )
  } catch (error) {
    if (error instanceof NoCredential) throw new Problem('conflict', { detail: LACKS[error.lacks] })
    if (deadline.aborted) throw new Problem('unavailable', {}, { cause: error })
    if (!(error instanceof MicrosoftError)) throw error
    // Whether the application may read is another question: the certificate was taken.
    if (error.status === 403 && error.operation === 'GET /organization') return
    if (error.recovery === 'retry')
      throw new Problem('unavailable', { retryAfterMs: error.waitMs ?? 0 }, { cause: error })
    throw new Problem('certificate-refused', { code: error.code, ...explain(error.code) })
  } finally {
    deps.microsoft.forget({ ...place, tenant: tenant.id })
  }
}
