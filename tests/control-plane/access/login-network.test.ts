// The login client against servers that aren't Entra. (WS-5)
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { forBrowser, loginEndpoint, tenantEndpoints } from '../../../control-plane/access/login-endpoint.ts'
import { LoginNetwork, LoginUnavailable } from '../../../control-plane/access/login-network.ts'
import { CLOUDS } from '../../../control-plane/microsoft/clouds.ts'

const ORIGIN = 'https://login.sandbox.test'

async function listening(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function clientOf(t: TestContext, listener: RequestListener): Promise<LoginNetwork> {
  const reachAt = await listening(t, listener)
  return new LoginNetwork({ origin: ORIGIN, reachAt }, { timeoutMs: 5_000, maxBodyBytes: 1_000 })
}

test('WS-5: the login client goes to its origin and nowhere else, not even to where it is mapped', async (t) => {
  let requests = 0
  const reachAt = await listening(t, (_, response) => {
    requests++
    response.end('{}')
  })
  const client = new LoginNetwork({ origin: ORIGIN, reachAt })
  const elsewhere = [
    'https://attacker.example/',
    'https://login.sandbox.test.attacker.example/',
    'https://login.sandbox.test:8443/',
    'https://login.sandbox.test@attacker.example/',
    'http://login.sandbox.test/',
    `${reachAt}/`,
    'file:///etc/passwd',
  ]
  for (const url of elsewhere) {
    await assert.rejects(client.sendGetRequestAsync(url), /refuses other origins/, url)
    await assert.rejects(client.sendPostRequestAsync(url), /refuses other origins/, url)
  }
  assert.equal(requests, 0)
  assert.equal((await client.sendGetRequestAsync(`${ORIGIN}/x`)).status, 200)
  assert.equal(requests, 1)
})

test('WS-5: a redirect is not followed, and carries nothing on', async (t) => {
  let stolen = 0
  const thief = await listening(t, (_, response) => {
    stolen++
    response.end('{}')
  })
  for (const status of [301, 302, 303, 307, 308]) {
    const client = await clientOf(t, (_, response) => response.writeHead(status, { location: thief }).end())
    await assert.rejects(client.sendPostRequestAsync(`${ORIGIN}/token`, { body: 'secret' }), LoginUnavailable)
  }
  assert.equal(stolen, 0)
})

test('WS-5: the size cap counts what a body unpacks to', async (t) => {
  const body = (bytes: number) => `{"a":"${'x'.repeat(bytes - 8)}"}`
  for (const [bytes, isTaken] of [
    [1_000, true],
    [1_001, false],
    [1_000_000, false],
  ] as const) {
    for (const packed of [false, true]) {
      const client = await clientOf(t, (_, response) => {
        if (packed) response.setHeader('content-encoding', 'gzip')
        response.end(packed ? gzipSync(body(bytes)) : body(bytes))
      })
      const asked = client.sendGetRequestAsync(`${ORIGIN}/x`)
      if (isTaken) assert.equal((await asked).status, 200)
      else await assert.rejects(asked, LoginUnavailable)
    }
  }
})

test('a refusal of Entra’s is an answer, not an outage', async (t) => {
  const client = await clientOf(t, (request, response) => {
    response.writeHead(400, { 'content-type': 'application/json', 'x-ms-request-id': 'r' })
    response.end(JSON.stringify({ error: 'invalid_grant', method: request.method, url: request.url }))
  })
  const { status, body, headers } = await client.sendPostRequestAsync<Record<string, unknown>>(`${ORIGIN}/t/token?q=1`)
  assert.equal(status, 400)
  assert.deepEqual(body, { error: 'invalid_grant', method: 'POST', url: '/t/token?q=1' })
  assert.equal(headers['x-ms-request-id'], 'r')
})

const retryAfters: [header: string, ms: number | undefined][] = [
  ['0', 0],
  ['30', 30_000],
  ['86400', 3_600_000],
  ['-1', undefined],
  ['1.5', undefined],
  ['Sun, 22 Nov 2026 10:00:00 GMT', undefined],
]
for (const [header, ms] of retryAfters) {
  test(`Retry-After: ${header} is ${ms === undefined ? 'not understood' : `${ms} ms`}`, async (t) => {
    const client = await clientOf(t, (_, response) => response.writeHead(503, { 'retry-after': header }).end())
    await assert.rejects(client.sendGetRequestAsync(`${ORIGIN}/x`), (error) => {
      assert.ok(error instanceof LoginUnavailable)
      assert.equal(error.retryAfterMs, ms)
      return true
    })
  })
}

// ── Where it goes ─────────────────────────────────────────────────────────────────────────────────────────────────

test('each cloud has its own login host, reached directly', () => {
  const hosts = CLOUDS.map((cloud) => new URL(loginEndpoint(cloud, 'production', undefined).reachAt).host)
  assert.deepEqual(hosts, [
    'login.microsoftonline.com',
    'login.microsoftonline.us',
    'login.microsoftonline.us',
    'login.partner.microsoftonline.cn',
  ])
  for (const cloud of CLOUDS) {
    const endpoint = loginEndpoint(cloud, 'evaluation', undefined)
    assert.equal(endpoint.origin, endpoint.reachAt)
    assert.ok(tenantEndpoints(endpoint, 'organizations').token.startsWith(`${endpoint.origin}/organizations/`))
  }
})

test('a simulated Entra is refused in production, and where Microsoft’s tokens come from', () => {
  const url = new URL('http://127.0.0.1:8080')
  assert.throws(() => loginEndpoint('global', 'production', url), /evaluation only/)
  for (const microsoft of ['https://login.microsoftonline.com', 'https://login.microsoftonline.us/x']) {
    assert.throws(() => loginEndpoint('global', 'evaluation', new URL(microsoft)), /origin of its own/, microsoft)
  }
  const endpoint = loginEndpoint('global', 'evaluation', url)
  assert.deepEqual(endpoint, { origin: ORIGIN, reachAt: url.origin })
  assert.equal(forBrowser(endpoint, `${ORIGIN}/a?b=c`), `${url.origin}/a?b=c`)
  assert.throws(() => forBrowser(endpoint, 'https://login.sandbox.test.attacker.example/'), /unreachable/)
  const tls = 'https://127.0.0.1:8443'
  assert.deepEqual(loginEndpoint('china', 'evaluation', new URL(tls)), { origin: tls, reachAt: tls })
})
