// An enrolled relay as Exchange Online's connectors meet it: listeners with TLS, and everything that decides pushed: tenants, proofs, smart hosts with their
// authorities, certificates shown to them, signing keys, nonces. And their rotation. (RC-2, RC-3, SP-2 to SP-5, SP-11, R80, R85, DL-1, KM-7)
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { dkimVerify } from 'mailauth/lib/dkim/verify.js'
import type { PushedSecrets, PushedSettings } from '../../common/relay-contract.ts'
import { TestAuthority } from '../harness/certificates.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { CONTOSO, FABRIKAM, reported, startEnrolled } from '../harness/enrolled-relay.ts'
import { NextHop } from '../harness/next-hop.ts'
import type { Taken } from '../harness/next-hop.ts'
import { freePort } from '../harness/ports.ts'
import { exampleContent, PushServer } from '../harness/push-server.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { eventually } from '../harness/wait.ts'
import { EXCHANGE, showing } from '../mta/inbound/secure-relay.ts'
import { TranscriptClient } from '../mta/inbound/transcript-client.ts'

const TOKENS = { out: 'a'.repeat(43), in: 'c'.repeat(43) }
const NONCE = '0123456789abcdef0123'
const authority = new TestAuthority()
const otherAuthority = new TestAuthority()
const read = (file: string) => readFileSync(file, 'utf8')
const exchange = authority.issue({ names: [`DNS:${EXCHANGE}`], usage: ['serverAuth'] })
const own = authority.issue({ names: ['DNS:relay.test'], usage: ['serverAuth'] })
const shown = [1, 2].map(() => authority.issue({ names: ['DNS:fabrikam.relay.test'], usage: ['clientAuth'] }))
const dkim = [1, 2].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }))
const hopCertificate = authority.issue({ names: ['DNS:fabrikam.example'], usage: ['serverAuth'] })
const otherHopCertificate = otherAuthority.issue({ names: ['DNS:fabrikam.example'], usage: ['serverAuth'] })
let server: PushServer
let first: NextHop
let second: NextHop
let relay: RunningRelay
let port = 0

function settingsFor(hop: NextHop, trust: TestAuthority, version: number): Partial<PushedSettings> {
  const smartHost = {
    host: '127.0.0.1',
    port: hop.port,
    tls: 'verify',
    tlsName: 'fabrikam.example',
    trust: read(trust.certificate),
  } as const
  return {
    version,
    tenants: [
      { id: 'contoso', acceptedDomains: CONTOSO, smartHost },
      { id: 'fabrikam', acceptedDomains: FABRIKAM, smartHost },
    ],
    allow: ['127.0.0.0/8'],
    dkim: [{ domain: 'fabrikam.com', selector: `s${version}` }],
  }
}

function secretsFor(which: 0 | 1, version: number, token = TOKENS.out): Partial<PushedSecrets> {
  const [certificate, key] = [shown[which], dkim[which]?.privateKey]
  assert.ok(certificate !== undefined && key !== undefined)
  return {
    proofTokens: [
      { tenant: 'contoso', direction: 'out', tokens: [token] },
      { tenant: 'fabrikam', direction: 'in', tokens: [TOKENS.in] },
    ],
    dkim: [
      { domain: 'fabrikam.com', selector: `s${version}`, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() },
    ],
    clientCertificates: [
      { tenant: 'fabrikam', certificate: read(certificate.certificate), key: read(certificate.key) },
    ],
    nonces: [{ nonce: NONCE, until: '2099-01-01T00:00:00Z' }],
  }
}

before(async () => {
  server = await PushServer.start()
  first = await NextHop.start({ tls: { ...hopCertificate, asksForCertificate: true } })
  second = await NextHop.start({ tls: { ...otherHopCertificate, asksForCertificate: true } })
  server.version = 1
  server.content = exampleContent(EXAMPLE_TABLE, settingsFor(first, authority, 1), secretsFor(0, 1))
  port = await freePort()
  relay = await startEnrolled(server, {
    settings: {
      listeners: [{ address: '127.0.0.1', port, tls: 'starttls' }],
      certificates: [{ certificate: own.certificate, key: own.key }],
      clientTrust: { file: authority.certificate },
      retry: { firstWaits: ['1s'] },
    },
  })
})
after(async () => {
  await relay.stop()
  await relay.remove()
  await server[Symbol.asyncDispose]()
  for (const hop of [first, second]) await hop.close()
  for (const each of [authority, otherAuthority]) each[Symbol.dispose]()
})

async function handOver(token: string | undefined, to = 'dana@example.net'): Promise<string> {
  const client = await TranscriptClient.secure(port, showing(exchange))
  try {
    for (const command of ['MAIL FROM:<alice@contoso.com>', `RCPT TO:<${to}>`]) {
      const reply = await client.ask(command)
      if (!reply.startsWith('250')) return reply
    }
    await client.say('DATA', 354)
    const proof = token === undefined ? '' : `X-Causeway-Project: ${token}\r\n`
    return await client.ask(
      `${proof}From: <alice@contoso.com>\r\nTo: <${to}>\r\nSubject: x\r\nDate: Sat, 28 Nov 2026 10:00:00 +0000\r\n` +
        `Message-ID: <${Math.random()}@contoso.com>\r\n\r\nHello.\r\n.`,
    )
  } finally {
    client.quit()
  }
}

const next = (hop: NextHop): Promise<Taken> => eventually('a message', () => hop.taken.shift(), 10_000)

async function verdict({ content }: Taken, which: number): Promise<string> {
  const key = dkim[which]?.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  const { results } = await dkimVerify(content, { resolver: async () => [[`v=DKIM1; k=rsa; p=${key}`]] })
  return results.map(({ signingDomain, selector, status }) => `${signingDomain} ${selector} ${status.result}`).join()
}

test("tenants, proofs, certificates and keys as pushed: what they prove is taken, signed, and handed over under the tenant's own certificate", async () => {
  assert.match(await handOver(TOKENS.out), /^250 /)
  const taken = await next(first)
  assert.match(taken.mail, /^MAIL FROM:<alice\.smith@fabrikam\.com>/)
  assert.equal(await verdict(taken, 0), 'fabrikam.com s1 pass')
  assert.equal(first.handshakes.at(-1)?.clientFingerprint, shown[0]?.fingerprint, 'R85')
  assert.match(await handOver(undefined), /^550 5\.7\.1 /)
  assert.match(await handOver('z'.repeat(43)), /^550 5\.7\.1 /)
  assert.match(await handOver(TOKENS.out, `probe-${NONCE}@relay.test`), /^250 /, 'SP-11')
  assert.equal(first.taken.length, 0)
})

test('one push replaces them all: the old token proves nothing, the new key signs, the new certificate is shown', async () => {
  const settings = { ...exampleContent(EXAMPLE_TABLE, settingsFor(first, authority, 2)).settings }
  const { secrets } = exampleContent(EXAMPLE_TABLE, {}, secretsFor(1, 2, 'n'.repeat(43)))
  server.settle({ settings, secrets })
  await reported(server, 2)
  assert.match(await handOver(TOKENS.out), /^550 5\.7\.1 /)
  assert.match(await handOver('n'.repeat(43)), /^250 /)
  const taken = await next(first)
  assert.equal(await verdict(taken, 1), 'fabrikam.com s2 pass')
  assert.equal(first.handshakes.at(-1)?.clientFingerprint, shown[1]?.fingerprint)
})

test('DL-1 a smart host whose authority is not believed gets no mail; when it is pushed, what waits goes', async () => {
  const push = (trust: TestAuthority, version: number) =>
    server.settle({
      settings: exampleContent(EXAMPLE_TABLE, { ...settingsFor(second, trust, version), dkim: [] }).settings,
    })
  await reported(server, push(authority, 3))
  assert.match(await handOver('n'.repeat(43)), /^250 /)
  await eventually('a refusal of its certificate', () =>
    relay.output().includes('"status":"4.7.5"') ? true : undefined,
  )
  assert.equal(second.taken.length, 0)
  await reported(server, push(otherAuthority, 4))
  assert.match((await next(second)).mail, /alice\.smith@fabrikam\.com/)
})
