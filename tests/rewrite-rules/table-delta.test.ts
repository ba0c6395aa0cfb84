import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { TableFault } from '../../rewrite-rules/input-fault.ts'
import { compileTable } from '../../rewrite-rules/mapping-table.ts'
import type { MappingTable } from '../../rewrite-rules/mapping-table.ts'

const POLICY = { noExtensions: [] }
const FORMAT = 'causeway-mapping-delta/1'

interface Entry {
  readonly known: readonly string[]
  readonly presented: string
  readonly mailbox: string
  readonly x500?: readonly string[]
}

const person = (name: string, more: Partial<Entry> = {}): Entry => ({
  known: [`${name}@x.example`, `${name}@y.example`],
  presented: `${name}@y.example`,
  mailbox: `${name}@x.example`,
  ...more,
})

function tableOf(entries: readonly Entry[], version = 1, lists: Record<string, unknown> = {}): MappingTable {
  return compileTable({ format: 'causeway-mapping-table/1', project: 'p1', version, entries, ...lists })
}

function delta(more: Record<string, unknown>, fromVersion = 1, toVersion = fromVersion + 1): Record<string, unknown> {
  return { format: FORMAT, project: 'p1', fromVersion, toVersion, ...more }
}

function locate(table: MappingTable, address: string): string {
  const [local = '', domain = ''] = address.split('@')
  const mapped = table.withPolicy(POLICY).map('locate', local, domain, false)
  return mapped.kind === 'kept' ? (mapped.code ?? '=') : `${mapped.local}@${mapped.domain}`
}

function faultsOf(table: MappingTable, change: unknown): [path: string, rule: string][] {
  try {
    table.apply(change)
  } catch (error) {
    assert.ok(error instanceof TableFault, String(error))
    return error.faults.map(({ path, rule }) => [path, rule])
  }
  return []
}

const base = (): MappingTable => tableOf([person('alice'), person('bob', { x500: ['/o=B/cn=bob'] })])

const faulty: [what: string, change: unknown, path: string, rule: string][] = [
  ['no object', 'x', '', 'format'],
  ['bytes that are no UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), '', 'format'],
  ['another format', delta({ format: 'causeway-mapping-table/1' }), 'format', 'format'],
  ['an unknown key', delta({ upserts: [] }), 'upserts', 'format'],
  ['another project', delta({ project: 'p2' }), 'project', 'R3'],
  ['another version before', delta({}, 2), 'fromVersion', 'R3'],
  ['a version that does not grow', delta({}, 1, 1), 'toVersion', 'R3'],
  ['a version that is none', delta({ toVersion: '2' }), 'toVersion', 'R3'],
  ['removals that are no list', delta({ remove: 'alice@y.example' }), 'remove', 'format'],
  ['removal of what is not there', delta({ remove: ['carol@y.example'] }), 'remove/0', 'R3'],
  ['removal by another address than P', delta({ remove: ['alice@x.example'] }), 'remove/0', 'R3'],
  ['removal of no address', delta({ remove: [7] }), 'remove/0', 'R3'],
  ['removal twice', delta({ remove: ['alice@y.example', 'Alice@Y.example'] }), 'remove/1', 'R3'],
  ['a faulty entry', delta({ upsert: [{ ...person('carol'), mailbox: 'x' }] }), 'upsert/0/mailbox', 'R3'],
  [
    'an entry that takes an address',
    delta({ upsert: [person('carol', { known: ['carol@x.example', 'carol@y.example', 'alice@x.example'] })] }),
    'upsert/0/known/2',
    'R3',
  ],
  [
    'an entry that takes an X.500 name',
    delta({ upsert: [person('carol', { x500: ['/O=b/CN=bob'] })] }),
    'upsert/0/x500/0',
    'R3',
  ],
  [
    'two entries with one address',
    delta({
      upsert: [person('carol'), person('dan', { known: ['dan@y.example', 'dan@x.example', 'CAROL@x.example'] })],
    }),
    'upsert/1/known/2',
    'R3',
  ],
  [
    'two entries with one X.500 name',
    delta({ upsert: [person('carol', { x500: ['/o=c'] }), person('dan', { x500: ['/O=C'] })] }),
    'upsert/1/x500/0',
    'R3',
  ],
  [
    'removed and upserted',
    delta({ remove: ['alice@y.example'], upsert: [person('alice')] }),
    'upsert/0/presented',
    'R3',
  ],
  ['rules that chain', delta({ domainRules: [{ from: 'a.example', to: 'a.example' }] }), 'domainRules/0/to', 'R3'],
  ['an exception that is none', delta({ exceptions: ['@'] }), 'exceptions/0', 'R23'],
  ['a digest of another table', delta({ digest: '0'.repeat(64), upsert: [person('carol')] }), 'digest', 'R3'],
  ['a digest that is no text', delta({ digest: 7 }), 'digest', 'format'],
]
for (const [what, change, path, rule] of faulty) {
  test(`${rule}: a delta with ${what} is refused, and nothing has changed`, () => {
    const table = base()
    const { digest } = table
    assert.deepEqual(faultsOf(table, change)[0], [path, rule])
    assert.equal(table.digest, digest)
    assert.equal(locate(table, 'alice@y.example'), 'alice@x.example')
    assert.equal(locate(table, 'carol@y.example'), '=')
    const next = table.apply(delta({ upsert: [person('carol')] }))
    assert.equal(
      next.digest,
      tableOf([person('alice'), person('bob', { x500: ['/o=B/cn=bob'] }), person('carol')], 2).digest,
    )
  })
}

test('a delta removes, adds and replaces entries, from objects, text and bytes alike', () => {
  const change = delta({
    remove: ['Bob@y.example'],
    upsert: [person('carol', { x500: ['/o=B/cn=bob'] }), person('alice', { mailbox: 'alice@y.example' })],
  })
  for (const form of [change, JSON.stringify(change), Buffer.from(`\uFEFF${JSON.stringify(change)}`)]) {
    const next = base().apply(form)
    assert.equal(next.version, 2)
    assert.equal(next.entryCount, 2)
    assert.equal(locate(next, 'bob@y.example'), '=')
    assert.equal(locate(next, 'carol@y.example'), 'carol@x.example')
    assert.equal(locate(next, 'alice@x.example'), 'alice@y.example')
    assert.equal(
      locate(next, 'IMCEAEX-_o=B_cn=bob@z.example'),
      'carol@x.example',
      'an X.500 name goes where it is said to',
    )
  }
})

test('an address may pass from one entry to another within one delta', () => {
  const next = base().apply(
    delta({
      remove: ['bob@y.example'],
      upsert: [person('alice', { known: ['alice@x.example', 'alice@y.example', 'bob@x.example'] })],
    }),
  )
  assert.equal(locate(next, 'bob@x.example'), 'alice@x.example')
})

test('rule lists are replaced whole, and stay where the delta has none', () => {
  const table = tableOf([], 1, { domainRules: [{ from: 'a.example', to: 'b.example' }], exceptions: ['q@b.example'] })
  assert.equal(locate(table, 'q@b.example'), '=')
  const next = table.apply(delta({ exceptions: [] }))
  assert.equal(locate(next, 'q@b.example'), 'q@a.example')
  const last = next.apply(delta({ domainRules: [] }, 2))
  assert.equal(locate(last, 'q@b.example'), '=')
  assert.equal(locate(table, 'u@b.example'), 'u@a.example', 'older snapshots keep theirs')
})

test('R3: a delta without rules is held against nothing of them, one with rules against those that stay', () => {
  const table = tableOf([], 1, { domainRules: [{ from: 'a.example', to: 'b.example' }] })
  assert.deepEqual(faultsOf(table, delta({ wildcards: [{ from: '*.example', to: 'z.test' }] })), [
    ['domainRules/0/to', 'R3'],
  ])
})

test('a digest in a delta that comes out is accepted', () => {
  const { digest } = tableOf([person('alice')], 2)
  const table = base()
  assert.equal(table.apply(delta({ remove: ['bob@y.example'], digest })).digest, digest)
})

test('R1: snapshots keep what they are, however many deltas follow', () => {
  const first = base()
  const snapshots = [first]
  for (let version = 1; version < 6; version++) {
    const mailbox = version % 2 === 1 ? 'alice@y.example' : 'alice@x.example'
    snapshots.push(
      (snapshots.at(-1) ?? first).apply(
        delta({ upsert: [person('alice', { mailbox }), person(`p${version}`)] }, version),
      ),
    )
  }
  for (const [i, snapshot] of snapshots.entries()) {
    assert.equal(snapshot.version, i + 1)
    assert.equal(snapshot.entryCount, 2 + i)
    assert.equal(locate(snapshot, 'alice@x.example'), i % 2 === 1 ? 'alice@y.example' : '=')
    assert.equal(locate(snapshot, `p${i}@y.example`), i === 0 ? '=' : `p${i}@x.example`)
    assert.equal(locate(snapshot, `p${i + 1}@y.example`), '=')
  }
})

test('R1: a snapshot that is being written out is not touched by deltas meanwhile', () => {
  const all = Array.from({ length: 2000 }, (_, i) => person(`p${i}`))
  const table = tableOf(all)
  const chunks: Buffer[] = []
  for (const chunk of table.snapshotChunks()) {
    if (chunks.length === 0) table.apply(delta({ remove: ['p1999@y.example'], upsert: [person('new')] }))
    chunks.push(chunk)
  }
  assert.ok(chunks.length > 1)
  assert.equal(compileTable(Buffer.concat(chunks)).digest, table.digest)
})

test('two deltas to one snapshot make two tables that know nothing of each other', () => {
  const table = base()
  const one = table.apply(delta({ upsert: [person('carol')] }))
  const two = table.apply(
    delta({ upsert: [person('carol', { mailbox: 'carol@y.example' })], remove: ['bob@y.example'] }),
  )
  assert.equal(locate(one, 'carol@y.example'), 'carol@x.example')
  assert.equal(locate(one, 'bob@y.example'), 'bob@x.example')
  assert.equal(locate(two, 'carol@y.example'), '=')
  assert.equal(locate(two, 'bob@y.example'), '=')
  assert.equal(two.digest, tableOf([person('alice'), person('carol', { mailbox: 'carol@y.example' })], 2).digest)
  assert.equal(one.apply(delta({ remove: ['carol@y.example'] }, 2)).entryCount, 2)
  assert.equal(two.apply(delta({ remove: ['carol@y.example'] }, 2)).entryCount, 1)
})

// A table is a set of objects, each known by some of few addresses: what one loses another may get, in any order.
const names = ['a', 'b', 'c', 'd', 'e']
const holdings = fc.array(fc.option(fc.nat(2), { nil: undefined }), { minLength: 10, maxLength: 10 }).map((owners) => {
  const known = new Map<number, string[]>()
  for (const [i, owner] of owners.entries()) {
    if (owner !== undefined)
      known.set(owner, [...(known.get(owner) ?? []), `${names[i % 5]}@${i < 5 ? 'x' : 'y'}.example`])
  }
  return [...known.values()]
})
const tables = fc.array(fc.tuple(holdings, fc.nat(), fc.boolean()), { minLength: 2, maxLength: 6 }).map((steps) =>
  steps.map(([sets, choice, ruled]) => ({
    entries: sets.map((known) => ({
      known,
      presented: known[choice % known.length] ?? '',
      mailbox: known[(choice >>> 4) % known.length] ?? '',
    })),
    domainRules: ruled ? [{ from: 'x.example', to: 'z.example' }] : [],
  })),
)

test('R3: digest and look-ups are the same by snapshot and by any sequence of deltas, and older snapshots stay', () => {
  fc.assert(
    fc.property(tables, fc.boolean(), (steps, compacts) => {
      const snapshots: MappingTable[] = []
      let current = tableOf([], 1)
      for (const [i, step] of steps.entries()) {
        const before = new Map((steps[i - 1]?.entries ?? []).map((entry) => [entry.presented, JSON.stringify(entry)]))
        const after = new Map(step.entries.map((entry) => [entry.presented, JSON.stringify(entry)]))
        const upsert = step.entries.filter((entry) => before.get(entry.presented) !== JSON.stringify(entry))
        const remove = [...before.keys()].filter((presented) => !after.has(presented))
        const whole = tableOf(step.entries, i + 2, { domainRules: step.domainRules })
        current = current.apply(delta({ upsert, remove, domainRules: step.domainRules, digest: whole.digest }, i + 1))
        if (compacts) current = compact(current)
        snapshots.push(current)
      }
      for (const [i, snapshot] of snapshots.entries()) {
        const { entries = [], domainRules = [] } = steps[i] ?? {}
        const whole = tableOf(entries, i + 2, { domainRules })
        assert.equal(snapshot.digest, whole.digest)
        assert.equal(snapshot.entryCount, whole.entryCount)
        const shuffled = tableOf(
          entries.toReversed().map((entry) => ({ ...entry, known: entry.known.toReversed() })),
          i + 2,
          { domainRules },
        )
        assert.equal(shuffled.digest, whole.digest, 'order does not count')
        for (const name of [...names, 'a+t']) {
          for (const host of ['x.example', 'y.example', 'z.example']) {
            assert.equal(locate(snapshot, `${name}@${host}`), locate(whole, `${name}@${host}`))
          }
        }
      }
    }),
    { numRuns: 150 },
  )
})

function compact(table: MappingTable): MappingTable {
  const slice = table.compaction()
  for (;;) {
    const compacted = slice(table)
    if (compacted !== undefined) return compacted
  }
}

test('compaction gives an equal table in a store of the live entries, while deltas go on', () => {
  const count = 3000
  const all = Array.from({ length: count }, (_, i) => person(`p${i}`))
  let table = tableOf(all)
  assert.equal(table.needsCompaction, false)
  const flip = (i: number, mailbox: 'x' | 'y'): Entry => person(`p${i}`, { mailbox: `p${i}@${mailbox}.example` })
  for (let round = 0; round < 4; round++) {
    table = table.apply(
      delta({ upsert: all.slice(0, 1000).map((_, i) => flip(i, round % 2 === 0 ? 'y' : 'x')) }, table.version),
    )
  }
  assert.equal(table.needsCompaction, true)
  const grown = table.sizeBytes
  const slice = table.compaction()
  let slices = 0
  let compacted: MappingTable | undefined
  while (compacted === undefined) {
    compacted = slice(table)
    slices++
    if (slices > 3 || compacted !== undefined) continue
    // One that was copied already moves on, one that wasn't goes, and their addresses pass to a new one.
    table = table.apply(
      delta(
        {
          remove: [`p${slices}@y.example`, `p${count - slices}@y.example`],
          upsert: [
            {
              known: [`p${slices}@y.example`, `p${count - slices}@x.example`],
              presented: `p${count - slices}@x.example`,
              mailbox: `p${slices}@y.example`,
            },
          ],
        },
        table.version,
      ),
    )
  }
  assert.ok(slices > 3)
  assert.equal(compacted.digest, table.digest)
  assert.equal(compacted.entryCount, table.entryCount)
  assert.equal(compacted.needsCompaction, false)
  assert.ok(compacted.sizeBytes <= grown)
  for (let i = 0; i < count; i += 7) {
    for (const host of ['x', 'y'])
      assert.equal(locate(compacted, `p${i}@${host}.example`), locate(table, `p${i}@${host}.example`))
  }
  const next = compacted.apply(delta({ remove: ['p1000@y.example'] }, compacted.version))
  assert.equal(locate(next, 'p1000@y.example'), '=')
  assert.equal(compileTable(Buffer.concat([...compacted.snapshotChunks()])).digest, table.digest)
})

test('a compaction ends at once where the table was loaded anew meanwhile', () => {
  const slice = base().compaction()
  const other = base()
  assert.equal(slice(other), other)
})

test('a compaction is given the newest table of its store, or says so', () => {
  const table = base()
  const slice = table.compaction()
  table.apply(delta({ upsert: [person('carol')] }))
  assert.throws(() => slice(table), /newest/)
})
