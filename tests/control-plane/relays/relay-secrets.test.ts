// Secrets that a project's relays share: made once, two valid at a time while one is replaced, sealed at rest, and used by the relay as they are.
// (SP-4, SP-11, R76, DL-10)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { rowsOf } from '../../../control-plane/db/database.ts'
import {
  findPendingToken,
  rotateMarker,
  stampPendingToken,
} from '../../../control-plane/relays/marker-rotation-store.ts'
import { bumpSnapshot } from '../../../control-plane/projects/relay-visible.ts'
import {
  addNonce,
  endPreviousToken,
  ensureMarker,
  ensureProofTokens,
  findMarker,
  readNonces,
  readProofTokens,
  rotateProofToken,
} from '../../../control-plane/relays/relay-secret-store.ts'
import { parseMarkerKeys } from '../../../mta/marker-keys.ts'
import { withFleet } from './fleet.ts'

const NOW = new Date('2026-11-28T12:00:00Z')

test('SP-4: each tenant has a token of 256 bits for each direction, made once however many ask', (t) =>
  withFleet(t, {}, async (it) => {
    await it.tenant('contoso', ['contoso.example'])
    const ensure = () => it.inOrganisation((tx) => ensureProofTokens(tx, it.sealer, it, NOW))
    const made = await Promise.all([ensure(), ensure(), ensure()])
    assert.equal(
      made.reduce((sum, count) => sum + count, 0),
      2,
    )
    const read = () => it.inOrganisation((tx) => readProofTokens(tx, it.sealer, it))
    const before = await read()
    assert.deepEqual(before.map(({ direction }) => direction).toSorted(), ['in', 'out'])
    for (const { token } of before) assert.equal(Buffer.from(token, 'base64url').length, 32)
    await it.tenant('fabrikam', ['fabrikam.example'])
    assert.equal(await ensure(), 2)
    const after = await read()
    assert.equal(new Set(after.map(({ token }) => token)).size, 4, 'no two are alike')
    for (const old of before) assert.ok(after.some(({ token }) => token === old.token))
    const rows = await it.inOrganisation((tx) =>
      rowsOf<{ token_sealed: Buffer }>(tx, sql`select token_sealed from proof_token`),
    )
    for (const { token } of after)
      assert.ok(
        rows.every(({ token_sealed }) => !token_sealed.includes(token)),
        'sealed at rest',
      )
  }))

test('SP-4: while a token is replaced two are valid, never three; the others are left alone', (t) =>
  withFleet(t, {}, async (it) => {
    const tenant = await it.tenant('contoso', ['contoso.example'])
    await it.inOrganisation((tx) => ensureProofTokens(tx, it.sealer, it, NOW))
    const tokens = async (direction: 'out' | 'in') => {
      const all = await it.inOrganisation((tx) => readProofTokens(tx, it.sealer, it))
      const of = (state: string) => all.find((each) => each.direction === direction && each.state === state)?.token
      return [of('current'), of('previous')]
    }
    const [first] = await tokens('out')
    const other = await tokens('in')
    const rotate = () => it.inOrganisation((tx) => rotateProofToken(tx, it.sealer, it, tenant, 'out', NOW))
    await rotate()
    const [second, previous] = await tokens('out')
    assert.equal(previous, first)
    await rotate()
    const [third, before] = await tokens('out')
    assert.equal(before, second)
    await it.inOrganisation((tx) => endPreviousToken(tx, it, tenant, 'out'))
    assert.deepEqual(await tokens('out'), [third, undefined])
    assert.deepEqual(await tokens('in'), other)
  }))

test('a tenant that goes takes its tokens with it', (t) =>
  withFleet(t, {}, async (it) => {
    const tenant = await it.tenant('contoso', ['contoso.example'])
    await it.inOrganisation((tx) => ensureProofTokens(tx, it.sealer, it, NOW))
    await it.inOrganisation((tx) => sql`delete from tenant_connection where id = ${tenant}`.execute(tx))
    assert.deepEqual(await it.inOrganisation((tx) => readProofTokens(tx, it.sealer, it)), [])
  }))

test('R76, DL-10: the marker is made once, in the form that relays take; each half is replaced by itself', (t) =>
  withFleet(t, {}, async (it) => {
    const ensure = () => it.inOrganisation((tx) => ensureMarker(tx, it.sealer, it, NOW))
    await Promise.all([ensure(), ensure()])
    const read = () => it.inOrganisation((tx) => findMarker(tx, it.sealer, it))
    const first = await read()
    await ensure()
    assert.deepEqual(await read(), first)
    await it.inOrganisation((tx) => rotateMarker(tx, it.sealer, it, 'token', NOW))
    const second = await read()
    assert.deepEqual([second?.secret, second?.previousSecret], [first?.secret, undefined])
    await it.inOrganisation((tx) => rotateMarker(tx, it.sealer, it, 'secret', NOW))
    const third = await read()
    assert.deepEqual([third?.token, third?.previousSecret], [second?.token, second?.secret])
    const taken = parseMarkerKeys('pushed', JSON.stringify({ format: 'causeway-marker/1', ...third }))
    assert.deepEqual([taken.tokens.length, taken.secrets.length], [2, 2])
  }))

test('DL-10: a new token of the marker is known at once and stamped later; until then it is the last one', (t) =>
  withFleet(t, {}, async (it) => {
    const marker = () => it.inOrganisation((tx) => findMarker(tx, it.sealer, it))
    const rotate = (what: 'token' | 'secret', at = NOW) =>
      it.inOrganisation((tx) => rotateMarker(tx, it.sealer, it, what, at))
    const pending = () => it.inOrganisation((tx) => findPendingToken(tx, it.sealer, it))
    const stamp = () => it.inOrganisation((tx) => stampPendingToken(tx, it.sealer, it))
    await it.inOrganisation((tx) => ensureMarker(tx, it.sealer, it, NOW))
    const first = await marker()
    assert.equal(await pending(), undefined)

    await rotate('token')
    const waiting = await marker()
    assert.equal(waiting?.token, first?.token, 'relays go on with it')
    assert.match(waiting?.previousToken ?? '', /^[0-9a-f]{32}$/)
    assert.notEqual(waiting?.previousToken, first?.token)
    assert.deepEqual(await pending(), { token: waiting?.previousToken, since: NOW })

    await assert.rejects(rotate('token', new Date(NOW.getTime() + 1)), {
      type: 'marker-token-pending',
      members: { since: NOW.toISOString() },
    })
    assert.deepEqual(await marker(), waiting, 'a refusal changes nothing')
    await rotate('secret')
    const tokensOf = async () => {
      const { token, previousToken } = (await marker()) ?? {}
      return [token, previousToken]
    }
    assert.deepEqual(await tokensOf(), [waiting?.token, waiting?.previousToken], 'the secret is replaced by itself')
    assert.ok(await pending())

    await stamp()
    assert.deepEqual([await tokensOf(), await pending()], [[waiting?.previousToken, waiting?.token], undefined])
    const { secret, previousSecret } = (await marker()) ?? {}
    assert.deepEqual([previousSecret, secret === first?.secret], [first?.secret, false])
    await stamp()
    assert.deepEqual(await tokensOf(), [waiting?.previousToken, waiting?.token], 'twice is as once')

    await rotate('token')
    const [token, newest] = await tokensOf()
    assert.equal(token, waiting?.previousToken)
    assert.ok(newest !== waiting?.token && newest !== token, 'of three the oldest ends')
  }))

test('SP-11: a nonce is told to the relays while it is in date, and forgotten afterwards', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    await relay.open()
    await relay.untilVersion(1)
    const nonce = await it.inOrganisation(async (tx) => {
      const made = await addNonce(tx, it.sealer, it, new Date(Date.now() + 60_000), new Date())
      await bumpSnapshot(tx, it.organisation, it.project, 'settings')
      return made
    })
    assert.match(nonce, /^[a-z0-9]{16,64}$/)
    const { secrets } = await relay.untilVersion((await it.versions()).snapshot)
    assert.deepEqual(
      secrets.nonces.map((each) => each.nonce),
      [nonce],
    )
    const later = new Date(Date.now() + 60_001)
    const read = (at: Date) => it.inOrganisation((tx) => readNonces(tx, it.sealer, it, at))
    assert.equal((await read(new Date())).length, 1)
    assert.equal((await read(later)).length, 0)
    await it.inOrganisation((tx) => addNonce(tx, it.sealer, it, new Date(later.getTime() + 60_000), later))
    const rows = await it.inOrganisation((tx) => rowsOf(tx, sql`select 1 from relay_nonce`))
    assert.equal(rows.length, 1, 'the old one is gone')
  }))
