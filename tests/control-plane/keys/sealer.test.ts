// The sealer that features are given: in their transaction, with its scope, also for what was made in that very transaction (KM-1, TI-2).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION, newId } from '../../../control-plane/ids.ts'
import { homeOf, ofInstallation, ofProject } from '../../../control-plane/keys/key-owner.ts'
import { KeyDestroyed, KeyServiceUnavailable, KeyUnusable } from '../../../control-plane/keys/key-provider.ts'
import { decryptFor } from '../../../control-plane/keys/project-keys.ts'
import { listProjectKeys } from '../../../control-plane/keys/project-key-store.ts'
import { createSealer } from '../../../control-plane/keys/sealer.ts'
import { shredKeys } from '../../../control-plane/keys/shred-keys.ts'
import { keyScene } from './key-scene.ts'
import { simulatedVault } from './simulated-vault.ts'

const SECRET = Buffer.from('a secret')

test('KM-1: a project that is made in a transaction has its key in it: kept together, gone together', async (t) => {
  const { deps, owner } = await keyScene(t)
  const sealer = createSealer(deps)
  const { organisation } = owner
  const project = newId('project')
  const make = (fails: boolean) =>
    withScope(deps.db, { organisation }, async (tx) => {
      await sql`insert into project (organisation_id, id, name, created_by) values (${organisation}, ${project}, 'x', 'test')`.execute(
        tx,
      )
      const sealed = await sealer.seal(tx, { organisation, project }, 'proof-token', 't1', SECRET)
      assert.deepEqual(await sealer.open(tx, { organisation, project }, 'proof-token', 't1', sealed), SECRET)
      if (fails) throw new Error('the rest failed')
      return sealed
    })
  await assert.rejects(make(true), /the rest failed/)
  const list = () => withScope(deps.db, { organisation }, (tx) => listProjectKeys(tx, ofProject(organisation, project)))
  assert.deepEqual(await list(), [])
  const sealed = await make(false)
  assert.equal((await list()).length, 1)
  const place = { purpose: 'proof-token', context: 't1' }
  assert.deepEqual(await decryptFor(ofProject(organisation, project), place, sealed, deps), SECRET)
})

test('KM-1: an organisation seals by the installation key from its own scope, also as the first to use it', async (t) => {
  const { deps, owner, restarted } = await keyScene(t)
  const { organisation } = owner
  const place = { organisation, project: undefined }
  const sealed = await withScope(deps.db, { organisation }, (tx) =>
    createSealer(deps).seal(tx, place, 'webhook', 'w1', SECRET),
  )
  const sealer = createSealer(restarted())
  await withScope(deps.db, { organisation }, async (tx) => {
    assert.deepEqual(await sealer.open(tx, place, 'webhook', 'w1', sealed), SECRET)
    await assert.rejects(sealer.open(tx, place, 'webhook', 'w2', sealed), KeyUnusable)
    await assert.rejects(
      sealer.open(tx, { organisation, project: owner.project }, 'webhook', 'w1', sealed),
      KeyUnusable,
    )
  })
  await withScope(deps.db, { organisation: INSTALLATION }, async (tx) => {
    await assert.rejects(
      sealer.open(tx, { organisation: INSTALLATION, project: undefined }, 'webhook', 'w1', sealed),
      KeyUnusable,
    )
  })
  const home = { organisation: homeOf(ofInstallation(organisation)) }
  assert.equal((await withScope(deps.db, home, (tx) => listProjectKeys(tx, ofInstallation()))).length, 1)
})

test('KM-1: transactions that seal the first secret of a project at the same time agree on its key', async (t) => {
  const { deps, owner, restarted } = await keyScene(t)
  const { organisation, project } = owner
  const sealed = await Promise.all(
    [1, 2, 3, 4].map(() =>
      withScope(deps.db, { organisation }, (tx) =>
        createSealer(restarted()).seal(tx, { organisation, project }, 'p', 'c', SECRET),
      ),
    ),
  )
  const keys = await withScope(deps.db, { organisation }, (tx) => listProjectKeys(tx, owner))
  assert.equal(keys.length, 1)
  for (const value of sealed) {
    assert.deepEqual(await decryptFor(owner, { purpose: 'p', context: 'c' }, value, deps), SECRET)
  }
})

test('TI-2: a transaction of another organisation opens nothing, even when it names the place', async (t) => {
  const { deps, owner } = await keyScene(t)
  const { organisation, project } = owner
  const sealer = createSealer(deps)
  const sealed = await withScope(deps.db, { organisation }, (tx) =>
    sealer.seal(tx, { organisation, project }, 'p', 'c', SECRET),
  )
  for (const scope of [{}, { organisation: newId('organisation') }, { organisation: INSTALLATION }]) {
    await assert.rejects(
      withScope(deps.db, scope, (tx) => sealer.open(tx, { organisation, project }, 'p', 'c', sealed)),
    )
  }
})

test('KM-3, KM-4: the sealer says which of both it is: destroyed, or away', async (t) => {
  const { provider, vault } = await simulatedVault(t)
  const { deps, owner, restarted } = await keyScene(t, provider)
  const { organisation, project } = owner
  const open = (process = deps) =>
    withScope(deps.db, { organisation }, (tx) =>
      createSealer(process).open(tx, { organisation, project }, 'p', 'c', sealed),
    )
  const sealed = await withScope(deps.db, { organisation }, (tx) =>
    createSealer(deps).seal(tx, { organisation, project }, 'p', 'c', SECRET),
  )
  vault.setFaults({ isUnreachable: true })
  assert.deepEqual(await open(), SECRET)
  await assert.rejects(open(restarted()), KeyServiceUnavailable)
  vault.setFaults({})
  await shredKeys(owner, deps)
  await assert.rejects(open(), KeyDestroyed)
})
