// Carries out the deletion of an organisation: each project as if it had been asked for alone, then all rows but the audit trail; at the end a
// certificate, kept and told by the installation. Can be interrupted anywhere and goes on where it was. (KM-3, PR-5)
import { appendAudit } from '../audit/audit-store.ts'
import { digestOf } from '../audit/audit.ts'
import { setScope, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { eraseRows } from '../db/erase-rows.ts'
import { requestJob } from '../db/outbox.ts'
import { INSTALLATION, newId } from '../ids.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { JobHandler } from '../jobs/job.ts'
import { RetryLater } from '../jobs/retry.ts'
import { insertCertificate, loadCertificates } from '../projects/certificate-store.ts'
import { deleteProject, KEPT_TABLES } from '../projects/delete-project.ts'
import type { DeletionDeps, DeletionOutcome, DeletionRun } from '../projects/delete-project.ts'
import { certify, isDue, UNDO_MS } from '../projects/deletion.ts'
import {
  dueOrganisations,
  findOrganisation,
  leaveTombstone,
  projectIdsOf,
  startDeletion,
} from './organisation-store.ts'

const ACTOR = 'system:deletion'

/** Can be run at any time, any number of times. */
export async function deleteOrganisation(
  organisation: OrganisationId,
  run: DeletionRun,
  deps: DeletionDeps,
): Promise<DeletionOutcome> {
  const request = await run.change(async (tx) => {
    const found = await findOrganisation(tx, organisation)
    if (found === undefined) return 'deleted'
    if (found.deletion === undefined || !isDue(found.deletion, deps.now())) return 'not-due'
    return (await startDeletion(tx, organisation, new Date(deps.now()))) ? found.deletion : 'not-due'
  })
  if (typeof request === 'string') return { kind: request }

  for (const project of await run.change((tx) => projectIdsOf(tx, organisation))) {
    const outcome = await deleteProject({ organisation, project: project as ProjectId }, run, deps, {
      requestedAt: request.requestedAt,
      requestedBy: request.requestedBy,
    })
    if (outcome.kind === 'wait') return outcome
  }
  const rows = await eraseRows(run.change, { organisation }, { keep: KEPT_TABLES, signal: run.signal })
  await run.change(async (tx) => {
    const projects = await loadCertificates(tx, organisation)
    const found = await findOrganisation(tx, organisation)
    if (found?.deletion === undefined) return // another process was faster
    // What was written since by what was under way.
    await eraseRows((work) => work(tx), { organisation }, { keep: KEPT_TABLES, signal: run.signal })
    if (!(await leaveTombstone(tx, organisation, new Date(deps.now())))) return
    const steps = [{ name: 'rows', completedAt: new Date(deps.now()).toISOString(), details: { rows } }]
    const subject = { kind: 'organization', id: organisation } as const
    const id = newId('deletion-certificate')
    const certificate = certify(
      { id, organization: organisation, subject },
      found.deletion,
      steps,
      deps.now(),
      projects,
    )
    await setScope(tx, { organisation: INSTALLATION })
    await insertCertificate(tx, INSTALLATION, certificate, new Date(deps.now()))
    const told = { action: 'organization.deleted', actor: ACTOR, object: organisation, result: 'done' } as const
    const payload = { certificate: id, requestedBy: found.deletion.requestedBy }
    await appendAudit(tx, INSTALLATION, { ...told, after: digestOf(certificate), payload }, deps.now())
  })
  return { kind: 'deleted' }
}

/** Job `organisation.delete`: of the job's own organisation. */
export function deleteOrganisationHandler(deps: DeletionDeps): JobHandler {
  return {
    async run(job) {
      const run = { change: job.change.bind(job), signal: job.signal }
      const outcome = await deleteOrganisation(job.organisation, run, deps)
      if (outcome.kind === 'wait') throw new RetryLater(outcome.waitMs)
    },
  }
}

/** By the clock: asks for the jobs of all deletions that are due. */
export async function requestDueOrganisationDeletions(db: Db, now: number): Promise<void> {
  const due = await withScope(db, { purpose: 'reconcile' }, (tx) => dueOrganisations(tx, new Date(now - UNDO_MS)))
  for (const organisation of due)
    await withScope(db, { organisation }, (tx) => requestJob(tx, { organisation }, 'organisation.delete', organisation))
}
