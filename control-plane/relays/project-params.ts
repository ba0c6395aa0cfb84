// What the routes of one project have in common.
import { z } from 'zod'
import { notFound } from '../http/problem.ts'
import type { Context } from '../http/route.ts'
import type { ProjectPlace } from './relay-secret-store.ts'

export const projectParams = z.strictObject({ project: z.string() })

/** @throws Problem 404; authorisation has found the project already */
export function placeOf({
  organisation,
  project,
}: Pick<Context<unknown, unknown, unknown>, 'organisation' | 'project'>): ProjectPlace {
  if (project === undefined) throw notFound()
  return { organisation, project }
}
