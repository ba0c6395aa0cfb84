// Addresses of a group: which is the primary one, whose domain it is in, and that nobody else has it.
import type { Recipient } from '../tenants/objects.ts'
import type { CmdletCall } from './cmdlet.ts'
import { addressTaken, invalidValue } from './exchange-error.ts'
import { entraProperty } from './recipient-facts.ts'
import { requireAcceptedDomain } from './write-rules.ts'

/** @param guid  of the group itself, which may have it @throws ExchangeError */
export function requireFreeAddress({ tenant, recipients }: CmdletCall, address: string, guid?: string): void {
  requireAcceptedDomain(tenant, address)
  if (recipients.named(address).some((each) => each.guid !== guid)) throw addressTaken(address)
}

/** The address becomes `SMTP:`, and what was primary before, another one. */
export function withPrimary(addresses: readonly string[], primary: string): readonly string[] {
  const others = addresses.filter((each) => each.toLowerCase() !== `smtp:${primary.toLowerCase()}`)
  return [`SMTP:${primary}`, ...others.map((each) => each.replace(/^SMTP:/, 'smtp:'))]
}

/** A whole list: without a prefix an address is SMTP, and without a primary one the first is. @throws ExchangeError */
export function checkedAddresses(call: CmdletCall, given: readonly string[], guid: string): readonly string[] {
  const prefixed = given.map((each) => (each.includes(':') ? each : `smtp:${each}`))
  const smtp = prefixed.filter((each) => /^smtp:/i.test(each))
  const [first] = smtp
  if (first === undefined) throw invalidValue('EmailAddresses', 'there has to be a primary SMTP address.')
  for (const each of smtp) requireFreeAddress(call, each.slice(5), guid)
  const primaries = smtp.filter((each) => each.startsWith('SMTP:'))
  if (primaries.length > 1) throw invalidValue('EmailAddresses', 'there are multiple primary SMTP addresses.')
  return primaries.length === 1 ? prefixed : withPrimary(prefixed, first.slice(5))
}

/** Exchange's, or Entra's where Exchange holds none. */
export function addressesOf({ tenant }: CmdletCall, group: Recipient): readonly string[] {
  const addresses = group.properties['EmailAddresses'] ?? entraProperty(group, tenant, 'proxyAddresses')
  return Array.isArray(addresses) ? addresses.filter((each) => typeof each === 'string') : []
}

export function primaryOf(addresses: readonly string[]): string {
  return addresses.find((each) => each.startsWith('SMTP:'))?.slice(5) ?? ''
}
