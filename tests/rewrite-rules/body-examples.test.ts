// The worked examples E70–E89, E91–E94, E97 and E99 of rewriting.md §15 as they stand there, through the whole engine.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import {
  DEFAULT_POLICY,
  compileTable,
  formatMarker,
  judgeLoop,
  Refusal,
  rewriteMessage,
  scanHeader,
} from '../../rewrite-rules/index.ts'
import type { Direction, Policy, Report } from '../../rewrite-rules/index.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'

const table = compileTable(EXAMPLE_TABLE)

// `-` input line, `+` output line, `=` line that is the same in both; <TAB> is one HTAB, <E9> one raw octet.
const EXAMPLES = `
E70 out ics  folded input, address split by the fold; only this line is written again
= BEGIN:VCALENDAR
= METHOD:REQUEST
= BEGIN:VEVENT
- ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;CN=Alice:mailto:alice@conto
-  so.com
+ ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;CN=Alice:mailto:alice.smith
+  @fabrikam.com
= DESCRIPTION:write to alice@contoso.com
=  or mailto:alice@contoso.com
= UID:040000008200E00074C5B7101A82E008-alice@contoso.com
= END:VEVENT
= END:VCALENDAR
E71 out ics  parameters; CN that is an address; MAILTO in capitals
= BEGIN:VCALENDAR
- ORGANIZER;CN="alice@contoso.com";SENT-BY="mailto:bob@contoso.com":MAILTO:alice@contoso.com
+ ORGANIZER;CN="alice.smith@fabrikam.com";SENT-BY="mailto:bob@fabrikam.com":M
+  AILTO:alice.smith@fabrikam.com
- ATTENDEE;DELEGATED-TO="mailto:bob@contoso.com","mailto:dana@example.net":mailto:sales@contoso.com
+ ATTENDEE;DELEGATED-TO="mailto:bob@fabrikam.com","mailto:dana@example.net":m
+  ailto:sales@fabrikam.com
= END:VCALENDAR
E72 out ics  EMAIL and MEMBER parameters, %40, Outlook sender property
= BEGIN:VCALENDAR
- ATTENDEE;EMAIL=alice@contoso.com;CN=A:mailto:alice%40contoso.com
+ ATTENDEE;EMAIL=alice.smith@fabrikam.com;CN=A:mailto:alice.smith@fabrikam.co
+  m
- ATTENDEE;MEMBER="mailto:sales@contoso.com":mailto:bob@contoso.com
+ ATTENDEE;MEMBER="mailto:sales@fabrikam.com":mailto:bob@fabrikam.com
- X-MS-OLK-SENDER;CN=Bob:mailto:bob@contoso.com
+ X-MS-OLK-SENDER;CN=Bob:mailto:bob@fabrikam.com
= ATTENDEE;CN=Nobody:invalid:nomail
= END:VCALENDAR
E73 out ics  broken: unquoted SENT-BY
= BEGIN:VCALENDAR
- ORGANIZER;SENT-BY=mailto:bob@contoso.com:mailto:alice@contoso.com
+ ORGANIZER;SENT-BY=mailto:bob@fabrikam.com:mailto:alice.smith@fabrikam.com
= END:VCALENDAR
E74 in ics  REQUEST: attendees located, organizer side stays
= BEGIN:VCALENDAR
= METHOD:REQUEST
= ORGANIZER:mailto:sales@fabrikam.com
= ATTENDEE;ROLE=CHAIR:mailto:sales@fabrikam.com
- ATTENDEE:mailto:alice.smith@fabrikam.com
+ ATTENDEE:mailto:alice@contoso.com
= ATTENDEE:mailto:dana@example.net
= END:VCALENDAR
E75 in ics  REPLY: organizer located, attendee side stays
= BEGIN:VCALENDAR
= METHOD:REPLY
- ORGANIZER:mailto:alice.smith@fabrikam.com
+ ORGANIZER:mailto:alice@contoso.com
= ATTENDEE;PARTSTAT=ACCEPTED:mailto:sales@fabrikam.com
= END:VCALENDAR
E76 out ics  8-bit text and odd folding of other lines are kept
= BEGIN:VCALENDAR
= SUMMARY:Caf<C3><A9>
= <TAB>continued
- ATTENDEE;CN=J<C3><BC>rgen:mailto:juergen@xn--mnchen-3ya.example
+ ATTENDEE;CN=J<C3><BC>rgen:mailto:juergen@fabrikam.com
= END:VCALENDAR
E80 out dsn
= Reporting-MTA: dns;mail.contoso.com
= 
= Original-Recipient: rfc822;alice.smith@fabrikam.com
- Final-Recipient: RFC822; alice@contoso.com
+ Final-Recipient: RFC822; alice.smith@fabrikam.com
= Action: failed
= Diagnostic-Code: smtp;550 5.1.1 <alice@contoso.com> unknown
E81 out mdn
= Reporting-UA: pc1.contoso.com; Outlook
- Final-Recipient: rfc822;alice@contoso.com
+ Final-Recipient: rfc822;alice.smith@fabrikam.com
= Original-Message-ID: <77@contoso.com>
= Disposition: manual-action/MDN-sent-manually; displayed
E82 in dsn  report bodies stay
= Final-Recipient: rfc822;alice.smith@fabrikam.com
`

const CONTENT_TYPES: Record<string, string> = {
  ics: 'text/calendar; charset=utf-8',
  dsn: 'message/delivery-status',
  mdn: 'message/disposition-notification',
}

for (const example of EXAMPLES.trim().split(/\n(?=E\d)/)) {
  const [title = '', ...lines] = example.split('\n')
  const [, direction = '', kind = ''] = title.split(' ')
  const [input, output] = ['-', '+'].map((sign) =>
    lines
      .filter((line) => line.startsWith('=') || line.startsWith(sign))
      .map((line) => `${line.slice(2)}\r\n`)
      .join('')
      .replaceAll('<TAB>', '\t')
      .replace(/<([0-9A-F]{2})>/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  )
  const contentType = CONTENT_TYPES[kind] ?? ''

  test(`${title}, as the whole body`, () => {
    const head = `From: dana@example.net\r\nContent-Type: ${contentType}\r\n\r\n`
    assert.equal(rewrite(head + input, direction).text, head + output)
  })

  test(`${title}, as a part of a multipart`, () => {
    const around = (body: string | undefined): string =>
      'From: dana@example.net\r\nContent-Type: multipart/report; boundary="b 1"\r\n\r\n' +
      `--b 1\r\n\r\nalice@contoso.com\r\n--b 1\r\nContent-Type: ${contentType}\r\n\r\n${body}\r\n--b 1--\r\n`
    assert.equal(rewrite(around(input), direction).text, around(output))
  })
}

/** @param text  latin1 */
function rewrite(text: string, direction: string, policy: Partial<Policy> = {}): { text: string; report: Report } {
  const asDirection: Direction = direction === 'in' ? 'in' : 'out'
  const { bytes, report } = rewriteMessage(Buffer.from(text, 'latin1'), {
    direction: asDirection,
    table,
    policy: { ...DEFAULT_POLICY, ...policy },
    smtpUtf8: false,
  })
  return { text: bytes.toString('latin1'), report }
}

const codesOf = (text: string, direction = 'out', policy: Partial<Policy> = {}) =>
  rewrite(text, direction, policy).report.codes

const HEAD = 'From: Alice <alice@contoso.com>\r\nTo: dana@example.net\r\n'
const HEAD_OUT = 'From: Alice <alice.smith@fabrikam.com>\r\nTo: dana@example.net\r\n'

const INVITE = 'BEGIN:VCALENDAR\r\nORGANIZER:mailto:alice@contoso.com\r\nEND:VCALENDAR\r\n'
const INVITE_OUT = 'BEGIN:VCALENDAR\r\nORGANIZER:mailto:alice.smith@fabrikam.com\r\nEND:VCALENDAR\r\n'

test('E77 out, base64 part', () => {
  const head = 'From: dana@example.net\r\nContent-Type: text/calendar\r\nContent-Transfer-Encoding: base64\r\n\r\n'
  const input = 'QkVHSU46VkNBTEVOREFSDQpPUkdBTklaRVI6bWFpbHRvOmFsaWNlQGNvbnRvc28uY29tDQpFTkQ6\r\nVkNBTEVOREFSDQo=\r\n'
  const output =
    'QkVHSU46VkNBTEVOREFSDQpPUkdBTklaRVI6bWFpbHRvOmFsaWNlLnNtaXRoQGZhYnJpa2FtLmNv\r\nbQ0KRU5EOlZDQUxFTkRBUg0K\r\n'
  const result = rewrite(head + input, 'out')
  assert.equal(result.text, head + output)
  assert.deepEqual(result.report.codes, [])
})

test('E78 out, quoted-printable part: unchanged octets keep their spelling, other lines stay', () => {
  const head =
    'From: dana@example.net\r\nContent-Type: text/calendar\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
  const around = (line: string) => `${head}BEGIN:VCALENDAR\r\n${line}SUMMARY:a=\r\nb=20\r\nEND:VCALENDAR\r\n`
  assert.equal(
    rewrite(around('ORGANIZER;CN=3DJ=C3=BCrgen:mailto:alice@cont=\r\noso.com\r\n'), 'out').text,
    around('ORGANIZER;CN=3DJ=C3=BCrgen:mailto:alice.smith@fabrikam.com\r\n'),
  )
})

test('E79 out, UTF-16LE part with BOM is written back as UTF-16LE with BOM; x-unknown is untouched', () => {
  const calendar = (address: string) =>
    `BEGIN:VCALENDAR\r\nSUMMARY:Caf\u00e9 \u{1f600}\r\nORGANIZER:mailto:${address}\r\nEND:VCALENDAR\r\n`
  const utf16 = (address: string) => Buffer.from(`\ufeff${calendar(address)}`, 'utf16le')
  const base64 = (bytes: Buffer) => bytes.toString('base64').replace(/.{76}(?=.)/g, '$&\r\n')
  const head = 'From: dana@example.net\r\nContent-Type: text/calendar; charset=utf-16le\r\n'
  const encoded = `${head}Content-Transfer-Encoding: base64\r\n\r\n`
  assert.equal(
    rewrite(`${encoded}${base64(utf16('alice@contoso.com'))}\r\n`, 'out').text,
    `${encoded}${base64(utf16('alice.smith@fabrikam.com'))}\r\n`,
  )
  const binary = `${head}Content-Transfer-Encoding: binary\r\n\r\n`
  assert.equal(
    rewrite(binary + utf16('alice@contoso.com').toString('latin1'), 'out').text,
    binary + utf16('alice.smith@fabrikam.com').toString('latin1'),
  )
  const unknown = `From: dana@example.net\r\nContent-Type: text/calendar; charset=x-unknown\r\n\r\n${INVITE}`
  assert.equal(rewrite(unknown, 'out').text, unknown)
  assert.deepEqual(codesOf(unknown), ['ics-skipped:charset'])
})

test('E83 out, multipart/signed with a text/calendar first part: identical from the first boundary on', () => {
  const body =
    'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=s\r\n\r\n' +
    `--s\r\nContent-Type: text/calendar\r\n\r\n${INVITE}\r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nMII=\r\n--s--\r\n`
  const result = rewrite(HEAD + body, 'out')
  assert.equal(result.text, HEAD_OUT + body)
  assert.deepEqual(result.report.codes, ['ics-in-signed'])
})

test('E84 out, forwarded message as message/rfc822: the inner From stays', () => {
  const body =
    'Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: message/rfc822\r\n\r\n' +
    `From: alice@contoso.com\r\nContent-Type: text/calendar\r\n\r\n${INVITE}\r\n--m--\r\n`
  assert.equal(rewrite(HEAD + body, 'out').text, HEAD_OUT + body)
})

test('E85 out, application/ms-tnef: attachment identical, report tnef', () => {
  const body =
    'Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n\r\n' +
    'alice@contoso.com\r\n--m--\r\n'
  const result = rewrite(HEAD + body, 'out')
  assert.equal(result.text, HEAD_OUT + body)
  assert.deepEqual(result.report.codes, ['tnef'])
})

test('E86 out, text/html signature with mailto: identical', () => {
  const body = 'Content-Type: text/html\r\n\r\n<a href="mailto:alice@contoso.com">alice@contoso.com</a>\r\n'
  assert.equal(rewrite(HEAD + body, 'out').text, HEAD_OUT + body)
})

test('E87 out, multipart/alternative(text/calendar) and application/ics attachment change in the same way', () => {
  const body = (invite: string): string =>
    'Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n' +
    `--a\r\n\r\ntext\r\n--a\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\n${invite}\r\n--a--\r\n` +
    `--m\r\nContent-Type: application/ics; name=invite.ics\r\n\r\n${invite}\r\n--m--\r\n`
  const result = rewrite(HEAD + body(INVITE), 'out')
  assert.equal(result.text, HEAD_OUT + body(INVITE_OUT))
  assert.deepEqual(
    result.report.changes.map(({ where }) => where),
    ['header:From:1', 'part:1.2:ORGANIZER', 'part:2:ORGANIZER'],
  )
})

test('E88 out, message/partial: header changes, body identical, report partial', () => {
  const body = 'Content-Type: message/partial; id=x; number=1; total=2\r\n\r\nFrom: alice@contoso.com\r\n\r\nhello\r\n'
  const result = rewrite(HEAD + body, 'out')
  assert.equal(result.text, HEAD_OUT + body)
  assert.deepEqual(result.report.codes, ['partial'])
})

test('E91 out, one valid marker: no address byte changes the second time, and the report says seen', () => {
  const first = rewrite(`${HEAD}Content-Type: text/calendar\r\n\r\n${INVITE}`, 'out').text
  const keys = { tokens: ['word'], secrets: ['secret'], project: 'p1' }
  const mark = (count: number) =>
    `X-Causeway-Trace: ${formatMarker({ token: 'word', secret: 'secret', project: 'p1', direction: 'out', count, relay: 'r', messageId: '' })}\r\n`
  const marked = mark(1) + first
  const verdict = judgeLoop(scanHeader(Buffer.from(marked, 'latin1')), 'out', keys)
  assert.deepEqual(verdict, { kind: 'pass', validMarkers: 1 })
  const { bytes, report } = rewriteMessage(Buffer.from(marked, 'latin1'), {
    direction: 'out',
    table,
    policy: DEFAULT_POLICY,
    smtpUtf8: false,
    seenMarkers: 1,
  })
  assert.equal(bytes.toString('latin1'), marked)
  assert.deepEqual(report.codes, ['seen'])
  assert.equal(report.changeCount, 0)
})

test('E93 any, message without any K address: byte-identical', () => {
  const message = `From: dana@example.net\r\nContent-Type: text/calendar\r\n\r\n${INVITE.replace('alice', 'nobody')}`
  for (const direction of ['out', 'in']) assert.equal(rewrite(message, direction).text, message)
})

for (const [contentType, why] of [
  ['application/pkcs7-mime; smime-type=signed-data', 'opaque S/MIME'],
  ['multipart/signed; boundary=b', 'clear-signed'],
] as const) {
  test(`E97 out, ${why} with policy signed: bypass: nothing changes but RCPT`, () => {
    const message = `${HEAD}Content-Type: ${contentType}\r\n\r\n--b\r\nContent-Type: text/calendar\r\n\r\n${INVITE}\r\n--b--\r\n`
    const { bytes, report } = rewriteMessage(Buffer.from(message), {
      direction: 'out',
      table,
      policy: { ...DEFAULT_POLICY, signed: 'bypass' },
      smtpUtf8: false,
      envelope: {
        reversePath: 'alice@contoso.com',
        parameters: {},
        forwardPaths: [{ path: 'carol@contoso.com', parameters: {} }],
      },
    })
    assert.equal(bytes.toString('latin1'), message)
    assert.deepEqual(report.codes, ['bypass-signed'])
    assert.equal(report.envelope?.reversePath, 'alice@contoso.com')
    assert.equal(report.envelope?.forwardPaths[0]?.path, 'carol@fabrikam.com')
  })
}

test('E99 in, policy envelope-only: bytes identical, RCPT located', () => {
  const message = `From: dana@example.net\r\nTo: alice.smith@fabrikam.com\r\nContent-Type: text/calendar\r\n\r\n${INVITE_OUT}`
  const { bytes, report } = rewriteMessage(Buffer.from(message), {
    direction: 'in',
    table,
    policy: { ...DEFAULT_POLICY, inHeaders: 'envelope-only' },
    smtpUtf8: false,
    envelope: {
      reversePath: 'dana@example.net',
      parameters: {},
      forwardPaths: [{ path: 'alice.smith@fabrikam.com', parameters: {} }],
    },
  })
  assert.equal(bytes.toString('latin1'), message)
  assert.equal(report.envelope?.forwardPaths[0]?.path, 'alice@contoso.com')
})

test('E85 with policy tnef: reject is refused with 5.6.0 (R50)', () => {
  const message = `${HEAD}Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: application/ms-tnef\r\n\r\nx\r\n--m--\r\n`
  assert.throws(
    () => rewrite(message, 'out', { tnef: 'reject' }),
    (error) => error instanceof Refusal && error.code === 554 && error.status === '5.6.0',
  )
})
