// Which signatures rewriting breaks. (RFC 6376 §3.4, §5.4.2; R82)
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { scanHeader } from '../../../rewrite-rules/index.ts'
import { coveredNames, judgeSignatures } from '../../../control-plane/mapping/signature-verdict.ts'

const block = (...fields: string[]) => scanHeader(Buffer.from(`${fields.join('\r\n')}\r\n\r\n`))
const signed = (tags: string, ...fields: string[]) => block(`DKIM-Signature: v=1; d=x.example; s=s; ${tags}`, ...fields)

const from = 'From: a@x.example'
const cases: [what: string, tags: string, before: string[], after: string[], because: string[]][] = [
  ['a covered field that changed', 'c=relaxed; h=from', [from], ['From: b@x.example'], ['header:From']],
  [
    'a field that it does not cover',
    'c=relaxed; h=subject',
    [from, 'Subject: s'],
    ['From: b@x.example', 'Subject: s'],
    [],
  ],
  ['white space under relaxed', 'c=relaxed; h=from', ['From: a  <a@x.example>'], ['From:\ta <a@x.example>'], []],
  ['white space under simple', 'h=from', ['From: a  <a@x.example>'], ['From: a <a@x.example>'], ['header:From']],
  ['the lower of two fields', 'c=relaxed; h=to', ['To: 1', 'To: 2'], ['To: 1', 'To: 3'], ['header:To']],
  ['the upper of two fields, not covered', 'c=relaxed; h=to', ['To: 1', 'To: 2'], ['To: 3', 'To: 2'], []],
  ['both fields, covered twice', 'c=relaxed; h=to:to', ['To: 1', 'To: 2'], ['To: 3', 'To: 2'], ['header:To']],
  ['a field that was oversigned and came', 'c=relaxed; h=from:from', [from], [from, from], ['header:From']],
  ['no h= at all', 'c=relaxed', [from], ['From: b@x.example'], []],
]
for (const [what, tags, before, after, because] of cases) {
  test(`${what}: ${because.length === 0 ? 'holds' : 'breaks'}`, () => {
    const [verdict] = judgeSignatures({
      received: signed(tags, ...before),
      sent: signed(tags, ...after),
      isBodyChanged: false,
      removesOf: () => false,
    })
    assert.deepEqual([verdict?.verdict, verdict?.because], [because.length === 0 ? 'holds' : 'breaks', because])
  })
}

test('a body that changed breaks every signature; own ones go where the policy says so, seals of others never', () => {
  const header = block(
    'DKIM-Signature: d=own.example; s=a; h=from',
    'ARC-Message-Signature: i=1; d=own.example; s=b; h=from',
    'DKIM-Signature: d=other.example; s=c; h=from',
    from,
  )
  const verdicts = judgeSignatures({
    received: header,
    sent: header,
    isBodyChanged: true,
    removesOf: (domain) => domain === 'own.example',
  })
  assert.deepEqual(
    verdicts.map(({ field, verdict, because }) => [field, verdict, because]),
    [
      ['DKIM-Signature:1', 'removed', ['body']],
      ['ARC-Message-Signature:1', 'breaks', ['body']],
      ['DKIM-Signature:2', 'breaks', ['body']],
    ],
  )
  assert.deepEqual(
    coveredNames(header, (domain) => domain === 'other.example'),
    [['from']],
  )
})

test('no message has so many signatures that judging them takes long', () => {
  const many = block(
    ...Array.from({ length: 1_000 }, () => `DKIM-Signature: d=x.example; h=${'from:'.repeat(100)}`),
    from,
  )
  assert.equal(judgeSignatures({ received: many, sent: many, isBodyChanged: false, removesOf: () => false }).length, 50)
})
