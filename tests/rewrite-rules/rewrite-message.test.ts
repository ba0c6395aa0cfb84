// The walk over a message by rule: §4, §7, R54, R55, R70 and the rows of §12 that concern bodies. The worked examples are in
// body-examples.test.ts, real mail in corpus.test.ts.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  answerQueries,
  collectQueries,
  compileTable,
  DEFAULT_POLICY,
  emptyTable,
  finishWork,
  MessageRewriter,
  Refusal,
  rewriteMessage,
} from '../../rewrite-rules/index.ts'
import type { Direction, MessageOptions, Policy, Report } from '../../rewrite-rules/index.ts'
import { assertLinear } from '../harness/doubling.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { cut, streamMessage } from '../harness/stream-message.ts'

const MIB = 1024 * 1024
const table = compileTable(EXAMPLE_TABLE)

function optionsFor(direction: Direction = 'out', policy: Partial<Policy> = {}): MessageOptions {
  return { direction, table, policy: { ...DEFAULT_POLICY, ...policy }, smtpUtf8: false }
}

/** @param message  latin1 */
function rewrite(
  message: string,
  direction: Direction = 'out',
  policy: Partial<Policy> = {},
): { text: string; report: Report } {
  const { bytes, report } = rewriteMessage(Buffer.from(message, 'latin1'), optionsFor(direction, policy))
  return { text: bytes.toString('latin1'), report }
}

/** Lines with CRLF. */
const lines = (...all: string[]) => all.map((line) => `${line}\r\n`).join('')

const calendar = (address: string) => lines('BEGIN:VCALENDAR', `ATTENDEE:mailto:${address}`, 'END:VCALENDAR')
const INVITE = calendar('bob@contoso.com')
const INVITE_OUT = calendar('bob@fabrikam.com')
const DSN = lines('Reporting-MTA: dns;x', '', 'Final-Recipient: rfc822;bob@contoso.com')
const DSN_OUT = DSN.replace('contoso', 'fabrikam')

/** A message whose body is a part with these header fields. */
const withBody = (fields: string, body: string) => `From: dana@example.net\r\n${fields}\r\n${body}`

/** A message with one part in a multipart, between a text and a text. */
const withPart = (fields: string, body: string, type = 'mixed') =>
  withBody(
    `Content-Type: multipart/${type}; boundary=b\r\n`,
    `preamble\r\n--b\r\n\r\nbob@contoso.com\r\n--b\r\n${fields}\r\n${body}\r\n--b\r\n\r\nbob@contoso.com\r\n--b--\r\nepilogue`,
  )

const CALENDAR = 'Content-Type: text/calendar\r\n'
const BASE64 = 'Content-Transfer-Encoding: base64\r\n'

type Effect = 'changed' | 'same'
const PARTS: [name: string, fields: string, body: string, effect: Effect, codes: string[], why: string][] = [
  ['text/calendar', CALENDAR, INVITE, 'changed', [], 'R50'],
  ['TEXT/Calendar', 'content-type : TEXT/Calendar ; charset=utf-8\r\n', INVITE, 'changed', [], 'R50: in any case'],
  ['application/ics', 'Content-Type: application/ics; name=a.ics\r\n', INVITE, 'changed', [], 'R50'],
  ['octet-stream', 'Content-Type: application/octet-stream; name=a.ics\r\n', INVITE, 'same', [], 'R50: attachments'],
  ['text/plain', 'Content-Type: text/plain\r\n', INVITE, 'same', [], 'R50'],
  ['no type', '', INVITE, 'same', [], 'R50: text/plain'],
  ['text/vcard', 'Content-Type: text/vcard\r\n', 'EMAIL:bob@contoso.com\r\n', 'same', [], 'R50'],
  [
    'text/rfc822-headers',
    'Content-Type: text/rfc822-headers\r\n',
    'To: bob@contoso.com\r\n',
    'same',
    [],
    'R50: evidence',
  ],
  [
    'message/rfc822',
    'Content-Type: message/rfc822\r\n',
    `To: bob@contoso.com\r\n${CALENDAR}\r\n${INVITE}`,
    'same',
    [],
    'R50: evidence',
  ],
  ['message/global', 'Content-Type: message/global\r\n', `${CALENDAR}\r\n${INVITE}`, 'same', [], 'R50: evidence'],
  ['message/partial', 'Content-Type: message/partial; id=x\r\n', INVITE, 'same', ['partial'], 'R50'],
  [
    'message/external-body',
    'Content-Type: message/external-body; access-type=URL\r\n',
    `${CALENDAR}\r\n${INVITE}`,
    'same',
    ['partial'],
    'R50, PS-7',
  ],
  [
    'multipart/encrypted',
    'Content-Type: multipart/encrypted; boundary=e\r\n',
    `--e\r\n${CALENDAR}\r\n${INVITE}\r\n--e--\r\n`,
    'same',
    [],
    'R50',
  ],
  [
    'application/pkcs7-mime',
    'Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n',
    INVITE,
    'same',
    [],
    'R50',
  ],
  ['rpmsg', 'Content-Type: application/x-microsoft-rpmsg-message\r\n', INVITE, 'same', [], 'R50'],
  [
    'multipart/signed',
    'Content-Type: multipart/signed; boundary=s\r\n',
    `--s\r\n${CALENDAR}\r\n${INVITE}\r\n--s--\r\n`,
    'same',
    ['ics-in-signed'],
    'R52',
  ],
  [
    'deep in multipart/signed',
    'Content-Type: multipart/signed; boundary=s\r\n',
    `--s\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n${CALENDAR}\r\n${INVITE}\r\n--m--\r\n--s--\r\n`,
    'same',
    ['ics-in-signed'],
    'R52',
  ],
  [
    'tnef in multipart/signed',
    'Content-Type: multipart/signed; boundary=s\r\n',
    '--s\r\nContent-Type: application/ms-tnef\r\n\r\nx\r\n--s--\r\n',
    'same',
    [],
    'R50: not entered',
  ],
  ['application/ms-tnef', 'Content-Type: application/ms-tnef\r\n', 'bob@contoso.com', 'same', ['tnef'], 'R53'],
  ['8bit', `${CALENDAR}Content-Transfer-Encoding: 8BIT\r\n`, INVITE, 'changed', [], 'R54'],
  ['unknown encoding', `${CALENDAR}Content-Transfer-Encoding: x-uuencode\r\n`, INVITE, 'same', ['cte-unknown'], 'R54'],
  [
    'suspicious base64',
    CALENDAR + BASE64,
    `${Buffer.from(INVITE).toString('base64').slice(0, 8)}!`,
    'same',
    ['cte-suspicious', 'ics-skipped:no-vcalendar'],
    'R54: nothing to change',
  ],
  [
    'ambiguous base64',
    CALENDAR + BASE64,
    'QQ==QQ==',
    'same',
    ['cte-suspicious', 'ics-skipped:encoding'],
    '§12: not decoded unambiguously',
  ],
  ['raw NUL', CALENDAR, `${INVITE}\0`, 'same', ['ics-skipped:encoding'], '§12: parts with raw NUL are not edited'],
  [
    'unknown charset',
    'Content-Type: text/calendar; charset=x-unknown\r\n',
    INVITE,
    'same',
    ['ics-skipped:charset'],
    'R66',
  ],
  ['no object', CALENDAR, 'ATTENDEE:bob@contoso.com\r\n', 'same', ['ics-skipped:no-vcalendar'], 'R66'],
  ['vCalendar', CALENDAR, INVITE.replace('ATT', 'VERSION:1.0\r\nATT'), 'same', ['ics-skipped:vcalendar-1.0'], 'R66'],
  ['long content line', CALENDAR, `${INVITE}X:${'x'.repeat(262_143)}\r\n`, 'same', ['ics-skipped:size'], '§12'],
  ['empty calendar', CALENDAR, '', 'same', ['ics-skipped:no-vcalendar'], 'R66'],
]
for (const [name, fields, body, effect, codes, why] of PARTS) {
  const changed = (text: string) =>
    effect === 'same' ? text : text.replace('mailto:bob@contoso', 'mailto:bob@fabrikam')
  test(`${name} as a part: ${effect} (${why})`, () => {
    const message = withPart(fields, body)
    const { text, report } = rewrite(message)
    assert.equal(text, changed(message))
    assert.deepEqual(report.codes, codes)
  })
  test(`${name} as the whole body: ${effect} (${why})`, () => {
    const message = withBody(fields, body)
    const { text, report } = rewrite(message)
    assert.equal(text, changed(message))
    assert.deepEqual(report.codes, codes)
  })
}

test('suspicious base64 is decoded leniently, and written clean when it changes (R54)', () => {
  const message = (body: string) => withPart(CALENDAR + BASE64, body)
  const encoded = Buffer.from(INVITE).toString('base64')
  const { text, report } = rewrite(message(`${encoded.slice(0, 10)}!${encoded.slice(10)}\r\n`))
  const clean = Buffer.from(INVITE_OUT)
    .toString('base64')
    .replace(/.{76}(?=.)/g, '$&\r\n')
  assert.equal(text, message(`${clean}\r\n`))
  assert.deepEqual(report.codes, ['cte-suspicious'])
})

test('base64 of one line takes its line break from the part header, also in a file with LF (R48)', () => {
  const message = (body: string) => withPart(CALENDAR + BASE64, body).replaceAll('\r\n', '\n')
  const clean = Buffer.from(INVITE_OUT)
    .toString('base64')
    .replace(/.{76}(?=.)/g, '$&\n')
  assert.equal(rewrite(message(Buffer.from(INVITE).toString('base64'))).text, message(clean))
})

for (const type of [
  'delivery-status',
  'global-delivery-status',
  'disposition-notification',
  'global-disposition-notification',
]) {
  test(`message/${type} changes inside multipart/report or as the whole body, out only (R70)`, () => {
    const fields = `Content-Type: message/${type}\r\n`
    assert.equal(rewrite(withPart(fields, DSN, 'report')).text, withPart(fields, DSN_OUT, 'report'))
    assert.equal(rewrite(withBody(fields, DSN)).text, withBody(fields, DSN_OUT))
    const nested = (body: string) =>
      withPart('Content-Type: multipart/mixed; boundary=m\r\n', `--m\r\n${fields}\r\n${body}\r\n--m--`, 'report')
    assert.equal(rewrite(nested(DSN)).text, nested(DSN_OUT))
    for (const [message, direction] of [
      [withPart(fields, DSN), 'out'],
      [withPart(fields, DSN_OUT, 'report'), 'in'],
      [withBody(fields, DSN_OUT), 'in'],
    ] as const) {
      assert.equal(rewrite(message, direction).text, message)
    }
  })
}

test('a report part in base64 or quoted-printable is decoded (R54)', () => {
  const encoded = (body: string) =>
    `${Buffer.from(body)
      .toString('base64')
      .replace(/.{76}(?=.)/g, '$&\r\n')}\r\n`
  const fields = `Content-Type: message/global-delivery-status\r\n${BASE64}`
  assert.equal(rewrite(withPart(fields, encoded(DSN), 'report')).text, withPart(fields, encoded(DSN_OUT), 'report'))
  const qp = 'Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n'
  assert.equal(
    rewrite(withPart(qp, DSN.replace('bob', 'b=6F=\r\nb'), 'report')).text,
    withPart(qp, DSN_OUT, 'report').replace('bob@fabrikam', 'bob@fabrikam'),
  )
})

test('a report part that can’t be processed stays, and is reported (PS-4)', () => {
  const fields = 'Content-Type: message/delivery-status\r\n'
  for (const [message, code] of [
    [withPart(fields, `${DSN}\0`, 'report'), 'mime-broken'],
    [withPart(`${fields}Content-Transfer-Encoding: x-foo\r\n`, DSN, 'report'), 'cte-unknown'],
    [withPart(fields, DSN + 'x\r\n'.repeat((10 * MIB) / 3), 'report'), 'mime-limit'],
  ] as const) {
    const { text, report } = rewrite(message)
    assert.ok(text === message)
    assert.deepEqual(report.codes, [code])
  }
})

test('Content-MD5 and Content-Length of a changed leaf part go, those of others and of multiparts stay (R55)', () => {
  const digests = 'Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\ncontent-length: 12\r\n'
  const inPart = rewrite(digests + withPart(`X-A: 1\r\n${digests}${CALENDAR}X-B: 2\r\n`, INVITE))
  assert.equal(inPart.text, digests + withPart(`X-A: 1\r\n${CALENDAR}X-B: 2\r\n`, INVITE_OUT))
  assert.deepEqual(inPart.report.codes, ['content-md5'])
  const asBody = rewrite(withBody(`${digests}To: bob@contoso.com\r\n${CALENDAR}`, INVITE))
  assert.equal(asBody.text, withBody(`To: bob@fabrikam.com\r\n${CALENDAR}`, INVITE_OUT))
  assert.deepEqual(asBody.report.codes, ['content-md5'])
  const unchanged = withPart(digests + CALENDAR, INVITE_OUT)
  assert.equal(rewrite(unchanged).text, unchanged)
})

const BROKEN: [name: string, body: string, changed: string[], codes: string[], why: string][] = [
  [
    'boundary missing',
    `Content-Type: multipart/mixed\r\n\r\n--b\r\n${CALENDAR}\r\n${INVITE}\r\n--b--\r\n`,
    [],
    ['mime-broken'],
    'one opaque part',
  ],
  [
    'boundary empty',
    `Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n${CALENDAR}\r\n${INVITE}\r\n----\r\n`,
    [],
    ['mime-broken'],
    'one opaque part',
  ],
  [
    'never closed',
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n${CALENDAR}\r\n${INVITE}\r\n--b\r\n${CALENDAR}\r\n${calendar('sales@contoso.com')}`,
    ['bob'],
    ['mime-broken'],
    'what follows the last delimiter is opaque',
  ],
  [
    'equal to an outer one',
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n${CALENDAR}\r\n${INVITE}\r\n--b--\r\n--b--\r\n`,
    [],
    ['mime-broken'],
    'one opaque part',
  ],
  [
    'inner never closed',
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n${CALENDAR}\r\n${INVITE}\r\n--b\r\n${CALENDAR}\r\n${calendar('sales@contoso.com')}\r\n--b--\r\n`,
    ['bob', 'sales'],
    ['mime-broken'],
    'an outer delimiter ends inner parts',
  ],
  [
    'boundary too long',
    `Content-Type: multipart/mixed; boundary=${'b'.repeat(201)}\r\n\r\n--${'b'.repeat(201)}\r\n${CALENDAR}\r\n${INVITE}\r\n--${'b'.repeat(201)}--\r\n`,
    [],
    ['mime-limit'],
    '§12',
  ],
  [
    'boundary of 200',
    `Content-Type: multipart/mixed; boundary=${'b'.repeat(200)}\r\n\r\n--${'b'.repeat(200)}\r\n${CALENDAR}\r\n${INVITE}\r\n--${'b'.repeat(200)}--\r\n`,
    ['bob'],
    [],
    '§12',
  ],
  [
    'part header over its limit',
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n${CALENDAR}X: ${'x'.repeat(262_144)}\r\n\r\n${INVITE}\r\n--b\r\n${CALENDAR}\r\n${INVITE}\r\n--b--\r\n`,
    [],
    ['mime-limit'],
    'PS-4: the rest passes',
  ],
  [
    'NUL in a part header',
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n${CALENDAR}X: \0\r\n\r\n${calendar('sales@contoso.com')}\r\n--b\r\n${CALENDAR}\r\n${INVITE}\r\n--b--\r\n`,
    ['bob'],
    [],
    'that part passes',
  ],
  [
    'no MIME-Version',
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n${CALENDAR}\r\n${INVITE}\r\n--b--\r\n`,
    ['bob'],
    [],
    'R50',
  ],
]
for (const [name, body, changed, codes, why] of BROKEN) {
  test(`${name}: the header is rewritten all the same; ${why} (§12)`, () => {
    const message = `From: bob@contoso.com\r\n${body}`
    const { text, report } = rewrite(message)
    let expected = message.replace('From: bob@contoso', 'From: bob@fabrikam')
    for (const local of changed) expected = expected.replace(`mailto:${local}@contoso`, `mailto:${local}@fabrikam`)
    assert.equal(text, expected)
    assert.deepEqual(report.codes, codes)
  })
}

const ENCODERS: [encoding: string, encode: (octets: Buffer) => string][] = [
  ['8bit', (octets) => octets.toString('latin1')],
  [
    'base64',
    (octets) =>
      Array.from({ length: Math.ceil(octets.length / 57) }, (_, i) =>
        octets.toString('base64', 57 * i, 57 * i + 57),
      ).join('\r\n'),
  ],
  ['quoted-printable', (octets) => octets.toString('latin1').replaceAll('x'.repeat(25), `${'=78'.repeat(25)}=\r\n`)],
]
for (const [encoding, encode] of ENCODERS) {
  test(`a calendar of 10 MiB in ${encoding} is processed, a larger one is not (§12)`, () => {
    const lineOf = (octets: number) => `X:${'x'.repeat(octets - 4)}\r\n`
    const sized = (octets: number): Buffer => {
      const count = Math.floor((octets - INVITE.length) / 1024) - 1
      const filler = lineOf(1024).repeat(count) + lineOf(octets - INVITE.length - count * 1024)
      return Buffer.from(INVITE.replace('END:V', `${filler}END:V`))
    }
    const message = (octets: number) =>
      Buffer.from(withPart(`${CALENDAR}Content-Transfer-Encoding: ${encoding}\r\n`, encode(sized(octets))))
    const fits = rewriteMessage(message(10 * MIB), optionsFor())
    assert.equal(fits.report.changeCount, 1)
    assert.deepEqual(fits.report.codes, [])
    const larger = message(10 * MIB + 1)
    const skipped = rewriteMessage(larger, optionsFor())
    assert.ok(skipped.bytes.equals(larger))
    assert.deepEqual(skipped.report.codes, ['ics-skipped:size'])
  })
}

test('policy envelope-only: nothing changes `in`, but policy tnef still holds; `out` it means nothing (R35, R50)', () => {
  const policy = { inHeaders: 'envelope-only' } as const
  const message = withPart(CALENDAR, INVITE_OUT)
  assert.equal(rewrite(message, 'in', policy).text, message)
  assert.equal(rewrite(withPart(CALENDAR, INVITE), 'out', policy).text, withPart(CALENDAR, INVITE_OUT))
  const tnef = withPart('Content-Type: application/ms-tnef\r\n', 'x')
  assert.throws(() => rewrite(tnef, 'in', { ...policy, tnef: 'reject' }), Refusal)
})

test('policy signed: bypass is decided by the type of the message, not of a part (R51)', () => {
  const signedPart = withPart('Content-Type: multipart/signed; boundary=s\r\n', '--s\r\n\r\n--s--').replace(
    'dana@example.net',
    'bob@contoso.com',
  )
  const { text, report } = rewrite(signedPart, 'out', { signed: 'bypass' })
  assert.equal(text, signedPart.replace('From: bob@contoso', 'From: bob@fabrikam'))
  assert.deepEqual(report.codes, [])
})

test('keep-dkim: of fields with the same name a signature covers as many as it names, from the bottom (R35, RFC 6376 §5.4.2)', () => {
  const message = Buffer.from(
    lines('From: dana@example.net', 'To: sales@fabrikam.com', 'To: alice.smith@fabrikam.com', '', 'x'),
  )
  const result = (dkimCovered: string[][], policy: Partial<Policy> = { inHeaders: 'keep-dkim' }): string[] => {
    const rewriter = new MessageRewriter()
    rewriter.write(message)
    rewriter.begin(optionsFor('in', policy))
    rewriter.end()
    return rewriter.header({ dkimCovered }).toString().split('\r\n').slice(1, 3)
  }
  const [salesIn, aliceIn] = ['To: sales@contoso.com', 'To: alice@contoso.com']
  const [sales, alice] = ['To: sales@fabrikam.com', 'To: alice.smith@fabrikam.com']
  assert.deepEqual(result([['From', 'TO', 'subject']]), [salesIn, alice])
  assert.deepEqual(result([['from', 'to', 'to', 'to']]), [sales, alice])
  assert.deepEqual(result([['from'], [' to ']]), [salesIn, alice])
  assert.deepEqual(result([['from', 'subject']]), [salesIn, aliceIn])
  assert.deepEqual(result([]), [salesIn, aliceIn])
  assert.deepEqual(result([['to', 'to']], {}), [salesIn, aliceIn])
})

test('the report counts bytes, and hashes where asked (§14)', () => {
  const input = Buffer.from(withPart(CALENDAR, INVITE), 'latin1')
  const plain = rewriteMessage(input, optionsFor())
  assert.equal(plain.report.bytesIn, input.length)
  assert.equal(plain.report.bytesOut, plain.bytes.length)
  assert.equal(plain.report.sha256In, undefined)
  const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  const options = { ...optionsFor(), hashes: true }
  for (const sizes of [[input.length], [1], [7]]) {
    const { bytes, report } = streamMessage(cut(input, sizes), options)
    assert.deepEqual([report.sha256In, report.sha256Out], [hash(input), hash(bytes)])
    assert.equal(report.tableVersion, 7)
  }
})

test('a message may end in its header, or have no header at all', () => {
  for (const message of [
    '',
    '\r\n',
    'To: bob@contoso.com',
    'To: bob@contoso.com\r\n',
    'no field\r\n\r\nbody',
    'To: bob@contoso.com\r\n--\r\nbob@contoso.com',
  ]) {
    const input = Buffer.from(message)
    const expected = message.replace('To: bob@contoso', 'To: bob@fabrikam')
    assert.equal(rewrite(message).text, expected)
    for (const sizes of [[1], [2], [100]])
      assert.equal(streamMessage(cut(input, sizes), optionsFor()).bytes.toString(), expected)
  }
})

// Not by a property, which the compiler would take to be undefined still.
const headerFields = (rewriter: MessageRewriter) => rewriter.receivedHeader?.fields.length

test('a body that nothing reads goes on as the views that came in, none before begin', () => {
  const rewriter = new MessageRewriter()
  const head = Buffer.from('From: bob@contoso.com\r\n\r\nfirst')
  assert.deepEqual(rewriter.write(head.subarray(0, 10)), [])
  assert.equal(headerFields(rewriter), undefined)
  assert.deepEqual(rewriter.write(head.subarray(10)), [])
  assert.equal(headerFields(rewriter), 1)
  assert.equal(Buffer.concat(rewriter.begin(optionsFor())).toString(), 'first')
  const chunk = Buffer.alloc(65_536, 'bob@contoso.com\r\n')
  const [out, ...more] = rewriter.write(chunk)
  assert.equal(out?.buffer, chunk.buffer)
  assert.equal(out?.length, chunk.length)
  assert.deepEqual(more, [])
})

test('in a multipart too: parts that are of no interest are views of the input, and one view per chunk', () => {
  const rewriter = new MessageRewriter()
  rewriter.write(Buffer.from('Content-Type: multipart/mixed; boundary=b\r\n\r\n'))
  rewriter.begin(optionsFor())
  const chunk = Buffer.from('--b\r\nContent-Type: text/plain\r\n\r\nx\r\n'.repeat(100))
  const [out, ...more] = rewriter.write(chunk)
  assert.equal(out?.buffer, chunk.buffer)
  assert.equal(out?.length, chunk.length)
  assert.deepEqual(more, [])
})

test('large parts are handed out as work and not done meanwhile; without a result they stay as they are (BP-2, PS-8)', () => {
  const input = Buffer.from(withPart(CALENDAR, INVITE))
  for (const isDone of [true, false]) {
    const rewriter = new MessageRewriter({ largePartBytes: INVITE.length - 1 })
    const out = [...rewriter.write(input), ...rewriter.begin(optionsFor())]
    const { work } = rewriter
    assert.ok(work)
    assert.throws(() => rewriter.write(input))
    assert.throws(() => rewriter.end())
    const answers = answerQueries(collectQueries(work), table.withPolicy(DEFAULT_POLICY))
    out.push(...rewriter.resume(isDone ? finishWork(work, answers) : undefined))
    assert.equal(rewriter.work, undefined)
    out.push(...rewriter.end())
    const text = Buffer.concat([rewriter.header(), ...out]).toString()
    assert.equal(text, withPart(CALENDAR, isDone ? INVITE_OUT : INVITE))
    assert.deepEqual(rewriter.report().codes, isDone ? [] : ['ics-skipped:time'])
  }
  const small = new MessageRewriter({ largePartBytes: INVITE.length })
  small.write(input)
  small.begin(optionsFor())
  assert.equal(small.work, undefined)
})

test('a work asks each question once', () => {
  const attendee = 'ATTENDEE;CN=bob@contoso.com:mailto:bob@contoso.com'
  const body = lines('BEGIN:VCALENDAR', 'ORGANIZER:sales@contoso.com', attendee, attendee, 'END:VCALENDAR')
  for (const [direction, questions] of [
    ['out', ['present sales', 'present bob']],
    ['in', ['entry of sales', 'entry of bob', 'locate bob']],
  ] as const) {
    const rewriter = new MessageRewriter({ largePartBytes: 0 })
    rewriter.write(Buffer.from(withBody(CALENDAR, body)))
    rewriter.begin(optionsFor(direction))
    rewriter.end()
    assert.ok(rewriter.work)
    const asked = collectQueries(rewriter.work).map(({ fn, local }) => `${fn ?? 'entry of'} ${local}`)
    assert.deepEqual(asked, questions)
  }
})

const STRUCTURE = fc.constantFrom(
  'Content-Type: multipart/mixed; boundary=b\r\n',
  'Content-Type: multipart/report; boundary=c\n',
  'Content-Type: multipart/signed; boundary=d\r\n',
  CALENDAR,
  `${CALENDAR}${BASE64}`,
  `${CALENDAR}Content-Transfer-Encoding: quoted-printable\r\nContent-MD5: x\r\n`,
  'Content-Type: message/delivery-status\r\n',
  'Content-Type: application/ms-tnef\r\n',
  '\r\n',
  '\n',
  '\r\n--b\r\n',
  '\r\n--b\r\n\r\n',
  '\n--c\n',
  '\r\n--d\r\n',
  '--b--',
  '\r\n--b--\r\n',
  '\r\n--c--\r\n',
  '--',
  '-',
  '\r',
  INVITE,
  INVITE_OUT,
  DSN,
  Buffer.from(INVITE).toString('base64'),
  INVITE.replaceAll('\r\n', '\n'),
  INVITE.replace('bob', 'b=6F=\r\nb'),
  'To: alice@contoso.com, x\r\n',
  'From: alice.smith@fabrikam.com\n',
  'From: (alice@contoso.com\r\n',
  '\0',
  '\xff',
  'x',
)

/** What became of a message: bytes and report, or the refusal. */
function outcome(run: () => { bytes: Buffer; report: Report }): unknown {
  try {
    const { bytes, report } = run()
    return { text: bytes.toString('latin1'), report }
  } catch (error) {
    assert.ok(error instanceof Refusal, `nothing but refusals: ${String(error)}`)
    return `${error.code} ${error.status}`
  }
}

test('any message, at any chunking, inline or as work: the same bytes and the same report', () => {
  const message = fc.array(STRUCTURE, { maxLength: 25 }).map((pieces) => Buffer.from(pieces.join(''), 'latin1'))
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(message, sizes, fc.constantFrom('out', 'in'), (bytes, chunkSizes, direction) => {
      const options = optionsFor(direction)
      const whole = outcome(() => rewriteMessage(bytes, options))
      for (const each of [chunkSizes, [1]]) {
        assert.deepEqual(
          outcome(() => streamMessage(cut(bytes, each), options)),
          whole,
        )
        assert.deepEqual(
          outcome(() => streamMessage(cut(bytes, each), options, 0)),
          whole,
        )
      }
    }),
    { numRuns: 1000 },
  )
})

test('any message: an empty table changes nothing (R46), and the same direction twice changes nothing the second time (R4)', () => {
  const message = fc.array(STRUCTURE, { maxLength: 25 }).map((pieces) => Buffer.from(pieces.join(''), 'latin1'))
  fc.assert(
    fc.property(message, fc.constantFrom('out', 'in'), (bytes, direction) => {
      const options = optionsFor(direction)
      const empty = outcome(() => rewriteMessage(bytes, { ...options, table: emptyTable('p1') }))
      if (typeof empty === 'object') assert.deepEqual(Object(empty).text, bytes.toString('latin1'))
      const first = outcome(() => rewriteMessage(bytes, options))
      if (typeof first !== 'object') return
      const { text } = rewrite(Object(first).text, direction)
      assert.equal(text, Object(first).text)
    }),
    { numRuns: 1000 },
  )
})

const HOSTILE: [name: string, size: number, message: (size: number) => string][] = [
  ['boundary-like lines', 500_000, (size) => withPart('', '--b \tx\r\n'.repeat(size / 8))],
  ['dashes', 500_000, (size) => withPart('', '-'.repeat(size))],
  ['lines of dashes', 500_000, (size) => withPart('', '--\n'.repeat(size / 3))],
  ['empty parts', 500_000, (size) => withPart('', '\r\n--b\r\n\r\n'.repeat(size / 9))],
  ['parts of calendars', 500_000, (size) => withPart('', `\r\n--b\r\n${CALENDAR}\r\n${INVITE}`.repeat(size / 110))],
  [
    'nested multiparts',
    500_000,
    (size) =>
      withPart(
        '',
        Array.from(
          { length: size / 60 },
          (_, i) => `\r\n--b${i || ''}\r\nContent-Type: multipart/mixed; boundary=b${i + 1}\r\n\r\n`,
        ).join(''),
      ),
  ],
  ['long part header', 500_000, (size) => withPart('X: y\r\n'.repeat(size / 6), '')],
  [
    'quoted-printable',
    500_000,
    (size) =>
      withPart(
        `${CALENDAR}Content-Transfer-Encoding: quoted-printable\r\n`,
        `${INVITE.slice(0, -15)}${'=\r\n'.repeat(size / 3)}\r\n${INVITE}`,
      ),
  ],
  [
    'quoted-printable changes',
    300_000,
    (size) =>
      withPart(
        `${CALENDAR}Content-Transfer-Encoding: quoted-printable\r\n`,
        `BEGIN:VCALENDAR\r\n${'ATTENDEE:mailto:b=6Fb@contoso.com\r\n'.repeat(size / 34)}`,
      ),
  ],
  ['base64 junk', 500_000, (size) => withPart(CALENDAR + BASE64, 'A!'.repeat(size / 2))],
  [
    'base64 calendar',
    500_000,
    (size) =>
      withPart(
        CALENDAR + BASE64,
        Buffer.from(`BEGIN:VCALENDAR\n${'ATTENDEE:mailto:bob@contoso.com\n'.repeat(size / 32)}`).toString('base64'),
      ),
  ],
  [
    'folded calendar lines',
    300_000,
    (size) =>
      withPart(CALENDAR, `BEGIN:VCALENDAR\r\n${'ATTENDEE:\r\n mailto:\r\n bob@contoso.com\r\n'.repeat(size / 40)}`),
  ],
  [
    'content type parameters',
    100_000,
    (size) => withBody(`Content-Type: multipart/mixed; ${'a*1*=%41;'.repeat(size / 9)} boundary=b\r\n`, INVITE),
  ],
]
for (const [name, size, make] of HOSTILE) {
  test(`time is linear: ${name} (PS-2)`, () => {
    assertLinear(name, size / 2, (bytes) => {
      const message = Buffer.from(make(bytes), 'latin1')
      return () => void rewriteMessage(message, optionsFor())
    })
  })
}

test('pieces of one byte take time linear in their number (PS-2)', () => {
  for (const [name, make] of [
    ['delimiters', (size: number) => withPart('', '--b \tx\r\n'.repeat(size / 8))],
    ['held part', (size: number) => withPart(CALENDAR, 'x'.repeat(size))],
    ['part header', (size: number) => withPart('x'.repeat(size), '')],
    ['message header', (size: number) => `X: ${'x'.repeat(size)}\r\n\r\n`],
  ] as const) {
    assertLinear(name, 20_000, (size) => {
      const chunks = [...cut(Buffer.from(make(size)), [1])]
      return () => void streamMessage(chunks, optionsFor())
    })
  }
})
