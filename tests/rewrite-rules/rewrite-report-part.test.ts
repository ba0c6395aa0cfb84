// The rules R70–R72 one by one; the examples E80–E82 are in body-examples.test.ts.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { ReportRecorder } from '../../rewrite-rules/change-report.ts'
import { compileTable } from '../../rewrite-rules/mapping-table.ts'
import { DEFAULT_POLICY } from '../../rewrite-rules/policy.ts'
import { rewriteReportPart } from '../../rewrite-rules/rewrite-report-part.ts'
import { applySplices } from '../../rewrite-rules/splice.ts'
import { assertLinear } from '../harness/doubling.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'

const table = compileTable({
  ...EXAMPLE_TABLE,
  entries: [
    ...EXAMPLE_TABLE.entries,
    {
      known: ['zoé@contoso.com', 'zoe@contoso.com'],
      presented: 'zoé@contoso.com',
      mailbox: 'zoe@contoso.com',
      eai: true,
    },
    {
      known: ['rené@contoso.com', 'rene@contoso.com'],
      presented: 'rene@contoso.com',
      mailbox: 'rene@contoso.com',
      eai: true,
    },
  ],
})
const map = table.withPolicy(DEFAULT_POLICY)

/** @param text  latin1 */
function rewrite(text: string): { text: string; recorder: ReportRecorder } {
  const recorder = new ReportRecorder()
  const octets = Buffer.from(text, 'latin1')
  const splices = rewriteReportPart(octets, { map, path: '2' }, recorder)
  return { text: applySplices(octets, splices).toString('latin1'), recorder }
}

const UTF8 = (text: string) => Buffer.from(text).toString('latin1')

const FIELDS: [field: string, result: string, why: string][] = [
  ['Final-Recipient: rfc822;bob@contoso.com', 'Final-Recipient: rfc822;bob@fabrikam.com', 'R71'],
  [
    'Original-Recipient: RFC822 ;  bob@contoso.com',
    'Original-Recipient: RFC822 ;  bob@fabrikam.com',
    'R71: type, spacing and case are kept',
  ],
  ['X-Actual-Recipient: rfc822; bob@contoso.com', 'X-Actual-Recipient: rfc822; bob@fabrikam.com', 'R71'],
  [
    'final-recipient : rfc822; bob@contoso.com',
    'final-recipient : rfc822; bob@fabrikam.com',
    'names in any case, with white space',
  ],
  ['Final-Recipient: rfc822;\r\n bob@contoso.com', 'Final-Recipient: rfc822;\r\n bob@fabrikam.com', 'folded'],
  ['Final-Recipient: rfc822; <bob@contoso.com>', 'Final-Recipient: rfc822; <bob@fabrikam.com>', 'in brackets'],
  ['Final-Recipient: rfc822; bob@contoso.com (Bob)', 'Final-Recipient: rfc822; bob@fabrikam.com (Bob)', 'a comment'],
  [
    'Final-Recipient: rfc822; "john smith"@contoso.com',
    'Final-Recipient: rfc822; john.smith@fabrikam.com',
    'a quoted local part',
  ],
  ['Final-Recipient: rfc822; alice+x@contoso.com', 'Final-Recipient: rfc822; alice.smith+x@fabrikam.com', 'R22'],
  [
    'Final-Recipient: rfc822; Print.Room@CORP.contoso.com',
    'Final-Recipient: rfc822; Print.Room@corp.fabrikam.com',
    'R41',
  ],
  ['Final-Recipient: rfc822; Bob@Fabrikam.com', 'Final-Recipient: rfc822; Bob@Fabrikam.com', 'R45'],
  [
    'Final-Recipient: rfc822; bob@contoso.com junk',
    'Final-Recipient: rfc822; bob@contoso.com junk',
    'other text: not an address',
  ],
  ['Final-Recipient: x400; bob@contoso.com', 'Final-Recipient: x400; bob@contoso.com', 'R71: other types'],
  ['Final-Recipient: bob@contoso.com', 'Final-Recipient: bob@contoso.com', 'no type'],
  ['Final-Recipient:', 'Final-Recipient:', 'empty'],
  ['Final-Recipient: rfc822;', 'Final-Recipient: rfc822;', 'no address'],
  ['Final-Recipient: utf-8; bob@contoso.com', 'Final-Recipient: utf-8; bob@fabrikam.com', 'R71: type utf-8'],
  [
    'Final-Recipient: utf-8; ren\\x{E9}@contoso.com',
    'Final-Recipient: utf-8; rene@contoso.com',
    'R71: the escaped form',
  ],
  [UTF8('Final-Recipient: utf-8; rené@contoso.com'), 'Final-Recipient: utf-8; rene@contoso.com', 'R71: unitext'],
  ['Final-Recipient: utf-8; zoe@contoso.com', 'Final-Recipient: utf-8; zo\\x{E9}@contoso.com', 'R71: written in ASCII'],
  [
    'Final-Recipient: utf-8; ren\\x{D800}@contoso.com',
    'Final-Recipient: utf-8; ren\\x{D800}@contoso.com',
    'no character',
  ],
  [
    'Final-Recipient: rfc822; zoe@contoso.com',
    'Final-Recipient: rfc822; zoe@contoso.com',
    'type rfc822 is ASCII (R27)',
  ],
  ...[
    'Reporting-MTA',
    'Remote-MTA',
    'Diagnostic-Code',
    'Original-Envelope-Id',
    'Original-Message-ID',
    'Received-From-MTA',
    'X-Final-Recipient',
  ].map((name): [string, string, string] => [
    `${name}: rfc822;bob@contoso.com`,
    `${name}: rfc822;bob@contoso.com`,
    'R72: never',
  ]),
  [
    'Diagnostic-Code: smtp;\r\n Final-Recipient: rfc822;bob@contoso.com',
    'Diagnostic-Code: smtp;\r\n Final-Recipient: rfc822;bob@contoso.com',
    'a continuation is no field',
  ],
]
for (const [field, result, why] of FIELDS) {
  test(`${field}: ${why}`, () => {
    for (const lineBreak of ['', '\r\n', '\n']) {
      assert.equal(rewrite(field + lineBreak).text, result + lineBreak)
      assert.equal(rewrite(result + lineBreak).text, result + lineBreak)
    }
  })
}

test('fields of all recipients change, and are reported (§14)', () => {
  const part =
    'Reporting-MTA: dns;x\n\nFinal-Recipient: rfc822;bob@contoso.com\nAction: failed\n\nfinal-recipient: rfc822;sales@contoso.com\n'
  const { text, recorder } = rewrite(part)
  assert.equal(text, part.replaceAll('contoso', 'fabrikam'))
  assert.deepEqual(
    recorder.changes.map(({ where }) => where),
    ['part:2:Final-Recipient', 'part:2:Final-Recipient'],
  )
})

test('any octets are read without an error, and the second time nothing changes', () => {
  const unit = fc.constantFrom(
    'Final-Recipient',
    ':',
    'rfc822',
    'utf-8',
    ';',
    ' ',
    '\r\n',
    '\n',
    '<',
    '>',
    '"',
    '\\',
    '\\x{E9}',
    'bob@contoso.com',
    'alice@contoso.com',
    '(',
    '\x80',
  )
  fc.assert(
    fc.property(fc.string({ unit }), (text) => {
      const first = rewrite(text)
      assert.equal(rewrite(first.text).text, first.text)
    }),
  )
})

for (const piece of ['Final-Recipient: rfc822;bob@contoso.com\n', '\n', 'F', '\n ', 'Final-Recipient: utf-8;\\x{E9}']) {
  test(`time is linear in the number of ${JSON.stringify(piece)} (PS-2)`, () => {
    assertLinear(piece, Math.floor(100_000 / piece.length), (count) => {
      const part = `Final-Recipient: utf-8;${piece.repeat(count)}`
      return () => void rewrite(part)
    })
  })
}
