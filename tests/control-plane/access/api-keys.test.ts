// API keys: everyone's own within what he holds, service keys with secret.manage, shown once, and never more than their maker. (AZ-6, AZ-8, KM-7)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { apiKeyRoutes } from '../../../control-plane/access/api-key-routes.ts'
import { chooseExpiry } from '../../../control-plane/access/api-key-shape.ts'
import { memberRoutes } from '../../../control-plane/access/member-routes.ts'
import { meRoutes } from '../../../control-plane/access/me-routes.ts'
import { ORGANISATION_PERMISSIONS } from '../../../control-plane/access/permissions.ts'
import { rowOf, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const START = Date.parse('2026-11-22T10:00:00Z')

interface Setting {
  readonly it: TestApi
  readonly clock: { now: number }
}

async function aSetting(t: TestContext): Promise<Setting> {
  const clock = { now: START }
  const routes = () => [...apiKeyRoutes(), ...meRoutes(), ...memberRoutes()]
  return { it: await testApi(t, routes, { now: () => clock.now }), clock }
}

const pathOf = (organisation: string) => `/organizations/${organisation}/api-keys`
const iso = (ms: number) => new Date(ms).toISOString()

/** A signed-in person who is a member with this role. */
async function person(it: TestApi, organisation: OrganisationId, role: string, project?: string) {
  const { principal, key } = await it.member(organisation, role, project)
  return { principal, key, headers: it.session({ principal }).headers }
}

const eventsOf = (it: TestApi, organisation: OrganisationId) =>
  withScope(it.database.db, { organisation }, (tx) =>
    rowsOf<{ action: string; actor: string; object: string; result: string }>(
      tx,
      sql`select action, actor, object, result from audit_event where organisation_id = ${organisation} order by sequence`,
    ),
  )

test('AZ-8: a key is shown once, works at once, and only its hash is kept', async (t) => {
  const { it } = await aSetting(t)
  const { id } = await it.organisation()
  const { headers, principal } = await person(it, id, 'mail-operator')
  const asked = { name: 'Nightly', permissions: ['relay.read', 'message.trace'] }
  const made = await it.request('POST', pathOf(id), asked, { headers })
  assert.equal(made.status, 201)
  const { key, secret } = made.body
  assert.match(secret, /^cwk_[A-Za-z0-9_-]{43}$/)
  assert.deepEqual(key, {
    id: key.id,
    name: 'Nightly',
    prefix: secret.slice(0, 10),
    kind: 'personal',
    owner: `person:${principal}`,
    permissions: ['relay.read', 'message.trace'],
    allowsDangerous: false,
    state: 'active',
    createdAt: iso(START),
    expiresAt: iso(START + 90 * DAY),
  })
  assert.equal(made.headers.get('location'), `/api/v1${pathOf(id)}/${key.id}`)
  const read = await it.request('GET', `${pathOf(id)}/${key.id}`, undefined, { headers })
  assert.deepEqual([read.status, read.body], [200, key])
  assert.equal((await it.request('GET', '/me', undefined, { key: secret })).status, 200)
  const rows = await rowsOf<{ row: string }>(it.database.owner.db as never, sql`select k::text as row from api_key k`)
  assert.ok(rows.length > 1 && rows.every(({ row }) => !row.includes(secret)))
  assert.ok(!it.lines.some((line) => line.includes(secret)))
  assert.deepEqual(await eventsOf(it, id), [
    { action: 'api-key.created', actor: `person:${principal}`, object: key.id, result: 'done' },
  ])
})

test('AZ-8: the last use is shown, to the minute', async (t) => {
  const { it, clock } = await aSetting(t)
  const { id } = await it.organisation()
  const { headers } = await person(it, id, 'auditor')
  const { key, secret } = (
    await it.request('POST', pathOf(id), { name: 'k', permissions: ['audit.read'] }, { headers })
  ).body
  const lastUsed = async () =>
    (await it.request('GET', `${pathOf(id)}/${key.id}`, undefined, { headers })).body.lastUsedAt
  assert.equal(await lastUsed(), undefined)
  clock.now += HOUR
  await it.request('GET', '/me', undefined, { key: secret })
  assert.equal(await lastUsed(), iso(START + HOUR))
  clock.now += MINUTE
  await it.request('GET', '/me', undefined, { key: secret })
  assert.equal(await lastUsed(), iso(START + HOUR))
})

test('revoked, expired, or its owner disabled or removed: the next request is refused', async (t) => {
  const { it, clock } = await aSetting(t)
  const { id, key: administrator } = await it.organisation()
  const owner = await person(it, id, 'auditor')
  const make = async (expiresAt?: string) =>
    (
      await it.request(
        'POST',
        pathOf(id),
        { name: 'k', permissions: ['audit.read'], expiresAt },
        { headers: owner.headers },
      )
    ).body
  const reads = async (secret: string) => (await it.request('GET', pathOf(id), undefined, { key: secret })).status
  const revoked = await make()
  assert.equal(await reads(revoked.secret), 200)
  const path = `${pathOf(id)}/${revoked.key.id}`
  const stale = await it.request('DELETE', path, undefined, { headers: { ...owner.headers, 'If-Match': '"2"' } })
  assert.equal(stale.status, 412)
  assert.equal((await it.request('DELETE', path, undefined, { headers: owner.headers })).status, 204)
  assert.equal(await reads(revoked.secret), 401)
  assert.equal((await it.request('DELETE', path, undefined, { headers: owner.headers })).status, 204, 'as it is')
  const { body } = await it.request('GET', path, undefined, { headers: owner.headers })
  assert.deepEqual([body.state, body.revokedAt], ['revoked', iso(START)])

  const short = await make(iso(START + HOUR))
  const long = await make()
  clock.now += HOUR - 1
  assert.equal(await reads(short.secret), 200)
  clock.now += 1
  assert.equal(await reads(short.secret), 401)

  const options = { key: administrator, headers: { 'If-Match': '*' } }
  const [member] = (await it.request('GET', `/organizations/${id}/members?role=auditor`, undefined, options)).body.items
  const memberPath = `/organizations/${id}/members/${member.id}`
  assert.equal((await it.request('PATCH', memberPath, { isDisabled: true }, options)).status, 200)
  assert.equal(await reads(long.secret), 404, 'a key of nobody who may see anything here')
  assert.equal((await it.request('DELETE', memberPath, undefined, options)).status, 204)
  assert.equal(await reads(long.secret), 401)
  const actions = (await eventsOf(it, id)).map(({ action }) => action).filter((action) => action.startsWith('api-key'))
  assert.deepEqual(actions, ['api-key.created', 'api-key.revoked', 'api-key.created', 'api-key.created'])
})

// ── Who may make what ──────────────────────────────────────────────────────────────────────────────────────────────

test('nobody makes a key that holds more than he does, where he does', async (t) => {
  const { it } = await aSetting(t)
  const { id } = await it.organisation()
  const [ours, others] = [await it.project(id), await it.project(id)]
  const elsewhere = await it.project((await it.organisation()).id)
  const desk = await person(it, id, 'help-desk', ours)
  const auditor = await person(it, id, 'auditor')
  const administrator = await person(it, id, 'organization-administrator')
  const stranger = it.session()
  const key = (more: object) => ({ name: 'k', permissions: ['mapping.read'], ...more })
  const attempts: [
    why: string,
    who: { headers: Record<string, string> },
    body: object,
    status: number,
    names?: string,
  ][] = [
    ['what he holds in his project, for it', desk, key({ project: ours }), 201],
    ['what he holds in his project, for all', desk, key({}), 403, 'mapping.read'],
    ['for a project in which he is nobody', desk, key({ project: others }), 400],
    ['for a project of another organisation', administrator, key({ project: elsewhere }), 400],
    ['more than his role', auditor, key({ permissions: ['audit.read', 'mapping.write'] }), 403, 'mapping.write'],
    ['a service key without secret.manage', auditor, key({ kind: 'service' }), 403, 'secret.manage'],
    ['a service key with it', administrator, key({ kind: 'service', permissions: ['secret.manage'] }), 201],
    ['the installation', administrator, key({ permissions: ['installation.manage'] }), 400],
    ['a permission that is none', administrator, key({ permissions: ['mapping.*'] }), 400],
    ['no permission', administrator, key({ permissions: [] }), 400],
    ['somebody of elsewhere', stranger, key({}), 404],
    ['an owner of his choice', auditor, key({ owner: 'person:x/y' }), 400],
    ['a longer life than a year', administrator, key({ expiresAt: iso(START + 365 * DAY + 1) }), 400],
    ['a year', administrator, key({ expiresAt: iso(START + 365 * DAY) }), 201],
    ['an end that is past', administrator, key({ expiresAt: iso(START) }), 400],
  ]
  for (const [why, { headers }, body, status, names] of attempts) {
    const reply = await it.request('POST', pathOf(id), body, { headers })
    assert.equal(reply.status, status, `${why}: ${JSON.stringify(reply.body)}`)
    if (names !== undefined) assert.equal(reply.body.permission, names, why)
  }
  const denials = (await eventsOf(it, id)).filter(({ result }) => result === 'denied')
  assert.equal(denials.length, 3)
})

test('a personal key never does more than its owner, whatever it was given', async (t) => {
  const { it } = await aSetting(t)
  const { id } = await it.organisation()
  const { headers, principal } = await person(it, id, 'organization-administrator')
  await it.member(id, 'organization-administrator')
  const { secret } = (
    await it.request('POST', pathOf(id), { name: 'k', permissions: ORGANISATION_PERMISSIONS }, { headers })
  ).body
  await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`update role_assignment a set role_id = 'auditor' from member m
         where a.organisation_id = ${id} and m.id = a.member_id and m.principal = ${principal}`.execute(tx),
  )
  const { body } = await it.request('GET', '/me', undefined, { key: secret })
  assert.ok(body.organizations[0].permissions.includes('audit.read'))
  assert.ok(!body.organizations[0].permissions.includes('mapping.write'))
})

test('a key that makes a key: no more than it has, no longer than it lives, and for its own project only', async (t) => {
  const { it } = await aSetting(t)
  const { id } = await it.organisation()
  const [ours, others] = [await it.project(id), await it.project(id)]
  const { headers } = await person(it, id, 'organization-administrator')
  const make = (body: object, options: object) =>
    it.request('POST', pathOf(id), { name: 'k', permissions: ['mapping.read'], ...body }, options)
  const narrow = (
    await make(
      { project: ours, expiresAt: iso(START + DAY), permissions: ['mapping.read', 'project.read'] },
      { headers },
    )
  ).body.secret
  const service = (await make({ kind: 'service', permissions: ['secret.manage', 'audit.read'] }, { headers })).body
    .secret
  const attempts: [why: string, key: string, body: object, status: number][] = [
    ['the same again', narrow, { project: ours }, 201],
    ['for the whole organisation', narrow, {}, 403],
    ['for another project', narrow, { project: others }, 400],
    ['what only its owner holds', narrow, { project: ours, permissions: ['mapping.write'] }, 403],
    ['a longer life', narrow, { project: ours, expiresAt: iso(START + DAY + 1) }, 400],
    ['a service key', narrow, { project: ours, kind: 'service' }, 403],
    ['a service that makes a service key', service, { kind: 'service', permissions: ['audit.read'] }, 201],
    ['a service that gives more than it has', service, { kind: 'service' }, 403],
    ['a service that makes a personal key', service, { permissions: ['audit.read'] }, 409],
    ['for dangerous acts', narrow, { project: ours, allowsDangerous: true }, 401],
  ]
  for (const [why, key, body, status] of attempts) {
    const reply = await make(body, { key })
    assert.equal(reply.status, status, `${why}: ${JSON.stringify(reply.body)}`)
  }
  const { body } = await make({ project: ours }, { key: narrow })
  assert.equal(body.key.expiresAt, iso(START + DAY), 'by default as long as itself')
})

test('whom support was granted to has no keys', async (t) => {
  const { it, clock } = await aSetting(t)
  const { id } = await it.organisation()
  const guest = it.session()
  await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`insert into support_grant (organisation_id, id, principal, reason, granted_by, created_at, expires_at)
        values (${id}, 'sup_1', ${guest.principal}, 'r', 'test', ${new Date(clock.now)}, ${new Date(clock.now + HOUR)})`.execute(
      tx,
    ),
  )
  const { status } = await it.request('POST', pathOf(id), { name: 'k', permissions: ['project.read'] }, guest)
  assert.equal(status, 409)
})

test('AZ-6: a key for dangerous acts is made under a sign-in of the last 5 minutes, and lives a day at most', async (t) => {
  const { it, clock } = await aSetting(t)
  const { id, key } = await it.organisation()
  const { headers } = await person(it, id, 'organization-administrator')
  const make = (body: object, options: object) =>
    it.request(
      'POST',
      pathOf(id),
      { name: 'k', permissions: ['project.delete'], allowsDangerous: true, ...body },
      options,
    )
  const made = await make({}, { headers })
  assert.deepEqual([made.status, made.body.key.expiresAt], [201, iso(START + DAY)])
  assert.equal((await make({ expiresAt: iso(START + DAY + 1) }, { headers })).status, 400)
  const byKey = await make({}, { key })
  assert.deepEqual(
    [byKey.status, byKey.body.type],
    [401, '/problems/sign-in-again'],
    'though that key is for dangerous acts itself',
  )
  clock.now += 5 * MINUTE
  assert.equal((await make({}, { headers })).status, 201)
  clock.now += 1
  const late = await make({}, { headers })
  assert.deepEqual([late.status, late.body.type], [401, '/problems/sign-in-again'])
})

test('AZ-6, AZ-8: the database itself takes no key that lives longer, nor a personal one of nobody', async (t) => {
  const { it } = await aSetting(t)
  const { id } = await it.organisation()
  const insert = (lifeMs: number, isDangerous: boolean, isService: boolean) =>
    withScope(it.database.db, { organisation: id }, (tx) =>
      sql`insert into api_key (organisation_id, id, name, prefix, key_hash, principal, is_service, permissions, allows_dangerous, created_at, expires_at)
          values (${id}, ${`key_${lifeMs}`}, 'k', 'cwk_', ${String(lifeMs)}, 'p', ${isService}, '{}', ${isDangerous},
                  ${new Date(START)}, ${new Date(START + lifeMs)})`.execute(tx),
    )
  await assert.rejects(insert(365 * DAY + 1, false, true), /api_key_life/)
  await assert.rejects(insert(DAY + 1, true, true), /api_key_dangerous_life/)
  await assert.rejects(insert(DAY, true, false), /api_key_owner/)
  await insert(DAY, true, true)
})

// ── Whose keys are seen ────────────────────────────────────────────────────────────────────────────────────────────

test('one sees and revokes his own; with secret.manage all; nobody any of another organisation', async (t) => {
  const { it } = await aSetting(t)
  const { id } = await it.organisation()
  const other = await it.organisation('Fabrikam')
  const administrator = await person(it, id, 'organization-administrator')
  const auditor = await person(it, id, 'auditor')
  const make = async (who: { headers: Record<string, string> }, body: object = {}) =>
    (
      await it.request(
        'POST',
        pathOf(id),
        { name: 'k', permissions: ['audit.read'], ...body },
        { headers: who.headers },
      )
    ).body
  const his = await make(auditor)
  const theirs = await make(administrator)
  const service = await make(administrator, { kind: 'service' })
  const seen = async (options: object, query = '') => {
    const { body } = await it.request('GET', pathOf(id) + query, undefined, options)
    return (body.items as { id: string; name: string }[])
      .filter(({ name }) => name === 'k')
      .map((key) => key.id)
      .toSorted()
  }
  const idsOf = (...made: { key: { id: string } }[]) => made.map(({ key }) => key.id).toSorted()
  assert.deepEqual(await seen({ headers: auditor.headers }), idsOf(his))
  assert.deepEqual(await seen({ key: his.secret }), idsOf(his))
  assert.deepEqual(await seen({ headers: administrator.headers }), idsOf(his, theirs, service))
  assert.deepEqual(await seen({ headers: administrator.headers }, '?owner=me'), idsOf(theirs))
  assert.deepEqual(await seen({ headers: administrator.headers }, '?kind=service'), idsOf(service))
  assert.deepEqual(await seen({ key: service.secret }), idsOf(service), 'a service sees itself, not who made it')
  for (const [key, options, status] of [
    [theirs, { headers: auditor.headers }, 404],
    [service, { key: his.secret }, 404],
    [theirs, { key: service.secret }, 404],
    [his, { key: other.key }, 404],
    [service, { key: service.secret }, 204],
    [his, { headers: administrator.headers }, 204],
  ] as const) {
    const path = `${pathOf(id)}/${key.key.id}`
    if (status === 404) assert.equal((await it.request('GET', path, undefined, options)).status, 404)
    assert.equal((await it.request('DELETE', path, undefined, options)).status, status)
  }
  assert.equal(
    (await it.request('GET', `${pathOf(id)}/key_nonsense`, undefined, { headers: administrator.headers })).status,
    404,
  )
  assert.equal((await it.request('GET', pathOf(id), undefined, { key: other.key })).status, 404)
})

test('the list comes newest first, in pages, by kind, state and project', async (t) => {
  const { it, clock } = await aSetting(t)
  const { id } = await it.organisation()
  const project = await it.project(id)
  const { headers } = await person(it, id, 'organization-administrator')
  for (let n = 1; n <= 5; n++) {
    clock.now += n === 3 ? 0 : MINUTE // two made in the same millisecond
    const body = {
      name: `k${n}`,
      permissions: ['audit.read'],
      ...(n === 2 ? { project } : {}),
      ...(n === 1 ? { expiresAt: iso(clock.now + MINUTE) } : {}),
    }
    assert.equal((await it.request('POST', pathOf(id), body, { headers })).status, 201)
  }
  const all: string[] = []
  for (let next: string | undefined = `${pathOf(id)}?owner=me&limit=2`; next !== undefined;) {
    const { body } = await it.request('GET', next.replace('/api/v1', ''), undefined, { headers })
    all.push(...body.items.map(({ name }: { name: string }) => name))
    next = body.next as string | undefined
  }
  assert.deepEqual(
    [all.slice(0, 2), all.slice(2, 4).toSorted(), all.slice(4)],
    [
      ['k5', 'k4'],
      ['k2', 'k3'],
      ['k1', 'test'],
    ],
  )
  const named = async (query: string) =>
    (await it.request('GET', `${pathOf(id)}?owner=me&${query}`, undefined, { headers })).body.items.map(
      ({ name }: { name: string }) => name,
    )
  assert.deepEqual(await named('state=expired'), ['k1'])
  assert.deepEqual(await named(`project=${project}`), ['k2'])
  assert.deepEqual(await named('state=revoked'), [])
  assert.equal((await it.request('GET', `${pathOf(id)}?cursor=x`, undefined, { headers })).status, 400)
})

test('KM-7: keys that live longer than a month are in the inventory, with their last use, until they go', async (t) => {
  const { it, clock } = await aSetting(t)
  const { id } = await it.organisation()
  const { headers, principal } = await person(it, id, 'auditor')
  const make = async (days: number) => {
    const body = { name: 'k', permissions: ['audit.read'], expiresAt: iso(START + days * DAY) }
    return (await it.request('POST', pathOf(id), body, { headers })).body
  }
  const inventory = async () =>
    withScope(it.database.db, { organisation: id }, (tx) =>
      rowsOf<{ id: string; owner: string; expires_at: Date; last_used_at: Date | null }>(
        tx,
        sql`select id, owner, expires_at, last_used_at from key_inventory where kind = 'api-key' order by expires_at`,
      ),
    )
  await make(30)
  const [long, longer] = [await make(31), await make(60)]
  clock.now += HOUR
  await it.request('GET', '/me', undefined, { key: longer.secret })
  assert.deepEqual(await inventory(), [
    { id: long.key.id, owner: 'a person', expires_at: new Date(START + 31 * DAY), last_used_at: null },
    { id: longer.key.id, owner: 'a person', expires_at: new Date(START + 60 * DAY), last_used_at: new Date(clock.now) },
  ])
  await it.request('DELETE', `${pathOf(id)}/${long.key.id}`, undefined, { headers })
  assert.deepEqual(
    (await inventory()).map((key) => key.id),
    [longer.key.id],
  )
  await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`delete from member where organisation_id = ${id} and principal = ${principal}`.execute(tx),
  )
  assert.deepEqual(await inventory(), [])
})

// ── Its end ────────────────────────────────────────────────────────────────────────────────────────────────────────

const ends: [
  wantedMs: number | undefined,
  allowsDangerous: boolean,
  makerEndMs: number | undefined,
  endMs: number | undefined,
  why: string,
][] = [
  [undefined, false, undefined, 90 * DAY, '90 days by default'],
  [undefined, true, undefined, DAY, 'a day for dangerous acts'],
  [undefined, false, DAY, DAY, 'as long as the key that makes it'],
  [undefined, false, 200 * DAY, 90 * DAY, 'the default where that is shorter'],
  [365 * DAY, false, undefined, 365 * DAY, 'a year'],
  [365 * DAY + 1, false, undefined, undefined, 'longer than a year'],
  [DAY + 1, true, undefined, undefined, 'longer than a day for dangerous acts'],
  [DAY + 1, false, DAY, undefined, 'longer than the key that makes it'],
  [0, false, undefined, undefined, 'now'],
]
for (const [wantedMs, allowsDangerous, makerEndMs, endMs, why] of ends) {
  test(`AZ-6, AZ-8: a key's end, ${why}: ${endMs === undefined ? 'refused' : `${endMs / DAY} days`}`, () => {
    const wanted = { expiresAt: wantedMs === undefined ? undefined : iso(START + wantedMs), allowsDangerous }
    const end = chooseExpiry(wanted, START, makerEndMs === undefined ? undefined : START + makerEndMs)
    if (endMs === undefined) assert.ok(!(end instanceof Date) && end.pointer === '/expiresAt')
    else assert.deepEqual(end, new Date(START + endMs))
  })
}

test('RLS: the rows of another organisation’s keys are not there, by id or by list', async (t) => {
  const { it } = await aSetting(t)
  const [ours, theirs] = [await it.organisation(), await it.organisation()]
  const row = await withScope(it.database.db, { organisation: theirs.id }, (tx) =>
    rowOf<{ id: string }>(tx, sql`select id from api_key`),
  )
  assert.ok(row !== undefined)
  assert.equal((await it.request('GET', `${pathOf(ours.id)}/${row.id}`, undefined, { key: ours.key })).status, 404)
  assert.equal((await it.request('DELETE', `${pathOf(ours.id)}/${row.id}`, undefined, { key: ours.key })).status, 404)
  const { body } = await it.request('GET', pathOf(ours.id), undefined, { key: ours.key })
  assert.ok(!body.items.some(({ id }: { id: string }) => id === row.id))
})
