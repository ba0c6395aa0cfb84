// WS-7: HTTP that two readers could read in two ways is refused by the first of them; clients that are slow on purpose end.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { z } from 'zod'
import { hardenServer } from '../../../control-plane/http/app.ts'
import { route } from '../../../control-plane/http/route.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'
import { sendRaw } from './raw-http.ts'

/** @param seen  paths of requests that reached a route */
function api(t: TestContext, seen: string[]): Promise<TestApi> {
  const echo = (method: 'get' | 'post', path: string) =>
    route({
      method,
      path,
      id: `${method}${path.replaceAll('/', '')}`,
      summary: 'Echo',
      tag: 'things',
      access: 'public',
      ...(method === 'post' ? { body: z.looseObject({}), changesNothing: true } : {}),
      responses: { 204: { description: 'Seen' } },
      handler: ({ url }) => {
        seen.push(url)
        return Promise.resolve({ status: 204 })
      },
    })
  return testApi(t, () => [echo('get', '/echo'), echo('post', '/echo'), echo('get', '/hidden')])
}

const POST = 'POST /api/v1/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n'
const GET = 'GET /api/v1/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n'
const HIDDEN = 'GET /api/v1/hidden HTTP/1.1\r\nHost: a\r\n\r\n'
const BODY = '2\r\n{}\r\n0\r\n\r\n'

const refused: [octets: string, why: string][] = [
  [`${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${HIDDEN}`, 'length and chunks (CL.TE)'],
  [
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: ${HIDDEN.length + 5}\r\n\r\n0\r\n\r\n${HIDDEN}`,
    'chunks and length (TE.CL)',
  ],
  [`${POST}Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}${HIDDEN}`, 'two lengths'],
  [`${POST}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`, 'the same length twice'],
  [`${POST}Content-Length: 2, 2\r\n\r\n{}`, 'a list of lengths'],
  [`${POST}Content-Length: +2\r\n\r\n{}`, 'a signed length'],
  [`${POST}Content-Length: 0x2\r\n\r\n{}`, 'a hexadecimal length'],
  [`${POST}Content-Length: -2\r\n\r\n{}`, 'a negative length'],
  [`${POST}Transfer-Encoding: xchunked\r\n\r\n${BODY}${HIDDEN}`, 'an unknown coding'],
  [`${POST}Transfer-Encoding: chunked, identity\r\n\r\n${BODY}${HIDDEN}`, 'chunked is not the last coding'],
  [
    `${POST}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked, gzip\r\n\r\n${BODY}${HIDDEN}`,
    'codings in two fields',
  ],
  [`${POST}Transfer-Encoding : chunked\r\n\r\n${BODY}`, 'a space before the colon'],
  [`${POST}Transfer-Encoding:\r\n chunked\r\n\r\n${BODY}${HIDDEN}`, 'a folded line (obs-fold)'],
  [`${GET}X-Note: a\r\n b\r\n\r\n`, 'a folded line in any field'],
  [`${GET.replaceAll('\r\n', '\n')}\n`, 'bare LF throughout'],
  [`${GET}X-Note: a\nX-Other: b\r\n\r\n`, 'a bare LF between fields'],
  [`${GET}X-Note: a\rX-Other: b\r\n\r\n`, 'a bare CR in a field'],
  [`${GET}X-Note: a\0b\r\n\r\n`, 'a NUL in a field'],
  [`${GET} Content-Length: 60\r\n\r\n`, 'a field that begins with a space'],
  [`${GET}Content-Length\r\n\r\n`, 'a field without a colon'],
  ['GET /api/v1/echo HTTP/1.1\r\nConnection: close\r\n\r\n', 'no Host'],
  [`${GET}Host: b\r\n\r\n`, 'two Hosts'],
  [`${POST}Transfer-Encoding: chunked\r\n\r\n2;\n{}\r\n0\r\n\r\n`, 'a bare LF in a chunk extension'],
  [`${POST}Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n`, 'bare LF between chunks'],
  [`${POST}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n`, 'a chunk size with a prefix'],
  [`${POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n`, 'a chunk size that overflows'],
  [`${POST}Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n`, 'a chunk that is longer than it says'],
  ['GET /api/v1/echo\r\n\r\n', 'HTTP/0.9'],
  [GET.replace('HTTP/1.1', 'HTTP/2.0') + '\r\n', 'a version that this is not'],
  [`${POST.replace('HTTP/1.1', 'HTTP/1.0')}Transfer-Encoding: chunked\r\n\r\n${BODY}`, 'chunks in HTTP/1.0'],
  ['CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n', 'a tunnel'],
]
for (const [octets, why] of refused) {
  test(`WS-7: refused, and nothing behind it is read as a request: ${why}`, async (t) => {
    const seen: string[] = []
    const it = await api(t, seen)
    const { status, answers } = await sendRaw(it.url, octets)
    assert.ok(status === 400 || status === 0, String(status))
    assert.ok(answers <= 1)
    assert.deepEqual(seen, [])
  })
}

test('WS-7: what is as it should be passes: chunks, lengths, HTTP/1.0 without a body, an absolute target', async (t) => {
  const seen: string[] = []
  const it = await api(t, seen)
  const passes = [
    `${POST}Transfer-Encoding: chunked\r\n\r\n${BODY}`,
    `${POST}Transfer-Encoding:\tchunked\r\n\r\n${BODY}`,
    `${POST}Content-Length: 2\r\n\r\n{}`,
    `${GET}\r\n`,
    'GET /api/v1/echo HTTP/1.0\r\n\r\n',
    `${GET.replace('GET ', 'GET http://a')}\r\n`,
  ]
  for (const octets of passes) assert.equal((await sendRaw(it.url, octets)).status, 204, octets)
  assert.equal(seen.length, passes.length)
})

test('WS-7: header fields are bounded in number and length, and none is dropped without a word', async (t) => {
  const seen: string[] = []
  const it = await api(t, seen)
  const fields = (count: number) => 'X-Note: a\r\n'.repeat(count)
  assert.equal((await sendRaw(it.url, `${GET}${fields(98)}\r\n`)).status, 204, '100 with Host and Connection')
  assert.equal((await sendRaw(it.url, `${GET}${fields(99)}\r\n`)).status, 400)
  assert.equal((await sendRaw(it.url, `${GET}X-Note: ${'a'.repeat(15_000)}\r\n\r\n`)).status, 204)
  assert.equal((await sendRaw(it.url, `${GET}X-Note: ${'a'.repeat(17_000)}\r\n\r\n`)).status, 431)
  assert.equal((await sendRaw(it.url, `GET /${'a'.repeat(17_000)} HTTP/1.1\r\nHost: a\r\n\r\n`)).status, 431)
})

test('WS-7: the figures are those of the specification', (t) => {
  const server = createServer()
  t.after(() => server.close())
  hardenServer(server)
  const { headersTimeout, keepAliveTimeout, requestTimeout } = server
  assert.deepEqual(
    { headersTimeout, keepAliveTimeout, requestTimeout },
    { headersTimeout: 30_000, keepAliveTimeout: 30_000, requestTimeout: 0 },
  )
})

test('WS-7: headers that drip end with 408, although bodies have a limit of their own', async (t) => {
  const server = createServer({ connectionsCheckingInterval: 50 }, (_request, response) => response.end())
  hardenServer(server)
  server.headersTimeout = 300 // in place of 30 s
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { status } = await sendRaw(
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    'GET / HTTP/1.1\r\n',
    (socket) => {
      const drip = setInterval(() => socket.write('X-Note: a\r\n'), 20)
      socket.on('close', () => clearInterval(drip))
    },
  )
  assert.equal(status, 408)
})

test('WS-7: X-Forwarded-For of somebody who is no trusted proxy is not believed', async (t) => {
  const addresses: string[] = []
  const routes = [
    route({
      method: 'get',
      path: '/whoami',
      id: 'whoAmI',
      summary: 'Who am I',
      tag: 'things',
      access: 'public',
      responses: { 204: { description: 'Seen' } },
      handler: ({ sourceAddress }) => {
        addresses.push(sourceAddress)
        return Promise.resolve({ status: 204 })
      },
    }),
  ]
  const headers = { 'X-Forwarded-For': '203.0.113.9, 198.51.100.7' }
  for (const trustedProxies of [[], ['127.0.0.1'], ['192.0.2.1'], ['127.0.0.1', '198.51.100.0/24']]) {
    const it = await testApi(t, () => routes, { app: { trustedProxies } })
    await it.request('GET', '/whoami', undefined, { headers })
  }
  assert.deepEqual(addresses, ['127.0.0.1', '198.51.100.7', '127.0.0.1', '203.0.113.9'])
})
