// What other people's address parsers and real mail say is an address, against what is rewritten (rewriting.md §6, second paragraph).
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { unquoteLocalPart } from '../../rewrite-rules/addr-spec.ts'
import { readAddress, readWideAddress, scanAddressList } from '../../rewrite-rules/address-list.ts'
import { ReportRecorder } from '../../rewrite-rules/change-report.ts'
import { applyEdits, scanHeader } from '../../rewrite-rules/header-block.ts'
import { findAddressField } from '../../rewrite-rules/header-fields.ts'
import { rewriteHeader } from '../../rewrite-rules/rewrite-header.ts'
import { SHARED, testShared } from '../harness/shared.ts'
import { literalMap } from './literal-map.ts'

interface Named {
  readonly local: string
  readonly domain: string
}

const replacement = (index: number) => ({ local: `new${index}`, domain: 'presented.example' })

/** Rewrites a field with a table made of the named addresses, each with a presented address of its own. */
function rewriteNamed(field: Buffer, named: readonly Named[]) {
  const map = literalMap(named.map((address, i) => ({ ...address, to: replacement(i) })))
  const recorder = new ReportRecorder()
  const policy = { displayNameAddress: false }
  const output = rewriteHeader(scanHeader(field), { direction: 'out', map, policy, smtpUtf8: true, recorder })
  return { output: output ?? field, changes: recorder.changes }
}

const isRewritten = (name: string) => findAddressField(name.trim().toLowerCase()) !== undefined
const isLiteral = ({ domain }: Named) => domain.startsWith('[')

interface Vector {
  readonly id: string
  readonly field: string
  readonly strength: 'must' | 'should' | 'may'
  readonly raw_base64: string
  readonly addresses: readonly (Named & { readonly span: readonly [number, number] })[]
}

// Where a rule of rewriting.md decides otherwise than the vector, all of them `should` or `may`: what is written, and which rule.
const DECIDED_OTHERWISE: Record<string, [written: string, why: string]> = {
  'comments-020': [
    'From: new0@presented.example(his host)',
    'R41: CFWS after an address is outside; the vector says it may be',
  ],
  'exchange-outlook-004': [
    'To: new0@presented.example <new0@presented.example>',
    '§6 and E45: `a@x <b@x>` is two addresses',
  ],
  'exchange-outlook-024': [
    'To: new0@presented.example<mailto:new0@presented.example>',
    '§6: `mailto:a@x` in a list is a@x; the vector says that rewriting both is right',
  ],
  'malformed-014': ['To: new0@presented.example', 'E19: a trailing dot is of the address'],
}
// §12: a NUL in the header is refused.
const REFUSED = new Set(['malformed-038', 'malformed-039'])

const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('vectors/header-vectors.json', import.meta.url), 'utf8'),
).vectors

test('the vectors are all there', () => {
  assert.equal(vectors.length, 311)
  const otherwise = vectors.filter(({ id }) => id in DECIDED_OTHERWISE || REFUSED.has(id))
  assert.equal(otherwise.length, Object.keys(DECIDED_OTHERWISE).length + REFUSED.size)
  for (const { id, strength } of otherwise) assert.notEqual(strength, 'must', id)
})

for (const { id, field, strength, raw_base64: raw, addresses } of vectors) {
  test(`vector ${id} (${strength})`, () => {
    const bytes = Buffer.from(raw, 'base64')
    if (REFUSED.has(id)) {
      assert.throws(() => rewriteNamed(bytes, addresses), { code: 554, status: '5.6.0' })
      return
    }
    // An address twice in a field is one entry of the table: the later one's.
    const sameAs = (address: Named) =>
      addresses.findLastIndex(({ local, domain }) => local === address.local && domain === address.domain)
    const spans = isRewritten(field) ? addresses.filter((address) => !isLiteral(address)) : []
    const expected = applyEdits(
      bytes,
      spans.map((address) => ({
        start: address.span[0],
        end: address.span[1],
        text: `new${sameAs(address)}@presented.example`,
      })),
    ).toString()
    const [otherwise] = DECIDED_OTHERWISE[id] ?? []
    if (otherwise !== undefined) assert.notEqual(otherwise, expected, 'no longer an exception')
    assert.equal(rewriteNamed(bytes, addresses).output.toString(), otherwise ?? expected)
  })
}

test('an address of a vector is left alone in direction in unless the field is a recipient’s', () => {
  for (const { id, field, raw_base64: raw, addresses } of vectors) {
    if (REFUSED.has(id) || findAddressField(field.trim().toLowerCase())?.class === 'R') continue
    const map = literalMap(addresses.map((address, i) => ({ ...address, to: replacement(i) })))
    const options = { direction: 'in', map, policy: { displayNameAddress: true }, smtpUtf8: true } as const
    const output = rewriteHeader(scanHeader(Buffer.from(raw, 'base64')), { ...options, recorder: new ReportRecorder() })
    assert.equal(output, undefined, id)
    assert.equal(map.asked.length, 0, id)
  }
})

interface RealField {
  readonly path: string
  readonly offset: number
  readonly length: number
  readonly field: string
  readonly addresses: readonly (string | readonly [string, string])[] | null
}

/** `output` is `input` with each of `spans` in turn in the place of one replaced address. */
function replacedSpans(input: string, output: string): string[] {
  const kept = output.split(/new\d+@presented\.example/)
  const spans: string[] = []
  let at = kept[0]?.length ?? 0
  assert.ok(input.startsWith(kept[0] ?? ''))
  for (const [i, piece] of kept.entries()) {
    if (i === 0) continue
    const next = i === kept.length - 1 ? input.length - piece.length : input.indexOf(piece, at + 1)
    assert.ok(next > at && input.startsWith(piece, next), 'only addresses are replaced')
    spans.push(input.slice(at, next))
    at = next + piece.length
  }
  return spans
}

testShared('every address field of the corpus: exactly the addresses change that at least four parsers name', () => {
  const rows: RealField[] = readFileSync(join(SHARED, 'corpus/addresses/real-fields.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  let compared = 0
  let ambiguous = 0
  for (const row of rows) {
    if (!isRewritten(row.field)) continue
    const file = readFileSync(join(SHARED, 'corpus', row.path))
    const field = file.subarray(row.offset, row.offset + row.length)
    const where = `${row.path} ${row.field}`
    if (row.addresses === null) {
      ambiguous++
      // The parsers differ: whatever is taken for an address, nothing around it may change.
      const found = namesOf(field)
      const { output } = rewriteNamed(field, found)
      replacedSpans(field.toString('latin1'), output.toString('latin1'))
      continue
    }
    const named = row.addresses.map((address): Named => {
      if (typeof address !== 'string') return { local: address[0], domain: address[1] }
      const at = address.lastIndexOf('@')
      return { local: address.slice(0, at), domain: address.slice(at + 1) }
    })
    // R24; and bytes that are not UTF-8 (U+FFFD in the list) are no address (§12).
    const expected = named.filter(
      ({ local, domain }) => !domain.startsWith('[') && !`${local}${domain}`.includes('\ufffd'),
    )
    const { output, changes } = rewriteNamed(field, expected)
    assert.deepEqual(
      changes.map(({ old }) => unquotedAddress(old)),
      expected.map(({ local, domain }) => `${local}@${domain}`),
      where,
    )
    assert.equal(replacedSpans(field.toString('latin1'), output.toString('latin1')).length, expected.length, where)
    compared++
  }
  assert.ok(compared > 4300 && ambiguous > 15, `${compared} compared, ${ambiguous} ambiguous`)
})

function unquotedAddress(address: string): string {
  const at = address.lastIndexOf('@')
  return `${unquoteLocalPart(address.slice(0, at))}${address.slice(at)}`
}

/** What the scanner itself finds in a field. */
function namesOf(field: Buffer): Named[] {
  const { text, fields } = scanHeader(field)
  const [first] = fields
  assert.ok(first)
  return scanAddressList(text, first.valueStart, first.end).addresses.flatMap((found) => {
    const address = found.isLiteral
      ? undefined
      : (readWideAddress(text, found, 'both') ?? readAddress(text, found, 'both'))
    return address === undefined ? [] : [{ local: unquoteLocalPart(address.local), domain: address.domain }]
  })
}

/** Addresses of a field body as other suites write them, domain literals included. */
function addressesIn(body: string): { addresses: string[]; unparsed: number } {
  const { text, fields } = scanHeader(Buffer.from(`To: ${body}`))
  const [field] = fields
  assert.ok(field)
  const { addresses, unparsed } = scanAddressList(text, field.valueStart, field.end)
  return {
    addresses: addresses.map((found) => {
      const address = readAddress(text, found, 'both')
      return address === undefined ? '' : `${address.local}@${address.domain}`
    }),
    unparsed: unparsed.length,
  }
}

const readShared = (name: string) => readFileSync(join(SHARED, 'corpus/addresses', name), 'utf8')

testShared('flanker: every valid mailbox is one address, and an invalid one throws nothing', () => {
  const lines = (name: string) =>
    readShared(name)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
  const valid = lines('flanker/mailbox_valid.txt')
  assert.ok(valid.length > 150)
  for (const line of valid) {
    const { addresses, unparsed } = addressesIn(line)
    const written = /<([^<>]*)>$/.exec(line)?.[1] ?? line.replace(/ ?\(this is a comment\) ?/, '')
    assert.deepEqual(addresses, [written], line)
    assert.equal(unparsed, 0, line)
  }
  for (const line of lines('flanker/mailbox_invalid.txt')) addressesIn(line)
})

// Those that flanker calls invalid and a row of §6 decides.
const flankerDecided: [line: string, addresses: string[], why: string][] = [
  ['first..last@iana.org', ['first..last@iana.org'], 'dots as written'],
  ['.first.last@iana.org', ['.first.last@iana.org'], 'dots as written'],
  ['first.last.@iana.org', ['first.last.@iana.org'], 'dots as written'],
  ['hello world@iana.org', ['world@iana.org'], 'other words beside the address'],
  ['a@bar.com.', ['a@bar.com.'], 'a trailing dot is of the address'],
  ['"qu@iana.org', ['qu@iana.org'], 'an unclosed quote is ordinary text'],
  ['first.last@sub.do,com', ['first.last@sub.do'], 'a comma separates'],
  ['cal(foo(bar)@iamcal.com', ['foo@iamcal.com'], 'an unclosed parenthesis is text, a closed one a comment'],
  ['A@b@c@example.com', [], 'more than one @'],
  ['test@@iana.org', [], 'more than one @'],
  ['Abc\\@def@iana.org', [], 'a backslash outside quotes'],
  ['"test"test"@iana.org', [], 'no local part before the @'],
  ['@bar.com', [], 'no local part'],
  ['doug@', [], 'no domain'],
  ['first.last', [], 'no @'],
]
for (const [line, addresses, why] of flankerDecided) {
  test(`flanker invalid ${line}: ${why}`, () => {
    assert.deepEqual(addressesIn(line).addresses, addresses)
  })
}

testShared('isemail: what RFC 5322 allows, with comments, folds and obsolete forms, is one address', () => {
  const tests = readShared('isemail/tests.xml').matchAll(
    /<test id="(\d+)">\s*<address>([^<]*)<\/address>[\s\S]*?<category>(\w+)<\/category>/g,
  )
  const entities: Record<string, string> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'" }
  let conforming = 0
  let all = 0
  for (const [, id, escaped = '', category] of tests) {
    all++
    const address = escaped
      .replace(/&\w+;/g, (entity) => entities[entity] ?? entity)
      .replace(/&#x([0-9A-Fa-f]+);/g, (_, hex) => String.fromCodePoint(Number.parseInt(hex, 16)))
      .replace(/[\u2400-\u241f]/g, (symbol) => String.fromCharCode(symbol.charCodeAt(0) - 0x2400))
    // A header line has no NUL (§12) and ends at its LF.
    if (address.includes('\0') || /(^|[^\r])\n/.test(address)) continue
    const { addresses, unparsed } = addressesIn(address)
    if (category === 'ISEMAIL_ERR') continue
    assert.equal(addresses.length, 1, `${id} ${JSON.stringify(address)}`)
    assert.equal(unparsed, 0, `${id} ${JSON.stringify(address)}`)
    conforming++
  }
  assert.ok(all > 150 && conforming > 90, `${all} ${conforming}`)
})

// Lines of Postfix's own test of its parser, tok822_parse.
const postfixLines: [line: string, addresses: string[], why: string][] = [
  ['wietse@porcupine.org', ['wietse@porcupine.org'], 'plain'],
  ['wietse @ porcupine.org', ['wietse@porcupine.org'], 'white space around the @'],
  [
    '"wietse venema"@porcupine.org ("wietse ) venema")',
    ['"wietse venema"@porcupine.org'],
    'a comment ends at its parenthesis',
  ],
  ['"wietse venema" <wietse@porcupine.org>', ['wietse@porcupine.org'], 'name and bracket'],
  ['"wietse venema"@porcupine.org ( ("wietse ) venema") )', ['"wietse venema"@porcupine.org'], 'comments nest'],
  ['wietse\\ venema@porcupine.org', [], 'a backslash outside quotes'],
  ['"wietse venema', [], 'an unclosed quote'],
  ['wietse@[stuff', [], 'an unclosed literal'],
  ['wietse@["stuff"]', ['wietse@["stuff"]'], 'quotes in a literal'],
  ['named group: foo@bar, baz@barf;', ['foo@bar', 'baz@barf'], 'a group'],
  ['wietse@foo (wietse\r\n\tvenema)', ['wietse@foo'], 'a fold in a comment'],
  [
    'foo@example.com, "foo bar"@example.com, foo+ext@example.com',
    ['foo@example.com', '"foo bar"@example.com', 'foo+ext@example.com'],
    'a list',
  ],
]
for (const [line, addresses, why] of postfixLines) {
  test(`Postfix ${JSON.stringify(line)}: ${why}`, () => {
    assert.deepEqual(addressesIn(line).addresses, addresses)
  })
}

testShared('Postfix: its long lines are read in full', () => {
  for (const line of readShared('postfix/tok822_parse.in').replaceAll('\n ', '\r\n ').split('\n')) addressesIn(line)
})

interface StalwartCase {
  readonly header: string
  readonly expected: {
    readonly List?: readonly { readonly address: string | null }[]
    readonly Group?: readonly { readonly addresses: readonly { readonly address: string | null }[] }[]
  }
}

testShared('Stalwart: every address of its vectors, and no other', () => {
  const cases: StalwartCase[] = JSON.parse(readShared('stalwart-mail-parser/address.json'))
  assert.ok(cases.length >= 60)
  for (const { header, expected } of cases) {
    const listed = [...(expected.List ?? []), ...(expected.Group ?? []).flatMap(({ addresses }) => addresses)]
    const addresses = listed.flatMap(({ address }) => {
      // Its parser shows URIs, what is no address at all, and the route and white space of one.
      if (address === null || /^(http|ftp):|^NO$/.test(address)) return []
      return [address.replace(/^@[^:]*:|^mailto:|\?.*$/g, '').replaceAll(' ', '')]
    })
    const found = addressesIn(header).addresses
    // `phil@example.com <phil@example.com>` is two addresses (§6, E45), and a URI's address ends before its query (class U).
    const withoutName = header.startsWith('phil@') ? found.slice(1) : found
    assert.deepEqual(
      withoutName.map((address) => address.replace(/\?.*$/, '')),
      addresses,
      header,
    )
  }
})
