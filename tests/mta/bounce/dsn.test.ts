import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { simpleParser } from 'mailparser'
import { buildDsn } from '../../../mta/bounce/dsn.ts'
import type { DsnInput } from '../../../mta/bounce/dsn.ts'
import { aRecord } from '../a-record.ts'

const now = Date.UTC(2026, 10, 22, 10, 15)
const boundary = 'causeway-0123456789abcdef'
const header = Buffer.from(
  'From: Alice <alice@fabrikam.example>\r\nTo: dana@example.net\r\nSubject: Lunch\r\nMessage-ID: <1@contoso.example>\r\n\r\n',
)
const body = Buffer.from('Shall we?\r\n--causeway-guess--\r\n')
const noSuchUser = { code: 550, status: '5.1.1', text: '5.1.1 <dana@example.net> no such user here' }
const failed = { index: 0, action: 'failed', reply: noSuchUser, remote: 'mx.example.net:25' } as const

function input(overrides: Partial<DsnInput> = {}): DsnInput {
  return {
    name: 'relay.contoso.example',
    record: aRecord(),
    recipients: [failed],
    quoted: { header, body },
    messageId: '01JDA2B3C4XY5Z6R@relay.contoso.example',
    boundary,
    now,
    ...overrides,
  }
}

function bytesOf(dsn: ReturnType<typeof buildDsn>): Buffer {
  return Buffer.concat([dsn.header, dsn.body])
}

/** Body parts by content type, split by the boundary alone: nothing inside a part may look like a delimiter. */
function partsOf(dsn: ReturnType<typeof buildDsn>): Map<string, string> {
  const pieces = dsn.body.toString('latin1').split(`\r\n--${boundary}`).slice(1)
  assert.equal(pieces.pop(), '--\r\n')
  return new Map(
    pieces.map((piece) => {
      const end = piece.indexOf('\r\n\r\n')
      return [/^Content-Type: ([^;\r]*)/m.exec(piece)?.[1] ?? '', piece.slice(end + 4)]
    }),
  )
}

function statusOf(dsn: ReturnType<typeof buildDsn>): string {
  const parts = partsOf(dsn)
  return parts.get('message/delivery-status') ?? parts.get('message/global-delivery-status') ?? ''
}

const golden: [name: string, input: DsnInput][] = [
  ['failed', input()],
  [
    'failed-full',
    input({
      record: aRecord({
        ret: 'FULL',
        envid: 'QQ+2B314159',
        headerBytes: header.length,
        bodyBytes: body.length,
        recipients: [
          {
            path: 'bob@contoso.example',
            received: 'bob@fabrikam.example',
            orcpt: 'rfc822;bob+2Btag@fabrikam.example',
            route: 'owner-tenant',
          },
        ],
      }),
    }),
  ],
  [
    'failed-three',
    input({
      record: aRecord({
        recipients: [
          { path: 'a@example.net', received: 'a@example.net', route: 'owner-tenant' },
          { path: 'b@example.net', received: 'b@example.net', route: 'owner-tenant', orcpt: 'rfc822;b@old.example' },
          { path: 'c@example.net', received: 'c@example.net', route: 'owner-tenant' },
        ],
      }),
      recipients: [
        failed,
        {
          ...failed,
          index: 1,
          reply: { code: 452, status: '4.2.2', text: `4.2.2 mailbox full: ${'please try again '.repeat(12)}` },
        },
        { ...failed, index: 2, reply: { code: 0, status: '4.4.1', text: 'connection timed out' }, remote: '' },
      ],
    }),
  ],
  [
    'relayed',
    input({
      recipients: [
        {
          index: 0,
          action: 'relayed',
          reply: { code: 250, status: '2.1.5', text: '2.1.5 ok' },
          remote: '[192.0.2.1]:25',
        },
      ],
    }),
  ],
  [
    'delayed',
    input({
      recipients: [
        {
          index: 0,
          action: 'delayed',
          reply: { code: 451, status: '4.4.2', text: '4.4.2 later' },
          remote: '[2001:db8::1]:25',
        },
      ],
      willRetryUntil: now + 5 * 86_400_000,
    }),
  ],
  [
    'delayed-hostile',
    input({
      record: aRecord({
        ret: 'FULL',
        envid: 'QQ+2B314159',
        headerBytes: header.length,
        bodyBytes: body.length,
        recipients: [
          { path: 'bob@contoso.example', received: 'bob@fabrikam.example', route: 'mailbox' },
          {
            path: 'carol@contoso.example',
            received: 'carol@fabrikam.example',
            orcpt: 'rfc822;carol+2Btag@fabrikam.example',
            notify: 'DELAY',
            route: 'mailbox',
          },
        ],
      }),
      recipients: [
        {
          index: 1,
          action: 'delayed',
          reply: {
            code: 451,
            status: '4.4.2',
            text: `4.4.2 later\r\n--${boundary}--\r\nAction: failed\u001b[2J\u0085 é ${'again '.repeat(300)}`,
          },
          remote: 'mx.example.net:25',
        },
      ],
      willRetryUntil: now + 5 * 86_400_000,
    }),
  ],
  [
    'failed-smtputf8',
    input({
      record: aRecord({
        smtpUtf8: true,
        receivedReversePath: 'jürgen@contoso.example',
        recipients: [
          {
            path: 'δοκιμή@example.net',
            received: 'δοκιμή@example.net',
            route: 'owner-tenant',
            orcpt: 'utf-8;δοκιμή@example.net',
          },
        ],
      }),
      quoted: { header: Buffer.from('From: jürgen@contoso.example\r\nTo: δοκιμή@example.net\r\n\r\n') },
    }),
  ],
  [
    'failed-smtputf8-ascii-sender',
    input({
      record: aRecord({
        smtpUtf8: true,
        recipients: [
          {
            path: 'δοκιμή@example.net',
            received: 'δοκιμή@example.net',
            route: 'owner-tenant',
            orcpt: 'utf-8;δοκιμή@example.net',
          },
        ],
      }),
      quoted: { header: Buffer.from('From: alice@contoso.example\r\nTo: δοκιμή@example.net\r\n\r\n') },
    }),
  ],
]
for (const [name, given] of golden) {
  test(`golden report: ${name}`, async () => {
    const file = new URL(`golden/${name}.eml`, import.meta.url)
    const written = bytesOf(buildDsn(given))
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, written)
    assert.equal(written.toString('latin1'), readFileSync(file).toString('latin1'))

    const parsed = await simpleParser(written)
    assert.equal(parsed.from?.value[0]?.address, 'MAILER-DAEMON@relay.contoso.example')
    assert.equal(parsed.headers.get('auto-submitted'), 'auto-replied')
    const status = parsed.attachments.find(({ contentType }) => contentType.endsWith('delivery-status'))
    const text = `${status?.content.toString('utf8') ?? ''}${parsed.text ?? ''}`
    assert.match(text, /Reporting-MTA: dns; relay\.contoso\.example/)
    assert.equal(text.match(/^Final-Recipient: /gm)?.length, given.recipients.length)
  })
}

test('R74 the report goes to the received sender and names the received recipient, not the located one', () => {
  const record = aRecord({
    reversePath: 'alice@fabrikam.example',
    receivedReversePath: 'alice@contoso.example',
    recipients: [
      {
        path: 'bob@contoso.example',
        received: 'bob@fabrikam.example',
        orcpt: 'rfc822;bob@fabrikam.example',
        route: 'owner-tenant',
      },
    ],
  })
  const dsn = buildDsn(input({ record }))
  assert.match(dsn.header.toString(), /^To: <alice@contoso\.example>\r$/m)
  assert.match(
    statusOf(dsn),
    /^Original-Recipient: rfc822;bob@fabrikam\.example\r\nFinal-Recipient: rfc822; bob@fabrikam\.example\r$/m,
  )
})

test('RFC 3461 §6.3 ENVID and ORCPT are given back decoded', () => {
  const record = aRecord({
    envid: 'A+2BB',
    recipients: [
      {
        path: 'x@example.net',
        received: 'x@example.net',
        orcpt: 'rfc822;x+2By+3Dz@example.net',
        route: 'owner-tenant',
      },
    ],
  })
  const status = statusOf(buildDsn(input({ record })))
  assert.match(status, /^Original-Envelope-Id: A\+B\r$/m)
  assert.match(status, /^Original-Recipient: rfc822;x\+y=z@example\.net\r$/m)
})

const unusable: [member: 'envid' | 'orcpt', value: string, why: string][] = [
  ['envid', 'a+0D+0AX-Forged: b', 'it hides a line break'],
  ['envid', 'a+4', 'it is no xtext'],
  ['orcpt', 'rfc822;a+0D+0AAction: delivered', 'it hides a line break'],
  ['orcpt', 'rfc822', 'it has no value'],
  ['orcpt', 'bad type;x', 'its type is no atom'],
]
for (const [member, value, why] of unusable) {
  test(`DL-4 ${member} ${JSON.stringify(value)} is left out: ${why}`, () => {
    const dana = { path: 'dana@example.net', received: 'dana@example.net', route: 'owner-tenant' }
    const record = member === 'envid' ? aRecord({ envid: value }) : aRecord({ recipients: [{ ...dana, orcpt: value }] })
    const status = statusOf(buildDsn(input({ record })))
    assert.doesNotMatch(status, /Original-|Forged|delivered/)
  })
}

// R74, DL-4: header only, unless RET=FULL of a failure of at most 50 KiB.
const LIMIT = 50 * 1024
const returns: [ret: 'FULL' | 'HDRS' | undefined, sizeBytes: number, action: 'failed' | 'relayed', type: string][] = [
  [undefined, 1_000, 'failed', 'text/rfc822-headers'],
  ['HDRS', 1_000, 'failed', 'text/rfc822-headers'],
  ['FULL', LIMIT, 'failed', 'message/rfc822'],
  ['FULL', LIMIT + 1, 'failed', 'text/rfc822-headers'],
  ['FULL', 1_000, 'relayed', 'text/rfc822-headers'],
]
for (const [ret, sizeBytes, action, type] of returns) {
  test(`RET=${ret ?? '(absent)'}, ${sizeBytes} octets, ${action}: ${type}`, () => {
    const record = aRecord({
      ...(ret === undefined ? {} : { ret }),
      headerBytes: header.length,
      bodyBytes: sizeBytes - header.length,
    })
    const quoted = { header, body: Buffer.alloc(sizeBytes - header.length, 'x\r\n') }
    const parts = partsOf(buildDsn(input({ record, quoted, recipients: [{ ...failed, action }] })))
    assert.deepEqual([...parts.keys()], ['text/plain', 'message/delivery-status', type])
  })
}

test('what can not be shown to the sender is not quoted at all', () => {
  const { quoted: _, ...rest } = input()
  assert.deepEqual([...partsOf(buildDsn(rest)).keys()], ['text/plain', 'message/delivery-status'])
})

const odd: [header: string, why: string][] = [
  [`Subject: ${'x'.repeat(1_200)}\r\n\r\n`, 'a line over 998 octets'],
  ['Subject: \xe4\xf6\r\n\r\n', 'raw 8-bit octets'],
]
for (const [text, why] of odd) {
  test(`a quoted header with ${why} is encoded, so that the report itself can go anywhere`, async () => {
    const quoted = { header: Buffer.from(text, 'latin1') }
    const dsn = buildDsn(input({ quoted }))
    assert.equal(dsn.has8Bit, false)
    for (const line of dsn.body.toString('latin1').split('\r\n')) assert.ok(line.length <= 998)
    const parsed = await simpleParser(bytesOf(dsn))
    const part = parsed.attachments.find(({ contentType }) => contentType === 'text/rfc822-headers')
    assert.deepEqual(part?.content.toString('latin1').trimEnd(), text.trimEnd())
  })
}

const messages: [body: string, why: string][] = [
  ['a\0b\r\n', 'a NUL'],
  [`${'x'.repeat(999)}\r\n`, 'a line of 999 octets'],
]
for (const [text, why] of messages) {
  test(`RET=FULL of a message with ${why}: the header only, message/rfc822 can't be encoded`, () => {
    const record = aRecord({ ret: 'FULL', headerBytes: header.length, bodyBytes: text.length })
    const parts = partsOf(buildDsn(input({ record, quoted: { header, body: Buffer.from(text) } })))
    assert.ok(parts.has('text/rfc822-headers') && !parts.has('message/rfc822'))
  })
}

test('an 8-bit message returned whole makes an 8-bit report', () => {
  const text = Buffer.from('gr\xfc\xdfe\r\n', 'latin1')
  const record = aRecord({ ret: 'FULL', headerBytes: header.length, bodyBytes: text.length })
  assert.equal(buildDsn(input({ record, quoted: { header, body: text } })).has8Bit, true)
})

test('only a sender whose address is not ASCII makes a report need SMTPUTF8', () => {
  const [, ascii] = golden.find(([name]) => name === 'failed-smtputf8-ascii-sender') ?? []
  const [, utf8] = golden.find(([name]) => name === 'failed-smtputf8') ?? []
  assert.ok(ascii !== undefined && utf8 !== undefined)
  const [plain, international] = [buildDsn(ascii), buildDsn(utf8)]
  assert.deepEqual([plain.smtpUtf8, plain.has8Bit], [false, false])
  assert.deepEqual([international.smtpUtf8, international.has8Bit], [true, true])
  const onlySender = buildDsn(
    input({ record: aRecord({ smtpUtf8: true, receivedReversePath: 'jürgen@contoso.example' }) }),
  )
  assert.deepEqual([onlySender.smtpUtf8, onlySender.has8Bit], [true, true])
  assert.match(statusOf(plain), /^Final-Recipient: utf-8; \\x\{3B4\}\\x\{3BF\}.*@example\.net\r$/m)
})

const hostileReplies: [text: string, why: string][] = [
  [`5.1.1 no\r\n--${boundary}--\r\nX: y`, 'it closes our multipart'],
  ['5.1.1 no\r\n\r\nAction: delivered\r\nStatus: 2.0.0', 'it adds a recipient'],
  [`5.1.1 ${'x'.repeat(5_000)}`, 'one endless word'],
  [`5.1.1 ${'a '.repeat(5_000)}`, 'endless'],
  ['5.1.1 \u001b[31m\u0085\u2028\0', 'control characters'],
  ['5.1.1 \u{1F4A9}\u{1F4A9}é', 'beyond ASCII'],
  ['', 'empty'],
]
for (const [text, why] of hostileReplies) {
  test(`DL-4 a next hop's text that is hostile (${why}) stays a text`, () => {
    const dsn = buildDsn(input({ recipients: [{ ...failed, reply: { code: 550, status: '5.1.1', text } }] }))
    assert.deepEqual([...partsOf(dsn).keys()], ['text/plain', 'message/delivery-status', 'text/rfc822-headers'])
    const status = statusOf(dsn)
    assert.match(status, /^[\x20-\x7e\r\n]*$/)
    assert.deepEqual(status.match(/^[\w-]+(?=:)/gm), [
      'Reporting-MTA',
      'Arrival-Date',
      'X-Causeway-Queue-ID',
      'Final-Recipient',
      'Action',
      'Status',
      'Remote-MTA',
      'Diagnostic-Code',
      'Last-Attempt-Date',
    ])
    const diagnostic = /Diagnostic-Code: smtp;((?:[^\r]|\r\n )*)/.exec(status)?.[1] ?? ''
    assert.ok(diagnostic.replaceAll('\r\n ', '').trim().length <= 1_000)
    for (const line of dsn.body.toString('latin1').split('\r\n')) assert.ok(line.length <= 998)
  })
}

test('DL-4 no text or address of others can change the structure of a report', () => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.constantFrom('\r\n', `--${boundary}`, `\r\n--${boundary}--\r\n`),
  )
  fc.assert(
    fc.property(anything, anything, fc.uint8Array({ maxLength: 500 }), (text, orcpt, quotedHeader) => {
      const record = aRecord({
        envid: orcpt,
        recipients: [{ path: 'd@example.net', received: 'd@example.net', orcpt, route: 'owner-tenant' }],
      })
      const reply = { code: 554, status: text, text }
      // The boundary is random in production: only what was written before it was chosen can hold it, and nothing was.
      fc.pre(!Buffer.from(quotedHeader).includes(boundary))
      const dsn = buildDsn(
        input({
          record,
          recipients: [{ ...failed, reply, remote: text }],
          quoted: { header: Buffer.from(quotedHeader) },
        }),
      )
      assert.equal(partsOf(dsn).size, 3)
      assert.equal(statusOf(dsn).match(/^Final-Recipient:/gm)?.length, 1)
      assert.equal(statusOf(dsn).match(/^Action:/gm)?.length, 1)
    }),
    { numRuns: 300 },
  )
})

test("a thousand recipients are all in the machine's part, fifty in the text", () => {
  const dana = { path: 'dana@example.net', received: 'dana@example.net', route: 'owner-tenant' }
  const record = aRecord({ recipients: Array.from({ length: 1_000 }, () => dana) })
  const dsn = buildDsn(input({ record, recipients: record.recipients.map((_, index) => ({ ...failed, index })) }))
  assert.equal(statusOf(dsn).match(/^Final-Recipient:/gm)?.length, 1_000)
  assert.match(partsOf(dsn).get('text/plain') ?? '', /and 950 more/)
})
