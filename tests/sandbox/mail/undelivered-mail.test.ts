// Mail that is refused, waits, is tried again or comes back: at the front door, at connectors, at rules, and outside.
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { simpleParser } from 'mailparser'
import { createTransport } from 'nodemailer'
import { CertificateAuthority } from '../../../sandbox/internet/authority.ts'
import type { KeyedCertificate, Terms } from '../../../sandbox/internet/authority.ts'
import { mailServer } from '../../../sandbox/internet/mail-server.ts'
import { defaultMailFlowBehaviour } from '../../../sandbox/mail-flow/behaviour.ts'
import { parseMessage, valuesOf } from '../../../sandbox/mail-flow/header.ts'
import { eventually } from '../../harness/wait.ts'
import { inbound, setting } from '../mail-flow/small-tenant.ts'
import {
  bring,
  CONTOSO,
  DAY_MS,
  inMailbox,
  letter,
  outboundTo,
  outsideMail,
  RELAY_NAME,
  reportIn,
  ruleOf,
  startSmallWorld,
  startTestRelay,
  write,
} from './small-world.ts'
import type { SmallWorld, TestRelay } from './small-world.ts'

const NAME = RELAY_NAME[CONTOSO]
let world: SmallWorld
let relay: TestRelay
let certificate: KeyedCertificate

before(async () => {
  world = await startSmallWorld({ retry: { pauses: [100], expiry: 3_600_000 } })
  relay = await startTestRelay(world, 'out.relay.test')
  certificate = await world.authority.issue([NAME], dated(-1, 1))
  world.contoso.putExchangeObject(inbound('In', NAME))
})
after(async () => {
  await relay.close()
  await world.close()
})
beforeEach(() => {
  Object.assign(world.behaviour, defaultMailFlowBehaviour())
  relay.taken.length = 0
  relay.refusal = () => undefined
  for (const noun of ['TransportRule', 'OutboundConnector'])
    for (const { guid } of world.contoso.exchangeObjects(noun)) world.contoso.removeExchangeObject(guid)
  world.contoso.putExchangeObject(setting('OrganizationConfig', 'contoso', { RejectDirectSend: false }))
})

function dated(fromDays: number, toDays: number): Terms {
  return { notBefore: Date.now() + fromDays * DAY_MS, notAfter: Date.now() + toDays * DAY_MS }
}

function routeAll(properties: Readonly<Record<string, unknown>> = {}): void {
  world.contoso.putExchangeObject(outboundTo('Out', relay.host, properties))
  world.contoso.putExchangeObject(
    ruleOf('Route', { SentToScope: 'NotInOrganization', RouteMessageOutboundConnector: 'Out' }),
  )
}

const send = (subject: string, to: readonly string[] = ['olga@example.net'], from = 'alice@contoso.com') =>
  write(world, CONTOSO, { from, to, subject })

const waiting = (reply: RegExp) =>
  eventually(`a reply like ${reply}`, () => world.queued().find((mail) => reply.test(mail.reply)))

test('the front door lets a client through to anybody by a good certificate only', async () => {
  const other = await CertificateAuthority.create(Date.now())
  const rows: readonly { why: string; shown: KeyedCertificate | undefined; switched?: boolean; reply: RegExp }[] = [
    { why: 'the right one', shown: certificate, reply: /^250 / },
    { why: 'none', shown: undefined, reply: /^550 5\.7\.64 TenantAttribution/ },
    { why: 'of an unknown authority', shown: await other.issue([NAME], dated(-1, 1)), reply: /^550 5\.7\.64/ },
    { why: 'expired', shown: await world.authority.issue([NAME], dated(-2, -1)), reply: /^550 5\.7\.64/ },
    { why: 'not yet good', shown: await world.authority.issue([NAME], dated(1, 2)), reply: /^550 5\.7\.64/ },
    {
      why: 'of another name',
      shown: await world.authority.issue(['x.contoso.com'], dated(-1, 1)),
      reply: /^550 5\.7\.64/,
    },
    {
      why: 'for servers only, which is taken',
      shown: await world.authority.issue([NAME], { ...dated(-1, 1), usages: ['server'] }),
      reply: /^250 /,
    },
    {
      why: 'for servers only, where that is refused',
      shown: await world.authority.issue([NAME], { ...dated(-1, 1), usages: ['server'] }),
      switched: true,
      reply: /^550 5\.7\.64/,
    },
    {
      why: 'for clients, where those for servers are refused',
      shown: await world.authority.issue([NAME], { ...dated(-1, 1), usages: ['client'] }),
      switched: true,
      reply: /^250 /,
    },
  ]
  for (const { why, shown, switched = false, reply } of rows) {
    world.behaviour.serverOnlyCertificates = switched ? 'refused' : 'taken'
    const mail = {
      from: 'x@elsewhere.test',
      to: ['olga@example.net'],
      content: letter('x@elsewhere.test', 'olga@example.net', 'door'),
    }
    const [outcome] = await bring(world, mail, shown)
    assert.match(outcome?.reply ?? '', reply, why)
  }
})

test('who knows no connector brings mail to who is there, and to nobody else; in the tenant’s own name where that is allowed', async () => {
  const rows = [
    { from: 'x@elsewhere.test', to: 'alice@contoso.com', reply: /^250 /, why: 'a mailbox' },
    { from: 'x@elsewhere.test', to: 'dora@contoso.com', reply: /^250 /, why: 'a mail user' },
    {
      from: 'x@elsewhere.test',
      to: 'nobody@contoso.com',
      reply: /^550 5\.4\.1 /,
      why: 'nobody, before any rule is asked',
    },
    { from: 'x@elsewhere.test', to: 'y@elsewhere.test', reply: /^550 5\.7\.64 /, why: 'no tenant has that domain' },
    { from: 'bob@contoso.com', to: 'alice@contoso.com', reply: /^250 /, why: 'direct send' },
    {
      from: 'bob@contoso.com',
      to: 'alice@contoso.com',
      isClosed: true,
      reply: /^550 5\.7\.68 /,
      why: 'direct send, switched off',
    },
  ]
  for (const { from, to, isClosed = false, reply, why } of rows) {
    world.contoso.putExchangeObject(setting('OrganizationConfig', 'contoso', { RejectDirectSend: isClosed }))
    const [outcome] = await bring(world, { from, to: [to], content: letter(from, to, 'no connector') })
    assert.match(outcome?.reply ?? '', reply, why)
  }
})

test('what the connector demands of the host’s certificate decides whether mail goes or waits', async () => {
  const misnamed = await startTestRelay(world, 'named.relay.test', 'another.relay.test')
  try {
    const rows: readonly { properties: Readonly<Record<string, unknown>>; waits?: RegExp }[] = [
      { properties: { TlsSettings: null } },
      { properties: { TlsSettings: 'EncryptionOnly' } },
      { properties: { TlsSettings: 'CertificateValidation' } },
      { properties: { TlsSettings: 'DomainValidation', TlsDomain: 'another.relay.test' } },
      { properties: { TlsSettings: 'DomainValidation', TlsDomain: '*.relay.test' } },
      { properties: { TlsSettings: 'DomainValidation', TlsDomain: '*.test' }, waits: /4\.4\.1 .*altnames/ },
      { properties: { TlsSettings: 'DomainValidation', TlsDomain: 'named.relay.test' }, waits: /4\.4\.1 .*altnames/ },
    ]
    for (const [place, { properties, waits }] of rows.entries()) {
      misnamed.taken.length = 0
      routeAll({ SmartHosts: [misnamed.host], ...properties })
      await send(`tls ${place}`)
      if (waits === undefined) await eventually(`it has number ${place}`, () => misnamed.taken[0])
      else {
        await waiting(waits)
        assert.equal(misnamed.taken.length, 0)
        // The administrator mends it, and what waited goes.
        routeAll({ SmartHosts: [misnamed.host], TlsDomain: 'another.relay.test' })
        await eventually(`it has number ${place} after all`, () => misnamed.taken[0])
      }
    }
  } finally {
    await misnamed.close()
  }
})

test('a host that only refuses TLS gets nothing from a connector that demands it', async () => {
  const plain = mailServer({
    hostName: 'plain.relay.test',
    banner: 'plain',
    maxBytes: 1_000,
    certificate,
    refusal: () => undefined,
    onMail: () => Promise.reject(new Error('unreachable: nothing is sent in clear')),
  })
  plain.options.disabledCommands = [...plain.options.disabledCommands, 'STARTTLS']
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
  const bound = plain.server.address()
  world.setHost('plain.relay.test', typeof bound === 'object' && bound !== null ? bound.port : 0)
  try {
    routeAll({ SmartHosts: ['plain.relay.test'], TlsSettings: 'EncryptionOnly' })
    await send('in clear')
    const { attempts, way } = await waiting(/plain\.relay\.test/)
    assert.ok(attempts >= 1)
    assert.equal(way.kind, 'connector')
  } finally {
    await new Promise<void>((resolve) => plain.close(resolve))
    routeAll()
    world.retryQueued()
    await eventually('nothing waits', () => (world.queued().length === 0 ? true : undefined))
  }
})

test('each recipient has an outcome of his own: taken once, refused and reported, or tried again', async () => {
  const asked: string[] = []
  relay.refusal = (recipient) => {
    asked.push(recipient)
    if (recipient.startsWith('no@')) return [550, '5.1.1 no such person']
    return recipient.startsWith('later@') && asked.filter((each) => each === recipient).length < 3
      ? [451, '4.7.1 come again']
      : undefined
  }
  routeAll()
  await send('three', ['yes@other.test', 'no@other.test', 'later@other.test'])
  const report = await reportIn(world, 'three')
  await eventually('both are taken', () => (relay.taken.length === 2 ? true : undefined))
  assert.deepEqual(
    relay.taken.map(({ recipients }) => recipients),
    [['yes@other.test'], ['later@other.test']],
  )
  assert.deepEqual(asked, [
    'yes@other.test',
    'no@other.test',
    'later@other.test',
    'later@other.test',
    'later@other.test',
  ])
  await eventually('nothing waits', () => (world.queued().length === 0 ? true : undefined))
  const parsed = await simpleParser(report.content)
  assert.match(parsed.text ?? '', /no@other\.test: out\.relay\.test said 550 5\.1\.1 no such person/)
  assert.equal(report.sender, '')
  const text = report.content.toString()
  assert.match(text, /Content-Type: multipart\/report; report-type=delivery-status;/)
  assert.match(
    text,
    /Final-Recipient: rfc822;no@other\.test\r\nAction: failed\r\nStatus: 5\.1\.1\r\nDiagnostic-Code: smtp;550 5\.1\.1 no such person\r\nRemote-MTA: dns;out\.relay\.test/,
  )
  assert.doesNotMatch(text, /Final-Recipient: rfc822;(?:yes|later)@/)
  const fields = parseMessage(report.content)
  assert.deepEqual(valuesOf(fields, 'In-Reply-To'), ['<three@contoso.com>'])
  assert.deepEqual(valuesOf(fields, 'Auto-Submitted'), ['auto-replied'])
  assert.match(text, /Content-Type: message\/rfc822\r\n\r\n[\s\S]*\r\nSubject: three\r\n/)
})

test('a mailbox that is not there is reported by the tenant, one outside by what its server said', async () => {
  await send('nobody', ['nobody@contoso.com'])
  assert.match((await reportIn(world, 'nobody')).content.toString(), /Status: 5\.1\.10\r\n/)
  await send('nobody outside', ['nobody@example.net'])
  assert.match(
    (await reportIn(world, 'nobody outside')).content.toString(),
    /mx\.example\.net said 550 5\.1\.1 no such mailbox/,
  )
  await send('no mail there', ['x@nowhere.test'])
  assert.match((await reportIn(world, 'no mail there')).content.toString(), /Status: 5\.1\.2\r\n/)
})

test('nobody is told of what nobody sent, nor a domain that is to get no reports', async () => {
  await world.submit(CONTOSO, {
    sender: '',
    recipients: ['nobody@contoso.com'],
    content: letter('a@contoso.com', 'nobody@contoso.com', 'null sender'),
  })
  for (const [sender, subject] of [
    ['x@quiet.example', 'quiet'],
    ['olga@example.net', 'loud'],
  ] as const) {
    const mail = { from: sender, to: ['nobody@contoso.com'], content: letter(sender, 'nobody@contoso.com', subject) }
    const [outcome] = await bring(world, mail, certificate)
    assert.equal(outcome?.kind, 'accepted')
  }
  await outsideMail(world, 'Undeliverable: loud')
  const reports = world.log().filter(({ what, way }) => what === 'submitted' && way === 'report')
  assert.deepEqual(reports.at(-1)?.recipients, ['olga@example.net'])
  assert.equal(
    reports.some(({ recipients }) => recipients.includes('x@quiet.example')),
    false,
  )
  assert.equal(
    world.mailboxes.list().some(({ content }) => content.includes('Undeliverable: null sender')),
    false,
  )
})

test('a report names whom the sender wrote to in truth, and who asked for none gets none (RFC 3461)', async () => {
  const say = async (notify: string, subject: string) => {
    const transport = createTransport({
      host: world.frontDoor.address,
      port: world.frontDoor.port,
      name: 'relay.test',
      tls: {
        servername: 'contoso-com.mail.protection.outlook.com',
        ca: world.authority.certificate,
        cert: certificate.certificate,
        key: certificate.privateKey,
      },
    })
    await transport.sendMail({
      envelope: {
        from: 'olga@example.net',
        to: ['nobody@contoso.com'],
        dsn: { id: subject, return: 'full', notify, recipient: 'rfc822;p+resented@fabrikam.com' },
      },
      raw: letter('olga@example.net', 'nobody@contoso.com', subject),
    })
  }
  await say('never', 'asked for none')
  await say('failure', 'asked for one')
  const { content } = await outsideMail(world, 'Undeliverable: asked for one')
  assert.match(
    content.toString(),
    /Original-Recipient: rfc822;p\+resented@fabrikam\.com\r\nFinal-Recipient: rfc822;nobody@contoso\.com/,
  )
  assert.equal(
    world.outside.mails.list().some((mail) => mail.content.includes('asked for none')),
    false,
  )
})

test('a message that is larger than its host takes comes back at once', async () => {
  routeAll()
  const large = Buffer.concat([letter('alice@contoso.com', 'x@other.test', 'large'), Buffer.alloc(1_000_001, 'x\r\n')])
  await world.submit(CONTOSO, { sender: 'alice@contoso.com', recipients: ['x@other.test'], content: large })
  assert.match(
    (await reportIn(world, 'large')).content.toString(),
    /out\.relay\.test said 550 5\.3\.4 Message size larger than allowed 1000000/,
  )
  assert.equal(relay.taken.length, 0)
})

test('mail without an author leaves unsigned, and is none the worse for it here', async () => {
  const content = Buffer.from('Subject: by nobody\r\nMessage-ID: <by-nobody@contoso.com>\r\n\r\nHello\r\n')
  await world.submit(CONTOSO, { sender: 'alice@contoso.com', recipients: ['olga@example.net'], content })
  const { verdict } = await outsideMail(world, 'by nobody')
  assert.deepEqual([verdict.dkim, verdict.dmarc.result], [[], 'none'])
})

test('a rule that can’t be judged holds mail back until it can, and has acted once in the end', async () => {
  world.contoso.putExchangeObject(
    ruleOf('Mark', { PrependSubject: '[x] ', ExceptIfSubjectContainsWords: ['nothing'] }, 0),
  )
  world.contoso.putExchangeObject(
    ruleOf('Route', { SentToScope: 'NotInOrganization', RouteMessageOutboundConnector: 'Out' }, 1),
  )
  await send('held back')
  const held = await waiting(/Rule "Route" can't be judged/)
  assert.deepEqual(held.way, { kind: 'rules', origin: 'submission' })
  world.contoso.putExchangeObject(outboundTo('Out', relay.host))
  await eventually('the relay has it', () => relay.taken[0])
  assert.deepEqual(valuesOf(parseMessage(relay.taken[0]?.content ?? Buffer.of()), 'Subject'), ['[x] held back'])
})

test('mail that is forwarded leaves in the tenant’s name, and its bounce finds who wrote it', async () => {
  const content = letter('otto@example.net', 'forwards@contoso.com', 'forwarded')
  await world.outside.send({
    from: 'otto@example.net',
    to: ['forwards@contoso.com'],
    content,
    signer: world.outsideSigner,
  })
  const { reversePath } = await outsideMail(world, 'forwarded')
  assert.match(reversePath, /^bounces\+SRS=.*@contoso\.com$/)
  const bounce = letter('postmaster@example.net', reversePath, 'it bounced')
  const [outcome] = await world.outside.send({
    from: '',
    to: [reversePath],
    content: bounce,
    signer: world.outsideSigner,
  })
  assert.equal(outcome?.kind, 'accepted')
  assert.deepEqual((await outsideMail(world, 'it bounced')).recipients, ['otto@example.net'])
})

test('bare line feeds are sent back, for no host takes BDAT', async () => {
  const content = Buffer.from(
    letter('alice@contoso.com', 'olga@example.net', 'bare').toString().replace('Hello\r\n', 'Hello\n'),
  )
  await world.submit(CONTOSO, { sender: 'alice@contoso.com', recipients: ['olga@example.net'], content })
  assert.match((await reportIn(world, 'bare')).content.toString(), /550 5\.6\.11 SMTPSEND\.BareLinefeedsAreIllegal/)
})

test('who is no recipient of the tenant writes nothing from it', async () => {
  const content = letter('dora@fabrikam.com', 'bob@contoso.com', 'not hers')
  const mail = { sender: 'dora@fabrikam.com', recipients: ['bob@contoso.com'], content }
  await assert.rejects(world.submit('tenant-nobody', mail), RangeError)
  await assert.rejects(world.submit(CONTOSO, { ...mail, sender: 'eve@contoso.com' }), RangeError)
})

test('what a rule refuses at last, after it was held back, is told once', async () => {
  world.contoso.putExchangeObject(
    ruleOf('Route', { SentToScope: 'NotInOrganization', RouteMessageOutboundConnector: 'Out' }),
  )
  await send('refused at last')
  await waiting(/Rule "Route" can't be judged/)
  world.contoso.putExchangeObject(ruleOf('Route', { SentToScope: 'NotInOrganization', RejectMessageReasonText: 'no' }))
  await reportIn(world, 'refused at last')
  const hops = world.log().filter(({ messageId, what }) => messageId.includes('refused at last') && what === 'rejected')
  assert.deepEqual(
    hops.map(({ recipients, reply }) => [recipients, reply]),
    [[['olga@example.net'], '550 5.7.1 TRANSPORT.RULES.RejectMessage; no']],
  )
})

test('what waits too long comes back, and a connector that is off keeps its mail', async (t) => {
  const brief = await startSmallWorld({ retry: { pauses: [20], expiry: 200 } })
  t.after(() => brief.close())
  brief.contoso.putExchangeObject(outboundTo('Out', 'gone.relay.test'))
  brief.contoso.putExchangeObject(
    ruleOf('Route', { SentToScope: 'NotInOrganization', RouteMessageOutboundConnector: 'Out' }),
  )
  await write(brief, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'too long' })
  await eventually('an attempt', () => brief.queued().find(({ attempts }) => attempts > 0))
  brief.contoso.putExchangeObject(outboundTo('Out', 'gone.relay.test', { Enabled: false }))
  const report = await inMailbox(brief, 'Undeliverable: too long')
  assert.match(
    report.content.toString(),
    /550 5\.4\.300 Message expired -> 450 4\.7\.320 The connector Out is gone or off/,
  )
  assert.deepEqual(brief.queued(), [])
})
