// Which Redis may hold the queue: judged by what it says of itself. (JQ-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { judgeRedis } from '../../../control-plane/jobs/redis-check.ts'
import { infoOf, linkOf } from '../../../control-plane/jobs/redis-facts.ts'
import type { RedisFacts } from '../../../control-plane/jobs/redis-facts.ts'
import { openQueue } from '../../../control-plane/jobs/queue-backend.ts'
import { testOnRedis, testRedis } from '../../harness/redis.ts'

const good: RedisFacts = {
  version: '7.0.15',
  maxmemoryPolicy: 'noeviction',
  hasAppendOnlyFile: true,
  isLocal: false,
  hasTls: true,
  hasPassword: true,
}
const cases: [change: Partial<RedisFacts>, faults: RegExp[], why: string][] = [
  [{}, [], 'all is well'],
  [{ isLocal: true, hasTls: false, hasPassword: false }, [], 'on this machine neither TLS nor password is needed'],
  [{ maxmemoryPolicy: 'allkeys-lru' }, [/maxmemory-policy is allkeys-lru/], 'it would drop jobs'],
  [{ maxmemoryPolicy: '' }, [/maxmemory-policy/], 'it does not say: nobody knows'],
  [{ hasAppendOnlyFile: false }, [/appendonly/], 'it forgets with each restart'],
  [{ hasTls: false }, [/clear text/], 'everybody on the way reads it'],
  [{ hasPassword: false }, [/password/], 'everybody can use it'],
  [{ version: '6.0.9' }, [/too old/], 'BullMQ needs more'],
  [{ version: '6.2.0' }, [], 'old enough'],
  [{ version: '10.0.0' }, [], 'numbers are compared, not text'],
  [{ version: '' }, [/too old/], 'it does not say'],
  [
    { hasTls: false, hasPassword: false, hasAppendOnlyFile: false },
    [/appendonly/, /clear text/, /password/],
    'all faults are told',
  ],
]
for (const [change, faults, why] of cases) {
  test(`judgeRedis: ${why}`, () => {
    const found = judgeRedis({ ...good, ...change })
    assert.equal(found.length, faults.length, found.join('\n'))
    for (const [index, fault] of faults.entries()) assert.match(found[index] ?? '', fault)
  })
}

const links: [url: string, link: ReturnType<typeof linkOf>][] = [
  ['/run/redis.sock', { isLocal: true, hasTls: false, hasPassword: false }],
  ['redis://127.0.0.1:6379', { isLocal: true, hasTls: false, hasPassword: false }],
  ['redis://[::1]', { isLocal: true, hasTls: false, hasPassword: false }],
  ['redis://localhost', { isLocal: true, hasTls: false, hasPassword: false }],
  ['redis://127.0.0.1.example.org', { isLocal: false, hasTls: false, hasPassword: false }],
  ['redis://:p@cache.example', { isLocal: false, hasTls: false, hasPassword: true }],
  ['rediss://user:p@cache.example:6380/0', { isLocal: false, hasTls: true, hasPassword: true }],
]
for (const [url, link] of links) test(`linkOf(${url})`, () => assert.deepEqual(linkOf(url), link))

test('infoOf finds whole names only', () => {
  const text = '# Memory\r\nmaxmemory_policy:noeviction\r\nxmaxmemory_policy:other\r\nempty:\r\n'
  assert.deepEqual(
    ['maxmemory_policy', 'memory_policy', 'empty', 'missing'].map((name) => infoOf(text, name)),
    ['noeviction', '', '', ''],
  )
})

testOnRedis('JQ-3: facts are read from a real server, well and badly set', async (t) => {
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  const judged = async (flags: string[]): Promise<string[]> => {
    const redis = await testRedis(t, flags)
    const queue = openQueue({ log, redisUrl: redis.url })
    try {
      await queue.ping()
      const facts = await queue.facts()
      assert.ok(facts !== undefined)
      return judgeRedis(facts)
    } finally {
      await queue.close()
    }
  }
  assert.deepEqual(await judged([]), [])
  const bad = await judged(['--appendonly', 'no', '--maxmemory-policy', 'allkeys-lfu'])
  assert.equal(bad.length, 2, bad.join('\n'))
})

testOnRedis('JQ-5: with Redis away the queue says so within seconds', async (t) => {
  const redis = await testRedis(t)
  const queue = openQueue({ log: createLog({ write: () => {}, level: 'error', now: Date.now }), redisUrl: redis.url })
  await queue.ping()
  await redis.kill()
  const started = performance.now()
  await assert.rejects(queue.ping())
  await assert.rejects(queue.publish([{ id: 'org_1.1', kind: 'mapping.import' }]))
  assert.ok(performance.now() - started < 11_000)
  await queue.close()
})
