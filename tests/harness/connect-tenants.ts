// Connects the tenants of a simulated Microsoft 365 to a control plane that runs as processes: the application is registered, its administrators follow
// the link in a browser, Exchange's roles are given, and the product's own look finds all of it in order. What end-to-end tests of discovery begin with.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeSelfSigned } from '../../common/self-signed.ts'
import { neededFor } from '../../control-plane/tenants/capabilities.ts'
import { CONTOSO, FABRIKAM } from '../../sandbox/tenants/constants.ts'
import type { Answer, ControlPlane } from './control-plane.ts'
import { EVERYTHING } from './connected-project.ts'
import type { SandboxProcess } from './sandbox-process.ts'

export interface ConnectApp {
  readonly clientId: string
  /** PEM */
  readonly certificate: string
  /** Settings by which the product has it. */
  readonly env: Readonly<Record<string, string>>
}

/** @param directory  that certificate and key are written to */
export async function makeConnectApp(directory: string): Promise<ConnectApp> {
  const { certificate, privateKey } = await makeSelfSigned('causeway test', 30, Date.now())
  const files = { certificate: join(directory, 'connect.pem'), key: join(directory, 'connect.key') }
  await writeFile(files.certificate, certificate)
  await writeFile(files.key, privateKey, { mode: 0o600 })
  const clientId = crypto.randomUUID()
  return {
    clientId,
    certificate,
    env: {
      CONNECT_CLIENT_ID: clientId,
      CONNECT_CERTIFICATE_FILE: files.certificate,
      CONNECT_KEY_FILE: files.key,
    },
  }
}

export interface ConnectedTenants {
  readonly source: string
  readonly target: string
}

/** In a new project, which is the plane's from then on. */
export async function connectTenants(
  plane: ControlPlane,
  sandbox: SandboxProcess,
  app: ConnectApp,
): Promise<ConnectedTenants> {
  await register(plane, sandbox, app)
  const made = await plane.done('POST', `/organizations/${plane.organisation}/projects`, { name: 'Connected' })
  plane.project = String(made.body.id)
  const [source, target] = await Promise.all([connect(plane, 'source', CONTOSO), connect(plane, 'target', FABRIKAM)])
  // What takes a while to spread has done so.
  await sandbox.control('advance-clock', { ms: 10_000 })
  for (const tenant of [source, target]) {
    const path = `${plane.path}/tenants/${tenant}`
    await plane.until('the consent to be found', `${path}/consent`, ({ state }) => state === 'connected')
    for (const role of ['View-Only Configuration', 'View-Only Recipients'])
      await sandbox.control('grant-exchange-role', {
        tenant: tenant === source ? CONTOSO : FABRIKAM,
        clientId: app.clientId,
        role,
      })
    await plane.done('POST', `${path}/health/checks`)
    await plane.until('the roles to be found', `${path}/consent`, ({ exchange }) => exchange.state === 'ready')
  }
  return { source, target }
}

async function register(plane: ControlPlane, sandbox: SandboxProcess, app: ConnectApp): Promise<void> {
  const { permissions } = neededFor(EVERYTHING)
  const of = (resource: string) => permissions.filter((each) => each.resource === resource).map(({ name }) => name)
  await sandbox.entra('register-app', {
    clientId: app.clientId,
    name: 'Causeway',
    homeTenant: FABRIKAM,
    isMultiTenant: true,
    redirectUris: ['callback', 'signed-in'].map((name) => `${plane.urls[0]}/api/v1/consent/${name}`),
    certificates: [app.certificate],
    permissions: { 'https://graph.microsoft.com': of('graph'), 'https://outlook.office365.com': of('exchange') },
  })
}

async function connect(plane: ControlPlane, side: 'source' | 'target', tenantId: string): Promise<string> {
  const tenant = { side, label: side, tenantId, cloud: 'global', appModel: 'multi-tenant' }
  const id = String((await plane.done('POST', `${plane.path}/tenants`, tenant)).body.id)
  const wanted = { capabilities: EVERYTHING.capabilities, optionalPermissions: EVERYTHING.optional }
  const { link } = (await plane.done('POST', `${plane.path}/tenants/${id}/consent`, wanted)).body
  assert.match(await visit(String(link)), /consent was recorded/)
  return id
}

const MAX_HOPS = 10

/** As the first person that each page of the simulated Entra offers: administrators come first. @returns the last page */
async function visit(link: string): Promise<string> {
  const cookies = new Map<string, string>()
  let url = link
  let form: URLSearchParams | undefined
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, {
      redirect: 'manual',
      headers: cookie === '' ? {} : { Cookie: cookie },
      ...(form === undefined ? {} : { method: 'POST', body: form }),
    })
    for (const text of response.headers.getSetCookie()) {
      const [name = '', value = ''] = (text.split(';', 1)[0] ?? '').split(/=(.*)/s, 2)
      cookies.set(name, value)
    }
    form = undefined
    const page = await response.text()
    const location = response.headers.get('location')
    if (location !== null) {
      url = new URL(location, url).href
      continue
    }
    const action = /<form method="post" action="([^"]+)"/.exec(page)?.[1]
    if (action === undefined) return page
    url = new URL(unescapeHtml(action), url).href
    form = new URLSearchParams({
      action: valueOf(page, 'action'),
      query: valueOf(page, 'query'),
      user: valueOf(page, 'user'),
      mfa: 'yes',
    })
  }
  throw new Error('the visit went in a circle')
}

const valueOf = (page: string, name: string): string =>
  unescapeHtml(new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? '')

const unescapeHtml = (text: string): string =>
  text.replaceAll(/&#(\d+);/g, (_all, code: string) => String.fromCodePoint(Number(code)))

/** Starts a discovery. @returns it, as the API answers */
export async function startDiscovery(plane: ControlPlane, tenant: string, mode = 'delta'): Promise<Answer['body']> {
  return (await plane.done('POST', `${plane.path}/discoveries`, { tenant, mode })).body
}
