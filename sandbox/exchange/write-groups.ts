// Groups that take mail: one object of Entra and one recipient of Exchange, made, changed and removed together. (coexistence.md §2.1 rows 3, 3b)
import { makeGroup } from '../tenants/group.ts'
import type { DirectoryObject, Recipient } from '../tenants/objects.ts'
import { distinguishedName } from '../tenants/place.ts'
import type { NamingPlace } from '../tenants/place.ts'
import type { Cmdlet, CmdletAnswer, CmdletCall } from './cmdlet.ts'
import { noRows } from './cmdlet.ts'
import { alreadyExists, invalidValue, notManager } from './exchange-error.ts'
import { addressesOf, checkedAddresses, primaryOf, requireFreeAddress, withPrimary } from './group-addresses.ts'
import type { Properties } from './properties.ts'
import { initialDomainOf, isMailGroup } from './recipient-facts.ts'
import { describeGroup, describedRows, findRecipient } from './recipients.ts'
import { renameGroupInRules } from './rule-references.ts'
import { givenProperties, identityIn, nameIn, named, timeOf, visibleAtMs, wordsOf } from './write-settings.ts'

const KEPT = wordsOf(`BccBlocked BypassNestedModerationEnabled Description HiddenGroupMembershipEnabled
  MemberDepartRestriction MemberJoinRestriction ModerationEnabled RequireSenderAuthenticationEnabled
  SendModerationNotifications`)
const OF_NEW = [...KEPT, ...wordsOf('Alias DisplayName ManagedBy Members Notes PrimarySmtpAddress Type')]
const OF_SET = [
  ...KEPT,
  ...wordsOf(`Alias DisplayName EmailAddresses HiddenFromAddressListsEnabled MailTip ManagedBy PrimarySmtpAddress
    ReportToManagerEnabled ReportToOriginatorEnabled SendOofMessageToOriginatorEnabled SimpleDisplayName
    WindowsEmailAddress`),
  ...Array.from({ length: 15 }, (_, index) => `CustomAttribute${index + 1}`),
]
const OF_SET_GROUP = wordsOf('DisplayName Notes SimpleDisplayName')

/** Whoever is no owner of a group says that it is to be let through; an application owns none. */
export const BYPASS = 'BypassSecurityGroupManagerCheck'

export const groupCmdlets: readonly Cmdlet[] = [
  { name: 'New-DistributionGroup', isWrite: true, heeds: ['Name', 'IgnoreNamingPolicy', ...OF_NEW], run: makeNew },
  {
    name: 'Set-DistributionGroup',
    isWrite: true,
    heeds: ['Identity', 'Name', BYPASS, ...OF_SET],
    run: (call) => change(call, 'Set-DistributionGroup', OF_SET),
  },
  {
    name: 'Set-Group',
    isWrite: true,
    heeds: ['Identity', BYPASS, ...OF_SET_GROUP],
    run: (call) => change(call, 'Set-Group', OF_SET_GROUP),
  },
  {
    name: 'Remove-DistributionGroup',
    isWrite: true,
    heeds: ['Identity', BYPASS],
    run: (call) => {
      const { guid, externalDirectoryObjectId: id } = managedGroup(call)
      call.tenant.removeRecipient(guid)
      if (id !== undefined) call.tenant.removeObject(id)
      return { rows: noRows, guid }
    },
  },
]

/** The group that Identity names. @throws ExchangeError when there is none, or the caller may not change it */
export function managedGroup(call: CmdletCall): Recipient {
  const group = findRecipient(call, identityIn(call), (each) => isMailGroup(each) && call.isVisible(each.guid))
  if (!call.parameters.isOn(BYPASS)) throw notManager()
  return group
}

/** Both sides at once. */
export function putGroup({ tenant }: CmdletCall, recipient: Recipient, object: DirectoryObject | undefined): void {
  if (object !== undefined) tenant.putObject(object)
  tenant.putRecipient(recipient)
}

/** Entra's id of whoever goes by the name. @throws ExchangeError */
export function objectIdOf(call: CmdletCall, identity: string): string {
  const object = call.tenant.object(identity.toLowerCase())
  if (object !== undefined && object.kind !== 'orgContact' && call.isVisible(object.id)) return object.id
  const recipient = findRecipient(
    call,
    identity,
    (each) => each.externalDirectoryObjectId !== undefined && call.isVisible(each.guid),
  )
  return recipient.externalDirectoryObjectId ?? recipient.guid
}

function makeNew(call: CmdletCall): CmdletAnswer {
  const { tenant, services, behaviour } = call
  const name = nameIn(call)
  requireFreeGroupName(call, name)
  const { Alias, DisplayName, ManagedBy, Members, PrimarySmtpAddress, Type, ...given } = givenProperties(
    call,
    'New-DistributionGroup',
    OF_NEW,
    {},
  )
  const local = checkedAlias(Alias ?? name.replaceAll(/[^\w.!#$%&'*+/=?^`{|}~-]/g, '').slice(0, 64))
  const place = placeOf(call)
  const primary = typeof PrimarySmtpAddress === 'string' ? PrimarySmtpAddress : `${local}@${place.domain}`
  requireFreeAddress(call, primary)
  const owners = objectIds(call, ManagedBy)
  const at = timeOf(call)
  const { object, recipient } = makeGroup(place, {
    kind: Type === 'Security' ? 'mail-enabled-security' : 'distribution-list',
    id: services.guid(),
    name: typeof DisplayName === 'string' ? DisplayName : name,
    local,
    members: objectIds(call, Members),
    owners,
    group: { createdDateTime: at, mail: primary, proxyAddresses: [`SMTP:${primary}`] },
    exchange: {
      ...given,
      ...naming(call, name),
      EmailAddresses: [`SMTP:${primary}`],
      PrimarySmtpAddress: primary,
      WindowsEmailAddress: primary,
      WhenCreated: at,
      WhenChanged: at,
    },
  })
  if (recipient === undefined) throw new Error('unreachable: groups of these kinds take mail')
  const visible = visibleAtMs(services.clock.nowMs(), behaviour.visibleAfterMs)
  tenant.putObject(object, visible)
  tenant.putRecipient(recipient, visible)
  return { rows: describedRows(call, [recipient], describeGroup), guid: recipient.guid }
}

function change(call: CmdletCall, cmdlet: string, properties: readonly string[]): CmdletAnswer {
  const { tenant } = call
  const group = managedGroup(call)
  const given = givenProperties(call, cmdlet, properties, {
    ...group.properties,
    EmailAddresses: addressesOf(call, group),
  })
  const { guid, externalDirectoryObjectId: id } = group
  const { Alias, EmailAddresses, PrimarySmtpAddress, WindowsEmailAddress, ...kept } = given
  const before = group.properties
  const addresses = addressesAfter(call, group, { EmailAddresses, primary: PrimarySmtpAddress ?? WindowsEmailAddress })
  const primary = addresses && primaryOf(addresses)
  const owners = 'ManagedBy' in given ? objectIds(call, given['ManagedBy']) : undefined
  const renaming = renamingOf(call, group)
  const recipient = {
    ...group,
    properties: {
      ...before,
      ...kept,
      ...(Alias === undefined ? {} : { Alias: checkedAlias(Alias) }),
      ...(owners === undefined ? {} : { ManagedBy: owners }),
      ...renaming,
      ...withoutUndefined({ EmailAddresses: addresses, PrimarySmtpAddress: primary, WindowsEmailAddress: primary }),
      WhenChanged: timeOf(call),
    },
  }
  const object = id === undefined ? undefined : tenant.object(id)
  const names = withoutUndefined({
    displayName: given['DisplayName'],
    mailNickname: Alias,
    mail: primary,
    proxyAddresses: addresses,
  })
  putGroup(
    call,
    recipient,
    object && {
      ...object,
      owners: owners ?? object.owners,
      properties: { ...object.properties, ...names },
    },
  )
  const name = before['Name']
  if (renaming !== undefined && typeof name === 'string') renameGroupInRules(tenant, name, renaming.Name)
  return { rows: noRows, guid }
}

/** undefined: nothing is said of them. */
function addressesAfter(
  call: CmdletCall,
  group: Recipient,
  given: { readonly EmailAddresses: unknown; readonly primary: unknown },
): readonly string[] | undefined {
  const { EmailAddresses: whole, primary } = given
  if (Array.isArray(whole) && typeof primary === 'string')
    throw invalidValue('EmailAddresses', "it can't be used together with PrimarySmtpAddress.")
  if (Array.isArray(whole)) return checkedAddresses(call, whole.map(String), group.guid)
  if (typeof primary !== 'string') return undefined
  requireFreeAddress(call, primary, group.guid)
  return withPrimary(addressesOf(call, group), primary)
}

function renamingOf(call: CmdletCall, group: Recipient): ReturnType<typeof naming> | undefined {
  if (!call.parameters.has('Name')) return undefined
  const name = nameIn(call)
  requireFreeGroupName(call, name, group.guid)
  return name === group.properties['Name'] ? undefined : naming(call, name)
}

/** Cmdlets would take one for the other. */
function requireFreeGroupName({ recipients }: CmdletCall, name: string, guid?: string): void {
  if (recipients.named(name).some((each) => each.guid !== guid)) throw alreadyExists(name)
}

function naming(call: CmdletCall, name: string): ReturnType<typeof named> & { readonly DistinguishedName: string } {
  return { ...named(name), DistinguishedName: distinguishedName(placeOf(call), name) }
}

function checkedAlias(alias: unknown): string {
  const isValid = typeof alias === 'string' && /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*$/.test(alias)
  if (!isValid) throw invalidValue('Alias', 'it has to be the local part of an address.')
  return alias
}

function withoutUndefined(properties: Properties): Properties {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))
}

function objectIds(call: CmdletCall, identities: unknown): readonly string[] {
  const given = Array.isArray(identities) ? identities.map(String) : []
  return [...new Set(given.map((identity) => objectIdOf(call, identity)))]
}

function placeOf({ tenant, services }: CmdletCall): NamingPlace {
  const initial = initialDomainOf(tenant)
  return {
    label: initial.replace(/\.onmicrosoft\.com$/, ''),
    domain: tenant.data.domains.find(({ isDefault }) => isDefault)?.id ?? initial,
    random: { guid: services.guid },
  }
}
