// The postmaster's part: certificates by the authority, DKIM keys in the DNS, where mail goes, and a relay that has it all.
import { X509Certificate } from 'node:crypto'
import type { Fields } from './api-client.ts'
import { RELAY_HOSTS } from './cast.ts'
import type { Running, TourStep } from './step.ts'
import { tenantsOf } from './tour-context.ts'
import type { KnownTenant, TourContext } from './tour-context.ts'
import { until } from './wait.ts'

/** What the relay signs for: the domain that the world sees. */
const SIGNED_DOMAIN = 'fabrikam.com'
const SEEN_WITHIN_MS = 30_000
const APPLIED_WITHIN_MS = 30_000
const LOOPBACK = '127.0.0.0/8'

export const certificatesStep: TourStep<TourContext> = {
  name: 'certificates',
  title: 'certificates of the relay, by the authority',
  async run(context, step) {
    const { sandbox, relayPort } = context
    const root = new X509Certificate(String((await sandbox.do('authority'))['root']))
    const hosts = Object.values(RELAY_HOSTS)
    for (const host of hosts) await sandbox.do('set-mail-host', { host, port: relayPort })
    const wanted: readonly Wanted[] = [
      { purpose: 'listener', names: hosts },
      ...Object.values(tenantsOf(context)).map(({ id, certificateName }) => ({
        purpose: 'tenant' as const,
        tenant: id,
        names: [certificateName],
      })),
    ]
    for (const tenant of Object.values(tenantsOf(context))) await verifyDomain(context, tenant)
    let made = 0
    for (const each of wanted) {
      step.progress(each.names.join(', '))
      if (await isActive(context, each, root)) continue
      await certify(context, step, each, root)
      made++
    }
    return made === 0 ? `${wanted.length} are in use already` : `${made} requests signed; their chains are in use`
  },
}

/** What the certificate of a tenant is for has to be a domain that it accepts, and no other tenant: its administrator adds it. */
async function verifyDomain({ api, sandbox, project }: TourContext, { id, tenantId, certificateName }: KnownTenant) {
  await sandbox.do('add-verified-domain', { tenant: tenantId, domain: certificateName })
  const isKnown = async () =>
    ((await api.get(`${project}/tenants/${id}`)).body['acceptedDomains'] as readonly string[]).includes(certificateName)
  if (await isKnown()) return
  await api.post(`${project}/tenants/${id}/health/checks`)
  await until(`the product to find ${certificateName}`, async () => ((await isKnown()) ? true : undefined), {
    withinMs: SEEN_WITHIN_MS,
  })
}

interface Wanted {
  readonly purpose: 'listener' | 'tenant'
  readonly tenant?: string
  readonly names: readonly string[]
}

async function isActive({ api, project }: TourContext, wanted: Wanted, root: X509Certificate): Promise<boolean> {
  const active = await api.list(
    `${project}/certificates?state=active&purpose=${wanted.purpose}&name=${wanted.names[0] ?? ''}`,
  )
  return active.some(
    ({ chain, daysLeft, tenant }) =>
      tenant === wanted.tenant && Number(daysLeft) > 1 && new X509Certificate(String(chain)).verify(root.publicKey),
  )
}

async function certify({ api, sandbox, project }: TourContext, step: Running, wanted: Wanted, root: X509Certificate) {
  const { body: made } = await api.post(`${project}/certificates`, wanted)
  step.demand(
    `the key of ${wanted.names.join(', ')} stays where it was made`,
    !JSON.stringify(made).includes('PRIVATE KEY'),
  )
  const { certificate: chain } = await sandbox.do('sign-request', { pem: made['request'] })
  const path = `${project}/certificates/${String(made['id'])}`
  const { body } = await api.put(`${path}/chain`, () => ({ chain }), path)
  const leaf = new X509Certificate(String(body['chain']))
  step.demand(`the authority issued for ${wanted.names.join(', ')}`, leaf.verify(root.publicKey))
  const { body: active } = await api.post(`${path}/activate`)
  step.demandEqual(`the certificate of ${wanted.names.join(', ')}`, active['state'], 'active')
}

export const dkimStep: TourStep<TourContext> = {
  name: 'dkim',
  title: 'DKIM key of the presented domain, in the DNS',
  async run({ api, sandbox, project }, step) {
    const keys = await api.list(`${project}/dkim-keys?limit=200`)
    const active = keys.find(({ domain, state }) => domain === SIGNED_DOMAIN && state === 'active')
    const key = active ?? (await api.post(`${project}/dkim-keys`, { domain: SIGNED_DOMAIN })).body
    const { name, type, value } = key['record'] as Fields
    await sandbox.do('put-dns-record', { name, type, data: value })
    const path = `${project}/dkim-keys/${String(key['id'])}`
    const { body: checked } = await api.post(`${path}/check`)
    step.demandEqual('what the product finds in the DNS', (checked['key'] as Fields)['checkResult'], 'found')
    if (active === undefined) step.demandEqual('the key', (await api.post(`${path}/activate`)).body['state'], 'active')
    return `${String(name)} is published${active === undefined ? '' : ' already'}`
  },
}

export const settingsStep: TourStep<TourContext> = {
  name: 'relay-settings',
  title: 'where mail goes, and whom the relay believes',
  async run(context, step) {
    const { api, sandbox, project } = context
    const { root } = await sandbox.do('authority')
    const { frontDoor } = (await sandbox.do('mail-addresses')) as { frontDoor: { address: string; port: number } }
    const { address: host, port } = frontDoor
    const smartHosts = Object.values(tenantsOf(context)).map(({ label, frontDoor: tlsName }) => ({
      tenant: label,
      host,
      port,
      tls: 'verify',
      tlsName,
      trust: root,
    }))
    const wanted = { smartHosts, clientTrust: root, allow: [LOOPBACK] }
    const { body: before } = await api.get(`${project}/relay-settings`)
    const settings = before['settings'] as Fields
    const isThere = Object.entries(wanted).every(
      ([name, value]) => JSON.stringify(settings[name]) === JSON.stringify(value),
    )
    if (!isThere)
      await api.put(`${project}/relay-settings`, (found) => ({ ...(found['settings'] as Fields), ...wanted }))
    const { body } = await api.get(`${project}/relay-settings`)
    step.demandEqual('the smart hosts', (body['settings'] as Fields)['smartHosts'], smartHosts)
    return `version ${String(body['version'])}: both front doors over verified TLS`
  },
}

export const pushStep: TourStep<TourContext> = {
  name: 'push',
  title: 'push table, settings and keys to the relay',
  async run(context, step) {
    const { name, revision, entries, isReady } = await untilApplied(context)
    step.demandEqual('the relay takes mail', isReady, true)
    return `${String(name)} has revision ${String(revision)}: ${String(entries)} entries`
  },
}

/** Every live relay has all of the project. */
async function untilApplied({ api, project }: TourContext): Promise<Fields> {
  let last: readonly Fields[] = []
  return until(
    'a relay that has everything and takes mail',
    async () => {
      last = await api.list(`${project}/relays?isLive=true`)
      const isThere =
        last.length > 0 && last.every(({ isApplied, isReady: ready }) => isApplied === true && ready === true)
      return isThere ? last[0] : undefined
    },
    {
      withinMs: APPLIED_WITHIN_MS,
      found: () => JSON.stringify(last.map(({ name, isApplied, reasons }) => ({ name, isApplied, reasons }))),
    },
  )
}
