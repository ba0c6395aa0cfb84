// The work of a discovery, step by step. Every step can be ended anywhere and gone on with: what was read is kept by its source, and only at the end do
// the parts that changed become new versions of accounts. (microsoft-365.md §4, migration-semantics.md §7.1)
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import type { AccountId } from '../ids.ts'
import { GiveUp } from '../jobs/retry.ts'
import { OperationCancelled } from '../operations/operation-job.ts'
import type { OperationContext } from '../operations/operation-job.ts'
import { inTenant } from '../tenants/in-tenant.ts'
import type { InTenantDeps } from '../tenants/in-tenant.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { composeAccount } from './compose-account.ts'
import { startRun } from './discovery-run.ts'
import type { DiscoveryRun } from './discovery-run.ts'
import type { Discovery } from './discovery.ts'
import { endDiscovery, findByOperation, lastCompleted, putFacts } from './discovery-store.ts'
import { purgeParts } from './part-store.ts'
import type { PartPlace } from './part-store.ts'
import { COLLECTIONS, readCollection } from './read-collection.ts'
import { readExchange } from './read-exchange.ts'
import { readTenantFacts } from './read-facts.ts'
import { readOwners } from './read-owners.ts'
import { readChosenStatistics } from './read-statistics.ts'
import { readUsage } from './read-usage.ts'
import { changedObjects, countVersions, refreshStatistics, writeVersions } from './version-store.ts'
import type { ChangePlace } from './version-store.ts'

export interface DiscoverDeps extends InTenantDeps {
  /** Told of accounts that changed, in the transaction that wrote them: pairs keep their mapping entries up to date. */
  readonly onAccountsChanged: (tx: Tx, place: ProjectPlace, accounts: readonly AccountId[]) => Promise<void>
  /** In the transaction that ends it well: findings are judged anew. */
  readonly onCompleted: (tx: Tx, place: ProjectPlace, discovery: Discovery) => Promise<void>
}

const OBJECTS_A_SLICE = 1_000
/** Rows after which the planner has to know of them. */
const MANY = 1_000

/** The work of an operation that a row of `discovery` names. */
export async function discover(
  context: OperationContext,
  deps: DiscoverDeps,
): Promise<Readonly<Record<string, unknown>>> {
  const { organisation, project, operation } = context
  if (project === undefined) throw new Error('unreachable: a discovery is of a project')
  const place = { organisation, project }
  const discovery = await context.read((tx) => findByOperation(tx, place, operation))
  if (discovery === undefined) throw new GiveUp('no-discovery')
  const at: PartPlace = { ...place, tenant: discovery.tenant, number: discovery.number }
  try {
    await inTenant(context, place, discovery.tenant, deps, async ({ graph, exchange }, consent) => {
      const run = startRun(
        context,
        discovery,
        { graph, exchange: consent.exchange === 'ready' ? exchange : undefined },
        at,
      )
      if (consent.exchange === 'not-asked') await run.gap('exchange-not-asked')
      else if (run.exchange === undefined) await run.gap('exchange-role-missing')
      await readAll(run, deps)
    })
    await compose(context, at, deps)
    return await finish(context, at, discovery, deps)
  } catch (error) {
    if (error instanceof OperationCancelled)
      await context.change((tx) => endDiscovery(tx, place, discovery.id, 'cancelled', new Date(deps.now())))
    throw error
  }
}

async function readAll(run: DiscoveryRun, deps: DiscoverDeps): Promise<void> {
  await run.progress('reading the tenant', 0)
  const facts = await readTenantFacts(run.graph, run.exchange, { signal: run.context.signal })
  await run.change((tx) => putFacts(tx, run.at, run.discovery, facts, new Date(deps.now())))
  for (const collection of COLLECTIONS) {
    const rows = await readCollection(run, collection)
    if (rows >= MANY) await run.context.read((tx) => refreshStatistics(tx, 'parts'))
  }
  await readOwners(run)
  if (run.exchange !== undefined) {
    await readExchange(run, run.exchange)
    await readChosenStatistics(run, run.exchange)
  }
  if (facts.reportsConcealNames === true) await run.gap('report-names-concealed')
  else await readUsage(run)
}

/** Nothing of Microsoft's is needed any more. */
async function compose(context: OperationContext, at: PartPlace, deps: DiscoverDeps): Promise<void> {
  const changedIn = await context.read((tx) => lastCompleted(tx, at, at.tenant))
  let [written, refreshAt] = [0, MANY]
  for (let after: ChangePlace = { changedIn, objectId: '' }; ;) {
    context.checkCancelled()
    const { objects, last } = await context.read((tx) => changedObjects(tx, at, after, OBJECTS_A_SLICE))
    if (last === undefined) return
    const changes = objects.map((object) => ({
      object,
      snapshot: composeAccount(object.objectId, object.parts, object.members),
    }))
    written += await context.change(async (tx) => {
      const accounts = await writeVersions(tx, at, changes, new Date(deps.now()))
      if (accounts.length === 0) return 0
      await deps.onAccountsChanged(tx, at, accounts)
      await context.advance(tx)
      return accounts.length
    })
    if (written >= refreshAt) {
      refreshAt = 2 * written
      await context.read((tx) => refreshStatistics(tx, 'accounts'))
    }
    await context.progress({ step: 'comparing' })
    after = last
  }
}

async function finish(
  context: OperationContext,
  at: PartPlace,
  discovery: Discovery,
  deps: DiscoverDeps,
): Promise<Readonly<Record<string, unknown>>> {
  const counts = await context.read((tx) => countVersions(tx, at))
  await context.change(async (tx) => {
    await purgeParts(tx, at)
    await endDiscovery(tx, at, discovery.id, 'completed', new Date(deps.now()), counts)
    await deps.onCompleted(tx, at, discovery)
    const { created, changed, removed } = counts
    await publishEvent(tx, at, 'discovery.completed', {
      discovery: discovery.id,
      tenant: discovery.tenant,
      created,
      changed,
      removed,
    })
  })
  const { created, changed, removed } = counts
  return { discovery: discovery.id, created, changed, removed }
}
