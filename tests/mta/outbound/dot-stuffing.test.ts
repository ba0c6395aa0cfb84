import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DotStuffer } from '../../../mta/outbound/dot-stuffing.ts'

function stuffed(chunks: readonly string[]): string {
  const stuffer = new DotStuffer()
  const out = chunks.flatMap((chunk) => stuffer.push(Buffer.from(chunk, 'latin1')))
  return Buffer.concat([...out, stuffer.end()]).toString('latin1')
}

/** RFC 5321 §4.5.2, as short as it can be said. */
function naive(content: string): string {
  const ended = content === '' || content.endsWith('\r\n') ? content : `${content}\r\n`
  return `${ended.replace(/(^|\r\n)\./g, '$1..')}.\r\n`
}

const examples: [content: string, onTheWire: string, why: string][] = [
  ['', '.\r\n', 'nothing but the end'],
  ['a\r\n', 'a\r\n.\r\n', 'no dot'],
  ['.\r\n', '..\r\n.\r\n', 'a first line of one dot'],
  ['a\r\n.b\r\n', 'a\r\n..b\r\n.\r\n', 'a dot at the start of a line'],
  ['a.b\r\n', 'a.b\r\n.\r\n', 'a dot elsewhere stays'],
  ['..\r\n', '...\r\n.\r\n', 'two dots: one is added'],
  ['a', 'a\r\n.\r\n', 'a last line without an end gets one'],
  ['a\r', 'a\r\r\n.\r\n', 'a lone CR is no line end'],
  ['a\n.b\r\n', 'a\n.b\r\n.\r\n', 'nor is a lone LF'],
]
for (const [content, wire, why] of examples) {
  test(`${JSON.stringify(content)}: ${why}`, () => {
    assert.equal(stuffed([content]), wire)
    assert.equal(stuffed(content.split('')), wire)
  })
}

test('property: at any cuts the wire holds what the rule says', () => {
  const piece = fc.constantFrom('.', '\r', '\n', '\r\n', '\r\n.', 'x', '..', '\r\n.\r\n', 'text')
  fc.assert(
    fc.property(fc.array(fc.array(piece, { maxLength: 12 }), { maxLength: 12 }), (chunks) => {
      const joined = chunks.map((pieces) => pieces.join(''))
      assert.equal(stuffed(joined), naive(joined.join('')))
    }),
    { numRuns: 2_000 },
  )
})

test('text full of dots inside its lines is searched another way, with the same result', () => {
  const line = 'e.g. a. b. c. d.\r\n'
  const content = `${line.repeat(50)}.x\r\n${line.repeat(3)}..\r\n${line.repeat(50)}.`
  for (const size of [Infinity, 1, 7, 900]) {
    const chunks: string[] = []
    for (let from = 0; from < content.length; from += size) chunks.push(content.slice(from, from + size))
    assert.equal(stuffed(chunks), naive(content))
  }
})

test('content made of dots takes linear time and no more than a copy (PS-2)', () => {
  const chunk = Buffer.from('.\r\n'.repeat(20_000))
  const stuffer = new DotStuffer()
  const slices = stuffer.push(chunk)
  assert.ok(slices.length < 40)
  assert.equal(Buffer.concat(slices).length, 80_000)
  assert.equal(Buffer.concat(slices).toString(), '..\r\n'.repeat(20_000))
})

test('content without such a dot is not copied', () => {
  const chunk = Buffer.from('plain text. no dot at a line\r\n')
  assert.equal(new DotStuffer().push(chunk)[0]?.buffer, chunk.buffer)
})
