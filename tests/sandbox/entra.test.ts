// The simulated Entra against Microsoft's own client library, and against hostile or clumsy clients.
import assert from 'node:assert/strict'
import { X509Certificate, createHash, createHmac, createPrivateKey, randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import { ConfidentialClientApplication, ServerError } from '@azure/msal-node'
import type { INetworkModule, NetworkRequestOptions, NetworkResponse } from '@azure/msal-node'
import { SignJWT, createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import type { JSONWebKeySet, JWTHeaderParameters } from 'jose'
import { startEntra } from '../../sandbox/entra/entra.ts'
import type { Entra, EntraOptions } from '../../sandbox/entra/entra.ts'
import { TestAuthority } from '../harness/certificates.ts'
import {
  ALICE,
  BOB,
  CONSENT_URI,
  CONTOSO,
  FABRIKAM,
  GRAPH,
  MIGRATION_APP,
  NICK,
  NORA,
  NORTHWIND,
  REDIRECT_URI,
  SIGNED_OUT_URI,
  SIGN_IN_APP,
  entraSeed,
  makeAppCertificate,
} from '../harness/entra-seed.ts'
import type { AppCertificate } from '../harness/entra-seed.ts'

const credential = makeAppCertificate()
const stranger = makeAppCertificate()
const expired = makeAppCertificate('20240101000000Z')
const MINUTE_MS = 60_000

let shared: Entra
before(async () => {
  shared = await startEntra({ seed: entraSeed(credential, expired), now: Date.now })
})
after(() => shared.close())

async function anEntra(t: TestContext, options: Partial<EntraOptions> = {}): Promise<Entra> {
  const entra = await startEntra({ seed: entraSeed(credential, expired), now: Date.now, ...options })
  t.after(() => entra.close())
  return entra
}

// ── MSAL ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Maps MSAL's https addresses to the server, and notes them. */
function networkTo(entra: Entra, seen: string[] = []): INetworkModule {
  const send = async <T>(
    text: string,
    method: string,
    options?: NetworkRequestOptions,
  ): Promise<NetworkResponse<T>> => {
    const url = new URL(text)
    seen.push(`${method} ${url.origin}${url.pathname}`)
    assert.equal(url.origin, entra.issuerOrigin)
    const body = method === 'POST' ? { body: options?.body ?? '' } : {}
    const init = { method, headers: options?.headers ?? {}, ...body }
    const response = await fetch(entra.url + url.pathname + url.search, init)
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: (await response.json()) as T,
    }
  }
  return {
    sendGetRequestAsync: (url, options) => send(url, 'GET', options),
    sendPostRequestAsync: (url, options) => send(url, 'POST', options),
  }
}

function msal(
  entra: Entra,
  { clientId = SIGN_IN_APP, tenant = CONTOSO, with: given = credential, network = networkTo(entra) } = {},
) {
  const certificate = new X509Certificate(given.certificate)
  const thumbprintSha256 = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  return new ConfidentialClientApplication({
    auth: {
      clientId,
      authority: `${entra.issuerOrigin}/${tenant}`,
      knownAuthorities: [new URL(entra.issuerOrigin).host],
      clientCertificate: { thumbprintSha256, privateKey: given.privateKey, x5c: given.certificate },
    },
    system: { networkClient: network },
  })
}

const verifier = 'a-verifier-of-at-least-forty-three-characters-0123456789'
const challenge = createHash('sha256').update(verifier).digest('base64url')
const SCOPES = ['openid', 'profile', 'offline_access']

async function codeByMsal(entra: Entra, client: ConfidentialClientApplication, user: string): Promise<string> {
  const url = await client.getAuthCodeUrl({
    scopes: SCOPES,
    redirectUri: REDIRECT_URI,
    codeChallenge: challenge,
    codeChallengeMethod: 'S256',
    state: 'the state',
    nonce: 'the nonce',
  })
  const back = approve(entra, url, user)
  assert.equal(back.searchParams.get('state'), 'the state')
  return back.searchParams.get('code') ?? ''
}

function approve(entra: Entra, url: string, user: string): URL {
  const answer = entra.control.decide(url, { kind: 'approve', user, hasMfa: true })
  assert.equal(answer.kind, 'redirect', JSON.stringify(answer))
  return new URL(answer.kind === 'redirect' ? answer.location : '')
}

const redemption = { codeVerifier: verifier, scopes: SCOPES, redirectUri: REDIRECT_URI, nonce: 'the nonce' }

test('MSAL signs a person in by code and PKCE, and the token verifies by the published keys', async () => {
  const seen: string[] = []
  const client = msal(shared, { network: networkTo(shared, seen) })
  const code = await codeByMsal(shared, client, ALICE.userPrincipalName)
  const result = await client.acquireTokenByCode({ ...redemption, code })
  assert.equal(result.uniqueId, ALICE.oid)
  assert.equal(result.account?.homeAccountId, `${ALICE.oid}.${CONTOSO}`)
  assert.deepEqual(seen, [
    `GET ${shared.issuerOrigin}/${CONTOSO}/v2.0/.well-known/openid-configuration`,
    `POST ${shared.issuerOrigin}/${CONTOSO}/oauth2/v2.0/token`,
  ])
  const { payload, protectedHeader } = await jwtVerify(result.idToken, await keysOf(shared, CONTOSO), {
    issuer: `${shared.issuerOrigin}/${CONTOSO}/v2.0`,
    audience: SIGN_IN_APP,
  })
  assert.equal(protectedHeader.alg, 'RS256')
  const { tid, oid, nonce, name, preferred_username: upn, ver, amr } = payload
  assert.deepEqual(
    { tid, oid, nonce, name, upn, ver, amr },
    {
      tid: CONTOSO,
      oid: ALICE.oid,
      nonce: 'the nonce',
      name: ALICE.name,
      upn: ALICE.userPrincipalName,
      ver: '2.0',
      amr: ['pwd', 'mfa'],
    },
  )
  assert.notEqual(payload.sub, ALICE.oid, 'sub is pairwise')
  for (const claim of ['iat', 'nbf', 'exp', 'auth_time', 'uti']) assert.ok(payload[claim] !== undefined, claim)
})

test('MSAL signs in a person of another tenant through the shared path, at a token endpoint of no tenant', async () => {
  const client = msal(shared, { tenant: 'organizations' })
  const code = await codeByMsal(shared, client, BOB.userPrincipalName)
  const result = await client.acquireTokenByCode({ ...redemption, code })
  assert.equal(decodeJwt(result.idToken)['tid'], FABRIKAM)
  assert.equal(decodeJwt(result.idToken).iss, `${shared.issuerOrigin}/${FABRIKAM}/v2.0`)
})

test('MSAL gets an application token with the roles that were consented to, and none before', async (t) => {
  const entra = await anEntra(t, { consentDelays: { principalMs: 0, rolesMs: 0 } })
  const ask = async () => {
    const client = msal(entra, { clientId: MIGRATION_APP })
    const result = await client.acquireTokenByClientCredential({ scopes: [`${GRAPH}/.default`] })
    return decodeJwt(result?.accessToken ?? '')
  }
  assert.equal((await ask())['roles'], undefined)
  entra.control.grantConsent('contoso.example', MIGRATION_APP)
  const claims = await ask()
  assert.deepEqual(claims['roles'], ['Organization.Read.All', 'User.Read.All'])
  assert.equal(claims.aud, GRAPH)
  assert.equal(claims['appid'], MIGRATION_APP)
})

test('MSAL refreshes until the account is disabled or its sessions are revoked, and can sign in again once it is enabled', async (t) => {
  const entra = await anEntra(t)
  const client = msal(entra)
  const code = await codeByMsal(entra, client, ALICE.userPrincipalName)
  const { account } = await client.acquireTokenByCode({ ...redemption, code })
  assert.ok(account)
  const refresh = () => client.acquireTokenSilent({ account, scopes: SCOPES, forceRefresh: true })
  assert.equal(decodeJwt((await refresh()).idToken)['nonce'], undefined, 'a refreshed token belongs to no request')

  entra.control.setEnabled(ALICE.userPrincipalName, false)
  await assert.rejects(refresh(), refusedWith('invalid_grant', 50057))
  entra.control.setEnabled(ALICE.userPrincipalName, true)
  await refresh()
  entra.control.revokeSessions(ALICE.userPrincipalName)
  await assert.rejects(refresh(), refusedWith('invalid_grant', 50173))
  const again = await client.acquireTokenByCode({
    ...redemption,
    code: await codeByMsal(entra, client, ALICE.userPrincipalName),
  })
  assert.ok(again.idToken)
})

test('MSAL is told apart by its certificate: a stranger’s and an expired one are refused', async () => {
  for (const [given, number] of [
    [stranger, 700027],
    [expired, 7000222],
  ] as const) {
    const client = msal(shared, { clientId: MIGRATION_APP, with: given })
    const asked = client.acquireTokenByClientCredential({ scopes: [`${GRAPH}/.default`] })
    await assert.rejects(asked, refusedWith('invalid_client', number))
  }
})

function refusedWith(error: string, number: number) {
  return (thrown: unknown) => {
    assert.ok(thrown instanceof ServerError || (thrown instanceof Error && 'errorNo' in thrown), String(thrown))
    const { errorCode, errorNo } = thrown as ServerError
    assert.deepEqual({ errorCode, errorNo: Number(errorNo) }, { errorCode: error, errorNo: number })
    return true
  }
}

async function keysOf(entra: Entra, tenant: string) {
  const response = await fetch(`${entra.url}/${tenant}/discovery/v2.0/keys`)
  return createLocalJWKSet((await response.json()) as JSONWebKeySet)
}

// ── The token endpoint by hand ────────────────────────────────────────────────────────────────────────────────────

interface AssertionChanges {
  readonly header?: Partial<JWTHeaderParameters>
  readonly claims?: Readonly<Record<string, unknown>>
  readonly signedBy?: AppCertificate
  readonly tenant?: string
  readonly at?: number
}

function assertionFor(entra: Entra, clientId: string, changes: AssertionChanges = {}): Promise<string> {
  const { tenant = CONTOSO, signedBy = credential, at = Date.now() } = changes
  const iat = Math.floor(at / 1000)
  const { raw } = new X509Certificate(credential.certificate)
  return new SignJWT({
    aud: `${entra.issuerOrigin}/${tenant}/oauth2/v2.0/token`,
    iss: clientId,
    sub: clientId,
    jti: randomUUID(),
    nbf: iat,
    iat,
    exp: iat + 600,
    ...changes.claims,
  })
    .setProtectedHeader({
      alg: 'PS256',
      'x5t#S256': createHash('sha256').update(raw).digest('base64url'),
      x5c: [raw.toString('base64')],
      ...changes.header,
    })
    .sign(createPrivateKey(signedBy.privateKey))
}

async function askToken(entra: Entra, fields: Readonly<Record<string, string>>, tenant = CONTOSO) {
  const response = await fetch(
    `${entra.url}/${tenant}/oauth2/v2.0/token?client-request-id=11111111-2222-4333-8444-555555555555`,
    {
      method: 'POST',
      body: new URLSearchParams(fields),
    },
  )
  const body = (await response.json()) as Record<string, unknown>
  return { status: response.status, body }
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

async function proof(entra: Entra, clientId: string, changes: AssertionChanges = {}) {
  return {
    client_id: clientId,
    client_assertion_type: ASSERTION_TYPE,
    client_assertion: await assertionFor(entra, clientId, changes),
  }
}

const forGraph = { grant_type: 'client_credentials', scope: `${GRAPH}/.default` }

const brokenProofs: [why: string, changes: AssertionChanges, number: number][] = [
  ['for another tenant’s endpoint', { tenant: FABRIKAM }, 700023],
  ['for two audiences', { claims: { aud: [`https://login.sandbox.test/${CONTOSO}/oauth2/v2.0/token`, 'x'] } }, 700023],
  ['expired', { at: Date.now() - 20 * MINUTE_MS }, 700024],
  ['not yet valid', { at: Date.now() + 20 * MINUTE_MS }, 700024],
  ['good for more than ten minutes', { claims: { exp: Math.floor(Date.now() / 1000) + 3_600 } }, 700024],
  ['without an end', { claims: { exp: undefined } }, 700024],
  ['issued by another application', { claims: { iss: MIGRATION_APP.replace('3', '4') } }, 700021],
  ['about another application', { claims: { sub: SIGN_IN_APP } }, 700021],
  ['without an id', { claims: { jti: undefined } }, 9002313],
  ['signed by a stranger', { signedBy: stranger }, 700027],
  ['naming no certificate', { header: { 'x5t#S256': undefined } }, 700027],
  ['naming a stranger’s certificate', { header: { 'x5t#S256': randomBytes(32).toString('base64url') } }, 700027],
  [
    'with a stranger’s certificate inside',
    { header: { x5c: [new X509Certificate(stranger.certificate).raw.toString('base64')] } },
    700027,
  ],
  ['by RS256 under the PS256 thumbprint', { header: { alg: 'RS256' } }, 700027],
]
for (const [why, changes, number] of brokenProofs) {
  test(`an application is refused whose assertion is ${why}`, async () => {
    const { status, body } = await askToken(shared, { ...forGraph, ...(await proof(shared, MIGRATION_APP, changes)) })
    assert.deepEqual(body['error_codes'], [number], JSON.stringify(body))
    assert.equal(status, number === 9002313 ? 400 : 401)
  })
}

test('an application is refused whose assertion is a MAC made with its public certificate', async () => {
  const { raw } = new X509Certificate(credential.certificate)
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const x5t = createHash('sha256').update(raw).digest('base64url')
  const signed = `${part({ alg: 'HS256', 'x5t#S256': x5t })}.${part({ iss: MIGRATION_APP, sub: MIGRATION_APP })}`
  const forged = `${signed}.${createHmac('sha256', credential.certificate).update(signed).digest('base64url')}`
  const fields = { ...(await proof(shared, MIGRATION_APP)), client_assertion: forged }
  assert.deepEqual((await askToken(shared, { ...forGraph, ...fields })).body['error_codes'], [700027])
})

test('an assertion with a SHA-1 thumbprint is taken unless the sandbox is told otherwise', async (t) => {
  const { raw } = new X509Certificate(credential.certificate)
  const header = { alg: 'RS256', 'x5t#S256': undefined, x5t: createHash('sha1').update(raw).digest('base64url') }
  const strict = await anEntra(t, { assertionRules: { acceptsSha1Thumbprints: false } })
  assert.equal(
    (await askToken(shared, { ...forGraph, ...(await proof(shared, MIGRATION_APP, { header })) })).status,
    200,
  )
  const { body } = await askToken(strict, { ...forGraph, ...(await proof(strict, MIGRATION_APP, { header })) })
  assert.deepEqual(body['error_codes'], [700027])
})

test('an assertion is good until it expires, as in Entra, and for once where the sandbox is told so', async (t) => {
  const strict = await anEntra(t, { assertionRules: { refusesReplays: true } })
  for (const [entra, second] of [
    [shared, 200],
    [strict, 401],
  ] as const) {
    const fields = { ...forGraph, ...(await proof(entra, MIGRATION_APP)) }
    assert.equal((await askToken(entra, fields)).status, 200)
    assert.equal((await askToken(entra, fields)).status, second)
  }
})

test('a refusal has every member of Entra’s errors, and the caller’s correlation id', async () => {
  const { status, body } = await askToken(shared, { ...forGraph, client_id: MIGRATION_APP })
  assert.equal(status, 401)
  assert.deepEqual(Object.keys(body).toSorted(), [
    'correlation_id',
    'error',
    'error_codes',
    'error_description',
    'error_uri',
    'timestamp',
    'trace_id',
  ])
  assert.equal(body['error'], 'invalid_client')
  assert.deepEqual(body['error_codes'], [7000218])
  assert.equal(body['correlation_id'], '11111111-2222-4333-8444-555555555555')
  assert.match(String(body['timestamp']), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/)
  assert.match(
    String(body['error_description']),
    /^AADSTS7000218: .* Trace ID: [0-9a-f-]{36} Correlation ID: 11111111-2222-4333-8444-555555555555 Timestamp: /,
  )
})

const clumsyRequests: [why: string, fields: Record<string, string>, tenant: string, number: number][] = [
  ['an unknown tenant', {}, '12345678-0000-4000-8000-000000000000', 90002],
  ['an unknown application', { client_id: NORTHWIND }, CONTOSO, 700016],
  ['an application that the tenant has not let in', {}, FABRIKAM, 700016],
  ['a grant of a kind that isn’t offered', { grant_type: 'password' }, CONTOSO, 70003],
  ['no grant', { grant_type: '' }, CONTOSO, 90014],
  ['an application token of no tenant in particular', {}, 'organizations', 9001023],
  ['single permissions instead of all', { scope: `${GRAPH}/User.Read.All` }, CONTOSO, 1002012],
  ['a resource it has no permissions for', { scope: 'https://vault.azure.net/.default' }, CONTOSO, 500011],
  [
    'a code nobody issued',
    { grant_type: 'authorization_code', code: 'x', redirect_uri: 'x', code_verifier: 'x' },
    CONTOSO,
    70000,
  ],
  ['a refresh token nobody issued', { grant_type: 'refresh_token', refresh_token: 'x' }, CONTOSO, 70000],
]
for (const [why, fields, tenant, number] of clumsyRequests) {
  test(`the token endpoint refuses ${why}`, async () => {
    const proven = await proof(shared, MIGRATION_APP, { tenant })
    const { body } = await askToken(shared, { ...forGraph, ...proven, ...fields }, tenant)
    assert.deepEqual(body['error_codes'], [number], JSON.stringify(body))
  })
}

// ── Codes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function authorizeUrl(
  entra: Entra,
  changes: Readonly<Record<string, string | undefined>> = {},
  tenant = CONTOSO,
): string {
  const url = new URL(`${entra.url}/${tenant}/oauth2/v2.0/authorize`)
  const fields = {
    client_id: SIGN_IN_APP,
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    scope: SCOPES.join(' '),
    state: 's',
    nonce: 'n',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...changes,
  }
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) url.searchParams.set(name, value)
  return url.href
}

async function redeem(
  entra: Entra,
  code: string,
  changes: Record<string, string> = {},
  tenant = CONTOSO,
  at = Date.now(),
) {
  const fields = { grant_type: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier: verifier }
  const proven = await proof(entra, changes['client_id'] ?? SIGN_IN_APP, { tenant, at })
  return askToken(entra, { ...fields, ...proven, ...changes }, tenant)
}

const misusedCodes: [why: string, changes: Record<string, string>, tenant: string, number: number][] = [
  ['with the wrong verifier', { code_verifier: `${verifier}x` }, CONTOSO, 501481],
  ['for another redirect address', { redirect_uri: SIGNED_OUT_URI }, CONTOSO, 500112],
  ['by another application', { client_id: MIGRATION_APP }, CONTOSO, 70000],
]
for (const [why, changes, tenant, number] of misusedCodes) {
  test(`a code is refused ${why}, and a wrong attempt spends it`, async () => {
    const code = approve(shared, authorizeUrl(shared), ALICE.userPrincipalName).searchParams.get('code') ?? ''
    const { status, body } = await redeem(shared, code, changes, tenant)
    assert.deepEqual([status, body['error'], body['error_codes']], [400, 'invalid_grant', [number]])
    const second = await redeem(shared, code)
    // Another application's attempt says nothing about the code: it may be a guess.
    assert.deepEqual(second.body['error_codes'] ?? 'tokens', number === 70000 ? 'tokens' : [54005])
  })
}

test('a code is refused without a verifier, at another tenant, after ten minutes, and the second time', async (t) => {
  const clock = { now: Date.now() }
  const entra = await anEntra(t, { now: () => clock.now })
  const code = () => approve(entra, authorizeUrl(entra), ALICE.userPrincipalName).searchParams.get('code') ?? ''
  assert.deepEqual((await redeem(entra, code(), { code_verifier: '' })).body['error_codes'], [90014])

  approve(entra, authorizeUrl(entra, {}, FABRIKAM), BOB.userPrincipalName) // lets the application in there
  assert.deepEqual((await redeem(entra, code(), {}, FABRIKAM)).body['error_codes'], [700005])

  const old = code()
  clock.now += 10 * MINUTE_MS + 1
  assert.deepEqual((await redeem(entra, old, {}, CONTOSO, clock.now)).body['error_codes'], [70008])

  const good = code()
  assert.equal((await redeem(entra, good, {}, CONTOSO, clock.now)).status, 200)
  assert.deepEqual((await redeem(entra, good, {}, CONTOSO, clock.now)).body['error_codes'], [54005])
})

test('without offline_access there is no refresh token', async () => {
  const url = authorizeUrl(shared, { scope: 'openid profile' })
  const code = approve(shared, url, ALICE.userPrincipalName).searchParams.get('code') ?? ''
  const { body } = await redeem(shared, code)
  assert.equal(body['refresh_token'], undefined)
  assert.ok(body['id_token'])
})

// ── The authorization endpoint ────────────────────────────────────────────────────────────────────────────────────

const unknownAddresses: [why: string, changes: Record<string, string | undefined>][] = [
  ['the redirect address is not registered', { redirect_uri: 'https://attacker.example/' }],
  ['the redirect address has a trailing slash too many', { redirect_uri: `${REDIRECT_URI}/` }],
  ['there is no redirect address', { redirect_uri: undefined }],
  ['the application is unknown', { client_id: NORTHWIND }],
  ['the response mode is none we know', { response_mode: 'fragment' }],
]
for (const [why, changes] of unknownAddresses) {
  test(`nothing is sent anywhere when ${why}: the person sees a page`, async () => {
    const response = await fetch(authorizeUrl(shared, changes), { redirect: 'manual' })
    assert.equal(response.status, 400)
    assert.match(await response.text(), /AADSTS\d+:/)
  })
}

const refusedRequests: [why: string, changes: Record<string, string | undefined>, error: string][] = [
  ['an implicit flow', { response_type: 'id_token' }, 'unsupported_response_type'],
  ['no PKCE', { code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
  ['plain PKCE', { code_challenge: verifier, code_challenge_method: 'plain' }, 'invalid_request'],
  ['a challenge that is no hash', { code_challenge: 'short' }, 'invalid_request'],
  ['no openid scope', { scope: 'profile' }, 'invalid_request'],
  ['an unknown prompt', { prompt: 'always' }, 'invalid_request'],
  ['silence when nobody is signed in', { prompt: 'none' }, 'login_required'],
]
for (const [why, changes, error] of refusedRequests) {
  test(`the application is told, with its state, when it asks for ${why}`, async () => {
    const response = await fetch(authorizeUrl(shared, changes), { redirect: 'manual' })
    const back = new URL(response.headers.get('location') ?? '')
    assert.equal(back.origin + back.pathname, REDIRECT_URI)
    assert.equal(back.searchParams.get('error'), error)
    assert.equal(back.searchParams.get('state'), 's')
    assert.match(back.searchParams.get('error_description') ?? '', /^AADSTS\d+: /)
  })
}

test('somebody who declines, or is of another tenant, or may not consent, comes back with an error', () => {
  const denied = shared.control.decide(authorizeUrl(shared), { kind: 'deny' })
  const error = (answer: typeof denied) =>
    answer.kind === 'redirect' ? new URL(answer.location).searchParams.get('error_description')?.split(':')[0] : 'page'
  assert.equal(error(denied), 'AADSTS65004')
  const as = (user: string) => ({ kind: 'approve', user, hasMfa: false }) as const
  assert.equal(error(shared.control.decide(authorizeUrl(shared), as(BOB.userPrincipalName))), 'AADSTS50020')
  const northwind = authorizeUrl(shared, {}, NORTHWIND)
  assert.equal(error(shared.control.decide(northwind, as(NICK.userPrincipalName))), 'AADSTS90094')
})

test('a disabled account gets no further than a page', async (t) => {
  const entra = await anEntra(t)
  entra.control.setEnabled(ALICE.userPrincipalName, false)
  const answer = entra.control.decide(authorizeUrl(entra), {
    kind: 'approve',
    user: ALICE.userPrincipalName,
    hasMfa: true,
  })
  assert.ok(answer.kind === 'page' && answer.html.includes('AADSTS50057'))
})

/** A browser with a cookie jar of one, which follows nothing. */
class Browser {
  #cookie = ''

  async open(url: string, form?: Record<string, string>): Promise<Response> {
    const init = form === undefined ? {} : { method: 'POST', body: new URLSearchParams(form) }
    const response = await fetch(url, { ...init, redirect: 'manual', headers: { cookie: this.#cookie } })
    const [set] = response.headers.getSetCookie()
    if (set !== undefined) this.#cookie = set.split(';')[0] ?? ''
    return response
  }

  async choose(entra: Entra, url: string, user: string): Promise<Response> {
    const asked = new URL(url)
    const tenant = asked.pathname.split('/')[1] ?? ''
    const form = { action: 'authorize', query: asked.search.slice(1), user, mfa: 'yes' }
    return this.open(`${entra.url}/${tenant}/choose`, form)
  }
}

test('a person chooses an account once; then the browser is signed in until he signs out or is told to sign in anew', async (t) => {
  const clock = { now: Date.now() }
  const entra = await anEntra(t, { now: () => clock.now })
  const browser = new Browser()
  const chooser = await (await browser.open(authorizeUrl(entra))).text()
  assert.ok(chooser.includes(ALICE.userPrincipalName) && !chooser.includes(BOB.userPrincipalName))
  assert.equal((await browser.choose(entra, authorizeUrl(entra), ALICE.userPrincipalName)).status, 302)

  clock.now += 2 * MINUTE_MS
  const silent = await browser.open(authorizeUrl(entra, { prompt: 'none' }))
  const code = new URL(silent.headers.get('location') ?? '').searchParams.get('code') ?? ''
  const { body } = await redeem(entra, code, {}, CONTOSO, clock.now)
  const { auth_time: authTime } = decodeJwt(String(body['id_token']))
  assert.equal(authTime, Math.floor(clock.now / 1000) - 120, 'he authenticated when he chose, not now')

  for (const prompt of ['login', 'select_account']) {
    assert.equal((await browser.open(authorizeUrl(entra, { prompt }))).status, 200, prompt)
  }
  const other = await browser.open(authorizeUrl(entra, { login_hint: 'somebody@contoso.example' }))
  assert.equal(other.status, 200, 'the hint is of somebody else')

  const signOut = `${entra.url}/${CONTOSO}/oauth2/v2.0/logout?post_logout_redirect_uri=`
  const elsewhere = await browser.open(signOut + encodeURIComponent('https://attacker.example/'))
  assert.equal(elsewhere.status, 200, 'only registered addresses are gone to')
  const left = await browser.open(signOut + encodeURIComponent(SIGNED_OUT_URI))
  assert.equal(left.headers.get('location'), SIGNED_OUT_URI)
  assert.equal((await browser.open(authorizeUrl(entra))).status, 200, 'has to choose again')
})

test('a signed-in browser is worth nothing once its person’s sessions are revoked', async (t) => {
  const entra = await anEntra(t)
  const browser = new Browser()
  await browser.choose(entra, authorizeUrl(entra), ALICE.userPrincipalName)
  assert.equal((await browser.open(authorizeUrl(entra))).status, 302)
  entra.control.revokeSessions(ALICE.userPrincipalName)
  assert.equal((await browser.open(authorizeUrl(entra))).status, 200)
})

test('names are shown as text, the hinted account first', async () => {
  const url = authorizeUrl(shared, { login_hint: BOB.userPrincipalName }, 'organizations')
  const html = await (await fetch(url)).text()
  assert.ok(html.includes('Bob &#60;Baker&#62;') && !html.includes('<Baker>'))
  assert.ok(html.indexOf(BOB.userPrincipalName) < html.indexOf(ALICE.userPrincipalName))
})

test('with response_mode=form_post the answer is a form for the application, its state as text', () => {
  const url = authorizeUrl(shared, { response_mode: 'form_post', state: '"><script>' })
  const answer = shared.control.decide(url, { kind: 'approve', user: ALICE.userPrincipalName, hasMfa: true })
  assert.ok(answer.kind === 'page')
  assert.ok(answer.html.includes(`action="${REDIRECT_URI}"`))
  assert.match(answer.html, /name="code" value="[\w.-]{20,}"/)
  assert.ok(answer.html.includes('name="state" value="&#34;&#62;&#60;script&#62;"'))
})

// ── Admin consent ─────────────────────────────────────────────────────────────────────────────────────────────────

function consentUrl(entra: Entra, tenant: string): string {
  const query = new URLSearchParams({
    client_id: MIGRATION_APP,
    scope: `${GRAPH}/.default`,
    redirect_uri: CONSENT_URI,
    state: 'consent state',
  })
  return `${entra.url}/${tenant}/v2.0/adminconsent?${query.toString()}`
}

test('consent spreads: first the application is unknown, then it has no roles, then it has them', async (t) => {
  const clock = { now: Date.now() }
  const entra = await anEntra(t, { now: () => clock.now, consentDelays: { principalMs: 10_000, rolesMs: 60_000 } })
  const ask = async () => {
    const proven = await proof(entra, MIGRATION_APP, { tenant: FABRIKAM, at: clock.now })
    const { body } = await askToken(entra, { ...forGraph, ...proven }, FABRIKAM)
    return body['error_codes'] ?? decodeJwt(String(body['access_token']))['roles'] ?? 'no roles'
  }
  assert.deepEqual(await ask(), [700016])
  const back = approve(entra, consentUrl(entra, 'organizations'), BOB.userPrincipalName)
  assert.equal(back.origin + back.pathname, CONSENT_URI)
  assert.deepEqual(Object.fromEntries(back.searchParams), {
    admin_consent: 'True',
    tenant: FABRIKAM,
    scope: `${GRAPH}/.default`,
    state: 'consent state',
  })
  assert.deepEqual(await ask(), [700016])
  clock.now += 10_000
  assert.equal(await ask(), 'no roles')
  clock.now += 50_000
  assert.deepEqual(await ask(), ['Organization.Read.All', 'User.Read.All'])
  entra.control.withdrawConsent(FABRIKAM, MIGRATION_APP)
  assert.deepEqual(await ask(), [700016])
})

test('consent is an administrator’s: others, other tenants’ and who declines come back with an error, which still says True', () => {
  const attempts: [tenant: string, user: string | undefined, number: string][] = [
    [NORTHWIND, NICK.userPrincipalName, 'AADSTS90094'],
    [CONTOSO, BOB.userPrincipalName, 'AADSTS50020'],
    [CONTOSO, undefined, 'AADSTS65004'],
  ]
  for (const [tenant, user, number] of attempts) {
    const decision = user === undefined ? { kind: 'deny' as const } : { kind: 'approve' as const, user, hasMfa: true }
    const answer = shared.control.decide(consentUrl(shared, tenant), decision)
    const { searchParams } = new URL(answer.kind === 'redirect' ? answer.location : '')
    assert.match(searchParams.get('error_description') ?? '', new RegExp(`^${number}: `))
    assert.equal(searchParams.get('admin_consent'), 'True')
    assert.equal(searchParams.get('state'), 'consent state')
  }
})

test('an administrator’s consent opens a tenant whose people may not consent', async (t) => {
  const entra = await anEntra(t)
  const url = authorizeUrl(entra, {}, NORTHWIND)
  entra.control.grantConsent(NORTHWIND, SIGN_IN_APP)
  assert.ok(approve(entra, url, NICK.userPrincipalName).searchParams.has('code'))
})

test('the consent page shows administrators only, and what is asked for', async () => {
  const html = await (await fetch(consentUrl(shared, NORTHWIND))).text()
  assert.ok(html.includes(NORA.userPrincipalName) && !html.includes(NICK.userPrincipalName))
  assert.ok(html.includes('User.Read.All'))
  const common = await fetch(consentUrl(shared, 'common'), { redirect: 'manual' })
  assert.equal(common.status, 400, 'common is no tenant to consent for')
})

// ── Keys, transport, control ──────────────────────────────────────────────────────────────────────────────────────

test('a new key is published before it signs, and the old one stays until it is dropped', async (t) => {
  const entra = await anEntra(t)
  const kids = async () => {
    const response = await fetch(`${entra.url}/contoso.example/discovery/v2.0/keys`)
    return ((await response.json()) as JSONWebKeySet).keys.map(({ kid }) => kid)
  }
  const signer = async () => {
    const code = approve(entra, authorizeUrl(entra), ALICE.userPrincipalName).searchParams.get('code') ?? ''
    return decodeProtectedHeader(String((await redeem(entra, code)).body['id_token'])).kid
  }
  const [first] = await kids()
  await entra.control.publishNextKey(CONTOSO)
  const [, second, ...more] = await kids()
  assert.deepEqual(more, [])
  assert.equal(await signer(), first)
  await entra.control.useNewestKey(CONTOSO)
  assert.equal(await signer(), second)
  assert.deepEqual(await kids(), [first, second])
  await entra.control.dropOldKeys(CONTOSO)
  assert.deepEqual(await kids(), [second])
})

test('each tenant has keys of its own; the shared set names the issuer of each', async () => {
  const all = (await (await fetch(`${shared.url}/common/discovery/v2.0/keys`)).json()) as JSONWebKeySet
  const issuers = new Set(all.keys.map((key) => (key as { issuer?: string }).issuer))
  assert.deepEqual(issuers, new Set([CONTOSO, FABRIKAM, NORTHWIND].map((id) => `${shared.issuerOrigin}/${id}/v2.0`)))
  assert.equal(new Set(all.keys.map(({ n }) => n)).size, 3)
  for (const key of all.keys) assert.ok(!('d' in key) && !('p' in key), 'no private part')
})

test('metadata names a domain’s tenant by its id, and shared paths by a template', async () => {
  const read = async (path: string) =>
    (await (await fetch(`${shared.url}/${path}/v2.0/.well-known/openid-configuration`)).json()) as Record<
      string,
      unknown
    >
  const domain = await read('Contoso.example')
  assert.equal(domain['issuer'], `${shared.issuerOrigin}/${CONTOSO}/v2.0`)
  assert.equal(domain['jwks_uri'], `${shared.issuerOrigin}/${CONTOSO}/discovery/v2.0/keys`)
  assert.equal((await read('organizations'))['issuer'], `${shared.issuerOrigin}/{tenantid}/v2.0`)
  assert.deepEqual((await read('nowhere.example'))['error_codes'], [90002])
})

test('with a key and a certificate it speaks TLS and names itself so', async (t) => {
  using authority = new TestAuthority()
  const made = authority.issue({ names: ['IP:127.0.0.1'], usage: ['serverAuth'] })
  const tls = { key: readFileSync(made.key, 'utf8'), cert: readFileSync(made.certificate, 'utf8') }
  const entra = await anEntra(t, { tls })
  assert.match(entra.url, /^https:\/\/127\.0\.0\.1:\d+$/)
  assert.equal(entra.issuerOrigin, entra.url)
  const url = `${entra.url}/${CONTOSO}/v2.0/.well-known/openid-configuration`
  const status = await new Promise((resolve, reject) => {
    const ca = readFileSync(authority.certificate)
    httpsRequest(url, { ca, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
      .on('error', reject)
      .end()
  })
  assert.equal(status, 200)
})

test('it listens on this machine only', async () => {
  const seed = entraSeed(credential)
  await assert.rejects(startEntra({ seed, now: Date.now, at: { address: '0.0.0.0', port: 0 } }), /loopback/)
})

test('another process controls it over HTTP, a page in a browser does not', async (t) => {
  const entra = await anEntra(t)
  const post = (operation: string, fields: unknown, headers: Record<string, string> = { 'x-sandbox-control': '1' }) =>
    fetch(`${entra.url}/control/${operation}`, { method: 'POST', headers, body: JSON.stringify(fields) })
  assert.equal((await post('revoke-sessions', { user: ALICE.userPrincipalName }, {})).status, 403)
  const decided = await post('decide', { url: authorizeUrl(entra), kind: 'approve', user: ALICE.userPrincipalName })
  const { location } = (await decided.json()) as { location: string }
  const code = new URL(location).searchParams.get('code') ?? ''
  assert.equal((await post('set-enabled', { user: ALICE.userPrincipalName, isEnabled: false })).status, 200)
  assert.deepEqual((await redeem(entra, code)).body['error_codes'], [50057])
  for (const [operation, fields] of [
    ['set-enabled', { user: ALICE.userPrincipalName, isEnabled: 'no' }],
    ['set-enabled', { user: 'nobody@contoso.example', isEnabled: true }],
    ['set-enabled', null],
    ['toString', {}],
    ['add-fault', { endpoint: 'token', times: 1.5, status: 503 }],
  ] as const) {
    assert.equal((await post(operation, fields)).status, 400, operation)
  }
  assert.equal((await post('add-fault', { endpoint: 'token', times: 1, status: 503, retryAfterS: 7 })).status, 200)
  const url = `${entra.url}/${CONTOSO}/oauth2/v2.0/token`
  const failed = await fetch(url, { method: 'POST' })
  assert.deepEqual([failed.status, failed.headers.get('retry-after')], [503, '7'])
  assert.equal((await fetch(url, { method: 'POST' })).status, 400, 'the fault was good for once')
})

test('paths and bodies that make no sense are answered as such', async () => {
  const statusOf = async (path: string, init: RequestInit = {}) => (await fetch(shared.url + path, init)).status
  assert.equal(await statusOf('/'), 404)
  assert.equal(await statusOf('/%zz/oauth2/v2.0/token', { method: 'POST' }), 404)
  assert.equal(await statusOf(`/${CONTOSO}/oauth2/v2.0/token`), 404)
  assert.equal(await statusOf(`/${CONTOSO}/constructor`), 404)
  const big = { method: 'POST', body: `code=${'x'.repeat(300_000)}` }
  assert.equal(await statusOf(`/${CONTOSO}/oauth2/v2.0/token`, big), 400)
  assert.equal(await statusOf(`/${CONTOSO}/choose`, { method: 'POST', body: 'query=%zz' }), 400)
})
