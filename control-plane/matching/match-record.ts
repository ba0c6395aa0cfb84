// What matching keeps of an account: for each rule the keys under which it is found, and nothing else. A hundred thousand of each side fit into
// memory so. Pure. (migration-semantics.md §3.2, §3.3)
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import { matchKey } from '../directory/account.ts'
import type { AccountKind, AccountSnapshot } from '../directory/account.ts'
import type { AccountId } from '../ids.ts'
import type { MatchOptions, MatchRule } from './match-rule.ts'

/** Of a snapshot, what rules look at. */
export type MatchAccount = Pick<
  AccountSnapshot,
  'objectId' | 'kind' | 'displayName' | 'userPrincipalName' | 'mail' | 'mailNickname' | 'addresses' | 'attributes'
> & { readonly id: AccountId }

/** Under one rule. undefined: it can't be found so. */
export type Keys = string | readonly string[] | undefined

export interface MatchRecord {
  readonly id: AccountId
  /** What candidates are ordered by: the same in every run, unlike `id`. */
  readonly objectId: string
  readonly kind: AccountKind
  /** By the index of the rule. */
  readonly keys: readonly Keys[]
}

/** Attributes that the rules look at. */
export function attributesOf(rules: readonly MatchRule[], side: 'source' | 'target'): string[] {
  const names = rules.flatMap((rule) => {
    if (rule.kind === 'attribute') return [rule[side]]
    return rule.kind === 'provenance' && side === 'target' ? [rule.attribute, 'description'] : []
  })
  return [...new Set(names)]
}

/** The options of one matching, ready for many accounts. */
export class KeyMaker {
  readonly #rules: readonly MatchRule[]
  readonly #project: string
  readonly #domains: ReadonlyMap<string, string>
  /** Of a domain as tenants write it: few, and asked for each account. */
  readonly #mapped = new Map<string, string | undefined>()

  /** @param project  whose marks count */
  constructor({ rules, domainMap }: Pick<MatchOptions, 'rules' | 'domainMap'>, project: string) {
    this.#rules = rules
    this.#project = project.toLowerCase()
    this.#domains = new Map(domainMap.map(({ from, to }) => [from, to]))
  }

  sourceRecord(account: MatchAccount): MatchRecord {
    return recordOf(
      account,
      this.#rules.map((rule) => this.#sourceKeys(rule, account)),
    )
  }

  targetRecord(account: MatchAccount): MatchRecord {
    return recordOf(
      account,
      this.#rules.map((rule) => this.#targetKeys(rule, account)),
    )
  }

  #sourceKeys(rule: MatchRule, account: MatchAccount): Keys {
    switch (rule.kind) {
      case 'mapping-file':
        return undefined
      case 'provenance':
        return keyOf(account.objectId)
      case 'attribute':
        return keyOf(attributeOf(account, rule.source))
      case 'address':
        return keysOf(account.addresses)
      case 'upn':
        return this.#withMappedDomain(account.userPrincipalName)
      case 'local-part':
        return this.#withMappedDomain(account.mail ?? account.addresses[0])
      case 'display-name':
        return keyOf(account.displayName)
      default:
        return rule satisfies never
    }
  }

  #targetKeys(rule: MatchRule, account: MatchAccount): Keys {
    switch (rule.kind) {
      case 'mapping-file':
        return undefined
      case 'provenance':
        return this.#marked(account, rule.attribute)
      case 'attribute':
        return keyOf(attributeOf(account, rule.target))
      case 'address':
        return keysOf(account.addresses)
      case 'upn':
        return this.#withNormalDomain(account.userPrincipalName)
      case 'local-part':
        return listOf(account.addresses.map((address) => this.#withNormalDomain(address)))
      case 'display-name':
        return keyOf(account.displayName)
      default:
        return rule satisfies never
    }
  }

  /**
   * Object ids of sources that the target bears a mark of: in an attribute it stands alone, in a description between brackets, where people may
   * have written beside it.
   */
  #marked(account: MatchAccount, attribute: string): Keys {
    const described = account.attributes['description']?.slice(0, 4 * MAX_KEY_CHARACTERS) ?? ''
    const marks = [
      attributeOf(account, attribute),
      ...[...described.matchAll(/\[(cw1:[^\][\s]{1,200})\]/gi)].map(([, mark]) => mark),
    ]
    const prefix = `cw1:${this.#project}:`
    return listOf(
      marks
        .map(keyOf)
        .map((mark) => (mark?.startsWith(prefix) === true ? keyOf(mark.slice(prefix.length)) : undefined)),
    )
  }

  #withMappedDomain(address: string | undefined): string | undefined {
    return withDomain(address, (domain) => {
      const normal = this.#normal(domain)
      return normal === undefined ? undefined : this.#domains.get(normal)
    })
  }

  /** Domain maps are in A-labels, tenants may write either form. */
  #withNormalDomain(address: string | undefined): string | undefined {
    return withDomain(address, (domain) => this.#normal(domain))
  }

  #normal(domain: string): string | undefined {
    if (!this.#mapped.has(domain)) this.#mapped.set(domain, normaliseDomain(domain))
    return this.#mapped.get(domain)
  }
}

const recordOf = ({ id, objectId, kind }: MatchAccount, keys: readonly Keys[]): MatchRecord => ({
  id,
  objectId,
  kind,
  keys,
})

/** No attribute or address of Microsoft's is as long; what is longer must not fill the memory. */
const MAX_KEY_CHARACTERS = 1_024

function keyOf(text: string | undefined): string | undefined {
  if (text === undefined || text.length > MAX_KEY_CHARACTERS) return undefined
  const key = matchKey(text)
  return key === '' ? undefined : key
}

const keysOf = (texts: readonly string[]): Keys => listOf(texts.map(keyOf))

function listOf(keys: readonly (string | undefined)[]): Keys {
  const all = new Set(keys.filter((key) => key !== undefined))
  return all.size > 1 ? [...all] : all.values().next().value
}

/** Split at the last @: a quoted local part may hold one. */
function withDomain(address: string | undefined, domainOf: (domain: string) => string | undefined): string | undefined {
  const key = keyOf(address)
  const at = key?.lastIndexOf('@') ?? -1
  if (key === undefined || at <= 0) return undefined
  const domain = domainOf(key.slice(at + 1))
  return domain === undefined ? undefined : `${key.slice(0, at)}@${domain}`
}

const MEMBERS = ['userPrincipalName', 'mail', 'mailNickname', 'displayName'] as const

function attributeOf(account: MatchAccount, name: string): string | undefined {
  if (Object.hasOwn(account.attributes, name)) return account.attributes[name]
  const member = MEMBERS.find((one) => one === name)
  return member && account[member]
}
