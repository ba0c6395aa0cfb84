// A relay whose file names no certificate at all: it is enrolled, refuses TLS for the time being, and serves what is pushed: its own certificate, those
// that it shows to tenants, and whose clients it believes. (RC-2, SP-2, SP-10, PH-4, KM-7)
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { PushedSecrets, PushedSettings } from '../../common/relay-contract.ts'
import { TestAuthority } from '../harness/certificates.ts'
import type { MadeCertificate } from '../harness/certificates.ts'
import { CONTOSO, FABRIKAM, reported, startEnrolled } from '../harness/enrolled-relay.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { freePort } from '../harness/ports.ts'
import { exampleContent, PushServer } from '../harness/push-server.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { eventually } from '../harness/wait.ts'
import { EXCHANGE, showing } from '../mta/inbound/secure-relay.ts'
import { TranscriptClient } from '../mta/inbound/transcript-client.ts'

const TOKEN = 'a'.repeat(43)
const authority = new TestAuthority()
const read = (file: string) => readFileSync(file, 'utf8')
const exchange = authority.issue({ names: [`DNS:${EXCHANGE}`], usage: ['clientAuth'] })
const listener = [1, 2].map(() => authority.issue({ names: ['DNS:out.relay.test', 'DNS:in.relay.test'] }))
const shown = authority.issue({ names: ['DNS:fabrikam.relay.test'], usage: ['clientAuth'] })
const hopCertificate = authority.issue({ names: ['DNS:fabrikam.example'], usage: ['serverAuth'] })
let server: PushServer
let hop: NextHop
let relay: RunningRelay
let port = 0

const pem = ({ certificate, key }: MadeCertificate) => ({ certificate: read(certificate), key: read(key) })

function content(version: number, certificate: MadeCertificate | undefined) {
  const smartHost = {
    host: '127.0.0.1',
    port: hop.port,
    tls: 'verify',
    tlsName: 'fabrikam.example',
    trust: read(authority.certificate),
  } as const
  const settings: Partial<PushedSettings> = {
    version,
    tenants: [
      { id: 'contoso', acceptedDomains: CONTOSO, smartHost },
      { id: 'fabrikam', acceptedDomains: FABRIKAM, smartHost },
    ],
    allow: ['127.0.0.0/8'],
    clientTrust: read(authority.certificate),
  }
  const secrets: Partial<PushedSecrets> = {
    proofTokens: [{ tenant: 'contoso', direction: 'out', tokens: [TOKEN] }],
    clientCertificates: [{ tenant: 'fabrikam', ...pem(shown) }],
    ...(certificate === undefined
      ? {}
      : { listenerCertificates: [{ names: ['out.relay.test', 'in.relay.test'], ...pem(certificate) }] }),
  }
  return exampleContent(EXAMPLE_TABLE, settings, secrets)
}

before(async () => {
  server = await PushServer.start()
  hop = await NextHop.start({ tls: { ...hopCertificate, asksForCertificate: true } })
  server.version = 1
  server.content = content(1, undefined)
  port = await freePort()
  relay = await start()
})
after(async () => {
  await relay.stop()
  await relay.remove()
  await server[Symbol.asyncDispose]()
  await hop.close()
  authority[Symbol.dispose]()
})

const start = (directory?: string): Promise<RunningRelay> =>
  startEnrolled(server, {
    ...(directory === undefined ? {} : { directory }),
    waitFor: 'alive',
    settings: { listeners: [{ address: '127.0.0.1', port, tls: 'starttls' }] },
  })

async function readiness(): Promise<{ ready: boolean; reasons: string[] }> {
  const reply = await fetch(`http://127.0.0.1:${relay.adminPort}/readyz`)
  return (await reply.json()) as { ready: boolean; reasons: string[] }
}

/** Fingerprint of what it shows to who asks for this name. */
async function shownFor(servername: string): Promise<string | undefined> {
  const client = await TranscriptClient.secure(port, { ...showing(exchange), servername })
  try {
    const certificate = (client.socket as TLSSocket).getPeerX509Certificate()
    return certificate?.fingerprint256.replaceAll(':', '').toLowerCase()
  } finally {
    client.quit()
  }
}

test('RC-2 without a certificate it is up and not ready, STARTTLS is answered 454, and cleartext gets nowhere', async () => {
  await reported(server, 1)
  const { ready, reasons } = await readiness()
  assert.deepEqual([ready, reasons], [false, ['no certificate for its listeners yet']])
  assert.equal(server.reports.findLast((report) => report.version === 1)?.isReady, false)
  const client = await TranscriptClient.hello(port)
  await client.say('STARTTLS', '454 4.7.0')
  await client.say('MAIL FROM:<alice@contoso.com>', '530 5.7.0')
  client.quit()
})

test('RC-2 SP-2 pushed certificates are served at once: to clients that pushed authorities vouch for, and to the tenant', async () => {
  const { settings, secrets } = content(2, listener[0])
  server.settle({ settings, secrets })
  assert.equal((await reported(server, 2)).isReady, true)
  assert.equal((await readiness()).ready, true)
  for (const name of ['out.relay.test', 'in.relay.test', 'else.example'])
    assert.equal(await shownFor(name), listener[0]?.fingerprint, name)
  const client = await TranscriptClient.secure(port, showing(exchange))
  for (const command of ['MAIL FROM:<alice@contoso.com>', 'RCPT TO:<dana@example.net>']) await client.say(command, 250)
  await client.say('DATA', 354)
  const fields = `X-Causeway-Project: ${TOKEN}\r\nFrom: <alice@contoso.com>\r\nTo: <dana@example.net>\r\nMessage-ID: <1@contoso.com>`
  await client.say(`${fields}\r\n\r\nHello.\r\n.`, 250)
  client.quit()
  await eventually('the message', () => hop.taken.shift(), 10_000)
  assert.equal(hop.handshakes.at(-1)?.clientFingerprint, shown.fingerprint, 'R85')
  const accepted = await eventually('its event', () => server.events.find(({ event }) => event === 'accepted'))
  assert.deepEqual(
    [accepted.fields['tenant'], accepted.fields['direction']],
    ['contoso', 'out'],
    'row 13: whose rule acted',
  )
})

test('SP-2 a client that another authority vouches for is refused', async () => {
  using other = new TestAuthority()
  const client = await TranscriptClient.secure(port, showing(other.issue({ names: [`DNS:${EXCHANGE}`] })))
  await client.say('MAIL FROM:<alice@contoso.com>', '550 5.7.1')
  client.quit()
})

test('KM-7 RC-4 a renewed certificate is shown from the next handshake on, and after a restart without a control plane', async () => {
  const { settings, secrets } = content(3, listener[1])
  server.settle({ settings, secrets })
  await reported(server, 3)
  assert.equal(await shownFor('out.relay.test'), listener[1]?.fingerprint)
  await server.stop()
  await relay.stop()
  relay = await start(relay.directory)
  await eventually('readiness', async () => ((await readiness()).ready ? true : undefined))
  assert.equal(await shownFor('out.relay.test'), listener[1]?.fingerprint)
})
