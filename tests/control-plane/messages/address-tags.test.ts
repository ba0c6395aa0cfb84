// The forms in which events may hold what somebody searches for: those that relays write, made here again. (PR-2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressForms, messageIdForms } from '../../../control-plane/messages/address-tags.ts'
import { tagsOf } from '../../../mta/privacy.ts'
import type { Privacy } from '../../../mta/privacy.ts'

const secret = 'a secret that all relays of the project share'
const levels: Privacy[] = ['hashed', 'plain']

test('PR-2: an address is found by every form in which a relay of the project may have written it', () => {
  fc.assert(
    fc.property(fc.emailAddress(), fc.constantFrom(...levels), (address, privacy) => {
      const written = tagsOf(privacy, secret).address(address)
      assert.ok(written !== undefined && addressForms(address, [secret]).includes(written))
    }),
  )
})

const spellings: [asked: string, accepted: string, why: string][] = [
  ['ALICE@Contoso.Example', 'alice@contoso.example', 'the case of letters'],
  ['jürgen@münchen.example', 'ju\u0308rgen@mu\u0308nchen.example', 'composed or not'],
  ['<>', '', 'the null reverse-path'],
  ['no-domain', 'no-domain', 'no domain'],
]
for (const [asked, accepted, why] of spellings) {
  test(`PR-2: an address is found in another spelling: ${why}`, () => {
    const written = tagsOf('hashed', secret).address(accepted)
    assert.ok(addressForms(asked, [secret]).includes(written ?? ''), written)
  })
}

test('PR-2: a tag that somebody copied from a trace finds what it stands for', () => {
  const tag = tagsOf('hashed', secret).address('alice@contoso.example') ?? ''
  assert.ok(addressForms(tag, [secret]).includes(tag))
})

test('PR-2: of a secret that was replaced the tags are still found', () => {
  const written = tagsOf('hashed', 'before').address('alice@contoso.example') ?? ''
  assert.ok(!addressForms('alice@contoso.example', [secret]).includes(written))
  assert.ok(addressForms('alice@contoso.example', [secret, 'before']).includes(written))
})

test('PR-2: a Message-ID is found with and without its brackets, hashed and plain', () => {
  for (const privacy of [...levels, 'off'] as const) {
    const written = tagsOf(privacy, secret).messageId('<a.b+c@contoso.example>')
    for (const asked of ['<a.b+c@contoso.example>', 'a.b+c@contoso.example', ' <a.b+c@contoso.example> '])
      assert.ok(messageIdForms(asked, [secret]).includes(written), `${privacy} ${asked}`)
  }
})
