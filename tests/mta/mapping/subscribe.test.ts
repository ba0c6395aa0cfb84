// The stream over real HTTP: what is pushed comes in force and is reported; whatever goes wrong, the relay goes on with what it has and dials again.
// (RC-1 to RC-4, RC-7)
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { createControlPlaneClient } from '../../../mta/enrolment/http-client.ts'
import { ContactRecord } from '../../../mta/mapping/contact-record.ts'
import { TestAuthority } from '../../harness/certificates.ts'
import { refusedReport, reported, twoTenants } from '../../harness/enrolled-relay.ts'
import { frame, PushServer, signingPair } from '../../harness/push-server.ts'
import { eventually } from '../../harness/wait.ts'
import { Linked } from '../enrolment/linked.ts'
import { alice } from './keeper-world.ts'

async function pushing(): Promise<PushServer> {
  const server = await PushServer.start()
  server.version = 1
  server.content = twoTenants(25)
  return server
}

test('what a relay has not it asks for; what it has it says, and gets only what is newer', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  const first = await reported(server, 1)
  assert.equal(server.queries[0]?.toString(), 'key=snapshot-key-1', 'nothing yet but a key')
  assert.equal(first.revision, 7)
  assert.equal(first.entries, 6)
  assert.equal(first.digest, server.content?.table.digest)
  assert.deepEqual(first.queue, { messages: 3, oldestAgeMs: 5, quarantined: 1, dead: 2 })
  assert.equal(first.certificateNotAfter, '2030-01-01T00:00:00.000Z')
  assert.equal(first.state, 'active')
  server.change(alice(1))
  assert.equal((await reported(server, 2)).revision, 8)
  await server.stop()
  await eventually('the loss', () => relay.events('control-plane.lost')[0])
  assert.equal(relay.version, 2, 'RC-4: it goes on')
  await server.listen()
  await eventually('another stream', () => server.queries[1])
  assert.deepEqual(Object.fromEntries(server.queries[1] ?? []), {
    version: '2',
    revision: '8',
    digest: server.content?.table.digest,
    settings: '1',
    key: 'snapshot-key-1',
  })
})

test('RC-1 every request has a token of its own', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  await reported(server, 1)
  relay.link?.events.message('{"time":"2026-11-28T00:00:00.000Z","event":"held","queueId":"x"}\n')
  await eventually('an event', () => server.events[0])
  assert.ok(server.claims.length >= 3, 'stream, report and events')
  for (const { iss, sub, aud, exp, iat } of server.claims) {
    assert.deepEqual([iss, sub, aud], [server.enrolled?.relay, server.enrolled?.relay, 'https://installation.test'])
    assert.ok(Number(exp) - Number(iat) <= 60)
  }
  assert.equal(new Set(server.claims.map(({ jti }) => jti)).size, server.claims.length)
})

test('RC-2 a push that is not believed is refused and told, the connection ends, and the next one is taken', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  await reported(server, 1)
  server.settle({}, { signWith: signingPair('snapshot-key-1') })
  const { refused } = await refusedReport(server, /signature does not hold/)
  assert.equal(refused?.version, 2)
  assert.equal(relay.version, 1)
  await reported(server, 2)
  assert.equal(server.queries.length, 2)
})

test('RC-5 a sound push that can not be used is refused and told; the stream goes on, and a better one is taken', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  await reported(server, 1)
  const content = server.content
  assert.ok(content !== undefined)
  server.settle({ settings: { ...content.settings, version: 2, dkim: [{ domain: 'contoso.com', selector: 's1' }] } })
  await refusedReport(server, /no key for s1/)
  assert.equal(relay.version, 1)
  // On what the relay has not: it says again what it has, and gets the whole.
  server.settle({ settings: { ...content.settings, version: 3 } })
  await reported(server, 3)
  assert.equal(server.queries.length, 2)
  assert.equal(server.queries[1]?.get('version'), '1')
})

test('a delta that does not apply makes the relay ask for the whole', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  await reported(server, 1)
  const content = server.content
  assert.ok(content !== undefined)
  server.version = 2
  server.send(...server.frames(content, { 'table-delta': Buffer.from('{}') }, { base: 1 }, {}))
  await reported(server, 2)
  assert.equal(server.queries[1]?.get('whole'), '1')
  assert.equal(relay.version, 2)
})

const hostile: [what: string, bytes: Buffer][] = [
  ['a frame of four gigabytes', Buffer.from([0xff, 0xff, 0xff, 0xff, 1])],
  ['a frame of unknown kind', Buffer.from([0, 0, 0, 1, 99])],
  ['text', Buffer.from('<html>gateway time-out</html>')],
  ['a chunk of nothing', frame('chunk', Buffer.from('x'))],
  ['a new key that nobody signed', frame('key', Buffer.from('{"by":"snapshot-key-1"}'))],
]
for (const [what, bytes] of hostile) {
  test(`what is no push ends the connection, and the relay dials again: ${what}`, async () => {
    await using server = await pushing()
    await using relay = await Linked.to(server)
    await reported(server, 1)
    server.send(bytes)
    await eventually('another stream', () => server.queries[1])
    assert.equal(relay.version, 1)
    assert.ok(relay.events('snapshot.refused').length > 0)
  })
}

test('RC-2 a key that the pinned one signed takes its place, over a restart too; one that it did not sign does not', async () => {
  await using server = await pushing()
  const first = await Linked.to(server)
  await reported(server, 1)
  const stranger = signingPair('snapshot-key-1')
  const mine = server.key
  server.rotate(stranger)
  await refusedReport(server, /did not sign/)
  server.key = mine
  await eventually('another stream', () => (server.streams > 0 && server.queries.length > 1 ? true : undefined))
  server.rotate()
  server.change(alice(1))
  await reported(server, 2)
  await first.close()
  await using again = await Linked.to(server, {}, first)
  assert.equal(again.version, 2)
  server.change(alice(2))
  await reported(server, 3)
  server.key = mine
  server.settle({})
  await refusedReport(server, /another key than the pinned one/)
  assert.equal(again.version, 3)
})

test('RC-1 a revoked relay takes no mail, stops dialling, and stays so over a restart until it is enrolled anew', async () => {
  await using server = await pushing()
  const relay = await Linked.to(server)
  await reported(server, 1)
  server.send(frame('revoked'))
  await eventually('the end', () => relay.events('control-plane.revoked')[0])
  assert.equal(relay.version, undefined)
  assert.equal(relay.link?.snapshot.settings()?.routes['tenant:contoso']?.port, 25, 'what it holds can be delivered')
  assert.match(relay.link?.snapshot.status().trouble ?? '', /cut the relay off/)
  await relay.close()
  const streams = server.queries.length
  const again = await Linked.to(server, {}, relay)
  assert.equal(again.version, undefined)
  await again.close()
  assert.equal(server.queries.length, streams)
  server.enrolled = undefined
  server.code = 'code-two'
  server.version = 5
  await using anew = await Linked.to(server, {}, again)
  await reported(server, 5)
  assert.equal(anew.version, 5)
})

test('RC-1 410 on any request is a revocation too', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  await reported(server, 1)
  server.status = { report: 410 }
  server.settle({})
  await eventually('the end', () => relay.events('control-plane.revoked')[0])
  assert.equal(relay.version, undefined)
})

test('RC-4 without the control plane a relay starts on what it has, and catches up when it is back', async () => {
  await using server = await pushing()
  const first = await Linked.to(server)
  await reported(server, 1)
  server.change(alice(1))
  await reported(server, 2)
  await first.close()
  await server.stop()
  await using again = await Linked.to(server, { controlPlane: { enrolmentCode: undefined } }, first)
  assert.equal(again.version, 2)
  await eventually('a try', () => again.events('control-plane.lost')[0])
  await server.listen()
  server.version = 3
  await reported(server, 3)
  assert.equal(again.version, 3)
})

test('RC-3 settings of one version: draining takes no mail, and active again does', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  await reported(server, 1)
  server.settle({ state: 'draining' })
  assert.equal((await reported(server, 2)).state, 'draining')
  assert.equal(relay.link?.snapshot.isDraining, true)
  assert.equal(relay.version, undefined)
  server.settle({ state: 'active' })
  await reported(server, 3)
  assert.equal(relay.version, 3)
})

test('maxTableAge: a snapshot that nobody confirmed for longer is none; a heartbeat confirms it', async () => {
  await using server = await PushServer.start()
  server.version = 1
  server.content = twoTenants(25, { maxTableAgeMs: 60_000 })
  let aheadMs = 0
  server.now = () => Date.now() + aheadMs
  await using relay = await Linked.to(server, { now: server.now })
  await reported(server, 1)
  await server.stop()
  aheadMs = 59_000
  assert.equal(relay.version, 1)
  aheadMs = 62_000
  assert.equal(relay.version, undefined)
  assert.match(relay.link?.snapshot.status().trouble ?? '', /maxTableAge/)
  await server.listen()
  await eventually('mail is taken again', () => relay.version)
})

test('RC-4 silence is told after an hour and again after a day, once each, and its end', () => {
  const lines: [level: string, event: string][] = []
  const to = (level: string) => (event: string) => void lines.push([level, event])
  const log = { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') }
  let now = 1_000_000_000_000
  const contact = new ContactRecord({ directory: '/nonexistent', log, now: () => now })
  contact.look()
  contact.heard()
  for (let minutes = 0; minutes < 3 * 24 * 60; minutes += 10) {
    now += 600_000
    contact.look()
  }
  assert.deepEqual(
    lines.filter(([, event]) => event === 'control-plane.silent'),
    [
      ['warn', 'control-plane.silent'],
      ['error', 'control-plane.silent'],
    ],
  )
  contact.heard()
  assert.deepEqual(lines.at(-1), ['info', 'control-plane.back'])
})

test('OP-1 metrics tell version, age, connection and pushes', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  await reported(server, 1)
  server.settle({}, { manifest: (made) => ({ ...made, project: 'p2' }) })
  await refusedReport(server, /another project/)
  const text = await relay.metrics.metrics()
  for (const line of [
    'causeway_snapshot_version 1',
    'causeway_table_version 7',
    'causeway_table_entries 6',
    'causeway_snapshot_pushes_total{result="activated"} 1',
    'causeway_snapshot_pushes_total{result="refused"} 1',
  ])
    assert.ok(text.includes(`${line}\n`), line)
  assert.match(text, /^causeway_control_plane_connected [01]$/m)
  assert.match(text, /^causeway_snapshot_age_seconds \d/m)
})

test('RC-1 the control plane has to show a certificate with its name, by an authority that is believed', async () => {
  using authority = new TestAuthority()
  const pair = authority.issue({ names: ['DNS:localhost'], usage: ['serverAuth'] })
  const server = createTlsServer(
    { cert: readFileSync(pair.certificate), key: readFileSync(pair.key) },
    (request, response) => {
      request.resume()
      if (request.url === '/redirect') response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()
      else response.end('x'.repeat(request.url === '/long' ? 1_000_000 : 2))
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const trust = [readFileSync(authority.certificate, 'utf8')]
  const good = createControlPlaneClient(`https://localhost:${port}`, { trust })
  assert.equal((await good.post('/relay/v1/report', '{}', undefined)).text, 'xx')
  assert.equal((await good.post('/redirect', '{}', undefined)).status, 302, 'redirects are not followed')
  await assert.rejects(good.post('/long', '{}', undefined), /too long/)
  const unknown = createControlPlaneClient(`https://localhost:${port}`)
  await assert.rejects(unknown.post('/', '{}', undefined), /unable to|self.signed|issuer/)
  const wrongName = createControlPlaneClient(`https://127.0.0.1:${port}`, { trust })
  await assert.rejects(wrongName.post('/', '{}', undefined), /altnames|does not match/)
  for (const client of [good, unknown, wrongName]) client.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

test('RC-1 who ends TLS in front of the control plane may ask for a certificate of the relay', async () => {
  using authority = new TestAuthority()
  const pair = authority.issue({ names: ['DNS:localhost'], usage: ['serverAuth'] })
  const own = authority.issue({ names: ['DNS:relay.test'], usage: ['clientAuth'] })
  const read = (file: string) => readFileSync(file, 'utf8')
  const trust = [read(authority.certificate)]
  const server = createTlsServer(
    { cert: read(pair.certificate), key: read(pair.key), ca: trust, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      request.resume()
      response.end('let in')
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `https://localhost:${(server.address() as AddressInfo).port}`
  const certificate = { chain: read(own.certificate), key: read(own.key) }
  const [known, unknown] = [
    createControlPlaneClient(url, { trust, certificate }),
    createControlPlaneClient(url, { trust }),
  ]
  assert.equal((await known.post('/', '{}', undefined)).text, 'let in')
  await assert.rejects(unknown.post('/', '{}', undefined))
  for (const client of [known, unknown]) client.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

test('a control plane that hangs does not keep the relay from stopping', async () => {
  await using server = await pushing()
  await using relay = await Linked.to(server)
  await reported(server, 1)
  server.hangs = true
  server.settle({})
  relay.link?.events.message('{"time":"2026-11-28T00:00:00.000Z","event":"held","queueId":"x"}\n')
  await eventually('requests that hang', () => (server.hanging >= 2 ? true : undefined))
  const began = performance.now()
  await relay.close()
  assert.ok(performance.now() - began < 5_000)
})

test('a contact record that can not be read is no reason not to start', async () => {
  await using relay = new Linked()
  const { log } = relay.deps()
  writeFileSync(join(relay.directory, 'contact.json'), '{')
  const contact = new ContactRecord({ directory: relay.directory, log, now: Date.now })
  assert.equal(await contact.load(), 0)
  contact.heard()
  await contact.save()
  assert.ok((await new ContactRecord({ directory: relay.directory, log, now: Date.now }).load()) > 0)
})
