// A project whose two tenants are simulated ones, connected by the product's own look at them: what tests of discovery, matching and findings begin with.
import assert from 'node:assert/strict'
import { sql } from 'kysely'
import { createLog } from '../../common/log.ts'
import { emptyMetrics } from '../../common/metrics.ts'
import { withScope } from '../../control-plane/db/database.ts'
import { discover } from '../../control-plane/discovery/discover.ts'
import { endOrphans } from '../../control-plane/discovery/discovery-store.ts'
import type { DiscoverDeps } from '../../control-plane/discovery/discover.ts'
import type { OrganisationId, ProjectId, TenantId } from '../../control-plane/ids.ts'
import type { Sealer } from '../../control-plane/keys/sealer.ts'
import { createMicrosoft365 } from '../../control-plane/microsoft/microsoft365.ts'
import { processPace } from '../../control-plane/microsoft/pace.ts'
import type { Pace } from '../../control-plane/microsoft/pace.ts'
import { loadSettings } from '../../control-plane/settings.ts'
import type { Settings } from '../../control-plane/settings.ts'
import { askConsent, setProved } from '../../control-plane/tenants/consent-store.ts'
import type { Choices } from '../../control-plane/tenants/capabilities.ts'
import { checkTenantJob } from '../../control-plane/tenants/check-tenant.ts'
import type { InTenantDeps } from '../../control-plane/tenants/in-tenant.ts'
import { requestJob } from '../../control-plane/db/outbox.ts'
import type { TestApi } from './api.ts'
import { RetryLater } from '../../control-plane/jobs/retry.ts'
import { runJob, runOperationJob } from './run-job.ts'
import { CONTOSO, FABRIKAM } from './sandbox.ts'
import type { TestSandbox } from './sandbox.ts'

export interface ConnectedTenant {
  readonly id: TenantId
  readonly entraTenantId: string
}

export interface ConnectedProject {
  readonly organisation: OrganisationId
  readonly project: ProjectId
  /** Of an organization administrator. */
  readonly key: string
  /** `/projects/{project}` */
  readonly path: string
  readonly source: ConnectedTenant
  readonly target: ConnectedTenant
  readonly deps: InTenantDeps
  /** Starts a discovery by the API and does it. @returns the discovery as the API shows it then */
  discover(tenant: ConnectedTenant, mode?: 'delta' | 'full', signal?: AbortSignal): Promise<Record<string, any>> // oxlint-disable-line typescript/no-explicit-any -- tests look into it
  /** Goes on with the one that was begun. */
  goOn(operation: string, signal?: AbortSignal): Promise<void>
  /** As the worker does by the clock: discoveries whose operation ended without them. */
  endOrphans(): Promise<void>
  /** Looks at a tenant as the worker does. */
  check(tenant: ConnectedTenant): Promise<void>
}

export function sandboxSettings(sandbox: TestSandbox): Settings {
  return loadSettings({
    CAUSEWAY_MODE: 'evaluation',
    PUBLIC_URL: 'http://127.0.0.1:8080',
    DATABASE_URL: 'socket:/none?user=none&database=none',
    ENTRA_TENANT_ID: CONTOSO,
    ENTRA_CLIENT_ID: sandbox.app.clientId,
    ENTRA_CERTIFICATE_FILE: '/none',
    ENTRA_KEY_FILE: '/none',
    ENTRA_SANDBOX_URL: sandbox.entra.url,
    SANDBOX_GRAPH_URL: sandbox.graphUrl,
    SANDBOX_EXCHANGE_URL: sandbox.exchangeUrl,
  })
}

export const EVERYTHING: Choices = {
  capabilities: [{ capability: 'discovery', level: 'minimal' }],
  optional: ['Exchange.ManageAsApp'],
}

export async function connectedProject(
  api: TestApi,
  sandbox: TestSandbox,
  options: {
    readonly sealer: Sealer
    readonly now?: () => number
    readonly choices?: Choices
    readonly hasExchangeRole?: boolean
    readonly discoverDeps?: Partial<DiscoverDeps>
    /** How much faster time goes, in the sandbox too where it has that clock; default: only waits are shorter, a hundredth. */
    readonly pace?: Pace
  },
): Promise<ConnectedProject> {
  const { sealer, choices = EVERYTHING, hasExchangeRole = true, discoverDeps = {} } = options
  const now = options.now ?? sandbox.clock.nowMs
  const { db } = api.database
  const log = createLog({ write: () => {}, level: 'error', now })
  const microsoft = createMicrosoft365({
    settings: sandboxSettings(sandbox),
    log,
    metrics: emptyMetrics(),
    now,
    monotonicMs: () => options.pace?.monotonicMs() ?? performance.now(),
    pace: options.pace ?? hastened({ now, monotonicMs: () => performance.now() }),
  })
  const { app } = sandbox
  const deps: InTenantDeps = { db, sealer, sharedApp: app, microsoft, now }
  const { id: organisation, key } = await api.organisation()
  const project = await api.project(organisation)
  const path = `/projects/${project}`
  const place = { organisation, project }

  const check = ({ id }: ConnectedTenant) =>
    withScope(db, { organisation }, (tx) => requestJob(tx, place, 'tenant.check', id)).then(() =>
      runJob(db, { organisation, kind: 'tenant.check', object: id }, checkTenantJob(deps)).catch((error: unknown) => {
        // It will look again: what it found so far is written down.
        if (!(error instanceof RetryLater)) throw error
      }),
    )
  const connect = async (side: 'source' | 'target', tenantId: string): Promise<ConnectedTenant> => {
    const body = { side, label: side, tenantId, appModel: 'multi-tenant' }
    const made = await api.request('POST', `${path}/tenants`, body, { key })
    assert.equal(made.status, 201, `${JSON.stringify(made.body)}\n${api.lines.slice(-3).join('\n')}`)
    const id = made.body.id as TenantId
    if (hasExchangeRole)
      for (const role of ['View-Only Configuration', 'View-Only Recipients'])
        sandbox.control.grantExchangeRole(tenantId, app.clientId, role)
    await withScope(db, { organisation }, async (tx) => {
      await askConsent(tx, place, id, choices)
      await setProved(tx, place, id, `${tenantId}/none`, new Date(now()))
    })
    const tenant = { id, entraTenantId: tenantId }
    await check(tenant)
    return tenant
  }
  const source = await connect('source', CONTOSO)
  const target = await connect('target', FABRIKAM)

  const goOn = (operation: string, signal?: AbortSignal) =>
    runOperationJob(
      db,
      { organisation, kind: 'discovery.run', object: operation },
      (context) =>
        discover(context, {
          ...deps,
          onAccountsChanged: () => Promise.resolve(),
          onCompleted: () => Promise.resolve(),
          ...discoverDeps,
        }),
      signal,
    )
  return {
    organisation,
    project,
    key,
    path,
    source,
    target,
    deps,
    check,
    goOn,
    endOrphans: async () => void (await endOrphans(db)),
    async discover(tenant, mode = 'delta', signal) {
      const started = await api.request('POST', `${path}/discoveries`, { tenant: tenant.id, mode }, { key })
      assert.equal(started.status, 202, JSON.stringify(started.body))
      await goOn(started.body.operation as string, signal)
      return (await api.request('GET', `${path}/discoveries/${started.body.id}`, undefined, { key })).body as object
    },
  }
}

/** Waits a hundredth of what it should: a test has no minutes. */
function hastened(clock: Pick<Pace, 'now' | 'monotonicMs'>): Pace {
  const real = processPace(clock)
  return { ...real, setTimer: (callback, ms) => real.setTimer(callback, ms / 100) }
}

/** Rows of a table, for who must see that nothing was done twice. */
export const countIn = async (api: TestApi, organisation: OrganisationId, table: string): Promise<number> =>
  withScope(api.database.db, { organisation }, async (tx) => {
    const { rows } = await sql<{ count: number }>`select count(*) as count from ${sql.ref(table)}`.execute(tx)
    return rows[0]?.count ?? 0
  })
