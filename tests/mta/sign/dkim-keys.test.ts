import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { DkimKeys, DkimKeysFault, isDnsName } from '../../../mta/sign/dkim-keys.ts'
import type { DkimKeyFaultKind, DkimKeyText } from '../../../mta/sign/dkim-keys.ts'
import { ED25519, pemOf, RSA } from './project-keys.ts'

const SHORT = generateKeyPairSync('rsa', { modulusLength: 1024 })
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const PSS = generateKeyPairSync('rsa-pss', { modulusLength: 2048 })

const rsaPem = pemOf(RSA)
const publicPem = RSA.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const encrypted = (type: 'pkcs8' | 'pkcs1') =>
  RSA.privateKey.export({ type, format: 'pem', cipher: 'aes-256-cbc', passphrase: 'geheim' }).toString()

function faultsOf(texts: readonly DkimKeyText[]): { kind: DkimKeyFaultKind; index: number }[] {
  try {
    DkimKeys.parse(texts)
  } catch (error) {
    if (!(error instanceof DkimKeysFault)) throw error
    return error.faults.map(({ kind, index }) => ({ kind, index }))
  }
  return []
}

test('KM-6 RSA from 2048 bits in PKCS#8 and PKCS#1, Ed25519 in PKCS#8: keys are found by their domain, RSA first', () => {
  const keys = DkimKeys.parse([
    { domain: 'Fabrikam.Example', selector: 'E1', pem: pemOf(ED25519) },
    { domain: 'fabrikam.example', selector: 'r1', pem: rsaPem },
    { domain: 'bücher.example', selector: 's1', pem: pemOf(RSA, 'pkcs1') },
  ])
  assert.deepEqual(
    keys.find('fabrikam.example')?.map(({ domain, selector, algorithm }) => [domain, selector, algorithm]),
    [
      ['fabrikam.example', 'r1', 'rsa-sha256'],
      ['fabrikam.example', 'e1', 'ed25519-sha256'],
    ],
  )
  assert.equal(keys.find('xn--bcher-kva.example')?.[0]?.privateKey.asymmetricKeyType, 'rsa')
  assert.equal(keys.find('sub.fabrikam.example'), undefined, 'd= is the very domain of From')
  assert.deepEqual(keys.domains, ['fabrikam.example', 'xn--bcher-kva.example'])
})

const faulty: [key: Partial<DkimKeyText>, kind: DkimKeyFaultKind, why: string][] = [
  [{ pem: '' }, 'bad-pem', 'an empty file'],
  [{ pem: 'x'.repeat(100_000) }, 'bad-pem', 'anything'],
  [{ pem: rsaPem.slice(0, 400) }, 'bad-pem', 'cut off'],
  [{ pem: rsaPem.replace(/\n.{60}/, `\n${'!'.repeat(60)}`) }, 'bad-pem', 'damaged'],
  [{ pem: publicPem }, 'public-key', 'what belongs into the DNS'],
  [{ pem: RSA.publicKey.export({ type: 'pkcs1', format: 'pem' }).toString() }, 'public-key', 'likewise, PKCS#1'],
  [{ pem: encrypted('pkcs8') }, 'encrypted', 'PKCS#8 with a passphrase'],
  [{ pem: encrypted('pkcs1') }, 'encrypted', 'PKCS#1 with a passphrase'],
  [{ pem: pemOf(SHORT) }, 'too-short', '1024 bits'],
  [{ pem: pemOf(EC) }, 'wrong-type', 'no DKIM algorithm'],
  [{ pem: pemOf(PSS) }, 'wrong-type', 'RSASSA-PSS is no DKIM algorithm'],
  [{ pem: pemOf(ED25519) }, 'no-rsa', 'most receivers could verify nothing'],
  [{ domain: 'localhost' }, 'bad-domain', 'no dot'],
  [{ domain: 'a.example; bh=x' }, 'bad-domain', 'would add a tag'],
  [{ domain: '[192.0.2.1]' }, 'bad-domain', 'a literal'],
  [{ selector: '' }, 'bad-selector', 'empty'],
  [{ selector: 'a;b' }, 'bad-selector', 'would end the tag'],
  [{ selector: 'a\r\nb' }, 'bad-selector', 'would end the line'],
]
for (const [key, kind, why] of faulty) {
  test(`KM-6 a key is refused (${kind}): ${why}`, () => {
    const good = { domain: 'other.example', selector: 's1', pem: rsaPem }
    const bad = { domain: 'fabrikam.example', selector: 's1', pem: rsaPem, ...key }
    assert.deepEqual(faultsOf([good, bad]), [{ kind, index: 1 }])
  })
}

test('R80 two keys of one algorithm for one domain: which one signs would be chance', () => {
  const key = { domain: 'fabrikam.example', selector: 's1', pem: rsaPem }
  assert.deepEqual(faultsOf([key, { ...key, selector: 's2' }]), [{ kind: 'duplicate', index: 1 }])
})

test('KM-5 all faults are told at once, and no key is in them', () => {
  const secret = pemOf(SHORT).split('\n')[1] ?? ''
  assert.throws(
    () =>
      DkimKeys.parse([
        { domain: 'a.example', selector: 's1', pem: pemOf(SHORT) },
        { domain: 'b.example', selector: 's1', pem: 'nothing' },
      ]),
    (error: unknown) => {
      assert.ok(error instanceof DkimKeysFault)
      assert.equal(error.faults.length, 2)
      assert.ok(secret.length > 30 && !JSON.stringify([error.message, error.stack, error.faults]).includes(secret))
      return true
    },
  )
})

test('a DNS name is what can stand in d= and s=', () => {
  for (const name of ['a', 'selector1', 'a.b-c.example', 'a'.repeat(63)]) assert.ok(isDnsName(name), name)
  for (const name of [
    '',
    '.',
    'a..b',
    '-a',
    'a-',
    'a b',
    'a;b',
    'a"b',
    'a\r\nb',
    'ä',
    'a'.repeat(64),
    'a.'.repeat(130),
  ]) {
    assert.ok(!isDnsName(name), name)
  }
})
