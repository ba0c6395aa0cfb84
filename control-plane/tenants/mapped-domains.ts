// Whether a change of a project's domains would leave mapped addresses outside of them. (control-plane.md §3.3, RC-5)
//
// It is refused then, whole: relays refuse such a table too, and would stay with the old one. While a tenant of the project has named no domain, nobody
// knows what is outside, and nothing is refused.
import type { Tx } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import { acceptedDomains } from '../mapping/mapping-store.ts'
import { targetsOf } from '../mapping/rule.ts'
import { currentRules } from '../mapping/rule-store.ts'
import { mappedDomains } from './mapped-domains-store.ts'
import type { ProjectPlace } from './tenant-store.ts'

const MAX_NAMED = 20

export interface OutsideDomain {
  readonly domain: string
  /** Addresses of entries: presented ones and mailboxes. */
  readonly addresses: number
  readonly rules: number
}

/** In the change's transaction, after it was written, under the lock of the project's row. @throws Problem that names domains and counts */
export async function demandMappedInside(tx: Tx, place: ProjectPlace): Promise<void> {
  const { domains: accepted, isComplete } = await acceptedDomains(tx, place)
  if (!isComplete) return
  const addresses = await mappedDomains(tx, place)
  const rules = new Map<string, number>()
  for (const target of (await currentRules(tx, place)).flatMap(targetsOf))
    rules.set(target, (rules.get(target) ?? 0) + 1)
  const outside = outsideDomains(addresses, rules, accepted)
  if (outside.length > 0)
    throw new Problem('domain-in-use', { domains: outside.slice(0, MAX_NAMED), domainCount: outside.length })
}

/** Pure. Most used first. */
export function outsideDomains(
  addresses: ReadonlyMap<string, number>,
  rules: ReadonlyMap<string, number>,
  accepted: ReadonlySet<string>,
): OutsideDomain[] {
  return [...new Set([...addresses.keys(), ...rules.keys()])]
    .filter((domain) => !accepted.has(domain))
    .map((domain) => ({ domain, addresses: addresses.get(domain) ?? 0, rules: rules.get(domain) ?? 0 }))
    .toSorted((a, b) => b.addresses + b.rules - a.addresses - a.rules || (a.domain < b.domain ? -1 : 1))
}
