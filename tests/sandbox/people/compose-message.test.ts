// Messages that people write, read by mailparser: names, subjects and texts come out as they were put in, whatever they are.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { answeringThreadIndex, composeMessage, threadIndex } from '../../../sandbox/people/compose-message.ts'
import { isAddress, parseNamedAddress } from '../../../sandbox/people/named-address.ts'
import { ALICE, BOB, DANA, NOW_MS, STYLES, TOKEN, ZOE, addressesOf, heading, secondOpinion } from './composed.ts'

for (const style of STYLES) {
  test(`a letter says who, to whom, when and what (${style})`, async () => {
    const letter = {
      ...heading({
        sender: BOB,
        cc: [ZOE],
        inReplyTo: '<before@example.test>',
        references: ['<first@example.test>', '<before@example.test>'],
        receiptTo: ALICE,
      }),
      text: 'Hello Dana,\n\n  see below — =20 stays\ttab \n.\nFrom here',
    }
    const mail = await secondOpinion(composeMessage(style, letter, TOKEN))
    assert.deepEqual(addressesOf(mail.from), [ALICE])
    assert.deepEqual(addressesOf(mail.to), [DANA])
    assert.deepEqual(addressesOf(mail.cc), [ZOE])
    assert.equal(mail.subject, 'Quarterly figures')
    assert.equal(mail.date?.getTime(), NOW_MS)
    assert.equal(mail.messageId, '<ONE@example.test>')
    assert.equal(mail.inReplyTo, '<before@example.test>')
    assert.deepEqual(mail.references, ['<first@example.test>', '<before@example.test>'])
    assert.equal(mail.text, letter.text)
    assert.ok(typeof mail.html === 'string' && mail.html.includes('see below — =20 stays'))
    const header = mail.headerLines.map(({ line }) => line)
    assert.ok(header.includes('Sender: Bob <bob@contoso.com>'))
    assert.ok(header.includes('Disposition-Notification-To: Alice Smith <alice@contoso.com>'))
    assert.ok(!header.some((line) => /^bcc:/i.test(line)))
    assert.equal(header.includes('X-MS-TNEF-Correlator:'), style === 'exchange')
  })

  test(`attachments come out as they went in (${style})`, async () => {
    const content = Buffer.from(Array.from({ length: 1000 }, (_, byte) => byte % 256))
    const attachments = [
      { name: 'figures.csv', type: 'text/csv', content },
      { name: 'Übersicht "1" (neu).pdf', type: 'application/pdf', content: Buffer.alloc(0) },
    ]
    const mail = await secondOpinion(composeMessage(style, { ...heading(), text: 'two', attachments }, TOKEN))
    assert.deepEqual(
      mail.attachments.map((each) => ({ name: each.filename, type: each.contentType, content: each.content })),
      attachments,
    )
    assert.equal(mail.text, 'two')
  })

  test(`any name, subject and text of people is read as it was written (${style})`, async () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 120 }).map(asRead)
    const text = fc.string({ unit: 'binary', maxLength: 400 }).map((each) => each.replaceAll(/\r\n?/g, '\n'))
    await fc.assert(
      fc.asyncProperty(line, line, line, text, async (from, to, subject, body) => {
        const letter = {
          ...heading({ from: { ...ALICE, name: from }, to: [{ ...DANA, name: to }, BOB, ZOE], subject }),
          text: body,
        }
        const mail = await secondOpinion(composeMessage(style, letter, TOKEN))
        assert.deepEqual(addressesOf(mail.from), [{ ...ALICE, name: from }])
        assert.deepEqual(addressesOf(mail.to), [{ ...DANA, name: to }, BOB, ZOE])
        assert.equal(mail.subject ?? '', subject)
        // An empty part has its delimiter's line end in it, mailparser says.
        assert.equal(mail.text, body === '' ? '\n' : body.toWellFormed())
      }),
      { numRuns: 150 },
    )
  })
}

/** Runs of space are one space to a reader, and nobody sees any at the ends. */
function asRead(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[\s\p{Cc}]+/gu, ' ')
    .trim()
}

test('an attachment of a type that is none is refused', () => {
  const attachments = [{ name: 'a', type: 'text/html\r\nX: y', content: Buffer.alloc(1) }]
  assert.throws(() => composeMessage('exchange', { ...heading(), text: '', attachments }, TOKEN), RangeError)
})

test('people are named as one types them', () => {
  const rows: readonly [typed: string, name: string, address: string][] = [
    ['olga@example.net', '', 'olga@example.net'],
    ['<olga@example.net>', '', 'olga@example.net'],
    ['Olga Berg <Olga@Example.net>', 'Olga Berg', 'Olga@Example.net'],
    [String.raw`"Berg, \"O\" Olga" <olga@example.net>`, 'Berg, "O" Olga', 'olga@example.net'],
    ["Miles O'Brien <miles.o'brien@contoso.com>", "Miles O'Brien", "miles.o'brien@contoso.com"],
    ['Zoë <"z b"@contoso.com>', 'Zoë', '"z b"@contoso.com'],
    ['Two\r\nlines <a@b.c>', 'Two lines', 'a@b.c'],
  ]
  for (const [typed, name, address] of rows) assert.deepEqual(parseNamedAddress(typed), { name, address }, typed)
})

test('what is no address is refused, and so is one that no header field can hold', () => {
  for (const typed of [
    '',
    'olga',
    'a@',
    '@b',
    'a b@c.d',
    'a@b\r\nBcc: x@y.z',
    'ö@example.net',
    'a@b.c, d@e.f',
    'a@b>',
    `${'a'.repeat(400)}@b.c`,
  ])
    assert.throws(() => parseNamedAddress(typed), RangeError, typed)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      assert.ok(!isAddress(text) || /^[\x20-\x7e]+$/.test(text))
    }),
  )
})

test('an answer stands below what it answers, for Exchange', () => {
  const begun = threadIndex(NOW_MS, 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee')
  const bytes = Buffer.from(begun, 'base64')
  assert.equal(bytes.length, 22)
  assert.equal(bytes[0], 1, '[MS-OXOMSG] §2.2.1.3: the first byte of a FILETIME of our time')
  assert.equal(bytes.subarray(6).toString('hex'), 'aaaaaaaabbbb4ccc8dddeeeeeeeeeeee')
  const answer = Buffer.from(answeringThreadIndex(begun, NOW_MS), 'base64')
  assert.equal(answer.length, 27)
  assert.deepEqual(answer.subarray(0, 22), bytes)
})
