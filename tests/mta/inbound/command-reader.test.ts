// PH-1 for commands: only CR LF ends a line, and nothing else may stand in for it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CommandReader } from '../../../mta/inbound/command-reader.ts'

/** All lines of `octets`, read in two pieces cut at `cut`. */
function read(octets: string, cut: number, maxBytes = 2048): string[] {
  const reader = new CommandReader(maxBytes)
  const lines = []
  for (const piece of [octets.slice(0, cut), octets.slice(cut)]) {
    const chunk = Buffer.from(piece, 'latin1')
    for (let at = 0; at < chunk.length;) {
      const { line, end } = reader.read(chunk, at)
      at = end
      if (line === undefined) continue
      lines.push(line.kind === 'line' ? line.text : line.kind)
      if (line.kind === 'malformed') return lines
    }
  }
  return lines
}

const examples: [octets: string, lines: string[], why: string][] = [
  ['NOOP\r\n', ['NOOP'], 'one line'],
  ['MAIL\r\nRCPT\r\nDATA\r\n', ['MAIL', 'RCPT', 'DATA'], 'a pipelined group'],
  ['\r\n', [''], 'an empty line is a line'],
  ['NOOP', [], 'no line end, no line'],
  ['NOOP\n', ['malformed'], 'bare LF'],
  ['NOOP\rQUIT\r\n', ['malformed'], 'bare CR'],
  ['NOOP\r\r\n', ['malformed'], 'two CR'],
  ['\n', ['malformed'], 'LF alone'],
  ['NO\0OP\r\n', ['malformed'], 'NUL'],
  ['NOOP\r\nNOOP\nQUIT\r\n', ['NOOP', 'malformed'], 'what was good before the fault stays good'],
  ['caf\xe9\r\n', ['caf\xe9'], 'octets above 127 come as they are'],
]
for (const [octets, lines, why] of examples) {
  test(`PH-1 lines of ${JSON.stringify(octets)}, wherever TCP cuts: ${why}`, () => {
    for (let cut = 0; cut <= octets.length; cut++) assert.deepEqual(read(octets, cut), lines, `cut at ${cut}`)
  })
}

const lengths: [bytes: number, lines: string[], why: string][] = [
  [99, ['x'.repeat(97), 'NOOP'], 'one less than the limit'],
  [100, ['x'.repeat(98), 'NOOP'], 'the limit, CR LF included'],
  [101, ['too-long', 'NOOP'], 'one more'],
  [5000, ['too-long', 'NOOP'], 'far more; the next line is read again'],
]
for (const [bytes, lines, why] of lengths) {
  test(`LM-1 a command line of ${bytes} octets where 100 are allowed: ${why}`, () => {
    const octets = `${'x'.repeat(bytes - 2)}\r\nNOOP\r\n`
    for (const cut of [0, 1, 50, 98, 99, 100, 101, bytes - 1, bytes, octets.length]) {
      assert.deepEqual(read(octets, Math.min(cut, octets.length), 100), lines)
    }
  })
}

test('a line that never ends is not kept', () => {
  const reader = new CommandReader(100)
  for (let i = 0; i < 1000; i++) reader.read(Buffer.alloc(1000, 'x'), 0)
  assert.equal(reader.pending, '')
})
