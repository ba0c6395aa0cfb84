// What a caller may do at the place that a request names: looked up for each request, denied by default. (AZ-4)
// 404 where he may not know that the place exists; 403 with the missing permission where he may.
import type { Caller } from '../access/caller.ts'
import { permissionsAt, projectsOf } from '../access/permissions.ts'
import type { Permission } from '../access/permissions.ts'
import {
  findOrganisationOf,
  findPlaceOfOperation,
  isInstallationAdministrator,
  loadCallerStanding,
} from '../access/standing-store.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { INSTALLATION, parseId } from '../ids.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { notFound, Problem } from './problem.ts'
import type { Access } from './route.ts'

export interface Authorised {
  readonly organisation: OrganisationId
  readonly project: ProjectId | undefined
  readonly permissions: ReadonlySet<Permission>
}

/** A denial that the place's audit trail must know (AU-1). */
export class Denied extends Problem {
  readonly organisation: OrganisationId

  constructor(organisation: OrganisationId, permission: Permission) {
    super('forbidden', { permission })
    this.organisation = organisation
  }
}

const NOWHERE = { organisation: INSTALLATION, project: undefined, permissions: new Set<Permission>() }
const FRESH_MS = 5 * 60_000

/** @param path  the route's path parameters as sent: `organization`, `project` or `operation` say where */
export async function authorise(
  db: Db,
  access: Access,
  caller: Caller | undefined,
  path: Readonly<Record<string, string>>,
  now: number,
): Promise<Authorised> {
  if (access === 'public') return NOWHERE
  if (caller === undefined) throw new Problem('not-signed-in')
  if (access === 'installation.manage') return authoriseInstallation(db, caller)
  const place = await findPlace(db, path)
  if (place === undefined) {
    if (access === 'signed-in') return NOWHERE
    throw notFound()
  }
  // Only an operation leads there: who may not have started it may not know of it either.
  if (place.organisation === INSTALLATION) {
    if (access !== 'signed-in' || !(await managesInstallation(db, caller))) throw notFound()
    return { ...place, permissions: new Set(['installation.manage']) }
  }
  const { permissions, isInProject } = await permissionsOf(db, caller, place, now)
  // Whoever has a role in one project may ask the organisation for what is his there.
  if (permissions.size === 0 && !(access === 'signed-in' && isInProject)) throw notFound()
  if (access !== 'signed-in' && !permissions.has(access)) throw new Denied(place.organisation, access)
  return { ...place, permissions }
}

/** AZ-6 @throws Problem 401 with the reason */
export function demandFreshness(caller: Caller | undefined, now: number): void {
  if (caller?.kind === 'session' && now - caller.authenticatedAt <= FRESH_MS) return
  if (caller?.kind === 'api-key' && caller.allowsDangerous) return
  throw new Problem('sign-in-again', {
    reason:
      caller?.kind === 'api-key'
        ? 'the API key was not made for dangerous acts'
        : 'the sign-in is older than 5 minutes',
  })
}

async function authoriseInstallation(db: Db, caller: Caller): Promise<Authorised> {
  if (!(await managesInstallation(db, caller))) throw new Denied(INSTALLATION, 'installation.manage')
  return { ...NOWHERE, permissions: new Set(['installation.manage']) }
}

async function managesInstallation(db: Db, caller: Caller): Promise<boolean> {
  if (caller.kind !== 'session') return false
  return (
    caller.isBreakGlass ||
    withScope(db, { principal: caller.principal }, (tx) => isInstallationAdministrator(tx, caller.principal))
  )
}

async function findPlace(
  db: Db,
  path: Readonly<Record<string, string>>,
): Promise<{ organisation: OrganisationId; project: ProjectId | undefined } | undefined> {
  const { organization, project, operation } = path
  if (project !== undefined) {
    const id = parseId('project', project)
    const organisation = id && (await withScope(db, { project: id }, (tx) => findOrganisationOf(tx, id)))
    if (organisation === undefined) throw notFound()
    return { organisation, project: id }
  }
  if (organization === undefined && operation !== undefined) {
    const id = parseId('operation', operation)
    const place = id && (await withScope(db, { operation: id }, (tx) => findPlaceOfOperation(tx, id)))
    if (place === undefined) throw notFound()
    return place
  }
  if (organization === undefined) return undefined
  const organisation = parseId('organisation', organization)
  if (organisation === undefined) throw notFound()
  return { organisation, project: undefined }
}

async function permissionsOf(
  db: Db,
  caller: Caller,
  { organisation, project }: { organisation: OrganisationId; project: ProjectId | undefined },
  now: number,
): Promise<{ permissions: ReadonlySet<Permission>; isInProject: boolean }> {
  const { standing, cap } = await withScope(db, { organisation }, (tx) =>
    loadCallerStanding(tx, organisation, caller, now),
  )
  const permissions = permissionsAt(standing, project, cap)
  const isInProject =
    project === undefined && [...projectsOf(standing, cap)].some((id) => permissionsAt(standing, id, cap).size > 0)
  const isStale =
    caller.kind === 'session' &&
    standing.maxSessionMs !== undefined &&
    now - caller.authenticatedAt > standing.maxSessionMs
  if (isStale && (permissions.size > 0 || isInProject))
    throw new Problem('sign-in-again', { reason: 'the organization wants a newer sign-in' })
  return { permissions, isInProject }
}
