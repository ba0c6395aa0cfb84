// Outbound requests as somebody hostile would shape them: private addresses in every spelling, names that lead to them now or later, redirects,
// endless and slow answers. (WS-5)
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import fc from 'fast-check'
import { addressRules, isPublicAddress } from '../../../control-plane/http/outbound-address.ts'
import { judgeUrl, OutboundError, pinAddress, sendOutbound } from '../../../control-plane/http/outbound-client.ts'
import type { OutboundDeps } from '../../../control-plane/http/outbound-client.ts'
import { TestAuthority } from '../../harness/certificates.ts'

const addresses: [address: string, isPublic: boolean, why: string][] = [
  ['93.184.216.34', true, 'a public host'],
  ['2606:2800:220:1:248:1893:25c8:1946', true, 'a public host'],
  ['127.0.0.1', false, 'this machine'],
  ['127.255.255.254', false, 'this machine'],
  ['0.0.0.0', false, 'this machine, on Linux'],
  ['10.0.0.1', false, 'RFC 1918'],
  ['172.16.0.1', false, 'RFC 1918'],
  ['172.31.255.255', false, 'RFC 1918'],
  ['172.32.0.1', true, 'just after it'],
  ['192.168.1.1', false, 'RFC 1918'],
  ['100.64.0.1', false, 'carrier NAT'],
  ['169.254.169.254', false, 'metadata of clouds'],
  ['168.63.129.16', false, 'host services of Azure'],
  ['192.0.2.1', false, 'documentation'],
  ['198.18.0.1', false, 'benchmarks'],
  ['224.0.0.1', false, 'multicast'],
  ['255.255.255.255', false, 'broadcast'],
  ['::1', false, 'this machine'],
  ['::', false, 'this machine'],
  ['::ffff:127.0.0.1', false, 'IPv4 in IPv6'],
  ['::ffff:93.184.216.34', false, 'IPv4 in IPv6, whatever it is'],
  ['::127.0.0.1', false, 'IPv4-compatible'],
  ['64:ff9b::7f00:1', false, 'NAT64'],
  ['64:ff9b:1::a00:1', false, 'NAT64 of a site'],
  ['2002:7f00:1::', false, '6to4 of 127.0.0.1'],
  ['2001:0:0:0:0:0:0:1', false, 'Teredo'],
  ['2001:db8::1', false, 'documentation'],
  ['fd00::1', false, 'unique local'],
  ['fe80::1', false, 'link-local'],
  ['ff02::1', false, 'multicast'],
  ['example.org', false, 'no address'],
  ['127.1', false, 'no address as a resolver gives it'],
]
for (const [address, isPublic, why] of addresses) {
  test(`isPublicAddress(${address}): ${why}`, () => assert.equal(isPublicAddress(address), isPublic))
}

test('addressRules: what the operator lists is allowed, and nothing beside it', () => {
  const rules = addressRules(['10.1.0.0/16', 'fd00::5'])
  assert.deepEqual(
    ['10.1.2.3', '10.2.0.1', 'fd00::5', 'fd00::6', '93.184.216.34'].map((address) => rules.allows(address)),
    [true, false, true, false, true],
  )
  for (const nonsense of ['10.0.0.0/33', 'example.org', '10.0.0.0/8/8', '', '10.0.0.0/', '::/129'])
    assert.throws(() => addressRules([nonsense]), nonsense)
})

const rules = addressRules(['127.0.0.1'])
const urls: [url: string, isTaken: boolean, why: string][] = [
  ['https://example.org/hook?x=1', true, 'https'],
  ['https://93.184.216.34:8443/', true, 'a public address'],
  ['http://127.0.0.1:8080/', true, 'a listed address may be without TLS'],
  ['http://example.org/', false, 'a name may not: it could lead anywhere'],
  ['https://10.0.0.1/', false, 'private'],
  ['https://2130706434/', false, '127.0.0.2 as a number'],
  ['https://0x7f.0.0.2/', false, '127.0.0.2 in hex'],
  ['https://0177.0.0.2/', false, '127.0.0.2 in octal'],
  ['https://127.2/', false, 'a short form'],
  ['https://[::1]/', false, 'IPv6'],
  ['https://[::ffff:10.0.0.1]/', false, 'IPv4 in IPv6'],
  ['https://１２７.0.0.2/', false, 'full-width digits'],
  ['https://localhost/', false, 'this machine by name'],
  ['https://a.localhost./', false, 'the same'],
  ['https://user:password@example.org/', false, 'credentials'],
  ['https://example.org/#x', false, 'a fragment'],
  ['ftp://example.org/', false, 'another scheme'],
  ['file:///etc/passwd', false, 'another scheme'],
  ['gopher://127.0.0.1/', false, 'another scheme'],
  ['javascript:alert(1)', false, 'another scheme'],
  ['example.org', false, 'no URL'],
  ['', false, 'no URL'],
  [`https://example.org/${'a'.repeat(2_000)}`, false, 'too long'],
]
for (const [url, isTaken, why] of urls) {
  test(`judgeUrl(${JSON.stringify(url.slice(0, 60))}): ${why}`, () =>
    assert.equal(judgeUrl(url, rules) === undefined, isTaken))
}

test('judgeUrl never throws', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.webUrl()), (text) => void judgeUrl(text, rules)))
})

test('a name of which one address is private is refused whole; one without addresses is no name', async () => {
  const resolve = (found: string[]) => ({ rules, resolve: () => Promise.resolve(found) })
  assert.equal(await pinAddress('a.example', resolve(['93.184.216.34', '2606:2800:220::1'])), '93.184.216.34')
  const refused: [found: string[], fault: string][] = [
    [['93.184.216.34', '10.0.0.1'], 'address'],
    [['169.254.169.254'], 'address'],
    [['::ffff:169.254.169.254'], 'address'],
    [[], 'dns'],
  ]
  for (const [found, fault] of refused)
    await assert.rejects(
      pinAddress('a.example', resolve(found)),
      (error) => error instanceof OutboundError && error.fault === fault,
    )
  const away = { rules, resolve: () => Promise.reject(new Error('ENOTFOUND')) }
  await assert.rejects(
    pinAddress('a.example', away),
    (error) => error instanceof OutboundError && error.fault === 'dns',
  )
})

interface Peer {
  readonly port: number
  readonly requests: string[]
}

const authority = new TestAuthority()
after(() => authority[Symbol.dispose]())
const ca = readFileSync(authority.certificate, 'utf8')
const issued = authority.issue({ names: ['DNS:hook.example'], usage: ['serverAuth'] })
const tls = { key: readFileSync(issued.key), cert: readFileSync(issued.certificate) }

async function peer(t: TestContext, listener: RequestListener): Promise<Peer> {
  const requests: string[] = []
  const https = createTlsServer(tls, (request, response) => {
    requests.push(`${request.method} ${request.headers.host} ${request.url}`)
    listener(request, response)
  })
  https.listen(0, '127.0.0.1')
  await once(https, 'listening')
  t.after(() => {
    https.closeAllConnections()
    https.close()
  })
  return { port: (https.address() as AddressInfo).port, requests }
}

const send = (port: number, deps: OutboundDeps, more: { timeoutMs?: number; host?: string } = {}) =>
  sendOutbound(
    {
      method: 'POST',
      url: new URL(`https://${more.host ?? 'hook.example'}:${port}/in?x=1`),
      headers: { 'Content-Type': 'text/plain' },
      body: Buffer.from('hello'),
      timeoutMs: more.timeoutMs ?? 5_000,
      maxAnswerBytes: 1_000,
    },
    deps,
  )
const faultOf = (fault: string) => (error: unknown) => error instanceof OutboundError && error.fault === fault

test('a request goes to the address that was checked, under its name: one that changes in between changes nothing', async (t) => {
  const { port, requests } = await peer(t, (request, response) => {
    request.resume()
    request.on('end', () => response.end('taken'))
  })
  let asked = 0
  const resolve = () => Promise.resolve(asked++ === 0 ? ['127.0.0.1'] : ['127.0.0.66'])
  const answer = await send(port, { rules, ca, resolve })
  assert.deepEqual([answer.status, answer.body.toString(), asked], [200, 'taken', 1])
  assert.deepEqual(requests, [`POST hook.example:${port} /in?x=1`])
  await assert.rejects(send(port, { rules, ca, resolve }), faultOf('address'), 'the next request is checked anew')
  assert.equal(requests.length, 1)
})

test('a redirect is an answer like any other: nobody goes there', async (t) => {
  let visits = 0
  const inner = createServer((_request, response) => response.end(String(visits++)))
  inner.listen(0, '127.0.0.1')
  await once(inner, 'listening')
  t.after(() => inner.close())
  const to = `http://127.0.0.1:${(inner.address() as AddressInfo).port}/`
  for (const status of [301, 302, 303, 307, 308]) {
    const { port } = await peer(t, (_request, response) => void response.writeHead(status, { Location: to }).end())
    const answer = await send(port, { rules, ca, resolve: () => Promise.resolve(['127.0.0.1']) })
    assert.equal(answer.status, status)
  }
  assert.equal(visits, 0)
})

test('hostile answers end soon: endless, slow, too large in head or body, cut off', async (t) => {
  const local = () => Promise.resolve(['127.0.0.1'])
  const peers: [listener: RequestListener, fault: string, why: string][] = [
    [(_request, response) => void response.write('x'.repeat(2_000)), 'too-large', 'an endless body'],
    [() => {}, 'timeout', 'no answer'],
    [(_request, response) => void response.write('x'), 'timeout', 'an answer that never ends'],
    [
      (_request, response) => void response.writeHead(200, { 'X-Long': 'x'.repeat(20_000) }).end(),
      'protocol',
      'a long head',
    ],
    [(request) => void request.socket.destroy(), 'connect', 'a cut connection'],
    [(request) => void request.socket.end('not http at all\r\n\r\n'), 'protocol', 'no HTTP'],
  ]
  for (const [listener, fault, why] of peers) {
    const { port } = await peer(t, listener)
    const started = performance.now()
    await assert.rejects(send(port, { rules, ca, resolve: local }, { timeoutMs: 500 }), faultOf(fault), why)
    assert.ok(performance.now() - started < 3_000, why)
  }
})

test('the certificate must be of the name; a resolver that hangs is not waited for; a closed port is told as such', async (t) => {
  const { port, requests } = await peer(t, (_request, response) => void response.end())
  const local = () => Promise.resolve(['127.0.0.1'])
  await assert.rejects(send(port, { rules, ca, resolve: local }, { host: 'other.example' }), faultOf('tls'))
  await assert.rejects(send(port, { rules, resolve: local }), faultOf('tls'), 'an unknown authority')
  assert.deepEqual(requests, [])
  await assert.rejects(
    send(port, { rules, ca, resolve: () => new Promise(() => {}) }, { timeoutMs: 100 }),
    faultOf('timeout'),
  )
  await assert.rejects(send(1, { rules, ca, resolve: local }), faultOf('connect'))
})
