// A relay with several workers, as an operator runs it: they share its ports, die alone, are replaced in turn, and their number may change.
import assert from 'node:assert/strict'
import { writeFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { startCountingSink } from '../harness/counting-sink.ts'
import type { CountingSink } from '../harness/counting-sink.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { NextHop } from '../harness/next-hop.ts'
import { runCommand } from '../harness/postfix.ts'
import { ROOT, startRelay } from '../harness/relay.ts'
import type { RelayOptions, RunningRelay } from '../harness/relay.ts'
import { sendMail, SmtpClient } from '../harness/smtp-client.ts'
import { eventually } from '../harness/wait.ts'
import { logLines, startLoad, testMessage, workerPid } from '../harness/worker-load.ts'

const limits = { newConnectionsPerSecondAndAddress: 100_000 }

async function relayWith(
  context: TestContext,
  options: Omit<RelayOptions, 'table' | 'settings'> & { workers: number; settings?: Record<string, unknown> },
): Promise<RunningRelay> {
  const { workers, settings, ...rest } = options
  const relay = await startRelay({ table: EXAMPLE_TABLE, ...rest, settings: { workers, limits, ...settings } })
  context.after(async () => {
    await relay.stop('SIGKILL')
    await relay.remove()
  })
  return relay
}

async function sinkFor(context: TestContext): Promise<CountingSink> {
  const sink = await startCountingSink()
  context.after(() => sink.close())
  return sink
}

async function causeway(relay: RunningRelay, ...args: string[]): Promise<string> {
  const { status, output } = await runCommand(join(ROOT, 'bin/causeway'), [...args, '--config', relay.configFile])
  assert.equal(status, 0, output)
  return output
}

async function send(relay: RunningRelay, id: string, to = 'dana@example.net', bytes = 2_000): Promise<string> {
  const reply = await sendMail(relay.outPort, { from: 'alice@contoso.com', to: [to], data: testMessage(id, bytes) })
  assert.match(reply, /^250 /)
  return reply.split(' ').at(-1) ?? ''
}

function served(relay: RunningRelay, worker: number, times: number): Promise<true> {
  return eventually(`worker ${worker} to serve`, () => {
    const lines = logLines(relay).filter((line) => line['event'] === 'worker.serves' && line['worker'] === worker)
    return lines.length >= times ? true : undefined
  })
}

function arrivedAll(sink: CountingSink, ids: Iterable<string>): Promise<true> {
  const wanted = [...ids]
  return eventually(`${wanted.length} messages to arrive`, () =>
    wanted.every((id) => sink.arrivals.has(id)) ? true : undefined,
  )
}

function atMostOnce(sink: CountingSink): void {
  assert.deepEqual(
    [...sink.arrivals].filter(([, times]) => times > 1),
    [],
  )
}

async function metric(relay: RunningRelay, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${relay.adminPort}/metrics`)).text()
  const values = text
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .map((line) => Number(line.split(' ').at(-1)))
  assert.ok(values.length > 0, `no ${name}`)
  return values.reduce((sum, value) => sum + value, 0)
}

async function readiness(relay: RunningRelay): Promise<{ ready: boolean; reasons: string[] }> {
  const reply = await fetch(`http://127.0.0.1:${relay.adminPort}/readyz`)
  return (await reply.json()) as { ready: boolean; reasons: string[] }
}

test('two workers share the ports, and monitoring sees one relay (OP-1)', async (context) => {
  const sink = await sinkFor(context)
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2 })
  for (let i = 1; i <= 10; i++) await send(relay, `share-${i}`)
  await eventually('all to arrive', () => (sink.arrivals.size === 10 ? true : undefined))
  const takers = logLines(relay).filter((line) => line['event'] === 'message.accepted')
  assert.deepEqual(new Set(takers.map((line) => line['worker'])), new Set([1, 2]))
  assert.equal(await metric(relay, 'causeway_inbound_messages_accepted_total'), 10)
  await eventually('all to be counted', async () =>
    (await metric(relay, 'causeway_delivery_recipients_total')) === 10 ? true : undefined,
  )
  assert.equal(await metric(relay, 'causeway_ready'), 1)
  assert.equal(await metric(relay, 'causeway_workers'), 2)
  assert.equal(await metric(relay, 'causeway_table_version'), 7)

  // What was counted stays counted when the process that counted it is gone.
  process.kill(workerPid(relay, 1), 'SIGKILL')
  await served(relay, 1, 2)
  assert.equal(await metric(relay, 'causeway_inbound_messages_accepted_total'), 10)
  assert.deepEqual(await readiness(relay), { ready: true, reasons: [] })

  await writeFile(join(relay.directory, 'table.json'), JSON.stringify({ ...EXAMPLE_TABLE, version: 8 }))
  process.kill(relay.pid, 'SIGHUP')
  await eventually('both to read the table', async () =>
    (await metric(relay, 'causeway_table_version')) === 8 ? true : undefined,
  )
  assert.equal(await relay.stop(), 0)
})

test('kill -9 of a worker under load loses nothing, and the other one’s clients don’t notice (DU-1, DU-4)', async (context) => {
  const sink = await sinkFor(context)
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2 })
  // Sessions that stay: one of them is with the worker that lives on.
  const staying = [await SmtpClient.connect(relay.outPort), await SmtpClient.connect(relay.outPort)]
  const load = startLoad(relay, 'kill', 8)
  let kills = 0
  for (const worker of [1, 2, 1]) {
    await eventually('some load', () => (load.accepted.size > 30 * (kills + 1) ? true : undefined))
    const times = logLines(relay).filter((line) => line['event'] === 'worker.serves' && line['worker'] === worker)
    process.kill(workerPid(relay, worker), 'SIGKILL')
    kills++
    if (kills === 1) {
      const replies = await Promise.all(staying.map((client) => client.command('NOOP')))
      assert.deepEqual(replies.map((reply) => reply.slice(0, 3)).toSorted(), ['', '250'])
    }
    await served(relay, worker, times.length + 1)
  }
  await load.end()
  await arrivedAll(sink, load.accepted.keys())
  assert.deepEqual(load.refusals, [])
  context.diagnostic(`the longest wait for a greeting: ${Math.round(load.longestGreetingMs())} ms`)
  assert.ok(load.longestGreetingMs() < 5_000, `a greeting took ${load.longestGreetingMs()} ms`)
  const doubled = [...sink.arrivals.values()].reduce((sum, times) => sum + times - 1, 0)
  assert.ok(doubled <= kills * 10, `${doubled} duplicates: more than were in flight at the kills`)
  for (const client of staying) client.close()
  assert.equal(await relay.stop(), 0)
})

test('a message that ends its worker three times is set aside; the rest goes on, and the other worker never stops (DU-8)', async (context) => {
  let victim: (() => void) | undefined
  const hop = await NextHop.start({
    act({ stage, line }) {
      if (stage !== 'RCPT' || !line.includes('poison@')) return undefined
      victim?.()
      return { silent: true }
    },
  })
  context.after(() => hop[Symbol.asyncDispose]())
  const relay = await relayWith(context, { nextHopPort: hop.port, workers: 2 })
  let poisoned: number | undefined
  let deaths = 0
  // Whichever process has the message in hand is gone as soon as it is seen at the next hop.
  victim = () => {
    if (poisoned === undefined) return
    try {
      process.kill(workerPid(relay, poisoned), 'SIGKILL')
      deaths++
    } catch (error) {
      // What it had still said was read when it was gone: it died of the time before.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }
  const queueId = await send(relay, 'poison', 'poison@example.net')
  poisoned = await eventually('the worker that took it', () => {
    const taken = logLines(relay).find((line) => line['event'] === 'message.accepted' && line['queueId'] === queueId)
    return taken?.['worker'] as number | undefined
  })
  // It may have been tried before we knew where.
  process.kill(workerPid(relay, poisoned), 'SIGKILL')
  deaths++
  const quarantined = await eventually('it to be quarantined', () =>
    logLines(relay).find((line) => line['event'] === 'spool.quarantined'),
  )
  assert.deepEqual(
    [quarantined['queueId'], quarantined['reason'], quarantined['worker']],
    [queueId, 'poison', poisoned],
  )
  assert.ok(deaths >= 3, `only ${deaths} deaths`)
  const other = poisoned === 1 ? 2 : 1
  assert.equal(logLines(relay).filter((line) => line['event'] === 'worker.died' && line['worker'] === other).length, 0)
  await eventually('both to serve', async () => ((await readiness(relay)).reasons.length === 0 ? true : undefined))
  for (let i = 1; i <= 4; i++) await send(relay, `healthy-${i}`)
  await eventually('the rest to arrive', () => (hop.taken.length === 4 ? true : undefined))
  const listed = JSON.parse(await causeway(relay, 'quarantine', 'list', '--json')) as { queueId: string }[]
  assert.deepEqual(
    listed.map((entry) => entry.queueId),
    [queueId],
  )
  assert.match(await causeway(relay, 'quarantine', 'export', queueId), /Message-ID: <poison>/)
  assert.equal(await relay.stop(), 0)
})

test('a worker that runs out of memory is started again, and nothing is lost', async (context) => {
  const sink = await sinkFor(context)
  const env = { NODE_OPTIONS: '--max-old-space-size=64 --inspect-port=0' }
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2, env })
  const load = startLoad(relay, 'memory', 6)
  await eventually('some load', () => (load.accepted.size > 30 ? true : undefined))
  // The process is made to fill its heap, through Node's own debugger.
  process.kill(workerPid(relay, 1), 'SIGUSR1')
  const address = await eventually('the debugger', () => /ws:\/\/127\.0\.0\.1:\d+\/\S+/.exec(relay.output())?.[0])
  const debuggerSocket = new WebSocket(address)
  await new Promise((opened) => debuggerSocket.addEventListener('open', opened))
  const expression = 'const all = []; for (;;) all.push(new Array(10_000).fill(all.length))'
  debuggerSocket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }))
  const died = await eventually(
    'its death',
    () => logLines(relay).find((line) => line['event'] === 'worker.died'),
    60_000,
  )
  assert.equal(died['worker'], 1)
  assert.match(relay.output(), /heap out of memory/i)
  await served(relay, 1, 2)
  await load.end()
  await arrivedAll(sink, load.accepted.keys())
  assert.deepEqual(load.refusals, [])
  assert.equal(await relay.stop(), 0)
})

test('SIGTERM under load: exit code 0, everything answered for arrives (DU-6)', async (context) => {
  const sink = await sinkFor(context)
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2 })
  const load = startLoad(relay, 'term', 8)
  await eventually('some load', () => (load.accepted.size > 50 ? true : undefined))
  const stopped = relay.stop()
  await load.end()
  assert.equal(await stopped, 0)
  assert.deepEqual(load.refusals, [])
  const again = await relayWith(context, { nextHopPort: sink.port, workers: 2, directory: relay.directory })
  await arrivedAll(sink, load.accepted.keys())
  assert.equal(await again.stop(), 0)
  atMostOnce(sink)
})

test('SIGUSR2 under load replaces the workers in turn: no message lost or doubled, no client unanswered', async (context) => {
  const sink = await sinkFor(context)
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2 })
  const before = [workerPid(relay, 1), workerPid(relay, 2)]
  const load = startLoad(relay, 'rolling', 8)
  await eventually('some load', () => (load.accepted.size > 30 ? true : undefined))
  process.kill(relay.pid, 'SIGUSR2')
  await eventually('the restart', () => logLines(relay).find((line) => line['event'] === 'relay.restarted'), 60_000)
  const sofar = load.accepted.size
  await eventually('load after it', () => (load.accepted.size > sofar + 30 ? true : undefined))
  await load.end()
  await arrivedAll(sink, load.accepted.keys())
  assert.deepEqual([load.refusals, load.ungreeted], [[], []])
  atMostOnce(sink)
  assert.ok(before.every((pid, index) => workerPid(relay, index + 1) !== pid))
  assert.equal(await metric(relay, 'causeway_worker_restarts_total'), 2)

  // A faulty configuration changes nothing.
  const config = await readFile(relay.configFile, 'utf8')
  await writeFile(relay.configFile, config.replace('"name"', '"nom"'))
  process.kill(relay.pid, 'SIGUSR2')
  await eventually('the refusal', () => logLines(relay).find((line) => line['event'] === 'relay.restart-refused'))
  await send(relay, 'after')
  assert.equal(await metric(relay, 'causeway_worker_restarts_total'), 2)
  assert.equal(await relay.stop(), 0)
})

test('the number of workers changes 1 → 3 → 2 → 1 with mail in the queue: all of it is delivered, once', async (context) => {
  let isLater = true
  const hop = await NextHop.start({
    act: ({ stage }) => (stage === 'RCPT' && isLater ? '451 4.2.1 later' : undefined),
  })
  context.after(() => hop[Symbol.asyncDispose]())
  const sent: string[] = []
  let directory: string | undefined
  let relay: RunningRelay | undefined
  for (const workers of [1, 3, 2, 1]) {
    relay = await relayWith(context, {
      nextHopPort: hop.port,
      workers,
      ...(directory === undefined ? {} : { directory }),
    })
    directory = relay.directory
    for (let i = 1; i <= 6; i++) {
      const id = `number-${workers}-${sent.length}`
      await send(relay, id, 'dana@example.net', i === 6 ? 300_000 : 2_000)
      sent.push(id)
    }
    const listed = JSON.parse(await causeway(relay, 'queue', 'list', '--json')) as { receivedAt: number }[]
    assert.equal(listed.length, sent.length, `with ${workers} workers all that waits is listed`)
    assert.deepEqual(
      listed.map(({ receivedAt }) => receivedAt),
      listed.map(({ receivedAt }) => receivedAt).toSorted((a, b) => a - b),
    )
    if (workers === 1 && sent.length > 6) break
    assert.equal(await relay.stop(), 0)
    const atRest = JSON.parse(await causeway(relay, 'queue', 'list', '--json')) as unknown[]
    assert.equal(atRest.length, sent.length)
  }
  assert.ok(relay !== undefined)
  isLater = false
  // A transaction whose recipients were all refused has no content.
  const arrived = () =>
    hop.taken.flatMap(({ content }) => /^Message-ID: <([^>]*)>/m.exec(content.toString('latin1'))?.[1] ?? [])
  const last = relay
  await eventually('all to arrive', async () => {
    if (new Set(arrived()).size === sent.length) return true
    // Again for what was busy being refused.
    await causeway(last, 'queue', 'retry', '--all')
    return undefined
  })
  assert.deepEqual(arrived().toSorted(), sent.toSorted())
  // What is empty ends, and the next start has one process again.
  await eventually('the other parts to end', async () =>
    (await metric(last, 'causeway_workers')) === 1 ? true : undefined,
  )
  assert.equal(await relay.stop(), 0)
  const alone = await relayWith(context, { nextHopPort: hop.port, workers: 1, directory: relay.directory })
  assert.ok(logLines(alone).some((line) => line['event'] === 'relay.started' && line['workers'] === undefined))
  assert.equal(await alone.stop(), 0)
})

test('queue commands reach every worker of a running relay, and every part of the spool at rest', async (context) => {
  const hop = await NextHop.start({ act: ({ stage }) => (stage === 'RCPT' ? '451 4.2.1 later' : undefined) })
  context.after(() => hop[Symbol.asyncDispose]())
  const relay = await relayWith(context, { nextHopPort: hop.port, workers: 2 })
  const ids = [await send(relay, 'a'), await send(relay, 'b'), await send(relay, 'c'), await send(relay, 'd')]
  await eventually('all to be deferred', async () => {
    const items = JSON.parse(await causeway(relay, 'queue', 'list', '--json')) as {
      queueId: string
      isActive: boolean
      state: { attempts: number }
    }[]
    assert.deepEqual(
      items.map(({ queueId }) => queueId),
      ids,
    )
    return items.every(({ state, isActive }) => state.attempts > 0 && !isActive) ? true : undefined
  })
  const unknown = '01JDA2B3C4XY5Z69'
  const [first = '', second = ''] = ids
  const hold = ['queue', 'hold', first, second, unknown, '--json', '--config', relay.configFile]
  const held = await runCommand(join(ROOT, 'bin/causeway'), hold)
  assert.equal(held.status, 1)
  const result = JSON.parse(held.output.slice(0, held.output.indexOf('}') + 1)) as Record<string, string[]>
  assert.deepEqual([result['changed']?.toSorted(), result['busy'], result['unknown']], [[first, second], [], [unknown]])
  assert.match(await causeway(relay, 'queue', 'show', first, second), /451/)
  assert.equal(await relay.stop(), 0)

  assert.match(await causeway(relay, 'queue', 'release', '--all', '--held'), /2 messages released/)
  assert.match(await causeway(relay, 'queue', 'remove', '--all'), /4 messages removed/)
  assert.equal(await causeway(relay, 'queue', 'list', '--json'), '[]\n')
})

test('a second relay on the spool ends with exit code 2, whatever its number of workers; the first goes on (DU-7)', async (context) => {
  const sink = await sinkFor(context)
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2 })
  for (const workers of [1, 2, 3]) {
    const second = startRelay({
      nextHopPort: sink.port,
      directory: relay.directory,
      settings: { workers },
    })
    await assert.rejects(second, /causeway: the spool .* is held by another process/)
  }
  await send(relay, 'first')
  await arrivedAll(sink, ['first'])
  assert.equal(await relay.stop(), 0)
})

test('a worker that can’t be started again is told by name and tried again, while the other takes mail', async (context) => {
  const sink = await sinkFor(context)
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2 })
  const keys = join(relay.directory, 'spool/worker-2/keys')
  const good = await readFile(keys)
  await writeFile(keys, 'damaged\n')
  process.kill(workerPid(relay, 2), 'SIGKILL')
  const said = await eventually('readiness to say so', async () => {
    const { ready, reasons } = await readiness(relay)
    assert.equal(ready, true)
    return reasons.find((reason) => reason.includes('spool key'))
  })
  assert.match(said, /^worker 2: the spool key is not the one this spool was made with/)
  await send(relay, 'meanwhile')
  await writeFile(keys, good)
  await served(relay, 2, 2)
  assert.deepEqual(await readiness(relay), { ready: true, reasons: [] })
  assert.equal(await relay.stop(), 0)
})

test('the workers’ shares of a connection limit add up to it', async (context) => {
  const sink = await sinkFor(context)
  const settings = { limits: { ...limits, connectionsPerAddress: 4 } }
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2, settings })
  const clients: SmtpClient[] = []
  for (let i = 1; i <= 4; i++) clients.push(await SmtpClient.connect(relay.outPort))
  await assert.rejects(SmtpClient.connect(relay.outPort), /421 4\.3\.2/)
  await clients.pop()?.quit()
  clients.push(await eventually('a place', () => SmtpClient.connect(relay.outPort).catch(() => undefined)))
  for (const client of clients) client.close()
  assert.equal(await relay.stop(), 0)
})

test('a second SIGTERM ends the relay at once, at no accepted message’s expense (DU-6)', async (context) => {
  const sink = await sinkFor(context)
  const hop = await NextHop.start({ act: ({ stage }) => (stage === 'RCPT' ? '451 4.2.1 later' : undefined) })
  context.after(() => hop[Symbol.asyncDispose]())
  const relay = await relayWith(context, { nextHopPort: hop.port, workers: 2 })
  for (let i = 1; i <= 4; i++) await send(relay, `second-${i}`)
  const slow = await SmtpClient.connect(relay.outPort)
  for (const line of ['MAIL FROM:<alice@contoso.com>', 'RCPT TO:<dana@example.net>', 'DATA']) await slow.command(line)
  const stopped = relay.stop()
  await eventually('the stop', () => logLines(relay).find((line) => line['event'] === 'relay.stopping'))
  process.kill(relay.pid, 'SIGTERM')
  assert.equal(await stopped, 1)
  slow.close()
  const again = await relayWith(context, { nextHopPort: sink.port, workers: 2, directory: relay.directory })
  await causeway(again, 'queue', 'retry', '--all')
  await arrivedAll(
    sink,
    [1, 2, 3, 4].map((i) => `second-${i}`),
  )
  assert.equal(await again.stop(), 0)
})

test('a part of the spool that can’t be opened keeps the relay from starting: exit code 2, told by name', async (context) => {
  const sink = await sinkFor(context)
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2 })
  assert.equal(await relay.stop(), 0)
  const key = join(relay.directory, 'spool.key')
  await writeFile(key, `${'0'.repeat(64)}\n`)
  const { status, output } = await runCommand(join(ROOT, 'bin/causeway'), ['relay', '--config', relay.configFile])
  assert.equal(status, 2, output)
  assert.match(output, /causeway: the spool key is not the one this spool was made with/)
})

test('the primary is killed: its workers end in order by themselves and leave the spool to the next relay', async (context) => {
  const sink = await sinkFor(context)
  const relay = await relayWith(context, { nextHopPort: sink.port, workers: 2 })
  const pids = [workerPid(relay, 1), workerPid(relay, 2)]
  const load = startLoad(relay, 'orphan', 4)
  await eventually('some load', () => (load.accepted.size > 20 ? true : undefined))
  const killed = relay.stop('SIGKILL')
  const ended = load.end()
  await eventually('the workers to end', () => (pids.some(isAlive) ? undefined : true))
  await Promise.all([killed, ended])
  const again = await relayWith(context, { nextHopPort: sink.port, workers: 2, directory: relay.directory })
  await arrivedAll(sink, load.accepted.keys())
  assert.equal(await again.stop(), 0)
  atMostOnce(sink)
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false // ESRCH
  }
}
