// What Exchange demands of whoever makes or renames something: lengths, limits, names that are free, domains that are the organisation's.
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { alreadyExists, dehydrated, invalidValue, limitReached, notAcceptedDomain } from './exchange-error.ts'

const MAX_NAME_LENGTH = 64
const MAX_DISPLAY_NAME_LENGTH = 256
const MAX_COMMENTS_LENGTH = 1024
/** Transport rules of an organisation (coexistence.md §2.1, row 0). */
const MAX_RULES = 300

const LENGTHS: Readonly<Record<string, number>> = {
  Name: MAX_NAME_LENGTH,
  Alias: MAX_NAME_LENGTH,
  DisplayName: MAX_DISPLAY_NAME_LENGTH,
  Comment: MAX_COMMENTS_LENGTH,
  Comments: MAX_COMMENTS_LENGTH,
  Notes: MAX_COMMENTS_LENGTH,
}

/** @throws ExchangeError when the property is longer than Exchange takes it; where no limit is published, none is known */
export function requireLength(property: string, value: string): void {
  const limit = LENGTHS[property]
  if (limit !== undefined && value.length > limit)
    throw invalidValue(property, `the length can't be more than ${limit} characters.`)
}

/** @throws ExchangeError when another object of the noun has the name. @param guid  of the object itself, when it is renamed */
export function requireFreeName(tenant: SimulatedTenant, noun: string, name: string, guid?: string): void {
  const isTaken = tenant
    .exchangeObjects(noun)
    .some((each) => each.guid !== guid && String(each.properties['Name']).toLowerCase() === name.toLowerCase())
  if (isTaken) throw alreadyExists(name)
}

/** @throws ExchangeError when no more rules fit */
export function requireRoomForRule(tenant: SimulatedTenant): void {
  if (tenant.exchangeObjects('TransportRule').length >= MAX_RULES) throw limitReached('transport rules', MAX_RULES)
}

/** @throws ExchangeError when an address's domain is not verified in the tenant */
export function requireAcceptedDomain(tenant: SimulatedTenant, address: string): void {
  const domain = address.slice(address.lastIndexOf('@') + 1).toLowerCase()
  const isAccepted = tenant.data.domains.some(({ id, isVerified }) => isVerified && id.toLowerCase() === domain)
  if (!isAccepted) throw notAcceptedDomain(domain)
}

/** @throws ExchangeError in an organisation whose settings are still those that all new ones share */
export function requireHydrated(tenant: SimulatedTenant): void {
  const [organisation] = tenant.exchangeObjects('OrganizationConfig')
  if (organisation?.properties['IsDehydrated'] === true) throw dehydrated()
}
