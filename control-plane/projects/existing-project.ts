// The project of a request's path, which authorisation has found a moment ago.
import type { Tx } from '../db/database.ts'
import { notFound } from '../http/problem.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { Project } from './project.ts'
import { findProject } from './project-store.ts'

/** @throws Problem 404 when it went meanwhile, or its deletion has begun */
export async function existingProject(
  tx: Tx,
  organisation: OrganisationId,
  id: ProjectId | undefined,
  options: { isLocked?: boolean } = {},
): Promise<Project> {
  const project = id && (await findProject(tx, organisation, id, options))
  if (project === undefined || project.deletion?.startedAt !== undefined) throw notFound()
  return project
}
