// PH-1: what ends DATA, what is content, and that it never depends on how TCP cuts the stream.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { DataReader } from '../../../mta/inbound/data-reader.ts'

interface Read {
  content: string
  end: number | undefined
  isBad: boolean
  has8Bit: boolean
  sizeBytes: number
}

/** Reads `octets` in the pieces that `cuts` make of them. */
function read(octets: Buffer, cuts: readonly number[] = []): Read {
  const reader = new DataReader()
  let content = ''
  let start = 0
  let end: number | undefined
  for (const cut of [...cuts, octets.length]) {
    const piece = reader.read(Buffer.from(octets.subarray(start, cut)))
    content += piece.content.toString('latin1')
    if (piece.end !== undefined) {
      end = start + piece.end
      break
    }
    start = cut
  }
  const { hasBareLineEnd: isBad, has8Bit, sizeBytes } = reader
  return { content: isBad ? '' : content, end, isBad, has8Bit, sizeBytes: isBad ? 0 : sizeBytes }
}

/** The same by the letter of RFC 5321 §4.5.2, octet by octet over the whole. */
function readSlowly(octets: Buffer): Omit<Read, 'has8Bit'> {
  const text = octets.toString('latin1')
  const terminator = text.startsWith('.\r\n') ? 3 : text.indexOf('\r\n.\r\n') + 5
  const end = terminator === 4 ? undefined : terminator
  const body = end === undefined ? text : text.slice(0, end - 3)
  const isBad = /\r(?!\n)|(?<!\r)\n/.test(end === undefined ? body.replace(/\r$/, '') : body)
  const content = body.replace(/^\./, '').replaceAll('\r\n.', '\r\n')
  return { content: isBad ? '' : content, end, isBad, sizeBytes: isBad ? 0 : content.length }
}

const examples: [sent: string, content: string, why: string][] = [
  ['.\r\n', '', 'no content at all: the CR LF of the DATA line counts'],
  ['\r\n.\r\n', '\r\n', 'one empty line'],
  ['a\r\n.\r\n', 'a\r\n', 'the CR LF before the dot is content'],
  ['..\r\n.\r\n', '.\r\n', 'a stuffed dot on the first line is content, not the end'],
  ['.x\r\n.\r\n', 'x\r\n', 'a first dot goes even where the client forgot to stuff'],
  ['a\r\n...\r\n.\r\n', 'a\r\n..\r\n', 'one dot goes, not all'],
  ['a.\r\n.b\r\n..\r\n.\r\n', 'a.\r\nb\r\n.\r\n', 'only dots at the start of a line'],
  ['a\r\n. \r\n.\r\n', 'a\r\n \r\n', 'dot and space is no end'],
  ['\r\n\r\n\r\n.\r\n', '\r\n\r\n\r\n', 'empty lines'],
]
for (const [sent, content, why] of examples) {
  test(`PH-1 content of ${JSON.stringify(sent)}: ${why}`, () => {
    const octets = Buffer.from(sent, 'latin1')
    for (let cut = 0; cut <= octets.length; cut++) {
      const result = read(octets, [cut])
      assert.deepEqual(result, { content, end: octets.length, isBad: false, has8Bit: false, sizeBytes: content.length })
    }
  })
}

const faults: [sent: string, why: string][] = [
  ['a\n.\r\nb\r\n.\r\n', 'LF . CR LF'],
  ['a\r.\r\nb\r\n.\r\n', 'CR . CR LF'],
  ['a\r\n.\nb\r\n.\r\n', 'CR LF . LF'],
  ['a\r\n.\rb\r\n.\r\n', 'CR LF . CR'],
  ['a\n.\nb\r\n.\r\n', 'LF . LF'],
  ['a\r.\rb\r\n.\r\n', 'CR . CR'],
  ['a\r\r\n.\r\n', 'CR CR LF: the first CR is bare, and the end is one'],
  ['a\r\n.\r\r\n.\r\n', 'CR LF . CR CR LF'],
  ['a\r\n.\r.\r\n.\r\n', 'a dot after the CR'],
  ['\n.\r\n.\r\n', 'LF first'],
  ['\r.\r\n.\r\n', 'CR first'],
]
for (const [sent, why] of faults) {
  test(`PH-1 a bare CR or LF is noticed, and read past to the real end: ${why}`, () => {
    const octets = Buffer.from(sent, 'latin1')
    for (let cut = 0; cut <= octets.length; cut++) {
      const { isBad, end } = read(octets, [cut])
      assert.deepEqual({ isBad, end }, { isBad: true, end: octets.length })
    }
  })
}

test('what follows the end is left to whoever reads commands', () => {
  const octets = Buffer.from('a\r\n.\r\nQUIT\r\n')
  assert.equal(read(octets).end, 6)
})

test('reading can begin in the middle of a chunk, and leaves what is before it alone', () => {
  const chunk = Buffer.from('DATA\r\n..a\r\n.\r\nNOOP\r\n')
  const { content, end } = new DataReader().read(chunk, 6)
  assert.equal(content.toString(), '.a\r\n')
  assert.equal(end, 14)
  assert.equal(chunk.toString('latin1', 0, 6), 'DATA\r\n')
  assert.equal(chunk.toString('latin1', 14), 'NOOP\r\n')
})

test('an octet above 127 is noticed, in whichever piece it is', () => {
  const octets = Buffer.from('Sübject: x\r\n\r\nplain\r\n.\r\n', 'latin1')
  for (let cut = 0; cut <= octets.length; cut++) assert.equal(read(octets, [cut]).has8Bit, true)
  assert.equal(read(Buffer.from('plain\r\n.\r\n')).has8Bit, false)
})

test('any octets, cut anywhere, give what RFC 5321 says of the whole', () => {
  const hostile = fc.constantFrom(
    '\r\n',
    '\r\n',
    '\r\n.\r\n',
    '.',
    '\r',
    '\n',
    'a',
    '\t',
    '\x0b',
    '\xff',
    'some longer text without a line end',
  )
  const octets = fc.array(hostile, { maxLength: 40 }).map((parts) => Buffer.from(parts.join(''), 'latin1'))
  const cuts = fc.array(fc.nat(200), { maxLength: 8 })
  fc.assert(
    fc.property(octets, cuts, (sent, at) => {
      const sorted = at.map((cut) => Math.min(cut, sent.length)).toSorted((a, b) => a - b)
      const { has8Bit: _, ...result } = read(sent, sorted)
      const expected = readSlowly(sent)
      // Without an end, the last octets may be the beginning of one: a CR behind a dot is kept back, and a final CR may yet get its LF.
      if (expected.end === undefined && !expected.isBad && /\r\n\.\r$|^\.\r$/.test(sent.toString('latin1'))) {
        assert.equal(`${result.content}\r`, expected.content)
      } else assert.deepEqual(result, expected)
    }),
    { numRuns: 3000 },
  )
})

test('the vectors of the smuggling testers: one end, and never a second message', () => {
  const file = new URL('./vectors/end-of-data.json', import.meta.url)
  const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as {
    vectors: { id: string; bytes_base64: string; mail: number; ends: boolean; action: string }[]
  }
  assert.ok(vectors.length > 20)
  for (const { id, bytes_base64, ends, action } of vectors) {
    const octets = Buffer.from(bytes_base64, 'base64')
    for (let cut = 0; cut <= octets.length; cut++) {
      const result = read(octets, [cut, Math.min(cut + 2, octets.length)])
      assert.equal(result.end === undefined, !ends, id)
      if (ends && id !== 'pipelined-after-end') assert.equal(result.end, octets.length, id)
      if (action === 'accept') assert.equal(result.isBad, false, id)
    }
  }
})

test('PS-2 twice the octets take no more than 2.5 times as long, whatever they are', () => {
  const generators: [name: string, unit: string][] = [
    ['text', `${'x'.repeat(76)}\r\n`],
    ['dots', '..\r\n'],
    ['bare LF', 'x\n'],
    ['bare CR', '\r'],
    ['nearly an end', '\r\n.\r'],
    ['tabs', '\t'],
  ]
  for (const [name, unit] of generators) {
    const whole = Buffer.from(unit.repeat(Math.ceil((2 << 20) / unit.length)))
    const timeOf = (bytes: number): number => {
      const copy = Buffer.from(whole.subarray(0, bytes))
      const startedAt = process.cpuUsage()
      const reader = new DataReader()
      for (let at = 0; at < copy.length; at += 65_536) reader.read(copy.subarray(at, at + 65_536))
      const { user, system } = process.cpuUsage(startedAt)
      return user + system
    }
    // The best of many, taken by turns: others use this machine too.
    let [once, twice] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
    for (let round = 0; round < 12; round++) {
      once = Math.min(once, timeOf(1 << 20))
      twice = Math.min(twice, timeOf(2 << 20))
    }
    // A floor of 2 ms: below it the clock and the collector are measured, not the work.
    assert.ok(twice <= Math.max(2.5 * once, 2000), `${name}: ${once} µs, then ${twice} µs`)
  }
})
