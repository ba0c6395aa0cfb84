import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  applyEdits,
  fieldTextEnd,
  fieldValue,
  HEADER_LIMITS,
  HeaderBoundary,
  isEmptyField,
  scanHeader,
} from '../../rewrite-rules/header-block.ts'
import type { HeaderLimits } from '../../rewrite-rules/header-block.ts'
import { assertLinear } from '../harness/doubling.ts'

const bytes = (text: string) => Buffer.from(text, 'latin1')

/** Feeds the message in pieces of `size` bytes. */
function findBoundary(message: Buffer, size: number, limits?: HeaderLimits): number | undefined {
  const boundary = new HeaderBoundary(limits)
  for (let at = 0; at < message.length; at += size) {
    const end = boundary.write(message.subarray(at, at + size))
    if (end !== undefined) return end
  }
  return undefined
}

const boundaries: [message: string, end: number | undefined, why: string][] = [
  ['From: a\r\n\r\nbody', 11, 'the usual message'],
  ['From: a\n\nbody', 9, 'a file with lone LF line ends (R48)'],
  ['From: a\r\n\nbody', 10, 'an empty line may end otherwise than the line before'],
  ['From: a\n\r\nbody', 10, 'the same the other way round'],
  ['\r\nbody', 2, 'no header at all'],
  ['\nbody', 1, 'no header at all, lone LF'],
  ['', undefined, 'nothing'],
  ['From: a\r\n', undefined, 'a header without an end'],
  ['From: a\r\n \r\n\r\nbody', 14, 'a line of white space is a continuation, not the end'],
  ['From: a\r\n\r\r\n\r\nx', 14, 'a lone CR is an ordinary byte (R48)'],
  ['a\r\r\n\n\r\nx', 5, 'the first empty line counts'],
  ['a\n\nb\r\n\r\nx', 3, 'also when a later one has CRLF'],
]
for (const [message, end, why] of boundaries) {
  test(`the header block of ${JSON.stringify(message)} ends at ${end}: ${why}`, () => {
    for (let size = 1; size <= Math.max(1, message.length); size++) {
      assert.equal(findBoundary(bytes(message), size), end, `in pieces of ${size}`)
    }
  })
}

test('the end of the header block is the same at any chunking', () => {
  const piece = fc.constantFrom('\r', '\n', '\r\n', 'a', ' ', ':', '\r\n\r\n')
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 30 }),
      fc.array(fc.nat({ max: 6 }), { maxLength: 40 }),
      (pieces, sizes) => {
        const message = bytes(pieces.join(''))
        const boundary = new HeaderBoundary()
        let at = 0
        let end: number | undefined
        for (const size of [...sizes, message.length]) {
          end = boundary.write(message.subarray(at, at + size))
          at = Math.min(at + size, message.length)
          if (end !== undefined) break
        }
        assert.equal(end, findBoundary(message, message.length + 1))
      },
    ),
  )
})

const SMALL: HeaderLimits = { blockBytes: 20, fieldBytes: 12, fields: 3 }

const limitCases: [message: string, isTooLarge: boolean, why: string][] = [
  [
    `A: ${'x'.repeat(5)}\r\nB: ${'x'.repeat(5)}\r\n\r\nbody`,
    false,
    'block of exactly 20 bytes; its empty line does not count',
  ],
  [`A: ${'x'.repeat(5)}\r\nB: ${'x'.repeat(6)}\r\n\r\nbody`, true, 'block of 21 bytes'],
  [`A: ${'x'.repeat(5)}\r\nB: ${'x'.repeat(5)}\r\n`, false, 'block of exactly 20 bytes without an end'],
  [`A: ${'x'.repeat(5)}\r\nB: ${'x'.repeat(5)}\r\nx`, true, 'one more byte, although no end is in sight'],
]
for (const [message, isTooLarge, why] of limitCases) {
  test(`§12 header size: ${why}`, () => {
    for (const size of [1, 2, 3, 1000]) {
      const run = () => findBoundary(bytes(message), size, SMALL)
      if (isTooLarge) assert.throws(run, { name: 'Refusal', code: 552, status: '5.3.4' })
      else run()
    }
    const scan = () => scanHeader(bytes(message), { ...SMALL, fieldBytes: 100 })
    if (isTooLarge) assert.throws(scan, { name: 'Refusal', code: 552, status: '5.3.4' })
    else scan()
  })
}

test('§12 limits: 1 MiB of header, 256 KiB of field, 5,000 fields', () => {
  assert.deepEqual(HEADER_LIMITS, { blockBytes: 1_048_576, fieldBytes: 262_144, fields: 5000 })
})

test('§12: a field of 256 KiB passes, one more byte is 552 5.3.4', () => {
  const field = (size: number) => bytes(`X: ${'x'.repeat(size - 5)}\r\n\r\n`)
  assert.equal(scanHeader(field(262_144)).fields.length, 1)
  assert.throws(() => scanHeader(field(262_145)), { name: 'Refusal', code: 552, status: '5.3.4' })
})

test('§12: 5,000 fields pass, 5,001 are 552 5.3.4', () => {
  assert.equal(scanHeader(bytes('X: y\r\n'.repeat(5000))).fields.length, 5000)
  assert.throws(() => scanHeader(bytes('X: y\r\n'.repeat(5001))), { name: 'Refusal', code: 552, status: '5.3.4' })
})

test('§12: a header of 1 MiB before a body passes, one more byte is 552 5.3.4', () => {
  const header = (size: number) =>
    bytes(
      `${'Long: '.padEnd(65_534, 'x')}\r\n`
        .repeat(16)
        .slice(0, size - 2)
        .concat('\r\n\r\nbody'),
    )
  assert.equal(scanHeader(header(1_048_576)).fieldsEnd, 1_048_576)
  assert.throws(() => scanHeader(bytes(`Y${header(1_048_576).toString('latin1')}`)), { code: 552, status: '5.3.4' })
})

test('§12: NUL in the header is 554 5.6.0, in the body it is the body’s', () => {
  assert.throws(() => scanHeader(bytes('From: a\0b\r\n\r\n')), { name: 'Refusal', code: 554, status: '5.6.0' })
  assert.equal(scanHeader(bytes('From: a\r\n\r\n\0')).fields.length, 1)
  assert.equal(scanHeader(bytes('From: a\r\nno field\0\r\n')).fields.length, 1, 'lines that begin the body are body')
})

const fieldCases: [header: string, names: string[], why: string][] = [
  ['From: a\r\nTO: b\r\n\r\n', ['from', 'to'], 'names in lower case'],
  ['From : a\r\nTo\t: b\r\n\r\n', ['from', 'to'], 'white space before the colon (RFC 5322 §4.5.8)'],
  ['From:a\r\n b\r\n\tc\r\nTo: d', ['from', 'to'], 'folds belong to their field'],
  ['From x@y Mon Jan  1\r\nTo: b\r\n\r\n', ['to'], 'an mbox line is no field'],
  ['hello world: x\r\nTo: b\r\n', ['to'], 'a name has no space within'],
  ['To\r\n : b\r\nCc: c\r\n', ['cc'], 'a fold is no white space before a colon'],
  [': x\r\nTo: b\r\n', ['to'], 'a name is not empty'],
  ['B\xe9: x\r\nTo: b\r\n', ['to'], 'a name is ASCII'],
  [' x: y\r\nTo: b\r\n', ['to'], 'a continuation of nothing is no field'],
  ['a: 1\nB: 2\n', ['a', 'b'], 'lone LF line ends'],
  ['__proto__: x\r\nconstructor: y\r\n', ['__proto__', 'constructor'], 'names are only names (PS-3)'],
  ['', [], 'nothing'],
]
for (const [header, names, why] of fieldCases) {
  test(`fields of ${JSON.stringify(header)}: ${why}`, () => {
    const block = scanHeader(bytes(header))
    assert.deepEqual(
      block.fields.map(({ name }) => name),
      names,
    )
    for (const { name, start, nameEnd, valueStart, end } of block.fields) {
      assert.equal(block.text.slice(start, nameEnd).toLowerCase(), name)
      assert.equal(block.text[valueStart - 1], ':')
      assert.ok(end > start && (end === block.text.length || block.text[end - 1] === '\n'))
    }
  })
}

test('§12: lines that are no field stay in the header when a field follows, and begin the body when none does', () => {
  const between = scanHeader(bytes('From: a\r\njunk\r\n more junk\r\nTo: b\r\n\r\nbody'))
  assert.equal(between.bytes.toString(), 'From: a\r\njunk\r\n more junk\r\nTo: b\r\n\r\n')
  const after = scanHeader(bytes('From: a\r\njunk\r\nmore junk\r\n\r\nbody'))
  assert.equal(after.bytes.toString(), 'From: a\r\n')
  assert.equal(after.fieldsEnd, 9)
  assert.equal(scanHeader(bytes('hello\r\nworld\r\n')).bytes.length, 0, 'a message without any header')
})

test('the block ends with its empty line, and a message in memory may follow', () => {
  const block = scanHeader(bytes('From: a\r\n\r\nTo: b\r\n'))
  assert.equal(block.bytes.toString(), 'From: a\r\n\r\n')
  assert.equal(block.text, 'From: a\r\n\r\n')
  assert.equal(block.fieldsEnd, 9)
  assert.equal(scanHeader(bytes('\r\nTo: b\r\n')).bytes.toString(), '\r\n')
})

const values: [field: string, value: string, why: string][] = [
  ['Subject:  a b \r\n', 'a b', 'white space around is trimmed'],
  ['Subject: a\r\n b\r\n\tc\r\n', 'a b\tc', 'a fold’s line break goes, its white space stays (RFC 5322 §2.2.3)'],
  ['Subject: a\n b\n', 'a b', 'lone LF'],
  ['Subject:\r\n a', 'a', 'no last line break'],
  ['Subject: \xe9\r\n', '\xe9', 'octets as latin1'],
  ['Subject:\r\n', '', 'nothing'],
]
for (const [field, value, why] of values) {
  test(`fieldValue of ${JSON.stringify(field)}: ${why}`, () => {
    const block = scanHeader(bytes(field))
    const [first] = block.fields
    assert.ok(first)
    assert.equal(fieldValue(block, first), value)
    assert.equal(isEmptyField(block, first), value === '')
    assert.ok(!block.text.slice(first.valueStart, fieldTextEnd(block, first)).endsWith('\n'))
  })
}

test('applyEdits replaces, inserts and deletes, and leaves the original alone', () => {
  const original = bytes('abcdef')
  const edits = [
    { start: 0, end: 0, text: '>' },
    { start: 1, end: 3, text: '' },
    { start: 4, end: 5, text: Buffer.from('XYZ') },
    { start: 6, end: 6, text: '\xe9' },
  ]
  assert.equal(applyEdits(original, edits).toString('latin1'), '>adXYZf\xe9')
  assert.equal(original.toString(), 'abcdef')
})

test('applyEdits refuses edits that overlap or are not in order', () => {
  const edit = (start: number, end: number) => ({ start, end, text: '' })
  assert.throws(() => applyEdits(bytes('abcdef'), [edit(2, 4), edit(3, 5)]))
  assert.throws(() => applyEdits(bytes('abcdef'), [edit(4, 5), edit(1, 2)]))
  assert.throws(() => applyEdits(bytes('abcdef'), [edit(5, 7)]))
})

const hostile: Record<string, (size: number) => string> = {
  'lines without a colon': (size) => 'a\n'.repeat(size / 2),
  'lines without a colon, and one with': (size) => `${'a\n'.repeat(size / 2)}:`,
  'white space before a colon': (size) => `a${' '.repeat(size)}:`,
  'folds only': (size) => '\n '.repeat(size / 2),
  'CR only': (size) => '\r'.repeat(size),
}
for (const [name, generate] of Object.entries(hostile)) {
  test(`linear time (PS-2): ${name}`, () => {
    assertLinear(name, 30_000, (size) => {
      const header = bytes(generate(size))
      return () => {
        findBoundary(header, 1000)
        scanHeader(header)
      }
    })
  })
}
