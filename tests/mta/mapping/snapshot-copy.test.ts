// RC-4: what was acknowledged is there after a crash at any moment, and nothing else; sealed, and nobody else's.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { SnapshotCopy, takeKept } from '../../../mta/mapping/snapshot-copy.ts'
import { FrameDecoder } from '../../../mta/mapping/frames.ts'
import { PushIntake } from '../../../mta/mapping/push-intake.ts'
import { PushedTable } from '../../../mta/mapping/read-pushed-table.ts'
import type { DiskHooks, DiskStep } from '../../../mta/spool/disk.ts'
import { twoTenants } from '../../harness/enrolled-relay.ts'
import { eventually } from '../../harness/wait.ts'
import { alice, KeeperWorld } from './keeper-world.ts'

const SILENT = createLog({ write: () => {}, level: 'error', now: Date.now })

/** What a restart finds must be this version, complete. */
async function mustHold(world: KeeperWorld, version: number): Promise<void> {
  const before = world.held
  const kept = await world.restart()
  assert.equal(kept?.version, version)
  assert.equal(kept.table.digest, before?.table.digest)
  assert.equal(kept.table.version, before?.table.version)
  assert.ok(Buffer.from(kept.secrets).equals(before?.secrets ?? Buffer.alloc(0)))
  assert.equal(world.snapshot.get()?.snapshotVersion, version)
}

test('RC-4 base and changes are there again after a restart, also changes of several runs', async () => {
  await using world = await KeeperWorld.holding()
  await mustHold(world, 1)
  await world.feed(world.server.changeFrames(alice(1)))
  await mustHold(world, 2)
  await world.feed(world.server.changeFrames(alice(2)))
  await world.feed(world.server.changeFrames(alice(3)))
  await mustHold(world, 4)
  assert.deepEqual(readdirSync(world.directory).toSorted(), ['changes-1-1', 'changes-1-2', 'snapshot-1'])
  world.server.version++
  await world.feed(world.server.whole())
  assert.deepEqual(readdirSync(world.directory).toSorted(), ['snapshot-2'], 'what it takes the place of is gone')
  await mustHold(world, 5)
})

test('SF-7, KM-1 nothing of it can be read on disk, by others or without the key', async () => {
  await using world = await KeeperWorld.holding()
  await world.feed(world.server.changeFrames(alice(1)))
  for (const name of readdirSync(world.directory)) {
    const file = join(world.directory, name)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    const text = readFileSync(file).toString('latin1')
    assert.doesNotMatch(text, /alice|fabrikam|markerToken|causeway/)
  }
  for (const [rootKey, relay] of [
    [randomBytes(32), 'relay-1'],
    [world.rootKey, 'relay-2'],
  ] as const) {
    const copy = new SnapshotCopy({
      stateDirectory: world.directory,
      rootKey,
      relay,
      local: { hasMx: false },
      log: SILENT,
    })
    assert.equal(await copy.load(), undefined)
  }
})

test('a copy that is damaged anywhere is never half believed', async () => {
  await using world = await KeeperWorld.holding()
  const base = join(world.directory, 'snapshot-1')
  const whole = readFileSync(base)
  for (let at = 0; at < whole.length; at += 53) {
    const damaged = Buffer.from(whole)
    damaged.writeUInt8(whole.readUInt8(at) ^ 0x10, at)
    writeFileSync(base, damaged)
    assert.equal(await world.restart(), undefined, `octet ${at}`)
    assert.ok(world.log.some(({ event }) => event === 'snapshot.copy-damaged'))
  }
  writeFileSync(base, whole)
  assert.equal((await world.restart())?.version, 1)
})

test('changes that are cut anywhere count up to the last that is whole', async () => {
  await using world = await KeeperWorld.holding()
  const file = join(world.directory, 'changes-1-1')
  await world.feed(world.server.changeFrames(alice(1)))
  const first = statSync(file).size
  await world.feed(world.server.changeFrames(alice(2)))
  const all = readFileSync(file)
  await world.copy.close()
  for (let length = 0; length <= all.length; length += 13) {
    writeFileSync(file, all)
    truncateSync(file, length)
    assert.equal((await world.restart())?.version, length < first ? 1 : length < all.length ? 2 : 3, `${length} octets`)
  }
})

/** Lets the disk die at its `last`th call; what was written before is there. */
function dying(last: number): { hooks: DiskHooks; steps: DiskStep[] } {
  const steps: DiskStep[] = []
  const hooks: DiskHooks = {
    before(step) {
      steps.push(step)
      if (steps.length <= last) return undefined
      const error: NodeJS.ErrnoException = new Error('the process is gone')
      error.code = 'EIO'
      // Half of a write may reach the file.
      return step.call === 'write' ? { error, writtenBytes: Math.floor((step.bytes ?? 0) / 2) } : { error }
    },
  }
  return { hooks, steps }
}

test('RC-4 the process ends at any call while a push is kept: the version before, or the new one, is whole', async () => {
  for (const kind of ['delta', 'whole'] as const) {
    for (let last = 0, isOver = false; !isOver; last++) {
      await using world = await KeeperWorld.holding()
      const { hooks, steps } = dying(last)
      await world.restart(hooks)
      const before = steps.length
      const frames = kind === 'delta' ? world.server.changeFrames(alice(1)) : nextWhole(world)
      const taken = await world.feed(frames).catch(() => undefined)
      isOver = before <= last && steps.length <= last
      const kept = await world.restart()
      const version = kept?.version
      if (taken?.kind === 'active') assert.equal(version, 2, `acknowledged, then ended at call ${last}`)
      assert.ok(version === 1 || version === 2, `${kind}, call ${last}: ${version}`)
      assert.equal(kept?.table.version, version === 2 ? 8 : 7)
    }
  }
})

test('RC-3 when the disk fails while a base is put in place, only another base counts: no change of the wrong one', async () => {
  await using world = await KeeperWorld.holding()
  let mustFail = true
  const isLast = ({ call, path }: DiskStep) =>
    call === 'syncDirectory' && path === '.' && readdirSync(world.directory).includes('snapshot-2')
  await world.restart({ before: (step) => (mustFail && isLast(step) ? { error: new Error('EIO') } : undefined) })
  await assert.rejects(world.feed(nextWhole(world)), /EIO/)
  mustFail = false
  assert.equal(world.held?.version, 1)
  world.server.version = 1
  world.server.content = twoTenants(25)
  assert.deepEqual(await world.feed(world.server.changeFrames(alice(1))), { kind: 'refused', remedy: 'whole' })
  world.server.version++
  assert.equal((await world.feed(world.server.whole()))?.kind, 'active')
  await mustHold(world, 3)
})

/** The next version as a whole. */
function nextWhole({ server }: KeeperWorld): Buffer[] {
  server.changeFrames(alice(1))
  return server.whole()
}

test('many changes become a base again, while more come in; nothing is lost, and old files go', async () => {
  await using world = await KeeperWorld.holding()
  // Each change replaces 3,000 entries, so that their file soon outgrows the base.
  const entry = (k: number, n: number) => ({
    known: [`person${k}@contoso.com`, `person${k}.${n}@contoso.com`, `person${k}@fabrikam.com`],
    presented: `person${k}@fabrikam.com`,
    mailbox: `person${k}@contoso.com`,
  })
  for (let n = 0; n < 14; n++) {
    const upsert = Array.from({ length: 3000 }, (_, k) => entry(k, n))
    assert.equal((await world.feed(world.server.changeFrames({ upsert })))?.kind, 'active')
  }
  await eventually('another base', () => readdirSync(world.directory).includes('snapshot-2') || undefined)
  await world.feed(world.server.changeFrames(alice(1)))
  assert.ok(!readdirSync(world.directory).some((name) => /^(snapshot|changes)-1/.test(name)))
  // In memory, too: rows that no snapshot has any more give their room back, and the table is the same.
  const digest = world.server.content?.table.digest
  await eventually('a smaller table', () => (world.held?.table.needsCompaction === false ? true : undefined))
  assert.equal(world.held?.table.digest, digest)
  assert.equal(world.snapshot.get()?.table.digest, digest)
  await mustHold(world, 16)
  assert.equal(world.snapshot.get()?.table.entryCount, 3006)
})

test('a push that was passed on is taken only by who has what it builds on', async () => {
  await using world = await KeeperWorld.holding()
  const before = world.held
  await world.feed(world.server.changeFrames(alice(1)))
  const push = world.activated.at(-1)?.push
  assert.ok(push !== undefined)
  const receive = async () => {
    const intake = new PushIntake(async () => new PushedTable())
    for (const each of new FrameDecoder().push(Buffer.from(push))) {
      const received = await intake.frame(each)
      if (received !== undefined) return received
    }
    throw new Error('no push')
  }
  assert.equal((await takeKept(before, await receive(), { hasMx: false })).table.digest, world.held?.table.digest)
  await assert.rejects(takeKept(world.held, await receive(), { hasMx: false }), /builds on version 1/)
  await assert.rejects(takeKept(undefined, await receive(), { hasMx: false }), /nothing is there/)
})
