// Asks DNS what receivers of a domain's mail will ask: MX, SPF with what it includes, DMARC. What is not there is an answer; what the resolver does not
// answer is told as that. (coexistence.md §2.1 row 0; RFC 5321 §5.1, RFC 7208 §4.6.4, RFC 7489 §6.6.3, RFC 7505)
import { Resolver } from 'node:dns/promises'
import type { Asked, PublishedRecords } from '../findings/preflight.ts'
import { unfoldSpf } from '../findings/spf.ts'
import type { ResolveTxt } from '../relays/check-dkim-record.ts'

/** @throws with a DNS error's `code` */
export interface Dns {
  /** Records, each its strings. */
  readonly txt: ResolveTxt
  readonly mx: (name: string) => Promise<readonly { readonly exchange: string }[]>
  /** IPv4 and IPv6. */
  readonly addresses: (name: string) => Promise<readonly string[]>
}

const TIMEOUT_MS = 3_000
const TRIES = 2

/** @param servers  addresses, with a port where it isn't 53; empty: those of the system */
export function createDns(servers: readonly string[]): Dns {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  if (servers.length > 0) resolver.setServers([...servers])
  return {
    txt: (name) => resolver.resolveTxt(name),
    mx: (name) => resolver.resolveMx(name),
    async addresses(name) {
      const asked = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
      const found = asked.flatMap((each) => (each.status === 'fulfilled' ? each.value : []))
      const failed = asked.find((each) => each.status === 'rejected')
      if (found.length === 0 && failed !== undefined) throw failed.reason
      return found
    },
  }
}

/** RFC 7208 §4.6.4: terms that ask DNS. */
const MAX_SPF_LOOKUPS = 10
/** Texts of a name that are looked at, and how much of each. */
const MAX_TEXTS = 100
const MAX_TEXT = 4_096

/** @throws what is no answer of DNS */
export async function readRecords(dns: Dns, domain: string): Promise<PublishedRecords> {
  const [mx, spf, dmarc, exchangeKeys] = await Promise.all([
    ask(async () =>
      (await dns.mx(domain)).map(({ exchange }) => exchange).filter((host) => host !== '' && host !== '.'),
    ),
    spfOf(dns, domain),
    dmarcOf(dns, domain),
    exchangeKeysOf(dns, domain),
  ])
  return { mx, spf, spfIncludes: spf === 'unreachable' ? [] : await includesOf(dns, spf), dmarc, exchangeKeys }
}

/** @returns undefined where DNS could not be asked */
export async function isResolved(dns: Dns, host: string): Promise<boolean | undefined> {
  const addresses = await ask(() => dns.addresses(host))
  return addresses === 'unreachable' ? undefined : addresses.length > 0
}

const ABSENT = new Set(['ENOTFOUND', 'ENODATA'])

async function ask<T>(question: () => Promise<readonly T[]>): Promise<Asked<T>> {
  try {
    return await question()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (typeof code !== 'string') throw error
    return ABSENT.has(code) ? [] : 'unreachable'
  }
}

const textsOf = (dns: Dns, name: string, isWanted: RegExp): Promise<Asked<string>> =>
  ask(async () =>
    (await dns.txt(name))
      .slice(0, MAX_TEXTS)
      .map((strings) => strings.join('').slice(0, MAX_TEXT))
      .filter((text) => isWanted.test(text)),
  )

const spfOf = (dns: Dns, domain: string): Promise<Asked<string>> => textsOf(dns, domain, /^v=spf1(?: |$)/i)

async function includesOf(dns: Dns, records: readonly string[]): Promise<string[]> {
  const found: string[] = []
  const waiting = records.flatMap(unfoldSpf)
  for (let lookups = 0; lookups < MAX_SPF_LOOKUPS; lookups++) {
    const name = waiting.shift()
    if (name === undefined) break
    if (found.includes(name)) continue
    found.push(name)
    const next = await spfOf(dns, name)
    // What can't be asked is named all the same: it is included.
    if (next !== 'unreachable') waiting.push(...next.flatMap(unfoldSpf))
  }
  return found
}

/** Exchange Online signs by one of two; their records are aliases of Microsoft's. */
async function exchangeKeysOf(dns: Dns, domain: string): Promise<Asked<string>> {
  const [one, other] = await Promise.all(
    ['selector1', 'selector2'].map((selector) => textsOf(dns, `${selector}._domainkey.${domain}`, /(?:^|;)\s*p\s*=/)),
  )
  const known = [one, other].flatMap((asked) => (asked === undefined || asked === 'unreachable' ? [] : asked))
  return known.length === 0 && (one === 'unreachable' || other === 'unreachable') ? 'unreachable' : known
}

/** Of the domain, or of the nearest one above it that has any; a single label has none. */
async function dmarcOf(dns: Dns, domain: string): Promise<Asked<string>> {
  const labels = domain.split('.')
  for (let at = 0; labels.length - at >= 2; at++) {
    const found = await textsOf(dns, `_dmarc.${labels.slice(at).join('.')}`, /^v=DMARC1 *(?:;|$)/i)
    if (found === 'unreachable' || found.length > 0) return found
  }
  return []
}
