// The outside world's mail: what it takes, how it judges it, and how it sends, over real SMTP, TLS and DNS on loopback.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, test } from 'node:test'
import { dkimSign } from 'mailauth/lib/dkim/sign.js'
import { createTransport } from 'nodemailer'
import { CertificateAuthority } from '../../../sandbox/internet/authority.ts'
import { DnsServer } from '../../../sandbox/internet/dns-server.ts'
import { OutsideMail } from '../../../sandbox/internet/outside-mail.ts'
import { Zones } from '../../../sandbox/internet/zones.ts'

const DAY_MS = 86_400_000
const zones = new Zones()
const rsa = generateKeyPairSync('rsa', { modulusLength: 3072 })
const privateKey = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const publicKey = rsa.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
const ports = new Map<string, number>()
let authority: CertificateAuthority
let dns: DnsServer
let outside: OutsideMail
const faults: unknown[] = []

before(async () => {
  const now = Date.now()
  authority = await CertificateAuthority.create(now)
  dns = await DnsServer.start({ zones })
  outside = await OutsideMail.start({
    hostName: 'mx.example.net',
    domains: ['example.net'],
    certificate: await authority.issue(['mx.example.net'], { notBefore: now - DAY_MS, notAfter: now + DAY_MS }),
    dns,
    portOf: (host) => ports.get(host),
    now: Date.now,
    onFault: (error) => faults.push(error),
    maxBytes: 100_000,
    bounds: { messages: 30, bytes: 1_000_000 },
  })
  outside.addMailbox('olga@example.net')
  outside.addMailbox('otto@example.net')
  ports.set('mx.example.net', outside.port)
  zones.set(
    'example.net',
    'MX',
    { preference: 20, exchange: 'mx.example.net' },
    { preference: 10, exchange: 'gone.example.net' },
  )
  zones.set('mx.example.net', 'A', '127.0.0.1')
  for (const domain of ['contoso.test', 'other.test']) {
    zones.set(`s1._domainkey.${domain}`, 'TXT', `v=DKIM1; k=rsa; p=${publicKey}`)
  }
  zones.set('contoso.test', 'TXT', 'v=spf1 ip4:127.0.0.1 -all')
  zones.set('other.test', 'TXT', 'v=spf1 ip4:127.0.0.1 -all')
  zones.set('closed.test', 'TXT', 'v=spf1 -all')
  zones.set('_dmarc.contoso.test', 'TXT', 'v=DMARC1; p=reject')
})
after(async () => {
  await outside.close()
  await dns.close()
  assert.deepEqual(faults, [])
})

function transport(): ReturnType<typeof createTransport> {
  return createTransport({
    host: '127.0.0.1',
    port: outside.port,
    name: 'client.contoso.test',
    requireTLS: true,
    tls: { servername: 'mx.example.net', ca: authority.certificate },
  })
}

const message = (id: string, from = 'anna@contoso.test'): string =>
  `From: <${from}>\r\nTo: <olga@example.net>\r\nSubject: ${id}\r\nMessage-ID: <${id}@contoso.test>\r\n\r\nHello\r\n..dots\r\n`

async function signed(raw: string, signingDomain: string): Promise<string> {
  const data = { signingDomain, selector: 's1', privateKey }
  const { signatures, errors } = await dkimSign(raw, { ...data, signatureData: [data] })
  assert.deepEqual(errors, [])
  return signatures + raw
}

async function arrived(id: string, raw: string, from: string) {
  await transport().sendMail({ envelope: { from, to: ['Olga@EXAMPLE.net'] }, raw })
  return outside.mails.waitFor(id, ({ content }) => content.includes(`Subject: ${id}\r\n`))
}

test('a message is kept with its envelope, its octets, its client and its TLS', async () => {
  const raw = message('facts')
  const mail = await arrived('facts', raw, 'anna@contoso.test')
  assert.equal(mail.content.toString(), raw)
  assert.equal(mail.reversePath, 'anna@contoso.test')
  assert.deepEqual(mail.recipients, ['Olga@example.net'])
  assert.equal(mail.clientAddress, '127.0.0.1')
  assert.equal(mail.helo, 'client.contoso.test')
  assert.equal(mail.tls?.protocol, 'TLSv1.3')
})

test('SPF, DKIM and DMARC are judged by what DNS says', async () => {
  const rows: {
    why: string
    by?: readonly string[]
    breaks?: boolean
    sender: string
    author?: string
    spf: string
    dkim: readonly string[]
    dmarc: string
  }[] = [
    {
      why: 'aligned DKIM, SPF fails',
      by: ['contoso.test'],
      sender: 'a@closed.test',
      spf: 'fail',
      dkim: ['pass contoso.test true'],
      dmarc: 'pass',
    },
    {
      why: 'a changed body',
      by: ['contoso.test'],
      breaks: true,
      sender: 'a@closed.test',
      spf: 'fail',
      dkim: ['fail contoso.test true'],
      dmarc: 'fail',
    },
    {
      why: 'a changed body, SPF aligned',
      by: ['contoso.test'],
      breaks: true,
      sender: 'a@contoso.test',
      spf: 'pass',
      dkim: ['fail contoso.test true'],
      dmarc: 'pass',
    },
    {
      why: 'only a stranger signed',
      by: ['other.test'],
      sender: 'a@other.test',
      spf: 'pass',
      dkim: ['pass other.test false'],
      dmarc: 'fail',
    },
    {
      why: 'two signatures',
      by: ['other.test', 'contoso.test'],
      sender: 'a@closed.test',
      spf: 'fail',
      dkim: ['pass contoso.test true', 'pass other.test false'],
      dmarc: 'pass',
    },
    { why: 'unsigned, SPF aligned', sender: 'a@contoso.test', spf: 'pass', dkim: [], dmarc: 'pass' },
    { why: 'unsigned, null reverse-path', sender: '', spf: 'none', dkim: [], dmarc: 'fail' },
    {
      why: 'an author without DMARC',
      author: 'x@other.test',
      sender: 'a@other.test',
      spf: 'pass',
      dkim: [],
      dmarc: 'none',
    },
  ]
  for (const [i, { why, by = [], breaks, sender, author, spf, dkim, dmarc }] of rows.entries()) {
    let raw = message(`verdict-${i}`, author)
    for (const domain of by) raw = await signed(raw, domain)
    if (breaks === true) raw = raw.replace('\r\nHello', '\r\nHallo')
    const { verdict } = await arrived(`verdict-${i}`, raw, sender)
    assert.equal(verdict.spf.result, spf, why)
    assert.deepEqual(
      verdict.dkim.map((one) => `${one.result} ${one.domain} ${one.isAligned}`),
      dkim,
      why,
    )
    assert.equal(verdict.dmarc.result, dmarc, why)
  }
})

test('a key that DNS holds no longer, or another one, verifies nothing', async () => {
  const raw = await signed(message('withdrawn'), 'contoso.test')
  zones.remove('s1._domainkey.contoso.test')
  try {
    const { verdict } = await arrived('withdrawn', raw, 'a@closed.test')
    assert.equal(verdict.dkim.length, 1)
    assert.notEqual(verdict.dkim[0]?.result, 'pass')
    assert.equal(verdict.dmarc.result, 'fail')
  } finally {
    zones.set('s1._domainkey.contoso.test', 'TXT', `v=DKIM1; k=rsa; p=${publicKey}`)
  }
})

test('unknown mailboxes, foreign domains and messages too large are refused for good', async () => {
  const rows: [to: string, raw: string, reply: RegExp, why: string][] = [
    ['nobody@example.net', message('x'), /^550 5\.1\.1 /, 'no such mailbox'],
    ['olga@example.org', message('x'), /^550 5\.7\.1 /, 'no open relay'],
    ['olga@example.net', `${message('x')}${`${'x'.repeat(70)}\r\n`.repeat(2_000)}`, /^552 5\.3\.4 /, 'too large'],
  ]
  const countBefore = outside.mails.count
  for (const [to, raw, reply, why] of rows) {
    const sent = transport().sendMail({ envelope: { from: 'anna@contoso.test', to }, raw })
    await assert.rejects(sent, (error: { response?: string }) => reply.test(error.response ?? ''), why)
  }
  assert.equal(outside.mails.count, countBefore)
})

test('memory is bounded: the oldest go first', async () => {
  for (let i = 0; i < 31; i++) {
    await outside.send({ from: '', to: ['olga@example.net'], content: message(`many-${i}`) })
  }
  const kept = outside.mails.list()
  assert.equal(kept.length, 30)
  assert.ok(kept[0]?.content.includes('Subject: many-1\r\n'))
})

test('it sends by MX, past a host that is gone, under TLS, one outcome a recipient', async () => {
  const outcomes = await outside.send({
    from: 'olga@example.net',
    to: ['otto@example.net', 'nobody@example.net', 'x@nowhere.test', 'x@silent.test'],
    content: 'From: olga@example.net\nSubject: sent\n\nHello\n.\n',
    signer: { domain: 'contoso.test', selector: 's1', privateKey },
  })
  assert.deepEqual(
    outcomes.map(({ recipient, kind, code, host, isEncrypted }) => [recipient, kind, code, host, isEncrypted]),
    [
      ['otto@example.net', 'accepted', 250, 'mx.example.net', true],
      ['nobody@example.net', 'refused', 550, 'mx.example.net', true],
      ['x@nowhere.test', 'refused', 0, undefined, false],
      ['x@silent.test', 'refused', 0, undefined, false],
    ],
  )
  const mail = await outside.mails.waitFor('the message', ({ content }) => content.includes('Subject: sent\r\n'))
  assert.ok(mail.content.toString().endsWith('\r\n\r\nHello\r\n.\r\n'))
  assert.equal(mail.verdict.dkim[0]?.result, 'pass')
})

test('hosts where nobody listens, or outside this machine, are deferred and not reached', async () => {
  zones.set('away.test', 'A', '192.0.2.1')
  ports.set('away.test', outside.port)
  zones.set('closed-port.test', 'A', '127.0.0.1')
  ports.set('closed-port.test', 1)
  zones.set('refuses.test', 'MX', { preference: 0, exchange: '.' })
  const to = ['a@away.test', 'a@closed-port.test', 'a@refuses.test']
  const outcomes = await outside.send({ from: 'olga@example.net', to, content: message('nowhere') })
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ['deferred', 'deferred', 'refused'],
  )
})

test('waiting ends: with what comes, in vain, or with the server', async () => {
  const coming = outside.mails.waitFor('late', ({ content }) => content.includes('Subject: late\r\n'))
  await outside.send({ from: '', to: ['otto@example.net'], content: message('late') })
  assert.deepEqual((await coming).recipients, ['otto@example.net'])
  await assert.rejects(
    outside.mails.waitFor('nothing', () => false, 10),
    /10 ms in vain for nothing/,
  )
  const waiting = outside.mails.waitFor('nothing', () => false)
  outside.mails.close()
  await assert.rejects(waiting, /closed/)
})
