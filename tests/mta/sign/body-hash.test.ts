import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { BodyHash } from '../../../mta/sign/body-hash.ts'
import type { Canonicalization } from '../../../mta/sign/body-hash.ts'
import { assertLinear } from '../../harness/doubling.ts'

/** RFC 6376 §3.4.3 and §3.4.4 word by word, over a whole body. */
function canonicalBody(body: string, canonicalization: Canonicalization): string {
  const lines = body.split('\r\n')
  // After the last line end there is no line.
  if (lines.at(-1) === '') lines.pop()
  const canonical =
    canonicalization === 'simple'
      ? lines
      : lines
          .map((line) => line.replaceAll(/[ \t]+/g, ' '))
          .map((line) => (line.endsWith(' ') ? line.slice(0, -1) : line))
  while (canonical.at(-1) === '') canonical.pop()
  if (canonical.length === 0) return canonicalization === 'simple' ? '\r\n' : ''
  return `${canonical.join('\r\n')}\r\n`
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'latin1').digest('base64')
}

function hashOf(chunks: readonly Buffer[], canonicalization: Canonicalization): string {
  const hash = new BodyHash(canonicalization)
  for (const chunk of chunks) hash.update(chunk)
  return hash.digest()
}

function cut(bytes: Buffer, size: number): Buffer[] {
  const chunks = []
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
  return chunks
}

const examples: [body: string, relaxed: string, simple: string, why: string][] = [
  [' C \r\nD \t E\r\n\r\n\r\n', ' C\r\nD E\r\n', ' C \r\nD \t E\r\n', 'the example of RFC 6376 §3.4.5'],
  ['', '', '\r\n', 'an empty body'],
  ['\r\n', '', '\r\n', 'nothing but an empty line'],
  ['\r\n\r\n\r\n', '', '\r\n', 'nothing but empty lines'],
  [' \t\r\n \r\n', '', ' \t\r\n \r\n', 'white space alone makes an empty line'],
  ['a', 'a\r\n', 'a\r\n', 'a line end is added'],
  ['a \r\n\r\n \r\nb\r\n', 'a\r\n\r\n\r\nb\r\n', 'a \r\n\r\n \r\nb\r\n', 'empty lines inside stay'],
  ['a\rb\nc\r\n', 'a\rb\nc\r\n', 'a\rb\nc\r\n', 'a CR or LF alone is content'],
  ['a \r\r\n', 'a \r\r\n', 'a \r\r\n', 'white space before such a CR stays'],
  ['a\r', 'a\r\r\n', 'a\r\r\n', 'also at the very end'],
  ['\t\ta\r\n', ' a\r\n', '\t\ta\r\n', 'white space at the start of a line becomes one space'],
]
for (const [body, relaxed, simple, why] of examples) {
  test(`R80 body of ${JSON.stringify(body)}: ${why}`, () => {
    assert.equal(canonicalBody(body, 'relaxed'), relaxed)
    assert.equal(canonicalBody(body, 'simple'), simple)
    for (const size of [1, 2, 3, 1000]) {
      const chunks = cut(Buffer.from(body, 'latin1'), size)
      assert.equal(hashOf(chunks, 'relaxed'), sha256(relaxed), `relaxed, cut by ${size}`)
      assert.equal(hashOf(chunks, 'simple'), sha256(simple), `simple, cut by ${size}`)
    }
  })
}

test('R80 RFC 6376 §3.4.4: the hashes of empty bodies are those that the RFC prints', () => {
  assert.equal(hashOf([], 'relaxed'), '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=')
  assert.equal(hashOf([], 'simple'), 'frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=')
})

const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(' ', '\t', '\r\n', '\r', '\n', '  ', ' \r\n', '\r\n\r\n', '\t \r\n', 'a') },
  { weight: 2, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 100 }) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 3000 }).map((n) => 'word and word '.repeat(n / 14 + 1).slice(0, n)),
  },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }).map((n) => 'x'.repeat(n)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }).map((n) => '\r\n'.repeat(n)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }).map((n) => ' \t'.repeat(n)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }).map((n) => 'y\t'.repeat(n)) },
)

for (const canonicalization of ['relaxed', 'simple'] as const) {
  test(`R80 ${canonicalization}: any body, cut anyhow, has the hash of its canonical form`, () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1 }),
        (pieces, sizes) => {
          const text = pieces.join('')
          const bytes = Buffer.from(text, 'latin1')
          const chunks: Buffer[] = []
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = sizes[i % sizes.length] ?? 1
            chunks.push(bytes.subarray(at, at + size))
            at += size
          }
          assert.equal(hashOf(chunks, canonicalization), sha256(canonicalBody(text, canonicalization)))
        },
      ),
      { numRuns: 1000 },
    )
  })
}

test('R80 a hash keeps no octet of what it is given, however much it may have to hold back', () => {
  const before = process.memoryUsage()
  for (const [unit, ending] of [
    [' ', 'x'],
    ['\r\n', 'x'],
    ['\t', '\r\n'],
    ['\r\n', ''],
  ] as const) {
    const chunk = Buffer.alloc(1024 * 1024, unit)
    const hash = new BodyHash()
    for (let i = 0; i < 64; i++) hash.update(chunk)
    hash.update(Buffer.from(ending))
    assert.equal(hash.digest().length, 44)
  }
  const after = process.memoryUsage()
  assert.ok(
    after.arrayBuffers - before.arrayBuffers < 16 * 1024 * 1024,
    `${after.arrayBuffers - before.arrayBuffers} octets kept`,
  )
})

test('PS-2 twice the body takes twice the time, whatever it holds', () => {
  for (const unit of [' ', '\r\n', '\r', 'a\t', ' \r\n', '\r\nx']) {
    assertLinear(JSON.stringify(unit), 512 * 1024, (size) => {
      const body = Buffer.alloc(size, unit)
      return () => void hashOf(cut(body, 64 * 1024), 'relaxed')
    })
  }
})

test('a body does not go on after its end', () => {
  const hash = new BodyHash()
  const digest = hash.digest()
  assert.equal(hash.digest(), digest)
  assert.throws(() => hash.update(Buffer.from('x')), /unreachable/)
})
