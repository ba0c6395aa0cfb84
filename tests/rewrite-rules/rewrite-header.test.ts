// Rules R30–R48, the rows of §12 that concern the header, and what holds for any header.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { ReportRecorder } from '../../rewrite-rules/change-report.ts'
import { scanHeader } from '../../rewrite-rules/header-block.ts'
import type { AddressMap } from '../../rewrite-rules/lookup.ts'
import { compileTable } from '../../rewrite-rules/mapping-table.ts'
import { DEFAULT_POLICY } from '../../rewrite-rules/policy.ts'
import { Refusal } from '../../rewrite-rules/refusal.ts'
import { fromMailboxes, presentRecipientFields, rewriteHeader } from '../../rewrite-rules/rewrite-header.ts'
import type { HeaderOptions } from '../../rewrite-rules/rewrite-header.ts'
import { assertLinear } from '../harness/doubling.ts'
import { EXAMPLE_TABLE, EXAMPLE_X500 } from '../harness/example-table.ts'

const map = compileTable(EXAMPLE_TABLE).withPolicy(DEFAULT_POLICY)
const emptyMap = compileTable({ ...EXAMPLE_TABLE, entries: [], domainRules: [], wildcards: [] }).withPolicy(
  DEFAULT_POLICY,
)

function rewrite(header: string | Buffer, options: Partial<HeaderOptions> = {}) {
  const input = typeof header === 'string' ? Buffer.from(header) : header
  const recorder = new ReportRecorder()
  const all = { direction: 'out', map, policy: DEFAULT_POLICY, smtpUtf8: false, recorder, ...options } as const
  const output = rewriteHeader(scanHeader(input), all)
  return { text: (output ?? input).toString(), output, codes: recorder.codes, changes: recorder.changes }
}

/** One field in, one field out; the report has no code but those named. */
const fields: [rule: string, input: string, output: string, options?: Partial<HeaderOptions>, codes?: string[]][] = []
const add = (...row: (typeof fields)[number]) => void fields.push(row)
const same = (rule: string, field: string, options?: Partial<HeaderOptions>, codes?: string[]) =>
  add(rule, field, field, options, codes)

const K = 'alice@contoso.com'
const P = 'alice.smith@fabrikam.com'

// §3: every field of each class, in both directions.
const originatorFields = (
  'From Sender Reply-To Resent-From Resent-Sender Resent-Reply-To Return-Receipt-To ' +
  'Disposition-Notification-To X-Confirm-Reading-To Errors-To Mail-Reply-To Mail-Followup-To'
).split(' ')
const recipientFields = ['To', 'Cc', 'Bcc', 'Resent-To', 'Resent-Cc', 'Resent-Bcc', 'Apparently-To']
const uriFields = ['List-Post', 'List-Owner', 'List-Help', 'List-Subscribe', 'List-Unsubscribe']
const neverFields = (
  'Received Return-Path Delivered-To X-Original-To Original-Recipient Message-ID In-Reply-To ' +
  'References Resent-Message-ID Content-ID Date Subject Comments Keywords Thread-Index Thread-Topic ' +
  'List-Id List-Archive List-Unsubscribe-Post Authentication-Results Received-SPF DKIM-Signature ' +
  'ARC-Seal ARC-Message-Signature ARC-Authentication-Results Content-Type Content-Description ' +
  'X-MS-TNEF-Correlator X-OriginatorOrg X-MS-Exchange-ForwardingLoop X-MS-Exchange-Organization-AuthAs ' +
  'X-EOPAttributedMessage X-LD-Processed X-Mailer Final-Recipient'
).split(' ')
for (const name of originatorFields) {
  add('R31 out: class O is presented', `${name}: <${K}>`, `${name}: <${P}>`)
  same('R31 in: class O is unchanged', `${name}: <${P}>`, { direction: 'in' })
}
for (const name of recipientFields) {
  add('R31 out: class R is presented', `${name}: <${K}>`, `${name}: <${P}>`)
  add('R31 in: class R is located', `${name}: <${P}>`, `${name}: <${K}>`, { direction: 'in' })
  add('§3: names in any case', `${name.toUpperCase()}: <${K}>`, `${name.toUpperCase()}: <${P}>`)
}
// The quotes are all that stands between two words: without them another address would come of it.
add('R28 a word right before a quoted local part', 'To: x"john smith"@contoso.com', 'To: x"john.smith"@fabrikam.com')
add('R28 as 8-bit text', 'To: ä"john smith"@contoso.com', 'To: ä"john.smith"@fabrikam.com', { smtpUtf8: true })
same('R45 the same, presented already', 'To: x"john.smith"@fabrikam.com')
const left = 'x@contoso. '
add('R28 an unfinished domain before it', `To: ${left}"john smith"@contoso.com`, `To: ${left}"john.smith"@fabrikam.com`)
add('R28 a comment in between', `To: ${left}(c) "john smith"@contoso.com`, `To: ${left}(c) "john.smith"@fabrikam.com`)
add('R28 a space before it', 'To: x "john smith"@contoso.com', 'To: x john.smith@fabrikam.com')
for (const name of uriFields) {
  add('R36 out: class U is presented', `${name}: <mailto:${K}>`, `${name}: <mailto:${P}>`)
  same('R31 in: class U is unchanged', `${name}: <mailto:${P}>`, { direction: 'in' })
}
for (const name of neverFields) {
  same('R30 out: class N', `${name}: <${K}>`)
  same('R30 in: class N', `${name}: <${P}>`, { direction: 'in' })
}
same('R31 in: class A is unchanged', `Autocrypt: addr=${P}; keydata=AA`, { direction: 'in' })

// §3, first paragraph.
add('§3: all instances', `To: ${K}\r\nTo: ${K}`, `To: ${P}\r\nTo: ${P}`)
add('§3: white space before the colon is kept', `To \t: ${K}`, `To \t: ${P}`)
add('R33: a Sender that becomes equal to From stays', `From: ${P}\r\nSender: ${K}`, `From: ${P}\r\nSender: ${P}`)
add(
  'R34: Bcc is neither added nor removed',
  `To: x@y.example\r\nBcc: ${K}\r\nBcc:`,
  `To: x@y.example\r\nBcc: ${P}\r\nBcc:`,
)

// R36
add('R36: scheme in any case', `List-Post: <MailTo:${K}>`, `List-Post: <MailTo:${P}>`)
add('R36: percent-encoded', 'List-Post: <mailto:%61lice%40contoso.com>', `List-Post: <mailto:${P}>`)
add(
  'R36: a literal + and @ are written',
  'List-Post: <mailto:alice%2Bx%40contoso.com>',
  'List-Post: <mailto:alice.smith+x@fabrikam.com>',
)
add(
  'R36: only what changes',
  'List-Post: <mailto:Print.Room@corp.contoso.com>',
  'List-Post: <mailto:Print.Room@corp.fabrikam.com>',
)
add('R36: several addresses', `List-Help: <mailto:dana@example.net,${K}>`, `List-Help: <mailto:dana@example.net,${P}>`)
same('R36: the query has no address', `List-Help: <mailto:dana@example.net?to=${K}&cc=${K}>`)
same('R36: other URIs', `List-Help: <https://x.example/${K}>, <mailtoo:${K}>`)
same('R36: not outside brackets', `List-Help: mailto:${K} (${K})`)
same('R36: NO', 'List-Post: NO (posting not allowed)')
same('R36: a broken escape is no address', 'List-Post: <mailto:alice%4contoso.com>')
add('R36: a fold within the URI', 'List-Post: <mailto:alice@\r\n contoso.com>', `List-Post: <mailto:${P}>`)
add('R36: no closing bracket', `List-Post: <mailto:${K}`, `List-Post: <mailto:${P}`)
add('R36: doubled bracket', `List-Post: <<mailto:${K}>>`, `List-Post: <<mailto:${P}>>`)
same('R27: percent-encoding carries no local part outside ASCII', 'List-Post: <mailto:%C3%A4@corp.contoso.com>')

// R40, R41
add(
  'R40: all around the address stays',
  `To:\t (a) "B, \\"b" (c)\r\n\t <${K}> (d) ,\r\n e@f.example`,
  `To:\t (a) "B, \\"b" (c)\r\n\t <${P}> (d) ,\r\n e@f.example`,
)
add(
  'R41: CFWS within goes, around stays',
  'To: (a) alice (b) . (c) . @contoso.com',
  'To: (a) alice (b) . (c) . @contoso.com',
)
add('R41: CFWS within an address that maps', 'To: (a) alice (b) @ (c) contoso\r\n .com (d)', `To: (a) ${P} (d)`)
add(
  'R41: a domain rule keeps the local part, CFWS and all',
  'To: a (x) @ (y) corp . contoso . com',
  'To: a (x) @ (y) corp.fabrikam.com',
)
add('R41: an extension keeps its bytes', 'To: ALICE+News@CONTOSO.com', 'To: alice.smith+News@fabrikam.com')
add(
  'R41: an extension after obsolete white space',
  'To: alice+news @ contoso.com',
  'To: alice.smith+news @ fabrikam.com',
)

// R43
add('R43: both display name and address', `To: "${K}" <${K}>`, `To: "${P}" <${P}>`)
add(
  'R43: a name of someone else',
  'To: "bob@contoso.com" <dana@example.net>',
  'To: "bob@fabrikam.com" <dana@example.net>',
)
add('R43: apostrophes only', `To: '${K}' <${K}>`, `To: '${P}' <${P}>`)
add('R43: brackets in quotes', `To: "<${K}>" <${K}>`, `To: "<${P}>" <${P}>`)
add('R43: with a domain rule', 'To: "X@corp.contoso.com" <y@z.example>', 'To: "X@corp.fabrikam.com" <y@z.example>')
add(
  'R43: with an extension',
  'To: "alice+a@contoso.com" <y@z.example>',
  'To: "alice.smith+a@fabrikam.com" <y@z.example>',
)
add('R43: the field’s function, in', `To: "${P}" <${P}>`, `To: "${K}" <${K}>`, { direction: 'in' })
add(
  'R43: quotes in quotes are escaped',
  'To: "john.smith@fabrikam.com" <dana@example.net>',
  'To: "\\"john smith\\"@contoso.com" <dana@example.net>',
  { direction: 'in' },
)
add('R43: a name without brackets', `To: "${K}" dana@example.net`, `To: "${P}" dana@example.net`)
add('R43: only a part', `To: "${K} (Sales)" <${K}>`, `To: "${K} (Sales)" <${P}>`)
add('R43: an address in a comment', `To: ${K} (${K})`, `To: ${P} (${K})`)
same('R43: an address already presented keeps its bytes', `To: "${P.toUpperCase()}" <x@y.example>`)
add('R43: policy off', `To: "${K}" <${K}>`, `To: "${K}" <${P}>`, { policy: { displayNameAddress: false } })
add('§6: an address before a bracket is one even then', `To: ${K} <${K}>`, `To: ${P} <${P}>`, {
  policy: { displayNameAddress: false },
})
add(
  'R43: policy off, encoded',
  'To: =?utf-8?Q?alice=40contoso.com?= <x@y.example>',
  'To: =?utf-8?Q?alice=40contoso.com?= <x@y.example>',
  { policy: { displayNameAddress: false } },
)

// R44, R45, R47
same('R44: encoded-words are opaque', 'To: =?utf-8?Q?alice=40contoso.com_Smith?= <x@y.example>')
same('R44: and no way to write an addr-spec', 'To: =?utf-8?Q?alice?=@contoso.com')
same('R45: case of an address already presented', 'From: <ALICE.Smith@FABRIKAM.com>')
same('R45: quotes too', 'From: <"alice.smith"@fabrikam.com>')
same('R45: and a trailing dot', 'From: <alice.smith@fabrikam.com.>')
add('R47: two that become equal', `To: ${K}, asmith@contoso.com, ${P}`, `To: ${P}, ${P}, ${P}`)

// R24–R28 as far as the header shows them.
same('R24: literals', 'To: alice@[192.0.2.1], <bob@[IPv6:::1]>')
add(
  'R26: an X.500 name',
  `To: IMCEAEX-${EXAMPLE_X500.replaceAll('/', '_').replaceAll(' ', '+20').replaceAll('(', '+28').replaceAll(')', '+29')}@any.example`,
  `To: ${P}`,
)
add('R28: a quoted-string where it takes one', 'To: john.smith@fabrikam.com', 'To: "john smith"@contoso.com', {
  direction: 'in',
})

// §6 in a field
add('§6: a local part of words in brackets', 'To: <john smith@contoso.com>', 'To: <john.smith@fabrikam.com>')
add('§6: words beside an address in brackets', `To: <Alice ${K}>`, `To: <Alice ${P}>`)
add('§6: a quote without its space', `To: "Alice"${K}`, `To: "Alice"${P}`)
add('§6: no-break space before an address', `To: \u00a0${K}`, `To: \u00a0${P}`)

// §12
same('§12: 8-bit bytes without SMTPUTF8 are no address', 'To: älice@contoso.com', {}, ['addr-unparsed'])
add(
  '§12: addresses around them are processed',
  `To: Jürgen <${K}>, ä@contoso.com, bob@contoso.com`,
  `To: Jürgen <${P}>, ä@contoso.com, bob@fabrikam.com`,
  {},
  ['addr-unparsed'],
)
add('§12: UTF-8 with SMTPUTF8', 'To: jürgen@corp.contoso.com', 'To: jürgen@corp.fabrikam.com', { smtpUtf8: true })
add('§12: an unparsable item stays, the rest is rewritten', `To: a@b@c, ${K}, nobody`, `To: a@b@c, ${P}, nobody`, {}, [
  'addr-unparsed',
])
same('§12: the same in class O of direction in is not even read', 'Sender: a@b@c', { direction: 'in' })
add(
  '§12: a line over 998 octets is processed and kept',
  `To: ${'x'.repeat(1000)}@y.example, "bob" <bob@contoso.com>`,
  `To: ${'x'.repeat(1000)}@y.example, "bob" <bob@fabrikam.com>`,
)
add(
  '§12: a line that is no field stays where it is',
  `Subject: x\r\nno field ${K}\r\nTo: ${K}`,
  `Subject: x\r\nno field ${K}\r\nTo: ${P}`,
)

// Autocrypt
add(
  'class A: white space and folds around',
  `Autocrypt: prefer-encrypt=mutual ;\r\n addr = ${K} ; keydata=AA==`,
  `Autocrypt: prefer-encrypt=mutual ;\r\n addr = ${P} ; keydata=AA==`,
)
same('class A: only addr', `Autocrypt: x-addr=${K}; keydata=${K}`)
same('class A: no attribute at all', `Autocrypt: ${K}`)

for (const [rule, input, output, options, codes = []] of fields) {
  test(`${rule}: ${input.slice(0, 100)}`, () => {
    // An author that no table has, so that only what the row is about is reported.
    const rest = /^from:/im.test(input) ? '\r\n\r\n' : '\r\nFrom: someone@example.org\r\n\r\n'
    const result = rewrite(input + rest, options)
    assert.equal(result.text, output + rest)
    assert.equal(result.output !== undefined, input !== output)
    assert.deepEqual(result.codes, codes)
  })
}

test('R35 keep-dkim: only fields of class R stay', () => {
  const header = `From: bob@contoso.com\r\nTo: ${K}\r\nCc: ${K}\r\n\r\n`
  const result = rewrite(header, { unchangedFields: ({ name }) => name === 'to' || name === 'from' })
  assert.equal(result.text, `From: bob@fabrikam.com\r\nTo: ${K}\r\nCc: ${P}\r\n\r\n`)
})

const receipts: [receiptTo: string, reversePathChanged: boolean | undefined, isMismatch: boolean, why: string][] = [
  [K, true, false, 'both change'],
  [K, false, true, 'only the receipt’s changes'],
  ['dana@example.net', true, true, 'only the reverse-path changes'],
  ['dana@example.net', false, false, 'neither changes'],
  [K, undefined, false, 'the envelope is not known'],
]
for (const [receiptTo, reversePathChanged, isMismatch, why] of receipts) {
  test(`R32 mdn-mismatch: ${why}`, () => {
    const header = `From: x@y.example\r\nDisposition-Notification-To: <${receiptTo}>\r\n\r\n`
    assert.deepEqual(rewrite(header, { reversePathChanged }).codes, isMismatch ? ['mdn-mismatch'] : [])
    assert.deepEqual(
      rewrite(header, { reversePathChanged, direction: 'in' }).codes,
      [],
      'class O stays in direction in',
    )
  })
}

test('R32: without a receipt request nothing is compared', () => {
  assert.deepEqual(rewrite(`From: ${K}\r\n\r\n`, { reversePathChanged: false }).codes, [])
})

const authors: [header: string, codes: string[], why: string][] = [
  ['To: a@b.example\r\n', ['from-missing'], 'no From'],
  ['From:  \r\n\t\r\n', ['from-missing'], 'an empty one'],
  ['From: a@b.example\r\nFrom: c@d.example\r\n', ['from-multiple'], 'two'],
  ['From:\r\nFrom: c@d.example\r\n', ['from-multiple'], 'two of which one is empty'],
  ['From: Automated System:;\r\n', [], 'a group (RFC 6854)'],
  ['From: a@b.example, c@d.example\r\n', [], 'two authors in one'],
]
for (const [header, codes, why] of authors) {
  test(`§12 From: ${why}`, () => {
    assert.deepEqual(rewrite(header).codes, codes)
    assert.deepEqual(rewrite(header, { direction: 'in' }).codes, codes)
  })
}

const unreadableAuthors: [from: string, isRefused: boolean, why: string][] = [
  [`${K}@example.net`, true, 'an address of the table in what is none'],
  [`${K.toUpperCase()}@example.net`, true, 'in any case'],
  [`x@${K}`, true, 'on its right side'],
  [`a@b@c, x@${K}@y`, true, 'in the second member'],
  [`"${K}"`, true, 'in quotes'],
  [`Alice (${K})`, true, 'in a comment'],
  [`'${K}'@x`, true, 'in apostrophes'],
  [`y=${K}@x`, true, 'behind an equals sign'],
  ['"john smith"@contoso.com@x', true, 'with a quoted local part'],
  [`ä${K}`, true, 'with 8-bit bytes before it'],
  ['a@corp.contoso.com@x', true, 'an address that a rule changes'],
  [`${P}@x`, true, 'a presented address is of the table too'],
  ['a@b@c', false, 'no address of the table'],
  ['Alice', false, 'no address at all'],
  ['noreply@corp.contoso.com@x', false, 'an exception of the rule'],
  [`a@b@c, ${K}`, false, 'an address that was read and rewritten is out of danger'],
  [`x${K}@y`, false, 'another local part that ends alike'],
  ['=?utf-8?Q?alice=40contoso.com?=', false, 'only raw bytes count'],
  ['alice@@contoso.com', false, 'two @ in between'],
]
for (const [from, isRefused, why] of unreadableAuthors) {
  test(`§12 unreadable From, ${why}: ${from}`, () => {
    const run = (options?: Partial<HeaderOptions>) => rewrite(`From: ${from}\r\n\r\n`, options)
    if (isRefused) assert.throws(run, { name: 'Refusal', code: 451, status: '4.6.0' })
    else assert.deepEqual(run().codes, ['addr-unparsed'])
    assert.deepEqual(run({ direction: 'in' }).codes, [], 'only direction out writes From')
    assert.deepEqual(
      rewrite(`From: x@y.example\r\nSender: ${from}\r\n\r\n`).codes,
      ['addr-unparsed'],
      'only From refuses',
    )
  })
}

test('§12: an address of the table is seen in an unreadable From whatever letters it has', () => {
  const known = "o'brien@contoso.com"
  const entry = { known: [known, 'obrien@fabrikam.com'], presented: 'obrien@fabrikam.com', mailbox: known }
  const brien = compileTable({ ...EXAMPLE_TABLE, entries: [entry] }).withPolicy(DEFAULT_POLICY)
  assert.throws(() => rewrite(`From: ${known}@x\r\n\r\n`, { map: brien }), { code: 451, status: '4.6.0' })
  assert.deepEqual(rewrite(`From: x${known}@x\r\n\r\n`, { map: brien }).codes, ['addr-unparsed'])
})

test('§12: 10,001 addresses in a field are 552 5.3.4 in every class and direction, 10,000 pass', () => {
  for (const name of ['From', 'To', 'List-Post']) {
    for (const direction of ['out', 'in'] as const) {
      const header = (count: number) => {
        const one = name === 'List-Post' ? '<mailto:a@b>' : 'a@b'
        return `${name}: ${Array.from({ length: count }, () => one).join(',')}\r\n\r\n`
      }
      assert.throws(() => rewrite(header(10_001), { direction }), { name: 'Refusal', code: 552, status: '5.3.4' })
      assert.equal(rewrite(header(10_000), { direction }).output, undefined)
    }
  }
})

test('§14: where, old, new and rule of every change; a display name is a change of its own', () => {
  const { changes, codes } = rewrite(
    [
      `FROM: "${K}" <alice+a@contoso.com>`,
      'to: dana@example.net',
      'To: Print@corp.contoso.com, ci@b.lab.contoso.com',
      `list-unsubscribe: <mailto:%61lice@contoso.com>`,
      `Autocrypt: addr=bob @contoso.com`,
      '\r\n',
    ].join('\r\n'),
  )
  assert.deepEqual(codes, [])
  assert.deepEqual(changes, [
    { where: 'header:From:1', old: K, new: P, rule: 'entry' },
    { where: 'header:From:1', old: 'alice+a@contoso.com', new: 'alice.smith+a@fabrikam.com', rule: 'extension' },
    { where: 'header:To:2', old: 'Print@corp.contoso.com', new: 'Print@corp.fabrikam.com', rule: 'domain' },
    { where: 'header:To:2', old: 'ci@b.lab.contoso.com', new: 'ci@lab.fabrikam.com', rule: 'wildcard' },
    { where: 'header:List-Unsubscribe:1', old: K, new: P, rule: 'entry' },
    { where: 'header:Autocrypt:1', old: 'bob@contoso.com', new: 'bob@fabrikam.com', rule: 'entry' },
  ])
})

test('§14: what the table keeps back is reported', () => {
  const stub = (code: 'rule-conflict' | 'eai-skipped'): AddressMap => ({
    map: () => ({ kind: 'kept', code }),
    entryOf: () => undefined,
  })
  for (const code of ['rule-conflict', 'eai-skipped'] as const) {
    const { codes, output } = rewrite('From: a@b.example\r\n\r\n', { map: stub(code) })
    assert.deepEqual(codes, [code])
    assert.equal(output, undefined)
  }
})

test('R27: an eai replacement is written in UTF-8', () => {
  const eai: AddressMap = {
    map: (_fn, local) =>
      local === 'a'
        ? { kind: 'replaced', rule: 'entry', local: 'jürgen', domain: 'münchen.example', keep: 'nothing' }
        : { kind: 'kept' },
    entryOf: () => undefined,
  }
  assert.equal(
    rewrite('From: "a@x" <a@x>\r\n\r\n', { map: eai, smtpUtf8: true }).text,
    'From: "jürgen@münchen.example" <jürgen@münchen.example>\r\n\r\n',
  )
  assert.equal(
    rewrite('From: x@y\r\nList-Post: <mailto:a@x>\r\n\r\n', { map: eai, smtpUtf8: true }).text,
    'From: x@y\r\nList-Post: <mailto:j%C3%BCrgen@m%C3%BCnchen.example>\r\n\r\n',
  )
})

test('R42: lines that grew are folded in every class, and the fold is reported', () => {
  const many = (one: string) => Array.from({ length: 43 }, () => one).join(',')
  for (const [name, one] of [
    ['Reply-To', K],
    ['Cc', K],
    ['List-Help', `<mailto:${K}>`],
  ]) {
    const { text, codes } = rewrite(`From: x@y.example\r\n${name}: ${many(String(one))}\r\n\r\n`)
    assert.deepEqual(codes, ['refolded'])
    const lines = text.split('\r\n')
    assert.ok(lines.every(({ length }) => length <= 998))
    assert.equal(
      text.replaceAll(',\r\n ', ','),
      `From: x@y.example\r\n${name}: ${many(String(one).replace(K, P))}\r\n\r\n`,
    )
  }
})

test('R42: a fold that goes with an address joins two lines, which may need another', () => {
  const before = `To: ${Array.from({ length: 70 }, () => 'abcde@x.example')
    .join(',')
    .slice(0, 970)}@y,john@z,alice@\r\n contoso.com`
  const { text, codes } = rewrite(`From: x@y.example\r\n${before}\r\n\r\n`)
  assert.deepEqual(codes, ['addr-unparsed', 'refolded'])
  assert.ok(text.split('\r\n').every(({ length }) => length <= 998))
})

test('R48: a file with lone LF keeps it', () => {
  assert.equal(rewrite(`From: ${K}\nTo: a,\n ${K}\n\n`).text, `From: ${P}\nTo: a,\n ${P}\n\n`)
  const folded = rewrite(`From: x@y.example\nTo: ${Array.from({ length: 50 }, () => K).join(',')}\n\n`).text
  assert.ok(!folded.includes('\r'))
  assert.match(folded, /,\n alice/)
})

test('R55: other edits of the block are carried out with the addresses', () => {
  const header = `Content-MD5: x\r\nFrom: ${K}\r\nContent-Length: 1\r\n\r\n`
  const block = scanHeader(Buffer.from(header))
  const extraEdits = block.fields
    .filter(({ name }) => name !== 'from')
    .map(({ start, end }) => ({ start, end, text: '' }))
  assert.equal(rewrite(header, { extraEdits }).text, `From: ${P}\r\n\r\n`)
  assert.equal(rewrite(header, { extraEdits, map: emptyMap }).text, `From: ${K}\r\n\r\n`)
})

test('R74: a header quoted in a DSN shows presented recipients and nothing else changed', () => {
  const spooled = `From: ${P}\r\nReply-To: ${K}\r\nTo: "Alice" <${K}>, carol@fabrikam.com\r\nList-Post: <mailto:${K}>\r\n\r\n`
  const shown = `From: ${P}\r\nReply-To: ${K}\r\nTo: "Alice" <${P}>, carol@contoso.com\r\nList-Post: <mailto:${K}>\r\n\r\n`
  assert.equal(presentRecipientFields(Buffer.from(spooled), map, false).toString(), shown)
  const untouched = Buffer.from(`From: ${K}\r\n\r\n`)
  assert.equal(presentRecipientFields(untouched, map, false), untouched)
})

test('R74: a header that rewriting took over the limits is still presented', () => {
  const spooled = Buffer.from(`To: ${K}\r\n${`X: ${'x'.repeat(262_142)}\r\n`.repeat(5)}`)
  assert.throws(() => scanHeader(spooled), { code: 552 })
  assert.ok(presentRecipientFields(spooled, map, false).toString().startsWith(`To: ${P}\r\n`))
})

test('fromMailboxes names the authors of all From fields in order', () => {
  const header = scanHeader(
    Buffer.from('From: A <a@b.example>, "c d"@e.example, x@[1.2.3.4]\r\nTo: n@o.example\r\nFROM: jü@ü.example\r\n'),
  )
  assert.deepEqual(fromMailboxes(header), [
    { local: 'a', domain: 'b.example' },
    { local: '"c d"', domain: 'e.example' },
    { local: 'jü', domain: 'ü.example' },
  ])
})

// Properties over headers made of pieces that meet in real and in hostile mail.
const PIECES = [
  [
    'From: ',
    'To: ',
    'Cc :',
    'Subject: ',
    'List-Post: ',
    'Autocrypt: addr=',
    'Received: ',
    'Disposition-Notification-To: ',
  ],
  [
    '\r\n',
    '\r\n ',
    '\n',
    '\r',
    ' ',
    '\t',
    ',',
    ';',
    ':',
    '<',
    '>',
    '(',
    ')',
    '"',
    "'",
    '\\',
    '[',
    ']',
    '@',
    '.',
    '%40',
  ],
  [
    K,
    P,
    'bob@contoso.com',
    'carol@fabrikam.com',
    '"john smith"@contoso.com',
    'x@corp.contoso.com',
    'alice+tag@contoso.com',
  ],
  ['alice', 'contoso.com', '=?utf-8?B?YWxpY2VAY29udG9zby5jb20=?=', '<mailto:', 'ci@a.lab.contoso.com', 'x'.repeat(300)],
  ['é', '\u00a0', '\xff'],
]
const piece = fc.constantFrom(...PIECES.flat())
const anyHeader = fc
  .array(piece, { maxLength: 40 })
  .map((pieces) =>
    Buffer.concat([
      ...pieces.map((text) => Buffer.from(text, text === '\xff' ? 'latin1' : 'utf8')),
      Buffer.from('\r\n\r\n'),
    ]),
  )
const anyOptions = fc.record({
  direction: fc.constantFrom('out' as const, 'in' as const),
  smtpUtf8: fc.boolean(),
  policy: fc.record({ displayNameAddress: fc.boolean() }),
})

/** undefined where the message is refused: the one thing that may be thrown. */
function rewriteOrRefuse(header: Buffer, options: Partial<HeaderOptions>) {
  try {
    return rewrite(header, options)
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error))
    return undefined
  }
}

test('R46: with an empty table no header changes, whatever it is', () => {
  fc.assert(
    fc.property(anyHeader, anyOptions, (header, options) => {
      assert.equal(rewriteOrRefuse(header, { ...options, map: emptyMap })?.output, undefined)
    }),
    { numRuns: 1000 },
  )
})

test('R4: rewriting what was rewritten changes nothing', () => {
  fc.assert(
    fc.property(anyHeader, anyOptions, (header, options) => {
      const first = rewriteOrRefuse(header, options)
      if (first?.output === undefined) return
      const second = rewriteOrRefuse(first.output, options)
      assert.equal(second?.text, first.text)
      assert.equal(second?.output, undefined)
    }),
    { numRuns: 3000 },
  )
})

test('R40: what changes is what the report names, and the fields stay the same fields', () => {
  fc.assert(
    fc.property(anyHeader, anyOptions, (header, options) => {
      const result = rewriteOrRefuse(header, options)
      if (result === undefined) return
      assert.equal(result.changes.length > 0, result.output !== undefined)
      if (result.output === undefined) return
      const names = (bytes: Buffer) => scanHeader(bytes).fields.map(({ name }) => name)
      assert.deepEqual(names(result.output), names(header))
    }),
    { numRuns: 1000 },
  )
})

test('random bytes in an address field throw nothing but refusals', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('From', 'To', 'List-Help', 'Autocrypt'),
      fc.uint8Array({ maxLength: 200 }),
      anyOptions,
      (name, bytes, options) => {
        rewriteOrRefuse(Buffer.concat([Buffer.from(`${name}: `), bytes, Buffer.from('\r\n\r\n')]), options)
      },
    ),
    { numRuns: 2000 },
  )
})

const hostileFields: Record<string, (size: number) => string> = {
  'From with @ only': (size) => `From: ${'a@'.repeat(size / 2)}`,
  'From with names only': (size) => `From: ${'a,'.repeat(size / 2)}`,
  'From with quoted addresses': (size) => `From: ${'"a@b" '.repeat(size / 6)}`,
  'URIs that are none': (size) => `List-Post: ${'<'.repeat(size)}`,
  'a URI with many commas': (size) => `List-Post: <mailto:${','.repeat(size)}`,
  'attributes that are none': (size) => `Autocrypt: ${';='.repeat(size / 2)}`,
  'many fields': (size) => 'List-Post: <mailto:a\r\n'.repeat(size / 48),
  'encoded display names': (size) => `To: ${'=?utf-8?q?a?= <a@b>,'.repeat(size / 24)}`,
  'addresses of the table': (size) => `To: ${`${K},`.repeat(size / 24)}`,
}
for (const [name, generate] of Object.entries(hostileFields)) {
  test(`linear time (PS-2): ${name}`, () => {
    assertLinear(name, 48_000, (size) => {
      const header = Buffer.from(`${generate(size)}\r\n\r\n`)
      return () => void rewriteOrRefuse(header, { smtpUtf8: true })
    })
  })
}
