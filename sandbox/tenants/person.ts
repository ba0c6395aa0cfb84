// Makes what has a sign-in name: people, guests, and the mailboxes of rooms, equipment and teams. A recipe says what is special; everything
// else follows from it as it does in a tenant: licence → mailbox and drive, addresses → the proxies of Entra and of Exchange alike.
import type { DirectoryObject, Drive, Recipient } from './objects.ts'
import { SKUS, hasDrive } from './licences.ts'
import type { SkuName } from './licences.ts'
import { makeMailbox, mailRecipient } from './mailbox.ts'
import type { MailboxRecipe } from './mailbox.ts'
import { MADE_AT, initialDomain } from './place.ts'
import type { Place } from './place.ts'

export type PersonKind = 'person' | 'guest' | 'mail-user' | 'shared' | 'room' | 'equipment'

export interface PersonRecipe extends MailboxRecipe {
  /** Default `person`. */
  readonly kind?: PersonKind
  /** Default: of the seed's chance. */
  readonly id?: string
  readonly name: string
  readonly given?: string
  readonly surname?: string
  /** Local part, alias and mail nickname. */
  readonly local: string
  /** Default the tenant's. */
  readonly domain?: string
  /** Where it differs from the address. */
  readonly userPrincipalName?: string
  /** Other SMTP addresses, whole. */
  readonly aliases?: readonly string[]
  /** With prefix: `X500:/o=…`, `SIP:…`. A person with a mailbox has a SIP address anyway. */
  readonly otherAddresses?: readonly string[]
  /** Of a guest or mail user: where his mail goes. */
  readonly external?: string
  /** Of a person: default E3. `none`: no mailbox, no drive. */
  readonly licence?: SkuName | 'none'
  /** Other members of Graph's `user`. null takes one away that everybody has. */
  readonly user?: Readonly<Record<string, unknown>>
  /** Bytes; default of chance where the licence has a drive. null: never provisioned. */
  readonly driveBytes?: number | null
}

export interface Made {
  readonly object: DirectoryObject
  readonly recipient: Recipient | undefined
  readonly drive: Drive | undefined
}

const GB = 2 ** 30
const AVERAGE_FILE_BYTES = 2 ** 20

export function makePerson(place: Place, recipe: PersonRecipe): Made {
  const id = recipe.id ?? place.random.guid()
  const kind = recipe.kind ?? 'person'
  const licence = kind === 'person' ? (recipe.licence ?? 'E3') : 'none'
  const addresses = addressesOf(place, recipe, kind, licence)
  const properties = userProperties(place, recipe, { kind, licence, addresses })
  const identity = { id, local: recipe.local, name: recipe.name, addresses: addresses.all, primary: addresses.primary }
  return {
    object: { id, kind: 'user', properties, members: [], owners: [] },
    recipient: recipientOf(place, recipe, { ...identity, kind, licence, properties }),
    drive: driveOf(place, recipe, licence),
  }
}

interface Addresses {
  readonly primary: string | undefined
  /** As `proxyAddresses` writes them. */
  readonly all: readonly string[]
}

function addressesOf(place: Place, recipe: PersonRecipe, kind: PersonKind, licence: string): Addresses {
  const { local, domain = place.domain, aliases = [], otherAddresses = [], external } = recipe
  if (kind === 'guest' || kind === 'mail-user') {
    const primary = external ?? `${local}@${domain}`
    return { primary, all: [`SMTP:${primary}`, ...aliases.map((each) => `smtp:${each}`), ...otherAddresses] }
  }
  if (kind === 'person' && licence === 'none')
    return { primary: undefined, all: [...aliases.map((each) => `smtp:${each}`), ...otherAddresses] }
  const primary = `${local}@${domain}`
  const initial = `${local}@${initialDomain(place)}`
  const secondary = initial.toLowerCase() === primary.toLowerCase() ? aliases : [...aliases, initial]
  const hasOwnSip = kind !== 'person' || otherAddresses.some((each) => /^sip:/i.test(each))
  return {
    primary,
    all: [
      `SMTP:${primary}`,
      ...secondary.map((each) => `smtp:${each}`),
      ...(hasOwnSip ? [] : [`SIP:${primary.toLowerCase()}`]),
      ...otherAddresses,
    ],
  }
}

function userProperties(
  place: Place,
  recipe: PersonRecipe,
  { kind, licence, addresses }: { kind: PersonKind; licence: SkuName | 'none'; addresses: Addresses },
): Readonly<Record<string, unknown>> {
  const { name, given, surname, local, domain = place.domain, external = '' } = recipe
  const isGuest = kind === 'guest'
  const guestName = `${external.replace('@', '_')}#EXT#`
  const all: Record<string, unknown> = {
    accountEnabled: kind === 'person' || isGuest || kind === 'mail-user',
    createdDateTime: MADE_AT,
    displayName: name,
    ...(given === undefined ? {} : { givenName: given }),
    ...(surname === undefined ? {} : { surname }),
    userPrincipalName:
      recipe.userPrincipalName ?? `${isGuest ? guestName : local}@${isGuest ? initialDomain(place) : domain}`,
    mailNickname: isGuest ? guestName : local,
    ...(addresses.primary === undefined ? {} : { mail: addresses.primary }),
    userType: isGuest ? 'Guest' : 'Member',
    proxyAddresses: addresses.all,
    otherMails: isGuest ? [external] : [],
    businessPhones: [],
    assignedLicenses: licence === 'none' ? [] : [{ skuId: SKUS[licence].skuId, disabledPlans: [] }],
    ...(isGuest
      ? { creationType: 'Invitation', externalUserState: 'Accepted', externalUserStateChangeDateTime: MADE_AT }
      : { usageLocation: place.usageLocation }),
    ...(kind === 'person' ? employment(place) : {}),
    ...(recipe.isHidden === true ? { showInAddressList: false } : {}),
    ...recipe.user,
  }
  for (const [member, value] of Object.entries(all)) if (value === null) delete all[member]
  return all
}

const DEPARTMENTS = ['Sales', 'Finance', 'Engineering', 'Legal', 'Operations', 'Marketing'] as const
const TITLES = ['Clerk', 'Manager', 'Specialist', 'Director', 'Assistant'] as const

function employment({ random, companyName, city, country }: Place) {
  const number = random.between(1000, 9999)
  return {
    companyName,
    department: random.pick(DEPARTMENTS),
    jobTitle: random.pick(TITLES),
    officeLocation: `${random.between(1, 4)}/${random.between(100, 499)}`,
    businessPhones: [`+1 425 555 ${number}`],
    city,
    country,
    preferredLanguage: 'en-US',
  }
}

function recipientOf(
  place: Place,
  recipe: PersonRecipe,
  whose: {
    id: string
    kind: PersonKind
    licence: SkuName | 'none'
    local: string
    name: string
    primary: string | undefined
    addresses: readonly string[]
    properties: Readonly<Record<string, unknown>>
  },
): Recipient | undefined {
  const { kind, licence, primary, properties } = whose
  if (primary === undefined) return undefined
  const identity = {
    ...whose,
    primary,
    userPrincipalName: String(properties['userPrincipalName']),
    isSynced: properties['onPremisesSyncEnabled'] === true,
  }
  switch (kind) {
    case 'guest':
    case 'mail-user':
      return mailRecipient(place, recipe, { ...identity, type: kind === 'guest' ? 'GuestMailUser' : 'MailUser' })
    case 'shared':
      return makeMailbox(place, recipe, { ...identity, type: 'SharedMailbox', quotaGb: 50 })
    case 'room':
      return makeMailbox(place, recipe, { ...identity, type: 'RoomMailbox', quotaGb: 50 })
    case 'equipment':
      return makeMailbox(place, recipe, { ...identity, type: 'EquipmentMailbox', quotaGb: 50 })
    case 'person':
      return makeMailbox(place, recipe, { ...identity, type: 'UserMailbox', quotaGb: QUOTA_GB[licence] })
    default:
      return kind satisfies never
  }
}

const QUOTA_GB: Readonly<Record<SkuName | 'none', number>> = {
  E3: 100,
  E5: 100,
  F3: 2,
  'Exchange Plan 1': 50,
  none: 50,
}

function driveOf({ random }: Place, recipe: PersonRecipe, licence: SkuName | 'none'): Drive | undefined {
  if (licence === 'none' || !hasDrive(licence) || recipe.driveBytes === null) return undefined
  const usedBytes = recipe.driveBytes ?? random.below(20 * GB)
  return { usedBytes, files: Math.ceil(usedBytes / AVERAGE_FILE_BYTES) }
}
