// PH-1 over real sockets: the vectors of the public smuggling testers (vectors/end-of-data.json, our own file), cut by TCP wherever it can
// cut: one reply, and nothing else is executed.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ReceivingRelay } from './receiving-relay.ts'
import { TranscriptClient } from './transcript-client.ts'

interface Vector {
  readonly id: string
  readonly bytes_base64: string
  readonly ends: boolean
  readonly action: 'accept' | 'accept-or-refuse' | 'refuse-or-inert' | 'refuse-or-wait'
}

const { vectors } = JSON.parse(readFileSync(new URL('./vectors/end-of-data.json', import.meta.url), 'utf8')) as {
  vectors: Vector[]
}

/** Around each CR, LF, dot and NUL, where a cut could matter; data-reader.test.ts cuts everywhere. */
function cutsOf(octets: Buffer): number[] {
  const matters = (octet: number | undefined): boolean =>
    octet !== undefined && [0x0a, 0x0d, 0x2e, 0x00].includes(octet)
  const falseEnd = octets.indexOf('body')
  return Array.from({ length: octets.length }, (_, cut) => cut).filter(
    (cut) => cut >= falseEnd && (matters(octets[cut - 1]) || matters(octets[cut])),
  )
}

/** Sends vectors over one connection after the other: a new one where the server has closed. */
class Attacker {
  readonly #relay: ReceivingRelay
  #client: TranscriptClient | undefined

  constructor(relay: ReceivingRelay) {
    this.#relay = relay
  }

  /** Sends the pieces as the content of a message; all replies after the 354 up to the close, or up to that of a NOOP of our own. */
  async send(octets: Buffer, cuts: readonly number[]): Promise<string[]> {
    const client = (this.#client ??= await TranscriptClient.hello(this.#relay.port))
    client.write('MAIL FROM:<alice@contoso.com>\r\nRCPT TO:<dana@example.net>\r\nDATA\r\n')
    for (const code of [250, 250, 354]) await client.expect(code)
    await client.writeCut(octets, cuts)
    const first = await client.reply()
    if (first.startsWith('554')) {
      this.#client = undefined
      assert.equal(await client.closed(), '', 'something was answered after the refusal')
      return [first]
    }
    client.write('RSET\r\nNOOP\r\n')
    const replies = [first]
    for (;;) {
      const reply = await client.reply()
      if (reply === '250 2.0.0 Ok') break // to RSET
      replies.push(reply)
    }
    await client.expect('250 2.0.0 Ok')
    return replies
  }

  leave(): void {
    this.#client?.quit()
  }
}

test('PH-1 no vector gets a second message in, wherever TCP cuts it', async (context) => {
  await using relay = await ReceivingRelay.start({
    limits: { newConnectionsPerSecondAndAddress: 1e6, connectionsPerAddress: 400, messagesPerConnection: 1e6 },
  })
  const attacker = new Attacker(relay)
  let accepted = 0

  for (const { id, bytes_base64, ends, action } of vectors) {
    await context.test(`${id}: ${action}`, async () => {
      // What doesn't end by itself is ended by us: the one true end must be the only one.
      const octets = Buffer.concat([Buffer.from(bytes_base64, 'base64'), Buffer.from(ends ? '' : '\r\n.\r\n')])
      const sizes = new Set<number>()
      for (const cut of cutsOf(octets)) {
        const replies = await attacker.send(octets, [cut])
        const [first = ''] = replies
        if (first.startsWith('250')) {
          assert.match(first, /^250 2\.0\.0 queued as /)
          assert.equal(relay.accepted.length, ++accepted)
          sizes.add((await relay.last()).record.bodyBytes)
          // The one command behind a true end is a command.
          assert.deepEqual(replies.slice(1), id === 'pipelined-after-end' ? ['250 2.1.0 Ok'] : [])
        } else {
          assert.equal(first, '554 5.6.0 Message holds a bare CR or LF')
          assert.notEqual(action, 'accept')
          assert.equal(relay.accepted.length, accepted)
        }
      }
      assert.ok(sizes.size <= 1, `content depends on the cut: ${[...sizes].join(', ')}`)
    })
  }
  attacker.leave()
  assert.ok(accepted > 50, 'hardly anything was accepted: the test proves nothing')
})

test('an end that comes octet by octet is the end', async () => {
  await using relay = await ReceivingRelay.start()
  const attacker = new Attacker(relay)
  const octets = Buffer.from('Subject: x\r\n\r\n..a\r\n.\r\n')
  const cuts = Array.from({ length: octets.length }, (_, cut) => cut)
  assert.match((await attacker.send(octets, cuts))[0] ?? '', /^250/)
  assert.equal((await relay.last()).body, '.a\r\n')
  attacker.leave()
})
