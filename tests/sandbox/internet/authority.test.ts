// Certificates of the sandbox's authority, judged by OpenSSL, and the requests that it takes and refuses.
import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect, createServer } from 'node:tls'
import fc from 'fast-check'
import { integer, objectId, sequence, tagged, toPem } from '../../../common/der.ts'
import { CertificateAuthority } from '../../../sandbox/internet/authority.ts'
import { RequestRefused } from '../../../sandbox/internet/certificate-request.ts'

const DAY_MS = 86_400_000
const now = Date.now()
const terms = { notBefore: now - DAY_MS, notAfter: now + 90 * DAY_MS }
const authority = await CertificateAuthority.create(now)

/** What a client makes of a server with this certificate: undefined, or why it goes. */
async function judgedByTls(
  made: { certificate: string; privateKey: string },
  servername: string,
): Promise<string | undefined> {
  const server = createServer({ cert: made.certificate, key: made.privateKey })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const socket = connect({ port, host: '127.0.0.1', servername, ca: authority.certificate })
  try {
    await once(socket, 'secureConnect')
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  } finally {
    socket.destroy()
    server.close()
  }
}

test('TLS clients that trust the authority judge by name and date', async () => {
  const names = ['mx.example.net', '*.sandbox.test']
  const good = await authority.issue(names, terms)
  const expired = await authority.issue(names, { notBefore: now - 9 * DAY_MS, notAfter: now - DAY_MS })
  const future = await authority.issue(names, { notBefore: now + DAY_MS, notAfter: now + 9 * DAY_MS })
  const client = await authority.issue(names, { ...terms, usages: ['client'] })
  const foreign = await (await CertificateAuthority.create(now)).issue(names, terms)
  const rows: [certificate: typeof good, name: string, expected: string | undefined, why: string][] = [
    [good, 'mx.example.net', undefined, 'its name'],
    [good, 'a.sandbox.test', undefined, 'by the wildcard'],
    [good, 'mx.example.org', 'ERR_TLS_CERT_ALTNAME_INVALID', "another's name"],
    [expired, 'mx.example.net', 'CERT_HAS_EXPIRED', 'expired'],
    [future, 'mx.example.net', 'CERT_NOT_YET_VALID', 'not yet valid'],
    [client, 'mx.example.net', 'INVALID_PURPOSE', 'for clients only'],
    [foreign, 'mx.example.net', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'of another authority by the same name'],
  ]
  for (const [certificate, name, expected, why] of rows) {
    const judged = await judgedByTls(certificate, name)
    if (why.startsWith('of another')) assert.notEqual(judged, undefined, why)
    else assert.equal(judged, expected, why)
  }
})

test('X509Certificate reads what was asked for, also after 2049', async () => {
  const notAfter = Date.parse('2060-01-02T03:04:05Z')
  const made = await authority.issue(['Relay.Example.com', 'b.example.com'], { ...terms, notAfter })
  const read = new X509Certificate(made.certificate)
  const issuer = new X509Certificate(authority.certificate)
  assert.equal(read.subject, 'CN=relay.example.com')
  assert.equal(read.subjectAltName, 'DNS:relay.example.com, DNS:b.example.com')
  assert.equal(new Date(read.validTo).getTime(), notAfter)
  assert.deepEqual(read.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  assert.ok(read.checkIssued(issuer) && read.verify(issuer.publicKey) && !read.ca && issuer.ca)
  assert.ok(read.checkPrivateKey(createPrivateKey(made.privateKey)))
})

test('names that are none, and dates the wrong way round, get no certificate', async () => {
  for (const name of [
    '',
    'localhost',
    'a b.test',
    'a..test',
    '*.*.test',
    'ä.test',
    `${'a'.repeat(64)}.test`,
    'a.test\0.b',
  ]) {
    await assert.rejects(authority.issue([name], terms), name)
  }
  await assert.rejects(authority.issue([], terms))
  await assert.rejects(authority.issue(['a.test'], { notBefore: now, notAfter: now }))
})

test('an authority that is kept is the same after a restart, its key for its owner only', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-authority-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const first = await CertificateAuthority.open(join(directory, 'ca'), now)
  const second = await CertificateAuthority.open(join(directory, 'ca'), now + DAY_MS)
  assert.equal(second.certificate, first.certificate)
  assert.equal(statSync(join(directory, 'ca', 'authority.key')).mode & 0o777, 0o600)
  const { certificate } = await second.issue(['a.test'], terms)
  assert.ok(new X509Certificate(certificate).verify(new X509Certificate(first.certificate).publicKey))
  writeFileSync(join(directory, 'ca', 'authority.crt'), authority.certificate)
  await assert.rejects(CertificateAuthority.open(join(directory, 'ca'), now), /another's/)
  rmSync(join(directory, 'ca', 'authority.key'))
  await assert.rejects(CertificateAuthority.open(join(directory, 'ca'), now), /no key/)
})

interface Asked {
  readonly key?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
  readonly names?: readonly Buffer[]
  readonly algorithm?: string
  readonly version?: number
  readonly signer?: KeyObject
}

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 3072 })
const dnsName = (name: string): Buffer => tagged(0x82, Buffer.from(name))

function requestDer({
  key = ec,
  names = [dnsName('relay.example.com')],
  algorithm,
  version = 0,
  signer,
}: Asked): Buffer {
  const isRsa = key.publicKey.asymmetricKeyType === 'rsa'
  const extension = sequence(objectId('2.5.29.17'), tagged(0x04, sequence(...names)))
  const attribute = sequence(objectId('1.2.840.113549.1.9.14'), tagged(0x31, sequence(extension)))
  const info = sequence(
    integer(Buffer.from([version])),
    sequence(),
    key.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa0, attribute),
  )
  const id = objectId(algorithm ?? (isRsa ? '1.2.840.113549.1.1.11' : '1.2.840.10045.4.3.2'))
  return sequence(info, sequence(id), tagged(0x03, Buffer.from([0]), sign('sha256', info, signer ?? key.privateKey)))
}

const request = (asked: Asked): string => toPem('CERTIFICATE REQUEST', requestDer(asked))

test('a request signed by its key becomes a certificate for its names and that key', () => {
  for (const key of [ec, rsa]) {
    const read = new X509Certificate(authority.sign(request({ key, names: [dnsName('Relay.example.com')] }), terms))
    assert.equal(read.subjectAltName, 'DNS:relay.example.com')
    assert.ok(read.publicKey.equals(key.publicKey))
    assert.ok(read.verify(new X509Certificate(authority.certificate).publicKey))
  }
})

test('requests that prove nothing or ask for too much are refused', () => {
  const der = requestDer({})
  const rows: [request: string, why: string][] = [
    ['', 'nothing'],
    [authority.certificate, 'a certificate'],
    [request({}) + request({}), 'two requests'],
    [toPem('CERTIFICATE REQUEST', Buffer.concat([der, Buffer.from([0])])), 'something after it'],
    [request({ signer: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }), "signed by another's key"],
    [request({ version: 1 }), 'a version that there is not'],
    [request({ algorithm: '1.2.840.10045.4.1' }), 'SHA-1'],
    [request({ algorithm: '1.2.840.113549.1.1.11' }), "another kind of key's algorithm"],
    [request({ key: generateKeyPairSync('rsa', { modulusLength: 1024 }) }), 'a short key'],
    [request({ key: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }) }), 'a curve of no authority'],
    [request({ names: [] }), 'no names'],
    [request({ names: [dnsName('a.test\0.b.test')] }), 'a NUL in a name'],
    [request({ names: [dnsName('a.test'), tagged(0x87, Buffer.from([127, 0, 0, 1]))] }), 'an address'],
    [request({ names: Array.from({ length: 101 }, (_, i) => dnsName(`a${i}.test`)) }), 'a hundred and one names'],
    [request({ names: [dnsName('a'.repeat(20_000))] }), 'too large'],
  ]
  for (const [text, why] of rows) assert.throws(() => authority.sign(text, terms), RequestRefused, why)
})

test('a request with any octet changed is refused and nothing else is thrown', () => {
  const der = requestDer({})
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const copy = Buffer.from(der)
      copy.writeUInt8(copy.readUInt8(at) ^ change, at)
      assert.throws(() => authority.sign(toPem('CERTIFICATE REQUEST', copy), terms), RequestRefused)
    }),
    { numRuns: 300 },
  )
})
