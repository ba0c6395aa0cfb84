// The relay as Exchange Online's connectors meet it: one process, TLS both ways, two tenants, delivery by MX, signatures. SP-2 to SP-6, R5, R76,
// R78 to R85, DL-1, DL-7, DL-9, DL-11, SP-11; rewriting.md §13.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { dkimVerify } from 'mailauth/lib/dkim/verify.js'
import { TestAuthority } from '../harness/certificates.ts'
import type { MadeCertificate } from '../harness/certificates.ts'
import { DnsServer } from '../harness/dns-server.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import type { Taken } from '../harness/next-hop.ts'
import { freePort } from '../harness/ports.ts'
import { startRelay } from '../harness/relay.ts'
import type { RunningRelay } from '../harness/relay.ts'
import { eventually } from '../harness/wait.ts'
import { EXCHANGE, showing } from '../mta/inbound/secure-relay.ts'
import { TranscriptClient } from '../mta/inbound/transcript-client.ts'

const TOKENS = { 'contoso out': 'a'.repeat(43), 'contoso in': 'b'.repeat(43), 'fabrikam in': 'c'.repeat(43) }
const NONCE = '0123456789abcdef0123'

const authority = new TestAuthority()
const exchange = authority.issue({ names: [`DNS:${EXCHANGE}`], usage: ['serverAuth'] })
const clientOf = (name: string) => authority.issue({ names: [`DNS:${name}`], usage: ['serverAuth', 'clientAuth'] })
const clients = { contoso: clientOf('contoso.relay.test'), fabrikam: clientOf('fabrikam.relay.test') }
const dkim = generateKeyPairSync('rsa', { modulusLength: 2048 })
let dns: DnsServer
let contoso: NextHop
let fabrikam: NextHop
let outside: NextHop
let relay: RunningRelay
let port = 0

function inFolder(name: string, text: string): string {
  const file = join(authority.directory, name)
  writeFileSync(file, text)
  return file
}

/** What a tenant's outbound connector points at. */
function tenant(id: string, domains: string[], hop: NextHop, certificate: MadeCertificate): Record<string, unknown> {
  const token = (direction: 'out' | 'in') => {
    const value = Object.entries(TOKENS).find(([name]) => name === `${id} ${direction}`)?.[1]
    return value === undefined ? undefined : { file: inFolder(`${id}-${direction}`, `${value}\n`) }
  }
  return {
    id,
    acceptedDomains: domains,
    smartHost: {
      host: '127.0.0.1',
      port: hop.port,
      tls: 'verify',
      tlsName: `${id}.example`,
      trust: { file: authority.certificate },
    },
    clientCertificate: { certificate: certificate.certificate, key: certificate.key },
    proofTokens: Object.fromEntries(
      (['out', 'in'] as const).flatMap((direction) => {
        const file = token(direction)
        return file === undefined ? [] : [[direction, file]]
      }),
    ),
  }
}

before(async () => {
  const server = (name: string) => authority.issue({ names: [`DNS:${name}`], usage: ['serverAuth'] })
  dns = await DnsServer.start()
  contoso = await NextHop.start({ tls: { ...server('contoso.example'), asksForCertificate: true } })
  fabrikam = await NextHop.start({ tls: { ...server('fabrikam.example'), asksForCertificate: true } })
  outside = await NextHop.start({ tls: server('mx.example.net') })
  dns.say('MX example.net', {
    answers: [{ type: 'MX', name: 'example.net', data: { preference: 10, exchange: 'mx.example.net' } }],
  })
  dns.say('A mx.example.net', { answers: [{ type: 'A', name: 'mx.example.net', data: '127.0.0.1' }] })
  const publicKey = dkim.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  dns.say('TXT s1._domainkey.fabrikam.com', {
    answers: [{ type: 'TXT', name: 's1._domainkey.fabrikam.com', data: [publicKeyRecord(publicKey)] }],
  })
  const pem = dkim.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const key = { file: inFolder('dkim.pem', pem) }
  const own = authority.issue({ names: ['DNS:relay.test'], usage: ['serverAuth'] })
  const nonces = { format: 'causeway-nonces/1', nonces: [{ nonce: NONCE, until: '2099-01-01T00:00:00Z' }] }
  const entries = EXAMPLE_TABLE.entries.map((entry) =>
    entry.known.includes('carol@contoso.com') ? { ...entry, route: 'mx' } : entry,
  )
  port = await freePort()
  relay = await startRelay({
    nextHopPort: 9,
    table: { ...EXAMPLE_TABLE, entries },
    settings: {
      routes: undefined,
      certificates: [{ certificate: own.certificate, key: own.key }],
      clientTrust: { file: authority.certificate },
      listeners: [{ address: '127.0.0.1', port, tls: 'starttls', allow: ['127.0.0.0/8'] }],
      tenants: [
        tenant('contoso', ['contoso.com', 'corp.contoso.com'], contoso, clients.contoso),
        tenant('fabrikam', ['fabrikam.com', 'corp.fabrikam.com'], fabrikam, clients.fabrikam),
      ],
      nonces: { file: inFolder('nonces.json', JSON.stringify(nonces)) },
      dkim: [
        { domain: 'fabrikam.com', selector: 's1', key },
        { domain: 'contoso.com', selector: 's1', key },
      ],
      seal: { domain: 'fabrikam.com', selector: 's1', key },
      mx: {
        resolver: { servers: [`127.0.0.1:${dns.port}`] },
        port: outside.port,
        mtaSts: false,
        allowPrivate: ['127.0.0.0/8'],
      },
    },
  })
})
after(async () => {
  await relay.stop()
  await relay.remove()
  for (const hop of [contoso, fabrikam, outside]) await hop.close()
  await dns[Symbol.asyncDispose]()
  authority[Symbol.dispose]()
})

function publicKeyRecord(base64: string): string {
  return `v=DKIM1; k=rsa; p=${base64}`
}

interface Mail {
  readonly from: string
  readonly to: readonly string[]
  readonly header?: string
  readonly token?: string
  readonly body?: string
}

/** As Exchange Online hands a message over. @returns the reply to the final dot, or to the command that was refused */
async function handOver({ from, to, header = '', token, body = 'Hello.\r\n' }: Mail): Promise<string> {
  const client = await TranscriptClient.secure(port, showing(exchange))
  try {
    for (const command of [`MAIL FROM:<${from}>`, ...to.map((path) => `RCPT TO:<${path}>`)]) {
      const reply = await client.ask(command)
      if (!reply.startsWith('250')) return reply
    }
    await client.say('DATA', 354)
    const proof = token === undefined ? '' : `X-Causeway-Project: ${token}\r\n`
    return await client.ask(
      `${proof}From: <${from === '' ? 'mailer-daemon@example.org' : from}>\r\nTo: ${to.join(', ')}\r\n${header}Subject: x\r\n` +
        `Date: Sat, 28 Nov 2026 10:00:00 +0000\r\nMessage-ID: <${Math.random()}@contoso.com>\r\n\r\n${body}.`,
    )
  } finally {
    client.quit()
  }
}

async function next(hop: NextHop): Promise<Taken & { readonly text: string }> {
  const taken = await eventually('a message', () => hop.taken.shift(), 10_000)
  return { ...taken, text: taken.content.toString('latin1') }
}

async function verdicts(content: Buffer): Promise<string[]> {
  const { results } = await dkimVerify(content, {
    resolver: async (name: string) => {
      assert.equal(name, 's1._domainkey.fabrikam.com')
      return [[publicKeyRecord(dkim.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'))]]
    },
  })
  return results.map(({ signingDomain, status }) => `${signingDomain} ${status.result}`)
}

test('out: a colleague writes to the world: presented, signed, marked, and handed to the tenant that owns the presented domain', async () => {
  const reply = await handOver({ from: 'alice@contoso.com', to: ['dana@example.net'], token: TOKENS['contoso out'] })
  assert.match(reply, /^250 2\.0\.0 queued as/)
  const { mail, rcpts, content, text } = await next(fabrikam)
  assert.match(mail, /^MAIL FROM:<alice\.smith@fabrikam\.com>/)
  assert.match(rcpts.join(), /^RCPT TO:<dana@example\.net>/)
  assert.match(text, /^From: <alice\.smith@fabrikam\.com>\r$/m)
  assert.doesNotMatch(text, /X-Causeway-Project|aaaaaaaa/, 'SP-6: nobody sees the proof')
  assert.match(text, /^Received: from client\.example .*\r\n by relay\.test with ESMTPS id /m, 'RFC 3848')
  assert.match(text, /^X-Causeway-Trace: \w+ v=1; d=out; n=1; r=relay\.test; h=/m)
  assert.deepEqual(await verdicts(content), ['fabrikam.com pass'], 'R80, DL-9')
  assert.equal(
    fabrikam.handshakes[0]?.clientFingerprint,
    clients.fabrikam.fingerprint,
    "R85: the tenant's own certificate",
  )
  assert.equal(contoso.connections, 0)
})

test('in: the world writes to a presented address: located, sealed, and handed to the tenant that holds the mailbox', async () => {
  const mail = { from: 'dana@example.net', to: ['alice.smith@fabrikam.com'], token: TOKENS['fabrikam in'] }
  assert.match(await handOver(mail), /^250 /)
  const { rcpts, text } = await next(contoso)
  assert.match(rcpts.join(), /^RCPT TO:<alice@contoso\.com>/)
  assert.match(text, /^To: alice@contoso\.com\r$/m)
  assert.match(text, /^From: <dana@example\.net>\r$/m)
  assert.match(
    text,
    /^ARC-Seal: i=1; a=rsa-sha256; t=\d+; cv=none; d=fabrikam\.com; s=s1;/m,
    'R83: what was changed is sealed',
  )
  assert.match(text, /^Authentication-Results: relay\.test; none\r$/m)
  assert.doesNotMatch(text, /^DKIM-Signature:/m, 'R81: an outsider is not ours to sign for')
  assert.equal(contoso.handshakes[0]?.clientFingerprint, clients.contoso.fingerprint)
})

test('route mx: straight to the mail exchanger, signed, without a trace of ours', async () => {
  const mail = { from: 'carol@fabrikam.com', to: ['dana@example.net'], token: TOKENS['contoso out'] }
  assert.match(await handOver({ ...mail, header: 'X-Causeway-Trace: other v=1\r\n' }), /^250 /)
  const { mail: from, text } = await next(outside)
  assert.match(from, /^MAIL FROM:<carol@contoso\.com>/)
  assert.match(text, /^DKIM-Signature: v=1; a=rsa-sha256; c=relaxed\/relaxed; d=contoso\.com;/m)
  assert.match(text, /^X-Causeway-Trace: other v=1\r$/m, "somebody else's field is none of our business")
  assert.equal((text.match(/X-Causeway-Trace/g) ?? []).length, 1)
  assert.match(
    await eventually('the delivery', () => /"delivery\.delivered".*"route":"mx".*/.exec(relay.output())?.[0]),
    /"tls":"TLSv1\.3"/,
  )
})

const refused: [is: RegExp, mail: Mail, why: string][] = [
  [/^550 5\.7\.1/, { from: 'alice@contoso.com', to: ['dana@example.net'] }, 'SP-4: no proof'],
  [/^550 5\.7\.1/, { from: 'alice@contoso.com', to: ['dana@example.net'], token: 'd'.repeat(43) }, 'SP-4: a wrong one'],
  [
    /^550 5\.7\.1/,
    { from: 'eve@evil.example', to: ['dana@example.net'], token: TOKENS['contoso out'] },
    'SP-5: a foreign sender',
  ],
  [
    /^550 5\.7\.1/,
    { from: 'dana@example.net', to: ['x@evil.example'], token: TOKENS['fabrikam in'] },
    'SP-5: a foreign recipient',
  ],
  [
    /^550 5\.7\.1/,
    { from: 'alice@contoso.com', to: ['x@relay.test'], token: TOKENS['contoso out'] },
    'SP-5: nobody lives here',
  ],
  [
    /^451 4\.4\.6/,
    { from: 'dana@example.net', to: ['bob@contoso.com'], token: TOKENS['fabrikam in'] },
    'R78: it would go back to where it came from',
  ],
]
for (const [is, mail, why] of refused) {
  test(`refused: ${why}`, async () => assert.match(await handOver(mail), is))
}

test('§13, R74: what can not be delivered is told back through the tenant that handed it over', async () => {
  fabrikam.behave({ act: ({ stage }) => (stage === 'RCPT' ? '550 5.1.1 no such user' : undefined) })
  assert.match(
    await handOver({ from: 'alice@contoso.com', to: ['nobody@example.net'], token: TOKENS['contoso out'] }),
    /^250 /,
  )
  const { mail, rcpts, text } = await next(contoso)
  fabrikam.behave({})
  fabrikam.taken.length = 0 // a dot without a recipient
  assert.match(mail, /^MAIL FROM:<>/)
  assert.match(rcpts.join(), /^RCPT TO:<alice@contoso\.com>/, 'the address that the sender wrote from')
  assert.match(text, /^Final-Recipient: rfc822; nobody@example\.net\r$/m)
  assert.match(text, /^X-Causeway-Trace: .* d=in; n=1/m)
})

test('SP-11: a probe is answered and delivered nowhere', async () => {
  assert.match(await handOver({ from: '', to: [`probe-${NONCE}@relay.test`] }), /^250 /)
  await eventually('the record', () => /"probe\.received"/.exec(relay.output()) ?? undefined)
  assert.match(await handOver({ from: '', to: [`probe-${'0'.repeat(20)}@relay.test`] }), /^550 /)
  const big = { from: '', to: [`connector-validation-${NONCE}@relay.test`], body: `${'x'.repeat(70)}\r\n`.repeat(1000) }
  assert.match(await handOver(big), /^552 5\.3\.4/)
})

test('R81: a rotated set of keys is taken on SIGHUP; one with a fault is refused and the old one signs on', async () => {
  const pem = readFileSync(join(authority.directory, 'dkim.pem'), 'utf8')
  inFolder('dkim.pem', 'not a key')
  process.kill(relay.pid, 'SIGHUP')
  await eventually('the refusal', () => /"credentials\.refused"/.exec(relay.output()) ?? undefined)
  assert.match(
    await handOver({ from: 'alice@contoso.com', to: ['dana@example.net'], token: TOKENS['contoso out'] }),
    /^250 /,
  )
  assert.deepEqual(await verdicts((await next(fabrikam)).content), ['fabrikam.com pass'])
  inFolder('dkim.pem', pem)
})

test('PR-2, KM-5: the log names no address and no secret', () => {
  assert.doesNotMatch(relay.output(), /alice|dana@|PRIVATE KEY|a{43}|b{43}|c{43}/)
})
