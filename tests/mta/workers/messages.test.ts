import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseFromWorker, parseToWorker } from '../../../mta/workers/messages.ts'
import type { FromWorker, ToWorker } from '../../../mta/workers/messages.ts'

const start = {
  configFile: '/etc/causeway/relay.yaml',
  source: 'workers: 2\n',
  worker: 1,
  spoolDirectory: '/var/spool/causeway/worker-1',
  takesMail: true,
  workers: 2,
  processes: 3,
}

const toWorker: ToWorker[] = [
  { kind: 'start', start },
  { kind: 'client', client: 7, listener: 0 },
  { kind: 'reload' },
  { kind: 'stop', graceMs: 30_000 },
  { kind: 'ask', question: 1, subject: 'readiness' },
  { kind: 'ask', question: 2, subject: 'metrics' },
  { kind: 'ask', question: 3, subject: 'figures' },
  { kind: 'push', version: 7, push: Buffer.from('frames') },
  { kind: 'whole', version: 7 },
  { kind: 'confirmed', at: 1_700_000_000_000 },
  { kind: 'revoked' },
]
const fromWorker: FromWorker[] = [
  { kind: 'started' },
  { kind: 'failed', isUnusable: true, text: 'the spool is held by another process' },
  { kind: 'took', client: 7 },
  { kind: 'left', client: 7 },
  { kind: 'ended', isDrained: true, metrics: [{ name: 'x' }] },
  { kind: 'answer', question: 1, answer: { isReady: true, reasons: [] } },
  { kind: 'active', version: 7 },
  { kind: 'events', messages: ['{}\n'], audit: [] },
]

for (const message of toWorker) {
  test(`to a worker: ${message.kind}; what a later revision adds is no matter`, () => {
    assert.deepEqual(parseToWorker({ ...message, later: 1 }), message)
  })
}
for (const message of fromWorker) {
  test(`from a worker: ${message.kind}; what a later revision adds is no matter`, () => {
    assert.deepEqual(parseFromWorker({ ...message, later: 1 }), message)
  })
}

const nothing: [message: unknown, why: string][] = [
  [undefined, 'nothing'],
  [null, 'nothing'],
  ['stop', 'a text'],
  [[], 'a list'],
  [{}, 'no kind'],
  [{ kind: 'pause' }, 'a kind of another revision'],
  [{ kind: 'stop' }, 'no time'],
  [{ kind: 'stop', graceMs: -1 }, 'a time in the past'],
  [{ kind: 'client', client: 1.5, listener: 0 }, 'no number of a client'],
  [{ kind: 'ask', question: 1, subject: 'mail' }, 'nothing one asks'],
  [{ kind: 'start', start: { ...start, workers: 0 } }, 'no workers'],
  [{ kind: 'start', start: { ...start, spoolDirectory: undefined } }, 'no spool'],
  [{ kind: 'start', start: { ...start, takesMail: 'yes' } }, 'no yes or no'],
  [{ kind: 'took' }, 'no client'],
  [{ kind: 'push', version: 7, push: 'frames' }, 'no octets'],
  [{ kind: 'push', push: Buffer.from('x') }, 'no version'],
  [{ kind: 'confirmed', at: 'now' }, 'no time'],
  [{ kind: 'active', version: -1 }, 'no version'],
  [{ kind: 'events', messages: [1], audit: [] }, 'no line'],
  [{ kind: 'failed', text: 'x' }, 'not whose fault'],
  [{ kind: 'answer', answer: 1 }, 'to no question'],
]
for (const [message, why] of nothing) {
  test(`no message: ${JSON.stringify(message)}: ${why}`, () => {
    assert.deepEqual([parseToWorker(message), parseFromWorker(message)], [undefined, undefined])
  })
}

test('whatever comes, reading it never throws', () => {
  const kind = fc.constantFrom(...[...toWorker, ...fromWorker].map((message) => message.kind))
  const members = fc.record(
    {
      kind,
      start: fc.anything(),
      client: fc.anything(),
      listener: fc.anything(),
      graceMs: fc.anything(),
      text: fc.anything(),
    },
    { requiredKeys: ['kind'] },
  )
  fc.assert(
    fc.property(fc.oneof(fc.anything(), members), (message) => {
      parseToWorker(message)
      parseFromWorker(message)
    }),
  )
})
