import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import type { Direction } from '../../rewrite-rules/change-report.ts'
import { scanHeader } from '../../rewrite-rules/header-block.ts'
import type { HeaderBlock } from '../../rewrite-rules/header-block.ts'
import { MARKER_FIELD, formatMarker, judgeLoop, messageId, ownMarkerFields } from '../../rewrite-rules/loop.ts'
import type { LoopVerdict, Marker } from '../../rewrite-rules/loop.ts'

const MARKER: Marker = {
  token: 'tok1',
  secret: 'secret',
  project: 'p1',
  direction: 'out',
  count: 1,
  relay: 'relay.example',
  messageId: '<1@contoso.com>',
}
const KEYS = { tokens: ['tok1', 'tok2'], secrets: ['secret', 'other'], project: 'p1' }

function header(...fields: string[]): HeaderBlock {
  return scanHeader(Buffer.from(`${fields.join('\r\n')}\r\n\r\n`))
}

const marker = (change: Partial<Marker> = {}): string => `${MARKER_FIELD}: ${formatMarker({ ...MARKER, ...change })}`
const ID = 'Message-ID: <1@contoso.com>'
const judge = (block: HeaderBlock, direction: Direction = 'out'): LoopVerdict => judgeLoop(block, direction, KEYS)

test('R76: the marker holds what the rule says, and an HMAC over token, direction, count, Message-ID and project', () => {
  const mac = createHmac('sha256', 'secret').update('tok1\nout\n1\n<1@contoso.com>\np1').digest('base64url')
  assert.equal(formatMarker(MARKER), `tok1 v=1; d=out; n=1; r=relay.example; h=${mac}`)
})

test('R76: the Message-ID is the body of the first such field, trimmed, empty when missing', () => {
  assert.equal(messageId(header('From: a@x', 'MESSAGE-ID :  <1@x> ', 'Message-ID: <2@x>')), '<1@x>')
  assert.equal(messageId(header('Message-ID:\r\n <1@x>')), '<1@x>', 'also folded')
  assert.equal(messageId(header('From: a@x')), '')
})

const counted: [what: string, fields: string[], markers: number][] = [
  ['none', [ID], 0],
  ['one (E91)', [marker(), ID], 1],
  ['two with different counts', [marker({ count: 2 }), marker(), ID], 2],
  ['the other valid token', [marker({ token: 'tok2' }), ID], 1],
  ['the other valid secret', [marker({ secret: 'other' }), ID], 1],
  ['a folded one', [marker().replace('; d=', ';\r\n\td='), ID], 1],
  [
    'a name in other case, a space before the colon',
    [marker().replace(`${MARKER_FIELD}:`, 'x-causeway-TRACE :'), ID],
    1,
  ],
  ['another relay name: it is for people', [marker().replace('relay.example', 'x'), ID], 1],
  ['one without Message-ID', [marker({ messageId: '' })], 1],
  ['the other direction', [marker({ direction: 'in' }), ID], 0],
  ['another project', [marker({ project: 'p2' }), ID], 0],
  ['an unknown token', [marker({ token: 'tok3' }), ID], 0],
  ['an unknown secret', [marker({ secret: 'wrong' }), ID], 0],
  ['another message (E91: a wrong h)', [marker(), 'Message-ID: <2@contoso.com>'], 0],
  ['another count than was signed', [marker().replace('n=1', 'n=2'), ID], 0],
  ['a direction that was changed', [marker({ direction: 'in' }).replace('d=in', 'd=out'), ID], 0],
  ['another version', [marker().replace('v=1', 'v=2'), ID], 0],
  ['no h', [marker().replace(/; h=.*/, ''), ID], 0],
  ['half of h', [marker().slice(0, -10), ID], 0],
  ['nothing', [`${MARKER_FIELD}:`, ID], 0],
  ['rubbish', [`${MARKER_FIELD}: ;;==;h=;`, `${MARKER_FIELD}: tok1`, ID], 0],
]
for (const [what, fields, validMarkers] of counted) {
  test(`R77: valid markers in ${what}: ${validMarkers}`, () => {
    assert.deepEqual(judge(header(...fields)), { kind: 'pass', validMarkers })
  })
}

test('R77, E91: three valid markers of the direction are a loop, of the other direction they are not', () => {
  const block = header(marker({ count: 3 }), marker({ count: 2 }), marker(), ID)
  assert.deepEqual(judge(block), { kind: 'loop' })
  assert.deepEqual(judge(block, 'in'), { kind: 'pass', validMarkers: 0 })
})

test('R77: 100 Received fields pass, 101 are a loop', () => {
  const received = (count: number): string[] =>
    Array.from({ length: count }, () => 'Received: from a by b; Sun, 22 Nov 2026 10:00:00 +0000')
  assert.equal(judge(header(...received(100), ID)).kind, 'pass')
  assert.equal(judge(header(...received(101), ID)).kind, 'loop')
})

test('R76: fields with a token of ours, valid or not, are what does not leave by MX', () => {
  const block = header(
    marker(),
    `${MARKER_FIELD}: tok2 x`,
    `${MARKER_FIELD}: tok3 v=1`,
    `${MARKER_FIELD}:`,
    'X-Other: tok1 v=1',
    ID,
  )
  assert.deepEqual(
    ownMarkerFields(block, KEYS.tokens).map(({ start }) => start),
    block.fields.slice(0, 2).map(({ start }) => start),
  )
})

test('markers by the thousand cost no more than some of them', () => {
  const block = header(...Array.from({ length: 4000 }, () => marker({ secret: 'wrong' })), ID)
  const start = process.cpuUsage()
  assert.deepEqual(judge(block), { kind: 'pass', validMarkers: 0 })
  assert.ok(process.cpuUsage(start).user < 100_000)
})
