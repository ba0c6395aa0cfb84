import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SmtpConnection } from '../../../mta/outbound/client.ts'
import type { Content, TransactionResult } from '../../../mta/outbound/client.ts'
import { DEFAULT_TIMEOUTS } from '../../../mta/outbound/timeouts.ts'
import type { Timeouts } from '../../../mta/outbound/timeouts.ts'
import { NextHop } from '../../harness/next-hop.ts'
import type { Act, NextHopOptions, Turn } from '../../harness/next-hop.ts'
import { HELLO, peerAt, message, recipient, SHORT_TIMEOUTS } from './fixtures.ts'

const REPLY_LIMITS = { lineBytes: 2048, replyBytes: 65_536 }

function connectTo(hop: NextHop, timeouts: Timeouts = DEFAULT_TIMEOUTS): SmtpConnection {
  return new SmtpConnection(peerAt(hop.port), {
    name: 'relay.example',
    timeouts,
    replyLimits: REPLY_LIMITS,
    monotonicMs: () => performance.now(),
  })
}

/** A greeted connection, closed at the end. */
async function withConnection(
  options: NextHopOptions,
  run: (connection: SmtpConnection, hop: NextHop) => Promise<void>,
  timeouts?: Timeouts,
): Promise<void> {
  await using hop = await NextHop.start(options)
  const connection = connectTo(hop, timeouts)
  assert.equal(await connection.greet(), undefined)
  try {
    await run(connection, hop)
  } finally {
    connection.destroy()
  }
}

function send(connection: SmtpConnection, content: Content = HELLO): Promise<TransactionResult> {
  return connection.transact(content, content.record.recipients)
}

function dialogueOf(result: TransactionResult) {
  if (result.kind !== 'spoken') throw new Error(`refused: ${result.reply.text}`)
  return result.dialogue
}

const at =
  (stage: Turn['stage'], act: Act, when: (turn: Turn) => boolean = () => true) =>
  (turn: Turn) =>
    turn.stage === stage && when(turn) ? act : undefined

test('with PIPELINING: MAIL, all RCPTs and DATA in one go, then the content', async () => {
  const two = message('Subject: x\r\n\r\n', 'body\r\n', {
    recipients: [recipient('a@example.net'), recipient('b@example.net')],
  })
  await withConnection({}, async (connection, hop) => {
    const { final } = dialogueOf(await send(connection, two))
    assert.equal(final?.status, '2.0.0')
    await connection.quit()
    assert.deepEqual(hop.transcripts[0], [
      'S: 220 hop.example ESMTP',
      'C: EHLO relay.example',
      'S: 250-hop.example',
      'S: 250-PIPELINING',
      'S: 250-SIZE 50000000',
      'S: 250-8BITMIME',
      'S: 250-SMTPUTF8',
      'S: 250-DSN',
      'S: 250 ENHANCEDSTATUSCODES',
      'C: MAIL FROM:<alice@fabrikam.example> SIZE=20',
      'S: 250 2.1.0 ok',
      'C: RCPT TO:<a@example.net>',
      'S: 250 2.1.5 ok',
      'C: RCPT TO:<b@example.net>',
      'S: 250 2.1.5 ok',
      'C: DATA',
      'S: 354 go ahead',
      'C: <20 octets>',
      'S: 250 2.0.0 queued',
      'C: QUIT',
      'S: 221 2.0.0 bye',
    ])
  })
})

test('two round trips a message with PIPELINING, one for each command and one for the content without (RFC 2920)', async () => {
  for (const [offers, roundTrips] of [
    [['PIPELINING'], 2],
    [[], 4],
  ] as const) {
    await withConnection({ offers }, async (connection, hop) => {
      const before = hop.answers[0] ?? 0
      dialogueOf(await send(connection))
      assert.equal((hop.answers[0] ?? 0) - before, roundTrips)
    })
  }
})

test('without PIPELINING no command is sent before the last one was answered, and DATA only for somebody', async () => {
  await withConnection({ offers: [], act: at('RCPT', '550 5.1.1 no') }, async (connection, hop) => {
    const { rcpts, data } = dialogueOf(await send(connection))
    assert.deepEqual([rcpts[0]?.code, data], [550, undefined])
    assert.deepEqual(hop.transcripts[0]?.slice(-4), [
      'C: RCPT TO:<dana@example.net>',
      'S: 550 5.1.1 no',
      'C: RSET',
      'S: 250 2.0.0 ok',
    ])
    assert.ok(connection.isUsable)
  })
})

test('EHLO refused: HELO, and nothing is offered', async () => {
  await withConnection({ act: at('EHLO', '502 5.5.1 not here') }, async (connection, hop) => {
    dialogueOf(await send(connection))
    assert.deepEqual(hop.transcripts[0]?.slice(3, 6), [
      'C: HELO relay.example',
      'S: 250 hop.example',
      'C: MAIL FROM:<alice@fabrikam.example>',
    ])
  })
})

test('no recipient accepted: the 354 that a pipelined DATA gets is answered with a single dot (RFC 2920 §3.1)', async () => {
  const refuseFirst = at('RCPT', '550 5.1.1 no', ({ taken }) => taken === 0)
  await withConnection({ act: refuseFirst }, async (connection, hop) => {
    assert.equal(dialogueOf(await send(connection)).rcpts[0]?.code, 550)
    assert.deepEqual(hop.transcripts[0]?.slice(-2), ['C: <0 octets>', 'S: 250 2.0.0 queued'])
    assert.equal(dialogueOf(await send(connection)).final?.code, 250)
    assert.deepEqual(
      hop.taken.map(({ content }) => content.length),
      [0, 26],
    )
  })
})

test('MAIL refused, RCPT and DATA accepted: no dot, which might deliver an empty message; the connection is dropped', async () => {
  await withConnection({ act: at('MAIL', '550 5.7.1 no') }, async (connection, hop) => {
    const { mail, fault } = dialogueOf(await send(connection))
    assert.deepEqual([mail?.code, fault?.kind, connection.isUsable], [550, 'protocol', false])
    assert.equal(hop.taken.length, 0)
  })
})

test('a refused DATA is followed by RSET, and the connection goes on', async () => {
  await withConnection({ act: at('DATA', '451 4.3.0 later', ({ taken }) => taken === 0) }, async (connection, hop) => {
    assert.equal(dialogueOf(await send(connection)).data?.code, 451)
    assert.equal(hop.transcripts[0]?.at(-2), 'C: RSET')
    assert.ok(connection.isUsable)
  })
})

test('421 anywhere ends the connection, and nothing more is said on it', async () => {
  for (const stage of ['MAIL', 'RCPT', 'DATA', 'content'] as const) {
    await withConnection({ act: at(stage, '421 4.3.2 bye') }, async (connection, hop) => {
      dialogueOf(await send(connection))
      assert.equal(connection.isUsable, false, stage)
      assert.ok(!hop.transcripts[0]?.includes('C: RSET'))
    })
  }
})

const hostile: [name: string, act: (turn: Turn) => Act | undefined, fault: string, why: string][] = [
  ['a reply before ours', at('RCPT', { early: '250 2.1.5 and more' }), 'protocol', 'DL-6: one reply too many'],
  [
    'the reply to the content before it is sent',
    at('DATA', { early: '250 2.0.0 queued' }),
    'protocol',
    'DL-6: it must not count as delivery',
  ],
  ['an endless line', at('MAIL', { raw: '250 '.padEnd(10_000, 'x') }), 'protocol', 'DL-6: 2 KiB'],
  ['an endless reply', at('MAIL', { raw: '250-more\r\n'.repeat(10_000) }), 'protocol', 'DL-6: 64 KiB'],
  ['codes that differ', at('MAIL', { raw: '250-a\r\n550 b\r\n' }), 'protocol', 'DL-6'],
  ['no SMTP at all', at('MAIL', { raw: 'HTTP/1.1 200 OK\r\n\r\n' }), 'protocol', 'DL-6'],
  ['silence at MAIL', at('MAIL', { silent: true }), 'timeout', 'DL-2'],
  ['silence at RCPT', at('RCPT', { silent: true }), 'timeout', 'DL-2'],
  ['silence at DATA', at('DATA', { silent: true }), 'timeout', 'DL-2'],
  ['silence after the content', at('content', { silent: true }), 'timeout', 'DL-2'],
  [
    'an octet at a time',
    at('MAIL', { slowly: '250 2.1.0 a rather long way to say ok\r\n', everyMs: 40 }),
    'timeout',
    'DL-6: the wait is for the reply, not for an octet',
  ],
  ['dropping at MAIL', at('MAIL', { drop: true }), 'closed', 'DL-2'],
  ['dropping at RCPT', at('RCPT', { drop: true }), 'closed', 'DL-2'],
  ['dropping at DATA', at('DATA', { drop: true }), 'closed', 'DL-2'],
  ['dropping after the content', at('content', { drop: true }), 'closed', 'RFC 1047'],
]
for (const [name, act, kind, why] of hostile) {
  test(`${name} ends the connection without a delivery: ${why}`, async () => {
    const check = async (connection: SmtpConnection, hop: NextHop) => {
      const { final, fault } = dialogueOf(await send(connection))
      assert.deepEqual([fault?.kind, final, connection.isUsable], [kind, undefined, false])
      assert.equal(hop.taken.length, 0)
    }
    await withConnection({ act }, check, kind === 'timeout' ? SHORT_TIMEOUTS : DEFAULT_TIMEOUTS)
  })
}

test('more than was asked for after the last reply: delivered all the same, and the connection is dropped (DL-6)', async () => {
  await withConnection({ act: at('content', { early: '250 2.0.0 again' }) }, async (connection) => {
    assert.equal(dialogueOf(await send(connection)).final?.code, 250)
    assert.equal(connection.isUsable, false)
  })
})

test('a word on an idle connection drops it (DL-6)', async () => {
  await withConnection({ act: at('content', { slowly: '250 ok\r\n421 idle\r\n', everyMs: 1 }) }, async (connection) => {
    assert.equal(dialogueOf(await send(connection)).final?.code, 250)
    await new Promise<void>((resolve) => connection.onceGone(resolve))
    assert.equal(connection.isUsable, false)
  })
})

const noStart: [name: string, options: NextHopOptions, failure: string | number, why: string][] = [
  ['a 5xx banner', { act: at('greeting', '554 5.3.2 no') }, 554, 'DL-2'],
  ['a 4xx banner', { act: at('greeting', '421 4.3.2 busy') }, 421, 'DL-2'],
  ['a banner that is none', { act: at('greeting', '250 hello') }, 250, 'RFC 5321 §3.1'],
  ['no banner', { act: at('greeting', { silent: true }) }, 'timeout', 'DL-2'],
  ['a closed door', { act: at('greeting', { drop: true }) }, 'closed', 'DL-2'],
  [
    'more than a banner',
    { act: at('greeting', { raw: '220 hi\r\n250 and more\r\n' }) },
    'protocol',
    'DL-6: bytes before we spoke',
  ],
  ['an endless banner', { act: at('greeting', { raw: '220-more\r\n'.repeat(10_000) }) }, 'protocol', 'DL-6'],
  ['4xx to EHLO', { act: at('EHLO', '451 4.3.0 later') }, 451, 'DL-2'],
  [
    '5xx to EHLO and HELO',
    { act: ({ stage }) => (stage === 'EHLO' || stage === 'HELO' ? '550 5.7.1 who are you' : undefined) },
    550,
    'RFC 5321 §3.2',
  ],
  ['silence at EHLO', { act: at('EHLO', { silent: true }) }, 'timeout', 'DL-2'],
]
for (const [name, options, expected, why] of noStart) {
  test(`${name}: no transaction begins (${why})`, async () => {
    await using hop = await NextHop.start(options)
    const connection = connectTo(hop, expected === 'timeout' ? SHORT_TIMEOUTS : DEFAULT_TIMEOUTS)
    const failure = await connection.greet()
    assert.ok(failure !== undefined)
    const came = 'fault' in failure ? failure.fault.kind : 'reply' in failure ? failure.reply.code : 'refused'
    assert.equal(came, expected)
    connection.destroy()
  })
}

test('nobody listens: unreachable; a name that is none: unresolved', async () => {
  const hop = await NextHop.start()
  const { port } = hop
  await hop.close()
  const refused = new SmtpConnection(peerAt(port), {
    name: 'x',
    timeouts: SHORT_TIMEOUTS,
    replyLimits: REPLY_LIMITS,
    monotonicMs: () => 0,
  })
  assert.equal(faultKind(await refused.greet()), 'unreachable')
  const nowhere = { ...peerAt(port), host: 'no-such-host.invalid' }
  const unknown = new SmtpConnection(nowhere, {
    name: 'x',
    timeouts: { ...SHORT_TIMEOUTS, connect: 10_000 },
    replyLimits: REPLY_LIMITS,
    monotonicMs: () => 0,
  })
  assert.equal(faultKind(await unknown.greet()), 'unresolved')
})

function faultKind(failure: Awaited<ReturnType<SmtpConnection['greet']>>): string | undefined {
  return failure !== undefined && 'fault' in failure ? failure.fault.kind : undefined
}

test('a host that never takes the content runs into the block timeout', async () => {
  await using hop = await NextHop.start()
  const connection = connectTo(hop, SHORT_TIMEOUTS)
  await connection.greet()
  const chunk = Buffer.alloc(65_536, 'x')
  const endless = { ...message('A: b\r\n\r\n', [chunk]), body: () => forever(chunk) }
  hop.behave({ act: at('DATA', '354 go') })
  hop.stall()
  const { fault } = dialogueOf(await connection.transact(endless, endless.record.recipients))
  assert.equal(fault?.kind, 'timeout')
})

function* forever(chunk: Buffer): Iterable<Buffer> {
  for (;;) yield chunk
}

test('a host that answers just in time each time runs into the limit of the whole transaction', async () => {
  await using hop = await NextHop.start({ offers: [], latencyMs: 60 })
  const connection = connectTo(hop, { ...SHORT_TIMEOUTS, transaction: 150 })
  await connection.greet()
  const many = message('A: b\r\n\r\n', '', {
    recipients: Array.from({ length: 50 }, (_, i) => recipient(`r${i}@example.net`)),
  })
  const began = performance.now()
  assert.equal(dialogueOf(await send(connection, many)).fault?.kind, 'timeout')
  assert.ok(performance.now() - began < 1_000)
})

test('a message that can not be read on: the connection is gone, the next hop has nothing, the error is told', async () => {
  await withConnection({}, async (connection, hop) => {
    const damaged = { ...message('A: b\r\n\r\n', [Buffer.alloc(100_000)]), body: () => breaking() }
    await assert.rejects(connection.transact(damaged, damaged.record.recipients), /damaged/)
    assert.equal(connection.isUsable, false)
    await new Promise<void>((resolve) => connection.onceGone(resolve))
    assert.equal(hop.taken.length, 0)
  })
})

function* breaking(): Iterable<Buffer> {
  yield Buffer.alloc(70_000, 'x')
  throw new Error('damaged')
}

test('property: the next hop receives exactly header and body, at any chunking, small or streamed', async () => {
  await using hop = await NextHop.start()
  const connection = connectTo(hop)
  await connection.greet()
  const line = fc.oneof(
    fc.constantFrom('', '.', '..', '.x', 'text', '.\u00ff', 'x'.repeat(999)),
    fc.string({ maxLength: 30, unit: 'binary-ascii' }).map((text) => text.replace(/[\r\n]/g, ' ')),
  )
  const body = fc.array(line, { maxLength: 30 }).map((lines) => lines.map((each) => `${each}\r\n`).join(''))
  const padding = fc.constantFrom(0, 0, 70_000)
  await fc.assert(
    fc.asyncProperty(
      body,
      padding,
      fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      async (text, pad, cuts, isAsync) => {
        const whole = Buffer.from(`${pad === 0 ? '' : `${'p'.repeat(pad)}\r\n`}${text}`, 'latin1')
        const chunks: Buffer[] = []
        for (let from = 0, i = 0; from < whole.length; i++) {
          const size = (cuts[i % cuts.length] ?? 1) * (pad === 0 ? 1 : 50)
          chunks.push(whole.subarray(from, from + size))
          from += size
        }
        const content = message('.Odd: header line\r\nB: c\r\n\r\n', chunks)
        const sent = isAsync ? { ...content, body: () => slowly(chunks) } : content
        assert.equal(dialogueOf(await send(connection, sent)).final?.code, 250)
        const received = hop.taken.pop()?.content
        assert.ok(received?.equals(Buffer.concat([content.header, ...chunks])))
      },
    ),
    { numRuns: 150 },
  )
  connection.destroy()
})

async function* slowly(chunks: readonly Buffer[]): AsyncIterable<Buffer> {
  for (const chunk of chunks) {
    await Promise.resolve()
    yield chunk
  }
}
