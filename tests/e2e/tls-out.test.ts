// The running relay with a smart host that wants TLS: DL-1, PH-4, KM-7.
import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { TestAuthority } from '../harness/certificates.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { startRelay } from '../harness/relay.ts'
import { sendMail } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'

const authority = new TestAuthority()
after(() => authority[Symbol.dispose]())

test('DL-1: mail leaves in TLS; authorities that SIGHUP brings hold for the next connection', async () => {
  const server = authority.issue({ names: ['DNS:smart.example'] })
  using another = new TestAuthority('Another')
  await using hop = await NextHop.start({ tls: server })
  const trust = join(authority.directory, 'trust.pem')
  copyFileSync(authority.certificate, trust)
  const smartHost = {
    kind: 'smart-host',
    host: '127.0.0.1',
    port: hop.port,
    tls: 'verify',
    tlsName: 'smart.example',
    trust: { file: trust },
  }
  const relay = await startRelay({
    nextHopPort: hop.port,
    table: EXAMPLE_TABLE,
    settings: { routes: { 'owner-tenant': smartHost, mailbox: smartHost } },
  })
  const send = (subject: string) =>
    sendMail(relay.outPort, {
      from: 'alice@contoso.com',
      to: ['dana@example.net'],
      data: Buffer.from(`From: alice@contoso.com\r\nSubject: ${subject}\r\n\r\nx\r\n`),
    })
  const logged = (what: RegExp) => eventually(String(what), () => what.exec(relay.output()) ?? undefined)
  try {
    await send('first')
    await logged(/"delivery\.delivered".*"tls":"TLSv1\.3","verifiedBy":"name"/)
    assert.match(hop.taken[0]?.content.toString() ?? '', /Subject: first/)
    // Another authority: the host that was believed no longer is.
    copyFileSync(another.certificate, trust)
    process.kill(relay.pid, 'SIGHUP')
    await logged(/"credentials\.loaded"/)
    await send('second')
    await logged(/"delivery\.deferred".*"status":"4\.7\.5"/)
    assert.equal(hop.taken.length, 1)
    const metrics = await (await fetch(`http://127.0.0.1:${relay.adminPort}/metrics`)).text()
    assert.match(metrics, /causeway_outbound_tls_total\{result="name"\} 1/)
    assert.match(metrics, /causeway_outbound_tls_total\{result="certificate-not-trusted"\} 1/)
  } finally {
    await relay.stop()
    await relay.remove()
  }
})
