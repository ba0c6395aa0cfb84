// The work of an operation that somebody began to replace keys (key-routes.ts, KM-2).
import { withScope } from '../db/database.ts'
import { notFound } from '../http/problem.ts'
import type { OperationContext } from '../operations/operation-job.ts'
import { findOperation } from '../operations/operation-store.ts'
import { keyNameOf, ofInstallation, ofProject, projectOf } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import { KeyDestroyed } from './key-provider.ts'
import { openKeyRing } from './project-keys.ts'
import { currentKey, replaceKey, resealOwner, rotateNamedOnce } from './rewrap-owner.ts'
import type { RewrapOwnerDeps } from './rewrap-owner.ts'
import { listKeyOwners } from './rewrap-store.ts'

/**
 * What an operation is about, as its `object` says: the key that is to be replaced ('' where there is none yet), or the named key of the key service
 * that is to get a new version. Said by the request, so that an attempt which goes on after another one doesn't replace the new key.
 */
export const aboutKey = (currentKeyId: string | undefined): string => currentKeyId ?? ''
export const aboutNamedKey = (owner: KeyOwner): string => keyNameOf(owner)

/** @returns the operation's result @throws Problem 404 when the keys are destroyed meanwhile; KeyServiceUnavailable; what stops the job */
export async function rotateAsAsked(
  context: OperationContext,
  deps: RewrapOwnerDeps,
): Promise<Readonly<Record<string, unknown>>> {
  const { organisation, project, subject } = context
  const owner = project === undefined ? ofInstallation(organisation) : ofProject(organisation, project)
  try {
    return await (subject === aboutNamedKey(owner)
      ? rotateNamedKeys(context, owner, deps)
      : rotateAndReseal(context, owner, deps))
  } catch (error) {
    if (error instanceof KeyDestroyed) throw notFound() // its deletion has begun: from then on it isn't there
    throw error
  }
}

async function rotateAndReseal(context: OperationContext, owner: KeyOwner, deps: RewrapOwnerDeps) {
  const { keys } = deps
  const { subject, operation } = context
  await context.progress({ step: 'rotating' })
  if (subject === '')
    await openKeyRing(owner, keys) // there was none to be replaced: the first one is new
  else await replaceKey(owner, subject, { operation }, deps)
  const before = await doneBefore(context)
  const { resealed, unreadable } = await resealOwner(owner, deps, (progress) =>
    context.progress(
      progress === undefined
        ? { step: 'counting' }
        : { step: 're-sealing', done: before + progress.done, total: before + progress.total, unit: 'values' },
    ),
  )
  await context.progress({ step: 'finishing', done: before + resealed, unit: 'values' })
  return {
    version: (await currentKey(owner, keys))?.version,
    unreadableValues: unreadable.reduce((sum, { values }) => sum + values, 0),
    keys: inventoryUrl(owner),
  }
}

/** Of the installation: with those of all projects. Sealed values stay as they are; only project keys are wrapped anew. */
async function rotateNamedKeys(context: OperationContext, owner: KeyOwner, deps: RewrapOwnerDeps) {
  const { db } = deps.keys
  const owners = owner.kind === 'project' ? [owner] : await withScope(db, { purpose: 'reconcile' }, listKeyOwners)
  const { operation } = context
  let unusable = 0
  for (const [done, one] of owners.entries()) {
    await context.progress({ step: 're-wrapping', done, total: owners.length, unit: 'named keys' })
    try {
      unusable += await rotateNamedOnce(context, one, { operation }, deps)
    } catch (error) {
      if (owner.kind === 'project' || !(error instanceof KeyDestroyed)) throw error // else a project that is being deleted
    }
  }
  return { namedKeys: owners.length, unusableKeys: unusable, keys: inventoryUrl(owner) }
}

/** Values that earlier attempts have done. */
async function doneBefore({ read, organisation, operation }: OperationContext): Promise<number> {
  return (await read((tx) => findOperation(tx, organisation, operation)))?.progress.done ?? 0
}

const inventoryUrl = (owner: KeyOwner): string =>
  `/api/v1/${owner.kind === 'project' ? `projects/${projectOf(owner)}` : 'installation'}/keys`
