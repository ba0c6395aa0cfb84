// Who is whom: decides for each source object from the records of both sides, the pairs there are already, and the rules in their order. Says the
// same whatever order the records come in. Nothing that can be read two ways is decided here: it is told with its candidates. Pure.
// (migration-semantics.md §3.2–§3.5)
import { ACCOUNT_KINDS } from '../directory/account.ts'
import type { AccountKind } from '../directory/account.ts'
import type { AccountId } from '../ids.ts'
import type { Keys, MatchRecord } from './match-record.ts'
import { isCompatible } from './match-rule.ts'
import type { MatchOptions } from './match-rule.ts'

export const OUTCOMES = ['paired', 'ambiguous', 'conflict', 'suggested', 'unmatched'] as const
export type Outcome = (typeof OUTCOMES)[number]

/**
 * Why, where the outcome alone does not say it:
 * - live-pair: it was paired before
 * - taken: its candidate is another one's, by a live pair or a higher rule
 * - claimed-twice: other source objects have the same candidate under the same rule
 * - contested: somebody whose match is not clear has it for a candidate under a higher rule
 * - excluded: by a mapping file or a person
 */
export const REASONS = ['live-pair', 'taken', 'claimed-twice', 'contested', 'excluded'] as const
export type Reason = (typeof REASONS)[number]

export interface Match {
  readonly source: AccountId
  readonly outcome: Outcome
  readonly reason: Reason | undefined
  /** Index of the rule that decided; undefined: none did. */
  readonly rule: number | undefined
  /** Of what is paired. */
  readonly target: AccountId | undefined
  /** The first of them, by object id. */
  readonly candidates: readonly AccountId[]
  /** Of more than a thousand under several keys: the most under one. */
  readonly candidateCount: number
}

export interface Standing {
  /** Target by source, of pairs that are not unpaired. */
  readonly livePairs: ReadonlyMap<AccountId, AccountId>
  readonly excluded: ReadonlySet<AccountId>
}

export const MAX_CANDIDATES = 20
/** Up to as many candidates of one object are told apart when they come under several keys. */
const MAX_COUNTED = 1_000

type TargetState = 'free' | 'taken' | 'contested'

/** Targets found under one key that a source of one kind can be paired with, by object id. */
interface Group {
  readonly targets: readonly number[]
  /** Up to two different sources are told apart: from the second on, all its targets are claimed twice. */
  firstClaimant: number
  isClaimedTwice: boolean
}

interface Found {
  readonly targets: readonly number[]
  readonly count: number
}

const UNDECIDED: undefined = undefined

export class Matcher {
  readonly #options: MatchOptions
  readonly #standing: Standing
  readonly #sources: MatchRecord[] = []
  readonly #targets: Pick<MatchRecord, 'id' | 'objectId' | 'kind'>[] = []
  /** By rule: targets by key, one as it is. */
  readonly #index: Map<string, number | number[]>[]

  constructor(options: MatchOptions, standing: Standing) {
    this.#options = options
    this.#standing = standing
    this.#index = options.rules.map(() => new Map())
  }

  addSource(record: MatchRecord): void {
    this.#sources.push(record)
  }

  addTarget({ id, objectId, kind, keys }: MatchRecord): void {
    if (this.#standing.excluded.has(id)) return
    const number = this.#targets.push({ id, objectId, kind }) - 1
    for (const [rule, under] of keys.entries()) {
      const index = this.#index[rule]
      for (const key of each(under)) {
        const there = index?.get(key)
        if (there === undefined) index?.set(key, number)
        else if (typeof there === 'number') index?.set(key, [there, number])
        else there.push(number)
      }
    }
  }

  /** One for each source, in the order they were added. Once, after all records. */
  decide(): Match[] {
    const decided: (Match | undefined)[] = this.#sources.map((source) => this.#standingOf(source))
    const states = this.#targetStates()
    for (const [rule, { kind }] of this.#options.rules.entries()) {
      if (kind !== 'display-name' && kind !== 'mapping-file') this.#applyRule(rule, decided, states)
    }
    // After all others, wherever it stands: what only suggests must not keep a rule that knows from being asked.
    for (const [rule, { kind }] of this.#options.rules.entries()) {
      if (kind === 'display-name') this.#suggest(rule, decided, states)
    }
    return this.#sources.map(({ id }, i) => decided[i] ?? outcomeOf(id, 'unmatched'))
  }

  /** What is decided before any rule. */
  #standingOf({ id }: MatchRecord): Match | undefined {
    const target = this.#standing.livePairs.get(id)
    if (target !== undefined) return { ...outcomeOf(id, 'paired'), reason: 'live-pair', target }
    return this.#standing.excluded.has(id) ? { ...outcomeOf(id, 'unmatched'), reason: 'excluded' } : UNDECIDED
  }

  #targetStates(): TargetState[] {
    const taken = new Set(this.#standing.livePairs.values())
    return this.#targets.map(({ id }) => (taken.has(id) ? 'taken' : 'free'))
  }

  /** All sources at once: who comes first must not matter. */
  #applyRule(rule: number, decided: (Match | undefined)[], states: TargetState[]): void {
    const lookup = new Lookup(this.#targets, this.#index[rule] ?? new Map(), this.#options.allowGuests)
    const found = new Map<number, Found>()
    for (const [i, { kind, keys }] of this.#sources.entries()) {
      if (decided[i] !== UNDECIDED) continue
      const candidates = lookup.claim(i, kind, keys[rule])
      if (candidates.count > 0) found.set(i, candidates)
    }
    const paired: number[] = []
    for (const [i, candidates] of found) {
      const match = this.#judge(i, candidates, states, lookup)
      decided[i] = { ...match, rule }
      if (match.outcome === 'paired') paired.push(candidates.targets[0] ?? -1)
    }
    for (const target of lookup.claimed()) if (states[target] === 'free') states[target] = 'contested'
    for (const target of paired) states[target] = 'taken'
    this.#index[rule]?.clear() // of no more use, and large
  }

  #judge(source: number, { targets, count }: Found, states: readonly TargetState[], lookup: Lookup): Match {
    const id = this.#sources[source]?.id ?? unreachable()
    const told = { candidates: targets.slice(0, MAX_CANDIDATES).map((i) => this.#idOf(i)), candidateCount: count }
    const [target = -1] = targets
    if (count > 1) return { ...outcomeOf(id, 'ambiguous'), ...told }
    const state = states[target]
    if (state !== 'free')
      return { ...outcomeOf(id, 'conflict'), ...told, reason: state === 'taken' ? 'taken' : 'contested' }
    if (lookup.isClaimedTwice(target)) return { ...outcomeOf(id, 'conflict'), ...told, reason: 'claimed-twice' }
    return { ...outcomeOf(id, 'paired'), ...told, target: this.#idOf(target) }
  }

  #suggest(rule: number, decided: (Match | undefined)[], states: readonly TargetState[]): void {
    const isFree = (target: number): boolean => states[target] === 'free'
    const lookup = new Lookup(this.#targets, this.#index[rule] ?? new Map(), this.#options.allowGuests, isFree)
    for (const [i, { id, kind, keys }] of this.#sources.entries()) {
      if (decided[i] !== UNDECIDED) continue
      const { targets, count } = lookup.claim(i, kind, keys[rule])
      if (count === 0) continue
      const candidates = targets.slice(0, MAX_CANDIDATES).map((target) => this.#idOf(target))
      decided[i] = { ...outcomeOf(id, 'suggested'), rule, candidates, candidateCount: count }
    }
  }

  #idOf(target: number): AccountId {
    return this.#targets[target]?.id ?? unreachable()
  }
}

/** The targets of one rule, and who has claimed them. What many sources share is worked out once: a badly chosen attribute must not cost n². */
class Lookup {
  readonly #targets: readonly Pick<MatchRecord, 'objectId' | 'kind'>[]
  readonly #index: ReadonlyMap<string, number | readonly number[]>
  readonly #allowGuests: boolean
  readonly #isOpen: (target: number) => boolean
  readonly #groups = new Map<string, Group>()
  /** First claimant by target; -1: claimed by more than one. */
  readonly #claimants = new Map<number, number>()

  constructor(
    targets: readonly Pick<MatchRecord, 'objectId' | 'kind'>[],
    index: ReadonlyMap<string, number | readonly number[]>,
    allowGuests: boolean,
    isOpen: (target: number) => boolean = () => true,
  ) {
    this.#targets = targets
    this.#index = index
    this.#allowGuests = allowGuests
    this.#isOpen = isOpen
  }

  /** All that the source can be under its keys. */
  claim(source: number, kind: AccountKind, keys: Keys): Found {
    const groups: (readonly number[])[] = []
    for (const key of each(keys)) {
      const there = this.#index.get(key)
      if (there === undefined) continue
      const targets =
        typeof there === 'number' ? this.#claimOne(source, kind, there) : this.#claimGroup(source, kind, key, there)
      if (targets.length > 0) groups.push(targets)
    }
    const [first = []] = groups
    return groups.length > 1 ? this.#union(groups) : { targets: first, count: first.length }
  }

  claimed(): Iterable<number> {
    return this.#claimants.keys()
  }

  isClaimedTwice(target: number): boolean {
    return this.#claimants.get(target) === -1
  }

  #claimOne(source: number, kind: AccountKind, target: number): readonly number[] {
    if (!this.#fits(kind, target)) return []
    this.#note(source, target)
    return [target]
  }

  #claimGroup(source: number, kind: AccountKind, key: string, there: readonly number[]): readonly number[] {
    const name = `${ACCOUNT_KINDS.indexOf(kind)} ${key}`
    let group = this.#groups.get(name)
    if (group === undefined) {
      const targets = there.filter((target) => this.#fits(kind, target)).toSorted(this.#byObjectId)
      group = { targets, firstClaimant: source, isClaimedTwice: false }
      this.#groups.set(name, group)
      for (const target of targets) this.#note(source, target)
    } else if (!group.isClaimedTwice && group.firstClaimant !== source) {
      group.isClaimedTwice = true
      for (const target of group.targets) this.#note(source, target)
    }
    return group.targets
  }

  #note(source: number, target: number): void {
    const first = this.#claimants.get(target)
    if (first === undefined) this.#claimants.set(target, source)
    else if (first !== source) this.#claimants.set(target, -1)
  }

  #fits(kind: AccountKind, target: number): boolean {
    const record = this.#targets[target]
    return record !== undefined && isCompatible(kind, record.kind, this.#allowGuests) && this.#isOpen(target)
  }

  #union(groups: readonly (readonly number[])[]): Found {
    const total = groups.reduce((sum, targets) => sum + targets.length, 0)
    if (total > MAX_COUNTED) {
      const count = Math.max(...groups.map((targets) => targets.length))
      const first = new Set(groups.flatMap((targets) => targets.slice(0, MAX_CANDIDATES)))
      return { targets: [...first].toSorted(this.#byObjectId), count: Math.max(count, first.size) }
    }
    const targets = [...new Set(groups.flat())]
    return { targets: targets.length > 1 ? targets.toSorted(this.#byObjectId) : targets, count: targets.length }
  }

  readonly #byObjectId = (a: number, b: number): number => {
    const [one, other] = [this.#targets[a]?.objectId ?? '', this.#targets[b]?.objectId ?? '']
    return one < other ? -1 : one > other ? 1 : 0
  }
}

const outcomeOf = (source: AccountId, outcome: Outcome): Match => ({
  source,
  outcome,
  reason: undefined,
  rule: undefined,
  target: undefined,
  candidates: [],
  candidateCount: 0,
})

function each(keys: Keys): readonly string[] {
  return keys === undefined ? [] : typeof keys === 'string' ? [keys] : keys
}

function unreachable(): never {
  throw new Error('unreachable: a record by its own number')
}
