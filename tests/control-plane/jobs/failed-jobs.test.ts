// The list of failed jobs over HTTP. (JQ-5)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { failedJobRoutes } from '../../../control-plane/jobs/failed-job-routes.ts'
import { INSTALLATION } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'

const addFailed = (it: TestApi, organisation: OrganisationId, count: number) =>
  sql`insert into job (organisation_id, id, kind, object_id, state, attempts, failed_reason, failed_at)
      select ${organisation}, n, case when n % 2 = 0 then 'mapping.import' else 'keys.rewrap' end, 'opr_' || n, 'failed', 5, 'TypeError', now()
        from generate_series(1, ${count}::int) n`.execute(it.database.owner.db)

test('failed jobs are listed by pages with their reasons, tried again, and discarded, each told once', async (t) => {
  const it = await testApi(t, () => failedJobRoutes())
  const { id, key } = await it.organisation()
  await addFailed(it, id, 5)
  await sql`insert into job (organisation_id, id, kind) values (${id}, 99, 'mapping.import')`.execute(
    it.database.owner.db,
  )
  const path = `/organizations/${id}/failed-jobs`
  const first = await it.request('GET', `${path}?limit=3`, undefined, { key })
  const rest = await it.request('GET', first.body.next.replace('/api/v1', ''), undefined, { key })
  const ids = [...first.body.items, ...rest.body.items].map((job: { id: string }) => job.id)
  assert.deepEqual([ids, rest.body.next], [['1', '2', '3', '4', '5'], undefined])
  const { kind, object, attempts, reason } = first.body.items[0]
  assert.deepEqual([kind, object, attempts, reason], ['keys.rewrap', 'opr_1', 5, 'TypeError'])
  const filtered = await it.request('GET', `${path}?kind=mapping.import`, undefined, { key })
  assert.deepEqual(
    filtered.body.items.map((job: { id: string }) => job.id),
    ['2', '4'],
  )

  assert.equal((await it.request('POST', `${path}/1/retry`, undefined, { key })).status, 202)
  const { rows } = await sql`select state, attempts, failed_reason from job where id = 1`.execute(it.database.owner.db)
  assert.deepEqual(rows, [{ state: 'queued', attempts: 0, failed_reason: null }])
  assert.equal((await it.request('DELETE', `${path}/2`, undefined, { key })).status, 204)
  for (const other of ['1', '2', '99', '0', 'x', '1e1']) {
    assert.equal((await it.request('POST', `${path}/${other}/retry`, undefined, { key })).status, 404, other)
    assert.equal((await it.request('DELETE', `${path}/${other}`, undefined, { key })).status, 404, other)
  }
  const told =
    await sql`select action, object from audit_event where organisation_id = ${id} order by sequence`.execute(
      it.database.owner.db,
    )
  assert.deepEqual(told.rows, [
    { action: 'job.retried', object: '1' },
    { action: 'job.discarded', object: '2' },
  ])
})

test('AZ-4: another organisation sees none of them, and a reader can change none', async (t) => {
  const it = await testApi(t, () => failedJobRoutes())
  const ours = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  await addFailed(it, ours.id, 1)
  const { key } = await it.member(ours.id, 'auditor')
  assert.equal(
    (await it.request('GET', `/organizations/${ours.id}/failed-jobs`, undefined, { key })).body.items.length,
    1,
  )
  assert.equal((await it.request('DELETE', `/organizations/${ours.id}/failed-jobs/1`, undefined, { key })).status, 403)
  const foreign = { key: theirs.key }
  assert.equal((await it.request('GET', `/organizations/${ours.id}/failed-jobs`, undefined, foreign)).status, 404)
  assert.equal(
    (await it.request('POST', `/organizations/${theirs.id}/failed-jobs/1/retry`, undefined, foreign)).status,
    404,
  )
})

test('the failed jobs of the installation are for its administrators: seen, tried again, discarded, told in its own trail', async (t) => {
  const it = await testApi(t, () => failedJobRoutes())
  const { id, key } = await it.organisation()
  await addFailed(it, INSTALLATION, 3)
  await sql`insert into job (organisation_id, id, kind, state, attempts, failed_reason, failed_at)
            values (${id}, 10, 'keys.rewrap', 'failed', 5, 'TypeError', now())`.execute(it.database.owner.db)
  const path = '/installation/failed-jobs'
  const administrator = await it.installationAdministrator()
  const list = await it.request('GET', path, undefined, administrator)
  assert.deepEqual(
    list.body.items.map((job: { id: string }) => job.id),
    ['1', '2', '3'],
    'those of organizations are theirs',
  )
  assert.equal((await it.request('POST', `${path}/1/retry`, undefined, administrator)).status, 202)
  assert.equal((await it.request('DELETE', `${path}/2`, undefined, administrator)).status, 204)
  for (const other of ['1', '2', '10', 'x']) {
    assert.equal((await it.request('POST', `${path}/${other}/retry`, undefined, administrator)).status, 404, other)
    assert.equal((await it.request('DELETE', `${path}/${other}`, undefined, administrator)).status, 404, other)
  }
  const { rows } = await sql`select id, state from job order by id`.execute(it.database.owner.db)
  assert.deepEqual(rows, [
    { id: 1, state: 'queued' },
    { id: 3, state: 'failed' },
    { id: 10, state: 'failed' },
  ])
  for (const [method, of] of [
    ['GET', path],
    ['POST', `${path}/3/retry`],
    ['DELETE', `${path}/3`],
  ] as const)
    assert.equal((await it.request(method, of, undefined, { key })).status, 403, `${method} ${of}`)
  const told =
    await sql`select action, actor, object from audit_event where organisation_id = ${INSTALLATION} and result = 'done'
                          order by sequence`.execute(it.database.owner.db)
  const actor = `person:${administrator.principal}`
  assert.deepEqual(told.rows, [
    { action: 'job.retried', actor, object: '1' },
    { action: 'job.discarded', actor, object: '2' },
  ])
})
