// Connects the tenants of a simulated Microsoft 365 to a control plane that runs as processes: the application is registered, its administrators follow
// the link in a browser, Exchange's roles are given, and the product's own look finds all of it in order. What end-to-end tests of discovery begin with.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Browser } from '../../cli/tour/browser.ts'
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
  assert.match(await new Browser().visit(String(link)), /consent was recorded/)
  return id
}

/** Starts a discovery. @returns it, as the API answers */
export async function startDiscovery(plane: ControlPlane, tenant: string, mode = 'delta'): Promise<Answer['body']> {
  return (await plane.done('POST', `${plane.path}/discoveries`, { tenant, mode })).body
}
