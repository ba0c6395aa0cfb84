// When checkpoints are made, by which key, and where they are kept. (AU-3, KM-2, KM-7)
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from 'kysely'
import {
  AUDIT_KEY_LIFE_MS,
  loadSigner,
  readAuditKeys,
  rotateAuditKey,
} from '../../../control-plane/audit/audit-key-store.ts'
import { openCheckpointDirectory } from '../../../control-plane/audit/checkpoint-directory.ts'
import { checkpointPost } from '../../../control-plane/audit/checkpoint-post.ts'
import { CheckpointContradicted } from '../../../control-plane/audit/checkpoint-storage.ts'
import { auditCheckpointJob, auditReconciler, chainsDue } from '../../../control-plane/audit/checkpoint-job.ts'
import { listCheckpoints } from '../../../control-plane/audit/checkpoint-store.ts'
import { isCheckpointDue, parseNote } from '../../../control-plane/audit/checkpoint.ts'
import { makeCheckpoint, runAuditCheckpoint } from '../../../control-plane/audit/make-checkpoint.ts'
import { verifyStored } from '../../../control-plane/audit/verify-stored.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { addressRules } from '../../../control-plane/http/outbound-address.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import type { JobContext } from '../../../control-plane/jobs/job.ts'
import { RetryLater } from '../../../control-plane/jobs/retry.ts'
import { KeyServiceUnavailable } from '../../../control-plane/keys/key-provider.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import { append, auditScene, NOW, temporaryFolder } from './audit-scene.ts'
import type { AuditScene } from './audit-scene.ts'

const never = new AbortController().signal
const MINUTE = 60_000

const due: [size: number, last: [size: number, ageMs: number] | undefined, isDue: boolean, why: string][] = [
  [0, undefined, false, 'an empty chain says nothing'],
  [1, undefined, true, 'a chain without any'],
  [5, [5, 86_400_000], false, 'nothing new since'],
  [6, [5, 10 * MINUTE - 1], false, 'new events, 10 minutes are not over'],
  [6, [5, 10 * MINUTE], true, 'new events, 10 minutes are over'],
  [1004, [5, 0], false, '999 events'],
  [1005, [5, 0], true, '1,000 events'],
]
for (const [size, last, isDue, why] of due) {
  test(`AU-3: a checkpoint is ${isDue ? '' : 'not '}due: ${why}`, () => {
    const before = last && { size: last[0], timeMs: NOW - last[1] }
    assert.equal(isCheckpointDue(size, before, NOW), isDue)
  })
}

const sizesOf = async (it: AuditScene, organisation: OrganisationId): Promise<number[]> =>
  (await withScope(it.database.db, { organisation }, (tx) => listCheckpoints(tx, organisation, undefined, 100))).map(
    ({ size }) => size,
  )

async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const each of from) found.push(each)
  return found
}

async function holds(it: AuditScene, organisation: OrganisationId): Promise<number> {
  const { report } = await verifyStored(it.database.db, organisation, { from: 1, to: 1e9 }, never)
  assert.deepEqual(report.fault, undefined)
  return report.provenTo
}

test('AU-3: made twice, at once, or with nothing new, there is one checkpoint of a size', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  assert.equal(await makeCheckpoint(id, it.deps), 0, 'an empty chain has none')
  await append(it.database.db, id, NOW)
  assert.deepEqual(await Promise.all(Array.from({ length: 8 }, () => makeCheckpoint(id, it.deps))), Array(8).fill(1))
  assert.deepEqual(await sizesOf(it, id), [1])
  assert.equal((await readAuditKeys(it.database.db)).length, 1, 'and one first key')
})

test('AU-3: checkpoints made while others append fit to the chain, each to the one before', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  await Promise.all([
    ...Array.from({ length: 60 }, () => append(it.database.db, id, NOW)),
    ...Array.from({ length: 10 }, () => makeCheckpoint(id, it.deps)),
  ])
  await makeCheckpoint(id, it.deps)
  assert.equal(await holds(it, id), 60)
})

test('AU-3: the clock asks for the job where a chain is due, once, until it is done', async (t) => {
  const it = await auditScene(t)
  const [busy, idle] = [await it.organisation(), await it.organisation('Fabrikam')]
  await append(it.database.db, busy.id, NOW)
  const reconciler = auditReconciler(it.deps)
  const requested = () =>
    withScope(it.database.db, { purpose: 'dispatch' }, async (tx) =>
      (await rowsOf<{ organisation_id: OrganisationId }>(tx, sql`delete from outbox returning organisation_id`)).map(
        ({ organisation_id }) => organisation_id,
      ),
    )
  const dueNow = () => collect(chainsDue(it.database.db, it.clock.now, false))
  await reconciler.reconcile(it.database.db)
  await reconciler.reconcile(it.database.db)
  assert.deepEqual(await requested(), [busy.id])
  await auditCheckpointJob(it.deps).run({ organisation: busy.id, signal: never } as JobContext)
  assert.deepEqual(await dueNow(), [INSTALLATION], 'its first event tells of the first key')
  await makeCheckpoint(INSTALLATION, it.deps)
  await append(it.database.db, busy.id, NOW)
  assert.deepEqual(await dueNow(), [])
  it.clock.now += 10 * MINUTE
  assert.deepEqual(await dueNow(), [busy.id])
  await reconciler.reconcile(it.database.db)
  assert.deepEqual(await requested(), [busy.id])
  assert.ok(!(await dueNow()).includes(idle.id))
})

test('AU-3: write-once storage gets every checkpoint, each as a new read-only file, also those from before there was any', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  await append(it.database.db, id, NOW)
  await makeCheckpoint(id, it.deps)
  const folder = temporaryFolder(t)
  const deps = { ...it.deps, storages: [openCheckpointDirectory(join(folder, 'audit'))] }
  assert.deepEqual(await collect(chainsDue(it.database.db, NOW, true)), [id, INSTALLATION].toSorted())
  await append(it.database.db, id, NOW)
  it.clock.now += 10 * MINUTE
  await runAuditCheckpoint(id, deps, never)
  const names = readdirSync(join(folder, 'audit', id))
  assert.deepEqual(names, ['0000000000000001.checkpoint', '0000000000000002.checkpoint'])
  for (const [index, name] of names.entries()) {
    const path = join(folder, 'audit', id, name)
    assert.equal(parseNote(readFileSync(path, 'utf8'))?.size, index + 1)
    assert.equal(statSync(path).mode & 0o777, 0o400)
  }
  await runAuditCheckpoint(id, deps, never)
  assert.deepEqual(readdirSync(join(folder, 'audit', id)), names)
})

test('AU-3: what a crash left short stays, the note goes beside it; another note of that size is a contradiction', async (t) => {
  const folder = temporaryFolder(t)
  const directory = openCheckpointDirectory(folder)
  const note = 'a note\nof a checkpoint\n'
  await directory.write('org_a', 7, note)
  const path = join(folder, 'org_a', '0000000000000007.checkpoint')
  chmodSync(path, 0o600)
  truncateSync(path, 5)
  await directory.write('org_a', 7, note)
  await directory.write('org_a', 7, note)
  assert.deepEqual(readdirSync(join(folder, 'org_a')), ['0000000000000007.1.checkpoint', '0000000000000007.checkpoint'])
  assert.equal(readFileSync(path, 'utf8'), 'a not')
  writeFileSync(path, 'another note')
  await assert.rejects(directory.write('org_a', 7, note), CheckpointContradicted)
  assert.equal(readFileSync(path, 'utf8'), 'another note', 'the evidence stays')
  await assert.rejects(directory.write('../org_b', 7, note), RangeError)
})

test('AU-3: storage that is away keeps no checkpoint from being made, and gets it later', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  await append(it.database.db, id, NOW)
  const folder = temporaryFolder(t)
  const notADirectory = join(folder, 'audit')
  writeFileSync(notADirectory, '')
  const deps = { ...it.deps, storages: [openCheckpointDirectory(notADirectory)] }
  await assert.rejects(runAuditCheckpoint(id, deps, never), { code: 'ENOTDIR' })
  assert.deepEqual(await sizesOf(it, id), [1])
  const repaired = openCheckpointDirectory(join(folder, 'repaired'))
  await runAuditCheckpoint(id, { ...deps, storages: [repaired] }, never)
  assert.equal(readdirSync(join(folder, 'repaired', id)).length, 1)
})

test('AU-3: checkpoints are posted elsewhere too; a place that is away or contradicts keeps nothing from the others', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  const notes: string[] = []
  let status = 503
  const server = createServer((incoming, response) => {
    let note = ''
    incoming.setEncoding('utf8')
    incoming.on('data', (chunk: string) => (note += chunk))
    incoming.on('end', () => {
      if (status < 300) notes.push(note)
      response.writeHead(status).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/checkpoints`)
  const folder = temporaryFolder(t)
  const storages = [checkpointPost(url, { rules: addressRules(['127.0.0.1']) }), openCheckpointDirectory(folder)]
  const deps = { ...it.deps, storages }
  const kept = () => readdirSync(join(folder, id)).length
  for (const size of [1, 2]) {
    await append(it.database.db, id, NOW)
    await makeCheckpoint(id, it.deps)
    await assert.rejects(runAuditCheckpoint(id, deps, never), /status 503/)
    assert.equal(kept(), size)
  }
  status = 409
  await assert.rejects(runAuditCheckpoint(id, deps, never), CheckpointContradicted)
  status = 204
  await runAuditCheckpoint(id, deps, never)
  assert.deepEqual(
    notes.map((note) => parseNote(note)?.size),
    [1, 2],
  )
  assert.equal(kept(), 2)
  await runAuditCheckpoint(id, deps, never)
  assert.equal(notes.length, 2, 'nothing is left to be sent')
  const refused = checkpointPost(url, { rules: addressRules([]) })
  await assert.rejects(
    refused.write(id, 1, 'x'),
    { fault: 'url' },
    'WS-5: private addresses only where they are listed',
  )
})

test('KM-4: while the key service is away the job waits for it, and appends go on', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  await append(it.database.db, id, NOW)
  const away: Sealer = {
    seal: () => Promise.reject(new KeyServiceUnavailable('away', { retryAfterMs: 7_000 })),
    open: () => Promise.reject(new KeyServiceUnavailable('away', { retryAfterMs: 7_000 })),
  }
  await assert.rejects(
    auditCheckpointJob({ ...it.deps, sealer: away }).run({ organisation: id, signal: never } as JobContext),
    (error) => error instanceof RetryLater && error.waitMs === 7_000,
  )
  await append(it.database.db, id, NOW)
  await makeCheckpoint(id, it.deps)
  assert.equal(await holds(it, id), 2)
})

test('KM-2, KM-7: a key signs for a year, then the job replaces it: told in the trail and the inventory, its private half gone', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  await append(it.database.db, id, NOW)
  await runAuditCheckpoint(id, it.deps, never)
  it.clock.now += AUDIT_KEY_LIFE_MS
  await append(it.database.db, id, it.clock.now)
  await Promise.all([1, 2, 3].map(() => runAuditCheckpoint(id, it.deps, never)))
  const keys = await readAuditKeys(it.database.db)
  assert.equal(keys.length, 2)
  assert.equal(await holds(it, id), 2)
  const { held, listed, told } = await withScope(it.database.db, { organisation: INSTALLATION }, async (tx) => ({
    held: await rowsOf(tx, sql`select ordinal, private_key_sealed is not null as held from audit_key order by ordinal`),
    listed: await rowsOf<{ id: string; expires_at: Date; last_used_at: Date | null }>(
      tx,
      sql`select id, expires_at, last_used_at from key_inventory where kind = 'checkpoint-key'`,
    ),
    told: await rowsOf(tx, sql`select action, object from audit_event order by sequence`),
  }))
  assert.deepEqual(held, [
    { ordinal: 1, held: false },
    { ordinal: 2, held: true },
  ])
  assert.deepEqual(
    listed.map((key) => [key.id, key.expires_at.getTime(), key.last_used_at?.getTime()]),
    [[keys[1]?.id, it.clock.now + AUDIT_KEY_LIFE_MS, it.clock.now]],
  )
  assert.deepEqual(told, [
    { action: 'audit.key-made', object: keys[0]?.id },
    { action: 'audit.key-rotated', object: keys[1]?.id },
  ])
})

test('KM-2: a process that still holds the old key signs nothing after the new one', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  await append(it.database.db, id, NOW)
  await loadSigner(it.deps)
  // The key is replaced while it is being opened for the next checkpoint.
  let isReplaced = false
  const slow: Sealer = {
    seal: (...given) => it.deps.sealer.seal(...given),
    async open(...given) {
      const opened = await it.deps.sealer.open(...given)
      if (isReplaced) return opened
      isReplaced = true
      await withScope(it.database.db, { organisation: INSTALLATION }, (tx) => rotateAuditKey(tx, it.deps.sealer, NOW))
      await makeCheckpoint(id, it.deps)
      await append(it.database.db, id, NOW)
      return opened
    },
  }
  await makeCheckpoint(id, { ...it.deps, sealer: slow })
  assert.deepEqual(await sizesOf(it, id), [2, 1])
  assert.equal(await holds(it, id), 2)
})

test('KM-5: the private half is nowhere in the database in clear', async (t) => {
  const it = await auditScene(t)
  const { id } = await it.organisation()
  await append(it.database.db, id, NOW)
  const { privateKey } = await loadSigner(it.deps)
  const raw = Buffer.from(String(privateKey.export({ format: 'jwk' })['d']), 'base64url')
  const [row] = await rowsOf<{ dump: Buffer }>(
    it.database.owner.db as never,
    sql`select string_agg(private_key_sealed || public_key || signature, ''::bytea) as dump from audit_key`,
  )
  assert.ok(row !== undefined && row.dump.length > 100)
  assert.equal(row.dump.indexOf(raw), -1)
})
