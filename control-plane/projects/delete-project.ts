// Carries out the deletion of a project: relays, features' own steps, then the keys, then all rows; at the end a certificate, told in the audit trail.
// (KM-3, PR-5) Each step is noted when it is done and can be repeated; an interrupted run goes on with the first that isn't. From the first on nobody
// gets in any more: the project answers 404.
import { appendAudit } from '../audit/audit-store.ts'
import { digestOf } from '../audit/audit.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { eraseRows } from '../db/erase-rows.ts'
import type { Change } from '../db/erase-rows.ts'
import { publishEvent, requestJob } from '../db/outbox.ts'
import { newId } from '../ids.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { JobHandler } from '../jobs/job.ts'
import { RetryLater } from '../jobs/retry.ts'
import { lockOrganisation } from '../organisations/organisation-store.ts'
import { releaseClaims } from '../tenants/tenant-store.ts'
import { insertCertificate } from './certificate-store.ts'
import { certify, isDue, UNDO_MS } from './deletion.ts'
import {
  deleteProjectRow,
  dueProjects,
  findProject,
  loadDoneSteps,
  noteDoneStep,
  startDeletion,
} from './project-store.ts'
import { retireRelays } from './retire-relays.ts'

export interface ProjectPlace {
  readonly organisation: OrganisationId
  readonly project: ProjectId
}

/** What a run is given by whoever runs it. */
export interface DeletionRun {
  /** One transaction that sees the organisation. */
  readonly change: Change
  /** Stop at the next step. */
  readonly signal?: AbortSignal | undefined
}

export type StepOutcome =
  /** What the certificate says of it: ids, counts, states. */
  | { readonly kind: 'done'; readonly details?: Readonly<Record<string, unknown>> }
  /** Not yet: relays still deliver, another service is away. It is run again. @see reason is a code, without data */
  | { readonly kind: 'wait'; readonly waitMs: number; readonly reason: string }

/** What a feature has to do before keys and rows go: revoke, stop, take back what lies outside the database. */
export interface DeletionStep {
  /** Unique; stands on the certificate. */
  readonly name: string
  /** Can be interrupted anywhere and is then run again from its start. */
  run(place: ProjectPlace, run: DeletionRun): Promise<StepOutcome>
}

export interface DeletionDeps {
  /** Of features, in this order, once the relays are gone. */
  readonly steps: readonly DeletionStep[]
  /** Destroys the project's keys. @returns what the certificate says of them @throws when the key service is away */
  readonly shredKeys: (place: ProjectPlace) => Promise<Readonly<Record<string, unknown>>>
  readonly now: () => number
}

/** Rows of jobs, the running one among them, hold ids only and go with the retention of jobs. */
export const KEPT_TABLES = new Set(['job', 'job_step'])
const ACTOR = 'system:deletion'

export type DeletionOutcome =
  | { readonly kind: 'deleted' }
  /** It was undone, or the 7 days aren't over. */
  | { readonly kind: 'not-due' }
  | { readonly kind: 'wait'; readonly waitMs: number; readonly reason: string }

/** Can be run at any time, any number of times. @param withOrganisation  its organisation is being deleted: whether it is due or not */
export async function deleteProject(
  place: ProjectPlace,
  run: DeletionRun,
  deps: DeletionDeps,
  withOrganisation?: { readonly requestedAt: Date; readonly requestedBy: string },
): Promise<DeletionOutcome> {
  const { organisation, project } = place
  const begun = await run.change(async (tx) => {
    const found = await findProject(tx, organisation, project, { isLocked: true })
    if (found === undefined) return { kind: 'deleted' } as const
    const request = found.deletion
    if (withOrganisation === undefined && (request === undefined || !isDue(request, deps.now())))
      return { kind: 'not-due' } as const
    const by = { requestedAt: new Date(deps.now()), requestedBy: ACTOR, ...withOrganisation, ...request }
    await startDeletion(tx, organisation, project, { ...by, startedAt: new Date(deps.now()) })
    return undefined
  })
  if (begun !== undefined) return begun

  const done = new Set((await run.change((tx) => loadDoneSteps(tx, organisation, project))).map(({ name }) => name))
  for (const step of [retireRelays(deps.now), ...deps.steps, keysStep(deps), rowsStep]) {
    if (done.has(step.name)) continue
    run.signal?.throwIfAborted()
    const outcome = await step.run(place, run)
    if (outcome.kind === 'wait') return outcome
    const completedAt = new Date(deps.now()).toISOString()
    const { details = {} } = outcome
    await run.change((tx) => noteDoneStep(tx, organisation, project, { name: step.name, completedAt, details }))
  }
  await finish(place, run, deps)
  return { kind: 'deleted' }
}

const keysStep = (deps: DeletionDeps): DeletionStep => ({
  name: 'keys',
  run: async (place) => ({ kind: 'done', details: await deps.shredKeys(place) }),
})

const rowsStep: DeletionStep = {
  name: 'rows',
  async run(place, { change, signal }) {
    const rows = await eraseRows(change, place, { keep: KEPT_TABLES, signal })
    return { kind: 'done', details: { rows } }
  },
}

/** The project's own row, the certificate and the audit event: all or none. */
async function finish(place: ProjectPlace, run: DeletionRun, deps: DeletionDeps): Promise<void> {
  const { organisation, project } = place
  await run.change(async (tx) => {
    await lockOrganisation(tx, organisation)
    const found = await findProject(tx, organisation, project, { isLocked: true })
    if (found?.deletion === undefined) return // another process was faster
    const steps = await loadDoneSteps(tx, organisation, project)
    // What a request that was under way at the start has written since.
    await eraseRows((work) => work(tx), place, { keep: KEPT_TABLES, signal: run.signal })
    await deleteProjectRow(tx, organisation, project)
    await releaseClaims(tx, organisation)
    const subject = { kind: 'project', id: project } as const
    const id = newId('deletion-certificate')
    const certificate = certify({ id, organization: organisation, subject }, found.deletion, steps, deps.now())
    await insertCertificate(tx, organisation, certificate, new Date(deps.now()))
    await publishEvent(tx, { organisation }, 'project.deleted', { project, certificate: id })
    const told = { action: 'project.deleted', actor: ACTOR, project, object: project, result: 'done' } as const
    const payload = { certificate: id, requestedBy: found.deletion.requestedBy }
    await appendAudit(tx, organisation, { ...told, after: digestOf(certificate), payload }, deps.now())
  })
}

/** Job `project.delete`: its object is the project. */
export function deleteProjectHandler(deps: DeletionDeps): JobHandler {
  return {
    async run(job) {
      const place = { organisation: job.organisation, project: job.object as ProjectId }
      const outcome = await deleteProject(place, { change: (work) => job.change(work), signal: job.signal }, deps)
      if (outcome.kind === 'wait') throw new RetryLater(outcome.waitMs)
    },
  }
}

/** By the clock: asks for the jobs of all deletions that are due. */
export async function requestDueProjectDeletions(db: Db, now: number): Promise<void> {
  const due = await withScope(db, { purpose: 'reconcile' }, (tx) => dueProjects(tx, new Date(now - UNDO_MS)))
  for (const { organisation, project } of due)
    await withScope(db, { organisation }, (tx) => requestJob(tx, { organisation, project }, 'project.delete', project))
}
