import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ReplyFault, ReplyReader, smtpReply } from '../../../mta/outbound/reply-reader.ts'
import type { Reply } from '../../../mta/outbound/reply-reader.ts'

const LIMITS = { lineBytes: 2048, replyBytes: 65_536 }

function read(text: string | Buffer, cut = Infinity): Reply[] {
  const reader = new ReplyReader(LIMITS)
  const bytes = Buffer.from(text)
  const replies: Reply[] = []
  for (let from = 0; from < bytes.length; from += cut)
    replies.push(...reader.push(Buffer.from(bytes.subarray(from, from + cut))))
  return replies
}

const wellFormed: [text: string, replies: Reply[], why: string][] = [
  ['250 ok\r\n', [{ code: 250, lines: ['ok'] }], 'one line'],
  [
    '250-one\r\n250-two\r\n250 three\r\n',
    [{ code: 250, lines: ['one', 'two', 'three'] }],
    'several lines are one reply',
  ],
  ['250\r\n', [{ code: 250, lines: [''] }], 'RFC 5321 §4.2: a reply without text is taken'],
  ['250 \r\n', [{ code: 250, lines: [''] }], 'an empty text'],
  ['250-\r\n250 x\r\n', [{ code: 250, lines: ['', 'x'] }], 'an empty line in between'],
  ['250 ok\n', [{ code: 250, lines: ['ok'] }], 'a bare LF ends a line here: nothing is passed on of it'],
  [
    '250 a\r\n550 b\r\n',
    [
      { code: 250, lines: ['a'] },
      { code: 550, lines: ['b'] },
    ],
    'two replies',
  ],
  ['250 a\tb\u001b[2J\u0085c\r\n', [{ code: 250, lines: ['a b [2J c'] }], 'control characters become spaces'],
  ['250 gr\u00fc\u00df\r\n', [{ code: 250, lines: ['gr\u00fc\u00df'] }], 'UTF-8 is read'],
]
for (const [text, replies, why] of wellFormed) {
  test(`${JSON.stringify(text)}: ${why}`, () => {
    for (const cut of [Infinity, 1, 2, 3]) assert.deepEqual(read(text, cut), replies)
  })
}

const malformed: [text: string, why: string][] = [
  ['hello\r\n', 'no code'],
  ['\r\n', 'an empty line'],
  ['25\r\n', 'two digits'],
  ['2500 ok\r\n', 'four digits'],
  ['250_ok\r\n', 'neither space nor hyphen'],
  ['150 ok\r\n', 'no SMTP reply begins with 1'],
  ['650 ok\r\n', 'nor with 6'],
  ['2x0 ok\r\n', 'not a digit'],
  ['250-a\r\n550 b\r\n', 'DL-6: the codes of one reply differ'],
  ['250-a\r\n251-b\r\n', 'DL-6: also where it goes on'],
]
for (const [text, why] of malformed) {
  test(`${JSON.stringify(text)} is refused: ${why}`, () => {
    assert.throws(() => read(text), ReplyFault)
    assert.throws(() => read(text, 1), ReplyFault)
  })
}

function lineOf(octets: number): string {
  return `250 ${'x'.repeat(octets - 6)}\r\n`
}

test('a line of 2,048 octets is taken, one more is refused, with or without its end (DL-6)', () => {
  assert.equal(read(lineOf(2048)).length, 1)
  assert.throws(() => read(lineOf(2049)), ReplyFault)
  assert.throws(() => read(lineOf(2049), 7), ReplyFault)
  assert.equal(read('2'.repeat(2047)).length, 0)
  assert.throws(() => read('2'.repeat(2048)), ReplyFault)
})

test('a reply of 64 KiB is taken, one octet more is refused (DL-6)', () => {
  const line = `250-${'x'.repeat(1018)}\r\n` // 1,024 octets
  assert.equal(read(line.repeat(63) + lineOf(1024)).length, 1)
  assert.throws(() => read(line.repeat(63) + lineOf(1025)), ReplyFault)
  assert.throws(() => read(line.repeat(1000), 100), ReplyFault)
})

test('the limit of a reply starts anew with each reply', () => {
  const reply = `250-${'x'.repeat(1000)}\r\n`.repeat(40) + '250 x\r\n'
  assert.equal(read(reply.repeat(10), 4096).length, 10)
})

test('what is unfinished can be seen', () => {
  const reader = new ReplyReader(LIMITS)
  assert.equal(reader.hasPartial, false)
  reader.push(Buffer.from('250-a\r\n'))
  assert.equal(reader.hasPartial, true)
  reader.push(Buffer.from('250 b\r\n'))
  assert.equal(reader.hasPartial, false)
  reader.push(Buffer.from('2'))
  assert.equal(reader.hasPartial, true)
})

test('the chunk may be overwritten after the call', () => {
  const reader = new ReplyReader(LIMITS)
  const chunk = Buffer.from('250 he')
  reader.push(chunk)
  chunk.fill(0)
  assert.deepEqual(reader.push(Buffer.from('llo\r\n')), [{ code: 250, lines: ['hello'] }])
})

test('property: any octets at any cuts give the same replies or the same refusal, and never another error', () => {
  const piece = fc.oneof(
    fc.constantFrom('250 ok\r\n', '250-', '\r\n', '550 5.1.1 no\r\n', '\n', '2', '\u0000', '250'),
    fc.string({ maxLength: 5 }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.integer({ min: 1, max: 9 }), (pieces, cut) => {
      const outcome = (size: number) => {
        try {
          return read(pieces.join(''), size)
        } catch (error) {
          assert.ok(error instanceof ReplyFault)
          return 'refused'
        }
      }
      assert.deepEqual(outcome(cut), outcome(Infinity))
    }),
  )
})

const stored: [reply: Reply, status: string, text: string, why: string][] = [
  [{ code: 250, lines: ['2.0.0 queued'] }, '2.0.0', '2.0.0 queued', 'its own status, and the text with it'],
  [{ code: 550, lines: ['5.1.1 no such user'] }, '5.1.1', '5.1.1 no such user', 'likewise'],
  [{ code: 450, lines: ['later'] }, '4.0.0', 'later', 'none: the undefined one of its class (RFC 3463 §3.1)'],
  [
    { code: 550, lines: ['4.2.2 full'] },
    '5.0.0',
    '4.2.2 full',
    'one of another class is not believed: the code decides',
  ],
  [{ code: 550, lines: ['5.1.1234 x'] }, '5.0.0', '5.1.1234 x', 'not a status'],
  [{ code: 550, lines: ['5.7.1'] }, '5.7.1', '5.7.1', 'nothing but a status'],
  [{ code: 550, lines: ['5.7.1 one', '5.7.1 two'] }, '5.7.1', '5.7.1 one 5.7.1 two', 'lines are joined'],
]
for (const [reply, status, text, why] of stored) {
  test(`smtpReply(${JSON.stringify(reply)}): ${why}`, () =>
    assert.deepEqual(smtpReply(reply), { code: reply.code, status, text }))
}

test('no more than 1,000 octets of a text are kept, and no character is cut in two', () => {
  assert.equal(smtpReply({ code: 550, lines: ['x'.repeat(1000)] }).text.length, 1000)
  assert.equal(smtpReply({ code: 550, lines: ['x'.repeat(1001)] }).text.length, 1000)
  const { text } = smtpReply({ code: 550, lines: [`x${'\u00fc'.repeat(900)}`] })
  assert.equal(Buffer.byteLength(text), 999)
  assert.ok(!text.includes('\uFFFD'))
})
