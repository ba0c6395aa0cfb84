// Webhooks from the event to the receiver: who gets which, signed so that it can be checked, sent again until taken, and never to where it must not
// go. (control-plane.md §2, WS-5, KM-5)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import type { DeliveryId } from '../../../control-plane/ids.ts'
import { isSignedBy, resendWaitMs, restMs, signMessage } from '../../../control-plane/webhooks/webhook.ts'
import { eventually } from '../../harness/wait.ts'
import { receiver, subscriptions } from './subscriptions.ts'
import type { Received } from './subscriptions.ts'

const HOUR_MS = 3_600_000
const arrived = (received: Received[], count: number) =>
  eventually(`${count} messages have come`, () => (received.length >= count ? true : undefined))

test('an event is posted to every webhook that asks for it, of its organisation or project, and to no other', async (t) => {
  const it = await subscriptions(t)
  const ours = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const project = await it.project(ours.id)
  const other = await it.project(ours.id, 'Other')
  const hooks = {
    all: await receiver(t),
    relays: await receiver(t),
    project: await receiver(t),
    disabled: await receiver(t),
    theirs: await receiver(t),
  }
  const create = (path: string, key: string, url: string, events: string[], more = {}) =>
    it.request('POST', `${path}/webhooks`, { url, events, ...more }, { key })
  const organisation = `/organizations/${ours.id}`
  await create(organisation, ours.key, hooks.all.url, ['*'])
  await create(organisation, ours.key, hooks.relays.url, ['relay.*', 'mapping.revised'])
  await create(`/projects/${project}`, ours.key, hooks.project.url, ['*'])
  await create(organisation, ours.key, hooks.disabled.url, ['*'], { isEnabled: false })
  await create(`/organizations/${theirs.id}`, theirs.key, hooks.theirs.url, ['*'])
  await it.publish(ours.id, project, 'mapping.revised', { revision: 2 })
  await it.publish(ours.id, other, 'relay.enrolled', { relay: 'rly_1' })
  await it.publish(ours.id, undefined, 'organization.renamed')
  await arrived(hooks.all.received, 3)
  await arrived(hooks.relays.received, 2)
  await arrived(hooks.project.received, 1)
  const types = (received: Received[]) => received.map(({ body }) => String(body.type)).toSorted()
  assert.deepEqual(types(hooks.all.received), ['mapping.revised', 'organization.renamed', 'relay.enrolled'])
  assert.deepEqual(types(hooks.relays.received), ['mapping.revised', 'relay.enrolled'])
  assert.deepEqual(types(hooks.project.received), ['mapping.revised'])
  assert.deepEqual([hooks.disabled.received, hooks.theirs.received], [[], []])
  const [message] = hooks.project.received
  assert.deepEqual(
    [message?.body.organization, message?.body.project, message?.body.data],
    [ours.id, project, { revision: 2 }],
  )
  assert.equal(message?.headers['causeway-event'], 'mapping.revised')
  assert.equal(message?.headers['causeway-delivery'], message?.body.id)
})

test('KM-5: the secret is shown once, signs the messages, is sealed at rest, and overlaps for 24 h when it is replaced', async (t) => {
  const it = await subscriptions(t)
  const { id, key } = await it.organisation()
  const hook = await receiver(t)
  const path = `/organizations/${id}/webhooks`
  const made = await it.request('POST', path, { url: hook.url, events: ['*'] }, { key })
  assert.equal(made.status, 201)
  const { secret, id: webhook } = made.body
  assert.match(secret, /^whsec_[\w-]{43}$/)
  assert.equal((await it.request('GET', `${path}/${webhook}`, undefined, { key })).body.secret, undefined)
  const stored = await sql<{ secret_sealed: Buffer }>`select secret_sealed from webhook`.execute(it.database.owner.db)
  assert.ok(!stored.rows[0]?.secret_sealed.includes(secret))

  await it.publish(id, undefined, 'organization.renamed')
  await arrived(hook.received, 1)
  const isSigned = (message: Received | undefined, by: string) =>
    isSignedBy(
      String(message?.headers['causeway-signature']),
      message?.body.id as DeliveryId,
      Buffer.from(message?.text ?? ''),
      by,
    )
  assert.ok(isSigned(hook.received[0], secret))
  const rotated = await it.request('POST', `${path}/${webhook}/rotate-secret`, undefined, { key })
  assert.notEqual(rotated.body.secret, secret)
  await it.publish(id, undefined, 'organization.renamed')
  await arrived(hook.received, 2)
  assert.ok(isSigned(hook.received[1], secret) && isSigned(hook.received[1], rotated.body.secret))
  it.clock.offsetMs = 25 * HOUR_MS
  // Within the 24 h of its own delivery, beyond those of the old secret.
  await sql`alter table webhook_delivery alter retry_until set default now() + interval '72 hours'`.execute(
    it.database.owner.db,
  )
  await it.publish(id, undefined, 'organization.renamed')
  await arrived(hook.received, 3)
  assert.ok(!isSigned(hook.received[2], secret) && isSigned(hook.received[2], rotated.body.secret))
  assert.ok(!it.lines.some((line) => line.includes('whsec_') || line.includes('s3cret')), 'neither is in the log')
})

test('what is not taken is sent again with the same id and body, until it is', async (t) => {
  const it = await subscriptions(t)
  const { id, key } = await it.organisation()
  const hook = await receiver(t, (n) => [500, 302, 204][n] ?? 204)
  const path = `/organizations/${id}/webhooks`
  const { body: webhook } = await it.request('POST', path, { url: hook.url, events: ['*'] }, { key })
  await it.publish(id, undefined, 'organization.renamed')
  for (const count of [1, 2, 3]) {
    await eventually(`${count} messages have come`, async () => {
      // The job waits only once its failure was taken down.
      await it.hasten()
      return hook.received.length >= count ? true : undefined
    })
    await eventually('it is noted', async () => {
      const { body } = await it.request('GET', `${path}/${webhook.id}/deliveries`, undefined, { key })
      return body.items[0].attempts === count ? true : undefined
    })
  }
  assert.equal(new Set(hook.received.map(({ text }) => text)).size, 1)
  const { body: log } = await it.request('GET', `${path}/${webhook.id}/deliveries`, undefined, { key })
  assert.equal(log.items.length, 1)
  const [{ state, attempts, lastStatus, lastFault }] = log.items
  assert.deepEqual(
    { state, attempts, lastStatus, lastFault },
    { state: 'delivered', attempts: 3, lastStatus: 204, lastFault: undefined },
  )
})

test('after 24 h a delivery has failed: it is listed, told as an event, and can be sent again', async (t) => {
  const it = await subscriptions(t)
  const { id, key } = await it.organisation()
  let status = 503
  const hook = await receiver(t, () => status)
  const path = `/organizations/${id}/webhooks`
  const { body: webhook } = await it.request('POST', path, { url: hook.url, events: ['*'] }, { key })
  await it.publish(id, undefined, 'organization.renamed')
  await arrived(hook.received, 1)
  it.clock.offsetMs = 24 * HOUR_MS
  const failed = await eventually('it is given up', async () => {
    await it.hasten()
    const { body } = await it.request('GET', `${path}/${webhook.id}/deliveries?state=failed`, undefined, { key })
    return body.items[0]
  })
  assert.deepEqual([failed.lastFault, failed.lastStatus], ['status', 503])
  const events = await sql<{
    type: string
    body: object
  }>`select type, body from event where type like 'webhook.%' order by id`.execute(it.database.owner.db)
  assert.deepEqual(
    events.rows.map(({ type }) => type),
    ['webhook.created', 'webhook.failed'],
  )
  assert.equal(hook.received.length, 2, 'a receiver never hears of webhooks')
  status = 200
  it.clock.offsetMs = 0
  const again = `${path}/${webhook.id}/deliveries/${failed.id}/redeliver`
  assert.equal((await it.request('POST', again, undefined, { key })).status, 202)
  await arrived(hook.received, 3)
  assert.equal(hook.received[2]?.body.id, failed.id)
  const figures = await eventually('OP-1 all three outcomes to be counted', async () => {
    const text = await it.metrics.metrics()
    return text.includes('kind="webhook",outcome="delivered"} 1') ? text : undefined
  })
  assert.match(figures, /^causeway_deliveries_total\{kind="webhook",outcome="put-off"\} 1$/m)
  assert.match(figures, /^causeway_deliveries_total\{kind="webhook",outcome="failed"\} 1$/m)
})

test('a receiver that says 410 is disabled; a ping goes there all the same, once', async (t) => {
  const it = await subscriptions(t)
  const { id, key } = await it.organisation()
  const hook = await receiver(t, () => 410)
  const path = `/organizations/${id}/webhooks`
  const { body: webhook } = await it.request('POST', path, { url: hook.url, events: ['*'] }, { key })
  await it.publish(id, undefined, 'organization.renamed')
  await eventually('it is disabled', async () => {
    const { body } = await it.request('GET', `${path}/${webhook.id}`, undefined, { key })
    return body.isEnabled ? undefined : true
  })
  const ping = await it.request('POST', `${path}/${webhook.id}/ping`, undefined, { key })
  assert.equal(ping.status, 202)
  await arrived(hook.received, 2)
  assert.equal(hook.received[1]?.headers['causeway-event'], 'webhook.ping')
  const { body } = await eventually('it has failed', async () => {
    const reply = await it.request('GET', `${path}/${webhook.id}/deliveries?state=failed&limit=1`, undefined, { key })
    return reply.body.items[0]?.id === ping.body.id ? reply : undefined
  })
  assert.deepEqual([body.items[0].attempts, body.items[0].lastFault], [1, 'gone'])
  assert.match(
    await it.metrics.metrics(),
    /^causeway_deliveries_total\{kind="webhook",outcome="failed"\} 1$/m,
    'a ping that fails rings no alarm',
  )
})

test('WS-5: a private address is refused when it is set, and when a name leads there later', async (t) => {
  const it = await subscriptions(t)
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/webhooks`
  for (const url of [
    'https://10.0.0.1/',
    'http://example.org/',
    'https://169.254.169.254/latest',
    'https://u:p@example.org/',
  ]) {
    const { status, body } = await it.request('POST', path, { url, events: ['*'] }, { key })
    assert.deepEqual([status, body.faults?.[0].pointer], [400, '/url'], url)
  }
  // `.internal` names are nobody's: whatever the resolver says here, it is no receiver.
  const { body: webhook } = await it.request('POST', path, { url: 'https://nowhere.internal/', events: ['*'] }, { key })
  await it.request('POST', `${path}/${webhook.id}/ping`, undefined, { key })
  const failed = await eventually('it has failed', async () => {
    const { body } = await it.request('GET', `${path}/${webhook.id}/deliveries?state=failed`, undefined, { key })
    return body.items[0]
  })
  assert.match(failed.lastFault, /^(dns|address|timeout)$/)
})

test('AZ-4, AU-1: only administrators make, change and delete webhooks and see whole URLs; each change is told once; others see nothing', async (t) => {
  const it = await subscriptions(t)
  const { id, key } = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const helpDesk = await it.member(id, 'help-desk')
  const path = `/organizations/${id}/webhooks`
  const body = { url: 'https://example.org/hook?token=s3cret', events: ['relay.*'] }
  assert.equal((await it.request('POST', path, body, { key: helpDesk.key })).status, 403)
  const made = await it.request('POST', path, body, { key })
  const one = `${path}/${made.body.id}`
  assert.equal(made.headers.get('location'), `/api/v1${one}`)
  assert.equal((await it.request('GET', one, undefined, { key })).body.url, body.url)
  assert.equal((await it.request('GET', one, undefined, { key: helpDesk.key })).body.url, 'https://example.org/…')
  assert.equal((await it.request('GET', one, undefined, { key: theirs.key })).status, 404)
  const elsewhere = `/organizations/${theirs.id}/webhooks/${made.body.id}`
  assert.equal((await it.request('GET', elsewhere, undefined, { key: theirs.key })).status, 404)
  const etag = made.headers.get('etag') ?? ''
  const changed = await it.request('PATCH', one, { events: ['*'] }, { key, headers: { 'If-Match': etag } })
  assert.deepEqual([changed.status, changed.body.events, changed.body.url], [200, ['*'], body.url])
  assert.equal((await it.request('PATCH', one, { events: ['*'] }, { key, headers: { 'If-Match': etag } })).status, 412)
  assert.equal((await it.request('PATCH', one, { events: ['**'] }, { key })).status, 400)
  assert.equal((await it.request('DELETE', one, undefined, { key })).status, 204)
  assert.equal((await it.request('GET', one, undefined, { key })).status, 404)
  const { rows } =
    await sql`select action from audit_event where organisation_id = ${id} and result = 'done' order by sequence`.execute(
      it.database.owner.db,
    )
  assert.deepEqual(
    rows,
    ['webhook.created', 'webhook.changed', 'webhook.deleted'].map((action) => ({ action })),
  )
})

test('lists of webhooks and deliveries come by pages', async (t) => {
  const it = await subscriptions(t)
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/webhooks`
  const made: string[] = []
  for (let n = 0; n < 5; n++) {
    const { body } = await it.request('POST', path, { url: 'https://example.org/', events: ['nothing.ever'] }, { key })
    made.push(body.id)
  }
  const walk = async (first: string): Promise<string[]> => {
    const ids: string[] = []
    for (let url: string | undefined = first; url !== undefined;) {
      const { body } = await it.request('GET', url, undefined, { key })
      ids.push(...body.items.map((item: { id: string }) => item.id))
      url = body.next?.replace('/api/v1', '')
    }
    return ids
  }
  assert.deepEqual(await walk(`${path}?limit=2`), made.toSorted())
  await sql`
    insert into webhook_delivery (organisation_id, id, webhook_id, event_type, body, state)
    select ${id}, 'dlv_' || n, ${made[0]}, 'relay.enrolled', '{}', 'delivered' from generate_series(1, 5) n`.execute(
    it.database.owner.db,
  )
  assert.deepEqual(await walk(`${path}/${made[0]}/deliveries?limit=2`), ['dlv_5', 'dlv_4', 'dlv_3', 'dlv_2', 'dlv_1'])
})

test('a signature is of id, time and body: another of any is none', () => {
  const id = 'dlv_1' as DeliveryId
  const body = Buffer.from('{"a":1}')
  const header = signMessage({ id, timestamp: 1_700_000_000, body }, ['one', 'two'])
  assert.match(header, /^t=1700000000,v1=[0-9a-f]{64},v1=[0-9a-f]{64}$/)
  const checks: [header: string, id: string, body: string, secret: string, isSigned: boolean][] = [
    [header, 'dlv_1', '{"a":1}', 'one', true],
    [header, 'dlv_1', '{"a":1}', 'two', true],
    [header, 'dlv_1', '{"a":1}', 'three', false],
    [header, 'dlv_2', '{"a":1}', 'one', false],
    [header, 'dlv_1', '{"a":2}', 'one', false],
    [header.replace('t=1700000000', 't=1700000001'), 'dlv_1', '{"a":1}', 'one', false],
    ['', 'dlv_1', '{"a":1}', 'one', false],
    ['t=1700000000,v1=', 'dlv_1', '{"a":1}', 'one', false],
  ]
  for (const [given, ofId, text, secret, isSigned] of checks)
    assert.equal(isSignedBy(given, ofId as DeliveryId, Buffer.from(text), secret), isSigned)
})

test('waits grow to an hour, and the rest of a broken receiver to ten minutes', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 30].map((n) => resendWaitMs(n, 0.5)),
    [5e3, 30e3, 120e3, 600e3, 1_800e3, 3_600e3, 3_600e3],
  )
  assert.deepEqual([resendWaitMs(1, 0), resendWaitMs(1, 1)], [4_000, 6_000])
  assert.deepEqual([0, 2, 3, 4, 9, 100].map(restMs), [0, 0, 10e3, 20e3, 600e3, 600e3])
})
