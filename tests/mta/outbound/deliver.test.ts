import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { deliver } from '../../../mta/outbound/deliver.ts'
import type { Attempt } from '../../../mta/outbound/deliver.ts'
import type { Connections } from '../../../mta/outbound/connections.ts'
import type { Content } from '../../../mta/outbound/client.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import { NextHop } from '../../harness/next-hop.ts'
import { eventually } from '../../harness/wait.ts'
import { connections, HELLO, hopAt, message, recipient, SHORT_TIMEOUTS } from './fixtures.ts'

async function attempt(pool: Connections, hop: NextHop, content: Content = HELLO): Promise<Attempt> {
  const lease = pool.lease(hopAt(hop.port))
  if (lease === undefined) throw new Error('no place')
  try {
    return await deliver(content, [...content.record.recipients.keys()], lease, () => performance.now())
  } finally {
    lease.release()
    lease.recorded()
  }
}

function kinds({ outcomes }: Attempt): string[] {
  return outcomes.map(({ kind }) => kind)
}

test('messages follow each other on a kept connection', async () => {
  await using hop = await NextHop.start()
  const pool = connections()
  for (let i = 0; i < 5; i++) assert.deepEqual(kinds(await attempt(pool, hop)), ['delivered'])
  assert.equal(hop.connections, 1)
  assert.equal(hop.taken.length, 5)
  await pool.close()
  assert.equal(hop.transcripts[0]?.at(-1), 'S: 221 2.0.0 bye')
})

test('connecting takes no time on a kept connection: the delays tell them apart', async () => {
  await using hop = await NextHop.start({ latencyMs: 30 })
  const pool = connections()
  const first = await attempt(pool, hop)
  const second = await attempt(pool, hop)
  assert.ok(first.connectMs >= 50 && first.sendMs >= 50, JSON.stringify(first))
  assert.ok(second.connectMs < 20 && second.sendMs >= 50, JSON.stringify(second))
  assert.equal(second.remote, `127.0.0.1:${hop.port}`)
  await pool.close()
})

test('a kept connection that the host has closed, or is closing, costs nothing: the message goes over a new one', async () => {
  for (const act of [{ drop: true }, '421 4.4.2 idle for too long', { drop: true, say: '421 4.4.2 bye' }] as const) {
    await using hop = await NextHop.start({
      act: ({ stage, taken }) => (stage === 'MAIL' && taken === 1 ? act : undefined),
    })
    const pool = connections()
    assert.deepEqual(kinds(await attempt(pool, hop)), ['delivered'])
    const second = await attempt(pool, hop)
    assert.deepEqual([kinds(second), second.host], [['delivered'], 'well'])
    assert.equal(hop.connections, 2)
    await pool.close()
  }
})

test('on a new connection a 421 is meant for us', async () => {
  await using hop = await NextHop.start({ act: ({ stage }) => (stage === 'MAIL' ? '421 4.3.2 closing' : undefined) })
  const pool = connections()
  const made = await attempt(pool, hop)
  assert.deepEqual([kinds(made), made.host, hop.connections], [['deferred'], 'said421', 1])
  await pool.close()
})

test('once something of a message was answered, a drop is not repeated at once', async () => {
  await using hop = await NextHop.start({
    offers: [],
    act: ({ stage, taken }) => (stage === 'RCPT' && taken === 1 ? { drop: true } : undefined),
  })
  const pool = connections()
  await attempt(pool, hop)
  assert.deepEqual(kinds(await attempt(pool, hop)), ['deferred'])
  assert.equal(hop.connections, 1)
  await pool.close()
})

test('1,000 recipients go in transactions of 100, each with the whole message', async () => {
  await using hop = await NextHop.start({
    act: ({ stage, line }) => (stage === 'RCPT' && line.includes('<r777@') ? '550 5.1.1 no' : undefined),
  })
  const pool = connections()
  const recipients = Array.from({ length: 1_000 }, (_, i) => recipient(`r${i}@example.net`))
  const made = await attempt(pool, hop, message('A: b\r\n\r\n', 'x\r\n', { recipients }))
  assert.equal(kinds(made).indexOf('failed'), 777)
  assert.equal(kinds(made).filter((kind) => kind === 'delivered').length, 999)
  assert.equal(hop.taken.length, 10)
  assert.ok(hop.taken.every(({ rcpts }) => rcpts.length <= 100))
  await pool.close()
})

test('a host that takes fewer recipients at once than it must gets the rest in further transactions (RFC 5321 §4.5.3.1.10)', async () => {
  for (const tooMany of ['452 4.5.3 too many', '452 too many', '552 too many']) {
    let inThis = 0
    await using hop = await NextHop.start({
      act: ({ stage }) => {
        if (stage === 'MAIL') inThis = 0
        return stage === 'RCPT' && inThis++ >= 3 ? tooMany : undefined
      },
    })
    const pool = connections()
    const recipients = Array.from({ length: 10 }, (_, i) => recipient(`r${i}@example.net`))
    const made = await attempt(pool, hop, message('A: b\r\n\r\n', 'x\r\n', { recipients }))
    assert.ok(
      made.outcomes.every(({ kind }) => kind === 'delivered'),
      tooMany,
    )
    assert.deepEqual(
      hop.taken.map(({ rcpts }) => rcpts.length),
      [3, 3, 3, 1],
    )
    await pool.close()
  }
})

test('a host that says too many to everybody is not asked for ever', async () => {
  await using hop = await NextHop.start({ act: ({ stage }) => (stage === 'RCPT' ? '452 4.5.3 too many' : undefined) })
  const pool = connections()
  const made = await attempt(
    pool,
    hop,
    message('A: b\r\n\r\n', 'x\r\n', { recipients: [recipient('a@b.example'), recipient('c@d.example')] }),
  )
  assert.deepEqual(kinds(made), ['deferred', 'deferred'])
  await pool.close()
})

test('a connection that ends between two transactions: who was served is delivered, the rest wait', async () => {
  await using hop = await NextHop.start({
    act: ({ stage, taken }) => (stage === 'RCPT' && taken === 1 ? { drop: true } : undefined),
    offers: [],
  })
  const pool = connections()
  const recipients = Array.from({ length: 250 }, (_, i) => recipient(`r${i}@example.net`))
  const made = await attempt(pool, hop, message('A: b\r\n\r\n', 'x\r\n', { recipients }))
  assert.equal(kinds(made).filter((kind) => kind === 'delivered').length, 100)
  assert.equal(kinds(made).filter((kind) => kind === 'deferred').length, 150)
  assert.equal(made.host, 'unwell')
  await pool.close()
})

test('no host: everybody waits, the host is down, no remote is named', async () => {
  const hop = await NextHop.start()
  await hop.close()
  const pool = connections()
  const lease = pool.lease(hopAt(1))
  assert.ok(lease !== undefined)
  const made = await deliver(HELLO, [0], lease, () => performance.now())
  lease.release()
  assert.deepEqual(
    [kinds(made), made.host, made.remote, made.outcomes[0]?.reply.status],
    [['deferred'], 'down', '', '4.4.1'],
  )
  await pool.close()
})

test('R12: a message the hop can not take fails without a word to it, and the connection stays', async () => {
  await using hop = await NextHop.start({ offers: ['PIPELINING'] })
  const pool = connections()
  const made = await attempt(pool, hop, message('A: b\r\n\r\n', '\u00fc\r\n', { has8Bit: true }))
  assert.deepEqual([kinds(made), made.outcomes[0]?.reply.status, made.host], [['failed'], '5.6.3', 'well'])
  assert.deepEqual(kinds(await attempt(pool, hop)), ['delivered'])
  assert.equal(hop.connections, 1)
  await pool.close()
})

test('limits: no more than 20 connections to a host and 100 in all, and a place is free only when its connection is closed', async () => {
  await using hop = await NextHop.start()
  const pool = connections({ limits: { ...DEFAULT_LIMITS, nextHopConnectionsPerHost: 3, nextHopConnections: 4 } })
  const here = hopAt(hop.port)
  const leases = [pool.lease(here), pool.lease(here), pool.lease(here)]
  assert.ok(leases.every((lease) => lease !== undefined))
  assert.equal(pool.lease(here), undefined)
  const elsewhere = pool.lease(hopAt(1))
  assert.ok(elsewhere !== undefined)
  assert.equal(pool.lease(hopAt(2)), undefined)
  let isTold = false
  pool.onRoom(() => (isTold = true))
  elsewhere.release()
  assert.ok(isTold)
  assert.ok(pool.lease(hopAt(2)) !== undefined)
})

test('an idle connection to one host makes room for another', async () => {
  await using a = await NextHop.start()
  await using b = await NextHop.start()
  const pool = connections({ limits: { ...DEFAULT_LIMITS, nextHopConnections: 1 } })
  await attempt(pool, a)
  assert.equal(pool.lease(hopAt(b.port)), undefined)
  await eventually('the idle connection to close', () => (a.open === 0 ? true : undefined))
  assert.deepEqual(kinds(await attempt(pool, b)), ['delivered'])
  await pool.close()
})

test('R85: a connection opened for one tenant or certificate is never used for another, though the host is the same', async () => {
  await using hop = await NextHop.start()
  const pool = connections({ limits: { ...DEFAULT_LIMITS, nextHopConnectionsPerHost: 2 } })
  for (const tenant of ['one', 'two', 'one', 'two']) {
    const lease = pool.lease({ ...hopAt(hop.port), key: `${tenant} 127.0.0.1:${hop.port}` })
    assert.ok(lease !== undefined)
    await deliver(HELLO, [0], lease, () => performance.now())
    lease.release()
    lease.recorded()
  }
  assert.deepEqual(
    hop.taken.map(({ connection }) => connection),
    [1, 2, 1, 2],
  )
  await pool.close()
})

test('a kept connection is closed after its idle time, its life, and its number of messages', async () => {
  await using hop = await NextHop.start()
  const idle = connections({ idleMs: 40 })
  await attempt(idle, hop)
  await eventually('the idle connection to close', () => (hop.open === 0 ? true : undefined))
  const old = connections({ lifeMs: 0 })
  await attempt(old, hop)
  await eventually('the old connection to close', () => (hop.open === 0 ? true : undefined))
  const worn = connections({ transactionsPerConnection: 2 })
  for (let i = 0; i < 4; i++) {
    await attempt(worn, hop)
    if (i % 2 === 1) await eventually('the worn connection to close', () => (hop.open === 0 ? true : undefined))
  }
  assert.equal(hop.connections, 4)
  assert.ok(hop.transcripts.every((lines) => lines.at(-1) === 'S: 221 2.0.0 bye'))
})

test('DU-4: QUIT is said only when the results are recorded', async () => {
  await using hop = await NextHop.start()
  const pool = connections({ transactionsPerConnection: 1 })
  const lease = pool.lease(hopAt(hop.port))
  assert.ok(lease !== undefined)
  await deliver(HELLO, [0], lease, () => performance.now())
  lease.release()
  await sleep(30)
  assert.ok(!hop.transcripts[0]?.includes('C: QUIT'))
  lease.recorded()
  await eventually('QUIT', () => (hop.transcripts[0]?.includes('C: QUIT') === true ? true : undefined))
  await pool.close()
})

test('results that are lost: no QUIT, the connection just ends', async () => {
  await using hop = await NextHop.start()
  const pool = connections()
  const lease = pool.lease(hopAt(hop.port))
  assert.ok(lease !== undefined)
  await deliver(HELLO, [0], lease, () => performance.now())
  lease.release()
  lease.lost()
  await pool.close()
  assert.ok(!hop.transcripts[0]?.includes('C: QUIT'))
})

test('abort breaks off attempts at any stage; nothing is leased afterwards', async () => {
  for (const stage of ['greeting', 'MAIL', 'content'] as const) {
    await using hop = await NextHop.start({ act: (turn) => (turn.stage === stage ? { silent: true } : undefined) })
    const pool = connections()
    const going = attempt(pool, hop)
    await eventually('the host to be reached', () => (hop.connections === 1 ? true : undefined))
    await sleep(20)
    pool.abort()
    assert.deepEqual(kinds(await going), ['deferred'])
    assert.equal(pool.lease(hopAt(hop.port)), undefined)
    await pool.close()
  }
})

test('a host that does not answer QUIT is left after a moment', async () => {
  await using hop = await NextHop.start({ act: ({ stage }) => (stage === 'QUIT' ? { silent: true } : undefined) })
  const pool = connections({ timeouts: { ...SHORT_TIMEOUTS, quit: 50 } })
  await attempt(pool, hop)
  const began = performance.now()
  await pool.close()
  assert.ok(performance.now() - began < 1_000)
})

test('a message that breaks off while it is read: the error is told; after a first transaction the rest wait instead', async () => {
  await using hop = await NextHop.start()
  const pool = connections()
  let reads = 0
  const body = () => {
    if (++reads > 1) throw new Error('damaged')
    return [Buffer.from('x\r\n')]
  }
  const recipients = Array.from({ length: 150 }, (_, i) => recipient(`r${i}@example.net`))
  const content = { ...message('A: b\r\n\r\n', 'x\r\n', { recipients }), body }
  const made = await attempt(pool, hop, content)
  assert.deepEqual([kinds(made)[0], kinds(made)[149]], ['delivered', 'deferred'])
  await assert.rejects(attempt(pool, hop, content), /damaged/)
  await pool.close()
})
