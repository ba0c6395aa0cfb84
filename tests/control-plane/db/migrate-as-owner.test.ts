// The migrations under the owner that managed Postgres services give: no superuser, so under row-level security like everybody (TI-2).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { openDatabase, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { migrateDatabase } from '../../../control-plane/db/migrate-database.ts'
import { pendingMigrations } from '../../../control-plane/db/migrate.ts'
import { startPasswordPostgres } from '../../harness/password-postgres.ts'

test('TI-2 an owner that is no superuser migrates, and its service role then works, owns nothing and has no DDL', async (t) => {
  const postgres = await startPasswordPostgres()
  t.after(() => postgres.close())
  assert.notDeepEqual(await migrateDatabase(postgres.ownerUrl), [])
  assert.deepEqual(await migrateDatabase(postgres.ownerUrl), [], 'again: nothing is left to do')
  await postgres.createService()

  const service = openDatabase({ connection: postgres.serviceUrl, maxConnections: 2, onIdleError: () => {} })
  t.after(() => service.close())
  assert.deepEqual(await pendingMigrations(service.db), [])
  await withScope(service.db, { purpose: 'administration' }, async (tx) => {
    assert.equal((await rowsOf(tx, sql`select 1 from organisation where organisation_id = 'installation'`)).length, 1)
    assert.equal((await rowsOf(tx, sql`select 1 from break_glass where is_open`)).length, 1)
    const owned = sql`select relname from pg_class where pg_has_role(relowner, 'usage')`
    assert.deepEqual(await rowsOf(tx, owned), [])
  })
  await assert.rejects(sql`create table mine (id integer)`.execute(service.db), /permission denied/)
})
