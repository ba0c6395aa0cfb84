import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { TableFault } from '../../rewrite-rules/input-fault.ts'
import { TableReader, compileTable } from '../../rewrite-rules/mapping-table.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'

type Result = { digest: string } | { faults: { path: string; value: string; rule: string; reason: string }[] }

function attempt(work: () => { digest: string }): Result {
  try {
    return { digest: work().digest }
  } catch (error) {
    assert.ok(error instanceof TableFault, String(error))
    return { faults: [...error.faults] }
  }
}

function readInChunks(bytes: Uint8Array, size: (place: number) => number): Result {
  return attempt(() => {
    const reader = new TableReader()
    for (let at = 0; at < bytes.length;) {
      const end = at + Math.max(1, size(at))
      reader.write(bytes.subarray(at, end))
      at = end
    }
    return reader.end()
  })
}

const text = JSON.stringify(EXAMPLE_TABLE)
const { digest } = compileTable(EXAMPLE_TABLE)

const spellings: [what: string, text: string][] = [
  ['as JSON.stringify writes it', text],
  ['indented', JSON.stringify(EXAMPLE_TABLE, undefined, 2)],
  ['with CRLF and tabs', JSON.stringify(EXAMPLE_TABLE, undefined, '\t').replaceAll('\n', '\r\n')],
  ['with every letter escaped', text.replaceAll('a', '\\u0061')],
  ['with the members of entries turned round', JSON.stringify(reversed(EXAMPLE_TABLE))],
  ['with white space at both ends', ` \n${text}\n \t`],
]
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, member]) => [key, reversed(member)]),
  )
}
for (const [what, spelling] of spellings) {
  test(`a table ${what} is the same table, in chunks of any size`, () => {
    const bytes = Buffer.from(spelling)
    for (const size of [1, 2, 3, 7, 64, 1000, bytes.length])
      assert.deepEqual(
        readInChunks(bytes, () => size),
        { digest },
      )
  })
}

const entry = '{"known":["a@x.example"],"presented":"a@x.example","mailbox":"a@x.example"}'
const head = '{"format":"causeway-mapping-table/1","project":"p1","version":1,"entries":['
const faulty: [what: string, text: string, path: string][] = [
  ['nothing', '', ''],
  ['white space', ' \n', ''],
  ['a list', '[]', ''],
  ['half an object', '{', ''],
  ['no colon', '{"format"}', 'format'],
  ['no comma between members', '{"version":1 "project":"p"}', 'version'],
  ['a comma before the end', '{"version":1,}', 'version'],
  ['text behind the object', `${head}]}x`, 'entries'],
  ['two objects', `${head}]}{}`, 'entries'],
  ['a value that is none', '{"version":x}', 'version'],
  ['no value', '{"version":,"project":"p"}', 'version'],
  ['a bracket too many', '{"version":1]', 'version'],
  ['an item that is none', `${head}${entry},x]}`, 'entries/1'],
  ['no item between commas', `${head}${entry},,${entry}]}`, 'entries/1'],
  ['a comma before the end of a list', `${head}${entry},]}`, 'entries/1'],
  ['a comma as a list', `${head},]}`, 'entries/0'],
  ['no comma between items', `${head}${entry}${entry}]}`, 'entries/1'],
  ['a list that ends as an object', `${head}${entry}}}`, 'entries/1'],
  ['an item that ends as a list', `${head}{"known":[]]]}`, 'entries/0'],
  ['an unfinished string', `${head}{"known`, 'entries/0'],
  ['the end too early', `${head}${entry}`, 'entries/1'],
  ['a control character in a string', `${head}${entry.replace('a@', 'a\u0001@')}]}`, 'entries/0'],
  ['deep nesting', `${head}${'['.repeat(40)}${']'.repeat(40)}]}`, 'entries/0'],
  ['a member given twice', `${head}],"version":2}`, 'version'],
  ['a list given twice', `${head}],"entries":[]}`, 'entries'],
  [
    'a value where a list is due',
    '{"format":"causeway-mapping-table/1","project":"p1","version":1,"entries":7}',
    'entries',
  ],
]
for (const [what, spelling, path] of faulty) {
  test(`${what} is refused at ${path === '' ? 'the top' : path}, in chunks of any size`, () => {
    const bytes = Buffer.from(spelling)
    for (const size of [1, 5, bytes.length]) {
      const result = readInChunks(bytes, () => size)
      assert.ok('faults' in result)
      assert.equal(result.faults[0]?.path, path)
    }
  })
}

test('a table of many chunks is the same, wherever they are cut', () => {
  // Alike in size and shape, so that what is left of an earlier chunk fits behind a cut one.
  const list = Array.from({ length: 6000 }, (_, i) => ({
    known: [`user${10_000 + i}@contoso.example`, `user${10_000 + i}@fabrikam.example`],
    presented: `user${10_000 + i}@fabrikam.example`,
    mailbox: `user${10_000 + i}@contoso.example`,
    x500: [`/o=x/cn=user${10_000 + i}`],
  }))
  const table = { format: 'causeway-mapping-table/1', project: 'p1', version: 1, entries: list }
  const expected = { digest: compileTable(table).digest }
  const bytes = Buffer.from(JSON.stringify(table))
  for (const size of [997, 4099, 65_536, 65_537])
    assert.deepEqual(
      readInChunks(bytes, () => size),
      expected,
    )
})

test('text that is not UTF-8 is refused where it stands', () => {
  const bytes = Buffer.concat([
    Buffer.from(`${head}${entry},{"known":["`),
    Buffer.of(0xff),
    Buffer.from('@x.example"]}]}'),
  ])
  const result = readInChunks(bytes, () => 10)
  assert.ok('faults' in result)
  assert.equal(result.faults[0]?.path, 'entries/1')
})

test('an item larger than any entry is refused before it is all in memory', () => {
  const reader = new TableReader()
  reader.write(Buffer.from(`${head}{"known":["`))
  const chunk = Buffer.alloc(1024 * 1024, 0x61)
  for (let i = 0; i < 6; i++) reader.write(chunk)
  assert.throws(
    () => reader.end(),
    (error) => error instanceof TableFault && error.faults[0]?.path === 'entries/0',
  )
})

test('white space costs no memory and is no item', () => {
  const reader = new TableReader()
  const spaces = Buffer.alloc(1024 * 1024, 0x20)
  for (const piece of [...head.split(/(?<=[:,[])/), ']', '}']) {
    reader.write(Buffer.from(piece))
    reader.write(spaces)
  }
  assert.equal(reader.end().entryCount, 0)
})

// Some of these the quick way reads (plain-entry.ts), some it must leave to the thorough one: both have to come to the same.
const local = fc.constantFrom(
  'a',
  'B',
  'c.d',
  'e+f',
  '"g h"',
  'ü',
  '.i',
  'j.',
  'k..l',
  '',
  'm'.repeat(64),
  'n'.repeat(65),
  'o,p',
  'q@r',
  's\\t',
)
const domain = fc.constantFrom(
  'x.example',
  'y.example',
  'X.example',
  'ü.example',
  '-z.example',
  'w_1.example',
  '1.2.3.4',
  '[1.2.3.4]',
  '',
  'v..example',
  `${'u'.repeat(200)}.t`,
)
const plain = fc
  .tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'), fc.constantFrom('x.example', 'y.example'))
  .map(([user, host]) => `${user}@${host}`)
const address = fc.oneof(
  { weight: 6, arbitrary: plain },
  { weight: 1, arbitrary: fc.tuple(local, domain).map(([user, host]) => `${user}@${host}`) },
)
const entries = fc.array(
  fc
    .record(
      {
        known: fc.array(address, { minLength: 1, maxLength: 3 }),
        p: fc.nat(5),
        m: fc.nat(5),
        x500: fc.array(fc.constantFrom('/o=a', '/O=A', '/o=b', 'o=c', '/o=ü', '/o="d\\', '/o=\u0001'), {
          maxLength: 2,
        }),
        eai: fc.constantFrom(false, true, 'x'),
        route: fc.constantFrom('mx', 'return', 'owner-tenant', 'none'),
        extra: fc.constant(1),
      },
      { requiredKeys: ['known', 'p', 'm'] },
    )
    .map(({ known, p, m, extra, ...rest }) => ({
      known,
      presented: known[p] ?? known[0],
      mailbox: known[m] ?? known[0],
      ...rest,
      ...(p === 5 && m === 5 && extra !== undefined && { extra }),
    })),
  { maxLength: 4 },
)
test('the table, or the faults with their paths and values, are the same from objects and from text in any chunks', () => {
  let tables = 0
  fc.assert(
    fc.property(entries, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 }), (list, sizes) => {
      const table = { format: 'causeway-mapping-table/1', project: 'p1', version: 1, entries: list }
      const expected = attempt(() => compileTable(table))
      if ('digest' in expected) tables++
      let turn = 0
      const size = (): number => sizes[turn++ % sizes.length] ?? 1
      assert.deepEqual(readInChunks(Buffer.from(JSON.stringify(table)), size), expected)
      assert.deepEqual(readInChunks(Buffer.from(JSON.stringify(table, undefined, 1)), size), expected)
      assert.deepEqual(
        attempt(() => compileTable(JSON.stringify(table))),
        expected,
      )
    }),
    { numRuns: 400 },
  )
  assert.ok(tables > 40, `only ${tables} of the random tables were tables`)
})

test('whatever the bytes are, nothing but a TableFault is thrown', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .array(fc.constantFrom(head, entry, ',', ']', '}', '{', '[', '"', ':', '\\', '1', 'entries', '\n'), {
        maxLength: 12,
      })
      .map((pieces) => Buffer.from(pieces.join(''))),
    fc
      .array(
        fc
          .constantFrom(
            'presented,mailbox,known\n',
            'a@b.example',
            ',',
            ';',
            '"',
            '\n',
            '\r\n',
            ' ',
            'ü€😀',
            '\u{feff}',
          )
          .map((piece) => Buffer.from(piece)),
        { maxLength: 12 },
      )
      // Cut anywhere, so that characters are unfinished and others begin within.
      .chain((pieces) => {
        const whole = Buffer.concat(pieces)
        return fc
          .tuple(fc.nat(whole.length), fc.nat(3), fc.boolean())
          .map(([at, gap, isHeaded]) =>
            Buffer.concat([
              Buffer.from(isHeaded ? 'presented,mailbox,known\n' : ''),
              whole.subarray(0, at),
              whole.subarray(at + gap),
            ]),
          )
      }),
  )
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 20 }), (input, size) => {
      assert.deepEqual(
        readInChunks(input, () => size),
        readInChunks(input, () => input.length),
      )
    }),
    {
      numRuns: 5000,
      examples: [
        [Uint8Array.of(0, 10, 128), 1], // two faults: the header line's comes first
        [Buffer.from('presented,mailbox,known\n\u00fc,\u20ac\n\xff', 'latin1'), 1],
        [Buffer.from([...Buffer.from('presented,mailbox,known\na,b\n'), 0xe2, 0x82]), 2], // ends within a character
      ],
    },
  )
})

test('twice the text takes no more than about twice the time, however small the chunks are', () => {
  const hostile = (count: number): Buffer => Buffer.from(`${head}{"known":["${'a\\"'.repeat(count)}"]}]}`)
  const timeOf = (count: number): number => {
    const bytes = hostile(count)
    const times = [0, 1, 2].map(() => {
      const start = process.cpuUsage()
      readInChunks(bytes, () => 16)
      return process.cpuUsage(start).user
    })
    return Math.min(...times)
  }
  timeOf(10_000)
  const once = timeOf(100_000)
  assert.ok(timeOf(200_000) < once * 3 + 20_000)
})
