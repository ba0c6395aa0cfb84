// The whole way out: a real spool, the queue, real sockets.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEFAULT_TIMEOUTS } from '../../../mta/outbound/timeouts.ts'
import { NextHop } from '../../harness/next-hop.ts'
import type { Act, NextHopOptions, Turn } from '../../harness/next-hop.ts'
import { freePort } from '../../harness/ports.ts'
import { eventually } from '../../harness/wait.ts'
import { recipient, SHORT_TIMEOUTS } from '../outbound/fixtures.ts'
import { QUICK, SMALL, way } from './way.ts'
import { RETRY } from './world.ts'

test('a thousand messages, small and large, arrive once each and byte for byte', async () => {
  await using hop = await NextHop.start()
  await using out = await way({ owner: hop.port })
  const sent = new Map<string, string>()
  await Promise.all(
    Array.from({ length: 1_000 }, async (_, i) => {
      const size = i % 100 === 0 ? 300_000 : 4_000
      const body = `.${'some text\r\n..\r\n.'.repeat(size / 16)}\r\n`
      const path = `r${i}@example.net`
      sent.set(path, `Subject: ${i}\r\n\r\n${body}`)
      await out.send({ header: `Subject: ${i}\r\n\r\n`, body }, { recipients: [recipient(path)] })
    }),
  )
  await out.empty()
  assert.equal(hop.taken.length, 1_000)
  for (const { rcpts, content } of hop.taken) {
    const path = /<(.*)>/.exec(rcpts[0] ?? '')?.[1] ?? ''
    assert.ok(content.equals(Buffer.from(sent.get(path) ?? '', 'latin1')), path)
    sent.delete(path)
  }
  assert.ok(hop.mostOpen <= 20)
  assert.ok(hop.connections <= 20, `${hop.connections} connections`)
})

test('a host 20 ms away gets as many transactions at once as it may have connections', async () => {
  await using hop = await NextHop.start({ latencyMs: 20 })
  await using out = await way({ owner: hop.port }, { perHost: 50 })
  const began = performance.now()
  await Promise.all(Array.from({ length: 500 }, () => out.send(SMALL)))
  await out.empty()
  const tookMs = performance.now() - began
  assert.equal(hop.taken.length, 500)
  assert.ok(hop.mostOpen > 20, `${hop.mostOpen} connections`)
  assert.ok(tookMs < (500 * 40) / 10, `${tookMs} ms: ten in flight would have taken ${(500 * 40) / 10} ms`)
})

test('the next hop dies and comes back: nothing is lost, nothing is sent twice that was answered', async () => {
  const port = await freePort()
  await using out = await way({ owner: port })
  let hop = await NextHop.start({ port })
  const taken: string[] = []
  const sending = (async () => {
    for (let i = 0; i < 300; i++) {
      await out.send(SMALL, { recipients: [recipient(`r${i}@example.net`)] })
      if (i % 3 === 0) await sleep(1)
    }
  })()
  for (let i = 0; i < 4; i++) {
    await sleep(60)
    await hop.close()
    taken.push(...hop.taken.map(({ rcpts }) => rcpts.join()))
    await sleep(30)
    hop = await NextHop.start({ port })
  }
  await sending
  await out.empty()
  taken.push(...hop.taken.map(({ rcpts }) => rcpts.join()))
  await hop.close()
  assert.equal(new Set(taken).size, 300)
  assert.equal(out.events.filter(({ result }) => result === 'failed').length, 0)
  assert.ok(taken.length <= 300 + 4 * 20, 'DU-4: duplicates at most those in flight')
})

test('DL-3: while one host hangs, the other is served as if nothing were', async () => {
  await using well = await NextHop.start()
  await using hanging = await NextHop.start({ act: ({ stage }) => (stage === 'MAIL' ? { silent: true } : undefined) })
  await using out = await way(
    { owner: well.port, mailbox: hanging.port },
    { timeouts: { ...DEFAULT_TIMEOUTS, command: 1_000 } },
  )
  const run = async () => {
    const began = performance.now()
    const before = well.taken.length
    await Promise.all(Array.from({ length: 200 }, () => out.send(SMALL)))
    await eventually('the healthy host to be served', () => (well.taken.length === before + 200 ? true : undefined))
    return performance.now() - began
  }
  await run()
  const alone = await run()
  await Promise.all(
    Array.from({ length: 200 }, () =>
      out.send(SMALL, { recipients: [recipient('x@b.example', { route: 'mailbox' })] }),
    ),
  )
  const beside = await run()
  assert.ok(hanging.connections > 0)
  assert.ok(beside < 2 * alone + 300, `${beside} ms beside, ${alone} ms alone`)
  hanging.behave({})
  await out.empty()
})

const at = (stage: Turn['stage'], act: Act) => (turn: Turn) => (turn.stage === stage ? act : undefined)

const hostile: [name: string, options: NextHopOptions][] = [
  ['an endless banner', { act: at('greeting', { raw: Buffer.alloc(40 * 2 ** 20, '220-more of it\r\n') }) }],
  ['an endless line', { act: at('MAIL', { raw: Buffer.alloc(40 * 2 ** 20, 'x') }) }],
  ['an endless reply', { act: at('MAIL', { raw: Buffer.alloc(40 * 2 ** 20, '250-more of it\r\n') }) }],
  ['a flood of replies', { act: at('DATA', { raw: Buffer.alloc(40 * 2 ** 20, '250 ok\r\n') }) }],
  ['replies before their time', { act: at('RCPT', { early: '354 go\r\n250 2.0.0 taken' }) }],
  ['every keyword there is', { act: at('EHLO', { raw: Buffer.alloc(40 * 2 ** 20, '250-X-KEYWORD 1\r\n') }) }],
  ['a change of code', { act: at('content', { raw: '250-taken\r\n550 or not\r\n' }) }],
  [
    'octet by octet',
    { act: at('content', { slowly: '250 2.0.0 in a year and a day, when all is said and done\r\n', everyMs: 60 }) },
  ],
]
test('DL-6: no hostile host makes the relay lose the message or grow, and when it turns honest the mail arrives', async () => {
  for (const [name, options] of hostile) {
    await using hop = await NextHop.start(options)
    await using out = await way(
      { owner: hop.port },
      { retry: { ...QUICK, firstWaits: [100] }, timeouts: SHORT_TIMEOUTS },
    )
    const before = process.memoryUsage().rss
    let most = before
    const watching = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 5)
    for (let i = 0; i < 5; i++) await out.send(SMALL)
    await eventually(`${name} to be met`, () => (out.events.length >= 3 ? true : undefined))
    clearInterval(watching)
    assert.ok(
      out.events.every(({ result }) => result === 'deferred'),
      name,
    )
    assert.equal(out.spool.health().messages, 5, name)
    assert.ok(most - before < 150 * 2 ** 20, `${name}: grew by ${Math.round((most - before) / 2 ** 20)} MiB`)
    hop.behave({})
    await out.empty()
    assert.equal(hop.taken.length, 5, name)
  }
})

test('DL-2: a 5xx banner is temporary', async () => {
  await using hop = await NextHop.start({ act: at('greeting', '554 5.3.2 not today') })
  await using out = await way({ owner: hop.port })
  await out.send(SMALL)
  await eventually('the first attempt', () => (out.events.length > 0 ? true : undefined))
  assert.deepEqual(
    [out.events[0]?.result, out.events[0]?.reply.code, out.events[0]?.reply.status],
    ['deferred', 554, '4.3.2'],
  )
  hop.behave({})
  await out.empty()
})

test('a restart finds what was queued, and delivers it', async () => {
  await using hop = await NextHop.start({ act: at('RCPT', '450 4.2.0 later') })
  await using out = await way({ owner: hop.port }, { retry: RETRY })
  const queueId = await out.send(SMALL)
  await eventually('the first attempt', () => (out.events.length > 0 ? true : undefined))
  assert.equal(out.spool.find(queueId)?.state.attempts, 1)
  hop.behave({})
  assert.equal(await out.queue.change('retry', queueId), 'changed')
  await out.empty()
})

const SMTP_SINK = '/usr/sbin/smtp-sink'
test(
  "Postfix's smtp-sink receives what was sent",
  { skip: existsSync(SMTP_SINK) ? false : `needs ${SMTP_SINK}: apt-get install postfix` },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'causeway-sink-'))
    await chmod(directory, 0o777)
    const port = await freePort()
    const asRoot = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
    const sink = spawn(SMTP_SINK, [...asRoot, '-d', join(directory, '%M.'), `127.0.0.1:${port}`, '100'], {
      stdio: 'ignore',
    })
    try {
      await using out = await way({ owner: port })
      for (let i = 0; i < 50; i++)
        await out.send({ header: `Subject: number ${i}\r\n\r\n`, body: '.dot\r\n..\r\n.\r\nend\r\n' })
      await out.empty()
      const files = await readdir(directory)
      assert.equal(files.length, 50)
      const subjects = new Set<string>()
      for (const file of files) {
        const text = await readFile(join(directory, file), 'latin1')
        assert.match(text, /\r?\n\r?\n\.dot\r?\n\.\.\r?\n\.\r?\nend\r?\n/)
        subjects.add(/Subject: (.*)/.exec(text)?.[1]?.trim() ?? '')
      }
      assert.equal(subjects.size, 50)
    } finally {
      sink.kill()
      await rm(directory, { recursive: true })
    }
  },
)
