// Who is whom: the rules of matching by table, and what must hold whatever the directories look like. (migration-semantics.md §3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ACCOUNT_KINDS } from '../../../control-plane/directory/account.ts'
import type { AccountKind } from '../../../control-plane/directory/account.ts'
import type { AccountId } from '../../../control-plane/ids.ts'
import { Matcher, MAX_CANDIDATES, OUTCOMES } from '../../../control-plane/matching/match.ts'
import type { Match } from '../../../control-plane/matching/match.ts'
import { KeyMaker } from '../../../control-plane/matching/match-record.ts'
import type { MatchAccount } from '../../../control-plane/matching/match-record.ts'
import { defaultRules, isCompatible, optionsBody } from '../../../control-plane/matching/match-rule.ts'
import type { MatchOptions, MatchRule } from '../../../control-plane/matching/match-rule.ts'

const PROJECT = 'prj_000000000000000000000000'

function account(id: string, more: Partial<MatchAccount> = {}): MatchAccount {
  return { id: id as AccountId, objectId: id, kind: 'user', displayName: '', addresses: [], attributes: {}, ...more }
}

interface Case {
  readonly sources: readonly MatchAccount[]
  readonly targets: readonly MatchAccount[]
  readonly rules?: readonly MatchRule[]
  readonly domainMap?: MatchOptions['domainMap']
  readonly allowGuests?: boolean
  readonly pairs?: readonly (readonly [string, string])[]
  readonly excluded?: readonly string[]
}

const DOMAIN_MAP = [{ from: 'src.example', to: 'tgt.example' }]

function decide({
  sources,
  targets,
  domainMap = DOMAIN_MAP,
  rules = defaultRules(domainMap),
  allowGuests = false,
  pairs = [],
  excluded = [],
}: Case): Match[] {
  const options = { rules, domainMap, allowGuests }
  const keys = new KeyMaker(options, PROJECT)
  const matcher = new Matcher(options, {
    livePairs: new Map(pairs as [AccountId, AccountId][]),
    excluded: new Set(excluded as AccountId[]),
  })
  for (const target of targets) matcher.addTarget(keys.targetRecord(target))
  for (const source of sources) matcher.addSource(keys.sourceRecord(source))
  return matcher.decide()
}

/** `s1 paired t1 address`, `s1 conflict[t1] address claimed-twice` */
function told(given: Case): string[] {
  const rules = given.rules ?? defaultRules(given.domainMap ?? DOMAIN_MAP)
  return decide(given).map(({ source, outcome, reason, rule, target, candidates }) =>
    [
      source,
      target === undefined && candidates.length > 0 ? `${outcome}[${candidates.join()}]` : outcome,
      target,
      rule === undefined ? undefined : rules[rule]?.kind,
      reason,
    ]
      .filter((part) => part !== undefined)
      .join(' '),
  )
}

const mail = (id: string, ...addresses: string[]): MatchAccount => account(id, { addresses })
const employee = (id: string, employeeId: string, more: Partial<MatchAccount> = {}): MatchAccount =>
  account(id, { attributes: { employeeId }, ...more })
const upn = (id: string, userPrincipalName: string): MatchAccount => account(id, { userPrincipalName })

const examples: [given: Case, says: readonly string[], why: string][] = [
  [
    { sources: [mail('s', 'Ann@Both.example')], targets: [mail('t', 'x@tgt.example', 'ann@both.EXAMPLE')] },
    ['s paired t address'],
    'addresses are compared whole, whatever their case',
  ],
  [
    { sources: [mail('s', 'ann+news@both.example')], targets: [mail('t', 'ann@both.example')] },
    ['s unmatched'],
    'what follows a plus is part of the address',
  ],
  [
    {
      sources: [account('s', { displayName: 'Ann', attributes: { employeeId: ' 17\u0065\u0301 ' } })],
      targets: [employee('t', '17\u00c9')],
    },
    ['s paired t attribute'],
    'trimmed, NFC, whatever the case',
  ],
  [
    { sources: [employee('s', '')], targets: [employee('t', ' ')] },
    ['s unmatched'],
    'that both have nothing is nothing in common',
  ],
  [
    {
      sources: [account('s', { objectId: 'AAAA' })],
      targets: [account('t', { attributes: { extensionAttribute15: `CW1:${PROJECT}:aaaa` } })],
    },
    ['s paired t provenance'],
    'a mark of an earlier run',
  ],
  [
    {
      sources: [account('s', { kind: 'microsoft-365-group', objectId: 'aaaa' })],
      targets: [
        account('t', { kind: 'microsoft-365-group', attributes: { description: `Sales [cw1:${PROJECT}:aaaa] team` } }),
      ],
    },
    ['s paired t provenance'],
    'the mark in the description of a group',
  ],
  [
    {
      sources: [account('s', { objectId: 'aaaa' })],
      targets: [account('t', { attributes: { extensionAttribute15: 'cw1:prj_other:aaaa' } })],
    },
    ['s unmatched'],
    'a mark of another project says nothing here',
  ],
  [
    { sources: [upn('s', 'ann@SRC.example')], targets: [upn('t', 'Ann@tgt.example')] },
    ['s paired t upn'],
    'the domain map turns the domain',
  ],
  [
    { sources: [upn('s', 'ann@other.example')], targets: [upn('t', 'ann@tgt.example')] },
    ['s unmatched'],
    'of a domain that the map does not name nothing follows',
  ],
  [
    {
      sources: [upn('s', 'ann@münchen.example')],
      targets: [upn('t', 'ann@tgt.example')],
      domainMap: [{ from: 'xn--mnchen-3ya.example', to: 'tgt.example' }],
    },
    ['s paired t upn'],
    'domains in either form',
  ],
  [
    { sources: [account('s', { mail: 'ann@src.example' })], targets: [mail('t', 'a@tgt.example', 'ann@tgt.example')] },
    ['s paired t local-part'],
    'the local part is looked for among all addresses of the target',
  ],
  [
    { sources: [mail('s', '"a@b"@src.example')], targets: [mail('t', '"a@b"@tgt.example')] },
    ['s paired t local-part'],
    'the domain begins after the last @',
  ],
  [
    { sources: [account('s', { displayName: 'Ann ' })], targets: [account('t', { displayName: 'ANN' })] },
    ['s suggested[t] display-name'],
    'a display name suggests, and pairs nobody',
  ],
  [
    {
      sources: [account('s', { displayName: 'Ann', addresses: ['a@both.example'] })],
      targets: [account('t1', { displayName: 'Ann' }), mail('t2', 'a@both.example')],
      rules: [{ kind: 'display-name' }, { kind: 'address' }],
    },
    ['s paired t2 address'],
    'a suggestion keeps no rule that knows from being asked, wherever it stands',
  ],
  [
    { sources: [employee('s', '1')], targets: [employee('t2', '1'), employee('t1', '1')] },
    ['s ambiguous[t1,t2] attribute'],
    'two candidates under one rule',
  ],
  [
    {
      sources: [employee('s', '1', { addresses: ['a@both.example'] })],
      targets: [employee('t1', '1'), employee('t2', '1', { addresses: ['a@both.example'] })],
    },
    ['s ambiguous[t1,t2] attribute'],
    'a lower rule does not settle what a higher one leaves open',
  ],
  [
    { sources: [employee('s1', '1'), employee('s2', '1')], targets: [employee('t', '1')] },
    ['s1 conflict[t] attribute claimed-twice', 's2 conflict[t] attribute claimed-twice'],
    'two claim one',
  ],
  [
    {
      sources: [employee('s1', '1'), mail('s2', 'a@both.example')],
      targets: [employee('t', '1', { addresses: ['a@both.example'] })],
    },
    ['s1 paired t attribute', 's2 conflict[t] address taken'],
    'what a higher rule has found stays found, and who comes later is told',
  ],
  [
    {
      sources: [employee('s1', '1'), mail('s2', 'a@both.example')],
      targets: [employee('t1', '1', { addresses: ['a@both.example'] }), employee('t2', '1')],
    },
    ['s1 ambiguous[t1,t2] attribute', 's2 conflict[t1] address contested'],
    'what may be somebody else’s under a higher rule is given to nobody',
  ],
  [
    { sources: [mail('s', 'a@x.example', 'b@x.example')], targets: [mail('t', 'b@x.example', 'a@x.example')] },
    ['s paired t address'],
    'the same candidate under two addresses is one',
  ],
  [
    {
      sources: [mail('s', 'a@x.example', 'b@x.example')],
      targets: [mail('t1', 'a@x.example'), mail('t2', 'b@x.example')],
    },
    ['s ambiguous[t1,t2] address'],
    'another one under each address',
  ],
  [
    { sources: [employee('s', '1')], targets: [employee('t', '1', { kind: 'room' })] },
    ['s unmatched'],
    'a person is no room',
  ],
  [
    { sources: [employee('s', '1')], targets: [employee('g', '1', { kind: 'guest' }), employee('t', '1')] },
    ['s paired t attribute'],
    'a guest is no candidate unless guests are allowed',
  ],
  [
    {
      sources: [employee('s', '1')],
      targets: [employee('g', '1', { kind: 'guest' }), employee('t', '1')],
      allowGuests: true,
    },
    ['s ambiguous[g,t] attribute'],
    'with the option it is one',
  ],
  [
    {
      sources: [employee('s1', '1'), employee('s2', '2')],
      targets: [employee('t1', '1'), employee('t2', '2')],
      pairs: [['s1', 't2']],
    },
    ['s1 paired t2 live-pair', 's2 conflict[t2] attribute taken'],
    'a live pair is kept against every rule, and blocks both',
  ],
  [
    { sources: [employee('s', '1')], targets: [employee('t', '1')], pairs: [['gone', 't']] },
    ['s conflict[t] attribute taken'],
    'a live pair blocks its target though its source is gone',
  ],
  [
    { sources: [employee('s', '1')], targets: [employee('t', '1')], excluded: ['s'] },
    ['s unmatched excluded'],
    'an excluded source',
  ],
  [
    { sources: [employee('s', '1')], targets: [employee('t', '1')], excluded: ['t'] },
    ['s unmatched'],
    'an excluded target',
  ],
  [
    { sources: [employee('s', 'x'.repeat(65_536))], targets: [employee('t', 'x'.repeat(65_536))] },
    ['s unmatched'],
    'what is longer than any attribute of Microsoft’s is nothing to match by',
  ],
  [
    { sources: [employee('s', '__proto__'), employee('s2', 'constructor')], targets: [employee('t', '__proto__')] },
    ['s paired t attribute', 's2 unmatched'],
    'names of the language are values like others',
  ],
]
for (const [given, says, why] of examples) {
  test(`§3: ${why}: ${says.join('; ')}`, () => assert.deepEqual(told(given), says))
}

const kinds: [source: AccountKind, target: AccountKind, allowGuests: boolean, isCompatible: boolean][] = [
  ['user', 'user', false, true],
  ['user', 'guest', false, false],
  ['user', 'guest', true, true],
  ['guest', 'user', true, true],
  ['guest', 'guest', false, true],
  ['shared-mailbox', 'user', false, true],
  ['shared-mailbox', 'shared-mailbox', false, true],
  ['room', 'equipment', false, false],
  ['room', 'room', false, true],
  ['microsoft-365-group', 'security-group', false, false],
  ['mail-enabled-security-group', 'distribution-list', false, false],
  ['distribution-list', 'distribution-list', false, true],
  ['contact', 'mail-user', false, true],
  ['contact', 'user', true, false],
]
test('§3.4: which kinds can be the same thing', () => {
  for (const [source, target, allowGuests, expected] of kinds)
    assert.equal(isCompatible(source, target, allowGuests), expected, `${source} ${target} ${allowGuests}`)
})

test('§3.2: rules that a matching does not take are refused with their place', () => {
  const faulty: [body: unknown, path: string][] = [
    [{ rules: [{ kind: 'upn' }] }, 'rules.0'],
    [{ rules: [{ kind: 'address' }, { kind: 'address' }] }, 'rules.1'],
    [{ rules: [] }, 'rules'],
    [{ rules: [{ kind: 'attribute', source: "a'b", target: 'b' }] }, 'rules.0.source'],
    [{ domainMap: [{ from: 'a.example', to: 'x' }] }, 'domainMap.0.to'],
    [
      {
        domainMap: [
          { from: 'a.example', to: 'b.example' },
          { from: 'A.example', to: 'c.example' },
        ],
      },
      'domainMap',
    ],
    [{ anything: 1 }, ''],
  ]
  for (const [body, path] of faulty) {
    const { error } = optionsBody.safeParse(body)
    assert.ok(
      error?.issues.some((issue) => issue.path.join('.') === path),
      JSON.stringify(body),
    )
  }
  assert.deepEqual(
    defaultRules(DOMAIN_MAP).map(({ kind }) => kind),
    ['mapping-file', 'provenance', 'attribute', 'attribute', 'address', 'upn', 'local-part', 'display-name'],
  )
})

test('a badly chosen attribute that everybody shares costs no more than reading it, and lists a bounded number', () => {
  const people = (side: string) =>
    Array.from({ length: 20_000 }, (_, i) =>
      account(`${side}${String(i).padStart(5, '0')}`, { attributes: { country: 'DE' } }),
    )
  const start = performance.now()
  const matches = decide({
    sources: people('s'),
    targets: people('t'),
    rules: [{ kind: 'attribute', source: 'country', target: 'country' }],
  })
  assert.ok(performance.now() - start < 5_000)
  assert.deepEqual(
    new Set(matches.map(({ outcome, candidateCount }) => `${outcome} ${candidateCount}`)),
    new Set(['ambiguous 20000']),
  )
  assert.equal(matches[0]?.candidates.length, MAX_CANDIDATES)
  assert.equal(matches[0].candidates[0], 't00000')
})

// ── Whatever the directories look like ─────────────────────────────────────────────────────────────────────────────

const few = (of: string) => fc.constantFrom(...[1, 2, 3, 4].map((i) => `${of}${i}`))
const anAccount = fc.record({
  kind: fc.constantFrom(...ACCOUNT_KINDS.slice(0, 4)),
  displayName: fc.oneof(fc.constant(''), few('Name ')),
  userPrincipalName: few('u').map((local) => `${local}@src.example`),
  addresses: fc.uniqueArray(
    fc.tuple(few('a'), fc.constantFrom('src.example', 'tgt.example', 'both.example')).map((parts) => parts.join('@')),
    { maxLength: 3 },
  ),
  attributes: fc.record({ employeeId: few('e') }, { requiredKeys: [] }),
})
const side = (name: string) =>
  fc.array(anAccount, { maxLength: 8 }).map((list) => list.map((one, i) => ({ ...account(`${name}${i}`), ...one })))
const rules = fc.shuffledSubarray(
  [
    ...defaultRules(DOMAIN_MAP).filter(({ kind }) => kind !== 'attribute'),
    { kind: 'attribute', source: 'employeeId', target: 'employeeId' } as const,
  ],
  { minLength: 1 },
)
const aCase = fc
  .record({
    sources: side('s'),
    targets: side('t'),
    rules,
    allowGuests: fc.boolean(),
    shuffles: fc.tuple(fc.infiniteStream(fc.nat()), fc.infiniteStream(fc.nat())),
  })
  .chain((given) =>
    fc
      .record({
        pairs: fc
          .subarray(given.sources.slice(0, given.targets.length).map((_, i) => [`s${i}`, `t${i}`] as const))
          .map((pairs) => pairs),
        excluded: fc.subarray([...given.sources, ...given.targets].map(({ id }) => String(id))),
      })
      .map((more) => ({
        ...given,
        pairs: more.pairs,
        excluded: more.excluded.filter((id) => !more.pairs.flat().includes(id as `s${number}`)),
      })),
  )

const shuffled = <T>(list: readonly T[], stream: fc.Stream<number>): T[] => {
  const order = stream.take(list.length)
  return list
    .map((item) => ({ item, at: order.next().value ?? 0 }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
const byId = (matches: readonly Match[]): Match[] => matches.toSorted((a, b) => (a.source < b.source ? -1 : 1))

test('§3.5: the same input gives the same, whatever order it comes in', () => {
  fc.assert(
    fc.property(aCase, ({ shuffles: [one, other], ...given }) => {
      const again = {
        ...given,
        sources: shuffled(given.sources, one),
        targets: shuffled(given.targets, other),
        pairs: given.pairs.toReversed(),
        excluded: given.excluded.toReversed(),
      }
      assert.deepEqual(byId(decide(again)), byId(decide(given)))
      assert.deepEqual(decide(given), decide(given))
    }),
  )
})

test('§1: no object is in two pairs, and every source object has exactly one outcome', () => {
  fc.assert(
    fc.property(aCase, (given) => {
      const matches = decide(given)
      assert.deepEqual(
        matches.map(({ source }) => source),
        given.sources.map(({ id }) => id),
      )
      const targets = matches.flatMap(({ outcome, target }) => {
        assert.ok(OUTCOMES.includes(outcome))
        assert.equal(target !== undefined, outcome === 'paired')
        return target === undefined ? [] : [target]
      })
      assert.equal(new Set(targets).size, targets.length)
    }),
  )
})

test('§3: what was paired, confirmed or found, stays paired in the next run, and nothing else changes by it', () => {
  fc.assert(
    fc.property(aCase, (given) => {
      const first = decide(given)
      const found = first.flatMap(({ source, target }) => (target === undefined ? [] : [[source, target] as const]))
      const second = decide({ ...given, pairs: found })
      for (const [i, { source, outcome, target }] of first.entries()) {
        if (outcome !== 'paired') continue
        assert.deepEqual([second[i]?.source, second[i]?.outcome, second[i]?.target], [source, 'paired', target])
      }
      // Who was not paired may be told that his candidate is taken by now; he is not paired with another.
      for (const [i, { outcome }] of first.entries())
        if (outcome !== 'paired') assert.notEqual(second[i]?.outcome, 'paired')
    }),
  )
})

test('§3.5: whoever is paired by a rule was the only one who could be, on both sides', () => {
  fc.assert(
    fc.property(aCase, (given) => {
      const matches = decide(given)
      for (const match of matches) {
        const { rule: number } = match
        if (match.outcome !== 'paired' || number === undefined) continue
        assert.equal(match.candidateCount, 1)
        const rule = given.rules[number]
        assert.ok(rule)
        // Under that rule alone it is the same, without those whom a higher one decided: a lower one asks them no more. What suggests comes last.
        const asked = given.sources.filter((_, i) => {
          const { rule: by = number, outcome } = matches[i] ?? match
          return by >= number || outcome === 'suggested'
        })
        const alone = decide({ ...given, sources: asked, rules: [rule] }).find(({ source }) => source === match.source)
        assert.equal(alone?.target, match.target)
      }
    }),
  )
})

test('§3.5: whom a higher rule left ambiguous does not keep another from what they share under a lower one', () => {
  const byEmployeeId = (employeeId: string) => ({ attributes: { employeeId } })
  const matches = decide({
    sources: [
      account('s0', { addresses: ['a@both.example'] }),
      account('s1', { addresses: ['a@both.example'], ...byEmployeeId('1') }),
    ],
    targets: [
      account('t0', { addresses: ['a@both.example'] }),
      account('t1', byEmployeeId('1')),
      account('t2', byEmployeeId('1')),
    ],
    rules: [{ kind: 'attribute', source: 'employeeId', target: 'employeeId' }, { kind: 'address' }],
  })
  assert.deepEqual(
    matches.map(({ outcome, target }) => [outcome, target]),
    [
      ['paired', 't0'],
      ['ambiguous', undefined],
    ],
  )
})
