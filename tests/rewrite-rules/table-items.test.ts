import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { csvRow, CSV_HEADER, TableItems, writtenEntry } from '../../rewrite-rules/index.ts'
import type { WrittenEntry } from '../../rewrite-rules/index.ts'
import { formatCell, joinValues, restoreCell, splitValues } from '../../rewrite-rules/csv-cell.ts'
import { findMember } from '../../rewrite-rules/json-place.ts'

interface Told {
  readonly entries: [written: WrittenEntry, path: string, place: string][]
  readonly rules: [list: string, value: unknown, path: string, place: string][]
  readonly faults: [path: string, rule: string, place: string][]
}

const at = ({ line, column }: { line: number; column: number }): string => `${line}:${column}`

function read(text: string | Uint8Array, size = Infinity): Told & { format: string | undefined; isBroken: boolean } {
  const told: Told = { entries: [], rules: [], faults: [] }
  const items = new TableItems({
    entry: (entry, path, placeOf) => void told.entries.push([writtenEntry(entry), path, at(placeOf(''))]),
    rule: (list, value, path, place) => void told.rules.push([list, value, path, at(place)]),
    fault: ({ path, rule }, place) => void told.faults.push([path, rule, at(place)]),
  })
  const bytes = Buffer.from(text)
  for (let start = 0; start < bytes.length; start += size) items.write(bytes.subarray(start, start + size))
  items.end()
  return { ...told, format: items.format, isBroken: items.isBroken }
}

const file = [
  '{ "format": "causeway-mapping-table/1", "project": "p1", "version": 7,',
  '  "domainRules": [ { "from": "a.example", "to": "b.example" } ],',
  '  "entries": [ { "known": ["a@x.example"], "presented": "a@x.example", "mailbox": "a@x.example" },',
  '    { "known": ["b@x.example", "nö"],',
  '      "presented": "b@x.example", "mailbox": "c@x.example", "more": 1 }',
  '  ], "exceptions": ["noreply@"] }',
].join('\n')

test('items of a JSON file come with their places, and faults with the line and column of the member, whatever the chunks are', () => {
  const whole = read(file)
  assert.deepEqual(
    whole.entries.map(([, path, place]) => [path, place]),
    [['entries/0', '3:16']],
  )
  assert.deepEqual(whole.rules, [
    ['domainRules', { from: 'a.example', to: 'b.example' }, 'domainRules/0', '2:20'],
    ['exceptions', 'noreply@', 'exceptions/0', '6:21'],
  ])
  assert.deepEqual(whole.faults, [
    ['entries/1/more', 'format', '5:69'],
    ['entries/1/known/1', 'R3', '4:32'],
    ['entries/1/mailbox', 'R2', '5:46'],
  ])
  for (const size of [1, 3, 17, 64]) assert.deepEqual(read(file, size), whole)
})

const csv = [
  'presented,mailbox,known',
  'a@x.example,a@x.example,a@x.example',
  '"b@x.example","b@x.example","b@x.example;',
  ' c@x.example"',
  'nö@x.example ,  no,nö@x.example',
  'too,few',
].join('\n')

test('rows of a CSV file come with the line they begin in, cells with their column, also behind cells of several lines', () => {
  const whole = read(csv)
  assert.deepEqual(
    whole.entries.map(([, path, place]) => [path, place]),
    [
      ['row/2', '2:1'],
      ['row/3', '3:1'],
    ],
  )
  assert.deepEqual(whole.faults, [
    ['row/4/presented', 'R3', '5:1'],
    ['row/4/mailbox', 'R3', '5:17'],
    ['row/5', 'format', '6:1'],
  ])
  assert.equal(whole.isBroken, false, 'a row that is wrong does not end the reading')
  for (const size of [1, 3, 17, 64]) assert.deepEqual(read(csv, size), whole)
})

const broken: [what: string, text: string | Uint8Array, place: string][] = [
  ['no JSON', '{"format":"causeway-mapping-table/1",\n "entries":[ {"known": } ]}', '2:14'],
  ['text behind the object', '{"format":"causeway-mapping-table/1","entries":[]}\n x', '2:2'],
  ['a file that ends early', '{"format":"causeway-mapping-table/1","entries":[', '1:48'],
  ['a NUL in JSON', '{"format":\0}', '1:11'],
  ['UTF-16', Buffer.from('\uFEFFpresented,mailbox,known', 'utf16le'), '1:1'],
  ['Latin-1', Buffer.from('presented,mailbox,known\nj\xfc@x.example,', 'latin1'), '2:1'],
  ['an unknown column', 'presented,mailbox,known,name\n', '1:1'],
]
for (const [what, text, place] of broken) {
  test(`${what} ends the reading, with one fault that says where`, () => {
    const { faults, isBroken } = read(text)
    assert.deepEqual([faults.length, faults[0]?.[2], isBroken], [1, place, true])
  })
}

test('what a file lacks, has twice or does not know is told', () => {
  const { faults } = read('{"project":"","entries":[],"entries":[],"other":[],"version":"7"}')
  assert.deepEqual(
    faults.map(([path]) => path),
    ['project', 'entries', 'other', 'version', 'format'],
  )
})

// ── CSV both ways (WS-3) ──

const local = fc.stringMatching(/^[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}$/)
const quoted = fc.stringMatching(/^" [ -!#-[\]-~]{1,10}"$/)
const address = fc
  .tuple(fc.oneof(local, quoted), fc.constantFrom('a.example', 'b.example'))
  .map(([name, domain]) => `${name}@${domain}`)
const x500 = fc.stringMatching(/^\/[ -~]{1,20}$/)

test('WS-3: no cell of a CSV file begins as a formula, and each row reads as the same entry again', () => {
  fc.assert(
    fc.property(fc.array(address, { minLength: 1, maxLength: 4 }), fc.array(x500, { maxLength: 3 }), (known, names) => {
      const [first = ''] = known
      const entry = { known, presented: first, mailbox: first, ...(names.length > 0 ? { x500: names } : {}) }
      const row = csvRow(entry)
      for (const [, cell = ''] of row.matchAll(/(?:^|,)((?:"(?:[^"]|"")*")|[^",\r\n]*)/g))
        assert.doesNotMatch(cell.replace(/^"/, ''), /^[=+\-@\t\r]/)
      const { entries, faults } = read(CSV_HEADER + row)
      assert.deepEqual([entries.map(([written]) => written), faults], [[entry], []])
    }),
  )
})

test('cells are what they were: behind the apostrophe, in quotes, with several values', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[!-~]([ -~]*[!-~])?$/), { maxLength: 4 }), (values) => {
      assert.deepEqual(splitValues(joinValues(values)), values)
      for (const value of values) {
        const cell = formatCell(value)
        const bare = cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell
        assert.equal(restoreCell(bare), value)
      }
    }),
  )
})

const cells: [written: string, value: string, why: string][] = [
  ["'=1+1", '=1+1', 'a neutralised formula'],
  ["''=1+1", "'=1+1", 'what itself looked neutralised'],
  ["'alice@x.example", "'alice@x.example", 'an apostrophe of somebody’s own'],
  ["o'brien@x.example", "o'brien@x.example", 'an apostrophe within'],
]
for (const [written, value, why] of cells) {
  test(`${written} is read as ${value}: ${why}`, () => assert.equal(restoreCell(written), value))
}

test('the place of a member is that of the last one of its name, or of the innermost thing that is there', () => {
  const json = Buffer.from('{"a":[1,{"b":"}\\""}],\n "ä":2, "a":\n [3,4]}')
  assert.deepEqual(findMember(json, ['a', '1']), { line: 3, column: 5 })
  assert.deepEqual(findMember(json, ['a', '7']), { line: 3, column: 2 })
  assert.deepEqual(findMember(json, ['ä']), { line: 2, column: 6 })
  assert.deepEqual(findMember(json, ['c', 'd']), { line: 1, column: 1 })
})
