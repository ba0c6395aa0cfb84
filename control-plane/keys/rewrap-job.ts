// Job `keys.rewrap` (KM-2): replaces the keys of a project or of the installation where that is due or asked for, and takes everything that older
// ones sealed over to the current one. By an operation, when a person asked; by itself, when the reconciler finds a key that is almost a year old, or
// values that a rotation left behind.
import { withScope } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import { parseId } from '../ids.ts'
import type { JobContext, JobHandler } from '../jobs/job.ts'
import type { Reconciler } from '../jobs/reconcile-all.ts'
import { RetryLater } from '../jobs/retry.ts'
import { operationJob } from '../operations/operation-job.ts'
import type { OperationJobDeps } from '../operations/operation-job.ts'
import { homeOf, keyNameOf, ofInstallation, ofProject, projectOf } from './key-owner.ts'
import { KeyDestroyed, KeyServiceUnavailable } from './key-provider.ts'
import { PROJECT_KEY_ROTATION_MS } from './project-keys.ts'
import type { KeyDeps } from './project-keys.ts'
import { currentKey, replaceKey, resealOwner, rotateNamedOnce, SETTLE_MS } from './rewrap-owner.ts'
import type { RewrapOwnerDeps } from './rewrap-owner.ts'
import { listRewrapsDue } from './rewrap-store.ts'
import { rotateAsAsked } from './rotate-as-asked.ts'

export interface RewrapDeps extends RewrapOwnerDeps {
  readonly operations: OperationJobDeps
}

const KEY_SERVICE_WAIT_MS = 60_000
const DUE_AT_ONCE = 500

export function rewrapJob(deps: RewrapDeps): JobHandler {
  const asked = operationJob((context) => rotateAsAsked(context, deps), deps.operations)
  return {
    async run(job) {
      try {
        await (isOfOperation(job) ? asked.run(job) : rewrapByItself(job, deps))
      } catch (error) {
        if (!(error instanceof KeyServiceUnavailable)) throw error
        throw new RetryLater(error.retryAfterMs ?? KEY_SERVICE_WAIT_MS, { cause: error })
      }
    },
    async gaveUp(tx, job, reason) {
      if (isOfOperation(job)) await asked.gaveUp?.(tx, job, reason)
    },
  }
}

const isOfOperation = ({ object }: Pick<JobContext, 'object'>): boolean => parseId('operation', object) !== undefined

async function rewrapByItself(job: JobContext, deps: RewrapDeps): Promise<void> {
  const { organisation, project } = job
  const owner = project === undefined ? ofInstallation(organisation) : ofProject(organisation, project)
  const current = await currentKey(owner, deps.keys)
  if (current === undefined) return // it was deleted meanwhile
  try {
    if (current.createdAt <= oldFrom(deps.keys)) {
      await rotateNamedOnce(job, owner, {}, deps)
      await replaceKey(owner, current.id, {}, deps)
    }
    await resealOwner(owner, deps, () => {
      job.signal.throwIfAborted()
      return Promise.resolve()
    })
  } catch (error) {
    if (!(error instanceof KeyDestroyed)) throw error // its deletion has begun: there is nothing to be saved
  }
}

/** Asks for the job where something is due and nobody is at it: by the clock. */
export function rewrapReconciler(deps: Pick<KeyDeps, 'now'>): Reconciler {
  return {
    name: 'keys.rewrap',
    async reconcile(db) {
      const times = { madeUntil: oldFrom(deps), replacedUntil: new Date(deps.now().getTime() - SETTLE_MS) }
      for (const owner of await withScope(db, { purpose: 'reconcile' }, (tx) =>
        listRewrapsDue(tx, times, DUE_AT_ONCE),
      )) {
        const place = { organisation: homeOf(owner), project: projectOf(owner) ?? undefined }
        await withScope(db, { organisation: place.organisation }, (tx) =>
          requestJob(tx, place, 'keys.rewrap', keyNameOf(owner)),
        )
      }
    },
  }
}

/** Current keys made until then are to be replaced. */
const oldFrom = ({ now }: Pick<KeyDeps, 'now'>): Date => new Date(now().getTime() - PROJECT_KEY_ROTATION_MS)
