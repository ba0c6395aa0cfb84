// Domain rules, wildcard rules and exceptions (R23): read, held against R3, and looked up.
import { isAscii, normaliseDomain, parseAddrSpec, normaliseLocalPart } from './addr-spec.ts'
import type { FaultList } from './input-fault.ts'
import { isRecord } from './table-entry.ts'

/** Exceptions in the three forms of Postfix access(5) that R23 names. */
export class ExceptionList {
  /** As configured. */
  readonly written: readonly string[]
  readonly #domains = new Set<string>()
  readonly #locals = new Set<string>()
  /** Domain → local parts. */
  readonly #addresses = new Map<string, Set<string>>()

  /** @param written  each parsed by `parseException` already */
  constructor(written: readonly string[], parsed: readonly Exception[]) {
    this.written = written
    for (const exception of parsed) {
      if (exception.local === undefined) this.#domains.add(exception.domain)
      else if (exception.domain === undefined) this.#locals.add(exception.local)
      else {
        const locals = this.#addresses.get(exception.domain)
        if (locals === undefined) this.#addresses.set(exception.domain, new Set([exception.local]))
        else locals.add(exception.local)
      }
    }
  }

  get isEmpty(): boolean {
    return this.written.length === 0
  }

  /**
   * @param folded  local part as `normaliseLocalPart` makes it
   * @param base  the same without its extension
   * @param domain  as `normaliseDomain` makes it; undefined when it can't be mapped
   */
  has(folded: string, base: string, domain: string | undefined): boolean {
    if (this.#locals.has(folded)) return true
    if (domain === undefined) return false
    const locals = this.#addresses.get(domain)
    return this.#domains.has(domain) || (locals !== undefined && (locals.has(folded) || locals.has(base)))
  }
}

export type Exception =
  | { readonly local: string; readonly domain: string }
  | { readonly local: undefined; readonly domain: string }
  | { readonly local: string; readonly domain: undefined }

export interface DomainRule {
  /** As configured. */
  readonly from: string
  readonly to: string
  readonly normalFrom: string
  readonly normalTo: string
  readonly twoWay: boolean
  readonly except: ExceptionList
}

export interface WildcardRule {
  /** As configured, with its `*.`. */
  readonly from: string
  readonly to: string
  /** What comes after the `*.`, normalised. */
  readonly suffix: string
  readonly normalTo: string
  readonly except: ExceptionList
}

const NO_WILDCARDS: readonly WildcardRule[] = []

/** All rules of one table: a value. */
export class RuleSet {
  readonly domainRules: readonly DomainRule[]
  readonly wildcards: readonly WildcardRule[]
  readonly exceptions: ExceptionList
  readonly #bySource = new Map<string, DomainRule>()
  readonly #byTarget = new Map<string, DomainRule>()
  readonly #bySuffix = new Map<string, WildcardRule>()

  constructor(domainRules: readonly DomainRule[], wildcards: readonly WildcardRule[], exceptions: ExceptionList) {
    this.domainRules = domainRules
    this.wildcards = wildcards
    this.exceptions = exceptions
    for (const rule of domainRules) {
      this.#bySource.set(rule.normalFrom, rule)
      if (rule.twoWay) this.#byTarget.set(rule.normalTo, rule)
    }
    for (const rule of wildcards) this.#bySuffix.set(rule.suffix, rule)
  }

  /** The rule for `out` whose source is `domain`. */
  findBySource(domain: string): DomainRule | undefined {
    return this.#bySource.get(domain)
  }

  /** The two-way rule for `in` whose target is `domain`. */
  findByTarget(domain: string): DomainRule | undefined {
    return this.#byTarget.get(domain)
  }

  /** Wildcard rules that match `domain`, the longest suffix first. */
  wildcardsFor(domain: string): readonly WildcardRule[] {
    if (this.#bySuffix.size === 0) return NO_WILDCARDS
    const rules: WildcardRule[] = []
    for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
      const rule = this.#bySuffix.get(domain.slice(dot + 1))
      if (rule !== undefined) rules.push(rule)
    }
    return rules
  }
}

export const NO_RULES = new RuleSet([], [], new ExceptionList([], []))

/** The three lists as written; undefined stands for an empty one. */
export interface RuleLists {
  readonly domainRules: unknown
  readonly wildcards: unknown
  readonly exceptions: unknown
}

const DOMAIN_RULE_KEYS = new Set(['from', 'to', 'direction', 'except'])
const WILDCARD_KEYS = new Set(['from', 'to', 'except'])

/** Reads the rules of a table, with all of R3 that concerns them; usable only if no fault was added. */
export function parseRules(lists: RuleLists, faults: FaultList): RuleSet {
  const domainRules = parseList(lists.domainRules, 'domainRules', faults, parseDomainRule)
  const wildcards = parseList(lists.wildcards, 'wildcards', faults, parseWildcard)
  const exceptions = parseExceptions(lists.exceptions, 'exceptions', faults)
  checkUnique(domainRules, wildcards, faults)
  checkChains(domainRules, wildcards, faults)
  return new RuleSet(present(domainRules), present(wildcards), exceptions)
}

/** The members that could be read, at their places, so that later faults name the right one. */
type Parsed<T> = readonly (T | undefined)[]

function present<T>(list: Parsed<T>): T[] {
  return list.filter((item) => item !== undefined)
}

function parseList<T>(
  value: unknown,
  path: string,
  faults: FaultList,
  parse: (item: Record<string, unknown>, path: string, faults: FaultList) => T | undefined,
): Parsed<T> {
  if (value === undefined) return []
  if (!Array.isArray(value)) {
    faults.add(path, value, 'format', 'a list')
    return []
  }
  return value.map((item: unknown, i) => {
    if (isRecord(item)) return parse(item, `${path}/${i}`, faults)
    faults.add(`${path}/${i}`, item, 'format', 'a rule is an object')
    return undefined
  })
}

function checkKeys(item: Record<string, unknown>, keys: ReadonlySet<string>, path: string, faults: FaultList): void {
  for (const key of Object.keys(item)) {
    if (!keys.has(key)) faults.add(`${path}/${key}`, item[key], 'format', 'unknown key')
  }
}

function parseDomainRule(item: Record<string, unknown>, path: string, faults: FaultList): DomainRule | undefined {
  checkKeys(item, DOMAIN_RULE_KEYS, path, faults)
  const from = parseDomain(item['from'], `${path}/from`, faults)
  const to = parseDomain(item['to'], `${path}/to`, faults)
  const direction = item['direction'] ?? 'both'
  if (direction !== 'both' && direction !== 'out') {
    faults.add(`${path}/direction`, direction, 'R23', 'both or out')
  }
  const onSource = (exception: Exception): boolean =>
    exception.domain === undefined || exception.domain === from?.normal
  const except = parseExceptions(item['except'], `${path}/except`, faults, from && onSource)
  if (from === undefined || to === undefined) return undefined
  const twoWay = direction === 'both'
  return { from: from.written, to: to.written, normalFrom: from.normal, normalTo: to.normal, twoWay, except }
}

function parseWildcard(item: Record<string, unknown>, path: string, faults: FaultList): WildcardRule | undefined {
  checkKeys(item, WILDCARD_KEYS, path, faults)
  const from = item['from']
  const isWildcard = typeof from === 'string' && from.startsWith('*.')
  if (!isWildcard) faults.add(`${path}/from`, from, 'R23', 'a wildcard is `*.` and a domain')
  const source = isWildcard ? parseDomain(from.slice(2), `${path}/from`, faults) : undefined
  const to = parseDomain(item['to'], `${path}/to`, faults)
  const onSource = (exception: Exception): boolean =>
    exception.domain === undefined || (source !== undefined && isSubdomain(exception.domain, source.normal))
  const except = parseExceptions(item['except'], `${path}/except`, faults, source && onSource)
  if (source === undefined || to === undefined) return undefined
  return { from: `*.${source.written}`, to: to.written, suffix: source.normal, normalTo: to.normal, except }
}

function isSubdomain(domain: string, suffix: string): boolean {
  return domain.endsWith(suffix) && domain.charCodeAt(domain.length - suffix.length - 1) === 0x2e
}

function parseDomain(value: unknown, path: string, faults: FaultList): { written: string; normal: string } | undefined {
  // As the domain of an address, so that rules take no domain that an address could not have.
  const spec = typeof value === 'string' ? parseAddrSpec(`x@${value}`) : undefined
  const normal = spec === undefined ? undefined : normaliseDomain(spec.domain)
  if (spec === undefined || normal === undefined) {
    faults.add(path, value, 'R23', 'not a domain')
    return undefined
  }
  return { written: spec.domain, normal }
}

function parseExceptions(
  value: unknown,
  path: string,
  faults: FaultList,
  isOnSource: (exception: Exception) => boolean = () => true,
): ExceptionList {
  if (value === undefined) return new ExceptionList([], [])
  if (!Array.isArray(value)) {
    faults.add(path, value, 'format', 'a list of exceptions')
    return new ExceptionList([], [])
  }
  const written: string[] = []
  const parsed: Exception[] = []
  for (let i = 0; i < value.length && !faults.isFull; i++) {
    const text: unknown = value[i]
    const exception = typeof text === 'string' ? parseException(text) : undefined
    if (typeof text !== 'string' || exception === undefined) {
      faults.add(`${path}/${i}`, text, 'R23', 'an exception is user@domain, domain or user@')
    } else if (!isOnSource(exception)) {
      faults.add(`${path}/${i}`, text, 'R23', 'an exception of a rule is an address on its source side')
    } else {
      written.push(text)
      parsed.push(exception)
    }
  }
  return new ExceptionList(written, parsed)
}

function parseException(text: string): Exception | undefined {
  if (text.endsWith('@')) {
    const spec = parseAddrSpec(`${text}x`)
    return spec && { local: normaliseLocalPart(spec.local), domain: undefined }
  }
  const spec = parseAddrSpec(text.includes('@') ? text : `x@${text}`)
  const domain = spec && normaliseDomain(spec.domain)
  if (spec === undefined || domain === undefined) return undefined
  return text.includes('@') ? { local: normaliseLocalPart(spec.local), domain } : { local: undefined, domain }
}

function checkUnique(domainRules: Parsed<DomainRule>, wildcards: Parsed<WildcardRule>, faults: FaultList): void {
  const sources = new Set<string>()
  const targets = new Set<string>()
  for (const [i, rule] of domainRules.entries()) {
    if (rule === undefined) continue
    if (sources.has(rule.normalFrom)) faults.add(`domainRules/${i}/from`, rule.from, 'R3', 'source of another rule')
    sources.add(rule.normalFrom)
    if (!rule.twoWay) continue
    if (targets.has(rule.normalTo)) faults.add(`domainRules/${i}/to`, rule.to, 'R3', 'target of another two-way rule')
    targets.add(rule.normalTo)
  }
  const suffixes = new Set<string>()
  for (const [i, rule] of wildcards.entries()) {
    if (rule === undefined) continue
    if (suffixes.has(rule.suffix)) faults.add(`wildcards/${i}/from`, rule.from, 'R3', 'source of another wildcard')
    suffixes.add(rule.suffix)
  }
}

/** R3: the target of a rule is neither the source of one nor matched by one. Exceptions don't count: they may be for some addresses only. */
function checkChains(domainRules: Parsed<DomainRule>, wildcards: Parsed<WildcardRule>, faults: FaultList): void {
  const sources = new RuleSet(present(domainRules), present(wildcards), NO_RULES.exceptions)
  const check = (path: string, written: string, target: string): void => {
    if (sources.findBySource(target) !== undefined) {
      faults.add(path, written, 'R3', 'rules do not chain: the target is the source of a domain rule')
    } else if (sources.wildcardsFor(target).length > 0) {
      faults.add(path, written, 'R3', 'rules do not chain: the target is matched by a wildcard')
    }
  }
  for (const [i, rule] of domainRules.entries()) {
    if (rule !== undefined) check(`domainRules/${i}/to`, rule.to, rule.normalTo)
  }
  for (const [i, rule] of wildcards.entries()) {
    if (rule !== undefined) check(`wildcards/${i}/to`, rule.to, rule.normalTo)
  }
}

/** The rules as a table file writes them. */
export function listRules(rules: RuleSet): Record<keyof RuleLists, readonly unknown[]> {
  return {
    domainRules: rules.domainRules.map(({ from, to, twoWay, except }) => ({
      from,
      to,
      direction: twoWay ? 'both' : 'out',
      except: except.written,
    })),
    wildcards: rules.wildcards.map(({ from, to, except }) => ({ from, to, except: except.written })),
    exceptions: rules.exceptions.written,
  }
}

/** How a rule's end is written into a message: as configured, in A-labels where the message can't carry anything else (R27). */
export function writtenDomain(written: string, normal: string, smtpUtf8: boolean): string {
  return smtpUtf8 || isAscii(written) ? written : normal
}
