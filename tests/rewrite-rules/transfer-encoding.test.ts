import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { applySplices } from '../../rewrite-rules/splice.ts'
import type { Splice } from '../../rewrite-rules/splice.ts'
import { decodeBody, transferEncodingOf } from '../../rewrite-rules/transfer-encoding.ts'
import type { TransferEncoding } from '../../rewrite-rules/transfer-encoding.ts'

const decode = (body: string, encoding: TransferEncoding) => decodeBody(Buffer.from(body, 'latin1'), encoding, '\r\n')

/** `body` with the first occurrence of `old` in its octets replaced. */
function replace(body: string, encoding: TransferEncoding, old: string, replacement: string): string {
  const decoded = decode(body, encoding)
  assert.ok(decoded, 'decodes')
  const start = decoded.octets.indexOf(old, 0, 'latin1')
  assert.ok(start >= 0, 'found')
  const pieces = [{ added: replacement, isLineBreak: false }]
  return decoded.encode([{ start, end: start + old.length, pieces }]).toString('latin1')
}

test('encodings are those of RFC 2045 §6, or unknown (R54)', () => {
  for (const name of ['', '7bit', '8bit', 'binary']) assert.equal(transferEncodingOf(name), 'identity')
  for (const name of ['base64', 'quoted-printable']) assert.equal(transferEncodingOf(name), name)
  for (const name of ['x-uuencode', 'utf-8', '8-bit']) assert.equal(transferEncodingOf(name), undefined)
})

const BASE64: [body: string, octets: string | undefined, isSuspicious: boolean, why: string][] = [
  ['aGVsbG8=', 'hello', false, 'RFC 2045 §6.8'],
  ['aGVs\r\nbG8=\r\n', 'hello', false, 'lines'],
  ['  aGVs\n\n\tbG8=\n', 'hello', false, 'white space is not outside the alphabet'],
  ['aGVs!bG8=', 'hello', true, 'RFC 2045 §6.8: other characters are ignored'],
  ['aGVs-_bG8=', 'hello', true, 'so are those of base64url'],
  ['aGVsbG8', 'hello', true, 'missing padding'],
  ['aGVsbG8===', 'hello', true, 'too much padding'],
  ['aGVsbG8=aGVsbG8=', undefined, false, 'padding in the middle: readers differ'],
  ['aGVsbG8=\r\n--\r\nfooter', undefined, false, 'text after the end'],
  ['aGVsb', undefined, false, 'a digit too many, or three too few'],
  ['', '', false, 'empty'],
]
for (const [body, octets, isSuspicious, why] of BASE64) {
  test(`base64 ${JSON.stringify(body)}: ${why}`, () => {
    const decoded = decode(body, 'base64')
    assert.equal(decoded?.octets.toString('latin1'), octets)
    if (octets !== undefined) assert.equal(decoded?.isSuspicious, isSuspicious)
  })
}

test('changed base64 is written in lines of 76 characters with the line break of the body, clean (R54)', () => {
  const octets = 'x'.repeat(200)
  const encoded = Buffer.from(octets).toString('base64')
  const body = `${encoded.slice(0, 60)}!\n${encoded.slice(60)}\n\n`
  const lines = replace(body, 'base64', 'xxx', 'abc').split('\n')
  assert.deepEqual(
    lines.map(({ length }) => length),
    [76, 76, 76, 40, 0, 0],
  )
  assert.equal(Buffer.from(lines.join(''), 'base64').toString(), `abc${octets.slice(3)}`)
})

const QP: [body: string, octets: string, isSuspicious: boolean, why: string][] = [
  ['a=3Db=C3=BC', 'a=b\u00c3\u00bc', false, 'RFC 2045 §6.7 (1)'],
  ['a=3db', 'a=b', false, 'hexadecimal digits in any case'],
  ['a=\r\nb\r\n', 'ab\r\n', false, 'soft and hard line breaks'],
  ['a= \t\nb', 'ab', false, 'white space after a soft break'],
  ['a \t\r\nb ', 'a\r\nb', false, '(3): white space at the end of a line was added on the way'],
  ['a=', 'a', false, 'a soft break at the end'],
  ['a=0D=0Ab', 'a\r\nb', false, 'encoded line break'],
  ['a=xyz=4', 'a=xyz=4', true, 'an = that encodes nothing stands for itself'],
  ['a\u00fcb', 'a\u00fcb', true, 'as does an 8-bit octet'],
  ['', '', false, 'empty'],
]
for (const [body, octets, isSuspicious, why] of QP) {
  test(`quoted-printable ${JSON.stringify(body)}: ${why}`, () => {
    const decoded = decode(body, 'quoted-printable')
    assert.equal(decoded?.octets.toString('latin1'), octets)
    assert.equal(decoded?.isSuspicious, isSuspicious)
  })
}

const QP_CHANGES: [body: string, old: string, replacement: string, result: string, why: string][] = [
  [
    '=3DxABC=\r\nz=3d=\r\nq\r\n=61\r\n',
    'ABCz',
    'D',
    '=3DxD=3d=\r\nq\r\n=61\r\n',
    'soft breaks of the line go, spelling stays, other lines stay',
  ],
  ['=61=\r\n=\r\nABC=\r\n\r\n', 'ABC', 'D', '=61=\r\n=\r\nD\r\n', 'only lines that carry the change'],
  ['ABC=0D=0A=\r\n=62', 'ABC', '=', '=3D=0D=0A=\r\n=62', 'a soft break at the end of the region stays'],
  ['a=zzABC\u00fc', 'ABC', 'D', 'a=3DzzD=FC', 'what stands for itself and should not is written clean (R54)'],
  ['ABC', 'ABC', 'a ', 'a=20', 'a space at the end of a line is written so that it stays'],
  ['ABC\t=\n\nx', 'ABC', 'a', 'a\t=\n\nx', 'one before a soft break needs not'],
  [`ABC${'x'.repeat(70)}`, 'ABC', 'abcdef', `abcdef${'x'.repeat(70)}`, 'a line of 76 needs no soft break'],
  [
    `ABC${'x'.repeat(70)}\n`,
    'ABC',
    'abcdefg',
    `abcdefg${'x'.repeat(68)}=\nxx\n`,
    'a line of 77 does; the break is that of the body',
  ],
  [`ABC${'x'.repeat(70)}=3D`, 'ABC', 'abc', `abc${'x'.repeat(70)}=3D`, 'an escape may end a line at 76'],
  [`ABC${'x'.repeat(71)}=3D`, 'ABC', 'abc', `abc${'x'.repeat(71)}=\r\n=3D`, 'but is never cut'],
]
for (const [body, old, replacement, result, why] of QP_CHANGES) {
  test(`change in quoted-printable ${JSON.stringify(body)}: ${why} (R54)`, () => {
    assert.equal(replace(body, 'quoted-printable', old, replacement), result)
  })
}

test('a line break added to quoted-printable is spelled as the one after the changed line', () => {
  const cases: [body: string, result: string][] = [
    ['ABC\r\nx', 'A\r\n B\r\nx'],
    ['ABC=0D=0Ax', 'A=0D=0A B=0D=0Ax'],
  ]
  for (const [body, result] of cases) {
    const piece = (text: string, isLineBreak: boolean) => ({ added: text, isLineBreak })
    const pieces = [piece('A', false), piece('\r\n', true), piece(' B', false)]
    assert.equal(
      decode(body, 'quoted-printable')
        ?.encode([{ start: 0, end: 3, pieces }])
        .toString(),
      result,
    )
  }
})

const splicesOf = (octets: Buffer): fc.Arbitrary<Splice[]> =>
  fc
    .array(fc.tuple(fc.nat(octets.length), fc.nat(20), fc.string({ maxLength: 90 })), { maxLength: 4 })
    .map((tuples) => {
      const isInLineBreak = (at: number) => octets[at - 1] === 0x0d && octets[at] === 0x0a
      const splices: Splice[] = []
      let from = 0
      for (const [start, size, added] of tuples.toSorted(([a], [b]) => a - b)) {
        const end = Math.min(start + size + 1, octets.length)
        const kept = Math.max(start, end - 3)
        if (start < from || start >= end || octets[end - 1] === 0x0a || [start, end, kept].some(isInLineBreak)) continue
        splices.push({
          start,
          end,
          pieces: [
            { added: Buffer.from(added).toString('latin1'), isLineBreak: false },
            { from: kept, to: end },
          ],
        })
        from = end
      }
      return splices
    })

const octets = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
const line = fc.string({
  unit: fc.constantFrom(...Array.from('ab= \t\u00fc'), '=3D', '=0D=0A', '=\r\n', '\r\n', '\n', '=\n', 'x'.repeat(40)),
})

test('splices are carried out in every encoding as in the octets, and no quoted-printable line gets too long', () => {
  const bodies = fc.oneof(
    octets.map((body) => ({ encoding: 'identity' as const, body })),
    octets.map((body) => ({
      encoding: 'base64' as const,
      body: Buffer.from(body.toString('base64').replace(/.{10}/g, '$&\n')),
    })),
    line.map((body) => ({ encoding: 'quoted-printable' as const, body: Buffer.from(body, 'latin1') })),
  )
  const cases = bodies.chain(({ encoding, body }) => {
    const decoded = decodeBody(body, encoding, '\n')
    assert.ok(decoded)
    return splicesOf(decoded.octets).map((splices) => ({ encoding, body, decoded, splices }))
  })
  fc.assert(
    fc.property(cases, ({ encoding, body, decoded, splices }) => {
      const encoded = decoded.encode(splices)
      const again = decodeBody(encoded, encoding, '\n')
      assert.deepEqual(again?.octets, applySplices(decoded.octets, splices))
      if (encoding !== 'quoted-printable') return
      const before = new Set(body.toString('latin1').split('\n'))
      for (const text of encoded.toString('latin1').split('\n')) {
        assert.ok(before.has(text) || text.replace(/\r$/, '').length <= 76, text)
      }
    }),
    { numRuns: 2000 },
  )
})
