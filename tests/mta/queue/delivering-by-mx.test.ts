// The queue and the mail exchangers of several domains, over real sockets and a real resolver client. (DL-2, DL-7)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import type { DeliveryAttempt } from '../../../mta/delivery-event.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import { createOutbound } from '../../../mta/outbound/deliver.ts'
import { Queue } from '../../../mta/queue/queue.ts'
import { mxRoute } from '../../../mta/route-names.ts'
import { eventually } from '../../harness/wait.ts'
import { NO_CREDENTIALS, recipient } from '../outbound/fixtures.ts'
import { mxWorld } from '../outbound/mx-world.ts'
import type { MxWorld } from '../outbound/mx-world.ts'
import { MemorySpool } from './memory-spool.ts'
import { FakeClock, intake, listLog, OWNER, RETRY, simpleReport } from './world.ts'

function queueOver(world: MxWorld) {
  const spool = new MemorySpool()
  const events: DeliveryAttempt[] = []
  const metrics = new Registry()
  const queue = new Queue({
    spool,
    settings: {
      routes: { 'owner-tenant': OWNER },
      mx: { port: world.port },
      limits: DEFAULT_LIMITS,
      retry: { ...RETRY, firstWaits: [50], thenWait: 50, lastWait: 50 },
    },
    outbound: createOutbound({
      name: 'relay.example',
      limits: DEFAULT_LIMITS,
      credentials: () => NO_CREDENTIALS,
      mx: world.mx,
      monotonicMs: () => performance.now(),
      metrics,
    }),
    makeReport: simpleReport,
    noted: () => {},
    deliveryDone: (attempt) => void events.push(attempt),
    log: listLog([]),
    metrics,
    now: Date.now,
    monotonicMs: () => performance.now(),
    random: Math.random,
    timer(run, delayMs) {
      const timer = setTimeout(run, delayMs)
      return () => clearTimeout(timer)
    },
  })
  const clock = new FakeClock()
  clock.wallMs = Date.now()
  return {
    events,
    /** Without those of the report, which has no route here. */
    told: () => events.map(brief).filter((each) => !each.includes('4.3.5')),
    queue,
    metrics,
    [Symbol.asyncDispose]: () => queue.drain(AbortSignal.abort()),
    send: async (...paths: string[]) => {
      const recipients = paths.map((path) => recipient(path, { route: mxRoute(path.slice(path.indexOf('@') + 1)) }))
      queue.accepted(await intake(spool, clock, { recipients }))
    },
  }
}

const brief = ({ recipient: index, result, reply, remote }: DeliveryAttempt) =>
  `${index} ${result} ${reply.status} ${remote}`

test('each domain gets its recipients in one transaction; who takes no mail fails at once, and the metrics name no domain', async () => {
  await using world = await mxWorld()
  for (const [index, domain] of ['a.example', 'b.example'].entries()) {
    world.dns.mx(domain, [[10, `mx.${domain}`]])
    world.dns.address(`mx.${domain}`, [`127.0.0.${index + 2}`])
  }
  world.dns.mx('null.example', [[0, '.']])
  const [a, b] = [await world.host(2), await world.host(3)]
  await using over = queueOver(world)
  const { queue, told, metrics, send } = over
  queue.start()
  await send('1@a.example', '2@b.example', '3@a.example', '4@null.example')
  await eventually('four results', () => (told().length === 4 ? true : undefined))
  assert.deepEqual(told().toSorted(), [
    `0 delivered 2.0.0 mx.a.example:${world.port}`,
    `1 delivered 2.0.0 mx.b.example:${world.port}`,
    `2 delivered 2.0.0 mx.a.example:${world.port}`,
    '3 failed 5.1.10 ',
  ])
  assert.deepEqual(
    a.taken.map(({ rcpts }) => rcpts),
    [['RCPT TO:<1@a.example>', 'RCPT TO:<3@a.example>']],
  )
  assert.equal(b.taken.length, 1)
  const text = await metrics.metrics()
  assert.match(text, /causeway_delivery_recipients_total\{result="delivered",route="mx"\} 3/)
  assert.doesNotMatch(text, /a\.example/)
})

test('DL-2: mail that DNS can not tell the way of waits, and goes when it can', async () => {
  await using world = await mxWorld()
  world.dns.say('MX a.example', { rcode: 'SERVFAIL' })
  const host = await world.host(2)
  await using over = queueOver(world)
  const { queue, events, send } = over
  queue.start()
  await send('1@a.example')
  await eventually('a failed look-up', () => events.find(({ result }) => result === 'deferred'))
  assert.deepEqual(brief(events[0] ?? assert.fail()), '0 deferred 4.4.3 ')
  world.dns.mx('a.example', [[10, 'mx.a.example']])
  world.dns.address('mx.a.example', ['127.0.0.2'])
  await eventually('delivery', () => events.find(({ result }) => result === 'delivered'))
  assert.equal(host.taken.length, 1)
})

test('DU-6: stopping does not wait for a resolver that is silent', async () => {
  await using world = await mxWorld()
  world.dns.say('MX a.example', { isSilent: true })
  await using over = queueOver(world)
  const { queue, events, send } = over
  queue.start()
  await send('1@a.example')
  await queue.drain(AbortSignal.abort())
  // A look-up that had been waited for would say 4.4.3.
  assert.deepEqual(events.map(brief), ['0 deferred 4.3.2 '])
})
