// Live events: who sees which, that none is missed whatever order transactions commit in, and what a late reader is told. (control-plane.md §1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import { publishEvent } from '../../../control-plane/db/outbox.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import { permissionToSee } from '../../../control-plane/events/event-permission.ts'
import { eventRoutes } from '../../../control-plane/events/event-routes.ts'
import { beginAt, parseLastEventId } from '../../../control-plane/events/event-source.ts'
import { loadEvents, sweepEvents } from '../../../control-plane/events/event-store.ts'
import { MAX_STREAMS, StreamAccess } from '../../../control-plane/events/stream-access.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'
import { readEvents } from '../../harness/event-reader.ts'
import type { EventReader } from '../../harness/event-reader.ts'
import { eventually } from '../../harness/wait.ts'

async function eventApi(t: TestContext, checkEveryMs = 200): Promise<TestApi> {
  return testApi(t, async ({ database }) => {
    const log = createLog({ write: () => {}, level: 'error', now: Date.now })
    const wakeUps = new WakeUps(database.connection, log)
    await wakeUps.start()
    t.after(() => wakeUps.close())
    const streamAccess = new StreamAccess({ db: database.db, now: Date.now, checkEveryMs })
    return eventRoutes({ db: database.db, wakeUps, streamAccess })
  })
}

function watch(it: TestApi, path: string, key: string, last?: string): Promise<EventReader> {
  const more: Record<string, string> = last === undefined ? {} : { 'Last-Event-ID': last }
  return readEvents(`${it.url}/api/v1${path}`, { Authorization: `Bearer ${key}`, ...more })
}

const publish = (it: TestApi, organisation: OrganisationId, project: ProjectId | undefined, type: string, n: number) =>
  withScope(it.database.db, { organisation }, (tx) => publishEvent(tx, { organisation, project }, type, { n }))

test('an event reaches who watches its organisation or its project, and nobody of another organisation', async (t) => {
  const it = await eventApi(t)
  const ours = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const project = await it.project(ours.id)
  const ofOrganisation = await watch(it, `/organizations/${ours.id}/events`, ours.key)
  const ofProject = await watch(it, `/projects/${project}/events`, ours.key)
  const foreign = await watch(it, `/organizations/${theirs.id}/events`, theirs.key)
  assert.match(ofProject.headers.get('content-type') ?? '', /^text\/event-stream/)
  await publish(it, ours.id, undefined, 'organization.renamed', 1)
  await publish(it, ours.id, project, 'project.changed', 2)
  await publish(it, theirs.id, undefined, 'organization.renamed', 3)
  assert.deepEqual([(await ofOrganisation.next())?.data.n, (await ofOrganisation.next())?.data.n], [1, 2])
  const seen = await ofProject.next()
  assert.deepEqual([seen?.type, seen?.data.n, seen?.data.project], ['project.changed', 2, project])
  assert.equal((await foreign.next())?.data.n, 3)
  assert.equal(
    (await it.request('GET', `/organizations/${ours.id}/events`, undefined, { key: theirs.key })).status,
    404,
  )
  assert.equal((await it.request('GET', `/projects/${project}/events`, undefined, { key: theirs.key })).status, 404)
  for (const reader of [ofOrganisation, ofProject, foreign]) reader.close()
})

test('Last-Event-ID goes on after that event, once each, also with hundreds waiting', async (t) => {
  const it = await eventApi(t)
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/events`
  const first = await watch(it, path, key)
  await publish(it, id, undefined, 'organization.renamed', 0)
  const last = (await first.next())?.id ?? ''
  first.close()
  await withScope(it.database.db, { organisation: id }, async (tx) => {
    for (let n = 1; n <= 450; n++) await publishEvent(tx, { organisation: id }, 'organization.renamed', { n })
  })
  const again = await watch(it, path, key, last)
  for (let n = 1; n <= 450; n++) assert.equal((await again.next())?.data.n, n)
  again.close()
})

test('an event that was written early and committed late is not missed', async (t) => {
  const it = await eventApi(t)
  const { id } = await it.organisation()
  const place = { organisation: id, project: undefined }
  const { db } = it.database
  const mayCommit = Promise.withResolvers<void>()
  const isWritten = Promise.withResolvers<void>()
  const late = withScope(db, { organisation: id }, async (tx) => {
    await publishEvent(tx, place, 'organization.renamed', { n: 1 })
    isWritten.resolve()
    await mayCommit.promise
  })
  await isWritten.promise
  await publish(it, id, undefined, 'organization.renamed', 2)
  const before = await loadEvents(db, place, 0, 10)
  mayCommit.resolve()
  await late
  const after = await loadEvents(db, place, before.at(-1)?.position ?? 0, 10)
  assert.deepEqual(
    [...before, ...after].map(({ body }) => body['n']),
    [2, 1],
  )
})

test('readers and writers at once: everybody sees every event, in one order', async (t) => {
  const it = await eventApi(t)
  const { id } = await it.organisation()
  const place = { organisation: id, project: undefined }
  const writers = Promise.all(
    Array.from({ length: 4 }, async (_, writer) => {
      for (let n = 0; n < 25; n++) await publish(it, id, undefined, 'organization.renamed', writer * 25 + n)
    }),
  )
  const read = async (): Promise<unknown[]> => {
    const seen: unknown[] = []
    let after = 0
    while (seen.length < 100) {
      for (const event of await loadEvents(it.database.db, place, after, 7)) {
        assert.ok(event.position > after)
        after = event.position
        seen.push(event.body['n'])
      }
    }
    return seen
  }
  const [one, other] = await Promise.all([read(), read(), writers])
  assert.deepEqual(one, other)
  assert.equal(new Set(one).size, 100)
})

test('AZ-4: a reader sees only events that his permissions show, and goes on past the others', async (t) => {
  const it = await eventApi(t)
  const { id } = await it.organisation()
  const project = await it.project(id)
  const helpDesk = await it.member(id, 'help-desk')
  const reader = await watch(it, `/organizations/${id}/events`, helpDesk.key)
  await withScope(it.database.db, { organisation: id }, async (tx) => {
    for (let n = 0; n < 250; n++) await publishEvent(tx, { organisation: id, project }, 'relay.applied', { n })
    await publishEvent(tx, { organisation: id, project }, 'unheard-of.happened', {})
    await publishEvent(tx, { organisation: id, project }, 'mapping.revised', { revision: 7 })
  })
  assert.equal((await reader.next())?.data.revision, 7)
  reader.close()
})

test('a member of one project watches the organisation and sees that project only', async (t) => {
  const it = await eventApi(t)
  const { id } = await it.organisation()
  const his = await it.project(id, 'His')
  const other = await it.project(id, 'Other')
  const member = await it.member(id, 'help-desk', his)
  const reader = await watch(it, `/organizations/${id}/events`, member.key)
  await publish(it, id, other, 'mapping.revised', 1)
  await publish(it, id, undefined, 'organization.renamed', 2)
  await publish(it, id, his, 'mapping.revised', 3)
  assert.equal((await reader.next())?.data.n, 3)
  reader.close()
})

test("AZ-2: a stream ends when its reader's key is revoked or his role is taken, without another event", async (t) => {
  const it = await eventApi(t)
  const { id } = await it.organisation()
  const endings: [why: string, end: (member: string) => ReturnType<typeof sql>][] = [
    ['the key', (member) => sql`update api_key set revoked_at = now() where member_id = ${member}`],
    ['the role', (member) => sql`delete from role_assignment where member_id = ${member}`],
  ]
  for (const [why, end] of endings) {
    const { key, member } = await it.member(id, 'auditor')
    const reader = await watch(it, `/organizations/${id}/events`, key)
    assert.equal(reader.status, 200)
    await withScope(it.database.db, { organisation: id }, (tx) => end(member).execute(tx))
    assert.equal(await reader.next(), undefined, `without ${why} nothing more comes`)
  }
})

test('a reader who comes back after 24 h is told that he missed something, and goes on from now', async (t) => {
  const it = await eventApi(t)
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/events`
  const first = await watch(it, path, key)
  await publish(it, id, undefined, 'organization.renamed', 1)
  const last = (await first.next())?.id ?? ''
  first.close()
  await publish(it, id, undefined, 'organization.renamed', 2)
  const swept = await withScope(it.database.db, { organisation: id }, (tx) =>
    sweepEvents(tx, id, new Date(Date.now() + 60_000), 100),
  )
  assert.equal(swept, 2)
  const again = await watch(it, path, key, last)
  const reset = await again.next()
  assert.equal(reset?.type, 'stream.reset')
  await publish(it, id, undefined, 'organization.renamed', 3)
  assert.equal((await again.next())?.data.n, 3)
  again.close()
  const third = await watch(it, path, key, reset?.id)
  assert.equal((await third.next())?.data.n, 3, 'the id of the reset is a place like any other')
  third.close()
})

test('what is no id of a stream is refused, and so are too many streams of one caller', async (t) => {
  const it = await eventApi(t)
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/events`
  for (const last of ['x', '-1', '1e3', '9'.repeat(16)]) {
    const reply = await it.request('GET', path, undefined, { key, headers: { 'Last-Event-ID': last } })
    assert.equal(reply.status, 400, last)
  }
  const open: EventReader[] = []
  for (let n = 0; n < MAX_STREAMS; n++) open.push(await watch(it, path, key))
  const refused = await it.request('GET', path, undefined, { key })
  assert.equal(refused.status, 429)
  assert.equal(refused.body.type, '/problems/too-many-requests')
  for (const reader of open) reader.close()
  await eventually('there is room again', async () => {
    const reader = await watch(it, path, key)
    reader.close()
    return reader.status === 200 ? true : undefined
  })
})

const beginnings: [
  ends: [newest: number, horizon: number],
  last: number | undefined,
  from: number,
  isLate: boolean,
  why: string,
][] = [
  [[9, 0], undefined, 9, false, 'a new reader gets what comes'],
  [[9, 0], 3, 3, false, 'goes on after what he has'],
  [[9, 0], 9, 9, false, 'has missed nothing'],
  [[9, 4], 4, 4, false, 'the last one deleted is one he had'],
  [[9, 4], 3, 9, true, 'one that he had not seen is deleted'],
  [[9, 0], 12, 9, true, 'an id of another time: the database was restored'],
  [[0, 0], 0, 0, false, 'nothing ever happened'],
]
for (const [[newest, horizon], last, from, isLate, why] of beginnings) {
  test(`beginAt(${newest}, ${horizon}, ${last}): ${why}`, () => {
    assert.deepEqual(beginAt({ newest, horizon }, last), { from, isLate })
  })
}

test('permissionToSee: areas have their permission, an operation its own, everything else is for administrators', () => {
  assert.equal(permissionToSee('mapping.revised', undefined), 'mapping.read')
  assert.equal(permissionToSee('operation.changed', 'mapping.import'), 'mapping.import')
  for (const type of ['operation.changed', 'webhook.failed', 'constructor', '__proto__.x', ''])
    assert.equal(permissionToSee(type, undefined), 'organization.manage', type)
})

test('parseLastEventId: digits only', () => {
  assert.equal(parseLastEventId(undefined), undefined)
  assert.equal(parseLastEventId(''), undefined)
  assert.equal(parseLastEventId('17'), 17)
})
