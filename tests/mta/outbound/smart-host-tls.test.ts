// TLS to smart hosts and tenants' client certificates: DL-1, DL-6, R85, against real handshakes.
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { OutboundCredentials } from '../../../mta/outbound/tls-identity.ts'
import { Registry } from 'prom-client'
import { TestAuthority } from '../../harness/certificates.ts'
import { NextHop } from '../../harness/next-hop.ts'
import type { NextHopOptions } from '../../harness/next-hop.ts'
import { connections, message, SHORT_TIMEOUTS } from './fixtures.ts'
import { attempt, bareHost, credentialsWith, HOST_NAME, statuses, verifiedHop } from './tls-world.ts'

const authority = new TestAuthority()
const server = authority.issue({ names: [`DNS:${HOST_NAME}`], usage: ['serverAuth'] })
const contoso = authority.issue({ names: ['DNS:contoso.example'], usage: ['clientAuth'] })
const contosoNew = authority.issue({ names: ['DNS:contoso.example'], usage: ['clientAuth'] })
const fabrikam = authority.issue({ names: ['DNS:fabrikam.example'], usage: ['clientAuth'] })
after(() => authority[Symbol.dispose]())

const OFFERS = ['PIPELINING', 'SIZE 50000000', '8BITMIME', 'SMTPUTF8', 'DSN']
const secure: NextHopOptions = { tls: { ...server, asksForCertificate: true } }
const pooled = (credentials: () => OutboundCredentials = () => credentialsWith(authority)) =>
  connections({
    credentials,
    timeouts: { ...SHORT_TIMEOUTS, greeting: 2_000, hello: 2_000, command: 2_000, tls: 2_000 },
  })

function told(hop: NextHop): string {
  return hop.transcripts.flat().join('\n')
}

test('DL-1: STARTTLS, a certificate verified by name, EHLO again, and only then mail', async () => {
  await using hop = await NextHop.start(secure)
  const metrics = new Registry()
  const pool = connections({ credentials: () => credentialsWith(authority), metrics })
  const made = await attempt(pool, verifiedHop(authority, hop.port))
  assert.deepEqual([statuses(made), made.host], [['delivered 2.0.0'], 'well'])
  assert.deepEqual(made.tls, { protocol: 'TLSv1.3', verifiedBy: 'name' })
  assert.deepEqual(
    hop.transcripts[0]?.filter((line) => line.startsWith('C:')).map((line) => line.slice(3, 12)),
    ['EHLO rela', 'STARTTLS', 'EHLO rela', 'MAIL FROM', 'RCPT TO:<', 'DATA', '<26 octet'],
  )
  assert.equal(hop.handshakes[0]?.servername, HOST_NAME)
  assert.equal(hop.handshakes[0].clientFingerprint, undefined)
  assert.match(await metrics.metrics(), /causeway_outbound_tls_total\{result="name"\} 1/)
  await pool.close()
})

test('a large message streams through TLS unchanged', async () => {
  await using hop = await NextHop.start(secure)
  const pool = pooled()
  const body = Array.from({ length: 64 }, (_, i) => Buffer.from(`${i}`.padStart(70, '.').concat('\r\n').repeat(200)))
  const made = await attempt(pool, verifiedHop(authority, hop.port), message('A: b\r\n\r\n', body))
  assert.deepEqual(statuses(made), ['delivered 2.0.0'])
  assert.deepEqual(hop.taken[0]?.content, Buffer.concat([Buffer.from('A: b\r\n\r\n'), ...body]))
  await pool.close()
})

test('PH-4: TLS 1.2 with AEAD and forward secrecy will do; what is older or weaker will not', async () => {
  const cases: [tls: Partial<NonNullable<NextHopOptions['tls']>>, expected: string][] = [
    [{ maxVersion: 'TLSv1.2' }, 'delivered 2.0.0'],
    [{ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }, 'deferred 4.7.5'],
    [{ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' }, 'deferred 4.7.5'],
  ]
  for (const [tls, expected] of cases) {
    await using hop = await NextHop.start({ tls: { ...server, ...tls } })
    const pool = pooled()
    assert.deepEqual(statuses(await attempt(pool, verifiedHop(authority, hop.port))), [expected], JSON.stringify(tls))
    await pool.close()
  }
})

test('a session is resumed on the next connection, with the certificate shown all the same', async () => {
  await using hop = await NextHop.start(secure)
  const pool = connections({ credentials: () => credentials, transactionsPerConnection: 1 })
  const credentials = credentialsWith(authority, { contoso })
  const contosoHop = verifiedHop(authority, hop.port, { tenant: 'contoso' })
  for (let i = 0; i < 3; i++) assert.deepEqual(statuses(await attempt(pool, contosoHop)), ['delivered 2.0.0'])
  await pool.close()
  assert.deepEqual(
    hop.handshakes.map(({ isResumed, clientFingerprint }) => [isResumed, clientFingerprint]),
    [
      [false, contoso.fingerprint],
      [true, contoso.fingerprint],
      [true, contoso.fingerprint],
    ],
  )
})

const unbelieved: [name: string, certificate: () => { certificate: string; key: string }, text: RegExp, why: string][] =
  [
    ['of another name', () => authority.issue({ names: ['DNS:other.example'] }), /certificate-host-mismatch/, 'DL-1'],
    [
      'with the name in CN only',
      () => authority.issue({ commonName: HOST_NAME }),
      /certificate-host-mismatch/,
      'RFC 9525 §2: CN binds nobody',
    ],
    [
      'that has expired',
      () => authority.issue({ names: [`DNS:${HOST_NAME}`], notAfter: '20210101000000Z' }),
      /certificate-expired/,
      'DL-1',
    ],
    [
      'that is not valid yet',
      () => authority.issue({ names: [`DNS:${HOST_NAME}`], notBefore: '20900101000000Z' }),
      /certificate-expired/,
      'DL-1',
    ],
    [
      'signed by itself',
      () => authority.selfSigned({ names: [`DNS:${HOST_NAME}`] }),
      /certificate-not-trusted/,
      'DL-1',
    ],
    [
      'of an authority nobody named',
      () => new TestAuthority('Another').issue({ names: [`DNS:${HOST_NAME}`] }),
      /certificate-not-trusted/,
      'DL-1',
    ],
    [
      'for clients alone',
      () => authority.issue({ names: [`DNS:${HOST_NAME}`], usage: ['clientAuth'] }),
      /validation-failure/,
      'RFC 5280 §4.2.1.12',
    ],
  ]
for (const [name, certificate, text, why] of unbelieved) {
  test(`a certificate ${name} is not accepted, and the host is left alone for a while: ${why}`, async () => {
    await using hop = await NextHop.start({ tls: certificate() })
    const pool = pooled()
    const made = await attempt(pool, verifiedHop(authority, hop.port))
    assert.deepEqual([statuses(made), made.host, made.remote], [['deferred 4.7.5'], 'down', ''])
    assert.match(made.outcomes[0]?.reply.text ?? '', text)
    assert.doesNotMatch(told(hop), /MAIL|example\.net/)
    await pool.close()
  })
}

test('the public authorities are believed where none are named: not ours', async () => {
  await using hop = await NextHop.start(secure)
  const pool = pooled()
  const made = await attempt(pool, verifiedHop(authority, hop.port, { trust: undefined }))
  assert.match(made.outcomes[0]?.reply.text ?? '', /certificate-not-trusted/)
  await pool.close()
})

const refusals: [name: string, options: NextHopOptions, status: string, why: string][] = [
  ['does not offer STARTTLS', {}, 'deferred 4.7.4', 'DL-6'],
  ['offers STARTTLS with a parameter', { offers: ['STARTTLS now'] }, 'deferred 4.7.4', 'RFC 3207 §4: it has none'],
  ['knows no EHLO', { act: ({ stage }) => (stage === 'EHLO' ? '502 5.5.1 no' : undefined) }, 'deferred 4.7.4', 'DL-6'],
  ...(['454 4.7.0 not now', '501 5.5.4 no', '554 5.7.3 no', '250 ok'] as const).map(
    (reply): [string, NextHopOptions, string, string] => [
      `answers STARTTLS with ${reply}`,
      { ...secure, act: ({ stage }) => (stage === 'STARTTLS' ? reply : undefined) },
      'deferred 4.7.4',
      'DL-6: 4xx, never cleartext',
    ],
  ),
  [
    'answers STARTTLS with 421',
    { ...secure, act: ({ stage }) => (stage === 'STARTTLS' ? '421 4.3.2 closing' : undefined) },
    'deferred 4.3.2',
    'DL-2',
  ],
  [
    'hangs up at STARTTLS',
    { ...secure, act: ({ stage }) => (stage === 'STARTTLS' ? { drop: true } : undefined) },
    'deferred 4.4.2',
    'DL-2',
  ],
  [
    'sends more than the 220 in cleartext',
    {
      ...secure,
      act: ({ stage }) => (stage === 'STARTTLS' ? { raw: '220 go\r\n250-evil\r\n250 DSN\r\n' } : undefined),
    },
    'deferred 4.5.0',
    'DL-6: octets before TLS are dropped with the connection',
  ],
  [
    'sends half a line after the 220',
    { ...secure, act: ({ stage }) => (stage === 'STARTTLS' ? { raw: '220 go\r\n250' } : undefined) },
    'deferred 4.5.0',
    'DL-6',
  ],
  [
    'refuses the second EHLO',
    { ...secure, act: ({ stage, isSecure }) => (stage[1] === 'H' && isSecure ? '421 4.3.2 no' : undefined) },
    'deferred 4.3.2',
    'RFC 3207 §4.2: without it nothing is known',
  ],
]
for (const [name, options, status, why] of refusals) {
  test(`a host that ${name} gets no mail: ${why}`, async () => {
    await using hop = await NextHop.start(options)
    const pool = pooled()
    const made = await attempt(pool, verifiedHop(authority, hop.port))
    assert.deepEqual([statuses(made), made.host], [[status], 'down'])
    assert.doesNotMatch(told(hop), /MAIL|example\.net/)
    assert.equal(hop.taken.length, 0)
    await pool.close()
  })
}

/** Answers the client's first octets with `octets`. */
const answering = (octets: Buffer) => (socket: Socket) => {
  socket.write('220 go\r\n')
  socket.once('data', () => socket.write(octets))
}
const bare: [name: string, act: (socket: Socket) => void, text: RegExp][] = [
  ['garbage in place of a handshake', answering(Buffer.alloc(4_000, 'x')), /handshake failed/],
  ['a record without an end', answering(Buffer.from([22, 3, 3, 64, 0, 2, 0])), /timed out in the TLS handshake/],
  ['an alert in place of a handshake', answering(Buffer.from([21, 3, 3, 0, 2, 2, 46])), /handshake failed/],
  ['nothing', (socket) => void socket.write('220 go\r\n'), /timed out in the TLS handshake/],
  ['an end', (socket) => void socket.end('220 go\r\n'), /in the TLS handshake|handshake failed/],
  [
    'a reset',
    (socket) => {
      socket.write('220 go\r\n')
      socket.once('data', () => socket.resetAndDestroy())
    },
    /in the TLS handshake|handshake failed/,
  ],
  [
    'cleartext a moment after the 220',
    (socket) => {
      socket.write('220 go\r\n')
      setTimeout(() => socket.write('250-bare\r\n250 DSN\r\n'), 5)
    },
    /handshake failed/,
  ],
]
for (const [name, act, text] of bare) {
  test(`DL-6: ${name} after the 220 ends the connection within the handshake's time, and nothing was sent`, async () => {
    await using host = await bareHost(act)
    const pool = connections({
      credentials: () => credentialsWith(authority),
      timeouts: { ...SHORT_TIMEOUTS, tls: 300 },
    })
    const made = await attempt(pool, verifiedHop(authority, host.port))
    assert.deepEqual([statuses(made), made.host], [['deferred 4.7.5'], 'down'])
    assert.match(made.outcomes[0]?.reply.text ?? '', text)
    await pool.close()
  })
}

test('RFC 3207 §4.2: only what is offered inside TLS counts', async () => {
  const content = message('Subject: x\r\n\r\n', 'gr\u00fc\u00dfe\r\n', { has8Bit: true })
  const cases: [outside: string[], inside: string[], expected: string][] = [
    [OFFERS, ['PIPELINING'], 'failed 5.6.3'],
    [[], OFFERS, 'delivered 2.0.0'],
  ]
  for (const [offers, offersInside, expected] of cases) {
    await using hop = await NextHop.start({ offers, tls: { ...server, offersInside } })
    const pool = pooled()
    assert.deepEqual(statuses(await attempt(pool, verifiedHop(authority, hop.port), content)), [expected])
    await pool.close()
  }
})

test('R12: REQUIRETLS goes on to a verified host that offers it, and is bounced where it does not', async () => {
  const content = message('Subject: x\r\n\r\n', 'x\r\n', { requireTls: true })
  for (const [offersInside, expected] of [
    [[...OFFERS, 'REQUIRETLS'], 'delivered 2.0.0'],
    [OFFERS, 'failed 5.7.30'],
  ] as const) {
    await using hop = await NextHop.start({ offers: OFFERS, tls: { ...server, offersInside } })
    const pool = pooled()
    assert.deepEqual(statuses(await attempt(pool, verifiedHop(authority, hop.port), content)), [expected])
    assert.equal(told(hop).includes('REQUIRETLS\nS: 250 2.1.0'), expected.startsWith('delivered'))
    await pool.close()
  }
})

test('R85: each tenant shows its own certificate, and a connection opened for one is never used for another', async () => {
  await using hop = await NextHop.start(secure)
  const pool = pooled(() => credentials)
  const credentials = credentialsWith(authority, { contoso, fabrikam })
  const shownBy = { contoso: contoso.fingerprint, fabrikam: fabrikam.fingerprint, northwind: undefined }
  const order = ['contoso', 'fabrikam', 'northwind', 'fabrikam', 'contoso', 'northwind', 'contoso'] as const
  for (const [index, tenant] of order.entries()) {
    const content = message(`X-Tenant: ${tenant}\r\n\r\n`, 'x\r\n')
    assert.deepEqual(statuses(await attempt(pool, verifiedHop(authority, hop.port, { tenant }), content)), [
      'delivered 2.0.0',
    ])
    const { connection, content: taken } = hop.taken[index] ?? assert.fail()
    const handshake = hop.handshakes.find((each) => each.connection === connection)
    assert.match(taken.toString(), new RegExp(tenant))
    assert.equal(handshake?.clientFingerprint, shownBy[tenant], `${tenant} on connection ${connection}`)
  }
  assert.equal(hop.connections, 3)
  await pool.close()
})

test('R85, KM-7: a reload that changes a certificate makes new connections and lets the old ones end', async () => {
  await using hop = await NextHop.start(secure)
  let credentials = credentialsWith(authority, { contoso })
  const pool = pooled(() => credentials)
  const contosoHop = verifiedHop(authority, hop.port, { tenant: 'contoso' })
  await attempt(pool, contosoHop)
  credentials = credentialsWith(authority, { contoso })
  await attempt(pool, contosoHop)
  assert.equal(hop.connections, 1, 'a reload that changes nothing closes nothing')
  // A message under way while the certificate changes ends well, and its connection is not used again.
  const lease = pool.lease(contosoHop) ?? assert.fail()
  await lease.connection()
  credentials = credentialsWith(authority, { contoso: contosoNew })
  lease.release()
  lease.recorded()
  assert.deepEqual(statuses(await attempt(pool, contosoHop)), ['delivered 2.0.0'])
  assert.deepEqual(
    hop.handshakes.map(({ clientFingerprint, isResumed }) => [clientFingerprint, isResumed]),
    [
      [contoso.fingerprint, false],
      [contosoNew.fingerprint, false],
    ],
  )
  while (hop.open > 1) await sleep(5)
  await pool.close()
})

test('authorities that are not in force any more are not those of everybody: nobody is believed, and mail waits', async () => {
  await using hop = await NextHop.start(secure)
  const pool = pooled(() => ({ tenantCertificates: new Map(), serverTrust: new Map() }))
  const made = await attempt(pool, verifiedHop(authority, hop.port))
  assert.deepEqual(statuses(made), ['deferred 4.7.5'])
  await pool.close()
})

test('a host that fails over a session it gave is met with a new one at the next attempt', async () => {
  await using hop = await NextHop.start({ tls: { ...server, failsToResume: true, asksForCertificate: true } })
  const pool = connections({ credentials: () => credentials, transactionsPerConnection: 1 })
  const credentials = credentialsWith(authority, { contoso })
  const contosoHop = verifiedHop(authority, hop.port, { tenant: 'contoso' })
  const seen: string[] = []
  for (let i = 0; i < 3; i++) seen.push(...statuses(await attempt(pool, contosoHop)))
  assert.deepEqual(seen, ['delivered 2.0.0', 'deferred 4.7.5', 'delivered 2.0.0'])
  await pool.close()
})

test('a host that refuses our certificate, in TLS 1.3 after the handshake, is a TLS failure', async () => {
  await using hop = await NextHop.start({ tls: { ...server, demandsCertificate: true } })
  const pool = pooled()
  const made = await attempt(pool, verifiedHop(authority, hop.port))
  assert.deepEqual([statuses(made), made.host], [['deferred 4.7.5'], 'down'])
  await pool.close()
})

test('aborting breaks off a handshake under way', async () => {
  await using host = await bareHost((socket) => void socket.write('220 go\r\n'))
  const pool = connections({ credentials: () => credentialsWith(authority) })
  const made = attempt(pool, verifiedHop(authority, host.port))
  await sleep(100)
  pool.abort()
  assert.deepEqual([statuses(await made), (await made).host], [['deferred 4.3.2'], 'well'])
})
