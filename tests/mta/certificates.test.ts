// Certificates and keys as operators' files hold them: read whole or refused, and no fault tells a secret (KM-5, KM-7).
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { loadAuthorities, loadKeyPair } from '../../mta/certificates.ts'
import { SettingsFault } from '../../mta/settings.ts'
import { TestAuthority } from '../harness/certificates.ts'

const authority = new TestAuthority()
after(() => authority[Symbol.dispose]())
const middle = authority.issue({ isAuthority: true, commonName: 'middle' })
const one = authority.issue({ names: ['DNS:relay.example'] }, middle)
const other = authority.issue({ names: ['DNS:other.example'] })

function fileOf(name: string, content: string | Uint8Array): string {
  const file = join(authority.directory, name)
  writeFileSync(file, content)
  return file
}
const pem = (file: string) => readFileSync(file, 'utf8')

/** Lines of the base64 of a key: none of them may be seen anywhere. */
const secretLines = [one, other]
  .flatMap(({ key }) => pem(key).split('\n'))
  .filter((line) => /^[A-Za-z0-9+/=]{16,}$/.test(line))

function faultOf(load: () => unknown): SettingsFault {
  try {
    load()
  } catch (error) {
    assert.ok(error instanceof SettingsFault, String(error))
    const shown = `${error.message} ${error.stack ?? ''} ${JSON.stringify(error.faults)} ${String(error.cause)}`
    for (const line of secretLines) assert.ok(!shown.includes(line), 'a fault shows a key')
    return error
  }
  throw new assert.AssertionError({ message: 'it was taken' })
}

test('a certificate with those above it and its key: leaf first, the whole chain to show, its fingerprint as openssl prints it', () => {
  const pair = loadKeyPair(one)
  assert.equal(pair.leaf.checkHost('relay.example'), 'relay.example')
  assert.equal(pair.chain, pem(one.certificate))
  assert.equal(pair.fingerprint, one.fingerprint)
  assert.match(pair.fingerprint, /^[0-9a-f]{64}$/)
})

test('keys in PKCS#8, SEC1 and PKCS#1 are all taken', () => {
  const sec1 = execFileSync('openssl', ['ec', '-in', one.key], { stdio: ['ignore', 'pipe', 'ignore'] })
  assert.match(sec1.toString(), /BEGIN EC PRIVATE KEY/)
  assert.equal(
    loadKeyPair({ certificate: one.certificate, key: fileOf('sec1.key', sec1) }).fingerprint,
    one.fingerprint,
  )
  const rsa = authority.issue({ keyType: 'rsa' })
  const pkcs1 = execFileSync('openssl', ['rsa', '-in', rsa.key, '-traditional'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  assert.match(pkcs1.toString(), /BEGIN RSA PRIVATE KEY/)
  assert.equal(
    loadKeyPair({ certificate: rsa.certificate, key: fileOf('pkcs1.key', pkcs1) }).fingerprint,
    rsa.fingerprint,
  )
})

test('text around the certificates, CR LF and several of them: a bundle is read in its order', () => {
  const bundle = `# ours\r\n${pem(other.certificate).replaceAll('\n', '\r\n')}\nand another\n${pem(authority.certificate)}`
  const found = loadAuthorities(fileOf('bundle.pem', bundle))
  assert.deepEqual(
    found.map(({ fingerprint256 }) => fingerprint256),
    [other.certificate, authority.certificate].map((file) => new X509Certificate(pem(file)).fingerprint256),
  )
})

const encrypted = execFileSync('openssl', ['ec', '-in', one.key, '-aes256', '-passout', 'pass:secret'], {
  stdio: ['ignore', 'pipe', 'ignore'],
})
const broken = pem(one.key).replace(/\n[^-\n]{8}/, '\nAAAAAAAA')
const refused: [files: { certificate: string; key: string }, rule: RegExp, why: string][] = [
  [{ certificate: one.certificate, key: other.key }, /is not the key of the certificate in/, 'somebody else’s key'],
  [{ certificate: one.key, key: one.key }, /holds no certificate in PEM form/, 'a key where a certificate should be'],
  [{ certificate: one.certificate, key: one.certificate }, /holds no private key/, 'and the other way round'],
  [
    { certificate: one.certificate, key: fileOf('locked.key', encrypted) },
    /without a passphrase/,
    'nobody is there to type one',
  ],
  [{ certificate: one.certificate, key: fileOf('broken.key', broken) }, /holds no private key/, 'a damaged key'],
  [{ certificate: one.certificate, key: fileOf('empty.key', '') }, /holds no private key/, 'half written'],
  [{ certificate: join(authority.directory, 'nowhere'), key: one.key }, /can't be read \(ENOENT\)/, 'a missing file'],
  [{ certificate: authority.directory, key: one.key }, /can't be read \(EISDIR\)/, 'a folder'],
  [
    { certificate: fileOf('big.pem', Buffer.alloc(4 * 1024 * 1024 + 1)), key: one.key },
    /larger than 4 MiB/,
    'another file',
  ],
  [
    { certificate: fileOf('bad.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), key: one.key },
    /holds a certificate that can not be read/,
    'base64 of something else',
  ],
]
for (const [files, rule, why] of refused) {
  test(`a pair is refused: ${why}`, () => {
    assert.match(faultOf(() => loadKeyPair(files)).message, rule)
  })
}

test('KM-5 no fault shows a line of a key, whatever is cut out of its file', () => {
  const key = pem(one.key)
  const file = join(authority.directory, 'cut.key')
  fc.assert(
    fc.property(fc.nat(key.length), fc.nat(key.length), (a, b) => {
      const cut = key.slice(0, Math.min(a, b)) + key.slice(Math.max(a, b))
      if (cut.trim() === key.trim()) return
      writeFileSync(file, cut)
      faultOf(() => loadKeyPair({ certificate: one.certificate, key: file }))
    }),
    { numRuns: 200 },
  )
})

test('hostile PEM: anything at all gives certificates or a fault, and in linear time', () => {
  const file = join(authority.directory, 'hostile.pem')
  const marks = [
    '-----BEGIN CERTIFICATE-----',
    '-----END CERTIFICATE-----',
    '\n',
    'AAAA',
    '=',
    ' ',
    '\0',
    pem(other.certificate),
  ]
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...marks), { maxLength: 20 }), (pieces) => {
      writeFileSync(file, pieces.join(''))
      try {
        assert.ok(loadAuthorities(file).length > 0)
      } catch (error) {
        assert.ok(error instanceof SettingsFault, String(error))
      }
    }),
  )
  writeFileSync(file, '-----BEGIN CERTIFICATE-----'.repeat(150_000))
  const startedAt = performance.now()
  faultOf(() => loadAuthorities(file))
  assert.ok(performance.now() - startedAt < 2000)
})
