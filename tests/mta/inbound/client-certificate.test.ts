// SP-2 factor 2, SP-3: whose certificate lets in. One table of chains, made by openssl, for elliptic curves and RSA.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { allowedName, judgeClientCertificate } from '../../../mta/inbound/client-certificate.ts'
import type { CertificateRefusal, CertificateRules } from '../../../mta/inbound/client-certificate.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import type { MadeCertificate, Wanted } from '../../harness/certificates.ts'

const NAME = 'mail.protection.outlook.com'
const RIGHT: Wanted = { names: [`DNS:${NAME}`], usage: ['serverAuth'] }
// Behind the moment the certificates below are made, which begin with it.
const NOW = Date.now() + 3_600_000
const DAY_MS = 86_400_000

const authority = new TestAuthority()
const stranger = new TestAuthority('Causeway Test Authority') // the same name, another key
after(() => {
  authority[Symbol.dispose]()
  stranger[Symbol.dispose]()
})

/** The certificates of a file, in its order. */
function chainOf({ certificate }: Pick<MadeCertificate, 'certificate'>): X509Certificate[] {
  const pems =
    readFileSync(certificate, 'utf8').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return pems.map((pem) => new X509Certificate(pem))
}
const trust = chainOf(authority)

function judge(chain: readonly X509Certificate[], rules: Partial<CertificateRules> = {}): string {
  const verdict = judgeClientCertificate(chain, { trust, names: [NAME], now: NOW, ...rules })
  return verdict.kind === 'admitted' ? 'admitted' : verdict.reason
}
const issue = (wanted: Wanted, signer?: MadeCertificate) => chainOf(authority.issue(wanted, signer))

for (const keyType of ['ec', 'rsa'] as const) {
  test(`SP-2 ${keyType}: from the trust store at once, or by certificates that the client sends`, () => {
    assert.equal(judge(issue({ ...RIGHT, keyType })), 'admitted')
    const middle = authority.issue({ isAuthority: true, commonName: 'middle', keyType })
    const lower = authority.issue({ isAuthority: true, commonName: 'lower', keyType }, middle)
    const leaf = issue({ ...RIGHT, keyType }, lower)
    assert.equal(leaf.length, 3)
    assert.equal(judge(leaf), 'admitted')
    assert.equal(judge([...leaf.slice(0, 1), ...leaf.slice(1).toReversed()]), 'admitted', 'in any order')
    assert.equal(judge([...leaf, ...chainOf(stranger), ...trust]), 'admitted', 'with others that lead nowhere')
    assert.equal(judge(leaf.slice(0, 2)), 'untrusted', 'one is missing')
    assert.equal(judge(leaf.slice(0, 1)), 'untrusted', 'all are')
  })
}

const names: [wanted: Wanted, expected: 'admitted' | CertificateRefusal, why: string][] = [
  [{ names: ['DNS:MAIL.Protection.outlook.COM'] }, 'admitted', 'DNS knows no case'],
  [{ names: ['DNS:other.example', `DNS:${NAME}`] }, 'admitted', 'one of several'],
  [{ names: [`DNS:x${NAME}`] }, 'wrong-name', 'a prefix'],
  [{ names: [`DNS:x.${NAME}`] }, 'wrong-name', 'a name below it'],
  [{ names: [`DNS:${NAME}.evil.example`] }, 'wrong-name', 'a suffix'],
  [{ names: [`DNS:${NAME}.`] }, 'wrong-name', 'a dot behind it: not the name as configured'],
  [{ names: ['DNS:protection.outlook.com'] }, 'wrong-name', 'the name above it'],
  [{ names: ['DNS:*.protection.outlook.com'] }, 'wrong-name', 'a wildcard'],
  [{ names: ['DNS:*'] }, 'wrong-name', 'a wildcard for everything'],
  [{ names: [`URI:https://${NAME}`] }, 'wrong-name', 'another kind of name'],
  [{ names: [`email:x@${NAME}`] }, 'wrong-name', 'another kind of name'],
  [{ names: ['IP:192.0.2.1'], commonName: NAME }, 'wrong-name', 'the common name beside an alternative one'],
  [{ names: ['DNS:other.example'], commonName: NAME }, 'wrong-name', 'the common name beside a dNSName'],
  [{ commonName: NAME }, 'admitted', 'the common name where there is no alternative at all'],
  [{ commonName: `${NAME}/CN=other.example` }, 'wrong-name', 'two common names'],
  [{ commonName: `x${NAME}` }, 'wrong-name', 'no alternative, and a look-alike'],
]
for (const [wanted, expected, why] of names) {
  test(`SP-3 ${wanted.names?.join(' ') ?? ''} CN=${wanted.commonName ?? 'test'}: ${expected}, ${why}`, () => {
    assert.equal(judge(issue(wanted)), expected)
  })
}

test('SP-3 a look-alike of any kind is not the name: only itself is', () => {
  const character = fc.constantFrom('a', 'c', 'm', '.', '-', '*', '\0', '')
  fc.assert(
    fc.property(character, fc.nat(NAME.length), fc.nat(NAME.length), (put, from, to) => {
      const changed = NAME.slice(0, Math.min(from, to)) + put + NAME.slice(Math.max(from, to))
      assert.equal(allowedName({ dnsNames: [changed], commonNames: [NAME] }, [NAME]) === NAME, changed === NAME)
      assert.equal(allowedName({ dnsNames: undefined, commonNames: [changed] }, [NAME]) === NAME, changed === NAME)
    }),
  )
  assert.equal(allowedName({ dnsNames: [NAME], commonNames: [] }, []), undefined, 'no name is allowed: nobody')
})

const usages: [usage: Wanted['usage'], expected: 'admitted' | CertificateRefusal, why: string][] = [
  [['serverAuth'], 'admitted', 'public authorities issue nothing else since 2026'],
  [['clientAuth'], 'admitted', 'what it was once meant for'],
  [['emailProtection', 'clientAuth'], 'admitted', 'among others'],
  [undefined, 'admitted', 'none: any'],
  [['emailProtection'], 'wrong-usage', 'for neither end of a connection'],
]
for (const [usage, expected, why] of usages) {
  test(`SP-2 usage ${usage?.join() ?? '(none)'}: ${expected}, ${why}`, () => {
    const { names: dns } = RIGHT
    assert.equal(judge(issue({ ...(dns && { names: dns }), ...(usage && { usage }) })), expected)
  })
}

test('SP-2 everything must be in date, from the client to the authority', () => {
  const past = { notBefore: '20200101000000Z', notAfter: '20210101000000Z' }
  assert.equal(judge(issue({ ...RIGHT, ...past })), 'not-in-date')
  assert.equal(judge(issue({ ...RIGHT, notBefore: '20900101000000Z' })), 'not-in-date')
  const oldMiddle = authority.issue({ isAuthority: true, commonName: 'old middle', ...past })
  assert.equal(judge(issue(RIGHT, oldMiddle)), 'not-in-date')
  assert.equal(
    judge(issue({ ...RIGHT, notAfter: '20900101000000Z' }), { now: NOW + 40 * DAY_MS }),
    'not-in-date',
    'the root',
  )
  const [root] = trust
  assert.ok(root)
  assert.equal(judge(issue(RIGHT), { now: root.validFromDate.getTime() - 1000 }), 'not-in-date', 'before it began')
})

test('SP-2 who may not issue has issued nothing', () => {
  const notAnAuthority = authority.issue({ commonName: 'no authority' })
  assert.equal(judge(issue(RIGHT, notAnAuthority)), 'untrusted')
  assert.equal(judge(chainOf(stranger.issue(RIGHT))), 'untrusted', 'signed by a namesake of our authority')
  assert.equal(judge([...chainOf(stranger.issue(RIGHT)), ...trust]), 'untrusted', 'and our authority sent along')
  assert.equal(
    judge([...chainOf(stranger.issue(RIGHT)), ...chainOf(stranger)]),
    'untrusted',
    'a root from the client is no root',
  )
  assert.equal(judge(chainOf(authority.selfSigned(RIGHT))), 'untrusted')
  assert.equal(judge(chainOf(authority.selfSigned({ ...RIGHT, isAuthority: true }))), 'untrusted')
  assert.equal(judge(issue(RIGHT), { trust: [] }), 'untrusted', 'an empty trust store believes nobody')
})

const constraints: [over: Partial<Wanted>, expected: 'admitted' | CertificateRefusal, why: string][] = [
  [{ pathLength: 0 }, 'admitted', 'nobody between it and the client'],
  [
    { extensions: ['nameConstraints=critical,permitted;DNS:outlook.com'] },
    'admitted',
    'the name is under what it may issue',
  ],
  [{ extensions: [`nameConstraints=permitted;DNS:${NAME}`] }, 'admitted', 'the name itself'],
  [{ extensions: ['nameConstraints=critical,permitted;DNS:contoso.com'] }, 'untrusted', 'the name is somebody else’s'],
  [
    { extensions: ['nameConstraints=critical,permitted;DNS:look.com'] },
    'untrusted',
    'labels are compared, not ends of text',
  ],
  [
    { extensions: ['nameConstraints=critical,permitted;DNS:com,excluded;DNS:outlook.com'] },
    'untrusted',
    'excluded wins',
  ],
  [{ extensions: ['nameConstraints=critical,permitted;email:contoso.com'] }, 'admitted', 'binds mail addresses only'],
  [
    { extensions: ['1.2.3.4=critical,ASN1:NULL'] },
    'untrusted',
    'RFC 5280 §4.2: critical, and nobody knows what it says',
  ],
  [{ extensions: ['1.2.3.4=ASN1:NULL'] }, 'admitted', 'not critical'],
  [{ usage: ['emailProtection'] }, 'untrusted', 'it may issue for mail only'],
  [{ usage: ['serverAuth'] }, 'admitted', 'it may issue for servers'],
  [{ keyType: 'rsa', rsaBits: 1024 }, 'weak', 'KM-6: RSA of 1024 bits'],
  [{ digest: 'sha1' }, 'weak', 'KM-6: signed over SHA-1'],
]
for (const [over, expected, why] of constraints) {
  test(`SP-2 issued by one with ${JSON.stringify(over)}: ${expected}, ${why}`, () => {
    const middle = authority.issue({ isAuthority: true, commonName: 'constrained', ...over })
    assert.equal(judge(issue(RIGHT, middle)), expected)
  })
}

test('a path length counts the authorities below, not the client', () => {
  const upper = authority.issue({ isAuthority: true, commonName: 'upper', pathLength: 0 })
  const lower = authority.issue({ isAuthority: true, commonName: 'lower' }, upper)
  assert.equal(judge(issue(RIGHT, lower)), 'untrusted')
})

test('KM-6 a weak key of its own', () => {
  assert.equal(judge(issue({ ...RIGHT, keyType: 'rsa', rsaBits: 1024 })), 'weak')
})

test('a maze of authorities of one name that all sign each other takes no time', () => {
  const chain = issue(RIGHT)
  // Each is as good an issuer for the next as any other, but none has signed it.
  const namesakes = Array.from({ length: 15 }, () => chainOf(stranger)[0]).filter((one) => one !== undefined)
  const startedAt = performance.now()
  assert.equal(judge([...chain, ...namesakes], { trust: chainOf(stranger) }), 'untrusted')
  assert.ok(performance.now() - startedAt < 500)
})

test('what is shown is bounded: none, too many, and chains that are too deep', () => {
  assert.equal(judge([]), 'missing')
  const [leaf] = issue(RIGHT)
  assert.ok(leaf)
  assert.equal(judge(Array.from({ length: 16 }, () => leaf)), 'admitted')
  assert.equal(judge(Array.from({ length: 17 }, () => leaf)), 'too-many')

  let signer = authority.issue({ isAuthority: true, commonName: 'depth 1' })
  for (let depth = 2; depth <= 7; depth++)
    signer = authority.issue({ isAuthority: true, commonName: `depth ${depth}` }, signer)
  assert.equal(judge(issue(RIGHT, signer)), 'admitted', 'seven between it and the root')
  signer = authority.issue({ isAuthority: true, commonName: 'depth 8' }, signer)
  assert.equal(judge(issue(RIGHT, signer)), 'untrusted', 'eight')
})

test('a name in odd encoding spoils the certificate, though another name of it is allowed', () => {
  const good = Buffer.from(NAME)
  const bad = Buffer.from(`${NAME}\0.evil.example`)
  const entry = (name: Buffer) => Buffer.concat([Buffer.from([0x82, name.length]), name])
  const both = Buffer.concat([entry(good), entry(bad)])
  const san = Buffer.concat([Buffer.from([0x30, both.length]), both])
  assert.equal(judge(issue({ names: [`DER:${san.toString('hex')}`] })), 'unreadable')
})
