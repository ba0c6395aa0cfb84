// The dialogue over real sockets, as transcripts: `C:` is what the client sends, `S:` how each reply begins.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReceivingRelay } from './receiving-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

const MESSAGE = 'From: alice@contoso.com\r\nTo: dana@example.net\r\n\r\nhello\r\n.\r\n'

/** Plays a transcript on one connection; `S: (closed)` wants the connection to end there. */
async function play(relay: ReceivingRelay, transcript: string): Promise<void> {
  const client = await TranscriptClient.connect(relay.port)
  for (const line of transcript.trim().split('\n')) {
    const [, who, text = ''] = /^\s*([CS]): (.*)$/.exec(line) ?? []
    if (who === 'C') client.write(JSON.parse(`"${text.replaceAll('"', '\\"')}"`) as string)
    else if (text === '(closed)') assert.equal(await client.closed(), '')
    else await client.expect(text)
  }
  client.quit()
}

const transcripts: [title: string, transcript: string][] = [
  [
    'the usual session',
    String.raw`
    S: 220 relay.example ESMTP Causeway
    C: EHLO client.example\r\n
    S: 250-relay.example
    C: MAIL FROM:<alice@contoso.com> SIZE=60 BODY=8BITMIME\r\n
    S: 250 2.1.0
    C: RCPT TO:<dana@example.net> NOTIFY=NEVER\r\n
    S: 250 2.1.5
    C: DATA\r\n
    S: 354 End data
    C: Subject: x\r\n\r\nhello\r\n.\r\n
    S: 250 2.0.0 queued as
    C: QUIT\r\n
    S: 221 2.0.0
    S: (closed)`,
  ],
  [
    'PH-6 a whole transaction in one group, the next one behind its content',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n
    S: 250 2.1.0
    S: 250 2.1.5
    S: 354
    C: Subject: x\r\n\r\n.\r\nMAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n
    S: 250 2.0.0 queued
    S: 250 2.1.0
    S: 250 2.1.5
    S: 354
    C: .\r\nQUIT\r\n
    S: 250 2.0.0 queued
    S: 221
    S: (closed)`,
  ],
  [
    'PH-6 a group whose recipients are all refused: DATA is refused, and nothing is taken for content',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: MAIL FROM:<a@contoso.com>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<bad>\r\nDATA\r\n
    S: 250 2.1.0
    S: 550 5.1.1
    S: 501 5.1.3
    S: 554 5.5.1 No valid recipients
    C: RSET\r\nQUIT\r\n
    S: 250
    S: 221`,
  ],
  [
    'PH-6 content sent before the 354',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n
    S: 250
    S: 250
    S: 554 5.5.0
    S: (closed)`,
  ],
  [
    'PH-6 commands sent before EHLO was answered',
    String.raw`
    S: 220
    C: EHLO client.example\r\nMAIL FROM:<a@contoso.com>\r\n
    S: 554 5.5.0
    S: (closed)`,
  ],
  [
    'PH-6 a client of HELO was not offered pipelining',
    String.raw`
    S: 220
    C: HELO client.example\r\n
    S: 250 relay.example
    C: MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@example.net>\r\n
    S: 554 5.5.0
    S: (closed)`,
  ],
  [
    'a client of HELO, one command at a time',
    String.raw`
    S: 220
    C: HELO client.example\r\n
    S: 250 relay.example
    C: MAIL FROM:<a@contoso.com>\r\n
    S: 250
    C: RCPT TO:<b@example.net>\r\n
    S: 250
    C: DATA\r\n
    S: 354
    C: Subject: x\r\n\r\n.\r\n
    S: 250 2.0.0 queued`,
  ],
  [
    'commands out of order',
    String.raw`
    S: 220
    C: MAIL FROM:<a@contoso.com>\r\n
    S: 503 5.5.1
    C: RCPT TO:<a@contoso.com>\r\n
    S: 503 5.5.1
    C: DATA\r\n
    S: 503 5.5.1
    C: EHLO client.example\r\n
    S: 250
    C: RCPT TO:<a@contoso.com>\r\n
    S: 503 5.5.1 MAIL first
    C: DATA\r\n
    S: 503 5.5.1 MAIL first
    C: MAIL FROM:<a@contoso.com>\r\n
    S: 250
    C: MAIL FROM:<a@contoso.com>\r\n
    S: 503 5.5.1
    C: DATA\r\n
    S: 503 5.5.1 RCPT first
    C: EHLO client.example\r\n
    S: 250
    C: RCPT TO:<a@contoso.com>\r\n
    S: 503 5.5.1 MAIL first
    C: MAIL FROM:<>\r\n
    S: 250
    C: RSET\r\n
    S: 250
    C: RCPT TO:<a@contoso.com>\r\n
    S: 503 5.5.1`,
  ],
  [
    'arguments where there are none',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: RSET now\r\n
    S: 501 5.5.4
    C: DATA x\r\n
    S: 501 5.5.4
    C: QUIT please\r\n
    S: 501 5.5.4
    C: NOOP whatever\r\n
    S: 250
    C: NOOP \r\n
    S: 250`,
  ],
  [
    'SP-7, PH-7 what is neither offered nor honoured',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: VRFY alice\r\n
    S: 502 5.5.1
    C: EXPN list\r\n
    S: 502 5.5.1
    C: AUTH PLAIN AGEAYg==\r\n
    S: 502 5.5.1
    C: ETRN contoso.com\r\n
    S: 502 5.5.1
    C: TURN\r\n
    S: 502 5.5.1
    C: XCLIENT ADDR=192.0.2.1\r\n
    S: 502 5.5.1
    C: XFORWARD ADDR=192.0.2.1\r\n
    S: 502 5.5.1
    C: PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n
    S: 502 5.5.1
    C: STARTTLS\r\n
    S: 502 5.5.1
    C: BDAT 10 LAST\r\n
    S: 502 5.5.1
    C: WIZ\r\n
    S: 500 5.5.1`,
  ],
  [
    'PH-6 chunks of an unoffered BDAT are not commands',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: BDAT 6 LAST\r\nNOOP\r\n
    S: 554 5.5.0
    S: (closed)`,
  ],
  [
    'PH-8 a browser',
    String.raw`
    S: 220
    C: POST /mail HTTP/1.1\r\nHost: relay.example\r\n\r\nMAIL FROM:<a@contoso.com>\r\n
    S: 500
    S: (closed)`,
  ],
  [
    'PH-8 a TLS client',
    String.raw`
    S: 220
    C: \u0016\u0003\u0001\u0002
    S: 500
    S: (closed)`,
  ],
  [
    'PH-8 another protocol that never ends its line',
    String.raw`
    S: 220
    C: SSH-2.0-OpenSSH
    S: 500
    S: (closed)`,
  ],
  [
    'PH-8 a first verb sent octet by octet is waited for',
    String.raw`
    S: 220
    C: E
    C: H
    C: LO client.example\r\n
    S: 250`,
  ],
  [
    'PH-1 a bare LF ends no command',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: NOOP\n
    S: 500 5.5.2
    S: (closed)`,
  ],
  [
    'PH-1 a bare CR in a command',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: MAIL FROM:<a@contoso.com>\rRCPT TO:<b@example.net>\r\n
    S: 500 5.5.2
    S: (closed)`,
  ],
  [
    'PH-1 NUL in a command',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: NO\u0000OP\r\n
    S: 500 5.5.2
    S: (closed)`,
  ],
  [
    'REQUIRETLS without TLS',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: MAIL FROM:<a@contoso.com> REQUIRETLS\r\n
    S: 530 5.7.0`,
  ],
  [
    'what comes after QUIT is nobody’s',
    String.raw`
    S: 220
    C: EHLO client.example\r\n
    S: 250
    C: QUIT\r\nMAIL FROM:<a@contoso.com>\r\n
    S: 221
    S: (closed)`,
  ],
]

test('transcripts', async (context) => {
  await using relay = await ReceivingRelay.start({ limits: { newConnectionsPerSecondAndAddress: 1000 } })
  for (const [title, transcript] of transcripts) await context.test(title, () => play(relay, transcript))
})

test('PH-6 data before the banner: 554 in its place, however the octets come', async () => {
  await using relay = await ReceivingRelay.start()
  for (const octets of ['EHLO client.example\r\n', 'E', '\r\n', '\n']) {
    const client = await TranscriptClient.connect(relay.port)
    client.write(octets)
    await client.expect('554 5.5.0')
    assert.equal(await client.closed(), '')
  }
})

test('a client that waits for the banner gets it without the package’s 100 ms', async () => {
  await using relay = await ReceivingRelay.start({ limits: { newConnectionsPerSecondAndAddress: 1000 } })
  const waits = []
  for (let i = 0; i < 10; i++) {
    const startedAt = performance.now()
    const client = await TranscriptClient.connect(relay.port)
    await client.expect(220)
    waits.push(performance.now() - startedAt)
    client.quit()
  }
  assert.ok(Math.min(...waits) < 50, `fastest greeting after ${Math.min(...waits)} ms`)
})

test('a client may close its side behind its last command and still reads its 250', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  client.socket.end(MESSAGE)
  await client.expect('250 2.0.0 queued')
  assert.equal(await client.closed(), '')
  assert.equal(relay.accepted.length, 1)
})

test('PH-1 a last line without its CR LF is no command', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  client.socket.end('NOOP\r\nQUIT')
  await client.expect('250 2.0.0')
  assert.equal(await client.closed(), '')
})

test('PH-8 nothing a client writes comes back', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  for (const command of ['CANARY', 'MAIL FROM:<canary@', 'RCPT TO:<canary>', 'EHLO canary canary', 'VRFY canary']) {
    client.write(`${command}\r\n`)
    assert.doesNotMatch(await client.reply(), /canary/i)
  }
  client.quit()
})

test('SP-2 an address that is not allowed gets 554 in place of the greeting; it is counted, and named once an hour (SP-9)', async () => {
  await using relay = await ReceivingRelay.start({
    allow: ['127.0.0.2/32'],
    limits: { newConnectionsPerSecondAndAddress: 1000 },
  })
  const refuse = async (): Promise<void> => {
    const client = await TranscriptClient.connect(relay.port)
    await client.expect('554 5.7.1')
    assert.equal(await client.closed(), '')
  }
  for (let i = 0; i < 20; i++) await refuse()
  const audited = () => relay.log.filter(({ event }) => event === 'client.refused').length
  assert.equal(audited(), 1)
  relay.advance(3_600_000)
  await refuse()
  assert.equal(audited(), 2)
  assert.match(
    await relay.metrics.metrics(),
    /causeway_inbound_refusals_total\{direction="out",reason="address-refused"\} 21/,
  )

  const allowed = await TranscriptClient.connect(relay.port, '127.0.0.2')
  await allowed.expect(220)
  allowed.quit()
})

test('PH-10 a fault in any step ends its session with 451, and nobody else notices', async () => {
  let mustFail = false
  const fault = (): never => {
    throw new Error('a fault of ours')
  }
  await using relay = await ReceivingRelay.start({
    project: { postmaster: 'ops@contoso.com' },
    deps: () => ({ now: () => (mustFail ? fault() : Date.now()) }),
  })
  const bystander = await TranscriptClient.hello(relay.port)
  const client = await TranscriptClient.hello(relay.port)
  mustFail = true
  await client.say('MAIL FROM:<alice@contoso.com>', '451 4.3.0')
  assert.equal(await client.closed(), '')
  mustFail = false
  await bystander.say('MAIL FROM:<alice@contoso.com>', 250)
  await bystander.say('RCPT TO:<postmaster>', 250)
  mustFail = true
  await bystander.say('DATA', '451 4.3.0')
  assert.equal(await bystander.closed(), '')
  mustFail = false
  const another = await TranscriptClient.hello(relay.port)
  another.quit()
  assert.equal(relay.log.filter(({ event }) => event === 'session.failed').length, 2)
})

test('a client that resets its connection in the middle of a message is no trouble', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  client.write('Subject: x\r\n\r\nhalf a mess')
  client.socket.resetAndDestroy()
  const another = await TranscriptClient.hello(relay.port)
  await another.say('NOOP', 250)
  another.quit()
  assert.equal(relay.accepted.length, 0)
})
