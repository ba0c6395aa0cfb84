// Who may send: never an open relay. Over real sockets, for every combination of the factors (SP-2, SP-3, SP-8, SP-9,
// SP-10); and the decision itself, where sockets can't go.
import assert from 'node:assert/strict'
import { hash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import { Admission } from '../../../mta/inbound/admission.ts'
import type { ListenerPeers } from '../../../mta/inbound/admission.ts'
import { ProofTokens } from '../../../mta/proof-tokens.ts'
import { Tenants } from '../../../mta/tenants.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import { EXCHANGE, metric, showing, TestWorld } from './secure-relay.ts'
import type { ReceivingRelay } from './receiving-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

const world = new TestWorld()
const stranger = new TestAuthority('somebody else')
after(() => {
  world[Symbol.dispose]()
  stranger[Symbol.dispose]()
})
const pinned = stranger.selfSigned({ commonName: 'appliance', notAfter: '20210101000000Z' })

/** One value of a factor: `isRight` says whether it may lead to an accepted message, if all the others are right too. */
interface Factor<T> {
  readonly name: string
  readonly isRight: boolean
  readonly value: T
}

/** Factor 1. 127.0.0.2 is what Exchange Online's published ranges are elsewhere. */
const ADDRESSES: readonly Factor<string>[] = [
  { name: 'an allowed address', isRight: true, value: '127.0.0.2' },
  { name: 'another address', isRight: false, value: '127.0.0.9' },
]

/** Factor 2; `undefined`: no TLS. */
const CERTIFICATES: readonly Factor<ConnectionOptions | undefined>[] = [
  { name: "Exchange Online's certificate", isRight: true, value: showing(world.exchange) },
  { name: 'cleartext', isRight: false, value: undefined },
  { name: 'no certificate', isRight: false, value: {} },
  { name: 'another name', isRight: false, value: showing(world.authority.issue({ names: ['DNS:mail.example'] })) },
  { name: "somebody else's authority", isRight: false, value: showing(stranger.issue({ names: [`DNS:${EXCHANGE}`] })) },
  { name: 'a self-signed one', isRight: false, value: showing(stranger.selfSigned({ names: [`DNS:${EXCHANGE}`] })) },
  {
    name: 'an expired one',
    isRight: false,
    value: showing(world.authority.issue({ names: [`DNS:${EXCHANGE}`], notAfter: '20210101000000Z' })),
  },
  { name: "a static peer's, from elsewhere", isRight: false, value: showing(pinned) },
]

/** 256 bits in base64url. */
const token = (character: string) => character.repeat(43)
const tokens = new ProofTokens([
  { tenant: 'contoso', direction: 'out', digest: hash('sha256', token('o'), 'buffer') },
  { tenant: 'contoso', direction: 'in', digest: hash('sha256', token('i'), 'buffer') },
])
const tenants = new Tenants([{ id: 'contoso', tenantId: undefined, acceptedDomains: ['contoso.com'] }])

/** Factor 3: header fields of the message. */
const PROOFS: readonly Factor<string>[] = [
  { name: 'the token', isRight: true, value: `X-Causeway-Project: ${token('o')}\r\n` },
  { name: 'no token', isRight: false, value: '' },
  { name: 'a wrong token', isRight: false, value: `X-Causeway-Project: ${token('x')}\r\n` },
  { name: "the other direction's token", isRight: false, value: `X-Causeway-Project: ${token('i')}\r\n` },
]

/** Factor 4. */
const SENDERS: readonly Factor<string>[] = [
  { name: 'a sender of ours', isRight: true, value: 'alice@contoso.com' },
  { name: 'a sender of elsewhere', isRight: false, value: 'alice@evil.example' },
  { name: 'a sender of a name below ours', isRight: false, value: 'alice@sub.contoso.com' },
]

interface Offered {
  readonly address: string
  /** undefined: in cleartext. */
  readonly certificate: ConnectionOptions | undefined
  readonly proof: string
  readonly sender: string
}

const RIGHT = { proof: '', sender: 'alice@contoso.com' }

/** What the client is told last, on its way to a 250 behind DATA. */
async function offer(relay: ReceivingRelay, { address, certificate, proof, sender }: Offered): Promise<string> {
  const client = await TranscriptClient.connect(relay.port, address)
  try {
    const greeting = await client.reply()
    if (!greeting.startsWith('220')) return greeting
    await client.say('EHLO client.example', 250)
    if (certificate !== undefined) {
      await client.startTls(certificate)
      await client.say('EHLO client.example', 250)
    }
    const mail = await client.ask(`MAIL FROM:<${sender}>`)
    if (!mail.startsWith('250')) {
      // And nothing else works.
      await client.say('RCPT TO:<dana@example.net>', 503)
      await client.say('DATA', 503)
      return mail
    }
    const rcpt = await client.ask('RCPT TO:<dana@example.net>')
    if (!rcpt.startsWith('250')) return rcpt
    await client.say('DATA', 354)
    return await client.ask(`${proof}From: alice@contoso.com\r\nSubject: x\r\n\r\n.`)
  } finally {
    client.quit()
  }
}

test('SP-2 the truth table over all four factors: accepted with every one of them right, and never otherwise', async (context) => {
  const { relay } = await world.start({
    allow: ['127.0.0.2/32'],
    listener: { staticPeers: [{ address: '127.0.0.3', fingerprint: pinned.fingerprint }] },
    limits: { newConnectionsPerSecondAndAddress: 10_000 },
    project: { tenants, tokens },
  })
  await using _ = relay
  for (const address of ADDRESSES) {
    for (const certificate of CERTIFICATES) {
      await context.test(`${address.name}, ${certificate.name}`, async () => {
        for (const proof of PROOFS) {
          for (const sender of SENDERS) {
            const isAccepted = [address, certificate, proof, sender].every(({ isRight }) => isRight)
            const before = relay.accepted.length
            const reply = await offer(relay, {
              address: address.value,
              certificate: certificate.value,
              proof: proof.value,
              sender: sender.value,
            })
            const told = `${proof.name}, ${sender.name}: ${reply}`
            assert.match(reply, isAccepted ? /^250 2\.0\.0 queued/ : /^(554 5\.7\.1|550 5\.7\.1|530 5\.7\.0) /, told)
            assert.equal(relay.accepted.length, before + (isAccepted ? 1 : 0), told)
          }
        }
      })
    }
  }
  assert.equal(relay.accepted.length, 1)
})

test('SP-8 a static peer is its address and its very certificate, whoever signed it and however old it is', async () => {
  const { relay } = await world.start({
    allow: ['127.0.0.2/32'],
    listener: { staticPeers: [{ address: '127.0.0.3', fingerprint: pinned.fingerprint }] },
  })
  await using _ = relay
  assert.match(
    await offer(relay, { ...RIGHT, address: '127.0.0.3', certificate: showing(pinned) }),
    /^250 2\.0\.0 queued/,
  )
  assert.match(await offer(relay, { ...RIGHT, address: '127.0.0.3', certificate: undefined }), /^530 5\.7\.0 /)
  assert.match(await offer(relay, { ...RIGHT, address: '127.0.0.3', certificate: {} }), /^550 5\.7\.1 /)
  assert.match(
    await offer(relay, { ...RIGHT, address: '127.0.0.3', certificate: showing(world.exchange) }),
    /^550 5\.7\.1 /,
    'not one of Exchange Online either',
  )
  assert.match(
    await offer(relay, { ...RIGHT, address: '127.0.0.3', certificate: showing(stranger.selfSigned({})) }),
    /^550 5\.7\.1 /,
  )
  assert.match(await offer(relay, { ...RIGHT, address: '127.0.0.4', certificate: showing(pinned) }), /^554 5\.7\.1 /)
})

test('SP-3 an empty list means nobody, with the best of certificates', async () => {
  const { relay } = await world.start({ allow: [] })
  await using _ = relay
  assert.match(
    await offer(relay, { ...RIGHT, address: '127.0.0.1', certificate: showing(world.exchange) }),
    /^554 5\.7\.1 /,
  )
})

test('SP-9 a thousand refusals: each is counted by its reason, the peer is named once an hour, and no bounce is made', async () => {
  const { relay } = await world.start({
    limits: { errorsPerSession: 2000, newConnectionsPerSecondAndAddress: 1000 },
  })
  await using _ = relay
  const client = await TranscriptClient.secure(
    relay.port,
    showing(world.authority.issue({ names: ['DNS:mail.example'] })),
  )
  client.write('MAIL FROM:<alice@contoso.com>\r\n'.repeat(1000))
  for (let i = 0; i < 1000; i++) await client.expect('550 5.7.1 ')
  const refusals = await metric(relay, 'causeway_inbound_refusals_total')
  assert.deepEqual(refusals, { '{direction="out",reason="certificate-wrong-name"}': 1000 })
  const audit = () => relay.log.filter(({ event }) => event === 'client.refused')
  assert.deepEqual(
    audit().map(({ level, address, reason }) => [level, address, reason]),
    [['warn', '127.0.0.1', 'certificate-wrong-name']],
  )
  relay.advance(60_000) // the session is not the matter here
  client.quit()
  relay.advance(3_540_000)
  const later = await TranscriptClient.secure(relay.port, {})
  await later.say('MAIL FROM:<alice@contoso.com>', 550)
  assert.deepEqual(
    audit().map(({ reason }) => reason),
    ['certificate-wrong-name', 'certificate-missing'],
  )
  assert.deepEqual([...relay.spool.entries()], [])
  later.quit()
})

const OUTSIDE: ListenerPeers = {
  address: '192.0.2.25',
  tls: 'starttls',
  allow: ['198.51.100.0/24'],
  clientNames: [EXCHANGE],
  staticPeers: [],
}
const LOOPBACK: ListenerPeers = { ...OUTSIDE, address: '127.0.0.1', allow: ['127.0.0.0/8'] }
const exchangeChain = [new X509Certificate(readFileSync(world.exchange.certificate))]
const trust = [new X509Certificate(readFileSync(world.authority.certificate))]

const decisions: [
  listener: ListenerPeers,
  relay: { requireTls: boolean; hasTenants: boolean },
  certificates: readonly X509Certificate[] | undefined,
  expected: string,
  why: string,
][] = [
  [
    { ...LOOPBACK, tls: 'none' },
    { requireTls: true, hasTenants: true },
    undefined,
    'local',
    'product.md §8: the range alone',
  ],
  [
    LOOPBACK,
    { requireTls: false, hasTenants: true },
    undefined,
    'local',
    'cleartext on this machine, and TLS is no must',
  ],
  [LOOPBACK, { requireTls: true, hasTenants: true }, undefined, 'tls-first', 'SP-10'],
  [LOOPBACK, { requireTls: true, hasTenants: true }, [], 'certificate-missing', 'tenants: as everywhere'],
  [LOOPBACK, { requireTls: false, hasTenants: true }, [], 'certificate-missing', 'who comes by TLS shows who he is'],
  [LOOPBACK, { requireTls: true, hasTenants: true }, exchangeChain, 'exchange', 'as everywhere'],
  [LOOPBACK, { requireTls: true, hasTenants: false }, [], 'local', 'two routes: the range alone, over TLS as well'],
  [
    LOOPBACK,
    { requireTls: true, hasTenants: false },
    undefined,
    'tls-first',
    'two routes: TLS is a must where one says so',
  ],
  [OUTSIDE, { requireTls: true, hasTenants: true }, exchangeChain, 'exchange', 'as meant'],
  [OUTSIDE, { requireTls: true, hasTenants: true }, [], 'certificate-missing', 'SP-2'],
  [OUTSIDE, { requireTls: true, hasTenants: true }, undefined, 'tls-first', 'SP-10'],
  // The settings refuse these; a mistake there opens nothing.
  [OUTSIDE, { requireTls: false, hasTenants: true }, undefined, 'tls-first', 'no cleartext from outside'],
  [OUTSIDE, { requireTls: false, hasTenants: false }, undefined, 'tls-first', 'nor without tenants'],
  [OUTSIDE, { requireTls: false, hasTenants: false }, [], 'certificate-missing', 'nor over TLS'],
  [
    { ...OUTSIDE, tls: 'none' },
    { requireTls: true, hasTenants: true },
    undefined,
    'tls-first',
    'an outside listener without TLS',
  ],
]
for (const [listener, relay, certificates, expected, why] of decisions) {
  const shown =
    certificates === undefined ? 'cleartext' : certificates.length === 0 ? 'no certificate' : 'a right certificate'
  test(`SP-2 ${listener.address} ${listener.tls} ${JSON.stringify(relay)} ${shown}: ${expected}, ${why}`, () => {
    const address = listener.address === '127.0.0.1' ? '127.0.0.1' : '198.51.100.7'
    const admission = new Admission(listener, relay)
    assert.equal(admission.mayConnect(address), true)
    assert.equal(admission.mayConnect('203.0.113.1'), false)
    const verdict = admission.admit({ address, certificates, trust, now: Date.now() + 60_000 })
    assert.equal(verdict.kind === 'admitted' ? verdict.peer : verdict.reply.reason, expected)
    if (verdict.kind === 'refused') assert.ok(verdict.reply.refusesPeer === true && verdict.reply.code >= 500)
  })
}
