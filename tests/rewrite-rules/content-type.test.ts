import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertLinear } from '../harness/doubling.ts'
import { parseContentType, parseTransferEncoding } from '../../rewrite-rules/content-type.ts'

const TYPES: [value: string, type: string, why: string][] = [
  ['text/plain', 'text/plain', 'RFC 2045 §5.1'],
  ['TEXT/Calendar; Method=REQUEST', 'text/calendar', 'types are case-insensitive'],
  ['(comment) text/calendar (one (more))', 'text/calendar', 'comments'],
  [' text / calendar ;x=y', 'text/calendar', 'white space around the slash'],
  ['text/calendar charset=utf-8', 'text/calendar', 'missing semicolon'],
  ['', '', 'empty'],
  ['garbage', 'garbage', 'no subtype'],
  ['(unclosed text/plain', '', 'an unclosed comment swallows everything'],
]
for (const [value, type, why] of TYPES) {
  test(`type of ${JSON.stringify(value)}: ${why}`, () => assert.equal(parseContentType(value).type, type))
}

const BOUNDARIES: [value: string, boundary: string | undefined, why: string][] = [
  ['multipart/mixed; boundary=abc', 'abc', 'token'],
  ['multipart/mixed; boundary="a b;c"', 'a b;c', 'quoted-string'],
  ['multipart/mixed; boundary="a\\"b\\\\c"', 'a"b\\c', 'quoted-pairs'],
  ['multipart/mixed; boundary="abc', 'abc', 'unclosed quote'],
  ['multipart/mixed; boundary = "abc"', 'abc', 'white space around ='],
  ['multipart/mixed; boundary=----=_Part(1)?', '----=_Part(1)?', 'specials without the quotes they need'],
  ['multipart/mixed boundary=abc', 'abc', 'missing semicolon'],
  ['multipart/mixed;; ;boundary=abc;', 'abc', 'stray semicolons'],
  ['multipart/mixed; =x; boundary=abc', 'abc', 'a value without a name'],
  ['multipart/mixed; boundary', undefined, 'a name without a value'],
  ['multipart/mixed; boundary=a; boundary=b', 'a', 'the first counts'],
  ['multipart/mixed; BOUNDARY=abc', 'abc', 'names are case-insensitive'],
  ['multipart/mixed; boundary*0=ab; boundary*1="cd"', 'abcd', 'RFC 2231 §3: in pieces'],
  ['multipart/mixed; boundary*1=cd; boundary*0=ab', 'abcd', 'pieces in any order'],
  ['multipart/mixed; boundary*0=ab; boundary*2=cd', 'ab', 'a missing piece ends the value'],
  ['multipart/mixed; boundary*1=cd', undefined, 'without a first piece there is nothing'],
  ["multipart/mixed; boundary*=us-ascii'en'a%20b", 'a b', 'RFC 2231 §4: encoded'],
  ["multipart/mixed; boundary*0*=utf-8''a%41; boundary*1=%41", 'aA%41', 'encoded and plain pieces'],
  ['multipart/mixed; boundary*0=ab; boundary=cd', 'cd', 'the plain value is preferred'],
  ['multipart/mixed; boundary*x=ab', undefined, 'not a number'],
  ['multipart/mixed; __proto__=x; constructor=y', undefined, 'PS-3: names are data'],
]
for (const [value, boundary, why] of BOUNDARIES) {
  test(`boundary of ${JSON.stringify(value)}: ${why}`, () => {
    assert.equal(parseContentType(value).parameters.get('boundary'), boundary)
  })
}

test('Content-Transfer-Encoding is a token in any case, with comments', () => {
  for (const [value, encoding] of [
    ['Base64', 'base64'],
    [' (c) quoted-printable; x', 'quoted-printable'],
    ['', ''],
    ['"base64"', ''],
  ] as const) {
    assert.equal(parseTransferEncoding(value), encoding, value)
  }
})

test('any text is read without an error, and in time linear in its length', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...Array.from(';="\\()*/ ,%\'aA0')) }),
      (text) => void parseContentType(text),
    ),
  )
  for (const piece of ['(', 'a;', 'a*0=x;', '"\\', '=', 'a =', ',', 'x=(']) {
    assertLinear(piece, 20_000, (count) => {
      const text = `text/plain; ${piece.repeat(count)}`
      return () => void parseContentType(text)
    })
  }
})
