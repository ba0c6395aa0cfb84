// The report of a delay over the running relay: to who asked for it, once, over a restart; not to a machine. (DL-4, DL-5)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { simpleParser } from 'mailparser'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { startRelay } from '../harness/relay.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'

test('DL-4, DL-5: a sender who asked for it is told of a delay once, over a restart; a machine never; then the mail arrives', async () => {
  let attempts = 0
  await using busy = await NextHop.start({
    act({ stage }) {
      if (stage === 'DATA') return '503 5.5.1 no recipients'
      if (stage !== 'RCPT') return undefined
      attempts++
      return '450 4.3.2 <b>busy</b>\u0007 come back'
    },
  })
  await using back = await NextHop.start()
  const hop = (port: number) => ({ kind: 'smart-host', host: '127.0.0.1', port, tls: 'none' })
  const options = {
    nextHopPort: busy.port,
    table: EXAMPLE_TABLE,
    settings: {
      routes: { 'owner-tenant': hop(busy.port), mailbox: hop(back.port) },
      retry: { firstWaits: ['1s'], thenWait: '1s', lastWait: '1s', warnAfter: '2s' },
    },
  }
  let relay = await startRelay(options)
  try {
    const send = (to: string, field: string, rcptParameters?: string) =>
      sendMail(relay.outPort, {
        from: 'alice@contoso.com',
        to: [to],
        data: Buffer.from(`From: Alice <alice@contoso.com>\r\nTo: ${to}\r\n${field}\r\n\r\nhello\r\n`),
        mailParameters: 'RET=FULL ENVID=env+2B1',
        ...(rcptParameters === undefined ? {} : { rcptParameters }),
      })
    assert.match(
      await send('asked@example.net', 'Subject: x', 'NOTIFY=DELAY,FAILURE ORCPT=rfc822;as+2Bked@example.org'),
      /^250/,
    )
    assert.match(await send('machine@example.net', 'Auto-Submitted: auto-generated', 'NOTIFY=DELAY'), /^250/)
    assert.match(await send('never@example.net', 'Subject: x', 'NOTIFY=NEVER'), /^250/)
    assert.match(await send('silent@example.net', 'Subject: x'), /^250/)
    await eventually('the delay to be told', () => (back.taken.length > 0 ? true : undefined))
    assert.equal(await relay.stop(), 0)
    relay = await startRelay({ ...options, directory: relay.directory })
    const before = attempts
    await eventually('each to be tried again, often enough to be late', () =>
      attempts >= before + 12 ? true : undefined,
    )
    await sleep(200)

    assert.equal(back.taken.length, 1)
    const [report] = back.taken
    assert.ok(report)
    assert.match(report.mail, /^MAIL FROM:<>/)
    assert.deepEqual(
      report.rcpts.map((line) => /<(.*?)>/.exec(line)?.[1]),
      ['alice@contoso.com'],
    )
    const parsed = await simpleParser(report.content)
    assert.equal(parsed.subject, 'Delivery delayed, still trying')
    assert.equal(parsed.headers.get('auto-submitted'), 'auto-replied')
    assert.match(parsed.text ?? '', /You need not\s+send it again/)
    const text = report.content.toString()
    assert.match(text, /^Original-Envelope-Id: env\+1\r$/m)
    assert.match(
      text,
      /^Original-Recipient: rfc822;as\+ked@example\.org\r\nFinal-Recipient: rfc822; asked@example\.net\r$/m,
    )
    assert.match(text, /^Action: delayed\r\nStatus: 4\.3\.2\r$/m)
    assert.match(text, /^Diagnostic-Code: smtp; 450 4\.3\.2 <b>busy<\/b> come back\r$/m)
    assert.match(text, /^Will-Retry-Until: /m)
    assert.doesNotMatch(text, /^hello/m, 'RET speaks of failures only')

    busy.behave({})
    await eventually('all to arrive', () => (busy.taken.length === 4 ? true : undefined))
    assert.equal(await relay.stop(), 0)
  } finally {
    await relay.stop('SIGKILL')
    await relay.remove()
  }
})
