import assert from 'node:assert/strict'
import { test } from 'node:test'
import { queueAtRest } from '../../../mta/admin/queue-at-rest.ts'
import type { QueueFilter } from '../../../mta/admin/queue-operations.ts'
import { spoolOperations } from '../../../mta/admin/spool-operations.ts'
import type { DeliveryState, MessageRecord } from '../../../mta/message-record.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import { SpoolBroken, SpoolDamaged } from '../../../mta/spool/contract.ts'
import type { Spool, SpoolEntry } from '../../../mta/spool/contract.ts'
import { aQueueId, aRecord } from '../a-record.ts'

const reply = { code: 550, status: '5.1.1', text: 'no' }
const waiting: DeliveryState = {
  attempts: 2,
  nextAttemptAt: 9_000,
  isHeld: false,
  isDead: false,
  recipients: [{ kind: 'queued' }],
}

function unused(): never {
  throw new Error('not part of this test')
}

/** The contract's spool, in memory: what an operator's command needs of it. */
class MemorySpool {
  readonly messages = new Map<QueueId, { record: MessageRecord; state: DeliveryState }>()
  readonly quarantined = new Map<string, Buffer>()
  readonly damaged = new Set<QueueId>()

  add(queueId: QueueId, record: Partial<MessageRecord> = {}, state: Partial<DeliveryState> = {}): void {
    this.messages.set(queueId, { record: aRecord({ queueId, ...record }), state: { ...waiting, ...state } })
  }

  get spool(): Spool {
    const entry = (queueId: QueueId): SpoolEntry | undefined => {
      const message = this.messages.get(queueId)
      if (message === undefined) return undefined
      const { record, state } = message
      return {
        queueId,
        receivedAt: record.receivedAt,
        sizeBytes: record.headerBytes + record.bodyBytes,
        direction: record.direction,
        isNullSender: record.reversePath === '',
        isOwnReport: record.isOwnReport,
        routes: record.recipients.map(({ route }) => route),
        recipientCount: record.recipients.length,
        state,
        hasDelayToTell: false,
        deaths: 0,
      }
    }
    return {
      checkRoom: unused,
      begin: unused,
      take: unused,
      health: unused,
      close: unused,
      find: entry,
      entries: () => [...this.messages.keys()].map(entry).filter((each) => each !== undefined),
      read: async (queueId) => {
        const message = this.messages.get(queueId)
        if (message === undefined || this.damaged.has(queueId)) throw new SpoolDamaged('damaged')
        return { ...message, header: Buffer.alloc(0), body: () => [], close: async () => {} }
      },
      update: async (queueId, state) => {
        const message = this.messages.get(queueId)
        if (message !== undefined) this.messages.set(queueId, { ...message, state })
      },
      remove: async (queueId) => void this.messages.delete(queueId),
      quarantine: {
        list: async () =>
          [...this.quarantined.keys()].map((queueId) => ({
            queueId,
            reason: 'poison' as const,
            at: 0,
            sizeBytes: 1,
            detail: '',
          })),
        export: async (queueId) => this.quarantined.get(queueId) ?? Buffer.alloc(0),
        remove: async (queueId) => void this.quarantined.delete(queueId),
      },
    }
  }
}

const first = aQueueId('01JDA2B3C4XY5Z61')
const second = aQueueId('01JDA2B3C4XY5Z62')
const third = aQueueId('01JDA2B3C4XY5Z63')
const fourth = aQueueId('01JDA2B3C4XY5Z64')

function setUp() {
  const memory = new MemorySpool()
  memory.add(first)
  memory.add(second, {
    direction: 'in',
    recipients: [{ path: 'b@x.example', received: 'b@x.example', route: 'mailbox' }],
  })
  memory.add(third, {}, { isHeld: true })
  memory.add(
    fourth,
    { isOwnReport: true, reversePath: '' },
    { isDead: true, recipients: [{ kind: 'failed', reply, remote: '', at: 1 }] },
  )
  const { spool } = memory
  return {
    memory,
    operations: spoolOperations(
      spool,
      queueAtRest(spool, () => 5_000),
    ),
    stateOf: (id: QueueId) => memory.messages.get(id)?.state,
  }
}

const filters: [filter: QueueFilter, ids: QueueId[]][] = [
  [{}, [first, second, third, fourth]],
  [{ isDead: false }, [first, second, third]],
  [{ isDead: true }, [fourth]],
  [{ isHeld: true }, [third]],
  [{ direction: 'in' }, [second]],
  [{ route: 'owner-tenant', isDead: false }, [first, third]],
  [{ direction: 'in', isHeld: true }, []],
  [{ routes: ['mailbox', 'mx:x.example'] }, [second]],
  [{ isDeferred: true }, [first, second]],
  [{ receivedBefore: 0 }, []],
  [{ sender: '<>' }, [fourth]],
  [{ sender: 'ALICE@contoso.example', isHeld: false }, [first, second, fourth]],
  [{ sender: '@fabrikam.example' }, [first, second, third]],
  [{ recipient: '@x.example' }, [second]],
  [{ recipient: '@ample.net' }, []],
]
for (const [filter, ids] of filters) {
  test(`list ${JSON.stringify(filter)} gives what matches, in order of acceptance`, async () => {
    const found: QueueId[] = []
    for await (const { queueId } of setUp().operations.list(filter)) found.push(queueId)
    assert.deepEqual(found, ids)
  })
}

test('hold keeps a message, release lets it go at once', async () => {
  const { operations, stateOf } = setUp()
  assert.deepEqual(await operations.change('hold', { ids: [first] }), { changed: [first], unknown: [], busy: [] })
  assert.equal(stateOf(first)?.isHeld, true)
  await operations.change('release', { ids: [first] })
  assert.deepEqual([stateOf(first)?.isHeld, stateOf(first)?.nextAttemptAt], [false, 5_000])
})

test('retry makes a message due; attempts are kept, for expiry counts them (DU-9)', async () => {
  const { operations, stateOf } = setUp()
  await operations.change('retry', { ids: [first] })
  assert.deepEqual(stateOf(first), { ...waiting, nextAttemptAt: 5_000 })
})

test('DL-5 retry of a dead letter brings it to life again', async () => {
  const { operations, stateOf } = setUp()
  await operations.change('retry', { all: { isDead: true } })
  assert.deepEqual(stateOf(fourth), {
    ...waiting,
    nextAttemptAt: 5_000,
    recipients: [{ kind: 'queued', lastReply: reply }],
  })
})

test('remove by filter leaves the rest', async () => {
  const { memory, operations } = setUp()
  assert.deepEqual((await operations.change('remove', { all: { isDead: false } })).changed, [first, second, third])
  assert.deepEqual([...memory.messages.keys()], [fourth])
})

test('an id that is not there, or named twice, is told as such', async () => {
  const { operations } = setUp()
  const gone = aQueueId('01JDA2B3C4XY5Z69')
  assert.deepEqual(await operations.change('hold', { ids: [gone, first, first] }), {
    changed: [first],
    unknown: [gone],
    busy: [],
  })
  assert.equal(await operations.show(gone), undefined)
})

test('SF-4 a message that turns out to be damaged has left the queue; the others are changed', async () => {
  const { memory, operations } = setUp()
  memory.damaged.add(first)
  assert.deepEqual(await operations.change('hold', { ids: [first, second] }), {
    changed: [second],
    unknown: [first],
    busy: [],
  })
})

test('a disk that fails is told, not counted as done', async () => {
  const { memory } = setUp()
  const spool = { ...memory.spool, update: () => Promise.reject(new SpoolBroken('EIO')) }
  await assert.rejects(
    spoolOperations(
      spool,
      queueAtRest(spool, () => 0),
    ).change('hold', { all: {} }),
    SpoolBroken,
  )
})

test('more messages than one batch are all changed', async () => {
  const memory = new MemorySpool()
  const ids = Array.from({ length: 1_200 }, (_, index) => aQueueId(`0000000000${String(index).padStart(6, '0')}`))
  for (const id of ids) memory.add(id)
  const { changed } = await spoolOperations(
    memory.spool,
    queueAtRest(memory.spool, () => 0),
  ).change('hold', { all: {} })
  assert.equal(changed.length, 1_200)
  assert.ok([...memory.messages.values()].every(({ state }) => state.isHeld))
})

test('quarantine answers for what is in it only', async () => {
  const { memory, operations } = setUp()
  memory.quarantined.set('bad', Buffer.from('x'))
  assert.equal((await operations.quarantine.export('bad'))?.toString(), 'x')
  assert.equal(await operations.quarantine.export('good'), undefined)
  assert.deepEqual(
    [await operations.quarantine.remove('good'), await operations.quarantine.remove('bad')],
    [false, true],
  )
  assert.equal((await operations.quarantine.list()).length, 0)
})
