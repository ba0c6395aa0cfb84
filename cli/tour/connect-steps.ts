// The administrator's part: both tenants connected, read, their people matched, and a mapping table made of it.
import type { Fields } from './api-client.ts'
import { Browser } from './browser.ts'
import { ALICE, CAROL, CAST } from './cast.ts'
import type { Running, TourStep } from './step.ts'
import { tenantsOf } from './tour-context.ts'
import type { KnownTenant, TourContext } from './tour-context.ts'
import { until } from './wait.ts'

const CONNECTED_WITHIN_MS = 60_000
const READ_WITHIN_MS = 120_000
const MATCHED_WITHIN_MS = 60_000

/** Reads both tenants, and changes their mail flow. */
const CAPABILITIES = [{ capability: 'discovery', level: 'minimal' }, { capability: 'coexistence' }] as const
const OPTIONAL_PERMISSIONS = ['Exchange.ManageAsApp'] as const

export const connectStep: TourStep<TourContext> = {
  name: 'connect',
  title: 'connect both tenants by consent',
  async run(context, step) {
    const { api, project } = context
    const registered = await api.list(`${project}/tenants`)
    const tenants: KnownTenant[] = []
    for (const { frontDoor, certificateName, administrator, ...cast } of CAST) {
      const found = registered.find(({ tenantId }) => tenantId === cast.tenantId)
      const asked = { cloud: 'global', appModel: 'multi-tenant', ...cast }
      const tenant = found ?? (await api.post(`${project}/tenants`, asked)).body
      const [id, label] = [String(tenant['id']), String(tenant['label'])]
      tenants.push({ ...cast, id, label, administrator, frontDoor, certificateName })
    }
    const ready = await Promise.all(tenants.map((tenant) => isReady(context, tenant)))
    const missing = tenants.filter((_tenant, index) => ready[index] !== true)
    step.progress(missing.map(({ label }) => label).join(', '))
    // Side by side: with each a consent takes a while to spread.
    await Promise.all(missing.map((tenant) => connect(context, step, tenant)))
    const [source, target] = tenants
    if (source === undefined || target === undefined) throw new Error('unreachable: the cast has two tenants')
    context.tenants = { source, target }
    return missing.length === 0
      ? 'both were connected already'
      : `${missing.length} administrators consented; Exchange's roles are given`
  },
}

const pathOf = ({ project }: TourContext, { id }: KnownTenant): string => `${project}/tenants/${id}`

async function isReady(context: TourContext, tenant: KnownTenant): Promise<boolean> {
  const { body } = await context.api.get(`${pathOf(context, tenant)}/consent`)
  const { capabilities = [] } = (body['choices'] ?? {}) as { capabilities?: Fields[] }
  const chosen = new Set(capabilities.map(({ capability }) => capability))
  return isConnected(body) && CAPABILITIES.every(({ capability }) => chosen.has(capability))
}

const isConnected = ({ state, exchange }: Fields): boolean =>
  state === 'connected' && (exchange as Fields | undefined)?.['state'] === 'ready'

async function connect(context: TourContext, step: Running, tenant: KnownTenant): Promise<void> {
  const { api, sandbox, connectApp } = context
  const path = pathOf(context, tenant)
  const asked = await api.post(`${path}/consent`, {
    capabilities: CAPABILITIES,
    optionalPermissions: OPTIONAL_PERMISSIONS,
  })
  const page = await new Browser().visit(String(asked.body['link']), tenant.administrator)
  step.demand(
    `the administrator of ${tenant.label} is told that it was recorded`,
    page.includes('consent was recorded'),
  )
  let last: Fields = {}
  const consent = async (): Promise<Fields> => (last = (await api.get(`${path}/consent`)).body)
  const found = () => `${String(last['state'])}, ${JSON.stringify(last['trouble'] ?? last['exchange'] ?? {})}`
  await until(
    `the consent of ${tenant.label} to spread`,
    async () => {
      if ((await consent())['state'] === 'connected') return true
      await api.post(`${path}/health/checks`)
      return undefined
    },
    { withinMs: CONNECTED_WITHIN_MS, everyMs: 1_000, found },
  )
  const { body: manifest } = await api.get(`${path}/consent/manifest`)
  for (const role of rolesIn(manifest)) {
    await sandbox.do('grant-exchange-role', { tenant: tenant.tenantId, clientId: connectApp, role })
  }
  await api.post(`${path}/health/checks`)
  await until(`Exchange's roles in ${tenant.label}`, async () => (isConnected(await consent()) ? true : undefined), {
    withinMs: CONNECTED_WITHIN_MS,
    found,
  })
}

/** Of all that the tour does there. */
function rolesIn(manifest: Fields): ReadonlySet<string> {
  const wanted = new Set<unknown>(CAPABILITIES.map(({ capability }) => capability))
  const listed = manifest['capabilities'] as readonly { capability: string; exchangeRoles: readonly string[] }[]
  return new Set(
    listed.filter(({ capability }) => wanted.has(capability)).flatMap(({ exchangeRoles }) => exchangeRoles),
  )
}

export const discoverStep: TourStep<TourContext> = {
  name: 'discover',
  title: 'discover accounts, groups and mailboxes',
  async run(context, step) {
    const { api, project } = context
    const { source, target } = tenantsOf(context)
    const counts = []
    for (const tenant of [source, target]) {
      const { body } = await api.post(`${project}/discoveries`, { tenant: tenant.id })
      await api.finished(String(body['operation']), READ_WITHIN_MS, (text) => step.progress(`${tenant.label}: ${text}`))
      const found = await api.list(`${project}/accounts?tenant=${tenant.id}&limit=200`)
      step.demand(`accounts of ${tenant.label}`, found.length > 0)
      counts.push(`${found.length} objects in ${tenant.label}`)
    }
    return counts.join(', ')
  },
}

export const matchStep: TourStep<TourContext> = {
  name: 'match',
  title: 'match people of both',
  async run({ api, project }, step) {
    const { body: started } = await api.post(`${project}/matchings`)
    await api.finished(String(started['operation']), MATCHED_WITHIN_MS, (text) => step.progress(text))
    const { body } = await api.get(`${project}/matchings/${String(started['matching'])}`)
    const { proposed, total } = body['counts'] as { proposed: number; total: number }
    return `${total} looked at, ${proposed} new pairs proposed`
  },
}

export const pairsStep: TourStep<TourContext> = {
  name: 'pairs',
  title: 'apply pairs: the mapping table',
  async run({ api, project }, step) {
    const proposals = await api.list(`${project}/pairs?state=proposed&limit=200`)
    if (proposals.length > 0) await api.post(`${project}/pairs/confirm`, { confirm: proposals.length })
    const entries = await api.list(`${project}/mappings?limit=200`)
    for (const { mailbox, presented } of [ALICE, CAROL]) {
      const entry = entries.find((each) => (each['known'] as readonly string[]).includes(mailbox))
      step.demandEqual(
        `what the table says of ${mailbox}`,
        { presented: entry?.['presented'], mailbox: entry?.['mailbox'] },
        { presented, mailbox },
      )
    }
    return `${entries.length} entries`
  },
}
