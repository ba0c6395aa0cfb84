import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseEntry } from '../../../mta/journal/journal-entry.ts'
import { readJournal } from '../../../mta/journal/read-journal.ts'
import { looksBack, traceFilter } from '../../../mta/journal/trace-filter.ts'
import type { TraceQuestion } from '../../../mta/journal/trace-filter.ts'
import { aJournal, aDelivery, entriesIn, spoolFolder } from './a-journal.ts'

test('the journals of all workers are read as one, by time', async (context) => {
  const directory = spoolFolder(context)
  const parts = ['', 'worker-1', 'worker-2'].map((part) => aJournal(join(directory, part)))
  for (let attempt = 1; attempt <= 9; attempt++) {
    const part = parts[attempt % 3]
    if (part === undefined) throw new Error('unreachable')
    part.clock.wallMs += attempt * 1_000
    part.journal.delivery(aDelivery({ attempt }))
  }
  await Promise.all(parts.map(({ journal }) => journal.close()))
  mkdirSync(join(directory, 'worker-x'))
  const entries = await entriesIn(directory)
  assert.equal(entries.length, 9)
  assert.deepEqual(
    entries.map(({ time }) => time),
    entries.map(({ time }) => time).toSorted(),
  )
})

test('no journal is an empty one', async (context) => {
  assert.deepEqual(await entriesIn(spoolFolder(context)), [])
})

const whole = '{"time":"2026-11-22T10:00:00.000Z","event":"delivered","queueId":"A"}'
const hostile: [text: string, found: number, why: string][] = [
  [`${whole}\n`, 1, 'as it should be'],
  [whole, 1, 'the last line feed is missing'],
  [`${whole.slice(0, 40)}\n${whole}\n`, 1, 'a torn line before a whole one'],
  [`null\n[]\n1\n"x"\n{}\n${whole}\n`, 1, 'JSON that is no entry'],
  [`\u0000\u0000\n${whole}\n`, 1, 'NULs, as a crash leaves them'],
  [`${'x'.repeat(3 * 1024 * 1024)}\n${whole}\n`, 1, 'a line longer than any of ours'],
  ['x'.repeat(3 * 1024 * 1024), 0, 'and nothing after it'],
  [`${whole.replace('2026-11-22T10:00:00.000Z', 'yesterday')}\n`, 0, 'a time that is none'],
]
for (const [text, found, why] of hostile) {
  test(`reading: ${why}: ${found} found`, async (context) => {
    const directory = spoolFolder(context)
    mkdirSync(join(directory, 'journal'))
    writeFileSync(join(directory, 'journal/2026-11-22.jsonl'), text)
    assert.equal((await entriesIn(directory)).length, found)
  })
}

test('parseEntry never throws, and what it takes can be read', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      const entry = parseEntry(text)
      assert.ok(entry === undefined || typeof entry.queueId === 'string')
    }),
  )
})

test('days before the first that is asked for are not read', async (context) => {
  const directory = spoolFolder(context)
  mkdirSync(join(directory, 'journal'))
  for (const day of ['2026-11-21', '2026-11-22'])
    writeFileSync(join(directory, `journal/${day}.jsonl`), `${whole.replace('2026-11-22', day)}\n`)
  const times: string[] = []
  for await (const { time } of readJournal(directory, { firstDay: '2026-11-22', filter: () => () => true }))
    times.push(time)
  assert.deepEqual(times, ['2026-11-22T10:00:00.000Z'])
})

// ---- questions ----

const at = (minute: number) => `2026-11-22T10:0${minute}:00.000Z`
const lines = [
  { time: at(0), event: 'accepted', queueId: 'A', messageId: 'm1', from: 'alice', to: ['dana', 'bob'] },
  { time: at(1), event: 'accepted', queueId: 'B', messageId: 'm2', from: 'carol', to: ['Dana'] },
  { time: at(2), event: 'deferred', queueId: 'A', recipient: 'dana', recipientIndex: 0 },
  { time: at(2), event: 'delivered', queueId: 'A', recipient: 'robert', recipientIndex: 1 },
  { time: at(3), event: 'delivered', queueId: 'B', recipient: 'Dana', recipientIndex: 0 },
  { time: at(4), event: 'held', queueId: 'A' },
  { time: at(5), event: 'failed', queueId: 'A', recipient: 'dana', recipientIndex: 0 },
  { time: at(5), event: 'reported', queueId: 'A', report: 'R' },
]
const nothing: TraceQuestion = { ids: [], messageIds: [], senders: [], recipients: [], events: [] }
const questions: [question: Partial<TraceQuestion>, answer: number[], why: string][] = [
  [{}, [0, 1, 2, 3, 4, 5, 6, 7], 'everything'],
  [{ ids: ['R'] }, [7], 'a report: what it is about'],
  [{ ids: ['B'] }, [1, 4], 'one message'],
  [
    { messageIds: ['m1'] },
    [0, 2, 3, 5, 6, 7],
    'a Message-ID stands in the first line only; the rest is followed by id',
  ],
  [{ messageIds: ['m9'] }, [], 'an id nobody sent'],
  [{ senders: ['carol'] }, [1, 4], 'a sender likewise'],
  [{ recipients: ['bob'] }, [0, 3, 5, 7], 'as the sender wrote it: the attempt calls him robert'],
  [{ recipients: ['robert'] }, [3, 5, 7], 'as the relay delivered it'],
  [{ recipients: ['DANA'] }, [0, 1, 2, 4, 5, 6, 7], 'case does not count'],
  [{ messageIds: ['m1'], recipients: ['bob'] }, [0, 3, 5, 7], 'both must hold'],
  [{ messageIds: ['m2'], recipients: ['bob'] }, [], 'and here they do not'],
  [{ senders: ['alice'], recipients: ['robert'] }, [3, 5, 7], 'by the address it became'],
  [{ events: ['failed', 'deferred'] }, [2, 6], 'by outcome'],
  [{ messageIds: ['m1'], since: at(4) }, [5, 6, 7], 'accepted before, and followed from there'],
  [{ ids: ['A'], events: ['held'] }, [5], 'both'],
]
for (const [question, answer, why] of questions) {
  test(`trace ${JSON.stringify(question)}: ${why}`, () => {
    const filter = traceFilter({ ...nothing, ...question })
    assert.deepEqual(
      lines.flatMap((line, index) => (filter(line) ? [index] : [])),
      answer,
    )
  })
}

test('only a question for what stands in the accepted line must look at earlier days', () => {
  assert.equal(looksBack({ ...nothing, ids: ['A'], since: at(4) }), false)
  assert.equal(looksBack({ ...nothing, recipients: ['x'] }), true)
})
