// The dry run: what would be done in each tenant now, and what stands in the way. Reads both tenants, changes nothing: not even a connection's state,
// where a tenant keeps us out. (control-plane.md §2, coexistence.md §1)
import { withScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { TenantId } from '../ids.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { REMEDIES } from '../microsoft/remedies.ts'
import { LACKS, NoCredential, openConnection } from '../tenants/connection.ts'
import { findConsent } from '../tenants/consent-store.ts'
import type { InTenantDeps } from '../tenants/in-tenant.ts'
import type { Tenant } from '../tenants/tenant.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { CoexistenceSetting } from './coexistence.ts'
import { desiredObjects } from './desired.ts'
import type { TenantInput } from './desired.ts'
import { digestOf, gather } from './input.ts'
import { readKept } from './ledger-object-store.ts'
import { withNamedGroups } from './named-groups.ts'
import { observeTenant } from './observe.ts'
import { groupPrefixOf } from './pass.ts'
import { planChanges } from './plan.ts'
import type { Problem } from './planning.ts'
import type { Step } from './step.ts'
import { loadSwitch } from './switch-store.ts'
import type { SwitchProblem } from './switch-store.ts'
import type { ObservedObject } from './tenant-object.ts'

export interface PlannedChanges {
  readonly steps: readonly Step[]
  /** Of the plan. */
  readonly problems: readonly Problem[]
  /** What has to be there before anything can be made: nothing is planned then. */
  readonly missing: readonly SwitchProblem[]
  /** What was seen of the tenants. */
  readonly observed: readonly ObservedObject[]
  /** Tenants that could not be looked at: nothing is planned then. */
  readonly obstacles: readonly Obstacle[]
}

/** What keeps us out of a tenant, and what the administrator does about it. */
export interface Obstacle {
  readonly tenant: TenantId
  readonly code: string
  readonly cause?: string
  readonly remedy: string
  /** As Microsoft says it. */
  readonly serviceCode?: string
}

const WORD = 'of-the-run'

/** @param setting  as if it were set; absent: the one that is */
export async function planNow(
  deps: InTenantDeps,
  place: ProjectPlace,
  setting?: CoexistenceSetting,
  signal?: AbortSignal,
): Promise<PlannedChanges> {
  const { organisation } = place
  const at = new Date(deps.now())
  const { row, gathered, kept, consents } = await withScope(deps.db, { organisation }, (tx) =>
    readKnown(tx, deps, place, setting, at),
  )
  const observed: ObservedObject[] = []
  const obstacles: Obstacle[] = []
  const proofs = gathered.secrets.map(digestOf)
  for (const tenant of gathered.tenants) {
    const options = { groupPrefix: groupPrefixOf(place.project), proofs, ...(signal === undefined ? {} : { signal }) }
    const seen = await lookAt(deps, place, tenant, consents.get(tenant.id), options)
    if ('code' in seen) obstacles.push(seen)
    else observed.push(...withNamedGroups(seen))
  }
  const nothing = { steps: [], problems: [], missing: gathered.problems, observed, obstacles }
  if (gathered.problems.length > 0 || obstacles.length > 0) return nothing
  const inputs = gathered.own.map((own): TenantInput => ({
    ...own,
    observed: observed.filter(({ tenant }) => tenant === own.tenant),
    probeNonces: { out: WORD, in: WORD },
  }))
  const [one, other] = inputs
  const desired =
    one === undefined || other === undefined ? [] : desiredObjects({ ...gathered.input, tenants: [one, other] })
  const { out, in: into } = gathered.input.setting.relayHosts
  const { steps, problems } = planChanges(desired, observed, kept, {
    project: place.project,
    route: gathered.input.setting.route,
    validationRecipients: {
      out: `connector-validation-${WORD}@${out}`,
      elsewhere: `connector-validation-${WORD}@${into}`,
    },
    now: at,
    isDriftConfirmed: row.confirmsDrift,
  })
  return { ...nothing, steps, problems }
}

async function readKnown(
  tx: Tx,
  { sealer }: InTenantDeps,
  place: ProjectPlace,
  setting: CoexistenceSetting | undefined,
  at: Date,
) {
  const row = await loadSwitch(tx, place)
  const wanted = { setting: setting ?? row.setting, freeBusy: row.freeBusy }
  const gathered = await gather(tx, sealer, place, wanted, at)
  const consents = new Map<TenantId, string>()
  for (const { id } of gathered.tenants) consents.set(id, (await findConsent(tx, place, id))?.state ?? 'none')
  return { row, gathered, kept: await readKept(tx, place), consents }
}

async function lookAt(
  deps: InTenantDeps,
  place: ProjectPlace,
  tenant: Tenant,
  consent: string | undefined,
  options: Omit<Parameters<typeof observeTenant>[1], 'tenant'>,
): Promise<readonly ObservedObject[] | Obstacle> {
  const { id } = tenant
  if (consent !== 'connected') {
    const remedy = 'See `…/consent` and `…/health` of the tenant: they say what to do.'
    return { tenant: id, code: consent === 'paused' ? 'paused' : 'not-connected', remedy }
  }
  try {
    const { exchange } = deps.microsoft.clientsOf(await openConnection(deps, place, tenant))
    return await observeTenant(exchange, { ...options, tenant: id })
  } catch (error) {
    if (error instanceof NoCredential) return { tenant: id, code: `no-${error.lacks}`, remedy: LACKS[error.lacks] }
    if (!(error instanceof MicrosoftError)) throw error
    const { code, serviceCode } = error
    return { tenant: id, code, ...REMEDIES[code], ...(serviceCode === undefined ? {} : { serviceCode }) }
  }
}
