import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import { readAddress } from '../../rewrite-rules/address-list.ts'
import { escapeQuoted, findAddressAsName } from '../../rewrite-rules/display-name.ts'

const NEW = '"new one"@y'
const encoded = (text: string) => `=?utf-8?B?${Buffer.from(text).toString('base64')}?=`

/** The phrase with the address it is replaced; undefined where it is no address. */
function replaceIn(phrase: string): string | undefined {
  const text = `,${phrase}<`
  const name = findAddressAsName(text, 1, text.length - 1, 'both')
  if (name === undefined) return undefined
  const written = name.before + (name.isQuoted ? escapeQuoted(NEW) : NEW) + name.after
  return text.slice(1, name.start) + written + text.slice(name.end, -1)
}

const ESCAPED = '\\"new one\\"@y'
const phrases: [phrase: string, replaced: string | undefined, why: string][] = [
  ['"a@x"', `"${ESCAPED}"`, 'the address in quotes; quotes of the new one are escaped'],
  ['"\'a@x\'"', `"'${ESCAPED}'"`, 'and in apostrophes'],
  ['"<a@x>"', `"<${ESCAPED}>"`, 'and in angle brackets'],
  ['" a@x "', `" ${ESCAPED} "`, 'with white space around'],
  ['" \'a@x\'"', `" '${ESCAPED}'"`, 'with both'],
  ['"\r\n a@x"', `"\r\n ${ESCAPED}"`, 'with a fold'],
  ['a@x', NEW, 'without quotes'],
  ["'a@x'", `'${NEW}'`, 'in apostrophes only'],
  ['"\\a@x"', `"${ESCAPED}"`, 'a needless quoted-pair'],
  ['"\\"a b\\"@x"', `"${ESCAPED}"`, 'the quotes of a local part, escaped'],
  ['"\'\\a@x\'"', `"'${ESCAPED}'"`, 'a quoted-pair in apostrophes'],
  [encoded('a@x'), `"${ESCAPED}"`, 'an encoded-word becomes a quoted-string'],
  [encoded("'a@x'"), `"'${ESCAPED}'"`, 'in the same dress'],
  [encoded(' a@x\r\n'), `"${ESCAPED}"`, 'but without the line breaks that it held (PS-5)'],
  ['=?utf-8?Q?a?= =?utf-8?Q?=40x?=', `"${ESCAPED}"`, 'two encoded-words that decode to it'],
  [`"${encoded('a@x')}"`, `"${ESCAPED}"`, 'an encoded-word in quotes, which readers decode all the same'],
  [encoded('a@münchen.example'), `"${ESCAPED}"`, 'a domain outside ASCII'],
  ['"a@x, Sales"', undefined, 'only a part of the name'],
  ['"a@x" B', undefined, 'a quoted-string that is a part'],
  ['"a@x" "b@x"', undefined, 'two quoted-strings'],
  ['"a" @ "x"', undefined, 'quotes that are not around the whole'],
  ['"a @ x"', undefined, 'white space within'],
  ["\"''a@x''\"", `"'${ESCAPED}'"`, 'one pair only: the other is atext, of an address that no table has'],
  ['"<\'a@x\'>"', `"<${ESCAPED}>"`, 'one pair only, of either kind'],
  ['"mailto:a@x"', undefined, 'a prefix'],
  ['"a@x b@x"', undefined, 'two addresses'],
  ['"a@b@x"', undefined, 'no address'],
  ['"Alice"', undefined, 'a name'],
  ['""', undefined, 'nothing'],
  ['"', undefined, 'one quote'],
  ['=?utf-8?Q?Alice?=', undefined, 'an encoded name'],
  [`${encoded('a@x')} Sales`, undefined, 'an encoded-word that is a part'],
  [`"${'a'.repeat(2000)}@x"`, undefined, 'longer than any address'],
]
for (const [phrase, replaced, why] of phrases) {
  test(`R43 ${JSON.stringify(phrase.slice(0, 60))}: ${why}`, () => {
    assert.equal(replaceIn(phrase), replaced)
  })
}

test('R27: an encoded-word does not carry a local part outside ASCII, raw UTF-8 does', () => {
  const read = (phrase: string) => {
    const name = findAddressAsName(phrase, 0, phrase.length, 'both')
    return name && readAddress(name.text, name.found, name.unicode)
  }
  assert.equal(read(encoded('jürgen@x')), undefined)
  assert.deepEqual(read(Buffer.from('"jürgen@x"').toString('latin1')), { local: 'jürgen', domain: 'x' })
})
