import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { TableFault } from '../../rewrite-rules/input-fault.ts'
import { TableReader, compileTable } from '../../rewrite-rules/mapping-table.ts'

const IDENTITY = { project: 'p1', version: 3 }

const expected = compileTable({
  format: 'causeway-mapping-table/1',
  ...IDENTITY,
  entries: [
    {
      known: ['a@x.example', 'b@x.example', 'a@y.example'],
      presented: 'a@y.example',
      mailbox: 'a@x.example',
      x500: ['/o=A', '/o=B'],
      route: 'mx',
    },
    {
      known: ['"j, s"@x.example', 'j@y.example', 'jü@y.example'],
      presented: 'jü@y.example',
      mailbox: '"j, s"@x.example',
      eai: true,
    },
    { known: ['c@x.example'], presented: 'c@x.example', mailbox: 'c@x.example' },
  ],
}).digest

const rows = [
  'presented,mailbox,known,x500,route,eai',
  'a@y.example,a@x.example,a@x.example;b@x.example;a@y.example,/o=A;/o=B,mx,',
  'jü@y.example,"""j, s""@x.example","""j, s""@x.example;j@y.example;jü@y.example",,,TRUE',
  'c@x.example,c@x.example,c@x.example,,,false',
]

const files: [what: string, text: string][] = [
  ['as a person writes it', rows.join('\n')],
  ['with CRLF and a last line break', `${rows.join('\r\n')}\r\n`],
  ['with a byte order mark', `\uFEFF${rows.join('\n')}`],
  ['with empty rows', rows.join('\n\n,,,,,\n')],
  [
    'with spaces around cells and values',
    rows.join('\n').replaceAll(';', ' ; ').replace('a@y.example,a@x.example', ' a@y.example , a@x.example '),
  ],
  ['with names of columns in capitals', rows.join('\n').replace('presented,mailbox', 'Presented,MAILBOX')],
  [
    'with the columns separated by ;',
    [
      'presented;mailbox;known;x500;route;eai',
      'a@y.example;a@x.example;"a@x.example;b@x.example;a@y.example";"/o=A;/o=B";mx;',
      'jü@y.example;"""j, s""@x.example";"""j, s""@x.example;j@y.example;jü@y.example";;;WAHR'.replace('WAHR', 'true'),
      'c@x.example;c@x.example;c@x.example;;;',
    ].join('\r\n'),
  ],
  [
    'with the columns in another order, and every cell quoted',
    [
      '"known","eai","mailbox","presented","route","x500"',
      '"a@x.example;b@x.example;a@y.example","","a@x.example","a@y.example","mx","/o=A;/o=B"',
      '"""j, s""@x.example;j@y.example;jü@y.example","true","""j, s""@x.example","jü@y.example","",""',
      '"c@x.example","","c@x.example","c@x.example","",""',
    ].join('\n'),
  ],
]
for (const [what, text] of files) {
  test(`product.md §8: CSV ${what} is the same table, in chunks of any size`, () => {
    const bytes = Buffer.from(text)
    assert.equal(compileTable(bytes, IDENTITY).digest, expected)
    for (const size of [1, 2, 3, 10]) {
      const reader = new TableReader(IDENTITY)
      for (let at = 0; at < bytes.length; at += size) reader.write(bytes.subarray(at, at + size))
      assert.equal(reader.end().digest, expected)
    }
  })
}

test('CSV with the three columns that are needed is a table', () => {
  const table = compileTable('presented,mailbox,known\nc@x.example,c@x.example,c@x.example')
  assert.equal(table.entryCount, 1)
  assert.equal(compileTable('presented;mailbox;known').entryCount, 0, 'no entries at all')
})

const header = 'presented,mailbox,known'
const faulty: [what: string, text: string, path: string, rule: string][] = [
  ['a column that is none', 'presented,mailbox,known,name', 'row/1', 'format'],
  ['a column twice', 'presented,mailbox,known,known', 'row/1', 'format'],
  ['a column missing', 'presented,known', 'row/1', 'format'],
  ['no header line', 'c@x.example,c@x.example,c@x.example', 'row/1', 'format'],
  ['too few cells', `${header}\na@x.example,a@x.example`, 'row/2', 'format'],
  ['too many cells', `${header}\n\na@x.example,a@x.example,a@x.example,`, 'row/3', 'format'],
  ['text behind a quoted cell', `${header}\n"a@x.example"x,a@x.example,a@x.example`, 'row/2', 'format'],
  ['a quote that is not closed', `${header}\n"a@x.example,a@x.example,a@x.example\n`, 'row/2', 'format'],
  ['P not in K', `${header}\nb@x.example,a@x.example,a@x.example`, 'row/2/presented', 'R2'],
  ['a known that is no address', `${header}\na@x.example,a@x.example,a@x.example;x`, 'row/2/known/1', 'R3'],
  ['no known addresses', `${header}\na@x.example,a@x.example,`, 'row/2/known', 'R2'],
  ['a route that is none', `${header},route\na@x.example,a@x.example,a@x.example,x`, 'row/2/route', '§13'],
  ['eai that is no truth value', `${header},eai\na@x.example,a@x.example,a@x.example,x`, 'row/2/eai', 'format'],
  [
    'K sets not disjoint',
    `${header}\na@x.example,a@x.example,a@x.example\n\nb@x.example,b@x.example,b@x.example;A@x.example`,
    'row/4/known/1',
    'R3',
  ],
]
for (const [what, text, path, rule] of faulty) {
  test(`${rule}: CSV with ${what} is refused at ${path}`, () => {
    assert.throws(
      () => compileTable(text),
      (error) => error instanceof TableFault && error.faults[0]?.path === path && error.faults[0].rule === rule,
    )
  })
}

test('CSV that is not UTF-8 is refused', () => {
  for (const bytes of [Buffer.of(0x70, 0xff), Buffer.concat([Buffer.from(header), Buffer.of(0xc3)])]) {
    assert.throws(() => compileTable(bytes), TableFault)
  }
})

test('a row larger than any entry is refused before it is all in memory', () => {
  for (const start of ['', '"']) {
    const reader = new TableReader()
    reader.write(Buffer.from(`${header}\n${start}`))
    for (let i = 0; i < 6; i++) reader.write(Buffer.alloc(1024 * 1024, 0x61))
    assert.throws(
      () => reader.end(),
      (error) => error instanceof TableFault && error.faults[0]?.path === 'row/2',
    )
  }
})
