// Members of an organisation: people by Entra tenant and object id, and the roles they have in all of it or in single projects. Pure.
// (control-plane.md §2, AZ-1)
import { z } from 'zod'
import type { RequestFault } from '../http/problem.ts'
import { guid, readableText, time } from '../http/values.ts'
import type { MemberId } from '../ids.ts'
import type { Assignment, Permission } from './permissions.ts'
import { permissionsOfRole } from './role.ts'

export interface Member {
  readonly id: MemberId
  /** `principalOf` */
  readonly principal: string
  readonly displayName: string
  readonly assignments: readonly Assignment[]
  readonly version: number
  readonly createdAt: Date
  readonly disabledAt: Date | undefined
}

export const MAX_ASSIGNMENTS = 200

export const personBody = {
  tenantId: guid.meta({ description: "The person's Entra tenant: claim `tid`." }),
  objectId: guid.meta({ description: 'The person in that tenant: claim `oid`.' }),
  displayName: readableText(0, 200).default(''),
}

const assignment = z.strictObject({
  role: z.string().regex(/^[a-z0-9_-]{1,40}$/),
  project: z
    .string()
    .regex(/^prj_[0-9a-z]{24}$/)
    .optional()
    .meta({ description: 'Only in this project; absent: in the whole organization.' }),
})

export const assignmentsBody = z
  .array(assignment)
  .max(MAX_ASSIGNMENTS)
  .refine(
    (list) => new Set(list.map(({ role, project = '' }) => `${role} ${project}`)).size === list.length,
    'none twice',
  )
  .meta({ description: 'Roles. Only such as hold nothing that you do not hold there yourself.' })

export const memberSchema = z
  .strictObject({
    id: z.string(),
    tenantId: z.string(),
    objectId: z.string(),
    displayName: z.string().meta({ description: 'Empty for readers who are no members themselves.' }),
    assignments: z.array(z.strictObject({ role: z.string(), project: z.string().optional() })),
    isDisabled: z.boolean(),
    createdAt: time,
  })
  .meta({ id: 'Member', description: 'A person of the organization.' })

export function shapeMember(member: Member, showsName: boolean): z.input<typeof memberSchema> {
  const [tenantId = '', objectId = ''] = member.principal.split('/')
  return {
    id: member.id,
    tenantId,
    objectId,
    displayName: showsName ? member.displayName : '',
    assignments: member.assignments.map(({ role, project }) => (project === '' ? { role } : { role, project })),
    isDisabled: member.disabledAt !== undefined,
    createdAt: member.createdAt.toISOString(),
  }
}

export const toAssignments = (body: z.output<typeof assignmentsBody>): Assignment[] =>
  body.map(({ role, project = '' }) => ({ role, project }))

/** Assignments that name what isn't there. @param pointer  of the list in the body */
export function assignmentFaults(
  assignments: readonly Assignment[],
  custom: ReadonlyMap<string, readonly Permission[]>,
  projects: ReadonlySet<string>,
  pointer: string,
): RequestFault[] {
  return assignments.flatMap(({ role, project }, index) => [
    ...(permissionsOfRole(role, custom) === undefined
      ? [{ pointer: `${pointer}/${index}/role`, code: 'unknown-role', detail: 'the organization has no such role' }]
      : []),
    ...(project !== '' && !projects.has(project)
      ? [
          {
            pointer: `${pointer}/${index}/project`,
            code: 'unknown-project',
            detail: 'the organization has no such project',
          },
        ]
      : []),
  ])
}

/** Those of `a` that are not in `b`. */
export function withoutSame(a: readonly Assignment[], b: readonly Assignment[]): Assignment[] {
  return a.filter(({ role, project }) => !b.some((other) => other.role === role && other.project === project))
}

/**
 * The first permission that somebody would give or take without holding it himself, at the place of the assignment.
 * Assignments of roles that are gone hold nothing.
 */
export function firstNotHeld(
  assignments: readonly Assignment[],
  custom: ReadonlyMap<string, readonly Permission[]>,
  held: (project?: string) => ReadonlySet<Permission>,
): Permission | undefined {
  for (const { role, project } of assignments) {
    const here = project === '' ? held() : held(project)
    const missing = (permissionsOfRole(role, custom) ?? []).find((permission) => !here.has(permission))
    if (missing !== undefined) return missing
  }
  return undefined
}
