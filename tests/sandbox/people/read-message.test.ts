// What a mail program takes from what arrives, and what it never answers by itself.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { composeMessage } from '../../../sandbox/people/compose-message.ts'
import { readMessage } from '../../../sandbox/people/read-message.ts'
import { ALICE, DANA, NOW_MS, STYLES, TOKEN, ZOE, heading } from './composed.ts'

const read = (fields: readonly string[], reversePath = 'olga@example.net') =>
  readMessage(Buffer.from([...fields, '', 'text', ''].join('\r\n')), { reversePath, atMs: NOW_MS })

const SILENT: readonly { fields: readonly string[]; reversePath?: string; why: string | undefined }[] = [
  { fields: [], why: undefined },
  { fields: ['Auto-Submitted: no'], why: undefined },
  { fields: ['X-Auto-Response-Suppress: DR, RN'], why: undefined },
  { fields: ['Precedence: first-class'], why: undefined },
  { fields: [], reversePath: '', why: 'null reverse-path' },
  { fields: [], reversePath: 'MAILER-DAEMON@example.net', why: 'written by a program' },
  { fields: [], reversePath: 'news-request@example.net', why: 'written by a program' },
  { fields: [], reversePath: 'noreply@example.net', why: 'written by a program' },
  { fields: ['auto-submitted: auto-replied'], why: 'Auto-Submitted' },
  { fields: ['Precedence: bulk'], why: 'Precedence' },
  { fields: ['List-Id: <news.example.net>'], why: 'mailing list' },
  { fields: ['X-Auto-Response-Suppress: DR, OOF, AutoReply'], why: 'X-Auto-Response-Suppress' },
  { fields: ['X-Auto-Response-Suppress: All'], why: 'X-Auto-Response-Suppress' },
]

for (const { fields, reversePath, why } of SILENT) {
  test(`${fields[0] ?? `from <${reversePath ?? 'olga@example.net'}>`} is ${why === undefined ? 'answered' : 'not answered'} by programs (RFC 3834 §2)`, () => {
    assert.equal(read(fields, reversePath).unanswerable, why)
  })
}

for (const style of STYLES) {
  test(`a letter is read as it was written (${style})`, () => {
    const letter = {
      ...heading({ from: ZOE, to: [DANA, ALICE], cc: [ZOE], receiptTo: ZOE, threadIndex: 'A'.repeat(30) }),
      subject: 'Grüße',
      text: '',
    }
    const message = readMessage(composeMessage(style, letter, TOKEN), { reversePath: ZOE.address, atMs: NOW_MS })
    assert.deepEqual(message.from, ZOE)
    assert.deepEqual(message.to, [DANA.address, ALICE.address])
    assert.deepEqual(message.cc, [ZOE.address])
    assert.equal(message.subject, 'Grüße')
    assert.equal(message.messageId, '<ONE@example.test>')
    assert.equal(message.receiptTo, ZOE.address)
    assert.equal(message.sentMs, NOW_MS)
    assert.equal(message.threadIndex, 'A'.repeat(30))
    assert.equal(message.notice, undefined)
  })
}

test('what could break a header field of an answer is not taken over', () => {
  const message = read(['Message-ID: <ä b>', 'References: <a@b> <c d> <e@f>', 'Thread-Index: <x>', 'From: nobody'])
  assert.equal(message.messageId, '')
  assert.deepEqual(message.references, ['<a@b>', '<e@f>'])
  assert.equal(message.threadIndex, undefined)
  assert.equal(message.from, undefined)
})

test('nothing that arrives makes the reader fail', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.equal(readMessage(bytes, { reversePath: 'a@b.c', atMs: 1 }).atMs, 1)
    }),
  )
})
