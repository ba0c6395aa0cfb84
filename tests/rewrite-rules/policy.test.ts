import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PolicyFault } from '../../rewrite-rules/input-fault.ts'
import { DEFAULT_POLICY, parsePolicy } from '../../rewrite-rules/policy.ts'

test('§13: missing keys have the first value', () => {
  assert.deepEqual(parsePolicy({}), DEFAULT_POLICY)
  assert.deepEqual(parsePolicy({ tnef: 'reject' }), { ...DEFAULT_POLICY, tnef: 'reject' })
})

const values: [key: string, values: unknown[]][] = [
  ['inHeaders', ['full', 'keep-dkim', 'envelope-only']],
  ['displayNameAddress', [true, false]],
  ['noExtensions', [[], ['contoso.com', 'münchen.example']]],
  ['tnef', ['pass', 'reject']],
  ['signed', ['headers', 'bypass']],
  ['route', ['owner-tenant', 'return', 'mx']],
  ['staleDkim', ['keep', 'remove-own']],
  ['arc', ['auto', 'on', 'off']],
]
for (const [key, accepted] of values) {
  test(`§13: ${key} takes each of its values`, () => {
    for (const value of accepted) assert.deepEqual(parsePolicy({ [key]: value }), { ...DEFAULT_POLICY, [key]: value })
  })
}

const faulty: [json: unknown, path: string, rule: string][] = [
  [null, '', '§13'],
  [[], '', '§13'],
  ['full', '', '§13'],
  [{ inheaders: 'full' }, 'inheaders', '§13'],
  [{ constructor: 1 }, 'constructor', '§13'],
  [JSON.parse('{"__proto__":1}'), '__proto__', '§13'],
  [{ inHeaders: 'Full' }, 'inHeaders', '§13'],
  [{ inHeaders: null }, 'inHeaders', '§13'],
  [{ displayNameAddress: 'true' }, 'displayNameAddress', '§13'],
  [{ noExtensions: 'contoso.com' }, 'noExtensions', '§13'],
  [{ noExtensions: ['contoso.com', 'a b'] }, 'noExtensions/1', 'R22'],
  [{ noExtensions: [7] }, 'noExtensions/0', 'R22'],
]
for (const [json, path, rule] of faulty) {
  test(`${rule}: ${JSON.stringify(json)} is refused at ${path === '' ? 'the top' : path}`, () => {
    assert.throws(
      () => parsePolicy(json),
      (error) => error instanceof PolicyFault && error.faults[0]?.path === path && error.faults[0].rule === rule,
    )
  })
}

test('all faults of a policy are told at once', () => {
  assert.throws(
    () => parsePolicy({ arc: 1, tnef: 2, x: 3 }),
    (error) => error instanceof PolicyFault && error.faults.length === 3,
  )
})
