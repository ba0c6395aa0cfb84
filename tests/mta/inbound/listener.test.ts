// DU-6: how a listener ends; and what it counts while it lives.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { ReceivingRelay } from './receiving-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

async function startTransaction(relay: ReceivingRelay): Promise<TranscriptClient> {
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  return client
}

test('DU-6 closing: nobody is let in, who waits is sent away, who sends may finish', async () => {
  await using relay = await ReceivingRelay.start()
  const idle = await TranscriptClient.hello(relay.port)
  const between = await startTransaction(relay)
  const sending = await startTransaction(relay)
  await sending.say('DATA', 354)
  sending.write('Subject: x\r\n')

  let isClosed = false
  const closing = relay.close().then(() => (isClosed = true))
  await idle.expect('421 4.3.2')
  assert.equal(await idle.closed(), '')
  await assert.rejects(TranscriptClient.connect(relay.port))

  sending.write('\r\nbody\r\n.\r\n')
  await sending.expect('250 2.0.0 queued')
  await sending.expect('421 4.3.2')
  assert.equal(await sending.closed(), '')
  await between.say('DATA', 354)
  between.write('Subject: y\r\n\r\n.\r\n')
  await between.expect('250 2.0.0 queued')
  assert.equal(isClosed, false)
  await between.expect('421 4.3.2')
  assert.equal(await between.closed(), '')
  await closing
  assert.equal(relay.accepted.length, 2)
})

test('DU-6 who doesn’t finish in time is cut off, and nothing of his message is kept', async () => {
  await using relay = await ReceivingRelay.start()
  const slow = await startTransaction(relay)
  await slow.say('DATA', 354)
  slow.write('Subject: never ends\r\n')
  const closing = relay.close(20_000)
  relay.advance(19_999)
  assert.equal(slow.socket.readyState, 'open')
  relay.advance(1)
  await slow.closed()
  await closing
  assert.deepEqual([...relay.spool.entries()], [])
})

test('DU-1 closing waits for a message that is becoming durable, though its client is gone', async () => {
  let commit: (() => void) | undefined
  await using relay = await ReceivingRelay.start({
    deps: ({ spool }) => ({
      spool: {
        checkRoom: (bytes) => spool.checkRoom(bytes),
        remove: (queueId) => spool.remove(queueId),
        begin(queueId) {
          const intake = spool.begin(queueId)
          return {
            queueId,
            write: (chunk) => intake.write(chunk),
            abort: () => intake.abort(),
            async commit(header, record, state) {
              await new Promise<void>((resolve) => (commit = resolve))
              await intake.commit(header, record, state)
            },
          }
        },
      },
    }),
  })
  const client = await startTransaction(relay)
  await client.say('DATA', 354)
  client.write('Subject: x\r\n\r\n.\r\n')
  while (commit === undefined) await new Promise(setImmediate)
  client.socket.resetAndDestroy()
  let isClosed = false
  const closing = relay.close().then(() => (isClosed = true))
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
  assert.equal(isClosed, false)
  commit()
  await closing
  assert.equal(relay.accepted.length, 1)
  assert.equal([...relay.spool.entries()].length, 1)
})

test('a connection that is gone gives back its slot, whatever ended it', async () => {
  await using relay = await ReceivingRelay.start({
    limits: { connections: 3, newConnectionsPerSecondAndAddress: 1000 },
  })
  const endings: ((client: TranscriptClient) => void)[] = [
    (client) => client.quit(),
    (client) => client.write('QUIT\r\n'),
    (client) => client.socket.end(),
    (client) => client.socket.resetAndDestroy(),
    (client) => client.write('\0\r\n'),
  ]
  for (const end of endings) {
    for (let i = 0; i < 3; i++) {
      const client = await TranscriptClient.hello(relay.port)
      end(client)
      await client.closed()
    }
    const open = async (): Promise<boolean> =>
      (await relay.metrics.metrics()).includes('causeway_inbound_connections_open 0')
    while (!(await open())) await new Promise(setImmediate)
  }
})

test('refused clients that stay do not use up what is for others', async () => {
  await using relay = await ReceivingRelay.start({ allow: ['127.0.0.2/32'], limits: { connections: 2 } })
  const strangers = []
  for (let i = 0; i < 3; i++) {
    const socket = connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => {})
    strangers.push(socket)
    await new Promise((resolve) => socket.once('data', resolve))
  }
  const client = await TranscriptClient.hello(relay.port, '127.0.0.2')
  client.quit()
  for (const socket of strangers) socket.destroy()
})
