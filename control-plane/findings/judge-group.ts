// What is to be said of one group. Pure; groups within groups: group-nesting.ts.
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import type { AccountSnapshot } from '../directory/account.ts'
import type { Said } from './finding.ts'
import type { ProjectView } from './project-view.ts'

const LARGE = 5_000
const VERY_LARGE = 10_000
/** What a domain can be, in the text of a rule. */
const NAMES = /[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)+/gu

export function judgeGroup({ kind, group, isSynced }: AccountSnapshot, project: ProjectView): Said[] {
  const said: Said[] = []
  if (isSynced) said.push({ code: 'synced-group' })
  if (kind === 'mail-enabled-security-group' || kind === 'distribution-list')
    said.push({ code: 'group-needs-exchange' })
  const domains = domainsInRule(group?.membershipRule, project)
  if (domains.length > 0) said.push({ code: 'dynamic-rule-names-source-domain', details: { domains } })
  if (kind === 'dynamic-distribution-list') return [...said, { code: 'dynamic-distribution-group' }]
  if (group === undefined) return said
  const { members, owners, membershipRule } = group
  if (membershipRule !== undefined) said.push({ code: 'dynamic-group' })
  if (members > VERY_LARGE) said.push({ code: 'group-over-10000', details: { members } })
  else if (members > LARGE) said.push({ code: 'group-over-5000', details: { members } })
  else if (members === 0) said.push({ code: 'group-empty' })
  if (owners === 0) said.push({ code: 'group-without-owner' })
  return said
}

/** Domains of sources that a rule names. Linear in the rule, however many domains there are. */
function domainsInRule(rule: string | undefined, { owners, byId }: ProjectView): string[] {
  const named = new Set<string>()
  for (const [text] of (rule ?? '').matchAll(NAMES)) {
    const domain = normaliseDomain(text)
    const owner = domain === undefined ? undefined : owners.get(domain)
    if (domain !== undefined && owner !== undefined && byId.get(owner)?.tenant.side === 'source') named.add(domain)
  }
  return [...named].toSorted().slice(0, 20)
}
