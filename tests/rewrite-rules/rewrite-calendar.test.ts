// The rules R60–R67 one by one; the examples E70–E79 are in body-examples.test.ts.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { ReportRecorder } from '../../rewrite-rules/change-report.ts'
import type { Direction } from '../../rewrite-rules/change-report.ts'
import { readText } from '../../rewrite-rules/charset.ts'
import { compileTable } from '../../rewrite-rules/mapping-table.ts'
import { DEFAULT_POLICY } from '../../rewrite-rules/policy.ts'
import { rewriteCalendar } from '../../rewrite-rules/rewrite-calendar.ts'
import { applySplices } from '../../rewrite-rules/splice.ts'
import { assertLinear } from '../harness/doubling.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'

const table = compileTable({
  ...EXAMPLE_TABLE,
  entries: [
    ...EXAMPLE_TABLE.entries,
    {
      known: ['d&d@contoso.com', 'dungeon@fabrikam.com'],
      presented: 'dungeon@fabrikam.com',
      mailbox: 'd&d@contoso.com',
    },
    {
      known: ['zoé@contoso.com', 'zoe@contoso.com'],
      presented: 'zoé@contoso.com',
      mailbox: 'zoe@contoso.com',
      eai: true,
    },
  ],
})
const map = table.withPolicy(DEFAULT_POLICY)

interface Options {
  readonly direction?: Direction
  readonly method?: string
  readonly charset?: string
  readonly displayNameAddress?: boolean
  readonly smtpUtf8?: boolean
}

/** @param calendar  latin1 */
function rewrite(calendar: string, options: Options = {}): { text: string; recorder: ReportRecorder } | string {
  const recorder = new ReportRecorder()
  const octets = Buffer.from(calendar, 'latin1')
  const text = readText(octets, options.charset ?? '')
  assert.ok(text)
  const defaults = { direction: 'out', smtpUtf8: false, displayNameAddress: true, method: '', path: '2' } as const
  const splices = rewriteCalendar(text, { ...defaults, map, ...options }, recorder)
  if (typeof splices === 'string') return splices
  return { text: applySplices(octets, text.toOctets(splices)).toString('latin1'), recorder }
}

const around = (line: string, lineBreak = '\r\n') =>
  ['BEGIN:VCALENDAR', 'BEGIN:VEVENT', line, 'END:VEVENT', 'END:VCALENDAR', ''].join(lineBreak)

/** One line of an event, rewritten. */
function rewriteLine(line: string, options: Options = {}): string {
  const result = rewrite(around(line), options)
  assert.ok(typeof result === 'object')
  return result.text.slice('BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n'.length, -'\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n'.length)
}

const UTF8 = (text: string) => Buffer.from(text).toString('latin1')

const LINES: [line: string, result: string, why: string, options?: Options][] = [
  ['ATTENDEE:mailto:bob@contoso.com', 'ATTENDEE:mailto:bob@fabrikam.com', 'R61'],
  ['attendee:mailto:bob@contoso.com', 'attendee:mailto:bob@fabrikam.com', 'R61: names in any case'],
  ['ATTENDEE:bob@contoso.com', 'ATTENDEE:bob@fabrikam.com', 'R61: a bare address'],
  ['ATTENDEE: MAILTO: bob@contoso.com ', 'ATTENDEE: MAILTO: bob@fabrikam.com ', 'white space around'],
  ['CALENDAR-ADDRESS:mailto:bob@contoso.com', 'CALENDAR-ADDRESS:mailto:bob@fabrikam.com', 'R61: RFC 9073'],
  ['ORGANIZER;SENT-BY="bob@contoso.com":x', 'ORGANIZER;SENT-BY="bob@fabrikam.com":x', 'a bare address in a parameter'],
  [
    'ATTENDEE;DELEGATED-FROM=mailto:bob@contoso.com,mailto:bob@contoso.com:x',
    'ATTENDEE;DELEGATED-FROM=mailto:bob@fabrikam.com,mailto:bob@fabrikam.com:x',
    'R61: unquoted list',
  ],
  ['ATTENDEE;EMAIL="bob@contoso.com":x', 'ATTENDEE;EMAIL="bob@fabrikam.com":x', 'R61: EMAIL in quotes'],
  ['ATTENDEE;CN=bob@contoso.com:x', 'ATTENDEE;CN=bob@fabrikam.com:x', 'R61: CN that is an address'],
  ['ATTENDEE;CN="\'bob@contoso.com\'":x', 'ATTENDEE;CN="\'bob@fabrikam.com\'":x', 'R43: in its dress'],
  ['ATTENDEE;CN="<bob@contoso.com>":x', 'ATTENDEE;CN="<bob@fabrikam.com>":x', 'R43: in its dress'],
  ['ATTENDEE;CN=Bob bob@contoso.com:x', 'ATTENDEE;CN=Bob bob@contoso.com:x', 'R61: only the whole value'],
  ['ATTENDEE;CN=bob@contoso.com:x', 'ATTENDEE;CN=bob@contoso.com:x', 'R43: policy', { displayNameAddress: false }],
  [
    'ATTENDEE;CN="a:b;c,d":mailto:bob@contoso.com',
    'ATTENDEE;CN="a:b;c,d":mailto:bob@fabrikam.com',
    'separators in quotes',
  ],
  [
    'ATTENDEE;CN="a:mailto:bob@contoso.com',
    'ATTENDEE;CN="a:mailto:bob@fabrikam.com',
    'an unclosed quote is an ordinary character',
  ],
  [
    'ATTENDEE;CN="a"b;CN2:mailto:bob@contoso.com',
    'ATTENDEE;CN="a"b;CN2:mailto:bob@fabrikam.com',
    'junk after a quote, a parameter without value',
  ],
  [
    'ATTENDEE;X=1:mailto:bob@contoso.com?subject=bob@contoso.com',
    'ATTENDEE;X=1:mailto:bob@fabrikam.com?subject=bob@contoso.com',
    'R63: up to ?',
  ],
  [
    'ATTENDEE:mailto:bob@contoso.com,mailto:bob@contoso.com',
    'ATTENDEE:mailto:bob@fabrikam.com,mailto:bob@contoso.com',
    'R63: up to a comma',
  ],
  ['ATTENDEE:mailto:bob@contoso.com (x)', 'ATTENDEE:mailto:bob@fabrikam.com (x)', 'R63: up to white space'],
  [
    'ATTENDEE;MEMBER="mailto:bob@contoso.com,x":x',
    'ATTENDEE;MEMBER="mailto:bob@contoso.com,x":x',
    'R63: a comma in quotes ends nothing',
  ],
  [
    'ATTENDEE:mailto:%22john%20smith%22@contoso.com',
    'ATTENDEE:mailto:john.smith@fabrikam.com',
    'R63: percent-decoded for matching',
  ],
  [
    'ATTENDEE:mailto:john.smith@fabrikam.com',
    'ATTENDEE:mailto:%22john%20smith%22@contoso.com',
    'R63: what a URI may not hold is encoded',
    { direction: 'in' },
  ],
  [
    'ATTENDEE:mailto:dungeon@fabrikam.com',
    'ATTENDEE:mailto:d%26d@contoso.com',
    'R63: RFC 6068 §2',
    { direction: 'in' },
  ],
  ['ATTENDEE:mailto:alice+news@contoso.com', 'ATTENDEE:mailto:alice.smith+news@fabrikam.com', 'R22'],
  [
    'ATTENDEE:mailto:alice%2Bnews%40contoso.com',
    'ATTENDEE:mailto:alice.smith+news@fabrikam.com',
    'R63: a literal @ and +',
  ],
  [
    'ATTENDEE:mailto:Print.Room@CORP.contoso.com',
    'ATTENDEE:mailto:Print.Room@corp.fabrikam.com',
    'R41: a domain rule splices the domain',
  ],
  ['ATTENDEE:mailto:bob@contoso.com.', 'ATTENDEE:mailto:bob@fabrikam.com', 'R20: trailing dot'],
  ['ATTENDEE:mailto:bob@fabrikam.com', 'ATTENDEE:mailto:bob@fabrikam.com', 'R45'],
  ['ATTENDEE:mailto:bob%40fabrikam.com', 'ATTENDEE:mailto:bob%40fabrikam.com', 'R45'],
  ['ATTENDEE:MAILTO:Bob@Fabrikam.COM', 'ATTENDEE:MAILTO:Bob@Fabrikam.COM', 'R45: case'],
  [UTF8('ATTENDEE:mailto:x@münchen.example'), UTF8('ATTENDEE:mailto:x@münchen.example'), 'no entry'],
  [UTF8('ATTENDEE:mailto:juergen@münchen.example'), 'ATTENDEE:mailto:juergen@fabrikam.com', 'R27: a U-label domain'],
  ['ATTENDEE:mailto:juergen@m%C3%BCnchen.example', 'ATTENDEE:mailto:juergen@fabrikam.com', 'R27: percent-encoded'],
  [
    'ATTENDEE:mailto:bob@contoso.com%0D%0AX:y',
    'ATTENDEE:mailto:bob@contoso.com%0D%0AX:y',
    'PS-5: decoded text makes no structure',
  ],
  ['ATTENDEE:invalid:nomail', 'ATTENDEE:invalid:nomail', 'not a mailto URI'],
  ['ATTENDEE', 'ATTENDEE', 'no value'],
  ['ATTENDEE;CN=x', 'ATTENDEE;CN=x', 'no value'],
  [
    'ORGANIZER;CN=sales@contoso.com;SENT-BY="mailto:bob@fabrikam.com":mailto:sales@contoso.com',
    'ORGANIZER;CN=sales@fabrikam.com;SENT-BY="mailto:bob@fabrikam.com":mailto:sa\r\n les@fabrikam.com',
    'R64: a changed line is folded',
  ],
  ...[
    'UID',
    'CONTACT',
    'COMMENT',
    'DESCRIPTION',
    'SUMMARY',
    'LOCATION',
    'X-ALT-DESC',
    'URL',
    'ATTACH',
    'REQUEST-STATUS',
    'X-FOO',
    'ATTENDEES',
  ].map((name): [string, string, string] => [
    `${name}:mailto:bob@contoso.com`,
    `${name}:mailto:bob@contoso.com`,
    'R61: never',
  ]),
  ['ATTENDEE;DIR="mailto:bob@contoso.com":x', 'ATTENDEE;DIR="mailto:bob@contoso.com":x', 'R61: never'],
]
for (const [line, result, why, options] of LINES) {
  test(`${line}: ${why}`, () => {
    assert.equal(rewriteLine(line, options), result)
    // R4: a second time nothing changes.
    assert.equal(rewriteLine(result, options), result)
  })
}

test('CN that becomes an address with quotes is written as RFC 6868 says, and read back', () => {
  const written = "ATTENDEE;CN=^'john smith^'@contoso.com:mailto:x@y"
  assert.equal(rewriteLine('ATTENDEE;CN=john.smith@fabrikam.com:mailto:x@y', { direction: 'in' }), written)
  assert.equal(rewriteLine(written), 'ATTENDEE;CN=john.smith@fabrikam.com:mailto:x@y')
})

test('an eai address is written percent-encoded, only in an SMTPUTF8 message, and never read from percent-encoding (R27, R63)', () => {
  const line = 'ATTENDEE:mailto:zoe@contoso.com'
  assert.equal(rewriteLine(line), line)
  assert.equal(rewriteLine(line, { smtpUtf8: true }), 'ATTENDEE:mailto:zo%C3%A9@contoso.com')
  const encoded = 'ATTENDEE:mailto:zo%C3%A9@contoso.com'
  assert.equal(rewriteLine(encoded, { smtpUtf8: true, direction: 'in' }), encoded)
  const raw = UTF8('ATTENDEE:mailto:zoé@contoso.com')
  assert.equal(rewriteLine(raw, { smtpUtf8: true, direction: 'in' }), line)
  assert.equal(rewriteLine(raw, { direction: 'in' }), raw)
})

const METHODS: [method: string, organizer: boolean, attendee: boolean][] = [
  ...['REQUEST', 'ADD', 'CANCEL', 'DECLINECOUNTER', 'PUBLISH', 'X-OTHER', ''].map(
    (method): [string, boolean, boolean] => [method, false, true],
  ),
  ...['REPLY', 'REFRESH', 'COUNTER', 'reply'].map((method): [string, boolean, boolean] => [method, true, false]),
]
for (const [method, organizer, attendee] of METHODS) {
  test(`in, METHOD ${method || 'missing'}: ${organizer ? 'ORGANIZER' : 'ATTENDEE'} is the receiving side (R62)`, () => {
    const calendar = (org: string, att: string, methodLine: string) =>
      [
        'BEGIN:VCALENDAR',
        ...(methodLine === '' ? [] : [`METHOD:${methodLine}`]),
        'BEGIN:VEVENT',
        `ORGANIZER;SENT-BY="mailto:${org}":mailto:${org}`,
        `ATTENDEE;MEMBER="mailto:${att}":mailto:${att}`,
        `CALENDAR-ADDRESS:mailto:${att}`,
        'X-MS-OLK-SENDER:mailto:alice.smith@fabrikam.com',
        'END:VEVENT',
        'END:VCALENDAR',
        '',
      ].join('\r\n')
    const output = (methodLine: string) =>
      calendar(
        organizer ? 'sales@contoso.com' : 'sales@fabrikam.com',
        attendee ? 'alice@contoso.com' : 'alice.smith@fabrikam.com',
        methodLine,
      )
    const input = (methodLine: string) => calendar('sales@fabrikam.com', 'alice.smith@fabrikam.com', methodLine)
    const result = rewrite(input(method), { direction: 'in' })
    assert.ok(typeof result === 'object')
    assert.equal(result.text, output(method))
    // The Content-Type's method counts only where the object has none.
    const byParameter = rewrite(input(''), { direction: 'in', method })
    assert.ok(typeof byParameter === 'object')
    assert.equal(byParameter.text, output(''))
    const contradicting = rewrite(input('REQUEST'), { direction: 'in', method })
    assert.deepEqual(contradicting, rewrite(input('REQUEST'), { direction: 'in' }))
  })
}

test('in: each object has its own method, each component its own organizer (R62)', () => {
  const event = (organizer: string, attendee: string) =>
    `BEGIN:VEVENT\r\nATTENDEE:mailto:${attendee}\r\nORGANIZER:mailto:${organizer}\r\nBEGIN:VALARM\r\nATTENDEE:mailto:${attendee}\r\nEND:VALARM\r\nEND:VEVENT\r\n`
  const object = (method: string, ...events: string[]) =>
    `BEGIN:VCALENDAR\r\nMETHOD:${method}\r\n${events.join('')}END:VCALENDAR\r\n`
  const sales = 'sales@fabrikam.com'
  const alice = 'alice.smith@fabrikam.com'
  const input = object('REQUEST', event(sales, alice), event(alice, alice)) + object('REPLY', event(alice, sales))
  const output =
    object('REQUEST', event(sales, 'alice@contoso.com'), event(alice, alice)) +
    object('REPLY', event('alice@contoso.com', sales))
  const result = rewrite(input, { direction: 'in' })
  assert.ok(typeof result === 'object')
  assert.equal(result.text, output)
})

test('in: an organizer who is known by another of his addresses, or by a rule only, is still the organizer (R62)', () => {
  for (const [organizer, attendee] of [
    ['asmith@contoso.com', 'alice.smith@fabrikam.com'],
    ['Room@corp.fabrikam.com', 'room@CORP.fabrikam.com'],
  ]) {
    const calendar = around(`ATTENDEE:mailto:${attendee}\r\nORGANIZER:mailto:${organizer}`)
    const result = rewrite(calendar, { direction: 'in' })
    assert.ok(typeof result === 'object')
    assert.equal(result.text, calendar)
  }
})

test('a changed line is folded at 75 octets (R64)', () => {
  const line = (octets: number, address: string) => `ATTENDEE;X=${'x'.repeat(octets - 12 - address.length)}:${address}`
  const fits = line(75, 'bob@fabrikam.com')
  assert.equal(rewriteLine(fits.replace('fabrikam', 'contoso')), fits)
  const tooLong = line(76, 'bob@fabrikam.com')
  assert.equal(rewriteLine(tooLong.replace('fabrikam', 'contoso')), `${tooLong.slice(0, 75)}\r\n ${tooLong.slice(75)}`)
  const long = line(75 + 74 + 74, 'bob@fabrikam.com')
  const folded = [long.slice(0, 75), long.slice(75, 149), long.slice(149)].join('\r\n ')
  assert.equal(rewriteLine(long.replace('fabrikam', 'contoso')), folded)
})

test('folds are read anywhere, and those of a changed line are made anew (R64)', () => {
  assert.equal(rewriteLine('ATT\r\n ENDEE:mail\r\n\tto:bob@con\r\n toso.com'), 'ATTENDEE:mailto:bob@fabrikam.com')
  // A fold that leaves nothing, and one that is followed by a space of the text.
  assert.equal(
    rewriteLine('ATTENDEE;CN=a\r\n \r\n  b:mailto:bob@contoso.com'),
    'ATTENDEE;CN=a b:mailto:bob@fabrikam.com',
  )
})

test('a fold never cuts a UTF-8 sequence, and what is unfolded is the line itself (R64)', () => {
  const name = fc.string({ unit: fc.constantFrom('x', 'é', '\u20ac', '\u{1f600}'), minLength: 20, maxLength: 200 })
  fc.assert(
    fc.property(name, (cn) => {
      const result = rewriteLine(UTF8(`ATTENDEE;CN="${cn}":mailto:bob@contoso.com`))
      const lines = result.split('\r\n')
      for (const physical of lines) {
        const bytes = Buffer.from(physical, 'latin1')
        assert.ok(bytes.length <= 75)
        assert.ok(Buffer.from(bytes.toString()).equals(bytes), 'whole characters')
      }
      assert.equal(result.replaceAll('\r\n ', ''), UTF8(`ATTENDEE;CN="${cn}":mailto:bob@fabrikam.com`))
    }),
  )
})

test('invalid UTF-8 is spliced as bytes, and folded all the same (R65)', () => {
  const line = `ATTENDEE;CN="${'\x80'.repeat(100)}":mailto:bob@contoso.com`
  const result = rewriteLine(line)
  assert.equal(result.replaceAll('\r\n ', ''), line.replace('contoso', 'fabrikam'))
  assert.ok(result.split('\r\n').every(({ length }) => length <= 75))
})

test('single-byte charsets are spliced as bytes (R65)', () => {
  const options = { charset: 'windows-1252' }
  const line = 'ATTENDEE;CN="J\xfcrgen":mailto:bob@contoso.com'
  assert.equal(rewriteLine(line, options), line.replace('contoso', 'fabrikam'))
})

test('in an escape-switched charset only ASCII is read, and no character of another set is cut by a fold (R65)', () => {
  const options = { charset: 'iso-2022-jp' }
  // The bytes of the name look like `;CN=` and an address.
  const japanese = `\x1b$B;CN="bob@contoso.com":mailto:${'@@'.repeat(20)}\x1b(B`
  const line = `ATTENDEE;CN="${japanese}":mailto:bob@contoso.com`
  const result = rewriteLine(line, options)
  assert.equal(result.replaceAll('\r\n ', ''), `ATTENDEE;CN="${japanese}":mailto:bob@fabrikam.com`)
  for (const physical of result.split('\r\n')) {
    assert.equal(
      physical.includes('\x1b$B'),
      physical.includes('\x1b(B'),
      'a set is left on the line on which it is entered',
    )
  }
})

test('a fold is like the line break before the line (R48, R64)', () => {
  const long = `ATTENDEE;X=${'x'.repeat(80)}:mailto:bob@contoso.com`
  const folded = (lineBreak: string) =>
    `ATTENDEE;X=${'x'.repeat(64)}${lineBreak} ${'x'.repeat(16)}:mailto:bob@fabrikam.com`
  for (const lineBreak of ['\n', '\r\n']) {
    const result = rewrite(around(long, lineBreak))
    assert.ok(typeof result === 'object')
    assert.equal(result.text, around(folded(lineBreak), lineBreak))
  }
})

test('unchanged lines keep their bytes, whatever they are (R64, R40)', () => {
  const odd =
    'SUMMARY:a\r\n \tb\nDESCRIPTION:\x80\xff\r\n\r\n:\r\n;\r\nX\r\n  \r\nATTENDEE:x\rATTENDEE:mailto:bob@contoso.com\r\n'
  const calendar = `junk\r\nBEGIN:VCALENDAR\r\n${odd}ATTENDEE:bob@contoso.com\r\nEND:VCALENDAR\r\nATTENDEE:bob@contoso.com`
  const result = rewrite(calendar)
  assert.ok(typeof result === 'object')
  // Outside of an object nothing is read; a lone CR ends no line.
  assert.equal(result.text, calendar.replace('ATTENDEE:bob@contoso.com', 'ATTENDEE:bob@fabrikam.com'))
})

const SKIPPED: [calendar: string, reason: string | undefined, why: string][] = [
  ['ATTENDEE:bob@contoso.com\r\n', 'no-vcalendar', 'no BEGIN:VCALENDAR'],
  ['', 'no-vcalendar', 'empty'],
  ['DESCRIPTION:x\r\n BEGIN:VCALENDAR\r\n', 'no-vcalendar', 'in another line'],
  ['BEGIN:VCALENDAR\r\nVERSION:1.0\r\nATTENDEE:bob@contoso.com\r\n', 'vcalendar-1.0', 'vCalendar'],
  ['BEGIN:VCALENDAR\r\nATTENDEE:bob@contoso.com\r\nversion: 1.0 \r\n', 'vcalendar-1.0', 'wherever it says so'],
  ['begin:vcalendar\r\nVERSION:2.0\r\nATTENDEE:bob@contoso.com\r\n', undefined, 'in any case, without an end'],
  ['\xef\xbb\xbfBEGIN:VCALENDAR\r\nATTENDEE:bob@contoso.com\r\n', undefined, 'after a byte order mark'],
  [
    `BEGIN:VCALENDAR\r\nX:${'x'.repeat(262_142)}\r\nATTENDEE:bob@contoso.com\r\n`,
    undefined,
    'a content line of 256 KiB',
  ],
  [`BEGIN:VCALENDAR\r\nX:${'x'.repeat(262_143)}\r\nATTENDEE:bob@contoso.com\r\n`, 'size', 'one octet more'],
  [`BEGIN:VCALENDAR\r\nX:${'x\r\n '.repeat(262_143)}\r\nATTENDEE:bob@contoso.com\r\n`, 'size', 'folded'],
]
for (const [calendar, reason, why] of SKIPPED) {
  test(`${JSON.stringify(calendar.slice(0, 60))}: ${why}: ${reason ?? 'processed'} (R66, §12)`, () => {
    const result = rewrite(calendar)
    if (reason === undefined)
      assert.ok(typeof result === 'object' && result.text === calendar.replace('contoso', 'fabrikam'))
    else assert.equal(result, reason)
  })
}

test('changes are reported by property (§14)', () => {
  const result = rewrite(
    around('ATTENDEE;CN=bob@contoso.com:mailto:alice+x@contoso.com\r\nX-MS-OLK-SENDER:bob@contoso.com'),
  )
  assert.ok(typeof result === 'object')
  const { changes, changeCount } = result.recorder
  assert.equal(changeCount, 3)
  assert.deepEqual(changes, [
    { where: 'part:2:ATTENDEE', old: 'bob@contoso.com', new: 'bob@fabrikam.com', rule: 'entry' },
    { where: 'part:2:ATTENDEE', old: 'alice+x@contoso.com', new: 'alice.smith+x@fabrikam.com', rule: 'extension' },
    { where: 'part:2:X-MS-OLK-SENDER', old: 'bob@contoso.com', new: 'bob@fabrikam.com', rule: 'entry' },
  ])
})

test('any text is read without an error, and the second time nothing changes', () => {
  const unit = fc.constantFrom(
    '\r\n',
    '\n',
    ' ',
    '\r\n ',
    'BEGIN:VCALENDAR\r\n',
    'END:VEVENT\r\n',
    'BEGIN:VEVENT\r\n',
    'METHOD:REPLY\r\n',
    '\r\nATTENDEE',
    '\r\nORGANIZER',
    ';CN=',
    ';SENT-BY=',
    '"',
    ':',
    ';',
    ',',
    'mailto:',
    'alice@contoso.com',
    'alice+x@contoso.com',
    'alice.smith@fabrikam.com',
    '%40',
    '%',
    '^',
    "^'",
    '<',
    '>',
    "'",
    '\x80',
    'é',
    '?',
    '=',
  )
  fc.assert(
    fc.property(
      fc.string({ unit, maxLength: 60 }),
      fc.constantFrom('out', 'in'),
      fc.constantFrom('', 'iso-2022-jp', 'latin1'),
      (text, direction, charset) => {
        const options = { direction, charset } as const
        const first = rewrite(`BEGIN:VCALENDAR\r\n${text}`, options)
        if (typeof first !== 'object') return
        const second = rewrite(first.text, options)
        assert.ok(typeof second === 'object')
        // A METHOD that a fold has hidden and a rewritten line shows would be a change of meaning: there is none.
        assert.equal(second.text, first.text)
      },
    ),
    { numRuns: 3000 },
  )
})

for (const [name, piece] of [
  ['attendees', 'ATTENDEE:mailto:alice@contoso.com\r\n'],
  ['lines', '\n'],
  ['folds', '\n '],
  ['begins', 'BEGIN:VCALENDAR\r\n'],
  ['components', 'BEGIN:X\r\n'],
  ['organizers', 'ORGANIZER:mailto:alice@contoso.com\r\n'],
  ['line starts', 'A'],
] as const) {
  test(`time is linear in the number of ${name} (PS-2)`, () => {
    assertLinear(name, Math.floor(100_000 / piece.length), (count) => {
      const calendar = `BEGIN:VCALENDAR\r\n${piece.repeat(count)}`
      return () => void rewrite(calendar, { direction: 'in' })
    })
  })
}

for (const [name, piece] of [
  ['quotes', '"'],
  ['quoted values', '"a",'],
  ['parameters', ';CN='],
  ['mailto', ';SENT-BY=mailto:'],
  ['colons', ':'],
  ['percent signs', '%40'],
  ['high bytes', '\x80'],
] as const) {
  test(`time is linear in the number of ${name} in a line (PS-2)`, () => {
    assertLinear(name, Math.floor(50_000 / piece.length), (count) => {
      const calendar =
        `BEGIN:VCALENDAR\r\nATTENDEE;EMAIL=alice@contoso.com;DELEGATED-TO=${piece.repeat(count)}:x\r\n`.repeat(3)
      return () => void rewrite(calendar)
    })
  })
}
