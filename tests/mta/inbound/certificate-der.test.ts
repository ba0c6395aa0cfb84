// What a certificate says is read from its bytes: right, or not at all.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { rootCertificates } from 'node:tls'
import fc from 'fast-check'
import { readCertificate } from '../../../mta/inbound/certificate-der.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import type { Wanted } from '../../harness/certificates.ts'

const authority = new TestAuthority()
after(() => authority[Symbol.dispose]())

function derOf(wanted: Wanted): Buffer {
  return new X509Certificate(readFileSync(authority.issue(wanted).certificate)).raw
}

test('names, usages, common name and algorithm of an ordinary certificate', () => {
  const facts = readCertificate(
    derOf({
      names: ['DNS:Mail.Example', 'DNS:*.example', 'URI:https://uri.example', 'IP:192.0.2.1', 'email:a@mail.example'],
      commonName: 'Common.Example',
      usage: ['serverAuth', 'clientAuth'],
    }),
  )
  assert.deepEqual(facts, {
    dnsNames: ['mail.example', '*.example'],
    commonNames: ['common.example'],
    extendedUsages: ['2b06010505070301', '2b06010505070302'],
    pathLength: undefined,
    permittedNames: undefined,
    excludedNames: [],
    signatureAlgorithm: '2a8648ce3d040302',
  })
})

test('no alternative names at all is not the same as none of our kind', () => {
  assert.equal(readCertificate(derOf({}))?.dnsNames, undefined)
  assert.deepEqual(readCertificate(derOf({ names: ['URI:https://uri.example'] }))?.dnsNames, [])
})

/** A dNSName of these octets, as openssl takes raw extensions. */
const rawName = (octets: string): Wanted => {
  const name = Buffer.from(octets, 'latin1')
  return {
    names: [
      `DER:30${(name.length + 2).toString(16).padStart(2, '0')}82${name.length.toString(16).padStart(2, '0')}${name.toString('hex')}`,
    ],
  }
}
const odd: [octets: string, why: string][] = [
  ['mail.example\0.evil.example', 'NUL: C code ends the name there'],
  ['mail.example, DNS:other.example', 'a space: Node prints it as two names (CVE-2021-44532)'],
  ['m\u00e4il.example', 'Latin-1 where A-labels belong'],
  ['mail.example\n', 'a line break'],
]
for (const [octets, why] of odd) {
  test(`a certificate for ${JSON.stringify(octets)} is read as nobody's: ${why}`, () => {
    assert.equal(readCertificate(derOf(rawName(octets))), undefined)
  })
}

test('all the public authorities that Node ships can be read', () => {
  for (const pem of rootCertificates) {
    const certificate = new X509Certificate(pem)
    assert.notEqual(readCertificate(certificate.raw), undefined, certificate.subject)
  }
})

test('hostile bytes: a changed, cut or lengthened certificate is read or not, and nothing is thrown', () => {
  const der = derOf({ names: ['DNS:mail.example'], usage: ['clientAuth'] })
  fc.assert(
    fc.property(
      fc.nat(der.length - 1),
      fc.nat(255),
      fc.nat(der.length),
      fc.uint8Array({ maxLength: 20 }),
      (at, octet, end, tail) => {
        const changed = Buffer.from(der)
        changed[at] = octet
        for (const bytes of [
          changed,
          changed.subarray(0, end),
          Buffer.concat([changed.subarray(0, end), tail]),
          tail,
        ]) {
          const facts = readCertificate(bytes)
          for (const name of facts?.dnsNames ?? []) assert.match(name, /^[!-~]*$/)
        }
      },
    ),
    { numRuns: 2000 },
  )
})
