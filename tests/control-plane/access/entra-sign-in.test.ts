// Sign-in by Entra, over real HTTP: who gets in, who doesn't and why, and for how long. (AZ-1, AZ-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { finishSignIn, beginSignIn, signOutUrl, stillEnabled } from '../../../control-plane/access/entra-sign-in.ts'
import type { SignInResult } from '../../../control-plane/access/entra-sign-in.ts'
import type { TokenFault } from '../../../control-plane/access/id-token.ts'
import { loginEndpoint } from '../../../control-plane/access/login-endpoint.ts'
import { CLOUDS } from '../../../control-plane/microsoft/clouds.ts'
import { LoginNetwork } from '../../../control-plane/access/login-network.ts'
import { FLOW_LIFE_MS, newSignInFlow } from '../../../control-plane/access/sign-in-flow.ts'
import type { Fault } from '../../../sandbox/entra/faults.ts'
import { HOSTILE_TOKENS } from '../../../sandbox/entra/hostile-tokens.ts'
import type { HostileToken } from '../../../sandbox/entra/hostile-tokens.ts'
import { ALICE, BOB, CONTOSO, FABRIKAM, REDIRECT_URI, SIGNED_OUT_URI } from '../../harness/entra-seed.ts'
import { START, aSetting, approving } from './a-sign-in.ts'

const MINUTE_MS = 60_000

function signedIn(result: SignInResult) {
  assert.ok(result.kind === 'signed-in', JSON.stringify(result))
  return result
}

/** Without what only a log needs. */
function reason(result: { kind: string }): unknown {
  const { kind, fault, error, entraCode } = result as Record<string, unknown>
  return Object.fromEntries(
    Object.entries({ kind, fault, error, entraCode }).filter(([, value]) => value !== undefined),
  )
}

test('AZ-1: a person is tenant and object id, with the time and way he proved it', async (t) => {
  const { signIn } = await aSetting(t)
  const { person, refreshSealed } = signedIn(
    await signIn({ decision: approving(undefined, { authenticatedAtMs: START - 4_000 }) }),
  )
  assert.deepEqual(person, {
    tenantId: CONTOSO,
    objectId: ALICE.oid,
    displayName: ALICE.name,
    userPrincipalName: ALICE.userPrincipalName,
    authenticatedAt: START - 4_000,
    methods: ['pwd', 'mfa'],
  })
  assert.ok(refreshSealed.length > 0)
})

test('AZ-1: the browser is sent to the login page with state, nonce and an S256 challenge, and with no secret', async (t) => {
  const { deps, entra } = await aSetting(t)
  const { url, flow } = await beginSignIn({ loginHint: ALICE.userPrincipalName }, deps)
  const { origin, pathname, searchParams } = new URL(url)
  assert.equal(origin, entra.url, 'the sandbox, where it listens')
  assert.equal(pathname, '/organizations/oauth2/v2.0/authorize')
  const fields = [
    'response_type',
    'response_mode',
    'redirect_uri',
    'state',
    'nonce',
    'code_challenge_method',
    'prompt',
    'login_hint',
  ]
  assert.deepEqual(
    fields.map((name) => searchParams.get(name)),
    ['code', 'query', REDIRECT_URI, flow.state, flow.nonce, 'S256', null, ALICE.userPrincipalName],
  )
  assert.ok(!url.includes(flow.codeVerifier))
  for (const secret of [flow.state, flow.nonce, flow.codeVerifier])
    assert.equal(Buffer.from(secret, 'base64url').length, 32)
  const second = await beginSignIn({}, deps)
  const promptOf = (text: string) => new URL(text).searchParams.get('prompt')
  assert.equal(promptOf(second.url), 'select_account')
  assert.equal(promptOf((await beginSignIn({ isFresh: true }, deps)).url), 'login')
  const fresh = await beginSignIn({ isFresh: true, loginHint: ALICE.userPrincipalName }, deps)
  assert.deepEqual(
    [promptOf(fresh.url), new URL(fresh.url).searchParams.get('login_hint')],
    ['login', ALICE.userPrincipalName],
  )
  assert.equal(new Set([flow, second.flow].flatMap((each) => [each.state, each.nonce, each.codeVerifier])).size, 6)
})

test('in production the browser goes to its cloud’s own host, and beginning asks nothing of the network', async (t) => {
  const { deps } = await aSetting(t)
  for (const cloud of CLOUDS) {
    for (const tenant of ['organizations', CONTOSO]) {
      const endpoint = loginEndpoint(cloud, 'production', undefined)
      const network = new LoginNetwork({ ...endpoint, reachAt: 'http://127.0.0.1:9' }) // nothing listens there
      const { url } = await beginSignIn({}, { ...deps, endpoint, network, app: { ...deps.app, tenant } })
      const { origin, pathname } = new URL(url)
      assert.equal(origin + pathname, `${endpoint.origin}/${tenant}/oauth2/v2.0/authorize`)
    }
  }
})

test('people of several tenants sign in to one application; whose tenant is not listed doesn’t', async (t) => {
  const { signIn, allowed } = await aSetting(t)
  const asBob = { decision: approving(BOB.userPrincipalName) }
  assert.equal(signedIn(await signIn(asBob)).person.tenantId, FABRIKAM)
  allowed.delete(FABRIKAM)
  assert.deepEqual(reason(await signIn(asBob)), { kind: 'bad-token', fault: 'tenant' })
  signedIn(await signIn())
})

test('with a single-tenant registration people of other tenants don’t even get a code', async (t) => {
  const { signIn } = await aSetting(t, { tenant: CONTOSO })
  signedIn(await signIn())
  assert.deepEqual(reason(await signIn({ decision: approving(BOB.userPrincipalName) })), {
    kind: 'denied',
    error: 'access_denied',
    entraCode: 50020,
  })
})

// ── The token attack table ────────────────────────────────────────────────────────────────────────────────────────

/** `nothing`: no fault in a sign-in of this kind; the tests further down show where it is one. */
const ATTACKS: Readonly<Record<HostileToken, TokenFault | 'nothing'>> = {
  'wrong-issuer': 'issuer',
  'issuer-of-another-tenant': 'issuer',
  'wrong-audience': 'audience',
  'audience-list': 'audience',
  'unknown-tenant': 'tenant',
  'another-tenant-by-its-own-key': 'nothing',
  'no-tenant': 'tenant',
  'no-object-id': 'identity',
  'wrong-nonce': 'nonce',
  'no-nonce': 'nonce',
  expired: 'expired',
  'no-expiry': 'expired',
  'not-yet-valid': 'not-yet-valid',
  'issued-in-the-future': 'not-yet-valid',
  'old-version': 'version',
  'stale-authentication': 'nothing',
  'no-authentication-time': 'nothing',
  'another-person': 'nothing',
  'alg-none': 'algorithm',
  'hs256-with-public-key': 'algorithm',
  rs512: 'algorithm',
  'key-of-another-tenant': 'unknown-key',
  'unknown-key': 'unknown-key',
  'borrowed-key-id': 'signature',
  'no-key-id': 'unknown-key',
  'key-in-header': 'unknown-key',
  'key-address-in-header': 'unknown-key',
  'broken-signature': 'signature',
  'critical-header': 'malformed',
  'not-a-token': 'malformed',
}

test('AZ-1: each hostile token is refused for its own reason, and an honest one is taken right after', async (t) => {
  const { entra, signIn, clock } = await aSetting(t)
  for (const kind of HOSTILE_TOKENS) {
    const fault = ATTACKS[kind]
    entra.control.makeNextIdToken(kind)
    const result = await signIn()
    if (fault === 'nothing') {
      // Entra itself says so by a key of that tenant: then that is who it is.
      assert.equal(signedIn(result).person.objectId === ALICE.oid, kind !== 'another-person', kind)
      assert.equal(signedIn(result).person.tenantId === CONTOSO, kind !== 'another-tenant-by-its-own-key', kind)
    } else {
      assert.deepEqual(reason(result), { kind: 'bad-token', fault }, kind)
    }
    signedIn(await signIn())
    clock.now += MINUTE_MS
  }
})

test('AZ-6: a sign-in that has to be fresh refuses an old authentication and one without a time', async (t) => {
  const { entra, signIn } = await aSetting(t)
  const begin = { isFresh: true }
  assert.equal(signedIn(await signIn({ begin })).person.authenticatedAt, START)
  for (const kind of ['stale-authentication', 'no-authentication-time'] as const) {
    entra.control.makeNextIdToken(kind)
    assert.deepEqual(reason(await signIn({ begin })), { kind: 'bad-token', fault: 'authentication-time' }, kind)
  }
  const late = approving(undefined, { authenticatedAtMs: START - MINUTE_MS - 1_000 })
  assert.deepEqual(reason(await signIn({ begin, decision: late })), { kind: 'bad-token', fault: 'authentication-time' })
})

test('AZ-1: an authentication time is never in the future, and a missing one never fresh', async (t) => {
  const { entra, signIn } = await aSetting(t)
  const ahead = approving(undefined, { authenticatedAtMs: START + 2 * MINUTE_MS })
  assert.equal(signedIn(await signIn({ decision: ahead })).person.authenticatedAt, START)
  entra.control.makeNextIdToken('no-authentication-time')
  assert.equal(signedIn(await signIn()).person.authenticatedAt, 0)
})

test('AZ-1: keys at another origin are not fetched, whatever the metadata says', async (t) => {
  const { entra, signIn } = await aSetting(t)
  const elsewhere = [
    'https://attacker.example/keys',
    `${entra.issuerOrigin}.attacker.example/keys`,
    `http://login.sandbox.test/x`,
    'x',
  ]
  for (const url of elsewhere) {
    entra.control.pointKeysElsewhere(url)
    assert.deepEqual(reason(await signIn()), { kind: 'bad-token', fault: 'untrusted-keys' }, url)
  }
  entra.control.pointKeysElsewhere(undefined)
  signedIn(await signIn())
})

test('a rotated key is found when it is first used, and a dropped one is forgotten within the hour', async (t) => {
  const { entra, signIn, clock } = await aSetting(t)
  signedIn(await signIn())
  await entra.control.publishNextKey(CONTOSO)
  await entra.control.useNewestKey(CONTOSO)
  // Nobody may make us fetch keys at will: within half a minute an unknown key stays unknown.
  assert.deepEqual(reason(await signIn()), { kind: 'bad-token', fault: 'unknown-key' })
  clock.now += 30_000
  signedIn(await signIn())
  // The honest path: published long before it is used.
  await entra.control.publishNextKey(CONTOSO)
  clock.now += 60 * MINUTE_MS
  signedIn(await signIn())
  await entra.control.useNewestKey(CONTOSO)
  await entra.control.dropOldKeys(CONTOSO)
  signedIn(await signIn())
})

// ── The flow ──────────────────────────────────────────────────────────────────────────────────────────────────────

const FORGED: [why: string, bend: (query: URLSearchParams) => void][] = [
  ['another state', (query) => query.set('state', 'x'.repeat(43))],
  ['no state', (query) => query.delete('state')],
  ['an empty state', (query) => query.set('state', '')],
  ['the state twice', (query) => query.append('state', query.get('state') ?? '')],
  ['two states, one of them right', (query) => query.append('state', 'x')],
  [
    'another state and an error text of an attacker’s',
    (query) => {
      query.set('state', 'x')
      query.set('error', 'access_denied')
    },
  ],
]
for (const [why, bend] of FORGED) {
  test(`AZ-1: a callback with ${why} is a forgery`, async (t) => {
    const { signIn } = await aSetting(t)
    assert.deepEqual(reason(await signIn({ bend })), { kind: 'forged-state' })
  })
}

test('AZ-1: a callback to a browser that began nothing, or began another sign-in, is a forgery', async (t) => {
  const { deps, callback } = await aSetting(t)
  const alice = await callback()
  const victim = await callback()
  assert.deepEqual(reason(await finishSignIn(undefined, alice.query, deps)), { kind: 'forged-state' })
  assert.deepEqual(reason(await finishSignIn(victim.flow, alice.query, deps)), { kind: 'forged-state' })
})

test('AZ-1: a code injected into another flow fails at the verifier, and would at the nonce', async (t) => {
  const { deps, callback } = await aSetting(t)
  const inject = async (keep: 'nothing' | 'codeVerifier') => {
    const attacker = await callback()
    const victim = await callback()
    victim.query.set('code', attacker.query.get('code') ?? '')
    const flow = keep === 'codeVerifier' ? { ...victim.flow, codeVerifier: attacker.flow.codeVerifier } : victim.flow
    return reason(await finishSignIn(flow, victim.query, deps))
  }
  assert.deepEqual(await inject('nothing'), { kind: 'grant-refused', error: 'invalid_grant', entraCode: 501481 })
  assert.deepEqual(await inject('codeVerifier'), { kind: 'bad-token', fault: 'nonce' })
})

test('AZ-1: a code is good once', async (t) => {
  const { deps, callback } = await aSetting(t)
  const { flow, query } = await callback()
  signedIn(await finishSignIn(flow, query, deps))
  assert.deepEqual(reason(await finishSignIn(flow, query, deps)), {
    kind: 'grant-refused',
    error: 'invalid_grant',
    entraCode: 54005,
  })
})

test('AZ-1: a flow is good for ten minutes', async (t) => {
  const { deps, callback, clock } = await aSetting(t)
  const first = await callback()
  const second = await callback()
  clock.now = START + FLOW_LIFE_MS - 1
  signedIn(await finishSignIn(first.flow, first.query, deps))
  clock.now = START + FLOW_LIFE_MS
  assert.deepEqual(reason(await finishSignIn(second.flow, second.query, deps)), { kind: 'expired-flow' })
})

test('who declines is told apart from a broken registration and from an outage', async (t) => {
  const { signIn } = await aSetting(t)
  const saying = (error: string, description = '') => ({
    bend: (query: URLSearchParams) => {
      query.delete('code')
      query.set('error', error)
      query.set('error_description', description)
    },
  })
  assert.deepEqual(reason(await signIn({ decision: { kind: 'deny' } })), {
    kind: 'denied',
    error: 'access_denied',
    entraCode: 65004,
  })
  assert.deepEqual(reason(await signIn(saying('invalid_request', 'AADSTS50011: The redirect URI …'))), {
    kind: 'misconfigured',
    error: 'invalid_request',
    entraCode: 50011,
  })
  assert.deepEqual(reason(await signIn(saying('temporarily_unavailable'))), { kind: 'service-unavailable' })
  assert.deepEqual(reason(await signIn(saying('<b>call +1 555</b>', 'AADSTS1: call'))), {
    kind: 'misconfigured',
    error: 'unknown_error',
  })
  assert.deepEqual(reason(await signIn({ bend: (query) => query.delete('code') })), {
    kind: 'misconfigured',
    error: 'no_code',
  })
})

test('an application that Entra doesn’t accept is an operator’s matter', async (t) => {
  const { deps, callback } = await aSetting(t)
  const { flow, query } = await callback()
  const ahead = { ...deps, now: () => START + 4 * MINUTE_MS }
  signedIn(await finishSignIn(flow, query, ahead)) // within the tolerance of either side
  const again = await callback()
  const dayBehind = { ...deps, now: () => START - 24 * 60 * MINUTE_MS }
  assert.deepEqual(reason(await finishSignIn(again.flow, again.query, dayBehind)), {
    kind: 'misconfigured',
    error: 'invalid_client',
    entraCode: 700024,
  })
})

// ── Outages ───────────────────────────────────────────────────────────────────────────────────────────────────────

const OUTAGES: [why: string, answer: Fault['answer'], retryAfterMs?: number][] = [
  ['503 with Retry-After', { kind: 'status', status: 503, retryAfterS: 17 }, 17_000],
  ['429', { kind: 'status', status: 429, retryAfterS: 5 }, 5_000],
  ['a Retry-After of a year', { kind: 'status', status: 503, retryAfterS: 31_536_000 }, 3_600_000],
  ['a page in place of JSON', { kind: 'status', status: 200, body: '<h1>Proxy</h1>' }],
  ['a list in place of an object', { kind: 'status', status: 200, body: '[]' }],
  ['a redirect', { kind: 'redirect', location: 'http://127.0.0.1:9/' }],
  ['an endless body', { kind: 'flood' }],
  ['silence', { kind: 'silence' }],
  ['a broken connection', { kind: 'reset' }],
]
for (const [why, answer, retryAfterMs] of OUTAGES) {
  test(`WS-5: ${why} from Entra is an outage, at the token endpoint, at the metadata and at the keys`, async (t) => {
    const limits = { timeoutMs: answer.kind === 'silence' ? 500 : 5_000, maxBodyBytes: 256 * 1024 }
    const { entra, signIn, clock } = await aSetting(t, { limits })
    await entra.control.publishNextKey(CONTOSO) // makes the first one too: that takes longer than a short deadline
    for (const endpoint of ['token', 'metadata', 'keys'] as const) {
      clock.now += 2 * 60 * MINUTE_MS // past what is known of the keys
      entra.control.addFault({ endpoint, times: 1, answer })
      const result = await signIn()
      assert.ok(result.kind === 'service-unavailable', `${endpoint}: ${JSON.stringify(result)}`)
      assert.equal(result.retryAfterMs, retryAfterMs, endpoint)
      assert.ok(result.cause instanceof Error)
      signedIn(await signIn()) // and MSAL holds no grudge
    }
  })
}

// ── AZ-3 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

test('AZ-3: Entra is asked again for as long as a session lives, each time with the token of the last answer', async (t) => {
  const { signIn, deps, clock } = await aSetting(t)
  const { person, refreshSealed } = signedIn(await signIn())
  let sealed = refreshSealed
  for (let minutes = 0; minutes < 12 * 60; minutes += 60) {
    clock.now += 60 * MINUTE_MS
    const result = await stillEnabled(person, sealed, deps)
    assert.ok(result.kind === 'enabled', JSON.stringify(result))
    assert.deepEqual(result.person, person, 'authenticated when he signed in, not now')
    assert.notDeepEqual(result.refreshSealed, sealed)
    sealed = result.refreshSealed
  }
})

test('AZ-3: disabling and revoking end it at the next question, and so does taking the tenant off the list', async (t) => {
  const { entra, signIn, deps, allowed } = await aSetting(t)
  const { userPrincipalName } = ALICE
  const first = signedIn(await signIn())
  entra.control.setEnabled(userPrincipalName, false)
  assert.deepEqual(reason(await stillEnabled(first.person, first.refreshSealed, deps)), {
    kind: 'ended',
    entraCode: 50057,
  })
  entra.control.setEnabled(userPrincipalName, true)
  entra.control.revokeSessions(userPrincipalName)
  assert.deepEqual(reason(await stillEnabled(first.person, first.refreshSealed, deps)), {
    kind: 'ended',
    entraCode: 50173,
  })
  const second = signedIn(await signIn())
  assert.equal((await stillEnabled(second.person, second.refreshSealed, deps)).kind, 'enabled')
  allowed.delete(CONTOSO)
  assert.deepEqual(reason(await stillEnabled(second.person, second.refreshSealed, deps)), { kind: 'ended' })
})

test('AZ-3: a sealed token is of no use in another person’s session, nor when it was altered', async (t) => {
  const { signIn, deps } = await aSetting(t)
  const alice = signedIn(await signIn())
  const bob = signedIn(await signIn({ decision: approving(BOB.userPrincipalName) }))
  assert.deepEqual(reason(await stillEnabled(bob.person, alice.refreshSealed, deps)), { kind: 'ended' })
  const altered = Buffer.from(alice.refreshSealed)
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1
  assert.deepEqual(reason(await stillEnabled(alice.person, altered, deps)), { kind: 'ended' })
})

test('AZ-3: the answer to the question is verified like a sign-in, and has to be about the same person', async (t) => {
  const { entra, signIn, deps } = await aSetting(t)
  const { person, refreshSealed } = signedIn(await signIn())
  const answers: [HostileToken, TokenFault][] = [
    ['another-person', 'identity'],
    ['another-tenant-by-its-own-key', 'identity'],
    ['unknown-key', 'unknown-key'],
    ['expired', 'expired'],
    ['alg-none', 'algorithm'],
    ['not-a-token', 'malformed'],
  ]
  for (const [kind, fault] of answers) {
    entra.control.makeNextIdToken(kind)
    assert.deepEqual(reason(await stillEnabled(person, refreshSealed, deps)), { kind: 'bad-token', fault }, kind)
  }
  assert.equal((await stillEnabled(person, refreshSealed, deps)).kind, 'enabled')
})

test('AZ-3: an outage says neither yes nor no', async (t) => {
  const { entra, signIn, deps } = await aSetting(t)
  const { person, refreshSealed } = signedIn(await signIn())
  entra.control.addFault({ endpoint: 'token', times: 1, answer: { kind: 'status', status: 503, retryAfterS: 9 } })
  const result = await stillEnabled(person, refreshSealed, deps)
  assert.deepEqual([result.kind, 'retryAfterMs' in result && result.retryAfterMs], ['service-unavailable', 9_000])
})

test('sign-out goes to Entra’s page and comes back to a registered address', async (t) => {
  const { deps, entra } = await aSetting(t)
  const url = signOutUrl(SIGNED_OUT_URI, deps)
  assert.ok(url.startsWith(`${entra.url}/organizations/`))
  const response = await fetch(url, { redirect: 'manual' })
  assert.equal(response.headers.get('location'), SIGNED_OUT_URI)
})

test('a flow survives being kept as JSON', async (t) => {
  const { deps, callback } = await aSetting(t)
  const { flow, query } = await callback()
  signedIn(await finishSignIn(JSON.parse(JSON.stringify(flow)) as typeof flow, query, deps))
  assert.deepEqual(JSON.parse(JSON.stringify(flow)), flow)
  assert.equal(newSignInFlow(false, deps.random, START).expiresAt - START, FLOW_LIFE_MS)
})
