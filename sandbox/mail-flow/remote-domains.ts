// What a tenant says of mail to and from other domains: of its remote domains the one that fits best.
import type { ExchangeObject } from '../tenants/objects.ts'
import type { AddressBook } from './address-book.ts'
import { textOf } from './object-properties.ts'

/** undefined: the tenant has no `Default` either. */
export function remoteDomainOf(book: AddressBook, domain: string, nowMs: number): ExchangeObject | undefined {
  return book
    .settings('RemoteDomain', nowMs)
    .filter((each) => isDomainPattern(textOf(each, 'DomainName'), domain))
    .toSorted((a, b) => textOf(b, 'DomainName').length - textOf(a, 'DomainName').length)[0]
}

/** `contoso.com`, `*.contoso.com` (and the domain itself), `*` */
export function isDomainPattern(pattern: string, domain: string): boolean {
  const wanted = pattern.toLowerCase()
  if (!wanted.startsWith('*')) return wanted === domain
  return wanted === '*' || wanted === `*.${domain}` || domain.endsWith(wanted.slice(1))
}
