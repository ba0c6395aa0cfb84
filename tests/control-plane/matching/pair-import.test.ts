// Mapping files of pairs on a real database: resolved, refused whole with every place, applied whole, tried out, exported and imported again; and the
// collections they fill. (migration-semantics.md §3.6, control-plane.md §3.5)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { countOf, rowsOf } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import { applyPairs } from '../../../control-plane/matching/apply-pairs.ts'
import { sweepStagedPairs } from '../../../control-plane/matching/pair-file-store.ts'
import { OperationCancelled } from '../../../control-plane/operations/operation-job.ts'
import type { Reply } from '../../harness/api.ts'
import { addTenant, inSource, inTarget, matchingScene } from './matching-scene.ts'

const scene = await matchingScene({ after })
const NAMES = ['ann', 'bob', 'cyd', 'dan']

async function fresh(names: readonly string[] = NAMES) {
  const one = await scene.another()
  const sources = await one.discover(
    one.source,
    names.map((name) => inSource(name)),
  )
  const targets = await one.discover(
    one.target,
    names.map((name) => inTarget(name)),
  )
  /** `ann ann confirmed` */
  const pairs = async (): Promise<string[]> =>
    (await one.call('GET', '/pairs?limit=1000')).body.items.map(
      (pair: Reply['body']) => `${pair.source.displayName} ${pair.target.displayName} ${pair.state}`,
    )
  return { ...one, sources, targets, pairs }
}

const faultsOf = ({ body }: Reply): string[] =>
  body.faults.map(
    ({ line, column, code }: { line: number; column: number; code: string }) => `${line}:${column} ${code}`,
  )

test('a file pairs, confirms, unpairs, excludes and collects in one go, in one revision', async () => {
  const it = await fresh()
  const { call, match, importPairs, pairs, entries } = it
  await importPairs('source,target\ndan@src.example,dan@tgt.example\n')
  await call('PUT', `/match-exclusions/${it.sources['bob-s']}`)
  await match() // proposes ann and cyd
  const reply = await importPairs(
    [
      'source,target,collection,action',
      'ANN@src.example,ann-t,Wave 1,',
      'bob@src.example,cyd@tgt.example,Wave 1,pair',
      'bob@src.example,cyd@tgt.example,VIPs,pair',
      'cyd-s,,,unpair',
      'dan@src.example,,,unpair',
      'dan-s,,,exclude',
      ',dan-t,,exclude',
    ].join('\n'),
    '?confirm=1',
  )
  assert.equal(reply.status, 200, JSON.stringify(reply.body))
  assert.deepEqual(reply.body, {
    paired: 1,
    confirmed: 1,
    unchanged: 0,
    unpaired: 2,
    excluded: 2,
    collections: 2,
    collected: 3,
    revision: 2,
    mapping: { none: 0, written: 2, 'manual-wins': 0, blocked: 0 },
  })
  assert.deepEqual(await pairs(), ['ann ann confirmed', 'bob cyd confirmed'])
  assert.deepEqual(Object.keys(await entries()), ['ann@tgt.example', 'cyd@tgt.example'])
  const { body: collections } = await call('GET', '/collections')
  assert.deepEqual(
    collections.items.map((one: Reply['body']) => [one.name, one.members]),
    [
      ['VIPs', 1],
      ['Wave 1', 2],
    ],
  )
  const { body: excluded } = await call('GET', '/match-exclusions')
  assert.deepEqual(
    excluded.items.map((one: Reply['body']) => one.account.objectId).toSorted(),
    ['dan-s', 'dan-t'],
    'what is paired is excluded no more',
  )
  // Once more it is the same.
  const again = await importPairs('source,target\nann-s,ann-t\nbob-s,cyd-t\n')
  assert.deepEqual([again.body.unchanged, again.body.paired, again.body.confirmed, again.body.revision], [2, 0, 0, 2])
})

test('whatever stands against a file is told with line and column, and nothing of it is done', async () => {
  const it = await fresh([...NAMES, 'eve'])
  const { discover, importPairs, pairs, source, read, place } = it
  await discover(source, [
    ...[...NAMES, 'eve'].map((name) => inSource(name)),
    inSource('room', { kind: 'room' }),
    inSource('twin', { addresses: ['ann@src.example'] }),
  ])
  const paired = await importPairs('source,target\nbob-s,bob-t\neve-s,eve-t\n')
  assert.equal(paired.status, 200)
  const cases: [rows: string[], faults: string[], why: string][] = [
    [
      ['zoe@src.example,ann-t', 'ann-s,zoe@tgt.example'],
      ['2:1 unknown-account', '3:7 unknown-account'],
      'nobody is called so',
    ],
    [['ann-t,ann-s'], ['2:1 unknown-account', '2:7 unknown-account'], 'accounts of the other side'],
    [['ann@src.example,ann-t'], ['2:1 several-accounts'], 'two are called so'],
    [['room-s,ann-t'], ['2:8 incompatible'], 'a room and a person'],
    [['ann-s,ann-t', 'ann-s,cyd-t'], ['3:1 named-twice'], 'one source with two targets'],
    [['ann-s,ann-t', 'cyd-s,ann-t'], ['3:7 named-twice'], 'one target with two sources'],
    [['ann-s,ann-t', 'ann-s,,exclude'], ['3:1 named-twice'], 'paired and excluded'],
    [['bob-s,ann-t'], ['2:1 already-paired'], 'the source is in another pair'],
    [['ann-s,bob-t'], ['2:7 already-paired'], 'the target is in another pair'],
    [['bob-s,,exclude'], ['2:1 already-paired'], 'what is paired can not be excluded'],
    [['ann-s,ann-t,unpair', 'bob-s,ann-t,unpair'], ['2:1 not-paired', '3:1 not-paired'], 'no such pair'],
    [
      ['cyd-s,dan-t', 'zoe,zoe', 'bob-s,bob-t'],
      ['3:1 unknown-account', '3:5 unknown-account'],
      'one bad row spoils all',
    ],
  ]
  for (const [rows, faults, why] of cases) {
    const lines = rows.map((row) => (row.split(',').length < 3 ? `${row},` : row))
    const reply = await importPairs(['source,target,action', ...lines].join('\n'))
    assert.equal(reply.status, 409, why)
    assert.equal(reply.body.type, '/problems/pair-conflict')
    assert.deepEqual(faultsOf(reply), faults, why)
    const dry = await importPairs(['source,target,action', ...lines].join('\n'), '?validateOnly=true')
    assert.deepEqual(dry.body.faults, reply.body.faults, why)
  }
  await read((tx) =>
    countOf(
      tx,
      sql`update pair set content_copied_at = now() where organisation_id = ${place.organisation} and sort_key = 'eve'`,
    ),
  )
  assert.deepEqual(faultsOf(await importPairs('source,target,action\neve-s,,unpair\n')), ['2:1 has-content'])
  assert.deepEqual(await pairs(), ['bob bob confirmed', 'eve eve confirmed'])
})

test('a pair that a file takes apart makes room for another in the same file', async () => {
  const { importPairs, pairs, entries } = await fresh()
  await importPairs('source,target\nann-s,ann-t\nbob-s,bob-t\n')
  const reply = await importPairs(
    'source,target,action\nann-s,bob-t,pair\nbob-s,ann-t,\nann-s,,unpair\n,bob-t,unpair\n',
  )
  assert.equal(reply.status, 200, JSON.stringify(reply.body))
  assert.deepEqual(await pairs(), ['ann bob confirmed', 'bob ann confirmed'])
  const now = await entries()
  assert.deepEqual(
    [now['bob@tgt.example']?.mailbox, now['ann@tgt.example']?.mailbox],
    ['ann@src.example', 'bob@src.example'],
  )
  // The same two again: the entry is the new pair's though it says the same.
  await importPairs('source,target,action\nann-s,,unpair\nann-s,bob-t,pair\n')
  const { 'bob@tgt.example': entry } = await entries()
  assert.equal(entry?.source, 'pair')
})

test('a dry run answers the same and changes nothing; more than a tenth of the table goes only with its number', async () => {
  const names = Array.from({ length: 110 }, (_, i) => `p${i}`)
  const { importPairs, pairs, call, read, place } = await fresh(names)
  const all = `source,target,collection\n${names.map((name) => `${name}-s,${name}-t,All`).join('\n')}\n`
  const dry = await importPairs(all, '?validateOnly=true')
  assert.deepEqual(await pairs(), [])
  assert.deepEqual((await call('GET', '/collections')).body.items, [])
  const done = await importPairs(all)
  assert.deepEqual(dry.body, done.body)
  const gone = `source,target,action\n${names
    .slice(0, 20)
    .map((name) => `${name}-s,,unpair`)
    .join('\n')}\n`
  const refused = await importPairs(gone)
  assert.deepEqual([refused.status, refused.body.count], [422, 20])
  assert.equal((await importPairs(gone, '?confirm=20')).status, 200)
  assert.equal((await pairs()).length, 90)
  const staged = await read((tx) =>
    rowsOf(tx, sql`select from pair_import where organisation_id = ${place.organisation}`),
  )
  assert.equal(staged.length, 0)
})

test('a large file goes on as an operation: checked, applied or cancelled whole, and told when it was killed after its end', async () => {
  const names = Array.from({ length: 1_200 }, (_, i) => `p${String(i).padStart(4, '0')}`)
  const it = await fresh(names)
  const { importPairs, run, call, read, place } = it
  const deps = { db: it.it.database.db, now: Date.now }
  const file = `source,target\n${names.map((name) => `${name}-s,${name}@tgt.example`).join('\n')}\n`
  const dry = await run(await importPairs(file, '?validateOnly=true'))
  assert.equal((await call('GET', '/pairs?limit=1')).body.items.length, 0)
  const cancelled = await run(await importPairs(file), (context) =>
    applyPairs(
      {
        ...context,
        checkCancelled: () => {
          throw new OperationCancelled('cancelled')
        },
      },
      deps,
    ),
  )
  assert.equal(cancelled['state'], 'cancelled')
  assert.equal((await call('GET', '/pairs?limit=1')).body.items.length, 0)
  const started = await importPairs(file)
  await assert.rejects(
    run(started, async (context) => {
      await applyPairs(context, deps)
      throw new Error('killed before it could say so')
    }),
    /killed/,
  )
  await read((tx) =>
    countOf(
      tx,
      sql`update job set state = 'queued', lease_until = null, run_after = now() where organisation_id = ${place.organisation}`,
    ),
  )
  const done = await run(started)
  assert.deepEqual(done['result'], dry['result'])
  assert.deepEqual([done['result'].paired, done['result'].revision], [1_200, 1])
  const bad = await run(await importPairs(`${file}nobody,nobody2\n`))
  assert.deepEqual([bad['state'], bad['problem'].type], ['failed', '/problems/pair-conflict'])
  assert.deepEqual(bad['problem'].faults[0].line, 1_202)
  await read((tx) => sweepStagedPairs(tx, new Date(Date.now() + 1_000)))
  assert.equal(
    (await read((tx) => rowsOf(tx, sql`select from pair_import where organisation_id = ${place.organisation}`))).length,
    0,
  )
})

test('the export is a mapping file that says the same: imported it changes nothing, elsewhere it makes the same', async () => {
  const it = await scene.another()
  const { discover, source, target, importPairs, call } = it
  const sources = [
    inSource('=ann', { userPrincipalName: '=ann@src.example', addresses: ['=ann@src.example'] }),
    inSource('bob', { userPrincipalName: 'cyd@src.example' }),
    inSource('cyd', { userPrincipalName: 'x@src.example', addresses: ['cyd@src.example'] }),
    { objectId: 'nameless-s', displayName: 'zz' },
  ]
  const targets = [inTarget('ann'), inTarget('bob'), inTarget('cyd'), { objectId: 'nameless-t' }, inTarget('out')]
  await discover(source, sources)
  await discover(target, targets)
  const rows = [
    '=ann-s,ann-t,One,',
    '=ann-s,ann-t,Two,',
    'bob-s,bob-t,,',
    'cyd-s,cyd-t,One,',
    'nameless-s,nameless-t,,',
    ',out-t,,exclude',
  ]
  assert.equal((await importPairs(['source,target,collection,action', ...rows].join('\n'))).status, 200)
  const out = await call('GET', '/pairs/export')
  assert.equal(out.status, 200)
  assert.deepEqual(out.body.split('\r\n'), [
    'source,target,collection,action',
    "'=ann@src.example,ann@tgt.example,One,pair",
    "'=ann@src.example,ann@tgt.example,Two,pair",
    'bob@src.example,bob@tgt.example,,pair',
    'x@src.example,cyd@tgt.example,One,pair',
    'nameless-s,nameless-t,,pair',
    ',out@tgt.example,,exclude',
    '',
  ])
  const again = await importPairs(out.body)
  assert.deepEqual(
    [again.status, again.body.unchanged, again.body.paired, again.body.collected, again.body.excluded],
    [200, 4, 0, 0, 0],
  )
  const other = await scene.another()
  await other.discover(other.source, sources)
  await other.discover(other.target, targets)
  assert.equal((await other.importPairs(out.body)).status, 200)
  assert.equal((await other.call('GET', '/pairs/export')).body, out.body)
})

test('a name that two source tenants know is named by its object id', async () => {
  const it = await fresh()
  const second = await addTenant(it.it.database.db, it.place, 'source', 'second')
  await it.discover(second, [inSource('ann', { objectId: 'other-s' })])
  assert.deepEqual(faultsOf(await it.importPairs('source,target\nann@src.example,ann-t\n')), ['2:1 several-accounts'])
  assert.equal((await it.importPairs('source,target\nother-s,ann-t\n')).status, 200)
  assert.match((await it.call('GET', '/pairs/export')).body, /\r\nother-s,ann@tgt.example,,pair\r\n/)
})

test('a file in another encoding, of another type or with faults in its rows is refused before anything is looked up', async () => {
  const { call, importPairs, read, place } = await fresh()
  const post = (type: string) => call('POST', '/pairs/import', 'source,target\n', { 'Content-Type': type })
  assert.equal((await post('text/csv; charset=iso-8859-1')).status, 415)
  assert.equal((await post('application/json')).status, 415)
  const reply = await importPairs('source,target,action\nann-s,ann-t,merge\nann-s,\n')
  assert.equal(reply.status, 400)
  assert.deepEqual(faultsOf(reply), ['2:13 action', '3:1 csv'])
  const many = `source,target\n${'ann-s,ann-t\n'.repeat(1_500)}x,\n`
  assert.equal((await importPairs(many)).status, 400)
  assert.equal(
    (await read((tx) => rowsOf(tx, sql`select from pair_import where organisation_id = ${place.organisation}`))).length,
    0,
  )
})

test('collections are made, renamed, filled, emptied and deleted; names are taken whatever their case', async () => {
  const { call, sources, targets } = await fresh()
  const made = await call('POST', '/collections', { name: ' Wave 1 ' })
  assert.deepEqual([made.status, made.body.name, made.body.members], [201, 'Wave 1', 0])
  const path = `/collections/${made.body.id}`
  assert.equal((await call('POST', '/collections', { name: 'WAVE 1' })).body.type, '/problems/name-taken')
  assert.equal((await call('POST', '/collections', { name: 'a\u202Eb' })).status, 400)
  assert.equal((await call('PATCH', path, { name: 'Wave A' }, { 'If-Match': '"7"' })).status, 412)
  const renamed = await call('PATCH', path, { name: 'Wave A' }, { 'If-Match': made.headers.get('etag') ?? '' })
  assert.deepEqual([renamed.status, renamed.body.name], [200, 'Wave A'])
  const filled = await call('POST', `${path}/members`, { add: [sources['ann-s'], sources['bob-s'], targets['ann-t']] })
  assert.deepEqual(filled.body, { added: 3, removed: 0, members: 3 })
  const unknown = await call('POST', `${path}/members`, {
    add: [sources['cyd-s'], newId('account')],
    remove: [sources['ann-s']],
  })
  assert.deepEqual([unknown.status, unknown.body.faults[0].pointer], [400, '/add/1'])
  const changed = await call('POST', `${path}/members`, {
    add: [sources['ann-s'], sources['cyd-s']],
    remove: [targets['ann-t'], newId('account')],
  })
  assert.deepEqual(changed.body, { added: 1, removed: 1, members: 3 })
  const { body: page } = await call('GET', `${path}/members?limit=2`)
  const { body: rest } = await call('GET', page.next.replace(/^.*?(?=\/collections)/, ''))
  assert.deepEqual(
    [...page.items, ...rest.items].map((one: Reply['body']) => String(one.account.objectId)).toSorted(),
    ['ann-s', 'bob-s', 'cyd-s'],
  )
  await call('POST', '/collections', { name: 'Empty' })
  const names = async (query: string) =>
    (await call('GET', `/collections?${query}`)).body.items.map((one: Reply['body']) => one.name)
  assert.deepEqual(await names(''), ['Empty', 'Wave A'])
  assert.deepEqual(await names(`account=${sources['bob-s']}`), ['Wave A'])
  const other = await scene.another()
  for (const [method, at] of [
    ['GET', path],
    ['DELETE', path],
    ['GET', `${path}/members`],
  ] as const)
    assert.equal((await other.call(method, at)).status, 404, `TI-2: ${method} ${at}`)
  assert.equal((await call('DELETE', path)).status, 204)
  assert.equal((await call('GET', path)).status, 404)
})
