// What every change of members holds to: nobody gives or takes more than he holds, and the last administrator stays. (AZ-5, AZ-7)
import type { Tx } from '../db/database.ts'
import { Denied } from '../http/authorise.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import type { Context } from '../http/route.ts'
import { parseId } from '../ids.ts'
import type { OrganisationId } from '../ids.ts'
import { callerOf } from './caller.ts'
import { assignmentFaults, firstNotHeld } from './member.ts'
import type { Member } from './member.ts'
import { countAdministrators, existingProjects, findMember } from './member-store.ts'
import type { Assignment } from './permissions.ts'
import { loadCustomRoles } from './role-store.ts'
import { loadCallerStanding, loadHeld } from './standing-store.ts'

type Acting = Pick<Context<unknown, unknown, unknown>, 'organisation' | 'caller' | 'now'>

export async function existingMember(tx: Tx, organisation: OrganisationId, text: string): Promise<Member> {
  const id = parseId('member', text)
  const member = id && (await findMember(tx, organisation, id))
  if (member === undefined) throw notFound()
  return member
}

/** AZ-7: whom support was granted to sees ids, not names. */
export async function seesNames(tx: Tx, { organisation, caller, now }: Acting): Promise<boolean> {
  const { standing } = await loadCallerStanding(tx, organisation, callerOf(caller), now)
  return standing.isMember
}

export async function checkAssignments(
  tx: Tx,
  organisation: OrganisationId,
  assignments: readonly Assignment[],
): Promise<void> {
  const projects = assignments.map(({ project }) => project).filter((project) => project !== '')
  const faults = assignmentFaults(
    assignments,
    await loadCustomRoles(tx, organisation),
    await existingProjects(tx, organisation, projects),
    '/assignments',
  )
  if (faults.length > 0) throw badRequest(faults)
}

/** As of now, under the organisation's lock: two who take each other's roles at once don't both succeed. @throws Denied */
export async function demandHeldAt(
  tx: Tx,
  { organisation, caller, now }: Acting,
  assignments: readonly Assignment[],
): Promise<void> {
  const held = await loadHeld(tx, organisation, callerOf(caller), now)
  const missing = held().has('member.manage')
    ? firstNotHeld(assignments, await loadCustomRoles(tx, organisation), held)
    : 'member.manage'
  if (missing !== undefined) throw new Denied(organisation, missing)
}

/** After the change, before the commit. */
export async function demandAdministrator(tx: Tx, organisation: OrganisationId): Promise<void> {
  if ((await countAdministrators(tx, organisation)) === 0) throw new Problem('last-administrator')
}
