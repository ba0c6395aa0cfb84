import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeReport } from '../../../mta/bounce/report-message.ts'
import type { ReportDeps } from '../../../mta/bounce/report-message.ts'
import type { ReportedRecipient } from '../../../mta/bounce/notify.ts'
import type { MessageRecord } from '../../../mta/message-record.ts'
import { scanHeader } from '../../../rewrite-rules/header-block.ts'
import { compileTable, DEFAULT_POLICY, judgeLoop } from '../../../rewrite-rules/index.ts'
import { aQueueId, aRecord } from '../a-record.ts'

const now = Date.UTC(2026, 10, 22, 10, 15)
const markerKeys = { token: 'a'.repeat(32), tokens: ['a'.repeat(32), 'b'.repeat(32)], secret: 's'.repeat(43) }
const table = compileTable({
  format: 'causeway-mapping-table/1',
  project: 'p1',
  version: 7,
  entries: [
    {
      known: ['bob@contoso.example', 'bob@fabrikam.example'],
      presented: 'bob@fabrikam.example',
      mailbox: 'bob@contoso.example',
    },
  ],
})
const deps: ReportDeps = {
  name: 'relay.contoso.example',
  markerKeys,
  currentTable: () => ({ table, policy: DEFAULT_POLICY }),
  newQueueId: () => aQueueId('01JDA2B3C4XY5Z6R'),
  randomText: () => '0123456789abcdef',
  now: () => now,
}
const failed: ReportedRecipient = {
  index: 0,
  action: 'failed',
  reply: { code: 550, status: '5.1.1', text: '5.1.1 no' },
  remote: 'mx.example:25',
}

/** As the spool holds mail from an outsider: located. */
const header = Buffer.from(
  'From: dana@example.net\r\nTo: Bob <bob@contoso.example>\r\nSubject: Bob is bob@contoso.example\r\n\r\n',
)
const body = 'To bob@contoso.example\r\n'

function message(record: Partial<MessageRecord> = {}, chunks: readonly string[] = [body]) {
  let opened = 0
  return {
    record: aRecord({
      direction: 'in',
      reversePath: 'dana@example.net',
      receivedReversePath: 'dana@example.net',
      recipients: [
        {
          path: 'bob@contoso.example',
          received: 'bob@fabrikam.example',
          orcpt: 'rfc822;bob@fabrikam.example',
          route: 'mailbox',
        },
      ],
      headerBytes: header.length,
      bodyBytes: body.length,
      ...record,
    }),
    header,
    body: () => {
      opened++
      return chunks.map((chunk) => Buffer.from(chunk))
    },
    opened: () => opened,
  }
}

const routes: [direction: 'out' | 'in', route: string, reportDirection: 'out' | 'in'][] = [
  ['out', 'mailbox', 'in'],
  ['in', 'owner-tenant', 'out'],
]
for (const [direction, route, reportDirection] of routes) {
  test(`§13 the report on ${direction} mail takes the route of the other direction, ${route}`, async () => {
    const { record, state } = await makeReport(message({ direction }), [failed], deps)
    assert.deepEqual(record.recipients, [{ path: 'dana@example.net', received: 'dana@example.net', route }])
    assert.equal(record.direction, reportDirection)
    assert.deepEqual([record.reversePath, record.isOwnReport], ['', true])
    assert.deepEqual(state, {
      attempts: 0,
      nextAttemptAt: now,
      isHeld: false,
      isDead: false,
      recipients: [{ kind: 'queued' }],
    })
  })
}

test('§13 with tenants a report goes back through the one that handed the message over, marked, in either direction', async () => {
  for (const direction of ['out', 'in'] as const) {
    const report = await makeReport(message({ direction, returnRoute: 'tenant:contoso' }), [failed], deps)
    assert.deepEqual(
      report.record.recipients.map(({ route }) => route),
      ['tenant:contoso'],
    )
    assert.match(report.header.toString(), /^X-Causeway-Trace: a{32} /)
  }
})

test('DL-4 a delay names until when it is tried, unless that is past', async () => {
  const delayed = { ...failed, action: 'delayed' } as const
  const until = async (ms: number) => (await makeReport(message(), [delayed], deps, ms)).body.toString()
  assert.match(await until(now + 60_000), /^Will-Retry-Until: Sun, 22 Nov 2026 10:16:00 \+0000\r$/m)
  assert.doesNotMatch(await until(now), /Will-Retry-Until/)
})

test('the sizes in the record are those of what is sent', async () => {
  const report = await makeReport(message(), [failed], deps)
  assert.deepEqual([report.record.headerBytes, report.record.bodyBytes], [report.header.length, report.body.length])
})

test('R74 in: the quoted header shows the outsider the address he wrote to; what is no recipient field stays', async () => {
  const text = (await makeReport(message(), [failed], deps)).body.toString()
  assert.match(text, /^To: Bob <bob@fabrikam\.example>\r$/m)
  assert.match(text, /^Subject: Bob is bob@contoso\.example\r$/m)
})

test('R74 out: the header is quoted as it was sent on', async () => {
  const text = (await makeReport(message({ direction: 'out' }), [failed], deps)).body.toString()
  assert.match(text, /^To: Bob <bob@contoso\.example>\r$/m)
})

test('without a table an outsider is shown nothing of the located message', async () => {
  const report = await makeReport(message({ ret: 'FULL' }), [failed], { ...deps, currentTable: () => undefined })
  assert.doesNotMatch(report.body.toString(), /bob@contoso/)
  assert.match(report.body.toString(), /^Final-Recipient: rfc822; bob@fabrikam\.example\r$/m)
})

test('the body is read only where it is returned', async () => {
  const without = message()
  await makeReport(without, [failed], deps)
  assert.equal(without.opened(), 0)

  const full = message({ ret: 'FULL' }, ['To bob@con', 'toso.example\r\n'])
  const report = await makeReport(full, [failed], deps)
  assert.equal(full.opened(), 1)
  assert.match(report.body.toString(), /\r\n\r\nTo bob@contoso\.example\r\n/)
})

for (const direction of ['out', 'in'] as const) {
  test(`SP-6 ${direction}: the token of our markers, current or previous, is not quoted; what others marked stays`, async () => {
    const markers = ['a', 'b', 'c'].map(
      (letter) => `X-Causeway-Trace: ${letter.repeat(32)} v=1; d=out; n=1;\r\n\tr=x; h=y\r\n`,
    )
    const marked = { ...message({ direction }), header: Buffer.concat([Buffer.from(markers.join('')), header]) }
    const { body: text } = await makeReport(marked, [failed], deps)
    assert.doesNotMatch(text.toString(), /a{32}|b{32}/)
    assert.match(
      text.toString(),
      /^X-Causeway-Trace: c{32} v=1; d=out; n=1;\r\n\tr=x; h=y\r\nFrom: dana@example\.net\r$/m,
    )
  })
}

test('a header that our own fields brought over a limit is not quoted, and the report is made', async () => {
  const full = { ...message(), header: Buffer.from(`${'A: b\r\n'.repeat(5_001)}\r\n`) }
  const report = await makeReport(full, [failed], deps)
  assert.match(report.body.toString(), /^Final-Recipient: /m)
  assert.doesNotMatch(report.body.toString(), /^A: b/m)
})

test('R76 the report carries a valid first marker of the direction it travels', async () => {
  const report = await makeReport(message(), [failed], deps)
  assert.match(
    report.header.toString(),
    /^X-Causeway-Trace: a{32} v=1; d=out; n=1; r=relay\.contoso\.example; h=[\w-]{43}\r\n/,
  )
  const keys = { tokens: markerKeys.tokens, secrets: [markerKeys.secret], project: 'p1' }
  assert.deepEqual(judgeLoop(scanHeader(report.header), 'out', keys), { kind: 'pass', validMarkers: 1 })
  assert.deepEqual(judgeLoop(scanHeader(report.header), 'in', keys), { kind: 'pass', validMarkers: 0 })
})
