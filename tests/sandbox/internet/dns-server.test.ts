// The simulated internet's name server, asked by Node's resolver, and by clients that know no manners.
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { decode, encode, streamEncode } from 'dns-packet'
import fc from 'fast-check'
import { dnsAnswer } from '../../../sandbox/internet/dns-answer.ts'
import { DnsServer } from '../../../sandbox/internet/dns-server.ts'
import { Zones } from '../../../sandbox/internet/zones.ts'

const zones = new Zones()
let server: DnsServer

before(async () => {
  server = await DnsServer.start({ zones })
})
after(() => server.close())

function resolver(): Resolver {
  const one = new Resolver({ timeout: 2_000, tries: 1 })
  one.setServers([`127.0.0.1:${server.port}`])
  return one
}

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'an answer',
    (error: NodeJS.ErrnoException) => error.code,
  )

test('Node reads every type of record, whatever the case of the question', async () => {
  zones.set('Host.Example.NET.', 'A', '127.0.0.1', '127.0.0.2')
  zones.set('host.example.net', 'AAAA', '::1')
  zones.set(
    'example.net',
    'MX',
    { preference: 20, exchange: 'b.example.net' },
    { preference: 10, exchange: 'a.example.net' },
  )
  zones.set('www.example.net', 'CNAME', 'host.example.net')
  const asked = resolver()
  assert.deepEqual((await asked.resolve4('hOsT.example.net')).toSorted(), ['127.0.0.1', '127.0.0.2'])
  assert.deepEqual(await asked.resolve6('host.example.net'), ['::1'])
  assert.deepEqual(
    (await asked.resolveMx('example.net')).map(({ priority, exchange }) => `${priority} ${exchange}`).toSorted(),
    ['10 a.example.net', '20 b.example.net'],
  )
  assert.deepEqual(await asked.resolveCname('www.example.net'), ['host.example.net'])
  assert.deepEqual((await asked.resolve4('www.example.net')).toSorted(), ['127.0.0.1', '127.0.0.2'])
})

test('a text of more than 255 octets comes in strings, one too large for UDP over TCP', async () => {
  const key = `v=DKIM1; k=rsa; p=${'A'.repeat(736)}`
  zones.set('s._domainkey.example.net', 'TXT', key)
  const [strings = []] = await resolver().resolveTxt('s._domainkey.example.net')
  assert.ok(strings.length === 3 && strings.every((text) => text.length <= 255))
  assert.equal(strings.join(''), key)
  const large = Array.from({ length: 4 }, (_, i) => `${i}${'x'.repeat(1_500)}`)
  zones.set('large.example.net', 'TXT', ...large)
  const found = await resolver().resolveTxt('large.example.net')
  assert.deepEqual(found.map((one) => one.join('')).toSorted(), large)
  const query = encode({ type: 'query', id: 7, questions: [{ type: 'TXT', name: 'large.example.net' }] })
  const short = dnsAnswer(zones, query, { transport: 'udp', ttlS: 60 })
  assert.ok(short !== undefined && short.length <= 512 && decode(short).flag_tc)
})

test('a name that is not there is told from one that holds nothing of the type', async () => {
  zones.set('a.deep.example.org', 'A', '127.0.0.1')
  const rows: [name: string, type: string, expected: string, why: string][] = [
    ['nowhere.example.org', 'A', 'ENOTFOUND', 'no such name'],
    ['a.deep.example.org', 'MX', 'ENODATA', 'another type'],
    ['deep.example.org', 'A', 'ENODATA', 'only names below it'],
    ['b.a.deep.example.org', 'A', 'ENOTFOUND', 'below a name'],
  ]
  for (const [name, type, expected, why] of rows) {
    assert.equal(await codeOf(resolver().resolve(name, type)), expected, why)
  }
  zones.remove('a.deep.example.org')
  assert.equal(await codeOf(resolver().resolve4('deep.example.org')), 'ENOTFOUND', 'nothing is left below it')
})

test('negative answers say how long they hold', () => {
  const query = encode({ type: 'query', id: 7, questions: [{ type: 'A', name: 'nowhere.test' }] })
  const answer = dnsAnswer(zones, query, { transport: 'udp', ttlS: 33 })
  assert.ok(answer !== undefined)
  assert.deepEqual(
    decode(answer).authorities?.map((record) => record.type === 'SOA' && record.data.minimum),
    [33],
  )
})

test('what is changed is answered at once', async () => {
  zones.set('moves.example.net', 'A', '127.0.0.1')
  const asked = resolver()
  assert.deepEqual(await asked.resolve4('moves.example.net'), ['127.0.0.1'])
  zones.set('moves.example.net', 'A', '127.0.0.9')
  assert.deepEqual(await resolver().resolve4('moves.example.net'), ['127.0.0.9'])
  zones.remove('moves.example.net', 'A')
  assert.equal(await codeOf(resolver().resolve4('moves.example.net')), 'ENOTFOUND')
})

test('aliases in a circle end in an error, aliases to nowhere in NXDOMAIN', async () => {
  zones.set('one.circle.test', 'CNAME', 'two.circle.test')
  zones.set('two.circle.test', 'CNAME', 'one.circle.test')
  zones.set('lost.circle.test', 'CNAME', 'nowhere.test')
  assert.equal(await codeOf(resolver().resolve4('one.circle.test')), 'ESERVFAIL')
  assert.equal(await codeOf(resolver().resolve4('lost.circle.test')), 'ENOTFOUND')
})

test('records that no name server would take are refused', () => {
  const rows: [attempt: () => void, why: string][] = [
    [() => zones.set('-bad.test', 'A', '127.0.0.1'), 'a label that begins with a hyphen'],
    [() => zones.set(`${'a'.repeat(64)}.test`, 'A', '127.0.0.1'), 'a label of 64 octets'],
    [() => zones.set('a..test', 'A', '127.0.0.1'), 'an empty label'],
    [() => zones.set('bad.test', 'A', '::1'), 'an address of the other kind'],
    [() => zones.set('bad.test', 'AAAA', '127.0.0.1'), 'an address of the other kind'],
    [
      () => zones.set('bad.test', 'MX', { preference: 70_000, exchange: 'a.test' }),
      'a preference of more than 16 bits',
    ],
    [() => zones.set('bad.test', 'TXT', 'x'.repeat(2_049)), 'a text too long'],
    [() => zones.set('bad.test', 'CNAME', 'a.test', 'b.test'), 'two aliases'],
  ]
  for (const [attempt, why] of rows) assert.throws(attempt, why)
  zones.set('alias.test', 'CNAME', 'a.test')
  assert.throws(() => zones.set('alias.test', 'A', '127.0.0.1'), 'something beside an alias')
  assert.equal(zones.find('bad.test'), undefined)
})

const QUERY = encode({ type: 'query', id: 0x1234, questions: [{ type: 'A', name: 'host.example.net' }] })

function changed(at: number, ...octets: readonly number[]): Buffer {
  const copy = Buffer.from(QUERY)
  Buffer.from(octets).copy(copy, at)
  return copy
}

test('hostile packets are answered with an error, or not at all', () => {
  const rows: [packet: Buffer, rcode: number | undefined, why: string][] = [
    [Buffer.alloc(0), undefined, 'nothing'],
    [QUERY.subarray(0, 11), undefined, 'half a header'],
    [changed(2, 0x80), undefined, 'an answer: two servers could go on for ever'],
    [changed(2, 0x28), 4, 'an update'],
    [changed(4, 0, 0), 1, 'no question'],
    [changed(4, 0, 2), 1, 'two questions'],
    [changed(6, 0xff, 0xff), 1, 'answers in a question'],
    [changed(10, 0xff, 0xff), 1, '65535 additional records'],
    [changed(12, 0xc0, 12), 1, 'a name that points to itself'],
    [changed(12, 0x3f), 1, 'a label beyond the end'],
    [changed(14, 0x2e), 1, 'a dot within a label'],
    [QUERY.subarray(0, -3), 1, 'half a question'],
    [changed(QUERY.length - 2, 0, 3), 5, 'class CHAOS'],
    [changed(QUERY.length - 4, 0, 252), 5, 'a zone transfer'],
    [Buffer.concat([QUERY, Buffer.alloc(5_000)]), 1, 'more than a question needs'],
  ]
  for (const [packet, rcode, why] of rows) {
    const answer = dnsAnswer(zones, packet, { transport: 'udp', ttlS: 60 })
    assert.equal(answer === undefined ? undefined : answer.readUInt16BE(2) & 15, rcode, why)
    if (answer !== undefined) assert.equal(answer.readUInt16BE(0), 0x1234, why)
  }
})

test('whatever the octets, nothing is thrown and every answer is one to the packet', () => {
  const mutated = fc
    .array(fc.tuple(fc.nat(QUERY.length - 1), fc.nat(255)), { maxLength: 6 })
    .map((changes) =>
      changes.reduce((packet, [at, octet]) => (packet.writeUInt8(octet, at), packet), Buffer.from(QUERY)),
    )
  const packets = fc.oneof(
    fc.uint8Array({ maxLength: 600 }).map((octets) => Buffer.from(octets)),
    mutated,
  )
  fc.assert(
    fc.property(packets, fc.constantFrom('udp' as const, 'tcp' as const), (packet, transport) => {
      const answer = dnsAnswer(zones, packet, { transport, ttlS: 60 })
      if (answer === undefined) return
      assert.equal(answer.readUInt16BE(0), packet.readUInt16BE(0))
      assert.ok((answer.readUInt16BE(2) & 0x8000) !== 0 && (transport === 'tcp' || answer.length <= 1_232))
    }),
    { numRuns: 1_000 },
  )
})

test('the server outlives rubbish over UDP and TCP', async () => {
  const udp = createSocket('udp4')
  for (let i = 0; i < 20; i++) udp.send(Buffer.alloc(i * 7, i), server.port, '127.0.0.1')
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(Buffer.alloc(100, 0xff))
  await once(socket, 'close')
  udp.close()
  zones.set('host.example.net', 'A', '127.0.0.1')
  assert.deepEqual(await resolver().resolve4('host.example.net'), ['127.0.0.1'])
})

test('several questions over one TCP connection, cut anywhere, are all answered', async () => {
  zones.set('host.example.net', 'A', '127.0.0.1')
  const ask = (id: number): Buffer =>
    streamEncode({ type: 'query', id, questions: [{ type: 'A', name: 'host.example.net' }] })
  const bytes = Buffer.concat([ask(1), ask(2), ask(3)])
  const socket = connect(server.port, '127.0.0.1')
  for (const octet of bytes) socket.write(Buffer.from([octet]))
  const ids: number[] = []
  let pending = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    pending = Buffer.concat([pending, chunk])
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      ids.push(pending.readUInt16BE(2))
      pending = pending.subarray(2 + pending.readUInt16BE(0))
    }
    if (ids.length === 3) break
  }
  assert.deepEqual(ids, [1, 2, 3])
})

test('three thousand questions in one go, more than fits into the way back, are all answered in their order', async () => {
  const COUNT = 3_000
  zones.set('large.example.net', 'TXT', 'x'.repeat(2_000))
  const questions = [{ type: 'TXT' as const, name: 'large.example.net' }]
  const socket = connect(server.port, '127.0.0.1')
  socket.write(Buffer.concat(Array.from({ length: COUNT }, (_, id) => streamEncode({ type: 'query', id, questions }))))
  await once(socket, 'connect')
  let bytes = 0
  let answers = 0
  let pending = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes += chunk.length
    pending = Buffer.concat([pending, chunk])
    for (; pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0); answers++) {
      assert.equal(pending.readUInt16BE(2), answers)
      pending = pending.subarray(2 + pending.readUInt16BE(0))
    }
    if (answers === COUNT) break
  }
  assert.ok(bytes > COUNT * 2_000)
})
