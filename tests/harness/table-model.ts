// A second, simple implementation of R20–R28 over plain Maps: what the table's own is compared with.
import { DEFAULT_POLICY } from '../../rewrite-rules/policy.ts'
import type { MapFunction } from '../../rewrite-rules/lookup.ts'

export interface ModelEntry {
  readonly known: readonly string[]
  readonly presented: string
  readonly mailbox: string
  readonly x500?: readonly string[]
  readonly eai?: boolean
}

export interface ModelTable {
  readonly entries: readonly ModelEntry[]
  readonly domainRules: readonly { from: string; to: string; direction: 'both' | 'out'; except: readonly string[] }[]
  readonly wildcards: readonly { from: string; to: string; except: readonly string[] }[]
  readonly exceptions: readonly string[]
}

/** Lower-case ASCII dot-atoms and domains only, but for the address that is looked up, which may have capitals. */
export class TableModel {
  readonly #table: ModelTable
  readonly #byAddress = new Map<string, ModelEntry>()
  readonly #noExtensions: readonly string[]

  constructor(table: ModelTable, noExtensions: readonly string[] = DEFAULT_POLICY.noExtensions) {
    this.#table = table
    this.#noExtensions = noExtensions
    for (const entry of table.entries) for (const address of entry.known) this.#byAddress.set(address, entry)
  }

  /** @returns the new address in lower case; undefined where it stays */
  map(fn: MapFunction, address: string): string | undefined {
    const lower = address.toLowerCase()
    if (this.#table.exceptions.some((exception) => this.#isExcepted(lower, exception))) return undefined
    const result = this.#candidate(fn, lower)
    return result === lower ? undefined : result
  }

  #split(address: string): { base: string; tag: string; domain: string } {
    const at = address.lastIndexOf('@')
    const domain = address.slice(at + 1)
    const plus = address.indexOf('+')
    if (plus <= 0 || plus > at || this.#noExtensions.includes(domain))
      return { base: address.slice(0, at), tag: '', domain }
    return { base: address.slice(0, plus), tag: address.slice(plus, at), domain }
  }

  #isExcepted(address: string, exception: string): boolean {
    const { base, domain } = this.#split(address)
    if (exception.endsWith('@')) return address.startsWith(exception)
    if (!exception.includes('@')) return domain === exception
    return exception === address || exception === `${base}@${domain}`
  }

  #isProtected(address: string): boolean {
    const local = address.slice(0, address.lastIndexOf('@'))
    return /^(postmaster|mailer-daemon)$|^bounces\+|^prvs=|^srs[01]=|[+-].*=/.test(local)
  }

  #entry(address: string): ModelEntry | undefined {
    const { base, domain } = this.#split(address)
    const exact = this.#byAddress.get(address)
    return exact ?? (this.#isProtected(address) ? undefined : this.#byAddress.get(`${base}@${domain}`))
  }

  #candidate(fn: MapFunction, address: string): string {
    const target = (entry: ModelEntry): string => (fn === 'present' ? entry.presented : entry.mailbox)
    const exact = this.#byAddress.get(address)
    if (exact !== undefined) return target(exact)
    if (this.#isProtected(address)) return address
    const entry = this.#entry(address)
    const { tag } = this.#split(address)
    if (entry !== undefined) {
      const at = target(entry).lastIndexOf('@')
      const result = `${target(entry).slice(0, at)}${tag}${target(entry).slice(at)}`
      return this.#isFixed(fn, result, entry) ? result : address
    }
    const ruled = this.#byRule(fn, address)
    return this.#entry(ruled) === undefined ? ruled : address
  }

  /** Whether a carried extension leads to an address that is nobody else's and stays what it is. */
  #isFixed(fn: MapFunction, result: string, entry: ModelEntry): boolean {
    if (this.#byAddress.has(result)) return false
    const owner = this.#entry(result)
    return owner === undefined
      ? this.#isProtected(result) || this.#byRule(fn, result) === result
      : owner === entry && this.#candidateOfTag(fn, result) === result
  }

  #candidateOfTag(fn: MapFunction, address: string): string {
    const entry = this.#entry(address)
    if (entry === undefined) return address
    const target = fn === 'present' ? entry.presented : entry.mailbox
    const at = target.lastIndexOf('@')
    return `${target.slice(0, at)}${this.#split(address).tag}${target.slice(at)}`
  }

  #byRule(fn: MapFunction, address: string): string {
    const at = address.lastIndexOf('@')
    const local = address.slice(0, at)
    const domain = address.slice(at + 1)
    for (const rule of this.#table.domainRules) {
      const [from, to] = fn === 'present' ? [rule.from, rule.to] : [rule.to, rule.from]
      if (domain !== from || (fn === 'locate' && rule.direction === 'out')) continue
      if (!rule.except.some((exception) => this.#isExcepted(`${local}@${rule.from}`, exception)))
        return `${local}@${to}`
    }
    if (fn === 'locate') return address
    const wildcards = this.#table.wildcards
      .filter((rule) => domain.endsWith(rule.from.slice(1)))
      .filter((rule) => !rule.except.some((exception) => this.#isExcepted(address, exception)))
      .toSorted((a, b) => b.from.length - a.from.length)
    return wildcards[0] === undefined ? address : `${local}@${wildcards[0].to}`
  }
}
