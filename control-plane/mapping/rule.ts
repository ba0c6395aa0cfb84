// Domain rules, wildcards and exceptions (R23) as resources: each has an id and what it matches as its identity. Pure.
import { FaultList, normaliseDomain, normaliseLocalPart, parseAddrSpec, parseRules } from '../../rewrite-rules/index.ts'
import type { Fault, RuleListName } from '../../rewrite-rules/index.ts'
import type { RequestFault } from '../http/problem.ts'
import type { RuleId } from '../ids.ts'

export const RULE_KINDS = ['domain', 'wildcard', 'exception'] as const
export type RuleKind = (typeof RULE_KINDS)[number]

/** The list of a table file that holds rules of a kind. */
export const RULE_LISTS: Readonly<Record<RuleKind, RuleListName>> = {
  domain: 'domainRules',
  wildcard: 'wildcards',
  exception: 'exceptions',
}

/** Lists as a table file writes them. */
export type RuleLists = Readonly<Partial<Record<RuleListName, readonly unknown[]>>>

/** Of a project: they go to the relays whole with each change of one (table-delta.ts). */
export const MAX_RULES = 20_000

export interface RuleRow {
  readonly kind: RuleKind
  /** What it matches, as it is compared. */
  readonly key: string
  /** Canonical JSON of the rule as a table file writes it. */
  readonly wire: string
}

/** A rule of the input, and where it stands there. */
export interface IncomingRule extends RuleRow {
  readonly path: string
}

/** The rules of these lists, in their order; twice the same exception counts once. Where there are faults there are no rows. */
export function ruleRows(lists: RuleLists): { rows: readonly IncomingRule[]; faults: readonly Fault[] } {
  const faults = new FaultList()
  const { domainRules, wildcards, exceptions } = lists
  const rules = parseRules({ domainRules, wildcards, exceptions }, faults)
  if (faults.faults.length > 0) return { rows: [], faults: faults.faults }
  const rows = [
    ...rules.domainRules.map(({ from, to, normalFrom, twoWay, except: { written } }, i) =>
      incomingRule('domain', i, normalFrom, { from, to, direction: twoWay ? 'both' : 'out', ...exceptOf(written) }),
    ),
    ...rules.wildcards.map(({ from, to, suffix, except: { written } }, i) =>
      incomingRule('wildcard', i, suffix, { from, to, ...exceptOf(written) }),
    ),
    ...rules.exceptions.written.map((text, i) => incomingRule('exception', i, exceptionKey(text), text)),
  ]
  return { rows: [...new Map(rows.map((rule) => [identityOf(rule), rule])).values()], faults: [] }
}

function incomingRule(kind: RuleKind, index: number, key: string, value: unknown): IncomingRule {
  return { kind, key, wire: JSON.stringify(value), path: `${RULE_LISTS[kind]}/${index}` }
}

const identityOf = ({ kind, key }: RuleRow): string => `${kind} ${key}`

function exceptOf(written: readonly string[]): { except?: readonly string[] } {
  return written.length === 0 ? {} : { except: written }
}

/** @param text  one of the three forms of R23 */
function exceptionKey(text: string): string {
  if (text.endsWith('@')) return `${normaliseLocalPart(text.slice(0, -1))}@`
  const spec = text.includes('@') ? parseAddrSpec(text) : undefined
  return spec === undefined
    ? (normaliseDomain(text) ?? text)
    : `${normaliseLocalPart(spec.local)}@${normaliseDomain(spec.domain) ?? spec.domain}`
}

/** Keys of exceptions that concern an address: itself, without its extension, its local part anywhere, its domain. */
export function exceptionKeysOf(local: string, domain: string, hasExtensions: boolean): readonly string[] {
  const folded = normaliseLocalPart(local)
  const normal = normaliseDomain(domain) ?? domain
  const plus = folded.indexOf('+')
  const base = hasExtensions && plus > 0 ? folded.slice(0, plus) : folded
  return [...new Set([`${folded}@${normal}`, `${base}@${normal}`, `${folded}@`, normal])]
}

/** Domains that rules make addresses of: of these a project's tenants must be (RC-5). */
export function targetsOf({ kind, wire }: RuleRow): readonly string[] {
  if (kind === 'exception') return []
  const { from, to, direction } = JSON.parse(wire) as { from: string; to: string; direction?: string }
  const targets = kind === 'domain' && direction === 'both' ? [to, from] : [to]
  return targets.map((domain) => normaliseDomain(domain) ?? domain)
}

/** Rules by kind, as the lists of a table file. */
export function ruleLists(rows: readonly Pick<RuleRow, 'kind' | 'wire'>[]): Record<RuleListName, readonly unknown[]> {
  const of = (kind: RuleKind): unknown[] =>
    rows.filter((rule) => rule.kind === kind).map(({ wire }): unknown => JSON.parse(wire))
  return { domainRules: of('domain'), wildcards: of('wildcard'), exceptions: of('exception') }
}

/** A rule in force. */
export interface StoredRule extends RuleRow {
  readonly id: RuleId
  /** Revision that made this version. */
  readonly revision: number
}

export interface RulePlan {
  /** Ids of rules that go, or of whose versions that end. */
  readonly ended: readonly RuleId[]
  /** With the id of the rule that goes on under it, or none. */
  readonly begun: readonly (RuleRow & { readonly id: RuleId | undefined })[]
  /** What stands against it: R3, the number of rules. */
  readonly faults: readonly RequestFault[]
}

/**
 * What makes of the rules in force those that the input asks for: a rule takes the place of the one that matches the same.
 * @param removed  that go whatever the input says; with `replace` all go that it doesn't name
 */
export function planRules(
  current: readonly StoredRule[],
  incoming: readonly IncomingRule[],
  { replace = false, removed = new Set<RuleId>() }: { replace?: boolean; removed?: ReadonlySet<RuleId> } = {},
): RulePlan {
  const asked = new Map(incoming.map((rule) => [identityOf(rule), rule]))
  const kept = current.filter((rule) => !removed.has(rule.id) && (replace ? false : !asked.has(identityOf(rule))))
  const before = new Map(current.map((rule) => [identityOf(rule), rule]))
  const unchanged = new Set<string>()
  const begun: RulePlan['begun'][number][] = []
  for (const [name, { kind, key, wire }] of asked) {
    const old = before.get(name)
    if (old?.wire === wire && !removed.has(old.id)) unchanged.add(name)
    else begun.push({ kind, key, wire, id: old?.id })
  }
  const stays = new Set(kept.map(({ id }) => id))
  const ended = current.filter((rule) => !stays.has(rule.id) && !unchanged.has(identityOf(rule))).map(({ id }) => id)
  return { ended, begun, faults: faultsTogether(kept, [...asked.values()]) }
}

/** Faults of rules that are all right one by one: those in force first, so that it is the newcomer that is told where either could be. */
function faultsTogether(kept: readonly StoredRule[], incoming: readonly IncomingRule[]): RequestFault[] {
  const all: readonly (RuleRow & { readonly id?: RuleId; readonly path?: string })[] = [...kept, ...incoming]
  if (all.length > MAX_RULES)
    return [{ pointer: '', code: 'too-many-rules', detail: `a project has at most ${MAX_RULES} rules` }]
  return ruleRows(ruleLists(all)).faults.map(({ path, reason, rule }) => {
    const [list, index] = path.split('/')
    const ofKind = all.filter(({ kind }) => RULE_LISTS[kind] === list)
    const culprit = ofKind[Number(index)]
    return {
      pointer: culprit?.path === undefined ? '' : `/${culprit.path}${path.slice(`${list}/${index}`.length)}`,
      code: rule,
      detail: reason,
      ...(culprit?.id === undefined ? {} : { existing: culprit.id }),
    }
  })
}
