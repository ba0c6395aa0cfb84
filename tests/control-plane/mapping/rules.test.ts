// Domain rules, wildcards and exceptions over HTTP (R3, R23).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mappingApi, person, tableFile } from './mapping-api.ts'

const resources: [path: string, body: Record<string, unknown>, other: Record<string, unknown>, list: string][] = [
  [
    'domain-rules',
    { from: 'a.example', to: 'b.example', direction: 'both', except: ['press@a.example'] },
    { from: 'a.example', to: 'c.example', direction: 'out' },
    'domainRules',
  ],
  [
    'wildcards',
    { from: '*.a.example', to: 'b.example' },
    { from: '*.d.example', to: 'b.example', except: ['x.d.example'] },
    'wildcards',
  ],
  ['exceptions', { address: 'noreply@a.example' }, { address: 'noreply@' }, 'exceptions'],
]
for (const [path, body, other, list] of resources) {
  test(`${path} are made, listed, read, changed and removed, each by a revision of the table`, async (t) => {
    const api = await mappingApi(t)
    const made = await api.call('POST', `/mappings/${path}`, body)
    assert.equal(made.status, 201, JSON.stringify(made.body))
    const { id, revision, warnings, ...rest } = made.body
    assert.deepEqual([revision, rest, warnings], [1, body, ['accepted-domains-unknown']])
    const one = `/mappings/${path}/${id}`
    assert.equal(made.headers.get('location'), `/api/v1/projects/${api.project}${one}`)
    assert.deepEqual((await api.call('GET', one)).body, { id, revision, ...body })
    assert.equal((await api.call('GET', `/mappings/${path}`)).body.items.length, 1)

    assert.equal((await api.call('PUT', one, other, { 'If-Match': '"7"' })).status, 412)
    const changed = await api.call('PUT', one, other, { 'If-Match': '"1"' })
    assert.deepEqual([changed.status, changed.body.id, changed.body.revision], [200, id, 2])
    assert.equal((await api.call('PUT', one, other)).body.revision, 2, 'the same again is no change')
    const stored = (await api.exported())[list] as unknown[]
    assert.equal(stored.length, 1)
    assert.equal((await api.tables.current(api.organisation, api.project)).digest, await api.freshDigest())

    assert.equal(
      (await api.it.request('DELETE', `/projects/${api.project}${one}`, undefined, { key: api.key })).status,
      428,
    )
    assert.equal((await api.call('DELETE', one, undefined, { 'If-Match': '"2"' })).status, 204)
    assert.equal((await api.call('GET', one)).status, 404)
    const table = await api.tables.current(api.organisation, api.project)
    assert.deepEqual([table.version, table.digest], [3, await api.freshDigest()])
  })
}

const faulty: [path: string, body: unknown, pointers: string[]][] = [
  ['domain-rules', { from: 'a b', to: '[192.0.2.1]' }, ['/from', '/to']],
  ['domain-rules', { from: 'a.example', to: 'b.example', except: ['x@c.example', '@'] }, ['/except/0', '/except/1']],
  ['domain-rules', { from: 'a.example', to: 'b.example', direction: 'in' }, ['/direction']],
  ['domain-rules', { from: 'a.example', to: 'a.example' }, ['/to']],
  ['wildcards', { from: 'a.example', to: 'b.example' }, ['/from']],
  ['wildcards', { from: '*.a.example', to: 'c.a.example' }, ['/to']],
  ['exceptions', { address: 'a b' }, ['/address']],
  ['exceptions', { address: 'x\0@' }, ['/address']],
  ['exceptions', {}, ['/address']],
]
test('R23: what is no rule is refused with every place (400)', async (t) => {
  const api = await mappingApi(t)
  for (const [path, body, pointers] of faulty) {
    await t.test(`${JSON.stringify(body)} is none of ${path}`, async () => {
      const { status, body: problem } = await api.call('POST', `/mappings/${path}`, body)
      assert.equal(status, 400)
      assert.deepEqual(
        problem.faults.map(({ pointer }: { pointer: string }) => pointer),
        pointers,
      )
    })
  }
})

test('R3: rules that match the same, share a target, or chain are refused with the id of the other (409)', async (t) => {
  const api = await mappingApi(t)
  const ab = (await api.call('POST', '/mappings/domain-rules', { from: 'a.example', to: 'b.example' })).body.id
  const wild = (await api.call('POST', '/mappings/wildcards', { from: '*.w.example', to: 'b.example' })).body.id
  const all = (await api.call('POST', '/mappings/exceptions', { address: 'X@a.example' })).body.id
  const clashes: [what: string, path: string, body: unknown, existing: string | undefined, pointer: string][] = [
    ['the same source', 'domain-rules', { from: 'A.example', to: 'c.example' }, ab, ''],
    ['the target of a two-way rule', 'domain-rules', { from: 'c.example', to: 'b.example' }, undefined, '/to'],
    ['a chain onwards', 'domain-rules', { from: 'b.example', to: 'c.example' }, ab, ''],
    ['a chain from behind', 'domain-rules', { from: 'c.example', to: 'a.example', direction: 'out' }, undefined, '/to'],
    ['a target matched by a wildcard', 'domain-rules', { from: 'c.example', to: 'x.w.example' }, undefined, '/to'],
    ['a wildcard over a target', 'wildcards', { from: '*.example', to: 'other.test' }, ab, ''],
    ['the same wildcard', 'wildcards', { from: '*.W.example', to: 'c.example' }, wild, ''],
    ['the same exception', 'exceptions', { address: 'x@A.example' }, all, ''],
  ]
  for (const [what, path, body, existing, pointer] of clashes) {
    const { status, body: problem } = await api.call('POST', `/mappings/${path}`, body)
    assert.deepEqual([status, problem.type], [409, '/problems/mapping-conflict'], what)
    assert.deepEqual([problem.faults[0].existing, problem.faults[0].pointer], [existing, pointer], what)
  }
  const shared = await api.call('POST', '/mappings/domain-rules', {
    from: 'c.example',
    to: 'b.example',
    direction: 'out',
  })
  assert.equal(shared.status, 201, 'a rule that is out only may share its target')
  const taken = await api.call('PUT', `/mappings/domain-rules/${shared.body.id}`, {
    from: 'a.example',
    to: 'd.example',
  })
  assert.deepEqual([taken.status, taken.body.faults[0].existing], [409, ab])
})

test('RC-5: rules lead into accepted domains only, once they are known', async (t) => {
  const api = await mappingApi(t)
  await api.tenant('source', ['a.example'])
  await api.tenant('target', ['b.example'])
  const inside = await api.call('POST', '/mappings/domain-rules', { from: 'a.example', to: 'b.example' })
  assert.deepEqual([inside.status, inside.body.warnings], [201, []])
  const outside = await api.call('POST', '/mappings/wildcards', { from: '*.a.example', to: 'c.example' })
  assert.deepEqual([outside.status, outside.body.faults[0].code], [400, 'domain-not-accepted'])
  const imported = await api.call(
    'POST',
    '/mappings/import',
    tableFile([], { wildcards: [{ from: '*.a.example', to: 'c.example' }] }),
    { 'Content-Type': 'application/json' },
  )
  assert.deepEqual(
    [imported.status, imported.body.faults[0].pointer, imported.body.faults[0].code],
    [400, '/wildcards/0', 'domain-not-accepted'],
  )
})

test('an import merges rules by what they match, or takes those of the file alone; a CSV file leaves them as they are', async (t) => {
  const api = await mappingApi(t)
  const json = { 'Content-Type': 'application/json' }
  const rules = { domainRules: [{ from: 'a.example', to: 'b.example' }], exceptions: ['X@', 'x@', 'y@'] }
  const first = await api.call('POST', '/mappings/import', tableFile([], rules), json)
  assert.deepEqual([first.status, first.body.rulesChanged], [200, 3], 'the same exception twice is one')
  const second = await api.call(
    'POST',
    '/mappings/import',
    tableFile([], { domainRules: [{ from: 'a.example', to: 'c.example' }], exceptions: ['x@'] }),
    json,
  )
  assert.deepEqual([second.status, second.body.rulesChanged], [200, 1])
  const clash = await api.call(
    'POST',
    '/mappings/import',
    tableFile([], { domainRules: [{ from: 'c.example', to: 'd.example' }] }),
    json,
  )
  assert.deepEqual([clash.status, typeof clash.body.faults[0].existing], [409, 'string'])
  const csv = await api.call('POST', '/mappings/import?mode=replace', 'presented,mailbox,known\n', {
    'Content-Type': 'text/csv',
  })
  assert.deepEqual([csv.status, csv.body.rulesChanged], [200, 0])
  const alone = await api.call(
    'POST',
    '/mappings/import?mode=replace',
    tableFile([person('a')], { exceptions: ['y@'] }),
    json,
  )
  assert.deepEqual([alone.status, alone.body.rulesChanged, alone.body.created], [200, 2, 1])
  assert.deepEqual([(await api.exported())['exceptions'], (await api.exported())['domainRules']], [['y@'], []])
})

test('lists of rules find the one for a domain, and go page by page', async (t) => {
  const api = await mappingApi(t)
  const domainRules = Array.from({ length: 7 }, (_, i) => ({
    from: `d${i}.example`,
    to: 'z.example',
    direction: 'out',
  }))
  await api.call('POST', '/mappings/import', tableFile([], { domainRules }), { 'Content-Type': 'application/json' })
  const found = await api.call('GET', '/mappings/domain-rules?domain=D3.EXAMPLE')
  assert.deepEqual(
    found.body.items.map(({ from }: { from: string }) => from),
    ['d3.example'],
  )
  const page = await api.call('GET', '/mappings/domain-rules?limit=5')
  const next = String(page.body.next).replace(`/api/v1/projects/${api.project}`, '')
  assert.equal((await api.call('GET', next)).body.items.length, 2)
  assert.equal((await api.call('GET', '/mappings/domain-rules?domain=..')).status, 400)
  assert.equal(
    (await api.call('GET', '/mappings/exceptions?domain=a.example')).status,
    400,
    'exceptions have no such filter',
  )
})
