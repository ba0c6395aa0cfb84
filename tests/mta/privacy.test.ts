import assert from 'node:assert/strict'
import { test } from 'node:test'
import { messageIdTag, PRIVACY_LEVELS, privacyKey, recipientTag } from '../../mta/privacy.ts'
import type { Privacy } from '../../mta/privacy.ts'

const key = privacyKey('secret of the project')
const hash = (address: string) => recipientTag(address, 'hashed', key)?.split('@')[0]

const examples: [address: string, privacy: Privacy, tag: RegExp | undefined, why: string][] = [
  ['alice@contoso.example', 'hashed', /^[\w-]{12}@contoso\.example$/, 'keyed hash and domain'],
  ['"a@b"@contoso.example', 'hashed', /^[\w-]{12}@contoso\.example$/, 'only the last @ splits off the domain'],
  ['postmaster', 'hashed', /^[\w-]{12}$/, 'no domain, nothing but a hash'],
  ['alice@contoso.example', 'plain', /^alice@contoso\.example$/, 'as it is'],
  ['alice@contoso.example', 'off', undefined, 'ids only'],
  ['', 'hashed', /^<>$/, 'the null reverse-path is nobody'],
  ['', 'off', undefined, 'ids only'],
]
for (const [address, privacy, tag, why] of examples) {
  test(`PR-2 recipientTag(${JSON.stringify(address)}, ${privacy}): ${why}`, () => {
    const found = recipientTag(address, privacy, key)
    if (tag === undefined) assert.equal(found, undefined)
    else assert.match(found ?? '', tag)
  })
}

test('PR-2 one person has one tag, whatever the case; two have two; another project has others', () => {
  const tag = recipientTag('alice@contoso.example', 'hashed', key)
  assert.equal(recipientTag('Alice@Contoso.Example', 'hashed', key), tag)
  assert.notEqual(recipientTag('bob@contoso.example', 'hashed', key), tag)
  assert.notEqual(recipientTag('alice@contoso.example', 'hashed', privacyKey('another secret')), tag)
})

test('PR-2 the same local part in two domains has two hashes', () => {
  assert.notEqual(hash('alice@contoso.example'), hash('alice@fabrikam.example'))
})

test('a Message-ID is found with and without its brackets, at every level; only `plain` shows it', () => {
  for (const privacy of PRIVACY_LEVELS) {
    const tag = messageIdTag('<canary@contoso.example>', privacy, 'key')
    assert.equal(messageIdTag('canary@contoso.example', privacy, 'key'), tag)
    assert.equal(tag.includes('canary'), privacy === 'plain')
    assert.notEqual(messageIdTag('Canary@contoso.example', privacy, 'key'), tag)
  }
  assert.equal(messageIdTag('x'.repeat(5_000), 'plain', 'key').length, 250)
})
