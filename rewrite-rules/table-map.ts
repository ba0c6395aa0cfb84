// `present` and `locate` (R4) over one snapshot of a table: the order of R21, and why a hit may not apply after all.
import { foldLocalText, isAscii, normaliseDomain, quoteLocalPartIfNeeded, unquoteLocalPart } from './addr-spec.ts'
import { NO_ROW } from './address-index.ts'
import type { MatchRule } from './change-report.ts'
import { writtenDomain } from './domain-rules.ts'
import type { ExceptionList, RuleSet } from './domain-rules.ts'
import type { AddressMap, MapFunction, Mapped } from './lookup.ts'
import { decodeImceaex, isProtectedLocalPart } from './protected-local-part.ts'
import type { Route } from './table-entry.ts'
import type { TableStore } from './table-store.ts'

const KEPT: Mapped = Object.freeze({ kind: 'kept' })
const RULE_CONFLICT: Mapped = Object.freeze({ kind: 'kept', code: 'rule-conflict' })
const EAI_SKIPPED: Mapped = Object.freeze({ kind: 'kept', code: 'eai-skipped' })

const QUOTE = 0x22
const LITERAL = 0x5b

/** An address taken apart once. */
interface Subject {
  /** Unquoted; as written if it is pure ASCII, else folded. */
  readonly text: string
  /** Unquoted, as written. */
  readonly written: string
  /** Undefined when the domain can't be mapped. */
  readonly domain: string | undefined
  /** Number of the domain in the store, if it has it. */
  readonly domainNumber: number | undefined
}

/** A rule for addresses that no entry matches. */
interface RuleHit {
  readonly rule: MatchRule
  readonly to: string
  readonly normalTo: string
}

export class TableMap implements AddressMap {
  readonly #store: TableStore
  readonly #revision: number
  readonly #rules: RuleSet
  readonly #noExtensions: ReadonlySet<string>

  /** @param noExtensions  normalised domains whose local parts have no extension (R22) */
  constructor(store: TableStore, revision: number, rules: RuleSet, noExtensions: ReadonlySet<string>) {
    this.#store = store
    this.#revision = revision
    this.#rules = rules
    this.#noExtensions = noExtensions
  }

  map(fn: MapFunction, local: string, domain: string, smtpUtf8: boolean): Mapped {
    const subject = this.#read(local, domain)
    if (subject === undefined || this.#isExcepted(subject, this.#rules.exceptions)) return KEPT
    const exact = this.#findExact(subject)
    if (exact !== NO_ROW) return this.#replace(fn, exact, 'entry', smtpUtf8)
    const x500 = this.#findX500(subject)
    if (x500 !== NO_ROW) return this.#replace(fn, x500, 'x500', smtpUtf8)
    if (subject.domain === undefined) return KEPT
    // Whether the local part is protected (R25) costs more to see than that no step would match it, as with nearly all outsiders.
    const base = this.#findBase(subject)
    if (base !== NO_ROW) {
      return isProtectedLocalPart(subject.text) ? KEPT : this.#replaceBase(fn, base, subject, local, smtpUtf8)
    }
    const hit = this.#findRule(fn, subject, subject.domain)
    if (hit === undefined || isProtectedLocalPart(subject.text)) return KEPT
    const result = { ...subject, domain: hit.normalTo, domainNumber: this.#store.keys.findDomain(hit.normalTo) }
    if (this.#findEntryKey(result) !== NO_ROW) return RULE_CONFLICT
    const written = writtenDomain(hit.to, hit.normalTo, smtpUtf8)
    return { kind: 'replaced', rule: hit.rule, local, domain: written, keep: 'local-part' }
  }

  entryOf(local: string, domain: string): number | undefined {
    const subject = this.#read(local, domain)
    if (subject === undefined) return undefined
    const key = this.#findEntryKey(subject)
    return key === NO_ROW ? undefined : this.#store.keys.entryOf(key)
  }

  /** The `route` of the entry that `entryOf` finds (rewriting.md §13); undefined when it has none, or there is no entry. */
  routeOf(local: string, domain: string): Route | undefined {
    const entry = this.entryOf(local, domain)
    return entry === undefined ? undefined : this.#store.route(entry)
  }

  /** @returns undefined for what never matches: literals and addresses without a domain (R24) */
  #read(local: string, domain: string): Subject | undefined {
    if (domain === '' || domain.charCodeAt(0) === LITERAL) return undefined
    let isPlain = true
    for (let i = 0; i < local.length; i++) {
      const code = local.charCodeAt(i)
      if (code === QUOTE || code >= 0x80) {
        isPlain = false
        break
      }
    }
    const written = isPlain ? local : unquoteLocalPart(local)
    const text = isPlain || isAscii(written) ? written : foldLocalText(written)
    // Most domains come as the table spells them: then nothing needs to be normalised.
    let domainNumber = this.#store.keys.findDomain(domain)
    if (domainNumber !== undefined) {
      return { text, written, domain: this.#store.keys.domainName(domainNumber), domainNumber }
    }
    const normal = normaliseDomain(domain)
    if (normal !== undefined) domainNumber = this.#store.keys.findDomain(normal)
    return { text, written, domain: normal, domainNumber }
  }

  #isExcepted(subject: Subject, exceptions: ExceptionList): boolean {
    if (exceptions.isEmpty) return false
    const folded = foldLocalText(subject.text)
    return exceptions.has(folded, folded.slice(0, this.#baseLength(subject)), subject.domain)
  }

  /** Length of the local part without its extension; its whole length when it has none (R22). */
  #baseLength(subject: Subject): number {
    const plus = subject.text.indexOf('+')
    if (plus <= 0 || (subject.domain !== undefined && this.#noExtensions.has(subject.domain)))
      return subject.text.length
    return plus
  }

  #findExact({ text, domainNumber }: Subject): number {
    return domainNumber === undefined ? NO_ROW : this.#store.keys.find(text, text.length, domainNumber, this.#revision)
  }

  /** R26: an X.500 name counts whatever the domain is. */
  #findX500({ text }: Subject): number {
    // Looked at by its first letter, because next to no address is one.
    if ((text.charCodeAt(0) | 0x20) !== 0x69) return NO_ROW
    const name = decodeImceaex(text)
    return name === undefined ? NO_ROW : this.#store.findX500(name, this.#revision)
  }

  /** Step (3) of R21; protected local parts are the caller's to exclude. */
  #findBase(subject: Subject): number {
    const length = this.#baseLength(subject)
    if (subject.domainNumber === undefined || length === subject.text.length) return NO_ROW
    return this.#store.keys.find(subject.text, length, subject.domainNumber, this.#revision)
  }

  /** Steps (2) and (3) of R21, and R26. */
  #findEntryKey(subject: Subject): number {
    const exact = this.#findExact(subject)
    if (exact !== NO_ROW) return exact
    const x500 = this.#findX500(subject)
    if (x500 !== NO_ROW || isProtectedLocalPart(subject.text)) return x500
    return this.#findBase(subject)
  }

  /** Steps (4) and (5) of R21. */
  #findRule(fn: MapFunction, subject: Subject, domain: string): RuleHit | undefined {
    if (fn === 'locate') {
      const rule = this.#rules.findByTarget(domain)
      if (rule === undefined) return undefined
      // The exceptions of a rule name addresses of its source side: here that is the result (R23).
      const source = { ...subject, domain: rule.normalFrom }
      if (this.#isExcepted(source, rule.except)) return undefined
      return { rule: 'domain', to: rule.from, normalTo: rule.normalFrom }
    }
    const rule = this.#rules.findBySource(domain)
    if (rule !== undefined && !this.#isExcepted(subject, rule.except)) {
      return { rule: 'domain', to: rule.to, normalTo: rule.normalTo }
    }
    for (const wildcard of this.#rules.wildcardsFor(domain)) {
      if (!this.#isExcepted(subject, wildcard.except)) {
        return { rule: 'wildcard', to: wildcard.to, normalTo: wildcard.normalTo }
      }
    }
    return undefined
  }

  #targetKey(fn: MapFunction, entry: number): number {
    return fn === 'present' ? this.#store.presentedKey(entry) : this.#store.mailboxKey(entry)
  }

  #replace(fn: MapFunction, found: number, rule: MatchRule, smtpUtf8: boolean): Mapped {
    const entry = this.#store.keys.entryOf(found)
    const target = this.#targetKey(fn, entry)
    if (this.#store.isSameKey(found, target, entry)) return KEPT
    if (!smtpUtf8 && !this.#store.keys.isAscii(target)) return EAI_SKIPPED
    const text = this.#store.keys.text(target)
    const domain = this.#store.keys.domain(target)
    return { kind: 'replaced', rule, local: quoteLocalPartIfNeeded(text), domain, keep: 'nothing' }
  }

  #replaceBase(fn: MapFunction, found: number, subject: Subject, local: string, smtpUtf8: boolean): Mapped {
    const entry = this.#store.keys.entryOf(found)
    const target = this.#targetKey(fn, entry)
    if (this.#store.isSameKey(found, target, entry)) return KEPT
    const base = this.#store.keys.text(target)
    const domain = this.#store.keys.domain(target)
    const text = base + subject.written.slice(subject.written.indexOf('+'))
    if (!smtpUtf8 && !(isAscii(text) && isAscii(domain))) return EAI_SKIPPED
    if (!this.#isSettled(fn, text, this.#store.keys.normalDomain(target), entry)) return RULE_CONFLICT
    const written = quoteLocalPartIfNeeded(text)
    // Only the part before the `+` is spliced where that is all that differs (R22, R41).
    const splices = local.charCodeAt(0) !== QUOTE && written.charCodeAt(0) !== QUOTE && base.indexOf('+') < 0
    return { kind: 'replaced', rule: 'extension', local: written, domain, keep: splices ? 'extension' : 'nothing' }
  }

  /**
   * Whether an address made by carrying an extension may be written: it must not be an address of another entry (R3), nor one that
   * the same function would change again (R4), as where P itself has a `+` or its domain no extensions.
   */
  #isSettled(fn: MapFunction, written: string, domain: string, entry: number): boolean {
    const text = isAscii(written) ? written : foldLocalText(written)
    const result: Subject = { text, written, domain, domainNumber: this.#store.keys.findDomain(domain) }
    if (this.#findExact(result) !== NO_ROW || this.#findX500(result) !== NO_ROW) return false
    if (isProtectedLocalPart(text)) return true
    const base = this.#findBase(result)
    if (base === NO_ROW) return this.#findRule(fn, result, domain) === undefined
    return this.#store.keys.entryOf(base) === entry && this.#store.isSameKey(base, this.#targetKey(fn, entry), entry)
  }
}
