// The token of a relay's request (RC-1): every way to be somebody else, or to be oneself twice.
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { sql } from 'kysely'
import { SignJWT } from 'jose'
import { RELAY_PATHS } from '../../../common/relay-contract.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import { claimedRelay, CLOCK_SKEW_S, judgeToken } from '../../../control-plane/relays/relay-token.ts'
import { sweepTokenUses } from '../../../control-plane/relays/token-use-store.ts'
import { withFleet } from './fleet.ts'

const NOW = 1_795_867_200_000 // 2026-11-28T12:00:00Z
const NOW_S = NOW / 1000
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const other = generateKeyPairSync('ed25519').privateKey
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const relay = newId('relay')
const installation = 'ins_1'
const spki = publicKey.export({ type: 'spki', format: 'der' })
const expected = { relay, signingKey: spki.toString('base64url'), installation }

const claims = { iss: relay, sub: relay, aud: installation, iat: NOW_S, exp: NOW_S + 60, jti: 'j1' }
const sign = (payload: Record<string, unknown>, key = privateKey, alg = 'EdDSA') =>
  new SignJWT(payload).setProtectedHeader({ alg }).sign(key)
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

const attacks: [why: string, jwt: () => Promise<string> | string][] = [
  ['it is signed by another key', () => sign(claims, other)],
  ['it is signed by an RSA key', () => sign(claims, rsa, 'RS256')],
  ['alg none, without a signature', () => `${part({ alg: 'none' })}.${part(claims)}.`],
  [
    'HS256 with the public key as the secret',
    () => {
      const text = `${part({ alg: 'HS256' })}.${part(claims)}`
      return `${text}.${createHmac('sha256', spki).update(text).digest('base64url')}`
    },
  ],
  [
    'HS256 with the written public key as the secret',
    () => {
      const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
      return `${text}.${createHmac('sha256', expected.signingKey).update(text).digest('base64url')}`
    },
  ],
  [
    'its claims were changed after it was signed',
    async () => {
      const [head, , signature] = (await sign(claims)).split('.')
      return `${head}.${part({ ...claims, exp: NOW_S + 61 })}.${signature}`
    },
  ],
  ['it is for another installation', () => sign({ ...claims, aud: 'ins_2' })],
  ['it is for another installation too', () => sign({ ...claims, aud: [installation, 'ins_2'] })],
  ['it is for none', () => sign({ ...claims, aud: undefined })],
  ['it is issued by another relay', () => sign({ ...claims, iss: newId('relay') })],
  ['it is about another relay', () => sign({ ...claims, sub: newId('relay') })],
  ['it lives too long', () => sign({ ...claims, exp: NOW_S + 61 })],
  ['it lives long and was made long ago', () => sign({ ...claims, iat: NOW_S - 600, exp: NOW_S + 30 })],
  ['it has no end', () => sign({ ...claims, exp: undefined })],
  ['it has no beginning', () => sign({ ...claims, iat: undefined })],
  ['it ends before it begins', () => sign({ ...claims, iat: NOW_S, exp: NOW_S })],
  ['it is over', () => sign({ ...claims, iat: NOW_S - 80, exp: NOW_S - CLOCK_SKEW_S })],
  ['it is of the future', () => sign({ ...claims, iat: NOW_S + CLOCK_SKEW_S + 1, exp: NOW_S + 60 })],
  ['it is not valid yet', () => sign({ ...claims, nbf: NOW_S + CLOCK_SKEW_S + 1 })],
  ['it has no jti', () => sign({ ...claims, jti: undefined })],
  ['its jti is empty', () => sign({ ...claims, jti: '' })],
  ['its jti would fill the database', () => sign({ ...claims, jti: 'x'.repeat(129) })],
  ['its jti is no text', () => sign({ ...claims, jti: 7 })],
  [
    'it demands what nobody understands',
    async () => `${part({ alg: 'EdDSA', crit: ['x'], x: 1 })}.${part(claims)}.${'A'.repeat(86)}`,
  ],
]
for (const [why, jwt] of attacks) {
  test(`RC-1: a token is refused: ${why}`, async () => {
    const verdict = await judgeToken(await jwt(), expected, NOW)
    assert.equal(verdict.kind, 'refused')
  })
}

test('a token that is as it should be is taken, also by a clock that is a little off', async () => {
  for (const offS of [0, CLOCK_SKEW_S - 1, -CLOCK_SKEW_S + 1]) {
    const verdict = await judgeToken(
      await sign({ ...claims, iat: NOW_S + offS, exp: NOW_S + offS + 60 }),
      expected,
      NOW,
    )
    assert.deepEqual(verdict, {
      kind: 'valid',
      token: { jti: 'j1', expiresAt: new Date((NOW_S + offS + 60 + CLOCK_SKEW_S) * 1000) },
    })
  }
})

const claimed: [authorization: string | undefined, why: string][] = [
  [undefined, 'nothing'],
  ['', 'nothing'],
  ['Bearer', 'no token'],
  ['Bearer a.b.c', 'no JSON'],
  [`Basic ${part(claims)}`, 'another scheme'],
  [`Bearer ${part({})}.${part({ sub: 'prj_x' })}.x`, 'about something that is no relay'],
  [`Bearer ${part({})}.${part({ ...claims, pad: 'x'.repeat(3_000) })}.x`, 'too long'],
  [`Bearer cwk_${'a'.repeat(43)}`, 'an API key'],
]
for (const [authorization, why] of claimed) {
  test(`an authorization is nobody's: ${why}`, () => assert.equal(claimedRelay(authorization), undefined))
}

test('RC-1: over HTTP a token is good once, for its own relay, and not for the API; refusals are audited once', (t) =>
  withFleet(t, {}, async (it) => {
    const one = await it.relay()
    const two = await it.relay()
    const report = (token: string) => one.post(RELAY_PATHS.report, {}, token)
    const token = await one.token()
    assert.equal((await report(token)).status, 400, 'authenticated: the body is what is wrong')
    const replayed = await report(token)
    assert.deepEqual([replayed.status, replayed.body.type], [401, '/problems/relay-token-refused'])
    assert.equal((await report(await two.token({ sub: one.answer.relay, iss: one.answer.relay }))).status, 401)
    assert.equal((await report(await one.token({ aud: 'ins_other' }))).status, 401)
    assert.equal((await report(await one.token({ sub: newId('relay') }))).status, 401, 'one that there is not')
    assert.equal((await report(it.key)).status, 401, 'an API key is no token')
    const api = await it.api.request('GET', `${it.path}/relays`, undefined, { key: await one.token() })
    assert.equal(api.status, 401, 'and a token no API key')
    assert.equal((await report(token)).status, 401)
    const events = await it.inOrganisation((tx) =>
      rowsOf<{ payload: string }>(
        tx,
        sql`select payload from audit_event where action = 'relay.refused' order by sequence`,
      ),
    )
    assert.deepEqual(
      events.map(({ payload }) => (JSON.parse(payload) as { reason: string }).reason),
      ['used', 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED', 'aud'],
    )
    assert.ok(!it.api.lines.join('').includes(token), 'KM-5')
  }))

test('RC-1: of many requests with one token at the same moment one is taken', (t) =>
  withFleet(t, {}, async (it) => {
    const relayOne = await it.relay()
    const token = await relayOne.token()
    const all = await Promise.all(
      Array.from({ length: 10 }, () => relayOne.post(RELAY_PATHS.events, { events: [] }, token)),
    )
    assert.deepEqual(
      all.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, ...Array(9).fill(401)],
    )
  }))

test('used tokens are forgotten once nobody could take them any more', (t) =>
  withFleet(t, {}, async (it) => {
    const client = await it.relay()
    await client.post(RELAY_PATHS.events, { events: [] })
    const { db } = it.api.database
    const sweep = (ms: number) =>
      withScope(db, { purpose: 'retention' }, (tx) => sweepTokenUses(tx, new Date(Date.now() + ms)))
    assert.equal(await sweep(60_000), 0)
    assert.equal(await sweep((60 + CLOCK_SKEW_S + 1) * 1000), 1)
    assert.equal(await withScope(db, {}, (tx) => sweepTokenUses(tx, new Date(8e15 / 1000))), 0, 'nobody else sweeps')
  }))
