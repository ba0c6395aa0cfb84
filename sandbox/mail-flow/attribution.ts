// Which tenant a message at the front door belongs to, and as what: by the certificate of the client, then MAIL FROM, then RCPT TO (coexistence.md §3;
// Microsoft's message MC1226222). Whoever knows no connector of the tenant can only bring it mail for its own recipients.
import type { ExchangeObject } from '../tenants/objects.ts'
import type { AddressBook } from './address-book.ts'
import { domainOf, flagOf, listOf, textOf } from './object-properties.ts'

export interface Arrival {
  /** DNS names in the client's verified certificate; empty: it showed none. */
  readonly certificateNames: readonly string[]
  /** Empty: the null reverse-path. */
  readonly sender: string
  readonly recipient: string
}

export type Attribution =
  /** Of the tenant itself: it may go anywhere. */
  | { readonly kind: 'originating'; readonly book: AddressBook; readonly connector: ExchangeObject }
  /** For the tenant. */
  | { readonly kind: 'incoming'; readonly book: AddressBook; readonly connector: ExchangeObject | undefined }
  | { readonly kind: 'refused'; readonly reply: string }

const NO_TENANT = '550 5.7.64 TenantAttribution; Relay Access Denied'
const NO_DIRECT_SEND =
  '550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources'

/** Of one recipient: those of one message may belong to different tenants. */
export function attribute(books: readonly AddressBook[], arrival: Arrival, nowMs: number): Attribution {
  const connected = books.flatMap((book) => {
    const connector = book.settings('InboundConnector', nowMs).find((each) => isMatching(each, arrival))
    return connector === undefined ? [] : [{ book, connector }]
  })
  const byCertificate = connected.find(({ book, connector }) =>
    namesFor(connector, arrival).some((name) => soleOwner(books, name.replace(/^\*\./, ''), nowMs) === book),
  )
  if (byCertificate !== undefined) return { kind: 'originating', ...byCertificate }

  const sending = arrival.sender === '' ? undefined : soleOwner(books, domainOf(arrival.sender), nowMs)
  const bySender = connected.find(({ book }) => book === sending)
  if (bySender !== undefined) return { kind: 'originating', ...bySender }

  const book = soleOwner(books, domainOf(arrival.recipient), nowMs)
  if (book === undefined) return { kind: 'refused', reply: NO_TENANT }
  const connector = connected.find((each) => each.book === book)?.connector
  const isDirectSend = connector === undefined && sending === book
  return isDirectSend && book.organizationFlag('RejectDirectSend', nowMs)
    ? { kind: 'refused', reply: NO_DIRECT_SEND }
    : { kind: 'incoming', book, connector }
}

/** A domain in two tenants can't tell one from the other. */
function soleOwner(books: readonly AddressBook[], domain: string, nowMs: number): AddressBook | undefined {
  const owners = domain === '' ? [] : books.filter((book) => book.domainType(domain, nowMs) !== undefined)
  return owners.length === 1 ? owners[0] : undefined
}

function isMatching(connector: ExchangeObject, arrival: Arrival): boolean {
  return (
    flagOf(connector, 'Enabled') &&
    textOf(connector, 'ConnectorType') === 'OnPremises' &&
    namesFor(connector, arrival).length > 0 &&
    listOf(connector, 'SenderDomains').some((pattern) => isSenderDomain(pattern, domainOf(arrival.sender)))
  )
}

/** Of the client's names, those that the connector is for. */
function namesFor(connector: ExchangeObject, { certificateNames }: Arrival): readonly string[] {
  const wanted = textOf(connector, 'TlsSenderCertificateName')
  return wanted === '' ? [] : certificateNames.filter((name) => isNameMatch(wanted, name))
}

/** Either may be a wildcard, which stands for one label. */
function isNameMatch(wanted: string, presented: string): boolean {
  const [a, b] = [wanted.toLowerCase(), presented.toLowerCase()]
  return a === b || isCovered(a, b) || isCovered(b, a)
}

function isCovered(wildcard: string, name: string): boolean {
  const dot = name.indexOf('.')
  return wildcard.startsWith('*.') && dot > 0 && name.slice(dot) === wildcard.slice(1)
}

/** `smtp:*;1`, `contoso.com`, `*.contoso.com` */
function isSenderDomain(pattern: string, domain: string): boolean {
  const wanted = pattern
    .replace(/^smtp:/i, '')
    .replace(/;\d+$/, '')
    .toLowerCase()
  if (wanted === '*') return true
  return wanted.startsWith('*.') ? domain === wanted.slice(2) || domain.endsWith(wanted.slice(1)) : domain === wanted
}
