// What is true of a recipient whatever cmdlet asks: its name, its type, what Entra knows of it where Exchange holds nothing of its own.
import type { Recipient } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'

export type RecipientTypeDetails = Recipient['recipientTypeDetails']

export const MAILBOX_TYPES: readonly RecipientTypeDetails[] = [
  'UserMailbox',
  'SharedMailbox',
  'RoomMailbox',
  'EquipmentMailbox',
]

/** `RecipientType`: coarser than the details. */
export const RECIPIENT_TYPES: Readonly<Record<RecipientTypeDetails, string>> = {
  UserMailbox: 'UserMailbox',
  SharedMailbox: 'UserMailbox',
  RoomMailbox: 'UserMailbox',
  EquipmentMailbox: 'UserMailbox',
  MailUser: 'MailUser',
  GuestMailUser: 'MailUser',
  MailContact: 'MailContact',
  MailUniversalDistributionGroup: 'MailUniversalDistributionGroup',
  MailUniversalSecurityGroup: 'MailUniversalSecurityGroup',
  DynamicDistributionGroup: 'DynamicDistributionGroup',
  GroupMailbox: 'MailUniversalDistributionGroup',
}

/** A distribution group or mail-enabled security group: its members are a list, and not a filter. */
export function isMailGroup({ recipientTypeDetails }: Recipient): boolean {
  return /^MailUniversal\w+Group$/.test(recipientTypeDetails)
}

/** Exchange names what Entra made by Entra's id. */
export function nameOf(recipient: Recipient, tenant: SimulatedTenant): string {
  const { properties, externalDirectoryObjectId, guid } = recipient
  const name = properties['Name'] ?? properties['Alias'] ?? entraProperty(recipient, tenant, 'mailNickname')
  return typeof name === 'string' ? name : (externalDirectoryObjectId ?? guid)
}

/** By Graph's name. */
export function entraProperty(
  { externalDirectoryObjectId: id }: Recipient,
  tenant: SimulatedTenant,
  name: string,
): unknown {
  return id === undefined ? undefined : tenant.object(id)?.properties[name]
}

export function initialDomainOf(tenant: SimulatedTenant): string {
  const { domains } = tenant.data
  return (domains.find((domain) => domain.isInitial) ?? domains[0])?.id ?? 'sandbox.onmicrosoft.com'
}
