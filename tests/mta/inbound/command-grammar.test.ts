// PH-5: MAIL, RCPT and EHLO, argument by argument.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseHello, parseMail, parseRcpt, verbOf } from '../../../mta/inbound/command-grammar.ts'

const latin1 = (text: string): string => Buffer.from(text).toString('latin1')
/** Reply in short, or what was parsed. */
function mail(line: string): unknown {
  const parsed = parseMail(latin1(line))
  return parsed.kind === 'parsed' ? parsed.value : parsed.reply.line.slice(0, 9)
}
function rcpt(line: string, smtpUtf8 = false): unknown {
  const parsed = parseRcpt(latin1(line), smtpUtf8)
  return parsed.kind === 'parsed'
    ? { path: parsed.value.path, parameters: parsed.value.parameters }
    : parsed.reply.line.slice(0, 9)
}

const mails: [line: string, result: unknown, why: string][] = [
  ['MAIL FROM:<a@b.example>', { reversePath: 'a@b.example', parameters: {} }, 'the plain form'],
  ['mail from:<a@b.example>', { reversePath: 'a@b.example', parameters: {} }, 'verbs in any case'],
  ['MAIL FROM:<>', { reversePath: '', parameters: {} }, 'null reverse-path'],
  [
    'MAIL FROM:<a@b.example> \t',
    { reversePath: 'a@b.example', parameters: {} },
    'white space at the end (RFC 5321 §4.1.1)',
  ],
  [
    'MAIL FROM:<a@b.example> SIZE=1000 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb',
    {
      reversePath: 'a@b.example',
      parameters: { SIZE: '1000', BODY: '8BITMIME', SMTPUTF8: true, RET: 'HDRS', ENVID: 'a+2Bb' },
    },
    'all of them; values whose case means nothing in capitals',
  ],
  [
    'MAIL FROM:<ü@b.example> SMTPUTF8',
    { reversePath: 'ü@b.example', parameters: { SMTPUTF8: true } },
    'UTF-8 with SMTPUTF8',
  ],
  ['MAIL FROM:<ü@b.example>', '553 5.6.7', 'and without'],
  ['MAIL FROM: <a@b.example>', '501 5.1.7', 'a space after the colon'],
  ['MAIL FROM <a@b.example>', '501 5.5.4', 'no colon'],
  ['MAIL  FROM:<a@b.example>', '501 5.5.4', 'two spaces'],
  ['MAIL', '501 5.5.4', 'nothing'],
  ['MAIL FROM:a@b.example', '501 5.1.7', 'no brackets'],
  ['MAIL FROM:<a@b@c.example>', '501 5.1.7', 'bad address'],
  ['MAIL FROM:<postmaster>', '501 5.1.7', 'unqualified'],
  ['MAIL FROM:<a@b.example>SIZE=1', '501 5.5.4', 'no space before a parameter'],
  ['MAIL FROM:<a@b.example>  SIZE=1', '501 5.5.4', 'two spaces before a parameter'],
  ['MAIL FROM:<a@b.example> SIZE=1 garbage@', '501 5.5.4', 'something that is no parameter'],
  ['MAIL FROM:<a@b.example> SIZE=1 SIZE=1', '501 5.5.4', 'twice the same (RFC 3461 §4.5)'],
  ['MAIL FROM:<a@b.example> SMTPUTF8 smtputf8', '501 5.5.4', 'twice in another case'],
  ['MAIL FROM:<a@b.example> AUTH=<>', '555 5.5.4', 'AUTH is not offered (rewriting.md §2)'],
  ['MAIL FROM:<a@b.example> X-FOO=1', '555 5.5.4', 'unknown'],
  ['MAIL FROM:<a@b.example> CONSTRUCTOR', '555 5.5.4', 'a name that objects have'],
  ['MAIL FROM:<a@b.example> NOTIFY=NEVER', '555 5.5.4', 'a parameter of RCPT'],
  ['MAIL FROM:<a@b.example> SIZE', '501 5.5.4', 'a value is missing'],
  ['MAIL FROM:<a@b.example> SIZE=', '501 5.5.4', 'an empty value'],
  ['MAIL FROM:<a@b.example> SIZE=-1', '501 5.5.4', 'no number'],
  ['MAIL FROM:<a@b.example> SIZE=123456789012345678901', '501 5.5.4', 'more than 20 digits (RFC 1870)'],
  ['MAIL FROM:<a@b.example> SMTPUTF8=1', '501 5.5.4', 'a value where there is none'],
  ['MAIL FROM:<a@b.example> BODY=9BIT', '501 5.5.4', 'no such body type'],
  ['MAIL FROM:<a@b.example> BODY=BINARYMIME', '555 5.5.4', 'one that was not offered'],
  ['MAIL FROM:<a@b.example> RET=ALL', '501 5.5.4', 'no such value'],
  ['MAIL FROM:<a@b.example> ENVID=a=b', '501 5.5.4', '= must be encoded'],
  ['MAIL FROM:<a@b.example> ENVID=a+2b', '501 5.5.4', 'hexadecimal in capitals'],
  ['MAIL FROM:<a@b.example> ENVID=a+0D+0Ab', '501 5.5.4', 'a line break in disguise'],
  [
    `MAIL FROM:<a@b.example> ENVID=${'x'.repeat(100)}`,
    { reversePath: 'a@b.example', parameters: { ENVID: 'x'.repeat(100) } },
    '100 characters',
  ],
  [`MAIL FROM:<a@b.example> ENVID=${'x'.repeat(101)}`, '501 5.5.4', 'and one more'],
]
for (const [line, result, why] of mails) {
  test(`PH-5 ${line.slice(0, 80)}: ${why}`, () => assert.deepEqual(mail(line), result))
}

const rcpts: [line: string, result: unknown, why: string][] = [
  ['RCPT TO:<a@b.example>', { path: 'a@b.example', parameters: {} }, 'the plain form'],
  ['RCPT TO:<@x.example:a@b.example>', { path: 'a@b.example', parameters: {} }, 'source route'],
  [
    'RCPT TO:<a@b.example> NOTIFY=success,Failure ORCPT=rfc822;a+2Bx@b.example',
    { path: 'a@b.example', parameters: { NOTIFY: 'SUCCESS,FAILURE', ORCPT: 'rfc822;a+2Bx@b.example' } },
    'both parameters',
  ],
  ['RCPT TO:<a@b.example> NOTIFY=never', { path: 'a@b.example', parameters: { NOTIFY: 'NEVER' } }, 'NEVER alone'],
  ['RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY', '501 5.5.4', 'NEVER with others'],
  ['RCPT TO:<a@b.example> NOTIFY=DELAY,DELAY', '501 5.5.4', 'a word twice'],
  ['RCPT TO:<a@b.example> NOTIFY=SOON', '501 5.5.4', 'no such word'],
  ['RCPT TO:<a@b.example> ORCPT=rfc822', '501 5.5.4', 'no address'],
  ['RCPT TO:<a@b.example> ORCPT=rfc822;a+0Ab', '501 5.5.4', 'a line break in disguise'],
  ['RCPT TO:<a@b.example> ORCPT=rfc822;a b', '555 5.5.4', 'a space ends the value'],
  [
    'RCPT TO:<a@b.example> ORCPT=utf-8;\\x{FC}@b.example',
    { path: 'a@b.example', parameters: { ORCPT: 'utf-8;\\x{FC}@b.example' } },
    'RFC 6533 §3',
  ],
  ['RCPT TO:<a@b.example> ORCPT=utf-8;a\\x{0D}b', '501 5.5.4', 'a control character of RFC 6533'],
  ['RCPT TO:<a@b.example> ORCPT=utf-8;ü@b.example', '501 5.5.4', 'UTF-8 without SMTPUTF8'],
  [
    `RCPT TO:<a@b.example> ORCPT=rfc822;${'x'.repeat(493)}`,
    { path: 'a@b.example', parameters: { ORCPT: `rfc822;${'x'.repeat(493)}` } },
    '500 octets',
  ],
  [`RCPT TO:<a@b.example> ORCPT=rfc822;${'x'.repeat(494)}`, '501 5.5.4', 'and one more'],
  ['RCPT TO:<>', '501 5.1.3', 'null'],
  ['RCPT TO:<a@b..example>', '501 5.1.3', 'bad address'],
  ['RCPT TO:<ü@b.example>', '553 5.6.7', 'UTF-8 without SMTPUTF8'],
  ['RCPT TO:<a@b.example> SIZE=1', '555 5.5.4', 'a parameter of MAIL'],
  ['RCPT FROM:<a@b.example>', '501 5.5.4', 'the wrong preposition'],
  ['RCPT TO:<Postmaster>', { path: 'Postmaster', parameters: {} }, 'the unqualified one'],
]
for (const [line, result, why] of rcpts) {
  test(`PH-5 ${line.slice(0, 80)}: ${why}`, () => assert.deepEqual(rcpt(line), result))
}

test('PH-5 with SMTPUTF8, ORCPT may hold UTF-8', () => {
  assert.deepEqual(rcpt('RCPT TO:<ü@b.example> ORCPT=utf-8;ü@b.example', true), {
    path: 'ü@b.example',
    parameters: { ORCPT: 'utf-8;ü@b.example' },
  })
})

test('PH-5 octets that are no UTF-8 are no address', () => {
  const parsed = parseMail('MAIL FROM:<\xff@b.example> SMTPUTF8')
  assert.equal(parsed.kind === 'refused' && parsed.reply.line.slice(0, 9), '501 5.1.7')
})

const hellos: [line: string, name: string | undefined, why: string][] = [
  ['EHLO mail.example', 'mail.example', 'a name'],
  ['HELO my_host', 'my_host', 'a name that real hosts have'],
  ['EHLO [192.0.2.1]', '[192.0.2.1]', 'a literal'],
  ['EHLO [IPv6:2001:db8::1]', '[IPv6:2001:db8::1]', 'an IPv6 literal'],
  ['EHLO mail.example ', 'mail.example', 'white space at the end'],
  ['EHLO', undefined, 'nothing'],
  ['EHLO a b', undefined, 'two words'],
  ['EHLO a(b)', undefined, 'a comment would end up in Received'],
  ['EHLO m\xfcller', undefined, 'no ASCII'],
]
for (const [line, name, why] of hellos) {
  test(`SP-7 ${line}: ${why}`, () => {
    const parsed = parseHello(line)
    assert.equal(parsed.kind === 'parsed' ? parsed.value : undefined, name)
  })
}

const verbs: [line: string, verb: string][] = [
  ['quit', 'QUIT'],
  ['MAIL FROM:<>', 'MAIL'],
  ['GET / HTTP/1.1', 'GET'],
  ['MAIL:x', ''],
  ['\x16\x03\x01', ''],
  ['', ''],
]
for (const [line, verb] of verbs) {
  test(`the verb of ${JSON.stringify(line)} is ${JSON.stringify(verb)}`, () => assert.equal(verbOf(line), verb))
}

test('no line makes a parser throw, and what it takes holds no line break', () => {
  const word = fc.constantFrom(
    'MAIL FROM:',
    'RCPT TO:',
    '<a@b.example>',
    '<>',
    ' ',
    'SIZE=',
    '1',
    'ORCPT=',
    'utf-8;',
    '\\x{',
    '}',
    '+',
    '0A',
    'ENVID=',
    '=',
    '"',
    'é',
    '\xff',
    '\t',
    'NOTIFY=',
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      const line = words.join('')
      for (const parsed of [parseMail(line), parseRcpt(line, true)]) {
        if (parsed.kind === 'parsed') assert.doesNotMatch(JSON.stringify(parsed.value), /\\[rn]|\\u00[01]/)
      }
    }),
    { numRuns: 20_000 },
  )
})
