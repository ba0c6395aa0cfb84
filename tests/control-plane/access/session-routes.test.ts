// What a page does with its session: reads it, changes things with it, ends it; and what pages of other sites can't. (WS-2, AZ-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ALICE, SIGNED_OUT_URI } from '../../harness/entra-seed.ts'
import { ALICE_PRINCIPAL, aScene, PUBLIC_URL } from './session-scene.ts'

const MINUTE = 60_000

test('a page reads its session: until when, how fresh, and the token that changes need', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  const begun = scene.clock.now
  scene.clock.now += MINUTE
  const { status, body } = await browser.call('GET', '/session')
  const iso = (ms: number) => new Date(ms).toISOString()
  assert.equal(status, 200)
  assert.deepEqual(body, {
    displayName: ALICE.name,
    isBreakGlass: false,
    authenticatedAt: iso(begun),
    idleUntil: iso(begun + 21 * MINUTE),
    expiresAt: iso(begun + 12 * 60 * MINUTE),
    csrfToken: await browser.csrfToken(),
  })
  assert.notEqual(body.csrfToken, browser.sessionId)
})

test('without a session there is none to read or end; an API key has none', async (t) => {
  const { api } = await aScene(t)
  const { key } = await api.organisation()
  for (const method of ['GET', 'DELETE']) {
    assert.equal((await api.request(method, '/session')).status, 401)
    assert.equal((await api.request(method, '/session', undefined, { key })).status, 404)
  }
})

// WS-2. What each kind of request carries, and whether it gets through.
const OWN = 'own'
const matrix: [
  why: string,
  site: string | undefined,
  origin: string | undefined,
  token: 'right' | 'wrong' | 'none',
  isTaken: boolean,
][] = [
  ['our page', 'same-origin', OWN, 'right', true],
  ['our page, in a browser that sends no Sec-Fetch-Site', undefined, OWN, 'right', true],
  ['our page, in a browser that sends no Origin', 'same-origin', undefined, 'right', true],
  ['our page without the token', 'same-origin', OWN, 'none', false],
  ['our page with the token of another session', 'same-origin', OWN, 'wrong', false],
  ['neither Origin nor Sec-Fetch-Site', undefined, undefined, 'right', false],
  ['a page of another site that knows the token', 'cross-site', 'https://evil.example', 'right', false],
  ['a page of a sibling domain', 'same-site', 'https://other.causeway.example', 'right', false],
  ['an address typed in', 'none', undefined, 'right', false],
  ['another origin that lies about its site', 'same-origin', 'https://evil.example', 'right', false],
  ['the same host at another port', 'same-origin', 'http://127.0.0.1:1', 'right', false],
  ['the same host in cleartext', undefined, PUBLIC_URL.origin.replace('https:', 'http:'), 'right', false],
  ['a page without an origin (a frame in a sandbox)', undefined, 'null', 'right', false],
]
test('WS-2: a change by a session is taken from our own pages with their token, and from nothing else', async (t) => {
  const scene = await aScene(t)
  const other = await (await scene.signedIn()).csrfToken()
  for (const [why, site, origin, token, isTaken] of matrix) {
    const its = await scene.signedIn()
    const headers = {
      'Sec-Fetch-Site': site,
      Origin: origin === OWN ? PUBLIC_URL.origin : origin,
      ...(token === 'right' ? {} : { 'X-CSRF-Token': token === 'none' ? undefined : other }),
    }
    const { status, body } = await its.call('DELETE', '/session', undefined, headers)
    assert.deepEqual([status, body.type], isTaken ? [200, undefined] : [403, '/problems/cross-site'], why)
    assert.equal((await its.call('GET', '/me')).status, isTaken ? 401 : 200, why)
  }
})

test('WS-2: the token is not given to whoever says that he is another site’s page; an API key needs none', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  for (const headers of [
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
    { Origin: 'https://evil.example' },
  ])
    assert.equal((await browser.call('GET', '/session', undefined, headers)).status, 403, JSON.stringify(headers))
  const read = await browser.call('GET', '/session')
  assert.equal(read.headers.get('access-control-allow-origin'), null)
  assert.equal(read.headers.get('cross-origin-resource-policy'), 'same-origin')
  const { id, key } = await scene.api.organisation()
  const made = await scene.api.request(
    'POST',
    `/organizations/${id}/api-keys`,
    { name: 'k', permissions: ['audit.read'] },
    { key },
  )
  assert.equal(made.status, 201)
})

test('a cookie and a bearer token at once are nobody', async (t) => {
  const scene = await aScene(t)
  const { key } = await scene.api.organisation()
  const browser = await scene.signedIn()
  assert.equal((await browser.call('GET', '/me', undefined, { Authorization: `Bearer ${key}` })).status, 401)
})

test('AZ-3: signing out ends the session at once, takes the cookie away, and says where Entra’s ends', async (t) => {
  const scene = await aScene(t)
  const [browser, other] = [await scene.signedIn(), await scene.signedIn()]
  const id = browser.sessionId ?? ''
  const { status, body } = await browser.call('DELETE', '/session')
  assert.equal(status, 200)
  assert.equal(body.ended, 1)
  assert.equal(new URL(body.providerSignOut).searchParams.get('post_logout_redirect_uri'), SIGNED_OUT_URI)
  assert.equal(browser.sessionId, undefined)
  assert.equal(browser.setCookies.at(-1), '__Host-causeway=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0')
  const thief = scene.browser()
  thief.cookies.set(new URL(scene.api.url).origin, new Map([['__Host-causeway', id]]))
  assert.equal((await thief.call('GET', '/me')).status, 401)
  assert.equal((await other.call('GET', '/me')).status, 200)
  const told = (await scene.audit()).filter(({ action }) => action === 'session.ended')
  assert.deepEqual(
    told.map(({ actor, object }) => [actor, object]),
    [[`person:${ALICE_PRINCIPAL}`, ALICE_PRINCIPAL]],
  )
})

test('AZ-3: signing out everywhere ends the sessions in all browsers', async (t) => {
  const scene = await aScene(t)
  const browsers = [await scene.signedIn(), await scene.signedIn(), await scene.signedIn()]
  const { body } = await (browsers[0] ?? scene.browser()).call('DELETE', '/session?everywhere=true')
  assert.equal(body.ended, 3)
  for (const browser of browsers) assert.equal((await browser.call('GET', '/me')).status, 401)
})

const cookies: [cookie: string, why: string][] = [
  ['__Host-causeway=', 'empty'],
  ['__Host-causeway=x', 'too short'],
  [`__Host-causeway=${'a'.repeat(43)}`, 'of the right form, and nobody’s'],
  [`__Host-causeway=${'a'.repeat(4_000)}`, 'far too long'],
  ["__Host-causeway=' or 1=1 --", 'hostile'],
  ['__Host-causeway=%00; other=1', 'with a NUL'],
]
test('a cookie that is none of ours is 401, whatever it holds', async (t) => {
  const { api } = await aScene(t)
  for (const [Cookie, why] of cookies) {
    const { status, body } = await api.request('GET', '/me', undefined, { headers: { Cookie } })
    assert.deepEqual([status, body.type], [401, '/problems/not-signed-in'], why)
  }
})
