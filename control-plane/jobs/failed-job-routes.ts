// The lists of failed jobs over HTTP, of organisations and of the installation: seen, tried again, discarded. (JQ-5)
import { z } from 'zod'
import type { Permission } from '../access/permissions.ts'
import type { Tx } from '../db/database.ts'
import { cursorNumber, pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { time } from '../http/values.ts'
import type { OrganisationId } from '../ids.ts'
import { discardFailedJob, findFailedJob, listFailedJobs, retryFailedJob } from './failed-job-store.ts'
import type { FailedJob } from './failed-job-store.ts'

const tag = 'operations'

const failedJobShape = z
  .strictObject({
    id: z.string(),
    kind: z.string(),
    project: z.string().optional(),
    object: z.string().optional().meta({ description: 'Id of what it was about.' }),
    attempts: z.int(),
    reason: z.string().meta({ description: 'A code; the log says more.' }),
    createdAt: time,
    failedAt: time,
  })
  .meta({ id: 'FailedJob', description: 'Work that was given up.' })

/** Whose jobs: where the routes stand, and who may see and change. */
interface Whose {
  readonly path: string
  /** In the ids of the routes. */
  readonly name: '' | 'Installation'
  readonly params: z.ZodObject
  readonly read: Permission
  readonly manage: Permission
}

const OF_ORGANISATION: Whose = {
  path: '/organizations/{organization}/failed-jobs',
  name: '',
  params: z.strictObject({ organization: z.string() }),
  read: 'organization.read',
  manage: 'organization.manage',
}
const OF_INSTALLATION: Whose = {
  path: '/installation/failed-jobs',
  name: 'Installation',
  params: z.strictObject({}),
  read: 'installation.manage',
  manage: 'installation.manage',
}

export function failedJobRoutes(): AnyRoute[] {
  return [OF_ORGANISATION, OF_INSTALLATION].flatMap((whose) => [listOf(whose), retryOf(whose), discardOf(whose)])
}

const listOf = ({ path, name, params, read: access }: Whose): AnyRoute =>
  route({
    method: 'get',
    path,
    id: `list${name}FailedJobs`,
    summary: name === '' ? 'Work that was given up' : 'Work of no organization that was given up',
    description:
      'The oldest first. A job is given up after five attempts, or at once where trying again would change nothing. It stays for 30 days.',
    tag,
    access,
    params,
    query: z.strictObject({ ...pageQuery, kind: z.string().max(100).optional() }),
    responses: { 200: { description: 'Failed jobs', schema: pageOf(failedJobShape) } },
    handler: ({ read, organisation, query: { kind, ...page }, url }) =>
      read(async (tx) => {
        const { after, limit } = parsePage(page, 1)
        const from = after === undefined ? 0 : cursorNumber(after[0])
        const rows = await listFailedJobs(tx, organisation, kind, from, limit + 1)
        return { status: 200, body: toPage(rows, limit, shape, ({ id }) => [id], url) }
      }),
  })

const retryOf = ({ path, name, params, manage: access }: Whose): AnyRoute =>
  route({
    method: 'post',
    path: `${path}/{job}/retry`,
    id: `retry${name}FailedJob`,
    summary: 'Try it again',
    tag,
    access,
    params: params.extend({ job: z.string() }),
    responses: { 202: { description: 'It is queued again', schema: failedJobShape } },
    handler: ({ change, organisation, params: { job } }) =>
      change('job.retried', async (tx) => {
        const failed = await find(tx, organisation, String(job))
        await retryFailedJob(tx, organisation, failed.id)
        const details = { kind: failed.kind, reason: failed.reason }
        return { answer: { status: 202, body: shape(failed) }, object: `${failed.id}`, details }
      }),
  })

const discardOf = ({ path, name, params, manage: access }: Whose): AnyRoute =>
  route({
    method: 'delete',
    path: `${path}/{job}`,
    id: `discard${name}FailedJob`,
    summary: 'Discard it',
    tag,
    access,
    params: params.extend({ job: z.string() }),
    responses: { 204: { description: 'Discarded' } },
    handler: ({ change, organisation, params: { job } }) =>
      change('job.discarded', async (tx) => {
        const failed = await find(tx, organisation, String(job))
        await discardFailedJob(tx, organisation, failed.id)
        const details = { kind: failed.kind, reason: failed.reason }
        return { answer: { status: 204 }, object: `${failed.id}`, details }
      }),
  })

async function find(tx: Tx, organisation: OrganisationId, text: string): Promise<FailedJob> {
  const failed = /^[1-9]\d{0,14}$/.test(text) ? await findFailedJob(tx, organisation, Number(text)) : undefined
  if (failed === undefined) throw notFound()
  return failed
}

function shape({
  id,
  kind,
  project,
  object,
  attempts,
  reason,
  createdAt,
  failedAt,
}: FailedJob): z.input<typeof failedJobShape> {
  return {
    id: String(id),
    kind,
    ...(project === '' ? {} : { project }),
    ...(object === '' ? {} : { object }),
    attempts,
    reason,
    createdAt: createdAt.toISOString(),
    failedAt: failedAt.toISOString(),
  }
}
