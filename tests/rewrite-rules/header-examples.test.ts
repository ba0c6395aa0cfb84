// The worked examples E01–E55, E90, E92, E96 and E98 of rewriting.md §15, as they stand there, with the table they were made for.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { ReportRecorder } from '../../rewrite-rules/change-report.ts'
import type { Direction } from '../../rewrite-rules/change-report.ts'
import { scanHeader } from '../../rewrite-rules/header-block.ts'
import type { HeaderField } from '../../rewrite-rules/header-block.ts'
import { compileTable } from '../../rewrite-rules/mapping-table.ts'
import { DEFAULT_POLICY } from '../../rewrite-rules/policy.ts'
import { rewriteHeader } from '../../rewrite-rules/rewrite-header.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'

// `-` input line, `+` output line, `=` line that is the same in both; <TAB> is one HTAB, <E9> one raw octet.
const EXAMPLES = `
E01 out header  name-addr
- From: Alice Smith <alice@contoso.com>
+ From: Alice Smith <alice.smith@fabrikam.com>
E02 out header  case-insensitive, angle only
- To: <ALICE@Contoso.COM>
+ To: <alice.smith@fabrikam.com>
E03 out header  comments kept
- From: alice@contoso.com (Alice (Sales) Smith, alice@contoso.com)
+ From: alice.smith@fabrikam.com (Alice (Sales) Smith, alice@contoso.com)
E04 out header  alias in K
- Reply-To: asmith@contoso.com
+ Reply-To: alice.smith@fabrikam.com
E05 out header  already presented: bytes kept, case kept
= From: Alice Smith <Alice.Smith@Fabrikam.COM>
E06 out header  group
- To: Team:alice@contoso.com, Bob <bob@contoso.com>,dana@example.net;
+ To: Team:alice.smith@fabrikam.com, Bob <bob@fabrikam.com>,dana@example.net;
E07 out header  empty group
= To: undisclosed-recipients:;
E08 out header  folded list, odd spacing kept
- Cc: "Smith, Alice"
- <TAB><alice@contoso.com>,dana@example.net ,
-   bob@contoso.com
+ Cc: "Smith, Alice"
+ <TAB><alice.smith@fabrikam.com>,dana@example.net ,
+   bob@fabrikam.com
E09 out header  address is only a part of the display name
- From: "alice@contoso.com, Sales" <alice@contoso.com>
+ From: "alice@contoso.com, Sales" <alice.smith@fabrikam.com>
E10 out header  display name is the address
- From: "alice@contoso.com" <alice@contoso.com>
+ From: "alice.smith@fabrikam.com" <alice.smith@fabrikam.com>
E11 out header  the same with inner apostrophes
- To: "'alice@contoso.com'" <alice@contoso.com>
+ To: "'alice.smith@fabrikam.com'" <alice.smith@fabrikam.com>
E12 out header  encoded-word display name is opaque
- From: =?UTF-8?B?w4FsaWNlIFNtaXRo?= <alice@contoso.com>
+ From: =?UTF-8?B?w4FsaWNlIFNtaXRo?= <alice.smith@fabrikam.com>
E13 out header  encoded-word that decodes to exactly a K address
- From: =?utf-8?B?YWxpY2VAY29udG9zby5jb20=?= <alice@contoso.com>
+ From: "alice.smith@fabrikam.com" <alice.smith@fabrikam.com>
E14 out header  quoted local part
- To: John <"john smith"@contoso.com>
+ To: John <john.smith@fabrikam.com>
E15 out header  needless quotes, quoted-pair
- To: <"alic\\e"@contoso.com>
+ To: <alice.smith@fabrikam.com>
E16 out header  source route
- To: <@a.example,@b.example:alice@contoso.com>
+ To: <@a.example,@b.example:alice.smith@fabrikam.com>
E17 out header  CFWS inside the addr-spec is part of the span
- To: alice (work) @ contoso . com , dana@example.net
+ To: alice.smith@fabrikam.com , dana@example.net
E18 out header  domain literal, local name only
= To: alice@[192.0.2.1], alice
E19 out header  trailing dot
- To: <alice@contoso.com.>
+ To: <alice.smith@fabrikam.com>
E20 out header  extension carried
- To: alice+news@contoso.com
+ To: alice.smith+news@fabrikam.com
E21 out header  several authors and sender
- From: alice@contoso.com, Bob <bob@contoso.com>
- Sender: Bob <bob@contoso.com>
+ From: alice.smith@fabrikam.com, Bob <bob@fabrikam.com>
+ Sender: Bob <bob@fabrikam.com>
E22 out header  two From fields, both rewritten
- From: alice@contoso.com
- From: bob@contoso.com
+ From: alice.smith@fabrikam.com
+ From: bob@fabrikam.com
E23 out header  null list members
- To: , alice@contoso.com,, dana@example.net,
+ To: , alice.smith@fabrikam.com,, dana@example.net,
E24 out header  empty angle
= Reply-To: <>
E25 out header  raw 8-bit octet in the phrase
- From: Andr<E9> <alice@contoso.com>
+ From: Andr<E9> <alice.smith@fabrikam.com>
E26 out header  A-label domain
- From: juergen@xn--mnchen-3ya.example
+ From: juergen@fabrikam.com
E27 out header  U-label domain (SMTPUTF8 message)
- From: Juergen <juergen@münchen.example>
+ From: Juergen <juergen@fabrikam.com>
E28 out header  domain rule keeps the local part bytes; exception
- From: Print.Room@CORP.contoso.com
+ From: Print.Room@corp.fabrikam.com
= Cc: noreply@corp.contoso.com
E29 out header  wildcard rule; the bare domain does not match it
- From: ci@build7.lab.contoso.com
+ From: ci@lab.fabrikam.com
= Cc: x@lab.contoso.com
E30 out header  still shown under the old name
- From: Carol <carol@fabrikam.com>
+ From: Carol <carol@contoso.com>
E31 out header  no space after colon, space before colon
- From:alice@contoso.com
- To : bob@contoso.com
+ From:alice.smith@fabrikam.com
+ To : bob@fabrikam.com
E32 out header  receipt requests follow the sender
- Disposition-Notification-To: "Alice" <alice@contoso.com>
- Return-Receipt-To: <alice@contoso.com>
+ Disposition-Notification-To: "Alice" <alice.smith@fabrikam.com>
+ Return-Receipt-To: <alice.smith@fabrikam.com>
E33 out header  resent block
- Resent-From: Alice <alice@contoso.com>
- Resent-To: sales@contoso.com
+ Resent-From: Alice <alice.smith@fabrikam.com>
+ Resent-To: sales@fabrikam.com
= Resent-Message-ID: <1@contoso.com>
E34 out header  list fields
= List-Id: Sales <sales.contoso.com>
- List-Post: <mailto:sales@contoso.com>
- List-Unsubscribe: <https://contoso.com/u?a=alice@contoso.com>, <mailto:sales%40contoso.com?subject=unsub%20alice@contoso.com>
+ List-Post: <mailto:sales@fabrikam.com>
+ List-Unsubscribe: <https://contoso.com/u?a=alice@contoso.com>, <mailto:sales@fabrikam.com?subject=unsub%20alice@contoso.com>
E35 out header  never-fields
= Message-ID: <abc@contoso.com>
= References: <x.alice@contoso.com> <y@example.net>
= Subject: mail for alice@contoso.com
= Received: from a by b for <alice@contoso.com>; Sun, 22 Nov 2026 10:00:00 +0000
= X-MS-Exchange-ForwardingLoop: alice@contoso.com;00000000-0000-0000-0000-000000000000
= DKIM-Signature: v=1; a=rsa-sha256; d=contoso.com; i=alice@contoso.com; s=s1; h=from; bh=x; b=y
E36 out header  Autocrypt
- Autocrypt: addr=alice@contoso.com; prefer-encrypt=mutual; keydata=AAAA
+ Autocrypt: addr=alice.smith@fabrikam.com; prefer-encrypt=mutual; keydata=AAAA
E37 out header  two list members become equal: both stay
- To: alice@contoso.com, Alice <alice.smith@fabrikam.com>
+ To: alice.smith@fabrikam.com, Alice <alice.smith@fabrikam.com>
E38 out header  bounce encodings are protected from extension matching
= Errors-To: alice+SRS=44ldt=IX=example.net=dana@contoso.com
E39 out header  semicolon list, smtp: prefix
- To: alice@contoso.com; bob@contoso.com
- Cc: smtp:alice@contoso.com
+ To: alice.smith@fabrikam.com; bob@fabrikam.com
+ Cc: smtp:alice.smith@fabrikam.com
E40 out header  unbalanced brackets
- To: <alice@contoso.com
- Cc: alice@contoso.com>
+ To: <alice.smith@fabrikam.com
+ Cc: alice.smith@fabrikam.com>
E41 out header  comma inside brackets
- To: <alice@contoso.com, bob@contoso.com>
+ To: <alice.smith@fabrikam.com, bob@fabrikam.com>
E42 out header  unclosed quote and comment
- To: "Alice <alice@contoso.com>
- Cc: (Testing <bob@contoso.com>
+ To: "Alice <alice.smith@fabrikam.com>
+ Cc: (Testing <bob@fabrikam.com>
E43 out header  excessive brackets
- To: <<<alice@contoso.com>>>
+ To: <<<alice.smith@fabrikam.com>>>
E44 out header  two @ in one item: not an address
= To: alice@contoso.com@example.net, dana@example.net
E45 out header  unquoted address as display name
- To: alice@contoso.com <alice@contoso.com>
+ To: alice.smith@fabrikam.com <alice.smith@fabrikam.com>
E46 out header  other words beside the address
- To: Sales @ Contoso <sales@contoso.com>, Bob [bob@contoso.com]
+ To: Sales @ Contoso <sales@fabrikam.com>, Bob [bob@fabrikam.com]
E50 in header  recipients located, originators untouched
= From: Bob <bob@contoso.com>
= Reply-To: alice.smith@fabrikam.com
- To: "Alice" <alice.smith@fabrikam.com>, carol@contoso.com
- Cc: sales@fabrikam.com, dana@example.net
+ To: "Alice" <alice@contoso.com>, carol@fabrikam.com
+ Cc: sales@contoso.com, dana@example.net
E51 in header  quoted local part is produced when needed
- To: <john.smith@fabrikam.com>
+ To: <"john smith"@contoso.com>
E52 in header  domain rule reversed, wildcard rule not
- To: print.room@corp.fabrikam.com, ci@lab.fabrikam.com
+ To: print.room@corp.contoso.com, ci@lab.fabrikam.com
E53 in header  X.500 address from an old conversation
- To: IMCEAEX-_o=ExchangeLabs_ou=Exchange+20Administrative+20Group+20+28FYDIBOHF23SPDLT+29_cn=Recipients_cn=0a1b-alice@fabrikam.com
+ To: alice@contoso.com
E54 in header  list fields stay
= List-Post: <mailto:sales@fabrikam.com>
E55 in header  an exception of a rule holds in reverse
= To: noreply@corp.fabrikam.com
`

const map = compileTable(EXAMPLE_TABLE).withPolicy(DEFAULT_POLICY)

interface Example {
  readonly id: string
  readonly direction: Direction
  readonly title: string
  readonly input: Buffer
  readonly output: Buffer
}

function parseExamples(text: string): Example[] {
  const examples: { id: string; direction: Direction; title: string; input: string[]; output: string[] }[] = []
  for (const line of text.trim().split('\n')) {
    const head = /^(E\d\d) (out|in) header {2}(.+)$/.exec(line)
    if (head !== null) {
      const [, id = '', direction, title = ''] = head
      examples.push({ id, direction: direction === 'in' ? 'in' : 'out', title, input: [], output: [] })
      continue
    }
    const example = examples.at(-1)
    assert.ok(example, 'an example begins with its number')
    assert.match(line, /^[-+=] /)
    if (!line.startsWith('+')) example.input.push(line.slice(2))
    if (!line.startsWith('-')) example.output.push(line.slice(2))
  }
  return examples.map(({ input, output, ...rest }) => ({ ...rest, input: headerOf(input), output: headerOf(output) }))
}

function headerOf(lines: readonly string[]): Buffer {
  const pieces = [...lines, ''].map((line) => `${line}\r\n`.replaceAll('<TAB>', '\t').split('<E9>'))
  return Buffer.concat(
    pieces.flatMap((parts) =>
      parts.flatMap((part, i) => (i === 0 ? [Buffer.from(part)] : [Buffer.of(0xe9), Buffer.from(part)])),
    ),
  )
}

function rewrite(
  input: Buffer,
  direction: Direction,
  options: { smtpUtf8?: boolean; unchangedFields?: (field: HeaderField) => boolean } = {},
) {
  const recorder = new ReportRecorder()
  const { smtpUtf8 = false, ...rest } = options
  const result = rewriteHeader(scanHeader(input), {
    direction,
    map,
    policy: DEFAULT_POLICY,
    smtpUtf8,
    recorder,
    ...rest,
  })
  return { bytes: result ?? input, isChanged: result !== undefined, recorder }
}

function assertSameBytes(actual: Buffer, expected: Buffer): void {
  assert.equal(actual.toString('latin1'), expected.toString('latin1'))
}

const examples = parseExamples(EXAMPLES)

test('all examples E01–E55 of header fields are here', () => {
  const range = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => `E${String(from + i).padStart(2, '0')}`)
  assert.deepEqual(
    examples.map(({ id }) => id),
    [...range(1, 46), ...range(50, 55)],
  )
})

// The only example that says it is an SMTPUTF8 message.
const isSmtpUtf8 = (id: string) => id === 'E27'

for (const { id, direction, title, input, output } of examples) {
  test(`${id} ${direction}: ${title}`, () => {
    const { bytes, isChanged, recorder } = rewrite(input, direction, { smtpUtf8: isSmtpUtf8(id) })
    assertSameBytes(bytes, output)
    assert.equal(isChanged, !input.equals(output))
    assert.equal(recorder.changeCount > 0, isChanged)
  })
}

test('E90: a line that grew beyond 998 octets is folded once, as late as possible', () => {
  const outsiders = Array.from({ length: 30 }, (_, i) => `u${String(i + 1).padStart(2, '0')}.lastname@example.net`)
  const alice = Array.from({ length: 13 }, () => 'alice@contoso.com')
  const line = `To: ${[...outsiders, ...alice].join(',')}`
  assert.equal(line.length, 987)
  const { bytes, recorder } = rewrite(headerOf([line]), 'out')
  const lines = bytes.toString('latin1').split('\r\n')
  assert.deepEqual(
    lines.map(({ length }) => length),
    [979, 100, 0, 0],
  )
  assert.equal(lines[0]?.split(',').length, 40)
  assert.equal(lines[1], ` ${Array.from({ length: 4 }, () => 'alice.smith@fabrikam.com').join(',')}`)
  assert.ok(recorder.codes.includes('refolded'))
})

test('E90: a field that stays within 998 octets is not folded', () => {
  const line = `To: ${Array.from({ length: 38 }, () => 'alice@contoso.com').join(',')}`
  const { bytes, recorder } = rewrite(headerOf([line]), 'out')
  assertSameBytes(bytes, headerOf([line.replaceAll('alice@contoso.com', 'alice.smith@fabrikam.com')]))
  assert.ok(!recorder.codes.includes('refolded'))
})

for (const { id, direction, input, output } of examples.filter((example) => example.direction === 'out')) {
  test(`E92: rewriting the output of ${id} a second time changes nothing`, () => {
    const second = rewrite(output, direction, { smtpUtf8: isSmtpUtf8(id) })
    assertSameBytes(second.bytes, output)
    // The proof must not come from an output that is only the input.
    assert.equal(rewrite(input, direction, { smtpUtf8: isSmtpUtf8(id) }).isChanged, !input.equals(output))
  })
}

test('E96: an address without brackets after a quoted name is taken as phrase and address', () => {
  const { bytes, recorder } = rewrite(headerOf(['From: "Alice" alice@contoso.com']), 'out')
  assertSameBytes(bytes, headerOf(['From: "Alice" alice.smith@fabrikam.com']))
  assert.deepEqual(recorder.codes, [])
})

test('E98: a recipient field that the author has signed stays, one that he has not is located', () => {
  const input = headerOf(['From: dana@example.net', 'To: alice.smith@fabrikam.com', 'Subject: x'])
  const covers = (names: string) => (field: HeaderField) => names.split(':').includes(field.name)
  assert.equal(rewrite(input, 'in', { unchangedFields: covers('from:to:subject') }).isChanged, false)
  const located = rewrite(input, 'in', { unchangedFields: covers('from:subject') })
  assertSameBytes(located.bytes, headerOf(['From: dana@example.net', 'To: alice@contoso.com', 'Subject: x']))
})
