// One call of Exchange that changes something, sent once, and what its answer means for the run: done, done already, not to be done, or not known.
// (coexistence.md §1.1, microsoft-365.md §14)
import type { TenantId } from '../ids.ts'
import { GiveUp, RetryLater } from '../jobs/retry.ts'
import type { MicrosoftClients } from '../microsoft/clients.ts'
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import { inTenant } from '../tenants/in-tenant.ts'
import { changeSwitch, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import type { Call } from './step.ts'
import type { SwitchProblem } from './switch-store.ts'
import { observeTenant } from './observe.ts'
import type { ObserveOptions } from './observe.ts'
import type { ObservedObject } from './tenant-object.ts'

export type Answer =
  | { readonly kind: 'done'; readonly guid: string | undefined }
  /** What it is about is not there. */
  | { readonly kind: 'absent' }
  /** Something of that name is, or it is so already. */
  | { readonly kind: 'exists' }
  /** The organisation is still as every new one, and first has to be made its own. */
  | { readonly kind: 'dehydrated' }
  | { readonly kind: 'refused'; readonly problem: SwitchProblem }

/** Refusals that concern the call. Others of an administrator's concern pause the tenant: consent, certificate, clock. */
const OF_THE_CALL = new Set(['RBAC_MISSING', 'POLICY_BLOCKED'])
const LOOK_AGAIN_MS = 2_000
const GUID = /^[0-9a-f-]{36}$/i

/** @throws RetryLater for what passes by itself: whether the call took effect is then not known; the signal's reason */
export function callExchange(run: Run, deps: ReconcileDeps, tenant: TenantId, call: Call): Promise<Answer> {
  const { signal } = run.context
  const work = async ({ exchange }: MicrosoftClients): Promise<Answer> => {
    try {
      const [row] = await exchange.invoke<{ Guid?: unknown }>(call.cmdlet, call.parameters, { signal })
      const guid = row?.Guid
      return { kind: 'done', guid: typeof guid === 'string' && GUID.test(guid) ? guid.toLowerCase() : undefined }
    } catch (error) {
      if (!(error instanceof MicrosoftError)) throw error
      return answerOf(error, tenant)
    }
  }
  return inTenant(told(run, deps), run.place, tenant, deps, work).catch((error: unknown) => ({
    kind: 'refused',
    problem: problemOf(error, tenant),
  }))
}

/** @throws error where it is none of the call's */
function answerOf(error: MicrosoftError, tenant: TenantId): Answer {
  const { code, serviceCode, recovery } = error
  if (serviceCode?.includes('DehydratedContext') === true) return { kind: 'dehydrated' }
  if (code === 'NOT_FOUND') return { kind: 'absent' }
  if (code === 'CONFLICT') return { kind: 'exists' }
  if (recovery !== 'final' && !OF_THE_CALL.has(code)) throw error
  return { kind: 'refused', problem: { code, tenant, ...(serviceCode === undefined ? {} : { serviceCode }) } }
}

/** @throws RetryLater; the signal's reason */
export function look(
  run: Run,
  deps: ReconcileDeps,
  options: Omit<ObserveOptions, 'signal'>,
): Promise<ObservedObject[] | SwitchProblem> {
  const { signal } = run.context
  const work = async ({ exchange }: MicrosoftClients): Promise<ObservedObject[] | SwitchProblem> => {
    try {
      return await observeTenant(exchange, { ...options, signal })
    } catch (error) {
      if (!(error instanceof MicrosoftError)) throw error
      const answer = answerOf(error, options.tenant)
      if (answer.kind === 'refused') return answer.problem
      // Something came or went between two reads.
      throw new RetryLater(LOOK_AGAIN_MS, { cause: error })
    }
  }
  return inTenant(told(run, deps), run.place, options.tenant, deps, work).catch((error: unknown) =>
    problemOf(error, options.tenant),
  )
}

/** Nobody can speak to the tenant until an administrator has done something. @throws error where it is none of that kind */
function problemOf(error: unknown, tenant: TenantId): SwitchProblem {
  if (error instanceof GiveUp) return { code: error.reason, tenant }
  throw error
}

/** What a tenant is waited for is told of the switch as well. */
function told(run: Run, deps: ReconcileDeps): Run['context'] {
  return {
    ...run.context,
    async progress(progress) {
      const [, waitingFor] = /^waiting: (.+)$/.exec(progress.step ?? '') ?? []
      if (waitingFor !== undefined)
        await changeSwitch(run, (tx, row) => patchSwitch(tx, run.place, row, { waitingFor }, new Date(deps.now())))
      await run.context.progress(progress)
    },
  }
}
