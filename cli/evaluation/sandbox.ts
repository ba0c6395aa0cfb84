// The simulated Microsoft 365 of an evaluation: two organisations of sixty people with their mail, the application that signs administrators in, and
// the one by which tenants are connected. Its state is kept beside the rest of the evaluation's data.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { makeSelfSigned } from '../../common/self-signed.ts'
import { neededFor } from '../../control-plane/tenants/capabilities.ts'
import { CONSENT_PATHS } from '../../control-plane/tenants/consent-visit-routes.ts'
import { EXCHANGE_MANAGE_AS_APP } from '../../control-plane/tenants/permission-sets.ts'
import { startSandbox } from '../../sandbox/sandbox.ts'
import type { Sandbox } from '../../sandbox/sandbox.ts'
import { CONTOSO, seedTenants } from '../../sandbox/tenants/seed.ts'
import type { KeyFiles, Places, Ports } from './places.ts'

export const SIGN_IN_APP = '33333333-0000-4000-8000-0000000000a0'
export const CONNECT_APP = '33333333-0000-4000-8000-0000000000c0'

const SEED = 1
const CERTIFICATE_DAYS = 3650
const RESOURCES = { graph: 'https://graph.microsoft.com', exchange: 'https://outlook.office365.com' } as const

/** @param contractsDirectory  with Microsoft's published contracts */
export async function startEvaluationSandbox(
  places: Places,
  ports: Ports,
  contractsDirectory: string,
): Promise<Sandbox> {
  const signIn = await certificateOf(places.signInApp, 'causeway evaluation')
  const connect = await certificateOf(places.connectApp, 'causeway evaluation, tenants')
  const { contoso, fabrikam } = seedTenants(SEED)
  const origin = `http://127.0.0.1:${ports.api}`
  return startSandbox({
    tenants: [contoso, fabrikam],
    apps: [
      {
        clientId: SIGN_IN_APP,
        name: 'Causeway',
        homeTenant: CONTOSO,
        isMultiTenant: true,
        redirectUris: [`${origin}/api/v1/session/callback`, `${origin}/`],
        certificates: [signIn],
      },
      {
        clientId: CONNECT_APP,
        name: 'Causeway, connected tenants',
        homeTenant: CONTOSO,
        isMultiTenant: true,
        redirectUris: [CONSENT_PATHS.callback, CONSENT_PATHS.signedIn].map((path) => `${origin}${path}`),
        certificates: [connect],
        permissions: neededPermissions(),
      },
    ],
    contractsDirectory,
    at: { ports: { entra: ports.entra, graph: ports.graph, exchange: ports.exchange, control: ports.sandboxControl } },
    mail: { ports: { frontDoor: ports.frontDoor, outside: ports.outside, dns: ports.dns } },
    directory: places.sandbox,
  })
}

/** What it takes to read both tenants, Exchange's view of mailboxes and connectors included, and to change their mail flow. By resource. */
function neededPermissions(): Readonly<Record<string, readonly string[]>> {
  const { permissions } = neededFor({
    capabilities: [
      { capability: 'discovery', level: 'minimal' },
      { capability: 'coexistence', level: 'minimal' },
    ],
    optional: [EXCHANGE_MANAGE_AS_APP.name],
  })
  const rolesAt = (where: keyof typeof RESOURCES) =>
    permissions.filter(({ resource }) => resource === where).map(({ name }) => name)
  return { [RESOURCES.graph]: rolesAt('graph'), [RESOURCES.exchange]: rolesAt('exchange') }
}

/** Made at the first start. @returns PEM */
async function certificateOf({ certificate, key }: KeyFiles, commonName: string): Promise<string> {
  if (!existsSync(certificate) || !existsSync(key)) {
    const made = await makeSelfSigned(commonName, CERTIFICATE_DAYS, Date.now())
    writeFileSync(key, made.privateKey, { mode: 0o600 })
    writeFileSync(certificate, made.certificate, { mode: 0o600 })
  }
  return readFileSync(certificate, 'utf8')
}
