// What the disk does to the running relay, on a real file system of a few dozen megabytes: it fills step by step, it is full to the last
// block, it turns read-only under a running relay. Peers are told 4xx, nothing accepted is lost, and all goes on when there is room again.
// (BP-1, BP-3, DU-3; limits of reliability-security.md §4)
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startCountingSink } from '../harness/counting-sink.ts'
import type { CountingSink } from '../harness/counting-sink.ts'
import { EXAMPLE_TABLE } from '../harness/example-table.ts'
import { freePort } from '../harness/ports.ts'
import { startRelay } from '../harness/relay.ts'
import type { RelayOptions, RunningRelay } from '../harness/relay.ts'
import { sendMail, SmtpClient } from '../harness/smtp-client.ts'
import { makeVolume, VOLUME_BYTES, whyNoVolume } from '../harness/volume.ts'
import type { Volume } from '../harness/volume.ts'
import { eventually } from '../harness/wait.ts'

const missing = whyNoVolume()
if (missing !== undefined && process.env['CI'] === 'true')
  throw new Error(`in CI these tests must run; this machine ${missing}`)
const options = missing === undefined ? {} : { skip: missing }

const MIB = 1024 * 1024
const MESSAGE_BYTES = 2 * MIB
/** Two messages of the largest size, more than 5 % of the volume. */
const FLOOR = 2 * MESSAGE_BYTES
/** Messages, each time before it fills up. */
const TAKEN_BEFORE = 50

let serial = 0
function aMessage(bytes: number): { id: string; data: Buffer } {
  const id = `disk-${process.pid}-${++serial}@contoso.com`
  const line = 'The quick brown fox jumps over the lazy dog and runs away.\r\n'
  const head = `From: Alice <alice@contoso.com>\r\nTo: dana@example.net\r\nMessage-ID: <${id}>\r\n\r\n`
  return { id, data: Buffer.from(head + line.repeat(Math.ceil(bytes / line.length))) }
}

/** A relay whose spool is on the volume, and what was promised to those who sent to it. */
class OnVolume {
  readonly volume: Volume
  readonly promised = new Set<string>()
  readonly refused = new Set<string>()
  relay: RunningRelay | undefined

  constructor(volume: Volume) {
    this.volume = volume
  }

  get running(): RunningRelay {
    if (this.relay === undefined) throw new Error('unreachable: the relay is not running')
    return this.relay
  }

  async start(nextHopPort: number, more: Partial<RelayOptions> = {}): Promise<void> {
    const directory = this.relay?.directory
    this.relay = await startRelay({
      nextHopPort,
      table: EXAMPLE_TABLE,
      ...(directory === undefined ? {} : { directory }),
      settings: {
        spool: { directory: join(this.volume.path, 'spool'), key: { file: 'spool.key' } },
        limits: { messageBytes: MESSAGE_BYTES, newConnectionsPerSecondAndAddress: 1000 },
        retry: { firstWaits: ['1s'], thenWait: '1s', lastWait: '1s' },
      },
      ...more,
    })
  }

  /** @returns the reply that decided */
  async send(bytes = 2_000): Promise<string> {
    const { id, data } = aMessage(bytes)
    const reply = await sendMail(this.running.outPort, { from: 'alice@contoso.com', to: ['dana@example.net'], data })
    const known = reply.startsWith('250') ? this.promised : this.refused
    known.add(id)
    return reply
  }

  async is(path: 'healthz' | 'readyz'): Promise<boolean> {
    return (await fetch(`http://127.0.0.1:${this.running.adminPort}/${path}`)).ok
  }

  async becomesReady(isReady: boolean): Promise<void> {
    await eventually(isReady ? 'the relay to be ready' : 'the relay not to be ready', async () =>
      (await this.is('readyz')) === isReady ? true : undefined,
    )
  }

  /** All that was promised has arrived; nothing twice that nobody died over, and nothing that was refused. */
  async assertArrived(sink: CountingSink, isTwiceAllowed = false): Promise<void> {
    await eventually('all that was accepted to arrive', () =>
      [...this.promised].every((id) => sink.arrivals.has(id)) ? true : undefined,
    )
    for (const [id, times] of sink.arrivals) {
      assert.ok(this.promised.has(id) || !this.refused.has(id), `${id} was refused and has arrived`)
      if (!isTwiceAllowed) assert.equal(times, 1, `${id} has arrived ${times} times`)
    }
  }
}

async function onVolume(run: (it: OnVolume) => Promise<void>): Promise<void> {
  const it = new OnVolume(await makeVolume(VOLUME_BYTES))
  try {
    await run(it)
  } finally {
    await it.relay?.stop('SIGKILL')
    await it.relay?.remove()
    await it.volume.remove()
  }
}

test(
  'BP-3: a volume that fills step by step: not ready first, then 452, and alive throughout; and back',
  options,
  async () => {
    await onVolume(async (it) => {
      const nobody = await freePort()
      await it.start(nobody)
      const { volume } = it
      // Each step from "plenty" to "full" and back, as the volume's free space goes.
      const seen: string[] = []
      const step = async (freeBytes: number) => {
        await volume.fill(freeBytes)
        await sleep(1_100) // what the relay knows of the volume is a second old at most
        const isReady = await it.is('readyz')
        const reply = await it.send()
        assert.equal(await it.is('healthz'), true)
        seen.push(`${isReady ? 'ready' : 'not ready'} ${reply.slice(0, 9)}`)
      }
      await step(20 * MIB)
      await step(1.1 * FLOOR)
      await step(0.9 * FLOOR)
      await step(0)
      await step(0.9 * FLOOR)
      await step(1.1 * FLOOR)
      await step(20 * MIB)
      const [plenty, low, full] = ['ready 250 2.0.0', 'not ready 250 2.0.0', 'not ready 452 4.3.1']
      assert.deepEqual(seen, [plenty, low, full, full, full, low, plenty])

      const sink = await startCountingSink()
      try {
        await it.running.stop()
        await it.start(sink.port)
        await it.assertArrived(sink)
        assert.equal(await it.running.stop(), 0)
      } finally {
        await sink.close()
      }
    })
  },
)

test(
  'DU-3: a volume that is full to the last block while mail comes and goes: 4xx, nothing lost, nothing twice',
  options,
  async () => {
    await onVolume(async (it) => {
      const sink = await startCountingSink()
      try {
        const { volume } = it
        await it.start(sink.port)
        for (let round = 0; round < 2; round++) {
          // Sessions that are past MAIL when the last block goes: their refusal comes at the end of DATA.
          let isOver = false
          const before = it.promised.size
          const sessions = Array.from({ length: 6 }, async (_, number) => {
            while (!isOver) {
              const client = await SmtpClient.connect(it.running.outPort)
              for (let i = 0; i < 20 && !isOver; i++) {
                const { id, data } = aMessage(number === 0 ? 700_000 : 3_000)
                const reply = await client.send({ from: 'alice@contoso.com', to: ['dana@example.net'], data })
                assert.match(reply, /^(250|45[12] )/, reply)
                const known = reply.startsWith('250') ? it.promised : it.refused
                known.add(id)
                if (!reply.startsWith('250')) await sleep(20)
              }
              client.close()
            }
          })
          await eventually('mail to be taken', () => (it.promised.size >= before + TAKEN_BEFORE ? true : undefined))
          await volume.fill(0)
          await it.becomesReady(false)
          await sleep(500)
          assert.equal(await it.is('healthz'), true)
          assert.match(await it.send(), /^45[12] /)
          await volume.fill(30 * MIB)
          await it.becomesReady(true)
          assert.match(
            await eventually('mail to be taken again', async () => {
              const reply = await it.send()
              return reply.startsWith('250') ? reply : undefined
            }),
            /^250/,
          )
          isOver = true
          await Promise.all(sessions)
        }
        assert.ok(it.refused.size > 0)
        await it.assertArrived(sink)
        assert.equal(await it.running.stop(), 0)
      } finally {
        await sink.close()
      }
    })
  },
)

test('DU-3: killed on a full volume: it starts as soon as there is room, and all mail is there', options, async () => {
  await onVolume(async (it) => {
    const sink = await startCountingSink()
    try {
      await it.start(await freePort())
      for (let i = 0; i < 30; i++) assert.match(await it.send(i % 10 === 0 ? 700_000 : 3_000), /^250/)
      await it.volume.fill(0)
      await it.becomesReady(false)
      await it.running.stop('SIGKILL')
      // Full: it starts and refuses mail, or says that it can't; it must not touch what is there.
      await it.start(sink.port, { waitFor: 'alive' }).then(
        async () => void (await it.running.stop('SIGKILL')),
        (error: unknown) => assert.match(String(error), /spool/),
      )
      await it.volume.fill(30 * MIB)
      await it.start(sink.port)
      await it.assertArrived(sink, true)
      assert.match(await it.send(), /^250/)
      await it.assertArrived(sink, true)
      assert.equal(await it.running.stop(), 0)
    } finally {
      await sink.close()
    }
  })
})

test(
  'DU-3, BP-1: a file system that turns read-only under load: 4xx and not ready; when it is repaired all mail is there',
  options,
  async () => {
    await onVolume(async (it) => {
      const sink = await startCountingSink()
      try {
        await it.start(await freePort())
        for (let i = 0; i < 30; i++) assert.match(await it.send(i % 10 === 0 ? 700_000 : 3_000), /^250/)
        await it.volume.fail()
        assert.match(await it.send(), /^45[12] /)
        assert.match(await it.send(700_000), /^45[12] /)
        await it.becomesReady(false)
        assert.equal(await it.is('healthz'), true)
        // It can't write that it stops, yet it stops.
        await it.running.stop('SIGTERM')
        it.volume.repair()
        await it.start(sink.port)
        await it.assertArrived(sink, true)
        assert.match(await it.send(), /^250/)
        await it.assertArrived(sink, true)
        assert.equal(await it.running.stop(), 0)
      } finally {
        await sink.close()
      }
    })
  },
)
