// Discoveries when Microsoft 365 is not well, or somebody lies: a storm of throttling, clocks apart, links that lead elsewhere, pages in a circle.
// (microsoft-365.md §1, §2.1, §3; migration-semantics.md §8)
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { discoveryRoutes } from '../../../control-plane/discovery/discovery-routes.ts'
import { accountRoutes } from '../../../control-plane/directory/account-routes.ts'
import { RetryLater } from '../../../control-plane/jobs/retry.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import type { Pace } from '../../../control-plane/microsoft/pace.ts'
import { operationRoutes } from '../../../control-plane/operations/operation-routes.ts'
import { StreamAccess } from '../../../control-plane/events/stream-access.ts'
import { consentRoutes } from '../../../control-plane/tenants/consent-routes.ts'
import { tenantRoutes } from '../../../control-plane/tenants/tenant-routes.ts'
import { SandboxClock } from '../../../sandbox/clock.ts'
import { graphStateOf } from '../../../sandbox/graph/graph-state.ts'
import { generateTenant } from '../../../sandbox/tenants/generate.ts'
import { testApi } from '../../harness/api.ts'
import { connectedProject } from '../../harness/connected-project.ts'
import type { ConnectedProject } from '../../harness/connected-project.ts'
import type { Ending } from '../../harness/postgres.ts'
import { testSandbox } from '../../harness/sandbox.ts'
import { testSealer } from '../../harness/sealer.ts'

let sealer: Sealer | undefined
const api = await testApi({ after }, async ({ database, log }) => {
  sealer = await testSealer({ after }, database, log)
  const { db } = database
  const deps = {
    db,
    sealer,
    sharedApp: undefined,
    publicUrl: new URL('http://127.0.0.1'),
    random: () => Buffer.alloc(32),
  }
  const streams = { db, wakeUps: { on: () => () => {} }, streamAccess: new StreamAccess({ db, now: Date.now }) }
  return [
    ...tenantRoutes(),
    ...consentRoutes(deps),
    ...discoveryRoutes(),
    ...accountRoutes(),
    ...operationRoutes(streams),
  ]
})

const SPEED = 40
const begun = Date.now()
const fastNow = (): number => begun + (Date.now() - begun) * SPEED
/** A minute takes 1.5 s, for product and sandbox alike. */
const FAST: Pace = {
  now: fastNow,
  monotonicMs: () => performance.now() * SPEED,
  random: () => 0.5,
  setTimer(callback, ms) {
    const timer = setTimeout(callback, ms / SPEED)
    return () => clearTimeout(timer)
  },
}

async function scene(t: Ending, { people, groups = 2, pace }: { people: number; groups?: number; pace?: Pace }) {
  const tenants = [generateTenant({ seed: 5, people, groups }), generateTenant({ seed: 5, people: 3, side: 'target' })]
  const sandbox = await testSandbox(t, { tenants, clock: new SandboxClock(() => pace?.now() ?? Date.now()) })
  assert.ok(sealer)
  const own = pace === undefined ? {} : { pace, now: () => pace.now() }
  return { sandbox, it: await connectedProject(api, sandbox, { sealer, ...own }) }
}

const accountsFound = async ({ path, key, source }: ConnectedProject): Promise<number> =>
  (await api.request('GET', `${path}/accounts?tenant=${source.id}&limit=1000`, undefined, { key })).body.items
    .length as number

async function begin(it: ConnectedProject): Promise<string> {
  const { status, body } = await api.request('POST', `${it.path}/discoveries`, { tenant: it.source.id }, it)
  assert.equal(status, 202, JSON.stringify(body))
  return body.operation as string
}

test('a storm of throttling is sat out: every wait that is asked for is kept, nothing fails, nothing is doubled', async (t) => {
  const { sandbox, it } = await scene(t, { people: 20, groups: 200, pace: FAST })
  const { throttling } = graphStateOf(sandbox.services)
  let refused = 0
  const charge = throttling.charge.bind(throttling)
  throttling.charge = (call) => {
    const verdict = charge(call)
    if (verdict.isRefused) refused++
    return verdict
  }
  sandbox.control.setThrottling(1 / 100)
  const operation = await begin(it)
  for (let turns = 0; ; turns++) {
    assert.ok(turns < 20, 'it comes to an end')
    // A wait of more than a minute is the job's, which gives its place to another.
    const isDone = await it.goOn(operation).then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof RetryLater)) throw error
        return new Promise<false>((resolve) => void setTimeout(() => resolve(false), error.waitMs / SPEED))
      },
    )
    if (isDone) break
  }
  assert.ok(refused > 3, `refused ${refused} times`)
  // Each of 200 groups is asked for in a batch, and charged whether refused or not: without waiting there would be no end to it.
  assert.ok(refused < 1_000, `refused ${refused} times: waits were kept`)
  sandbox.control.setThrottling(undefined)
  const found = await accountsFound(it)
  const again = await it.discover(it.source, 'full')
  assert.deepEqual({ ...again['counts'], kinds: 0 }, { kinds: 0, created: 0, changed: 0, removed: 0 })
  assert.equal(await accountsFound(it), found)
})

test('CLOCK_SKEW: a clock that is wrong pauses the tenant and says so', async (t) => {
  // Entra's clock is an hour ahead of ours.
  const late = await testSandbox(t, { isReported: false, clock: new SandboxClock(() => Date.now() + 3_600_000) })
  assert.ok(sealer)
  const behind = await connectedProject(api, late, { sealer, now: Date.now })
  const { body } = await api.request('GET', `${behind.path}/tenants/${behind.source.id}/consent`, undefined, behind)
  assert.equal(body.state, 'refused')
  assert.equal(body.trouble.code, 'CLOCK_SKEW')
  assert.match(body.trouble.remedy as string, /clock/)
})

test('a link that leads to another host is not followed: no request, no token, and the operation says why', async (t) => {
  const { sandbox, it } = await scene(t, { people: 5 })
  let asked = 0
  const elsewhere = createServer((_request, response) => {
    asked++
    response.end('{}')
  })
  await new Promise<void>((resolve) => void elsewhere.listen(0, '127.0.0.1', resolve))
  t.after(() => void elsewhere.close())
  const { port } = elsewhere.address() as AddressInfo
  const links = [
    `http://127.0.0.1:${port}/v1.0/users/delta?$skiptoken=x`,
    'https://graph.sandbox.test.evil.example/v1.0/users/delta?$skiptoken=x',
    'https://graph.sandbox.test@evil.example/v1.0/users/delta',
    'https://gr\u0430ph.sandbox.test/v1.0/users/delta',
    'ftp://graph.sandbox.test/v1.0/users',
  ]
  for (const link of links) {
    const body = JSON.stringify({ '@odata.context': 'x', value: [], '@odata.nextLink': link })
    sandbox.faults.add({ operation: 'GET /users/delta()', when: 'after', effect: { kind: 'wrong-body', body } })
    const operation = await begin(it)
    await it.goOn(operation)
    const { body: ended } = await api.request('GET', `/operations/${operation}`, undefined, it)
    assert.equal(ended.state, 'failed', link)
    assert.equal(ended.problem.code, 'LINK_REFUSED', link)
    assert.ok(ended.problem.remedy.length > 10)
    await it.endOrphans()
  }
  assert.equal(asked, 0)
  assert.equal((await it.discover(it.source))['state'], 'completed', 'it was the answer, not the tenant')
})
