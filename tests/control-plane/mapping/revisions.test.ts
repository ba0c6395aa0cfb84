// Revisions of the mapping table: history, differences, going back, and the deltas that relays take. (control-plane.md §2, §3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sql } from 'kysely'
import { compileTable } from '../../../rewrite-rules/index.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { readDelta } from '../../../control-plane/mapping/mapping-store.ts'
import { sweepHistory } from '../../../control-plane/mapping/revision-store.ts'
import { mappingApi, person, tableFile } from './mapping-api.ts'
import type { MappingApi } from './mapping-api.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }

/** Whatever the version is: the same content, the same digest. */
async function contentDigest(api: MappingApi): Promise<string> {
  return compileTable({ ...(await api.exported()), version: 1 }).digest
}

const delta = (api: MappingApi, from: number, to: number, max = 100) =>
  withScope(api.it.database.db, { organisation: api.organisation }, (tx) => readDelta(tx, api, from, to, max))

test('the history tells author, cause and counts, newest first, by author and cause, and when relays had it', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings', person('a'))
  await api.call('POST', '/mappings/bulk', { upsert: [person('b'), person('c')] })
  await api.call('POST', '/mappings/import', tableFile([person('d')], { exceptions: ['x@'] }), JSON_TYPE)
  await api.call('POST', '/mappings/wildcards', { from: '*.w.example', to: 'b.example' })
  await api.call('POST', '/mapping-revisions/2/restore')
  const { items } = (await api.call('GET', '/mapping-revisions')).body
  assert.deepEqual(
    items.map((item: Record<string, unknown>) => [
      item['revision'],
      item['cause'],
      item['created'],
      item['removed'],
      item['rulesChanged'],
      item['entries'],
      item['restoredFrom'],
    ]),
    [
      [5, 'restore', 0, 1, 2, 3, 2],
      [4, 'rule', 0, 0, 1, 4, undefined],
      [3, 'import', 1, 0, 1, 4, undefined],
      [2, 'bulk', 2, 0, 0, 3, undefined],
      [1, 'change', 1, 0, 0, 1, undefined],
    ],
  )
  const filtered = await api.call('GET', `/mapping-revisions?cause=rule&author=${items[0].author}`)
  assert.deepEqual(
    filtered.body.items.map(({ revision }: { revision: number }) => revision),
    [4],
  )
  const page = await api.call('GET', '/mapping-revisions?limit=2')
  const next = String(page.body.next).replace(`/api/v1/projects/${api.project}`, '')
  assert.deepEqual(
    (await api.call('GET', next)).body.items.map(({ revision }: { revision: number }) => revision),
    [3, 2],
  )
  assert.equal((await api.call('GET', '/mapping-revisions/6')).status, 404)
  assert.equal((await api.call('GET', '/mapping-revisions/x')).status, 404)

  await withScope(api.it.database.db, { organisation: api.organisation }, async (tx) => {
    await sql`insert into snapshot_applied (organisation_id, project_id, snapshot_version, mapping_revision, settings_version, relays, applied_at)
              values (${api.organisation}, ${api.project}, 2, 2, 0, 1, '2026-01-02T00:00:00Z'), (${api.organisation}, ${api.project}, 4, 4, 0, 1, '2026-01-04T00:00:00Z')`.execute(
      tx,
    )
  })
  const applied = async (revision: number) => (await api.call('GET', `/mapping-revisions/${revision}`)).body.appliedAt
  assert.deepEqual(
    [await applied(1), await applied(2), await applied(3), await applied(5)],
    ['2026-01-02T00:00:00.000Z', '2026-01-02T00:00:00.000Z', '2026-01-04T00:00:00.000Z', undefined],
    '§3.7: relays skip revisions',
  )
})

test('the difference between two revisions is what each entry and rule was and became, whatever happened in between', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings/bulk', { upsert: ['a', 'b', 'c', 'd'].map((name) => person(name)) })
  await api.call('POST', '/mappings/bulk', {
    upsert: [person('a', { route: 'mx' }), person('e')],
    remove: ['b@fabrikam.example'],
  })
  await api.call('POST', '/mappings/bulk', {
    upsert: [person('a', { route: 'return' }), person('f')],
    remove: ['e@fabrikam.example', 'c@fabrikam.example'],
  })
  await api.call('POST', '/mappings/exceptions', { address: 'x@' })
  const compare = async (from: number, to: number, query = '') =>
    (await api.call('GET', `/mapping-revisions/${to}/differences?from=${from}${query}`)).body
  interface Told {
    kind: string
    before?: { route?: string; presented?: string }
    after?: { route?: string; presented?: string }
  }
  const summary = (items: Told[]) =>
    items.map(({ kind, before, after }) => [
      kind,
      before?.route ?? before?.presented?.[0],
      after?.route ?? after?.presented?.[0] ?? after,
    ])
  assert.deepEqual(summary((await compare(1, 4)).items), [
    ['exception', undefined, 'x@'],
    ['entry', 'a', 'return'],
    ['entry', undefined, 'f'],
    ['entry', 'b', undefined],
    ['entry', 'c', undefined],
  ])
  const paged: unknown[] = []
  for (let path = '/mapping-revisions/4/differences?from=0&limit=2'; path !== '';) {
    const { body } = await api.call('GET', path)
    paged.push(...summary(body.items))
    path = String(body.next ?? '').replace(`/api/v1/projects/${api.project}`, '')
  }
  assert.deepEqual(paged, summary((await compare(0, 4)).items))
  assert.deepEqual(
    summary((await compare(2, 3)).items),
    summary((await api.call('GET', '/mapping-revisions/3/differences')).body.items),
    'the one before, unless said',
  )
  for (const [from, to, status] of [
    [3, 3, 400],
    [4, 3, 400],
    [0, 9, 404],
  ] as const)
    assert.equal((await api.call('GET', `/mapping-revisions/${to}/differences?from=${from}`)).status, status)
  assert.equal((await api.call('GET', '/mapping-revisions/4/differences?cursor=WyJ4IiwxLCJhIl0')).status, 400)
})

test('restoring brings entries back under their ids, needs the ETag, and a number where much goes', async (t) => {
  const api = await mappingApi(t)
  const { id } = (await api.call('POST', '/mappings', person('a'))).body
  await api.call('POST', '/mappings/bulk', { upsert: Array.from({ length: 150 }, (_, i) => person(`p${i}`)) })
  await api.call('DELETE', `/mappings/${id}`)
  const bare = await api.it.request('POST', `/projects/${api.project}/mapping-revisions/1/restore`, undefined, {
    key: api.key,
  })
  assert.equal(bare.status, 428)
  assert.equal((await api.call('POST', '/mapping-revisions/1/restore', undefined, { 'If-Match': '"2"' })).status, 412)
  const asked = await api.call('POST', '/mapping-revisions/1/restore', undefined, { 'If-Match': '"3"' })
  assert.deepEqual([asked.status, asked.body.count], [422, 150])
  const restored = await api.call('POST', '/mapping-revisions/1/restore?confirm=150', undefined, { 'If-Match': '"3"' })
  assert.deepEqual(
    [restored.status, restored.body.revision, restored.body.created, restored.body.removed, restored.body.entries],
    [200, 4, 1, 150, 1],
  )
  assert.equal((await api.call('GET', `/mappings/${id}`)).body.revision, 4)
  const same = await api.call('POST', '/mapping-revisions/1/restore')
  assert.deepEqual([same.status, same.body.revision], [200, 4], 'it is so already')
  assert.equal((await api.call('POST', '/mapping-revisions/9/restore')).status, 404)
})

test('restoring a revision far away is an operation that comes to the same', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings/bulk', { upsert: [person('a'), person('b')] })
  const before = await contentDigest(api)
  const many = Array.from({ length: 6_000 }, (_, i) => person(`p${i}`))
  await api.run(await api.call('POST', '/mappings/import?mode=replace&confirm=2', tableFile(many), JSON_TYPE))
  const reply = await api.call('POST', '/mapping-revisions/1/restore?confirm=6000', undefined, { 'If-Match': '"2"' })
  const { state, result } = await api.run(reply)
  assert.deepEqual([state, result.created, result.removed, result.revision], ['succeeded', 2, 6_000, 3])
  assert.equal(await contentDigest(api), before)
})

test('§3.3: what is in no accepted domain any more does not come back', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings', person('a'))
  const { body } = await api.call('GET', '/mappings')
  await api.call('DELETE', `/mappings/${body.items[0].id}?confirm=1`)
  await api.tenant('source', ['contoso.example'])
  const refused = await api.call('POST', '/mapping-revisions/1/restore')
  assert.deepEqual([refused.status, refused.body.faults[0].code], [400, 'domain-not-accepted'])
})

test('old versions can be swept: what needs them says so (410), what does not goes on', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings', person('a'))
  await api.call('POST', '/mappings/bulk', { upsert: [person('a', { route: 'mx' })] })
  await api.call('POST', '/mappings/bulk', { upsert: [person('b')] })
  await withScope(api.it.database.db, { organisation: api.organisation }, async (tx) => {
    await sql`update mapping_revision set created_at = '2020-01-01' where revision <= 2`.execute(tx)
    assert.equal(await sweepHistory(tx, api, new Date('2021-01-01'), 10), 1)
    assert.equal(await sweepHistory(tx, api, new Date('2021-01-01'), 10), 0)
  })
  const gone = await api.call('GET', '/mapping-revisions/3/differences?from=1')
  assert.deepEqual([gone.status, gone.body.type, gone.body.horizon], [410, '/problems/revision-gone', 2])
  assert.equal((await api.call('POST', '/mapping-revisions/1/restore')).status, 410)
  assert.equal(await delta(api, 1, 3), undefined)
  assert.equal((await api.call('GET', '/mapping-revisions/3/differences')).body.items.length, 1)
  assert.equal((await api.call('GET', '/mapping-revisions')).body.items.length, 3)
  assert.equal((await api.call('POST', '/mapping-revisions/2/restore')).status, 200)
})

test('a delta that would be larger than its bound is none; one at its bound is', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings/bulk', { upsert: [person('a'), person('b')] })
  await api.call('POST', '/mappings/bulk', { upsert: [person('c')], remove: ['a@fabrikam.example'] })
  await api.call('POST', '/mappings/exceptions', { address: 'x@' })
  assert.equal(await delta(api, 1, 3, 2), undefined)
  assert.deepEqual(await delta(api, 1, 3, 3), {
    format: 'causeway-mapping-delta/1',
    project: api.project,
    fromVersion: 1,
    toVersion: 3,
    remove: ['a@fabrikam.example'],
    upsert: [person('c')],
    exceptions: ['x@'],
  })
})

// ── Any sequence of changes ──

type Model = Map<string, Record<string, unknown>>

const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const
const step = fc.oneof(
  fc.record({
    kind: fc.constant('upsert' as const),
    upsert: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 3 }),
    remove: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 }),
    route: fc.constantFrom('mx', 'return'),
    alias: fc.constantFrom(...names, undefined),
  }),
  fc.record({
    kind: fc.constant('replace' as const),
    upsert: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 4 }),
    route: fc.constantFrom('mx', 'return'),
  }),
  fc.record({ kind: fc.constant('rename' as const), from: fc.constantFrom(...names), to: fc.constantFrom(...names) }),
  fc.record({ kind: fc.constant('rule' as const), exception: fc.constantFrom('x@', 'y@') }),
  fc.record({ kind: fc.constant('restore' as const), back: fc.nat(4) }),
)

const presentedOf = (name: string): string => `${name}@fabrikam.example`

/** Whether every address is known once. */
function isDisjoint(model: Model): boolean {
  const all = [...model.values()].flatMap((entry) => entry['known'] as string[])
  return new Set(all).size === all.length
}

async function currentEntries(api: MappingApi): Promise<Model> {
  const { entries } = await api.exported()
  return new Map(entries.map((entry) => [String(entry['presented']), entry]))
}

test('any sequence of changes: the database holds what a model says, deltas lead to the digest of the whole, and going back brings it back', async (t) => {
  const api = await mappingApi(t)
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 9 }), async (steps) => {
      let model = await currentEntries(api)
      const digests = new Map<number, string>()
      const note = async (): Promise<number> => {
        const { version } = await api.exported()
        digests.set(version, await contentDigest(api))
        return version
      }
      const first = await note()
      const beginning = await api.tables.current(api.organisation, api.project)
      for (const it of steps) {
        const next: Model = new Map(model)
        let reply
        if (it.kind === 'upsert') {
          const upsert = it.upsert.map((name) =>
            person(name, {
              route: it.route,
              ...(it.alias === undefined
                ? {}
                : { known: [`${name}@contoso.example`, presentedOf(name), `alias-${it.alias}@contoso.example`] }),
            }),
          )
          const remove = it.remove.filter((name) => !it.upsert.includes(name)).map(presentedOf)
          for (const entry of upsert) next.set(String(entry['presented']), entry)
          const isThere = remove.every((address) => model.has(address))
          for (const address of remove) next.delete(address)
          reply = await api.call('POST', '/mappings/bulk', { upsert, remove, confirm: Math.max(1, remove.length) })
          assert.equal(reply.status, isThere && isDisjoint(next) ? 200 : 409, JSON.stringify(reply.body))
        } else if (it.kind === 'replace') {
          next.clear()
          for (const name of it.upsert) next.set(presentedOf(name), person(name, { route: it.route }))
          const gone = [...model.keys()].filter((address) => !next.has(address)).length
          reply = await api.call(
            'POST',
            `/mappings/import?mode=replace&confirm=${Math.max(1, gone)}`,
            tableFile([...next.values()]),
            JSON_TYPE,
          )
          assert.equal(reply.status, 200, JSON.stringify(reply.body))
        } else if (it.kind === 'rename') {
          const { items } = (await api.call('GET', `/mappings?address=${presentedOf(it.from)}`)).body
          if (items[0] === undefined) continue
          next.delete(presentedOf(it.from))
          const isFree = it.from === it.to || !next.has(presentedOf(it.to))
          next.set(presentedOf(it.to), person(it.to))
          reply = await api.call('PUT', `/mappings/${items[0].id}`, person(it.to))
          assert.equal(reply.status, isFree && isDisjoint(next) ? 200 : 409, JSON.stringify(reply.body))
        } else if (it.kind === 'rule') {
          const { items } = (await api.call('GET', '/mappings/exceptions')).body
          const there = items.find(({ address }: { address: string }) => address === it.exception)
          reply =
            there === undefined
              ? await api.call('POST', '/mappings/exceptions', { address: it.exception })
              : await api.call('DELETE', `/mappings/exceptions/${there.id}`)
          assert.ok(reply.status < 300)
        } else {
          const target = Math.max(first, (await api.exported()).version - it.back)
          reply = await api.call('POST', `/mapping-revisions/${target}/restore`)
          if (reply.body.type === '/problems/confirm-count')
            reply = await api.call('POST', `/mapping-revisions/${target}/restore?confirm=${reply.body.count}`)
          assert.equal(reply.status, 200, JSON.stringify(reply.body))
          assert.equal(await contentDigest(api), digests.get(target))
          model = await currentEntries(api)
          await note()
          continue
        }
        if (reply.status < 300) model = next
        assert.deepEqual([...(await currentEntries(api)).keys()].toSorted(), [...model.keys()].toSorted())
        await note()
      }
      const table = await api.tables.current(api.organisation, api.project)
      assert.equal(table.digest, await api.freshDigest(), 'by deltas as afresh')
      const whole = await delta(api, first, table.version, 1_000)
      if (table.version > first) {
        assert.ok(whole)
        const followed = compileTable({ ...(await tableAt(api, beginning)), version: first }).apply(whole)
        assert.equal(followed.digest, table.digest, 'by one delta over all')
      }
      const revisions = await withScope(api.it.database.db, { organisation: api.organisation }, (tx) =>
        rowsOf<{ revision: number }>(tx, sql`select revision from mapping_revision order by revision`),
      )
      assert.deepEqual(
        revisions.map(({ revision }) => revision),
        Array.from({ length: table.version }, (_, i) => i + 1),
        'dense',
      )
    }),
    { numRuns: 12 },
  )
})

/** The table file of a table that was compiled before. */
async function tableAt(api: MappingApi, table: Awaited<ReturnType<MappingApi['tables']['current']>>) {
  const file = JSON.parse(Buffer.concat([...table.snapshotChunks()]).toString()) as Record<string, unknown>
  return { ...file, project: api.project, digest: undefined }
}
