// Asks the simulated internet's name server and no other: what the outside world knows of a domain is what stands there.
import { Resolver } from 'node:dns/promises'
import type { DnsServer } from './dns-server.ts'

export interface DnsLookup {
  /** As `dns.promises.resolve`: records of a type in Node's shapes; ENOTFOUND and ENODATA as code where there are none. */
  resolve(name: string, type: string): Promise<string[][]>
  /** By preference, the lowest first; the domain itself where it names none but has an address (RFC 5321 §5.1). Empty: it takes no mail. */
  mailHosts(domain: string): Promise<readonly string[]>
  /** @returns addresses, those of IPv4 first */
  addresses(host: string): Promise<readonly string[]>
}

const TIMEOUT_MS = 2_000

export function dnsLookup({ address, port }: Pick<DnsServer, 'address' | 'port'>): DnsLookup {
  const server = `${address.includes(':') ? `[${address}]` : address}:${port}`
  /** A new one each time: one that is kept would keep answers, too. */
  const resolver = (): Resolver => {
    const one = new Resolver({ timeout: TIMEOUT_MS, tries: 2 })
    one.setServers([server])
    return one
  }
  const addresses = async (host: string): Promise<readonly string[]> => {
    const [v4, v6] = await Promise.all([unlessNone(resolver().resolve4(host)), unlessNone(resolver().resolve6(host))])
    return [...(v4 ?? []), ...(v6 ?? [])]
  }
  return {
    resolve: async (name, type) => (await resolver().resolve(name, type)) as string[][],
    addresses,
    mailHosts: async (domain) => {
      const records = await unlessNone(resolver().resolveMx(domain))
      if (records === undefined) return (await addresses(domain)).length > 0 ? [domain] : []
      const hosts = records.toSorted((a, b) => a.priority - b.priority).map(({ exchange }) => exchange)
      return hosts.filter((host) => host !== '' && host !== '.') // the null MX (RFC 7505)
    },
  }
}

async function unlessNone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOTFOUND' || code === 'ENODATA') return undefined
    throw error
  }
}
