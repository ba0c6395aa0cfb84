// DL-7: what becomes of mail by DANE × MTA-STS × what the host does, with a resolver and hosts that are real but for their truthfulness.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { DnsClient } from '../../../mta/outbound/dns-client.ts'
import { parseStsPolicy } from '../../../mta/outbound/mta-sts-policy.ts'
import { StsPolicies } from '../../../mta/outbound/mta-sts.ts'
import { resultOf } from '../../../mta/outbound/tls-report.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import type { MadeCertificate } from '../../harness/certificates.ts'
import type { NextHop, NextHopOptions } from '../../harness/next-hop.ts'
import { listLog } from '../queue/world.ts'
import { message } from './fixtures.ts'
import { mxWorld } from './mx-world.ts'
import type { MxWorld } from './mx-world.ts'
import { credentialsWith, statuses, tlsaOf } from './tls-world.ts'

const authority = new TestAuthority()
const NAME = 'mx.example.net'
const certificates = {
  trusted: authority.issue({ names: [`DNS:${NAME}`] }),
  selfSigned: authority.selfSigned({ names: [`DNS:${NAME}`] }),
  misnamed: authority.issue({ names: ['DNS:other.example'] }),
}
const foreign = authority.issue({ names: [`DNS:${NAME}`] })
const directory = mkdtempSync(join(tmpdir(), 'causeway-matrix-'))
after(() => {
  authority[Symbol.dispose]()
  rmSync(directory, { recursive: true, force: true })
})

const HOSTS = ['trusted', 'selfSigned', 'misnamed', 'cleartext'] as const
type Host = (typeof HOSTS)[number]
const DANES = [
  'none',
  'matches',
  'differs',
  'unusable',
  'failed',
  'unvalidated',
  'unvalidated MX',
  'unvalidated address',
] as const
type Dane = (typeof DANES)[number]
const STSES = [
  'none',
  'enforce',
  'enforce without this host',
  'testing',
  'testing without this host',
  'mode none',
] as const
type Sts = (typeof STSES)[number]

const read = ({ certificate }: Pick<MadeCertificate, 'certificate'>) => new X509Certificate(readFileSync(certificate))

function sayDane(world: MxWorld, dane: Dane, host: Host): void {
  const shown = read(certificates[host === 'cleartext' ? 'trusted' : host])
  const isSecure = dane !== 'unvalidated MX'
  world.dns.mx('example.net', [[10, NAME]], { isSecure })
  world.dns.address(NAME, ['127.0.0.2'], { isSecure: dane !== 'unvalidated address' })
  const name = `_${world.port}._tcp.${NAME}`
  if (dane === 'failed') world.dns.say(`TLSA ${name}`, { rcode: 'SERVFAIL' })
  else if (dane === 'differs') world.dns.tlsa(name, [tlsaOf(read(foreign), 3, 1, 1)], { isSecure: true })
  else if (dane === 'unusable')
    world.dns.tlsa(name, [tlsaOf(shown, 1, 1, 1), tlsaOf(shown, 0, 0, 1)], { isSecure: true })
  else if (dane === 'matches') world.dns.tlsa(name, [tlsaOf(shown, 3, 1, 1)], { isSecure: true })
  // Somebody between the resolver and the zone would let mail through to himself, or to nobody.
  else if (dane !== 'none') world.dns.tlsa(name, [tlsaOf(read(foreign), 3, 1, 1)], { isSecure: dane !== 'unvalidated' })
}

let files = 0

function stsOf(world: { dns: { port: number } }, sts: Sts): StsPolicies {
  const mode = sts.startsWith('mode') ? 'none' : sts.split(' ')[0]
  const mx = sts.includes('without') ? 'elsewhere.example.net' : '*.example.net'
  const policy = parseStsPolicy(`version: STSv1\nmode: ${mode}\nmx: ${mx}\nmax_age: 86400`)
  return new StsPolicies({
    dns: new DnsClient({
      servers: [{ address: '127.0.0.1', port: world.dns.port }],
      wantsDnssec: true,
      random: Math.random,
      monotonicMs: () => performance.now(),
    }),
    fetchPolicy: async () => (policy === undefined ? assert.fail(sts) : { policy }),
    file: join(directory, `${++files}.json`),
    log: listLog([]),
    now: Date.now,
  })
}

function hostOptions(host: Host): NextHopOptions {
  const offersInside = ['PIPELINING', 'SIZE 50000000', '8BITMIME', 'REQUIRETLS']
  return host === 'cleartext' ? {} : { tls: { ...certificates[host], offersInside } }
}

/** What RFC 7672 §2.2 and RFC 8461 §5 ask for, in so many words. */
function expectedOf(dane: Dane, sts: Sts, host: Host): { status: string; proof: string | undefined } {
  const unencrypted = { status: 'deferred 4.7.4', proof: undefined }
  const unverified = { status: 'deferred 4.7.5', proof: undefined }
  const taken = (proof: string | undefined) => ({ status: 'delivered 2.0.0', proof })
  const byPkix = host === 'cleartext' ? unencrypted : host === 'trusted' ? taken('mta-sts') : unverified
  if (dane === 'failed') return unverified
  if (dane === 'matches') return host === 'cleartext' ? unencrypted : taken('dane')
  if (dane === 'differs') return host === 'cleartext' ? unencrypted : unverified
  if (sts === 'enforce') return byPkix
  if (sts === 'enforce without this host') return unverified
  if (host === 'cleartext') return dane === 'unusable' ? unencrypted : taken(undefined)
  return taken('nothing')
}

for (const dane of DANES) {
  test(`DL-7: DANE ${dane}, with every MTA-STS policy and every kind of host`, async () => {
    for (const sts of STSES) {
      for (const host of HOSTS) {
        const where = `DANE ${dane}, MTA-STS ${sts}, host ${host}`
        const { made, hop } = await tried(dane, sts, host)
        const { status, proof } = expectedOf(dane, sts, host)
        assert.deepEqual([statuses(made), made.tls?.verifiedBy], [[status], proof], where)
        assert.equal(hop.taken.length, status.startsWith('delivered') ? 1 : 0, where)
        assert.equal(made.host, status.startsWith('delivered') ? 'well' : 'down', where)
      }
    }
  })
}

async function tried(dane: Dane, sts: Sts, host: Host, content = message('A: b\r\n\r\n', 'x\r\n')) {
  let policies: StsPolicies | undefined
  await using world = await mxWorld(
    {
      usesDane: true,
      trust: authority.certificate,
      sts: { policyOf: async (domain) => (await policies?.policyOf(domain)) ?? { policy: undefined } },
    },
    { credentials: () => credentialsWith(authority) },
  )
  policies = stsOf(world, sts)
  if (sts !== 'none') world.dns.txt('_mta-sts.example.net', ['v=STSv1; id=1'])
  sayDane(world, dane, host)
  const hop: NextHop = await world.host(2, hostOptions(host))
  const made = await world.send('example.net', content)
  await policies.close()
  return { made, hop, results: world.reports.map(resultOf) }
}

const requireTls: [dane: Dane, sts: Sts, host: Host, expected: string, why: string][] = [
  ['matches', 'none', 'selfSigned', 'delivered 2.0.0', 'proven by DANE'],
  ['none', 'enforce', 'trusted', 'delivered 2.0.0', 'proven by MTA-STS'],
  ['none', 'testing', 'trusted', 'failed 5.7.10', 'a policy under test proves nothing'],
  ['none', 'none', 'trusted', 'failed 5.7.10', 'nobody says that this is the host of the domain'],
  ['none', 'none', 'cleartext', 'failed 5.7.10', 'in cleartext never'],
  ['unusable', 'none', 'trusted', 'failed 5.7.10', 'encrypted, to whomever'],
  ['differs', 'none', 'trusted', 'deferred 4.7.5', 'the host may mend its record'],
]
for (const [dane, sts, host, expected, why] of requireTls) {
  test(`R12, DL-7: REQUIRETLS with DANE ${dane}, MTA-STS ${sts}, host ${host}: ${expected} (${why})`, async () => {
    const { made, hop } = await tried(dane, sts, host, message('A: b\r\n\r\n', 'x\r\n', { requireTls: true }))
    assert.deepEqual(statuses(made), [expected])
    assert.ok(hop.taken.every(({ mail }) => mail.endsWith(' REQUIRETLS')))
    assert.equal(hop.taken.length, expected.startsWith('delivered') ? 1 : 0)
  })
}

test('R12: a host that proves itself and does not offer REQUIRETLS is passed over for one that does', async () => {
  await using world = await mxWorld({ usesDane: true })
  world.dns.mx(
    'example.net',
    [
      [10, 'a.example.net'],
      [20, 'b.example.net'],
    ],
    { isSecure: true },
  )
  for (const [index, name] of ['a.example.net', 'b.example.net'].entries()) {
    world.dns.address(name, [`127.0.0.${index + 2}`], { isSecure: true })
    world.dns.tlsa(`_${world.port}._tcp.${name}`, [tlsaOf(read(foreign), 3, 1, 1)], { isSecure: true })
  }
  const without = await world.host(2, { tls: { ...foreign, offersInside: ['PIPELINING'] } })
  const withIt = await world.host(3, { tls: { ...foreign, offersInside: ['PIPELINING', 'REQUIRETLS'] } })
  const made = await world.send('example.net', message('A: b\r\n\r\n', 'x\r\n', { requireTls: true }))
  assert.deepEqual([statuses(made), without.taken.length, withIt.taken.length], [['delivered 2.0.0'], 0, 1])
  withIt.behave({ tls: { ...foreign, offersInside: ['PIPELINING'] } })
  world.pool.abort()
})

test('DL-7: where every host that proves itself lacks REQUIRETLS the message is bounced 5.7.30', async () => {
  await using world = await mxWorld({ usesDane: true })
  world.dns.mx('example.net', [[10, NAME]], { isSecure: true })
  world.dns.address(NAME, ['127.0.0.2'], { isSecure: true })
  world.dns.tlsa(`_${world.port}._tcp.${NAME}`, [tlsaOf(read(foreign), 3, 1, 1)], { isSecure: true })
  const hop = await world.host(2, { tls: { ...foreign, offersInside: ['PIPELINING'] } })
  const made = await world.send('example.net', message('A: b\r\n\r\n', 'x\r\n', { requireTls: true }))
  assert.deepEqual([statuses(made), hop.taken.length], [['failed 5.7.30'], 0])
})

test('RFC 7672 §2.2.2: behind an alias the records stand under the name that it leads to, which is told in SNI', async () => {
  await using world = await mxWorld({ usesDane: true })
  world.dns.mx('example.net', [[10, 'alias.example.net']], { isSecure: true })
  world.dns.say('A alias.example.net', {
    isSecure: true,
    answers: [
      { type: 'CNAME', name: 'alias.example.net', ttl: 60, data: NAME },
      { type: 'A', name: NAME, ttl: 60, data: '127.0.0.2' },
    ],
  })
  world.dns.say('AAAA alias.example.net', { isSecure: true })
  world.dns.tlsa(`_${world.port}._tcp.${NAME}`, [tlsaOf(read(foreign), 3, 1, 1)], { isSecure: true })
  const hop = await world.host(2, { tls: foreign })
  const made = await world.send('example.net')
  assert.deepEqual(
    [statuses(made), made.tls?.verifiedBy, hop.handshakes[0]?.servername],
    [['delivered 2.0.0'], 'dane', NAME],
  )
})

test('RFC 7672 §2.2.2: an alias into an unsigned zone is held to the records beside the alias, if those are signed', async () => {
  for (const [record, isSecure, status, proof] of [
    [foreign, true, 'delivered 2.0.0', 'dane'],
    [certificates.trusted, true, 'deferred 4.7.5', undefined],
    [certificates.trusted, false, 'delivered 2.0.0', 'nothing'],
  ] as const) {
    await using world = await mxWorld({ usesDane: true })
    world.dns.mx('example.net', [[10, 'alias.example.net']], { isSecure: true })
    world.dns.say('A alias.example.net', {
      answers: [
        { type: 'CNAME', name: 'alias.example.net', ttl: 60, data: 'host.unsigned.example' },
        { type: 'A', name: 'host.unsigned.example', ttl: 60, data: '127.0.0.2' },
      ],
    })
    world.dns.say('AAAA alias.example.net', {})
    world.dns.tlsa(`_${world.port}._tcp.alias.example.net`, [tlsaOf(read(record), 3, 1, 1)], { isSecure })
    await world.host(2, { tls: foreign })
    const made = await world.send('example.net')
    assert.deepEqual([statuses(made), made.tls?.verifiedBy], [[status], proof])
  }
})

test('DL-7: a host whose TLSA records can not be looked up is passed over, never used without them', async () => {
  await using world = await mxWorld({ usesDane: true })
  world.dns.mx(
    'example.net',
    [
      [10, 'a.example.net'],
      [20, 'b.example.net'],
    ],
    { isSecure: true },
  )
  for (const [index, name] of ['a.example.net', 'b.example.net'].entries())
    world.dns.address(name, [`127.0.0.${index + 2}`], { isSecure: true })
  world.dns.say(`TLSA _${world.port}._tcp.a.example.net`, { rcode: 'SERVFAIL' })
  const [passedOver, used] = [await world.host(2), await world.host(3)]
  assert.deepEqual(statuses(await world.send('example.net')), ['delivered 2.0.0'])
  assert.deepEqual([passedOver.connections, used.taken.length], [0, 1])
})

test('with `dane: false` no TLSA record is asked for', async () => {
  await using world = await mxWorld()
  sayDane(world, 'differs', 'trusted')
  await world.host(2, hostOptions('trusted'))
  assert.deepEqual(statuses(await world.send('example.net')), ['delivered 2.0.0'])
  assert.ok(!world.dns.asked.some((question) => question.startsWith('TLSA')))
})

const reported: [dane: Dane, sts: Sts, host: Host, result: string, why: string][] = [
  ['none', 'none', 'trusted', 'success', 'TLS is TLS'],
  ['none', 'none', 'cleartext', 'starttls-not-supported', 'without a policy as well'],
  ['none', 'enforce', 'trusted', 'success', ''],
  ['none', 'enforce', 'misnamed', 'certificate-host-mismatch', ''],
  ['none', 'enforce', 'selfSigned', 'certificate-not-trusted', ''],
  ['none', 'enforce', 'cleartext', 'starttls-not-supported', ''],
  ['none', 'enforce without this host', 'trusted', 'validation-failure', 'RFC 8460 §4.3.2.2'],
  ['none', 'testing', 'trusted', 'success', ''],
  ['none', 'testing', 'misnamed', 'certificate-host-mismatch', 'the mail went on'],
  ['none', 'testing', 'cleartext', 'starttls-not-supported', 'the mail went on'],
  ['none', 'testing without this host', 'trusted', 'validation-failure', 'the mail went on'],
  ['matches', 'enforce', 'selfSigned', 'success', 'DANE wins'],
  ['differs', 'enforce', 'trusted', 'tlsa-invalid', 'DANE wins'],
  ['failed', 'enforce', 'trusted', 'dnssec-invalid', ''],
]
for (const [dane, sts, host, result, why] of reported) {
  test(`DL-8: DANE ${dane}, MTA-STS ${sts}, host ${host} is reported as ${result}. ${why}`, async () => {
    assert.deepEqual((await tried(dane, sts, host)).results, [result])
  })
}
