// How a session ends, over real HTTP and by one clock: by time, by Entra, by an administrator, at once or not before its time. (AZ-2, AZ-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { sweepSessions } from '../../../control-plane/access/session-store.ts'
import { rowOf, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { ALICE, BOB, CONTOSO, FABRIKAM } from '../../harness/entra-seed.ts'
import { ALICE_PRINCIPAL, aScene } from './session-scene.ts'
import type { Browser, Scene } from './session-scene.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const statusOf = async (browser: Browser) => (await browser.call('GET', '/me')).status
const rowCount = async ({ api }: Scene, table = 'session') =>
  (await rowsOf(api.database.owner.db as never, sql`select from ${sql.table(table)}`)).length

test('AZ-3: 20 minutes without a request end a session, and requests up to then keep it; its row goes with it', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  for (let n = 0; n < 4; n++) {
    scene.clock.now += 20 * MINUTE - 1
    assert.equal(await statusOf(browser), 200)
    await scene.sessions.settled()
  }
  scene.clock.now += 20 * MINUTE
  assert.equal(await statusOf(browser), 401)
  assert.equal(await rowCount(scene), 0)
})

test('AZ-3: a stream that a page keeps opening by itself is no use: with nobody there the session idles', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  const reopened = async () => (await browser.call('GET', '/me', undefined, { Accept: 'text/event-stream' })).status
  for (let n = 0; n < 19; n++) {
    scene.clock.now += MINUTE
    assert.equal(await reopened(), 200)
    await scene.sessions.settled()
  }
  scene.clock.now += MINUTE
  assert.equal(await reopened(), 401)
})

test('AZ-3: a use is noted once a minute, so that idling is never counted from later than the last request', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  const usedAt = async () =>
    (
      await rowOf<{ at: Date }>(scene.api.database.owner.db as never, sql`select last_used_at as at from session`)
    )?.at.getTime()
  const begun = scene.clock.now
  scene.clock.now += MINUTE - 1
  await statusOf(browser)
  assert.equal(await usedAt(), begun)
  scene.clock.now += 1
  await statusOf(browser)
  assert.equal(await usedAt(), begun + MINUTE)
})

test('AZ-3: 12 hours after the sign-in a session ends, however busy', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  const end = scene.clock.now + 12 * HOUR
  while (scene.clock.now < end - 10 * MINUTE) {
    scene.clock.now += 10 * MINUTE
    assert.equal(await statusOf(browser), 200)
  }
  scene.clock.now = end - 1
  assert.equal(await statusOf(browser), 200)
  scene.clock.now = end
  assert.equal(await statusOf(browser), 401)
})

test('AZ-3: whoever is disabled in Entra, or whose sessions are revoked there, is out within 10 minutes', async (t) => {
  const scene = await aScene(t)
  const { control } = scene.entra
  const ends = [
    () => control.setEnabled(ALICE.userPrincipalName, false),
    () => control.revokeSessions(ALICE.userPrincipalName),
    () => void scene.allowed.delete(CONTOSO),
  ]
  for (const end of ends) {
    control.setEnabled(ALICE.userPrincipalName, true)
    const busy = await scene.signedIn()
    const quiet = await scene.signedIn()
    end()
    scene.clock.now += 5 * MINUTE - 1
    assert.equal(await statusOf(busy), 200, 'Entra’s word is not 5 minutes old')
    scene.clock.now += 1
    assert.equal(await statusOf(busy), 200, 'being asked about')
    await scene.sessions.settled()
    assert.equal(await statusOf(busy), 401)
    scene.clock.now += 5 * MINUTE
    assert.equal(await statusOf(quiet), 401, 'nothing on the strength of a word 10 minutes old')
    assert.equal(await rowCount(scene), 0)
  }
  const ended = (await scene.audit()).filter(({ action }) => action === 'session.ended')
  assert.equal(ended.length, 6)
  assert.ok(ended.every(({ actor, object }) => actor === 'system:session-check' && object === ALICE_PRINCIPAL))
})

test('AZ-3: ten requests at once ask Entra once', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  const answers = await tokensIssued(scene, async () => {
    scene.clock.now += 11 * MINUTE
    const all = await Promise.all(Array.from({ length: 10 }, () => statusOf(browser)))
    assert.deepEqual(new Set(all), new Set([200]))
  })
  assert.equal(answers, 1)
})

test('AZ-3: while Entra is away a session goes on for as long as its word is good, then waits with 503, and goes on after', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  scene.entra.control.addFault({
    endpoint: 'token',
    times: 2,
    answer: { kind: 'status', status: 503, retryAfterS: 17 },
  })
  scene.clock.now += 6 * MINUTE
  assert.equal(await statusOf(browser), 200)
  await scene.sessions.settled()
  scene.clock.now += 4 * MINUTE
  const waiting = await browser.call('GET', '/me')
  assert.deepEqual(
    [waiting.status, waiting.body.type, waiting.headers.get('retry-after')],
    [503, '/problems/unavailable', '17'],
  )
  scene.clock.now += 16_000
  const still = await browser.call('GET', '/me')
  assert.deepEqual(
    [still.status, still.headers.get('retry-after')],
    [503, '1'],
    'Entra is left alone for as long as it said',
  )
  scene.clock.now += 1_000
  assert.equal(await statusOf(browser), 200, 'nobody had to sign in again')
})

test('AZ-3: the key service away is an outage like Entra’s', async (t) => {
  const scene = await aScene(t)
  const browser = await scene.signedIn()
  scene.keys.isAway = true
  scene.clock.now += 6 * MINUTE
  assert.equal(await statusOf(browser), 200)
  await scene.sessions.settled()
  scene.clock.now += 5 * MINUTE
  assert.equal(await statusOf(browser), 503)
  scene.keys.isAway = false
  scene.clock.now += 15_000
  assert.equal(await statusOf(browser), 200)
})

test('AZ-3: an answer that proves nothing, or that is about somebody else, is no answer, and at 10 minutes the end', async (t) => {
  for (const hostile of ['another-person', 'borrowed-key-id'] as const) {
    const scene = await aScene(t)
    const browser = await scene.signedIn()
    scene.entra.control.makeNextIdToken(hostile)
    scene.clock.now += 6 * MINUTE
    assert.equal(await statusOf(browser), 200, hostile)
    await scene.sessions.settled()
    scene.clock.now += 4 * MINUTE
    scene.entra.control.makeNextIdToken(hostile)
    assert.equal(await statusOf(browser), 401, hostile)
    assert.equal(await rowCount(scene), 0, hostile)
  }
})

test('AZ-3: an installation administrator ends all of a person’s sessions at once, and nobody else’s', async (t) => {
  const scene = await aScene(t)
  const root = await scene.signedIn(BOB.userPrincipalName)
  await makeAdministrator(scene, `${FABRIKAM}/${BOB.oid}`)
  const [one, two] = [await scene.signedIn(), await scene.signedIn()]
  const path = `/installation/sessions/${CONTOSO.toUpperCase()}/${ALICE.oid}`
  assert.equal((await one.call('DELETE', path)).status, 403)
  const { status, body } = await root.call('DELETE', path)
  assert.deepEqual([status, body], [200, { ended: 2 }])
  assert.deepEqual([await statusOf(one), await statusOf(two), await statusOf(root)], [401, 401, 200])
  const told = (await scene.audit()).filter(({ action }) => action === 'session.revoked')
  assert.deepEqual(
    told.map(({ object }) => object),
    [ALICE_PRINCIPAL],
  )
})

test('what has ended unseen is swept: sessions and sign-ins, and nothing that lives', async (t) => {
  const scene = await aScene(t)
  await scene.signedIn()
  await scene.browser().go('/api/v1/session/sign-in', '/organizations')
  const sweep = () =>
    withScope(scene.api.database.db, { purpose: 'retention' }, (tx) => sweepSessions(tx, new Date(scene.clock.now)))
  scene.clock.now += 10 * MINUTE - 1
  assert.equal(await sweep(), 0)
  scene.clock.now += 1
  assert.equal(await sweep(), 1)
  assert.deepEqual([await rowCount(scene, 'sign_in_flow'), await rowCount(scene)], [0, 1])
  scene.clock.now += 10 * MINUTE
  assert.equal(await sweep(), 1)
})

test('TI-2: the service sees no session without naming it, its person, or the sweep', async (t) => {
  const scene = await aScene(t)
  await scene.signedIn()
  const seen = (scope: Parameters<typeof withScope>[1]) =>
    withScope(scene.api.database.db, scope, (tx) => rowsOf(tx, sql`select from session`)).then(({ length }) => length)
  assert.equal(await seen({}), 0)
  assert.equal(await seen({ purpose: 'administration' }), 0)
  assert.equal(await seen({ credential: 'a'.repeat(64) }), 0)
  assert.equal(await seen({ principal: ALICE_PRINCIPAL }), 1)
})

/** How many tokens Entra gave while `work` ran. */
async function tokensIssued({ signInDeps }: Scene, work: () => Promise<void>): Promise<number> {
  let issued = 0
  const { sealer } = signInDeps
  const seal = sealer.seal.bind(sealer)
  ;(sealer as { seal: typeof seal }).seal = (plain, context) => {
    issued++
    return seal(plain, context)
  }
  await work()
  return issued
}

async function makeAdministrator({ api }: Scene, principal: string): Promise<void> {
  await withScope(api.database.db, { purpose: 'administration' }, (tx) =>
    sql`insert into installation_administrator (principal, added_by) values (${principal}, 'test')`.execute(tx),
  )
}
