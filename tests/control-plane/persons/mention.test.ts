// A person's addresses in texts and JSON that say other things as well.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ERASED, mentions, placesOf, without, withOnly } from '../../../control-plane/persons/mention.ts'

const ANN = 'ann@contoso.example'

const texts: [text: string, isNamed: boolean, why: string][] = [
  [ANN, true, 'all of it'],
  ['ANN@Contoso.example', true, 'whatever the case'],
  [`<${ANN}>`, true, 'in brackets'],
  [`550 5.1.1 <${ANN}>: unknown`, true, 'within a reply'],
  [`write to ${ANN}.`, true, 'at the end of a sentence'],
  [`${ANN}, bob@contoso.example`, true, 'in a list'],
  [`mailto:${ANN}?subject=x`, true, 'in a link'],
  [`'${ANN}'`, true, 'in quotes'],
  [`rfc822;${ANN}`, true, 'in a report'],
  [`İ: ANN@contoso.example`, true, 'behind a letter that is two in lower case'],
  ['joann@contoso.example', false, 'the end of a longer local part'],
  ['jo.ann@contoso.example', false, 'with a dot'],
  ['jo+ann@contoso.example', false, 'with a plus'],
  ['żann@contoso.example', false, 'with a letter beyond ASCII'],
  ['ann@contoso.example.org', false, 'the beginning of a longer domain'],
  ['ann@contoso.examples', false, 'a longer label'],
  ['ann@contoso.example-x.org', false, 'with a hyphen'],
  ['ann', false, 'a part of it'],
  ['', false, 'nothing'],
  [`joann@contoso.example and ${ANN}`, true, 'behind one that is somebody else'],
]
for (const [text, isNamed, why] of texts) {
  test(`${JSON.stringify(text)} names ${ANN}: ${isNamed}: ${why}`, () => {
    assert.equal(mentions(text, [ANN]), isNamed)
    assert.equal(without(text, [ANN]) !== text, isNamed)
    assert.equal(mentions(without(text, [ANN]), [ANN]), false)
  })
}

test('values are searched to the last member, and keep all else', () => {
  const value = { a: [1, null, { [ANN]: true, b: `to ${ANN}` }], c: 'joann@contoso.example' }
  assert.ok(mentions(value, [ANN]))
  assert.deepEqual(without(value, [ANN]), {
    a: [1, null, { [ERASED]: true, b: `to ${ERASED}` }],
    c: 'joann@contoso.example',
  })
  assert.deepEqual(without({ a: 1, b: [null, 'x'] }, [ANN]), { a: 1, b: [null, 'x'] })
})

test('where a person is named is told by pointers, and nothing beside', () => {
  const value = {
    settings: { addresses: ['bob@contoso.example', ANN], other: 1 },
    'a/b': `${ANN} and bob@contoso.example`,
  }
  assert.deepEqual(placesOf(value, [ANN], '/document'), [
    { at: '/document/settings/addresses/1', text: ANN },
    { at: '/document/a~1b', text: '[somebody else]' },
  ])
  assert.deepEqual(placesOf({ [ANN]: 1 }, [ANN]), [{ at: '', text: ANN }])
})

test('a person is shown no address of anybody else', () => {
  const value = {
    from: ANN,
    to: ['bob@contoso.example', ANN, 'joann@contoso.example'],
    reply: `550 bob@contoso.example is unknown, ${ANN} is not`,
    bytes: 12,
    route: 'mx',
  }
  assert.deepEqual(withOnly(value, [ANN]), {
    from: ANN,
    to: [ANN],
    reply: '[somebody else]',
    bytes: 12,
    route: 'mx',
  })
})

test('whatever a text holds, nothing of a person is left in it, and nothing of others goes', () => {
  const names = fc.constantFrom(ANN, 'ann.b@contoso.example', '"a b"@x.example', 'İ@x.example', '/o=C/cn=ann')
  const between = fc.constantFrom(' ', ', ', '<', '>', '"', '\\', '\n', 'bob@x.example', 'İ', '😀', '')
  fc.assert(
    fc.property(
      fc.array(names, { maxLength: 3 }),
      fc.array(fc.oneof(names, between), { maxLength: 12 }),
      (own, parts) => {
        const text = parts.join(' ')
        const left = without(text, own)
        assert.equal(mentions(left, own), false)
        if (own.length === 0) assert.equal(left, text)
      },
    ),
  )
})
