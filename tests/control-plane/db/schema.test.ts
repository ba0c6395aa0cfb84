// control-plane/db/schema.sql is what the migrations add up to. `node scripts/schema.ts` writes it anew.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { sql } from 'kysely'
import { dumpSchema } from '../../../scripts/schema.ts'
import { testDatabase } from '../../harness/postgres.ts'

const FILE = new URL('../../../control-plane/db/schema.sql', import.meta.url)

test('schema.sql is the schema of a migrated database, and the same twice', async (t) => {
  const { owner } = await testDatabase(t)
  const query = async (statement: string) => (await sql.raw<Record<string, unknown>>(statement).execute(owner.db)).rows
  const dump = await dumpSchema(query)
  assert.equal(await dumpSchema(query), dump)
  for (const seen of [
    'create table organisation (',
    'create policy organisation on member',
    'create or replace function',
  ])
    assert.ok(dump.toLowerCase().includes(seen), seen)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(FILE, dump)
  assert.equal(dump, readFileSync(FILE, 'utf8'), 'run: node scripts/schema.ts')
})
