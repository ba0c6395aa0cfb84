// The header reader: the fields it finds, the addresses in them, and that what isn't edited stays byte for byte.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  addressesOf,
  decodeWords,
  parseMessage,
  prependField,
  prependSubject,
  removeField,
  serialise,
  setField,
  valuesOf,
} from '../../../sandbox/mail-flow/header.ts'

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const parse = (message: string) => parseMessage(Buffer.from(message, 'latin1'))

const ADDRESSES: readonly { value: string; found: readonly string[]; why: string }[] = [
  { value: 'alice@contoso.com', found: ['alice@contoso.com'], why: 'bare' },
  {
    value: 'Alice <Alice@Contoso.COM>',
    found: ['Alice@contoso.com'],
    why: 'the domain has no case, the local part may',
  },
  {
    value: '"Doe, Jane" <jane@contoso.com>, bob@b.test',
    found: ['jane@contoso.com', 'bob@b.test'],
    why: 'comma in quotes',
  },
  {
    value: '"a\\"b, <x@y.test>" <jane@contoso.com>',
    found: ['jane@contoso.com'],
    why: 'an escaped quote and a bracket in quotes',
  },
  { value: '=?utf-8?Q?J=C3=B8rgen?=\r\n <j@contoso.com>', found: ['j@contoso.com'], why: 'encoded name, folded' },
  { value: 'bob@b.test (of (nested) , x@y.test), c@c.test', found: ['bob@b.test', 'c@c.test'], why: 'comments nest' },
  { value: 'Team: a@a.test, B <b@b.test>;, c@c.test', found: ['a@a.test', 'b@b.test', 'c@c.test'], why: 'a group' },
  { value: 'undisclosed-recipients:;', found: [], why: 'an empty group' },
  { value: '<@x.test,@y.test:bob@b.test>', found: ['bob@b.test'], why: 'a source route (RFC 5322 §4.4)' },
  { value: '"alice"@contoso.com', found: ['alice@contoso.com'], why: 'needless quotes' },
  { value: '"a b"@contoso.com', found: ['"a b"@contoso.com'], why: 'quotes that are needed' },
  {
    value: '<a@a.test> b@b.test, <c@c.test',
    found: ['a@a.test', 'c@c.test'],
    why: 'words after the bracket, and one left open',
  },
  { value: 'Alice, <>, @, a@', found: [], why: 'no addresses' },
]

for (const { value, found, why } of ADDRESSES) {
  test(`addresses of ${JSON.stringify(value)}: ${why}`, () => {
    assert.deepEqual(addressesOf(parse(`to: ${value}\r\n\r\n`), 'To'), found)
  })
}

test('an edit changes its field and nothing else: malformed lines, bare LF and the body stay', () => {
  const message = parse(' odd\r\nA: 1\nno field here\r\nSubject:  Hi\r\n\tthere\r\nB : 2\r\n\r\nSubject: body\n')
  assert.deepEqual(
    message.fields.map(({ name }) => name),
    ['', 'A', '', 'Subject', 'B'],
  )
  assert.equal(
    text(serialise(removeField(message, 'a'))),
    ' odd\r\nno field here\r\nSubject:  Hi\r\n\tthere\r\nB : 2\r\n\r\nSubject: body\n',
  )
  assert.equal(
    text(serialise(prependSubject(message, '[X] '))),
    ' odd\r\nA: 1\nno field here\r\nSubject: [X]  Hi\r\n\tthere\r\nB : 2\r\n\r\nSubject: body\n',
  )
  assert.equal(text(serialise(setField(message, 'b', '3\r\nEvil: 4'))).startsWith('b: 3 Evil: 4\r\n odd\r\n'), true)
  assert.deepEqual(valuesOf(message, 'SUBJECT'), ['Hi\tthere'])
  assert.equal(text(serialise(prependSubject(parse('\r\nbody'), 'New'))), 'Subject: New\r\n\r\nbody')
})

test('encoded words are decoded, neighbours joined, unknown charsets left', () => {
  assert.equal(decodeWords('=?utf-8?B?w7g=?= =?iso-8859-1?q?=E6_b?= c'), 'øæ b c')
  assert.equal(decodeWords('=?klingon?q?a?='), '=?klingon?q?a?=')
})

const line = fc.constantFrom(
  'From: a@b.test',
  ' folded',
  ':',
  'To',
  'To: <',
  'X: "(',
  '',
  '\t',
  'Subject: =?utf-8?b?',
  ';',
  'x'.repeat(1200),
)
const hostile = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .array(fc.tuple(line, fc.constantFrom('\r\n', '\n', '\r', '')), { maxLength: 20 })
    .map((lines) => Uint8Array.from(Buffer.from(lines.flat().join(''), 'latin1'))),
)

test('whatever the bytes are, reading and writing gives them back, and a field put before them is before them', () => {
  fc.assert(
    fc.property(hostile, (bytes) => {
      const message = parseMessage(bytes)
      assert.deepEqual(Buffer.from(serialise(message)), Buffer.from(bytes))
      for (const name of ['From', 'To', 'X']) addressesOf(message, name)
      const longer = serialise(prependField(message, 'X-New', 'value'))
      if (bytes.length > 0)
        assert.deepEqual(Buffer.from(longer), Buffer.concat([Buffer.from('X-New: value\r\n'), bytes]))
      if (message.fields[0]?.name !== '') assert.deepEqual(valuesOf(parseMessage(longer), 'X-New'), ['value'])
    }),
  )
})

test('removing a field leaves every other byte where it was', () => {
  fc.assert(
    fc.property(hostile, (bytes) => {
      const message = parseMessage(bytes)
      const kept = message.fields.filter(({ name }) => name.toLowerCase() !== 'to').map(({ raw }) => raw)
      assert.deepEqual(Buffer.from(serialise(removeField(message, 'To'))), Buffer.concat([...kept, message.rest]))
    }),
  )
})

test('a megabyte of brackets, quotes or colons takes no more than a pass', () => {
  for (const piece of ['<', '(', '"', ':', ',', '<@,', 'a@b.test,', '=?a?b?'])
    assert.doesNotThrow(() => addressesOf(parse(`To: ${piece.repeat(1_000_000 / piece.length)}\r\n\r\n`), 'To'))
})
