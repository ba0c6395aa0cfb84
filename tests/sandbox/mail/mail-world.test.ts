// Mail through the simulated Microsoft 365 over real SMTP, TLS and DNS: between mailboxes, to the outside, and by rule and connector through somebody
// else's relay and back.
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { KeyedCertificate } from '../../../sandbox/internet/authority.ts'
import type { ReceivedMail } from '../../../sandbox/internet/mail-server.ts'
import { parseMessage, removeField, serialise, setField, valuesOf } from '../../../sandbox/mail-flow/header.ts'
import { defaultMailFlowBehaviour } from '../../../sandbox/mail-flow/behaviour.ts'
import { eventually } from '../../harness/wait.ts'
import { setting } from '../mail-flow/small-tenant.ts'
import {
  bring,
  CONTOSO,
  DAY_MS,
  FABRIKAM,
  inMailbox,
  letRelayIn,
  letter,
  outboundTo,
  outsideMail,
  RELAY_NAME,
  reportIn,
  routingRule,
  startSmallWorld,
  startTestRelay,
  write,
} from './small-world.ts'
import type { SmallWorld, TestRelay } from './small-world.ts'

const PROOF = 'token-of-contoso'
const TRACE = 'trace-of-the-relay'
let world: SmallWorld
let relay: TestRelay
let certificates: Readonly<Record<string, KeyedCertificate>>

before(async () => {
  world = await startSmallWorld({ retry: { pauses: [50], expiry: 60_000 } })
  relay = await startTestRelay(world, 'out.relay.test')
  const terms = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS }
  const named = async (name: string) => [name, await world.authority.issue([name], terms)] as const
  certificates = Object.fromEntries(await Promise.all(Object.values(RELAY_NAME).map(named)))
  letRelayIn(world)
  world.contoso.putExchangeObject(outboundTo('Out', relay.host))
})
after(async () => {
  await relay.close()
  await world.close()
})
beforeEach(() => {
  Object.assign(world.behaviour, defaultMailFlowBehaviour())
  relay.taken.length = 0
  relay.certificates.length = 0
  relay.refusal = () => undefined
  relay.onMail = () => Promise.resolve()
  for (const { guid } of world.contoso.exchangeObjects('TransportRule')) world.contoso.removeExchangeObject(guid)
})

/** As the relay does it: another author, and back by certificate. */
function goesBackTo(tenantId: keyof typeof RELAY_NAME, rename: (address: string) => string): void {
  relay.onMail = async ({ reversePath, recipients, content }: ReceivedMail) => {
    const message = removeField(parseMessage(content), 'X-Causeway-Project')
    const renamed = setField(message, 'From', `<${rename(reversePath)}>`)
    const rewritten = Buffer.from(serialise(setField(renamed, 'X-Causeway-Trace', TRACE)))
    const mail = { from: rename(reversePath), to: recipients, content: rewritten }
    const outcomes = await bring(world, mail, certificates[RELAY_NAME[tenantId]])
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      recipients.map(() => 'accepted'),
    )
  }
}

function putRoute(differing: Readonly<Record<string, unknown>> = {}): void {
  const sent = { FromMemberOf: ['presented@contoso.com'], SentToScope: 'NotInOrganization' }
  const by = { connector: 'Out', token: PROOF, mark: TRACE }
  world.contoso.putExchangeObject(routingRule('20-Route-Sender', by, { ...sent, ...differing }))
}

test('a colleague of the tenant gets it at once; the other tenant over SMTP, with what it says of who sent it', async () => {
  await write(world, CONTOSO, {
    from: 'alice@contoso.com',
    to: ['bob@contoso.com', 'dora@fabrikam.com'],
    subject: 'to both',
  })
  const [own, other] = await eventually('two copies', () => {
    const copies = world.mailboxes.list().filter(({ content }) => content.includes('Subject: to both\r'))
    return copies.length === 2 ? copies.toSorted((a, b) => a.tenantId.localeCompare(b.tenantId)) : undefined
  })
  assert.equal(own?.tenantId, CONTOSO)
  assert.equal(own.recipient, 'bob@contoso.com')
  assert.equal(own.mailboxGuid, world.mailboxOf(CONTOSO, 'bob@contoso.com'))
  assert.equal(valuesOf(parseMessage(own.content), 'Received').length, 1)
  assert.equal(other?.tenantId, FABRIKAM)
  const received = parseMessage(other.content)
  assert.deepEqual(valuesOf(received, 'Return-Path'), ['<alice@contoso.com>'])
  assert.match(valuesOf(received, 'Received')[0] ?? '', /^from eur01.*127\.0\.0\.\d+.*version=TLSv1_3/)
  assert.match(
    valuesOf(received, 'Authentication-Results')[0] ?? '',
    /^spf=pass .*smtp\.mailfrom=contoso\.com; dkim=pass header\.d=contoso\.onmicrosoft\.com; dmarc=pass action=none header\.from=contoso\.com$/,
  )
  assert.deepEqual(valuesOf(received, 'X-MS-Exchange-CrossTenant-Id'), [CONTOSO])
  assert.ok(other.content.toString().endsWith('\r\n\r\nHello\r\n..dots\r\n'))
})

test("the outside sees DMARC pass: by SPF at first, by an aligned signature once the tenant signs with the author's domain", async () => {
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'signed by initial' })
  const { verdict: first, clientAddress } = await outsideMail(world, 'signed by initial')
  assert.equal(clientAddress, world.sendingAddress)
  assert.equal(first.spf.result, 'pass')
  assert.deepEqual(
    first.dkim.map(({ result, domain, isAligned }) => [result, domain, isAligned]),
    [['pass', 'contoso.onmicrosoft.com', false]],
  )
  assert.equal(first.dmarc.result, 'pass')
  world.contoso.putExchangeObject(setting('DkimSigningConfig', 'contoso.com', { Domain: 'contoso.com', Enabled: true }))
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'signed by own' })
  const { verdict: second } = await outsideMail(world, 'signed by own')
  assert.deepEqual(
    second.dkim.map(({ result, domain, isAligned }) => [result, domain, isAligned]),
    [['pass', 'contoso.com', true]],
  )
  assert.equal(second.dmarc.isDkimAligned, true)
})

test('mail goes by rule and connector to the relay, back by its certificate, and outside as the other tenant’s: once, and it passes DMARC', async () => {
  putRoute()
  goesBackTo(FABRIKAM, (address) => address.replace('@contoso.com', '@fabrikam.com'))
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'rewritten' })
  const { verdict, content, reversePath } = await outsideMail(world, 'rewritten')
  assert.equal(reversePath, 'alice@fabrikam.com')
  assert.deepEqual(
    [verdict.spf.result, verdict.dmarc.result, verdict.dmarc.fromDomain],
    ['pass', 'pass', 'fabrikam.com'],
  )
  assert.equal(verdict.dkim[0]?.result, 'pass')
  assert.deepEqual(valuesOf(parseMessage(content), 'X-Causeway-Trace'), [TRACE])
  const [taken] = relay.taken
  assert.deepEqual(valuesOf(parseMessage(taken?.content ?? Buffer.of()), 'X-Causeway-Project'), [PROOF])
  assert.equal(taken?.tls?.protocol, 'TLSv1.3')
  assert.match(relay.certificates[0]?.subjectAltName ?? '', /DNS:mail\.protection\.outlook\.com/)
  assert.equal(relay.taken.length, 1)
  assert.equal(world.outside.mails.list().filter((mail) => mail.content.includes('Subject: rewritten\r')).length, 1)
  const way = await eventually('all of its way', () => {
    const hops = world.log().filter(({ messageId }) => messageId === '<rewritten@contoso.com>')
    return hops.length < 4 ? undefined : hops
  })
  assert.deepEqual(
    way.map(({ what, tenantId, way: by }) => [what, tenantId, by]),
    [
      ['submitted', CONTOSO, undefined],
      ['received', FABRIKAM, 'In'],
      ['sent', CONTOSO, 'Out'],
      ['sent', FABRIKAM, 'internet'],
    ],
  )
})

test('with route return it comes back to its own tenant, whose rule leaves it alone the second time', async () => {
  putRoute()
  goesBackTo(CONTOSO, (address) => address.replace('alice@', 'a.lice@'))
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'returned' })
  assert.equal((await outsideMail(world, 'returned')).reversePath, 'a.lice@contoso.com')
  assert.equal(relay.taken.length, 1)
})

test('a relay that forgets its mark goes round until Exchange has had enough, and the sender is told', async () => {
  putRoute({ ExceptIfHeaderContainsMessageHeader: null, ExceptIfHeaderContainsWords: null })
  goesBackTo(CONTOSO, (address) => address)
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'round and round' })
  const report = await reportIn(world, 'round and round')
  assert.match(report.content.toString(), /554 5\.4\.14 Hop count exceeded - possible mail loop ATTR/)
  assert.equal(relay.taken.length, 3)
  assert.equal(
    world.outside.mails.list().some(({ content }) => content.includes('round and round')),
    false,
  )
})

test('the outside answers: to whom mail is for, over SMTP, and a member of a group gets it too', async () => {
  const content = letter('olga@example.net', 'alice@contoso.com', 'from outside')
  const [outcome] = await world.outside.send({
    from: 'olga@example.net',
    to: ['presented@contoso.com'],
    content,
    signer: world.outsideSigner,
  })
  assert.equal(outcome?.kind, 'accepted')
  const arrival = await inMailbox(world, 'from outside')
  assert.equal(arrival.mailboxGuid, world.mailboxOf(CONTOSO, 'alice@contoso.com'))
  assert.match(
    valuesOf(parseMessage(arrival.content), 'Authentication-Results')[0] ?? '',
    /spf=pass .*dkim=pass header\.d=example\.net; dmarc=pass/,
  )
})

const SWITCHES = [
  {
    mailUserAddress: 'presented',
    to: 'dora@contoso.com',
    why: 'mail to a mail user keeps the address it was written to',
  },
  { mailUserAddress: 'external', to: 'dora@fabrikam.com', why: 'mail to a mail user has its external address already' },
] as const
for (const { mailUserAddress, to, why } of SWITCHES) {
  test(`switch (a): at a connector, ${why}`, async () => {
    world.behaviour.mailUserAddress = mailUserAddress
    putRoute({ SentToScope: null })
    await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['dora@contoso.com'], subject: `switch ${to}` })
    await eventually('the relay has it', () => relay.taken[0])
    assert.deepEqual(relay.taken[0]?.recipients, [to])
  })
}

test('switch (b): what a rule routes to an accepted domain counts as external, or not', async () => {
  putRoute({ SentToScope: null })
  for (const counts of [false, true]) {
    world.behaviour.countsRoutedToAcceptedDomain = counts
    const counted = world.externals(CONTOSO).total
    await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['bob@contoso.com'], subject: `counted ${counts}` })
    assert.equal(world.externals(CONTOSO).total - counted, Number(counts))
  }
})

test('switch (c): routing counts as a redirect, of which there may be one', async () => {
  world.behaviour.routingCountsAsRedirect = true
  putRoute({ ExceptIfHeaderContainsMessageHeader: null, ExceptIfHeaderContainsWords: null })
  goesBackTo(CONTOSO, (address) => address)
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'redirected' })
  assert.match((await reportIn(world, 'redirected')).content.toString(), /550 5\.7\.128/)
})

test('switch (d): FromMemberOf looks at what came by a connector, or not', async () => {
  putRoute({ ExceptIfHeaderContainsMessageHeader: null, ExceptIfHeaderContainsWords: null })
  for (const [fromMemberOf, subject] of [
    ['all', 'looked at'],
    ['authenticated', 'not looked at'],
  ] as const) {
    world.behaviour.fromMemberOf = fromMemberOf
    const content = letter('alice@contoso.com', 'olga@example.net', subject)
    const mail = { from: 'alice@contoso.com', to: ['olga@example.net'], content }
    await bring(world, mail, certificates[RELAY_NAME[CONTOSO]])
    if (fromMemberOf === 'all') await eventually('the relay has it', () => relay.taken[0])
    else await outsideMail(world, subject)
  }
  assert.equal(relay.taken.length, 1)
})

test('a message with the null reverse-path is known by its certificate alone', async () => {
  putRoute({ FromMemberOf: null, HeaderContainsMessageHeader: 'X-Causeway-Probe', HeaderContainsWords: ['n-1'] })
  const content = letter('probe@out.relay.test', 'probe-n-1@out.relay.test', 'probe', ['X-Causeway-Probe: n-1'])
  const mail = { from: '', to: ['probe-n-1@out.relay.test'], content }
  const [anonymous] = await bring(world, mail)
  assert.match(anonymous?.reply ?? '', /^550 5\.7\.64 TenantAttribution; Relay Access Denied/)
  const [known] = await bring(world, mail, certificates[RELAY_NAME[CONTOSO]])
  assert.equal(known?.kind, 'accepted')
  await eventually('the relay has it back', () => relay.taken[0])
  assert.equal(relay.taken[0]?.reversePath, '')
})
