// STARTTLS as RFC 3207 has it, and nothing a client could gain by the switch: PH-3, PH-4, PH-6, PH-7, PH-8, PH-10, SP-7, SP-10.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { runCommand } from '../../harness/postfix.ts'
import { metric, showing, TestWorld, until } from './secure-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

const world = new TestWorld()
after(() => world[Symbol.dispose]())
const exchange = showing(world.exchange)
const HANDSHAKES = 'causeway_inbound_tls_handshakes_total'
const swaksMissing = spawnSync('swaks', ['--support'], { encoding: 'utf8' }).stdout?.includes('TLS supported')
  ? undefined
  : 'needs swaks with TLS: apt-get install swaks libnet-ssleay-perl'
if (swaksMissing !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${swaksMissing}`)
const swaksOptions = swaksMissing === undefined ? {} : { skip: swaksMissing }
const KEYWORDS = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES', 'DSN']

function keywordsOf(reply: string): string[] {
  return reply
    .split('\n')
    .slice(1)
    .map((line) => line.slice('250-'.length))
}

test('PH-3, PH-7, SP-10 a whole session: what EHLO offers before and inside TLS, and mail only there', async () => {
  const { relay } = await world.start()
  await using _ = relay
  const client = await TranscriptClient.hello(relay.port)
  assert.deepEqual(keywordsOf(await client.say('EHLO x', 250)), [...KEYWORDS, 'STARTTLS', 'SIZE 209715200'])
  await client.say('MAIL FROM:<alice@contoso.com>', '530 5.7.0 Must issue a STARTTLS command first')
  await client.say('RCPT TO:<dana@example.net>', 503)
  await client.say('MAIL FROM:<alice@contoso.com> REQUIRETLS', 530)
  await client.say('STARTTLS now', '501 5.5.4')
  const secure = await client.startTls(exchange)
  assert.equal(secure.getProtocol(), 'TLSv1.3')
  await client.say('MAIL FROM:<alice@contoso.com>', '503 5.5.1 EHLO first')
  assert.deepEqual(keywordsOf(await client.say('EHLO x', 250)), [...KEYWORDS, 'REQUIRETLS', 'SIZE 209715200'])
  await client.say('STARTTLS', '503 5.5.1')
  await client.say('MAIL FROM:<alice@contoso.com> REQUIRETLS', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  await client.say('Subject: x\r\n\r\nhello\r\n.', '250 2.0.0 queued')
  assert.match((await relay.last()).header, /\r\n by relay\.example with ESMTPS id /)
  client.write('QUIT\r\n')
  await client.expect(221)
  assert.equal(await client.closed(), '')
})

test('PH-3 the session begins anew inside TLS: no HELO, no envelope, no DATA of before', async () => {
  const { relay } = await world.start({ requireTls: false })
  await using _ = relay
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.startTls(exchange)
  await client.say('DATA', '503 5.5.1 EHLO first')
  await client.say('EHLO again', 250)
  await client.say('DATA', '503 5.5.1 MAIL first')
  await client.say('RCPT TO:<dana@example.net>', 503)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  client.quit()
})

test('STARTTLS is not implemented where there is no TLS, and not offered', async () => {
  const { relay } = await world.start({ listener: { tls: 'none' } })
  await using _ = relay
  const client = await TranscriptClient.hello(relay.port)
  assert.doesNotMatch(await client.say('EHLO x', 250), /TLS/)
  await client.say('STARTTLS', 502)
  client.quit()
})

test('PH-3 what is sent in cleartext behind STARTTLS is never a command, wherever TCP cuts it', async () => {
  const { relay } = await world.start({ requireTls: false, limits: { newConnectionsPerSecondAndAddress: 1000 } })
  await using _ = relay
  const octets = Buffer.from('STARTTLS\r\nMAIL FROM:<alice@contoso.com>\r\nRCPT TO:<dana@example.net>\r\n')
  for (let cut = 0; cut <= octets.length; cut++) {
    const client = await TranscriptClient.hello(relay.port)
    await client.writeCut(octets, [cut])
    const answer = await client.closed()
    const isCutBehind = cut === 'STARTTLS\r\n'.length
    // After the 220 there may come an alert of TLS, but no reply.
    assert.match(
      answer,
      isCutBehind ? /^(220 2\.0\.0 [^\r]+\r\n[^0-9]*|554 5\.5\.0 [^\r]+\r\n)$/ : /^554 5\.5\.0 [^\r]+\r\n$/,
      `cut at ${cut}`,
    )
  }
})

test('PH-3 injection some milliseconds behind STARTTLS ends the connection, though a handshake follows', async () => {
  const { relay } = await world.start({ requireTls: false })
  await using _ = relay
  for (let delayMs = 0; delayMs <= 5; delayMs++) {
    const client = await TranscriptClient.hello(relay.port)
    client.write('STARTTLS\r\n')
    await sleep(delayMs)
    client.write('RSET\r\n')
    if (delayMs % 2 === 1) void client.handshake(exchange).catch(() => {})
    const answer = await client.closed()
    assert.doesNotMatch(answer, /250/, `after ${delayMs} ms`)
  }
  const results = await metric(relay, HANDSHAKES)
  assert.ok(
    Object.keys(results).every((labels) => labels.includes('protocol="none"')),
    JSON.stringify(results),
  )
})

test('PH-6 a handshake that begins before our 220 is too early', async () => {
  const { relay } = await world.start()
  await using _ = relay
  const client = await TranscriptClient.hello(relay.port)
  client.write(Buffer.concat([Buffer.from('STARTTLS\r\n'), Buffer.from('160301', 'hex')]))
  assert.match(await client.closed(), /^554 5\.5\.0 /)
})

const versions: [options: ConnectionOptions, expected: string, why: string][] = [
  [{ maxVersion: 'TLSv1.3', minVersion: 'TLSv1.3' }, 'TLSv1.3', 'the newest'],
  [{ maxVersion: 'TLSv1.2' }, 'TLSv1.2', 'what Exchange Online speaks as well'],
  [{ maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, 'version', 'RFC 8996'],
  [{ maxVersion: 'TLSv1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }, 'version', 'RFC 8996'],
  [{ maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }, 'cipher', 'no forward secrecy'],
  [{ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA' }, 'cipher', 'no AEAD'],
  [{ maxVersion: 'TLSv1.2', ciphers: 'DHE-RSA-AES128-GCM-SHA256' }, 'cipher', 'no ECDHE'],
  [{ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' }, 'TLSv1.2', 'AEAD and ECDHE'],
]
for (const [options, expected, why] of versions) {
  test(`PH-4 ${JSON.stringify(options)}: ${expected}, ${why}`, async () => {
    const { relay } = await world.start()
    await using _ = relay
    const client = await TranscriptClient.hello(relay.port)
    if (expected.startsWith('TLSv')) {
      assert.equal((await client.startTls(options)).getProtocol(), expected)
      await client.say('EHLO x', 250) // a client of TLS 1.3 is done before the server
      assert.deepEqual(await metric(relay, HANDSHAKES), { [`{result="full",protocol="${expected}"}`]: 1 })
    } else {
      await assert.rejects(client.startTls(options))
      await until(() => relay.log.some(({ event, reason }) => event === 'tls.failed' && reason === expected))
      assert.deepEqual(await metric(relay, HANDSHAKES), { [`{result="${expected}",protocol="none"}`]: 1 })
    }
    client.quit()
  })
}

test('PH-4 renegotiation is refused: openssl asks for it', async () => {
  const { relay } = await world.start()
  await using _ = relay
  const openssl = startOpenssl(relay.port, '-tls1_2')
  await until(() => openssl.output().includes('250 '))
  openssl.write('R\n')
  await openssl.closed
  assert.match(openssl.output(), /RENEGOTIATING/)
  assert.match(openssl.output(), /no renegotiation/)
  assert.deepEqual(await metric(relay, HANDSHAKES), { '{result="full",protocol="TLSv1.2"}': 1 })
})

for (const version of ['-tls1_2', '-tls1_3']) {
  test(`a client that doesn’t take our certificate says so in an alert (${version}), and that is what the operator reads`, async () => {
    const { relay } = await world.start()
    await using _ = relay
    // An authority that has issued nothing.
    const openssl = startOpenssl(relay.port, version, '-verify_return_error', '-CAfile', world.exchange.certificate)
    await openssl.closed
    await until(() => relay.log.some(({ event }) => event === 'tls.failed'))
    assert.deepEqual(await metric(relay, HANDSHAKES), { '{result="refused-by-client",protocol="none"}': 1 })
  })
}

function startOpenssl(port: number, ...args: string[]) {
  const child = spawn('openssl', ['s_client', '-starttls', 'smtp', '-connect', `127.0.0.1:${port}`, ...args])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return {
    output: () => output,
    write: (text: string) => child.stdin.write(text),
    closed: new Promise((resolve) => child.on('close', resolve)),
  }
}

test('PH-4, LM-1 a handshake may take 30 s and not a millisecond more, however its octets trickle', async () => {
  const { relay } = await world.start()
  await using _ = relay
  const silent = await TranscriptClient.hello(relay.port)
  const trickling = await TranscriptClient.hello(relay.port)
  for (const client of [silent, trickling]) await client.say('STARTTLS', 220)
  for (const octet of ['\x16', '\x03', '\x01']) {
    relay.advance(10_000)
    trickling.write(octet)
    await sleep(5)
  }
  assert.equal(relay.log.length, 0)
  relay.advance(1)
  for (const client of [silent, trickling]) assert.equal(await client.closed(), '', 'no word in cleartext')
  assert.deepEqual(await metric(relay, HANDSHAKES), { '{result="timeout",protocol="none"}': 2 })
  assert.deepEqual(
    relay.log.map(({ event, reason }) => [event, reason]),
    [
      ['tls.failed', 'timeout'],
      ['tls.failed', 'timeout'],
    ],
  )
})

const endings: [end: (client: TranscriptClient) => void, reason: string, why: string][] = [
  [(client) => client.socket.end(), 'closed', 'closes its side'],
  [(client) => client.socket.resetAndDestroy(), 'closed', 'resets the connection'],
  [(client) => client.write('GET / HTTP/1.1\r\n\r\n'), 'not-tls', 'speaks HTTP'],
  [(client) => client.write('EHLO again\r\n'), 'not-tls', 'goes on in cleartext'],
  [(client) => client.write(Buffer.alloc(64)), 'not-tls', 'sends zeros'],
  [
    (client) => void client.handshake({ rejectUnauthorized: true }).catch(() => {}),
    'closed',
    'doesn’t like our certificate',
  ],
]
for (const [end, reason, why] of endings) {
  test(`a client that ${why} in place of a handshake: ${reason}, one line, and the slot is free again`, async () => {
    const { relay } = await world.start()
    await using _ = relay
    const client = await TranscriptClient.hello(relay.port)
    await client.say('STARTTLS', 220)
    end(client)
    await until(() => relay.log.length > 0)
    assert.deepEqual(
      relay.log.map(({ level, event, reason: told }) => [level, event, told]),
      [['info', 'tls.failed', reason]],
    )
    await until(async () => (await relay.metrics.metrics()).includes('causeway_inbound_connections_open 0'))
    const next = await TranscriptClient.secure(relay.port, exchange)
    next.quit()
  })
}

test('PH-10 garbage inside TLS ends that session, whatever it tears down, and nobody else notices', async () => {
  const { relay } = await world.start()
  await using _ = relay
  const other = await TranscriptClient.secure(relay.port, exchange)
  const raw = connect({ port: relay.port, host: '127.0.0.1' })
  const plain = await new Promise<string>((resolve) => {
    let text = ''
    raw.on('data', (chunk) => {
      text += chunk.toString()
      if (text.includes('220 ') && !text.includes('Ready')) raw.write('STARTTLS\r\n')
      if (text.includes('Ready')) resolve(text)
    })
  })
  assert.match(plain, /Ready/)
  raw.removeAllListeners('data')
  const secure = connectTls({ socket: raw, rejectUnauthorized: false })
  secure.on('error', () => {})
  await new Promise((resolve) => secure.once('secureConnect', resolve))
  raw.write('this is no record')
  await new Promise((resolve) => secure.once('close', resolve))
  await other.say('NOOP', 250)
  other.quit()
})

test('PH-10 a fault of ours in the handshake or in the judgement ends that session only', async () => {
  let fault: 'certificates' | 'clientTrust' | undefined
  const { relay } = await world.start({
    deps: ({ credentials }) => ({
      credentials: {
        get: () => {
          const given = credentials.get()
          const faulty = (name: 'certificates' | 'clientTrust') => {
            if (fault === name) throw new Error('a fault for the test')
          }
          return {
            get certificates() {
              faulty('certificates')
              return given.certificates
            },
            get clientTrust() {
              faulty('clientTrust')
              return given.clientTrust
            },
          }
        },
      },
    }),
  })
  await using _ = relay
  const judged = await TranscriptClient.secure(relay.port, exchange)
  fault = 'clientTrust'
  await judged.say('MAIL FROM:<alice@contoso.com>', '451 4.3.0')
  await judged.closed()
  fault = 'certificates'
  const shaking = await TranscriptClient.hello(relay.port)
  await assert.rejects(shaking.startTls(exchange))
  await shaking.closed()
  fault = undefined
  const next = await TranscriptClient.secure(relay.port, exchange)
  await next.say('MAIL FROM:<alice@contoso.com>', 250)
  next.quit()
  assert.deepEqual(
    relay.log.filter(({ level }) => level === 'error').map(({ event }) => event),
    ['session.failed', 'session.failed'],
  )
  await until(async () => (await relay.metrics.metrics()).includes('causeway_inbound_connections_open 0'))
})

test('swaks sends over TLS and shows its certificate', swaksOptions, async () => {
  const { relay } = await world.start()
  await using _ = relay
  const { status, output } = await runCommand('swaks', [
    '--server',
    `127.0.0.1:${relay.port}`,
    '--tls',
    '--tls-cert',
    world.exchange.certificate,
    '--tls-key',
    world.exchange.key,
    '--tls-verify',
    '--tls-ca-path',
    world.authority.certificate,
    '--from',
    'alice@contoso.com',
    '--to',
    'dana@example.net',
    '--helo',
    'client.example',
  ])
  assert.equal(status, 0, output)
  assert.match(output, /=== TLS started with cipher TLSv1\.3/)
  assert.match(output, /250 2\.0\.0 queued as /)
  assert.match((await relay.last()).header, /with ESMTPS id /)
})

test('clients that vanish in the middle of a hundred handshakes, and a relay that closes meanwhile', async () => {
  const { relay } = await world.start({
    limits: { connectionsPerAddress: 500, newConnectionsPerSecondAndAddress: 1000 },
  })
  {
    await using _ = relay
    const clients = await Promise.all(Array.from({ length: 100 }, () => TranscriptClient.hello(relay.port)))
    await Promise.all(clients.map((client) => client.say('STARTTLS', 220)))
    for (const [index, client] of clients.entries()) {
      if (index % 4 === 3) continue // these wait when the relay closes
      void client.handshake(exchange).catch(() => {})
      if (index % 4 === 0) setImmediate(() => client.socket.destroy())
      if (index % 4 === 1) setTimeout(() => client.socket.destroy(), index / 10)
    }
    await sleep(10)
    await relay.close(0)
  }
  assert.equal(relay.log.filter(({ level }) => level === 'error').length, 0)
})

const firstLines: [octets: string | Buffer, why: string][] = [
  ['GET / HTTP/1.1\r\nHost: relay.example\r\n\r\n', 'HTTP'],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'HTTP/2'],
  [
    Buffer.from('16030100c8010000c40303', 'hex'),
    'a ClientHello in cleartext: TLS from the first octet is another port',
  ],
  ['PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n', 'SP-7: nobody speaks for another address'],
  ['\0\0\0\x54\xffSMB', 'SMB'],
]
for (const [octets, why] of firstLines) {
  test(`PH-8 first octets ${why}: closed, before and inside TLS`, async () => {
    const { relay } = await world.start()
    await using _ = relay
    const plain = await TranscriptClient.connect(relay.port)
    await plain.expect(220)
    plain.write(octets)
    assert.match(await plain.closed(), /^500 5\.5\.2 [^\r]+\r\n$/)
    const secure = await TranscriptClient.hello(relay.port)
    await secure.startTls(exchange)
    secure.write(octets)
    assert.match(await secure.closed(), /^500 5\.5\.2 [^\r]+\r\n$/, 'it may be somebody else by now')
  })
}

test('SP-7 neither offered nor honoured, inside TLS either', async () => {
  const { relay } = await world.start()
  await using _ = relay
  const client = await TranscriptClient.secure(relay.port, exchange)
  for (const verb of [
    'XCLIENT ADDR=192.0.2.1',
    'XFORWARD ADDR=192.0.2.1',
    'AUTH PLAIN AAAA',
    'VRFY x',
    'EXPN x',
    'ETRN x',
    'TURN',
  ]) {
    await client.say(verb, 502)
  }
  await client.say('PROXY TCP4 192.0.2.1 192.0.2.2 1 25', 502)
  client.quit()
})

test('SNI picks among the certificates, the first is for everybody else', async () => {
  const { relay } = await world.start({ certificates: [world.first, world.second] })
  await using _ = relay
  const asked: [name: string | undefined, expected: string][] = [
    [undefined, world.first.fingerprint],
    ['relay.example', world.first.fingerprint],
    ['second.example', world.second.fingerprint],
    ['SECOND.example', world.second.fingerprint],
    ['third.example', world.first.fingerprint],
    ['second.example.evil', world.first.fingerprint],
    ['_.*.\u0001', world.first.fingerprint],
  ]
  for (const [servername, expected] of asked) {
    const client = await TranscriptClient.hello(relay.port)
    const secure = await client.startTls(servername === undefined ? {} : { servername })
    const shown = secure.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase()
    assert.equal(shown, expected, servername)
    client.quit()
  }
})

test('LM-1 five hundred handshakes that never end keep nobody else waiting for a greeting', async () => {
  const { relay } = await world.start({
    limits: { connections: 1000, connectionsPerAddress: 1000, newConnectionsPerSecondAndAddress: 10_000 },
  })
  await using _ = relay
  const slow = await Promise.all(Array.from({ length: 500 }, () => TranscriptClient.hello(relay.port)))
  await Promise.all(slow.map((client) => client.say('STARTTLS', 220)))
  for (const client of slow) client.write(Buffer.from('160301', 'hex'))
  const startedAt = performance.now()
  const other = await TranscriptClient.secure(relay.port, exchange)
  assert.ok(performance.now() - startedAt < 1000)
  await other.say('MAIL FROM:<alice@contoso.com>', 250)
  other.quit()
  for (const client of slow) client.quit()
})
