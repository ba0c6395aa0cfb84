// Get-DistributionGroupMember: who is in a group, one level deep. Members without a mail address are told too, as plain users.
import type { DirectoryObject, Recipient } from '../tenants/objects.ts'
import type { Cmdlet, CmdletCall } from './cmdlet.ts'
import { rowsOf } from './cmdlet.ts'
import { PropertyWriter } from './properties.ts'
import type { Properties } from './properties.ts'
import { isMailGroup } from './recipient-facts.ts'
import { DEFAULT_RESULT_SIZE, describeListed, findRecipient } from './recipients.ts'
import { RECIPIENT } from './recipient-properties.ts'

export const getDistributionGroupMember: Cmdlet = {
  name: 'Get-DistributionGroupMember',
  isWrite: false,
  heeds: ['Identity', 'ResultSize'],
  run: (call) => {
    const group = findRecipient(
      call,
      call.parameters.text('Identity') ?? '',
      (each) => isMailGroup(each) && call.isVisible(each.guid),
    )
    const writer = new PropertyWriter(call.select, call.behaviour.sizes)
    return {
      rows: rowsOf(membersOf(call, group), (id) => writer.write(...describeMember(call, id))),
      defaultSize: DEFAULT_RESULT_SIZE,
    }
  },
}

/** Object ids of those that can be seen. */
function membersOf({ tenant, isVisible }: CmdletCall, group: Recipient): readonly string[] {
  const members = tenant.object(group.externalDirectoryObjectId ?? '')?.members ?? []
  return members.filter((id) => {
    const recipient = tenant.recipientOf(id)
    return tenant.object(id) !== undefined && isVisible(id) && (recipient === undefined || isVisible(recipient.guid))
  })
}

function describeMember(call: CmdletCall, id: string): readonly Properties[] {
  const { tenant } = call
  const recipient = tenant.recipientOf(id)
  if (recipient !== undefined) return describeListed(call, recipient)
  const object = tenant.object(id)
  return object === undefined ? [] : [RECIPIENT, unaddressed(object)]
}

function unaddressed({ id, kind, properties }: DirectoryObject): Properties {
  const type = kind === 'user' ? 'User' : kind === 'group' ? 'UniversalSecurityGroup' : 'Contact'
  return {
    Alias: '',
    DisplayName: properties['displayName'] ?? '',
    EmailAddresses: [],
    ExternalDirectoryObjectId: id,
    Guid: id,
    Identity: id,
    Name: id,
    PrimarySmtpAddress: '',
    RecipientType: kind === 'group' ? 'Group' : type,
    RecipientTypeDetails: type,
  }
}
