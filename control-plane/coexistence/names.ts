// Names of what coexistence makes in a tenant: `Causeway-<project8>-<role>`. Exchange takes at most 64 characters. (coexistence.md §2)
import { createHash } from 'node:crypto'

/** By key: the part of the name that tells people what it is for. Remote domains have one a domain. */
const ROLES = {
  'group-presented': 'Presented',
  'group-partners': 'Partners',
  'group-elsewhere': 'ElsewhereMailbox',
  in: 'In',
  out: 'Out',
  elsewhere: 'Elsewhere',
  'free-busy': 'FreeBusy',
  'rule-10-out': '10-Probe-Out',
  'rule-10-in': '10-Probe-In',
  'rule-20': '20-Route-Sender',
  'rule-21': '21-Route-Mentioned',
  'rule-22': '22-Route-Partner',
  'rule-30': '30-Route-All',
  'rule-40': '40-Route-Elsewhere',
  'rule-90': '90-Clean',
} as const
export type NamedKey = keyof typeof ROLES

/** What names carry of a project's id. */
export const project8Of = (project: string): string => project.slice(4, 12)

/** @param project8  eight characters of the project's id, unique in the installation */
export function nameOf(project8: string, key: NamedKey): string {
  return `Causeway-${project8}-${ROLES[key]}`
}

/** Of one domain's remote domain. By the domain itself and not by its place in a list, so that a further domain renames nothing. */
export function remoteDomainKey(domain: string): string {
  return `remote-domain-${createHash('sha256').update(domain.toLowerCase()).digest('hex').slice(0, 8)}`
}

export function remoteDomainName(project8: string, domain: string): string {
  return `Causeway-${project8}-RD-${remoteDomainKey(domain).slice(-8)}`
}

/** Order of our rules among each other; probes have no place, they act while the others do not. Undefined: no rule of ours that is ordered. */
export function ruleNumber(key: string): number | undefined {
  const number = /^rule-([2-9]\d)$/.exec(key)?.[1]
  return number === undefined ? undefined : Number(number)
}

/** What somebody copied bears our mark too, under a name of his own. */
export const isNameOf = (key: string, name: string): boolean =>
  key in ROLES && name.startsWith('Causeway-') && name.endsWith(`-${ROLES[key as NamedKey]}`)

export const isProbe = (key: string): boolean => key.startsWith('rule-10-')
