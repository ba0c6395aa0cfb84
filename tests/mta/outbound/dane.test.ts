// What TLSA records demand of a chain, against real certificates: RFC 7672 §3, RFC 7671.
import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { daneJudge, isUsable } from '../../../mta/outbound/dane.ts'
import type { TlsaRecord } from '../../../mta/outbound/dane.ts'
import type { TlsFailure } from '../../../mta/outbound/tls-failure.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import type { MadeCertificate } from '../../harness/certificates.ts'
import { tlsaOf } from './tls-world.ts'

const authority = new TestAuthority()
const NAME = 'mx.example.net'
const read = ({ certificate }: Pick<MadeCertificate, 'certificate'>) => new X509Certificate(readFileSync(certificate))
const root = read(authority)
const middleFiles = authority.issue({ commonName: 'middle', isAuthority: true })
const middle = read(middleFiles)
const leaf = read(authority.issue({ names: [`DNS:${NAME}`] }, middleFiles))
const otherName = read(authority.issue({ names: ['DNS:other.example'] }, middleFiles))
const expired = read(authority.issue({ names: [`DNS:${NAME}`], notAfter: '20210101000000Z' }))
const notAuthority = authority.issue({ names: ['DNS:not-an-authority.example'] })
const belowLeaf = read(authority.issue({ names: [`DNS:${NAME}`] }, notAuthority))
const rsa = read(authority.issue({ names: [`DNS:${NAME}`], keyType: 'rsa' }))
const stranger = new TestAuthority('Another')
const strangerRoot = read(stranger)
const foreign = read(stranger.issue({ names: [`DNS:${NAME}`] }))
after(() => {
  authority[Symbol.dispose]()
  stranger[Symbol.dispose]()
})

const now = () => Date.now()
const all = (usage: number, certificate: X509Certificate): TlsaRecord[] =>
  [0, 1].flatMap((selector) => [0, 1, 2].map((matchingType) => tlsaOf(certificate, usage, selector, matchingType)))

for (const record of all(3, leaf)) {
  test(`RFC 7672 §3.1.1: 3 ${record.selector} ${record.matchingType} names the host's own certificate or key`, () => {
    assert.equal(daneJudge([record], [], now)([leaf]), undefined)
    assert.equal(daneJudge([record], [], now)([foreign, leaf]), 'tlsa-invalid')
  })
}
for (const record of [...all(2, root), ...all(2, middle)]) {
  const which = record.certificate.equals(tlsaOf(root, 2, record.selector, record.matchingType).certificate)
    ? 'root'
    : 'middle'
  test(`RFC 7672 §3.1.2: 2 ${record.selector} ${record.matchingType} names the ${which} above it, with the name and in its time`, () => {
    const judge = daneJudge([record], [NAME], now)
    assert.equal(judge([leaf, middle, root]), undefined)
    assert.equal(judge([leaf, root, middle]), undefined, 'in any order')
    assert.equal(judge([otherName, middle, root]), 'certificate-host-mismatch')
    assert.equal(judge([foreign, strangerRoot]), 'tlsa-invalid')
  })
}

const root201 = [tlsaOf(root, 2, 0, 1)]
const judged: [
  name: string,
  records: TlsaRecord[],
  chain: X509Certificate[],
  expected: TlsFailure | undefined,
  why: string,
][] = [
  ['no certificate', all(3, leaf), [], 'validation-failure', 'nothing to judge'],
  [
    'an expired certificate by its own record',
    [tlsaOf(expired, 3, 1, 1)],
    [expired],
    undefined,
    'RFC 7672 §3.1.1: dates do not matter',
  ],
  [
    'another name by its own record',
    [tlsaOf(otherName, 3, 0, 1)],
    [otherName],
    undefined,
    '§3.1.1: neither does the name',
  ],
  ['an expired certificate by an anchor', root201, [expired, root], 'certificate-expired', 'RFC 7671 §5.2'],
  ['one of two records', [tlsaOf(foreign, 3, 1, 1), tlsaOf(leaf, 3, 1, 1)], [leaf], undefined, 'key roll-over'],
  ['RSA', [tlsaOf(rsa, 3, 1, 1)], [rsa], undefined, 'whatever its key'],
  [
    'the anchor of somebody else’s chain beside our leaf',
    root201,
    [foreign, root],
    'tlsa-invalid',
    'it did not sign it',
  ],
  [
    'a leaf that signs',
    root201,
    [belowLeaf, read(notAuthority), root],
    'tlsa-invalid',
    'only an authority may stand between',
  ],
  ['the anchor itself as the host', root201, [root], 'tlsa-invalid', 'an anchor is above'],
  [
    'an anchor that was not sent',
    [tlsaOf(root, 2, 0, 1)],
    [leaf, middle],
    'tlsa-invalid',
    'a digest proves nothing without it',
  ],
  [
    'an anchor that was not sent but stands in DNS',
    [tlsaOf(root, 2, 0, 0)],
    [leaf, middle],
    undefined,
    'RFC 7671 §5.2.2',
  ],
  [
    'octets that are no certificate',
    [{ ...tlsaOf(root, 2, 0, 0), certificate: Buffer.from('x') }],
    [leaf, middle],
    'tlsa-invalid',
    'nothing throws',
  ],
  [
    'octets that are no key',
    [{ ...tlsaOf(root, 2, 1, 0), certificate: Buffer.from('x') }],
    [leaf, middle],
    'tlsa-invalid',
    'nothing throws',
  ],
]
for (const [name, records, chain, expected, why] of judged) {
  test(`DANE: ${name}: ${expected ?? 'accepted'} (${why})`, () => {
    assert.equal(daneJudge(records, [NAME], now)(chain), expected)
  })
}

test('the names of a certificate below an anchor: any that the way to it may have', () => {
  assert.equal(daneJudge(root201, ['example.net', NAME], now)([leaf, middle, root]), undefined)
  assert.equal(daneJudge(root201, ['example.net'], now)([leaf, middle, root]), 'certificate-host-mismatch')
  assert.equal(daneJudge(root201, [], now)([leaf, middle, root]), 'certificate-host-mismatch')
})

const digest = createHash('sha256').update('x').digest()
const usable: [record: TlsaRecord, isUsed: boolean, why: string][] = [
  [{ usage: 3, selector: 1, matchingType: 1, certificate: digest }, true, 'DANE-EE'],
  [{ usage: 2, selector: 0, matchingType: 1, certificate: digest }, true, 'DANE-TA'],
  [{ usage: 0, selector: 1, matchingType: 1, certificate: digest }, false, 'PKIX-TA: RFC 7672 §3.1.3'],
  [{ usage: 1, selector: 1, matchingType: 1, certificate: digest }, false, 'PKIX-EE: §3.1.3'],
  [{ usage: 4, selector: 1, matchingType: 1, certificate: digest }, false, 'nobody knows'],
  [{ usage: 3, selector: 2, matchingType: 1, certificate: digest }, false, 'no such selector'],
  [{ usage: 3, selector: 1, matchingType: 3, certificate: digest }, false, 'no such digest'],
  [{ usage: 3, selector: 1, matchingType: 2, certificate: digest }, false, 'SHA-512 has 64 octets'],
  [{ usage: 3, selector: 1, matchingType: 1, certificate: digest.subarray(1) }, false, 'SHA-256 has 32'],
  [{ usage: 3, selector: 1, matchingType: 0, certificate: Buffer.alloc(0) }, false, 'nothing to compare'],
]
for (const [record, isUsed, why] of usable) {
  test(`${record.usage} ${record.selector} ${record.matchingType} with ${record.certificate.length} octets is ${isUsed ? '' : 'not '}usable: ${why}`, () => {
    assert.equal(isUsable(record), isUsed)
  })
}

test('property: no record makes the judgement throw, and none that was not made from the chain accepts it', () => {
  const byte = fc.nat(5)
  const record = fc.record({
    usage: byte,
    selector: byte,
    matchingType: byte,
    certificate: fc.uint8Array({ maxLength: 80 }),
  })
  fc.assert(
    fc.property(fc.array(record, { maxLength: 4 }), (records) => {
      const used = records.map((each) => ({ ...each, certificate: Buffer.from(each.certificate) })).filter(isUsable)
      assert.notEqual(daneJudge(used, [NAME], now)([leaf, middle, root]), undefined)
    }),
  )
})
