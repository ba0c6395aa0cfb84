// Permissions, built-in roles, and what follows for one caller at one place. Pure. (control-plane.md §4, AZ-4, AZ-5)

export const PERMISSIONS = [
  'installation.manage',
  'organization.read',
  'organization.manage',
  'member.manage',
  'role.manage',
  'audit.read',
  'audit.export',
  'project.read',
  'project.create',
  'project.manage',
  'project.delete',
  'tenant.read',
  'tenant.connect',
  'directory.read',
  'directory.discover',
  'directory.match',
  'mapping.read',
  'mapping.write',
  'mapping.import',
  'preview.use',
  'relay.read',
  'relay.manage',
  'relay.scale',
  'dkim.manage',
  'coexistence.read',
  'coexistence.switch',
  'coexistence.stop',
  'message.trace',
  'message.content',
  'task.read',
  'task.run',
  'task.cancel',
  'report.read',
  'secret.manage',
  'support.grant',
] as const
export type Permission = (typeof PERMISSIONS)[number]

/** What roles of an organisation can hold: all but the installation's. */
export const ORGANISATION_PERMISSIONS = PERMISSIONS.filter((permission) => permission !== 'installation.manage')

const MIGRATION_ADMINISTRATOR: readonly Permission[] = [
  'organization.read',
  'project.read',
  'project.create',
  'project.manage',
  'project.delete',
  'tenant.read',
  'tenant.connect',
  'directory.read',
  'directory.discover',
  'directory.match',
  'mapping.read',
  'mapping.write',
  'mapping.import',
  'preview.use',
  'relay.read',
  'coexistence.read',
  'coexistence.switch',
  'coexistence.stop',
  'task.read',
  'task.run',
  'task.cancel',
  'report.read',
]

export interface BuiltInRole {
  readonly name: string
  readonly permissions: readonly Permission[]
}

/** Immutable (AZ-5); by the id that assignments name. */
export const BUILT_IN_ROLES: Readonly<Record<string, BuiltInRole>> = {
  'organization-administrator': { name: 'Organization administrator', permissions: ORGANISATION_PERMISSIONS },
  'migration-administrator': { name: 'Migration administrator', permissions: MIGRATION_ADMINISTRATOR },
  'mail-operator': {
    name: 'Mail operator',
    permissions: [
      'organization.read',
      'project.read',
      'relay.read',
      'relay.manage',
      'relay.scale',
      'dkim.manage',
      'message.trace',
      'coexistence.read',
      'coexistence.stop',
      'mapping.read',
      'preview.use',
    ],
  },
  'help-desk': {
    name: 'Help desk',
    permissions: [
      'organization.read',
      'project.read',
      'directory.read',
      'mapping.read',
      'task.read',
      'report.read',
      'message.trace',
      'preview.use',
    ],
  },
  auditor: {
    name: 'Auditor',
    permissions: [
      'organization.read',
      'audit.read',
      'audit.export',
      'project.read',
      'tenant.read',
      'directory.read',
      'mapping.read',
      'relay.read',
      'coexistence.read',
      'message.trace',
      'task.read',
      'report.read',
    ],
  },
}

/** Held through a support grant only (AZ-7): metadata, read-only. */
export const SUPPORT_PERMISSIONS: readonly Permission[] = [
  'organization.read',
  'project.read',
  'tenant.read',
  'relay.read',
  'coexistence.read',
  'task.read',
]

export interface Assignment {
  /** Id of a built-in or custom role. */
  readonly role: string
  /** Empty: the whole organisation. */
  readonly project: string
}

/** What the database says of a person in one organisation. */
export interface Standing {
  readonly isMember: boolean
  readonly assignments: readonly Assignment[]
  readonly customRoles: ReadonlyMap<string, readonly string[]>
  readonly hasSupportGrant: boolean
  /** Of the organisation's sign-in policy: how old a browser's session may be here. */
  readonly maxSessionMs?: number
}

/** What a credential narrows its holder to; undefined members narrow nothing. */
export interface Cap {
  readonly permissions?: ReadonlySet<string>
  readonly project?: string
}

/**
 * @param project  of the thing that is asked for; undefined: the organisation itself, where roles of single projects give nothing
 */
export function permissionsAt(standing: Standing, project: string | undefined, cap: Cap = {}): ReadonlySet<Permission> {
  const held = new Set<string>()
  if (cap.project !== undefined && cap.project !== project) return new Set()
  if (standing.isMember) {
    for (const { role, project: where } of standing.assignments) {
      if (where !== '' && where !== project) continue
      const permissions = Object.hasOwn(BUILT_IN_ROLES, role)
        ? (BUILT_IN_ROLES[role]?.permissions ?? [])
        : (standing.customRoles.get(role) ?? [])
      for (const permission of permissions) held.add(permission)
    }
  }
  if (standing.hasSupportGrant) for (const permission of SUPPORT_PERMISSIONS) held.add(permission)
  return new Set(
    ORGANISATION_PERMISSIONS.filter(
      (permission) => held.has(permission) && (cap.permissions === undefined || cap.permissions.has(permission)),
    ),
  )
}

/** Projects in which a caller may hold something without holding it in the whole organisation. */
export function projectsOf(standing: Standing, cap: Cap = {}): ReadonlySet<string> {
  if (cap.project !== undefined) return new Set([cap.project])
  return new Set(standing.assignments.map(({ project }) => project).filter((project) => project !== ''))
}
