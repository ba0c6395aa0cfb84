// Roles: those of the program, which nobody can change, and an organisation's own, which combine permissions that exist. Pure.
// (control-plane.md §4, AZ-5)
import { z } from 'zod'
import { readableText, time } from '../http/values.ts'
import type { RoleId } from '../ids.ts'
import { BUILT_IN_ROLES, ORGANISATION_PERMISSIONS } from './permissions.ts'
import type { Permission } from './permissions.ts'

export const ORGANISATION_ADMINISTRATOR = 'organization-administrator'

/** An organisation's own role. */
export interface CustomRole {
  readonly id: RoleId
  readonly name: string
  readonly permissions: readonly Permission[]
  readonly version: number
  readonly createdAt: Date
}

export const isBuiltIn = (id: string): boolean => Object.hasOwn(BUILT_IN_ROLES, id)

/** Names in the form in which people take two for one: compatibility characters, case, spelling with s or z, white space, hyphens. */
const foldName = (name: string): string =>
  name
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll('organis', 'organiz')
    .replaceAll(/[\p{Z}\p{Pd}_]+/gu, ' ')
    .trim()

const RESERVED_NAMES = new Set(
  ['Support', ...Object.entries(BUILT_IN_ROLES).flatMap(([id, { name }]) => [id, name])].map(foldName),
)

/** Whether a role of this name would pass for one of the program's. */
export const shadowsBuiltIn = (name: string): boolean => RESERVED_NAMES.has(foldName(name))

/** Permissions of a role; undefined when there is none of that id. @param custom  the organisation's own */
export function permissionsOfRole(
  id: string,
  custom: ReadonlyMap<string, readonly Permission[]>,
): readonly Permission[] | undefined {
  return isBuiltIn(id) ? BUILT_IN_ROLES[id]?.permissions : custom.get(id)
}

/** The first permission that is needed and not held. */
export function firstMissing(held: ReadonlySet<Permission>, needed: Iterable<Permission>): Permission | undefined {
  for (const permission of needed) if (!held.has(permission)) return permission
  return undefined
}

export const roleBody = z.strictObject({
  name: readableText(1, 100),
  permissions: z
    .array(z.enum(ORGANISATION_PERMISSIONS as [Permission, ...Permission[]]))
    .min(1)
    .max(ORGANISATION_PERMISSIONS.length)
    .refine((list) => new Set(list).size === list.length, 'no permission twice')
    .meta({ description: 'Only such as you hold yourself.' }),
})

export const roleSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    isBuiltIn: z.boolean(),
    permissions: z.array(z.string()),
    createdAt: time.optional(),
  })
  .meta({ id: 'Role', description: 'A set of permissions. Built-in roles can not be changed.' })

export function shapeRole(role: CustomRole): z.input<typeof roleSchema> {
  return {
    id: role.id,
    name: role.name,
    isBuiltIn: false,
    permissions: inOrder(role.permissions),
    createdAt: role.createdAt.toISOString(),
  }
}

export function shapeBuiltIn(id: string): z.input<typeof roleSchema> {
  const role = BUILT_IN_ROLES[id]
  if (role === undefined) throw new Error('unreachable: no such built-in role')
  return { id, name: role.name, isBuiltIn: true, permissions: inOrder(role.permissions) }
}

/** In the order of the program's list: the same set always reads the same. */
export function inOrder(permissions: readonly Permission[]): Permission[] {
  const set = new Set(permissions)
  return ORGANISATION_PERMISSIONS.filter((permission) => set.has(permission))
}
