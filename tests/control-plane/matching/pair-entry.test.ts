// The mapping entry of a pair, and what is left of it beside others. (migration-semantics.md §3.8, control-plane.md §3.4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FaultList, parseEntry } from '../../../rewrite-rules/index.ts'
import type { AcceptedDomains } from '../../../control-plane/mapping/mapping.ts'
import { keysOf, settle, wantedEntry } from '../../../control-plane/matching/pair-entry.ts'
import type { Owner, PairSides } from '../../../control-plane/matching/pair-entry.ts'

const ANY_DOMAIN: AcceptedDomains = { domains: new Set(), isComplete: false }
const OURS: AcceptedDomains = { domains: new Set(['src.example', 'tgt.example']), isComplete: true }

const sides = (source: readonly string[], target: readonly string[], more: Partial<PairSides> = {}): PairSides => ({
  source: { addresses: source, x500: [] },
  target: { addresses: target, x500: [] },
  presents: 'target',
  holds: 'source',
  ...more,
})

/** `presented mailbox known;known x500` or the reason that there is none. */
function wanted(given: PairSides, accepted = ANY_DOMAIN): string {
  const it = wantedEntry(given, accepted)
  if (it.kind !== 'entry') return `${it.kind}: ${it.reason}`
  const settled = settle(it.entry, () => undefined)
  assert.ok(settled.state === 'written')
  const {
    presented,
    mailbox,
    known,
    x500 = [],
    eai,
  } = JSON.parse(settled.row.wire) as {
    presented: string
    mailbox: string
    known: string[]
    x500?: string[]
    eai?: true
  }
  return [presented, mailbox, known.join(';'), ...x500, ...(eai === true ? ['eai'] : [])].join(' ')
}

const examples: [given: PairSides, says: string, why: string, accepted?: AcceptedDomains][] = [
  [
    sides(['ann@src.example', 'a@src.example'], ['Ann@tgt.example']),
    'Ann@tgt.example ann@src.example Ann@tgt.example;ann@src.example;a@src.example',
    'the target is presented, the source holds the mailbox, all addresses are known',
  ],
  [
    sides(['ann@src.example'], ['ann@tgt.example'], { presents: 'source', holds: 'target' }),
    'ann@src.example ann@tgt.example ann@tgt.example;ann@src.example',
    'both the other way round',
  ],
  [
    sides(['ann@src.example', 'ANN@src.example'], ['ann@tgt.example', 'ann@SRC.example']),
    'ann@tgt.example ann@src.example ann@tgt.example;ANN@src.example',
    'an address that stands there twice counts once',
  ],
  [
    {
      ...sides(['ann@src.example'], ['ann@tgt.example']),
      source: { addresses: ['ann@src.example'], x500: ['/o=Contoso/cn=ann', 'not a name'] },
      target: { addresses: ['ann@tgt.example'], x500: ['/o=ExchangeLabs/cn=ann2'] },
    },
    'ann@tgt.example ann@src.example ann@tgt.example;ann@src.example /o=Contoso/cn=ann /o=ExchangeLabs/cn=ann2',
    'X.500 names of both, without what is none',
  ],
  [sides([], ['ann@tgt.example']), 'none: no-address', 'the source has no address'],
  [sides(['ann@src.example'], []), 'none: no-address', 'the target has none yet'],
  [
    sides(['ann@src.example', 'ann@[192.0.2.1]', 'a b@src.example', 'x\r\ny@src.example'], ['ann@tgt.example']),
    'ann@tgt.example ann@src.example ann@tgt.example;ann@src.example',
    'aliases that no table can hold are left out',
  ],
  [sides(['ann@src.example'], ['ann@[192.0.2.1]']), 'blocked: address-invalid', 'but not the presented address'],
  [
    sides([`${'x'.repeat(65)}@src.example`], ['ann@tgt.example']),
    'blocked: address-invalid',
    'nor a mailbox that no server takes',
  ],
  [
    sides(['ann@src.example'], ['jürgen@tgt.example']),
    'jürgen@tgt.example ann@src.example jürgen@tgt.example;ann@src.example eai',
    'an internationalised address is said to be one',
  ],
  [sides(['ann@src.example'], ['ann@other.example']), 'blocked: domain-not-accepted', 'outside of all tenants', OURS],
  [
    sides(['ann@src.example', ...Array.from({ length: 1_000 }, (_, i) => `a${i}@src.example`)], ['ann@tgt.example']),
    'blocked: too-many-addresses',
    'more addresses than an entry holds',
  ],
]
for (const [given, says, why, accepted] of examples) {
  test(`§3.8: ${why}`, () => assert.equal(wanted(given, accepted), says))
}

const others: [
  taken: Record<string, Owner>,
  state: string,
  reason: string | undefined,
  known: readonly string[] | undefined,
  why: string,
][] = [
  [{}, 'written', undefined, ['ann@tgt.example', 'ann@src.example', 'a@src.example'], 'nobody has them'],
  [
    { 'a@src.example': 'manual' },
    'written',
    'some-addresses-elsewhere',
    ['ann@tgt.example', 'ann@src.example'],
    'an alias is in an entry of a person',
  ],
  [
    { 'a@src.example': 'pair' },
    'written',
    'some-addresses-elsewhere',
    ['ann@tgt.example', 'ann@src.example'],
    'an alias is in the entry of another pair',
  ],
  [
    { 'ann@tgt.example': 'manual' },
    'manual-wins',
    'entry-exists',
    undefined,
    'the presented address is in an entry of a person',
  ],
  [
    { 'ann@src.example': 'manual', 'ann@tgt.example': 'pair' },
    'manual-wins',
    'entry-exists',
    undefined,
    'the mailbox is: a person wins over a pair',
  ],
  [
    { 'ann@src.example': 'pair' },
    'blocked',
    'address-of-another-pair',
    undefined,
    'the mailbox is in the entry of another pair',
  ],
]
for (const [taken, state, reason, known, why] of others) {
  test(`§3.4: ${why}: ${state}`, () => {
    const it = wantedEntry(sides(['ann@src.example', 'a@src.example'], ['ann@tgt.example']), ANY_DOMAIN)
    assert.ok(it.kind === 'entry')
    const settled = settle(it.entry, (key) => taken[key])
    assert.deepEqual([settled.state, settled.reason], [state, reason])
    assert.deepEqual(settled.state === 'written' ? JSON.parse(settled.row.wire).known : undefined, known)
  })
}

test('R3: what a pair writes is an entry that the engine takes, and holds no key that another has', () => {
  const address = fc
    .tuple(
      fc.string({ maxLength: 6, unit: 'grapheme' }),
      fc.constantFrom('src.example', 'tgt.example', '[1.2.3.4]', 'münchen.example'),
    )
    .map((parts) => parts.join('@'))
  fc.assert(
    fc.property(
      fc.record({
        source: fc.record({
          addresses: fc.array(address, { maxLength: 4 }),
          x500: fc.array(fc.string(), { maxLength: 2 }),
        }),
        target: fc.record({
          addresses: fc.array(address, { maxLength: 4 }),
          x500: fc.array(fc.string(), { maxLength: 2 }),
        }),
        presents: fc.constantFrom('source' as const, 'target' as const),
        holds: fc.constantFrom('source' as const, 'target' as const),
      }),
      fc.func(fc.constantFrom<Owner | undefined>(undefined, undefined, 'manual', 'pair')),
      (given, ownerOf) => {
        const it = wantedEntry(given, ANY_DOMAIN)
        if (it.kind !== 'entry') return
        const settled = settle(it.entry, ownerOf)
        if (settled.state !== 'written') return
        const again = parseEntry(JSON.parse(settled.row.wire), '', new FaultList())
        assert.ok(again, settled.row.wire)
        assert.deepEqual(keysOf(again), settled.row.keys)
        for (const key of settled.row.keys) assert.equal(ownerOf(key), undefined)
      },
    ),
  )
})
