import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createLog } from '../../common/log.ts'
import { Counter, emptyMetrics } from '../../common/metrics.ts'
import { startAdminServer } from '../../common/admin-server.ts'
import type { Readiness } from '../../common/admin-server.ts'

async function serve(context: TestContext, readiness: () => Readiness = () => ({ isReady: true, reasons: [] })) {
  const metrics = emptyMetrics()
  new Counter({ name: 'causeway_test_total', help: 'Test.', registers: [metrics] }).inc()
  const log = createLog({ write: () => {}, level: 'error', now: () => 0 })
  const server = await startAdminServer({ address: '127.0.0.1', port: 0 }, { metrics, readiness, log })
  context.after(() => server.close())
  return {
    server,
    port: server.port,
    get: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init),
  }
}

test('OP-1 /metrics is what Prometheus reads', async (context) => {
  const { get } = await serve(context)
  const reply = await get('/metrics')
  assert.equal(reply.status, 200)
  assert.match(reply.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  assert.match(await reply.text(), /^causeway_test_total 1$/m)
})

test('OP-1 /readyz follows the relay and says why not; /healthz stays true', async (context) => {
  let readiness: Readiness = { isReady: false, reasons: ['no mapping table'] }
  const { get } = await serve(context, () => readiness)
  const not = await get('/readyz')
  assert.deepEqual([not.status, await not.json()], [503, { ready: false, reasons: ['no mapping table'] }])
  assert.equal((await get('/healthz')).status, 200)
  readiness = { isReady: true, reasons: [] }
  const now = await get('/readyz')
  assert.deepEqual([now.status, await now.json()], [200, { ready: true, reasons: [] }])
})

const requests: [path: string, method: string, status: number, why: string][] = [
  ['/', 'GET', 404, 'nothing else is here'],
  ['/metrics/../healthz', 'GET', 200, 'the client resolves the path'],
  ['/healthz?x=1', 'GET', 200, 'a query is no matter'],
  ['/healthz', 'HEAD', 200, 'some probes send HEAD'],
  ['/healthz', 'POST', 405, 'nothing can be changed here'],
  ['/metrics', 'DELETE', 405, 'nothing can be changed here'],
]
for (const [path, method, status, why] of requests) {
  test(`${method} ${path} is answered ${status}: ${why}`, async (context) => {
    const { get } = await serve(context)
    const reply = await get(path, { method })
    await reply.arrayBuffer()
    assert.equal(reply.status, status)
  })
}

async function raw(port: number, octets: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => {})
  socket.write(octets)
  await once(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}

test('a header over 8 KiB is refused, and the next request is served', async (context) => {
  const { port, get } = await serve(context)
  assert.match(
    await raw(port, `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(9_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  )
  assert.equal((await get('/healthz')).status, 200)
})

test('a request with a body gets its answer and loses its connection: the body is never read', async (context) => {
  const { port } = await serve(context)
  const answered = await raw(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc')
  assert.match(answered, /^HTTP\/1\.1 200 /)
  assert.match(answered, /\r\nConnection: close\r\n/i)
})

test('closing ends connections that are kept open', async (context) => {
  const { server, port } = await serve(context)
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const isClosed = once(socket, 'close')
  await server.close()
  await isClosed
})
