// Delivery by MX with a resolver that says anything and hosts that do anything: DL-7, DL-2, RFC 5321 §5.1, RFC 7505.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { addressRules } from '../../../mta/outbound/address-rules.ts'
import { mxHopOf } from '../../../mta/outbound/route.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import type { Said } from '../../harness/dns-server.ts'
import type { NextHopOptions } from '../../harness/next-hop.ts'
import { message, NO_CREDENTIALS } from './fixtures.ts'
import { mxWorld } from './mx-world.ts'
import type { MxWorld } from './mx-world.ts'
import { bareHost, statuses } from './tls-world.ts'

const authority = new TestAuthority()
const certificate = authority.selfSigned({ names: ['DNS:whoever.example'] })
after(() => authority[Symbol.dispose]())

test('DL-7: the most preferred host gets the mail, by its address, in TLS whoever it is', async () => {
  await using world = await mxWorld()
  world.dns.mx('example.net', [
    [20, 'second.example.net'],
    [10, 'First.Example.net'],
  ])
  world.dns.address('first.example.net', ['127.0.0.2'])
  world.dns.address('second.example.net', ['127.0.0.3'])
  const first = await world.host(2, { tls: certificate })
  const second = await world.host(3)
  const made = await world.send('example.net')
  assert.deepEqual(statuses(made), ['delivered 2.0.0'])
  assert.deepEqual(made.tls, { protocol: 'TLSv1.3', verifiedBy: 'nothing' })
  assert.equal(made.remote, `first.example.net:${world.port}`)
  assert.deepEqual([first.taken.length, second.connections], [1, 0])
  assert.equal(first.handshakes[0]?.servername, 'first.example.net')
})

test('the connection of a domain is kept for its next message, without a look-up', async () => {
  await using world = await mxWorld()
  world.dns.address('example.net', ['127.0.0.2'])
  world.dns.say('MX example.net', {})
  const host = await world.host(2)
  await world.send('example.net')
  const asked = world.dns.asked.length
  for (let i = 0; i < 3; i++) assert.deepEqual(statuses(await world.send('example.net')), ['delivered 2.0.0'])
  assert.deepEqual([host.connections, world.dns.asked.length], [1, asked])
})

test('R85: a connection of one domain is never used for another, though they share their host', async () => {
  await using world = await mxWorld()
  for (const domain of ['a.example', 'b.example']) world.dns.mx(domain, [[10, 'mx.example']])
  world.dns.address('mx.example', ['127.0.0.2'])
  const host = await world.host(2)
  for (const domain of ['a.example', 'b.example', 'a.example']) await world.send(domain)
  assert.equal(host.connections, 2)
})

test('RFC 5321 §5.1: hosts of one preference share the load', async () => {
  const seen = new Set<string>()
  for (let i = 0; i < 20 && seen.size < 2; i++) {
    await using world = await mxWorld()
    world.dns.mx('example.net', [
      [10, 'a.example.net'],
      [10, 'b.example.net'],
    ])
    world.dns.address('a.example.net', ['127.0.0.2'])
    world.dns.address('b.example.net', ['127.0.0.3'])
    await world.host(2)
    await world.host(3)
    seen.add((await world.send('example.net')).remote)
  }
  assert.equal(seen.size, 2)
})

const bad: [name: string, options: NextHopOptions | undefined, why: string][] = [
  ['is down', undefined, 'RFC 5321 §5.1'],
  [
    'greets with 554',
    { act: ({ stage }) => (stage === 'greeting' ? '554 5.7.1 not you' : undefined) },
    'DL-2: temporary',
  ],
  ['says 421 to EHLO', { act: ({ stage }) => (stage === 'EHLO' ? '421 4.3.2 busy' : undefined) }, 'DL-2'],
  ['hangs up', { act: ({ stage }) => (stage === 'greeting' ? { drop: true } : undefined) }, 'DL-2'],
]
for (const [name, options, why] of bad) {
  test(`a host that ${name} is passed over for the next one: ${why}`, async () => {
    await using world = await mxWorld()
    world.dns.mx('example.net', [
      [10, 'first.example.net'],
      [20, 'second.example.net'],
    ])
    world.dns.address('first.example.net', ['127.0.0.2'])
    world.dns.address('second.example.net', ['127.0.0.3'])
    if (options !== undefined) await world.host(2, options)
    const second = await world.host(3)
    const made = await world.send('example.net')
    assert.deepEqual([statuses(made), made.remote], [['delivered 2.0.0'], `second.example.net:${world.port}`])
    assert.equal(second.taken.length, 1)
  })
  test(`when every host ${name} the mail waits, and the domain is left alone for a while`, async () => {
    await using world = await mxWorld()
    world.dns.mx('example.net', [[10, 'first.example.net']])
    world.dns.address('first.example.net', ['127.0.0.2'])
    if (options !== undefined) await world.host(2, options)
    const made = await world.send('example.net')
    assert.deepEqual([made.outcomes[0]?.kind, made.host], ['deferred', 'down'])
  })
}

const verdicts: [name: string, say: (world: MxWorld) => void, expected: string, host: string, why: string][] = [
  ['null MX', ({ dns }) => dns.mx('example.net', [[0, '.']]), 'failed 5.1.10', 'well', 'DL-7, RFC 7505'],
  ['no such domain', () => {}, 'failed 5.1.2', 'well', 'only where its parent says so'],
  [
    'NXDOMAIN from nobody',
    ({ dns }) => dns.say('MX example.net', { rcode: 'NXDOMAIN', hasSoa: false }),
    'deferred 4.4.3',
    'down',
    'a resolver in trouble makes nobody bounce',
  ],
  ['SERVFAIL', ({ dns }) => dns.say('MX example.net', { rcode: 'SERVFAIL' }), 'deferred 4.4.3', 'down', 'DL-2'],
  ['silence', ({ dns }) => dns.say('MX example.net', { isSilent: true }), 'deferred 4.4.3', 'down', 'DL-2'],
  [
    'neither MX nor address',
    ({ dns }) => dns.say('TXT example.net', {}),
    'failed 5.1.2',
    'well',
    'RFC 5321 §5.1: the domain exists and takes no mail',
  ],
  [
    'SERVFAIL for the address',
    ({ dns }) => {
      dns.mx('example.net', [[10, 'mx.example.net']])
      dns.say('A mx.example.net', { rcode: 'SERVFAIL' })
      dns.say('AAAA mx.example.net', {})
    },
    'deferred 4.4.3',
    'down',
    'DL-2',
  ],
  [
    'a host without address',
    ({ dns }) => dns.mx('example.net', [[10, 'mx.example.net']]),
    'failed 5.4.4',
    'well',
    'RFC 5321 §5.1: no fallback to the address of the domain where there are MX records',
  ],
  [
    'hosts that are no names',
    ({ dns }) =>
      dns.mx('example.net', [
        [10, '-mx-.example'],
        [20, 'a b.example'],
      ]),
    'failed 5.4.4',
    'well',
    'nothing to look up',
  ],
  [
    'a host without address beside one that is down',
    ({ dns }) => {
      dns.mx('example.net', [
        [10, 'mx.example.net'],
        [20, 'down.example.net'],
      ])
      dns.address('down.example.net', ['127.0.0.9'])
    },
    'deferred 4.4.1',
    'down',
    'temporary as long as one may come back',
  ],
]
for (const [name, say, expected, host, why] of verdicts) {
  test(`${name}: ${expected} (${why})`, async () => {
    await using world = await mxWorld()
    say(world)
    const made = await world.send('example.net')
    assert.deepEqual([statuses(made), made.host, made.remote], [[expected], host, ''])
  })
}

test('DL-7: the null MX is answered 556 5.1.10', async () => {
  await using world = await mxWorld()
  world.dns.mx('example.net', [[0, '.']])
  assert.equal((await world.send('example.net')).outcomes[0]?.reply.code, 556)
})

test('RFC 7505 §3: a null MX among others is none', async () => {
  await using world = await mxWorld()
  world.dns.mx('example.net', [
    [0, '.'],
    [10, 'mx.example.net'],
  ])
  world.dns.address('mx.example.net', ['127.0.0.2'])
  await world.host(2)
  assert.deepEqual(statuses(await world.send('example.net')), ['delivered 2.0.0'])
})

for (const address of ['127.0.0.2', '10.0.0.1', '169.254.169.254', '::1', '::ffff:127.0.0.2', '64:ff9b::7f00:2']) {
  test(`DL-7, WS-5: ${address} as mail exchanger is refused unless it is listed, and nothing is sent there`, async () => {
    await using world = await mxWorld({ mayConnect: addressRules([]) })
    world.dns.mx('example.net', [[10, 'mx.example.net']])
    world.dns.address('mx.example.net', [address])
    const host = await world.host(2)
    const made = await world.send('example.net')
    assert.deepEqual([statuses(made), host.connections], [['deferred 4.4.4'], 0])
  })
}

test('DL-7: of a host with public and private addresses only the public ones are used', async () => {
  await using world = await mxWorld({ mayConnect: addressRules(['127.0.0.3']) })
  world.dns.mx('example.net', [[10, 'mx.example.net']])
  world.dns.address('mx.example.net', ['127.0.0.2', '127.0.0.3'])
  const [forbidden, allowed] = [await world.host(2), await world.host(3)]
  await world.send('example.net')
  assert.deepEqual([forbidden.connections, allowed.taken.length], [0, 1])
})

test('WS-5: a name that changes its address after the check is connected to at the one that was checked', async () => {
  await using world = await mxWorld({ mayConnect: addressRules(['127.0.0.2']) })
  let asked = 0
  world.dns.mx('example.net', [[10, 'mx.example.net']])
  world.dns.say('AAAA mx.example.net', {})
  const good: Said = { answers: [{ type: 'A', name: 'mx.example.net', ttl: 0, data: '127.0.0.2' }] }
  const evil: Said = { answers: [{ type: 'A', name: 'mx.example.net', ttl: 0, data: '127.0.0.3' }] }
  world.dns.say('A mx.example.net', {
    ...good,
    before: () => (asked++ === 0 ? (world.dns.say('A mx.example.net', evil), []) : []),
  })
  const [checked, other] = [await world.host(2), await world.host(3)]
  assert.deepEqual(statuses(await world.send('example.net')), ['delivered 2.0.0'])
  assert.deepEqual([checked.taken.length, other.connections], [1, 0])
})

const loops: [name: string, mx: Parameters<typeof mxWorld>[0], expected: string, why: string][] = [
  ['by its name', { ownName: 'b.example.net' }, 'deferred 4.4.1', 'only what is more preferred than we is tried'],
  ['by its address', { isOwnAddress: (address) => address === '127.0.0.3' }, 'deferred 4.4.1', 'likewise'],
  ['as the most preferred', { ownName: 'a.example.net' }, 'failed 5.4.6', 'nothing is left: the mail would loop'],
]
for (const [name, mx, expected, why] of loops) {
  test(`RFC 5321 §5.1: this relay among the hosts, ${name}: ${why}`, async () => {
    await using world = await mxWorld(mx)
    world.dns.mx('example.net', [
      [10, 'a.example.net'],
      [20, 'b.example.net'],
      [20, 'c.example.net'],
      [30, 'd.example.net'],
    ])
    for (const [index, host] of ['a', 'b', 'c', 'd'].entries())
      world.dns.address(`${host}.example.net`, [`127.0.0.${index + 2}`])
    const [same, later] = [await world.host(4), await world.host(5)]
    const made = await world.send('example.net')
    assert.deepEqual([statuses(made), same.connections, later.connections], [[expected], 0, 0])
  })
}

test('bounded: of a thousand hosts and addresses no more than 8 are tried for one attempt', async () => {
  await using world = await mxWorld()
  world.dns.mx(
    'example.net',
    Array.from({ length: 40 }, (_, i): [number, string] => [i, `mx${i}.example.net`]),
    { isTruncated: true },
  )
  for (let i = 0; i < 40; i++)
    world.dns.address(
      `mx${i}.example.net`,
      Array.from({ length: 20 }, (_, j) => `127.1.${i}.${j + 1}`),
      { isTruncated: true },
    )
  const made = await world.send('example.net')
  assert.deepEqual(statuses(made), ['deferred 4.4.1'])
  assert.equal(world.reports.length, 8)
})

test('RFC 7435: without a policy a host that fails at TLS gets the mail in cleartext, on a connection of its own', async () => {
  for (const tls of [
    { ...certificate, maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' } as const,
  ]) {
    await using world = await mxWorld()
    world.dns.mx('example.net', [[10, 'mx.example.net']])
    world.dns.address('mx.example.net', ['127.0.0.2'])
    const host = await world.host(2, { tls })
    const made = await world.send('example.net')
    assert.deepEqual([statuses(made), made.tls, host.connections], [['delivered 2.0.0'], undefined, 2])
  }
})

test('DL-6: octets in cleartext before TLS drop the connection also where TLS is only taken', async () => {
  await using host = await bareHost((socket) => void socket.write('220 go\r\n250-evil\r\n250 DSN\r\n'))
  await using world = await mxWorld()
  world.dns.address('example.net', ['127.0.0.1'])
  world.dns.say('MX example.net', {})
  const lease = world.pool.lease(mxHopOf('example.net', host.port)) ?? assert.fail()
  const opened = await lease.connection()
  lease.release()
  assert.equal('failure' in opened && 'fault' in opened.failure && opened.failure.fault.kind, 'protocol')
})

test('REQUIRETLS is bounced 5.7.10 where no host proves its name, and other mail of the domain goes on', async () => {
  await using world = await mxWorld()
  world.dns.mx('example.net', [
    [10, 'a.example.net'],
    [20, 'b.example.net'],
  ])
  world.dns.address('a.example.net', ['127.0.0.2'])
  world.dns.address('b.example.net', ['127.0.0.3'])
  const offersInside = ['PIPELINING', 'REQUIRETLS']
  const hosts = [await world.host(2, { tls: { ...certificate, offersInside } }), await world.host(3)]
  const made = await world.send('example.net', message('A: b\r\n\r\n', 'x\r\n', { requireTls: true }))
  assert.deepEqual([statuses(made), made.host], [['failed 5.7.10'], 'well'])
  assert.ok(hosts.every(({ taken, connections }) => taken.length === 0 && connections > 0))
  assert.deepEqual(statuses(await world.send('example.net')), ['delivered 2.0.0'])
})

test('stopping ends a trial between two hosts', async () => {
  await using world = await mxWorld({}, { credentials: () => NO_CREDENTIALS })
  world.dns.mx('example.net', [
    [10, 'a.example.net'],
    [20, 'b.example.net'],
  ])
  world.dns.address('a.example.net', ['127.0.0.2'])
  world.dns.address('b.example.net', ['127.0.0.3'])
  await world.host(2, {
    act: ({ stage }) => {
      if (stage === 'greeting') world.pool.abort()
      return undefined
    },
  })
  const second = await world.host(3)
  const made = await world.send('example.net')
  assert.deepEqual([statuses(made), made.host, second.connections], [['deferred 4.3.2'], 'well', 0])
})
