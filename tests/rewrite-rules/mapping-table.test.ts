import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { TableFault } from '../../rewrite-rules/input-fault.ts'
import { MappingTable, TableReader, compileTable, emptyTable } from '../../rewrite-rules/mapping-table.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'

const POLICY = { noExtensions: [] }
const alice = {
  known: ['alice@x.example', 'alice@y.example'],
  presented: 'alice@y.example',
  mailbox: 'alice@x.example',
}
const bob = { known: ['bob@x.example'], presented: 'bob@x.example', mailbox: 'bob@x.example' }
const table = { format: 'causeway-mapping-table/1', project: 'p1', version: 1, entries: [alice, bob] }

function faultsOf(json: unknown): { path: string; value: string; rule: string }[] {
  try {
    compileTable(json)
  } catch (error) {
    assert.ok(error instanceof TableFault, String(error))
    return error.faults.map(({ path, value, rule }) => ({ path, value, rule }))
  }
  return []
}

const entryWith = (change: Record<string, unknown>): unknown => ({ ...table, entries: [bob, { ...alice, ...change }] })
const long = 'a'.repeat(64)

const faulty: [what: string, json: unknown, path: string, value: string, rule: string][] = [
  ['no object', [], '', 'array of 0', 'format'],
  ['another format', { ...table, format: 'x/1' }, 'format', '"x/1"', 'format'],
  ['no project', { ...table, project: undefined }, 'project', 'undefined', 'format'],
  ['an empty project', { ...table, project: '' }, 'project', '""', 'format'],
  ['a version that is no integer', { ...table, version: 1.5 }, 'version', '1.5', 'R3'],
  ['a negative version', { ...table, version: -1 }, 'version', '-1', 'R3'],
  ['a version as text', { ...table, version: '1' }, 'version', '"1"', 'R3'],
  ['no entries', { ...table, entries: undefined }, 'entries', 'undefined', 'format'],
  ['entries that are no list', { ...table, entries: {} }, 'entries', 'object', 'format'],
  ['an unknown key', { ...table, entrys: 1 }, 'entrys', '1', 'format'],
  ['an unknown list', { ...table, extra: [1] }, 'extra', 'array of 0', 'format'],
  ['an unknown key of an entry', entryWith({ note: 'x' }), 'entries/1/note', '"x"', 'format'],
  ['a key that is no key of objects', entryWith(JSON.parse('{"__proto__":1}')), 'entries/1/__proto__', '1', 'format'],
  ['an entry that is no object', { ...table, entries: [null] }, 'entries/0', 'null', 'format'],
  ['no known addresses', entryWith({ known: [] }), 'entries/1/known', 'array of 0', 'R2'],
  ['known that is no list', entryWith({ known: 'alice@y.example' }), 'entries/1/known', '"alice@y.example"', 'R2'],
  ['a known that is no address', entryWith({ known: [...alice.known, 'x'] }), 'entries/1/known/2', '"x"', 'R3'],
  ['a known that is no text', entryWith({ known: [7, ...alice.known] }), 'entries/1/known/0', '7', 'R3'],
  ['a literal', entryWith({ known: [...alice.known, 'a@[192.0.2.1]'] }), 'entries/1/known/2', '"a@[192.0.2.1]"', 'R24'],
  ['P not in K', entryWith({ presented: 'al@y.example' }), 'entries/1/presented', '"al@y.example"', 'R2'],
  ['M not in K', entryWith({ mailbox: 'alice@z.example' }), 'entries/1/mailbox', '"alice@z.example"', 'R2'],
  ['no P', entryWith({ presented: undefined }), 'entries/1/presented', 'undefined', 'R3'],
  ['a route that is none', entryWith({ route: 'direct' }), 'entries/1/route', '"direct"', '§13'],
  ['eai that is no truth value', entryWith({ eai: 'yes' }), 'entries/1/eai', '"yes"', 'format'],
  ['an X.500 name that is none', entryWith({ x500: ['o=x'] }), 'entries/1/x500/0', '"o=x"', 'R26'],
  ['X.500 names that are no list', entryWith({ x500: '/o=x' }), 'entries/1/x500', '"/o=x"', 'format'],
  [
    'a local part of 65 octets',
    entryWith({ known: [...alice.known, `a${long}@x.example`], mailbox: `a${long}@x.example` }),
    'entries/1/mailbox',
    `"a${long}@x.example"`,
    'R3',
  ],
  [
    'P that is not ASCII',
    entryWith({ known: [...alice.known, 'ü@x.example'], presented: 'ü@x.example' }),
    'entries/1/presented',
    '"ü@x.example"',
    'R3',
  ],
  [
    'P with a U-label',
    entryWith({ known: [...alice.known, 'a@ü.example'], presented: 'a@ü.example' }),
    'entries/1/presented',
    '"a@ü.example"',
    'R3',
  ],
  ['K not disjoint', { ...table, entries: [alice, bob, { ...alice }] }, 'entries/2/known/0', '"alice@x.example"', 'R3'],
  [
    'K not disjoint after normalisation',
    {
      ...table,
      entries: [
        alice,
        { known: ['"BOB"@X.example', '"Alic\\e"@Y.EXAMPLE'], presented: '"BOB"@X.example', mailbox: '"BOB"@X.example' },
      ],
    },
    'entries/1/known/1',
    '"Alice@Y.EXAMPLE"',
    'R3',
  ],
  [
    'X.500 names not disjoint',
    {
      ...table,
      entries: [
        { ...alice, x500: ['/o=A'] },
        { ...bob, x500: ['/o=b', '/O=a'] },
      ],
    },
    'entries/1/x500/1',
    '"/O=a"',
    'R3',
  ],
  ['a digest that does not fit', { ...table, digest: '00' }, 'digest', '"00"', 'R3'],
]
for (const [what, json, path, value, rule] of faulty) {
  test(`${rule}: ${what} is refused at ${path === '' ? 'the top' : path}`, () => {
    assert.deepEqual(faultsOf(json)[0], { path, value, rule })
    if (typeof json === 'object' && !Array.isArray(json)) {
      assert.deepEqual(faultsOf(JSON.stringify(json))[0]?.path, path, 'the same from text')
    }
  })
}

const accepted: [what: string, json: unknown][] = [
  [
    'a local part of 64 octets',
    entryWith({ known: [...alice.known, `${long}@x.example`], mailbox: `${long}@x.example` }),
  ],
  [
    'eai: true with addresses that are not ASCII',
    entryWith({ known: [...alice.known, 'ü@ü.example'], presented: 'ü@ü.example', eai: true }),
  ],
  ['K that is not ASCII beside P and M that are', entryWith({ known: [...alice.known, 'ü@ü.example'] })],
  ['a longer local part in K beside P and M', entryWith({ known: [...alice.known, `${'a'.repeat(320)}@x.example`] })],
  ['an address twice in one entry', entryWith({ known: [...alice.known, '"Alice"@X.example'] })],
  ['no rules', table],
  ['empty lists', { ...table, domainRules: [], wildcards: [], exceptions: [] }],
  ['version 0 without entries', { ...table, version: 0, entries: [] }],
  ['the example of rewriting.md', EXAMPLE_TABLE],
]
for (const [what, json] of accepted) {
  test(`R3: ${what} is accepted`, () => {
    assert.deepEqual(faultsOf(json), [])
    assert.deepEqual(faultsOf(JSON.stringify(json)), [])
  })
}

test('R3: a path of 256 octets is accepted, one of 257 is not', () => {
  const address = (octets: number): string => `${long}@${'b'.repeat(octets - 2 - 64 - 1 - 62 - 1)}.${'c'.repeat(62)}`
  for (const [octets, count] of [
    [256, 0],
    [257, 2],
  ] as const) {
    const path = address(octets)
    assert.equal(path.length, octets - 2, 'the path has brackets')
    assert.equal(faultsOf({ ...table, entries: [{ known: [path], presented: path, mailbox: path }] }).length, count)
  }
})

test('R3: many faults are told at once, and not more than 100', () => {
  const faults = faultsOf({
    ...table,
    version: -1,
    entries: [
      { ...alice, presented: 'x' },
      { ...bob, mailbox: 1 },
    ],
  })
  assert.deepEqual(
    faults.map(({ path }) => path),
    ['entries/0/presented', 'entries/1/mailbox', 'version'],
  )
  const many = Array.from({ length: 300 }, () => ({ known: ['x'] }))
  assert.equal(faultsOf({ ...table, entries: many }).length, 100)
  assert.equal(faultsOf(JSON.stringify({ ...table, entries: many })).length, 100)
})

test('a fault shows at most 200 characters of a value', () => {
  const [fault] = faultsOf(entryWith({ known: ['x'.repeat(100_000)] }))
  assert.ok(fault !== undefined && fault.value.length <= 200)
})

test('a table says what it is', () => {
  const compiled = compileTable(EXAMPLE_TABLE)
  assert.equal(compiled.project, 'p1')
  assert.equal(compiled.version, 7)
  assert.equal(compiled.entryCount, 6)
  assert.match(compiled.digest, /^[0-9a-f]{64}$/)
})

test('an empty table maps nothing and is older than any', () => {
  const empty = emptyTable('p1')
  assert.equal(empty.version, 0)
  assert.equal(empty.entryCount, 0)
  assert.deepEqual(empty.withPolicy(POLICY).map('present', 'alice', 'contoso.com', false), { kind: 'kept' })
})

test('withPolicy makes one map for one policy object', () => {
  const compiled = compileTable(table)
  assert.equal(compiled.withPolicy(POLICY), compiled.withPolicy(POLICY))
  assert.notEqual(compiled.withPolicy(POLICY), compiled.withPolicy({ noExtensions: [] }))
})

test('a snapshot read again is the same table', () => {
  const unusual = {
    ...EXAMPLE_TABLE,
    domainRules: [...EXAMPLE_TABLE.domainRules, { from: 'ü.example', to: 'z.example', direction: 'out' }],
    wildcards: [{ ...EXAMPLE_TABLE.wildcards[0], except: ['a@b.lab.contoso.com'] }],
    exceptions: ['x@y.example', 'noreply@', 'quiet.example'],
    entries: [
      ...EXAMPLE_TABLE.entries,
      {
        known: ['A@x.example', 'ü@Ü.example'],
        presented: 'a@X.example',
        mailbox: 'A@x.example',
        eai: true,
        route: 'return',
      },
    ],
  }
  const first = compileTable(unusual)
  const chunks = [...first.snapshotChunks()]
  const second = compileTable(Buffer.concat(chunks))
  assert.equal(second.digest, first.digest)
  assert.deepEqual([...second.snapshotChunks()], chunks)
  const without = { ...JSON.parse(Buffer.concat(chunks).toString()), digest: undefined }
  assert.equal(compileTable(without).digest, first.digest, 'the digest in a snapshot may be left out')
})

test('a snapshot comes in chunks of about 64 KiB', () => {
  const entries = Array.from({ length: 3000 }, (_, i) => ({
    known: [`u${i}@x.example`],
    presented: `u${i}@x.example`,
    mailbox: `u${i}@x.example`,
  }))
  const chunks = [...compileTable({ ...table, entries }).snapshotChunks()]
  assert.ok(chunks.length > 2)
  for (const chunk of chunks) assert.ok(chunk.length < 70_000)
})

test('a byte order mark before the text is passed over', () => {
  const text = Buffer.from(`\uFEFF${JSON.stringify(table)}`)
  assert.ok(compileTable(text) instanceof MappingTable)
  const reader = new TableReader()
  for (const byte of text) reader.write(Uint8Array.of(byte))
  assert.equal(reader.end().entryCount, 2)
})

test('targetDomains: where presented addresses, mailboxes and rules lead, normalised, and of live entries only', () => {
  const targets = (snapshot: MappingTable): string[] => {
    const slice = snapshot.targetDomains()
    for (;;) {
      const found = slice()
      if (found !== undefined) return [...found].toSorted()
    }
  }
  const full = compileTable({
    ...table,
    entries: [
      alice,
      {
        known: ['c@M\u00dcNCHEN.example', 'c@other.example'],
        presented: 'c@M\u00dcNCHEN.example',
        mailbox: 'c@other.example',
        eai: true,
      },
      { known: ['d@z.example', 'e@unused.example'], presented: 'd@z.example', mailbox: 'd@z.example' },
    ],
    domainRules: [
      { from: 'both.example', to: 'to.example', direction: 'both' },
      { from: 'out.example', to: 'only.example', direction: 'out' },
    ],
    wildcards: [{ from: '*.w.example', to: 'wild.example' }],
  })
  const all = [
    'both.example',
    'only.example',
    'other.example',
    'to.example',
    'wild.example',
    'x.example',
    'xn--mnchen-3ya.example',
    'y.example',
    'z.example',
  ]
  assert.deepEqual(targets(full), all)
  const delta = {
    format: 'causeway-mapping-delta/1',
    project: 'p1',
    fromVersion: 1,
    toVersion: 2,
    remove: ['d@z.example'],
  }
  assert.deepEqual(
    targets(full.apply(delta)),
    all.filter((domain) => domain !== 'z.example'),
  )
  assert.deepEqual(targets(full), all, 'the older snapshot is what it was')
  assert.deepEqual(targets(emptyTable('p1')), [])
})
