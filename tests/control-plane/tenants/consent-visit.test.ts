// The administrator's visit, against a simulated Entra: what connects a tenant, and everything that must not. (EC-3, microsoft-365.md §2.3)
import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { FailureLimit } from '../../../control-plane/access/failure-limit.ts'
import { rowOf, withScope } from '../../../control-plane/db/database.ts'
import { requestJob } from '../../../control-plane/db/outbox.ts'
import type { OrganisationId, ProjectId, TenantId } from '../../../control-plane/ids.ts'
import { createMicrosoft365 } from '../../../control-plane/microsoft/microsoft365.ts'
import { RetryLater } from '../../../control-plane/jobs/retry.ts'
import { checkTenantJob } from '../../../control-plane/tenants/check-tenant.ts'
import { connectionCertificateRoutes } from '../../../control-plane/tenants/connection-certificate-routes.ts'
import { consentRoutes } from '../../../control-plane/tenants/consent-routes.ts'
import { consentVisitRoutes } from '../../../control-plane/tenants/consent-visit-routes.ts'
import { healthRoutes } from '../../../control-plane/tenants/health-routes.ts'
import { setProved } from '../../../control-plane/tenants/consent-store.ts'
import { SPREAD_MS } from '../../../control-plane/tenants/consent.ts'
import { LoginClouds } from '../../../control-plane/tenants/login-clouds.ts'
import { tenantRoutes } from '../../../control-plane/tenants/tenant-routes.ts'
import { HOSTILE_TOKENS } from '../../../sandbox/entra/hostile-tokens.ts'
import { generateTenant } from '../../../sandbox/tenants/generate.ts'
import { testApi } from '../../harness/api.ts'
import type { Reply } from '../../harness/api.ts'
import { sandboxSettings } from '../../harness/connected-project.ts'
import { runJob } from '../../harness/run-job.ts'
import { CONTOSO, FABRIKAM, GRAPH_RESOURCE, testSandbox } from '../../harness/sandbox.ts'
import { testSealer } from '../../harness/sealer.ts'

const PUBLIC_URL = new URL('https://causeway.example')
const REDIRECTS = ['callback', 'signed-in'].map((name) => `${PUBLIC_URL.origin}/api/v1/consent/${name}`)
let offsetMs = 0
const waits: number[] = []
const now = () => Date.now() + offsetMs

const GOVERNMENT = '99999999-0000-4000-8000-000000000009'
const sandbox = await testSandbox(
  { after },
  {
    redirectUris: REDIRECTS,
    consents: [],
    tenants: [
      generateTenant({ seed: 1, people: 8 }),
      generateTenant({ seed: 1, people: 8, side: 'target' }),
      { ...generateTenant({ seed: 9, people: 2 }), id: GOVERNMENT, cloud: 'gcc-high' },
    ],
  },
)
const settings = sandboxSettings(sandbox)
const log = createLog({ write: () => {}, level: 'error', now })
const microsoft = createMicrosoft365({
  settings,
  log,
  metrics: emptyMetrics(),
  now,
  monotonicMs: () => performance.now(),
})
let sealer: Awaited<ReturnType<typeof testSealer>> | undefined
const api = await testApi(
  { after },
  async ({ database, log: own }) => {
    sealer = await testSealer({ after }, database, own)
    const clouds = new LoginClouds({ mode: 'evaluation', sandboxUrl: settings.entra?.sandboxUrl, now })
    const deps = {
      db: database.db,
      sealer,
      sharedApp: sandbox.app,
      microsoft,
      publicUrl: PUBLIC_URL,
      random: randomBytes,
      now,
    }
    const failures = new FailureLimit(() => performance.now() * 1_000) // nobody waits here
    return [
      ...tenantRoutes(),
      ...consentRoutes(deps),
      ...consentVisitRoutes({ ...deps, clouds, failures, wait: (ms) => Promise.resolve(waits.push(ms)) }),
      ...connectionCertificateRoutes(deps),
      ...healthRoutes(deps),
    ]
  },
  { now },
)
const { db } = api.database

interface Scene {
  readonly organisation: OrganisationId
  readonly key: string
  readonly project: string
  readonly path: string
  readonly tenant: string
}

async function scene(tenantId = CONTOSO, body: Record<string, unknown> = {}): Promise<Scene> {
  const { id: organisation, key } = await api.organisation()
  const project = await api.project(organisation)
  const made = await api.request(
    'POST',
    `/projects/${project}/tenants`,
    { side: 'source', label: 'src', tenantId, ...body },
    { key },
  )
  assert.equal(made.status, 201, JSON.stringify(made.body))
  const tenant = made.body.id as string
  return { organisation, key, project, tenant, path: `/projects/${project}/tenants/${tenant}` }
}

/** Somebody's browser: remembers the cookie. */
class Browser {
  cookie = ''

  /** @param url  at our origin */
  async open(url: string): Promise<Reply & { readonly location: string }> {
    const { pathname, search } = new URL(url)
    const path = pathname.replace(/^\/api\/v1/, '') + search
    const reply = await fetchPage(path, this.cookie)
    const set = reply.headers.get('set-cookie')
    if (set !== null) this.cookie = set.split(';', 1)[0] ?? ''
    return { ...reply, location: reply.headers.get('location') ?? '' }
  }
}

async function fetchPage(path: string, cookie: string): Promise<Reply> {
  const response = await fetch(`${api.url}/api/v1${path}`, {
    redirect: 'manual',
    headers: cookie === '' ? {} : { Cookie: cookie },
  })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

async function ask({ path, key }: Scene, body: Record<string, unknown> = {}): Promise<string> {
  const asked = await api.request('POST', `${path}/consent`, body, { key })
  assert.equal(asked.status, 201, JSON.stringify(asked.body))
  return asked.body.link as string
}

const administratorOf = (tenantId: string): string => {
  const tenant = sandbox.tenants.get(tenantId)
  const id = tenant?.data.administrators[0] ?? ''
  return String(tenant?.object(id)?.properties['userPrincipalName'])
}

/** What the person decides at Entra's page. @returns where Entra sends the browser */
function decide(url: string, user: string): string {
  const answer = sandbox.entra.control.decide(url, { kind: 'approve', user, hasMfa: true })
  assert.ok(answer.kind === 'redirect', JSON.stringify(answer))
  return answer.location
}

/** Up to Entra's answer to the consent. */
async function toCallback(of: Scene, browser = new Browser()): Promise<{ browser: Browser; callback: string }> {
  const { status, location } = await browser.open(await ask(of))
  assert.equal(status, 302)
  return { browser, callback: decide(location, administratorOf(CONTOSO)) }
}

/** Up to Entra's answer to the sign-in. */
async function toSignedIn(of: Scene): Promise<{ browser: Browser; signedIn: string }> {
  const { browser, callback } = await toCallback(of)
  const { location } = await browser.open(callback)
  return { browser, signedIn: decide(location, administratorOf(CONTOSO)) }
}

const consentOf = async ({ path, key }: Scene) => (await api.request('GET', `${path}/consent`, undefined, { key })).body
const claims = (organisation: OrganisationId) =>
  withScope(db, { organisation }, (tx) => rowOf<{ count: number }>(tx, sql`select count(*) as count from tenant_claim`))

async function check({ organisation, tenant }: Scene): Promise<void> {
  assert.ok(sealer)
  const deps = { db, sealer, sharedApp: sandbox.app, microsoft, now }
  await runJob(db, { organisation, kind: 'tenant.check', object: tenant }, checkTenantJob(deps)).catch(
    (error: unknown) => {
      if (!(error instanceof RetryLater)) throw error
    },
  )
}

async function forget({ organisation, project, tenant, path, key }: Scene): Promise<void> {
  sandbox.control.withdrawConsent(CONTOSO, sandbox.app.clientId)
  microsoft.forget({ organisation, project: project as never, tenant: tenant as never })
  assert.equal((await api.request('DELETE', path, undefined, { key })).status, 204)
}

test('EC-3: consent, sign-in and a look at the tenant connect it; it is the organization’s from then on', async () => {
  const it = await scene()
  assert.equal((await consentOf(it)).state, 'none')
  const { browser, signedIn } = await toSignedIn(it)
  assert.equal((await claims(it.organisation))?.count, 0, 'nothing is believed before the proof')
  const last = await browser.open(signedIn)
  assert.equal(last.status, 200)
  assert.match(last.body as string, /consent was recorded/)
  assert.equal((await consentOf(it)).state, 'checking')
  assert.equal((await claims(it.organisation))?.count, 1)
  await check(it)
  const { state, missing, granted } = await consentOf(it)
  assert.equal(state, 'connected')
  assert.deepEqual(missing, [])
  assert.ok((granted as string[]).includes('User.Read.All'))
  const { status } = (await api.request('GET', `${it.path}/health`, undefined, it)).body
  assert.equal(status, 'ok')
  // Somebody asks for more: until that is given, work goes on with what there is.
  await ask(it, { capabilities: [{ capability: 'mailboxes' }] })
  assert.equal((await api.request('POST', `${it.path}/health/checks`, undefined, it)).status, 202)
  await check(it)
  const still = await consentOf(it)
  assert.deepEqual([still.state, still.missing], ['connected', []])
  const other = await api.organisation()
  const project = await api.project(other.id)
  const taken = await api.request(
    'POST',
    `/projects/${project}/tenants`,
    { side: 'source', label: 'x', tenantId: CONTOSO },
    other,
  )
  assert.equal(taken.body.type, '/problems/tenant-taken')
  await forget(it)
})

const spreading: readonly (readonly [times: number, waits: readonly number[], status: number])[] = [
  [3, [1_000, 2_000, 4_000], 200],
  [5, [1_000, 2_000, 4_000, 8_000], 400],
]
for (const [times, expected, status] of spreading) {
  test(`a sign-in right after the consent waits while Entra knows nothing of the application: ${times} times`, async () => {
    const it = await scene()
    const { browser, signedIn } = await toSignedIn(it)
    const body = JSON.stringify({
      error: 'unauthorized_client',
      error_description: 'AADSTS700016: Application was not found in the directory.',
      error_codes: [700_016],
    })
    sandbox.entra.control.addFault({ endpoint: 'token', times, answer: { kind: 'status', status: 400, body } })
    waits.length = 0
    assert.equal((await browser.open(signedIn)).status, status)
    assert.deepEqual(waits, expected)
    await forget(it)
  })
}

test('EC-3: registering takes a tenant from nobody: whoever proves that it is his has it', async () => {
  const squatter = await scene()
  const owner = await scene()
  const { browser, signedIn } = await toSignedIn(owner)
  assert.equal((await browser.open(signedIn)).status, 200)
  const late = await toSignedIn(squatter)
  const refused = await late.browser.open(late.signedIn)
  assert.equal(refused.status, 400)
  assert.match(refused.body as string, /attached to another organization/)
  assert.equal((await consentOf(squatter)).trouble.code, 'TENANT_TAKEN')
  await forget(owner)
})

const forged: readonly (readonly [
  why: string,
  forge: (callback: URL, browser: Browser, it: Scene) => unknown,
  expected: 'unknown' | 'WRONG_TENANT' | 'DECLINED',
])[] = [
  ['a state that nobody made', (url) => url.searchParams.set('state', 'x'.repeat(43)), 'unknown'],
  ['no state', (url) => url.searchParams.delete('state'), 'unknown'],
  ['two states', (url) => url.searchParams.append('state', 'x'), 'unknown'],
  ['a browser without the cookie', (_url, browser) => (browser.cookie = ''), 'unknown'],
  [
    'the cookie of another consent',
    async (_url, browser) => {
      const other = new Browser()
      await other.open(await ask(await scene(FABRIKAM)))
      browser.cookie = other.cookie
    },
    'unknown',
  ],
  ['a cookie that we never set', (_url, browser) => (browser.cookie = '__Host-causeway-consent=../../x'), 'unknown'],
  ['another tenant', (url) => url.searchParams.set('tenant', FABRIKAM), 'WRONG_TENANT'],
  ['two tenants', (url) => url.searchParams.append('tenant', CONTOSO), 'WRONG_TENANT'],
  ['no tenant', (url) => url.searchParams.delete('tenant'), 'WRONG_TENANT'],
  ['no consent', (url) => url.searchParams.set('admin_consent', 'False'), 'WRONG_TENANT'],
  ['an error beside a consent', (url) => url.searchParams.set('error', 'access_denied'), 'DECLINED'],
  ['ten minutes later', () => (offsetMs += 10 * 60_000), 'unknown'],
]
for (const [why, forge, expected] of forged) {
  test(`EC-3: a forged callback connects nothing: ${why}`, async () => {
    const it = await scene()
    const { browser, callback } = await toCallback(it)
    const url = new URL(callback)
    await forge(url, browser, it)
    const reply = await browser.open(url.href)
    assert.notEqual(reply.status, 302, 'nobody is sent on')
    const consent = await consentOf(it)
    if (expected === 'unknown') {
      assert.equal(reply.status, 400)
      assert.equal(consent.state, 'asked')
    } else {
      assert.equal(consent.state, 'refused')
      assert.equal(consent.trouble.code, expected)
      assert.ok(consent.trouble.remedy.length > 10)
    }
    assert.equal((await claims(it.organisation))?.count, 0)
    offsetMs = 0
  })
}

test('EC-3: a state is good once, at the consent and at the sign-in', async () => {
  const it = await scene()
  const { browser, callback } = await toCallback(it)
  const bound = browser.cookie
  const { location } = await browser.open(callback)
  const replay = new Browser()
  replay.cookie = bound
  assert.equal((await replay.open(callback)).status, 400)
  const signedIn = decide(location, administratorOf(CONTOSO))
  const proof = browser.cookie
  assert.equal((await browser.open(signedIn)).status, 200)
  replay.cookie = proof
  assert.equal((await replay.open(signedIn)).status, 400)
  await forget(it)
})

// Of several people of a tenant any may prove that it is his: who consented, Entra does not say.
for (const kind of HOSTILE_TOKENS.filter((each) => each !== 'another-person')) {
  test(`EC-3: a sign-in proves nothing with a token that is ${kind}`, async () => {
    const it = await scene()
    const { browser, signedIn } = await toSignedIn(it)
    sandbox.entra.control.makeNextIdToken(kind)
    const reply = await browser.open(signedIn)
    assert.equal(reply.status, 400)
    assert.equal((await consentOf(it)).state, 'refused')
    assert.equal((await claims(it.organisation))?.count, 0)
  })
}

test('EC-3: an administrator of another tenant can’t attach this one', async () => {
  const it = await scene()
  const browser = new Browser()
  const { location } = await browser.open(await ask(it))
  const answer = sandbox.entra.control.decide(location, {
    kind: 'approve',
    user: administratorOf(FABRIKAM),
    hasMfa: true,
  })
  assert.ok(answer.kind === 'redirect')
  assert.equal((await browser.open(answer.location)).status, 200, 'Entra refused, and says so')
  assert.equal((await consentOf(it)).state, 'refused')
})

test('a link that is looked at by a mail program first is still good; one of another registration is not', async () => {
  const it = await scene()
  const link = await ask(it)
  assert.equal((await new Browser().open(link)).status, 302)
  const browser = new Browser()
  assert.equal((await browser.open(link)).status, 302)
  const own = { appModel: 'single-tenant', clientId: crypto.randomUUID() }
  assert.equal((await api.request('PATCH', it.path, own, it)).status, 200)
  assert.equal((await browser.open(link)).status, 400)
})

test('a tenant of another cloud than it was registered with is told apart, and what to do is said', async () => {
  const it = await scene(GOVERNMENT)
  const { location } = await new Browser().open(await ask(it))
  assert.equal(sandbox.entra.control.decide(location, { kind: 'approve', user: 'x', hasMfa: true }).kind, 'page')
  const { organisation, project, tenant } = it
  const place = { organisation, project: project as ProjectId }
  await withScope(db, { organisation }, async (tx) => {
    await setProved(tx, place, tenant as TenantId, 'x/y', new Date(now() - SPREAD_MS))
    await requestJob(tx, place, 'tenant.check', tenant)
  })
  await check(it)
  const { state, trouble } = await consentOf(it)
  assert.deepEqual([state, trouble.code], ['refused', 'AUTH_TOKEN'])
  assert.match(trouble.remedy as string, /cloud/)
})

test('EC-1: a single-tenant application: a certificate is made here, uploaded there, tried before it is used, and rotated', async () => {
  const clientId = crypto.randomUUID()
  const it = await scene(CONTOSO, { appModel: 'single-tenant', clientId })
  const early = await api.request('POST', `${it.path}/consent`, {}, it)
  assert.equal(early.status, 409)
  assert.match(early.body.detail as string, /certificate/)
  const make = async () => {
    const made = await api.request('POST', `${it.path}/certificates`, undefined, it)
    assert.equal(made.status, 201, JSON.stringify(made.body))
    return made.body as { id: string; certificate: string; thumbprint: string }
  }
  const first = await make()
  assert.ok(!JSON.stringify(first).includes('PRIVATE KEY'))
  assert.equal(
    new X509Certificate(first.certificate).fingerprint256.replaceAll(':', '').toLowerCase(),
    first.thumbprint,
  )
  sandbox.entra.control.registerApp({
    clientId,
    name: 'Causeway in Contoso',
    homeTenant: CONTOSO,
    redirectUris: REDIRECTS,
    certificates: [],
    permissions: { [GRAPH_RESOURCE]: ['Organization.Read.All', 'Application.Read.All', 'Domain.Read.All'] },
  })
  const activate = (id: string) => api.request('POST', `${it.path}/certificates/${id}/activate`, undefined, it)
  const unknown = await activate(first.id)
  assert.equal(unknown.body.type, '/problems/certificate-refused', JSON.stringify(unknown.body))
  sandbox.entra.control.addCertificate(clientId, first.certificate)
  assert.equal((await activate(first.id)).status, 200)
  const { browser, signedIn } = await toSignedIn(it)
  assert.equal((await browser.open(signedIn)).status, 200)
  await check(it)
  const short = await consentOf(it)
  assert.equal(short.state, 'checking', 'not all of it was granted: it may still spread')
  assert.ok((short.missing as string[]).includes('User.Read.All'))

  const second = await make()
  sandbox.entra.control.addCertificate(clientId, second.certificate)
  assert.equal(
    (await api.request('DELETE', `${it.path}/certificates/${first.id}`, undefined, it)).status,
    409,
    'it is in use',
  )
  assert.equal((await activate(second.id)).status, 200)
  assert.equal((await api.request('DELETE', `${it.path}/certificates/${first.id}`, undefined, it)).status, 204)
  assert.equal((await activate(first.id)).status, 409, 'its key is gone')
  const { body } = await api.request('GET', `${it.path}/certificates`, undefined, it)
  assert.deepEqual(
    body.items.map(({ id, state }: { id: string; state: string }) => [id, state]),
    [
      [first.id, 'retired'],
      [second.id, 'active'],
    ],
  )
  assert.equal((await api.request('DELETE', it.path, undefined, it)).status, 204)
})
