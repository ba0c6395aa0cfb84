// Pairs over HTTP on a real database, and what they write into the mapping table: confirmed, changed, unpaired, beside entries of people, when accounts
// change. (migration-semantics.md §1, §3.7, §3.8; control-plane.md §3.4)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { countOf, rowsOf, sqlState, UNIQUE_VIOLATION, withScope } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { JobContext } from '../../../control-plane/jobs/job.ts'
import { lockPairs } from '../../../control-plane/matching/pair-store.ts'
import { pairSyncJob } from '../../../control-plane/matching/sync-job.ts'
import { syncPairEntries } from '../../../control-plane/matching/sync-pairs.ts'
import type { Reply } from '../../harness/api.ts'
import { inSource, inTarget, matchingScene } from './matching-scene.ts'
import type { MatchingScene } from './matching-scene.ts'

const scene = await matchingScene({ after })

async function fresh(names: readonly string[]) {
  const one = await scene.another()
  const sources = await one.discover(
    one.source,
    names.map((name) => inSource(name)),
  )
  const targets = await one.discover(
    one.target,
    names.map((name) => inTarget(name)),
  )
  const pair = (source: string, target = source, more: Record<string, unknown> = {}): Promise<Reply> =>
    one.call('POST', '/pairs', { source: sources[`${source}-s`], target: targets[`${target}-t`], ...more })
  return { ...one, sources, targets, pair }
}

const manual = (name: string, more: Record<string, unknown> = {}) => ({
  known: [`${name}@src.example`, `${name}@tgt.example`],
  presented: `${name}@src.example`,
  mailbox: `${name}@src.example`,
  ...more,
})

/** The pass by the clock, over one organisation. */
async function passByTheClock({ it, place: { organisation } }: MatchingScene): Promise<void> {
  const work: JobContext['change'] = (does) => withScope(it.database.db, { organisation }, does)
  const never = () => Promise.reject(new Error('unreachable: not used'))
  await pairSyncJob({ now: Date.now }).run({
    id: 1,
    organisation,
    project: undefined,
    kind: 'pair.sync',
    object: '',
    attempt: 1,
    fence: 1,
    signal: new AbortController().signal,
    read: work,
    change: work,
    once: never,
    finish: never,
  } as unknown as JobContext)
}

test('a pair made by hand is confirmed, and its entry is in the table with it', async () => {
  const { pair, entries, call, place } = await fresh(['ann'])
  const { status, body, headers } = await pair('ann')
  assert.equal(status, 201)
  assert.equal(headers.get('location'), `/api/v1/projects/${place.project}/pairs/${body.id}`)
  assert.deepEqual(
    [body.origin, body.state, body.rule, body.confidence, body.presents, body.holds, body.mapping.state],
    ['mapped', 'confirmed', 'mapping-file', 'certain', 'target', 'source', 'written'],
  )
  const { 'ann@tgt.example': entry } = await entries()
  assert.deepEqual(
    [entry?.known, entry?.mailbox, entry?.source, entry?.sourceRef],
    [['ann@tgt.example', 'ann@src.example'], 'ann@src.example', 'pair', body.id],
  )
  const { body: revisions } = await call('GET', '/mapping-revisions')
  assert.deepEqual(
    revisions.items.map((one: Reply['body']) => [one.revision, one.cause]),
    [[1, 'pair']],
  )
})

test('§3.8: options of a pair move its entry, in a new revision each, under If-Match', async () => {
  const { pair, entries, call } = await fresh(['ann', 'bob'])
  await pair('bob')
  const made = await pair('ann')
  const path = `/pairs/${made.body.id}`
  assert.equal((await call('PATCH', path, { holds: 'target' }, { 'If-Match': '"99"' })).status, 412)
  const moved = await call('PATCH', path, { holds: 'target' }, { 'If-Match': made.headers.get('etag') ?? '' })
  assert.equal(moved.status, 200)
  assert.equal((await entries())['ann@tgt.example']?.mailbox, 'ann@tgt.example')
  const presented = await call('PATCH', path, { presents: 'source' })
  assert.equal(presented.body.mapping.state, 'written')
  assert.deepEqual(Object.keys(await entries()), ['ann@src.example', 'bob@tgt.example'])
  const same = await call('PATCH', path, { presents: 'source' })
  assert.equal(same.headers.get('etag'), presented.headers.get('etag'))
  const { body: revisions } = await call('GET', '/mapping-revisions')
  assert.equal(revisions.items[0].revision, 4)
  const refused: [body: unknown, why: string][] = [
    [{ presents: 'both' }, 'no side'],
    [{ state: 'confirmed' }, 'no member of its own'],
  ]
  for (const [body, why] of refused) assert.equal((await call('PATCH', path, body)).status, 400, why)
})

test('§3.7: unpairing takes away what the pair wrote and nothing else, and both accounts are free', async () => {
  const { pair, entries, call } = await fresh(['ann', 'bob'])
  await call('POST', '/mappings', manual('carol'))
  const made = await pair('ann')
  await pair('bob')
  const gone = await call('DELETE', `/pairs/${made.body.id}`)
  assert.equal(gone.status, 200)
  assert.deepEqual([gone.body.state, gone.body.mapping], ['unpaired', { state: 'none', reason: 'not-confirmed' }])
  assert.deepEqual(Object.keys(await entries()), ['bob@tgt.example', 'carol@src.example'])
  assert.equal((await call('DELETE', `/pairs/${made.body.id}`)).status, 409)
  assert.equal((await call('PATCH', `/pairs/${made.body.id}`, { holds: 'target' })).status, 409)
  assert.deepEqual(
    (await call('GET', '/pairs?state=unpaired')).body.items.map((one: Reply['body']) => one.id),
    [made.body.id],
  )
  assert.equal((await call('GET', '/pairs')).body.items.length, 1)
  assert.equal((await pair('ann')).status, 201)
})

test('unpairing the only pair needs no count: whoever unpairs it has named it', async () => {
  const { pair, entries, call } = await fresh(['ann'])
  const made = await pair('ann')
  assert.equal((await call('DELETE', `/pairs/${made.body.id}`)).status, 200)
  assert.deepEqual(await entries(), {})
})

test('§3.7: once content was copied, unpairing has to be confirmed', async () => {
  const { pair, call, read, place } = await fresh(['ann'])
  const made = await pair('ann')
  await read((tx) =>
    countOf(tx, sql`update pair set content_copied_at = now() where organisation_id = ${place.organisation}`),
  )
  const refused = await call('DELETE', `/pairs/${made.body.id}`)
  assert.deepEqual([refused.status, refused.body.type], [409, '/problems/pair-has-content'])
  assert.equal((await call('DELETE', `/pairs/${made.body.id}?despiteContent=true`)).status, 200)
})

test('what can not be paired is refused with its place: unknown, of the wrong side, of another kind, paired already', async () => {
  const it = await fresh(['ann', 'bob'])
  const { call, pair, discover, source, sources, targets } = it
  const rooms = await discover(source, [inSource('ann'), inSource('bob'), inSource('room', { kind: 'room' })])
  const first = await pair('ann')
  const cases: [body: unknown, status: number, pointers: string[], why: string][] = [
    [{ source: targets['bob-t'], target: sources['bob-s'] }, 400, ['/source', '/target'], 'each on the other side'],
    [{ source: newId('account'), target: targets['bob-t'] }, 400, ['/source'], 'nobody'],
    [{ source: 'x', target: targets['bob-t'] }, 400, ['/source'], 'no id'],
    [{ source: rooms['room-s'], target: targets['bob-t'] }, 409, ['/target'], 'a room and a person'],
    [{ source: sources['ann-s'], target: targets['bob-t'] }, 409, ['/source'], 'the source is paired'],
    [{ source: sources['bob-s'], target: targets['ann-t'] }, 409, ['/target'], 'the target is paired'],
  ]
  for (const [body, status, pointers, why] of cases) {
    const reply = await call('POST', '/pairs', body)
    assert.equal(reply.status, status, why)
    assert.deepEqual(
      reply.body.faults.map((fault: Reply['body']) => fault.pointer),
      pointers,
      why,
    )
    if (why.endsWith('is paired')) assert.equal(reply.body.faults[0].existing, first.body.id)
  }
})

test('§3.4: an entry that a person wrote wins over a pair, and the pair says so; when it goes, the pair writes its own', async () => {
  const it = await fresh(['ann', 'bob'])
  const { pair, entries, call } = it
  await pair('bob')
  const { body: entry } = await call('POST', '/mappings', manual('ann'))
  const made = await pair('ann')
  assert.equal(made.status, 201)
  assert.deepEqual(made.body.mapping, { state: 'manual-wins', reason: 'entry-exists' })
  assert.deepEqual(
    (await call('GET', '/pairs?mapping=manual-wins')).body.items.map((one: Reply['body']) => one.id),
    [made.body.id],
  )
  assert.equal((await entries())['ann@src.example']?.source, 'manual')
  await passByTheClock(it)
  assert.equal((await entries())['ann@src.example']?.source, 'manual')
  // Unpairing leaves it alone.
  assert.equal((await call('DELETE', `/pairs/${made.body.id}`)).status, 200)
  assert.equal((await entries())['ann@src.example']?.source, 'manual')
  const again = await pair('ann')
  assert.equal((await call('DELETE', `/mappings/${entry.id}`)).status, 200)
  await passByTheClock(it)
  assert.deepEqual((await call('GET', `/pairs/${again.body.id}`)).body.mapping.state, 'written')
  assert.equal((await entries())['ann@tgt.example']?.sourceRef, again.body.id)
})

test('§3.4: a person who changes the entry of a pair makes it his, and it stays when the pair goes', async () => {
  const it = await fresh(['ann', 'bob'])
  const { pair, entries, call } = it
  await pair('bob')
  const made = await pair('ann')
  const changed = await call('PUT', `/mappings/${made.body.mapping.entry}`, {
    known: ['ann@src.example', 'ann@tgt.example', 'annie@tgt.example'],
    presented: 'ann@tgt.example',
    mailbox: 'ann@src.example',
  })
  assert.equal(changed.status, 200)
  const seen = await call('GET', `/pairs/${made.body.id}`)
  assert.deepEqual(seen.body.mapping, { state: 'manual-wins', reason: 'changed-by-hand' })
  await passByTheClock(it)
  assert.equal((await call('DELETE', `/pairs/${made.body.id}`)).status, 200)
  assert.equal((await entries())['ann@tgt.example']?.source, 'manual')
})

test('R3: an address that two pairs know is one pair’s; an alias is left out, a mailbox blocks, and either says so', async () => {
  const it = await scene.another()
  const { call, discover, source, target, entries } = it
  const sources = await discover(source, [
    inSource('ann'),
    inSource('bob', { addresses: ['bob@src.example', 'shared@src.example'] }),
    inSource('cyd', { addresses: ['shared@src.example'] }),
  ])
  const targets = await discover(target, [
    inTarget('ann', { addresses: ['ann@tgt.example', 'shared@src.example'] }),
    inTarget('bob'),
    inTarget('cyd'),
  ])
  const pair = (name: string) => call('POST', '/pairs', { source: sources[`${name}-s`], target: targets[`${name}-t`] })
  const ann = await pair('ann')
  const bob = await pair('bob')
  const cyd = await pair('cyd')
  assert.deepEqual(bob.body.mapping.reason, 'some-addresses-elsewhere')
  assert.deepEqual((await entries())['bob@tgt.example']?.known, ['bob@tgt.example', 'bob@src.example'])
  assert.deepEqual(cyd.body.mapping, { state: 'blocked', reason: 'address-of-another-pair' })
  await call('DELETE', `/pairs/${ann.body.id}`)
  await passByTheClock(it)
  const mappings = async () =>
    Object.fromEntries(
      (await call('GET', '/pairs')).body.items.map((one: Reply['body']) => [one.source.displayName, one.mapping]),
    )
  const now = await mappings()
  assert.deepEqual([now['bob'].state, now['bob'].reason, now['cyd'].state], ['written', undefined, 'blocked'])
  assert.deepEqual((await entries())['bob@tgt.example']?.known, [
    'bob@tgt.example',
    'bob@src.example',
    'shared@src.example',
  ])
  await call('DELETE', `/pairs/${bob.body.id}`)
  await passByTheClock(it)
  assert.equal((await mappings())['cyd'].state, 'written')
})

test('§3.8: when a discovery brings other addresses, the entries of the pairs follow in one revision', async () => {
  const it = await fresh(['ann', 'bob', 'cyd'])
  const { pair, discover, read, entries, source, target, place, call, sources } = it
  for (const name of ['ann', 'bob', 'cyd']) await pair(name)
  await discover(source, [
    inSource('ann', { addresses: ['ann.new@src.example', 'ann@src.example'] }),
    inSource('bob', { addresses: [] }),
  ])
  const changed = [sources['ann-s'], sources['bob-s'], sources['cyd-s']].filter((id) => id !== undefined)
  const result = await read((tx) => syncPairEntries(tx, place, changed, { author: 'system', now: Date.now() }))
  assert.deepEqual(
    [result?.revision, result?.changed, result?.removed, result?.states],
    [4, 1, 1, { none: 1, written: 2, 'manual-wins': 0, blocked: 0 }],
  )
  const followed = await entries()
  assert.equal(followed['ann@tgt.example']?.mailbox, 'ann.new@src.example')
  assert.equal(followed['bob@tgt.example'], undefined, 'without an address there is no entry')
  assert.ok(followed['cyd@tgt.example'], 'who left his tenant is mapped until he is unpaired')
  assert.equal((await call('GET', '/pairs?search=cyd')).body.items[0].source.isGone, true)
  // The clock finds what nobody told of, and once.
  await discover(target, [inTarget('ann', { addresses: ['ann2@tgt.example'] }), inTarget('bob'), inTarget('cyd')])
  await passByTheClock(it)
  assert.deepEqual(Object.keys(await entries()).toSorted(), ['ann2@tgt.example', 'cyd@tgt.example'])
  const revision = (await call('GET', '/mapping-revisions?limit=1')).body.items[0].revision
  await passByTheClock(it)
  assert.equal((await call('GET', '/mapping-revisions?limit=1')).body.items[0].revision, revision)
})

test('what pairs wrote goes with their tenant, once the clock has come by', async () => {
  const it = await fresh(['ann'])
  const { pair, read, entries, place, source, call } = it
  await call('POST', '/mappings', manual('carol'))
  await pair('ann')
  await read((tx) =>
    countOf(tx, sql`delete from tenant_connection where organisation_id = ${place.organisation} and id = ${source}`),
  )
  assert.deepEqual((await call('GET', '/pairs')).body.items, [])
  await passByTheClock(it)
  assert.deepEqual(Object.keys(await entries()), ['carol@src.example'])
})

test('§3.3: an entry outside of all accepted domains is blocked, and written once the domain is accepted', async () => {
  const it = await fresh(['ann'])
  const { pair, read, place, call } = it
  const accept = (domains: string[]) =>
    read((tx) =>
      countOf(
        tx,
        sql`with changed as (update tenant_connection set accepted_domains = ${domains} where organisation_id = ${place.organisation} returning 1)
            update project set snapshot_version = snapshot_version + 1 where organisation_id = ${place.organisation} and exists (select from changed)`,
      ),
    )
  await accept(['src.example'])
  const made = await pair('ann')
  assert.deepEqual(made.body.mapping, { state: 'blocked', reason: 'domain-not-accepted' })
  await accept(['src.example', 'tgt.example'])
  await passByTheClock(it)
  assert.equal((await call('GET', `/pairs/${made.body.id}`)).body.mapping.state, 'written')
})

test('proposals are confirmed by filter with their number, in one revision; another number is refused and told', async () => {
  const { match, call, entries, read, place } = await fresh(['ann', 'bob', 'cyd'])
  await match()
  const wrong = await call('POST', '/pairs/confirm', { filter: { search: 'b' }, confirm: 2 })
  assert.deepEqual([wrong.status, wrong.body.count], [422, 1])
  const none = await call('POST', '/pairs/confirm', {})
  assert.deepEqual([none.status, none.body.count], [422, 3])
  const bob = await call('POST', '/pairs/confirm', { filter: { search: 'B' }, confirm: 1 })
  assert.deepEqual([bob.status, bob.body.confirmed, bob.body.revision], [200, 1, 1])
  const rest = await call('POST', '/pairs/confirm', { confirm: 2 })
  assert.deepEqual([rest.body.confirmed, rest.body.revision, rest.body.mapping.written], [2, 2, 2])
  assert.equal(Object.keys(await entries()).length, 3)
  const audits = await read((tx) =>
    rowsOf<{ action: string }>(
      tx,
      sql`select action from audit_event where organisation_id = ${place.organisation} and action like 'pair.%'`,
    ),
  )
  assert.deepEqual(
    audits.map(({ action }) => action),
    ['pair.confirmed', 'pair.confirmed'],
  )
  assert.equal((await call('POST', '/pairs/confirm', { filter: { state: 'confirmed' }, confirm: 3 })).status, 400)
})

test('many proposals are confirmed by an operation, which can be killed and run again', async () => {
  const names = Array.from({ length: 1_100 }, (_, i) => `p${String(i).padStart(4, '0')}`)
  const { match, call, run, read, place } = await fresh(names)
  await match()
  const started = await call('POST', '/pairs/confirm', { confirm: names.length })
  assert.equal(started.status, 202)
  await assert.rejects(
    run(started, () => Promise.reject(new Error('killed'))),
    /killed/,
  )
  assert.equal((await call('GET', '/mappings?limit=1')).body.items.length, 0)
  await read((tx) =>
    countOf(
      tx,
      sql`update job set state = 'queued', lease_until = null, run_after = now() where organisation_id = ${place.organisation}`,
    ),
  )
  const row = await run(started)
  assert.equal(row['state'], 'succeeded', JSON.stringify(row['problem']))
  assert.deepEqual([row['result'].confirmed, row['result'].revision, row['result'].mapping.written], [1_100, 1, 1_100])
  assert.equal((await call('GET', '/pairs?state=proposed&limit=1')).body.items.length, 0)
})

test('confirming a pair waits for a matching that is about to end, and neither is lost', async () => {
  const { match, call, it, place } = await fresh(['ann'])
  await match()
  const { body } = await call('GET', '/pairs')
  let confirming: Promise<Reply> | undefined
  await withScope(it.database.db, { organisation: place.organisation }, async (tx) => {
    await lockPairs(tx, place)
    confirming = call('POST', `/pairs/${body.items[0].id}/confirm`)
    const first = await Promise.race([
      confirming.then(() => 'confirmed'),
      sql`select pg_sleep(0.2)`.execute(tx).then(() => 'waits'),
    ])
    assert.equal(first, 'waits')
  })
  assert.equal((await confirming)?.body.state, 'confirmed')
})

test('§1: the database itself keeps an object out of a second live pair, whoever writes', async () => {
  const { pair, read, call } = await fresh(['ann', 'bob'])
  const made = await pair('ann')
  for (const column of ['source_account_id', 'target_account_id']) {
    const other = column === 'source_account_id' ? 'target_account_id' : 'source_account_id'
    await assert.rejects(
      read((tx) =>
        countOf(
          tx,
          sql`insert into pair (organisation_id, project_id, id, source_tenant_id, source_account_id, target_tenant_id, target_account_id, origin,
                                state, confidence, sort_key, created_by, created_at)
              select organisation_id, project_id, ${newId('pair')}, source_tenant_id, ${sql.ref(column === 'source_account_id' ? column : 'id')},
                     target_tenant_id, ${sql.ref(column === 'target_account_id' ? column : 'id')}, 'matched', 'proposed', 'low', '', 'x', now()
                from pair where id = ${made.body.id}`,
        ),
      ),
      (error) => sqlState(error) === UNIQUE_VIOLATION,
      other,
    )
  }
  const twice = await Promise.all([pair('bob'), pair('bob')])
  assert.deepEqual(twice.map(({ status }) => String(status)).toSorted(), ['201', '409'])
  assert.equal((await call('GET', '/pairs')).body.items.length, 2)
})

test('pairs are found by state, side, rule, name, address, account and collection, page by page', async () => {
  const { match, call, sources, targets } = await fresh(['ann', 'bob', 'cyd'])
  const matching = await match()
  const { body: wave } = await call('POST', '/collections', { name: 'Wave 1' })
  await call('POST', `/collections/${wave.id}/members`, { add: [sources['bob-s'], sources['cyd-s']] })
  const { body: all } = await call('GET', '/pairs')
  await call('POST', `/pairs/${all.items[0].id}/confirm`)
  const found: [query: string, names: string[]][] = [
    ['', ['ann', 'bob', 'cyd']],
    ['state=confirmed', ['ann']],
    ['state=proposed', ['bob', 'cyd']],
    ['origin=mapped', []],
    ['rule=attribute%3AemployeeId%3DemployeeId&confidence=high', ['ann', 'bob', 'cyd']],
    [`matching=${matching.id}`, ['ann', 'bob', 'cyd']],
    ['mapping=written', ['ann']],
    [`account=${targets['cyd-t']}`, ['cyd']],
    [`collection=${wave.id}`, ['bob', 'cyd']],
    ['search=bob%40tgt', ['bob']],
    ['search=zoe', []],
  ]
  for (const [query, names] of found) {
    const { body } = await call('GET', `/pairs?${query}`)
    assert.deepEqual(
      body.items.map((one: Reply['body']) => one.source.displayName),
      names,
      query,
    )
  }
  const { body: page } = await call('GET', '/pairs?limit=2')
  const { body: last } = await call('GET', page.next.replace(/^.*?(?=\/pairs)/, ''))
  assert.deepEqual([page.items.length, last.items.length, last.next], [2, 1, undefined])
  assert.equal((await call('GET', '/pairs?search=%00')).status, 400)
})
