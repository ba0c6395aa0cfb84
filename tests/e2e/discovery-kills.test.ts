// Discovery on real processes that die: kill -9 of worker and API at every step, the other side away, a consent withdrawn and given again. In the end
// what is known of the tenant is what is there, once. (JQ-1, JQ-2, EC-4, OP-3, migration-semantics.md §7.1)
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { CONTOSO, FABRIKAM } from '../../sandbox/tenants/constants.ts'
import type { TenantData } from '../../sandbox/tenants/objects.ts'
import { connectTenants, makeConnectApp, startDiscovery } from '../harness/connect-tenants.ts'
import type { ConnectApp, ConnectedTenants } from '../harness/connect-tenants.ts'
import type { Answer, ControlPlane } from '../harness/control-plane.ts'
import { testOnRedis, testRedis } from '../harness/redis.ts'
import { SandboxProcess } from '../harness/sandbox-process.ts'
import { withControlPlane } from '../harness/start-control-plane.ts'
import { eventually } from '../harness/wait.ts'

const PEOPLE = 400
/** Longer than any test: the call stays under way until the process that made it is gone. */
const HELD_MS = 600_000
const PATIENCE_MS = 60_000
/** Calls that only a discovery makes, in their order; each is held once, and there the worker is killed. */
const ALL_STEPS = [
  'GET /subscribedSkus',
  'Get-TransportRule',
  'GET /users/delta()',
  'GET /groups/delta()',
  'GET /contacts/delta()',
  'GET /groups/{group-id}/owners',
  'Get-Mailbox',
  'GET /reports/getMailboxUsageDetail',
] as const
/** All of them with CAUSEWAY_KILL_ROUNDS: each costs the seconds in which a worker starts. */
const isLong = Number(process.env['CAUSEWAY_KILL_ROUNDS'] ?? 0) > 0
const STEPS = isLong ? ALL_STEPS : ALL_STEPS.filter((_, nth) => nth % 4 === 2)

interface Scene {
  readonly plane: ControlPlane
  readonly sandbox: SandboxProcess
  readonly app: ConnectApp
  readonly tenants: ConnectedTenants
}

async function onScene(t: TestContext, redisUrl: string | undefined, work: (scene: Scene) => Promise<void>) {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-kills-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const [sandbox, app] = await Promise.all([
    SandboxProcess.start({ people: PEOPLE, directory: join(directory, 'sandbox') }),
    makeConnectApp(directory),
  ])
  t.after(() => sandbox.stop('SIGKILL'))
  const env = { ...sandbox.env, ...app.env }
  await withControlPlane(t, { env, ...(redisUrl === undefined ? {} : { redisUrl }) }, async (plane) => {
    await work({ plane, sandbox, app, tenants: await connectTenants(plane, sandbox, app) })
    const { violations, uses } = await sandbox.report()
    assert.deepEqual(violations, [], "Microsoft's published contracts were broken")
    const writes = uses.filter(({ isWrite }) => isWrite)
    assert.deepEqual(writes, [], 'EC-2: with minimal consent nothing is written')
  })
}

/** Has the answer to the next such call in Contoso held back. @returns resolves when it is under way */
async function hold({ sandbox }: Scene, operation: string): Promise<() => Promise<unknown>> {
  const calls = async () => {
    const { uses } = await sandbox.report()
    const matching = uses.filter(({ name, tenantId }) => name.startsWith(operation) && tenantId === CONTOSO)
    return matching.reduce((sum, { count }) => sum + count, 0)
  }
  const before = await calls()
  const effect = { kind: 'slow', ms: HELD_MS }
  await sandbox.control('add-fault', { tenantId: CONTOSO, operation: `${operation}*`, when: 'after', effect })
  return () => eventually(`${operation} is under way`, async () => ((await calls()) > before ? true : undefined))
}

/** As if the minute were over after which a dead worker is taken for dead, and whatever waits for its time had waited. */
async function letTimePass({ database }: ControlPlane): Promise<void> {
  assert.ok(database !== undefined)
  await sql`update job set lease_until = now() - interval '1 second' where state = 'running'`.execute(database.owner.db)
  await sql`update job set run_after = least(run_after, now()), published_at = published_at - interval '1 hour'
             where state = 'queued'`.execute(database.owner.db)
}

async function discoverDespiteKills(scene: Scene, steps: readonly string[]): Promise<void> {
  const { plane, sandbox, tenants } = scene
  const [api] = plane.apis
  assert.ok(api !== undefined)
  let isUnderWay = await hold(scene, steps[0] ?? '')
  const started = await startDiscovery(plane, tenants.source)
  for (const [nth, next] of [...steps.slice(1), undefined].entries()) {
    await isUnderWay()
    // Now and then others die with it.
    await Promise.all([plane.worker.stop('SIGKILL'), nth % 3 === 1 ? api.stop('SIGKILL') : undefined])
    if (nth % 3 === 2) {
      await sandbox.stop('SIGKILL')
      await sandbox.start()
    } else await sandbox.control('clear-faults')
    if (next !== undefined) isUnderWay = await hold(scene, next)
    await letTimePass(plane)
    await Promise.all([plane.worker.start(), api.isRunning ? undefined : api.start()])
  }
  await plane.succeeded(String(started.operation), { timeoutMs: PATIENCE_MS })
  await assertKnown(scene, 'source', started)
}

/** What is known of the tenant is what is there, and nothing of it twice. */
async function assertKnown(scene: Scene, side: 'source' | 'target', { id }: Answer['body']): Promise<void> {
  const { plane, sandbox, tenants } = scene
  const tenant = tenants[side]
  const { objects } = await sandbox.control<TenantData>('state', { tenant: side === 'source' ? CONTOSO : FABRIKAM })
  const known: string[] = []
  const members = new Map<string, number>()
  for (let next: string | undefined = `${plane.path}/accounts?tenant=${tenant}&limit=1000`; next !== undefined;) {
    const { body }: Answer = await plane.done('GET', next.replace(/^\/api\/v1/, ''))
    for (const { objectId, group } of body.items) {
      known.push(String(objectId))
      if (group !== undefined) members.set(String(objectId), Number(group.members))
    }
    next = body.next
  }
  assert.deepEqual(known.toSorted(), objects.map((object) => object.id.toLowerCase()).toSorted())
  for (const object of objects.filter(({ kind }) => kind === 'group'))
    assert.equal(members.get(object.id.toLowerCase()), object.members.length)
  const { body: discovery } = await plane.done('GET', `${plane.path}/discoveries/${id}`)
  assert.deepEqual([discovery.state, discovery.counts.created, discovery.gaps], ['completed', objects.length, []])
  // A whole one that nobody disturbs finds nothing to correct.
  const again = await startDiscovery(plane, tenant, 'full')
  const { created, changed, removed } = await plane.succeeded(String(again.operation), { timeoutMs: PATIENCE_MS })
  assert.deepEqual({ created, changed, removed }, { created: 0, changed: 0, removed: 0 })
}

async function loseConsentUnderWay(scene: Scene, t: TestContext): Promise<void> {
  const { plane, sandbox, app, tenants } = scene
  const fabrikam = { tenant: FABRIKAM, clientId: app.clientId }
  const tenant = `${plane.path}/tenants/${tenants.target}`
  const effect = { kind: 'slow', ms: 1_500 }
  await sandbox.control('add-fault', { tenantId: FABRIKAM, operation: 'GET /groups/delta()', when: 'before', effect })
  const started = await startDiscovery(plane, tenants.target)
  const operation = `/operations/${started.operation}`
  await plane.until('people to be read', operation, ({ progress }) => progress?.step === 'reading users')
  await sandbox.control('withdraw-consent', fabrikam)
  const withdrawnMs = performance.now()
  const paused = await plane.until('a pause', `${tenant}/consent`, ({ state }) => state === 'paused', {
    timeoutMs: 60_000,
  })
  t.diagnostic(`paused ${Math.round(performance.now() - withdrawnMs)} ms after the consent was withdrawn`)
  assert.equal(paused.trouble.code, 'CONSENT_MISSING')
  assert.match(String(paused.trouble.remedy), /consent/)
  await plane.until('the reason', operation, ({ progress }) => progress?.step === 'waiting: CONSENT_MISSING')

  await sandbox.control('grant-consent', fabrikam)
  await sandbox.control('advance-clock', { ms: 10_000 }) // until it has spread
  await plane.done('POST', `${tenant}/health/checks`)
  await plane.until('a connection', `${tenant}/consent`, ({ state }) => state === 'connected')
  await letTimePass(plane)
  await plane.succeeded(String(started.operation), { timeoutMs: PATIENCE_MS })
  await assertKnown(scene, 'target', started)
}

test('discoveries on processes that die', { timeout: 300_000 }, (t) =>
  onScene(t, undefined, async (scene) => {
    await t.test('killed at every step, with the API and Microsoft 365 now and then, one finds everything, once', () =>
      discoverDespiteKills(scene, STEPS),
    )
    await t.test(
      'EC-4: a consent withdrawn under way pauses the tenant and says why; given again, it goes on',
      (each) => loseConsentUnderWay(scene, each),
    )
  }),
)

testOnRedis('a discovery whose worker is killed finds everything, once, with jobs in Redis', async (t) => {
  if (!isLong) return t.skip('minutes of kills: CAUSEWAY_KILL_ROUNDS=1 npm test')
  const { url } = await testRedis(t)
  await onScene(t, url, (scene) => discoverDespiteKills(scene, STEPS))
})
