// Tables that are kept compiled and follow the database.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { DEFAULT_POLICY } from '../../../rewrite-rules/index.ts'
import { mappingApi, person, tableFile } from './mapping-api.ts'

const log = createLog({ write: () => {}, level: 'error', now: Date.now })
const JSON_TYPE = { 'Content-Type': 'application/json' }

test('a table is that of the project, at its revision, with everything that was committed before', async (t) => {
  const api = await mappingApi(t)
  const empty = await api.tables.current(api.organisation, api.project)
  assert.deepEqual([empty.project, empty.version, empty.entryCount], [api.project, 0, 0])
  for (let i = 0; i < 5; i++) {
    await api.call('POST', '/mappings', person(`p${i}`))
    // Two at once, the first of which may have begun before the commit was seen.
    const [one, two] = await Promise.all([
      api.tables.current(api.organisation, api.project),
      api.tables.current(api.organisation, api.project),
    ])
    assert.deepEqual([one.version, two.version, two.entryCount], [i + 1, i + 1, i + 1])
  }
  const table = await api.tables.current(api.organisation, api.project)
  assert.equal(table.digest, await api.freshDigest())
  const mapped = table.withPolicy(DEFAULT_POLICY).map('present', 'p3', 'contoso.example', false)
  assert.equal(mapped.kind === 'replaced' && `${mapped.local}@${mapped.domain}`, 'p3@fabrikam.example')
  assert.equal(await api.tables.current(api.organisation, api.project), table, 'the same while nothing changes')
})

test('asked while changes are committed all the time it never gives a table older than the last commit before', async (t) => {
  const api = await mappingApi(t)
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let i = 0; i < 8; i++) {
      const { body } = await api.call('POST', '/mappings', person(`w${writer}-${i}`))
      const table = await api.tables.current(api.organisation, api.project)
      assert.ok(table.version >= body.revision, `${table.version} after ${body.revision}`)
    }
  })
  await Promise.all(writers)
  const table = await api.tables.current(api.organisation, api.project)
  assert.deepEqual([table.version, table.digest], [32, await api.freshDigest()])
})

test('a table that went far, or whose history is gone, is compiled anew; one of dead rows is compacted; both are the same table', async (t) => {
  const api = await mappingApi(t)
  const many = (route: string) => tableFile(Array.from({ length: 3_000 }, (_, i) => person(`p${i}`, { route })))
  for (const route of ['mx', 'return', 'mx', 'return']) {
    await api.call('POST', '/mappings/import', many(route), JSON_TYPE)
    const table = await api.tables.current(api.organisation, api.project)
    assert.deepEqual([table.entryCount, table.digest], [3_000, await api.freshDigest()])
  }
  await api.call('POST', '/mappings/import', many('mx'), JSON_TYPE)
  await api.call('POST', '/mappings/import', many('return'), JSON_TYPE)
  const table = await api.tables.current(api.organisation, api.project)
  assert.deepEqual([table.version, table.digest], [6, await api.freshDigest()])
})

test('while relays are told an earlier revision its table stays beside the newest, in the same memory; let go, both are one', async (t) => {
  const api = await mappingApi(t)
  const hold = (revision: number | null) =>
    sql`update project set held_revision = ${revision}, held_since = ${revision === null ? null : new Date()} where id = ${api.project}`.execute(
      api.it.database.owner.db,
    )
  const told = (tables = api.tables) => tables.told(api.organisation, api.project)
  const current = (tables = api.tables) => tables.current(api.organisation, api.project)
  const entries = Array.from({ length: 200 }, (_, i) => person(`p${i}`))
  await api.call('POST', '/mappings/bulk', { upsert: entries })
  const first = await told()
  await api.call('POST', '/mappings/bulk', { upsert: [person('p0', { route: 'mx' })] })
  await hold(1)
  const digests: string[] = []
  for (let i = 1; i <= 20; i++) {
    await api.call('POST', '/mappings/bulk', { upsert: [person(`p${i}`, { route: 'mx' })] })
    const newest = await current()
    digests.push(newest.digest)
    assert.deepEqual([newest.version, newest.digest], [i + 2, await api.freshDigest()])
    assert.equal(newest.sizeBytes, first.sizeBytes, 'the same memory')
    assert.equal(await told(), first, 'it stays')
  }
  // Another process, which has the newest first; and this one told what lies between two that it has had, and what it has dropped.
  const other = new CompiledTables({ db: api.it.database.db, log, maxEntries: 300 })
  const [theirs, ours] = [await current(other), await told(other)]
  assert.deepEqual([theirs.digest, ours.digest, ours.version], [digests[19], first.digest, 1])
  assert.equal(theirs.sizeBytes, ours.sizeBytes)
  await hold(10)
  assert.deepEqual([(await told()).version, (await told()).digest], [10, digests[7]])
  assert.deepEqual([(await told(other)).version, (await told(other)).digest], [10, digests[7]])
  assert.equal((await current(other)).digest, digests[19])
  await hold(null)
  for (const tables of [api.tables, other]) {
    const newest = await current(tables)
    assert.equal(await told(tables), newest)
    assert.deepEqual([newest.version, newest.digest], [22, digests[19]])
  }
})

test('tables of many projects are kept up to a number of entries, the ones asked for last', async (t) => {
  const api = await mappingApi(t)
  const projects = [api.project, await api.it.project(api.organisation), await api.it.project(api.organisation)]
  for (const project of projects) {
    await api.it.request(
      'POST',
      `/projects/${project}/mappings/bulk`,
      { upsert: [person('a'), person('b')] },
      { key: api.key, headers: { 'If-Match': '*' } },
    )
  }
  const tables = new CompiledTables({ db: api.it.database.db, log, maxEntries: 4 })
  const first = await Promise.all(projects.map((project) => tables.current(api.organisation, project)))
  assert.deepEqual(
    first.map(({ project }) => project),
    projects,
  )
  const [a, b, c] = projects as [typeof api.project, typeof api.project, typeof api.project]
  assert.equal(await tables.current(api.organisation, c), first[2], 'kept')
  assert.equal(await tables.current(api.organisation, b), first[1], 'kept')
  const again = await tables.current(api.organisation, a)
  assert.notEqual(again, first[0], 'it had to go')
  assert.equal(again.digest, first[0]?.digest)
  const single = new CompiledTables({ db: api.it.database.db, log, maxEntries: 1 })
  const kept = await single.current(api.organisation, a)
  assert.equal(await single.current(api.organisation, a), kept, 'the one asked for stays, whatever its size')
})

test('spellings that need escaping in a file or on the way from the database are in the table as they were written', async (t) => {
  const api = await mappingApi(t)
  const known = [
    '"a b"@contoso.example',
    '"back\\\\slash"@contoso.example',
    'ż@contoso.example',
    'a.b@fabrikam.example',
  ]
  const entry = { known, presented: 'a.b@fabrikam.example', mailbox: '"a b"@contoso.example', x500: ['/o=A\\B/cn="c"'] }
  const { status, body } = await api.call('POST', '/mappings', entry)
  assert.equal(status, 201, JSON.stringify(body))
  const table = await api.tables.current(api.organisation, api.project)
  assert.deepEqual([table.entryCount, table.digest], [1, await api.freshDigest()])
  const mapped = table.withPolicy(DEFAULT_POLICY).map('present', '"back\\\\slash"', 'contoso.example', false)
  assert.equal(mapped.kind === 'replaced' && `${mapped.local}@${mapped.domain}`, 'a.b@fabrikam.example')
})
