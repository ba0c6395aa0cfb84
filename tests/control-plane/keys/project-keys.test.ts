// Project keys from making to shredding, on a real database and both key services (KM-1 … KM-4).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { countOf, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { Db, Scope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import { homeOf, ofInstallation, ofProject } from '../../../control-plane/keys/key-owner.ts'
import type { KeyOwner } from '../../../control-plane/keys/key-owner.ts'
import { KeyDestroyed, KeyServiceUnavailable, KeyUnusable } from '../../../control-plane/keys/key-provider.ts'
import { decryptFor, encryptFor, openKeyRing } from '../../../control-plane/keys/project-keys.ts'
import { forgetDestroyedKeys, listProjectKeys } from '../../../control-plane/keys/project-key-store.ts'
import {
  countToReseal,
  resealBatch,
  rewrapProjectKeys,
  rotateNamedKey,
  rotateProjectKey,
} from '../../../control-plane/keys/rotate-keys.ts'
import { placeInRow, sealedColumns } from '../../../control-plane/keys/sealed-columns.ts'
import type { SealedColumn } from '../../../control-plane/keys/sealed-columns.ts'
import { sealedBy } from '../../../control-plane/keys/sealed-value.ts'
import { shredKeys } from '../../../control-plane/keys/shred-keys.ts'
import { addOrganisation, addProject, keyScene } from './key-scene.ts'
import { simulatedVault } from './simulated-vault.ts'

const PLACE = { purpose: 'note.text_sealed', context: '["n1"]' }
const SECRET = Buffer.from('the secret of the project')
const keysOf = (db: Db, owner: KeyOwner) =>
  withScope(db, { organisation: homeOf(owner) }, (tx) => listProjectKeys(tx, owner))
const HOUR_MS = 3_600_000

test('KM-1: the first use makes the key; what is sealed opens in any process, in its place', async (t) => {
  const { deps, owner, restarted } = await keyScene(t)
  const sealed = await encryptFor(owner, PLACE, SECRET, deps)
  assert.ok(!sealed.includes(SECRET))
  assert.deepEqual(await decryptFor(owner, PLACE, sealed, restarted()), SECRET)
  await assert.rejects(decryptFor(owner, { ...PLACE, context: '["n2"]' }, sealed, deps), KeyUnusable)
  const other = ofProject(owner.organisation, await addProject(deps.db, owner.organisation))
  await assert.rejects(decryptFor(other, PLACE, sealed, deps), KeyUnusable)
  await assert.rejects(decryptFor(ofInstallation(), PLACE, sealed, deps), KeyUnusable)
  for (const broken of [Buffer.alloc(0), Buffer.from('plain text that nobody sealed'.repeat(5)), sealed.subarray(1)]) {
    await assert.rejects(decryptFor(owner, PLACE, broken, deps), KeyUnusable)
  }
})

test('KM-1: what belongs to no project is sealed by the installation key, and stays bound to its organisation', async (t) => {
  const { deps } = await keyScene(t)
  const organisation = await addOrganisation(deps.db)
  const sealed = await encryptFor(ofInstallation(organisation), PLACE, SECRET, deps)
  assert.deepEqual(await decryptFor(ofInstallation(organisation), PLACE, sealed, deps), SECRET)
  await assert.rejects(decryptFor(ofInstallation(), PLACE, sealed, deps), KeyUnusable)
  assert.equal((await keysOf(deps.db, ofInstallation())).length, 1)
})

test('KM-1: processes that use a project for the first time at once agree on one key', async (t) => {
  const { owner, restarted, database } = await keyScene(t)
  const processes = [1, 2, 3, 4].map(() => restarted())
  const sealed = await Promise.all(processes.map((deps) => encryptFor(owner, PLACE, SECRET, deps)))
  assert.equal(new Set(sealed.map(sealedBy)).size, 1)
  assert.equal((await keysOf(database.db, owner)).length, 1)
  const salts = new Set(sealed.map((value) => value.subarray(17, 49).toString('hex')))
  assert.equal(salts.size, sealed.length, 'no two values share key and nonce')
})

test('KM-1: the database holds no project key in the clear', async (t) => {
  const { deps, owner, database } = await keyScene(t)
  await encryptFor(owner, PLACE, SECRET, deps)
  const [key] = await keysOf(deps.db, owner)
  assert.ok(key !== undefined && key.state !== 'destroyed')
  const secret = (await deps.provider.unwrap(key.wrapped, `${owner.organisation}/${owner.project}/${key.id}`)).export()
  const { rows } = await sql<{
    line: string
  }>`select project_key::text || ' ' || (select string_agg(i::text, ' ') from key_inventory i) as line from project_key`.execute(
    database.owner.db,
  )
  assert.ok(rows.length > 0)
  for (const { line } of rows) {
    assert.ok(line.includes(key.id))
    assert.ok(!line.includes(secret.toString('hex')) && !line.includes(secret.toString('base64')))
  }
})

test('KM-1: a wrapped key that was put at another project opens nothing there', async (t) => {
  const { deps, owner, restarted, database } = await keyScene(t)
  const other = ofProject(owner.organisation, await addProject(deps.db, owner.organisation))
  await encryptFor(owner, PLACE, SECRET, deps)
  await encryptFor(other, PLACE, SECRET, deps)
  await sql`update project_key set (wrapped, provider_key) = (select wrapped, provider_key from project_key where project_id = ${owner.project})
             where project_id = ${other.kind === 'project' ? other.project : ''}`.execute(database.owner.db)
  await assert.rejects(encryptFor(other, PLACE, SECRET, restarted()), KeyUnusable)
})

test('TI-2: keys of one organisation are not there for another, and the schema has one current key an owner', async (t) => {
  const { deps, owner, database } = await keyScene(t)
  await encryptFor(owner, PLACE, SECRET, deps)
  const stranger = await addOrganisation(deps.db)
  await encryptFor(ofInstallation(), PLACE, SECRET, deps)
  for (const scope of [{}, { organisation: stranger }, { organisation: INSTALLATION }, { project: owner.project }]) {
    assert.deepEqual(await withScope(deps.db, scope, (tx) => listProjectKeys(tx, owner)), [])
  }
  const installation = (scope: Scope) => withScope(deps.db, scope, (tx) => listProjectKeys(tx, ofInstallation()))
  assert.equal((await installation({ organisation: stranger })).length, 1, 'wrapped, the installation key is for all')
  assert.deepEqual(await installation({}), [])
  const changed = await withScope(deps.db, { organisation: stranger }, (tx) =>
    countOf(tx, sql`update project_key set wrapped = '\\x00' where organisation_id = 'installation'`),
  )
  assert.equal(changed, 0, 'to read, not to change')
  const copy = (state: string) =>
    sql`insert into project_key (organisation_id, id, project_id, version, state, provider, provider_key, provider_version, wrapped, created_at)
        select organisation_id, repeat('a', 32), project_id, 9, ${state}, provider, provider_key, provider_version, wrapped, created_at from project_key where project_id is not null`
  await assert.rejects(copy('current').execute(database.owner.db), /project_key_current/)
  await assert.rejects(copy('destroyed').execute(database.owner.db), /project_key_shredded/)
})

test('KM-2: after a rotation new values have the new key, and old ones still open, in running processes too', async (t) => {
  const { deps, owner, restarted } = await keyScene(t)
  const running = restarted()
  const old = await encryptFor(owner, PLACE, SECRET, running)
  assert.equal(await rotateProjectKey(owner, deps), 2)
  const fresh = await encryptFor(owner, PLACE, SECRET, running)
  assert.notEqual(sealedBy(fresh), sealedBy(old))
  for (const process of [deps, running, restarted()]) {
    assert.deepEqual(await decryptFor(owner, PLACE, old, process), SECRET)
    assert.deepEqual(await decryptFor(owner, PLACE, fresh, process), SECRET)
  }
  assert.deepEqual(
    (await keysOf(deps.db, owner)).map(({ version, state }) => [version, state]),
    [
      [1, 'previous'],
      [2, 'current'],
    ],
  )
})

test('KM-2: rotations under load, of project keys and of the key service, several at once: 0 errors', async (t) => {
  const { deps, owner, restarted, database } = await keyScene(t)
  const written = [await encryptFor(owner, PLACE, SECRET, deps)]
  let isOver = false
  const load = async () => {
    const process = restarted()
    for (let turn = 0; !isOver || turn < 5; turn++) {
      const sealed = await encryptFor(owner, PLACE, SECRET, process)
      written.push(sealed)
      assert.deepEqual(await decryptFor(owner, PLACE, sealed, process), SECRET)
      const earlier = written[turn % written.length] ?? sealed
      assert.deepEqual(await decryptFor(owner, PLACE, earlier, restarted()), SECRET)
    }
  }
  const rotations = async () => {
    try {
      for (let round = 0; round < 3; round++) {
        await Promise.all([
          rotateProjectKey(owner, deps),
          rotateProjectKey(owner, restarted()),
          rotateNamedKey(owner, deps),
        ])
      }
    } finally {
      isOver = true
    }
  }
  await Promise.all([load(), load(), rotations()])
  assert.ok(new Set(written.map(sealedBy)).size >= 3, 'values were written under several keys')
  const keys = await keysOf(database.db, owner)
  assert.ok(keys.length >= 4 && keys.length <= 7)
  assert.deepEqual(
    keys.map(({ version }) => version),
    keys.map((_, index) => index + 1),
  )
  for (const sealed of written) assert.deepEqual(await decryptFor(owner, PLACE, sealed, restarted()), SECRET)
})

const NOTES: SealedColumn = { table: 'note', column: 'text_sealed', key: ['id', 'part'], sealedBy: 'project' }

test('KM-2: old values are re-sealed in batches that can be interrupted; damaged ones are counted and left', async (t) => {
  const { deps, owner, database } = await keyScene(t)
  await sql
    .raw(
      `create table note (organisation_id text not null, project_id text not null, id text not null, part integer not null, text_sealed bytea,
         primary key (organisation_id, project_id, id, part)); select protect('note')`,
    )
    .execute(database.owner.db)
  const other = ofProject(owner.organisation, await addProject(deps.db, owner.organisation))
  const ring = await openKeyRing(owner, deps)
  const otherRing = await openKeyRing(other, deps)
  const insert = (project: string, id: string, part: number, sealed: Buffer | null) =>
    withScope(deps.db, { organisation: owner.organisation }, async (tx) => {
      await sql`insert into note values (${owner.organisation}, ${project}, ${id}, ${part}, ${sealed})`.execute(tx)
    })
  const textOf = (id: string, part: number) => Buffer.from(`text of ${id} ${part}`)
  for (let row = 0; row < 25; row++) {
    const [id, part] = [`n${row % 5}`, row]
    await insert(owner.project, id, part, ring.seal(placeInRow(NOTES, [id, String(part)]), textOf(id, part)))
  }
  await insert(
    owner.project,
    'n1',
    100,
    Buffer.from(ring.seal(placeInRow(NOTES, ['n1', '100']), SECRET).fill(0, 60, 61)),
  )
  await insert(owner.project, 'n1', 101, null)
  const foreign = otherRing.seal(placeInRow(NOTES, ['n1', '1']), SECRET)
  await insert(other.kind === 'project' ? other.project : '', 'n1', 1, foreign)

  assert.equal(await countToReseal(NOTES, owner, deps), 0, 'nothing to do before a rotation')
  await rotateProjectKey(owner, deps)
  assert.equal(await countToReseal(NOTES, owner, deps), 26)
  let after: readonly string[] | undefined
  const batches = []
  do {
    const progress = await resealBatch(NOTES, owner, after, 7, deps)
    batches.push([progress.resealed, progress.unreadable])
    after = progress.next
  } while (after !== undefined)
  assert.deepEqual(
    batches.map(([resealed = 0, unreadable = 0]) => resealed + unreadable),
    [7, 7, 7, 5],
  )
  assert.equal(
    batches.reduce((sum, [, unreadable = 0]) => sum + unreadable, 0),
    1,
  )
  assert.equal(await countToReseal(NOTES, owner, deps), 1)
  assert.deepEqual(await resealBatch(NOTES, owner, undefined, 7, deps), { resealed: 0, unreadable: 1 })

  const now = await openKeyRing(owner, deps)
  const rows = await withScope(deps.db, { organisation: owner.organisation }, (tx) =>
    rowsOf<{ id: string; part: number; project_id: string; text_sealed: Buffer }>(
      tx,
      sql`select * from note where part <= 25`,
    ),
  )
  for (const { id, part, project_id: project, text_sealed: sealed } of rows) {
    if (project !== owner.project) assert.deepEqual(sealed, foreign, 'values of another project are not touched')
    else {
      assert.equal(sealedBy(sealed), now.currentKeyId)
      assert.deepEqual(now.open(placeInRow(NOTES, [id, String(part)]), sealed), textOf(id, part))
    }
  }
})

test('KM-2: two columns of one name are noticed before they seal alike', () => {
  assert.throws(() => sealedColumns([NOTES, { ...NOTES, sealedBy: 'installation' }]), RangeError)
  assert.deepEqual(sealedColumns([NOTES]), [NOTES])
  assert.throws(() => placeInRow(NOTES, ['n1']), RangeError)
  assert.notEqual(placeInRow(NOTES, ['a,b', 'c']).context, placeInRow(NOTES, ['a', 'b,c']).context)
})

test('KM-2: rotating the named key re-wraps project keys and touches no sealed value', async (t) => {
  const { vault, provider } = await simulatedVault(t)
  const { deps, owner, restarted } = await keyScene(t, provider)
  const sealed = await encryptFor(owner, PLACE, SECRET, deps)
  await rotateProjectKey(owner, deps)
  const before = await keysOf(deps.db, owner)
  await rotateNamedKey(owner, deps)
  const after = await keysOf(deps.db, owner)
  const [oldVersion, newVersion] = vault.keys
    .find(`causeway-${owner.project.replace('_', '-')}`)
    .versions.map(({ version }) => version)
  const versionsOf = (keys: typeof after) => keys.map((key) => (key.state === 'destroyed' ? '' : key.wrapped.version))
  assert.deepEqual(versionsOf(before), [oldVersion, oldVersion])
  assert.deepEqual(versionsOf(after), [newVersion, newVersion])
  await rewrapProjectKeys(owner, deps) // nothing left to do
  assert.deepEqual(await keysOf(deps.db, owner), after)
  await provider.destroy(`prj-${owner.project.slice(4)}`, oldVersion)
  assert.deepEqual(await decryptFor(owner, PLACE, sealed, restarted()), SECRET)
})

test('KM-3: after shredding nothing of the project opens: not in running processes, and not from a backup of the database', async (t) => {
  const { provider, vault } = await simulatedVault(t)
  const { deps, owner, restarted, database } = await keyScene(t, provider)
  const running = restarted()
  const sealed = await encryptFor(owner, PLACE, SECRET, running)
  await rotateProjectKey(owner, deps)
  const second = await encryptFor(owner, PLACE, SECRET, running)
  const installation = await encryptFor(ofInstallation(), PLACE, SECRET, deps)
  const backup = (
    await sql<{ id: string; wrapped: Buffer }>`select id, wrapped from project_key`.execute(database.owner.db)
  ).rows

  const { versions, destruction, key } = await shredKeys(owner, deps)
  assert.deepEqual(destruction, { kind: 'destroyed' })
  assert.deepEqual(
    versions.map(({ version }) => version),
    [1, 2],
  )
  assert.equal(key, owner.project.replace('_', '-'))
  for (const process of [deps, running, restarted()]) {
    for (const value of [sealed, second]) await assert.rejects(decryptFor(owner, PLACE, value, process), KeyDestroyed)
    await assert.rejects(encryptFor(owner, PLACE, SECRET, process), KeyDestroyed)
    await assert.rejects(rotateProjectKey(owner, process), KeyDestroyed)
  }
  assert.ok((await keysOf(deps.db, owner)).every(({ state }) => state === 'destroyed'))
  assert.equal(running.cache.size, 0, 'nor do other processes keep the keys in memory')
  assert.deepEqual(
    await decryptFor(ofInstallation(), PLACE, installation, restarted()),
    SECRET,
    'others are not touched',
  )

  for (const { id, wrapped } of backup) {
    await sql`update project_key set wrapped = ${wrapped}, state = 'previous', destroyed_at = null where id = ${id}`.execute(
      database.owner.db,
    )
  }
  await sql`update project_key set state = 'current' where version = 2`.execute(database.owner.db)
  await assert.rejects(decryptFor(owner, PLACE, second, restarted()), KeyDestroyed, 'a restored backup is unreadable')
  assert.throws(() => vault.keys.find(`causeway-${key}`))
})

test('KM-3: shredding holds at once while the key service is away, and is finished later', async (t) => {
  const { provider, vault } = await simulatedVault(t)
  const { deps, owner, restarted } = await keyScene(t, provider)
  const sealed = await encryptFor(owner, PLACE, SECRET, deps)
  vault.setFaults({ isUnreachable: true })
  await assert.rejects(shredKeys(owner, deps), KeyServiceUnavailable)
  await assert.rejects(decryptFor(owner, PLACE, sealed, deps), KeyDestroyed)
  vault.setFaults({})
  const [pending] = await keysOf(deps.db, owner)
  assert.ok(pending?.state === 'destroyed' && !pending.isDestroyedAtProvider)
  await shredKeys(owner, restarted())
  const [done] = await keysOf(deps.db, owner)
  assert.ok(done?.state === 'destroyed' && done.isDestroyedAtProvider)
  assert.equal((await shredKeys(owner, deps)).versions.length, 1, 'again is no error')
})

test('KM-3: a project that never had a key gets none after its deletion began', async (t) => {
  const { deps, owner } = await keyScene(t)
  await shredKeys(owner, deps)
  await assert.rejects(encryptFor(owner, PLACE, SECRET, deps), KeyDestroyed)
})

test('KM-3: a project can be deleted only when its keys are destroyed on both sides', async (t) => {
  const { provider, vault } = await simulatedVault(t)
  const { deps, owner } = await keyScene(t, provider)
  await encryptFor(owner, PLACE, SECRET, deps)
  const scope = { organisation: owner.organisation }
  const deleteProject = () =>
    withScope(deps.db, scope, async (tx) => {
      await forgetDestroyedKeys(tx, owner)
      await sql`delete from project where organisation_id = ${owner.organisation} and id = ${owner.project}`.execute(tx)
    })
  await assert.rejects(deleteProject(), /foreign key/)
  vault.setFaults({ isUnreachable: true })
  await assert.rejects(shredKeys(owner, deps), KeyServiceUnavailable)
  await assert.rejects(deleteProject(), /foreign key/)
  vault.setFaults({})
  await shredKeys(owner, deps)
  await deleteProject()
  const left = await withScope(deps.db, scope, (tx) => rowsOf(tx, sql`select 1 from key_inventory`))
  assert.deepEqual(left, [])
})

test('KM-4: with the key service away a running process goes on for its 24 hours; a cold start is told so', async (t) => {
  const { provider, vault } = await simulatedVault(t)
  const { deps, owner, clock, restarted } = await keyScene(t, provider)
  const old = await encryptFor(owner, PLACE, SECRET, deps)
  await rotateProjectKey(owner, deps)
  const start = clock.now.getTime()
  vault.setFaults({ isUnreachable: true })
  for (const hours of [0, 11, 13, 23.9]) {
    clock.now = new Date(start + hours * HOUR_MS)
    const sealed = await encryptFor(owner, PLACE, SECRET, deps)
    assert.deepEqual(await decryptFor(owner, PLACE, sealed, deps), SECRET)
    assert.deepEqual(await decryptFor(owner, PLACE, old, deps), SECRET)
  }
  await assert.rejects(encryptFor(owner, PLACE, SECRET, restarted()), KeyServiceUnavailable)
  clock.now = new Date(start + 24 * HOUR_MS)
  await assert.rejects(encryptFor(owner, PLACE, SECRET, deps), KeyServiceUnavailable)
  vault.setFaults({})
  assert.deepEqual(await decryptFor(owner, PLACE, old, deps), SECRET)
})

test('KM-4: an old key that cannot be had does not keep the current one from its work', async (t) => {
  const { deps, owner, restarted, database } = await keyScene(t)
  const old = await encryptFor(owner, PLACE, SECRET, deps)
  await rotateProjectKey(owner, deps)
  await sql`update project_key set wrapped = '\\x00' where version = 1`.execute(database.owner.db)
  const process = restarted()
  const fresh = await encryptFor(owner, PLACE, SECRET, process)
  assert.deepEqual(await decryptFor(owner, PLACE, fresh, process), SECRET)
  await assert.rejects(decryptFor(owner, PLACE, old, process), KeyUnusable)
})

test('KM-7: a project key is in the inventory with a year to live and its last use', async (t) => {
  const { deps, owner, clock } = await keyScene(t)
  await encryptFor(owner, PLACE, SECRET, deps)
  clock.now = new Date(clock.now.getTime() + 2 * HOUR_MS)
  await encryptFor(owner, PLACE, SECRET, deps)
  await deps.uses.settle()
  const rows = await withScope(deps.db, { organisation: owner.organisation }, (tx) =>
    rowsOf<{ kind: string; project_id: string; created_at: Date; expires_at: Date; last_used_at: Date }>(
      tx,
      sql`select * from key_inventory`,
    ),
  )
  assert.equal(rows.length, 1)
  const [row] = rows
  assert.ok(row !== undefined)
  assert.deepEqual([row.kind, row.project_id], ['project-key', owner.project])
  assert.equal(row.expires_at.getTime() - row.created_at.getTime(), 365 * 24 * HOUR_MS)
  assert.deepEqual(row.last_used_at, clock.now)
})

test('KM-7: a use that cannot be noted is told, hinders nobody, and is noted the next time', async (t) => {
  const { deps, owner, lines, database } = await keyScene(t)
  await openKeyRing(owner, deps)
  await sql`revoke update on key_inventory from causeway_service`.execute(database.owner.db)
  await encryptFor(owner, PLACE, SECRET, deps)
  await deps.uses.settle()
  assert.match(lines.join(''), /keys\.use-not-noted/)
  await sql`grant update on key_inventory to causeway_service`.execute(database.owner.db)
  await encryptFor(owner, PLACE, SECRET, deps)
  await deps.uses.settle()
  const [row] = await withScope(deps.db, { organisation: owner.organisation }, (tx) =>
    rowsOf<{ last_used_at: Date | null }>(tx, sql`select last_used_at from key_inventory`),
  )
  assert.ok(row?.last_used_at instanceof Date)
})
