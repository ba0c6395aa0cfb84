// Support grants: metadata, read-only, 72 hours at most, seen and taken back at once; and installation administrators. (AZ-7, AZ-1)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { installationAdministratorRoutes } from '../../../control-plane/access/installation-administrator-routes.ts'
import { memberRoutes } from '../../../control-plane/access/member-routes.ts'
import { supportGrantRoutes } from '../../../control-plane/access/support-grant-routes.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import { organisationRoutes } from '../../../control-plane/organisations/organisation-routes.ts'
import { testApi } from '../../harness/api.ts'

const HOUR_MS = 3_600_000
let now = Date.now()
const it = await testApi(
  { after },
  () => [
    ...supportGrantRoutes(),
    ...installationAdministratorRoutes(),
    ...organisationRoutes({ region: 'default' }),
    ...memberRoutes(),
  ],
  { now: () => now },
)

const outsider = () => {
  const session = it.session()
  const [tenantId = '', objectId = ''] = session.principal.split('/')
  return { ...session, tenantId, objectId }
}

test('AZ-7: support sees the organisation for the granted time and not a moment longer, and changes nothing', async () => {
  const { id, key } = await it.organisation()
  const support = outsider()
  const { tenantId, objectId } = support
  const path = `/organizations/${id}`
  assert.equal((await it.request('GET', path, undefined, support)).status, 404)
  const body = { tenantId, objectId, reason: 'Ticket 42', hours: 2 }
  const granted = await it.request('POST', `${path}/support-grants`, body, { key })
  assert.equal(granted.status, 201)
  assert.equal(Date.parse(granted.body.expiresAt) - Date.parse(granted.body.createdAt), 2 * HOUR_MS)
  assert.equal((await it.request('GET', path, undefined, support)).status, 200)
  const list = await it.request('GET', '/organizations', undefined, support)
  assert.deepEqual(
    list.body.items.map((item: { id: string }) => item.id),
    [id],
  )
  assert.equal((await it.request('PATCH', path, { name: 'Mine' }, support)).status, 403)
  now += 2 * HOUR_MS
  assert.equal((await it.request('GET', path, undefined, support)).status, 404)
  assert.deepEqual((await it.request('GET', '/organizations', undefined, support)).body.items, [])
})

test('AZ-7: a grant is seen by everybody of the organisation, and taken back at once; once is enough', async () => {
  const { id, key } = await it.organisation()
  const helpDesk = await it.member(id, 'help-desk')
  const support = outsider()
  const { tenantId, objectId } = support
  const path = `/organizations/${id}/support-grants`
  const { body: grant } = await it.request('POST', path, { tenantId, objectId, reason: 'Look', hours: 72 }, { key })
  const seen = await it.request('GET', `${path}?state=active`, undefined, { key: helpDesk.key })
  assert.deepEqual(seen.body.items, [grant])
  for (let n = 0; n < 2; n++) {
    const revoked = await it.request('DELETE', `${path}/${grant.id}`, undefined, { key })
    assert.deepEqual([revoked.status, revoked.body.state], [200, 'revoked'])
    assert.equal((await it.request('GET', path, undefined, support)).status, 404)
  }
  assert.deepEqual((await it.request('GET', `${path}?state=active`, undefined, { key })).body.items, [])
  assert.equal((await it.request('GET', `${path}?state=ended`, undefined, { key })).body.items.length, 1)
  assert.equal((await it.request('GET', `${path}/${grant.id}`, undefined, { key })).body.state, 'revoked')
})

const badGrants: [change: Record<string, unknown>, pointer: string, why: string][] = [
  [{ hours: 73 }, '/hours', 'one over 72'],
  [{ hours: 0 }, '/hours', 'none'],
  [{ hours: 1.5 }, '/hours', 'no whole ones'],
  [{ reason: '' }, '/reason', 'without a reason'],
  [{ tenantId: 'vendor' }, '/tenantId', 'AZ-7: no vendor account'],
]
for (const [change, pointer, why] of badGrants) {
  test(`AZ-7: a grant with ${JSON.stringify(change)} is refused: ${why}`, async () => {
    const { id, key } = await it.organisation()
    const body = { tenantId: crypto.randomUUID(), objectId: crypto.randomUUID(), reason: 'x', hours: 1, ...change }
    const refused = await it.request('POST', `/organizations/${id}/support-grants`, body, { key })
    assert.deepEqual([refused.status, refused.body.faults[0].pointer], [400, pointer])
  })
}

test('AZ-7: the database takes no grant over 72 hours either', async () => {
  const { id } = await it.organisation()
  const insert = (hours: number) =>
    withScope(it.database.db, { organisation: id }, (tx) =>
      sql`insert into support_grant (organisation_id, id, principal, reason, granted_by, created_at, expires_at)
          values (${id}, ${`sup_${hours}`}, 'a/b', 'x', 'test', now(), now() + make_interval(hours => ${hours}::integer))`.execute(
        tx,
      ),
    )
  await insert(72)
  await assert.rejects(insert(73), /check constraint/)
})

test('AZ-6: granting support needs a fresh sign-in, taking it back does not', async () => {
  const { id, key } = await it.organisation()
  const stale = it.session({ authenticatedAt: now - 301_000 })
  const [tenantId, objectId] = stale.principal.split('/')
  const assignments = [{ role: 'organization-administrator' }]
  await it.request('POST', `/organizations/${id}/members`, { tenantId, objectId, assignments }, { key })
  const path = `/organizations/${id}/support-grants`
  const body = { tenantId: crypto.randomUUID(), objectId: crypto.randomUUID(), reason: 'x', hours: 1 }
  assert.equal((await it.request('POST', path, body, stale)).status, 401)
  const { body: grant } = await it.request('POST', path, body, { key })
  assert.equal((await it.request('DELETE', `${path}/${grant.id}`, undefined, stale)).status, 200)
})

test('grants are listed page by page, the one that ends last first', async () => {
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/support-grants`
  for (const hours of [5, 72, 1, 20]) {
    const body = { tenantId: crypto.randomUUID(), objectId: crypto.randomUUID(), reason: `${hours}`, hours }
    await it.request('POST', path, body, { key })
  }
  const seen: string[] = []
  let next: string | undefined = `${path}?limit=1`
  while (next !== undefined) {
    const { body } = await it.request('GET', next, undefined, { key })
    seen.push(...body.items.map(({ reason }: { reason: string }) => reason))
    next = body.next?.replace('/api/v1', '')
  }
  assert.deepEqual(seen, ['72', '20', '5', '1'])
  const tooLate = Buffer.from(JSON.stringify([9e15, 'x'])).toString('base64url')
  assert.equal((await it.request('GET', `${path}?cursor=${tooLate}`, undefined, { key })).status, 400)
})

// ── Installation administrators ────────────────────────────────────────────────────────────────────────────────────

test('an installation administrator adds another, who acts at once, and is removed again; each is told once by the installation', async () => {
  const first = await it.installationAdministrator()
  const second = outsider()
  const { tenantId, objectId } = second
  const events = () =>
    withScope(it.database.db, { organisation: INSTALLATION }, (tx) =>
      rowsOf<{ action: string }>(
        tx,
        sql`select action from audit_event where object = ${second.principal} order by sequence`,
      ),
    )
  const added = await it.request(
    'POST',
    '/installation/administrators',
    { tenantId, objectId, displayName: 'Eve' },
    first,
  )
  assert.deepEqual([added.status, added.body.displayName], [201, 'Eve'])
  assert.equal((await it.request('POST', '/installation/administrators', { tenantId, objectId }, first)).status, 409)
  const list = await it.request('GET', '/installation/administrators?limit=1000', undefined, second)
  assert.ok(list.body.items.some((item: { objectId: string }) => item.objectId === objectId))
  const removed = await it.request('DELETE', `/installation/administrators/${tenantId}/${objectId}`, undefined, first)
  assert.equal(removed.status, 204)
  assert.equal((await it.request('GET', '/installation/administrators', undefined, second)).status, 403)
  assert.deepEqual(
    (await events()).map(({ action }) => action),
    ['installation.administrator-added', 'installation.administrator-removed'],
  )
})

test('AZ-1: the last installation administrator stays, also when two remove each other at once', async (t) => {
  const api = await testApi(t, () => installationAdministratorRoutes())
  const breakGlass = api.session({ isBreakGlass: true })
  const add = async () => {
    const session = api.session()
    const [tenantId = '', objectId = ''] = session.principal.split('/')
    const reply = await api.request('POST', '/installation/administrators', { tenantId, objectId }, breakGlass)
    assert.equal(reply.status, 201)
    return { ...session, path: `/installation/administrators/${tenantId}/${objectId}` }
  }
  let last = await add()
  for (let round = 0; round < 5; round++) {
    const other = await add()
    const replies = await Promise.all([
      api.request('DELETE', other.path, undefined, last),
      api.request('DELETE', last.path, undefined, other),
    ])
    const statuses = replies.map(({ status }) => status)
    // The slower one is the last by then, unless it was denied already.
    assert.equal(statuses.filter((status) => status === 204).length, 1, statuses.join(' '))
    if (replies[1]?.status === 204) last = other
  }
  const refused = await api.request('DELETE', last.path, undefined, last)
  assert.deepEqual([refused.status, refused.body.type], [409, '/problems/last-administrator'])
})
