import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  MAX_ADDRESSES,
  readAddress,
  readWideAddress,
  scanAddressList,
  scanAddrSpec,
} from '../../rewrite-rules/address-list.ts'
import { assertLinear } from '../harness/doubling.ts'

/** Text as the latin1 of its UTF-8 bytes. */
const utf8 = (text: string) => Buffer.from(text).toString('latin1')

function scan(text: string) {
  const { addresses, unparsed } = scanAddressList(text, 0, text.length)
  return {
    spans: addresses.map(({ start, end }) => text.slice(start, end)),
    unparsed: unparsed.map(({ start, end }) => text.slice(start, end)),
    addresses,
  }
}

// The table of rewriting.md §6, row by row, then what its neighbours decide.
const broken: [list: string, addresses: string[], unparsed: string[]][] = [
  ['<<<a@x>>>', ['a@x'], []],
  ['<a@x', ['a@x'], []],
  ['a@x>', ['a@x'], []],
  ['<a@x, b@x>', ['a@x', 'b@x'], []],
  ['(a <a@x>', ['a@x'], []],
  ['"a <a@x>', ['a@x'], []],
  ['((a) <a@x>', ['a@x'], []],
  ['(a) b) <a@x>', ['a@x'], []],
  ['"a" b" <a@x>', ['a@x'], []],
  ['"a@x', ['a@x'], []],
  ['a@x b@x', ['a@x', 'b@x'], []],
  ['a@x; b@x', ['a@x', 'b@x'], []],
  ['a@x <b@x>', ['a@x', 'b@x'], []],
  ['<a@x> <b@x>', ['a@x', 'b@x'], []],
  ['A <a@x> B <b@x>', ['a@x', 'b@x'], []],
  ['"Alice" a@x', ['a@x'], []],
  ['Alice [a@x]', ['a@x'], []],
  ['Sales @ Contoso <a@x>', ['a@x'], []],
  ['Sales @ Home @ Contoso <a@x>', ['a@x'], []],
  ['<a@x> Alice', ['a@x'], []],
  ['a..b@x', ['a..b@x'], []],
  ['.a@x', ['.a@x'], []],
  ['a.@x', ['a.@x'], []],
  ['a@b_c', ['a@b_c'], []],
  ['mailto:a@x', ['a@x'], []],
  ['smtp:a@x, SMTP:b@x', ['a@x', 'b@x'], []],
  ['Alice [mailto:a@x]', ['a@x'], []],
  ['a@b@c', [], ['a@b@c']],
  ['a@@c', [], ['a@@c']],
  ['@"a b"@c', [], ['@"a b"@c']],
  ['a@b"c"@d', [], ['a@b"c"@d']],
  ['a@b@[1]"c"@d', [], ['a@b@[1]"c"@d']],
  ['a@b@c, d@e', ['d@e'], ['a@b@c']],
  ['a@b @c', [], ['a@b @c']],
  ['a@b@c <d@e>', ['d@e'], ['a@b@c']],
  ['@c', [], ['@c']],
  ['a@', [], ['a@']],
  ['alice', [], ['alice']],
  ['Alice <>', [], ['Alice <>']],
  ['Alice, a@x', ['a@x'], ['Alice']],
  ['"a@x"', [], ['"a@x"']],
  ['a\\@b@x', [], ['a\\@b@x']],
  ['a@[1.2.3.4', [], ['a@']],
  ['a@[1.2.3.4]b', [], ['a@[1.2.3.4]b']],
]
for (const [list, addresses, unparsed] of broken) {
  test(`§6: ${JSON.stringify(list)} is ${addresses.join(' and ') || 'no address'}`, () => {
    const found = scan(list)
    assert.deepEqual(found.spans, addresses)
    assert.deepEqual(found.unparsed, unparsed)
  })
}

const conforming: [list: string, addresses: string[], why: string][] = [
  ['', [], 'nothing'],
  [' \t\r\n ', [], 'only white space'],
  ['(nobody (at all))', [], 'only a comment'],
  ['<>', [], 'the empty bracket names nobody'],
  ['a@x', ['a@x'], 'an addr-spec'],
  ['A B <a@x>', ['a@x'], 'a name-addr'],
  ['"A, B" <a@x>, "C; D" <b@x>', ['a@x', 'b@x'], 'separators in quotes separate nothing'],
  ['a@x (b, c@x), d@x', ['a@x', 'd@x'], 'neither do those in comments'],
  ['a@x (b (c) "d)', ['a@x'], 'comments nest, and quotes mean nothing in them'],
  ['a@x (b \\) c@x)', ['a@x'], 'an escaped parenthesis closes nothing'],
  ['"a \\" <b@x>" <a@x>', ['a@x'], 'an escaped quote closes nothing'],
  ['Team: a@x, B <b@x>;, c@x', ['a@x', 'b@x', 'c@x'], 'a group (RFC 5322 §3.4)'],
  ['undisclosed-recipients:;', [], 'an empty group'],
  ['Team: a@x', ['a@x'], 'a group without an end'],
  ['A: B: a@x;;', ['a@x'], 'a group in a group'],
  ['"a b"@x', ['"a b"@x'], 'a quoted local part'],
  ['"a@b"@x', ['"a@b"@x'], 'an @ in it is one of its letters'],
  ['""@x', ['""@x'], 'an empty one'],
  ['a.b."c".d@x', ['a.b."c".d@x'], 'obs-local-part'],
  ['a . b @ x . y', ['a . b @ x . y'], 'white space beside dots and @ (RFC 5322 §4.4)'],
  ['a. b@x', ['a. b@x'], 'after a dot only'],
  ['a (c) @ (d) x', ['a (c) @ (d) x'], 'comments are as white space'],
  ['a@\r\n x', ['a@\r\n x'], 'a fold too'],
  ['a@x.\r\n y', ['a@x.\r\n y'], 'a fold in the domain'],
  ['a@x .', ['a@x'], 'but no white space before a last dot'],
  ['a@x.', ['a@x.'], 'a trailing dot is of the span (E19)'],
  ['a@[192.0.2.1], b@[IPv6:2001:db8::1]', ['a@[192.0.2.1]', 'b@[IPv6:2001:db8::1]'], 'domain literals'],
  ['a@[x,y;z:<@>]', ['a@[x,y;z:<@>]'], 'nothing separates inside one'],
  ['<@a,@b:c@x>', ['c@x'], 'a source route'],
  ['<@ a , @ b : c@x>', ['c@x'], 'one with white space'],
  ['<@[1.2.3.4]:c@x>', ['c@x'], 'one with a literal'],
  [',, a@x ,,', ['a@x'], 'null members'],
  ['J. R. Smith Jr. <a@x>', ['a@x'], 'dots in a phrase'],
  ["!#$%&'*+-/=?^_`{|}~@x", ["!#$%&'*+-/=?^_`{|}~@x"], 'every atext character'],
  ['=?utf-8?q?a=40b?= <a@x>', ['a@x'], 'encoded-words are atoms'],
  ['a@x\r, b@x', ['a@x', 'b@x'], 'a lone CR is an ordinary byte beside an address'],
]
for (const [list, addresses, why] of conforming) {
  test(`${JSON.stringify(list)}: ${why}`, () => {
    const found = scan(list)
    assert.deepEqual(found.spans, addresses)
    assert.deepEqual(found.unparsed, [])
  })
}

test('§6: an unfinished route is no route: its members are looked at', () => {
  assert.deepEqual(scan('<@a, b@x>').spans, ['b@x'])
  assert.deepEqual(scan('<@a, b@x>').unparsed, ['@a'])
})

test('only the given part of the text is read', () => {
  const text = 'a@x,b@x,c@x"(<'
  const { addresses } = scanAddressList(text, 4, 7)
  assert.deepEqual(
    addresses.map(({ start, end }) => text.slice(start, end)),
    ['b@x'],
  )
  assert.equal(scanAddressList('a@[1]', 0, 4).addresses.length, 0, 'a bracket behind the end closes nothing')
  assert.equal(scanAddressList('(a)a@x', 0, 2).unparsed.length, 1, 'nor does a parenthesis')
})

const phrases: [list: string, phrases: (string | undefined)[], why: string][] = [
  ['a@x', [undefined], 'none'],
  ['A B <a@x>', ['A B'], 'words before a bracket'],
  ['"A" <a@x>, B <b@x>', ['"A"', 'B'], 'each member has its own'],
  ['(c) "A" (d) <a@x>', ['"A"'], 'comments around are not of it'],
  ['"A" a@x', ['"A"'], 'without brackets'],
  ['a@x <b@x>', [undefined, 'a@x'], 'an address before a bracket is also the name'],
  ['A <a@x> B <b@x>', ['A', 'B'], 'what follows a bracket is not before it'],
  ['T: A <a@x>', ['A'], 'the group’s name is not the member’s'],
  ['A <B a@x>', ['A'], 'words in the brackets are not of it'],
]
for (const [list, expected, why] of phrases) {
  test(`display names in ${list}: ${why}`, () => {
    const names = scan(list).addresses.map(({ phraseStart, phraseEnd }) =>
      phraseEnd === 0 ? undefined : list.slice(phraseStart, phraseEnd),
    )
    assert.deepEqual(names, expected)
  })
}

const readings: [list: string, unicode: 'none' | 'domain' | 'both', address: string | undefined, why: string][] = [
  ['alice (work) @ contoso . com', 'none', 'alice@contoso.com', 'obsolete CFWS is not of the address'],
  ['"a b" . c@x', 'none', '"a b".c@x', 'white space in quotes is'],
  ['"a\r\n b"@x', 'none', '"a b"@x', 'but not the line break of a fold'],
  ['"a(b"@x(c)', 'none', '"a(b"@x', 'a parenthesis in quotes is a letter'],
  ['"a\\"b" @x', 'none', '"a\\"b"@x', 'escapes stay'],
  [utf8('jürgen@münchen.example'), 'both', 'jürgen@münchen.example', 'UTF-8'],
  [utf8('jürgen@münchen.example'), 'none', undefined, 'no address without SMTPUTF8 (§6)'],
  [utf8('jürgen@x'), 'domain', undefined, 'no such local part in encoded form (R27)'],
  [utf8('a@münchen.example'), 'domain', 'a@münchen.example', 'but such a domain'],
  ['j\xfcrgen@x', 'both', undefined, 'octets that are not UTF-8'],
  ['a@x\xff', 'both', undefined, 'the same in the domain'],
  [utf8('"j ü"@x'), 'none', undefined, 'in quotes too'],
  [utf8('"j ü"@x'), 'both', '"j ü"@x', 'UTF-8 in quotes'],
  [utf8('\u00a0\u200ba@x\ufeff'), 'none', 'a@x', 'invisible characters beside an address are not of it'],
]
for (const [list, unicode, expected, why] of readings) {
  test(`${JSON.stringify(list)} with Unicode in ${unicode} reads ${expected}: ${why}`, () => {
    const [found] = scan(list).addresses
    assert.ok(found)
    const address = readAddress(list, found, unicode)
    assert.equal(address && `${address.local}@${address.domain}`, expected)
  })
}

const wideReadings: [list: string, narrow: string, wide: string | undefined, why: string][] = [
  [
    '<Alice Smith@x>',
    'Smith@x',
    '"Alice Smith"@x',
    'words in brackets: a local part whose quotes were lost, or a name beside',
  ],
  ['"Alice"smith@x', 'smith@x', 'Alicesmith@x', 'quotes and words without a space'],
  ['Alice Smith@x', 'Smith@x', undefined, 'outside brackets words before are a name'],
  ['<"A\\"" b@x>', 'b@x', undefined, 'nothing with escapes'],
  ['<A (c) b@x>', 'b@x', undefined, 'nothing with comments'],
  ['Alice <a@x>', 'a@x', undefined, 'a name before the bracket'],
  ['<mailto:a@x>', 'a@x', undefined, 'a prefix'],
]
for (const [list, narrow, wide, why] of wideReadings) {
  test(`${list}: ${why}`, () => {
    const { spans, addresses } = scan(list)
    assert.deepEqual(spans, [narrow])
    const [found] = addresses
    assert.ok(found)
    const address = readWideAddress(list, found, 'none')
    assert.equal(address && `${address.local}@${address.domain}`, wide)
  })
}

test('scanAddrSpec takes one address and nothing else', () => {
  assert.ok(scanAddrSpec('a@x'))
  assert.ok(scanAddrSpec(' a@x '))
  for (const text of ['', 'a', '<a@x>', 'a@x,', 'a@x b@x', 'A a@x', '(c)a@x', 'mailto:a@x', 'a@b@c']) {
    assert.equal(scanAddrSpec(text), undefined, text)
  }
})

test('§12: 10,000 addresses in a field pass, 10,001 are 552 5.3.4', () => {
  const list = Array.from({ length: MAX_ADDRESSES }, () => 'a@x').join(',')
  assert.equal(MAX_ADDRESSES, 10_000)
  assert.equal(scan(list).spans.length, 10_000)
  assert.throws(() => scan(`${list},a@x`), { name: 'Refusal', code: 552, status: '5.3.4' })
})

test('any bytes are read without an exception, and spans are in order and inside the text', () => {
  const alphabet = fc.constantFrom(...'<>()[]",;:@.\\ \t\r\nab=?\0\x7f\xe9\xc2\xa0'.split(''), '\r\n ', 'a@x')
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 60 }), (parts) => {
      const text = parts.join('')
      let last = 0
      const { addresses, unparsed, separators } = scanAddressList(text, 0, text.length)
      for (const found of addresses) {
        assert.ok(last <= found.wideStart && found.wideStart <= found.start && found.start < found.localEnd)
        assert.ok(found.localEnd < found.domainStart && found.domainStart < found.end && found.end <= text.length)
        assert.ok(found.phraseEnd <= found.wideStart && found.phraseStart <= found.phraseEnd)
        last = found.end
        for (const unicode of ['none', 'domain', 'both'] as const) {
          readAddress(text, found, unicode)
          readWideAddress(text, found, unicode)
        }
      }
      for (const { start, end } of unparsed) assert.ok(start >= 0 && start <= end && end <= text.length)
      for (const at of separators) assert.ok(',;'.includes(text.charAt(at)))
    }),
    { numRuns: 3000 },
  )
})

const hostile: Record<string, (size: number) => string> = {
  '<': (size) => '<'.repeat(size),
  'unclosed (': (size) => '('.repeat(size),
  'unclosed ( with words': (size) => '(a '.repeat(size / 3),
  'nested comments': (size) => '('.repeat(size / 2) + ')'.repeat(size / 2),
  'nested comments, one not closed': (size) => `(${'('.repeat(size / 2)}${')'.repeat(size / 2)}`,
  'unclosed "': (size) => `"a ${'\\"b '.repeat(size / 4)}`,
  'escaped quotes outside quotes': (size) => '\\"'.repeat(size / 2),
  backslashes: (size) => '\\'.repeat(size + 1),
  commas: (size) => ','.repeat(size),
  'words and commas': (size) => 'a,'.repeat(size / 2),
  words: (size) => 'a '.repeat(size / 2),
  dots: (size) => '.'.repeat(size),
  'dots and spaces': (size) => '. '.repeat(size / 2),
  'words, dots and comments': (size) => 'a (c). '.repeat(size / 7),
  'domains with white space': (size) => `a@b${' . (c)'.repeat(size / 6)}`,
  'many @': (size) => 'a@'.repeat(size / 2),
  'routes that are none': (size) => '<@a,'.repeat(size / 4),
  'a route without an end': (size) => `<${'@a,'.repeat(size / 3)}`,
  'literals that are none': (size) => 'a@['.repeat(size / 3),
  'quoted words without dots': (size) => '"a"b'.repeat(size / 4),
  'words in brackets': (size) => `<${'a '.repeat(size / 2)}b@x`,
  'everything unclosed': (size) => '(<"[\\'.repeat(size / 5),
  'octets outside ASCII': (size) => `${'\xe9'.repeat(size)}@x`,
  'invisible characters': (size) => `${'\xc2\xa0'.repeat(size / 2)}a@x`,
}

for (const [name, generate] of Object.entries(hostile)) {
  test(`linear time (PS-2): ${name}`, () => {
    assertLinear(name, 30_000, (size) => {
      const text = generate(size)
      return () => {
        for (const found of scanAddressList(text, 0, text.length).addresses) {
          readAddress(text, found, 'both')
          readWideAddress(text, found, 'both')
        }
      }
    })
  })
}

test('comments nested 100,000 deep are one comment', () => {
  const list = `${'('.repeat(100_000)}a@x${')'.repeat(100_000)} b@x`
  assert.deepEqual(scan(list).spans, ['b@x'])
})
