// What making and finding certificates take beside the rules: the key of a request's body, the tenant that it names, the row. (KM-5)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import type { Tx } from '../db/database.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import type { Context } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import type { CertificateId, TenantId } from '../ids.ts'
import type { Sealer } from '../keys/sealer.ts'
import { placeOf, projectParams } from '../relays/project-params.ts'
import { lockProject } from '../relays/project-place-store.ts'
import type { ProjectPlace } from '../relays/relay-secret-store.ts'
import { findTenant } from '../tenants/tenant-store.ts'
import { readChain, readPrivateKey } from './certificate-chain.ts'
import type { IssuedChain } from './certificate-chain.ts'
import { actFault, MAX_CERTIFICATES } from './certificate.ts'
import type { Certificate, CertificateAct, CertificatePurpose } from './certificate.ts'
import { shapeCertificate } from './certificate-shape.ts'
import type { newCertificateSchema } from './certificate-shape.ts'
import { addCertificate, countKept, findCertificate } from './certificate-store.ts'
import { requestCertificate } from './signing-request.ts'

type NewBody = z.output<typeof newCertificateSchema>

export const certificateParams = projectParams.extend({ certificate: z.string() })
export type CertificateContext = Pick<
  Context<z.output<typeof certificateParams>, unknown, unknown>,
  'organisation' | 'project' | 'params'
>

export interface KeyToKeep {
  readonly privateKey: string
  readonly publicKey: string
  readonly algorithm: string
  readonly request?: string
  readonly issued: IssuedChain | undefined
}

/** Made, or read where it is given. @throws Problem 400 with every fault */
export async function keyFor(
  { purpose, key, chain, algorithm = 'ec-p256', ...given }: NewBody,
  names: readonly [string, ...string[]],
  now: Date,
): Promise<KeyToKeep> {
  const faults: RequestFault[] = []
  if ((purpose === 'tenant') !== (given.tenant !== undefined))
    faults.push({ pointer: '/tenant', code: 'tenant', detail: 'goes with the purpose `tenant`, and with no other' })
  if (key === undefined && chain !== undefined)
    faults.push({ pointer: '/chain', code: 'together', detail: 'comes with its key, or later for a key made here' })
  if (key !== undefined && chain === undefined)
    faults.push({ pointer: '/key', code: 'together', detail: 'comes with its chain' })
  if (faults.length > 0) throw badRequest(faults)
  if (key === undefined || chain === undefined)
    return { ...(await requestCertificate(algorithm, names)), algorithm, issued: undefined }
  const read = readPrivateKey(key)
  if ('pointer' in read) throw badRequest([read])
  const issued = readChain(chain, { purpose, names, publicKey: read.publicKey }, now)
  if (Array.isArray(issued)) throw badRequest(issued)
  return { ...read, issued }
}

/** @throws Problem 400 where it names one that the project does not have */
export async function mustBeTenant(
  tx: Tx,
  place: ProjectPlace,
  { tenant: text }: Pick<NewBody, 'tenant'>,
): Promise<TenantId | undefined> {
  if (text === undefined) return undefined
  const id = parseId('tenant', text)
  if (id === undefined || (await findTenant(tx, place, id)) === undefined)
    throw badRequest([{ pointer: '/tenant', code: 'tenant', detail: 'is no tenant of the project' }])
  return id
}

interface ToAdd {
  readonly purpose: CertificatePurpose
  readonly tenant: TenantId | undefined
  readonly names: readonly [string, ...string[]]
  readonly key: KeyToKeep
  readonly replaces?: CertificateId
}

/** @throws Problem 409 when the project has as many as can be */
export async function addNew(
  tx: Tx,
  context: Pick<Context<unknown, unknown, unknown>, 'organisation' | 'project' | 'caller' | 'now'>,
  sealer: Sealer,
  { purpose, tenant, names, key, replaces }: ToAdd,
) {
  const place = placeOf(context)
  const id = newId('certificate')
  await lockProject(tx, place) // so that two at once can't pass the limit
  if ((await countKept(tx, place)) >= MAX_CERTIFICATES) throw new Problem('limit-reached', { limit: MAX_CERTIFICATES })
  await addCertificate(tx, sealer, place, {
    ...key,
    id,
    purpose,
    tenant,
    names,
    request: key.request,
    replaces,
    createdAt: new Date(context.now),
    createdBy: callerName(callerOf(context.caller)),
  })
  const certificate = await findCertificate(tx, place, id)
  if (certificate === undefined) throw new Error('unreachable: it was just added')
  const { algorithm } = key
  return {
    answer: { status: 201, body: shapeCertificate(certificate, context.now), version: certificate.version },
    object: id,
    after: { purpose, names, algorithm },
    details: { purpose, algorithm, ...(tenant && { tenant }), ...(replaces && { replaces }) },
  }
}

export function mayBe(act: CertificateAct, certificate: Certificate): Certificate {
  const detail = actFault(act, certificate.state)
  if (detail !== undefined) throw new Problem('conflict', { detail })
  return certificate
}

/** @throws Problem 404 */
export async function certificateOf(tx: Tx, context: CertificateContext, lock: 'lock' | 'read'): Promise<Certificate> {
  const id = parseId('certificate', context.params.certificate)
  const certificate = id && (await findCertificate(tx, placeOf(context), id, lock))
  if (certificate === undefined) throw notFound()
  return certificate
}
