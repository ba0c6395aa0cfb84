// CSV of reports (RFC 4180), cut anywhere.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CsvFault, CsvReader } from '../../../control-plane/graph/csv.ts'

function parse(text: string, cuts: readonly number[] = []): string[][] {
  const reader = new CsvReader()
  const ends = [...cuts.map((cut) => cut % (text.length + 1)), text.length].toSorted((a, b) => a - b)
  let from = 0
  const rows: string[][] = []
  for (const end of ends) {
    rows.push(...reader.push(text.slice(from, end)))
    from = end
  }
  return [...rows, ...reader.end()]
}

const good: [text: string, rows: string[][], why: string][] = [
  [
    'a,b\r\n1,2\r\n',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
    'lines end in CRLF',
  ],
  [
    'a,b\n1,2',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
    'or LF, and the last may not end',
  ],
  ['a\r1\r', [['a'], ['1']], 'or CR'],
  ['\uFEFFa,b\n', [['a', 'b']], 'a byte order mark is no part of the first name'],
  ['a\n\uFEFFb\n', [['a'], ['\uFEFFb']], 'elsewhere it is a character'],
  ['"a,b","c\r\nd","e""f"\n', [['a,b', 'c\r\nd', 'e"f']], 'quoted fields hold commas, line ends and quotes'],
  ['"",\n', [['', '']], 'empty fields'],
  ['""""\n', [['"']], 'a quote alone'],
  [',\r\n', [['', '']], 'a comma alone'],
  ['a\r\n\r\nb\r\n', [['a'], ['b']], 'empty lines are none'],
  ['', [], 'nothing'],
  ['é,😀\n', [['é', '😀']], 'letters beyond ASCII'],
]
for (const [text, rows, why] of good) {
  test(`${JSON.stringify(text)} is read: ${why}`, () => {
    assert.deepEqual(parse(text), rows)
    for (let cut = 0; cut <= text.length; cut++) assert.deepEqual(parse(text, [cut]), rows, `cut at ${cut}`)
  })
}

const bad: [text: string, why: string][] = [
  ['"a', 'a quote that is not closed'],
  ['a"b\n', 'a quote inside a plain field'],
  ['"a"b\n', 'text behind a quoted field'],
  [`${'x'.repeat(65_537)}\n`, 'a field without end'],
  [`"${'x\n'.repeat(40_000)}"\n`, 'a quoted one too'],
  [`${','.repeat(501)}\n`, 'a row without end'],
]
for (const [text, why] of bad) {
  test(`${JSON.stringify(text.slice(0, 20))} is refused: ${why}`, () => {
    assert.throws(() => parse(text), CsvFault)
  })
}

test('what was written is read, however it is cut', () => {
  const field = fc.string({ unit: fc.constantFrom('a', ',', '"', '\r', '\n', 'é', '😀'), maxLength: 6 })
  const quote = (text: string) => (/[",\r\n]/.test(text) || text === '' ? `"${text.replaceAll('"', '""')}"` : text)
  fc.assert(
    fc.property(
      fc.array(fc.array(field, { minLength: 1, maxLength: 4 }), { maxLength: 5 }),
      fc.array(fc.nat(), { maxLength: 5 }),
      (rows, cuts) => {
        const text = rows.map((row) => `${row.map(quote).join(',')}\r\n`).join('')
        assert.deepEqual(parse(text, cuts), rows)
      },
    ),
  )
})

test('any text is read or refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', ',', '"', '\r', '\n', '\uFEFF') }), fc.nat(), (text, cut) => {
      const outcome = (cuts: number[]) => {
        try {
          return parse(text, cuts)
        } catch (error) {
          assert.ok(error instanceof CsvFault)
          return 'refused'
        }
      }
      assert.deepEqual(outcome([cut]), outcome([]))
    }),
  )
})
