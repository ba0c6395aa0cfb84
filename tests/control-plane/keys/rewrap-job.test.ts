// Rotation in the background: asked for, by the clock, under load, interrupted, with the key service away (KM-2).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION, newId } from '../../../control-plane/ids.ts'
import { loadSigner } from '../../../control-plane/audit/audit-key-store.ts'
import { takeOutbox } from '../../../control-plane/jobs/dispatch-store.ts'
import { ALL_SEALED_COLUMNS } from '../../../control-plane/keys/all-sealed-columns.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { ofInstallation, ofProject } from '../../../control-plane/keys/key-owner.ts'
import type { KeyOwner } from '../../../control-plane/keys/key-owner.ts'
import { openKeyRing, PROJECT_KEY_ROTATION_MS } from '../../../control-plane/keys/project-keys.ts'
import { rotateProjectKey } from '../../../control-plane/keys/rotate-keys.ts'
import { SETTLE_MS } from '../../../control-plane/keys/rewrap-owner.ts'
import { placeInRow } from '../../../control-plane/keys/sealed-columns.ts'
import { sealedBy } from '../../../control-plane/keys/sealed-value.ts'
import { createSealer } from '../../../control-plane/keys/sealer.ts'
import { shredKeys } from '../../../control-plane/keys/shred-keys.ts'
import { addNonce, ensureMarker, findMarker, readNonces } from '../../../control-plane/relays/relay-secret-store.ts'
import { SnapshotKeys } from '../../../control-plane/relays/snapshot-keys.ts'
import { SECRET_COLUMN } from '../../../control-plane/webhooks/webhook.ts'
import { findSecrets, insertWebhook } from '../../../control-plane/webhooks/webhook-store.ts'
import { addOrganisation, addProject } from './key-scene.ts'
import { DAY_MS, insertValues, LETTERS, NOTES, numbered, rewrapScene, textOf } from './rewrap-scene.ts'
import type { RewrapScene } from './rewrap-scene.ts'
import { simulatedVault } from './simulated-vault.ts'

/** Everything is under the current key, and says what it said. */
async function assertResealed(it: RewrapScene, owner: KeyOwner, ids: readonly string[]): Promise<void> {
  const current = (await it.keysOf(owner)).find(({ state }) => state === 'current')
  const values = await it.values(owner)
  assert.deepEqual([...values.keys()].toSorted(), ids.toSorted())
  for (const [id, { keyId, text }] of values) {
    assert.equal(keyId, current?.id, id)
    assert.equal(text, textOf(id))
  }
}

const versionsOf = async (it: RewrapScene, owner: KeyOwner) =>
  (await it.keysOf(owner)).map(({ version, state }) => `${version} ${state}`)

/** How many jobs wait or run. */
async function jobs(it: RewrapScene): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select (select count(*) from outbox) + (select count(*) from job where state <> 'failed') as count`.execute(
    it.database.owner.db,
  )
  return rows[0]?.count ?? 0
}

test('KM-2: asked for, everything is under the new key, told as it goes on, and once in the audit trail', async (t) => {
  const it = await rewrapScene(t)
  const ids = numbered(250)
  await it.write(it.owner, ids)
  const id = await it.ask(it.owner)
  await it.work()
  const { state, progress, result } = await it.operation(it.owner, id)
  assert.equal(state, 'succeeded')
  assert.deepEqual([progress.done, progress.total, progress.unit], [250, 250, 'values'])
  assert.deepEqual(result, { version: 2, unreadableValues: 0, keys: `/api/v1/projects/${it.owner.project}/keys` })
  assert.deepEqual(await versionsOf(it, it.owner), ['1 previous', '2 current'])
  await assertResealed(it, it.owner, ids)
  assert.deepEqual(await it.actions(it.owner.organisation), ['key.rotated'])
})

test('KM-2: two who ask at once replace the key once', async (t) => {
  const it = await rewrapScene(t)
  await it.write(it.owner, numbered(3))
  const operations = [await it.ask(it.owner), await it.ask(it.owner)]
  await it.work()
  for (const id of operations) assert.equal((await it.operation(it.owner, id)).state, 'succeeded')
  assert.deepEqual(await versionsOf(it, it.owner), ['1 previous', '2 current'])
})

test('KM-2: a project that has no key yet gets its first one', async (t) => {
  const it = await rewrapScene(t)
  const id = await it.ask(it.owner)
  await it.work()
  assert.equal((await it.operation(it.owner, id)).result?.['version'], 1)
  assert.deepEqual(await versionsOf(it, it.owner), ['1 current'])
})

test('KM-2: under load, with readers and writers in several processes, rotations make 0 errors and lose nothing', async (t) => {
  const it = await rewrapScene(t)
  const { db } = it.database
  const ids = new Set(numbered(150))
  await it.write(it.owner, [...ids])
  let isOver = false
  let reads = 0
  const load = async (who: string) => {
    const keys = it.restarted()
    const sealer = createSealer(keys)
    for (let turn = 0; !isOver || turn < 10; turn++) {
      const id = `${who}${turn}`
      const { organisation, project } = it.owner
      const { purpose, context } = placeInRow(NOTES, [id])
      await withScope(db, { organisation }, async (tx) => {
        const sealed = await sealer.seal(tx, { organisation, project }, purpose, context, Buffer.from(textOf(id)))
        await insertValues(tx, it.owner, [id], () => sealed)
      })
      ids.add(id)
      for (const [read, { text }] of await it.values(it.owner)) {
        assert.equal(text, textOf(read))
        reads++
      }
    }
  }
  const rotations = async () => {
    try {
      for (let round = 0; round < 3; round++) {
        const asked = [await it.ask(it.owner), await it.ask(it.owner, 'root')]
        await it.work(it.worker(it.restarted()))
        for (const id of asked) assert.equal((await it.operation(it.owner, id)).state, 'succeeded')
      }
    } finally {
      isOver = true
    }
  }
  await Promise.all([load('a'), load('b'), rotations()])
  assert.ok(reads > 1_000, `${reads} reads`)
  assert.equal((await it.keysOf(it.owner)).length, 4)
  // Whoever held an old key when it was replaced has written with it; the pass after a while takes these over as well.
  it.clock.now = new Date(it.clock.now.getTime() + SETTLE_MS)
  await it.reconcile()
  await it.work()
  await assertResealed(it, it.owner, [...ids])
  await it.reconcile()
  assert.equal(await jobs(it), 0, 'nothing is left to be done')
  assert.ok(!it.told.some((line) => line.includes('"error"')), 'nothing failed')
})

test('KM-2: a value that was sealed by the old key after the pass is found by the next one', async (t) => {
  const it = await rewrapScene(t)
  await it.write(it.owner, numbered(2))
  const held = await openKeyRing(it.owner, it.deps)
  await it.ask(it.owner)
  await it.work()
  const late = held.seal(placeInRow(NOTES, ['late']), Buffer.from(textOf('late')))
  await withScope(it.database.db, { organisation: it.owner.organisation }, (tx) =>
    insertValues(tx, it.owner, ['late'], () => late),
  )
  await it.reconcile()
  assert.equal(await jobs(it), 0, 'not before everybody has let go of the old key')
  it.clock.now = new Date(it.clock.now.getTime() + SETTLE_MS)
  await it.reconcile()
  await it.reconcile()
  assert.equal(await jobs(it), 1, 'asked for once')
  await it.work()
  await assertResealed(it, it.owner, [...numbered(2), 'late'])
  await it.reconcile()
  assert.equal(await jobs(it), 0)
})

/** Tells of every look into it: one a batch. */
class WatchedCache extends KeyCache {
  onLook = (): void => {}
  override get(...args: Parameters<KeyCache['get']>): ReturnType<KeyCache['get']> {
    this.onLook()
    return super.get(...args)
  }
}

function watchedKeys(t: TestContext, it: RewrapScene) {
  const cache = new WatchedCache(() => it.clock.now.getTime())
  t.after(() => cache.close())
  return { keys: { ...it.deps, cache }, cache }
}

test('KM-2, JQ-6: interrupted anywhere, it gives way, and goes on elsewhere without replacing the key again', async (t) => {
  // It looks at both keys before it counts, and before each of the seven batches.
  const places: [look: number, done: number, why: string][] = [
    [2, 0, 'counting'],
    [3, 100, 'in the first batch, which is finished'],
    [9, 400, 'in the middle'],
    [15, 650, 'in the last batch'],
  ]
  for (const [stopAt, expected, why] of places) {
    await t.test(`at its look ${stopAt} at the keys: ${why}`, async (inner) => {
      const it = await rewrapScene(inner)
      const ids = numbered(650)
      await it.write(it.owner, ids)
      const id = await it.ask(it.owner)
      const { keys, cache } = watchedKeys(inner, it)
      const interrupted = it.worker(keys)
      let looks = 0
      cache.onLook = () => {
        if (++looks === stopAt) interrupted.drain()
      }
      await it.work(interrupted)
      const half = await it.operation(it.owner, id)
      assert.equal(half.state, 'running')
      const newest = (await it.keysOf(it.owner)).at(-1)?.id
      const values = [...(await it.values(it.owner)).values()]
      assert.equal(values.filter(({ keyId }) => keyId === newest).length, expected)

      await it.work(it.worker(it.restarted()))
      const whole = await it.operation(it.owner, id)
      assert.deepEqual([whole.state, whole.attempts], ['succeeded', 2])
      assert.ok((whole.progress.total ?? 0) <= 650 && whole.progress.done === whole.progress.total)
      assert.deepEqual(await versionsOf(it, it.owner), ['1 previous', '2 current'])
      await assertResealed(it, it.owner, ids)
    })
  }
})

test('KM-2: a batch that the database refuses is tried again, and what was done stays done', async (t) => {
  const it = await rewrapScene(t)
  const ids = numbered(120)
  await it.write(it.owner, ids)
  const id = await it.ask(it.owner)
  await it.database.owner.db.executeQuery(
    sql
      .raw(
        `create function refuse() returns trigger language plpgsql as $$ begin if new.id > 'n0110' then raise 'no'; end if; return new; end $$;
             create trigger refused before update on note for each row execute function refuse()`,
      )
      .compile(it.database.owner.db),
  )
  await it.work()
  assert.equal((await it.operation(it.owner, id)).progress.done, 100)
  await sql.raw('drop trigger refused on note').execute(it.database.owner.db)
  await sql`update job set run_after = now()`.execute(it.database.owner.db)
  await it.work()
  const { state, progress } = await it.operation(it.owner, id)
  assert.deepEqual([state, progress.done, progress.total], ['succeeded', 120, 120])
  await assertResealed(it, it.owner, ids)
})

test('KM-2: once a year by itself: key and named key are replaced before the year is over, once however many look', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  const it = await rewrapScene(t, provider)
  const ids = numbered(5)
  await it.write(it.owner, ids)
  const start = it.clock.now.getTime()
  it.clock.now = new Date(start + PROJECT_KEY_ROTATION_MS - 1)
  await it.reconcile()
  assert.equal(await jobs(it), 0)
  it.clock.now = new Date(start + PROJECT_KEY_ROTATION_MS)
  await Promise.all([it.reconcile(), it.reconcile(), it.reconcile()])
  await it.reconcile()
  await it.work()
  assert.ok(it.clock.now.getTime() - start < 365 * DAY_MS)
  assert.deepEqual(await versionsOf(it, it.owner), ['1 previous', '2 current'])
  await assertResealed(it, it.owner, ids)
  const actions = await it.actions(it.owner.organisation)
  assert.equal(actions.filter((action) => action === 'key.rotated').length, 1)
  const { versions } = vault.keys.find(`causeway-${it.owner.project.replace('_', '-')}`)
  assert.ok(versions.length >= 2)
  for (const key of await it.keysOf(it.owner))
    assert.equal(key.state !== 'destroyed' && key.wrapped.version, versions.at(-1)?.version)
  await it.reconcile()
  await it.work()
  assert.deepEqual(await versionsOf(it, it.owner), ['1 previous', '2 current'], 'and not again')
  it.clock.now = new Date(it.clock.now.getTime() + PROJECT_KEY_ROTATION_MS)
  await it.reconcile()
  await it.work()
  assert.deepEqual(await versionsOf(it, it.owner), ['1 previous', '2 previous', '3 current'])
})

test('KM-2: damaged values are told, left as they are, and not looked for again and again', async (t) => {
  const it = await rewrapScene(t)
  await it.write(it.owner, numbered(3))
  await sql`update note set text_sealed = set_byte(text_sealed, 60, get_byte(text_sealed, 60) # 1) where id = 'n0001'`.execute(
    it.database.owner.db,
  )
  const id = await it.ask(it.owner)
  await it.work()
  assert.equal((await it.operation(it.owner, id)).result?.['unreadableValues'], 1)
  const line = it.told.find((one) => one.includes('keys.values_unreadable'))
  assert.ok(line?.includes('"column":"note.text_sealed"') === true && line.includes('"values":1'), line)
  it.clock.now = new Date(it.clock.now.getTime() + SETTLE_MS)
  await it.reconcile()
  assert.equal(await it.work(), 1)
  await it.reconcile()
  assert.equal(await jobs(it), 0)
})

test('KM-2, KM-4: while the key service is away the job waits without using up attempts, and nothing is lost', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  const it = await rewrapScene(t, provider)
  const ids = numbered(4)
  await it.write(it.owner, ids)
  const id = await it.ask(it.owner)
  vault.setFaults({ isUnreachable: true })
  await it.work()
  const { rows } = await sql<{ attempts: number; waits: boolean }>`
    select attempts, run_after > now() + interval '30 seconds' as waits from job`.execute(it.database.owner.db)
  assert.deepEqual(rows, [{ attempts: 0, waits: true }])
  assert.deepEqual(await versionsOf(it, it.owner), ['1 current'])
  assert.equal((await it.values(it.owner)).size, ids.length, 'everything can be read all the while')
  vault.setFaults({})
  await sql`update job set run_after = now()`.execute(it.database.owner.db)
  await it.work()
  assert.equal((await it.operation(it.owner, id)).state, 'succeeded')
  await assertResealed(it, it.owner, ids)
})

test('KM-3: a project whose keys are destroyed meanwhile gets no new ones', async (t) => {
  const it = await rewrapScene(t)
  await it.write(it.owner, numbered(2))
  await rotateProjectKey(it.owner, it.deps)
  const id = await it.ask(it.owner)
  it.clock.now = new Date(it.clock.now.getTime() + SETTLE_MS)
  await it.work() // else one is under way, and nobody asks
  const second = await it.ask(it.owner)
  await shredKeys(it.owner, it.deps)
  await it.work()
  assert.equal((await it.operation(it.owner, id)).state, 'succeeded')
  const { state, problem } = await it.operation(it.owner, second)
  assert.deepEqual([state, problem?.['type']], ['failed', '/problems/not-found'])
  assert.ok((await it.keysOf(it.owner)).every((key) => key.state === 'destroyed'))
  it.clock.now = new Date(it.clock.now.getTime() + 2 * PROJECT_KEY_ROTATION_MS)
  await it.reconcile()
  assert.equal(await jobs(it), 0)
})

test('KM-2: a job that was given up is not asked for again before somebody could look at it', async (t) => {
  const it = await rewrapScene(t)
  await it.write(it.owner, numbered(1))
  it.clock.now = new Date(it.clock.now.getTime() + PROJECT_KEY_ROTATION_MS)
  await it.reconcile()
  await takeOutbox(it.deps.db)
  await sql`update job set state = 'failed', failed_at = now() - interval '23 hours', failed_reason = 'x', published_at = null`.execute(
    it.database.owner.db,
  )
  await it.reconcile()
  assert.equal(await jobs(it), 0)
  await sql`update job set failed_at = now() - interval '25 hours'`.execute(it.database.owner.db)
  await it.reconcile()
  assert.equal(await jobs(it), 1)
})

test('KM-2: with the installation key what every organisation keeps is sealed anew, and nothing of projects', async (t) => {
  const it = await rewrapScene(t)
  const places = [
    ofInstallation(),
    ofInstallation(it.owner.organisation),
    ofInstallation(await addOrganisation(it.deps.db)),
  ]
  for (const [n, place] of places.entries()) await it.write(place, numbered(3 + n, n * 10))
  await it.write(it.owner, numbered(2))
  const before = await it.values(it.owner)
  const id = await it.ask(ofInstallation())
  await it.work()
  const { state, progress } = await it.operation(ofInstallation(), id)
  assert.deepEqual([state, progress.done, progress.total], ['succeeded', 12, 12])
  for (const [n, place] of places.entries()) await assertResealed(it, place, numbered(3 + n, n * 10))
  assert.deepEqual(await it.values(it.owner), before)
  assert.deepEqual(await versionsOf(it, it.owner), ['1 current'])
  assert.deepEqual(await it.actions(INSTALLATION), ['key.rotated'])
  assert.deepEqual(await it.actions(it.owner.organisation), [], 'organisations hear nothing of it')
})

test('KM-2: rotating the roots of the installation wraps all project keys anew, once, and touches no sealed value', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  const it = await rewrapScene(t, provider)
  const other = ofProject(it.owner.organisation, await addProject(it.deps.db, it.owner.organisation))
  const owners = [it.owner, other, ofInstallation()]
  for (const owner of owners) await it.write(owner, numbered(2))
  const before = await Promise.all(owners.map((owner) => it.values(owner)))
  const id = await it.ask(ofInstallation(), 'root')
  // The first attempt ends half-way: the job's row says which named keys it has rotated.
  const interrupted = it.worker()
  let rotations = 0
  const rotate = provider.rotate.bind(provider)
  provider.rotate = async (name) => {
    if (++rotations === 2) interrupted.drain()
    return rotate(name)
  }
  await it.work(interrupted)
  assert.equal((await it.operation(ofInstallation(), id)).state, 'running')
  await it.work()
  const { state, progress, result } = await it.operation(ofInstallation(), id)
  assert.deepEqual([state, progress.done, progress.total], ['succeeded', 3, 3])
  assert.deepEqual(result, { namedKeys: 3, unusableKeys: 0, keys: '/api/v1/installation/keys' })
  assert.equal(rotations, 3, 'each once')
  assert.deepEqual(await Promise.all(owners.map((owner) => it.values(owner))), before)
  for (const owner of owners) {
    const name = owner.kind === 'project' ? owner.project.replace('_', '-') : 'installation'
    const { versions } = vault.keys.find(`causeway-${name}`)
    assert.equal(versions.length, 2)
    for (const key of await it.keysOf(owner))
      assert.equal(key.state !== 'destroyed' && key.wrapped.version, versions.at(-1)?.version)
  }
  assert.deepEqual(await it.actions(it.owner.organisation), ['key.root-rotated', 'key.root-rotated'])
  assert.deepEqual(await it.actions(INSTALLATION), ['key.root-rotated'])
})

test('KM-2: one old key that the key service has lost keeps no other from the new version', async (t) => {
  const it = await rewrapScene(t)
  await it.write(it.owner, numbered(1))
  await rotateProjectKey(it.owner, it.deps)
  await sql`update project_key set wrapped = '\\x00' where version = 1`.execute(it.database.owner.db)
  const id = await it.ask(it.owner, 'root')
  await it.work()
  const { state, result } = await it.operation(it.owner, id)
  assert.deepEqual([state, result?.['unusableKeys']], ['succeeded', 1])
  const [, second] = await it.keysOf(it.owner)
  assert.equal(second?.state === 'current' && second.wrapped.version, '2')
  assert.ok(it.told.some((line) => line.includes('keys.not_rewrapped')))
})

test("KM-2: the features' own secrets are read as before by whoever uses them", async (t) => {
  const it = await rewrapScene(t)
  const { db } = it.database
  const { organisation } = it.owner
  const sealer = createSealer(it.deps)
  const now = () => it.clock.now.getTime()
  const webhook = newId('webhook')
  const secretPlace = placeInRow(SECRET_COLUMN, [webhook])
  const ofOrganisation = { organisation, project: undefined }
  await withScope(db, { organisation }, async (tx) => {
    await ensureMarker(tx, sealer, it.owner, it.clock.now)
    await addNonce(tx, sealer, it.owner, new Date(now() + DAY_MS), it.clock.now)
    const { purpose, context } = secretPlace
    const secretSealed = await sealer.seal(tx, ofOrganisation, purpose, context, Buffer.from('whsec'))
    const base = { id: webhook, organisation, project: undefined, url: 'https://x.example', description: '' }
    await insertWebhook(tx, { ...base, events: ['*'], isEnabled: true, secretSealed, createdBy: 'test' })
  })
  const read = async () => {
    const fresh = createSealer(it.restarted())
    const ofProjects = await withScope(db, { organisation }, async (tx) => {
      const secrets = await findSecrets(tx, organisation, webhook)
      assert.ok(secrets !== undefined)
      const secret = await fresh.open(tx, ofOrganisation, secretPlace.purpose, secretPlace.context, secrets.secret)
      return [
        await findMarker(tx, fresh, it.owner),
        await readNonces(tx, fresh, it.owner, it.clock.now),
        secret.toString(),
        sealedBy(secrets.secret),
      ]
    })
    const signer = await loadSigner({ db, sealer: fresh, now })
    const snapshot = await new SnapshotKeys({ db, sealer: fresh, now }).current()
    return [
      ...ofProjects.slice(0, 3),
      signer.privateKey.export({ format: 'jwk' }),
      snapshot.privateKey.export({ format: 'jwk' }),
      ofProjects[3],
    ]
  }
  const before = await read()
  const worker = it.worker(it.deps, ALL_SEALED_COLUMNS)
  const operations = [
    { owner: it.owner, id: await it.ask(it.owner), values: 2 },
    { owner: ofInstallation(), id: await it.ask(ofInstallation()), values: 3 },
  ]
  await it.work(worker)
  for (const { owner, id, values } of operations) {
    const { state, progress } = await it.operation(owner, id)
    assert.deepEqual([state, progress.done], ['succeeded', values])
  }
  const after = await read()
  assert.deepEqual(after.slice(0, -1), before.slice(0, -1))
  assert.notEqual(after.at(-1), before.at(-1), 'and under another key')
})

test('KM-2: where nothing was ever sealed nothing is due, and a rotation has nothing to do', async (t) => {
  const it = await rewrapScene(t)
  await it.reconcile()
  assert.equal(await jobs(it), 0)
  const id = await it.ask(ofInstallation())
  await it.work(it.worker(it.deps, [LETTERS]))
  const { state, progress } = await it.operation(ofInstallation(), id)
  assert.deepEqual([state, progress.done], ['succeeded', 0])
})
