import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { MailEvent } from '../../../mta/mail-event.ts'
import { PRIVACY_LEVELS } from '../../../mta/privacy.ts'
import { aQueueId, aRecord } from '../a-record.ts'
import { DAY_MS } from '../queue/world.ts'
import { eventsOf } from '../spool/spool-harness.ts'
import { aDelivery, aJournal, entriesIn, spoolFolder, T0 } from './a-journal.ts'
import { eventually } from '../../harness/wait.ts'

const accepted: MailEvent = {
  kind: 'accepted',
  record: aRecord(),
  client: '192.0.2.1',
  messageId: '<canary-id@contoso.example>',
}

test('SF-6, SF-7: a line for each event, one file a day, 0600 in a folder 0700', async (context) => {
  const directory = spoolFolder(context)
  const { journal, clock } = aJournal(directory)
  journal.mail(accepted)
  journal.delivery(aDelivery())
  clock.wallMs += DAY_MS
  journal.mail({ kind: 'held', queueId: aQueueId() })
  await journal.close()

  const folder = join(directory, 'journal')
  assert.deepEqual(readdirSync(folder), ['2026-11-22.jsonl', '2026-11-23.jsonl'])
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  assert.equal(statSync(join(folder, '2026-11-22.jsonl')).mode & 0o777, 0o600)
  assert.deepEqual(await entriesIn(directory), [
    {
      time: '2026-11-22T10:00:00.000Z',
      event: 'accepted',
      queueId: '01JDA2B3C4XY5Z6Q',
      direction: 'out',
      client: '192.0.2.1',
      messageId: 'YSiFf2CS_MdO',
      from: 'PNbJ7uOLrgNB@contoso.example',
      to: ['9COkrZI-HBkz@example.net'],
      bytes: 2400,
      recipients: 1,
      tableVersion: 7,
      intakeMs: 12,
    },
    { time: '2026-11-22T10:00:00.000Z', event: 'delivered', ...aDelivery().fields },
    { time: '2026-11-23T10:00:00.000Z', event: 'held', queueId: '01JDA2B3C4XY5Z6Q' },
  ])
})

test('what is noted is on disk within a second, without anybody asking', async (context) => {
  const directory = spoolFolder(context)
  const { journal, clock } = aJournal(directory)
  context.after(() => journal.close())
  journal.delivery(aDelivery())
  await clock.pass(1_000)
  await eventually('the line', async () => ((await entriesIn(directory)).length === 1 ? true : undefined))
})

for (const privacy of PRIVACY_LEVELS) {
  test(`PR-2 privacy ${privacy}: ${privacy === 'plain' ? 'addresses as they are' : 'no address, no Message-ID in clear'}`, async (context) => {
    const directory = spoolFolder(context)
    const { journal } = aJournal(directory, { privacy })
    journal.mail(accepted)
    await journal.close()
    const text = readFileSync(join(directory, 'journal/2026-11-22.jsonl'), 'utf8')
    assert.equal(/alice@|dana@|canary-id@/.test(text), privacy === 'plain')
    assert.equal(/contoso\.example/.test(text), privacy !== 'off')
    // Still searchable: whoever knows the id can hash it.
    assert.match(text, /"messageId":"[^"]+"/)
  })
}

test('PR-3 what a client wrote can not forge a line or act on a terminal', async (context) => {
  const directory = spoolFolder(context)
  const { journal } = aJournal(directory, { privacy: 'plain' })
  journal.mail({ ...accepted, messageId: '<x\n{"event":"delivered"}\u001b[2J\u009b\u202e>' })
  await journal.close()
  const text = readFileSync(join(directory, 'journal/2026-11-22.jsonl'), 'utf8')
  assert.match(text, /^[\x20-\x7e]+\n$/)
})

test('a line torn by a crash is skipped, and the next one stands on a line of its own', async (context) => {
  const directory = spoolFolder(context)
  const first = aJournal(directory)
  first.journal.delivery(aDelivery({ attempt: 1 }))
  await first.journal.close()
  appendFileSync(join(directory, 'journal/2026-11-22.jsonl'), '{"time":"2026-11-22T10:00:00.000Z","event":"deliv')

  const second = aJournal(directory)
  second.journal.delivery(aDelivery({ attempt: 2 }))
  await second.journal.close()
  assert.deepEqual(
    (await entriesIn(directory)).map(({ attempt }) => attempt),
    [1, 2],
  )
})

test('DU-1 a disk that fails loses lines, counted and told once a minute; it never throws, and goes on when the disk does', async (context) => {
  const directory = spoolFolder(context)
  mkdirSync(join(directory, 'journal'), { mode: 0o700 })
  symlinkSync('/dev/full', join(directory, 'journal/2026-11-22.jsonl'))
  const { journal, clock, log, lost } = aJournal(directory)
  for (let i = 0; i < 3; i++) {
    journal.delivery(aDelivery())
    await journal.flush()
  }
  assert.equal(await lost('failed'), 3)
  assert.deepEqual(eventsOf(log), ['journal.lines-lost'])
  clock.wallMs += DAY_MS
  journal.delivery(aDelivery({ attempt: 9 }))
  await journal.close()
  // Of the first day nothing can be read: that file never ends.
  assert.match(readFileSync(join(directory, 'journal/2026-11-23.jsonl'), 'utf8'), /"attempt":9/)
})

test('a journal whose folder can not be made is no reason to stop', async (context) => {
  const directory = spoolFolder(context)
  writeFileSync(join(directory, 'journal'), '')
  const { journal, lost } = aJournal(directory)
  journal.delivery(aDelivery())
  await journal.close()
  assert.equal(await lost('failed'), 1)
})

test('what waits for a slow disk is bounded: more than 4 MiB are dropped and counted', async (context) => {
  const directory = spoolFolder(context)
  const { journal, lost } = aJournal(directory)
  const event = aDelivery({ remote: 'x'.repeat(10_000) })
  for (let i = 0; i < 500; i++) journal.delivery(event)
  await journal.close()
  const dropped = await lost('backlog')
  assert.ok(dropped > 50, String(dropped))
  assert.equal((await entriesIn(directory)).length, 500 - dropped)
})

test("a day's file grows to its bound and no further, also over a restart", async (context) => {
  const directory = spoolFolder(context)
  const options = { settings: { keepDays: 30, maxDayBytes: 700 } }
  for (let restarts = 0; restarts < 2; restarts++) {
    const { journal, lost } = aJournal(directory, options)
    for (let i = 0; i < 5; i++) {
      journal.delivery(aDelivery())
      await journal.flush()
    }
    await journal.close()
    assert.equal(await lost('day-full'), restarts === 0 ? 3 : 5)
  }
  assert.ok(statSync(join(directory, 'journal/2026-11-22.jsonl')).size <= 700)
})

test('with less than twice the space that is kept for mail nothing is written', async (context) => {
  const directory = spoolFolder(context)
  const { journal, lost } = aJournal(directory, { reserve: { ratio: 0.6, bytes: 0 } })
  journal.delivery(aDelivery())
  await journal.close()
  assert.equal(await lost('no-room'), 1)
  assert.deepEqual(await entriesIn(directory), [])
})

const ages: [days: number, isKept: boolean][] = [
  [0, true],
  [29, true],
  [30, true],
  [31, false],
  [400, false],
]
for (const [days, isKept] of ages) {
  test(`PR-4 with 30 days of retention, the file of a day ${days} days ago is ${isKept ? 'kept' : 'deleted'}, at start and by the clock`, async (context) => {
    const directory = spoolFolder(context)
    mkdirSync(join(directory, 'journal'))
    const name = `${new Date(T0 - days * DAY_MS).toISOString().slice(0, 10)}.jsonl`
    for (const file of [name, 'notes.txt', '2026-11-22.jsonl']) writeFileSync(join(directory, 'journal', file), '')
    const { journal } = aJournal(directory)
    // Twice, as after a start that was cut short.
    await journal.sweep()
    await journal.sweep()
    await journal.close()
    const left = readdirSync(join(directory, 'journal'))
    assert.equal(left.includes(name), isKept)
    assert.ok(left.includes('notes.txt') && left.includes('2026-11-22.jsonl'))
  })
}

test('PR-4 a relay that runs for a month sweeps by itself, the file it holds open too', async (context) => {
  const directory = spoolFolder(context)
  const { journal, clock, log } = aJournal(directory)
  context.after(() => journal.close())
  journal.delivery(aDelivery())
  await journal.flush()
  clock.wallMs += 31 * DAY_MS
  await clock.pass(3_600_000)
  await eventually('the sweep', () => (eventsOf(log).includes('journal.swept') ? true : undefined))
  journal.delivery(aDelivery())
  await journal.flush()
  assert.deepEqual(readdirSync(join(directory, 'journal')), ['2026-12-23.jsonl'])
})
