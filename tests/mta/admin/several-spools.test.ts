// `queue` and `quarantine` over several parts of a spool, each a real one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { queueAtRest } from '../../../mta/admin/queue-at-rest.ts'
import { overAll } from '../../../mta/admin/several-spools.ts'
import { spoolOperations } from '../../../mta/admin/spool-operations.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import type { QueueOperations } from '../../../mta/admin/queue-operations.ts'
import type { OpenSpool } from '../../../mta/spool/spool.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import { aQueueId, aRecord } from '../a-record.ts'
import { recordingLog, ROOT_KEY, tempDirectory } from '../spool/spool-harness.ts'

const id = (n: number) => aQueueId(`01JDA2B3C4XY5Z6${n}`)

async function aSpool(t: TestContext): Promise<OpenSpool> {
  const spool = await openSpool({
    directory: tempDirectory(t),
    rootKey: ROOT_KEY,
    project: 'p1',
    limits: { ...DEFAULT_LIMITS, freeSpaceRatio: 0, freeSpaceMessages: 0, freeInodeRatio: 0 },
    now: Date.now,
    log: recordingLog(),
  })
  t.after(() => spool.close())
  return spool
}

async function add(spool: OpenSpool, queueId: QueueId, receivedAt: number): Promise<void> {
  const intake = spool.begin(queueId)
  const header = Buffer.from('Subject: x\r\n\r\n')
  await intake.write(Buffer.from('body\r\n'))
  await intake.commit(header, aRecord({ queueId, receivedAt, headerBytes: header.length, bodyBytes: 6 }), {
    attempts: 0,
    nextAttemptAt: receivedAt,
    isHeld: false,
    isDead: false,
    recipients: [{ kind: 'queued' }],
  })
}

const operations = (spool: OpenSpool) => spoolOperations(spool, queueAtRest(spool, Date.now))

async function listed(queue: QueueOperations): Promise<QueueId[]> {
  const ids: QueueId[] = []
  for await (const { queueId } of queue.list({})) ids.push(queueId)
  return ids
}

test('several parts are one queue: listed in order of acceptance, shown and changed wherever a message is', async (t) => {
  const [first, second, empty] = [await aSpool(t), await aSpool(t), await aSpool(t)]
  await add(first, id(1), 1_000)
  await add(second, id(2), 2_000)
  await add(second, id(3), 3_000)
  await add(first, id(4), 4_000)
  // In the same millisecond: by id.
  await add(second, id(6), 5_000)
  await add(first, id(5), 5_000)
  const queue = overAll([first, empty, second].map(operations))
  assert.deepEqual(await listed(queue), [1, 2, 3, 4, 5, 6].map(id))
  for await (const { queueId } of queue.list({})) {
    assert.equal(queueId, id(1))
    break // who has seen enough closes all lists
  }
  assert.equal((await queue.show(id(3)))?.record.queueId, id(3))
  assert.equal(await queue.show(id(9)), undefined)

  assert.deepEqual(await queue.change('hold', { ids: [id(1), id(2), id(9)] }), {
    changed: [id(1), id(2)],
    busy: [],
    unknown: [id(9)],
  })
  assert.deepEqual((await queue.change('remove', { all: { isHeld: true } })).changed.toSorted(), [id(1), id(2)])
  assert.deepEqual(await listed(queue), [3, 4, 5, 6].map(id))
})

test('a message that is busy in one part is not unknown because the others don’t have it', async (t) => {
  const [first, second] = [await aSpool(t), await aSpool(t)]
  await add(first, id(1), 1_000)
  const busy = spoolOperations(first, {
    isActive: () => true,
    troubleOf: () => undefined,
    change: () => Promise.resolve('busy'),
  })
  assert.deepEqual(await overAll([operations(second), busy]).change('remove', { ids: [id(1)] }), {
    changed: [],
    busy: [id(1)],
    unknown: [],
  })
})

test('one part is asked as it is', async (t) => {
  const only = operations(await aSpool(t))
  assert.equal(overAll([only]), only)
})

test('quarantine: what is in none of them', async (t) => {
  const queue = overAll([await aSpool(t), await aSpool(t)].map(operations))
  assert.deepEqual(await queue.quarantine.list(), [])
  assert.equal(await queue.quarantine.export('no-such'), undefined)
  assert.equal(await queue.quarantine.remove('no-such'), false)
})
