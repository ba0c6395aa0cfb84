import assert from 'node:assert/strict'
import { mkdtempSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { startControl } from '../../../mta/admin/control.ts'
import { connectControl, ControlError } from '../../../mta/admin/control-client.ts'
import { CONTROL_SOCKET } from '../../../mta/admin/control-socket.ts'
import type {
  ChangeTarget,
  QueueChange,
  QueueFilter,
  QueueItem,
  QueueOperations,
} from '../../../mta/admin/queue-operations.ts'
import { newQueueId } from '../../../mta/queue-id.ts'
import { aQueueId, aRecord } from '../a-record.ts'

const id = aQueueId()
const state = { attempts: 1, nextAttemptAt: 5, isHeld: false, isDead: false }

function item(queueId = id): QueueItem {
  return {
    queueId,
    receivedAt: 1,
    sizeBytes: 2_400,
    direction: 'out',
    isNullSender: false,
    isOwnReport: false,
    routes: ['owner-tenant'],
    recipientCount: 1,
    state,
    hasDelayToTell: false,
    deaths: 0,
    isActive: false,
  }
}

/** What a relay would be asked, and a queue of `count` messages. */
function recordedOperations(count = 1) {
  const asked: { list: QueueFilter[]; change: [QueueChange, ChangeTarget][] } = { list: [], change: [] }
  const operations: QueueOperations = {
    async *list(filter) {
      asked.list.push(filter)
      for (let i = 0; i < count; i++) yield item(newQueueId(i))
    },
    async show(queueId) {
      if (queueId !== id) return undefined
      return { record: aRecord(), state: { ...state, recipients: [{ kind: 'queued' }] } }
    },
    async change(change, target) {
      asked.change.push([change, target])
      return { changed: [id], unknown: [], busy: [] }
    },
    quarantine: {
      list: async () => [{ queueId: 'segment-1', reason: 'damaged', at: 1, sizeBytes: 3, detail: 'a chunk fails' }],
      export: async (name) => (name === 'segment-1' ? Buffer.from([0, 255, 10]) : undefined),
      remove: async (name) => name === 'segment-1',
    },
  }
  return { asked, operations }
}

async function serve(context: TestContext, operations: QueueOperations, folder = 'spool') {
  const top = mkdtempSync(join(tmpdir(), 'causeway-control-'))
  context.after(() => rmSync(top, { recursive: true }))
  const spoolDirectory = join(top, folder)
  mkdirSync(spoolDirectory, { mode: 0o700, recursive: true })
  const log = createLog({ write: () => {}, level: 'error', now: () => 0 })
  const control = await startControl({ spoolDirectory, operations, log })
  context.after(() => control.close())
  const client = await connectControl(spoolDirectory)
  assert.ok(client !== undefined)
  return { spoolDirectory, client, control, log }
}

test('the socket is for the operator only: 0600', async (context) => {
  const { spoolDirectory } = await serve(context, recordedOperations().operations)
  assert.equal(statSync(join(spoolDirectory, CONTROL_SOCKET)).mode & 0o777, 0o600)
})

test('what the client asks is what the relay is asked, and the answer comes back whole', async (context) => {
  const { asked, operations } = recordedOperations()
  const { client } = await serve(context, operations)
  const filter = {
    direction: 'out',
    route: 'owner-tenant',
    routes: ['owner-tenant', 'mx:example.net'],
    receivedBefore: 1_700_000_000_000,
    isDeferred: true,
    sender: '<>',
    recipient: '@example.net',
    isHeld: true,
    isDead: false,
  } as const
  const listed: QueueItem[] = []
  for await (const each of client.list(filter)) listed.push(each)
  assert.equal(listed.length, 1)
  assert.deepEqual(listed[0]?.state, state)
  assert.deepEqual(asked.list, [filter])

  assert.equal((await client.show(id))?.record.receivedReversePath, 'alice@contoso.example')
  assert.equal(await client.show(newQueueId(99)), undefined)

  for (const target of [{ ids: [id] }, { all: filter }, { all: {} }]) {
    assert.deepEqual(await client.change('hold', target), { changed: [id], unknown: [], busy: [] })
    assert.deepEqual(asked.change.at(-1), ['hold', target])
  }

  assert.equal((await client.quarantine.list())[0]?.reason, 'damaged')
  assert.deepEqual(await client.quarantine.export('segment-1'), Buffer.from([0, 255, 10]))
  assert.equal(await client.quarantine.export('../keys'), undefined)
  assert.equal(await client.quarantine.remove('segment-1'), true)
  assert.equal(await client.quarantine.remove('other'), false)
})

test('a long queue comes in slices', async (context) => {
  const { client } = await serve(context, recordedOperations(20_000).operations)
  let count = 0
  for await (const { queueId } of client.list({})) {
    assert.equal(queueId.length, 16)
    count++
  }
  assert.equal(count, 20_000)
})

test(
  'a spool whose path is longer than a socket may have is reached all the same',
  { skip: process.platform !== 'linux' },
  async (context) => {
    const { client } = await serve(context, recordedOperations().operations, 'deep/'.repeat(40))
    assert.equal((await client.quarantine.list()).length, 1)
  },
)

test('where no relay listens there is nobody: no socket, or one that a dead relay left', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'causeway-control-'))
  context.after(() => rmSync(folder, { recursive: true }))
  assert.equal(await connectControl(folder), undefined)
  assert.equal(await connectControl(join(folder, 'missing')), undefined)
  writeFileSync(join(folder, CONTROL_SOCKET), '')
  assert.equal(await connectControl(folder), undefined)
})

test('a socket that a dead relay left is replaced', async (context) => {
  const { operations } = recordedOperations()
  const { spoolDirectory, control, log } = await serve(context, operations)
  await control.close()
  writeFileSync(join(spoolDirectory, CONTROL_SOCKET), '')
  const again = await startControl({ spoolDirectory, operations, log })
  assert.ok((await connectControl(spoolDirectory)) !== undefined)
  await again.close()
})

test('a failure of the relay is told, and the next request is served', async (context) => {
  const { operations } = recordedOperations()
  const { client } = await serve(context, {
    ...operations,
    change: async () => {
      throw new Error('spool is broken')
    },
  })
  await assert.rejects(
    client.change('retry', { all: {} }),
    (error) => error instanceof ControlError && error.message.includes('spool is broken'),
  )
  assert.equal((await client.quarantine.list()).length, 1)
})

const bad: [method: string, path: string, body: string | undefined, status: number][] = [
  ['GET', '/nothing', undefined, 404],
  ['GET', '/queue/not-an-id', undefined, 404],
  ['GET', '/queue/a/b', undefined, 404],
  ['GET', '/quarantine/%', undefined, 500],
  ['POST', '/queue/burn', '{"all":{}}', 404],
  ['POST', '/queue/remove', '{}', 400],
  ['POST', '/queue/remove', '{"all":true}', 400],
  ['POST', '/queue/remove', '{"all":{"direction":"up"}}', 400],
  ['POST', '/queue/remove', '{"all":{"dead":true}}', 400],
  ['GET', '/queue?isHeld=maybe', undefined, 400],
  ['POST', '/queue/remove', '{"all":{"receivedBefore":true}}', 400],
  ['POST', '/queue/remove', '{"all":{"routes":[1]}}', 400],
  ['POST', '/queue/remove', '{"all":{"sender":null}}', 400],
  ['POST', '/queue/remove', '{"all":{"isDeferred":"perhaps"}}', 400],
  ['POST', '/queue/remove', 'not json', 400],
  ['POST', '/queue/remove', '{"ids":["nonsense"]}', 400],
  ['POST', '/queue/remove', '{"ids":"01JDA2B3C4XY5Z6Q"}', 400],
  ['POST', '/quarantine/remove', '{"id":5}', 400],
  ['DELETE', '/queue', undefined, 404],
  ['POST', '/queue/remove', `{"ids":["${'x'.repeat(2 * 1024 * 1024)}"]}`, 500],
]
for (const [method, path, body, status] of bad) {
  test(`${method} ${path} ${(body ?? '').slice(0, 30)} is answered ${status} and changes nothing`, async (context) => {
    const { asked, operations } = recordedOperations()
    const { spoolDirectory } = await serve(context, operations)
    const answered = await new Promise<number | undefined>((resolve, reject) => {
      const outgoing = request({ socketPath: join(spoolDirectory, CONTROL_SOCKET), method, path }, (reply) => {
        reply.resume()
        resolve(reply.statusCode)
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
    assert.equal(answered, status)
    assert.deepEqual(asked.change, [])
  })
}
