import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { scanHeader } from '../../../rewrite-rules/index.ts'
import { coveredFields, relaxedField, relaxedText } from '../../../mta/sign/header-canon.ts'

function relaxedFields(text: string): string[] {
  const header = scanHeader(Buffer.from(text, 'latin1'))
  return header.fields.map((field) => relaxedField(header, field))
}

const examples: [field: string, canonical: string, why: string][] = [
  ['A: X\r\n', 'a:X', 'RFC 6376 §3.4.5, first field'],
  ['B : Y\t\r\n\tZ  \r\n', 'b:Y Z', 'RFC 6376 §3.4.5, second field'],
  ['Subject:\r\n', 'subject:', 'no value'],
  ['Subject: \t \r\n', 'subject:', 'nothing but white space'],
  ['Subject: a\r\n b\r\n\t\tc\r\n', 'subject:a b c', 'folds and tabs become one space'],
  ['Subject: a: b\r\n', 'subject:a: b', 'a colon in the value stays as it is'],
  ['SuBjEcT:A\r\n', 'subject:A', 'only the name loses its case'],
  ['Subject: caf\xe9\xa0\r\n', 'subject:caf\xe9\xa0', 'a no-break space is no white space (octet A0)'],
]
for (const [field, canonical, why] of examples) {
  test(`R80 relaxed ${JSON.stringify(field)}: ${why}`, () => {
    assert.deepEqual(relaxedFields(field), [canonical])
  })
}

test('R80 a field we write has the same canonical form as when it is read back', () => {
  const word = fc.string({ unit: fc.constantFrom('a', '=', ';', ':', ' ', '\t', '\r\n '), maxLength: 30 })
  fc.assert(
    fc.property(word, (text) => {
      const [read] = relaxedFields(`ARC-Seal: x${text}y\r\n`)
      assert.equal(relaxedText('ARC-Seal', `x${text}y`), read)
    }),
  )
})

const lists: [names: string, covered: string[], why: string][] = [
  ['to', ['4'], 'the lowest field of a name comes first (RFC 6376 §5.4.2)'],
  ['to:to', ['4', '1'], 'then the one above'],
  ['to:to:to', ['4', '1'], 'an entry too many covers nothing'],
  ['to:from:to', ['4', '2', '1'], 'in the order of the list'],
  ['cc', [], 'a field that is not there'],
]
for (const [names, covered, why] of lists) {
  test(`R80 h=${names}: ${why}`, () => {
    const header = scanHeader(Buffer.from('To: 1\r\nFrom: 2\r\nSubject: 3\r\nTO: 4\r\n'))
    const fields = coveredFields(header, names.split(':'))
    assert.deepEqual(
      fields.map((field) => relaxedField(header, field).slice(-1)),
      covered,
    )
  })
}
