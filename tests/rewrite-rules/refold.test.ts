import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_LINE, placesInAddressList, placesInUriList, refold } from '../../rewrite-rules/refold.ts'

const grown = (at: number) => [{ at, bytes: 1 }]

/** `To: ` and as many addresses of ten octets as the line can hold and more, with `separator` between. */
const list = (count: number, separator: string) =>
  `To: ${Array.from({ length: count }, () => 'abcde@x.yz').join(separator)}`

function fold(field: string, lineBreakBefore?: string): string[] {
  const text = `${field}\r\n`
  return refold(text, grown(5), placesInAddressList(text, 3, field.length), lineBreakBefore).split('\n')
}

const separators: [separator: string, firstLineEnd: string, secondLineStart: string, why: string][] = [
  [',', ',\r', ' a', 'CRLF SP after the comma where there is no white space'],
  [', ', ',\r', ' a', 'CRLF before the white space after the comma'],
  [',\t ', ',\r', '\t a', 'all of that white space goes to the next line'],
  [' ,', 'z\r', ' ,a', 'CRLF before the white space in front of the comma'],
  [' , ', ' ,\r', ' a', 'the later of two'],
  ['; ', ';\r', ' a', 'a semicolon separates too'],
  [' ', 'z\r', ' a', 'where nothing but white space separates'],
]
for (const [separator, firstLineEnd, secondLineStart, why] of separators) {
  test(`R42: ${JSON.stringify(separator)} between addresses: ${why}`, () => {
    const field = list(95, separator)
    assert.ok(field.length > MAX_LINE && field.length < 2 * MAX_LINE)
    const [first = '', second = '', ...rest] = fold(field)
    assert.ok(first.length <= MAX_LINE + 1, `${first.length - 1} octets`)
    assert.ok(first.length + 10 + separator.length > MAX_LINE, 'as late as possible')
    assert.equal(first.slice(-firstLineEnd.length), firstLineEnd)
    assert.equal(second.slice(0, secondLineStart.length), secondLineStart)
    assert.deepEqual(rest, [''])
    const unfolded = first.replace('\r', '') + (separator === ',' ? second.slice(1) : second).replace('\r', '')
    assert.equal(unfolded, field, 'nothing else moves')
  })
}

test('R42: a line of 998 octets stays, one of 999 is folded', () => {
  const field = (size: number) => `${list(80, ',')},`.padEnd(size - 4, 'x').concat('@y.z')
  assert.equal(fold(field(998)).length, 2)
  assert.equal(fold(field(999)).length, 3)
})

test('R42: the first line may have all of 998 octets', () => {
  const exact = `${list(80, ',')},`.padEnd(993, 'x').concat('@y.z,b@y.z')
  assert.deepEqual(
    fold(exact).map(({ length }) => length),
    [999, 7, 0],
    'with their CR',
  )
  const longer = exact.replace(',b@', 'z,b@')
  assert.ok((fold(longer)[0] ?? '').length < 999)
})

test('R42: a long line is folded as often as it takes', () => {
  const lines = fold(list(400, ','))
  assert.equal(lines.length, 6)
  for (const line of lines) assert.ok(line.length <= MAX_LINE + 1)
})

test('R42: of several separators between two addresses the first and the last are places', () => {
  const text = 'To: ,a@x,b,,"c, d" <e@y>,'
  const places = placesInAddressList(text, 3, text.length)
  assert.deepEqual(
    places.map(({ at }) => text.slice(at - 3, at)),
    ['@x,', 'b,,'],
  )
})

test('R42: only a line that grew is folded', () => {
  const field = `${list(95, ',')},\r\n ${list(95, ',').slice(4)}\r\n`
  const places = placesInAddressList(field, 3, field.length)
  const secondLine = field.indexOf('\n') + 1
  assert.equal(refold(field, [], places, undefined), field)
  assert.equal(refold(field, [{ at: 5, bytes: -1 }], places, undefined), field)
  assert.equal(
    refold(
      field,
      [
        { at: 5, bytes: 2 },
        { at: 20, bytes: -2 },
      ],
      places,
      undefined,
    ),
    field,
    'what one address added another took away',
  )
  const folded = refold(field, grown(secondLine + 5), places, undefined)
  assert.equal(folded.slice(0, secondLine), field.slice(0, secondLine))
  assert.notEqual(folded, field)
})

test('R42: without a place between two addresses the line stays long', () => {
  const long = 'x'.repeat(1000)
  assert.deepEqual(fold(`To: ${long}@x`), [`To: ${long}@x\r`, ''])
  assert.deepEqual(
    fold(`To: "a, b" (c, d) <${long}@x>`),
    [`To: "a, b" (c, d) <${long}@x>\r`, ''],
    'no commas of a name',
  )
  assert.deepEqual(
    fold(`To: a, b, ${long}@x,`),
    [`To: a, b, ${long}@x,\r`, ''],
    'not before the first or after the last',
  )
  assert.deepEqual(
    fold(`To: ${long}@x, a@x`),
    [`To: ${long}@x, a@x\r`, ''],
    'not where the first line would still be long',
  )
})

test('R42: no line of only white space is made, and no second fold where one is', () => {
  const long = list(89, ',')
  const field = `${long}, \r\n a@x`
  const lines = fold(field)
  for (const line of lines.slice(0, -1)) assert.notEqual(line.trim(), '')
  const text = `To: a@x,\r\n b@x, \r\n c@x\r\n ,d@x`
  assert.deepEqual(placesInAddressList(text, 3, text.length), [{ at: text.indexOf(',d') + 1, needsSpace: true }])
})

test('R48: an added break is like that of the line before', () => {
  const long = list(95, ',')
  assert.match(refold(`${long}\n`, grown(5), placesInAddressList(long, 3, long.length), undefined), /,\n /)
  assert.match(refold(`${long}\n`, grown(5), placesInAddressList(long, 3, long.length), '\r\n'), /,\r\n .*\n$/)
  assert.match(refold(long, grown(5), placesInAddressList(long, 3, long.length), undefined), /,\r\n /)
  const second = `To: a@x,\n ${long.slice(4)}\r\n`
  assert.match(
    refold(second, grown(20), placesInAddressList(second, 3, second.length), '\r\n'),
    /[^\r]\n abcde.*,\n abcde/,
  )
})

test('R36: a list of URIs is folded between brackets only', () => {
  const uri = `<mailto:${'x'.repeat(400)}@x?cc=a@x,b@x>`
  const text = `List-Post: ${[uri, uri, uri].join(',')}\r\n`
  const places = placesInUriList(text, 10, text.length - 2)
  assert.deepEqual(
    places.map(({ at }) => text.slice(at - 2, at + 1)),
    ['>,<', '>,<'],
  )
  const lines = refold(text, grown(30), places, undefined).split('\r\n')
  assert.deepEqual(
    lines.map((line) => line.slice(-2)),
    ['>,', 'x>', ''],
  )
  assert.deepEqual(placesInUriList('<a>,', 0, 4), [], 'not behind the last')
  assert.deepEqual(placesInUriList('x,<a>', 0, 5), [], 'not before the first')
})
