// Which permission shows an event: that of the area which its type names. Pure. What is not named here is shown to administrators only. (AZ-4)
import type { Permission } from '../access/permissions.ts'

const AREAS: Readonly<Record<string, Permission>> = {
  account: 'directory.read',
  audit: 'audit.read',
  certificate: 'relay.read',
  coexistence: 'coexistence.read',
  collection: 'directory.read',
  discovery: 'directory.read',
  'dkim-key': 'relay.read',
  finding: 'directory.read',
  key: 'organization.read',
  mapping: 'mapping.read',
  matching: 'directory.read',
  member: 'organization.read',
  message: 'message.trace',
  organization: 'organization.read',
  pair: 'directory.read',
  project: 'project.read',
  relay: 'relay.read',
  'relay-settings': 'relay.read',
  role: 'organization.read',
  snapshot: 'relay.read',
  support: 'organization.read',
  task: 'task.read',
  tenant: 'tenant.read',
}

/** @param type  `<area>.<what>` @param own  of an operation's event: the permission that started it */
export function permissionToSee(type: string, own: Permission | undefined): Permission {
  if (own !== undefined) return own
  const [area = ''] = type.split('.', 1)
  return (Object.hasOwn(AREAS, area) ? AREAS[area] : undefined) ?? 'organization.manage'
}
