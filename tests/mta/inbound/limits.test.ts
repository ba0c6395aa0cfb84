// LM-1 over real sockets: each limit of reliability-security.md §4 that the receiving side holds, at the limit and one past it; the clock is
// the test's. The pure halves have their own tests beside this one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import { SpoolBroken, SpoolFull } from '../../../mta/spool/contract.ts'
import { ReceivingRelay } from './receiving-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

const S = 1000
const CONTENT = 'Subject: x\r\n\r\n'

async function sendMessage(client: TranscriptClient, content = CONTENT, code: number | string = 250): Promise<void> {
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  client.write(`${content}.\r\n`)
  await client.expect(code)
}

async function startData(port: number): Promise<TranscriptClient> {
  const client = await TranscriptClient.hello(port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  return client
}

test('message size: declared at MAIL, one octet too many is 552 there', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  for (const size of ['209715199', '209715200']) {
    await client.say(`MAIL FROM:<alice@contoso.com> SIZE=${size}`, 250)
    await client.say('RSET', 250)
  }
  await client.say('MAIL FROM:<alice@contoso.com> SIZE=209715201', '552 5.3.4')
  await client.say('MAIL FROM:<alice@contoso.com> SIZE=99999999999999999999', '552 5.3.4')
  client.quit()
})

test('message size: as it came, stuffing dots not counted; one octet too many is 552 after DATA, and the session goes on', async () => {
  await using relay = await ReceivingRelay.start({ limits: { messageBytes: 1000 } })
  const client = await TranscriptClient.hello(relay.port)
  const filled = (bytes: number): string => `${CONTENT}..${'x'.repeat(bytes - CONTENT.length - 3)}\r\n`
  await sendMessage(client, filled(999))
  await sendMessage(client, filled(1000))
  await sendMessage(client, filled(1001), '552 5.3.4')
  await sendMessage(client)
  assert.equal(relay.accepted.length, 3)
  client.quit()
})

test('recipients: 1000 are taken, the rest gets 452 and costs nothing; what was taken is delivered', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  const recipients = Array.from({ length: 1050 }, (_, i) => `RCPT TO:<user${i}@example.net>\r\n`)
  client.write(recipients.join(''))
  for (let i = 0; i < 1000; i++) await client.expect('250 2.1.5')
  for (let i = 0; i < 50; i++) await client.expect('452 4.5.3')
  await client.say('DATA', 354)
  client.write('Subject: x\r\n\r\n.\r\n')
  await client.expect(250)
  assert.equal((await relay.last()).record.recipients.length, 1000)
  client.quit()
})

test('command line: 2048 octets with CR LF; longer ones get 500, the third closes', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  const noop = (bytes: number): string => `NOOP ${'x'.repeat(bytes - 7)}`
  await client.say(noop(2047), 250)
  await client.say(noop(2048), 250)
  await client.say(noop(2049), '500 5.5.2')
  await client.say('NOOP', 250)
  await client.say(noop(100_000), '500 5.5.2')
  await client.say(noop(2049), '500 5.5.2')
  assert.equal(await client.closed(), '')
})

test('connections: as many as allowed are greeted, one more gets 421, and again when one has gone', async () => {
  await using relay = await ReceivingRelay.start({ limits: { connections: 10 } })
  const clients = []
  for (let i = 0; i < 10; i++) clients.push(await TranscriptClient.hello(relay.port, `127.0.1.${i}`))
  const refused = await TranscriptClient.connect(relay.port)
  await refused.expect('421 4.3.2')
  assert.equal(await refused.closed(), '')
  await clients[0]?.say('QUIT', 221)
  assert.equal(await clients[0]?.closed(), '')
  const taken = await TranscriptClient.hello(relay.port)
  for (const client of [...clients, taken]) client.quit()
})

test('connections per address: 50, the 51st gets 421, another address is greeted', async () => {
  await using relay = await ReceivingRelay.start({ limits: { newConnectionsPerSecondAndAddress: 1000 } })
  const clients = []
  for (let i = 0; i < 50; i++) clients.push(await TranscriptClient.hello(relay.port))
  const refused = await TranscriptClient.connect(relay.port)
  await refused.expect('421 4.3.2')
  const other = await TranscriptClient.hello(relay.port, '127.0.0.2')
  for (const client of [...clients, refused, other]) client.quit()
})

test('new connections per second and address: 20, the 21st gets 421, a second later it is greeted', async () => {
  await using relay = await ReceivingRelay.start()
  const clients = []
  for (let i = 0; i < 20; i++) clients.push(await TranscriptClient.hello(relay.port))
  const refused = await TranscriptClient.connect(relay.port)
  await refused.expect('421 4.3.2')
  relay.advance(S)
  clients.push(await TranscriptClient.hello(relay.port))
  for (const client of [...clients, refused]) client.quit()
})

test('messages per connection: at the limit the next MAIL gets 421', async () => {
  await using relay = await ReceivingRelay.start({ limits: { messagesPerConnection: 3 } })
  const client = await TranscriptClient.hello(relay.port)
  for (let i = 0; i < 3; i++) await sendMessage(client)
  await client.say('MAIL FROM:<alice@contoso.com>', '421 4.7.0')
  assert.equal(await client.closed(), '')
})

test('errors: 20 are answered, the 21st gets 421; an accepted message begins the count anew', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  for (let i = 0; i < 20; i++) await client.say('RCPT TO:<bad>', 503)
  await sendMessage(client)
  for (let i = 0; i < 20; i++) await client.say('RCPT TO:<bad>', 503)
  await client.say('RCPT TO:<bad>', '421 4.7.0')
  assert.equal(await client.closed(), '')
})

test('junk: 100 commands that lead to nothing, then 421', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  client.write('NOOP\r\nRSET\r\n'.repeat(50))
  for (let i = 0; i < 100; i++) await client.expect(250)
  await client.say('NOOP', '421 4.7.0')
  assert.equal(await client.closed(), '')
})

test('stress: with 90 % of the connections in use one error is answered, the second gets 421', async () => {
  await using relay = await ReceivingRelay.start({ limits: { connections: 10 } })
  const clients = []
  for (let i = 0; i < 9; i++) clients.push(await TranscriptClient.hello(relay.port))
  const [first] = clients
  await first?.say('RCPT TO:<bad>', 503)
  await first?.say('RCPT TO:<bad>', '421 4.7.0')
  for (const client of clients) client.quit()
})

test('stress: idle clients are let go after 10 s', async () => {
  await using relay = await ReceivingRelay.start({ limits: { connections: 10 } })
  const clients = []
  for (let i = 0; i < 9; i++) clients.push(await TranscriptClient.hello(relay.port))
  relay.advance(10 * S)
  await clients[0]?.say('NOOP', 250)
  relay.advance(1)
  for (const client of clients.slice(1)) await client.expect('421 4.4.2')
  await clients[0]?.say('NOOP', 250)
  for (const client of clients) client.quit()
})

test('memory high-water: above it new connections get 421, those that are there go on', async () => {
  await using relay = await ReceivingRelay.start()
  const client = await TranscriptClient.hello(relay.port)
  relay.memoryUse = 0.75
  relay.sweep()
  const atLimit = await TranscriptClient.hello(relay.port)
  relay.memoryUse = 0.76
  relay.sweep()
  const refused = await TranscriptClient.connect(relay.port)
  await refused.expect('421 4.3.2')
  await sendMessage(client)
  relay.memoryUse = 0.5
  relay.sweep()
  const taken = await TranscriptClient.hello(relay.port)
  for (const each of [client, atLimit, refused, taken]) each.quit()
})

const waits: [name: string, limitMs: number, wait: (port: number) => Promise<TranscriptClient>, why: string][] = [
  ['idle', 300 * S, (port) => TranscriptClient.hello(port), 'between two commands'],
  [
    'idle before the first command',
    300 * S,
    async (port) => {
      const client = await TranscriptClient.connect(port)
      await client.expect(220)
      return client
    },
    'after the greeting',
  ],
  [
    'idle in the middle of a command',
    300 * S,
    async (port) => {
      const client = await TranscriptClient.hello(port)
      client.write('NOO')
      return client
    },
    'half a command is none',
  ],
  ['DATA rate', 30 * S, startData, 'not an octet of DATA'],
]
for (const [name, limitMs, wait, why] of waits) {
  test(`${name}: after ${limitMs / S} s the client is there, a moment later it gets 421 (${why})`, async () => {
    await using relay = await ReceivingRelay.start()
    const client = await wait(relay.port)
    relay.advance(limitMs)
    await (await TranscriptClient.hello(relay.port, '127.0.0.2')).say('NOOP', 250)
    relay.advance(1)
    await client.expect('421 4.4.2')
    assert.equal(await client.closed(), '')
    assert.equal(relay.accepted.length, 0)
  })
}

test('slow DATA: 421, and what the spool had of it is dropped', async () => {
  let written = 0
  let aborts = 0
  await using relay = await ReceivingRelay.start({
    deps: ({ spool }) => ({
      spool: {
        ...bound(spool),
        begin(queueId) {
          const intake = spool.begin(queueId)
          return {
            queueId,
            write(chunk) {
              written += chunk.length
              return intake.write(chunk)
            },
            commit: (header, record, state) => intake.commit(header, record, state),
            async abort() {
              aborts++
              await intake.abort()
            },
          }
        },
      },
    }),
  })
  const client = await startData(relay.port)
  client.write(`Subject: x\r\n\r\n${'x'.repeat(10_000)}`)
  while (written < 10_000) await new Promise(setImmediate)
  relay.advance(30 * S)
  relay.advance(1)
  await client.expect('421 4.4.2')
  assert.equal(await client.closed(), '')
  assert.deepEqual([aborts, relay.accepted.length, [...relay.spool.entries()].length], [1, 0, 0])
})

test('DATA processing: after 60 s the client gets 451, and what became durable after all is taken back', async () => {
  let commit: (() => void) | undefined
  await using relay = await ReceivingRelay.start({
    deps: ({ spool }) => ({
      spool: {
        ...bound(spool),
        begin(queueId) {
          const intake = spool.begin(queueId)
          return {
            queueId,
            write: (chunk) => intake.write(chunk),
            abort: () => intake.abort(),
            async commit(header, record, state) {
              await new Promise<void>((resolve) => {
                commit = resolve
              })
              await intake.commit(header, record, state)
            },
          }
        },
      },
    }),
  })
  const client = await startData(relay.port)
  client.write(`${CONTENT}.\r\n`)
  while (commit === undefined) await new Promise(setImmediate)
  relay.advance(60 * S)
  relay.advance(1)
  await client.expect('451 4.3.0')
  commit()
  await client.say('QUIT', 221)
  await client.closed()
  assert.equal(relay.accepted.length, 0)
  await relay.close()
  assert.deepEqual([...relay.spool.entries()], [])
})

const spoolFaults: [fault: Error, reply: string][] = [
  [new SpoolFull('the disk is full'), '452 4.3.1'],
  [new SpoolBroken('a sync failed'), '451 4.3.0'],
]
for (const [fault, reply] of spoolFaults) {
  test(`${fault.name} at MAIL: ${reply}, and the session goes on`, async () => {
    let declared: number | undefined
    await using relay = await ReceivingRelay.start({
      deps: ({ spool }) => ({
        spool: {
          ...bound(spool),
          checkRoom(bytes) {
            declared = bytes
            throw fault
          },
        },
      }),
    })
    const client = await TranscriptClient.hello(relay.port)
    await client.say('MAIL FROM:<alice@contoso.com> SIZE=4711', reply)
    assert.equal(declared, 4711)
    await client.say('NOOP', 250)
    client.quit()
  })

  for (const step of ['write', 'commit'] as const) {
    test(`DU-3 ${fault.name} at ${step}: ${reply} after the final dot, nothing is kept, and the session goes on`, async () => {
      let aborts = 0
      await using relay = await ReceivingRelay.start({
        deps: ({ spool }) => ({
          spool: {
            ...bound(spool),
            begin(queueId) {
              const intake = spool.begin(queueId)
              return {
                queueId,
                write: (chunk) => (step === 'write' ? Promise.reject(fault) : intake.write(chunk)),
                commit: () => Promise.reject(fault),
                async abort() {
                  aborts++
                  await intake.abort()
                },
              }
            },
          },
        }),
      })
      const client = await TranscriptClient.hello(relay.port)
      await sendMessage(client, `${CONTENT}body\r\n`, reply)
      await client.say('NOOP', 250)
      assert.ok(aborts > 0)
      assert.deepEqual([...relay.spool.entries()], [])
      client.quit()
    })
  }
}

test('memory stays flat, and others are greeted within a second, while clients push 64 MiB past a limit', async () => {
  await using relay = await ReceivingRelay.start({ limits: { messageBytes: 1 << 20 } })
  const warm = await startData(relay.port)
  warm.quit()
  const before = process.memoryUsage.rss()
  let peak = before
  let slowest = 0
  const block = Buffer.from(`${'x'.repeat(76)}\r\n`.repeat(840))
  const push = async (client: TranscriptClient, bytes: number): Promise<void> => {
    for (let sent = 0; sent < bytes && !client.socket.destroyed; sent += block.length) {
      if (!client.socket.write(block)) {
        await new Promise<void>((resolve) => {
          client.socket.once('drain', resolve)
          client.socket.once('close', resolve)
        })
      }
      peak = Math.max(peak, process.memoryUsage.rss())
    }
  }
  const tooBig = await startData(relay.port)
  const longLine = await TranscriptClient.hello(relay.port)
  const header = await startData(relay.port)
  header.write('From: a@contoso.com\r\nX-Long: ')
  const pushing = Promise.all([
    push(tooBig, 64 << 20),
    (async () => {
      const line = Buffer.alloc(65_536, 'x')
      for (let sent = 0; sent < 64 << 20; sent += line.length) {
        if (!longLine.socket.write(line)) await new Promise((resolve) => longLine.socket.once('drain', resolve))
      }
    })(),
    push(header, 64 << 20),
  ])
  let isOver = false
  void pushing.finally(() => (isOver = true))
  while (!isOver) {
    const startedAt = performance.now()
    const other = await TranscriptClient.connect(relay.port, `127.0.2.${(relay.log.length % 250) + 1}`)
    await other.expect(220)
    slowest = Math.max(slowest, performance.now() - startedAt)
    other.quit()
    relay.advance(100)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  tooBig.write('\r\n.\r\n')
  await tooBig.expect('552 5.3.4')
  longLine.write('\r\n')
  await longLine.expect('500 5.5.2')
  header.write('\r\n.\r\n')
  await header.expect('552 5.3.4')
  for (const client of [tooBig, longLine, header]) client.quit()
  assert.ok(slowest < 1000, `a greeting took ${slowest} ms`)
  // Both ends live in this process.
  assert.ok(peak - before < 150e6, `grew by ${Math.round((peak - before) / 1e6)} MB`)
})

test('the defaults are those of reliability-security.md §4', () => {
  const { messageBytes, recipientsPerMessage, commandLineBytes, connections, errorsPerSession } = DEFAULT_LIMITS
  assert.deepEqual(
    { messageBytes, recipientsPerMessage, commandLineBytes, connections, errorsPerSession },
    {
      messageBytes: 209_715_200,
      recipientsPerMessage: 1000,
      commandLineBytes: 2048,
      connections: 500,
      errorsPerSession: 20,
    },
  )
})

/** The methods of a spool that the receiving side uses, so that a test can put others in their place. */
function bound(spool: ReceivingRelay['deps']['spool']): ReceivingRelay['deps']['spool'] {
  return {
    checkRoom: (bytes) => spool.checkRoom(bytes),
    begin: (queueId) => spool.begin(queueId),
    remove: (queueId) => spool.remove(queueId),
  }
}
