// Certificates exchanged under a running relay (PH-4), and sessions of TLS that go on in another connection: as strictly judged as new ones.
import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import type { MadeCertificate } from '../../harness/certificates.ts'
import { EXAMPLE_TABLE } from '../../harness/example-table.ts'
import { freePort } from '../../harness/ports.ts'
import { startRelay } from '../../harness/relay.ts'
import { metric, showing, TestWorld, until, EXCHANGE } from './secure-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

const world = new TestWorld()
after(() => world[Symbol.dispose]())
const exchange = showing(world.exchange)
const fingerprint = (socket: TLSSocket) => socket.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase()
const HANDSHAKES = 'causeway_inbound_tls_handshakes_total'

/** Greeted and inside TLS, with the certificate the relay showed. */
async function open(port: number, options: ConnectionOptions = exchange): Promise<[TranscriptClient, TLSSocket]> {
  const client = await TranscriptClient.hello(port)
  const secure = await client.startTls(options)
  await client.say('EHLO client.example', 250)
  return [client, secure]
}

async function sendMail(client: TranscriptClient): Promise<void> {
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  await client.say('Subject: x\r\n\r\n.', '250 2.0.0 queued')
}

test('PH-4 new handshakes show the new certificate, running sessions go on', async () => {
  const { relay, credentials, install } = await world.start()
  await using _ = relay
  const [before, oldSocket] = await open(relay.port)
  await before.say('MAIL FROM:<alice@contoso.com>', 250)
  const waiting = await TranscriptClient.hello(relay.port)
  install(0, world.second)
  credentials.reload()
  await before.say('RSET', 250)
  await sendMail(before)
  assert.equal(fingerprint(oldSocket), world.first.fingerprint)
  assert.equal(
    fingerprint(await waiting.startTls(exchange)),
    world.second.fingerprint,
    'connected before, shaken hands after',
  )
  const [next, newSocket] = await open(relay.port)
  assert.equal(fingerprint(newSocket), world.second.fingerprint)
  await sendMail(next)
  for (const client of [before, waiting, next]) client.quit()
})

test('PH-4 a faulty set is refused, and the old one goes on serving', async () => {
  const { relay, credentials, install } = await world.start()
  await using _ = relay
  install(0, { ...world.second, key: world.first.key })
  credentials.reload()
  const [client, socket] = await open(relay.port)
  assert.equal(fingerprint(socket), world.first.fingerprint)
  await sendMail(client)
  client.quit()
})

test('a trust store exchanged under way holds from the next session on', async () => {
  const { relay, credentials, trust } = await world.start()
  await using _ = relay
  const [running] = await open(relay.port)
  await sendMail(running)
  using other = new TestWorld()
  trust(other.authority)
  credentials.reload()
  await sendMail(running)
  const [next] = await open(relay.port)
  await next.say('MAIL FROM:<alice@contoso.com>', '550 5.7.1')
  for (const client of [running, next]) client.quit()
})

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a resumed session of ${maxVersion} is admitted by the certificate it began with, and judged anew`, async () => {
    const middle = world.authority.issue({ isAuthority: true, commonName: 'middle' })
    const shown = showing(world.authority.issue({ names: [`DNS:${EXCHANGE}`] }, middle))
    const { relay, credentials } = await world.start()
    await using _ = relay
    let session: Buffer | undefined
    const resume = async (): Promise<[TranscriptClient, TLSSocket]> => {
      const client = await TranscriptClient.hello(relay.port)
      const secure = await client.startTls({ ...shown, maxVersion, ...(session && { session }) })
      secure.on('session', (given) => (session = given)) // TLS 1.3 brings it behind the handshake, 1.2 has it already
      await client.say('EHLO client.example', 250)
      session ??= secure.getSession()
      return [client, secure]
    }
    const [first] = await resume()
    await sendMail(first)
    assert.ok(session)
    first.quit()
    const [second, socket] = await resume()
    assert.equal(socket.isSessionReused(), true)
    await sendMail(second)
    second.quit()
    assert.deepEqual(await metric(relay, HANDSHAKES), {
      [`{result="full",protocol="${maxVersion}"}`]: 1,
      [`{result="resumed",protocol="${maxVersion}"}`]: 1,
    })

    credentials.reload()
    const [third, fresh] = await resume()
    assert.equal(fresh.isSessionReused(), false, 'no ticket outlives a reload')
    third.quit()
  })
}

test('a session that began without a certificate brings none when it is resumed', async () => {
  const { relay } = await world.start()
  await using _ = relay
  const [first, socket] = await open(relay.port, { maxVersion: 'TLSv1.2' })
  const session = socket.getSession()
  first.quit()
  const [second, resumed] = await open(relay.port, { ...exchange, maxVersion: 'TLSv1.2', ...(session && { session }) })
  assert.equal(resumed.isSessionReused(), true)
  await second.say('MAIL FROM:<alice@contoso.com>', '550 5.7.1 A client certificate is needed')
  second.quit()
})

test('SIGHUP to a real relay: new certificate, same process, no session lost (product.md §8)', async () => {
  const nextHopPort = await freePort()
  const certificate = join(world.authority.directory, 'live.pem')
  const key = join(world.authority.directory, 'live.key')
  const install = (pair: MadeCertificate): void => {
    copyFileSync(pair.certificate, certificate)
    copyFileSync(pair.key, key)
  }
  install(world.first)
  const port = await freePort()
  const relay = await startRelay({
    nextHopPort,
    table: EXAMPLE_TABLE,
    settings: {
      certificates: [{ certificate, key }],
      listeners: [{ address: '127.0.0.1', port, direction: 'out', tls: 'starttls', allow: ['127.0.0.0/8'] }],
    },
  })
  try {
    const [running, oldSocket] = await open(port, {})
    assert.equal(fingerprint(oldSocket), world.first.fingerprint)
    install(world.second)
    process.kill(relay.pid, 'SIGHUP')
    await until(() => relay.output().includes('credentials.loaded'))
    const [next, newSocket] = await open(port, {})
    assert.equal(fingerprint(newSocket), world.second.fingerprint)
    await sendMail(running)
    await sendMail(next)
    for (const client of [running, next]) client.quit()
  } finally {
    await relay.stop()
    await relay.remove()
  }
})
