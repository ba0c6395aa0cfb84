// Work of a job in a tenant: only while it is connected, and given up for a while when Microsoft says that it is not any more. One place decides what
// an error of Microsoft's means for a job. (EC-4, migration-semantics.md §8)
import { publishEvent } from '../db/outbox.ts'
import { appendAudit } from '../audit/audit-store.ts'
import type { Tx } from '../db/database.ts'
import { requestFindings } from '../findings/finding-run-store.ts'
import type { TenantId } from '../ids.ts'
import { Problem } from '../http/problem.ts'
import { GiveUp, RetryLater } from '../jobs/retry.ts'
import type { Microsoft365, MicrosoftClients } from '../microsoft/clients.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { REMEDIES } from '../microsoft/remedies.ts'
import type { OperationContext } from '../operations/operation-job.ts'
import { NoCredential, openConnection } from './connection.ts'
import type { ConnectionDeps } from './connection.ts'
import { findConsent, setVerdict } from './consent-store.ts'
import type { Consent, ProblemDetails } from './consent.ts'
import { findTenant } from './tenant-store.ts'
import type { ProjectPlace } from './tenant-store.ts'

export interface InTenantDeps extends ConnectionDeps {
  readonly microsoft: Microsoft365
  /** ms since the epoch */
  readonly now: () => number
}

/** A paused tenant is looked at every minute (check-tenant.ts). */
const PAUSED_WAIT_MS = 20_000
const PASSING_WAIT_MS = 15_000

/** In the transaction of each step: what a consent that was withdrawn meanwhile stops. @throws RetryLater, GiveUp */
export async function demandConnected(tx: Tx, place: ProjectPlace, tenant: TenantId): Promise<Consent> {
  const consent = await findConsent(tx, place, tenant)
  if (consent === undefined) throw new GiveUp('tenant-not-connected')
  if (consent.state !== 'connected') throw new RetryLater(PAUSED_WAIT_MS)
  return consent
}

/**
 * Runs `work` with the tenant's clients. What Microsoft refuses for want of consent pauses the tenant, and the job waits without using up an attempt;
 * what passes by itself is tried again when Microsoft says; an answer that stands ends the operation with it.
 */
export async function inTenant<T>(
  job: Pick<OperationContext, 'read' | 'change' | 'progress'>,
  place: ProjectPlace,
  id: TenantId,
  deps: InTenantDeps,
  work: (clients: MicrosoftClients, consent: Consent) => Promise<T>,
): Promise<T> {
  const [tenant, consent] = await job.read(
    async (tx) => [await findTenant(tx, place, id), await findConsent(tx, place, id)] as const,
  )
  if (tenant === undefined || consent === undefined) throw new GiveUp('tenant-not-connected')
  if (consent.state !== 'connected') {
    await job.progress({ step: `waiting: ${consent.problem ?? consent.state}` })
    throw new RetryLater(PAUSED_WAIT_MS)
  }
  try {
    return await work(deps.microsoft.clientsOf(await openConnection(deps, place, tenant)), consent)
  } catch (error) {
    if (error instanceof NoCredential) throw new GiveUp(`no-${error.lacks}`, { cause: error })
    if (!(error instanceof MicrosoftError)) throw error
    if (error.recovery === 'retry') {
      await job.progress({ step: `waiting: ${error.code}` })
      throw new RetryLater(error.waitMs ?? PASSING_WAIT_MS, { cause: error })
    }
    if (error.recovery === 'final') {
      const { code } = error
      throw new Problem('microsoft-refused', { code, ...REMEDIES[code], ...detailsOf(error) }, { cause: error })
    }
    deps.microsoft.forget({ ...place, tenant: id })
    await job.change((tx) => pauseTenant(tx, place, id, error, deps.now()))
    await job.progress({ step: `waiting: ${error.code}` })
    throw new RetryLater(PAUSED_WAIT_MS, { cause: error })
  }
}

/** Nobody works in it until a look finds it well again. */
export async function pauseTenant(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  error: MicrosoftError,
  now: number,
): Promise<void> {
  const consent = await findConsent(tx, place, tenant, 'lock')
  if (consent === undefined || consent.state !== 'connected') return
  const { granted, missing, exchange } = consent
  const verdict = { state: 'paused', granted, missing, exchange, problem: error.code, againMs: undefined } as const
  await setVerdict(tx, place, tenant, { ...verdict, problemDetails: detailsOf(error) }, new Date(now))
  await tellState(tx, place, tenant, { state: 'paused', problem: error.code }, now)
}

export function detailsOf({ status, serviceCode, requestId, operation }: MicrosoftError): ProblemDetails {
  return {
    ...(status === undefined ? {} : { status }),
    ...(serviceCode === undefined ? {} : { serviceCode }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(operation === undefined ? {} : { operation }),
  }
}

/** A change of state is news, stands in the audit trail, and has findings judged anew. */
export async function tellState(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  told: { readonly state: Consent['state']; readonly problem: string | undefined },
  now: number,
): Promise<void> {
  const { state, problem } = told
  await publishEvent(tx, place, `tenant.${state}`, { tenant, ...(problem === undefined ? {} : { problem }) })
  await requestFindings(tx, place)
  await appendAudit(
    tx,
    place.organisation,
    {
      action: `tenant.${state}`,
      actor: 'system:consent',
      project: place.project,
      object: tenant,
      result: state === 'connected' ? 'done' : 'failed',
      payload: problem === undefined ? {} : { problem },
    },
    now,
  )
}
