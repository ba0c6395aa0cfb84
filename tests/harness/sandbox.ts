// A simulated Microsoft 365 for one test: two small tenants and an application of the product's. When the test ends, it fails if anybody broke a
// contract of Microsoft's (or if nobody did what it declared).
import assert from 'node:assert/strict'
import { createHash, randomUUID, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { importPKCS8, SignJWT } from 'jose'
import { makeSelfSigned } from '../../common/self-signed.ts'
import { SandboxClock } from '../../sandbox/clock.ts'
import { loadContracts } from '../../sandbox/contract/contracts.ts'
import { permissionsOf } from '../../sandbox/contract/permission-sets.ts'
import type { ViolationRule } from '../../sandbox/contract/violation.ts'
import type { AppSeed } from '../../sandbox/entra/seed.ts'
import { startSandbox } from '../../sandbox/sandbox.ts'
import type { Sandbox, SandboxOptions } from '../../sandbox/sandbox.ts'
import { FABRIKAM } from '../../sandbox/tenants/constants.ts'
import { generateTenant } from '../../sandbox/tenants/generate.ts'
import type { Ending } from './postgres.ts'

export { CONTOSO, FABRIKAM } from '../../sandbox/tenants/constants.ts'

export const CONTRACTS_DIRECTORY = join(import.meta.dirname, '..', 'contracts')
export const SANDBOX_APP = '3a3a3a3a-0000-4000-8000-00000000005b'
export const GRAPH_RESOURCE = 'https://graph.microsoft.com'
export const EXCHANGE_RESOURCE = 'https://outlook.office365.com'

export interface TestSandboxOptions extends Partial<Omit<SandboxOptions, 'contractsDirectory' | 'reportDirectory'>> {
  /** What the default application asks for; default: the roles of the published set Basic Minimal, and Exchange.ManageAsApp. */
  readonly permissions?: AppSeed['permissions']
  /** Of the default application. */
  readonly redirectUris?: readonly string[]
  /** Tenants whose administrators have agreed; default: all. Their consents spread at once. */
  readonly consents?: readonly string[]
  /** Rules that this test breaks on purpose: each has to be broken, and what it does is left out of the run's report. */
  readonly expectedViolations?: readonly ViolationRule[]
  /** Whether what is asked for counts as the product's use of Microsoft 365; default true. */
  readonly isReported?: boolean
}

export interface TestSandbox extends Sandbox {
  readonly app: TestApp
  /** As the application gets it, at the token endpoint. @param resource  default Graph's */
  tokenFor(tenantId: string, resource?: string): Promise<string>
}

export interface TestApp {
  readonly clientId: string
  /** PEM */
  readonly certificate: string
  readonly privateKey: string
}

const CERTIFICATE_DAYS = 30

/** One for all tests of a file: a key takes a tenth of a second. */
let testApp: Promise<TestApp> | undefined

export async function testSandbox(t: Ending, options: TestSandboxOptions = {}): Promise<TestSandbox> {
  const { permissions, redirectUris = [], consents, expectedViolations = [], isReported = true, ...own } = options
  testApp ??= makeSelfSigned('causeway test', CERTIFICATE_DAYS, Date.now()).then((made) => ({
    clientId: SANDBOX_APP,
    ...made,
  }))
  const app = await testApp
  const tenants = own.tenants ?? [
    generateTenant({ seed: 1, people: 8 }),
    generateTenant({ seed: 1, people: 8, side: 'target' }),
  ]
  const defaultApp: AppSeed = {
    clientId: SANDBOX_APP,
    name: 'Causeway',
    homeTenant: FABRIKAM,
    isMultiTenant: true,
    redirectUris,
    certificates: [app.certificate],
    permissions: permissions ?? defaultPermissions(),
  }
  const sandbox = await startSandbox({
    clock: new SandboxClock(Date.now),
    consentDelays: { principalMs: 0, rolesMs: 0 },
    ...own,
    tenants,
    apps: own.apps ?? [defaultApp],
    contractsDirectory: CONTRACTS_DIRECTORY,
    reportDirectory:
      isReported && expectedViolations.length === 0 ? process.env['CAUSEWAY_CONTRACT_REPORT'] : undefined,
  })
  t.after(async () => {
    await sandbox.close()
    checkViolations(sandbox, expectedViolations)
  })
  if (own.apps === undefined) {
    for (const tenantId of consents ?? sandbox.tenants.keys()) sandbox.control.grantConsent(tenantId, SANDBOX_APP)
  }
  const tokenFor = (tenantId: string, resource = GRAPH_RESOURCE) => getToken(sandbox, app, tenantId, resource)
  return { ...sandbox, app, tokenFor }
}

function defaultPermissions(): Record<string, readonly string[]> {
  const { permissionSets } = loadContracts(CONTRACTS_DIRECTORY)
  return { ...permissionsOf(permissionSets, 'Basic Minimal'), [EXCHANGE_RESOURCE]: ['Exchange.ManageAsApp'] }
}

function checkViolations({ record }: Sandbox, expected: readonly ViolationRule[]): void {
  const unexpected = record.violations.filter(({ rule }) => !expected.includes(rule))
  assert.deepEqual(
    unexpected.map(({ request, rule, where, message }) => `${request}: ${rule} (${where}: ${message})`),
    [],
    "Microsoft's published contracts were broken",
  )
  const broken = new Set(record.violations.map(({ rule }) => rule))
  const unbroken = expected.filter((rule) => !broken.has(rule))
  assert.deepEqual(unbroken, [], 'the test declares violations that nobody committed')
}

async function getToken(sandbox: Sandbox, app: TestApp, tenantId: string, resource: string): Promise<string> {
  const now = Math.floor(sandbox.clock.nowMs() / 1000)
  const { raw } = new X509Certificate(app.certificate)
  const assertion = await new SignJWT({ jti: randomUUID() })
    .setProtectedHeader({ alg: 'PS256', 'x5t#S256': createHash('sha256').update(raw).digest('base64url') })
    .setIssuer(app.clientId)
    .setSubject(app.clientId)
    .setAudience(`${sandbox.entra.issuerOrigin}/${tenantId}/oauth2/v2.0/token`)
    .setNotBefore(now)
    .setExpirationTime(now + 300)
    .sign(await importPKCS8(app.privateKey, 'PS256'))
  const reply = await fetch(`${sandbox.entra.url}/${tenantId}/oauth2/v2.0/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: app.clientId,
      scope: `${resource}/.default`,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    }),
  })
  const body = (await reply.json()) as { access_token?: string; error_description?: string }
  assert.ok(body.access_token !== undefined, `no token: ${String(body.error_description)}`)
  return body.access_token
}
