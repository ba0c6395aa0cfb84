// DL-5: what a machine sent is told of failures, never of delays; RFC 3834 says what to know it by.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isAutomaticMail } from '../../mta/automatic-mail.ts'
import { scanHeader } from '../../rewrite-rules/index.ts'

const of = (fields: string) =>
  isAutomaticMail(scanHeader(Buffer.from(`From: a@contoso.com\r\n${fields}\r\n`, 'latin1')))

const examples: [fields: string, isAutomatic: boolean, why: string][] = [
  ['Subject: lunch\r\n', false, 'a person wrote it'],
  ['Auto-Submitted: no\r\n', false, 'it says so (RFC 3834 §5)'],
  ['auto-submitted: NO\r\n', false, 'names and keywords have no case'],
  ['Auto-Submitted: (by hand) no (really)\r\n', false, 'comments say nothing'],
  ['Auto-Submitted: no; owner="x"\r\n', false, 'parameters say nothing'],
  ['Auto-Submitted: auto-generated\r\n', true, 'made without a person'],
  ['Auto-Submitted:\r\n auto-replied; owner-email="x@y"\r\n', true, 'a reply made by a machine, folded'],
  ['Auto-Submitted: no-way\r\n', true, 'only `no` is no'],
  ['Auto-Submitted: (no\r\n', true, 'nothing but a comment that never ends'],
  ['Auto-Submitted:\r\n', true, 'empty: in doubt a machine'],
  ['Auto-Submitted: no\r\nAuto-Submitted: auto-notified\r\n', true, 'one of two says so'],
  ['Precedence: bulk\r\n', true, 'RFC 2076 §3.9'],
  ['Precedence: List\r\n', true, 'a list'],
  ['Precedence: junk\r\n', true, 'junk'],
  ['Precedence: first-class\r\n', false, 'an ordinary letter'],
  ['Precedence: bulky\r\n', false, 'another word'],
  ['List-Id: <news.contoso.com>\r\n', true, 'RFC 2919'],
  ['List-Unsubscribe: <mailto:x@contoso.com>\r\n', true, 'RFC 2369'],
  ['List-Price: 3\r\n', false, 'no field of list software'],
  ['Subject: Auto-Submitted: auto-generated\r\n', false, 'said in another field'],
]
for (const [fields, isAutomatic, why] of examples) {
  test(`DL-5 ${JSON.stringify(fields)}: ${isAutomatic ? 'a machine' : 'a person'} (${why})`, () => {
    assert.equal(of(fields), isAutomatic)
  })
}

test('property: whatever the fields hold, the answer comes, and what is not `no` is automatic', () => {
  const value = fc.string({ unit: fc.constantFrom('(', ')', '\\', ';', ' ', '\t', '"', 'n', 'o', 'a'), maxLength: 40 })
  fc.assert(
    fc.property(value, (text) => {
      const isNo = /^no$/.test(
        text
          .replaceAll(/^[\s]+|[\s]+$/g, '')
          .split(/[;\s]/)[0]
          ?.toLowerCase() ?? '',
      )
      if (!text.includes('(') && !text.includes(')')) assert.equal(of(`Auto-Submitted: ${text}\r\n`), !isNo)
      else assert.equal(typeof of(`Auto-Submitted: ${text}\r\n`), 'boolean')
    }),
  )
})

test('a field of a megabyte takes no longer than it must', () => {
  const value = '('.repeat(200_000)
  const began = performance.now()
  assert.equal(of(`Auto-Submitted: ${value}\r\n`), true)
  assert.ok(performance.now() - began < 1_000)
})
