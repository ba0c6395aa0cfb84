// From a domain to the hosts that take its mail, and from a host to the addresses that may be connected to. What DNS says for certain is told
// apart from what nobody could find out. (RFC 5321 §5.1, RFC 7505, DL-2, DL-7)
import type { SmtpReply } from '../message-record.ts'
import { parseHostName } from '../network-names.ts'
import type { MayConnect } from './address-rules.ts'
import type { Dns } from './dns-client.ts'
import type { DnsAnswer } from './dns-message.ts'

export interface MailHost {
  readonly name: string
  readonly preference: number
}

export type MailHosts =
  | {
      readonly kind: 'hosts'
      /** In the order in which they are to be tried. */
      readonly hosts: readonly MailHost[]
      /** The resolver has validated that these are the domain's. */
      readonly isSecure: boolean
      /** There is no MX: the domain is its own host. */
      readonly isImplicit: boolean
    }
  /** For good. */
  | { readonly kind: 'refused'; readonly reply: SmtpReply }
  | { readonly kind: 'failed'; readonly text: string }

/** More hosts of one domain are not looked at. */
const MAX_HOSTS = 10
/** Of each family, of one host. */
const MAX_ADDRESSES = 4

/** @param random  in [0, 1): hosts of the same preference are tried in any order */
export async function findMailHosts(domain: string, dns: Dns, random: () => number): Promise<MailHosts> {
  const answer = await dns.query(domain, 'MX')
  switch (answer.kind) {
    case 'failed':
      return { kind: 'failed', text: `the mail exchangers of ${domain} can't be looked up (${answer.text})` }
    case 'none':
      if (!answer.nameExists) return refused(550, '5.1.2', `the domain ${domain} does not exist`)
      return {
        kind: 'hosts',
        hosts: [{ name: domain, preference: 0 }],
        isSecure: answer.isSecure,
        isImplicit: true,
      }
    case 'records':
      return mailHostsOf(domain, answer, random)
    default:
      return answer satisfies never
  }
}

function mailHostsOf(
  domain: string,
  { records, isSecure }: DnsAnswer<'MX'> & { kind: 'records' },
  random: () => number,
): MailHosts {
  // RFC 7505 §3: a null MX stands alone. Beside others it means nothing.
  if (records.every(({ exchange }) => exchange === '.' || exchange === ''))
    return refused(556, '5.1.10', `the domain ${domain} takes no mail (null MX)`)
  const hosts = records.flatMap(({ exchange, preference }) => {
    const name = parseHostName(exchange)
    return name === undefined ? [] : [{ host: { name, preference }, lot: random() }]
  })
  if (hosts.length === 0) return refused(550, '5.4.4', `the mail exchangers of ${domain} are no host names`)
  hosts.sort((a, b) => a.host.preference - b.host.preference || a.lot - b.lot)
  const seen = new Set<string>()
  const distinct = hosts.map(({ host }) => host).filter(({ name }) => !seen.has(name) && seen.add(name))
  return { kind: 'hosts', hosts: distinct.slice(0, MAX_HOSTS), isSecure, isImplicit: false }
}

export type HostAddresses =
  | {
      readonly kind: 'addresses'
      /** IPv4 first: whether mail is taken from an IPv6 address hangs on more that an operator must have set up. */
      readonly addresses: readonly string[]
      /** Those that may not be connected to among them. */
      readonly all: readonly string[]
      /** There are some, and none may be connected to. */
      readonly areForbidden: boolean
      readonly isSecure: boolean
      /** Behind a CNAME another than the one asked for. */
      readonly canonicalName: string
    }
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly text: string }

export async function findAddresses(
  name: string,
  { dns, mayConnect, random }: { dns: Dns; mayConnect: MayConnect; random: () => number },
): Promise<HostAddresses> {
  const [four, six] = await Promise.all([dns.query(name, 'A'), dns.query(name, 'AAAA')])
  const found = [four, six].filter((answer) => answer.kind === 'records')
  const [first] = found
  if (first === undefined) {
    const trouble = [four, six].find((answer) => answer.kind === 'failed')
    return trouble?.kind === 'failed'
      ? { kind: 'failed', text: `the addresses of ${name} can't be looked up (${trouble.text})` }
      : { kind: 'none' }
  }
  const addresses = found.flatMap(({ records }) => shuffled(records.filter(mayConnect), random).slice(0, MAX_ADDRESSES))
  return {
    kind: 'addresses',
    addresses,
    all: found.flatMap(({ records }) => records),
    areForbidden: addresses.length === 0,
    isSecure: found.every(({ isSecure }) => isSecure),
    canonicalName: first.canonicalName,
  }
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, lot: random() }))
    .toSorted((a, b) => a.lot - b.lot)
    .map(({ item }) => item)
}

function refused(code: number, status: string, text: string): MailHosts {
  return { kind: 'refused', reply: { code, status, text } }
}
