// WS-2: what a browser says about where a request comes from, and what a session's change needs.
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { sql } from 'kysely'
import { z } from 'zod'
import type { SessionCaller } from '../../../control-plane/access/caller.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { refuseOtherSites } from '../../../control-plane/http/cross-site.ts'
import { Problem } from '../../../control-plane/http/problem.ts'
import { route } from '../../../control-plane/http/route.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'

const COOKIE = '__Host-causeway=session'
const CSRF = 'the-token'
const OWN = 'own' // stands for the API's own origin

type Sent = Readonly<Record<string, string>>
const matrix: [headers: Sent, isTaken: boolean, why: string][] = [
  [{ Origin: OWN, 'Sec-Fetch-Site': 'same-origin', 'X-CSRF-Token': CSRF }, true, 'our own page'],
  [{ Origin: OWN, 'X-CSRF-Token': CSRF }, true, 'an older browser: Origin only'],
  [{ 'Sec-Fetch-Site': 'same-origin', 'X-CSRF-Token': CSRF }, true, 'Sec-Fetch-Site only'],
  [{ 'X-CSRF-Token': CSRF }, false, 'neither: no browser does that'],
  [{ Origin: OWN, 'Sec-Fetch-Site': 'same-origin' }, false, 'without the token'],
  [{ Origin: OWN, 'Sec-Fetch-Site': 'same-origin', 'X-CSRF-Token': 'guess' }, false, 'with another token'],
  [{ Origin: OWN, 'Sec-Fetch-Site': 'same-origin', 'X-CSRF-Token': '' }, false, 'with an empty token'],
  [{ Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site', 'X-CSRF-Token': CSRF }, false, 'another site'],
  [{ Origin: 'https://evil.example', 'X-CSRF-Token': CSRF }, false, 'another site, older browser'],
  [{ Origin: OWN, 'Sec-Fetch-Site': 'cross-site', 'X-CSRF-Token': CSRF }, false, 'the two do not agree'],
  [{ Origin: 'https://evil.example', 'Sec-Fetch-Site': 'same-origin', 'X-CSRF-Token': CSRF }, false, 'nor this way'],
  [{ Origin: OWN, 'Sec-Fetch-Site': 'same-site', 'X-CSRF-Token': CSRF }, false, 'another host of the same site'],
  [{ Origin: OWN, 'Sec-Fetch-Site': 'none', 'X-CSRF-Token': CSRF }, false, 'typed by hand: nobody types a change'],
  [{ Origin: 'null', 'X-CSRF-Token': CSRF }, false, 'a sandboxed page'],
  [{ Origin: 'not a url', 'X-CSRF-Token': CSRF }, false, 'nonsense'],
  [{ Origin: `${OWN}.evil.example`, 'X-CSRF-Token': CSRF }, false, 'a host that begins alike'],
  [{ Origin: 'http://127.0.0.1:1', 'X-CSRF-Token': CSRF }, false, 'another port'],
  [{ Origin: 'https:own', 'X-CSRF-Token': CSRF }, false, 'our host by another scheme'],
]

function api(t: { after: (close: () => Promise<void>) => void }): Promise<TestApi> {
  const session: SessionCaller = {
    kind: 'session',
    retrySecret: '00'.repeat(32),
    principal: '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222',
    displayName: 'Ada',
    sessionHash: '00'.repeat(32),
    csrfHash: hash('sha256', CSRF, 'hex'),
    authenticatedAt: 0,
    isBreakGlass: true,
  }
  const change = (method: 'post' | 'put' | 'patch' | 'delete') =>
    route({
      method,
      path: '/installation/things',
      id: `${method}Thing`,
      summary: 'Change a thing',
      tag: 'things',
      access: 'installation.manage',
      responses: { 204: { description: 'Done' } },
      handler: (context) => context.change('thing.changed', () => Promise.resolve({ answer: { status: 204 } })),
    })
  const read = route({
    method: 'get',
    path: '/installation/things',
    id: 'readThing',
    summary: 'Read a thing',
    tag: 'things',
    access: 'installation.manage',
    responses: { 200: { description: 'It', schema: z.strictObject({}) } },
    handler: () => Promise.resolve({ status: 200, body: {} }),
  })
  return testApi(t, () => [change('post'), change('put'), change('patch'), change('delete'), read], {
    findSession: (id) => Promise.resolve(id === 'session' ? session : undefined),
  })
}

test('WS-2: a session changes something only from our own page that knows its token, with every method', async (t) => {
  const it = await api(t)
  let changes = 0
  for (const [sent, isTaken, why] of matrix) {
    const headers = Object.fromEntries(
      Object.entries(sent).map(([name, value]) => [
        name,
        value.replace('https:own', it.url.replace('http:', 'https:')).replace(OWN, it.url),
      ]),
    )
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const { status, body } = await it.request(method, '/installation/things', undefined, {
        headers: { ...headers, Cookie: COOKIE },
      })
      assert.equal(status, isTaken ? 204 : 403, `${method}: ${why}`)
      if (isTaken) changes++
      else assert.equal(body.type, '/problems/cross-site', why)
    }
  }
  const [row] = await withScope(it.database.db, { organisation: 'installation' as never }, (tx) =>
    rowsOf<{ events: number }>(tx, sql`select count(*) as events from audit_event`),
  )
  assert.equal(row?.events, changes, 'what was refused changed nothing')
})

test('WS-2: reading needs no token; a cookie and a key together are nobody', async (t) => {
  const it = await api(t)
  const read = (headers: Sent, key?: string) =>
    it.request('GET', '/installation/things', undefined, { headers, ...(key === undefined ? {} : { key }) })
  assert.equal((await read({ Cookie: COOKIE })).status, 200)
  assert.equal(
    (await read({ Cookie: COOKIE, Origin: 'https://evil.example' })).status,
    200,
    'CORS keeps the answer from the page',
  )
  const { headers } = await read({ Cookie: COOKIE, Origin: 'https://evil.example' })
  assert.equal(headers.get('access-control-allow-origin'), null)
  const { key } = await it.organisation()
  assert.equal((await read({ Cookie: COOKIE }, key)).status, 401)
})

// What reaches us behind a proxy that ends TLS: the Host it was asked for, or one of its own making.
const places: [publicUrl: string, host: string, origin: string, isTaken: boolean, why: string][] = [
  ['https://causeway.example', 'causeway.example', 'https://causeway.example', true, 'TLS ends at a proxy'],
  ['https://causeway.example', 'api:8080', 'https://causeway.example', true, 'the proxy asks by its own name for us'],
  [
    'https://causeway.example',
    'causeway.example',
    'http://causeway.example',
    false,
    'a page that anybody on the way wrote',
  ],
  ['https://causeway.example', 'api:8080', 'http://api:8080', false, 'the same by the inner name'],
  ['https://causeway.example', 'causeway.example', 'https://causeway.example:8443', false, 'another port'],
  ['https://causeway.example', 'causeway.example:443', 'https://causeway.example', true, 'the usual port, spelled out'],
  ['https://causeway.example', 'other.example', 'https://other.example', true, 'another name of ours'],
  ['https://causeway.example', 'other.example', 'https://third.example', false, 'no name of ours'],
  ['https://causeway.example', 'causeway.example', 'null', false, 'a sandboxed page'],
  ['https://causeway.example', '', 'https://', false, 'nothing is not equal to nothing'],
  ['https://causeway.example', 'a b', 'https://a b', false, 'nor nonsense to nonsense'],
  ['http://localhost:8080', 'localhost:8080', 'http://localhost:8080', true, 'an evaluation'],
  ['http://localhost:8080', '127.0.0.1:8080', 'http://127.0.0.1:8080', true, 'an evaluation, by its address'],
  ['http://localhost:8080', '[::1]:8080', 'http://[::1]:8080', true, 'by another one'],
  ['http://localhost:8080', 'localhost:8080', 'https://localhost:8080', false, 'which is not served there'],
]
for (const [publicUrl, host, origin, isTaken, why] of places) {
  test(`WS-2: at ${publicUrl}, asked for as ${host}, a page of ${origin} is ${isTaken ? 'ours' : 'refused'}: ${why}`, () => {
    const judge = () => refuseOtherSites({ host, origin }, new URL(publicUrl))
    if (isTaken) judge()
    else assert.throws(judge, (error) => error instanceof Problem && error.status === 403)
  })
}
