// A project whose two simulated tenants are discovered and mapped, and whose switch is worked by the product's own job: for the tests of the switch. What
// relays would say at the gates is said by the test.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { FIRST_SETTING } from '../../../control-plane/coexistence/coexistence.ts'
import type { CoexistenceSetting, FreeBusySetting } from '../../../control-plane/coexistence/coexistence.ts'
import { equalTenants } from '../../../control-plane/coexistence/equal-tenants.ts'
import type { GateAbout, GateKeeper, GateLook } from '../../../control-plane/coexistence/gate-keeper.ts'
import { observeTenant } from '../../../control-plane/coexistence/observe.ts'
import { groupPrefixOf } from '../../../control-plane/coexistence/pass.ts'
import { reconcileCoexistenceJob } from '../../../control-plane/coexistence/reconcile-job.ts'
import type { ReconcileDeps } from '../../../control-plane/coexistence/run.ts'
import type { Gate } from '../../../control-plane/coexistence/step.ts'
import { emergencyStop, readSwitch, setCoexistence, setFreeBusy } from '../../../control-plane/coexistence/switch.ts'
import type { SwitchView } from '../../../control-plane/coexistence/switch.ts'
import type { ObservedObject } from '../../../control-plane/coexistence/tenant-object.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { requestJob } from '../../../control-plane/db/outbox.ts'
import { discoveryRoutes } from '../../../control-plane/discovery/discovery-routes.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { TenantId } from '../../../control-plane/ids.ts'
import { Draining } from '../../../control-plane/jobs/job.ts'
import { RetryLater } from '../../../control-plane/jobs/retry.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import { mappingRoutes } from '../../../control-plane/mapping/mapping-routes.ts'
import type { ExchangeClient, Microsoft365 } from '../../../control-plane/microsoft/clients.ts'
import { MicrosoftError } from '../../../control-plane/microsoft/microsoft-error.ts'
import { CancelWatch } from '../../../control-plane/operations/cancel-watch.ts'
import { openConnection } from '../../../control-plane/tenants/connection.ts'
import { deletionRoutes } from '../../../control-plane/projects/deletion-routes.ts'
import { tenantRoutes } from '../../../control-plane/tenants/tenant-routes.ts'
import { findTenant } from '../../../control-plane/tenants/tenant-store.ts'
import { SandboxClock } from '../../../sandbox/clock.ts'
import { generateTenant } from '../../../sandbox/tenants/generate.ts'
import { testApi } from '../../harness/api.ts'
import { connectedProject } from '../../harness/connected-project.ts'
import { runJob } from '../../harness/run-job.ts'
import { testSandbox } from '../../harness/sandbox.ts'
import { testSealer } from '../../harness/sealer.ts'

export const PEOPLE = 3
const AUTHOR = 'person:test'
const MAX_ATTEMPTS = 250

/**
 * What happens to a call that changes a tenant, the first time that it is made:
 * - `unsent`: it does not get there, by turns because the network fails, or because the worker ends between intent and call
 * - `unanswered`: it takes effect and nobody is told, by turns for the same reasons
 */
export type Mishap = 'unsent' | 'unanswered'

export async function switchScene() {
  let sealer: Sealer | undefined
  const api = await testApi({ after }, async ({ database, log }) => {
    sealer = await testSealer({ after }, database, log)
    return [...tenantRoutes(), ...discoveryRoutes(), ...mappingRoutes(), ...deletionRoutes()]
  })
  const sandbox = await testSandbox(
    { after },
    {
      clock: new SandboxClock(Date.now),
      tenants: [generateTenant({ seed: 3, people: 6 }), generateTenant({ seed: 3, people: 6, side: 'target' })],
    },
  )
  assert.ok(sealer)
  const it = await connectedProject(api, sandbox, { sealer })
  const { organisation, project } = it
  const place = { organisation, project }
  const { db } = api.database
  const now = sandbox.clock.nowMs
  const inside = <T>(act: (tx: Tx) => Promise<T>) => withScope(db, { organisation }, act)
  const tenants = [it.source, it.target] as const
  for (const { entraTenantId } of tenants)
    sandbox.control.grantExchangeRole(entraTenantId, sandbox.app.clientId, 'Organization Management')
  for (const tenant of tenants) await it.discover(tenant)

  // ── What a person set up: a rule of their own, mapped people, certificates ──
  const rule = (entraTenantId: string, Name: string) =>
    writer(entraTenantId)('New-TransportRule', { Name, SubjectContainsWords: ['secret'], PrependSubject: '! ' })
  const addressesOf = async (tenant: TenantId) =>
    (
      await inside((tx) =>
        rowsOf<{ address: string }>(
          tx,
          sql`select primary_key as address from account where tenant_id = ${tenant} and kind = 'user' and valid_to is null and primary_key is not null order by primary_key limit ${PEOPLE}`,
        ),
      )
    ).map(({ address }) => address)
  const [mailboxes, presented] = [await addressesOf(it.source.id), await addressesOf(it.target.id)]
  assert.equal(mailboxes.length + presented.length, 2 * PEOPLE)

  const map = async (nth: number): Promise<string> => {
    const known = [mailboxes[nth], presented[nth]]
    const made = await api.request('POST', `${it.path}/mappings`, { known, mailbox: known[0], presented: known[1] }, it)
    assert.equal(made.status, 201, JSON.stringify(made.body))
    return made.body.id as string
  }
  const mappings: string[] = []
  for (let nth = 0; nth < PEOPLE - 1; nth++) mappings.push(await map(nth))
  for (const [nth, tenant] of [it.source.id, it.target.id].entries()) {
    const domain = (nth === 0 ? mailboxes : presented)[0]?.split('@')[1]
    await inside((tx) =>
      sql`insert into certificate (organisation_id, project_id, id, purpose, tenant_id, names, algorithm, state, public_key, key_sealed, chain, fingerprint,
                                   not_before, expires_at, created_at, created_by, activated_at)
          values (${organisation}, ${project}, ${newId('certificate')}, 'tenant', ${tenant}, ${[domain]}, 'ec-p256', 'active', 'x', '\\x00', 'x', 'x',
                  now(), now() + interval '10 years', now(), 'test', now())`.execute(tx),
    )
  }

  // ── Exchange, with mishaps ──
  let mishap: Mishap | undefined
  let isRefused: ((tenant: string, cmdlet: string, parameters: object) => boolean) | undefined
  let seen = new Set<string>()
  let ending = new AbortController()
  const calls: string[] = []
  const unlucky = (tenant: string, exchange: ExchangeClient): ExchangeClient => ({
    read: (...args) => exchange.read(...args),
    async invoke<T>(cmdlet: string, parameters: Readonly<Record<string, unknown>>, options = {}) {
      const { LastValidationTimestamp: _at, Recipients: _to, ...stable } = parameters
      const name = `${tenant} ${cmdlet} ${JSON.stringify(stable)}`
      calls.push(`${cmdlet} ${JSON.stringify(parameters['Name'] ?? parameters['Identity'])} ${tenant}`)
      if (isRefused?.(tenant, cmdlet, parameters) === true)
        throw new MicrosoftError('RBAC_MISSING', { status: 403, operation: cmdlet })
      if (mishap === undefined || seen.has(name)) return exchange.invoke<T>(cmdlet, parameters, options)
      seen.add(name)
      if (mishap === 'unanswered')
        await exchange.invoke<T>(cmdlet, parameters).catch((error: unknown) => {
          if (!(error instanceof MicrosoftError)) throw error
        })
      if (seen.size % 2 === 0) throw new MicrosoftError('TRANSIENT', { operation: cmdlet })
      ending.abort(new Draining('killed'))
      throw ending.signal.reason
    },
  })
  const microsoft: Microsoft365 = {
    clientsOf(connection) {
      const clients = it.deps.microsoft.clientsOf(connection)
      return { ...clients, exchange: unlucky(connection.tenant, clients.exchange) }
    },
    forget: (connection) => it.deps.microsoft.forget(connection),
  }

  // ── Gates ──
  const said: Partial<Record<Gate, GateLook>> = {}
  const looks: { gate: Gate; about: GateAbout }[] = []
  const gates: GateKeeper = {
    look(_tx, _place, { gate }, about) {
      looks.push({ gate, about })
      return Promise.resolve(said[gate] ?? { kind: 'open' })
    },
  }
  const deps: ReconcileDeps = { ...it.deps, microsoft, gates, now }
  const watch = new CancelWatch({
    db,
    wakeUps: { on: () => () => {} },
    log: createLog({ write: () => {}, level: 'error', now: Date.now }),
    everyMs: 60_000,
  })
  after(() => watch.close())
  const job = reconcileCoexistenceJob(deps, { watch, monotonicMs: () => performance.now() })

  const view = () => inside((tx) => readSwitch(tx, place))

  /** One attempt. @returns what it asked to wait; undefined: it is done */
  async function attempt(object: string): Promise<number | undefined> {
    ending = new AbortController()
    try {
      await runJob(db, { organisation, kind: 'coexistence.reconcile', object }, job, ending.signal)
      return undefined
    } catch (error) {
      if (error instanceof RetryLater) return error.waitMs
      if (error instanceof Draining) return 0
      throw error
    }
  }

  /** Until the operation that was begun last has ended, or waits for what the test decides. @returns attempts */
  async function work(until: (view: SwitchView) => boolean = () => false): Promise<number> {
    for (let attempts = 1; attempts < MAX_ATTEMPTS; attempts++) {
      const { operation } = await view()
      assert.ok(operation)
      const waitMs = await attempt(operation)
      if (waitMs === undefined || until(await view())) return attempts
      sandbox.control.advanceClock(waitMs)
    }
    throw new Error(`it does not settle: ${JSON.stringify(await view())}`)
  }

  const ON: CoexistenceSetting = {
    ...FIRST_SETTING,
    state: 'on',
    connectorHoldMs: 0,
    relayHosts: { out: 'out.relay.example', in: 'in.relay.example' },
  }
  const change = async (more: { confirmsDrift?: boolean } = {}) => ({
    author: AUTHOR,
    at: new Date(now()),
    ifVersion: (await view()).version,
    ...more,
  })
  const set = async (setting: Partial<CoexistenceSetting>, more: { confirmsDrift?: boolean } = {}) => {
    const how = await change(more)
    return inside((tx) => setCoexistence(tx, place, { ...ON, ...setting }, how))
  }
  const setBusy = async (setting: Partial<FreeBusySetting>) => {
    const how = await change()
    return inside((tx) => setFreeBusy(tx, place, { state: 'on', accessLevel: 'LimitedDetails', ...setting }, how))
  }
  const stop = () => inside((tx) => emergencyStop(tx, place, { author: AUTHOR, at: new Date(now()), reason: 'test' }))

  /** As the clock asks for it. @param until  where it waits for what the test decides */
  async function lookAfter(until: (view: SwitchView) => boolean = () => false): Promise<number | undefined> {
    await inside(async (tx) => {
      await sql`delete from job where kind = 'coexistence.reconcile' and object_id = ${project}`.execute(tx)
      await requestJob(tx, place, 'coexistence.reconcile', project)
    })
    for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
      const waitMs = await attempt(project)
      if (waitMs === undefined || waitMs >= 60_000 || until(await view())) return waitMs
      sandbox.control.advanceClock(waitMs)
    }
    throw new Error('it does not settle')
  }

  // ── Tenants as they are ──
  function writer(entraTenantId: string) {
    const { id } = entraTenantId === it.source.entraTenantId ? it.source : it.target
    return async (cmdlet: string, parameters: Readonly<Record<string, unknown>>): Promise<void> => {
      const tenant = await inside((tx) => findTenant(tx, place, id))
      assert.ok(tenant)
      const { exchange } = it.deps.microsoft.clientsOf(await openConnection(it.deps, place, tenant))
      await exchange.invoke(cmdlet, parameters)
    }
  }
  const observe = async (): Promise<ObservedObject[]> => {
    const all: ObservedObject[] = []
    for (const { id } of tenants) {
      const tenant = await inside((tx) => findTenant(tx, place, id))
      assert.ok(tenant)
      const { exchange } = it.deps.microsoft.clientsOf(await openConnection(it.deps, place, tenant))
      all.push(...(await observeTenant(exchange, { tenant: id, groupPrefix: groupPrefixOf(project) })))
    }
    return all
  }
  for (const { entraTenantId } of tenants) await rule(entraTenantId, 'House rule')
  const first = await observe()

  return {
    api,
    sandbox,
    it,
    place,
    inside,
    ON,
    deps,
    view,
    work,
    attempt,
    set,
    setBusy,
    stop,
    lookAfter,
    observe,
    writer,
    map,
    mappings,
    mailboxes,
    presented,
    said,
    looks,
    calls,
    /** From now on. */
    suffer(next: Mishap | undefined) {
      mishap = next
      seen = new Set()
    },
    refuse(which: typeof isRefused) {
      isRefused = which
    },
    ours: async () => (await observe()).filter(({ mark, name }) => mark !== undefined || name.startsWith('Causeway-')),
    /** Both tenants are as before the first change. */
    async isAsBefore(): Promise<void> {
      const { isEqual: _isEqual, ...difference } = equalTenants(first, await observe())
      assert.deepEqual(difference, { added: [], removed: [], changed: [], ruleOrder: undefined })
    },
    async enable(setting: Partial<CoexistenceSetting> = {}) {
      await set(setting)
      await work()
      const seenNow = await view()
      assert.equal(seenNow.state, 'on', JSON.stringify(seenNow))
      return seenNow
    },
    async disable() {
      await set({ state: 'off' })
      await work()
      const seenNow = await view()
      assert.equal(seenNow.state, 'off', JSON.stringify(seenNow))
      return seenNow
    },
  }
}
