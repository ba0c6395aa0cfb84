// Matchings as an administrator meets them: started over HTTP, run as operations on a real database, read back; killed, cancelled, at once with others.
// (migration-semantics.md §3, §11)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { countOf, rowsOf } from '../../../control-plane/db/database.ts'
import { StaleAttempt } from '../../../control-plane/jobs/job.ts'
import { runMatching } from '../../../control-plane/matching/run-matching.ts'
import { OperationCancelled } from '../../../control-plane/operations/operation-job.ts'
import type { OperationContext } from '../../../control-plane/operations/operation-job.ts'
import { inSource, inTarget, matchingScene } from './matching-scene.ts'

const scene = await matchingScene({ after })

const people = (names: readonly string[]) => ({
  sources: names.map((name) => inSource(name)),
  targets: names.map((name) => inTarget(name)),
})

async function fresh(names: readonly string[]) {
  const one = await scene.another()
  const { sources, targets } = people(names)
  return { ...one, sources: await one.discover(one.source, sources), targets: await one.discover(one.target, targets) }
}

test('§3.1: without a completed discovery of each tenant a matching fails, and says which lack it', async () => {
  const { call, run, discover, source, target } = await scene.another()
  await discover(source, [inSource('ann')])
  const operation = await run(await call('POST', '/matchings', {}))
  assert.equal(operation['state'], 'failed')
  assert.equal(operation['problem'].type, '/problems/discovery-needed')
  assert.deepEqual(operation['problem'].tenants, [target])
  const { body } = await call('GET', '/matchings')
  assert.equal(body.items[0].state, 'failed')
  assert.equal(body.items[0].counts, undefined)
})

test('a matching pairs, lists and counts; its pairs are proposals, and no mapping entry comes of them', async () => {
  const { call, match, outcomes, discover, entries, source, target } = await scene.another()
  await discover(source, [
    inSource('ann'),
    inSource('bob', { attributes: {} }),
    inSource('cyd'),
    inSource('dan', { attributes: {}, displayName: 'Somebody' }),
    inSource('eve', { attributes: {} }),
  ])
  await discover(target, [
    inTarget('ann'),
    inTarget('bob', { attributes: {}, addresses: ['bob@tgt.example', 'bob@src.example'] }),
    inTarget('cyd'),
    inTarget('cyd2', { attributes: { employeeId: 'cyd' } }),
    inTarget('dan', { attributes: {}, displayName: 'SOMEBODY' }),
  ])
  const matching = await match()
  assert.deepEqual(matching.counts, {
    total: 5,
    outcomes: { paired: 2, ambiguous: 1, conflict: 0, suggested: 1, unmatched: 1 },
    rules: { 'attribute:employeeId=employeeId': 2, address: 1, 'display-name': 1 },
    proposed: 2,
  })
  assert.deepEqual(await outcomes(matching.id), {
    'ann-s': 'paired ann-t attribute:employeeId=employeeId',
    'bob-s': 'paired bob-t address',
    'cyd-s': 'ambiguous attribute:employeeId=employeeId',
    'dan-s': 'suggested display-name',
    'eve-s': 'unmatched',
  })
  assert.deepEqual(matching.discoveries, { [source]: 1, [target]: 1 })
  const { body: pairs } = await call('GET', '/pairs')
  assert.deepEqual(
    pairs.items.map((pair: any) => [pair.source.displayName, pair.state, pair.origin, pair.confidence, pair.mapping]), // oxlint-disable-line typescript/no-explicit-any -- of an answer
    [
      ['ann', 'proposed', 'matched', 'high', { state: 'none', reason: 'not-confirmed' }],
      ['bob', 'proposed', 'matched', 'high', { state: 'none', reason: 'not-confirmed' }],
    ],
  )
  assert.deepEqual(await entries(), {})
  const filtered: [query: string, found: string[]][] = [
    ['outcome=ambiguous', ['cyd']],
    ['rule=address', ['bob']],
    ['search=BO', ['bob']],
    ['search=eve%40src', ['eve']],
    ['outcome=paired&search=cyd', []],
    ['search=some', ['Somebody']],
  ]
  for (const [query, found] of filtered) {
    const { body } = await call('GET', `/matchings/${matching.id}/results?${query}`)
    assert.deepEqual(
      body.items.map((item: any) => item.source.displayName), // oxlint-disable-line typescript/no-explicit-any -- of an answer
      found,
      query,
    )
  }
  const { body: one } = await call('GET', `/matchings/${matching.id}/results?outcome=ambiguous`)
  assert.deepEqual(
    one.items[0].candidates.map((candidate: any) => candidate.displayName), // oxlint-disable-line typescript/no-explicit-any -- of an answer
    ['cyd', 'cyd2'],
  )
  // Paged it is the same list.
  const names: string[] = []
  let next: string | undefined = `/matchings/${matching.id}/results?limit=2`
  while (next !== undefined) {
    const { body } = await call('GET', next)
    names.push(...body.items.map((item: any) => item.source.displayName)) // oxlint-disable-line typescript/no-explicit-any -- of an answer
    next = body.next?.replace(/^.*?(?=\/matchings)/, '')
  }
  assert.deepEqual(names, ['ann', 'bob', 'cyd', 'eve', 'Somebody'])
})

test('§3: a confirmed pair, an unconfirmed one and one made by hand survive a later discovery and matching', async () => {
  const it = await fresh(['ann', 'bob', 'cyd', 'dan'])
  const { call, match, outcomes, discover, sources, targets } = it
  const made = await call('POST', '/pairs', { source: sources['cyd-s'], target: targets['dan-t'] })
  assert.equal(made.status, 201)
  const first = await match()
  assert.equal((await outcomes(first.id))['dan-s'], 'conflict attribute:employeeId=employeeId taken')
  const { body } = await call('GET', '/pairs?search=ann')
  assert.equal((await call('POST', `/pairs/${body.items[0].id}/confirm`)).status, 200)
  // All is said otherwise now.
  await discover(it.source, [
    inSource('ann', { attributes: { employeeId: 'bob' } }),
    inSource('bob', { attributes: { employeeId: 'ann' } }),
    inSource('cyd'),
    inSource('dan'),
  ])
  const second = await match()
  assert.deepEqual(await outcomes(second.id), {
    'ann-s': 'paired ann-t attribute:employeeId=employeeId live-pair',
    'bob-s': 'paired bob-t attribute:employeeId=employeeId live-pair',
    'cyd-s': 'paired dan-t mapping-file live-pair',
    'dan-s': 'conflict attribute:employeeId=employeeId taken',
  })
  assert.equal(second.counts.proposed, 0)
  // With the option proposals make way, and nothing else.
  const third = await match({ replaceProposals: true })
  assert.deepEqual(await outcomes(third.id), {
    'ann-s': 'paired ann-t attribute:employeeId=employeeId live-pair',
    'bob-s': 'conflict attribute:employeeId=employeeId taken',
    'cyd-s': 'paired dan-t mapping-file live-pair',
    'dan-s': 'conflict attribute:employeeId=employeeId taken',
  })
  const { body: left } = await call('GET', '/pairs')
  assert.equal(left.items.length, 2)
})

test('two matchings can not be started at once, and a second one is told of the first', async () => {
  const { call, run } = await fresh(['ann'])
  const first = await call('POST', '/matchings', {})
  const second = await call('POST', '/matchings', {})
  assert.equal(second.status, 409)
  assert.equal(second.body.type, '/problems/matching-running')
  assert.equal(second.body.operation, first.body.operation)
  assert.equal((await run(first))['state'], 'succeeded')
  assert.equal((await call('POST', '/matchings', {})).status, 202)
})

/** The context of an operation, with something else happening at a step. */
const meanwhile = (context: OperationContext, step: string, happens: () => Promise<void>): OperationContext => {
  let hasHappened = false
  return {
    ...context,
    async progress(progress) {
      if (progress.step === step && !hasHappened) {
        hasHappened = true
        await happens()
      }
      await context.progress(progress)
    },
  }
}

test('what is paired by hand while a matching runs stays, and the matching says that it came too late', async () => {
  const it = await fresh(['ann', 'bob', 'cyd'])
  const { call, run, outcomes, sources, targets } = it
  const started = await call('POST', '/matchings', {})
  const row = await run(started, (context) =>
    runMatching(
      meanwhile(context, 'writing', async () => {
        const pair = { source: sources['ann-s'], target: targets['bob-t'] }
        assert.equal((await call('POST', '/pairs', pair)).status, 201)
        const same = { source: sources['cyd-s'], target: targets['cyd-t'] }
        assert.equal((await call('POST', '/pairs', same)).status, 201)
      }),
      { db: it.it.database.db, now: Date.now },
    ),
  )
  assert.equal(row['state'], 'succeeded')
  assert.deepEqual(await outcomes(started.body.matching), {
    'ann-s': 'conflict attribute:employeeId=employeeId taken',
    'bob-s': 'conflict attribute:employeeId=employeeId taken',
    'cyd-s': 'paired cyd-t attribute:employeeId=employeeId live-pair',
  })
  const { body } = await call('GET', '/pairs')
  assert.deepEqual(
    body.items.map((pair: any) => [pair.source.displayName, pair.target.displayName, pair.state]), // oxlint-disable-line typescript/no-explicit-any -- of an answer
    [
      ['ann', 'bob', 'confirmed'],
      ['cyd', 'cyd', 'confirmed'],
    ],
  )
})

class Killed extends Error {}

test('§7 G5: killed at any step, a matching leaves nothing to see, and run again it is as if it had not been', async () => {
  for (const step of ['reading', 'matching', 'writing', 'swap']) {
    const { call, run, outcomes, read, place, it } = await fresh(['ann', 'bob'])
    const started = await call('POST', '/matchings', {})
    const deps = { db: it.database.db, now: Date.now }
    await assert.rejects(
      run(started, (context) => {
        const dies = () => Promise.reject(new Killed())
        return step === 'swap'
          ? runMatching(
              {
                ...context,
                checkCancelled: () => {
                  throw new Killed()
                },
              },
              deps,
            )
          : runMatching(meanwhile(context, step, dies), deps)
      }),
      Killed,
    )
    const { body } = await call('GET', `/matchings/${started.body.matching}/results`)
    assert.deepEqual(body.items, [], step)
    assert.deepEqual((await call('GET', '/pairs')).body.items, [], step)
    await read((tx) =>
      countOf(
        tx,
        sql`update job set state = 'queued', lease_until = null, run_after = now() where organisation_id = ${place.organisation}`,
      ),
    )
    assert.equal((await run(started))['state'], 'succeeded')
    assert.deepEqual(Object.values(await outcomes(started.body.matching)), [
      'paired ann-t attribute:employeeId=employeeId',
      'paired bob-t attribute:employeeId=employeeId',
    ])
    const rows = await read((tx) =>
      rowsOf(tx, sql`select from match_result where organisation_id = ${place.organisation}`),
    )
    assert.equal(rows.length, 2, step)
  }
})

test('JQ-2: an attempt that another one has replaced can not complete the matching', async () => {
  const { call, run, read, place, it } = await fresh(['ann'])
  const started = await call('POST', '/matchings', {})
  await assert.rejects(
    run(started, (context) =>
      runMatching(
        {
          ...context,
          checkCancelled: () => {},
          // Replaced at the very end: every step before went through.
          fence: context.fence - 1,
        },
        { db: it.database.db, now: Date.now },
      ),
    ),
    StaleAttempt,
  )
  assert.deepEqual((await call('GET', '/pairs')).body.items, [])
  const [row] = await read((tx) =>
    rowsOf<{ completed_at: Date | null }>(
      tx,
      sql`select completed_at from matching where organisation_id = ${place.organisation}`,
    ),
  )
  assert.equal(row?.completed_at, null)
})

test('JQ-6: cancelled while it runs, a matching proposes nothing', async () => {
  const { call, run, it } = await fresh(['ann'])
  const started = await call('POST', '/matchings', {})
  const row = await run(started, (context) =>
    runMatching(
      {
        ...context,
        checkCancelled: () => {
          throw new OperationCancelled('cancelled')
        },
      },
      { db: it.database.db, now: Date.now },
    ),
  )
  assert.equal(row['state'], 'cancelled')
  assert.deepEqual((await call('GET', '/pairs')).body.items, [])
  const { body } = await call('GET', '/matchings')
  assert.equal(body.items[0].state, 'cancelled')
  assert.equal((await call('POST', '/matchings', {})).status, 202, 'another one can be started')
})

test('accounts that are excluded are not looked at, until they are taken back', async () => {
  const { call, match, outcomes, sources, targets } = await fresh(['ann', 'bob'])
  assert.equal((await call('PUT', `/match-exclusions/${sources['ann-s']}`)).status, 204)
  assert.equal((await call('PUT', `/match-exclusions/${targets['bob-t']}`)).status, 204)
  const { body } = await call('GET', '/match-exclusions')
  assert.deepEqual(
    body.items.map((item: any) => item.account.objectId).toSorted(), // oxlint-disable-line typescript/no-explicit-any -- of an answer
    ['ann-s', 'bob-t'],
  )
  const first = await match()
  assert.deepEqual(await outcomes(first.id), { 'ann-s': 'unmatched excluded', 'bob-s': 'unmatched' })
  assert.equal((await call('DELETE', `/match-exclusions/${sources['ann-s']}`)).status, 204)
  assert.equal((await call('DELETE', `/match-exclusions/${sources['ann-s']}`)).status, 404)
  const second = await match()
  assert.equal((await outcomes(second.id))['ann-s'], 'paired ann-t attribute:employeeId=employeeId')
  assert.equal((await call('PUT', `/match-exclusions/${sources['ann-s']}`)).status, 409, 'it is paired by now')
})

test('§11: the report is the same file each time, in JSON and in CSV that no spreadsheet runs', async () => {
  const { call, match, discover, source, target } = await scene.another()
  await discover(source, [
    inSource('ann', { displayName: '=HYPERLINK("x")' }),
    inSource('bob', { displayName: 'B, "b"\r\nX' }),
    inSource('cyd'),
  ])
  await discover(target, [inTarget('ann'), inTarget('cyd'), inTarget('cyd2', { attributes: { employeeId: 'cyd' } })])
  assert.equal((await call('GET', '/reports/matching')).status, 404)
  const matching = await match()
  const json = await call('GET', '/reports/matching?format=json')
  assert.equal(json.status, 200)
  assert.equal(json.body.matching.id, matching.id)
  assert.equal(json.body.results.length, matching.counts.total)
  const csv = await call('GET', `/reports/matching?format=csv&matching=${matching.id}`)
  assert.equal(csv.headers.get('content-type'), 'text/csv; charset=utf-8; header=present')
  assert.equal(
    csv.body.replace(/^\uFEFF/, ''),
    [
      'source,sourceName,sourceKind,outcome,reason,rule,confidence,target,targetName,targetKind,candidateCount,candidates',
      'ann@src.example,"\'=HYPERLINK(""x"")",user,paired,,attribute:employeeId=employeeId,high,ann@tgt.example,ann,user,1,ann@tgt.example',
      'bob@src.example,"B, ""b""\r\nX",user,unmatched,,,,,,,0,',
      'cyd@src.example,cyd,user,ambiguous,,attribute:employeeId=employeeId,high,,,,2,"cyd@tgt.example; cyd2@tgt.example"',
      '',
    ].join('\r\n'),
  )
  assert.equal((await call('GET', `/reports/matching?format=csv`)).body, csv.body)
})

test('TI-2: another organisation sees nothing of it, by any route', async () => {
  const { call, match, sources, place } = await fresh(['ann'])
  const matching = await match()
  const { body: pairs } = await call('GET', '/pairs')
  const other = await scene.another()
  for (const [method, path, body] of [
    ['GET', `/matchings/${matching.id}`],
    ['GET', `/matchings/${matching.id}/results`],
    ['GET', `/pairs/${pairs.items[0].id}`],
    ['PATCH', `/pairs/${pairs.items[0].id}`, { holds: 'target' }],
    ['DELETE', `/pairs/${pairs.items[0].id}`],
    ['POST', `/pairs/${pairs.items[0].id}/confirm`],
    ['GET', `/reports/matching?matching=${matching.id}`],
    ['PUT', `/match-exclusions/${sources['ann-s']}`],
  ] as const) {
    assert.equal((await other.call(method, path, body)).status, 404, `${method} ${path}`)
    const theirs = await other.it.request(method, `/projects/${place.project}${path}`, body, {
      key: other.key,
      headers: { 'If-Match': '*' },
    })
    assert.equal(theirs.status, 404, `${method} ${path}`)
  }
  assert.deepEqual((await other.call('GET', '/pairs')).body.items, [])
})
