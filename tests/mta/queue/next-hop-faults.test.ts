// What next hops do to us, all of it at once: each fault has a lane of its own in one queue with real sockets, beside a host that works.
// Nothing is lost, each report says what happened, and when the hosts turn honest everything arrives, once. (DL-2, DL-3, DL-4, DL-6)
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { simpleParser } from 'mailparser'
import { makeReport } from '../../../mta/bounce/report-message.ts'
import { newQueueId } from '../../../mta/queue-id.ts'
import { DEFAULT_TIMEOUTS } from '../../../mta/outbound/timeouts.ts'
import { compileTable, DEFAULT_POLICY } from '../../../rewrite-rules/index.ts'
import { NextHop } from '../../harness/next-hop.ts'
import type { Act, NextHopOptions, Stage, Turn } from '../../harness/next-hop.ts'
import { freePort } from '../../harness/ports.ts'
import { eventually } from '../../harness/wait.ts'
import { recipient } from '../outbound/fixtures.ts'
import { QUICK, way } from './way.ts'
import { DAY_MS } from './world.ts'

interface Fault {
  readonly name: string
  /** undefined: nobody listens. */
  readonly options: NextHopOptions | undefined
  /** Of the outcome, as the report has it. `kept`: it waits, and its sender hears of the delay; `returned`: he hears of the failure. */
  readonly end: { readonly kept: string } | { readonly returned: string }
  readonly bodyBytes?: number
}

const at =
  (act: Act, ...stages: readonly Stage[]) =>
  (turn: Turn) =>
    stages.includes(turn.stage) ? act : undefined

const STAGES = ['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'content'] as const
/** HELO as well: a host that refuses one is asked by the other. */
const both = (stage: Stage): readonly Stage[] => (stage === 'EHLO' ? ['EHLO', 'HELO'] : [stage])
const isBeforeMail = (stage: Stage) => stage === 'greeting' || stage === 'EHLO'
const flood = (text: string) => ({ raw: Buffer.alloc(2 * 2 ** 20, text) })

const faults: readonly Fault[] = [
  { name: 'refuses connections', options: undefined, end: { kept: '4.4.1' } },
  ...STAGES.flatMap((stage): Fault[] => [
    { name: `hangs at ${stage}`, options: { act: at({ silent: true }, ...both(stage)) }, end: { kept: '4.4.2' } },
    { name: `hangs up at ${stage}`, options: { act: at({ drop: true }, ...both(stage)) }, end: { kept: '4.4.2' } },
    { name: `says 450 at ${stage}`, options: { act: at('450 4.2.1 busy', ...both(stage)) }, end: { kept: '4.2.1' } },
    { name: `says 421 at ${stage}`, options: { act: at('421 4.3.2 bye', ...both(stage)) }, end: { kept: '4.3.2' } },
    {
      name: `says 554 at ${stage}`,
      options: { act: at('554 5.7.9 no <b>never</b>', ...both(stage)) },
      end: isBeforeMail(stage) ? { kept: '4.7.9' } : { returned: '5.7.9' },
    },
    {
      name: `answers octet by octet at ${stage}`,
      // Without PIPELINING, so that the answers to what follows don't fall into this one.
      options: {
        offers: ['DSN'],
        act: at({ slowly: '250 2.0.0 in a year and a day, when all is done\r\n', everyMs: 60 }, stage),
      },
      end: { kept: '4.4.2' },
    },
  ]),
  {
    name: 'hangs up in the middle of the message',
    options: { act: at({ drop: true, say: '354 go ahead' }, 'DATA') },
    end: { kept: '4.4.2' },
    bodyBytes: 2_000_000,
  },
  { name: 'takes DATA for the message', options: { act: at('250 2.0.0 taken', 'DATA') }, end: { kept: '4.5.0' } },
  {
    name: 'offers PIPELINING and answers only the first of a group',
    options: { act: at({ silent: true }, 'RCPT') },
    end: { kept: '4.4.2' },
  },
  {
    name: 'offers DSN and refuses its parameters',
    options: { act: (turn) => (/NOTIFY=/i.test(turn.line) ? '555 5.5.4 what is NOTIFY?' : undefined) },
    end: { returned: '5.5.4' },
  },
  {
    name: 'offers less SIZE than the message has',
    options: { offers: ['PIPELINING', 'SIZE 1000', 'DSN'] },
    end: { returned: '5.3.4' },
    bodyBytes: 5_000,
  },
  { name: 'greets without end', options: { act: at(flood('220-more\r\n'), 'greeting') }, end: { kept: '4.5.0' } },
  { name: 'offers without end', options: { act: at(flood('250-X-A 1\r\n'), 'EHLO') }, end: { kept: '4.5.0' } },
  { name: 'replies without end', options: { act: at(flood('250-more\r\n'), 'MAIL') }, end: { kept: '4.5.0' } },
  { name: 'writes a line without end', options: { act: at(flood('x'), 'RCPT') }, end: { kept: '4.5.0' } },
  {
    name: 'answers what nobody asked',
    options: { act: at({ early: '250 2.0.0 ok' }, 'MAIL') },
    end: { kept: '4.5.0' },
  },
  {
    name: 'changes its mind within a reply',
    options: { act: at({ raw: '250-taken\r\n550 or not\r\n' }, 'content') },
    end: { kept: '4.5.0' },
  },
  {
    name: 'speaks another protocol',
    options: { act: at({ raw: 'HTTP/1.1 400 Bad Request\r\n\r\n' }, 'greeting') },
    end: { kept: '4.5.0' },
  },
]

/** Long enough for a busy machine that answers, short enough for a test that waits for who doesn't. */
const WAITS = {
  ...DEFAULT_TIMEOUTS,
  greeting: 800,
  hello: 800,
  command: 800,
  data: 800,
  block: 800,
  finalDot: 800,
  transaction: 3_000,
  quit: 800,
}
const routeOf = (index: number) => `tenant:fault-${index}`
const MESSAGES = 3
const table = compileTable({ format: 'causeway-mapping-table/1', project: 'p1', version: 1, entries: [] })

test(`DL-2, DL-4, DL-6: ${faults.length} faults at once beside a host that works`, async () => {
  await using good = await NextHop.start()
  await using back = await NextHop.start()
  const hops = await Promise.all(
    faults.map(async ({ options }) => (options === undefined ? undefined : NextHop.start(options))),
  )
  const ports = await Promise.all(hops.map(async (hop) => hop?.port ?? (await freePort())))
  const late: NextHop[] = []
  try {
    await using out = await way(
      {
        owner: good.port,
        mailbox: back.port,
        others: Object.fromEntries(ports.map((port, index) => [routeOf(index), port])),
      },
      {
        retry: { ...QUICK, firstWaits: [100], thenWait: 100, lastWait: 100, warnAfter: 1_500, giveUpAfter: DAY_MS },
        timeouts: WAITS,
        makeReport: (message, recipients, until) =>
          makeReport(
            message,
            recipients,
            {
              name: 'relay.example',
              markerKeys: { token: 't'.repeat(32), tokens: ['t'.repeat(32)], secret: 's'.repeat(43) },
              currentTable: () => ({ table, policy: DEFAULT_POLICY }),
              newQueueId,
              randomText: () => randomBytes(16).toString('hex'),
              now: Date.now,
            },
            until,
          ),
      },
    )
    await Promise.all(
      faults.flatMap(({ bodyBytes = 200 }, index) =>
        Array.from({ length: MESSAGES }, (_, number) =>
          out.send(
            { header: `Subject: ${index}-${number}\r\n\r\n`, body: 'a line of text\r\n'.repeat(bodyBytes / 16) },
            {
              returnRoute: 'mailbox',
              recipients: [
                recipient(`f${index}-${number}@a.example`, { route: routeOf(index), notify: 'FAILURE,DELAY' }),
              ],
            },
          ),
        ),
      ),
    )
    const healthy = 200
    for (let i = 0; i < healthy; i++) await out.send({ header: `Subject: good ${i}\r\n\r\n`, body: 'ok\r\n' })
    await eventually('the host that works to be served', () => (good.taken.length === healthy ? true : undefined))

    // One report a message, of a delay or of a failure.
    const all = faults.length * MESSAGES
    await eventually('every sender to be told', () => (back.taken.length >= all ? true : undefined), 60_000)
    const kept = faults.filter(({ end }) => 'kept' in end).length * MESSAGES
    // The last report has arrived; that it has is being recorded.
    await eventually('nothing but what was returned to leave', () =>
      out.spool.health().messages === kept ? true : undefined,
    )
    const reports = await Promise.all(
      back.taken.map(async ({ mail, content }) => ({
        mail,
        text: content.toString(),
        parsed: await simpleParser(content),
      })),
    )
    for (const [index, { name, end }] of faults.entries()) {
      for (let number = 0; number < MESSAGES; number++) {
        const path = `f${index}-${number}@a.example`
        const [report, ...more] = reports.filter(({ text }) => text.includes(`Final-Recipient: rfc822; ${path}\r\n`))
        assert.ok(report !== undefined && more.length === 0, `${name}: ${more.length + 1} reports`)
        assert.match(report.mail, /^MAIL FROM:<>/, name)
        const [action, status] = 'kept' in end ? ['delayed', end.kept] : ['failed', end.returned]
        assert.match(
          report.text,
          new RegExp(`^Action: ${action}\r\nStatus: ${status.replaceAll('.', '\\.')}\r$`, 'm'),
          name,
        )
        assert.equal(report.text.includes('Will-Retry-Until: '), action === 'delayed', name)
        assert.equal(report.parsed.headers.get('auto-submitted'), 'auto-replied')
        assert.match(report.parsed.subject ?? '', action === 'delayed' ? /delayed/ : /Undelivered/, name)
      }
    }

    // They turn honest.
    for (const [index, hop] of hops.entries()) {
      if (hop === undefined) late.push(await NextHop.start({ port: ports[index] ?? 0 }))
      else hop.behave({})
    }
    await out.empty(60_000)
    const arrived = new Map<string, number>()
    for (const { rcpts } of [...hops, ...late].flatMap((hop) => hop?.taken ?? [])) {
      const path = /<(.*?)>/.exec(rcpts.join())?.[1] ?? ''
      arrived.set(path, (arrived.get(path) ?? 0) + 1)
    }
    for (const [index, { name, end }] of faults.entries()) {
      for (let number = 0; number < MESSAGES; number++) {
        assert.equal(arrived.get(`f${index}-${number}@a.example`) ?? 0, 'kept' in end ? 1 : 0, name)
      }
    }
    assert.equal(back.taken.length, all, 'nobody is told twice')
  } finally {
    for (const hop of [...hops, ...late]) await hop?.close()
  }
})
