// Users, groups and contacts as Graph writes them, read into the part of an account that the directory knows. Bounded: whatever a tenant holds,
// no member is kept longer than its limit. Pure. (microsoft-365.md §4)
import { splitProxyAddresses } from '../directory/account.ts'

/** `$select` of each delta. Tokens belong to it: changing it begins anew. */
export const USER_SELECT =
  'id,userPrincipalName,mail,mailNickname,displayName,givenName,surname,userType,accountEnabled,proxyAddresses,otherMails,onPremisesSyncEnabled,onPremisesImmutableId,onPremisesSamAccountName,employeeId,department,jobTitle,companyName,officeLocation,businessPhones,mobilePhone,faxNumber,streetAddress,city,state,postalCode,country,usageLocation,preferredLanguage,preferredDataLocation,assignedLicenses,showInAddressList,externalUserState,onPremisesExtensionAttributes'
export const GROUP_SELECT =
  'id,displayName,description,mail,mailNickname,mailEnabled,securityEnabled,groupTypes,membershipRule,visibility,proxyAddresses,onPremisesSyncEnabled,members'
export const CONTACT_SELECT =
  'id,displayName,givenName,surname,mail,mailNickname,proxyAddresses,companyName,department,jobTitle,onPremisesSyncEnabled'

/** A row of a delta; members that were not selected or have no value are not there. */
export type GraphObject = Readonly<Record<string, unknown>> & { readonly id: string }

/** What the directory knows of an object. Written as it stands into `account_part`. */
export interface DirectoryPart {
  readonly type: 'user' | 'group' | 'contact'
  readonly displayName: string
  readonly userPrincipalName?: string
  readonly mail?: string
  readonly mailNickname?: string
  readonly addresses: readonly string[]
  readonly x500: readonly string[]
  readonly otherAddresses: readonly string[]
  readonly isEnabled?: boolean
  readonly isSynced: boolean
  readonly isHidden?: boolean
  readonly isGuest?: boolean
  readonly attributes: Readonly<Record<string, string>>
  readonly licences: readonly string[]
  readonly group?: {
    readonly isUnified: boolean
    readonly isMailEnabled: boolean
    readonly isSecurityEnabled: boolean
    readonly membershipRule?: string
    readonly visibility?: string
  }
}

/** UTF-16 code units of one value; what is longer is cut, and a finding says so. */
export const MAX_TEXT = 4_096
const MAX_ADDRESSES = 1_000
const MAX_LICENCES = 500

const TEXT_ATTRIBUTES = [
  'givenName',
  'surname',
  'onPremisesImmutableId',
  'onPremisesSamAccountName',
  'employeeId',
  'department',
  'jobTitle',
  'companyName',
  'officeLocation',
  'mobilePhone',
  'faxNumber',
  'streetAddress',
  'city',
  'state',
  'postalCode',
  'country',
  'usageLocation',
  'preferredLanguage',
  'preferredDataLocation',
  'externalUserState',
  'description',
] as const

export function readUser(row: GraphObject): DirectoryPart {
  const { showInAddressList } = row
  return {
    ...common(row, 'user'),
    ...optional('userPrincipalName', textOf(row['userPrincipalName'])),
    ...(typeof row['accountEnabled'] === 'boolean' ? { isEnabled: row['accountEnabled'] } : {}),
    ...(showInAddressList === false ? { isHidden: true } : {}),
    isGuest: row['userType'] === 'Guest',
    licences: listOf(row['assignedLicenses'])
      .map((licence) => textOf((licence as Record<string, unknown> | null)?.['skuId']))
      .filter((id) => id !== undefined)
      .slice(0, MAX_LICENCES)
      .toSorted(),
  }
}

export function readGroup(row: GraphObject): DirectoryPart {
  return {
    ...common(row, 'group'),
    licences: [],
    group: {
      isUnified: listOf(row['groupTypes']).includes('Unified'),
      isMailEnabled: row['mailEnabled'] === true,
      isSecurityEnabled: row['securityEnabled'] === true,
      ...optional('membershipRule', textOf(row['membershipRule'])),
      ...optional('visibility', textOf(row['visibility'])),
    },
  }
}

export function readContact(row: GraphObject): DirectoryPart {
  return { ...common(row, 'contact'), licences: [] }
}

function common(row: GraphObject, type: DirectoryPart['type']) {
  const mail = textOf(row['mail'])
  const proxies = listOf(row['proxyAddresses'])
    .map(textOf)
    .filter((text) => text !== undefined)
    .slice(0, MAX_ADDRESSES)
  const { addresses, x500, otherAddresses } = splitProxyAddresses(proxies)
  return {
    type,
    displayName: textOf(row['displayName']) ?? '',
    ...optional('mail', mail),
    ...optional('mailNickname', textOf(row['mailNickname'])),
    // A mail address that is no proxy address is how Entra shows people without a mailbox.
    addresses: addresses.length === 0 && mail !== undefined ? [mail] : addresses,
    x500,
    otherAddresses,
    isSynced: row['onPremisesSyncEnabled'] === true,
    attributes: attributesOf(row),
  }
}

function attributesOf(row: GraphObject): Record<string, string> {
  const found: Record<string, string> = {}
  const put = (name: string, value: unknown) => {
    const text = textOf(value)
    if (text !== undefined) found[name] = text
  }
  for (const name of TEXT_ATTRIBUTES) put(name, row[name])
  put(
    'businessPhones',
    listOf(row['businessPhones'])
      .map(textOf)
      .filter((text) => text !== undefined)
      .slice(0, 20)
      .join(', '),
  )
  put(
    'otherMails',
    listOf(row['otherMails'])
      .map(textOf)
      .filter((text) => text !== undefined)
      .slice(0, 100)
      .join(', '),
  )
  const extensions = row['onPremisesExtensionAttributes']
  if (typeof extensions === 'object' && extensions !== null) {
    for (let n = 1; n <= 15; n++)
      put(`extensionAttribute${n}`, (extensions as Record<string, unknown>)[`extensionAttribute${n}`])
  }
  return found
}

/** undefined for what is no text, or empty. Postgres keeps no NUL and no half of a surrogate pair. */
export function textOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  return value.slice(0, MAX_TEXT).toWellFormed().replaceAll('\0', '\uFFFD')
}

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

export const optional = <K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } =>
  value === undefined ? {} : ({ [name]: value } as { readonly [P in K]?: V })

export interface MemberChange {
  /** Object id in lower case. */
  readonly member: string
  readonly isRemoved: boolean
}

/** What `members@delta` of a group's row says. The same member may come several times: the last one counts. */
export function readMembers(row: GraphObject): readonly MemberChange[] {
  const changes = new Map<string, boolean>()
  for (const entry of listOf(row['members@delta'])) {
    const { id, '@removed': removed } = (entry ?? {}) as Record<string, unknown>
    if (typeof id === 'string') changes.set(id.toLowerCase(), removed !== undefined)
  }
  return [...changes].map(([member, isRemoved]) => ({ member, isRemoved }))
}

export const isRemoved = (row: GraphObject): boolean => row['@removed'] !== undefined
