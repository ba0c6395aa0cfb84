// Organisations: who sees and founds them, renaming, settings, and deletion that can be undone. (control-plane.md §2, TI-5)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { principalOf } from '../../../control-plane/access/caller.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { memberRoutes } from '../../../control-plane/access/member-routes.ts'
import { organisationRoutes } from '../../../control-plane/organisations/organisation-routes.ts'
import { claimRegion, RegionMismatch } from '../../../control-plane/organisations/region.ts'
import { settingsRoutes } from '../../../control-plane/organisations/settings-routes.ts'
import { testApi } from '../../harness/api.ts'
import { testDatabase } from '../../harness/postgres.ts'

const deps = { region: 'default' }
const it = await testApi({ after }, () => [...organisationRoutes(deps), ...settingsRoutes(deps), ...memberRoutes()])

const eventsOf = (organisation: OrganisationId) =>
  withScope(it.database.db, { organisation }, (tx) =>
    rowsOf<{ action: string; object: string }>(tx, sql`select action, object from audit_event order by sequence`),
  )
const person = () => ({ tenantId: crypto.randomUUID(), objectId: crypto.randomUUID() })

test('an installation administrator founds an organisation, whose first administrator it names; the installation tells of it once', async () => {
  const founder = await it.installationAdministrator()
  const administrator = { ...person(), displayName: 'Ada' }
  const before = await eventsOf(INSTALLATION)
  const founded = await it.request('POST', '/organizations', { name: '  Contoso ', administrator }, founder)
  assert.equal(founded.status, 201)
  assert.equal(founded.body.name, 'Contoso')
  assert.equal(founded.headers.get('location'), `/api/v1/organizations/${founded.body.id}`)
  const left = (await eventsOf(INSTALLATION)).slice(before.length)
  assert.deepEqual(left, [{ action: 'organization.created', object: founded.body.id }])
  assert.deepEqual(await eventsOf(founded.body.id), [], 'its own trail is there, and empty')

  const first = it.session({ principal: principalOf(administrator.tenantId, administrator.objectId) })
  const members = await it.request('GET', `/organizations/${founded.body.id}/members`, undefined, first)
  assert.deepEqual(
    members.body.items.map(({ displayName, assignments }: Record<string, unknown>) => ({ displayName, assignments })),
    [{ displayName: 'Ada', assignments: [{ role: 'organization-administrator' }] }],
  )
})

test('whoever founds an organisation sees nothing of it but id and name', async () => {
  const founder = await it.installationAdministrator()
  const { body } = await it.request('POST', '/organizations', { name: 'Veiled', administrator: person() }, founder)
  for (const path of ['', '/members', '/settings'])
    assert.equal((await it.request('GET', `/organizations/${body.id}${path}`, undefined, founder)).status, 404, path)
  const list = await it.request('GET', '/organizations?limit=1000', undefined, founder)
  assert.deepEqual(
    list.body.items.find(({ id }: { id: string }) => id === body.id),
    { id: body.id, name: 'Veiled', isMine: false },
  )
})

test('founding is for installation administrators only: a key of any role and a session of anybody are refused', async () => {
  const { id, key } = await it.organisation()
  const body = { name: 'Mine', administrator: person() }
  const before = await eventsOf(INSTALLATION)
  for (const caller of [{ key }, it.session(), { key: (await it.member(id, 'migration-administrator')).key }]) {
    const refused = await it.request('POST', '/organizations', body, caller)
    assert.deepEqual([refused.status, refused.body.permission], [403, 'installation.manage'])
  }
  assert.equal((await eventsOf(INSTALLATION)).length, before.length + 3, 'each refusal is in the trail')
})

test('the list shows a person his own organisations by name, page by page, and nobody else’s', async () => {
  const me = it.session()
  const names = ['beta', 'Alpha', 'gamma', 'Alpha']
  for (const name of names) {
    const { id, key } = await it.organisation(name)
    const [tenantId, objectId] = me.principal.split('/')
    const added = await it.request(
      'POST',
      `/organizations/${id}/members`,
      { tenantId, objectId, assignments: [{ role: 'help-desk' }] },
      { key },
    )
    assert.equal(added.status, 201)
  }
  await it.organisation('Not mine')
  const seen: string[] = []
  let path: string | undefined = '/organizations?limit=1'
  while (path !== undefined) {
    const page = await it.request('GET', path, undefined, me)
    assert.equal(page.status, 200)
    seen.push(...page.body.items.map(({ name }: { name: string }) => name))
    path = page.body.next?.replace('/api/v1', '')
  }
  assert.deepEqual(seen, ['Alpha', 'Alpha', 'beta', 'gamma'])
  assert.deepEqual((await it.request('GET', '/organizations', undefined, it.session())).body.items, [])
})

test('a key lists its own organisation only, and a disabled member’s key none', async () => {
  const { id, key } = await it.organisation('Keyed')
  const helper = await it.member(id, 'help-desk')
  const mine = await it.request('GET', '/organizations', undefined, { key: helper.key })
  assert.deepEqual(mine.body.items, [{ id, name: 'Keyed', isMine: true }])
  const disabled = await it.request(
    'PATCH',
    `/organizations/${id}/members/${helper.member}`,
    { isDisabled: true },
    { key },
  )
  assert.equal(disabled.status, 200)
  assert.deepEqual((await it.request('GET', '/organizations', undefined, { key: helper.key })).body.items, [])
})

test('somebody with a role in one project alone lists the organisation, but can not read it', async () => {
  const { id } = await it.organisation('Partly')
  const project = await it.project(id)
  const { key } = await it.member(id, 'mail-operator', project)
  assert.deepEqual((await it.request('GET', '/organizations', undefined, { key })).body.items, [
    { id, name: 'Partly', isMine: true },
  ])
  assert.equal((await it.request('GET', `/organizations/${id}`, undefined, { key })).status, 404)
})

test('a rename with the ETag of an earlier version is refused', async () => {
  const { id, key } = await it.organisation('Before')
  const path = `/organizations/${id}`
  const read = await it.request('GET', path, undefined, { key })
  const headers = { 'If-Match': read.headers.get('etag') ?? '' }
  assert.equal((await it.request('PATCH', path, { name: 'After' }, { key, headers })).status, 200)
  assert.equal((await it.request('PATCH', path, { name: 'Again' }, { key, headers })).status, 412)
  assert.equal((await it.request('GET', path, undefined, { key })).body.name, 'After')
})

const badNames: [name: unknown, why: string][] = [
  ['', 'empty'],
  ['   ', 'nothing but spaces'],
  ['a'.repeat(201), 'one too long'],
  ['Con\u200btoso', 'a zero-width space'],
  ['Contoso\u202e', 'turns the reading direction'],
  ['Con\u0000toso', 'NUL, which Postgres can not keep'],
  [7, 'no text'],
]
for (const [name, why] of badNames) {
  test(`an organisation can not be named ${JSON.stringify(name).slice(0, 20)}: ${why}`, async () => {
    const { id, key } = await it.organisation()
    const refused = await it.request('PATCH', `/organizations/${id}`, { name }, { key })
    assert.deepEqual([refused.status, refused.body.faults[0].pointer], [400, '/name'])
  })
}

test('KM-3: deletion is asked for with a fresh sign-in, stands in the organisation, and can be undone', async () => {
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}`
  assert.equal(
    (await it.request('DELETE', `${path}/deletion`, undefined, { key })).body.type,
    '/problems/deletion-not-requested',
  )
  const asked = await it.request('DELETE', path, undefined, { key })
  assert.equal(asked.status, 202)
  const { requestedAt, undoableUntil } = asked.body.deletion
  assert.equal(Date.parse(undoableUntil) - Date.parse(requestedAt), 7 * 86_400_000)
  assert.equal((await it.request('DELETE', path, undefined, { key })).body.type, '/problems/deletion-pending')
  assert.equal((await it.request('PATCH', path, { name: 'x' }, { key })).body.type, '/problems/deletion-pending')
  const undone = await it.request('DELETE', `${path}/deletion`, undefined, { key })
  assert.deepEqual([undone.status, undone.body.deletion], [200, undefined])
  assert.deepEqual(
    (await eventsOf(id)).map(({ action }) => action),
    ['organization.deletion-requested', 'organization.deletion-undone'],
  )
})

test('AZ-6: a session signed in more than 5 minutes ago can not ask for deletion', async () => {
  const { id, key } = await it.organisation()
  const stale = it.session({ authenticatedAt: Date.now() - 301_000 })
  const [tenantId, objectId] = stale.principal.split('/')
  const assignments = [{ role: 'organization-administrator' }]
  await it.request('POST', `/organizations/${id}/members`, { tenantId, objectId, assignments }, { key })
  const refused = await it.request('DELETE', `/organizations/${id}`, undefined, stale)
  assert.deepEqual([refused.status, refused.body.type], [401, '/problems/sign-in-again'])
})

// ── Settings ───────────────────────────────────────────────────────────────────────────────────────────────────────

const DEFAULTS = {
  region: 'default',
  retention: { messageTraceDays: 30, taskArtefactDays: 30, customerLogDays: 30, auditDays: 400 },
  privacy: { pii: 'off' },
  signIn: { tenants: [], maxSessionHours: 12 },
  notifications: { addresses: [] },
}

test('settings have defaults, are replaced whole, and carry an ETag of their own', async () => {
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/settings`
  const first = await it.request('GET', path, undefined, { key })
  assert.deepEqual(first.body, DEFAULTS)
  const headers = { 'If-Match': first.headers.get('etag') ?? '' }
  await it.request('PATCH', `/organizations/${id}`, { name: 'Renamed meanwhile' }, { key })
  const changed = { ...DEFAULTS, retention: { ...DEFAULTS.retention, auditDays: 3650 } }
  const put = await it.request('PUT', path, changed, { key, headers })
  assert.deepEqual([put.status, put.body], [200, changed])
  assert.equal((await it.request('PUT', path, {}, { key, headers })).status, 412)
  assert.deepEqual((await it.request('PUT', path, {}, { key })).body, DEFAULTS)
})

const badSettings: [body: unknown, pointer: string, why: string][] = [
  [{ retention: { messageTraceDays: 31 } }, '/retention/messageTraceDays', 'PR-4: 30 days at most'],
  [{ retention: { taskArtefactDays: 31 } }, '/retention/taskArtefactDays', 'PR-4: 30 days at most'],
  [{ retention: { customerLogDays: 0 } }, '/retention/customerLogDays', 'a day at least'],
  [{ retention: { auditDays: 89 } }, '/retention/auditDays', 'below what an audit needs'],
  [{ retention: { auditDays: 400.5 } }, '/retention/auditDays', 'no whole days'],
  [{ privacy: { pii: 'plain' } }, '/privacy/pii', 'no such mode'],
  [{ signIn: { tenants: ['contoso.com'] } }, '/signIn/tenants/0', 'a tenant is named by its id'],
  [{ signIn: { maxSessionHours: 13 } }, '/signIn/maxSessionHours', 'AZ-3: 12 hours at most'],
  [{ notifications: { addresses: ['a@b.example', 'A@B.example'] } }, '/notifications/addresses', 'twice the same'],
  [{ notifications: { addresses: ['a@b.example\r\nBcc: c@d.example'] } }, '/notifications/addresses/0', 'a line break'],
  [{ notifications: { addresses: ['root@[127.0.0.1]'] } }, '/notifications/addresses/0', 'an address literal'],
  [{ region: 'Europe West' }, '/region', 'no label'],
  [{ retentionDays: 3 }, '/retentionDays', 'unknown member'],
]
for (const [body, pointer, why] of badSettings) {
  test(`settings ${JSON.stringify(body)} are refused at ${pointer}: ${why}`, async () => {
    const { id, key } = await it.organisation()
    const refused = await it.request('PUT', `/organizations/${id}/settings`, body, { key })
    assert.deepEqual(
      [refused.status, refused.body.faults?.map((fault: { pointer: string }) => fault.pointer)],
      [400, [pointer]],
    )
  })
}

test('TI-5: a region other than the installation’s is refused, in settings and at the founding', async () => {
  const { id, key } = await it.organisation()
  const refused = await it.request('PUT', `/organizations/${id}/settings`, { region: 'eu-north' }, { key })
  assert.deepEqual(
    [refused.status, refused.body.type, refused.body.region],
    [409, '/problems/region-mismatch', 'default'],
  )
  const founder = await it.installationAdministrator()
  const body = { name: 'Elsewhere', region: 'eu-north', administrator: person() }
  assert.equal((await it.request('POST', '/organizations', body, founder)).body.type, '/problems/region-mismatch')
})

test('TI-5: storage takes the label of the first process, and one of another region does not start on it', async (t) => {
  const { db } = await testDatabase(t)
  await claimRegion(db, 'eu-north')
  await claimRegion(db, 'us-east') // nobody's data is there yet
  await withScope(db, { organisation: 'org_a' as OrganisationId }, (tx) =>
    sql`insert into organisation (organisation_id, name, region) values ('org_a', 'A', 'us-east')`.execute(tx),
  )
  await claimRegion(db, 'us-east')
  await assert.rejects(claimRegion(db, 'eu-north'), RegionMismatch)
})

test('PR-2: switching off that people may be named asks for the purge', async () => {
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/settings`
  const jobs = () =>
    withScope(it.database.db, { organisation: id }, (tx) => rowsOf<{ kind: string }>(tx, sql`select kind from outbox`))
  await it.request('PUT', path, { privacy: { pii: 'customer' } }, { key })
  assert.deepEqual(await jobs(), [])
  await it.request('PUT', path, { privacy: { pii: 'off' } }, { key })
  assert.deepEqual(await jobs(), [{ kind: 'retention.sweep' }])
})

test('a sign-in policy keeps members of other tenants out, and can not keep every administrator out', async () => {
  const { id, key } = await it.organisation() // its administrator is of tenant 1111…
  const ours = '11111111-1111-1111-1111-111111111111'
  const path = `/organizations/${id}/settings`
  const guest = it.session({ principal: `${crypto.randomUUID()}/${crypto.randomUUID()}` })
  const [tenantId, objectId] = guest.principal.split('/')
  await it.request(
    'POST',
    `/organizations/${id}/members`,
    { tenantId, objectId, assignments: [{ role: 'auditor' }] },
    { key },
  )
  assert.equal((await it.request('GET', `/organizations/${id}`, undefined, guest)).status, 200)
  const locked = await it.request('PUT', path, { signIn: { tenants: [crypto.randomUUID()] } }, { key })
  assert.equal(locked.body.type, '/problems/last-administrator')
  assert.equal((await it.request('PUT', path, { signIn: { tenants: [ours.toUpperCase()] } }, { key })).status, 200)
  assert.equal((await it.request('GET', `/organizations/${id}`, undefined, guest)).status, 404)
})

test('a sign-in policy asks for a new sign-in when the session is older than it allows', async () => {
  const { id, key } = await it.organisation()
  const old = it.session({ authenticatedAt: Date.now() - 2 * 3_600_000 })
  const [tenantId, objectId] = old.principal.split('/')
  await it.request(
    'POST',
    `/organizations/${id}/members`,
    { tenantId, objectId, assignments: [{ role: 'auditor' }] },
    { key },
  )
  assert.equal((await it.request('GET', `/organizations/${id}`, undefined, old)).status, 200)
  await it.request('PUT', `/organizations/${id}/settings`, { signIn: { maxSessionHours: 1 } }, { key })
  const refused = await it.request('GET', `/organizations/${id}`, undefined, old)
  assert.deepEqual([refused.status, refused.body.type], [401, '/problems/sign-in-again'])
})
