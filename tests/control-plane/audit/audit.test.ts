// Canonical JSON, and events in a chain. Pure.
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson, chainEvent, digestOf, EMPTY_HEAD } from '../../../control-plane/audit/audit.ts'
import type { AuditEntry } from '../../../control-plane/audit/audit.ts'

// RFC 8785 §3.2.2 and §3.2.3, and appendix B (numbers that are integers; we write no others).
const rfc8785: [value: unknown, text: string, why: string][] = [
  [
    { numbers: [333333333, 4, 2e-3, 1e30, 0], string: '€$\u000f\nA\'B"\\\\"/', literals: [null, true, false] },
    '{"literals":[null,true,false],"numbers":[333333333,4,0.002,1e+30,0],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    'the example of §3.2.2',
  ],
  [
    {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    },
    '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign","😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    'the example of §3.2.3: by UTF-16 code units, so the emoji comes before U+FB33',
  ],
  [-0, '0', 'B: minus zero'],
  [9007199254740992, '9007199254740992', 'B: 2^53'],
  [-9007199254740992, '-9007199254740992', 'B: -2^53'],
  [295147905179352830000, '295147905179352830000', 'B: ~2^68'],
  [1e23, '1e+23', 'B: 1e23'],
  [1e21, '1e+21', 'B: 1e21'],
  [999999999999999900000, '999999999999999900000', 'B: below 1e21'],
  [
    '\b\t\n\f\r\u0000\u001f\u007f',
    '"\\b\\t\\n\\f\\r\\u0000\\u001f\u007f"',
    '§3.2.2.2: short escapes, then lower-case hex',
  ],
  [[], '[]', 'empty list'],
  [{}, '{}', 'empty object'],
]
for (const [value, text, why] of rfc8785) {
  test(`AU-2: canonical JSON is RFC 8785's: ${why}`, () => assert.equal(canonicalJson(value), text))
}

const ours: [value: unknown, text: string, why: string][] = [
  [{ a: undefined, b: 1 }, '{"b":1}', 'what is not there is left out'],
  [[undefined, 1], '[null,1]', 'but keeps its place in a list'],
  [Array(2), '[null,null]', 'a list with holes is JSON all the same'],
  [new Date(0), '"1970-01-01T00:00:00.000Z"', 'times are RFC 3339'],
  [{ __proto__: null, a: { ['__proto__']: 1 } }, '{"a":{"__proto__":1}}', 'no name is special'],
]
for (const [value, text, why] of ours) {
  test(`AU-2: canonical JSON: ${why}`, () => assert.equal(canonicalJson(value), text))
}

test('AU-2: canonical JSON gives the value back, is stable, and does not depend on the order in which members were set', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      const text = canonicalJson(value)
      const parsed: unknown = JSON.parse(text)
      // -0 is 0 in JSON; JSON.stringify says the same
      assert.deepEqual(parsed, JSON.parse(JSON.stringify(value)))
      assert.equal(canonicalJson(parsed), text)
      assert.equal(canonicalJson(reversed(parsed)), text)
      assert.doesNotMatch(text, /[\n\r]/)
    }),
  )
})

/** The same value, members set in the opposite order at every level. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  const out: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [name, member] of Object.entries(value).toReversed()) out[name] = reversed(member)
  return out
}

const entry: AuditEntry = {
  action: 'thing.changed',
  actor: 'person:a/b',
  result: 'done',
  payload: { sourceAddress: '192.0.2.1' },
}
const at = { id: 'evt_1', time: '2026-11-22T10:00:00.000Z', salt: 'AAAA' }

test('AU-2: the hash is that of the definition: SHA-256 of the hash before and the header, which holds the hash of the payload', () => {
  const first = chainEvent({ chain: 'org_a', size: 0, head: EMPTY_HEAD }, entry, at)
  assert.equal(
    first.headerText,
    `{"action":"thing.changed","actor":"person:a/b","after":"","before":"","chain":"org_a","format":"causeway-audit/1","id":"evt_1","object":"","payload":"${hash('sha256', '{"salt":"AAAA","sourceAddress":"192.0.2.1"}')}","project":"","requestId":"","result":"done","sequence":1,"time":"2026-11-22T10:00:00.000Z"}`,
  )
  assert.equal(
    first.hash.toString('hex'),
    hash('sha256', Buffer.concat([Buffer.alloc(32), Buffer.from(first.headerText)])),
  )
  const second = chainEvent({ chain: 'org_a', size: 1, head: first.hash }, entry, at)
  assert.equal(second.hash.toString('hex'), hash('sha256', Buffer.concat([first.hash, Buffer.from(second.headerText)])))
})

test('AU-4: without the salt the hash of a payload tells nothing: the same payload never has the same hash', () => {
  const place = { chain: 'org_a', size: 0, head: EMPTY_HEAD }
  const hashes = ['AAAA', 'AAAB'].map((salt) => chainEvent(place, entry, { ...at, salt }).header.payload)
  assert.notEqual(hashes[0], hashes[1])
  const faked = { ...entry, payload: { ...entry.payload, salt: 'theirs' } }
  assert.match(chainEvent(place, faked, at).payloadText, /"salt":"AAAA"/, 'a payload does not bring its own salt')
})

test('AU-1: the digest of a state is that of its canonical JSON', () => {
  assert.equal(digestOf({ b: 1, a: 2 }), hash('sha256', '{"a":2,"b":1}'))
  assert.equal(digestOf({ a: 2, b: 1 }), digestOf({ b: 1, a: 2 }))
})
