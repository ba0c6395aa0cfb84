// What administrators change in the simulated Entra while it runs, and what an application gets to feel of it: certificates, permissions, consent,
// being switched off or blocked, another cloud. (microsoft-365.md §2.1, §2.3)
import assert from 'node:assert/strict'
import { X509Certificate, createHash, createPrivateKey, generateKeyPairSync, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { SignJWT, decodeJwt } from 'jose'
import { ControlFault } from '../../sandbox/entra/control-fault.ts'
import type { EntraKept } from '../../sandbox/entra/directory.ts'
import { startEntra } from '../../sandbox/entra/entra.ts'
import type { Entra, EntraOptions } from '../../sandbox/entra/entra.ts'
import { TestAuthority } from '../harness/certificates.ts'
import {
  ALICE,
  CONTOSO,
  FABRIKAM,
  GRAPH,
  MIGRATION_APP,
  SIGN_IN_APP,
  entraSeed,
  makeAppCertificate,
} from '../harness/entra-seed.ts'
import type { AppCertificate } from '../harness/entra-seed.ts'

const EXCHANGE = 'https://outlook.office365.com'
const credential = makeAppCertificate()
const second = makeAppCertificate()
const ROLES = ['Organization.Read.All', 'User.Read.All']

async function anEntra(t: TestContext, options: Partial<EntraOptions> = {}): Promise<Entra> {
  const consentDelays = { principalMs: 0, rolesMs: 0 }
  const entra = await startEntra({ seed: entraSeed(credential), now: Date.now, consentDelays, ...options })
  t.after(() => entra.close())
  return entra
}

interface Asking {
  readonly tenant?: string
  readonly app?: string
  readonly by?: AppCertificate
  readonly resource?: string
}

async function tokenRequest(
  entra: Entra,
  { tenant = CONTOSO, app = MIGRATION_APP, by = credential, resource = GRAPH }: Asking,
) {
  const now = Math.floor(Date.now() / 1000)
  const { raw } = new X509Certificate(by.certificate)
  const claims = { aud: `${entra.issuerOrigin}/${tenant}/oauth2/v2.0/token`, iss: app, sub: app, jti: randomUUID() }
  const assertion = await new SignJWT({ ...claims, nbf: now, exp: now + 300 })
    .setProtectedHeader({ alg: 'PS256', 'x5t#S256': createHash('sha256').update(raw).digest('base64url') })
    .sign(createPrivateKey(by.privateKey))
  const response = await fetch(`${entra.url}/${tenant}/oauth2/v2.0/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: app,
      scope: `${resource}/.default`,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    }),
  })
  return (await response.json()) as { access_token?: string; error?: string; error_codes?: number[] }
}

/** Roles of the token, or the refusal. */
async function ask(entra: Entra, asking: Asking = {}): Promise<unknown> {
  const { access_token: token, error, error_codes: codes } = await tokenRequest(entra, asking)
  return token === undefined ? { error, codes } : (decodeJwt(token)['roles'] ?? [])
}

test('a certificate that an administrator uploads is good at once, and no more once it is removed', async (t) => {
  const entra = await anEntra(t)
  entra.control.grantConsent(CONTOSO, MIGRATION_APP)
  const stranger = { error: 'invalid_client', codes: [700027] }
  assert.deepEqual(await ask(entra, { by: second }), stranger)
  const thumbprints = entra.control.addCertificate(MIGRATION_APP, second.certificate)
  const { fingerprint, fingerprint256 } = new X509Certificate(second.certificate)
  const plain = (text: string) => text.replaceAll(':', '').toLowerCase()
  assert.deepEqual(thumbprints, { sha1: plain(fingerprint), sha256: plain(fingerprint256) })
  assert.deepEqual(await ask(entra, { by: second }), ROLES)
  assert.deepEqual(await ask(entra), ROLES, 'the old one is good beside it')
  entra.control.removeCertificate(MIGRATION_APP, fingerprint256)
  assert.deepEqual(await ask(entra, { by: second }), stranger)
  entra.control.removeCertificate(MIGRATION_APP, new X509Certificate(credential.certificate).fingerprint)
  assert.deepEqual(await ask(entra), stranger)
})

test('an upload is refused that is no certificate of Entra’s kind, and changes nothing', async (t) => {
  const entra = await anEntra(t)
  entra.control.grantConsent(CONTOSO, MIGRATION_APP)
  using authority = new TestAuthority()
  const elliptic = authority.selfSigned({
    commonName: 'x',
    keyType: 'ec',
    notBefore: '20200101000000Z',
    notAfter: '20990101000000Z',
  })
  const pem = second.certificate
  const uploads: [why: string, pem: string, message: RegExp][] = [
    ['nothing', '', /one certificate/],
    ['text', 'hello', /one certificate/],
    ['a certificate that was cut', pem.slice(0, pem.length / 2), /one certificate/],
    ['a certificate whose bytes are others', pem.replace(/[A-Za-z]{8}/, 'AAAAAAAA'), /one certificate/],
    ['two certificates', pem + pem, /one certificate/],
    ['a private key with it', pem + second.privateKey, /private key/],
    [
      'a public key',
      generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      /one certificate/,
    ],
    ['an elliptic curve', readFileSync(elliptic.certificate, 'utf8'), /RSA/],
    ['what is there already', credential.certificate, /is there/],
  ]
  for (const [why, text, message] of uploads) {
    assert.throws(() => entra.control.addCertificate(MIGRATION_APP, text), { name: 'ControlFault', message }, why)
  }
  assert.throws(() => entra.control.removeCertificate(MIGRATION_APP, 'ab'.repeat(20)), ControlFault)
  assert.deepEqual(await ask(entra), ROLES)
  assert.deepEqual(await ask(entra, { by: second }), { error: 'invalid_client', codes: [700027] })
})

test('what a registration asks for is granted by the next consent, and what was granted stays until it is withdrawn', async (t) => {
  const clock = { now: Date.now() }
  const entra = await anEntra(t, { now: () => clock.now, consentDelays: { principalMs: 0, rolesMs: 60_000 } })
  entra.control.grantConsent(FABRIKAM, MIGRATION_APP)
  clock.now += 60_000
  entra.control.setPermissions(MIGRATION_APP, { [GRAPH]: ['Domain.Read.All'], [EXCHANGE]: ['Exchange.ManageAsApp'] })
  const asking = { tenant: FABRIKAM }
  assert.deepEqual(await ask(entra, asking), ROLES)
  assert.deepEqual(await ask(entra, { ...asking, resource: EXCHANGE }), [])
  entra.control.grantConsent(FABRIKAM, MIGRATION_APP)
  assert.deepEqual(await ask(entra, asking), ROLES, 'it has not spread yet')
  clock.now += 60_000
  assert.deepEqual(await ask(entra, asking), ['Domain.Read.All'])
  assert.deepEqual(await ask(entra, { ...asking, resource: EXCHANGE }), ['Exchange.ManageAsApp'])
  assert.deepEqual(entra.principals(FABRIKAM), [
    {
      clientId: MIGRATION_APP,
      name: 'Causeway migration',
      roles: { [GRAPH]: ['Domain.Read.All'], [EXCHANGE]: ['Exchange.ManageAsApp'] },
    },
  ])
  entra.control.withdrawConsent(FABRIKAM, MIGRATION_APP)
  assert.deepEqual(await ask(entra, asking), { error: 'unauthorized_client', codes: [700016] })
  assert.deepEqual(entra.principals(FABRIKAM), [])
})

test('a token is worth nothing at the resource from the moment its consent is withdrawn or its application switched off', async (t) => {
  const entra = await anEntra(t)
  entra.control.grantConsent(FABRIKAM, MIGRATION_APP)
  const { access_token: token = '' } = await tokenRequest(entra, { tenant: FABRIKAM })
  const read = () => entra.tokens.read(`Bearer ${token}`, GRAPH)
  assert.deepEqual(await read(), { tenantId: FABRIKAM, clientId: MIGRATION_APP, roles: ROLES })
  entra.control.setAppEnabled(FABRIKAM, MIGRATION_APP, false)
  assert.equal(await read(), undefined)
  assert.deepEqual(await ask(entra, { tenant: FABRIKAM }), { error: 'unauthorized_client', codes: [7000112] })
  entra.control.setAppEnabled(FABRIKAM, MIGRATION_APP, true)
  assert.notEqual(await read(), undefined)
  entra.control.withdrawConsent(FABRIKAM, MIGRATION_APP)
  assert.equal(await read(), undefined)
})

test('Conditional Access may block an application in one tenant', async (t) => {
  const entra = await anEntra(t)
  for (const tenant of [CONTOSO, FABRIKAM]) entra.control.grantConsent(tenant, MIGRATION_APP)
  entra.control.blockApp(FABRIKAM, MIGRATION_APP, true)
  assert.deepEqual(await ask(entra, { tenant: FABRIKAM }), { error: 'invalid_grant', codes: [53003] })
  assert.deepEqual(await ask(entra, { tenant: CONTOSO }), ROLES)
  entra.control.blockApp(FABRIKAM, MIGRATION_APP, false)
  assert.deepEqual(await ask(entra, { tenant: FABRIKAM }), ROLES)
  assert.throws(
    () => entra.control.blockApp(FABRIKAM, SIGN_IN_APP, true),
    /AADSTS|not found/,
    'the tenant does not know it',
  )
})

test('a tenant of another cloud is told so, at every endpoint, and nobody of it signs in', async (t) => {
  const elsewhere = {
    id: 'eeeeeeee-0000-4000-8000-00000000000e',
    domain: 'abroad.example',
    name: 'Abroad',
    users: [],
    cloud: 'china',
  } as const
  const seed = entraSeed(credential)
  const entra = await anEntra(t, { seed: { ...seed, tenants: [...seed.tenants, elsewhere] } })
  const refusal = { error: 'invalid_request', codes: [90038] }
  assert.deepEqual(await ask(entra, { tenant: elsewhere.id }), refusal)
  assert.deepEqual(await ask(entra, { tenant: '00000000-0000-4000-8000-000000000000' }), {
    error: 'invalid_request',
    codes: [90002],
  })
  const metadata = await fetch(`${entra.url}/${elsewhere.domain}/v2.0/.well-known/openid-configuration`)
  assert.equal(metadata.status, 400)
  assert.match(await metadata.text(), /AADSTS90038/)
  assert.throws(() => entra.control.grantConsent(elsewhere.id, MIGRATION_APP), { code: 90038 })
})

test('an application registered at run time is of its own tenant unless it is for several', async (t) => {
  const entra = await anEntra(t)
  const clientId = '77777777-0000-4000-8000-000000000007'
  const registration = {
    clientId,
    name: 'Own registration',
    homeTenant: FABRIKAM,
    redirectUris: [],
    certificates: [second.certificate],
    permissions: { [GRAPH]: ['User.Read.All'] },
  }
  entra.control.registerApp(registration)
  assert.throws(() => entra.control.registerApp(registration), ControlFault)
  assert.throws(() => entra.control.registerApp({ ...registration, clientId: 'x' }), ControlFault)
  assert.throws(() => entra.control.registerApp({ ...registration, homeTenant: 'nowhere' }), { code: 90002 })
  const asking = { app: clientId, by: second }
  assert.deepEqual(await ask(entra, { ...asking, tenant: FABRIKAM }), [], 'known at home, with no roles yet')
  entra.control.grantConsent(FABRIKAM, clientId)
  assert.deepEqual(await ask(entra, { ...asking, tenant: FABRIKAM }), ['User.Read.All'])
  assert.throws(() => entra.control.grantConsent(CONTOSO, clientId), { code: 700016 })
})

test('another process does all of it over HTTP, and is told which field is wrong', async (t) => {
  const entra = await anEntra(t)
  const post = async (operation: string, fields: unknown) => {
    const headers = { 'x-sandbox-control': '1' }
    const reply = await fetch(`${entra.url}/control/${operation}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(fields),
    })
    return { status: reply.status, body: (await reply.json()) as Record<string, unknown> }
  }
  const clientId = '77777777-0000-4000-8000-000000000008'
  const registration = { clientId, name: 'By HTTP', homeTenant: CONTOSO, permissions: { [GRAPH]: ['User.Read.All'] } }
  assert.equal((await post('register-app', registration)).status, 200)
  const added = await post('add-certificate', { clientId, certificate: second.certificate })
  assert.deepEqual([added.status, typeof added.body['sha256']], [200, 'string'])
  assert.equal((await post('grant-consent', { tenant: CONTOSO, clientId })).status, 200)
  assert.deepEqual(await ask(entra, { app: clientId, by: second }), ['User.Read.All'])
  for (const [operation, fields, message] of [
    ['add-certificate', { clientId, certificate: 'no' }, /one certificate/],
    ['add-certificate', { clientId: 'nobody', certificate: second.certificate }, /not found/],
    ['remove-certificate', { clientId, thumbprint: 'ff' }, /no such certificate/],
    ['set-permissions', { clientId, permissions: { [GRAPH]: 'all' } }, /permissions/],
    ['set-permissions', { clientId, permissions: [] }, /permissions/],
    ['register-app', { ...registration, redirectUris: [7] }, /redirectUris/],
    ['block-app', { tenant: CONTOSO, clientId, isBlocked: 'yes' }, /isBlocked/],
    ['set-app-enabled', { tenant: FABRIKAM, clientId, isEnabled: false }, /not found/],
  ] as const) {
    const { status, body } = await post(operation, fields)
    assert.equal(status, 400, operation)
    assert.match(String(body['error']), message)
  }
  assert.equal((await post('remove-certificate', { clientId, thumbprint: added.body['sha1'] })).status, 200)
})

test('consents, registrations and switched off accounts outlive a restart; addresses of the seed stay good', async (t) => {
  let kept: EntraKept | undefined
  const first = await anEntra(t, { onChange: (now) => (kept = JSON.parse(JSON.stringify(now)) as EntraKept) })
  first.control.grantConsent(FABRIKAM, MIGRATION_APP)
  first.control.addCertificate(MIGRATION_APP, second.certificate)
  first.control.setEnabled(ALICE.userPrincipalName, false)
  const seed = entraSeed(credential)
  const apps = seed.apps.map((app) => ({
    ...app,
    redirectUris: ['https://elsewhere.example/callback'],
    permissions: { [GRAPH]: ['Domain.Read.All'] },
  }))
  const again = await anEntra(t, { seed: { ...seed, apps }, kept })
  assert.deepEqual(await ask(again, { tenant: FABRIKAM, by: second }), ROLES)
  assert.deepEqual(await ask(again, { tenant: FABRIKAM }), ROLES)
  again.control.grantConsent(FABRIKAM, MIGRATION_APP)
  assert.deepEqual(await ask(again, { tenant: FABRIKAM }), ['Domain.Read.All'], 'the seed’s, as nobody changed them')
  const query = new URLSearchParams({
    client_id: SIGN_IN_APP,
    response_type: 'code',
    redirect_uri: 'https://elsewhere.example/callback',
    scope: 'openid',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  })
  const answer = again.control.decide(`${again.url}/${CONTOSO}/oauth2/v2.0/authorize?${query.toString()}`, {
    kind: 'approve',
    user: ALICE.userPrincipalName,
    hasMfa: true,
  })
  assert.ok(answer.kind === 'page' && /AADSTS50057/.test(answer.html), 'the address is known, the account is off')
})
