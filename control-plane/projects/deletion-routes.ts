// Asking for the deletion of a project, undoing it within 7 days, or making it happen at once: two different people with fresh sign-ins. (KM-3, AZ-6)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import { demandCoexistenceOff, despiteCoexistence } from '../coexistence/demand-off.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent, requestJob } from '../db/outbox.ts'
import { Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { deletionSchema, FORCERS_NEEDED, isForced, shapeDeletion } from './deletion.ts'
import { existingProject } from './existing-project.ts'
import { auditedProject, projectSchema, shapeProject } from './project.ts'
import type { Project } from './project.ts'
import { updateProject } from './project-store.ts'

const params = z.strictObject({ project: z.string() })

export function deletionRoutes(): AnyRoute[] {
  return [
    route({
      method: 'delete',
      path: '/projects/{project}',
      id: 'requestProjectDeletion',
      summary: 'Ask for the deletion of a project with its keys',
      description:
        'It can be undone for 7 days. Then relays are revoked, the keys destroyed, all rows deleted, and a certificate is left.',
      tag: 'projects',
      access: 'project.delete',
      params,
      query: z.strictObject({ despiteCoexistence }),
      ifMatch: 'optional',
      isDangerous: true,
      responses: { 202: { description: 'Asked for', schema: projectSchema } },
      problems: ['deletion-pending', 'coexistence-on'],
      handler: ({ change, organisation, project: id, caller, now, checkVersion, query }) =>
        change('project.deletion-requested', async (tx) => {
          const before = await existingProject(tx, organisation, id, { isLocked: true })
          checkVersion(before.version)
          if (before.deletion !== undefined) throw new Problem('deletion-pending')
          await demandCoexistenceOff(tx, { organisation, project: before.id }, query.despiteCoexistence)
          const requestedBy = callerName(callerOf(caller))
          const deletion = { requestedAt: new Date(now), requestedBy, forcedBy: [], startedAt: undefined }
          return save(tx, before, { ...before, deletion }, 'project.deletion-requested', 202)
        }),
    }),
    route({
      method: 'get',
      path: '/projects/{project}/deletion',
      id: 'readProjectDeletion',
      summary: 'Read who asked for the deletion of a project, and until when it can be undone',
      tag: 'projects',
      access: 'project.read',
      params,
      responses: { 200: { description: 'The deletion', schema: deletionSchema } },
      problems: ['deletion-not-requested'],
      handler: ({ read, organisation, project: id }) =>
        read(async (tx) => {
          const { deletion } = await existingProject(tx, organisation, id)
          if (deletion === undefined) throw new Problem('deletion-not-requested')
          return { status: 200, body: shapeDeletion(deletion) }
        }),
    }),
    route({
      method: 'delete',
      path: '/projects/{project}/deletion',
      id: 'undoProjectDeletion',
      summary: 'Undo the deletion of a project',
      tag: 'projects',
      access: 'project.delete',
      params,
      responses: { 200: { description: 'Undone', schema: projectSchema } },
      problems: ['deletion-not-requested'],
      handler: ({ change, organisation, project: id }) =>
        change('project.deletion-undone', async (tx) => {
          const before = await existingProject(tx, organisation, id, { isLocked: true })
          if (before.deletion === undefined) throw new Problem('deletion-not-requested')
          return save(tx, before, { ...before, deletion: undefined }, 'project.deletion-undone')
        }),
    }),
    route({
      method: 'post',
      path: '/projects/{project}/deletion/force',
      id: 'forceProjectDeletion',
      summary: 'Want the deletion of a project at once',
      description: `Once ${FORCERS_NEEDED} different people want it, it begins, and nothing undoes it.`,
      tag: 'projects',
      access: 'project.delete',
      params,
      isDangerous: true,
      responses: { 202: { description: 'Noted; it begins when `deletion.isForced`', schema: projectSchema } },
      problems: ['deletion-not-requested'],
      handler: ({ change, organisation, project: id, caller }) =>
        change('project.deletion-forced', async (tx) => {
          const before = await existingProject(tx, organisation, id, { isLocked: true })
          if (before.deletion === undefined) throw new Problem('deletion-not-requested')
          // People are counted, not credentials: a session and a key of one person are one.
          const forcedBy = [...new Set([...before.deletion.forcedBy, callerOf(caller).principal])]
          const deletion = { ...before.deletion, forcedBy }
          if (isForced(deletion))
            await requestJob(tx, { organisation, project: before.id }, 'project.delete', before.id)
          return save(tx, before, { ...before, deletion }, 'project.deletion-forced', 202)
        }),
    }),
  ]
}

async function save(tx: Tx, before: Project, changed: Project, event: string, status = 200) {
  const after = { ...changed, version: before.version + 1 }
  await updateProject(tx, after)
  await publishEvent(tx, { organisation: after.organisation, project: after.id }, event, { project: after.id })
  return {
    answer: { status, body: shapeProject(after), version: after.version },
    object: after.id,
    before: auditedProject(before),
    after: auditedProject(after),
  }
}
