// Events of relays: stored once however often they come, found by everything that somebody may know of a message, gone after 30 days. (RC-7, RC-8, PR-4)
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { sql } from 'kysely'
import type { RelayEvent } from '../../../common/relay-contract.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import { dayOf, toEventRow } from '../../../control-plane/messages/message-event.ts'
import { dropOldPartitions, makePartitionsAhead } from '../../../control-plane/messages/message-partition-store.ts'
import { hopsOf } from '../../../control-plane/messages/message-path.ts'
import { bumpSnapshot } from '../../../control-plane/projects/relay-visible.ts'
import { rotateMarker } from '../../../control-plane/relays/marker-rotation-store.ts'
import { findMarker } from '../../../control-plane/relays/relay-secret-store.ts'
import { commonSweepers } from '../../../control-plane/retention/sweepers.ts'
import { tagsOf } from '../../../mta/privacy.ts'
import type { Tags } from '../../../mta/privacy.ts'
import type { RelayClient } from '../../harness/relay-client.ts'
import { withFleet } from '../relays/fleet.ts'
import type { Fleet } from '../relays/fleet.ts'

const DAY_MS = 86_400_000
const NOW = Date.parse('2026-11-28T12:00:00Z')
const event = (more: Partial<RelayEvent> = {}): RelayEvent => ({
  id: randomUUID(),
  class: 'message',
  time: new Date(NOW).toISOString(),
  event: 'accepted',
  queueId: 'Q1',
  fields: {},
  ...more,
})

const times: [time: string, isKept: boolean, why: string][] = [
  ['2026-11-28T12:00:00.000Z', true, 'now'],
  ['2026-10-29T12:00:00.001Z', true, 'not yet 30 days old'],
  ['2026-10-29T12:00:00.000Z', false, 'it would be swept at once'],
  ['2026-11-29T11:59:59.999Z', true, 'a clock that is ahead'],
  ['2026-11-29T12:00:00.000Z', false, 'a time that has not come'],
  ['+275760-09-13T00:00:00.000Z', false, 'the end of time'],
]
for (const [time, isKept, why] of times) {
  test(`an event of ${time} is ${isKept ? 'kept' : 'left out'}: ${why}`, () => {
    assert.equal(toEventRow(event({ time }), NOW) !== undefined, isKept)
  })
}

test('what Postgres can not hold is taken out of an event, and its search terms into columns', () => {
  const row = toEventRow(
    event({
      fields: {
        from: 'a\0b',
        to: ['x', 7, 'y', 'x'],
        recipient: 'z',
        messageId: 'm\ud800',
        'na\0me': { deep: ['\0'] },
        deep: { a: { b: { c: { d: { e: { f: { g: { h: 1 } } } } } } } },
      },
    }),
    NOW,
  )
  assert.deepEqual([row?.sender, row?.recipients, row?.messageId], ['ab', ['x', 'y', 'z'], 'm\ufffd'])
  assert.ok(!JSON.stringify(row).includes('\\u0000'))
  assert.deepEqual(row?.fields['name'], { deep: [''] })
  assert.equal(dayOf(row?.time ?? ''), '2026-11-28')
})

test('a trace puts lines together by relay and queue id, in the order of their first ones', () => {
  const line = (id: string, ms: number, relay: string, queueId: string) => ({
    id,
    time: new Date(NOW + ms),
    relay: relay as never,
    queueId,
    event: 'x',
    messageId: undefined,
    fields: {},
  })
  const hops = hopsOf(
    [line('3', 30, 'r1', 'Q1'), line('2', 20, 'r2', 'Q2'), line('1', 10, 'r1', 'Q1'), line('4', 40, 'r1', 'B1')],
    new Set(['B1']),
  )
  assert.deepEqual(
    hops.map(({ relay, queueId, kind, events }) => [relay, queueId, kind, events.map(({ id }) => id).join()]),
    [
      ['r1', 'Q1', 'message', '1,3'],
      ['r2', 'Q2', 'message', '2'],
      ['r1', 'B1', 'report', '4'],
    ],
  )
})

interface Mail {
  readonly queueId: string
  readonly from: string
  readonly to: readonly string[]
  readonly messageId: string
  readonly at?: number
  readonly outcomes?: readonly string[]
  /** What the address became. */
  readonly rewritten?: string
}

/** The lines of a relay's journal for one message, as its tags write them. */
function linesOf(
  { queueId, from, to, messageId, at = Date.now(), outcomes = ['delivered'], rewritten }: Mail,
  tags: Tags,
): RelayEvent[] {
  const line = (ms: number, name: string, fields: Record<string, unknown>): RelayEvent => ({
    id: randomUUID(),
    class: 'message',
    time: new Date(at + ms).toISOString(),
    event: name,
    queueId,
    fields,
  })
  const known = tags.address(from)
  return [
    line(0, 'accepted', {
      direction: 'out',
      client: '192.0.2.1',
      messageId: tags.messageId(messageId),
      ...(known === undefined ? {} : { from: known, to: to.map((address) => tags.address(address)) }),
      bytes: 4_096,
      recipients: to.length,
      tableVersion: 7,
      snapshotVersion: 9,
      intakeMs: 3,
    }),
    ...outcomes.map((outcome, index) =>
      line(index + 1, outcome, {
        direction: 'out',
        route: 'owner-tenant',
        ...(rewritten === undefined ? {} : { recipient: tags.address(rewritten) }),
        recipientIndex: 0,
        attempt: index + 1,
        remote: 'mx.example:25',
        code: outcome === 'delivered' ? 250 : 450,
        status: outcome === 'delivered' ? '2.0.0' : '4.2.0',
        delaysMs: { intake: 1, queue: 2, connect: 3, send: 4 },
      }),
    ),
  ]
}

async function tagsOfProject(relay: RelayClient): Promise<Tags> {
  await relay.open()
  const { secrets } = await relay.untilVersion(1)
  return tagsOf('hashed', secrets.marker.secret)
}

const search = async (it: Fleet, query: Record<string, string>) => {
  const { status, body } = await it.api.request(
    'GET',
    `${it.path}/messages?${new URLSearchParams(query).toString()}`,
    undefined,
    {
      key: it.key,
    },
  )
  assert.equal(status, 200, JSON.stringify(body))
  return body as { items: { queueId: string; recipients: Record<string, number> }[]; next?: string }
}
const found = async (it: Fleet, query: Record<string, string>) =>
  (await search(it, query)).items.map(({ queueId }) => queueId)

test('RC-7: events that come twice, in part twice, or at the same moment are stored once; audit events are told once', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    const refused = event({
      class: 'audit',
      event: 'client.refused',
      queueId: undefined as never,
      time: new Date().toISOString(),
      fields: { address: '192.0.2.9', reason: 'certificate' },
    })
    const { queueId: _, ...audit } = refused
    const events = [...Array.from({ length: 20 }, () => event({ time: new Date().toISOString() })), audit]
    const answers = await Promise.all([relay.events(events), relay.events(events.slice(10)), relay.events(events)])
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    )
    assert.equal((await relay.events(events)).status, 200)
    const rows = await it.inOrganisation((tx) => rowsOf<{ id: string }>(tx, sql`select id from message_event`))
    assert.deepEqual(rows.map(({ id }) => id).toSorted(), events.map(({ id }) => id).toSorted())
    const told = await it.inOrganisation((tx) =>
      rowsOf<{ actor: string; result: string; payload: string }>(
        tx,
        sql`select actor, result, payload from audit_event where action = 'relay.client.refused'`,
      ),
    )
    assert.equal(told.length, 1)
    assert.deepEqual([told[0]?.actor, told[0]?.result], [`relay:${relay.answer.relay}`, 'denied'])
    assert.match(told[0]?.payload ?? '', /certificate/)
  }))

test('RC-7: one relay can not take the place of an event of another, nor tell of another project', (t) =>
  withFleet(t, {}, async (it) => {
    const [one, two] = [await it.relay(), await it.relay()]
    const same = event({ time: new Date().toISOString() })
    await one.events([same])
    await two.events([{ ...same, event: 'failed' }])
    const rows = await it.inOrganisation((tx) =>
      rowsOf<{ relay_id: string; event: string; project_id: string }>(
        tx,
        sql`select relay_id, event, project_id from message_event order by event`,
      ),
    )
    assert.deepEqual(
      rows.map((row) => [row.relay_id, row.event, row.project_id]),
      [
        [one.answer.relay, 'accepted', it.project],
        [two.answer.relay, 'failed', it.project],
      ],
    )
  }))

const batches: [events: unknown, why: string][] = [
  [{}, 'no list'],
  [{ events: Array(501).fill(event()) }, 'more than a batch holds'],
  [{ events: [{ ...event(), class: 'secret' }] }, 'an unknown class'],
  [{ events: [{ ...event(), id: '' }] }, 'no id'],
  [{ events: [{ ...event(), id: 'a b' }] }, 'an id that is no word'],
  [{ events: [{ ...event(), time: '2026-11-28' }] }, 'no time'],
  [{ events: [{ ...event(), fields: { x: 'y'.repeat(8_192) } }] }, 'fields beyond 8 KiB'],
  [{ events: [{ ...event(), event: 'drop table;' }] }, 'an event that is no word'],
]
test('a batch that is none is refused whole', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    for (const [body, why] of batches) assert.equal((await relay.post('/relay/v1/events', body)).status, 400, why)
    assert.equal((await it.inOrganisation((tx) => rowsOf(tx, sql`select 1 from message_event`))).length, 0)
    const hostile = event({ time: new Date().toISOString(), fields: { __proto__: 1, text: '\u0000\u202e"\\' } })
    assert.equal((await relay.events([hostile])).status, 200)
  }))

test('a message is found by everything that is known of it, though events hold hashes only', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    const tags = await tagsOfProject(relay)
    const mails: Mail[] = [
      {
        queueId: 'Q1',
        from: 'alice@contoso.example',
        to: ['dana@example.net', 'eve@example.net'],
        messageId: '<1@contoso.example>',
        rewritten: 'dana@example.net',
        outcomes: ['deferred', 'delivered'],
      },
      {
        queueId: 'Q2',
        from: 'bob@contoso.example',
        to: ['carol@contoso.example'],
        messageId: '<2@contoso.example>',
        rewritten: 'carol@fabrikam.example',
        outcomes: ['failed'],
      },
      { queueId: 'Q3', from: '', to: ['bob@contoso.example'], messageId: '', outcomes: [] },
    ]
    for (const [index, mail] of mails.entries())
      await relay.events(linesOf({ ...mail, at: Date.now() - 10_000 + index * 1_000 }, tags))
    const dump = JSON.stringify(await it.inOrganisation((tx) => rowsOf(tx, sql`select * from message_event`)))
    assert.ok(!dump.includes('alice') && !dump.includes('dana'), 'PR-2')

    assert.deepEqual(await found(it, {}), ['Q3', 'Q2', 'Q1'], 'newest first')
    const searches: [query: Record<string, string>, queueIds: string[], why: string][] = [
      [{ sender: 'ALICE@contoso.example' }, ['Q1'], 'its sender, in any case'],
      [{ sender: '<>' }, ['Q3'], 'the null reverse-path'],
      [{ recipient: 'eve@example.net' }, ['Q1'], 'the second recipient'],
      [{ recipient: 'carol@contoso.example' }, ['Q2'], 'the recipient as it was written'],
      [{ recipient: 'carol@fabrikam.example' }, ['Q2'], 'the recipient as it was rewritten'],
      [{ recipient: tags.address('eve@example.net') ?? '' }, ['Q1'], 'a tag from a log'],
      [{ messageId: '<2@contoso.example>' }, ['Q2'], 'its Message-ID'],
      [{ messageId: '2@contoso.example' }, ['Q2'], 'the same without brackets'],
      [{ queueId: 'Q1' }, ['Q1'], 'its queue id'],
      [{ outcome: 'failed' }, ['Q2'], 'what became of it'],
      [{ outcome: 'deferred' }, ['Q1'], 'what became of it for a while'],
      [{ outcome: 'delivered' }, ['Q1'], 'that it arrived'],
      [{ outcome: 'failed', sender: 'alice@contoso.example' }, [], 'both have to be so'],
      [{ outcome: 'failed', sender: 'bob@contoso.example', recipient: 'carol@contoso.example' }, ['Q2'], 'all three'],
      [{ relay: relay.answer.relay, queueId: 'Q1' }, ['Q1'], 'the relay'],
      [{ sender: "x' or '1'='1" }, [], 'WS-4: a quote is a quote'],
      [
        { since: new Date(Date.now() - 9_500).toISOString(), until: new Date(Date.now() - 8_200).toISOString() },
        ['Q2'],
        'when',
      ],
    ]
    for (const [query, queueIds, why] of searches) assert.deepEqual(await found(it, query), queueIds, why)
    const { items } = await search(it, { queueId: 'Q1' })
    assert.deepEqual(items[0]?.recipients, { total: 2, delivered: 1, deferred: 0, failed: 0 })

    const first = await search(it, { limit: '2' })
    const rest = await it.api.request('GET', String(first.next).replace('/api/v1', ''), undefined, { key: it.key })
    assert.deepEqual(
      [...first.items, ...rest.body.items].map(({ queueId }) => queueId),
      ['Q3', 'Q2', 'Q1'],
    )
    assert.equal(rest.body.next, undefined)
  }))

test('a message is followed over relays, attempts and the bounce that was made of it', (t) =>
  withFleet(t, {}, async (it) => {
    const [one, two] = [await it.relay(), await it.relay()]
    const tags = await tagsOfProject(one)
    const at = Date.now() - 60_000
    const mail = { from: 'alice@contoso.example', to: ['dana@example.net'], messageId: '<1@contoso.example>' }
    await one.events(linesOf({ ...mail, queueId: 'Q1', at, outcomes: ['deferred', 'delivered'] }, tags))
    await two.events(linesOf({ ...mail, queueId: 'Q2', at: at + 10_000, outcomes: ['failed'] }, tags))
    const line = (name: string, queueId: string, fields: Record<string, unknown>, ms: number) =>
      event({ event: name, queueId, fields, time: new Date(at + ms).toISOString() })
    await two.events([
      line('reported', 'Q2', { report: 'B1' }, 11_000),
      line('delivered', 'B1', { recipientIndex: 0 }, 12_000),
    ])
    await one.events(linesOf({ ...mail, messageId: '<other@contoso.example>', queueId: 'Q9', at }, tags))
    for (const queueId of ['Q1', 'Q2']) {
      const { status, body } = await it.api.request('GET', `${it.path}/messages/${queueId}`, undefined, { key: it.key })
      assert.equal(status, 200)
      assert.deepEqual(
        body.hops.map((hop: { relay: string; queueId: string; kind: string; events: { event: string }[] }) => [
          hop.relay,
          hop.queueId,
          hop.kind,
          hop.events.map((each) => each.event).join(),
        ]),
        [
          [one.answer.relay, 'Q1', 'message', 'accepted,deferred,delivered'],
          [two.answer.relay, 'Q2', 'message', 'accepted,failed,reported'],
          [two.answer.relay, 'B1', 'report', 'delivered'],
        ],
      )
      assert.equal(body.isComplete, true)
    }
    assert.equal((await it.api.request('GET', `${it.path}/messages/Q404`, undefined, { key: it.key })).status, 404)
  }))

test('PR-2: after the secret of the tags was replaced, messages from before are found as well', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    const before = await tagsOfProject(relay)
    const mail = { from: 'alice@contoso.example', to: ['dana@example.net'], messageId: '<1@contoso.example>' }
    await relay.events(linesOf({ ...mail, queueId: 'Q1', at: Date.now() - 2_000 }, before))
    await it.inOrganisation(async (tx) => {
      await rotateMarker(tx, it.sealer, it, 'secret', new Date())
      await bumpSnapshot(tx, it.organisation, it.project, 'settings')
    })
    const { secrets } = await relay.untilVersion((await it.versions()).snapshot)
    await relay.events(linesOf({ ...mail, queueId: 'Q2' }, tagsOf('hashed', secrets.marker.secret)))
    assert.deepEqual(await found(it, { sender: 'alice@contoso.example' }), ['Q2', 'Q1'])
    const marker = await it.inOrganisation((tx) => findMarker(tx, it.sealer, it))
    assert.equal(marker?.previousSecret !== undefined && marker.previousToken === undefined, true)
  }))

test('PR-4: days are made ahead, kept 30 days and dropped whole; what is dropped is audited once', (t) =>
  withFleet(t, {}, async (it) => {
    const { db, owner } = it.api.database
    const relay = await it.relay()
    const now = Date.now()
    const days = async () =>
      (
        await rowsOf<{ name: string }>(
          owner.db as never,
          sql`select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'message_event'::regclass order by 1`,
        )
      ).map(({ name }) => name.slice(-8))
    const day = (ms: number) => new Date(now + ms).toISOString().slice(0, 10).replaceAll('-', '')
    await makePartitionsAhead(db, now)
    await Promise.all(Array.from({ length: 4 }, () => makePartitionsAhead(db, now)))
    assert.deepEqual(await days(), [day(0), day(DAY_MS), day(2 * DAY_MS)])
    await relay.events([
      event({ time: new Date(now - 29 * DAY_MS).toISOString(), queueId: 'OLD' }),
      event({ time: new Date(now).toISOString(), queueId: 'NEW' }),
    ])
    assert.ok((await days()).includes(day(-29 * DAY_MS)), 'after a long outage the day is made when it is needed')
    assert.equal(await dropOldPartitions(db, now), 0)
    assert.equal(await dropOldPartitions(db, now + 2 * DAY_MS), 1)
    assert.equal(await dropOldPartitions(db, now + 2 * DAY_MS), 0)
    assert.deepEqual(await found(it, { since: new Date(0).toISOString() }), ['NEW'])
    const audit = await withScope(db, { organisation: INSTALLATION }, (tx) =>
      rowsOf<{ payload: string }>(tx, sql`select payload from audit_event where action = 'retention.messages'`),
    )
    assert.equal(audit.length, 1)
    await assert.rejects(
      withScope(db, {}, (tx) => sql`select make_message_partition('1999-01-01'::date)`.execute(tx)),
      /no events are kept/,
    )
  }))

test('PR-4: an organisation that keeps traces for a week has none that is older', (t) =>
  withFleet(t, {}, async (it) => {
    const relay = await it.relay()
    const now = Date.now()
    await relay.events([
      event({ time: new Date(now - 8 * DAY_MS).toISOString(), queueId: 'OLD', fields: { to: ['x@example.net'] } }),
      event({ time: new Date(now - 6 * DAY_MS).toISOString(), queueId: 'NEW', fields: { to: ['x@example.net'] } }),
    ])
    const sweeper = commonSweepers.find(({ name }) => name === 'messages')
    assert.ok(sweeper !== undefined)
    const { signal } = new AbortController()
    const change = <T>(work: (tx: Tx) => Promise<T>) => it.inOrganisation(work)
    const sweep = () => sweeper.sweep({ organisation: it.organisation, change, signal, now })
    assert.equal(await sweep(), 0, 'by default they stay for 30 days')
    await it.inOrganisation((tx) =>
      sql`update organisation set settings = '{"retention":{"messageTraceDays":7}}'`.execute(tx),
    )
    assert.equal(await sweep(), 1)
    assert.deepEqual(await found(it, { since: new Date(0).toISOString() }), ['NEW'])
    const recipients = await it.inOrganisation((tx) => rowsOf(tx, sql`select queue_id from message_recipient`))
    assert.deepEqual(recipients, [{ queue_id: 'NEW' }])
  }))
