import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeEncodedWords } from '../../rewrite-rules/encoded-word.ts'

const words: [text: string, decoded: string | undefined, why: string][] = [
  ['=?utf-8?B?YWxpY2VAY29udG9zby5jb20=?=', 'alice@contoso.com', 'base64'],
  ['=?UTF-8?q?alice=40contoso=2ecom?=', 'alice@contoso.com', 'Q, either case of hex'],
  ['=?utf-8?Q?a_b?=', 'a b', 'an underscore is a space'],
  ['=?iso-8859-1?Q?J=FCrgen?=', 'Jürgen', 'another charset'],
  ['=?us-ascii*en?Q?a?=', 'a', 'a language (RFC 2231 §5)'],
  ['=?utf-8?Q?a?= \r\n\t=?utf-8?Q?b?=', 'ab', 'white space between two words does not count (RFC 2047 §6.2)'],
  ['=?utf-8?Q?a?= ', 'a', 'nor does it at the end'],
  ['=?utf-8?Q??=', '', 'an empty word'],
  ['=?utf-8?B?YQ?=', 'a', 'base64 without its padding'],
  ['', '', 'nothing'],
  ['a', undefined, 'no encoded-word'],
  ['=?utf-8?Q?a?=b', undefined, 'text after one'],
  ['=?utf-8?Q?a?= b', undefined, 'text beside one'],
  ['=?utf-8?Q?a?==?utf-8?Q?b?=', undefined, 'no white space between two'],
  ['=?utf-8?Q?a', undefined, 'no end'],
  ['=?utf-8', undefined, 'no encoding'],
  ['=?utf-8?X?a?=', undefined, 'an unknown encoding'],
  ['=?utf-8?Q?a b?=', undefined, 'raw white space within (RFC 2047 §2)'],
  ['=?utf-8?Q?a=4?=', undefined, 'half an octet'],
  ['=?utf-8?Q?a=zz?=', undefined, 'no hex digits'],
  ['=?utf-8?Q?a=+1?=', undefined, 'a sign is no digit'],
  ['=?utf-8?Q?\xe9?=', undefined, 'raw octets'],
  ['=?utf-8?B?Y*Q=?=', undefined, 'what is not base64'],
  ['=?utf-8?Q?=E9?=', undefined, 'octets that are not of the charset'],
  ['=?x-unknown?Q?a?=', undefined, 'a charset nobody knows'],
  ['=??Q?a?=', undefined, 'no charset'],
  [`=?utf-8?Q?${'a'.repeat(4096)}?=`, undefined, 'longer than any address'],
]
for (const [text, decoded, why] of words) {
  test(`decodeEncodedWords of ${JSON.stringify(text.slice(0, 60))}: ${why}`, () => {
    assert.equal(decodeEncodedWords(text), decoded)
  })
}

test('any text is decoded or not, without an exception', () => {
  const piece = fc.constantFrom('=?', '?=', '?', '=', 'utf-8', 'iso-2022-jp', 'B', 'Q', 'a', '4', ' ', '\xe9', '\x1b')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const decoded = decodeEncodedWords(pieces.join(''))
      assert.ok(decoded === undefined || decoded.isWellFormed())
    }),
  )
})
