// Chains and keys that are pasted: what is taken, and why the rest isn't. (SP-2, KM-5, KM-6)
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { readChain, readPrivateKey } from '../../../control-plane/certificates/certificate-chain.ts'
import { actFault, CERTIFICATE_STATES, daysLeft, readNames } from '../../../control-plane/certificates/certificate.ts'
import type { CertificatePurpose } from '../../../control-plane/certificates/certificate.ts'
import { Authority } from './certificate-scene.ts'

const authority = new Authority()
after(() => authority[Symbol.dispose]())

const NAME = 'mx.contoso.example'
const good = authority.pair({ names: [`DNS:${NAME}`, 'DNS:*.fabrikam.example'] })
const client = authority.pair({ names: [`DNS:${NAME}`], usage: ['clientAuth'] })
const mail = authority.pair({ names: [`DNS:${NAME}`], usage: ['emailProtection'] })
const old = authority.pair({ names: [`DNS:${NAME}`], notBefore: '20200101000000Z', notAfter: '20210101000000Z' })
const commonNameOnly = authority.pair({ commonName: NAME })
const publicOf = (key: string) =>
  createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' }).toString('base64')
const [leaf = ''] = good.chain.split(/(?<=-----END CERTIFICATE-----\n)/)
const NOW = new Date()

const cases: [
  chain: string,
  of: { key: string; names?: string[]; purpose?: CertificatePurpose; now?: Date },
  codes: string[],
  why: string,
][] = [
  [good.chain, good, [], 'leaf and issuer'],
  [leaf, good, [], 'the leaf alone'],
  [good.chain + authority.root, good, [], 'the root with it'],
  [`subject=CN = x\n${good.chain}`, good, [], 'the words that openssl writes around it'],
  [good.chain, { ...good, names: ['a.fabrikam.example'] }, [], 'a wildcard has the name'],
  [client.chain, { ...client, purpose: 'tenant' }, [], 'a client certificate towards a tenant'],
  [client.chain, client, ['usage'], 'a client certificate for a listener'],
  [mail.chain, { ...mail, purpose: 'tenant' }, ['usage'], 'a certificate for mail'],
  [good.chain, client, ['key'], 'another key'],
  [good.chain, { ...good, names: [NAME, 'other.example'] }, ['name'], 'a name that it does not have'],
  [commonNameOnly.chain, commonNameOnly, ['name'], 'a name in the subject only'],
  [old.chain, old, ['date'], 'it is over'],
  [good.chain, { ...good, now: new Date('2020-01-01') }, ['date', 'date'], 'it has not begun'],
  [leaf + authority.root, good, ['order'], 'a gap'],
  [authority.intermediate + leaf, good, ['key', 'name', 'order'], 'upside down'],
  [good.chain + leaf, good, ['order'], 'the leaf once more'],
  [good.chain + good.key, good, ['private-key'], 'KM-5: the private key pasted along'],
  [leaf.repeat(9), good, ['length'], 'more than any chain has'],
  ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', good, ['certificate'], 'no certificate within'],
  [
    '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n',
    good,
    ['pem'],
    'the request itself',
  ],
  ['', good, ['pem'], 'nothing'],
]
for (const [chain, { key, names = [NAME], purpose = 'listener', now = NOW }, codes, why] of cases) {
  test(`SP-2: a chain is ${codes.length === 0 ? 'taken' : 'refused'}: ${why}`, () => {
    const read = readChain(chain, { purpose, names, publicKey: publicOf(key) }, now)
    assert.deepEqual(Array.isArray(read) ? read.map(({ code }) => code) : [], codes)
    if (!Array.isArray(read)) {
      assert.ok(!read.chain.includes('subject='))
      assert.equal(read.chain.startsWith(leaf) || read.chain !== '', true)
      assert.ok(read.notBefore < NOW && read.expiresAt > NOW)
    }
  })
}

test('KM-6: keys of approved kinds are taken in any PEM form, others are not; nothing of them is told', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
  const keys: [pem: string, told: string, why: string][] = [
    [rsa.export({ type: 'pkcs1', format: 'pem' }).toString(), 'rsa-2048', 'PKCS #1'],
    [ec.export({ type: 'sec1', format: 'pem' }).toString(), 'ec-p384', 'SEC 1'],
    [ec.export({ type: 'pkcs8', format: 'pem' }).toString(), 'ec-p384', 'PKCS #8'],
    [
      ec.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString(),
      'key',
      'with a passphrase',
    ],
    [
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'algorithm',
      'TLS peers lack it',
    ],
    [
      generateKeyPairSync('rsa', { modulusLength: 1024 })
        .privateKey.export({ type: 'pkcs8', format: 'pem' })
        .toString(),
      'algorithm',
      'too short',
    ],
    [good.chain, 'key', 'no key'],
  ]
  for (const [pem, told, why] of keys) {
    const read = readPrivateKey(pem)
    assert.equal('pointer' in read ? read.code : read.algorithm, told, why)
  }
})

test('whatever is pasted is told as faults, and never throws', () => {
  const of = { purpose: 'listener' as const, names: [NAME], publicKey: publicOf(good.key) }
  fc.assert(
    fc.property(fc.nat(leaf.length), fc.string(), (at, text) => {
      const broken = leaf.slice(0, at) + text + leaf.slice(at + 1)
      const read = readChain(broken, of, NOW)
      assert.ok(Array.isArray(read) ? read.length > 0 : read.chain.length > 0)
      readPrivateKey(broken)
    }),
    { numRuns: 200 },
  )
})

test('names are full host names, in lower case, each once', () => {
  assert.deepEqual(readNames(['MX.Contoso.example', 'mx.contoso.example', 'bücher.example']), [
    NAME,
    'xn--bcher-kva.example',
  ])
  for (const name of ['localhost', '*.contoso.example', 'a b.example', '192.0.2.1\0', ''])
    assert.throws(() => readNames([NAME, name]), { name: 'Problem' }, name)
})

test('KM-7: days left are whole, and below 0 once it is over', () => {
  const at = (ms: number) => daysLeft(new Date(ms), 0)
  assert.deepEqual([at(2 * 86_400_000), at(2 * 86_400_000 - 1), at(0), at(-1)], [2, 1, 0, -1])
})

test('a retired certificate stays so; only one with a chain is activated', () => {
  const able = (act: Parameters<typeof actFault>[0]) =>
    CERTIFICATE_STATES.filter((state) => actFault(act, state) === undefined)
  assert.deepEqual(able('chain'), ['requested', 'issued'])
  assert.deepEqual(able('activate'), ['issued', 'replaced'])
  assert.deepEqual(able('rotate'), ['requested', 'issued', 'active', 'replaced'])
  assert.deepEqual(able('retire'), ['requested', 'issued', 'active', 'replaced'])
})
