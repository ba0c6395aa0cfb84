// Keys over HTTP: what is known of them, and their rotation by those who may. (KM-2, KM-5, KM-7, AZ-4, AZ-6)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { emptyMetrics } from '../../../common/metrics.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import { StreamAccess } from '../../../control-plane/events/stream-access.ts'
import { INSTALLATION, newId } from '../../../control-plane/ids.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { takeOutbox, takeTurns } from '../../../control-plane/jobs/dispatch-store.ts'
import { queueId } from '../../../control-plane/jobs/job.ts'
import { JobRunner } from '../../../control-plane/jobs/run.ts'
import { ALL_SEALED_COLUMNS } from '../../../control-plane/keys/all-sealed-columns.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { recordKey, recordUse } from '../../../control-plane/keys/key-inventory-store.ts'
import type { KeyKind } from '../../../control-plane/keys/key-inventory.ts'
import { homeOf, ofInstallation, ofProject, wrappingContext } from '../../../control-plane/keys/key-owner.ts'
import { keyRoutes } from '../../../control-plane/keys/key-routes.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { openKeyRing } from '../../../control-plane/keys/project-keys.ts'
import type { KeyDeps } from '../../../control-plane/keys/project-keys.ts'
import { listProjectKeys } from '../../../control-plane/keys/project-key-store.ts'
import { rewrapJob } from '../../../control-plane/keys/rewrap-job.ts'
import { createSealer } from '../../../control-plane/keys/sealer.ts'
import { shredKeys } from '../../../control-plane/keys/shred-keys.ts'
import { CancelWatch } from '../../../control-plane/operations/cancel-watch.ts'
import { operationRoutes } from '../../../control-plane/operations/operation-routes.ts'
import { addNonce, ensureMarker } from '../../../control-plane/relays/relay-secret-store.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'
import { allHandlers } from '../jobs/queues.ts'
import { temporaryDirectory } from './key-scene.ts'

const DAY_MS = 86_400_000

interface KeyApi extends TestApi {
  readonly keys: KeyDeps
  readonly clock: { now: number }
  /** Runs the jobs that wait. */
  work(): Promise<void>
  record(
    organisation: OrganisationId,
    kind: KeyKind,
    id: string,
    days: number | undefined,
    project?: ProjectId,
  ): Promise<void>
  actions(organisation: OrganisationId): Promise<string[]>
}

async function keyApi(t: TestContext): Promise<KeyApi> {
  const closing: (() => Promise<void> | void)[] = []
  t.after(async () => {
    for (const close of closing.toReversed()) await close()
  })
  const clock = { now: Date.now() }
  const made: { keys?: KeyDeps; runner?: JobRunner } = {}
  const api = await testApi(
    t,
    async ({ database, log }) => {
      const { db } = database
      const provider = await openKeyDirectory(temporaryDirectory(t), () => clock.now)
      const cache = new KeyCache(() => clock.now)
      const uses = new KeyUses({ db, log, now: () => new Date(clock.now) })
      const wakeUps = new WakeUps(database.connection, log)
      await wakeUps.start()
      const watch = new CancelWatch({ db, wakeUps, log })
      closing.push(
        () => cache.close(),
        () => wakeUps.close(),
        () => watch.close(),
        () => uses.settle(),
      )
      const keys = { db, provider, cache, uses, now: () => new Date(clock.now) }
      const monotonicMs = () => performance.now()
      const handler = rewrapJob({ keys, columns: ALL_SEALED_COLUMNS, log, operations: { watch, monotonicMs } })
      const handlers = allHandlers({ 'keys.rewrap': handler })
      made.keys = keys
      made.runner = new JobRunner({
        db,
        log,
        metrics: emptyMetrics(),
        handlers,
        leaseMs: 60_000,
        random: () => 0.5,
        monotonicMs,
      })
      const streamAccess = new StreamAccess({ db, now: () => clock.now })
      return [...keyRoutes(), ...operationRoutes({ db, wakeUps, streamAccess })]
    },
    { now: () => clock.now },
  )
  const { keys, runner } = made
  assert.ok(keys !== undefined && runner !== undefined)
  const { db } = api.database
  return {
    ...api,
    keys,
    clock,
    async work() {
      await takeOutbox(db)
      for (const turn of await takeTurns(db, 100)) await runner.run(queueId(turn), turn.kind)
    },
    record: (organisation, kind, id, days, project) =>
      withScope(db, { organisation }, (tx) =>
        recordKey(tx, {
          organisation,
          kind,
          id,
          project,
          owner: `owner of ${id}`,
          createdAt: new Date(clock.now),
          expiresAt: days === undefined ? undefined : new Date(clock.now + days * DAY_MS),
        }),
      ),
    async actions(organisation) {
      const rows = await withScope(db, { organisation }, (tx) =>
        rowsOf<{ action: string }>(tx, sql`select action from audit_event order by sequence`),
      )
      return rows.map(({ action }) => action)
    },
  }
}

test('KM-7: the inventory says owner, creation, end, last use and version of every key, of one project or all', async (t) => {
  const it = await keyApi(t)
  const { id: organisation, key } = await it.organisation()
  const [project, other] = [await it.project(organisation), await it.project(organisation, 'Other')]
  const ring = await openKeyRing(ofProject(organisation, project), it.keys)
  ring.seal({ purpose: 'x', context: 'y' }, Buffer.from('z'))
  await it.keys.uses.settle()
  await openKeyRing(ofProject(organisation, other), it.keys)
  await it.record(organisation, 'dkim', 'dkm_1', 200, project)
  await it.record(organisation, 'webhook-secret', 'whk_1', undefined)
  await withScope(it.database.db, { organisation }, (tx) =>
    recordUse(tx, organisation, 'dkim', ['dkm_1'], new Date(it.clock.now)),
  )
  const now = new Date(it.clock.now).toISOString()
  const { status, body } = await it.request('GET', `/projects/${project}/keys`, undefined, { key })
  assert.equal(status, 200)
  assert.deepEqual(body, {
    items: [
      {
        id: 'dkm_1',
        kind: 'dkim',
        owner: 'owner of dkm_1',
        project,
        createdAt: now,
        expiresAt: new Date(it.clock.now + 200 * DAY_MS).toISOString(),
        lastUsedAt: now,
      },
      {
        id: ring.currentKeyId,
        kind: 'project-key',
        owner: 'the project',
        project,
        version: 1,
        state: 'current',
        createdAt: now,
        expiresAt: new Date(it.clock.now + 365 * DAY_MS).toISOString(),
        lastUsedAt: now,
      },
    ],
  })
  const all = await it.request('GET', `/organizations/${organisation}/keys`, undefined, { key })
  const found = all.body.items.map((item: { kind: string; project?: string }) => `${item.kind} ${item.project ?? '-'}`)
  assert.deepEqual(
    new Set(found),
    new Set([`dkim ${project}`, `project-key ${project}`, `project-key ${other}`, 'webhook-secret -']),
  )
  assert.equal(found.length, 4)
})

test('KM-7: the list is paged and filtered by kind and end', async (t) => {
  const it = await keyApi(t)
  const { id: organisation, key } = await it.organisation()
  for (let n = 0; n < 7; n++) await it.record(organisation, n % 2 === 0 ? 'dkim' : 'api-key', `k${n}`, n * 10)
  await it.record(organisation, 'dkim', 'endless', undefined)
  const get = (query: string) => it.request('GET', `/organizations/${organisation}/keys?${query}`, undefined, { key })
  const seen: string[] = []
  let page = await get('limit=3')
  for (;;) {
    assert.equal(page.status, 200)
    assert.ok(page.body.items.length <= 3)
    seen.push(...page.body.items.map((item: { id: string }) => item.id))
    if (page.body.next === undefined) break
    page = await it.request('GET', page.body.next.replace('/api/v1', ''), undefined, { key })
  }
  assert.deepEqual(seen, ['k1', 'k3', 'k5', 'endless', 'k0', 'k2', 'k4', 'k6'])
  const idsOf = async (query: string) => (await get(query)).body.items.map((item: { id: string }) => item.id)
  assert.deepEqual(await idsOf('kind=api-key'), ['k1', 'k3', 'k5'])
  const soon = new Date(it.clock.now + 25 * DAY_MS).toISOString()
  assert.deepEqual(await idsOf(`expiresBefore=${soon}`), ['k1', 'k0', 'k2'])
  assert.deepEqual(await idsOf(`expiresBefore=${soon}&kind=dkim`), ['k0', 'k2'])
  const refused: [query: string, why: string][] = [
    ['kind=passport', 'no such kind'],
    ['expiresBefore=soon', 'not a time'],
    ['cursor=x', 'not a cursor'],
    ['limit=1001', 'too many'],
    ['secret=true', 'no such parameter'],
  ]
  for (const [query, why] of refused) assert.equal((await get(query)).status, 400, why)
})

test('KM-5: no answer, audit event, operation or log line holds a key or anything that it seals', async (t) => {
  const it = await keyApi(t)
  const { db } = it.database
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const place = { organisation, project }
  const sealer = createSealer(it.keys)
  const nonce = await withScope(db, { organisation }, async (tx) => {
    await ensureMarker(tx, sealer, place, new Date(it.clock.now))
    return addNonce(tx, sealer, place, new Date(it.clock.now + DAY_MS), new Date(it.clock.now))
  })
  const texts: string[] = []
  const ask = async (method: string, path: string, body?: unknown, headers = {}) => {
    const reply = await it.request(method, path, body, { ...('Cookie' in headers ? {} : { key }), headers })
    assert.ok(reply.status < 300, JSON.stringify(reply.body))
    texts.push(JSON.stringify(reply.body), JSON.stringify([...reply.headers]))
    return reply
  }
  const { headers } = await it.installationAdministrator()
  for (const level of ['data', 'root']) {
    const begun = [
      await ask('POST', `/projects/${project}/key-rotations`, { level }),
      await ask('POST', '/installation/key-rotations', { level }, headers),
    ]
    await it.work()
    await ask('GET', `/operations/${begun[0]?.body.id}`)
    await ask('GET', `/operations/${begun[1]?.body.id}`, undefined, headers)
  }
  await ask('GET', `/projects/${project}/keys`)
  await ask('GET', `/organizations/${organisation}/keys`)
  await ask('GET', '/installation/keys', undefined, headers)
  const secrets = [Buffer.from(nonce)]
  for (const owner of [ofProject(organisation, project), ofInstallation()]) {
    const rows = await withScope(db, { organisation: homeOf(owner) }, (tx) => listProjectKeys(tx, owner))
    for (const row of rows) {
      assert.ok(row.state !== 'destroyed')
      secrets.push((await it.keys.provider.unwrap(row.wrapped, wrappingContext(owner, row.id))).export())
      secrets.push(Buffer.from(row.wrapped.bytes))
    }
  }
  assert.equal(secrets.length, 7, 'the nonce, and three keys with how they are wrapped')
  const { rows } = await sql<{ text: string }>`
    select e::text as text from audit_event e union all select o::text from operation o union all select v::text from event v
    union all select j::text from job j union all select i::text from key_inventory i`.execute(it.database.owner.db)
  const everything = [...texts, ...rows.map(({ text }) => text), ...it.lines].join('\n')
  for (const secret of secrets)
    for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const)
      assert.ok(!everything.includes(secret.toString(form)), form)
})

test('KM-2: a rotation is an operation: 202, its place, its progress, its result; told in the audit trail', async (t) => {
  const it = await keyApi(t)
  const { db } = it.database
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const sealer = createSealer(it.keys)
  await withScope(db, { organisation }, async (tx) => {
    for (let n = 0; n < 5; n++)
      await addNonce(tx, sealer, { organisation, project }, new Date(it.clock.now + DAY_MS), new Date(it.clock.now))
  })
  const options = { key, headers: { 'Idempotency-Key': 'once' } }
  const begun = await it.request('POST', `/projects/${project}/key-rotations`, {}, options)
  assert.equal(begun.status, 202)
  assert.equal(begun.headers.get('location'), `/api/v1/operations/${begun.body.id}`)
  assert.deepEqual([begun.body.kind, begun.body.state, begun.body.isCancellable], ['keys.rewrap', 'queued', false])
  const again = await it.request('POST', `/projects/${project}/key-rotations`, {}, options)
  assert.deepEqual([again.status, again.body.id], [202, begun.body.id])
  await it.work()
  const done = await it.request('GET', `/operations/${begun.body.id}`, undefined, { key })
  assert.equal(done.body.state, 'succeeded')
  assert.deepEqual(done.body.progress, { done: 5, total: 5, unit: 'values' })
  assert.deepEqual(done.body.result, { version: 2, unreadableValues: 0, keys: `/api/v1/projects/${project}/keys` })
  const cancelled = await it.request('POST', `/operations/${begun.body.id}/cancel`, undefined, { key })
  assert.equal(cancelled.status, 409)
  const { body } = await it.request('GET', done.body.result.keys.replace('/api/v1', ''), undefined, { key })
  assert.deepEqual(
    body.items
      .map(({ version, state, expiresAt }: { version: number; state: string; expiresAt?: string }) => [
        version,
        state,
        expiresAt !== undefined,
      ])
      .toSorted(),
    [
      [1, 'previous', false],
      [2, 'current', true],
    ],
  )
  assert.deepEqual(await it.actions(organisation), ['key.rotation-requested', 'key.rotated'])
})

const denied: [who: string, status: number, why: string][] = [
  ['migration-administrator', 403, 'secrets are none of his'],
  ['mail-operator', 403, 'nor of his'],
  ['auditor', 403, 'he only reads'],
]

test('AZ-4: the inventory is read by members, rotation wants secret.manage, and others learn nothing', async (t) => {
  const it = await keyApi(t)
  const { id: organisation } = await it.organisation()
  const project = await it.project(organisation)
  const rotate = `/projects/${project}/key-rotations`
  for (const [role, status, why] of denied) {
    const { key } = await it.member(organisation, role)
    assert.equal((await it.request('GET', `/projects/${project}/keys`, undefined, { key })).status, 200, role)
    assert.equal((await it.request('GET', `/organizations/${organisation}/keys`, undefined, { key })).status, 200, role)
    const reply = await it.request('POST', rotate, {}, { key })
    assert.deepEqual([reply.status, reply.body.permission], [status, 'secret.manage'], why)
  }
  const { key: stranger } = await it.organisation('Fabrikam')
  assert.equal((await it.request('GET', `/projects/${project}/keys`, undefined, { key: stranger })).status, 404)
  assert.equal(
    (await it.request('GET', `/organizations/${organisation}/keys`, undefined, { key: stranger })).status,
    404,
  )
  assert.equal((await it.request('POST', rotate, {}, { key: stranger })).status, 404)
  const { key: ofOne } = await it.member(organisation, 'organization-administrator', project)
  assert.equal((await it.request('GET', `/organizations/${organisation}/keys`, undefined, { key: ofOne })).status, 404)
  assert.equal((await it.request('POST', rotate, {}, { key: ofOne })).status, 202)
})

test('TI-2: an organisation sees no key of another one or of the installation, whatever it asks', async (t) => {
  const it = await keyApi(t)
  const [first, second] = [await it.organisation(), await it.organisation('Fabrikam')]
  await it.record(first.id, 'dkim', 'mine', 10)
  await it.record(second.id, 'dkim', 'theirs', 10)
  await it.record(INSTALLATION, 'checkpoint-key', 'the installation’s', 10)
  const { body } = await it.request('GET', `/organizations/${first.id}/keys`, undefined, { key: first.key })
  assert.deepEqual(
    body.items.map(({ id }: { id: string }) => id),
    ['mine'],
  )
  const { headers } = await it.installationAdministrator()
  const own = await it.request('GET', '/installation/keys', undefined, { headers })
  assert.deepEqual(
    own.body.items.map(({ id }: { id: string }) => id),
    ['the installation’s'],
  )
  assert.equal((await it.request('GET', '/installation/keys', undefined, { key: first.key })).status, 403)
  assert.equal((await it.request('GET', `/organizations/${first.id}/keys`, undefined, { headers })).status, 404)
})

test('AZ-6: rotation wants a sign-in of the last five minutes, or a key made for dangerous acts', async (t) => {
  const it = await keyApi(t)
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const rotate = `/projects/${project}/key-rotations`
  const { principal } = await it.member(organisation, 'organization-administrator')
  const at = (minutes: number) => it.session({ principal, authenticatedAt: it.clock.now - minutes * 60_000 }).headers
  const old = await it.request('POST', rotate, {}, { headers: at(6) })
  assert.deepEqual([old.status, old.body.type], [401, '/problems/sign-in-again'])
  assert.equal((await it.request('POST', rotate, {}, { headers: at(4) })).status, 202)
  await sql`update api_key set allows_dangerous = false`.execute(it.database.owner.db)
  assert.equal((await it.request('POST', rotate, {}, { key })).status, 401)
  const administrator = await it.installationAdministrator()
  it.clock.now += 6 * 60_000
  const late = await it.request('POST', '/installation/key-rotations', {}, administrator)
  assert.deepEqual([late.status, late.body.type], [401, '/problems/sign-in-again'])
})

test('KM-2: an installation administrator rotates the installation key or all roots, and follows the operation', async (t) => {
  const it = await keyApi(t)
  const { id: organisation, key } = await it.organisation()
  await openKeyRing(ofProject(organisation, await it.project(organisation)), it.keys)
  await openKeyRing(ofInstallation(), it.keys)
  const administrator = await it.installationAdministrator()
  assert.equal((await it.request('POST', '/installation/key-rotations', {}, { key })).status, 403)
  const results: [level: string, result: Record<string, unknown>][] = [
    ['data', { version: 2, unreadableValues: 0, keys: '/api/v1/installation/keys' }],
    ['root', { namedKeys: 2, unusableKeys: 0, keys: '/api/v1/installation/keys' }],
  ]
  for (const [level, result] of results) {
    const begun = await it.request('POST', '/installation/key-rotations', { level }, administrator)
    assert.equal(begun.status, 202)
    await it.work()
    const path = (begun.headers.get('location') ?? '').replace('/api/v1', '')
    const done = await it.request('GET', path, undefined, administrator)
    assert.deepEqual([done.status, done.body.state, done.body.result], [200, 'succeeded', result])
    for (const other of [{ key }, it.session()])
      assert.equal((await it.request('GET', path, undefined, other)).status, 404, 'for anybody else it is not there')
  }
  assert.deepEqual(await it.actions(INSTALLATION), [
    'access.denied',
    'key.rotation-requested',
    'key.rotated',
    'key.rotation-requested',
    'key.root-rotated',
  ])
  assert.deepEqual(await it.actions(organisation), ['key.root-rotated'])
})

test('KM-3: a project whose keys are destroyed has none to rotate', async (t) => {
  const it = await keyApi(t)
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const owner = ofProject(organisation, project)
  assert.ok(owner.kind === 'project')
  await openKeyRing(owner, it.keys)
  await shredKeys(owner, it.keys)
  assert.equal((await it.request('POST', `/projects/${project}/key-rotations`, {}, { key })).status, 404)
  assert.equal((await it.request('POST', `/projects/${newId('project')}/key-rotations`, {}, { key })).status, 404)
  assert.deepEqual(await it.actions(organisation), [])
})

const bodies: [body: unknown, why: string][] = [
  [{ level: 'everything' }, 'no such level'],
  [{ level: null }, 'not a text'],
  [{ key: 'AAAA' }, 'a key is never taken'],
  [[], 'not an object'],
]
test('a rotation that is asked for in any other way is refused, and leaves no trace', async (t) => {
  const it = await keyApi(t)
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  for (const [body, why] of bodies) {
    const reply = await it.request('POST', `/projects/${project}/key-rotations`, body, { key })
    assert.deepEqual([reply.status, reply.body.type], [400, '/problems/bad-request'], why)
  }
  assert.deepEqual(await it.actions(organisation), [])
})
