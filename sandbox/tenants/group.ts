// Makes groups of every kind and the contacts of other organisations, for Entra and, where they take mail, for Exchange.
import type { DirectoryObject, Recipient } from './objects.ts'
import { common } from './mailbox.ts'
import { MADE_AT, initialDomain } from './place.ts'
import type { NamingPlace, Place } from './place.ts'

export type GroupKind = 'microsoft-365' | 'security' | 'mail-enabled-security' | 'distribution-list'

export interface GroupRecipe {
  readonly kind: GroupKind
  readonly id?: string
  readonly name: string
  readonly local: string
  /** Default the tenant's. Only of those that take mail. */
  readonly domain?: string
  readonly aliases?: readonly string[]
  readonly otherAddresses?: readonly string[]
  readonly members: readonly string[]
  readonly owners?: readonly string[]
  /** Makes it dynamic. */
  readonly rule?: string
  readonly visibility?: 'Public' | 'Private' | 'HiddenMembership'
  readonly isHidden?: boolean
  /** Other members of Graph's `group`. */
  readonly group?: Readonly<Record<string, unknown>>
  /** Other properties of Exchange. */
  readonly exchange?: Readonly<Record<string, unknown>>
}

export interface MadeGroup {
  readonly object: DirectoryObject
  readonly recipient: Recipient | undefined
}

const RECIPIENT_TYPES = {
  'microsoft-365': ['GroupMailbox', 'MailUniversalDistributionGroup'],
  'mail-enabled-security': ['MailUniversalSecurityGroup', 'MailUniversalSecurityGroup'],
  'distribution-list': ['MailUniversalDistributionGroup', 'MailUniversalDistributionGroup'],
} as const

export function makeGroup(place: NamingPlace, recipe: GroupRecipe): MadeGroup {
  const id = recipe.id ?? place.random.guid()
  const { kind, name, local, rule, members, owners = [] } = recipe
  const takesMail = kind !== 'security'
  const primary = `${local}@${recipe.domain ?? place.domain}`
  const addresses = takesMail
    ? [
        `SMTP:${primary}`,
        ...(recipe.aliases ?? []).map((each) => `smtp:${each}`),
        ...(kind === 'microsoft-365' ? [`smtp:${local}@${initialDomain(place)}`] : []),
        ...(recipe.otherAddresses ?? []),
      ]
    : []
  const isUnified = kind === 'microsoft-365'
  const properties = {
    createdDateTime: MADE_AT,
    displayName: name,
    mailEnabled: takesMail,
    securityEnabled: kind === 'security' || kind === 'mail-enabled-security',
    mailNickname: local,
    ...(takesMail ? { mail: primary } : {}),
    proxyAddresses: addresses,
    groupTypes: [...(isUnified ? ['Unified'] : []), ...(rule === undefined ? [] : ['DynamicMembership'])],
    ...(rule === undefined ? {} : { membershipRule: rule, membershipRuleProcessingState: 'On' }),
    ...(isUnified ? { visibility: recipe.visibility ?? 'Public', renewedDateTime: MADE_AT } : {}),
    ...recipe.group,
  }
  return {
    object: { id, kind: 'group', properties, members, owners },
    recipient: kind === 'security' ? undefined : groupRecipient(place, recipe, { id, kind, primary, addresses }),
  }
}

function groupRecipient(
  place: NamingPlace,
  recipe: GroupRecipe,
  what: { id: string; kind: Exclude<GroupKind, 'security'>; primary: string; addresses: readonly string[] },
): Recipient {
  const [recipientTypeDetails, recipientType] = RECIPIENT_TYPES[what.kind]
  const isSynced = recipe.group?.['onPremisesSyncEnabled'] === true
  return {
    guid: place.random.guid(),
    recipientTypeDetails,
    externalDirectoryObjectId: what.id,
    properties: {
      ...common(place, { isHidden: recipe.isHidden ?? false }, { ...recipe, ...what, isSynced }),
      RecipientType: recipientType,
      GroupType: what.kind === 'mail-enabled-security' ? 'Universal, SecurityEnabled' : 'Universal',
      ManagedBy: recipe.owners ?? [],
      HiddenGroupMembershipEnabled: recipe.visibility === 'HiddenMembership',
      RequireSenderAuthenticationEnabled: true,
      MemberJoinRestriction: 'Closed',
      ModerationEnabled: false,
      GrantSendOnBehalfTo: [],
      ...recipe.exchange,
    },
  }
}

/** Known to Exchange alone: Entra has no such thing. */
export function dynamicDistributionGroup(
  place: Place,
  what: { readonly name: string; readonly local: string; readonly filter: string },
): Recipient {
  const { name, local, filter } = what
  const primary = `${local}@${place.domain}`
  const guid = place.random.guid()
  return {
    guid,
    recipientTypeDetails: 'DynamicDistributionGroup',
    properties: {
      ...common(place, {}, { id: guid, local, name, primary, addresses: [`SMTP:${primary}`], isSynced: false }),
      Name: name,
      Identity: name,
      RecipientType: 'DynamicDistributionGroup',
      RecipientFilter: filter,
      RecipientContainer: `${place.label}.onmicrosoft.com`,
      ManagedBy: [],
      RequireSenderAuthenticationEnabled: true,
      GrantSendOnBehalfTo: [],
    },
  }
}

export interface ContactRecipe {
  readonly id?: string
  readonly name: string
  readonly local: string
  readonly external: string
  readonly isHidden?: boolean
  readonly otherAddresses?: readonly string[]
  /** Other members of Graph's `orgContact`. */
  readonly contact?: Readonly<Record<string, unknown>>
}

export function makeContact(place: Place, recipe: ContactRecipe): { object: DirectoryObject; recipient: Recipient } {
  const id = recipe.id ?? place.random.guid()
  const { name, local, external, otherAddresses = [] } = recipe
  const addresses = [`SMTP:${external}`, ...otherAddresses]
  return {
    object: {
      id,
      kind: 'orgContact',
      properties: {
        displayName: name,
        mail: external,
        mailNickname: local,
        proxyAddresses: addresses,
        addresses: [],
        phones: [],
        ...recipe.contact,
      },
      members: [],
      owners: [],
    },
    recipient: {
      guid: place.random.guid(),
      recipientTypeDetails: 'MailContact',
      externalDirectoryObjectId: id,
      properties: {
        ...common(
          place,
          { isHidden: recipe.isHidden ?? false },
          {
            id,
            local,
            name,
            primary: external,
            addresses,
            isSynced: recipe.contact?.['onPremisesSyncEnabled'] === true,
          },
        ),
        RecipientType: 'MailContact',
        ExternalEmailAddress: `SMTP:${external}`,
        GrantSendOnBehalfTo: [],
      },
    },
  }
}
