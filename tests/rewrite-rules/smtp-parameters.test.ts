import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatOrcpt, mergeNotify } from '../../rewrite-rules/smtp-parameters.ts'

const addresses: [address: string, orcpt: string, why: string][] = [
  ['alice@contoso.com', 'rfc822;alice@contoso.com', 'plain'],
  ['a+b=c@contoso.com', 'rfc822;a+2Bb+3Dc@contoso.com', 'RFC 3461 §4: + and = are encoded'],
  ['"john smith"@contoso.com', 'rfc822;"john+20smith"@contoso.com', 'so is a space'],
  ['jürgen@münchen.example', 'utf-8;j\\x{FC}rgen@m\\x{FC}nchen.example', 'RFC 6533 §3'],
  ['"ü \\"+="@x.example', 'utf-8;"\\x{FC}\\x{20}\\x{5C}"\\x{2B}\\x{3D}"@x.example', 'RFC 6533 §3: so are \\, + and ='],
  ['😀@x.example', 'utf-8;\\x{1F600}@x.example', 'a code point, not its surrogates'],
]
for (const [address, orcpt, why] of addresses) {
  test(`R9: ORCPT of ${address} is ${orcpt}: ${why}`, () => assert.equal(formatOrcpt(address), orcpt))
}

test('R9: an ORCPT of 500 octets is made, one of 501 is not', () => {
  const address = (octets: number): string => `${'a'.repeat(octets - 'rfc822;@x.example'.length)}@x.example`
  assert.equal(formatOrcpt(address(500))?.length, 500)
  assert.equal(formatOrcpt(address(501)), undefined)
})

const merges: [a: string | undefined, b: string | undefined, merged: string | undefined, why: string][] = [
  ['NEVER', 'FAILURE', 'FAILURE', 'NEVER loses to anything'],
  ['NEVER', undefined, undefined, 'NEVER + missing: missing'],
  ['NEVER', 'never', 'never', 'both never'],
  ['SUCCESS', 'DELAY,SUCCESS', 'SUCCESS,DELAY', 'others are united'],
  ['success', 'SUCCESS', 'SUCCESS', 'keywords have no case'],
  [undefined, 'SUCCESS', 'FAILURE,SUCCESS', 'a missing one counts as FAILURE'],
  ['FAILURE', undefined, 'FAILURE', 'which may be there already'],
  [undefined, undefined, undefined, 'nothing stays nothing'],
]
for (const [a, b, merged, why] of merges) {
  test(`R10: NOTIFY ${a} and ${b} make ${merged}: ${why}`, () => {
    assert.equal(mergeNotify(a, b), merged)
    const order = (value: unknown): unknown =>
      typeof value === 'string' ? value.toUpperCase().split(',').toSorted() : value
    assert.deepEqual(order(mergeNotify(b, a)), order(merged))
  })
}

test('R10: three are merged to the same in any order', () => {
  const values = [undefined, 'NEVER', 'SUCCESS', 'FAILURE', 'DELAY,FAILURE']
  const order = (value: unknown): unknown => (typeof value === 'string' ? value.split(',').toSorted() : value)
  for (const a of values) {
    for (const b of values) {
      for (const c of values) {
        assert.deepEqual(order(mergeNotify(mergeNotify(a, b), c)), order(mergeNotify(a, mergeNotify(b, c))))
      }
    }
  }
})
