// The list of sealed columns against the schema: nothing that is sealed escapes a rotation (KM-2).
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { ALL_SEALED_COLUMNS, NOT_RESEALED } from '../../../control-plane/keys/all-sealed-columns.ts'
import { testDatabase } from '../../harness/postgres.ts'

const { owner } = await testDatabase({ after })

test('KM-2: every sealed column of the schema is on the list, or is an exception with its reason; nothing else is', async () => {
  const { rows } = await sql<{ name: string; type: string }>`
    select c.relname || '.' || a.attname as name, format_type(a.atttypid, a.atttypmod) as type
      from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
       and a.attname like '%\\_sealed' and a.attnum > 0 and not a.attisdropped
     order by 1`.execute(owner.db)
  const listed = ALL_SEALED_COLUMNS.map(({ table, column }) => `${table}.${column}`)
  assert.deepEqual(
    rows.map(({ name }) => name),
    [...listed, ...Object.keys(NOT_RESEALED)].toSorted(),
  )
  for (const { name, type } of rows) assert.equal(type, 'bytea', name)
  for (const [name, reason] of Object.entries(NOT_RESEALED)) assert.ok(reason.length > 20, name)
})

for (const { table, column, key, sealedBy } of ALL_SEALED_COLUMNS) {
  test(`KM-2: ${table}.${column} is found by its key, alone in its ${sealedBy === 'project' ? 'project' : 'organisation'}, and the service may replace it`, async () => {
    const { rows } = await sql<{ keys: string[][]; columns: string[]; may_replace: boolean }>`
      select (select array_agg(attname::text) from pg_attribute where attrelid = c.oid and attnum > 0) as columns,
             has_column_privilege('causeway_service', c.oid, ${column}, 'update') as may_replace,
             (select json_agg((select json_agg(attname) from pg_attribute where attrelid = c.oid and attnum = any(i.indkey)))
                from pg_index i where i.indrelid = c.oid and i.indisunique and i.indpred is null) as keys
        from pg_class c where c.relname = ${table} and c.relnamespace = 'public'::regnamespace`.execute(owner.db)
    const [found] = rows
    assert.ok(found !== undefined)
    const place = sealedBy === 'project' ? ['organisation_id', 'project_id'] : ['organisation_id']
    for (const name of [...place, ...key]) assert.ok(found.columns.includes(name), name)
    const named = new Set([...place, ...key])
    assert.ok(
      found.keys.some((unique) => unique.every((name) => named.has(name))),
      `no unique key of ${table} is within ${[...named].join(', ')}`,
    )
    assert.ok(found.may_replace)
  })
}
