// What becomes of a message between DATA and 250, with the real engine and spool: the worked examples are those of rewriting.md §15.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Policy } from '../../../rewrite-rules/index.ts'
import type { AcceptedMail } from '../../../mta/mail-event.ts'
import { DEFAULT_POLICY, formatMarker } from '../../../rewrite-rules/index.ts'
import { MARKER, ReceivingRelay } from './receiving-relay.ts'
import type { Accepted, ReceivingRelayOptions } from './receiving-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

interface Mail {
  readonly mail?: string
  readonly rcpt?: readonly string[]
  /** With CR LF, dots stuffed, without the final dot. */
  readonly content: string
}

async function submit(
  client: TranscriptClient,
  { mail = '<alice@contoso.com>', rcpt = ['<dana@example.net>'], content }: Mail,
): Promise<string> {
  await client.say(`MAIL FROM:${mail}`, 250)
  for (const path of rcpt) await client.say(`RCPT TO:${path}`, 250)
  await client.say('DATA', 354)
  client.write(`${content}.\r\n`)
  return await client.reply()
}

/** One message through a relay of its own. */
async function pass(
  mail: Mail,
  options: ReceivingRelayOptions = {},
): Promise<{ reply: string; accepted: Accepted | undefined }> {
  await using relay = await ReceivingRelay.start(options)
  const client = await TranscriptClient.hello(relay.port)
  const reply = await submit(client, mail)
  client.quit()
  return { reply, accepted: reply.startsWith('250') ? await relay.last() : undefined }
}

const withPolicy = (policy: Partial<Policy>): ReceivingRelayOptions => ({
  project: { policy: { ...DEFAULT_POLICY, ...policy } },
})
const incoming: ReceivingRelayOptions = { deps: () => ({ direction: 'in' }) }

test('R79 Received on top, then the marker, then the rewritten header; the body byte for byte', async () => {
  const body = 'line\r\n..\r\n...dots\r\n\r\ntrailing \t\r\n'
  const content = `From: Alice <alice@contoso.com>\r\nTo: dana@example.net\r\nMessage-ID: <1@contoso.com>\r\n\r\n${body}`
  const { accepted } = await pass({ content })
  assert.ok(accepted)
  assert.match(
    accepted.header,
    new RegExp(
      '^Received: from client\\.example \\(\\[127\\.0\\.0\\.1\\]\\)\\r\\n' +
        ` by relay\\.example with ESMTP id ${accepted.record.queueId};\\r\\n` +
        ' [A-Z][a-z]{2}, \\d\\d [A-Z][a-z]{2} \\d{4} \\d\\d:\\d\\d:\\d\\d \\+0000\\r\\n' +
        'X-Causeway-Trace: [^\\r\\n]+\\r\\n' +
        'From: Alice <alice\\.smith@fabrikam\\.com>\\r\\nTo: dana@example\\.net\\r\\nMessage-ID: <1@contoso\\.com>\\r\\n\\r\\n$',
    ),
  )
  assert.equal(accepted.body, 'line\r\n.\r\n..dots\r\n\r\ntrailing \t\r\n')
  assert.equal(accepted.record.headerBytes, accepted.header.length)
  assert.equal(accepted.record.bodyBytes, accepted.body.length)
})

test('DL-5 whether a machine sent it is recorded, as its header says', async () => {
  for (const [field, isAutomatic] of [
    ['Auto-Submitted: auto-replied', true],
    ['List-Id: <news.contoso.com>', true],
    ['Precedence: first-class', false],
  ] as const) {
    const { accepted } = await pass({ content: `From: Alice <alice@contoso.com>\r\n${field}\r\n\r\nhello\r\n` })
    assert.equal(accepted?.record.isAutomatic, isAutomatic, field)
  }
})

test('R76 the marker counts on from the valid ones of the same direction', async () => {
  const seen = formatMarker({
    ...MARKER,
    project: 'p1',
    direction: 'out',
    count: 1,
    relay: 'other',
    messageId: '<1@contoso.com>',
  })
  const content = `X-Causeway-Trace: ${seen}\r\nMessage-ID: <1@contoso.com>\r\nFrom: alice@contoso.com\r\n\r\n`
  const { accepted } = await pass({ content })
  const ours = formatMarker({
    ...MARKER,
    project: 'p1',
    direction: 'out',
    count: 2,
    relay: 'relay.example',
    messageId: '<1@contoso.com>',
  })
  assert.ok(accepted?.header.includes(`X-Causeway-Trace: ${ours}\r\nX-Causeway-Trace: ${seen}\r\n`))
  assert.match(accepted?.header ?? '', /From: alice\.smith@fabrikam\.com/, 'a marker never suppresses rewriting (R77)')
})

const markers: [count: number, forged: boolean, reply: RegExp, why: string][] = [
  [2, false, /^250/, 'two: processed'],
  [3, false, /^554 5\.4\.6/, 'three: a loop (E91)'],
  [5, true, /^250/, 'a wrong h doesn’t count (E91)'],
]
for (const [count, forged, reply, why] of markers) {
  test(`R77 ${count} markers: ${why}`, async () => {
    const secret = forged ? 'not our secret' : MARKER.secret
    const fields = Array.from({ length: count }, (_, i) => {
      const marker = formatMarker({
        ...MARKER,
        secret,
        project: 'p1',
        direction: 'out',
        count: i + 1,
        relay: 'r',
        messageId: '',
      })
      return `X-Causeway-Trace: ${marker}\r\n`
    })
    const result = await pass({ content: `${fields.join('')}From: alice@contoso.com\r\n\r\n` })
    assert.match(result.reply, reply)
  })
}

const receivedCounts: [count: number, reply: RegExp][] = [
  [99, /^250/],
  [100, /^250/],
  [101, /^554 5\.4\.6/],
]
for (const [count, reply] of receivedCounts) {
  test(`R77 ${count} Received fields: ${reply.source}`, async () => {
    const received = 'Received: from a by b; Sun, 22 Nov 2026 10:00:00 +0000\r\n'.repeat(count)
    assert.match((await pass({ content: `${received}From: alice@contoso.com\r\n\r\n` })).reply, reply)
  })
}

test('without marker keys nothing is marked', async () => {
  const { accepted } = await pass({ content: 'From: alice@contoso.com\r\n\r\n' }, { project: { marker: undefined } })
  assert.doesNotMatch(accepted?.header ?? 'X-Causeway-Trace', /X-Causeway-Trace/)
})

test('R84, SP-6 the tenant proof and results in our name never reach the spool', async () => {
  const { accepted } = await pass({
    content:
      'X-Causeway-Project: s3cret-canary\r\nAuthentication-Results: relay.example; dkim=pass\r\n' +
      'Authentication-Results: tenant.example; dkim=pass\r\nFrom: alice@contoso.com\r\n\r\n',
  })
  assert.doesNotMatch(accepted?.header ?? 's3cret-canary', /s3cret-canary|Authentication-Results: relay/)
  assert.match(accepted?.header ?? '', /Authentication-Results: tenant\.example/)
})

const envelopes: [title: string, mail: Mail, options: ReceivingRelayOptions, expected: object][] = [
  [
    'E60 out: the sender is presented, the recipient outside stays, SIZE goes',
    { mail: '<alice@contoso.com> SIZE=1000 BODY=8BITMIME', content: '\r\n' },
    {},
    {
      reversePath: 'alice.smith@fabrikam.com',
      receivedReversePath: 'alice@contoso.com',
      body8BitMime: true,
      recipients: [{ path: 'dana@example.net', received: 'dana@example.net', route: 'owner-tenant' }],
    },
  ],
  [
    'E62 out: a recipient of the project goes to the mailbox, ORCPT says where it was sent',
    { mail: '<dana@example.net>', rcpt: ['<alice.smith@fabrikam.com>'], content: '\r\n' },
    {},
    {
      recipients: [
        {
          path: 'alice@contoso.com',
          received: 'alice.smith@fabrikam.com',
          orcpt: 'rfc822;alice.smith@fabrikam.com',
          route: 'owner-tenant',
        },
      ],
    },
  ],
  [
    'E63 in: two recipients collapse (R13)',
    {
      mail: '<dana@example.net>',
      rcpt: ['<alice.smith@fabrikam.com> NOTIFY=FAILURE', '<asmith@contoso.com> NOTIFY=NEVER'],
      content: '\r\n',
    },
    incoming,
    {
      reversePath: 'dana@example.net',
      recipients: [
        {
          path: 'alice@contoso.com',
          received: 'alice.smith@fabrikam.com',
          notify: 'FAILURE',
          orcpt: 'rfc822;alice.smith@fabrikam.com',
          route: 'mailbox',
        },
      ],
    },
  ],
  [
    'E66 source route and DSN parameters of the message',
    { mail: '<> RET=HDRS ENVID=x+2By', rcpt: ['<@a.example,@b.example:carol@contoso.com>'], content: '\r\n' },
    {},
    {
      reversePath: '',
      ret: 'HDRS',
      envid: 'x+2By',
      recipients: [
        {
          path: 'carol@fabrikam.com',
          received: 'carol@contoso.com',
          orcpt: 'rfc822;carol@contoso.com',
          route: 'owner-tenant',
        },
      ],
    },
  ],
]
for (const [title, mail, options, expected] of envelopes) {
  test(title, async () => {
    const { accepted } = await pass(mail, options)
    assert.ok(accepted)
    for (const [key, value] of Object.entries(expected)) {
      assert.deepEqual(Reflect.get(accepted.record, key), value, key)
    }
  })
}

test('mail to the unqualified postmaster goes to whom the settings name', async () => {
  const { accepted } = await pass(
    { rcpt: ['<POSTMASTER>'], content: '\r\n' },
    { project: { postmaster: 'ops@example.net' } },
  )
  assert.equal(accepted?.record.recipients[0]?.path, 'ops@example.net')
})

const eightBit: [content: string, has8Bit: boolean, why: string][] = [
  ['Subject: x\r\n\r\nplain\r\n', false, 'ASCII'],
  ['Subject: x\r\n\r\ncaf\xc3\xa9\r\n', true, 'in the body'],
  ['Subject: caf\xc3\xa9\r\n\r\nplain\r\n', true, 'in the header'],
]
for (const [content, has8Bit, why] of eightBit) {
  test(`R12 an octet above 127 is ${has8Bit ? '' : 'not '}recorded: ${why}`, async () => {
    assert.equal((await pass({ content })).accepted?.record.has8Bit, has8Bit)
  })
}

test('R27, RFC 6531 SMTPUTF8 is recorded and stands in Received', async () => {
  const { accepted } = await pass({ mail: '<alice@contoso.com> SMTPUTF8', content: 'Subject: x\r\n\r\n' })
  assert.equal(accepted?.record.smtpUtf8, true)
  assert.match(accepted?.header ?? '', / with UTF8SMTP id /)
})

const shapes: [content: string, header: RegExp, body: string, why: string][] = [
  ['', /h=[^\r\n]+\r\n\r\n$/, '', 'nothing at all'],
  ['\r\n', /h=[^\r\n]+\r\n\r\n$/, '', 'an empty line'],
  ['\r\nbody\r\n', /h=[^\r\n]+\r\n\r\n$/, 'body\r\n', 'a body without header'],
  ['Subject: x\r\n', /\r\nSubject: x\r\n$/, '', 'a header without end'],
  ['Subject: x\r\n\r\n', /\r\nSubject: x\r\n\r\n$/, '', 'a header without body'],
  [
    'no field\r\nat all\r\n',
    /h=[^\r\n]+\r\n\r\n$/,
    'no field\r\nat all\r\n',
    'text that is no header must not join ours',
  ],
  [' folded\r\n', /h=[^\r\n]+\r\n\r\n$/, ' folded\r\n', 'nor continue our last field'],
]
for (const [content, header, body, why] of shapes) {
  test(`a message of ${JSON.stringify(content)}: ${why}`, async () => {
    const { accepted } = await pass({ content })
    assert.match(accepted?.header ?? '', header)
    assert.equal(accepted?.body, body)
  })
}

const refusals: [title: string, content: string, reply: RegExp, closes: boolean][] = [
  ['E94 a bare LF in the header', 'From: alice@contoso.com\nTo: x\r\n\r\n', /^554 5\.6\.0/, true],
  ['§12 NUL in the header', 'From: a\0lice@contoso.com\r\n\r\n', /^554 5\.6\.0/, false],
  ['§12 a header field over 256 KiB', `X: ${'x'.repeat(262_144)}\r\n\r\n`, /^552 5\.3\.4/, false],
  ['§12 more than 5000 fields', `${'X: y\r\n'.repeat(5001)}\r\n`, /^552 5\.3\.4/, false],
  [
    '§12 more than 10000 addresses in one field',
    `To: ${'a@b.example,\r\n '.repeat(10_001)}x@y.example\r\n\r\n`,
    /^552 5\.3\.4/,
    false,
  ],
  [
    '§12 a From that can’t be read and holds a known address',
    'From: alice@contoso.com@example.net, x\r\n\r\n',
    /^451 4\.6\.0/,
    false,
  ],
]
for (const [title, content, expected, closes] of refusals) {
  test(`${title}: ${expected.source}, nothing is kept`, async () => {
    await using relay = await ReceivingRelay.start()
    const client = await TranscriptClient.hello(relay.port)
    const reply = await submit(client, { content })
    assert.match(reply, expected)
    if (closes) assert.equal(await client.closed(), '')
    else assert.match(await submit(client, { content: 'Subject: next\r\n\r\n' }), /^250/)
    assert.deepEqual([...relay.spool.entries()].length, closes ? 0 : 1)
    client.quit()
  })
}

test('R50 tnef: reject refuses the message at its end', async () => {
  const content = 'From: alice@contoso.com\r\nContent-Type: application/ms-tnef\r\n\r\nxx\r\n'
  assert.match((await pass({ content }, withPolicy({ tnef: 'reject' }))).reply, /^554 5\.6\.0/)
  assert.match((await pass({ content })).reply, /^250/)
})

test('E99 in, envelope-only: bytes identical but for the fields on top, RCPT located', async () => {
  const content = 'From: dana@example.net\r\nTo: alice.smith@fabrikam.com\r\n\r\nhello\r\n'
  const { accepted } = await pass(
    { mail: '<dana@example.net>', rcpt: ['<alice.smith@fabrikam.com>'], content },
    { ...incoming, ...withPolicy({ inHeaders: 'envelope-only' }) },
  )
  assert.ok(accepted?.header.endsWith('\r\nFrom: dana@example.net\r\nTo: alice.smith@fabrikam.com\r\n\r\n'))
  assert.equal(accepted?.record.recipients[0]?.path, 'alice@contoso.com')
})

test('E95 without a table: 451 4.3.5 at MAIL; when it has come the retry is rewritten', async () => {
  await using relay = await ReceivingRelay.start()
  const { table } = relay
  relay.table = undefined
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', '451 4.3.5')
  relay.table = table
  assert.match(await submit(client, { content: 'From: alice@contoso.com\r\n\r\n' }), /^250/)
  assert.match((await relay.last()).header, /From: alice\.smith@fabrikam\.com/)

  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  relay.table = undefined // became too old meanwhile
  await client.say('DATA', '451 4.3.5')
  await client.say('NOOP', 250)
  client.quit()
})

test('R1, RC-3 a message is rewritten by the table it began with, whatever happens in between', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  client.write('From: alice@contoso.com\r\n')
  await new Promise(setImmediate)
  relay.table = undefined
  client.write('\r\n.\r\n')
  await client.expect(250)
  assert.match((await relay.last()).header, /From: alice\.smith@fabrikam\.com/)
  client.quit()
})

test('DU-1 the 250 is written when the message is durable, and before the queue hears of it', async () => {
  const order: string[] = []
  await using relay = await ReceivingRelay.start({
    deps: ({ spool, log }) => ({
      log,
      accepted: () => void order.push('announced'),
      spool: {
        checkRoom: (bytes) => spool.checkRoom(bytes),
        remove: (queueId) => spool.remove(queueId),
        begin(queueId) {
          const intake = spool.begin(queueId)
          return {
            queueId,
            write: (chunk) => intake.write(chunk),
            abort: () => intake.abort(),
            async commit(header, record, state) {
              await intake.commit(header, record, state)
              order.push('durable')
            },
          }
        },
      },
    }),
  })
  const client = await TranscriptClient.hello(relay.port)
  client.socket.on('data', (chunk: Buffer) => {
    if (chunk.includes('queued as')) order.push('read')
  })
  await submit(client, { content: 'Subject: x\r\n\r\n' })
  await client.say('NOOP', 250)
  assert.deepEqual(
    order,
    ['durable', 'announced', 'read'],
    'the queue hears of it only in the turn of the loop in which the 250 left',
  )
  client.quit()
})

test('what the delivery journal is told of an accepted message: its record, its Message-ID as it came, and who sent it', async () => {
  const told: AcceptedMail[] = []
  await using relay = await ReceivingRelay.start({
    deps: ({ log }) => ({ log, accepted: (_, mail) => void told.push(mail) }),
  })
  const client = await TranscriptClient.hello(relay.port)
  await submit(client, { content: 'Subject: x\r\nMessage-ID: <one@contoso.com>\r\n\r\n' })
  await submit(client, { content: 'Subject: without\r\n\r\n' })
  await client.say('NOOP', 250)
  assert.deepEqual(
    told.map(({ messageId, client: from }) => [messageId, from]),
    [
      ['<one@contoso.com>', '127.0.0.1'],
      ['', '127.0.0.1'],
    ],
  )
  assert.ok(told.every(({ record }) => record.recipients.length > 0))
  client.quit()
})

test('DU-1 nothing that can fail stands between the sync and the 250: a log that throws changes no reply', async () => {
  await using relay = await ReceivingRelay.start({
    deps: ({ log }) => ({
      log: {
        ...log,
        info(event, fields) {
          if (event === 'message.accepted') throw new Error('the log is full')
          log.info(event, fields)
        },
      },
    }),
  })
  const client = await TranscriptClient.hello(relay.port)
  assert.match(await submit(client, { content: 'Subject: x\r\n\r\n' }), /^250/)
  assert.equal(relay.accepted.length, 1)
  client.quit()
})

test('DU-2 a client that leaves behind its final dot has given us the message all the same', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  client.socket.end('Subject: x\r\n\r\n.\r\n')
  client.socket.resume()
  await client.closed()
  await relay.close()
  assert.equal(relay.accepted.length, 1)
})

test('PR-2 the log names no address, subject or proof', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  await submit(client, {
    content: 'From: alice@contoso.com\r\nSubject: canary\r\nX-Causeway-Project: canary\r\n\r\ncanary\r\n',
  })
  client.quit()
  const text = JSON.stringify(relay.log)
  assert.match(text, /message\.accepted/)
  assert.doesNotMatch(text, /canary|alice|dana/)
})

test('OP-1 accepted messages, merged recipients and report codes are counted', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  await submit(client, {
    rcpt: ['<alice.smith@fabrikam.com>', '<asmith@contoso.com>'],
    content: 'Subject: x\r\nContent-Type: application/ms-tnef\r\n\r\n',
  })
  client.quit()
  const metrics = await relay.metrics.metrics()
  const line = relay.log.find(({ event }) => event === 'message.accepted')
  assert.deepEqual(
    line?.['collapsed'],
    ['tag-18'],
    'R13: the recipient that became one with another, as the log may name it',
  )
  assert.match(metrics, /causeway_inbound_messages_accepted_total\{direction="out"\} 1/)
  assert.match(metrics, /causeway_inbound_recipients_collapsed_total\{direction="out"\} 1/)
  assert.match(metrics, /causeway_inbound_report_codes_total\{direction="out",code="tnef"\} 1/)
})

test('20 sessions of 10 MiB at once: memory stays flat, every octet arrives', async () => {
  await using relay = await ReceivingRelay.start()
  const block = Buffer.from(`${'x'.repeat(76)}\r\n`.repeat(840))
  const blocks = Math.ceil((10 << 20) / block.length)
  const before = process.memoryUsage.rss()
  let peak = before
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20)
  const send = async (): Promise<void> => {
    const client = await TranscriptClient.hello(relay.port)
    await client.say('MAIL FROM:<alice@contoso.com>', 250)
    await client.say('RCPT TO:<dana@example.net>', 250)
    await client.say('DATA', 354)
    client.write('Subject: large\r\n\r\n')
    for (let i = 0; i < blocks; i++) {
      if (!client.socket.write(block)) await new Promise((resolve) => client.socket.once('drain', resolve))
    }
    client.write('.\r\n')
    await client.expect(250)
    client.quit()
  }
  await Promise.all(Array.from({ length: 20 }, send))
  clearInterval(timer)
  for (const queueId of relay.accepted) {
    const stored = await relay.spool.read(queueId)
    assert.equal(stored.record.bodyBytes, blocks * block.length)
    await stored.close()
  }
  // Both ends live in this process, and 200 MiB went through it.
  assert.ok(peak - before < 150e6, `grew by ${Math.round((peak - before) / 1e6)} MB`)
})
