// Tokens of the application for itself, from the simulated Entra: kept, renewed, dropped, refused. (microsoft-365.md §2.1)
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { loginEndpoint } from '../../../control-plane/access/login-endpoint.ts'
import { AppTokens } from '../../../control-plane/microsoft/app-tokens.ts'
import type { TokenPlace } from '../../../control-plane/microsoft/app-tokens.ts'
import { MicrosoftError } from '../../../control-plane/microsoft/microsoft-error.ts'
import type { MicrosoftErrorCode } from '../../../control-plane/microsoft/microsoft-error.ts'
import { judgeTokenRefusal, readTokenRefusal } from '../../../control-plane/microsoft/token-error.ts'
import type { Connection } from '../../../control-plane/microsoft/clients.ts'
import { startEntra } from '../../../sandbox/entra/entra.ts'
import type { Entra } from '../../../sandbox/entra/entra.ts'
import { CONTOSO, entraSeed, GRAPH, makeAppCertificate, MIGRATION_APP } from '../../harness/entra-seed.ts'
import { connectionOf, json, listening } from './scene.ts'

const MINUTE_MS = 60_000
const good = makeAppCertificate()
const expired = makeAppCertificate('20210101000000Z')
const stranger = makeAppCertificate()
let entra: Entra
/** The sandbox's and ours; apart only where a test says so. */
let nowMs = Date.UTC(2026, 10, 22, 10)
let skewMs = 0

before(async () => {
  entra = await startEntra({
    seed: entraSeed(good, expired),
    now: () => nowMs,
    consentDelays: { principalMs: 0, rolesMs: 0 },
  })
  entra.control.grantConsent(CONTOSO, MIGRATION_APP)
})
after(() => entra.close())

const place = (override: Partial<Connection> = {}): TokenPlace => ({
  connection: connectionOf({ entraTenantId: CONTOSO, clientId: MIGRATION_APP, ...good, ...override }),
  login: loginEndpoint('global', 'evaluation', new URL(entra.url)),
  audience: GRAPH,
})
const tokens = () => new AppTokens(() => nowMs + skewMs)

const codeOf = async (asked: Promise<unknown>): Promise<[MicrosoftErrorCode, string | undefined]> => {
  const error: unknown = await asked.then(
    () => undefined,
    (fault: unknown) => fault,
  )
  assert.ok(error instanceof MicrosoftError, String(error))
  assert.doesNotMatch(JSON.stringify([error.message, String(error.cause)]), /PRIVATE|eyJ|Trace ID/)
  return [error.code, error.serviceCode]
}

test('a token is asked for once, by however many at once, and kept until five minutes before its end', async () => {
  const held = tokens()
  const all = await Promise.all(Array.from({ length: 20 }, () => held.tokenFor(place())))
  const [first = ''] = all
  assert.deepEqual([...new Set(all)], [first])
  nowMs += 54 * MINUTE_MS
  assert.equal(await held.tokenFor(place()), first)
  nowMs += 2 * MINUTE_MS
  const second = await held.tokenFor(place())
  assert.notEqual(second, first)
  held.drop(place(), first)
  assert.equal(await held.tokenFor(place()), second, 'what is dropped is the token that was refused, not its successor')
  held.drop(place(), second)
  assert.notEqual(await held.tokenFor(place()), second)
})

test('each service, each place and each certificate has a token of its own; what is forgotten is asked for anew', async () => {
  const held = tokens()
  const first = await held.tokenFor(place())
  const other = await held.tokenFor({ ...place(), audience: 'https://outlook.office365.com' })
  const project = await held.tokenFor(place({ project: 'prj_2' as Connection['project'] }))
  assert.equal(new Set([first, other, project]).size, 3)
  assert.deepEqual(await codeOf(held.tokenFor(place(stranger))), ['AUTH_TOKEN', 'AADSTS700027'])
  held.forget(place().connection)
  assert.notEqual(await held.tokenFor(place()), first)
  assert.equal(await held.tokenFor(place({ project: 'prj_2' as Connection['project'] })), project)
})

test('refusals of Entra are told apart by what an administrator has to do', async () => {
  assert.deepEqual(await codeOf(tokens().tokenFor(place(expired))), ['CREDENTIAL_EXPIRED', 'AADSTS7000222'])
  assert.deepEqual(await codeOf(tokens().tokenFor(place({ privateKey: stranger.privateKey }))), [
    'AUTH_TOKEN',
    'unusable-credential',
  ])
  const nobody = place({ entraTenantId: '99999999-0000-4000-8000-000000000009' })
  assert.deepEqual(await codeOf(tokens().tokenFor(nobody)), ['AUTH_TOKEN', 'AADSTS90002'])
  const unknown = place({ clientId: '99999999-0000-4000-8000-00000000000a' })
  assert.deepEqual(await codeOf(tokens().tokenFor(unknown)), ['CONSENT_MISSING', 'AADSTS700016'])
  entra.control.withdrawConsent(CONTOSO, MIGRATION_APP)
  assert.deepEqual(await codeOf(tokens().tokenFor(place())), ['CONSENT_MISSING', 'AADSTS700016'])
  entra.control.grantConsent(CONTOSO, MIGRATION_APP)
  assert.ok(await tokens().tokenFor(place()))
})

test('a clock that is wrong is called so', async () => {
  skewMs = -60 * MINUTE_MS
  assert.deepEqual(await codeOf(tokens().tokenFor(place())), ['CLOCK_SKEW', 'AADSTS700024'])
  skewMs = 0
})

test('a clock put right between two attempts costs nothing', async () => {
  skewMs = -60 * MINUTE_MS
  let reads = 0
  const held = new AppTokens(() => {
    reads++
    if (reads > 3) skewMs = 0
    return nowMs + skewMs
  })
  const asked = held.tokenFor(place())
  assert.ok(await asked)
  assert.ok(reads > 3)
})

test('throttled: the login service is left alone as long as it asked, and not a moment longer', async () => {
  const held = tokens()
  entra.control.addFault({ endpoint: 'token', times: 1, answer: { kind: 'status', status: 429, retryAfterS: 20 } })
  const refusal = async () =>
    held.tokenFor(place()).then(
      () => undefined,
      (error: unknown) => (error instanceof MicrosoftError ? [error.code, error.waitMs] : error),
    )
  assert.deepEqual(await refusal(), ['THROTTLED', 20_000])
  nowMs += 5_000
  assert.deepEqual(await refusal(), ['THROTTLED', 15_000])
  nowMs += 15_000
  assert.equal(await refusal(), undefined)
})

test('a token that can not be renewed yet is used while it is good', async () => {
  const held = tokens()
  const first = await held.tokenFor(place())
  nowMs += 56 * MINUTE_MS
  entra.control.addFault({ endpoint: 'token', times: 3, answer: { kind: 'status', status: 503 } })
  assert.equal(await held.tokenFor(place()), first)
  nowMs += 3 * MINUTE_MS
  assert.deepEqual(
    await codeOf(held.tokenFor(place())),
    ['TRANSIENT', undefined],
    'a minute is too little to begin with',
  )
  entra.control.addFault({ endpoint: 'token', times: 1, answer: { kind: 'reset' } })
  assert.equal((await codeOf(held.tokenFor(place())))[0], 'TRANSIENT')
  assert.equal((await codeOf(held.tokenFor(place())))[0], 'TRANSIENT')
  assert.ok(await held.tokenFor(place()))
})

const answers: [body: unknown, status: number, code: MicrosoftErrorCode, why: string][] = [
  [{ token_type: 'Bearer', expires_in: 3_600 }, 200, 'TRANSIENT', 'a good answer without a token'],
  [
    { token_type: 'Bearer', expires_in: 3_600, access_token: 'a\r\nb' },
    200,
    'TRANSIENT',
    'a token that breaks a header',
  ],
  [{ error: 'invalid_client', error_codes: [700027] }, 400, 'AUTH_TOKEN', 'a refusal with Retry-After is no outage'],
  [[], 400, 'TRANSIENT', 'no answer of Entra’s'],
]
for (const [body, status, code, why] of answers) {
  test(`a token endpoint that answers ${status} ${JSON.stringify(body)} gives ${code}: ${why}`, async (t) => {
    let requests = 0
    const url = await listening(t, (request, response) => {
      requests++
      request.resume()
      json(response, body, status, { 'retry-after': '3600' })
    })
    const held = tokens()
    const at = { ...place(), login: { origin: 'https://login.sandbox.test', reachAt: url } }
    assert.equal((await codeOf(held.tokenFor(at)))[0], code)
    assert.equal((await codeOf(held.tokenFor(at)))[0], code)
    assert.equal(requests, 2, 'nothing in between refuses the same request by itself')
  })
}

const refusals: [status: number, error: string | undefined, entraCode: number | undefined, code: MicrosoftErrorCode][] =
  [
    [400, 'unauthorized_client', 700016, 'CONSENT_MISSING'],
    [401, 'invalid_client', 700027, 'AUTH_TOKEN'],
    [401, 'invalid_client', 7000215, 'AUTH_TOKEN'],
    [401, 'invalid_client', 7000222, 'CREDENTIAL_EXPIRED'],
    [401, 'invalid_client', 700024, 'CLOCK_SKEW'],
    [400, 'invalid_request', 90002, 'AUTH_TOKEN'],
    [400, 'invalid_grant', 53003, 'POLICY_BLOCKED'],
    [400, 'unauthorized_client', 7000112, 'POLICY_BLOCKED'],
    [400, 'invalid_resource', 500011, 'CONSENT_MISSING'],
    [400, 'invalid_request', 90033, 'TRANSIENT'],
    [400, 'invalid_request', 90055, 'THROTTLED'],
    // OAuth's word stands above the number, which may change.
    [401, 'invalid_client', 90033, 'AUTH_TOKEN'],
    [400, 'temporarily_unavailable', 700016, 'TRANSIENT'],
    [400, 'invalid_client', 12345678, 'AUTH_TOKEN'],
    [400, 'invalid_client', undefined, 'AUTH_TOKEN'],
    [400, undefined, undefined, 'AUTH_TOKEN'],
    [429, undefined, undefined, 'THROTTLED'],
    [503, 'invalid_client', 700027, 'TRANSIENT'],
  ]
for (const [status, error, entraCode, code] of refusals) {
  test(`a token request refused with ${status} ${error} ${entraCode} is ${code}`, () => {
    assert.equal(judgeTokenRefusal({ status, error, entraCode }), code)
  })
}

test('what a refusal says is read without believing it', () => {
  const bodies: [body: Record<string, unknown>, error: string | undefined, entraCode: number | undefined][] = [
    [{ error: 'invalid_client', error_codes: [700027, 1] }, 'invalid_client', 700027],
    [{ error: 'invalid_client', error_codes: '700027' }, 'invalid_client', undefined],
    [{ error: 'alice@contoso.com refused', error_codes: ['7'] }, undefined, undefined],
    [{ error: { nested: true } }, undefined, undefined],
    [{}, undefined, undefined],
  ]
  for (const [body, error, entraCode] of bodies)
    assert.deepEqual(readTokenRefusal(400, body), { status: 400, error, entraCode })
})
