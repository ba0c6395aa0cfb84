// The relays' secrets replaced by hand: the new one beside the old, by those who may, against the state they saw, and never shown. (SP-4, SP-11, DL-10, KM-5)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { loadSwitch, storeSwitch } from '../../../control-plane/coexistence/switch-store.ts'
import { rowsOf } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import { relayNonceRoutes } from '../../../control-plane/relays/relay-nonce-routes.ts'
import { relaySecretRoutes } from '../../../control-plane/relays/relay-secret-routes.ts'
import { findMarker, readProofTokens } from '../../../control-plane/relays/relay-secret-store.ts'
import { nonceOf } from '../../../mta/nonces.ts'
import { dumpTables, findCanaries } from '../../harness/canary-search.ts'
import { withFleet } from './fleet.ts'
import type { Fleet } from './fleet.ts'

const withRoutes = (work: (it: Asked) => Promise<void>) => (t: Parameters<typeof withFleet>[0]) =>
  withFleet(t, { routes: (sealer) => [...relaySecretRoutes(sealer), ...relayNonceRoutes(sealer)] }, (it) =>
    work({
      ...it,
      answers: [],
      async ask(method, path, body, headers = {}) {
        const reply = await it.api.request(method, `${it.path}/relay-settings${path}`, body, { key: it.key, headers })
        this.answers.push(JSON.stringify(reply.body))
        return reply
      },
    }),
  )
interface Asked extends Fleet {
  readonly ask: Ask
  /** What `ask` got, as text. */
  readonly answers: string[]
}
type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => ReturnType<Fleet['api']['request']>

const tokens = (it: Fleet) => it.inOrganisation((tx) => readProofTokens(tx, it.sealer, it))

test(
  'SP-4: a proof token is replaced against the state that was seen, stays beside the new one, and ends when it is told to',
  withRoutes(async (it) => {
    const tenant = await it.tenant('contoso', ['contoso.example'])
    const other = await it.tenant('fabrikam', ['fabrikam.example'])
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion((await it.versions()).snapshot)
    const path = `/proof-tokens/${tenant}`
    const before = await tokens(it)
    const seen = await it.ask('GET', path)
    const etag = seen.headers.get('etag') ?? ''
    assert.equal(seen.status, 200)
    assert.ok(seen.body.out.current.id !== seen.body.in.current.id && seen.body.out.previous === undefined)

    const body = { direction: 'out' }
    assert.equal((await it.ask('POST', `${path}/rotate`, body)).status, 428, 'a second click would end the old one')
    const rotated = await it.ask('POST', `${path}/rotate`, body, { 'If-Match': etag })
    assert.equal(rotated.status, 200, JSON.stringify(rotated.body))
    assert.deepEqual(
      [rotated.body.out.previous.id, rotated.body.in.current.id],
      [seen.body.out.current.id, seen.body.in.current.id],
    )
    const stale = await it.ask('POST', `${path}/rotate`, body, { 'If-Match': etag })
    assert.deepEqual([stale.status, stale.body.current], [412, rotated.headers.get('etag')])

    const { secrets } = await relay.untilVersion((await it.versions()).snapshot)
    const after = await tokens(it)
    const of = (all: typeof after, state: string) =>
      all.find((each) => each.tenant === tenant && each.direction === 'out' && each.state === state)?.token
    const told = secrets.proofTokens.find((each) => each.tenant === 'contoso' && each.direction === 'out')?.tokens
    assert.deepEqual(told, [of(after, 'current'), of(before, 'current')], 'the relays take both')
    assert.notEqual(of(after, 'current'), of(before, 'current'))

    const ended = await it.ask('POST', `${path}/end-previous`, body, {
      'If-Match': rotated.headers.get('etag') ?? '',
    })
    assert.deepEqual([ended.status, ended.body.out.previous], [200, undefined])
    assert.equal(of(await tokens(it), 'previous'), undefined)
    const list = await it.ask('GET', '/proof-tokens')
    assert.deepEqual(
      list.body.items.map((each: { tenant: string }) => each.tenant),
      [tenant, other],
    )
    assert.deepEqual(list.body.items[0], ended.body)
    for (const nobody of [newId('tenant'), 'x'])
      assert.equal((await it.ask('POST', `/proof-tokens/${nobody}/rotate`, body, { 'If-Match': '*' })).status, 404)
    assert.deepEqual(await trail(it), [
      { action: 'proof-token.rotated', object: tenant },
      { action: 'proof-token.ended', object: tenant },
    ])
    assert.deepEqual(
      await shown(
        it,
        [...before, ...(await tokens(it))].map(({ token }) => token),
      ),
      [],
    )
  }),
)

test(
  'DL-10: token and secret of the marker are replaced one by one, and the one before stays valid',
  withRoutes(async (it) => {
    const marker = () => it.inOrganisation((tx) => findMarker(tx, it.sealer, it))
    const none = await it.ask('GET', '/marker')
    assert.deepEqual([none.status, none.body, none.headers.get('etag')], [200, {}, '"0"'])
    const made = await it.ask('POST', '/marker/rotate', { what: 'token' }, { 'If-Match': '"0"' })
    assert.equal(made.status, 200)
    const first = await marker()
    assert.ok(first?.previousToken)
    assert.deepEqual(Object.keys(made.body), ['createdAt', 'tokenRotatedAt'], 'no rule has to know it first')
    const stale = await it.ask('POST', '/marker/rotate', { what: 'secret' }, { 'If-Match': '"0"' })
    assert.equal(stale.status, 412)
    assert.equal((await it.ask('POST', '/marker/rotate', { what: 'secret' })).status, 428)
    const ifMatch = { 'If-Match': made.headers.get('etag') ?? '' }
    const rotated = await it.ask('POST', '/marker/rotate', { what: 'secret' }, ifMatch)
    assert.deepEqual(Object.keys(rotated.body), ['createdAt', 'tokenRotatedAt', 'secretRotatedAt'])
    const second = await marker()
    assert.deepEqual([second?.token, second?.previousSecret], [first.token, first.secret])
    assert.equal((await it.ask('POST', '/marker/rotate', { what: 'both' }, { 'If-Match': '*' })).status, 400)
    assert.deepEqual(await shown(it, Object.values({ ...first, ...second })), [])
    const { snapshot } = await it.versions()
    const relay = await it.relay()
    await relay.open()
    assert.deepEqual((await relay.untilVersion(snapshot)).secrets.marker, second)
  }),
)

test(
  'DL-10: while coexistence is not off relays go on with the token of before, and it is replaced once at a time',
  withRoutes(async (it) => {
    const marker = () => it.inOrganisation((tx) => findMarker(tx, it.sealer, it))
    const any = { 'If-Match': '*' }
    const rotate = (what: string, headers: Record<string, string> = any) =>
      it.ask('POST', '/marker/rotate', { what }, headers)
    assert.equal((await rotate('token')).status, 200)
    const first = await marker()
    const again = await rotate('token')
    const second = await marker()
    assert.deepEqual([again.status, second?.previousToken], [200, first?.token], 'while it is off it is in use at once')

    await it.inOrganisation(async (tx) => {
      const row = await loadSwitch(tx, it)
      await storeSwitch(tx, it, { ...row, state: 'on', version: 1, author: 'person:test' }, new Date())
    })
    const { snapshot: before } = await it.versions()
    const waits = await rotate('token')
    const third = await marker()
    assert.deepEqual([waits.status, third?.token], [200, second?.token])
    assert.equal(waits.body.tokenPendingSince, waits.body.tokenRotatedAt)
    assert.deepEqual((await it.ask('GET', '/marker')).body, waits.body)
    const { snapshot } = await it.versions()
    assert.ok(snapshot > before)
    const relay = await it.relay()
    await relay.open()
    const told = (await relay.untilVersion(snapshot)).secrets.marker
    assert.deepEqual([told.token, told.previousToken], [second?.token, third?.previousToken], 'relays know it already')

    const refused = await rotate('token')
    assert.deepEqual(
      [refused.status, refused.body.type, refused.body.since],
      [409, '/problems/marker-token-pending', waits.body.tokenPendingSince],
    )
    assert.deepEqual(await marker(), third)
    const secret = await rotate('secret', { 'If-Match': waits.headers.get('etag') ?? '' })
    assert.deepEqual([secret.status, secret.body.tokenPendingSince], [200, waits.body.tokenPendingSince])
    assert.notEqual((await marker())?.secret, third?.secret)
    assert.deepEqual(await shown(it, Object.values({ ...third })), [])
  }),
)

test(
  'SP-11: a nonce is shown once, taken by relays until its end or until it is deleted, and there are so many at most',
  withRoutes(async (it) => {
    const made = await it.ask('POST', '/nonces', { minutes: 5 })
    assert.equal(made.status, 201)
    assert.equal(made.headers.get('cache-control'), 'no-store')
    const { id, nonce, createdAt, expiresAt } = made.body
    assert.equal(Date.parse(expiresAt) - Date.parse(createdAt), 5 * 60_000)
    const taken = (now: number) =>
      nonceOf(`probe-${nonce}@relay.example`, ['relay.example'], [{ nonce, until: Date.parse(expiresAt) }], now)?.kind
    assert.deepEqual([taken(Date.parse(createdAt)), taken(Date.parse(expiresAt))], ['probe', undefined])
    const relay = await it.relay()
    await relay.open()
    const { secrets } = await relay.untilVersion((await it.versions()).snapshot)
    assert.deepEqual(secrets.nonces, [{ nonce, until: expiresAt }])

    const second = await it.ask('POST', '/nonces', {})
    const one = await it.ask('GET', '/nonces?limit=1')
    const two = await it.api.request('GET', one.body.next.replace('/api/v1', ''), undefined, { key: it.key })
    assert.deepEqual(
      [...one.body.items, ...two.body.items],
      [
        { id, createdAt, expiresAt },
        { id: second.body.id, createdAt: second.body.createdAt, expiresAt: second.body.expiresAt },
      ],
    )
    assert.equal((await it.ask('DELETE', `/nonces/${id}`)).status, 204)
    assert.equal((await it.ask('DELETE', `/nonces/${id}`)).status, 404)
    it.clock.offsetMs = 61 * 60_000
    assert.deepEqual((await it.ask('GET', '/nonces')).body.items, [], 'the other one has ended')

    await it.inOrganisation((tx) =>
      sql`insert into relay_nonce (organisation_id, project_id, id, nonce_sealed, created_at, expires_at)
          select ${it.organisation}, ${it.project}, 'non_' || n, '', now(), now() + interval '2 hours' from generate_series(1, 100) n`.execute(
        tx,
      ),
    )
    const full = await it.ask('POST', '/nonces', {})
    assert.deepEqual([full.status, full.body.type], [409, '/problems/conflict'])
    it.answers.length = 0 // but there, once
    assert.deepEqual(await shown(it, [nonce, second.body.nonce]), [])
  }),
)

test(
  'AZ-4: who may look at relays sees when, and replaces nothing; another organisation sees nothing',
  withRoutes(async (it) => {
    const tenant = await it.tenant('contoso', ['contoso.example'])
    const reader = await it.api.member(it.organisation, 'auditor')
    const stranger = await it.api.organisation('Fabrikam')
    const changes: [path: string, body: unknown][] = [
      [`/proof-tokens/${tenant}/rotate`, { direction: 'in' }],
      [`/proof-tokens/${tenant}/end-previous`, { direction: 'in' }],
      ['/marker/rotate', { what: 'token' }],
      ['/nonces', {}],
    ]
    const ask = (key: string, method: string, path: string, body?: unknown) =>
      it.api.request(method, `${it.path}/relay-settings${path}`, body, { key, headers: { 'If-Match': '*' } })
    for (const path of ['/proof-tokens', `/proof-tokens/${tenant}`, '/marker', '/nonces']) {
      assert.equal((await ask(reader.key, 'GET', path)).status, 200, path)
      assert.equal((await ask(stranger.key, 'GET', path)).status, 404, path)
    }
    for (const [path, body] of changes) {
      assert.equal((await ask(reader.key, 'POST', path, body)).status, 403, path)
      assert.equal((await ask(stranger.key, 'POST', path, body)).status, 404, path)
    }
  }),
)

const trail = (it: Fleet) =>
  it.inOrganisation((tx) =>
    rowsOf(tx, sql`select action, object from audit_event where action like 'proof-token.%' order by sequence`),
  )

/** Where these are written down as they are: in the log, or in a table, what is kept of answers among them. */
async function shown(it: Asked, secrets: readonly string[]): Promise<string[]> {
  const canaries = secrets.map((text, index) => ({ name: `secret ${index}`, text }))
  const log = { name: 'log', text: it.api.lines.join('') }
  const answers = { name: 'answers', text: it.answers.join('\n') }
  return findCanaries(canaries, [log, answers, ...(await dumpTables(it.api.database.owner.db))])
}
