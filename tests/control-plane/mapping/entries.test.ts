// Entries of the mapping table over HTTP: control-plane.md §1 to §4, R3.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { needsConfirmation } from '../../../control-plane/mapping/mapping.ts'
import type { Reply } from '../../harness/api.ts'
import { mappingApi, person } from './mapping-api.ts'

const pointers = ({ body }: Reply): string[] => body.faults.map(({ pointer }: { pointer: string }) => pointer)

test('an entry is made, read, changed, renamed and removed, each by one revision that is its ETag', async (t) => {
  const api = await mappingApi(t)
  const made = await api.call('POST', '/mappings', person('alice', { x500: ['/o=Contoso/cn=alice'], route: 'mx' }))
  assert.equal(made.status, 201)
  assert.equal(made.headers.get('etag'), '"1"')
  assert.deepEqual(made.body.warnings, ['accepted-domains-unknown'])
  const path = `/mappings/${made.body.id}`
  assert.equal(made.headers.get('location'), `/api/v1/projects/${api.project}${path}`)

  const changed = await api.call('PUT', path, person('alice'), { 'If-Match': '"1"' })
  assert.deepEqual([changed.status, changed.body.revision, changed.body.x500], [200, 2, undefined])
  const renamed = await api.call('PUT', path, person('alicia'), { 'If-Match': '"2"' })
  assert.deepEqual(
    [renamed.status, renamed.body.id, renamed.body.presented],
    [200, made.body.id, 'alicia@fabrikam.example'],
  )
  const read = await api.call('GET', path)
  assert.deepEqual([read.headers.get('etag'), read.body.presented], ['"3"', 'alicia@fabrikam.example'])

  const { items } = (await api.call('GET', '/mapping-revisions')).body
  assert.deepEqual(
    items.map(({ revision, created, changed: changes, removed, entries }: Record<string, number>) => [
      revision,
      created,
      changes,
      removed,
      entries,
    ]),
    [
      [3, 0, 1, 0, 1],
      [2, 0, 1, 0, 1],
      [1, 1, 0, 0, 1],
    ],
  )
  const removed = await api.call('DELETE', `${path}?confirm=1`, undefined, { 'If-Match': '"3"' })
  assert.deepEqual([removed.status, removed.body.removed, removed.body.entries], [200, 1, 0])
  assert.equal((await api.call('GET', path)).status, 404)
  const addresses = await withScope(api.it.database.db, { organisation: api.organisation }, (tx) =>
    rowsOf(tx, sql`select key from mapping_address`),
  )
  assert.deepEqual(addresses, [], 'its addresses are free')
})

test('a change of an entry needs its ETag, one of several the table’s: 428 without, 412 with a stale one, and nothing changes', async (t) => {
  const api = await mappingApi(t)
  const { id } = (await api.call('POST', '/mappings', person('alice'))).body
  await api.call('POST', '/mappings', person('bob'))
  const bare = (method: string, path: string, body?: unknown) =>
    api.it.request(method, `/projects/${api.project}${path}`, body, { key: api.key })
  const stale = { 'If-Match': '"9"' }
  const calls: [method: string, path: string, body: unknown][] = [
    ['PUT', `/mappings/${id}`, person('alice', { route: 'mx' })],
    ['DELETE', `/mappings/${id}`, undefined],
    ['POST', '/mappings/bulk', { remove: ['bob@fabrikam.example'] }],
  ]
  for (const [method, path, body] of calls) {
    const missing = await bare(method, path, body)
    assert.deepEqual([missing.status, missing.body.type], [428, '/problems/etag-needed'], `${method} ${path}`)
    const outdated = await api.call(method, path, body, stale)
    assert.deepEqual([outdated.status, outdated.body.type], [412, '/problems/stale-etag'], `${method} ${path}`)
  }
  assert.equal((await api.call('POST', '/mappings', person('carol'), stale)).status, 412, 'where it is sent')
  const list = await api.call('GET', '/mappings')
  assert.deepEqual([list.headers.get('etag'), list.body.items.length], ['"2"', 2])
})

test('what changes nothing makes no revision, and is no conflict', async (t) => {
  const api = await mappingApi(t)
  const { id } = (await api.call('POST', '/mappings', person('alice'))).body
  const same = await api.call('PUT', `/mappings/${id}`, person('alice'), { 'If-Match': '"1"' })
  assert.deepEqual([same.status, same.body.revision], [200, 1])
  const bulk = await api.call('POST', '/mappings/bulk', { upsert: [person('alice')] })
  assert.deepEqual([bulk.body.revision, bulk.body.unchanged], [1, 1])
})

test('R3: an address that is known elsewhere is refused with the id of that entry, whichever way it comes', async (t) => {
  const api = await mappingApi(t)
  const alice = (await api.call('POST', '/mappings', person('alice', { x500: ['/o=C/cn=Alice'] }))).body.id
  const bob = (await api.call('POST', '/mappings', person('bob'))).body.id
  const before = await api.freshDigest()
  const clashes: [what: string, method: string, path: string, body: unknown, pointer: string][] = [
    ['the same entry', 'POST', '/mappings', person('alice'), '/known'],
    [
      'in other case',
      'POST',
      '/mappings',
      { ...person('x'), known: ['x@fabrikam.example', 'ALICE@Contoso.Example', 'x@contoso.example'] },
      '/known',
    ],
    ['an X.500 name in other case', 'POST', '/mappings', person('x', { x500: ['/O=c/CN=alice'] }), '/x500'],
    [
      'by a change',
      'PUT',
      `/mappings/${bob}`,
      { ...person('bob'), known: ['bob@fabrikam.example', 'bob@contoso.example', 'alice@contoso.example'] },
      '/known',
    ],
    ['by a new name', 'PUT', `/mappings/${bob}`, person('alice'), '/known'],
    [
      'by several',
      'POST',
      '/mappings/bulk',
      {
        upsert: [
          person('carol'),
          { ...person('x'), known: ['x@fabrikam.example', 'x@contoso.example', 'alice@contoso.example'] },
        ],
      },
      '/upsert/1/known',
    ],
  ]
  for (const [what, method, path, body, pointer] of clashes) {
    const { status, body: problem } = await api.call(method, path, body)
    assert.deepEqual([status, problem.type], [409, '/problems/mapping-conflict'], what)
    assert.deepEqual([problem.faults[0].pointer, problem.faults[0].existing], [pointer, alice], what)
  }
  const twice = await api.call('POST', '/mappings/bulk', {
    upsert: [
      person('carol'),
      person('dan'),
      { ...person('x'), known: ['x@fabrikam.example', 'x@contoso.example', 'Carol@contoso.example'] },
    ],
  })
  assert.equal(twice.status, 409)
  assert.deepEqual(
    twice.body.faults.map(({ pointer, code, other }: Record<string, string>) => [pointer, code, other]),
    [['/upsert/2/known', 'known-twice', '/upsert/0']],
  )
  assert.equal(await api.freshDigest(), before, 'nothing half done')
})

test('addresses may change hands within one change, since all of it is one revision', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings/bulk', { upsert: [person('alice'), person('bob')] })
  const [alice, bob] = [person('alice'), person('bob')].map((entry) => ({
    ...entry,
    known: [...(entry['known'] as string[])],
  }))
  alice?.known.push('shared@contoso.example')
  await api.call('POST', '/mappings/bulk', { upsert: [alice] })
  bob?.known.push('shared@contoso.example')
  const moved = await api.call('POST', '/mappings/bulk', { upsert: [person('alice'), bob] })
  assert.deepEqual([moved.status, moved.body.changed], [200, 2])
  const replaced = await api.call('POST', '/mappings/bulk', {
    upsert: [
      { ...person('carol'), known: ['carol@fabrikam.example', 'carol@contoso.example', 'shared@contoso.example'] },
    ],
    remove: ['bob@fabrikam.example'],
  })
  assert.deepEqual([replaced.status, replaced.body.created, replaced.body.removed], [200, 1, 1])
  assert.equal((await api.tables.current(api.organisation, api.project)).digest, await api.freshDigest())
})

const malformed: [what: string, entry: unknown, pointers: string[]][] = [
  ['no entry at all', {}, ['/known', '/presented', '/mailbox']],
  ['wrong types', { ...person('a'), known: 'a@x.example', eai: 'yes' }, ['/known', '/eai']],
  ['an unknown member', person('a', { other: 1 }), ['/other']],
  [
    'no addresses',
    { known: ['a', 'b@[192.0.2.1]'], presented: 'a', mailbox: 'b@[192.0.2.1]' },
    ['/known/0', '/known/1', '/presented', '/mailbox'],
  ],
  ['addresses that are not known', person('a', { presented: 'x@contoso.example' }), ['/presented']],
  ['a line break', person('a', { x500: ['/o=x\r\nRCPT TO:<x@y>'] }), ['/x500/0']],
  ['a NUL', person('a', { x500: ['/o=\0'] }), ['/x500/0']],
  [
    'Unicode without eai',
    { known: ['jü@x.example'], presented: 'jü@x.example', mailbox: 'jü@x.example' },
    ['/presented', '/mailbox'],
  ],
  [
    'a local part over 64 octets',
    {
      known: [`${'a'.repeat(65)}@x.example`],
      presented: `${'a'.repeat(65)}@x.example`,
      mailbox: `${'a'.repeat(65)}@x.example`,
    },
    ['/presented', '/mailbox'],
  ],
]
test('a malformed entry is refused with every place (400), alone and among others', async (t) => {
  const api = await mappingApi(t)
  for (const [what, entry, expected] of malformed) {
    await t.test(what, async () => {
      const reply = await api.call('POST', '/mappings', entry)
      assert.equal(reply.status, 400)
      assert.deepEqual(pointers(reply), expected)
      const bulk = await api.call('POST', '/mappings/bulk', { upsert: [person('b'), entry] })
      assert.equal(bulk.status, 400)
      assert.deepEqual(
        pointers(bulk),
        expected.map((pointer) => `/upsert/1${pointer}`),
      )
      assert.equal((await api.exported()).entries.length, 0)
    })
  }
})

test('bulk: removals of what is no address, named twice, to be upserted as well, or not there are told', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings', person('alice'))
  const [alice, bob] = ['alice@fabrikam.example', 'bob@fabrikam.example']
  const wrong = await api.call('POST', '/mappings/bulk', {
    upsert: [person('alice')],
    remove: ['x', 'ALICE@fabrikam.example', bob, bob],
  })
  assert.equal(wrong.status, 400)
  assert.deepEqual(pointers(wrong), ['/remove/0', '/remove/1', '/remove/3'])
  const missing = await api.call('POST', '/mappings/bulk', { remove: [alice, bob] })
  assert.deepEqual(
    [missing.status, missing.body.faults[0].pointer, missing.body.faults[0].code],
    [409, '/remove/1', 'not-there'],
  )
})

test('§3.3: presented and mailbox must be in accepted domains, once every tenant has named its own', async (t) => {
  const api = await mappingApi(t)
  await api.tenant('source', ['contoso.example'])
  await api.tenant('target', [])
  const early = await api.call('POST', '/mappings', person('alice'))
  assert.deepEqual([early.status, early.body.warnings], [201, ['accepted-domains-unknown']])
  await withScope(api.it.database.db, { organisation: api.organisation }, (tx) =>
    sql`update tenant_connection set accepted_domains = '{fabrikam.example,xn--bcher-kva.example}' where label = 'target'`.execute(
      tx,
    ),
  )
  const inside = await api.call('POST', '/mappings', {
    known: ['b@BÜCHER.example', 'b@Contoso.example'],
    presented: 'b@BÜCHER.example',
    mailbox: 'b@Contoso.example',
    eai: true,
  })
  assert.deepEqual([inside.status, inside.body.warnings], [201, []])
  const outside = await api.call('POST', '/mappings', {
    known: ['c@sub.contoso.example', 'c@elsewhere.example'],
    presented: 'c@elsewhere.example',
    mailbox: 'c@sub.contoso.example',
  })
  assert.equal(outside.status, 400)
  assert.deepEqual(pointers(outside), ['/presented', '/mailbox'])
  assert.equal(outside.body.faults[0].code, 'domain-not-accepted')
  const known = await api.call(
    'POST',
    '/mappings',
    person('d', { known: ['d@elsewhere.example', 'd@fabrikam.example', 'd@contoso.example'] }),
  )
  assert.equal(known.status, 201, 'other addresses may be anywhere')
})

const shares: [entries: number, removed: number, needs: boolean, why: string][] = [
  [0, 0, false, 'nothing goes'],
  [1, 1, true, 'everything goes'],
  [100, 99, false, 'a small table, not all of it'],
  [101, 10, false, 'less than a tenth'],
  [101, 11, true, 'more than a tenth of over a hundred'],
  [110, 11, false, 'a tenth is not more than one'],
  [1000, 1000, true, 'everything goes'],
]
for (const [entries, removed, needs, why] of shares) {
  test(`§3.6: removing ${removed} of ${entries} ${needs ? 'needs' : 'needs no'} confirmation: ${why}`, () => {
    assert.equal(needsConfirmation(entries, removed), needs)
  })
}

test('§3.6: so much is only removed with its exact number', async (t) => {
  const api = await mappingApi(t)
  const names = Array.from({ length: 120 }, (_, i) => `p${i}`)
  await api.call('POST', '/mappings/bulk', { upsert: names.map((name) => person(name)) })
  const remove = names.slice(0, 13).map((name) => `${name}@fabrikam.example`)
  const asked = await api.call('POST', '/mappings/bulk', { remove })
  assert.deepEqual([asked.status, asked.body.type, asked.body.count], [422, '/problems/confirm-count', 13])
  assert.equal((await api.call('POST', '/mappings/bulk', { remove, confirm: 12 })).status, 422)
  assert.equal((await api.call('POST', '/mappings/bulk', { remove, confirm: 13 })).status, 200)
})

test('lists go by presented address, page by page, under every filter, and their links can be followed', async (t) => {
  const api = await mappingApi(t)
  const names = Array.from({ length: 25 }, (_, i) => `p${String(i).padStart(2, '0')}`)
  await api.call('POST', '/mappings/bulk', {
    upsert: [...names.map((name) => person(name)), { ...person('zoe'), mailbox: 'zoe@fabrikam.example' }],
  })
  const all: string[] = []
  for (let path = '/mappings?limit=10'; path !== '';) {
    const { body } = await api.call('GET', path)
    all.push(...body.items.map(({ presented }: { presented: string }) => presented))
    path = String(body.next ?? '').replace(`/api/v1/projects/${api.project}`, '')
  }
  assert.deepEqual(
    all,
    [...names, 'zoe'].map((name) => `${name}@fabrikam.example`),
  )
  const filters: [query: string, found: string[], why: string][] = [
    ['address=P03@Contoso.example', ['p03'], 'any known address, whatever the case'],
    ['address=nobody@contoso.example', [], 'nobody’s'],
    ['address=no-address', [], 'no address at all'],
    ['address=p03@contoso.example&source=import', [], 'the entry is of another source'],
    ['presentedPrefix=P2', ['p20', 'p21', 'p22', 'p23', 'p24'], 'the beginning, whatever the case'],
    ['mailboxDomain=FABRIKAM.example', ['zoe'], 'the domain of the mailbox'],
    ['source=manual&presentedPrefix=z', ['zoe'], 'two at once'],
    ['presentedPrefix=%25', [], 'no wildcards'],
  ]
  for (const [query, found, why] of filters) {
    const { status, body } = await api.call('GET', `/mappings?${query}`)
    assert.equal(status, 200, why)
    assert.deepEqual(
      body.items.map(({ presented }: { presented: string }) => presented.split('@')[0]),
      found,
      why,
    )
  }
  for (const query of ['presentedPrefix=%00', 'mailboxDomain=..', 'cursor=x', 'source=other', 'limit=1001'])
    assert.equal((await api.call('GET', `/mappings?${query}`)).status, 400, query)
})

test('two writers at once: both get through or one is told, revisions are dense, and the table holds what they say', async (t) => {
  const api = await mappingApi(t)
  const replies = await Promise.all(
    Array.from({ length: 12 }, (_, i) => api.call('POST', '/mappings', person(`same${i % 4}`))),
  )
  assert.deepEqual(
    replies.map(({ status }) => status).toSorted((a, b) => a - b),
    [...Array(4).fill(201), ...Array(8).fill(409)],
  )
  const { id } = replies.find(({ status }) => status === 201)?.body ?? {}
  const etag = { 'If-Match': (await api.call('GET', `/mappings/${id}`)).headers.get('etag') ?? '' }
  const body = (await api.call('GET', `/mappings/${id}`)).body
  const routes = ['mx', 'return', 'owner-tenant']
  const writers = await Promise.all(
    routes.map((route) =>
      api.call(
        'PUT',
        `/mappings/${id}`,
        { known: body.known, presented: body.presented, mailbox: body.mailbox, route },
        etag,
      ),
    ),
  )
  assert.deepEqual(
    writers.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 412, 412],
  )
  const { items } = (await api.call('GET', '/mapping-revisions')).body
  assert.deepEqual(
    items.map(({ revision }: { revision: number }) => revision),
    [5, 4, 3, 2, 1],
  )
})

test('TI-2, AZ-4: another organisation sees nothing (404), and each call needs its permission (403 names it)', async (t) => {
  const api = await mappingApi(t)
  const { id } = (await api.call('POST', '/mappings', person('alice'))).body
  const stranger = await api.it.organisation('Fabrikam')
  const helpDesk = await api.it.member(api.organisation, 'help-desk')
  const support = { key: helpDesk.key, headers: { 'If-Match': '*', 'Content-Type': 'application/json' } }
  const base = `/projects/${api.project}`
  const calls: [method: string, path: string, body: unknown, permission: string | undefined][] = [
    ['GET', '/mappings', undefined, undefined],
    ['GET', `/mappings/${id}`, undefined, undefined],
    ['GET', '/mappings/export/csv', undefined, undefined],
    ['GET', '/mapping-revisions', undefined, undefined],
    ['GET', '/mapping-lookup?address=alice@contoso.example', undefined, undefined],
    ['POST', '/mappings', person('bob'), 'mapping.write'],
    ['PUT', `/mappings/${id}`, person('bob'), 'mapping.write'],
    ['DELETE', `/mappings/${id}`, undefined, 'mapping.write'],
    ['POST', '/mappings/bulk', { upsert: [] }, 'mapping.write'],
    ['POST', '/mappings/import', '{}', 'mapping.import'],
    ['POST', '/mappings/exceptions', { address: 'x@y.example' }, 'mapping.write'],
    ['POST', '/mapping-revisions/0/restore', undefined, 'mapping.write'],
  ]
  for (const [method, path, body, permission] of calls) {
    const foreign = await api.it.request(method, base + path, body, { ...support, key: stranger.key })
    assert.equal(foreign.status, 404, `${method} ${path} of a stranger`)
    const reply = await api.it.request(method, base + path, body, support)
    assert.deepEqual(
      [reply.status, reply.body.permission],
      [permission === undefined ? 200 : 403, permission],
      `${method} ${path}`,
    )
  }
  for (const table of [
    'mapping_entry',
    'mapping_address',
    'mapping_rule',
    'mapping_revision',
    'mapping_import',
    'mapping_import_row',
    'mapping_horizon',
  ]) {
    const seen = await withScope(api.it.database.db, { organisation: stranger.id }, (tx) =>
      rowsOf(tx, sql`select 1 from ${sql.table(table)}`),
    )
    assert.deepEqual(seen, [], table)
  }
})

test('AU-1: every change is told once, with counts and ids, and no address', async (t) => {
  const api = await mappingApi(t)
  const { id } = (await api.call('POST', '/mappings', person('alice'))).body
  await api.call('PUT', `/mappings/${id}`, person('alicia'))
  await api.call('POST', '/mappings/bulk', { upsert: [person('bob')] })
  await api.call('GET', '/mappings/export/csv')
  await api.call('DELETE', `/mappings/${id}`)
  const events = await withScope(api.it.database.db, { organisation: api.organisation }, (tx) =>
    rowsOf<{ action: string; object: string; text: string }>(
      tx,
      sql`select action, object, header || payload as text from audit_event order by sequence`,
    ),
  )
  assert.deepEqual(
    events.map(({ action, object }) => [action, object]),
    [
      ['mapping.created', id],
      ['mapping.changed', id],
      ['mapping.bulk-changed', ''],
      ['mapping.exported', ''],
      ['mapping.removed', id],
    ],
  )
  for (const { text } of events) assert.doesNotMatch(text, /alic|bob|@/)
  for (const line of api.it.lines) assert.doesNotMatch(line, /alic|bob@/)
})
