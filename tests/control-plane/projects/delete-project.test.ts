// Deletion carried out: nothing is left but the audit trail and a certificate, whatever interrupts it. (KM-3, PR-5)
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import type { TestContext } from 'node:test'
import fc from 'fast-check'
import { sql } from 'kysely'
import { digestOf } from '../../../control-plane/audit/audit.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { referringFirst } from '../../../control-plane/db/erase-rows.ts'
import { INSTALLATION, newId } from '../../../control-plane/ids.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { ofProject } from '../../../control-plane/keys/key-owner.ts'
import { KeyDestroyed, KeyServiceUnavailable } from '../../../control-plane/keys/key-provider.ts'
import { decryptFor, encryptFor } from '../../../control-plane/keys/project-keys.ts'
import { shredKeys } from '../../../control-plane/keys/shred-keys.ts'
import {
  deleteOrganisation,
  requestDueOrganisationDeletions,
} from '../../../control-plane/organisations/delete-organisation.ts'
import { organisationRoutes } from '../../../control-plane/organisations/organisation-routes.ts'
import { certificateRoutes } from '../../../control-plane/projects/certificate-routes.ts'
import { deletionRoutes } from '../../../control-plane/projects/deletion-routes.ts'
import { deleteProject, requestDueProjectDeletions } from '../../../control-plane/projects/delete-project.ts'
import type { DeletionDeps, DeletionRun } from '../../../control-plane/projects/delete-project.ts'
import { projectRoutes } from '../../../control-plane/projects/project-routes.ts'
import { tenantRoutes } from '../../../control-plane/tenants/tenant-routes.ts'
import { claimTenant } from '../../../control-plane/tenants/tenant-store.ts'
import { testApi } from '../../harness/api.ts'
import { keyScene } from '../keys/key-scene.ts'
import { sampleOf } from '../../harness/thorough.ts'

const DAY_MS = 86_400_000
const CANARY = 'canary7f3a'
/** By how much the workers' clock is ahead: the API's stays, since keys live a day only. */
let aheadMs = 0
beforeEach(() => void (aheadMs = 0))
const it = await testApi({ after }, () => [
  ...projectRoutes(),
  ...deletionRoutes(),
  ...certificateRoutes(),
  ...tenantRoutes(),
  ...organisationRoutes({ region: 'default' }),
])
const { db } = it.database

const changeOf =
  (organisation: OrganisationId): DeletionRun['change'] =>
  (work) =>
    withScope(db, { organisation }, work)
const plain: DeletionDeps = {
  steps: [],
  shredKeys: () => Promise.resolve({ destruction: 'none' }),
  now: () => Date.now() + aheadMs,
}

/** A project with something of everything: tenant, mapping, relay with events, keys, jobs, people. */
async function furnished(name = `Merger ${CANARY}`) {
  const { id, key } = await it.organisation()
  const project = await it.project(id, name)
  const tenant = {
    side: 'source',
    label: 'src',
    tenantId: crypto.randomUUID(),
    name: CANARY,
    acceptedDomains: [`${CANARY}.example`],
  }
  const registered = await it.request('POST', `/projects/${project}/tenants`, tenant, { key })
  assert.equal(registered.status, 201)
  const { key: operator } = await it.member(id, 'mail-operator', project)
  const relay = newId('relay')
  const address = `a@${CANARY}.example`
  await withScope(db, { organisation: id }, async (tx) => {
    await sql`insert into mapping_entry (organisation_id, project_id, id, valid_from, presented_key, presented, mailbox, mailbox_domain, keys,
                                         wire, source, author, created_at)
              select ${id}, ${project}, 'map_' || n, 1, n || ${address}, n || ${address}, n || ${address}, ${`${CANARY}.example`},
                     array[n || ${address}], ${address}, 'manual', 'test', now() from generate_series(1, 40) n`.execute(
      tx,
    )
    await sql`insert into mapping_address (organisation_id, project_id, key, entry_id)
              select organisation_id, project_id, presented_key, id from mapping_entry where project_id = ${project}`.execute(
      tx,
    )
    await sql`insert into relay (organisation_id, project_id, id, name, state, signing_key, sealing_key, software_version, enrolled_at,
                                 state_changed_at, pinned_key, seen_at)
              values (${id}, ${project}, ${relay}, ${CANARY}, 'revoked', 'k', 'k', '1', now(), now() - interval '1 day', 'k', now())`.execute(
      tx,
    )
    await sql`select make_message_partition((now() at time zone 'UTC')::date + d) from generate_series(0, 1) d`.execute(
      tx,
    )
    await sql`insert into message_event (organisation_id, project_id, relay_id, time, id, received_at, class, event, sender, fields)
              select ${id}, ${project}, ${relay}, now() + make_interval(days => n % 2), 'e' || n, now(), 'message', 'accepted', ${address}, '{}'
                from generate_series(1, 10) n`.execute(tx)
    await sql`insert into operation (organisation_id, id, project_id, kind, permission, state, started_by)
              values (${id}, ${newId('operation')}, ${project}, 'mapping.import', 'mapping.import', 'succeeded', 'test')`.execute(
      tx,
    )
    await sql`insert into webhook (organisation_id, id, project_id, url, events, secret_sealed, created_by)
              values (${id}, ${newId('webhook')}, ${project}, ${`https://${CANARY}.example`}, '{*}', 'x', 'test')`.execute(
      tx,
    )
    await sql`insert into api_key (organisation_id, id, name, prefix, key_hash, principal, is_service, permissions, project_id, expires_at)
              values (${id}, ${newId('api-key')}, ${CANARY}, 'x', ${crypto.randomUUID()}, 'a/b', true, '{project.read}', ${project},
                      now() + interval '1 day')`.execute(tx)
  })
  return { id, key, project, operator }
}

/** Rows of each table that hold the text anywhere, as the owner sees them. */
async function tablesWith(text: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  const tables = await rowsOf<{ name: string }>(
    it.database.owner.db as never,
    sql`select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'`,
  )
  for (const { name } of tables) {
    const [row] = await rowsOf<{ count: number }>(
      it.database.owner.db as never,
      sql`select count(*) as count from ${sql.id(name)} t where position(${text} in t::text) > 0`,
    )
    if ((row?.count ?? 0) > 0) found[name] = row?.count ?? 0
  }
  return found
}

test('PR-5: after the deletion no row of any table holds what the project held, and only trail and certificate name it', async () => {
  const { id, key, project, operator } = await furnished()
  assert.ok(Object.keys(await tablesWith(CANARY)).length >= 8, 'there is something to be deleted')
  await it.request('DELETE', `/projects/${project}`, undefined, { key })
  aheadMs = 7 * DAY_MS
  const place = { organisation: id, project }
  assert.deepEqual(await deleteProject(place, { change: changeOf(id) }, plain), { kind: 'deleted' })
  assert.deepEqual(await tablesWith(CANARY), {})
  assert.deepEqual(Object.keys(await tablesWith(project)).toSorted(), ['audit_event', 'deletion_certificate', 'event'])
  for (const caller of [key, operator])
    assert.equal((await it.request('GET', `/projects/${project}`, undefined, { key: caller })).status, 404)
})

test('EC-3: the tenants of a deleted project are free for another organisation', async () => {
  const { id, key, project } = await furnished('Free again')
  const { body } = await it.request('GET', `/projects/${project}/tenants`, undefined, { key })
  const other = await it.organisation('Fabrikam')
  const theirs = await it.project(other.id)
  const tenant = { side: 'source', label: 'x', tenantId: body.items[0].tenantId as string }
  // Its administrator has proved that it is this organisation's.
  await withScope(db, { organisation: id }, (tx) => claimTenant(tx, id, tenant.tenantId))
  assert.equal((await it.request('POST', `/projects/${theirs}/tenants`, tenant, { key: other.key })).status, 409)
  await it.request('DELETE', `/projects/${project}`, undefined, { key })
  aheadMs = 7 * DAY_MS
  await deleteProject({ organisation: id, project }, { change: changeOf(id) }, plain)
  assert.equal((await it.request('POST', `/projects/${theirs}/tenants`, tenant, { key: other.key })).status, 201)
})

test('KM-3: nothing is deleted before the 7 days are over, when it was undone, or without having been asked for', async () => {
  const { id, key } = await it.organisation()
  const project = await it.project(id)
  const run = () => deleteProject({ organisation: id, project }, { change: changeOf(id) }, plain)
  assert.deepEqual(await run(), { kind: 'not-due' })
  await it.request('DELETE', `/projects/${project}`, undefined, { key })
  aheadMs = 7 * DAY_MS - 60_000
  assert.deepEqual(await run(), { kind: 'not-due' })
  await it.request('DELETE', `/projects/${project}/deletion`, undefined, { key })
  aheadMs = 8 * DAY_MS
  assert.deepEqual(await run(), { kind: 'not-due' })
  assert.equal((await it.request('GET', `/projects/${project}`, undefined, { key })).status, 200)
})

test('TI-3: a job that names another organisation’s project finds nothing to delete', async () => {
  const { id, key } = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const project = await it.project(id)
  await it.request('DELETE', `/projects/${project}`, undefined, { key })
  aheadMs = 8 * DAY_MS
  const forged = await deleteProject({ organisation: theirs.id, project }, { change: changeOf(theirs.id) }, plain)
  assert.deepEqual(forged, { kind: 'deleted' }, 'not there, as far as it can see')
  assert.equal((await it.request('GET', `/projects/${project}`, undefined, { key })).status, 200)
})

test('KM-3: the certificate says what was deleted, when, on whose word; its digest is in the audit trail', async () => {
  const { id, key, project } = await furnished('Certified')
  const auditor = await it.member(id, 'auditor')
  const asked = await it.request('DELETE', `/projects/${project}`, undefined, { key })
  const { requestedAt } = asked.body.deletion
  aheadMs = 7 * DAY_MS
  await deleteProject({ organisation: id, project }, { change: changeOf(id) }, plain)
  const path = `/organizations/${id}/deletion-certificates`
  const list = await it.request('GET', `${path}?subject=${project}`, undefined, { key: auditor.key })
  assert.equal(list.body.items.length, 1)
  const { body } = await it.request('GET', `${path}/${list.body.items[0].id}`, undefined, { key: auditor.key })
  const { certificate, sha256 } = body
  assert.equal(digestOf(certificate), sha256)
  assert.deepEqual([certificate.subject, certificate.requestedAt], [{ kind: 'project', id: project }, requestedAt])
  assert.deepEqual(
    certificate.steps.map(({ name }: { name: string }) => name),
    ['relays', 'keys', 'rows'],
  )
  assert.equal(certificate.steps[2].details.rows.mapping_entry, 40)
  assert.equal(certificate.steps[2].details.rows.message_event, 10)
  assert.equal(Date.parse(certificate.backupsExpireAt) - Date.parse(certificate.completedAt), 35 * DAY_MS)
  const [event] = await withScope(db, { organisation: id }, (tx) =>
    rowsOf<{ header: string }>(tx, sql`select header from audit_event where action = 'project.deleted'`),
  )
  const header = JSON.parse(event?.header ?? '{}')
  assert.deepEqual([header.after, header.object, header.actor], [sha256, project, 'system:deletion'])
  const other = await it.organisation('Fabrikam')
  assert.equal((await it.request('GET', `${path}/${certificate.id}`, undefined, { key: other.key })).status, 404)
})

test('KM-3: a certificate can be changed or taken away by nobody of the service', async () => {
  const { id } = await it.organisation()
  const attempt = (statement: ReturnType<typeof sql>) =>
    withScope(db, { organisation: id }, (tx) => statement.execute(tx))
  await assert.rejects(attempt(sql`update deletion_certificate set document = ''`), /permission denied/)
  await assert.rejects(attempt(sql`delete from deletion_certificate`), /permission denied/)
  await assert.rejects(attempt(sql`delete from organisation`), /permission denied/)
  await assert.rejects(attempt(sql`delete from audit_chain`), /permission denied/)
})

test('KM-3: interrupted before any of its transactions, it goes on where it was and ends the same; once begun the project is gone for everybody', async () => {
  const ran: string[] = []
  const steps = ['drives', 'tasks'].map((name) => ({
    name,
    run: (place: { project: ProjectId }, { change }: DeletionRun) =>
      change(() => {
        ran.push(`${name} ${place.project}`)
        return Promise.resolve({ kind: 'done', details: { name } } as const)
      }),
  }))
  const deps = { ...plain, steps }
  class Interrupted extends Error {}
  let count = 0
  const counted = await furnished('Counted')
  await it.request('DELETE', `/projects/${counted.project}`, undefined, { key: counted.key })
  aheadMs = 7 * DAY_MS
  const counting: DeletionRun['change'] = (work) => {
    count++
    return changeOf(counted.id)(work)
  }
  const whole = await deleteProject({ organisation: counted.id, project: counted.project }, { change: counting }, deps)
  assert.deepEqual(whole, { kind: 'deleted' })
  assert.ok(count > 10, `${count} transactions`)
  for (const failAt of sampleOf(count, 4)) {
    const { id, key, project } = await furnished(`Interrupted ${failAt}`)
    await it.request('DELETE', `/projects/${project}`, undefined, { key })
    aheadMs = 7 * DAY_MS
    let transactions = 0
    const interrupted: DeletionRun['change'] = (work) => {
      if (transactions++ === failAt) return Promise.reject(new Interrupted())
      return changeOf(id)(work)
    }
    const place = { organisation: id, project }
    const first = await deleteProject(place, { change: interrupted }, deps).catch((error: unknown) => error)
    assert.ok(first instanceof Interrupted, String(first))
    if (failAt > 0)
      assert.equal(
        (await it.request('GET', `/projects/${project}`, undefined, { key })).status,
        404,
        `begun, ${failAt}`,
      )
    assert.deepEqual(await deleteProject(place, { change: changeOf(id) }, deps), { kind: 'deleted' })
    const certificates = await it.request('GET', `/organizations/${id}/deletion-certificates`, undefined, { key })
    assert.equal(certificates.body.items.length, 1, `one certificate, ${failAt}`)
    const { body } = await it.request(
      'GET',
      `/organizations/${id}/deletion-certificates/${certificates.body.items[0].id}`,
      undefined,
      { key },
    )
    assert.deepEqual(
      body.certificate.steps.map(({ name }: { name: string }) => name),
      ['relays', 'drives', 'tasks', 'keys', 'rows'],
    )
    assert.equal(
      ran.filter((line) => line === `drives ${project}`).length,
      failAt === 5 ? 2 : 1,
      `noted steps are not run again, ${failAt}`,
    )
    const left = Object.keys(await tablesWith(project)).toSorted()
    assert.deepEqual(left, ['audit_event', 'deletion_certificate', 'event'], `${failAt}`)
  }
})

test('KM-3: two workers at once leave one certificate and one audit event', async () => {
  const { id, key, project } = await furnished('Twice')
  await it.request('DELETE', `/projects/${project}`, undefined, { key })
  aheadMs = 7 * DAY_MS
  const place = { organisation: id, project }
  const run = () => deleteProject(place, { change: changeOf(id) }, plain)
  assert.deepEqual(
    await Promise.all([run(), run(), run()]),
    Array.from({ length: 3 }, () => ({ kind: 'deleted' })),
  )
  const counts = await withScope(db, { organisation: id }, (tx) =>
    rowsOf<{ n: number }>(
      tx,
      sql`select count(*) as n from deletion_certificate union all select count(*) from audit_event where action = 'project.deleted'`,
    ),
  )
  assert.deepEqual(counts, [{ n: 1 }, { n: 1 }])
})

test('a feature’s step that has to wait holds up keys and rows, and is asked again', async () => {
  const { id, key, project } = await furnished('Waiting')
  await it.request('DELETE', `/projects/${project}`, undefined, { key })
  aheadMs = 7 * DAY_MS
  let isStopped = false
  let shredded = 0
  const deps: DeletionDeps = {
    steps: [
      {
        name: 'tasks',
        run: () =>
          Promise.resolve(isStopped ? { kind: 'done' } : { kind: 'wait', waitMs: 60_000, reason: 'tasks-run' }),
      },
    ],
    shredKeys: () => Promise.resolve({ n: ++shredded }),
    now: () => Date.now() + aheadMs,
  }
  const place = { organisation: id, project }
  const run = () => deleteProject(place, { change: changeOf(id) }, deps)
  assert.deepEqual(await run(), { kind: 'wait', waitMs: 60_000, reason: 'tasks-run' })
  assert.equal(shredded, 0)
  isStopped = true
  assert.deepEqual(await run(), { kind: 'deleted' })
  assert.equal(shredded, 1)
})

test('KM-3: a forced deletion does not wait; the clock asks for those whose time has come, and for interrupted ones', async () => {
  const { id, key } = await it.organisation()
  const [forced, due, early] = [await it.project(id, 'a'), await it.project(id, 'b'), await it.project(id, 'c')]
  for (const project of [due, forced, early]) await it.request('DELETE', `/projects/${project}`, undefined, { key })
  for (const { key: other } of [
    await it.member(id, 'migration-administrator'),
    await it.member(id, 'migration-administrator'),
  ])
    await it.request('POST', `/projects/${forced}/deletion/force`, undefined, { key: other })
  await withScope(db, { organisation: id }, async (tx) => {
    await sql`delete from outbox`.execute(tx)
    await sql`update project set deletion_requested_at = deletion_requested_at - interval '7 days' where id = ${due}`.execute(
      tx,
    )
  })
  await requestDueProjectDeletions(db, Date.now())
  const asked = async () =>
    withScope(db, { organisation: id }, (tx) =>
      rowsOf<{ object_id: string }>(tx, sql`select distinct object_id from outbox`),
    )
  assert.deepEqual(await asked(), [{ object_id: due }])
  const failing: DeletionDeps = { ...plain, shredKeys: () => Promise.reject(new KeyServiceUnavailable('away')) }
  await assert.rejects(
    deleteProject({ organisation: id, project: forced }, { change: changeOf(id) }, failing),
    KeyServiceUnavailable,
  )
  await requestDueProjectDeletions(db, Date.now())
  assert.deepEqual((await asked()).map(({ object_id }) => object_id).toSorted(), [due, forced].toSorted())
})

test('KM-3: a restored backup of a deleted project can not be read: its keys are gone from the key service', async (t: TestContext) => {
  const { database, clock, deps, owner, restarted } = await keyScene(t)
  const { organisation, project } = owner
  const at = { purpose: 'dkim_key.private_sealed', context: 'x' }
  const sealed = await encryptFor(owner, at, Buffer.from('secret'), deps)
  const [backup] = await rowsOf<{ project: unknown; keys: unknown }>(
    database.owner.db as never,
    sql`select (select jsonb_agg(p) from project p) as project, (select jsonb_agg(k) from project_key k) as keys`,
  )
  const change: DeletionRun['change'] = (work) => withScope(database.db, { organisation }, work)
  await change(async (tx) => {
    await sql`insert into audit_chain (organisation_id) values (${organisation}) on conflict do nothing`.execute(tx)
    await sql`update project set deletion_requested_at = ${new Date(clock.now.getTime() - 7 * DAY_MS)}, deletion_requested_by = 'test'`.execute(
      tx,
    )
  })
  const outcome = await deleteProject(
    { organisation, project },
    { change },
    {
      steps: [],
      shredKeys: async (place) => ({
        ...(await shredKeys(ofProject(place.organisation, place.project), deps)),
      }),
      now: () => clock.now.getTime(),
    },
  )
  assert.deepEqual(outcome, { kind: 'deleted' })
  await database.owner.db.transaction().execute(async (tx) => {
    await sql`insert into project select * from jsonb_populate_recordset(null::project, ${JSON.stringify(backup?.project)}::jsonb)`.execute(
      tx,
    )
    await sql`insert into project_key select * from jsonb_populate_recordset(null::project_key, ${JSON.stringify(backup?.keys)}::jsonb)`.execute(
      tx,
    )
  })
  await assert.rejects(decryptFor(owner, at, sealed, restarted()), KeyDestroyed)
  const [row] = await change((tx) => rowsOf<{ document: string }>(tx, sql`select document from deletion_certificate`))
  const keys = JSON.parse(row?.document ?? '{}').steps.find(({ name }: { name: string }) => name === 'keys')
  assert.deepEqual([keys.details.destruction.kind, keys.details.versions.length], ['destroyed', 1])
})

// ── Organisations ──────────────────────────────────────────────────────────────────────────────────────────────────

test('PR-5: of a deleted organisation nothing is left but its audit trail and certificates; the installation keeps the certificate of it', async () => {
  const { id, key, project } = await furnished()
  const second = await it.project(id, `Second ${CANARY}`)
  await it.request('PATCH', `/organizations/${id}`, { name: `Contoso ${CANARY}` }, { key })
  await it.request('DELETE', `/organizations/${id}`, undefined, { key })
  const run = () => deleteOrganisation(id, { change: changeOf(id) }, plain)
  assert.deepEqual(await run(), { kind: 'not-due' })
  aheadMs = 7 * DAY_MS
  await requestDueOrganisationDeletions(db, Date.now() + aheadMs)
  const jobs = await withScope(db, { organisation: id }, (tx) =>
    rowsOf<{ kind: string }>(tx, sql`select distinct kind from outbox`),
  )
  assert.deepEqual(jobs, [{ kind: 'organisation.delete' }])
  assert.deepEqual(await run(), { kind: 'deleted' })
  assert.deepEqual(await run(), { kind: 'deleted' }, 'again')
  assert.deepEqual(await tablesWith(CANARY), {})
  assert.deepEqual(Object.keys(await tablesWith(id)).toSorted(), [
    'audit_chain',
    'audit_event',
    'deletion_certificate',
    'organisation',
  ])
  assert.equal((await it.request('GET', `/organizations/${id}`, undefined, { key })).status, 401)

  const administrator = await it.installationAdministrator()
  const path = '/installation/deletion-certificates'
  const list = await it.request('GET', `${path}?subject=${id}`, undefined, administrator)
  const { body } = await it.request('GET', `${path}/${list.body.items[0].id}`, undefined, administrator)
  assert.equal(digestOf(body.certificate), body.sha256)
  assert.deepEqual(
    body.certificate.projects.map(({ subject }: { subject: { id: string } }) => subject.id).toSorted(),
    [project, second].toSorted(),
  )
  const events = await withScope(db, { organisation: INSTALLATION }, (tx) =>
    rowsOf<{ header: string }>(
      tx,
      sql`select header from audit_event where action = 'organization.deleted' and object = ${id}`,
    ),
  )
  assert.deepEqual(
    events.map(({ header }) => JSON.parse(header).after),
    [body.sha256],
  )
  const listed = await it.request('GET', '/organizations?limit=1000', undefined, administrator)
  assert.ok(!listed.body.items.some((item: { id: string }) => item.id === id))
})

test('an organisation whose deletion has begun lets nobody in, not even keys of services', async () => {
  const { id, key } = await it.organisation()
  const project = await it.project(id)
  const failing: DeletionDeps = { ...plain, shredKeys: () => Promise.reject(new KeyServiceUnavailable('away')) }
  await it.request('DELETE', `/organizations/${id}`, undefined, { key })
  aheadMs = 7 * DAY_MS
  await assert.rejects(deleteOrganisation(id, { change: changeOf(id) }, failing), KeyServiceUnavailable)
  for (const path of [`/organizations/${id}`, `/organizations/${id}/projects`, `/projects/${project}`])
    assert.ok((await it.request('GET', path, undefined, { key })).status >= 401, path)
  assert.ok((await it.request('DELETE', `/organizations/${id}/deletion`, undefined, { key })).status >= 401, 'too late')
  assert.deepEqual(await deleteOrganisation(id, { change: changeOf(id) }, plain), { kind: 'deleted' })
})

// ── Order of tables ────────────────────────────────────────────────────────────────────────────────────────────────

test('rows are deleted in an order in which none is referred to by one that still stands', () => {
  const tables = fc.integer({ min: 1, max: 12 }).chain((count) =>
    fc
      .array(fc.tuple(fc.nat(count - 1), fc.nat(count - 1)), { maxLength: 30 })
      // A table refers to such with a lower number: no circles.
      .map((pairs) => {
        const refersTo = new Map<string, string[]>(Array.from({ length: count }, (_, n) => [`t${n}`, []]))
        for (const [a, b] of pairs) if (a !== b) refersTo.get(`t${Math.max(a, b)}`)?.push(`t${Math.min(a, b)}`)
        return new Map(fc.sample(fc.shuffledSubarray([...refersTo], { minLength: count }), { numRuns: 1, seed: 1 })[0])
      }),
  )
  fc.assert(
    fc.property(tables, (refersTo) => {
      const order = referringFirst(refersTo)
      assert.equal(order.length, refersTo.size)
      for (const [table, targets] of refersTo)
        for (const target of targets) assert.ok(order.indexOf(table) < order.indexOf(target))
    }),
  )
  assert.throws(
    () =>
      referringFirst(
        new Map([
          ['a', ['b']],
          ['b', ['a']],
        ]),
      ),
    /circle/,
  )
})
