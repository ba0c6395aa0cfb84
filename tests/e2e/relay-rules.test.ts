// Rules that only the running relay can show: direction by listener, loops over two relays, what leaves it, how it starts and stops.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import type { Taken } from '../harness/next-hop.ts'
import { freePorts } from '../harness/ports.ts'
import { runCommand } from '../harness/postfix.ts'
import { ROOT, startRelay } from '../harness/relay.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { sendMail, SmtpClient } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'

let hop: NextHop
let relay: RunningRelay

before(async () => {
  hop = await NextHop.start()
  relay = await startRelay({ nextHopPort: hop.port, table: EXAMPLE_TABLE })
})

after(async () => {
  await relay.stop()
  await relay.remove()
  await hop.close()
})

/** The transaction that brought the message with this Message-ID. */
function arrival(id: string): Promise<Taken> {
  return eventually(`message ${id}`, () => hop.taken.find(({ content }) => content.includes(`<${id}>`)))
}

const MESSAGE = [
  'From: Alice <alice@contoso.com>',
  'To: Bob <bob@contoso.com>',
  'In-Reply-To: <x.alice@contoso.com>',
  'References: <x.alice@contoso.com> <y.bob@contoso.com>',
  'Thread-Index: AQHalice@contoso.com',
]

function message(id: string, ...lines: readonly string[]): Buffer {
  return Buffer.from([...MESSAGE, `Message-ID: <${id}>`, '', ...lines, ''].join('\r\n'))
}

test('R5: the listener gives the direction, nothing in the message does', async () => {
  const mail = { from: 'alice@contoso.com', to: ['carol@contoso.com'] }
  await sendMail(relay.outPort, { ...mail, data: message('r5-out@contoso.com') })
  await sendMail(relay.inPort, { ...mail, data: message('r5-in@contoso.com') })
  const [out, into] = [await arrival('r5-out@contoso.com'), await arrival('r5-in@contoso.com')]
  assert.match(out.mail, /^MAIL FROM:<alice\.smith@fabrikam\.com>/)
  assert.match(into.mail, /^MAIL FROM:<alice@contoso\.com>/)
  assert.match(out.content.toString(), /^From: Alice <alice\.smith@fabrikam\.com>\r$/m)
  assert.match(into.content.toString(), /^From: Alice <alice@contoso\.com>\r$/m)
})

test('R75: Message-ID, References, In-Reply-To and Thread-Index keep every byte', async () => {
  await sendMail(relay.outPort, {
    from: 'alice@contoso.com',
    to: ['dana@example.net'],
    data: message('r75@contoso.com'),
  })
  const content = (await arrival('r75@contoso.com')).content.toString()
  for (const line of [...MESSAGE.slice(2), 'Message-ID: <r75@contoso.com>'])
    assert.ok(content.includes(`\r\n${line}\r\n`), line)
})

test('R73: a report for a rewritten sender travels in: null reverse-path kept, RCPT and To located, the report untouched', async () => {
  const report = [
    'From: MAILER-DAEMON@mx.example.net',
    'To: alice.smith@fabrikam.com',
    'Message-ID: <r73@mx.example.net>',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=delivery-status; boundary=b',
    '',
    '--b',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; mx.example.net',
    '',
    'Final-Recipient: rfc822; alice.smith@fabrikam.com',
    'Action: failed',
    '',
    '--b--',
    '',
  ].join('\r\n')
  await sendMail(relay.inPort, { from: '', to: ['alice.smith@fabrikam.com'], data: Buffer.from(report) })
  const taken = await arrival('r73@mx.example.net')
  assert.match(taken.mail, /^MAIL FROM:<>/)
  assert.match(taken.rcpts[0] ?? '', /^RCPT TO:<alice@contoso\.com>/)
  const content = taken.content.toString()
  assert.match(content, /^To: alice@contoso\.com\r$/m)
  assert.ok(content.endsWith(report.slice(report.indexOf('\r\n--b'))), 'the body is as it came')
})

test('PH-2: nothing the relay sends on holds a lone CR or LF; NUL and long lines in a body go on as they came', async () => {
  const long = 'x'.repeat(5_000)
  await sendMail(relay.outPort, {
    from: 'alice@contoso.com',
    to: ['dana@example.net'],
    data: message('ph2@contoso.com', 'a\0b', long, '.', '..', '.dot'),
  })
  for (const bare of ['a\rb', 'a\nb', '\n.\n', '\r.\r']) {
    const reply = await sendMail(relay.outPort, {
      from: 'alice@contoso.com',
      to: ['dana@example.net'],
      data: message('ph2-bare@contoso.com', bare),
    })
    assert.match(reply, /^554 5\.6\.0 /, JSON.stringify(bare))
  }
  const content = (await arrival('ph2@contoso.com')).content.toString('latin1')
  assert.ok(content.endsWith(`\r\n\r\na\0b\r\n${long}\r\n.\r\n..\r\n.dot\r\n`))
  for (const taken of hop.taken) {
    assert.doesNotMatch(taken.content.toString('latin1'), /\r(?!\n)|(?<!\r)\n/)
    assert.ok(!taken.content.includes('ph2-bare'), 'a refused message went on')
  }
})

test('PH-9, R77: of two relays pointed at each other each takes a message at most twice, and its sender is told', async () => {
  const [portA = 0, portB = 0] = await freePorts(2)
  const reports = await NextHop.start()
  const listener = (port: number) => ({
    address: '127.0.0.1',
    port,
    direction: 'out',
    tls: 'none',
    allow: ['127.0.0.0/8'],
  })
  const route = (port: number) => ({ kind: 'smart-host', host: '127.0.0.1', port, tls: 'none' })
  const pair: RunningRelay[] = []
  for (const [own, other] of [
    [portA, portB],
    [portB, portA],
  ] as const) {
    pair.push(
      await startRelay({
        nextHopPort: other,
        table: EXAMPLE_TABLE,
        settings: {
          listeners: [listener(own)],
          routes: { 'owner-tenant': route(other), mailbox: route(reports.port) },
          marker: { file: join(relay.directory, 'pair.json') },
        },
      }),
    )
  }
  try {
    const mail = { from: 'alice@contoso.com', to: ['dana@example.net'], data: message('loop@contoso.com') }
    assert.match(await sendMail(portA, mail), /^250/)
    const report = await eventually('the failure report', () => reports.taken[0])
    assert.match(report.content.toString(), /^Status: 5\.4\.6\r$/m)
    const accepted = pair.map((one) => one.output().split('"event":"message.accepted"').length - 1)
    assert.deepEqual(accepted, [2, 1], 'the fourth arrival is refused')
  } finally {
    for (const one of pair) {
      await one.stop()
      await one.remove()
    }
    await reports.close()
  }
})

test('E95: without a table the relay is up, not ready, says so, and answers 451; when the table comes, the retry is rewritten', async () => {
  const own = await startRelay({ nextHopPort: hop.port, waitFor: 'alive' })
  try {
    const ready = await fetch(`http://127.0.0.1:${own.adminPort}/readyz`)
    assert.equal(ready.status, 503)
    assert.match(await ready.text(), /table file is missing/)
    const mail = { from: 'alice@contoso.com', to: ['dana@example.net'], data: message('e95@contoso.com') }
    assert.match(await sendMail(own.outPort, mail), /^451 4\.3\.5 /)
    await writeFile(join(own.directory, 'table.json'), JSON.stringify(EXAMPLE_TABLE))
    await eventually('readiness', async () => (await fetch(`http://127.0.0.1:${own.adminPort}/readyz`)).ok || undefined)
    assert.match(await sendMail(own.outPort, mail), /^250 2\.0\.0 /)
    assert.match((await arrival('e95@contoso.com')).mail, /<alice\.smith@fabrikam\.com>/)
  } finally {
    await own.stop()
    await own.remove()
  }
})

test('DU-7: a second relay on the same spool says so and exits with 2; the first goes on', async () => {
  const second = await runCommand(join(ROOT, 'bin/causeway'), ['relay', '--config', relay.configFile])
  assert.equal(second.status, 2, second.output)
  assert.match(second.output, /spool/i)
  const reply = await sendMail(relay.outPort, {
    from: 'alice@contoso.com',
    to: ['dana@example.net'],
    data: message('du7@contoso.com'),
  })
  assert.match(reply, /^250/)
  await arrival('du7@contoso.com')
})

test('DU-6: SIGTERM in the middle of a message lets it finish, exits 0, and what is queued is delivered after a restart', async () => {
  const [closedPort = 0] = await freePorts(1)
  const own = await startRelay({ nextHopPort: closedPort, table: EXAMPLE_TABLE })
  const client = await SmtpClient.connect(own.outPort)
  await client.command('MAIL FROM:<alice@contoso.com>')
  await client.command('RCPT TO:<dana@example.net>')
  assert.match(await client.command('DATA'), /^354/)
  const exited = own.stop()
  assert.match(await client.content(message('du6@contoso.com', 'last words')), /^250 2\.0\.0 /)
  assert.equal(await exited, 0)
  client.close()
  const again = await startRelay({ nextHopPort: hop.port, table: EXAMPLE_TABLE, directory: own.directory })
  try {
    const retry = await runCommand(join(ROOT, 'bin/causeway'), [
      'queue',
      'retry',
      '--all',
      '--config',
      again.configFile,
    ])
    assert.equal(retry.status, 0, retry.output)
    await arrival('du6@contoso.com')
  } finally {
    await again.stop()
    await again.remove()
  }
})

test('PR-2, SF-3: no address of the message is in the log, and no line of it on the disk', async () => {
  const canary = 'canary-7d1f0b'
  hop.behave({ act: ({ stage }) => (stage === 'content' ? '451 4.3.0 later' : undefined) })
  const data = message('canary@contoso.com', canary)
  assert.match(
    await sendMail(relay.outPort, { from: 'alice@contoso.com', to: [`${canary}@example.net`], data }),
    /^250/,
  )
  await eventually('the attempt', () => relay.output().includes('delivery.deferred') || undefined)
  hop.behave({})
  assert.ok(!relay.output().includes(canary))
  assert.ok(!relay.output().includes('alice'))
  const search = await runCommand('grep', ['-rl', '-e', canary, '-e', 'alice@contoso', join(relay.directory, 'spool')])
  assert.equal(search.output, '')
  assert.equal(search.status, 1, 'grep ran and found nothing')
})
