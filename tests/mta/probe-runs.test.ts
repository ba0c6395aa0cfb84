// Runs of probes over real connections, by a clock that the test moves: one message until one came back, then the rest, and an end. (coexistence.md §2.1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { createLog } from '../../common/log.ts'
import { PROBES_IN_A_RUN } from '../../common/relay-contract.ts'
import { DEFAULT_LIMITS } from '../../mta/limits.ts'
import { createOutbound } from '../../mta/outbound/deliver.ts'
import { parseProbePart } from '../../mta/probe-message.ts'
import { ProbeRuns } from '../../mta/probe-runs.ts'
import { NextHop } from '../harness/next-hop.ts'
import type { NextHopOptions } from '../harness/next-hop.ts'
import { eventually } from '../harness/wait.ts'
import { NO_CREDENTIALS } from './outbound/fixtures.ts'

const probe = { nonce: '0123456789abcdef', tenant: 'contoso', direction: 'out', host: 'out.relay.example' } as const

async function withRuns(
  options: NextHopOptions,
  work: (it: {
    runs: ProbeRuns
    hop: NextHop
    /** Numbers that the server has taken, in order. */
    taken: () => number[]
    follow: (probes: readonly (typeof probe)[]) => void
    /** Waits for a wait, and lets it pass. @returns ms */
    pass: () => Promise<number>
    waits: () => number
    log: string[]
  }) => Promise<void>,
): Promise<void> {
  await using hop = await NextHop.start(options)
  const log: string[] = []
  const timers: { run: () => void; delayMs: number }[] = []
  const outbound = createOutbound({
    name: 'relay.example',
    limits: DEFAULT_LIMITS,
    credentials: () => NO_CREDENTIALS,
    monotonicMs: () => performance.now(),
    metrics: new Registry(),
  })
  const runs = new ProbeRuns({
    relay: 'rly_1',
    outbound,
    log: createLog({ write: (line) => log.push(line), level: 'info', now: Date.now }),
    now: Date.now,
    timer(run, delayMs) {
      const timer = { run, delayMs }
      timers.push(timer)
      return () => {
        const at = timers.indexOf(timer)
        if (at !== -1) timers.splice(at, 1)
      }
    },
  })
  const routes = { 'tenant:contoso': { kind: 'smart-host', host: '127.0.0.1', port: hop.port, tls: 'none' } } as const
  try {
    await work({
      runs,
      hop,
      taken: () =>
        hop.taken.map(({ content }) => {
          const [, part = ''] = /^X-Causeway-Probe-Part: (.*)\r$/m.exec(content.toString('latin1')) ?? []
          return parseProbePart(part)?.index ?? -1
        }),
      follow: (probes) => runs.follow({ probes, routes }),
      async pass() {
        const timer = await eventually('a wait', () => timers.shift())
        timer.run()
        return timer.delayMs
      },
      waits: () => timers.length,
      log,
    })
  } finally {
    await runs.close()
    await outbound.close()
  }
}

const all = Array.from({ length: PROBES_IN_A_RUN }, (_, index) => index)

test('row 12: one message goes ahead; when it is back the rest follow, and when all are back nothing more', () =>
  withRuns({}, async ({ runs, taken, follow, pass, waits }) => {
    follow([probe])
    await pass().then((delayMs) => assert.equal(delayMs, 2_000))
    assert.deepEqual(taken(), [0], 'nothing came back: one again')
    await eventually('the second', () => (waits() === 1 ? true : undefined))
    assert.deepEqual(taken(), [0, 0])
    runs.cameBack(probe.nonce, 'rly_2', 0)
    runs.cameBack('another-nonce-000', 'rly_1', 0)
    assert.equal(waits(), 1, 'of another relay, of another run')
    runs.cameBack(probe.nonce, 'rly_1', 0)
    await eventually('the rest', () => (taken().length === PROBES_IN_A_RUN + 1 ? true : undefined))
    assert.deepEqual(taken().slice(2), all.slice(1))
    for (const index of all.slice(1, -1)) runs.cameBack(probe.nonce, 'rly_1', index)
    assert.equal(await pass(), 10_000)
    await eventually('the one that is missing', () => (waits() === 1 ? true : undefined))
    assert.deepEqual(taken().slice(PROBES_IN_A_RUN + 1), [PROBES_IN_A_RUN - 1])
    runs.cameBack(probe.nonce, 'rly_1', PROBES_IN_A_RUN - 1)
    await pass()
    await runs.close()
    assert.equal(taken().length, PROBES_IN_A_RUN + 2)
    assert.equal(waits(), 0)
  }))

test('what comes back at another relay alone: now and then all go at once', () =>
  withRuns({}, async ({ taken, follow, pass, waits }) => {
    follow([probe])
    await pass()
    await pass()
    await eventually('a whole round', () => (waits() === 1 ? true : undefined))
    assert.deepEqual(taken(), [0, 0, ...all])
  }))

test('a run ends when it is named no more, and one that is named again begins anew', () =>
  withRuns({}, async ({ taken, follow, pass, waits }) => {
    follow([probe])
    await eventually('the first', () => (waits() === 1 ? true : undefined))
    follow([probe])
    follow([])
    assert.equal(waits(), 0)
    assert.deepEqual(taken(), [0])
    follow([probe])
    assert.equal(await pass(), 2_000)
    follow([])
  }))

test('a server that refuses, or is not there, is asked again later, by one message', () =>
  withRuns(
    { act: ({ stage }) => (stage === 'RCPT' ? '550 5.7.64 TenantAttribution; Relay Access Denied' : undefined) },
    async ({ hop, follow, pass, waits, log }) => {
      follow([probe])
      await pass()
      await pass()
      await eventually('a third round', () => (waits() === 1 ? true : undefined))
      const refused = log.filter((line) => line.includes('probe.not-sent'))
      assert.equal(refused.length, 3)
      assert.match(refused[0] ?? '', /"status":"550 5\.7\.64"/)
      const recipients = hop.transcripts.flat().filter((line) => line.startsWith('C: RCPT'))
      assert.equal(recipients.length, 3, 'a whole round too ends with the first refusal')
      await hop.close()
      await pass()
      await eventually('a fourth round', () => (waits() === 1 ? true : undefined))
      assert.match(log.at(-1) ?? '', /probe\.not-sent/)
    },
  ))

test('it is closed when also what an ended run has in hand is over', () =>
  withRuns({ act: ({ stage }) => (stage === 'MAIL' ? { silent: true } : undefined) }, async ({ runs, hop, follow }) => {
    follow([probe])
    await eventually('MAIL', () =>
      hop.transcripts.flat().some((line) => line.startsWith('C: MAIL')) ? true : undefined,
    )
    follow([])
    let isClosed = false
    const closing = runs.close().then(() => (isClosed = true))
    await setImmediate()
    assert.equal(isClosed, false)
    await hop.close()
    await closing
  }))

test('a tenant without a server gets none', () =>
  withRuns({}, async ({ runs, follow, pass, taken, log }) => {
    runs.follow({ probes: [probe], routes: {} })
    await pass()
    assert.match(log.at(-1) ?? '', /"status":"no smart host"/)
    assert.deepEqual(taken(), [])
    follow([])
  }))
