// The mail of the sandbox as others reach it: Validate-OutboundConnector at the Exchange admin API, the control API, and what outlives a restart.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { requestCertificate } from '../../../control-plane/certificates/signing-request.ts'
import type { MailWorld } from '../../../sandbox/mail/mail-world.ts'
import { CONTOSO, EXCHANGE_RESOURCE, FABRIKAM, SANDBOX_APP, testSandbox } from '../../harness/sandbox.ts'
import type { TestSandbox } from '../../harness/sandbox.ts'
import { eventually } from '../../harness/wait.ts'
import { inbound } from '../mail-flow/small-tenant.ts'
import { bring, letter, startTestRelay } from './small-world.ts'
import type { TestRelay } from './small-world.ts'

type Body = Readonly<Record<string, unknown>>
interface Arrived {
  readonly number: number
  readonly content: string
  readonly verdict?: { readonly dmarc: { readonly result: string } }
}

const endings: (() => void | Promise<void>)[] = []
let sandbox: TestSandbox
let mail: MailWorld
let relay: TestRelay

before(async () => {
  sandbox = await testSandbox(
    { after: (ending) => endings.unshift(ending) },
    { mail: { retry: { pauses: [50] } }, isReported: false },
  )
  assert.ok(sandbox.mail !== undefined)
  mail = sandbox.mail
  relay = await startTestRelay(mail, 'out.relay.test')
  endings.unshift(() => relay.close())
  sandbox.control.grantExchangeRole(CONTOSO, SANDBOX_APP, 'Organization Management')
})
after(async () => {
  for (const ending of endings) await ending()
})

async function control(operation: string, fields: Body = {}, at = sandbox): Promise<{ status: number; body: Body }> {
  const response = await fetch(`${at.controlUrl}/control/${operation}`, {
    method: 'POST',
    headers: { 'x-sandbox-control': '1' },
    body: JSON.stringify(fields),
  })
  return { status: response.status, body: (await response.json()) as Body }
}

async function ask(operation: string, fields: Body = {}): Promise<Body> {
  const { status, body } = await control(operation, fields)
  assert.equal(status, 200, `${operation}: ${JSON.stringify(body)}`)
  return body
}

async function invoke(
  cmdlet: string,
  parameters: Body,
  at = sandbox,
): Promise<{ status: number; rows: readonly Body[] }> {
  const response = await fetch(`${at.exchangeUrl}/adminapi/beta/${CONTOSO}/InvokeCommand`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await at.tokenFor(CONTOSO, EXCHANGE_RESOURCE)}`,
      'content-type': 'application/json; charset=utf-8',
      'x-cmdletname': cmdlet,
      'x-anchormailbox': `APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@${CONTOSO}`,
    },
    body: JSON.stringify({ CmdletInput: { CmdletName: cmdlet, Parameters: parameters } }),
  })
  return { status: response.status, rows: ((await response.json()) as { value?: Body[] }).value ?? [] }
}

const OUT = {
  Name: 'Out',
  ConnectorType: 'OnPremises',
  IsTransportRuleScoped: true,
  UseMXRecord: false,
  SmartHosts: ['out.relay.test'],
  TlsSettings: 'DomainValidation',
  TlsDomain: 'out.relay.test',
}

const mailboxes = () =>
  [...(sandbox.tenants.get(CONTOSO)?.recipients() ?? [])]
    .filter(({ recipientTypeDetails }) => recipientTypeDetails === 'UserMailbox')
    .map(({ properties }) => String(properties['PrimarySmtpAddress']))

test('Validate-OutboundConnector reaches each host, sends a message past all rules, and says how each task went', async () => {
  await invoke('New-OutboundConnector', OUT)
  await invoke('New-TransportRule', {
    Name: 'Refuses all',
    RejectMessageReasonText: 'no',
    RejectMessageEnhancedStatusCode: '5.7.1',
    FromScope: 'InOrganization',
  })
  const recipient = 'connector-validation-n1@out.relay.test'
  const good = await invoke('Validate-OutboundConnector', { Identity: 'Out', Recipients: [recipient] })
  assert.deepEqual(
    good.rows.map(({ TaskName, IsTaskSuccessful }) => [TaskName, IsTaskSuccessful]),
    [
      ["Check connectivity to 'out.relay.test'", true],
      [`Send test email to '${recipient}'`, true],
    ],
  )
  const [taken] = relay.taken
  assert.equal(taken?.reversePath, 'O365ConnectorValidation@contoso.com')
  assert.deepEqual(taken.recipients, [recipient])
  assert.match(taken.content.toString(), /\r\nSubject: Test email for connector validation\r\n/)
  assert.match(relay.certificates[0]?.subjectAltName ?? '', /mail\.protection\.outlook\.com/)
  relay.refusal = () => [550, '5.1.1 who is that?']
  await invoke('Set-OutboundConnector', { Identity: 'Out', SmartHosts: ['gone.relay.test', 'out.relay.test'] })
  const bad = await invoke('Validate-OutboundConnector', { Identity: 'Out', Recipients: recipient })
  assert.deepEqual(
    bad.rows.map(({ IsTaskSuccessful }) => IsTaskSuccessful),
    [false, true, false],
  )
  assert.match(String(bad.rows[2]?.['TaskDetail']), /550 5\.1\.1 who is that/)
  relay.refusal = () => undefined
  const connector = await invoke('Get-OutboundConnector', { Identity: 'Out' })
  assert.equal(connector.rows[0]?.['IsValidated'], false)
  assert.equal((await invoke('Validate-OutboundConnector', { Identity: 'None', Recipients: [recipient] })).status, 404)
  assert.equal((await invoke('Validate-OutboundConnector', { Identity: 'Out', Recipients: ['nobody'] })).status, 400)
  await invoke('Remove-TransportRule', { Identity: 'Refuses all' })
})

test('a rule that was switched off acts on until that has spread', async () => {
  await invoke('Set-OutboundConnector', { Identity: 'Out', SmartHosts: ['out.relay.test'] })
  await invoke('New-TransportRule', {
    Name: 'Route',
    SentToScope: 'NotInOrganization',
    RouteMessageOutboundConnector: 'Out',
  })
  await ask('set-exchange-behaviour', { rulePropagationMs: 1_800_000 })
  await invoke('Disable-TransportRule', { Identity: 'Route' })
  const [sender = ''] = mailboxes()
  const send = (subject: string) =>
    mail.submit(CONTOSO, {
      sender,
      recipients: ['otto@example.net'],
      content: letter(sender, 'otto@example.net', subject),
    })
  await ask('add-outside-mailbox', { address: 'otto@example.net' })
  relay.taken.length = 0
  await send('still acts')
  await eventually('the relay has it', () => relay.taken[0])
  await ask('advance-clock', { ms: 1_800_000 })
  await send('acts no more')
  await mail.outside.mails.waitFor('acts no more', ({ content }) => content.includes('Subject: acts no more'))
  assert.equal(relay.taken.length, 1)
  await ask('set-exchange-behaviour')
})

test('names, queues, logs, limits and arrivals are told', async () => {
  const [sender = '', colleague = ''] = mailboxes()
  const addresses = await ask('mail-addresses')
  assert.deepEqual(addresses['frontDoor'], { address: mail.frontDoor.address, port: mail.frontDoor.port })
  assert.deepEqual(addresses['outside'], { port: mail.outside.port })
  const counted = (await ask('mail-externals', { tenant: CONTOSO }))['total'] as number
  await mail.submit(CONTOSO, {
    sender,
    recipients: [colleague, 'otto@example.net', 'x@late.test'],
    content: letter(sender, colleague, 'told'),
  })
  await ask('put-dns-record', { name: 'late.test', type: 'MX', data: '10 mx.late.test' })
  const arrived = await eventually('it is outside', async () => {
    const { messages } = (await ask('outside-messages')) as { messages: readonly Arrived[] }
    return messages.find(({ content }) => Buffer.from(content, 'base64').includes('Subject: told\r'))
  })
  assert.equal(arrived.verdict?.dmarc.result, 'pass')
  const later = (await ask('outside-messages', { since: arrived.number })) as { messages: readonly Arrived[] }
  assert.deepEqual(later.messages, [])
  const inbox = (await ask('mailbox-messages', { tenant: CONTOSO, address: colleague })) as { messages: Arrived[] }
  assert.match(Buffer.from(inbox.messages.at(-1)?.content ?? '', 'base64').toString(), /Subject: told\r/)
  assert.equal((await ask('mail-externals', { tenant: CONTOSO }))['total'], counted + 2)
  const hops = (await ask('mail-log'))['hops'] as { what: string; messageId: string }[]
  assert.ok(hops.some(({ what, messageId }) => what === 'delivered' && messageId.startsWith('<told@')))
})

test('mail waits for a host that has no name yet, and goes once it has', async () => {
  const [sender = ''] = mailboxes()
  await ask('put-dns-record', { name: 'waits.test', type: 'MX', data: '10 mx.waits.test' })
  await mail.submit(CONTOSO, {
    sender,
    recipients: ['x@waits.test'],
    content: letter(sender, 'x@waits.test', 'waits'),
  })
  const queued = await eventually('it waits', async () => {
    const { messages } = (await ask('mail-queue')) as { messages: { recipients: string[]; reply: string }[] }
    return messages.find(({ recipients, reply }) => recipients.includes('x@waits.test') && reply !== '')
  })
  assert.match(queued.reply, /^450 4\.4\.1 mx\.waits\.test/)
  relay.taken.length = 0
  await ask('set-mail-host', { host: 'mx.waits.test', port: relay.port })
  await ask('retry-mail')
  await eventually('it is taken', () => relay.taken[0])
})

test('DNS holds several records of a name, loses the one that is named, and refuses nonsense', async () => {
  const name = 'several.test'
  for (const data of ['one', 'two', 'one']) await ask('put-dns-record', { name, type: 'TXT', data })
  assert.deepEqual(
    mail.zones.find(name)?.map(({ value }) => value),
    ['one', 'two'],
  )
  await ask('remove-dns-record', { name, type: 'TXT', data: 'one' })
  assert.deepEqual(
    mail.zones.find(name)?.map(({ value }) => value),
    ['two'],
  )
  await ask('remove-dns-record', { name, type: 'TXT' })
  assert.equal(mail.zones.find(name), undefined)
  const rows: readonly (readonly [string, Body])[] = [
    ['put-dns-record', { name, type: 'MX', data: 'mx.test' }],
    ['put-dns-record', { name, type: 'A', data: '1.2.3' }],
    ['put-dns-record', { name, type: 'SRV', data: '0 0 1 x' }],
    ['put-dns-record', { name: 'spaces in it', type: 'TXT', data: 'x' }],
    ['set-mail-host', { host: 'x.test', port: 0 }],
    ['set-mail-host', { host: '-', port: 25 }],
    ['sign-request', { pem: 'nothing' }],
    ['add-outside-mailbox', { address: 'x@contoso.com' }],
    ['set-mail-behaviour', { mailUserAddress: 'both' }],
    ['mail-externals', { tenant: 'none' }],
  ]
  for (const [operation, fields] of rows) {
    const { status, body } = await control(operation, fields)
    assert.equal(status, 400, `${operation} ${JSON.stringify(fields)} ${JSON.stringify(body)}`)
  }
  assert.equal((await control('mailbox-messages', { tenant: CONTOSO, address: 'none@contoso.com' })).status, 404)
})

test('switches are set by name, and what isn’t named goes back', async () => {
  await ask('set-mail-behaviour', {
    mailUserAddress: 'external',
    countsRoutedToAcceptedDomain: true,
    routingCountsAsRedirect: true,
    fromMemberOf: 'authenticated',
    serverOnlyCertificates: 'refused',
  })
  assert.equal(mail.behaviour.serverOnlyCertificates, 'refused')
  assert.equal(mail.behaviour.mailUserAddress, 'external')
  await ask('set-mail-behaviour')
  assert.deepEqual(
    [mail.behaviour.serverOnlyCertificates, mail.behaviour.mailUserAddress, mail.behaviour.fromMemberOf],
    ['taken', 'presented', 'all'],
  )
})

test('a relay gets its certificate by request, its name by a verified domain, and is known by both at the front door', async () => {
  const name = 't9.relay.contoso.com'
  const { request: pem, privateKey } = await requestCertificate('ec-p256', [name])
  const { certificate, chain } = (await ask('sign-request', { pem })) as { certificate: string; chain: string }
  const { root } = (await ask('authority')) as { root: string }
  assert.ok(new X509Certificate(certificate).verify(new X509Certificate(root).publicKey))
  assert.equal(chain, `${certificate}${root}`)
  const other = (await ask('sign-request', { pem, names: ['x.test'], usages: ['server'] })) as { certificate: string }
  assert.equal(new X509Certificate(other.certificate).subjectAltName, 'DNS:x.test')
  for (const names of [[], ['no host']])
    assert.equal((await control('sign-request', { pem, names })).status, 400, JSON.stringify(names))
  await ask('add-verified-domain', { tenant: CONTOSO, domain: name })
  await ask('add-verified-domain', { tenant: CONTOSO, domain: name })
  assert.equal((await control('add-verified-domain', { tenant: FABRIKAM, domain: name })).status, 400)
  assert.equal((await control('add-verified-domain', { tenant: CONTOSO, domain: 'no domain' })).status, 400)
  sandbox.tenants.get(CONTOSO)?.putExchangeObject(inbound('In', name))
  const accepted = await invoke('Get-AcceptedDomain', { Identity: name })
  assert.equal(accepted.rows.length, 1)
  const out = { from: '', to: ['otto@example.net'], content: letter('x@contoso.com', 'otto@example.net', 'known') }
  const [outcome] = await bring(mail, out, { certificate, privateKey })
  assert.equal(outcome?.kind, 'accepted')
})

test('each accepted domain has its own host name, which the certificate of the front door bears', async () => {
  const exchangers = mail.zones.find('fabrikam.com')?.find(({ type }) => type === 'MX')?.value
  assert.deepEqual(exchangers, { preference: 0, exchange: 'fabrikam-com.mail.protection.outlook.com' })
  assert.deepEqual(
    mail.zones.find('fabrikam-com.mail.protection.outlook.com')?.map(({ value }) => value),
    [mail.frontDoor.address],
  )
})

test('without mail the operations on it say so, and a validation fails', async (t) => {
  const silent = await testSandbox(t, { isReported: false })
  const { status, body } = await control('mail-addresses', {}, silent)
  assert.deepEqual([status, body['error']], [404, 'this sandbox was started without mail'])
  assert.equal(silent.mail, undefined)
  silent.control.grantExchangeRole(CONTOSO, SANDBOX_APP, 'Organization Management')
  await invoke('New-OutboundConnector', OUT, silent)
  const tried = await invoke(
    'Validate-OutboundConnector',
    { Identity: 'Out', Recipients: ['x@out.relay.test'] },
    silent,
  )
  assert.deepEqual(
    tried.rows.map(({ IsTaskSuccessful }) => IsTaskSuccessful),
    [false],
  )
})

test('the authority and what administrators put into DNS outlive a restart', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-mail-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const endsFirst: (() => Promise<void>)[] = []
  const first = await testSandbox(
    { after: (ending) => endsFirst.push(ending) },
    { mail: {}, directory, isReported: false },
  )
  first.mail?.putRecord('s1._domainkey.contoso.com', 'TXT', 'v=DKIM1; p=x')
  first.mail?.putRecord('gone.test', 'TXT', 'x')
  first.mail?.removeRecord('gone.test', 'TXT')
  first.mail?.setHost('out.relay.test', 2525)
  const root = first.mail?.authority.certificate
  for (const ending of endsFirst) await ending()
  const second = await testSandbox(t, { mail: {}, directory, isReported: false })
  assert.equal(second.mail?.authority.certificate, root)
  assert.deepEqual(
    second.mail?.zones.find('s1._domainkey.contoso.com')?.map(({ value }) => value),
    ['v=DKIM1; p=x'],
  )
  assert.equal(second.mail?.zones.find('gone.test'), undefined)
  assert.deepEqual(
    second.mail?.zones.find('out.relay.test')?.map(({ value }) => value),
    ['127.0.0.1'],
  )
})
