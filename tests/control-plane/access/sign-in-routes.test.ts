// Signing in at a browser, over real HTTP as far as Entra and back: who gets a session, what the browser keeps, and what every attack ends with.
// (AZ-1, AZ-2, AZ-6, AZ-9, AU-1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { rowsOf } from '../../../control-plane/db/database.ts'
import { ALICE, BOB, CONTOSO, NICK } from '../../harness/entra-seed.ts'
import { ALICE_PRINCIPAL, aScene } from './session-scene.ts'
import type { Scene } from './session-scene.ts'

const MINUTE = 60_000
const CALLBACK = '/api/v1/session/callback'
const SIGN_IN = '/api/v1/session/sign-in'

const failureOf = (path: string) => new URL(path, 'http://x').searchParams.get('failure')
const sessionCount = async ({ api }: Scene) =>
  (await rowsOf(api.database.owner.db as never, sql`select from session`)).length

test('AZ-1, AZ-2: a browser goes to Entra and comes back to the page it wanted, with a session of its own', async (t) => {
  const scene = await aScene(t)
  const browser = scene.browser(ALICE.userPrincipalName)
  const landed = await browser.go(`${SIGN_IN}?returnTo=${encodeURIComponent('/projects?tab=mine')}`)
  assert.equal(landed.path, '/projects?tab=mine')
  const { status, body } = await browser.call('GET', '/me')
  assert.equal(status, 200)
  assert.deepEqual(
    [body.kind, body.tenantId, body.objectId, body.displayName, body.organizations],
    ['person', CONTOSO, ALICE.oid, ALICE.name, []],
  )
})

test('AZ-2: both cookies are __Host-, Secure, HttpOnly and Lax, and the session’s holds 256 bits and nothing of Entra’s', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  assert.equal(browser.setCookies.length, 2)
  const [binding = '', session = ''] = browser.setCookies
  assert.match(
    binding,
    /^__Host-causeway-sign-in=[A-Za-z0-9_-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/,
  )
  assert.match(session, /^__Host-causeway=[A-Za-z0-9_-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax$/)
})

test('AZ-2: whoever reads the database finds no session id, CSRF token, refresh token or sign-in secret there', async (t) => {
  const scene = await aScene(t)
  const tokens = spyOnTokens(scene)
  const browser = await scene.signedIn()
  const underWay = scene.browser()
  await underWay.go(SIGN_IN, '/organizations')
  const secrets = [
    browser.sessionId ?? '',
    await browser.csrfToken(),
    ...[...underWay.cookies.values()].flatMap((jar) => [...jar.values()]),
    ...tokens,
  ]
  assert.equal(tokens.length, 1)
  assert.ok(secrets.length >= 4 && secrets.every((secret) => secret.length >= 43))
  const dump = await dumpOf(scene)
  assert.ok(dump.includes(ALICE_PRINCIPAL), 'the dump is one')
  for (const secret of secrets) {
    assert.ok(!dump.includes(secret), secret)
    assert.ok(!dump.includes(Buffer.from(secret).toString('hex')), `${secret} as octets`)
  }
  assert.ok(!scene.api.lines.some((line) => secrets.some((secret) => line.includes(secret))), 'nor in the log')
})

test('AZ-2: a session begins under a new id, and the one that the browser had before ends', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  const first = browser.sessionId
  await browser.go(SIGN_IN)
  assert.notEqual(browser.sessionId, first)
  assert.equal(await sessionCount(scene), 1)
  const thief = scene.browser()
  plant(thief, scene, '__Host-causeway', first)
  assert.equal((await thief.call('GET', '/me')).status, 401)
})

test('AZ-2: an id that somebody planted in the browser is never taken for a session', async (t) => {
  const scene = await aScene(t)
  const browser = scene.browser(ALICE.userPrincipalName)
  const planted = 'p'.repeat(43)
  plant(browser, scene, '__Host-causeway', planted)
  assert.equal((await browser.go(SIGN_IN)).path, '/')
  assert.notEqual(browser.sessionId, planted)
  const attacker = scene.browser()
  plant(attacker, scene, '__Host-causeway', planted)
  assert.equal((await attacker.call('GET', '/me')).status, 401)
})

test('two sign-ins at once in one browser both arrive', async (t) => {
  const scene = await aScene(t)
  const browser = scene.browser(ALICE.userPrincipalName)
  const first = await browser.go(`${SIGN_IN}?returnTo=/first`, CALLBACK)
  const second = await browser.go(`${SIGN_IN}?returnTo=/second`, CALLBACK)
  assert.equal((await browser.go(second.path)).path, '/second')
  assert.equal((await browser.go(first.path)).path, '/first')
})

test('somebody whose cookie has ended can sign in all the same', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  scene.clock.now += 13 * 60 * MINUTE
  assert.equal((await browser.call('GET', '/me')).status, 401)
  assert.equal((await browser.go(SIGN_IN)).path, '/')
  assert.equal((await browser.call('GET', '/me')).status, 200)
})

// ── Callbacks ──────────────────────────────────────────────────────────────────────────────────────────────────────

test('AZ-1: forged and replayed callbacks give no session, and are told apart from one that is late', async (t) => {
  const scene = await aScene(t)
  const victim = scene.browser(ALICE.userPrincipalName)
  const attacker = scene.browser(BOB.userPrincipalName)
  const begun = async (browser: typeof victim) => (await browser.go(SIGN_IN, CALLBACK)).path
  const altered = (path: string, change: (query: URLSearchParams) => void) => {
    const url = new URL(path, 'http://x')
    change(url.searchParams)
    return url.pathname + url.search
  }
  const attempts: [why: string, path: string, failure: string][] = [
    ['of the attacker’s sign-in (login CSRF)', await begun(attacker), 'not-begun-here'],
    [
      'with another state',
      altered(await begun(victim), (query) => query.set('state', 's'.repeat(43))),
      'not-begun-here',
    ],
    ['without a state', altered(await begun(victim), (query) => query.delete('state')), 'not-begun-here'],
    ['with the state twice', altered(await begun(victim), (query) => query.append('state', 'x')), 'not-begun-here'],
    ['with nothing', CALLBACK, 'not-begun-here'],
    ['with a code of nobody’s', altered(await begun(victim), (query) => query.set('code', 'x')), 'refused'],
    ['with no code', altered(await begun(victim), (query) => query.delete('code')), 'misconfigured'],
  ]
  for (const [why, path, failure] of attempts) {
    const landed = await victim.go(path)
    assert.equal(failureOf(landed.path), failure, why)
    assert.equal(victim.sessionId, undefined, why)
  }
  scene.monotonic.now += MINUTE
  const late = await begun(victim)
  scene.clock.now += 10 * MINUTE
  assert.equal(failureOf((await victim.go(late)).path), 'too-late')
  const good = await begun(victim)
  const copies = await Promise.all([victim.go(good), victim.go(good), victim.go(good)])
  assert.deepEqual(copies.map(({ path }) => failureOf(path) ?? path).toSorted(), [
    '/',
    'not-begun-here',
    'not-begun-here',
  ])
  assert.equal(await sessionCount(scene), 1)
})

test('AU-1: every sign-in is told once, good or bad, with its reason and without names', async (t) => {
  const scene = await aScene(t)
  await scene.signedIn()
  await scene.browser().go(SIGN_IN) // cancels
  await scene.browser().go(CALLBACK)
  await scene.browser(NICK.userPrincipalName).go(SIGN_IN) // of a tenant that may not
  const lines = await scene.audit()
  assert.deepEqual(
    lines.map(({ action, actor, result, payload }) => [action, actor, result, payload['reason'] ?? payload['method']]),
    [
      ['session.started', `person:${ALICE_PRINCIPAL}`, 'done', 'entra'],
      ['session.refused', 'anonymous', 'denied', 'denied'],
      ['session.refused', 'anonymous', 'denied', 'not-begun-here'],
      ['session.refused', 'anonymous', 'denied', 'denied'],
    ],
  )
  assert.ok(lines.every(({ payload }) => payload['sourceAddress'] === '127.0.0.1'))
  assert.match(await scene.metrics.metrics(), /causeway_api_sign_ins_total\{method="entra",result="refused"\} 3/)
})

test('people of tenants that may not sign in are turned away with a code of their own', async (t) => {
  const scene = await aScene(t)
  scene.allowed.delete(CONTOSO)
  const landed = await scene.browser(ALICE.userPrincipalName).go(`${SIGN_IN}?returnTo=/projects`)
  assert.equal(landed.path, '/sign-in?failure=tenant-not-allowed&returnTo=%2Fprojects')
})

test('AZ-9: ten failed callbacks a minute from an address, and the next is 429 however good; a minute later it isn’t', async (t) => {
  const scene = await aScene(t)
  const guesser = scene.browser()
  for (let n = 0; n < 10; n++) assert.equal((await guesser.go(`${CALLBACK}?state=${n}&code=x`)).status, 302)
  const browser = scene.browser(ALICE.userPrincipalName)
  const good = await browser.go(SIGN_IN, CALLBACK)
  const refused = await browser.go(good.path)
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '60'])
  scene.monotonic.now += MINUTE
  assert.equal((await browser.go(good.path)).path, '/')
  assert.equal((await scene.audit()).length, 11, 'what is refused unseen is not told')
})

test('an outage of Entra, of the key service, and a sign-in that is not set up each end on the page with their code', async (t) => {
  const scene = await aScene(t)
  scene.entra.control.addFault({ endpoint: 'token', times: 1, answer: { kind: 'status', status: 503 } })
  const browser = scene.browser(ALICE.userPrincipalName)
  assert.equal(failureOf((await browser.go(SIGN_IN)).path), 'unavailable')
  const begun = await browser.go(SIGN_IN, CALLBACK)
  scene.keys.isAway = true
  assert.equal(failureOf((await browser.go(begun.path)).path), 'unavailable')
  assert.equal(browser.sessionId, undefined)
  const without = await aScene(t, { hasEntra: false })
  for (const path of [SIGN_IN, CALLBACK])
    assert.equal(failureOf((await without.browser().go(path)).path), 'not-configured', path)
})

test('a page elsewhere is not returned to, and what is no parameter is refused', async (t) => {
  const { api } = await aScene(t)
  for (const query of ['returnTo=//evil.example', 'returnTo=https://evil.example/', 'fresh=2', 'x=1']) {
    const { status, body } = await api.request('GET', `/session/sign-in?${query}`)
    assert.deepEqual([status, body.type], [400, '/problems/bad-request'], query)
  }
})

// ── AZ-6 ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test('AZ-6: a fresh sign-in renews the time of authentication under a new id, for the same person only', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  const before = browser.sessionId
  scene.clock.now += 6 * MINUTE
  const stale = await browser.call('GET', '/session')
  browser.user = BOB.userPrincipalName
  assert.equal(failureOf((await browser.go(`${SIGN_IN}?fresh=1`)).path), 'another-person')
  assert.equal(browser.sessionId, before, 'hers goes on')
  browser.user = ALICE.userPrincipalName
  assert.equal((await browser.go(`${SIGN_IN}?fresh=1&returnTo=/delete`)).path, '/delete')
  const fresh = await browser.call('GET', '/session')
  assert.notEqual(browser.sessionId, before)
  assert.equal(Date.parse(fresh.body.authenticatedAt) - Date.parse(stale.body.authenticatedAt), 6 * MINUTE)
  assert.equal(await sessionCount(scene), 1)
})

test('AZ-6: an authentication that is not fresh gives no session where a fresh one was asked for', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  scene.entra.control.makeNextIdToken('stale-authentication')
  assert.equal(failureOf((await browser.go(`${SIGN_IN}?fresh=1`)).path), 'refused')
})

function plant(browser: ReturnType<Scene['browser']>, { api }: Scene, name: string, value: string | undefined): void {
  browser.cookies.set(new URL(api.url).origin, new Map([[name, value ?? '']]))
}

/** Refresh tokens in the clear, as they are sealed. */
function spyOnTokens({ signInDeps }: Scene): string[] {
  const seen: string[] = []
  const { sealer } = signInDeps
  const seal = sealer.seal.bind(sealer)
  ;(sealer as { seal: typeof seal }).seal = (plain, context) => {
    seen.push(Buffer.from(plain).toString())
    return seal(plain, context)
  }
  return seen
}

/** Every row of every table, as text; octets in hex. */
async function dumpOf({ api }: Scene): Promise<string> {
  const owner = api.database.owner.db as never
  const tables = await rowsOf<{ name: string }>(
    owner,
    sql`select tablename as name from pg_tables where schemaname = 'public'`,
  )
  const dumps: string[] = []
  for (const { name } of tables) {
    const rows = await rowsOf<{ row: string }>(owner, sql`select t::text as row from ${sql.table(name)} t`)
    dumps.push(...rows.map(({ row }) => row))
  }
  return dumps.join('\n')
}
