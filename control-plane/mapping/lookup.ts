// What would happen to one address: how the world sees it, where its mail goes, by which entry or rule, and since when. The engine itself is asked;
// here is only found out what it went by. (R20–R28, control-plane.md §2)
import {
  addressKey,
  AddressFault,
  compileTable,
  normaliseDomain,
  parseKnownAddress,
} from '../../rewrite-rules/index.ts'
import type { MapFunction, Mapped, MappingTable, Policy } from '../../rewrite-rules/index.ts'
import type { StoredEntry } from './mapping-store.ts'
import { exceptionKeysOf, RULE_LISTS } from './rule.ts'
import type { StoredRule } from './rule.ts'

export const DECIDED_BY = ['exception', 'entry', 'extension', 'x500', 'domain', 'wildcard', 'nothing'] as const

/** Of one direction. */
export interface Outcome {
  readonly result: string
  readonly isChanged: boolean
  /** What the address was found by, whether or not it changes. */
  readonly by: (typeof DECIDED_BY)[number]
  /** Why it stays, though something was found. */
  readonly code: 'rule-conflict' | 'eai-skipped' | undefined
  /** Id of the rule or exception. */
  readonly rule: string | undefined
  /** Revision that made the entry, rule or exception what it is. */
  readonly since: number | undefined
}

export interface Subject {
  /** As written. */
  readonly local: string
  readonly domain: string
  readonly policy: Policy
}

/** undefined for what is no address with a domain name. */
export function subjectOf(address: string, policy: Policy): Subject | undefined {
  const at = address.lastIndexOf('@')
  return parseKnownAddress(address) instanceof AddressFault
    ? undefined
    : { local: address.slice(0, at), domain: address.slice(at + 1), policy }
}

/**
 * Keys that the subject's entry can be found by: its own, without its extension, and of what it is presented as, for one that was found by an
 * X.500 name. Empty where the engine finds none.
 */
export function entryKeysOf(subject: Subject, table: MappingTable): readonly string[] {
  const { local, domain, policy } = subject
  const map = table.withPolicy(policy)
  if (map.entryOf(local, domain) === undefined) return []
  const presented = map.map('present', local, domain, true)
  const addresses = [
    `${local}@${domain}`,
    ...(presented.kind === 'replaced' && presented.rule === 'x500' ? [`${presented.local}@${presented.domain}`] : []),
    `${local.replace(/\+.*/s, local.startsWith('"') ? '"' : '')}@${domain}`,
  ]
  return addresses
    .map((address) => parseKnownAddress(address))
    .flatMap((known) => (known instanceof AddressFault ? [] : [addressKey(known)]))
}

/** @param rules  in force with the same revision of the table */
export function outcomeOf(
  fn: MapFunction,
  subject: Subject,
  table: MappingTable,
  { entry, rules }: { readonly entry: StoredEntry | undefined; readonly rules: readonly StoredRule[] },
): Outcome {
  const { local, domain, policy } = subject
  const mapped = table.withPolicy(policy).map(fn, local, domain, true)
  const result = mapped.kind === 'replaced' ? `${mapped.local}@${mapped.domain}` : `${local}@${domain}`
  const found = decidedBy(fn, subject, mapped, entry, rules)
  return {
    result,
    isChanged: mapped.kind === 'replaced',
    code: mapped.kind === 'kept' ? mapped.code : undefined,
    by: found.by,
    rule: found.rule?.id,
    since: found.rule?.revision ?? (found.isEntry ? entry?.revision : undefined),
  }
}

function decidedBy(
  fn: MapFunction,
  subject: Subject,
  mapped: Mapped,
  entry: StoredEntry | undefined,
  rules: readonly StoredRule[],
): { by: Outcome['by']; rule?: StoredRule | undefined; isEntry: boolean } {
  const exception = findException(subject, rules)
  if (exception !== undefined) return { by: 'exception', rule: exception, isEntry: false }
  if (entry !== undefined) return { by: foundBy(subject, mapped, entry), isEntry: true }
  const rule = findRule(fn, subject, rules)
  if (rule === undefined || (mapped.kind === 'kept' && mapped.code === undefined))
    return { by: 'nothing', isEntry: false }
  return { by: rule.kind === 'domain' ? 'domain' : 'wildcard', rule, isEntry: false }
}

function foundBy({ local, domain }: Subject, mapped: Mapped, entry: StoredEntry): 'entry' | 'extension' | 'x500' {
  if (mapped.kind === 'replaced' && mapped.rule === 'x500') return 'x500'
  const own = parseKnownAddress(`${local}@${domain}`)
  const { known } = JSON.parse(entry.wire) as { known: readonly string[] }
  const isKnown = known.some((address) => {
    const other = parseKnownAddress(address)
    return !(own instanceof AddressFault) && !(other instanceof AddressFault) && addressKey(own) === addressKey(other)
  })
  return isKnown ? 'entry' : 'extension'
}

/** Of the ones for everything. */
function findException({ local, domain, policy }: Subject, rules: readonly StoredRule[]): StoredRule | undefined {
  const normal = normaliseDomain(domain)
  const hasExtensions = !policy.noExtensions.some((other) => normaliseDomain(other) === normal)
  const keys = exceptionKeysOf(local, domain, hasExtensions)
  return rules.find(({ kind, key }) => kind === 'exception' && keys.includes(key))
}

/** The one that would map the subject if it were the only one; of wildcards the longest. */
function findRule(
  fn: MapFunction,
  { local, domain, policy }: Subject,
  rules: readonly StoredRule[],
): StoredRule | undefined {
  const candidates = rules
    .filter(
      ({ kind, key, wire }) => kind !== 'exception' && concerns(fn, kind, key, wire, normaliseDomain(domain) ?? ''),
    )
    .toSorted((a, b) => (a.kind === b.kind ? b.key.length - a.key.length : a.kind === 'domain' ? -1 : 1))
  return candidates.find(({ kind, wire }) => {
    const alone = {
      format: 'causeway-mapping-table/1',
      project: 'p',
      version: 1,
      entries: [],
      [RULE_LISTS[kind]]: [JSON.parse(wire)],
    }
    return compileTable(alone).withPolicy(policy).map(fn, local, domain, true).kind === 'replaced'
  })
}

/** A cheap look before the engine is asked. */
function concerns(fn: MapFunction, kind: StoredRule['kind'], key: string, wire: string, domain: string): boolean {
  if (kind === 'wildcard') return fn === 'present' && domain.endsWith(`.${key}`)
  if (fn === 'present') return key === domain
  const { to } = JSON.parse(wire) as { to: string }
  return normaliseDomain(to) === domain
}
