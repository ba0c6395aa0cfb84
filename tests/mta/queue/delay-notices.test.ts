// The report of a delay (DL-4, DL-5): to whom, when, once, and never after the final one, whatever hosts, disk and crashes do meanwhile.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { simpleParser } from 'mailparser'
import { makeReport } from '../../../mta/bounce/report-message.ts'
import type { MessageRecord } from '../../../mta/message-record.ts'
import { newQueueId } from '../../../mta/queue-id.ts'
import type { MakeReport } from '../../../mta/queue/ledger.ts'
import { SpoolBroken } from '../../../mta/spool/contract.ts'
import { compileTable, DEFAULT_POLICY } from '../../../rewrite-rules/index.ts'
import { recipient } from '../outbound/fixtures.ts'
import type { MemorySpool } from './memory-spool.ts'
import {
  accept,
  all,
  DAY_MS,
  deferred,
  delivered,
  DOWN,
  failed,
  FakeClock,
  HOUR_MS,
  intake,
  MINUTE_MS,
  settle,
  simpleReport,
  world,
} from './world.ts'
import type { Answer, World } from './world.ts'

/** What was told of one recipient, in order. */
interface Told {
  readonly atMs: number
  readonly path: string
  readonly action: string
}

/** Reports by queue id as they were made; only those that became durable count. */
class Reports {
  readonly #made = new Map<string, Told[]>()
  readonly told: Told[] = []
  readonly texts: Buffer[] = []
  readonly #clock: FakeClock
  readonly #make: MakeReport

  constructor(clock: FakeClock, make: MakeReport = simpleReport) {
    this.#clock = clock
    this.#make = make
  }

  readonly makeReport: MakeReport = async (message, recipients, willRetryUntil) => {
    const report = await this.#make(message, recipients, willRetryUntil)
    if (report === undefined) return undefined
    this.#made.set(
      report.record.queueId,
      recipients.map(({ index, action }) => ({
        atMs: this.#clock.runningMs,
        path: message.record.recipients[index]?.path ?? '',
        action,
      })),
    )
    this.texts.push(Buffer.concat([report.header, report.body]))
    return report
  }

  /** Notes each report at the moment it is durable. */
  watch(spool: MemorySpool): MemorySpool {
    const { journal } = spool
    journal.push = (...lines: string[]) => {
      for (const line of lines) {
        const [call, queueId = ''] = line.split(' ')
        if (call === 'commit') this.told.push(...(this.#made.get(queueId) ?? []))
      }
      return Array.prototype.push.apply(journal, lines)
    }
    return spool
  }
}

interface Watched extends World {
  readonly reports: Reports
}

function started(make?: MakeReport): Watched {
  const clock = new FakeClock()
  const reports = new Reports(clock, make)
  const w = world({ clock, makeReport: reports.makeReport })
  reports.watch(w.spool)
  w.queue.start()
  return { ...w, reports }
}

const DANA = 'dana@example.net'
const asking = (notify: string): Partial<MessageRecord> => ({ recipients: [recipient(DANA, { notify })] })
/** The owner's host does as told; reports, which go to the mailbox's, are delivered. */
const ownerOnly =
  (answer: Answer): Answer =>
  (asked) =>
    asked.hop.host === 'owner.example' ? answer(asked) : {}

const cases: [why: string, record: Partial<MessageRecord>, actions: readonly string[]][] = [
  ['asked for', asking('DELAY,FAILURE'), ['delayed', 'failed']],
  ['asked for delays only', asking('DELAY'), ['delayed']],
  ['asked for failures only', asking('FAILURE'), ['failed']],
  ['asked for success only', asking('SUCCESS'), []],
  ['asked for nothing', asking('NEVER'), []],
  ['asked neither way', { recipients: [recipient(DANA)] }, ['failed']],
  ['asked by a machine', { ...asking('DELAY,FAILURE'), isAutomatic: true }, ['failed']],
  ['asked by nobody: a null reverse-path', { ...asking('DELAY'), reversePath: '', receivedReversePath: '' }, []],
  ['a report of our own', { ...asking('DELAY'), isOwnReport: true, reversePath: '', receivedReversePath: '' }, []],
]
for (const [why, record, actions] of cases) {
  for (const [how, answer] of [
    ['its host defers it', all(deferred)],
    ['its host is down', DOWN],
  ] as const) {
    test(`DL-4 ${how}, ${why}: ${actions.join(', then ') || 'silence'}`, async () => {
      const w = started()
      w.outbound.answer = ownerOnly(answer)
      await accept(w, record)
      await w.clock.pass(6 * DAY_MS)
      assert.deepEqual(
        w.reports.told.map(({ action }) => action),
        actions,
      )
    })
  }
}

test('DL-4 the delay is told at the first failure after 4 h, not before', async () => {
  for (const answer of [all(deferred), DOWN]) {
    const w = started()
    w.outbound.answer = ownerOnly(answer)
    await accept(w, asking('DELAY'))
    await w.clock.pass(4 * HOUR_MS - MINUTE_MS)
    assert.deepEqual(w.reports.told, [])
    await w.clock.pass(1.2 * HOUR_MS)
    assert.equal(w.reports.told.length, 1)
  }
})

test('DL-4 mail that waits behind a host that is down is told of, though it never had an attempt of its own', async () => {
  const w = started()
  w.outbound.answer = ownerOnly(DOWN)
  for (let i = 0; i < 30; i++) await accept(w, { recipients: [recipient(`r${i}@a.example`, { notify: 'DELAY' })] })
  await accept(w, asking('FAILURE'))
  await w.clock.pass(12 * HOUR_MS)
  assert.equal(w.reports.told.length, 30)
  assert.equal(new Set(w.reports.told.map(({ path }) => path)).size, 30)
  assert.equal(w.spool.stored.size, 31)
  w.outbound.answer = all(delivered)
  await w.clock.pass(4 * HOUR_MS)
  assert.equal(w.spool.stored.size, 0)
  assert.equal(w.events.filter(({ record, result }) => !record.isOwnReport && result === 'delivered').length, 31)
  assert.equal(w.reports.told.length, 30)
})

test('DL-4 one report a message names those recipients that wait and asked; the others go their way', async () => {
  const w = started()
  w.outbound.answer = ownerOnly(({ paths }) => ({
    outcomes: paths.map((path) => (path.startsWith('ok') ? delivered : path.startsWith('no') ? failed : deferred)),
  }))
  const asked = (path: string, notify: string) => recipient(path, { notify })
  await accept(w, {
    recipients: [
      asked('ok@a.example', 'DELAY'),
      asked('late@a.example', 'DELAY'),
      asked('no@a.example', 'DELAY,FAILURE'),
      asked('quiet@a.example', 'NEVER'),
      asked('late2@a.example', 'FAILURE,DELAY'),
    ],
  })
  await w.clock.pass(12 * HOUR_MS)
  assert.deepEqual(
    w.reports.told.map(({ path, action }) => `${path} ${action}`),
    ['no@a.example failed', 'late@a.example delayed', 'late2@a.example delayed'],
  )
  assert.equal(w.reports.texts.length, 2)
})

test('DL-4 recipients on two routes are each told of once', async () => {
  const w = started()
  w.outbound.answer = (asked) => (asked.paths[0] === 'alice@contoso.example' ? {} : all(deferred)(asked))
  const both = [
    recipient('a@a.example', { notify: 'DELAY' }),
    recipient('b@b.example', { notify: 'DELAY', route: 'mailbox' }),
  ]
  await accept(w, { recipients: both })
  await w.clock.pass(2 * DAY_MS)
  assert.deepEqual(w.reports.told.map(({ path }) => path).toSorted(), ['a@a.example', 'b@b.example'])
})

test('DL-4 that a delay was told is durable: no restart tells it again', async () => {
  const first = started()
  first.outbound.answer = ownerOnly(all(deferred))
  const queueId = await accept(first, asking('DELAY'))
  await first.clock.pass(6 * HOUR_MS)
  assert.equal(first.reports.told.length, 1)
  const state = first.spool.stored.get(queueId)?.state.recipients[0]
  assert.ok(state?.kind === 'queued' && state.delayToldAt !== undefined)
  assert.equal(first.spool.find(queueId)?.hasDelayToTell, false)
  const spool = first.reports.watch(first.spool.crash())
  const second = world({ spool, clock: first.clock, makeReport: first.reports.makeReport })
  second.queue.start()
  second.outbound.answer = ownerOnly(DOWN)
  await second.clock.pass(DAY_MS)
  assert.equal(first.reports.told.length, 1)
})

test('DL-4 a report that can not be spooled is made later, and the message waits all the same', async () => {
  for (const answer of [all(deferred), DOWN]) {
    const w = started()
    w.outbound.answer = ownerOnly(answer)
    const queueId = await accept(w, asking('DELAY'))
    w.spool.before = (call) => {
      if (call === 'commit') throw new SpoolBroken('disk full')
    }
    await w.clock.pass(7 * HOUR_MS)
    assert.ok(w.logged.includes('queue.report-not-spooled'))
    assert.deepEqual(w.reports.told, [])
    assert.equal(w.spool.find(queueId)?.hasDelayToTell, true)
    w.spool.before = () => {}
    await w.clock.pass(4 * HOUR_MS)
    assert.equal(w.reports.told.length, 1)
    assert.equal(w.spool.stored.size, 1)
  }
})

test('DU-9 a clock that jumps ahead makes no message late that has not been tried for an hour', async () => {
  const w = started()
  w.outbound.answer = ownerOnly(all(deferred))
  await accept(w, asking('DELAY'))
  await settle()
  w.clock.wallMs += 5 * HOUR_MS
  await w.clock.pass(50 * MINUTE_MS)
  assert.deepEqual(w.reports.told, [])
  await w.clock.pass(2 * HOUR_MS)
  assert.equal(w.reports.told.length, 1, 'then it is as old as it looks')
})

test('DL-4 while the operator holds a message nobody is told; when it is released and fails, he is', async () => {
  const w = started()
  w.outbound.answer = ownerOnly(all(deferred))
  const queueId = await accept(w, asking('DELAY'))
  await settle()
  await w.queue.change('hold', queueId)
  await w.clock.pass(DAY_MS)
  assert.deepEqual(w.reports.told, [])
  await w.queue.change('release', queueId)
  await w.clock.pass(2 * HOUR_MS)
  assert.equal(w.reports.told.length, 1)
})

test('DL-5 of a message accepted by a version that did not look, the header tells who sent it (SF-5)', async () => {
  for (const [field, told] of [
    ['Auto-Submitted: auto-generated', 0],
    ['Subject: lunch', 1],
  ] as const) {
    const w = started()
    w.outbound.answer = ownerOnly(all(deferred))
    const queueId = await intake(w.spool, w.clock, asking('DELAY'))
    const stored = w.spool.stored.get(queueId)
    assert.ok(stored)
    w.spool.stored.set(queueId, { ...stored, header: Buffer.from(`${field}\r\n\r\n`) })
    w.queue.accepted(queueId)
    await w.clock.pass(8 * HOUR_MS)
    assert.equal(w.reports.told.length, told, field)
  }
})

test('DL-4 what the sender reads: ENVID, ORCPT and until when; nothing of the body, whatever RET says', async () => {
  const table = compileTable({ format: 'causeway-mapping-table/1', project: 'p1', version: 1, entries: [] })
  const clock = new FakeClock()
  const real: MakeReport = (message, recipients, until) =>
    makeReport(
      message,
      recipients,
      {
        name: 'relay.contoso.example',
        markerKeys: { token: 't'.repeat(32), tokens: ['t'.repeat(32)], secret: 's'.repeat(43) },
        currentTable: () => ({ table, policy: DEFAULT_POLICY }),
        newQueueId,
        randomText: () => '0123456789abcdef',
        now: () => clock.wallMs,
      },
      until,
    )
  const reports = new Reports(clock, real)
  const w = world({ clock, makeReport: reports.makeReport })
  reports.watch(w.spool)
  w.queue.start()
  w.outbound.answer = ownerOnly(DOWN)
  const receivedAt = clock.wallMs
  await accept(w, {
    ret: 'FULL',
    envid: 'E+2B1',
    recipients: [
      recipient('bob@contoso.example', {
        received: 'bob@fabrikam.example',
        orcpt: 'rfc822;bob+2B1@fabrikam.example',
        notify: 'DELAY',
      }),
    ],
  })
  await clock.pass(6 * HOUR_MS)
  const [report] = reports.texts
  assert.ok(report)
  const parsed = await simpleParser(report)
  assert.equal(parsed.subject, 'Delivery delayed, still trying')
  assert.deepEqual(
    [parsed.to].flat().map((to) => to?.text),
    ['alice@contoso.example'],
  )
  const text = report.toString()
  assert.match(text, /^Original-Envelope-Id: E\+1\r$/m)
  assert.match(text, /^Original-Recipient: rfc822;bob\+1@fabrikam\.example\r$/m)
  assert.match(text, /^Final-Recipient: rfc822; bob@fabrikam\.example\r$/m)
  assert.match(text, /^Action: delayed\r\nStatus: 4\.4\.1\r$/m)
  const until = new Date(receivedAt + 5 * DAY_MS).toUTCString().replace('GMT', '+0000')
  assert.ok(text.includes(`Will-Retry-Until: ${until}\r\n`), text)
  assert.doesNotMatch(text, /bob@contoso/)
  assert.doesNotMatch(text, /^body/m)
  const sent = w.outbound.asked.filter(({ hop }) => hop.host === 'mailbox.example')
  assert.deepEqual(
    sent.map(({ paths }) => [...paths]),
    [['alice@contoso.example']],
  )
})

// ---- whatever happens ----

const answers: readonly Answer[] = [
  all(deferred),
  all(deferred, 'unwell'),
  all(deferred, 'said421'),
  DOWN,
  all(delivered),
  all(failed),
  ({ paths }) => ({ outcomes: paths.map((_, index) => (index % 2 === 0 ? deferred : failed)) }),
  ({ paths }) => ({ outcomes: paths.map((_, index) => (index % 2 === 0 ? delivered : deferred)) }),
]
const NOTIFY = [undefined, 'DELAY', 'DELAY,FAILURE', 'FAILURE', 'SUCCESS', 'NEVER'] as const

const step = fc.oneof(
  fc.record({ answer: fc.nat({ max: answers.length - 1 }) }),
  fc.record({ passMs: fc.integer({ min: MINUTE_MS, max: DAY_MS }) }),
  fc.record({ passMs: fc.integer({ min: HOUR_MS, max: 6 * HOUR_MS }) }),
  fc.record({ jumpMs: fc.constantFrom(-5 * DAY_MS, -HOUR_MS, HOUR_MS, 5 * DAY_MS) }),
  /** The process dies before the nth durable change from now, or at once. */
  fc.record({ dieAfter: fc.nat({ max: 6 }) }),
  /** Every nth call that writes fails, until the next step of this kind. */
  fc.record({ failEvery: fc.integer({ min: 0, max: 4 }) }),
)

/** Every third write fails, reports among them, while the host is down for days: nothing may be looked after ever more often. */
const REPORTS_FAIL = {
  mail: [['DELAY', 'DELAY'], ['SUCCESS', 'DELAY', 'SUCCESS'], ['DELAY,FAILURE']] as (typeof NOTIFY)[number][][],
  steps: [
    { answer: 3 },
    { failEvery: 2 },
    { jumpMs: 5 * DAY_MS },
    { jumpMs: -HOUR_MS },
    { passMs: 8_420_962 },
    { passMs: 60_137_347 },
    { passMs: 45_730_446 },
  ],
}

test('DL-4 property: at most one delay is told of a recipient and none after its final report, whatever fails and dies', async () => {
  let delaysTold = 0
  let deaths = 0
  const notifies = fc.array(fc.constantFrom(...NOTIFY), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(notifies, { minLength: 1, maxLength: 4 }),
      fc.array(step, { minLength: 3, maxLength: 25 }),
      async (mail, steps) => {
        const clock = new FakeClock()
        const reports = new Reports(clock)
        const wanted = new Map<string, string>()
        let w = world({ clock, makeReport: reports.makeReport })
        reports.watch(w.spool)
        let answer: Answer = DOWN
        w.outbound.answer = (asked) => ownerOnly(answer)(asked)
        w.queue.start()
        for (const [number, each] of mail.entries()) {
          const recipients = each.map((notify, index) => {
            const path = `${number}-${index}@a.example`
            wanted.set(path, notify ?? 'FAILURE')
            return recipient(path, notify === undefined ? {} : { notify })
          })
          await accept(w, { recipients })
        }
        let calls = 0
        let failEvery = 0
        let diesIn = Infinity
        const watchCalls = (spool: MemorySpool) => {
          spool.before = (call) => {
            if (call === 'read') return undefined
            if (diesIn-- <= 0) return new Promise<void>(() => {})
            if (failEvery > 0 && ++calls % (failEvery + 1) === 0) throw new SpoolBroken('EIO')
            return undefined
          }
        }
        watchCalls(w.spool)
        const die = () => {
          deaths++
          diesIn = Infinity
          const spool = reports.watch(w.spool.crash())
          // A report of a failure is durable before the failure is: what dies in between is told again, of whatever comes then (DU-4).
          const queued = new Set(
            [...w.spool.stored.values()].flatMap(({ record, state }) =>
              record.recipients.flatMap(({ path }, index) =>
                state.recipients[index]?.kind === 'queued' ? [path] : [],
              ),
            ),
          )
          for (const [index, { path, action }] of [...reports.told.entries()].toReversed()) {
            if (action === 'failed' && queued.has(path)) reports.told.splice(index, 1)
          }
          w = world({ clock, spool, makeReport: reports.makeReport })
          w.outbound.answer = (asked) => ownerOnly(answer)(asked)
          watchCalls(spool)
          w.queue.start()
        }
        for (const each of steps) {
          if ('answer' in each) answer = answers[each.answer] ?? DOWN
          else if ('passMs' in each) await clock.pass(each.passMs)
          else if ('jumpMs' in each) clock.wallMs += each.jumpMs
          else if ('failEvery' in each) failEvery = each.failEvery
          else if (each.dieAfter === 0) die()
          else {
            diesIn = each.dieAfter
            await clock.pass(4 * HOUR_MS)
            die()
          }
        }
        failEvery = 0
        answer = all(deferred)
        await clock.pass(13 * DAY_MS)

        const lastOf = new Map<string, Told>()
        for (const told of reports.told) {
          const before = lastOf.get(told.path)
          lastOf.set(told.path, told)
          if (told.action !== 'delayed') continue
          delaysTold++
          assert.equal(before, undefined, `${told.path}: ${before?.action} was told before the delay`)
          assert.match(wanted.get(told.path) ?? '', /DELAY/)
        }
        // And nothing is left behind: it was delivered, returned or told.
        for (const { record } of w.spool.stored.values()) assert.ok(record.isOwnReport, 'mail is left after 13 days')
      },
    ),
    { numRuns: 60, examples: [[REPORTS_FAIL.mail, REPORTS_FAIL.steps]] },
  )
  assert.ok(delaysTold > 10 && deaths > 10, `${delaysTold} delays, ${deaths} deaths: too few to prove anything`)
})
