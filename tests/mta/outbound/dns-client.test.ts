// The resolver's answers and what may pose as one: RFC 5452, 2308, 7766.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode, encode } from 'dns-packet'
import type { DecodedPacket } from 'dns-packet'
import fc from 'fast-check'
import { DnsClient } from '../../../mta/outbound/dns-client.ts'
import type { DnsClientDeps } from '../../../mta/outbound/dns-client.ts'
import { dnsQuestion, readDnsAnswer } from '../../../mta/outbound/dns-message.ts'
import { answerTo, DnsServer } from '../../harness/dns-server.ts'
import type { Said } from '../../harness/dns-server.ts'
import { freePort } from '../../harness/ports.ts'

function client(server: { port: number }, more: Partial<DnsClientDeps> = {}): DnsClient {
  return new DnsClient({
    servers: [{ address: '127.0.0.1', port: server.port }],
    wantsDnssec: true,
    random: Math.random,
    monotonicMs: () => performance.now(),
    waitMs: 2_000,
    ...more,
  })
}

test('records come with their alias, their time to live and the resolver’s word for them', async () => {
  await using server = await DnsServer.start()
  server.say('A mx.example', {
    isSecure: true,
    answers: [
      { type: 'CNAME', name: 'mx.example', ttl: 20, data: 'Host.Example' },
      { type: 'A', name: 'host.example', ttl: 30, data: '192.0.2.1' },
      { type: 'A', name: 'stranger.example', ttl: 30, data: '192.0.2.66' },
    ],
  })
  assert.deepEqual(await client(server).query('mx.example', 'A'), {
    kind: 'records',
    records: ['192.0.2.1'],
    canonicalName: 'host.example',
    isSecure: true,
    ttlMs: 20_000,
  })
})

test('DANE needs it: the question asks for validation (AD and DO)', () => {
  const { flag_ad: ad, additionals } = decode(dnsQuestion({ name: 'example.net', type: 'MX' }, 7, true))
  const [opt] = additionals ?? []
  assert.deepEqual([ad, opt?.type === 'OPT' && opt.flag_do], [true, true])
})

const meanings: [name: string, said: Said, expected: Record<string, unknown>, why: string][] = [
  ['NXDOMAIN', { rcode: 'NXDOMAIN' }, { kind: 'none', nameExists: false }, 'RFC 2308: its zone says so'],
  ['NXDOMAIN without SOA', { rcode: 'NXDOMAIN', hasSoa: false }, { kind: 'failed' }, 'nobody says so: temporary'],
  ['no data', {}, { kind: 'none', nameExists: true }, 'the name has other records'],
  ['SERVFAIL', { rcode: 'SERVFAIL' }, { kind: 'failed', text: 'SERVFAIL' }, 'DL-2: also a bogus signature'],
  ['REFUSED', { rcode: 'REFUSED' }, { kind: 'failed', text: 'REFUSED' }, 'the resolver is not ours'],
  [
    'aliases in a circle',
    {
      answers: [
        { type: 'CNAME', name: 'a.example', ttl: 1, data: 'b.example' },
        { type: 'CNAME', name: 'b.example', ttl: 1, data: 'a.example' },
      ],
    },
    { kind: 'failed' },
    'bounded',
  ],
]
for (const [name, said, expected, why] of meanings) {
  test(`${name}: ${String(expected['kind'])} (${why})`, async () => {
    await using server = await DnsServer.start()
    server.say('MX a.example', said)
    const answer: Record<string, unknown> = { ...(await client(server).query('a.example', 'MX')) }
    for (const [key, value] of Object.entries(expected)) assert.equal(answer[key], value, key)
  })
}

const real: Said = { answers: [{ type: 'A', name: 'a.example', ttl: 300, data: '192.0.2.1' }] }
const evil = (query: DecodedPacket, more: Partial<DecodedPacket>): Buffer =>
  answerTo({ ...query, ...more }, { answers: [{ type: 'A', name: 'a.example', ttl: 300, data: '192.0.2.66' }] })
const forgeries: [name: string, forge: (query: DecodedPacket) => Buffer][] = [
  ['another id', (query) => evil(query, { id: ((query.id ?? 0) + 1) & 0xffff })],
  ['another question', (query) => evil(query, { questions: [{ type: 'A', name: 'b.example' }] })],
  ['another type', (query) => evil(query, { questions: [{ type: 'AAAA', name: 'a.example' }] })],
  ['no question', (query) => evil(query, { questions: [] })],
  ['a query', (query) => encode({ type: 'query', id: query.id ?? 0, questions: query.questions ?? [] })],
  ['garbage', () => Buffer.from('not DNS at all')],
  ['nothing', () => Buffer.alloc(0)],
]
for (const [name, forge] of forgeries) {
  test(`RFC 5452: ${name} is not the answer; the real one, after it, is`, async () => {
    await using server = await DnsServer.start()
    server.say('A a.example', { ...real, before: (query) => [forge(query), forge(query)] })
    const answer = await client(server).query('a.example', 'A')
    assert.deepEqual(answer.kind === 'records' && answer.records, ['192.0.2.1'])
  })
}

test('RFC 5452: nothing but forgeries is no answer', async () => {
  await using server = await DnsServer.start()
  server.say('A a.example', { raw: (query) => evil(query, { id: ((query.id ?? 0) + 1) & 0xffff }) })
  assert.equal((await client(server, { waitMs: 50 }).query('a.example', 'A')).kind, 'failed')
})

test('RFC 5452 §9.2: every question has a source port and an id of its own', async () => {
  await using server = await DnsServer.start()
  const dns = client(server)
  for (let i = 0; i < 20; i++) await dns.query(`a${i}.example`, 'A')
  assert.ok(new Set(server.sources.map(({ port }) => port)).size > 10)
  assert.ok(new Set(server.sources.map(({ id }) => id)).size > 15)
})

test('a truncated answer is asked for again over TCP, in whatever pieces it comes', async () => {
  await using server = await DnsServer.start()
  const many = Array.from({ length: 60 }, (_, i) => ({
    type: 'A' as const,
    name: 'a.example',
    ttl: 9,
    data: `192.0.2.${i}`,
  }))
  server.say('A a.example', { answers: many, isTruncated: true })
  const answer = await client(server).query('a.example', 'A')
  assert.equal(answer.kind === 'records' && answer.records.length, 60)
  assert.deepEqual(server.askedOverTcp, ['A a.example'])
})

test('an answer cut off in the middle of a record is truncated when it says so, and garbage when not', () => {
  const query = decode(dnsQuestion({ name: 'a.example', type: 'A' }, 7, false))
  const whole = answerTo(query, real)
  const cut = Buffer.from(whole.subarray(0, whole.length - 3))
  assert.equal(readDnsAnswer(cut, { name: 'a.example', type: 'A' }, 7).kind, 'foreign')
  cut[2] = (cut[2] ?? 0) | 2
  assert.equal(readDnsAnswer(cut, { name: 'a.example', type: 'A' }, 7).kind, 'truncated')
})

test('DL-2: a resolver that is silent, or absent, costs a bounded time, and the next one is asked', async () => {
  await using silent = await DnsServer.start()
  await using server = await DnsServer.start()
  silent.say('A a.example', { isSilent: true })
  server.say('A a.example', real)
  const absent = { address: '127.0.0.1', port: await freePort() }
  const servers = [absent, { address: '127.0.0.1', port: silent.port }, { address: '127.0.0.1', port: server.port }]
  assert.equal((await client(server, { servers, waitMs: 50 }).query('a.example', 'A')).kind, 'records')
  const none = await client(server, { servers: servers.slice(0, 2), waitMs: 50 }).query('a.example', 'A')
  assert.deepEqual(none, { kind: 'failed', text: 'no answer in time' })
})

test('a server that does not know is passed over for one that does', async () => {
  await using broken = await DnsServer.start()
  await using server = await DnsServer.start()
  broken.say('A a.example', { rcode: 'SERVFAIL' })
  server.say('A a.example', real)
  const servers = [broken, server].map(({ port }) => ({ address: '127.0.0.1', port }))
  assert.equal((await client(server, { servers }).query('a.example', 'A')).kind, 'records')
})

test('an answer is kept as long as it says, within bounds, and a failure not at all', async () => {
  await using server = await DnsServer.start()
  let now = 0
  const dns = client(server, { monotonicMs: () => now })
  const asks = async (question: string, times: number): Promise<void> => {
    const [type, name = ''] = question.split(' ')
    await dns.query(name, type as 'A')
    assert.equal(server.asked.filter((each) => each === question).length, times, `${question} at ${now}`)
  }
  const a = (name: string, ttl: number) =>
    server.say(`A ${name}`, { answers: [{ type: 'A', name, ttl, data: '192.0.2.1' }] })
  a('zero.example', 0)
  a('minute.example', 60)
  a('year.example', 31_536_000)
  server.say('A none.example', {})
  server.say('A broken.example', { rcode: 'SERVFAIL' })
  for (const name of ['zero', 'minute', 'year', 'none']) await asks(`A ${name}.example`, 1)
  await asks('A broken.example', 2)
  await asks('A broken.example', 4)
  now = 4_999
  await asks('A zero.example', 1)
  now = 5_000
  await asks('A zero.example', 2)
  now = 59_999
  await asks('A minute.example', 1)
  await asks('A none.example', 1)
  now = 60_000
  await asks('A minute.example', 2)
  await asks('A none.example', 2)
  now = 3_599_999
  await asks('A year.example', 1)
  now = 3_600_000
  await asks('A year.example', 2)
})

test('whoever asks the same at the same time asks once', async () => {
  await using server = await DnsServer.start()
  server.say('A a.example', real)
  const dns = client(server)
  await Promise.all(Array.from({ length: 50 }, () => dns.query('a.example', 'A')))
  assert.equal(server.asked.length, 1)
})

test('a name that is too long for DNS has no records, and is not asked for', async () => {
  await using server = await DnsServer.start()
  const answer = await client(server).query(`_mta-sts.${'a.'.repeat(125)}example`, 'TXT')
  assert.deepEqual([answer.kind, server.asked], ['none', []])
})

for (const name of [
  '',
  '.',
  'a..example',
  `${'a'.repeat(64)}.example`,
  'm\u00fcnchen.example',
  'a b.example',
  'a\0.example',
]) {
  test(`${JSON.stringify(name)} can not be asked for: nobody knows, and nothing is sent`, async () => {
    await using server = await DnsServer.start()
    const answer = await client(server).query(name, 'TLSA')
    assert.deepEqual([answer.kind, server.asked], ['failed', []])
  })
}

test('property: no octets make the reader throw, and only an answer to the question is one', () => {
  const question = { name: 'a.example', type: 'MX' } as const
  const whole = answerTo(decode(dnsQuestion(question, 7, true)), {
    answers: [{ type: 'MX', name: 'a.example', ttl: 1, data: { preference: 1, exchange: 'mx.example' } }],
  })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      assert.ok(
        ['foreign', 'truncated', 'failed', 'none', 'records'].includes(
          readDnsAnswer(Buffer.from(bytes), question, 7).kind,
        ),
      )
    }),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 6 }), (changes) => {
      const bytes = Buffer.from(whole)
      for (const [at, value] of changes) bytes[at] = value
      const read = readDnsAnswer(bytes, question, 7)
      if (read.kind === 'records') assert.equal(bytes.readUInt16BE(0), 7)
    }),
  )
})

test('hostile: an answer of 64 KiB full of aliases or pointers is read in bounded time', () => {
  const question = { name: 'a.example', type: 'A' } as const
  const header = Buffer.alloc(12)
  header.writeUInt16BE(7, 0)
  header.writeUInt16BE(0x8000, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(65_535, 6)
  const asked = dnsQuestion(question, 7, false).subarray(12, 12 + 15)
  const records = Buffer.alloc(65_000, Buffer.from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 1, 0, 2, 0xc0, 12]))
  const began = performance.now()
  readDnsAnswer(Buffer.concat([header, asked, records]), question, 7)
  assert.ok(performance.now() - began < 1_000)
})
