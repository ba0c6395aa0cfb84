// A host that takes no more connections gets the next envelope with the content of the message before it (RFC 2920 §3.1): what that saves, and
// that whatever becomes of the one says nothing of the other.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { NextHop } from '../../harness/next-hop.ts'
import type { Act, Turn } from '../../harness/next-hop.ts'
import { SHORT_TIMEOUTS } from '../outbound/fixtures.ts'
import { SMALL, way } from './way.ts'
import type { Way } from './way.ts'

async function sendMany(out: Way, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await out.send({ ...SMALL, header: `Subject: ${i}\r\n\r\n` })
}

/** How often each message arrived. */
function arrivals(hop: NextHop): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { content } of hop.taken) {
    const subject = /^Subject: (\d+)/m.exec(content.toString('latin1'))?.[1] ?? '?'
    counts.set(subject, (counts.get(subject) ?? 0) + 1)
  }
  return counts
}

test('the next envelope goes out with the content before it: a host that waits for it is served', async () => {
  // Answers the first message at once; from then on each content only when it has the next DATA.
  let [contents, isInContent, owed] = [0, false, '']
  let seen = ''
  const server = createServer((socket) => {
    socket.setEncoding('latin1').write('220 hop.example\r\n')
    socket.on('error', () => {})
    socket.on('data', (text: string) => {
      for (seen += text; seen !== '';) {
        const end = isInContent ? seen.indexOf('\r\n.\r\n') : seen.indexOf('\r\n')
        if (end === -1) return
        const line = seen.slice(0, end)
        seen = seen.slice(end + (isInContent ? 5 : 2))
        if (isInContent) {
          isInContent = false
          // The last one has nobody behind it.
          if (++contents === 1 || contents === 20) socket.write('250 2.0.0 queued\r\n')
          else owed = '250 2.0.0 queued\r\n'
        } else if (line.startsWith('EHLO')) socket.write('250-hop.example\r\n250 PIPELINING\r\n')
        else if (line === 'DATA') {
          socket.write(`${owed}250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go ahead\r\n`)
          owed = ''
          isInContent = true
        } else if (line === 'QUIT') socket.end('221 2.0.0 bye\r\n')
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  {
    await using out = await way({ owner: port }, { perHost: 1 })
    await sendMany(out, 20)
    await out.empty()
    assert.equal(contents, 20)
    assert.ok(out.events.every(({ attempt, result }) => attempt === 1 && result === 'delivered'))
  }
  server.close()
})

test('one connection carries many messages, each once and whole', async () => {
  await using hop = await NextHop.start({ latencyMs: 5 })
  await using out = await way({ owner: hop.port }, { perHost: 1 })
  await sendMany(out, 60)
  await out.empty()
  assert.deepEqual(
    [...arrivals(hop).values()],
    Array.from({ length: 60 }, () => 1),
  )
  assert.ok(hop.taken.every(({ content }) => content.toString('latin1').endsWith('.a line\r\nanother\r\n')))
  assert.equal(hop.connections, 1)
  assert.ok(out.events.every(({ attempt, result }) => attempt === 1 && result === 'delivered'))
})

test('a host without PIPELINING gets one command at a time', async () => {
  await using hop = await NextHop.start({ offers: ['SIZE', '8BITMIME'] })
  await using out = await way({ owner: hop.port }, { perHost: 1 })
  await sendMany(out, 10)
  await out.empty()
  assert.equal(arrivals(hop).size, 10)
  for (const line of hop.transcripts.flat()) assert.doesNotMatch(line, /^C: MAIL.*\n/)
})

const faults: [what: string, act: Act, isSentTwice?: boolean][] = [
  ['refuses the content', '554 5.6.0 no'],
  ['puts the content off', '451 4.3.0 later'],
  ['says 421 to the content', '421 4.3.2 closing'],
  ['puts the content off an octet at a time', { slowly: '451 4.3.0 later\r\n', everyMs: 3 }],
  ['drops the connection before it answers', { drop: true }, true],
  ['never answers', { silent: true }, true],
]
for (const [what, act, isSentTwice = false] of faults) {
  test(`a host that ${what}: the message behind goes on at once, as its first attempt`, async () => {
    let faulty = 0
    await using hop = await NextHop.start({
      latencyMs: 2,
      act: ({ stage, taken }: Turn) => (stage === 'content' && taken === 3 && faulty++ === 0 ? act : undefined),
    })
    await using out = await way({ owner: hop.port }, { perHost: 1, timeouts: SHORT_TIMEOUTS })
    await sendMany(out, 20)
    await out.empty()
    assert.equal(faulty > 0, true, 'the fault was met')
    const again = new Set(out.events.filter(({ result }) => result !== 'delivered').map(({ record }) => record.queueId))
    assert.equal(again.size, 1, 'one message only')
    const isReturned = out.events.some(({ result }) => result === 'failed')
    const counts = [...arrivals(hop)].filter(([subject]) => subject !== '?')
    assert.equal(counts.length, isReturned ? 19 : 20)
    assert.ok(counts.every(([, count]) => count === 1) || isSentTwice)
  })
}

test('whatever a host does at whatever stage: all mail arrives when it turns honest, and no place is lost', async () => {
  const acts: readonly Act[] = ['421 4.3.2 busy', '451 4.3.0 later', { drop: true }, '250 2.0.0 ok']
  let state = 12_345
  const chance = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return state / 2 ** 32
  }
  await using hop = await NextHop.start({
    latencyMs: 1,
    act: ({ stage }) => {
      if (stage === 'greeting' || stage === 'EHLO' || stage === 'QUIT' || chance() > 0.05) return undefined
      return acts[Math.floor(chance() * acts.length)]
    },
  })
  await using out = await way({ owner: hop.port }, { perHost: 3, timeouts: SHORT_TIMEOUTS })
  await sendMany(out, 300)
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  hop.behave({})
  await out.empty(60_000)
  const counts = arrivals(hop)
  for (let i = 0; i < 300; i++) assert.ok((counts.get(String(i)) ?? 0) >= 1, `message ${i}`)
  // All three places are there again: three connections at once, no fewer.
  const before = hop.connections
  hop.behave({ latencyMs: 30 })
  await sendMany(out, 12)
  await out.empty()
  assert.ok(hop.connections - before <= 3)
  assert.match(await out.metrics.metrics(), /causeway_outbound_connections\{state="busy"\} 0/)
})
