// The product's relay between the simulated tenants, as an operator sets it up: their rules route mail to it over TLS, it rewrites, and hands the
// mail to the other tenant with that tenant's certificate.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseMessage, valuesOf } from '../../../sandbox/mail-flow/header.ts'
import { freePort } from '../../harness/ports.ts'
import { startRelay } from '../../harness/relay.ts'
import type { RunningRelay } from '../../harness/relay.ts'
import { eventually } from '../../harness/wait.ts'
import {
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
  write,
} from './small-world.ts'
import type { SmallWorld } from './small-world.ts'

const HOST = 'relay.causeway.test'
const TOKENS = { out: randomBytes(32).toString('base64url'), in: randomBytes(32).toString('base64url') }
const TABLE = {
  format: 'causeway-mapping-table/1',
  project: 'contoso-fabrikam',
  version: 1,
  entries: [
    {
      known: ['alice@contoso.com', 'alice@fabrikam.com'],
      presented: 'alice@fabrikam.com',
      mailbox: 'alice@contoso.com',
    },
  ],
}
const MARK = randomBytes(16).toString('hex')

let world: SmallWorld
let relay: RunningRelay
let directory: string
let port: number

before(async () => {
  world = await startSmallWorld({ retry: { pauses: [100] } })
  directory = mkdtempSync(join(tmpdir(), 'causeway-relay-'))
  port = await freePort()
  await writeFiles()
  relay = await start()
  world.setHost(HOST, port)
  letRelayIn(world)
  for (const tenant of [world.contoso, world.fabrikam]) tenant.putExchangeObject(outboundTo('Relay', HOST))
  const by = (token: string) => ({ connector: 'Relay', token, mark: MARK })
  const sent = { FromMemberOf: ['presented@contoso.com'], SentToScope: 'NotInOrganization' }
  world.contoso.putExchangeObject(routingRule('20-Route-Sender', by(TOKENS.out), sent))
  const elsewhere = { SentTo: ['alice@fabrikam.com'] }
  world.fabrikam.putExchangeObject(routingRule('40-Route-Elsewhere', by(TOKENS.in), elsewhere))
})
after(async () => {
  await relay.stop()
  await world.close()
  rmSync(directory, { recursive: true, force: true })
})

function start(): Promise<RunningRelay> {
  return startRelay({ nextHopPort: world.frontDoor.port, table: TABLE, directory, settings: settings() })
}

async function writeFiles(): Promise<void> {
  const terms = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS }
  for (const [file, name] of [
    ['relay', HOST],
    ['contoso', RELAY_NAME[CONTOSO]],
    ['fabrikam', RELAY_NAME[FABRIKAM]],
  ] as const) {
    const { certificate, privateKey } = await world.authority.issue([name], terms)
    writeFileSync(join(directory, `${file}.pem`), certificate)
    writeFileSync(join(directory, `${file}.key`), privateKey, { mode: 0o600 })
  }
  writeFileSync(join(directory, 'root.pem'), world.authority.certificate)
  const marker = { format: 'causeway-marker/1', token: MARK, secret: randomBytes(32).toString('base64url') }
  writeFileSync(join(directory, 'marker.json'), JSON.stringify(marker), { mode: 0o600 })
  for (const [direction, token] of Object.entries(TOKENS))
    writeFileSync(join(directory, direction), `${token}\n`, { mode: 0o600 })
}

function settings(): Readonly<Record<string, unknown>> {
  const pair = (name: string) => ({ certificate: `${name}.pem`, key: `${name}.key` })
  const tenant = (id: 'contoso' | 'fabrikam', direction: 'out' | 'in') => ({
    id,
    acceptedDomains: [`${id}.com`, `${id}.onmicrosoft.com`],
    smartHost: {
      host: world.frontDoor.address,
      port: world.frontDoor.port,
      tls: 'verify',
      tlsName: `${id}-com.mail.protection.outlook.com`,
      trust: { file: 'root.pem' },
    },
    clientCertificate: pair(id),
    proofTokens: { [direction]: { file: direction } },
  })
  return {
    listeners: [{ address: '127.0.0.1', port, tls: 'starttls', allow: [world.sendingAddress] }],
    certificates: [pair('relay')],
    clientTrust: { file: 'root.pem' },
    marker: { file: 'marker.json' },
    routes: undefined,
    tenants: [tenant('contoso', 'out'), tenant('fabrikam', 'in')],
  }
}

test('what alice writes from Contoso arrives outside as from Fabrikam, once, and passes SPF, DKIM and DMARC', async () => {
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'out' })
  const { reversePath, content, verdict } = await outsideMail(world, 'out')
  assert.equal(reversePath, 'alice@fabrikam.com')
  const message = parseMessage(content)
  assert.deepEqual(valuesOf(message, 'From'), ['<alice@fabrikam.com>'])
  assert.deepEqual(valuesOf(message, 'X-Causeway-Project'), [])
  assert.match(valuesOf(message, 'X-Causeway-Trace')[0] ?? '', new RegExp(`^${MARK} `))
  assert.deepEqual([verdict.spf.result, verdict.dkim[0]?.result, verdict.dmarc.result], ['pass', 'pass', 'pass'])
  assert.equal(world.outside.mails.list().filter((mail) => mail.content.includes('Subject: out\r')).length, 1)
})

test('what is written to her Fabrikam address arrives in her mailbox at Contoso', async () => {
  const [outcome] = await world.outside.send({
    from: 'olga@example.net',
    to: ['alice@fabrikam.com'],
    content: letter('olga@example.net', 'alice@fabrikam.com', 'in'),
    signer: world.outsideSigner,
  })
  assert.equal(outcome?.kind, 'accepted')
  const arrival = await inMailbox(world, 'in')
  assert.equal(arrival.tenantId, CONTOSO)
  assert.equal(arrival.mailboxGuid, world.mailboxOf(CONTOSO, 'alice@contoso.com'))
  assert.deepEqual(valuesOf(parseMessage(arrival.content), 'To'), ['<alice@contoso.com>'])
})

test('a bounce goes all the way back: from outside to Fabrikam, through the relay, to alice', async () => {
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['nobody@example.net'], subject: 'bounces' })
  const report = await reportIn(world, 'bounces')
  assert.equal(report.mailboxGuid, world.mailboxOf(CONTOSO, 'alice@contoso.com'))
  assert.equal(report.sender, '')
  assert.match(report.content.toString(), /mx\.example\.net said 550 5\.1\.1 no such mailbox/)
})

test('while the relay is away mail waits, and goes when it is back', async () => {
  await relay.stop()
  await write(world, CONTOSO, { from: 'alice@contoso.com', to: ['olga@example.net'], subject: 'while away' })
  await eventually('it waits', () => world.queued().find(({ attempts }) => attempts > 0))
  relay = await start()
  world.retryQueued()
  assert.equal((await outsideMail(world, 'while away')).reversePath, 'alice@fabrikam.com')
  await eventually('nothing waits', () => (world.queued().length === 0 ? true : undefined))
})
