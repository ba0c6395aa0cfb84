// Members of a group come and go one by one. Graph and Exchange tell the same list. (coexistence.md §2.1 row 3b)
import type { Recipient } from '../tenants/objects.ts'
import type { Cmdlet, CmdletAnswer, CmdletCall } from './cmdlet.ts'
import { noRows } from './cmdlet.ts'
import { absentObject, alreadyMember, notMember, unboundParameters } from './exchange-error.ts'
import { nameOf } from './recipient-facts.ts'
import { BYPASS, managedGroup, objectIdOf, putGroup } from './write-groups.ts'
import { identityIn, timeOf } from './write-settings.ts'

/** @param member  Entra's id @returns the list as it will be; undefined: it is so already */
type Change = (members: readonly string[], member: string) => readonly string[] | undefined

export const groupMemberCmdlets: readonly Cmdlet[] = [
  memberCmdlet(
    'Add',
    (members, member) => (members.includes(member) ? undefined : [...members, member]),
    alreadyMember,
  ),
  memberCmdlet(
    'Remove',
    (members, member) => (members.includes(member) ? members.filter((each) => each !== member) : undefined),
    notMember,
  ),
]

function memberCmdlet(verb: 'Add' | 'Remove', change: Change, refusal: typeof notMember): Cmdlet {
  return {
    name: `${verb}-DistributionGroupMember`,
    isWrite: true,
    heeds: ['Identity', 'Member', BYPASS],
    run: (call) => {
      const member = call.parameters.text('Member')
      if (member === undefined) throw unboundParameters(['Member'])
      const group = managedGroup(call)
      return putMembers(call, group, (members) => {
        const after = change(members, objectIdOf(call, member))
        if (after === undefined) throw refusal(member, nameOf(group, call.tenant))
        return after
      })
    },
  }
}

function putMembers(
  call: CmdletCall,
  group: Recipient,
  change: (members: readonly string[]) => readonly string[],
): CmdletAnswer {
  const object = call.tenant.object(group.externalDirectoryObjectId ?? '')
  if (object === undefined) throw absentObject(identityIn(call), call.behaviour.absentStatus)
  const members = change(object.members)
  putGroup(call, { ...group, properties: { ...group.properties, WhenChanged: timeOf(call) } }, { ...object, members })
  return { rows: noRows, guid: group.guid }
}
