// How much of an object a caller sees: an application that may list a group's members sees of those it may not read that they are there, and no
// more; one that may read basic profiles sees those ("Limited information returned for inaccessible member objects", Microsoft Graph overview).
import { isCoveredBy } from '../contract/permissions.ts'

export type Sight = 'all' | 'basic' | 'id'

/** Of User.ReadBasic.All ("Microsoft Graph permissions reference"). */
export const BASIC_MEMBERS: ReadonlySet<string> = new Set([
  'displayName',
  'givenName',
  'mail',
  'photo',
  'securityIdentifier',
  'surname',
  'userPrincipalName',
])

const READERS: Readonly<Record<string, readonly string[]>> = {
  user: ['User.Read.All', 'Directory.Read.All'],
  group: ['GroupMember.Read.All', 'Group.Read.All', 'Directory.Read.All'],
  orgContact: ['OrgContact.Read.All', 'Directory.Read.All'],
}

/** @param kind  of an object; what is no directory object is seen by whoever may ask for it */
export function sightOf(kind: string, roles: readonly string[]): Sight {
  const readers = READERS[kind]
  if (readers === undefined || readers.some((wanted) => holds(wanted, roles))) return 'all'
  return kind === 'user' && holds('User.ReadBasic.All', roles) ? 'basic' : 'id'
}

function holds(wanted: string, roles: readonly string[]): boolean {
  return roles.some((role) => isCoveredBy(wanted, role))
}
