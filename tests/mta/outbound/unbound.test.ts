// A real validating resolver: what it says of signed, badly signed and unsigned zones, and what becomes of mail for their domains (DL-7, RFC 7672).
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { addressRules } from '../../../mta/outbound/address-rules.ts'
import { DnsClient } from '../../../mta/outbound/dns-client.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import { NextHop } from '../../harness/next-hop.ts'
import { startUnbound, whyNoUnbound } from '../../harness/unbound.ts'
import type { Unbound } from '../../harness/unbound.ts'
import { mxWorld } from './mx-world.ts'
import { statuses, tlsaOf } from './tls-world.ts'

const missing = whyNoUnbound()
if (missing !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${missing}`)
const options = missing === undefined ? {} : { skip: missing }

const authority = new TestAuthority()
const shown = authority.selfSigned({ names: ['DNS:mx.secure.test'] })
const another = authority.selfSigned({ names: ['DNS:mx.secure.test'] })
let unbound: Unbound | undefined
let hop: NextHop

function tlsa(files: { certificate: string }): string {
  const { certificate } = tlsaOf(new X509Certificate(readFileSync(files.certificate)), 3, 1, 1)
  return `3 1 1 ${certificate.toString('hex')}`
}

before(async () => {
  if (missing !== undefined) return
  hop = await NextHop.start({ tls: shown, address: '127.0.0.2' })
  const records = (domain: string) => [
    `@ IN MX 10 mx.${domain}.`,
    'mx IN A 127.0.0.2',
    `_${hop.port}._tcp.mx IN TLSA ${tlsa(shown)}`,
  ]
  unbound = await startUnbound([
    {
      name: 'secure.test',
      signed: 'well',
      records: [
        ...records('secure.test'),
        'wrong IN MX 10 wrong-mx',
        'wrong-mx IN A 127.0.0.2',
        `_${hop.port}._tcp.wrong-mx IN TLSA ${tlsa(another)}`,
        'without IN MX 10 without-mx',
        'without-mx IN A 127.0.0.2',
        'nullmx IN MX 0 .',
        'nothing IN TXT "no mail"',
      ],
    },
    { name: 'bogus.test', signed: 'bogus', records: records('bogus.test') },
    {
      name: 'plain.test',
      signed: 'not',
      records: [...records('plain.test').slice(0, 2), `_${hop.port}._tcp.mx IN TLSA ${tlsa(another)}`],
    },
  ])
})

after(async () => {
  await unbound?.[Symbol.asyncDispose]()
  await hop?.close()
  authority[Symbol.dispose]()
})

function resolver(): DnsClient {
  return new DnsClient({
    servers: [{ address: '127.0.0.1', port: unbound?.port ?? 0 }],
    wantsDnssec: true,
    random: Math.random,
    monotonicMs: () => performance.now(),
  })
}

test('unbound’s word for a zone is seen: validated, not signed, or failed', options, async () => {
  const dns = resolver()
  const seen = async (name: string, type: 'MX' | 'A') => {
    const answer = await dns.query(name, type)
    return [answer.kind, answer.kind === 'failed' ? answer.text : answer.isSecure]
  }
  assert.deepEqual(await seen('secure.test', 'MX'), ['records', true])
  assert.deepEqual(await seen('mx.secure.test', 'A'), ['records', true])
  assert.deepEqual(await seen('nothing.secure.test', 'MX'), ['none', true])
  assert.deepEqual(await seen('missing.secure.test', 'MX'), ['none', true])
  assert.deepEqual(await seen('plain.test', 'MX'), ['records', false])
  assert.deepEqual(await seen('bogus.test', 'MX'), ['failed', 'SERVFAIL'])
})

const cases: [domain: string, status: string, proof: string | undefined, why: string][] = [
  ['secure.test', 'delivered 2.0.0', 'dane', 'the certificate is the one that the signed zone names'],
  ['wrong.secure.test', 'deferred 4.7.5', undefined, 'it names another'],
  ['without.secure.test', 'delivered 2.0.0', 'nothing', 'signed, without TLSA records: TLS as it is offered'],
  ['plain.test', 'delivered 2.0.0', 'nothing', 'records that nobody signed bind nobody'],
  ['bogus.test', 'deferred 4.4.3', undefined, 'a zone whose signatures are wrong is no zone to send to'],
  ['nullmx.secure.test', 'failed 5.1.10', undefined, 'RFC 7505'],
  ['missing.secure.test', 'failed 5.1.2', undefined, 'proven not to exist'],
]
for (const [domain, status, proof, why] of cases) {
  test(`DL-7, with unbound: mail for ${domain}: ${status} (${why})`, options, async () => {
    await using world = await mxWorld({ dns: resolver(), usesDane: true, mayConnect: addressRules(['127.0.0.0/8']) })
    const made = await world.sendAt(domain, hop.port)
    assert.deepEqual([statuses(made), made.tls?.verifiedBy], [[status], proof])
  })
}
