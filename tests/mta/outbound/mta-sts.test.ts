// Policies over real HTTPS, with a resolver that changes its mind: RFC 8461 §3.3, §5.1, WS-5.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { addressRules } from '../../../mta/outbound/address-rules.ts'
import { DnsClient } from '../../../mta/outbound/dns-client.ts'
import { policyFetcher } from '../../../mta/outbound/mta-sts-fetch.ts'
import type { FetchDeps } from '../../../mta/outbound/mta-sts-fetch.ts'
import { StsPolicies } from '../../../mta/outbound/mta-sts.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import type { MadeCertificate } from '../../harness/certificates.ts'
import { DnsServer } from '../../harness/dns-server.ts'
import { listLog } from '../queue/world.ts'

const authority = new TestAuthority()
const good = authority.issue({ names: ['DNS:mta-sts.example.net'] })
const directory = mkdtempSync(join(tmpdir(), 'causeway-sts-'))
after(() => {
  authority[Symbol.dispose]()
  rmSync(directory, { recursive: true, force: true })
})

const ENFORCE = 'version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 86400\n'

interface StsWorld extends AsyncDisposable {
  readonly dns: DnsServer
  readonly fetched: string[]
  nowMs: number
  serve: (response: ServerResponse) => void
  /** Policies as a new process would have them. */
  start(more?: Partial<FetchDeps>): Promise<StsPolicies>
}

let files = 0

async function stsWorld(certificate: MadeCertificate = good): Promise<StsWorld> {
  const dns = await DnsServer.start()
  const file = join(directory, `${++files}.json`)
  const server = createServer(
    { cert: readFileSync(certificate.certificate), key: readFileSync(certificate.key) },
    (request, response) => {
      world.fetched.push(`${request.headers.host ?? ''}${request.url ?? ''}`)
      world.serve(response)
    },
  ).listen(0, '127.0.0.2')
  await once(server, 'listening')
  let dnsMs = 0
  const world: StsWorld = {
    dns,
    fetched: [],
    nowMs: Date.UTC(2026, 10, 28),
    serve: (response) => void response.writeHead(200, { 'content-type': 'text/plain' }).end(ENFORCE),
    async start(more = {}) {
      // Each question goes out: the answers of the resolver aren't what is tested here.
      const client = new DnsClient({
        servers: [{ address: '127.0.0.1', port: dns.port }],
        wantsDnssec: false,
        random: Math.random,
        monotonicMs: () => (dnsMs += 10_000_000),
        waitMs: 200,
      })
      const policies = new StsPolicies({
        dns: client,
        fetchPolicy: policyFetcher({
          dns: client,
          mayConnect: addressRules(['127.0.0.2']),
          random: Math.random,
          trust: () => [readFileSync(authority.certificate, 'utf8')],
          port: (server.address() as AddressInfo).port,
          timeoutMs: 500,
          ...more,
        }),
        file,
        log: listLog([]),
        now: () => world.nowMs,
      })
      await policies.load()
      return policies
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await dns[Symbol.asyncDispose]()
    },
  }
  dns.txt('_mta-sts.example.net', ['v=STSv1; id=1;'])
  dns.address('mta-sts.example.net', ['127.0.0.2'])
  return world
}

async function modeOf(policies: StsPolicies): Promise<string> {
  const { policy, failure } = await policies.policyOf('example.net')
  return [policy?.mode ?? 'nothing', ...(failure === undefined ? [] : [failure])].join(' ')
}

test('RFC 8461 §3.3: a policy is fetched once, from its well-known place, and kept while its id stays', async () => {
  await using world = await stsWorld()
  const policies = await world.start()
  await Promise.all(Array.from({ length: 10 }, () => modeOf(policies)))
  assert.equal(await modeOf(policies), 'enforce')
  assert.deepEqual(world.fetched, ['mta-sts.example.net/.well-known/mta-sts.txt'])
})

test('a domain that announces nothing is not asked for a policy', async () => {
  await using world = await stsWorld()
  world.dns.say('TXT _mta-sts.example.net', {})
  assert.deepEqual([await modeOf(await world.start()), world.fetched], ['nothing', []])
})

test('RFC 8461 §5.1: a policy in force survives the loss of record and web host, until its max_age', async () => {
  await using world = await stsWorld()
  const policies = await world.start()
  await modeOf(policies)
  for (const said of [{}, { rcode: 'SERVFAIL' }, { rcode: 'NXDOMAIN' }] as const) {
    world.dns.say('TXT _mta-sts.example.net', said)
    assert.equal(await modeOf(policies), 'enforce')
  }
  world.dns.txt('_mta-sts.example.net', ['v=STSv1; id=2'])
  world.serve = (response) => void response.writeHead(500).end()
  assert.equal(await modeOf(policies), 'enforce sts-policy-fetch-error', 'a refresh that fails')
  world.nowMs += 86_399_000
  world.dns.say('TXT _mta-sts.example.net', {})
  assert.equal(await modeOf(policies), 'enforce')
  world.nowMs += 1_000
  assert.equal(await modeOf(policies), 'nothing')
})

test('a new id brings the new policy', async () => {
  await using world = await stsWorld()
  const policies = await world.start()
  await modeOf(policies)
  world.serve = (response) =>
    void response.writeHead(200, { 'content-type': 'text/plain' }).end('version: STSv1\nmode: none\nmax_age: 60')
  assert.equal(await modeOf(policies), 'enforce')
  world.dns.txt('_mta-sts.example.net', ['v=STSv1; id=2'])
  assert.equal(await modeOf(policies), 'none')
})

test('a policy under way to its end is fetched again before, without keeping anybody waiting', async () => {
  await using world = await stsWorld()
  const policies = await world.start()
  await modeOf(policies)
  world.nowMs += 43_201_000
  assert.equal(await modeOf(policies), 'enforce')
  while (world.fetched.length < 2) await new Promise(setImmediate)
})

test('RFC 8461 §3.3: after a failure the web host is left alone for 5 minutes', async () => {
  await using world = await stsWorld()
  world.serve = (response) => void response.writeHead(404).end()
  const policies = await world.start()
  for (let i = 0; i < 3; i++) assert.equal(await modeOf(policies), 'nothing sts-policy-fetch-error')
  assert.equal(world.fetched.length, 1)
  world.nowMs += 300_000
  await modeOf(policies)
  assert.equal(world.fetched.length, 2)
})

test('a policy survives a restart, in a file for the relay alone', async () => {
  await using world = await stsWorld()
  const first = await world.start()
  await modeOf(first)
  await first.close()
  const file = join(directory, `${files}.json`)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  world.dns.say('TXT _mta-sts.example.net', { rcode: 'SERVFAIL' })
  assert.equal(await modeOf(await world.start()), 'enforce')
  assert.equal(world.fetched.length, 1)
  for (const broken of [
    '',
    '{',
    '[]',
    '{"format":"causeway-mta-sts/1","policies":[{"domain":5}]}',
    '{"format":"causeway-mta-sts/2","policies":[]}',
  ]) {
    writeFileSync(file, broken)
    assert.equal(await modeOf(await world.start()), 'nothing', broken)
  }
})

test('a policy that can not be written holds as long as the process does, and leaves nothing lying about', async () => {
  await using world = await stsWorld()
  const policies = await world.start()
  mkdirSync(join(directory, `${files}.json`, 'in the way'), { recursive: true })
  await modeOf(policies)
  await policies.close()
  assert.equal(await modeOf(policies), 'enforce')
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith(`${files}.json.`)),
    [],
  )
})

const answers: [name: string, serve: (response: ServerResponse) => void, failure: string, why: string][] = [
  [
    'a redirect',
    (response) => void response.writeHead(301, { location: '/policy' }).end(),
    'sts-policy-fetch-error',
    'RFC 8461 §3.3: not followed',
  ],
  ['an error', (response) => void response.writeHead(503).end(), 'sts-policy-fetch-error', 'not 200'],
  [
    'HTML',
    (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end(ENFORCE),
    'sts-policy-invalid',
    'another type',
  ],
  ['no type', (response) => void response.writeHead(200).end(ENFORCE), 'sts-policy-invalid', 'no type'],
  [
    'no policy',
    (response) => void response.writeHead(200, { 'content-type': 'text/plain' }).end('hello'),
    'sts-policy-invalid',
    'other text',
  ],
  [
    '65 KiB',
    (response) =>
      void response.writeHead(200, { 'content-type': 'text/plain' }).end(ENFORCE.concat(' '.repeat(65_536))),
    'sts-policy-invalid',
    'DL-7: 64 KiB',
  ],
  [
    'an endless answer',
    (response) => {
      response.writeHead(200, { 'content-type': 'text/plain' })
      const timer = setInterval(() => response.write('x'.repeat(16_384)), 1)
      response.on('close', () => clearInterval(timer))
    },
    'sts-policy-invalid',
    'DL-7: 64 KiB',
  ],
  ['nothing', () => {}, 'sts-policy-fetch-error', 'its time is bounded'],
  [
    'half an answer',
    (response) => void response.writeHead(200, { 'content-type': 'text/plain' }).write('version: STSv1\n'),
    'sts-policy-fetch-error',
    'likewise',
  ],
  ['a hang-up', (response) => void response.socket?.destroy(), 'sts-policy-fetch-error', 'broken off'],
]
for (const [name, serve, failure, why] of answers) {
  test(`${name} from the policy host is no policy: ${why}`, async () => {
    await using world = await stsWorld()
    world.serve = serve
    assert.equal(await modeOf(await world.start()), `nothing ${failure}`)
    assert.equal(world.fetched.length, 1)
  })
}

const certificates: [name: string, certificate: () => MadeCertificate][] = [
  ['of another name', () => authority.issue({ names: ['DNS:example.net'] })],
  ['with its name in CN alone', () => authority.issue({ commonName: 'mta-sts.example.net' })],
  ['signed by itself', () => authority.selfSigned({ names: ['DNS:mta-sts.example.net'] })],
  ['that has expired', () => authority.issue({ names: ['DNS:mta-sts.example.net'], notAfter: '20210101000000Z' })],
]
for (const [name, certificate] of certificates) {
  test(`RFC 8461 §3.3: a policy host with a certificate ${name} is not believed`, async () => {
    await using world = await stsWorld(certificate())
    assert.deepEqual([await modeOf(await world.start()), world.fetched], ['nothing sts-webpki-invalid', []])
  })
}

test('WS-5: a policy host with a private address is not connected to', async () => {
  await using world = await stsWorld()
  const policies = await world.start({ mayConnect: addressRules([]) })
  assert.deepEqual([await modeOf(policies), world.fetched], ['nothing sts-policy-fetch-error', []])
})
