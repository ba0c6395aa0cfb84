// What replacing the keys of one owner is made of, whoever asked for it (KM-2): a new version of the named key, a new project key, everything sealed
// anew. Each is told once in the audit trail of whose key it is.
import type { Log } from '../../common/log.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import type { JobContext } from '../jobs/job.ts'
import { isStepDone } from '../jobs/job-store.ts'
import { homeOf, keyNameOf, projectOf } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import type { KeyDeps } from './project-keys.ts'
import { listProjectKeys } from './project-key-store.ts'
import type { ProjectKey } from './project-key-store.ts'
import { resealAll } from './reseal-all.ts'
import type { Resealing, ResealResult } from './reseal-all.ts'
import { markResealed } from './rewrap-store.ts'
import { addNamedVersion, rewrapProjectKeys, rotateProjectKey } from './rotate-keys.ts'
import type { SealedColumn } from './sealed-columns.ts'

export interface RewrapOwnerDeps {
  readonly keys: KeyDeps
  /** all-sealed-columns.ts */
  readonly columns: readonly SealedColumn[]
  readonly log: Log
}

/** What stands beside a rotation in the audit trail and the event. */
type Cause = Readonly<Record<string, unknown>>

/**
 * How long a key that was replaced may still seal: whoever opened a ring just before may hold it to the end of his transaction, which the database
 * ends after 30 s of idling. After that, a pass that finds nothing under it proves that there is nothing.
 */
export const SETTLE_MS = 10 * 60_000
const ACTOR = 'system:keys'

/** undefined: its keys were destroyed, or there never was one. */
export async function currentKey(owner: KeyOwner, { db }: KeyDeps): Promise<ProjectKey | undefined> {
  const keys = await withScope(db, { organisation: homeOf(owner) }, (tx) => listProjectKeys(tx, owner))
  return keys.find(({ state }) => state === 'current')
}

/**
 * A new version of the named key, once a job however often it is tried, and the owner's keys under it.
 * @returns how many keys the key service doesn't unwrap any more
 */
export async function rotateNamedOnce(
  job: Pick<JobContext, 'id' | 'organisation' | 'read' | 'once'>,
  owner: KeyOwner,
  cause: Cause,
  { keys, log }: RewrapOwnerDeps,
): Promise<number> {
  const name = keyNameOf(owner)
  if (!(await job.read((tx) => isStepDone(tx, job, name)))) {
    await addNamedVersion(owner, keys)
    await withScope(keys.db, { organisation: homeOf(owner) }, (tx) =>
      tellRotation(tx, owner, 'key.root-rotated', name, cause, keys.now()),
    )
    await job.once(name, () => Promise.resolve())
  }
  const { unusable } = await rewrapProjectKeys(owner, keys)
  if (unusable > 0) log.error('keys.not_rewrapped', { ...placeOf(owner), keys: unusable })
  return unusable
}

/** A new key in the place of `replaces`, unless that was replaced already. */
export async function replaceKey(
  owner: KeyOwner,
  replaces: string,
  cause: Cause,
  { keys }: RewrapOwnerDeps,
): Promise<void> {
  await rotateProjectKey(owner, keys, {
    replaces,
    tell: (tx, { id, version }) => tellRotation(tx, owner, 'key.rotated', id, { version, ...cause }, keys.now()),
  })
}

/** @param step  as of `resealAll` */
export async function resealOwner(
  owner: KeyOwner,
  { keys, columns, log }: RewrapOwnerDeps,
  step: (progress: Resealing | undefined) => Promise<void>,
): Promise<ResealResult> {
  const settled = new Date(keys.now().getTime() - SETTLE_MS)
  const result = await resealAll(owner, columns, keys, step)
  for (const { organisation, column, values } of result.unreadable)
    log.error('keys.values_unreadable', { ...placeOf(owner), organization: organisation, column, values })
  await withScope(keys.db, { organisation: homeOf(owner) }, (tx) => markResealed(tx, owner, settled, keys.now()))
  return result
}

const placeOf = (owner: KeyOwner) => ({ organization: homeOf(owner), project: projectOf(owner) ?? undefined })

async function tellRotation(
  tx: Tx,
  owner: KeyOwner,
  action: 'key.rotated' | 'key.root-rotated',
  object: string,
  payload: Cause,
  at: Date,
): Promise<void> {
  const organisation = homeOf(owner)
  const project = projectOf(owner) ?? undefined
  await publishEvent(tx, { organisation, project }, action, { key: object, ...payload })
  const place = project === undefined ? {} : { project }
  await appendAudit(tx, organisation, { action, actor: ACTOR, object, result: 'done', payload, ...place }, at.getTime())
}
