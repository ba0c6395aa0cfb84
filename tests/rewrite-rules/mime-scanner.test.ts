import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { MAX_BOUNDARY_OCTETS, MAX_DEPTH, MAX_PARTS, MimeScanner } from '../../rewrite-rules/mime-scanner.ts'
import { cut } from '../harness/stream-message.ts'

const HOLD_LIMIT = 100

/**
 * What a reader of `body` sees: parts are entered when their header is `multipart=BOUNDARY`, held when it is `held`. Each part, fault and
 * held body is an entry `path: …`; `output` is all bytes in order.
 */
function scan(chunks: Iterable<Buffer>, boundary: string): { log: string[]; output: string; held: string[] } {
  const scanner = new MimeScanner<string>()
  scanner.enter(boundary, boundary)
  const log: string[] = []
  const held: string[] = []
  const output: Buffer[] = []
  const take = (): void => {
    for (let event = scanner.next(); event !== undefined; event = scanner.next()) {
      switch (event.kind) {
        case 'bytes':
          output.push(event.bytes)
          break
        case 'part': {
          const header = firstLine(event.header.toString('latin1'))
          log.push(`${scanner.path} in ${event.context}: ${header}`)
          output.push(event.header)
          if (header.startsWith('multipart=')) scanner.enter(header.slice(10), header.slice(10))
          if (header === 'held') scanner.hold(HOLD_LIMIT)
          break
        }
        case 'held':
          log.push(`${event.closed ? 'held' : 'cut off'}: ${event.body.toString('latin1')}`)
          held.push(event.body.toString('latin1'))
          output.push(event.body)
          break
        case 'too large':
          log.push('too large')
          break
        case 'fault':
          log.push(event.fault)
      }
    }
  }
  take()
  for (const chunk of chunks) {
    scanner.write(chunk)
    take()
  }
  scanner.end()
  take()
  return { log, output: Buffer.concat(output).toString('latin1'), held }
}

const CASES: [name: string, body: string, log: string[], why: string][] = [
  [
    'a plain multipart',
    'pre\n--b\nx\n\none\n--b\ny\n\ntwo\n--b--\npost\n',
    ['1 in b: x', '2 in b: y'],
    'RFC 2046 §5.1',
  ],
  [
    'no preamble',
    '--b\n\none\n--b--',
    ['1 in b: '],
    'the first delimiter may be the first line, the last without a line break',
  ],
  [
    'nested',
    '--b\nmultipart=c\n\n--c\nx\n\n--c\ny\n\n--c--\n--b\nz\n\n--b--\n',
    ['1 in b: multipart=c', '1.1 in c: x', '1.2 in c: y', '2 in b: z'],
    'IMAP numbers parts by level',
  ],
  [
    'held',
    '--b\r\nheld\r\n\r\none\r\ntwo\r\n\r\n--b--\r\n',
    ['1 in b: held', 'held: one\r\ntwo\r\n'],
    'the line break before a delimiter belongs to the delimiter',
  ],
  ['held, LF', '--b\nheld\n\none\n--b--\n', ['1 in b: held', 'held: one'], 'R48'],
  ['held, empty', '--b\nheld\n\n--b--\n', ['1 in b: held', 'held: '], 'a part may be empty'],
  ['held without an empty line', '--b\nheld\n--b--\n', ['1 in b: held', 'held: '], 'a delimiter ends a header too'],
  ['padding', '--b \t\nx\n\n--b-- \n', ['1 in b: x'], 'RFC 2046 §5.1.1: white space may follow a boundary'],
  [
    'a longer line',
    '--b\nx\n\n--bc\n--b--c\n --b\n--b--\n',
    ['1 in b: x'],
    'a line that only begins as the boundary is no delimiter',
  ],
  [
    'the outer boundary is the longer one',
    '--b\nmultipart=bc\n\n--bc\nx\n\n--b\ny\n\n--b--\n',
    ['1 in b: multipart=bc', '1.1 in bc: x', 'mime-broken', '2 in b: y'],
    'an outer delimiter ends inner multiparts',
  ],
  [
    'inner not closed, part held',
    '--b\nmultipart=c\n\n--c\nheld\n\nx\n--b\n\n--b--\n',
    ['1 in b: multipart=c', '1.1 in c: held', 'held: x', 'mime-broken', '2 in b: '],
    'the outer delimiter says where the part ends',
  ],
  ['never closed', '--b\nheld\n\nx\n', ['1 in b: held', 'cut off: x\n', 'mime-broken'], '§12'],
  ['never opened', 'nothing\n', ['mime-broken'], '§12'],
  ['ends in a header', '--b\nheld', ['mime-broken'], '§12'],
  [
    'no boundary',
    '--b\nmultipart=\n\nx\n--b\ny\n\n--b--\n',
    ['1 in b: multipart=', 'mime-broken', '2 in b: y'],
    '§12: its own body is opaque',
  ],
  [
    'the boundary of an outer one',
    '--b\nmultipart=b\n\n--b\nheld\n\nx\n--b--\n--b--\n',
    ['1 in b: multipart=b', 'mime-broken'],
    '§12: the rest is opaque',
  ],
  [
    'innermost wins',
    '--b\nmultipart=b--\n\n--b--\nx\n\n--b----\n--b--\n',
    ['1 in b: multipart=b--', '1.1 in b--: x'],
    'a delimiter of the inner that would close the outer',
  ],
  ['after the end', '--b\nx\n\n--b--\n--b\ny\n\n', ['1 in b: x'], 'a closed boundary is ordinary text'],
  ['lone CR', '--b\nx\n\na\r--b\n--b\r--\n--b--\n', ['1 in b: x'], 'R48: a lone CR is an ordinary byte'],
  [
    'the limit',
    `--b\nheld\n\n${'x'.repeat(HOLD_LIMIT)}\n--b--\n`,
    ['1 in b: held', `held: ${'x'.repeat(HOLD_LIMIT)}`],
    'as large as allowed',
  ],
  [
    'beyond the limit',
    `--b\nheld\n\n${'x'.repeat(HOLD_LIMIT + 1)}\n--b\ny\n\n--b--\n`,
    ['1 in b: held', 'too large', '2 in b: y'],
    'one too large',
  ],
  [
    'far beyond the limit',
    `--b\nheld\n\n${'--x\n'.repeat(1000)}\n--b\ny\n\n--b--\n`,
    ['1 in b: held', 'too large', '2 in b: y'],
    'given up before the end',
  ],
]

for (const [name, body, log, why] of CASES) {
  test(`${name}: ${why}`, () => {
    const input = Buffer.from(body, 'latin1')
    for (const sizes of [[input.length], [1], [2], [3], [5, 1]]) {
      const result = scan(cut(input, sizes), 'b')
      assert.deepEqual(result.log, log, `pieces of ${sizes.join()}`)
      assert.equal(result.output, body)
    }
  })
}

test('depth: the hundredth multipart is entered, the next is not, and nothing after it is read (§12)', () => {
  const nest = (depth: number): string => {
    let body = ''
    for (let i = 1; i < depth; i++) body += `--b${i === 1 ? '' : i}\nmultipart=b${i + 1}\n\n`
    return `${body}--b${depth}\nheld\n\nx\n`
  }
  assert.equal(MAX_DEPTH, 100)
  assert.ok(scan([Buffer.from(nest(100))], 'b').log.some((entry) => entry.endsWith(': held')))
  const beyond = scan([Buffer.from(nest(101))], 'b')
  assert.equal(beyond.log.at(-1), 'mime-limit')
  assert.equal(beyond.output, nest(101))
})

test('parts: the ten thousandth is read, the next is not (§12)', () => {
  assert.equal(MAX_PARTS, 10_000)
  const parts = (count: number) => Buffer.from(`${'--b\n\n'.repeat(count - 1)}--b\nheld\n\nx\n--b--\n`)
  assert.deepEqual(scan([parts(MAX_PARTS)], 'b').held, ['x'])
  const beyond = scan([parts(MAX_PARTS + 1)], 'b')
  assert.deepEqual(beyond.held, [])
  assert.equal(beyond.log.at(-1), 'mime-limit')
})

test('boundary: 200 octets are one, 201 are too many (§12)', () => {
  for (const [length, held] of [
    [MAX_BOUNDARY_OCTETS, ['x']],
    [MAX_BOUNDARY_OCTETS + 1, []],
  ] as const) {
    const boundary = 'x'.repeat(length)
    const body = Buffer.from(`--${boundary}\nheld\n\nx\n--${boundary}--\n`)
    const result = scan(cut(body, [7]), boundary)
    assert.deepEqual(result.held, held)
    assert.equal(result.log.includes('mime-limit'), held.length === 0)
  }
})

test('a part header of 1 MiB is read, a larger one is not (§12)', () => {
  const MIB = 1024 * 1024
  const body = (octets: number) => Buffer.from(`--b\nheld\n${'x'.repeat(octets - 6)}\n\nz\n--b--\n`)
  assert.deepEqual(scan(cut(body(MIB), [65_536]), 'b').held, ['z'])
  for (const sizes of [[10], [65_536], [2 * MIB]]) {
    const beyond = scan(cut(body(MIB + 1), sizes), 'b')
    assert.deepEqual(beyond.log, ['mime-limit'])
  }
})

const firstLine = (text: string) => (text.split(/\r?\n/, 1)[0] ?? '').trim()

/** What the scanner sees, found the simple way: line by line over the whole text. */
function reference(body: string, boundary: string): { held: string[]; parts: number } {
  const open = [boundary]
  const held: string[] = []
  let parts = 0
  let collected: string[] | undefined
  let header: string | undefined
  const endPart = (): void => {
    if (header !== undefined && firstLine(header) === 'held') collected = []
    if (header !== undefined) parts++
    if (collected !== undefined) held.push(collected.join('').replace(/\r?\n$/, ''))
    collected = undefined
    header = undefined
  }
  for (const line of body.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    const text = line.replace(/\r?\n$/, '').replace(/[ \t]+$/, '')
    const level = open.findLastIndex((each) => text === `--${each}` || text === `--${each}--`)
    if (level >= 0) {
      endPart()
      const closes = text !== `--${open[level]}`
      open.length = closes ? level : level + 1
      if (open.length === 0) break
      if (!closes) header = ''
    } else if (header !== undefined) {
      header += line
      if (!/^\r?\n$/.test(line)) continue
      const read = firstLine(header)
      parts++
      header = undefined
      if (read === 'held') collected = []
      const inner = /^multipart=(.+)$/.exec(read)?.[1]
      if (inner !== undefined) {
        if (open.includes(inner)) break
        open.push(inner)
      }
    } else collected?.push(line)
  }
  if (open.length === 0) return { held, parts }
  if (collected !== undefined) held.push(collected.join(''))
  return { held, parts }
}

test('any body at any chunking: nothing is lost, and the parts are those a reader of lines finds', () => {
  const line = fc.constantFrom(
    '--b',
    '--b--',
    '--c',
    '--c--',
    '--bc',
    '--',
    '-',
    '',
    'held',
    'multipart=c',
    'multipart=bc',
    'x',
    '--b ',
    '\r',
  )
  const body = fc.array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\n', '')), { maxLength: 40 })
  fc.assert(
    fc.property(body, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }), (lines, sizes) => {
      const text = lines.map(([content, end]) => content + end).join('')
      const input = Buffer.from(text)
      const whole = scan([input], 'b')
      assert.equal(whole.output, text)
      assert.deepEqual(scan(cut(input, sizes), 'b'), whole)
      assert.deepEqual(scan(cut(input, [1]), 'b'), whole)
      const expected = reference(text, 'b')
      if (expected.held.some(({ length }) => length > HOLD_LIMIT)) return
      assert.deepEqual(whole.held, expected.held)
      assert.equal(whole.log.filter((entry) => entry.includes(' in ')).length, expected.parts)
    }),
    { numRuns: 3000 },
  )
})
