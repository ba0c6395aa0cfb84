// BP-2, PS-8: large parts are done by another thread; nobody else waits for them, and what takes too much stays as it came.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReceivingRelay } from './receiving-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

/** A message with one calendar part of so many attendees, each an address of the table; 60 octets each. */
function invitation(attendees: number, method = 'REQUEST'): string {
  const lines = [
    'From: alice@contoso.com',
    'To: dana@example.net',
    'MIME-Version: 1.0',
    'Content-Type: text/calendar; charset=utf-8',
    '',
    'BEGIN:VCALENDAR',
    `METHOD:${method}`,
    'BEGIN:VEVENT',
    'ORGANIZER:mailto:alice@contoso.com',
    ...Array.from(
      { length: attendees },
      (_, i) => `ATTENDEE;CN="Number ${i}":mailto:${i % 2 === 0 ? 'bob' : `x${i}`}@contoso.com`,
    ),
    'END:VEVENT',
    'END:VCALENDAR',
    '',
  ]
  return lines.join('\r\n')
}

const LARGE = invitation(8000) // some 400 KiB
const HANGS = new URL('data:text/javascript,for (;;) {}')
const EATS = new URL('data:text/javascript,const all = []; for (;;) all.push(new Array(100000).fill(all.length))')
const THROWS = new URL('data:text/javascript,throw new Error("a fault of ours")')

async function startSubmission(relay: ReceivingRelay, content: string): Promise<TranscriptClient> {
  const client = await TranscriptClient.hello(relay.port)
  await client.say('MAIL FROM:<alice@contoso.com>', 250)
  await client.say('RCPT TO:<dana@example.net>', 250)
  await client.say('DATA', 354)
  client.write(`${content}.\r\n`)
  return client
}

const largeParts = async (relay: ReceivingRelay): Promise<string[]> =>
  (await relay.metrics.metrics()).split('\n').filter((line) => line.startsWith('causeway_inbound_large_parts_total{'))

test('large calendar parts come out of the thread, one after the other, as they would have come out here', async () => {
  const bodies: string[] = []
  for (const largePartBytes of [1000, 1e9]) {
    await using relay = await ReceivingRelay.start({ limits: { largePartBytes } })
    for (let round = 1; round <= 2; round++) {
      const client = await startSubmission(relay, LARGE)
      await client.expect(250)
      client.quit()
      const { header, body } = await relay.last()
      assert.match(header, /From: alice\.smith@fabrikam\.com/)
      assert.match(body, /ORGANIZER:mailto:alice\.smith@fabrikam\.com/)
      assert.deepEqual(
        await largeParts(relay),
        largePartBytes === 1000 ? [`causeway_inbound_large_parts_total{result="done"} ${round}`] : [],
      )
      bodies.push(body)
    }
  }
  assert.equal(new Set(bodies).size, 1)
})

test('a part of the limit is done at once, one octet more in the thread', async () => {
  const partBytes = LARGE.length - LARGE.indexOf('BEGIN:VCALENDAR')
  for (const [largePartBytes, inThread] of [
    [partBytes, 0],
    [partBytes - 1, 1],
  ] as const) {
    await using relay = await ReceivingRelay.start({ limits: { largePartBytes } })
    const client = await startSubmission(relay, LARGE)
    await client.expect(250)
    client.quit()
    assert.equal((await largeParts(relay)).length, inThread)
  }
})

const ends: [script: URL, result: string, event: string, why: string][] = [
  [HANGS, 'ended', 'large-part.ended', 'longer than its time'],
  [EATS, 'failed', 'large-part.failed', 'more than its memory'],
  [THROWS, 'failed', 'large-part.failed', 'a fault in the thread'],
]
for (const [largePartScript, result, event, why] of ends) {
  test(`PS-8 ${why}: the part stays as it came, header and envelope are rewritten, the message is accepted`, async () => {
    await using relay = await ReceivingRelay.start({
      largePartScript,
      limits: { largePartMs: result === 'ended' ? 300 : 10_000, largePartMemoryBytes: 16 << 20 },
    })
    for (let round = 1; round <= 2; round++) {
      const client = await startSubmission(relay, LARGE)
      await client.expect(250)
      client.quit()
      const { header, body, record } = await relay.last()
      assert.match(header, /From: alice\.smith@fabrikam\.com/)
      assert.equal(record.reversePath, 'alice.smith@fabrikam.com')
      assert.equal(body, LARGE.slice(LARGE.indexOf('BEGIN:VCALENDAR')))
      assert.deepEqual(await largeParts(relay), [`causeway_inbound_large_parts_total{result="${result}"} ${round}`])
    }
    assert.equal(relay.log.filter((line) => line['event'] === event).length, 2)
    assert.match(await relay.metrics.metrics(), /report_codes_total\{direction="out",code="ics-skipped:time"\} 2/)
  })
}

test('BP-2 one part more than may wait: 451, and nothing of it is kept', async () => {
  await using relay = await ReceivingRelay.start({
    largePartScript: HANGS,
    limits: { largePartsWaiting: 2, largePartMs: 500 },
  })
  const clients = []
  for (let i = 0; i < 4; i++) clients.push(await startSubmission(relay, LARGE))
  const replies = await Promise.all(clients.map((client) => client.reply()))
  for (const client of clients) client.quit()
  assert.deepEqual(replies.map((reply) => reply.slice(0, 9)).toSorted(), [
    '250 2.0.0',
    '250 2.0.0',
    '250 2.0.0',
    '451 4.3.0',
  ])
  assert.equal(relay.accepted.length, 3)
})

test('BP-2 while parser bombs are worked on, others are greeted within a second', async () => {
  await using relay = await ReceivingRelay.start({
    limits: { newConnectionsPerSecondAndAddress: 1e6, largePartMs: 8000 },
  })
  const wide = invitation(40_000) // some 2 MiB, half of the addresses are changed
  const deep = `Content-Type: multipart/mixed; boundary=b0\r\n\r\n${Array.from({ length: 3000 }, (_, i) => `--b${i}\r\nContent-Type: multipart/mixed; boundary=b${i + 1}\r\n\r\n`).join('')}`
  const many = `Content-Type: multipart/mixed; boundary=b\r\n\r\n${'--b\r\n\r\n'.repeat(200_000)}`
  const folded = `From: a@b.example\r\nTo: ${'x@y.example,\r\n '.repeat(9999)}z@y.example\r\n\r\n`
  const quoted = `From: ${'"'.repeat(100_000)}\r\nTo: ${'('.repeat(100_000)}\r\n\r\n`
  const replies: string[] = []
  const sending = [wide, deep, many, folded, quoted, wide].map(async (content) => {
    const client = await startSubmission(relay, content)
    replies.push(await client.reply())
    client.quit()
  })
  let isOver = false
  const done = Promise.all(sending).finally(() => (isOver = true))
  let slowest = 0
  let greetings = 0
  while (!isOver) {
    const startedAt = performance.now()
    const other = await TranscriptClient.connect(relay.port)
    await other.expect(220)
    slowest = Math.max(slowest, performance.now() - startedAt)
    greetings++
    other.quit()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await done
  assert.ok(greetings > 20, `only ${greetings} greetings in between`)
  assert.ok(slowest < 1000, `a greeting took ${slowest} ms`)
  assert.deepEqual(
    replies.map((reply) => reply.slice(0, 3)),
    Array.from({ length: 6 }, () => '250'),
  )
})
