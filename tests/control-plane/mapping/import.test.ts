// Imports and exports of whole tables: control-plane.md §3.5, WS-3, and files that mean harm.
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { request } from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { sql } from 'kysely'
import { compileTable } from '../../../rewrite-rules/index.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { applyImport } from '../../../control-plane/mapping/apply-import.ts'
import { sweepStaged } from '../../../control-plane/mapping/staging-store.ts'
import type { Reply } from '../../harness/api.ts'
import { eventually } from '../../harness/wait.ts'
import { mappingApi, person, tableFile } from './mapping-api.ts'
import type { MappingApi } from './mapping-api.ts'
import { runOperation } from './run-operation.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }
const CSV_TYPE = { 'Content-Type': 'text/csv' }
const header = 'presented,mailbox,known'
const row = (name: string): string =>
  `${name}@fabrikam.example,${name}@contoso.example,${name}@contoso.example;${name}@fabrikam.example`

async function upload(
  api: MappingApi,
  query: string,
  body: unknown,
  headers: Record<string, string> = JSON_TYPE,
): Promise<Reply> {
  const path = `/mappings/import?${query}`
  if (!(body instanceof ReadableStream)) return api.call('POST', path, body, headers)
  const response = await fetch(`${api.it.url}/api/v1/projects/${api.project}${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${api.key}`, 'If-Match': '*', ...headers },
    body,
    duplex: 'half',
  })
  return { status: response.status, headers: response.headers, body: await response.json() }
}
const people = (count: number, from = 0): Record<string, unknown>[] =>
  Array.from({ length: count }, (_, i) => person(`p${from + i}`))

const leftovers = (api: MappingApi) =>
  withScope(api.it.database.db, { organisation: api.organisation }, (tx) =>
    rowsOf(tx, sql`select id from mapping_import union all select import_id from mapping_import_row`),
  )

test('a table file and a CSV file are imported alike; upsert is keyed on the presented address, replace takes the file alone', async (t) => {
  const api = await mappingApi(t)
  const first = await upload(api, '', tableFile([person('a'), person('b')]))
  assert.deepEqual([first.status, first.body.created, first.headers.get('etag')], [200, 2, '"1"'])
  const second = await upload(api, '', [header, row('b'), row('c')].join('\r\n'), CSV_TYPE)
  assert.deepEqual([second.body.created, second.body.unchanged, second.body.entries], [1, 1, 3])
  const third = await upload(
    api,
    'mode=replace',
    `\uFEFF${header.replaceAll(',', ';')};route\n${['c', 'd'].map((name) => `"${row(name).replaceAll(',', '";"')}";mx`).join('\n')}`,
    CSV_TYPE,
  )
  assert.deepEqual([third.status, third.body.created, third.body.changed, third.body.removed], [200, 1, 1, 2])
  const { items } = (await api.call('GET', '/mappings')).body
  assert.deepEqual(
    items.map(({ presented, source, route }: Record<string, string>) => [presented, source, route]),
    [
      ['c@fabrikam.example', 'import', 'mx'],
      ['d@fabrikam.example', 'import', 'mx'],
    ],
  )
})

test('a dry run answers what the import then does, and changes nothing', async (t) => {
  const api = await mappingApi(t)
  await upload(api, '', tableFile(people(120)))
  const before = [(await api.call('GET', '/mappings')).headers.get('etag'), await api.freshDigest()]
  const files: [query: string, body: unknown][] = [
    ['mode=upsert', tableFile([person('p1', { route: 'mx' }), person('new')])],
    ['mode=replace', tableFile(people(60))],
    ['mode=replace&confirm=60', tableFile(people(60))],
    [
      'mode=upsert',
      tableFile([
        person('x'),
        { ...person('y'), known: ['y@fabrikam.example', 'y@contoso.example', 'p5@contoso.example'] },
      ]),
    ],
    ['mode=upsert', tableFile([{ known: [] }])],
  ]
  for (const [query, body] of files) {
    const dry = await upload(api, `${query}&validateOnly=true`, body)
    assert.deepEqual([(await api.call('GET', '/mappings')).headers.get('etag'), await api.freshDigest()], before, query)
    const wet = await upload(api, query, body)
    assert.equal(dry.status, wet.status, query)
    const { requestId: _, ...said } = dry.body
    const { requestId: __, ...done } = wet.body
    assert.deepEqual(said, done, query)
    if (wet.status === 200) await api.call('POST', '/mapping-revisions/1/restore?confirm=1')
    before[0] = (await api.call('GET', '/mappings')).headers.get('etag')
    before[1] = await api.freshDigest()
  }
  assert.deepEqual(await leftovers(api), [])
})

test('what is wrong with a file is told whole, with line and column, and nothing of it is imported', async (t) => {
  const api = await mappingApi(t)
  await api.tenant('source', ['contoso.example', 'fabrikam.example'])
  const csv = [
    header,
    row('a'),
    'b@fabrikam.example,x,b@fabrikam.example',
    row('a'),
    'c@other.example,c@other.example,c@other.example',
    'too,few',
  ]
  const { status, body } = await upload(api, '', csv.join('\n'), CSV_TYPE)
  assert.equal(status, 400)
  assert.deepEqual(
    body.faults.map(({ pointer, code, line, column }: Record<string, unknown>) => [pointer, code, line, column]),
    [
      ['/row/3/mailbox', 'R3', 3, 20],
      ['/row/5/presented', 'domain-not-accepted', 5, 1],
      ['/row/5/mailbox', 'domain-not-accepted', 5, 17],
      ['/row/6', 'format', 6, 1],
    ],
  )
  assert.deepEqual([(await api.exported()).entries, (await api.exported()).version], [[], 0])
})

test('an address in two entries of a file, or in one of the file and one that stays, is told with both places', async (t) => {
  const api = await mappingApi(t)
  const owner = (await api.call('POST', '/mappings', person('owner'))).body.id
  const taken = `x@fabrikam.example,x@contoso.example,x@contoso.example;x@fabrikam.example;OWNER@contoso.example`
  const { status, body } = await upload(api, '', [header, row('a'), row('b'), row('A'), taken].join('\n'), CSV_TYPE)
  assert.deepEqual([status, body.type], [409, '/problems/mapping-conflict'])
  assert.deepEqual(
    body.faults.map(({ pointer, code, line, existing, other }: Record<string, unknown>) => [
      pointer,
      code,
      line,
      existing ?? other,
    ]),
    [
      ['/row/4/known', 'known-twice', 4, '/row/2'],
      ['/row/4/known', 'known-twice', 4, '/row/2'],
      ['/row/5/known', 'known-elsewhere', 5, owner],
    ],
  )
  const replaced = await upload(api, 'mode=replace&confirm=1', [header, row('a'), taken].join('\n'), CSV_TYPE)
  assert.equal(replaced.status, 200, 'what goes keeps nothing')
})

test('more faults than can be told are counted', async (t) => {
  const api = await mappingApi(t)
  const bad = await upload(api, '', [header, ...Array.from({ length: 1200 }, () => 'x,x,x')].join('\n'), CSV_TYPE)
  assert.deepEqual([bad.status, bad.body.faults.length, bad.body.more], [400, 1000, 2600])
  const twice = await upload(api, '', tableFile([...people(700), ...people(700)]))
  assert.deepEqual([twice.status, twice.body.faults.length, twice.body.more], [409, 1000, 400])
})

/** A body that is made as it is sent, and may never be read whole. */
const endless = (text: string, piece: string) => {
  const encoder = new TextEncoder()
  let pieces = 0
  return new ReadableStream({
    start: (controller) => controller.enqueue(encoder.encode(text)),
    pull: (controller) => (pieces++ < 1_024 ? controller.enqueue(encoder.encode(piece)) : controller.close()),
  })
}

const hostile: [
  what: string,
  body: () => unknown,
  type: string,
  status: number,
  place: [pointer: string, line: number] | undefined,
][] = [
  ['a line of 64 MiB', () => endless(`${header}\n`, 'a'.repeat(65_536)), 'text/csv', 400, ['/row/2', 2]],
  ['a cell of 64 MiB', () => endless(`${header}\n"`, 'a\n'.repeat(32_768)), 'text/csv', 400, ['/row/2', 2]],
  [
    'an entry of 64 MiB',
    () => endless('{"format":"causeway-mapping-table/1",\n"entries":[{"known":["', 'a'.repeat(65_536)),
    'application/json',
    400,
    ['/entries/0', 2],
  ],
  [
    'nesting without end',
    () => endless('{"entries":[', '['.repeat(65_536)),
    'application/json',
    400,
    ['/entries/0', 1],
  ],
  ['NUL in CSV', () => `${header}\n\0@x.example,a,b`, 'text/csv', 400, ['/row/2/known/0', 2]],
  ['UTF-16', () => Buffer.from(`\uFEFF${header}`, 'utf16le'), 'text/csv', 400, ['/row/1', 1]],
  [
    'Latin-1 after UTF-8',
    () => Buffer.concat([Buffer.from(`${header}\n${row('jü')}\n`), Buffer.from(row('j\xfc'), 'latin1')]),
    'text/csv',
    400,
    ['/row/2/presented', 2],
  ],
  ['a formula for a column', () => '=cmd|calc,mailbox,known', 'text/csv', 400, ['/row/1', 1]],
  [
    '__proto__',
    () =>
      tableFile([{ ...person('a'), ...JSON.parse('{"__proto__":{"x":1}}') }]).replace(
        '"entries"',
        '"__proto__":{"a":1},"entries"',
      ),
    'application/json',
    400,
    ['/__proto__', 1],
  ],
  ['another form than it says', () => 'a', 'application/xml', 415, undefined],
  ['another charset', () => header, 'text/csv; charset=iso-8859-1', 415, undefined],
  ['nothing', () => '', 'application/json', 400, ['', 1]],
]
test('a hostile file is refused with the place, and nothing is imported', async (t) => {
  const api = await mappingApi(t)
  for (const [what, body, type, status, place] of hostile) {
    await t.test(`${what} (${status})`, async () => {
      const before = process.memoryUsage.rss()
      const reply = await upload(api, '', body(), { 'Content-Type': type })
      assert.equal(reply.status, status)
      if (place !== undefined) assert.deepEqual([reply.body.faults[0].pointer, reply.body.faults[0].line], place)
      assert.deepEqual([(await api.exported()).entries, await leftovers(api)], [[], []])
      assert.ok(process.memoryUsage.rss() - before < 200 * 1024 * 1024, 'memory stays flat')
    })
  }
})

test('a file that says it is over 512 MiB is refused before anything is read', async (t) => {
  const api = await mappingApi(t)
  const status = await new Promise((resolve, reject) => {
    const sent = request(`${api.it.url}/api/v1/projects/${api.project}/mappings/import`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${api.key}`,
        'Content-Type': 'text/csv',
        'If-Match': '*',
        'Content-Length': 512 * 1024 * 1024 + 1,
      },
    })
    sent.on('response', (response) => {
      resolve(response.statusCode)
      sent.destroy()
    })
    sent.on('error', reject)
    sent.write(header)
  })
  assert.equal(status, 413)
})

// ── Export ──

const oddEntries = [
  { known: ['=1+1@a.example', '+x@a.example'], presented: '=1+1@a.example', mailbox: '+x@a.example' },
  { known: ["'=y@a.example", '-z@a.example', '"@b"@a.example'], presented: "'=y@a.example", mailbox: '"@b"@a.example' },
  {
    known: ['"a;b,\\"c\\""@a.example', 'jü@b.example'],
    presented: 'jü@b.example',
    mailbox: '"a;b,\\"c\\""@a.example',
    eai: true,
  },
  {
    known: ['d@a.example'],
    presented: 'd@a.example',
    mailbox: 'd@a.example',
    x500: ['/o=A; B/cn="x"', '/o=trailing '],
    route: 'return',
  },
]

test('WS-3: a CSV export has no cell that a spreadsheet would run, and comes back as the same table', async (t) => {
  const api = await mappingApi(t)
  await upload(api, '', tableFile(oddEntries))
  const before = await api.exported()
  const csv = await api.call('GET', '/mappings/export/csv')
  assert.deepEqual(
    [csv.headers.get('content-type'), csv.headers.get('content-disposition')],
    ['text/csv; charset=utf-8; header=present', 'attachment; filename="mapping-table.csv"'],
  )
  for (const line of String(csv.body).split('\r\n').slice(1))
    for (const [, cell = ''] of line.matchAll(/(?:^|,)((?:"(?:[^"]|"")*")|[^",]*)/g))
      assert.doesNotMatch(cell.replace(/^"/, ''), /^[=+\-@\t\r]/, line)
  const same = await upload(api, 'mode=replace', csv.body, CSV_TYPE)
  assert.deepEqual([same.status, same.body.unchanged, same.body.revision], [200, oddEntries.length, 1])
  await api.call('POST', '/mapping-revisions/0/restore?confirm=4')
  await upload(api, '', csv.body, CSV_TYPE)
  const after = await api.exported()
  assert.deepEqual(after.entries, before.entries)
  assert.equal(compileTable({ ...after, version: 1 }).digest, compileTable({ ...before, version: 1 }).digest)
})

const name = fc.stringMatching(/^[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,8}$/)
const tableEntries = fc.uniqueArray(name, { maxLength: 12, selector: (text) => text.toLowerCase() }).map((names) =>
  names.map((local, i) => ({
    ...person(local),
    ...(i % 3 === 0 ? { x500: [`/o=C/cn=${local}`] } : {}),
    ...(i % 4 === 0 ? { route: 'mx' } : {}),
  })),
)

test('export and import with replace is identity, in JSON and in CSV', async (t) => {
  const api = await mappingApi(t)
  await fc.assert(
    fc.asyncProperty(tableEntries, async (entries) => {
      const rules = { exceptions: ['noreply@'], wildcards: [{ from: '*.w.example', to: 'b.example' }] }
      const { body } = await upload(api, 'mode=replace&confirm=99', tableFile(entries, rules))
      if (body.type === '/problems/confirm-count')
        await upload(api, `mode=replace&confirm=${body.count}`, tableFile(entries, rules))
      const version = (await api.exported()).version
      for (const [path, type] of [
        ['json', JSON_TYPE],
        ['csv', CSV_TYPE],
      ] as const) {
        const file = (await api.call('GET', `/mappings/export/${path}`)).body
        const again = await upload(api, 'mode=replace', typeof file === 'string' ? file : JSON.stringify(file), type)
        assert.deepEqual([again.status, again.body.unchanged, again.body.revision], [200, entries.length, version])
      }
    }),
    { numRuns: 15 },
  )
})

// ── Large files ──

const LARGE = 6_000

async function startLarge(
  api: MappingApi,
  query = '',
  entries = people(LARGE),
  headers: Record<string, string> = {},
): Promise<Reply> {
  const reply = await upload(api, query, tableFile(entries), { ...JSON_TYPE, ...headers })
  assert.equal(reply.status, 202, JSON.stringify(reply.body))
  return reply
}

test('a large file is checked in its request, applied by an operation, and says the same as a small one', async (t) => {
  const api = await mappingApi(t)
  const faulty = await upload(api, '', tableFile([...people(LARGE), { known: [] }]))
  assert.deepEqual(
    [faulty.status, faulty.body.faults[0].pointer, await leftovers(api)],
    [400, `/entries/${LARGE}/known`, []],
  )
  const dry = await api.run(await startLarge(api, 'validateOnly=true'))
  assert.deepEqual([dry['state'], (await api.exported()).version], ['succeeded', 0])
  const done = await api.run(await startLarge(api))
  assert.deepEqual([done['state'], done['done'], done['total'], done['unit']], ['succeeded', LARGE, LARGE, 'rows'])
  assert.deepEqual(done['result'], dry['result'])
  const table = await api.tables.current(api.organisation, api.project)
  assert.deepEqual([table.entryCount, table.digest], [LARGE, await api.freshDigest()])
  const events = await withScope(api.it.database.db, { organisation: api.organisation }, (tx) =>
    rowsOf<{ action: string }>(
      tx,
      sql`select action from audit_event where action like 'mapping.import%' order by sequence`,
    ),
  )
  assert.deepEqual(
    events.map(({ action }) => action),
    ['mapping.import-started', 'mapping.import-started', 'mapping.imported'],
  )
})

test('a large file that does not fit the table fails with the same problem, and all of it is gone', async (t) => {
  const api = await mappingApi(t)
  const owner = (
    await api.call('POST', '/mappings', {
      ...person('x'),
      known: ['x@fabrikam.example', 'x@contoso.example', 'p17@contoso.example'],
    })
  ).body.id
  const failed = await api.run(await startLarge(api))
  assert.deepEqual(
    [
      failed['state'],
      failed['problem'].type,
      failed['problem'].faults[0].existing,
      failed['problem'].faults[0].pointer,
    ],
    ['failed', '/problems/mapping-conflict', owner, '/entries/17/known'],
  )
  const twice = await api.run(await startLarge(api, '', [...people(LARGE), person('P7')]))
  assert.deepEqual(
    [twice['problem'].faults[0].other, twice['problem'].faults[0].pointer],
    ['/entries/7', `/entries/${LARGE}/known`],
  )
  const unconfirmed = await api.run(await startLarge(api, 'mode=replace'))
  assert.deepEqual([unconfirmed['problem'].type, unconfirmed['problem'].count], ['/problems/confirm-count', 1])
  assert.deepEqual([(await api.exported()).entries.length, await leftovers(api)], [1, []])
})

test('a large import holds the table to the revision it was made for', async (t) => {
  const api = await mappingApi(t)
  await api.call('POST', '/mappings', person('first'))
  assert.equal((await upload(api, '', tableFile(people(LARGE)), { ...JSON_TYPE, 'If-Match': '"0"' })).status, 412)
  const reply = await startLarge(api, '', people(LARGE), { 'If-Match': '"1"' })
  await api.call('POST', '/mappings', person('second'))
  const { state, problem } = await api.run(reply)
  assert.deepEqual([state, problem.type, problem.current], ['failed', '/problems/stale-etag', '"2"'])
  assert.equal((await api.exported()).entries.length, 2)
})

test('JQ-6: a large import that is cancelled ends so, before or while it is applied, and leaves nothing', async (t) => {
  const api = await mappingApi(t)
  const { db } = api.it.database
  const cancel = (operation: string) =>
    withScope(db, { organisation: api.organisation }, (tx) =>
      sql`update operation set state = 'cancelling' where id = ${operation} and state in ('queued', 'running')`.execute(
        tx,
      ),
    )
  const early = await startLarge(api)
  await cancel(early.body.operation)
  assert.equal((await api.run(early))['state'], 'cancelled')
  const late = await startLarge(api)
  await runOperation(db, api.organisation, late.body.operation, (context) =>
    applyImport(
      {
        ...context,
        progress: async (progress) => {
          if (progress.step === 'writing') {
            await cancel(late.body.operation)
            await new Promise((resolve) => context.signal.addEventListener('abort', resolve, { once: true }))
          }
          return context.progress(progress)
        },
      },
      { db, now: Date.now },
    ),
  )
  const [ended] = await withScope(db, { organisation: api.organisation }, (tx) =>
    rowsOf<{ state: string }>(tx, sql`select state from operation where id = ${late.body.operation}`),
  )
  assert.equal(ended?.state, 'cancelled')
  // What was staged goes with the first that ends by itself; one that never began is swept (retention).
  assert.deepEqual([(await api.exported()).version, (await api.exported()).entries], [0, []])
})

test('JQ-2: an import whose commit was not heard of is not done twice', async (t) => {
  const api = await mappingApi(t)
  const { db } = api.it.database
  const reply = await startLarge(api)
  const lost = runOperation(db, api.organisation, reply.body.operation, async (context) => {
    await applyImport(context, { db, now: Date.now })
    throw new Error('the process ended before it could say so')
  })
  await assert.rejects(lost, /before it could say so/)
  await withScope(db, { purpose: 'dispatch' }, (tx) =>
    sql`update job set state = 'queued', lease_until = null where object_id = ${reply.body.operation}`.execute(tx),
  )
  const again = await api.run(reply)
  assert.deepEqual([again['state'], again['result'].created, again['result'].revision], ['succeeded', LARGE, 1])
  assert.equal((await api.exported()).version, 1)
  const swept = await withScope(db, { organisation: api.organisation }, (tx) =>
    sweepStaged(tx, new Date(Date.now() + 1000)),
  )
  assert.equal(swept, 1)
  assert.deepEqual(await leftovers(api), [])
})

test('an upload that is broken off leaves nothing', async (t) => {
  const api = await mappingApi(t)
  const sent = request(`${api.it.url}/api/v1/projects/${api.project}/mappings/import`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${api.key}`, 'Content-Type': 'application/json', 'If-Match': '*' },
  })
  sent.on('error', () => {}) // that it ends is what is tried
  sent.write(tableFile(people(20_000)).slice(0, -2))
  await eventually('rows that are staged as they come', async () => (await leftovers(api)).length > 5_000 || undefined)
  sent.destroy()
  await eventually('what was staged to go', async () => (await leftovers(api)).length === 0 || undefined)
  assert.equal((await api.exported()).version, 0)
})

test('an import repeated with its Idempotency-Key is answered the same and done once; another file under the key is refused', async (t) => {
  const api = await mappingApi(t)
  const send = (body: unknown, key: string) => upload(api, '', body, { ...JSON_TYPE, 'Idempotency-Key': key })
  const file = tableFile(people(3))
  const first = await send(file, 'small')
  assert.equal(first.status, 200)
  const chunks = [file.slice(0, 40), file.slice(40)].map((text) => Buffer.from(text))
  for (const again of [file, ReadableStream.from(chunks)]) {
    const { status, body } = await send(again, 'small')
    assert.deepEqual([status, body], [200, first.body])
  }
  const others: [body: unknown, why: string][] = [
    [tableFile(people(4)), 'more rows'],
    [file.replace('p1@contoso', 'q1@contoso'), 'as long, and one letter else'],
    [`${file}\n`, 'means the same, and is another file all the same'],
    ['', 'nothing at all'],
    ['{"format":', 'could not be read either'],
  ]
  for (const [body, why] of others) {
    const reply = await send(body, 'small')
    assert.deepEqual([reply.status, reply.body.type], [409, '/problems/idempotency-key-reused'], why)
  }
  assert.equal((await api.exported()).version, 1, 'done once')

  const large = tableFile(people(6_000))
  const [one, two] = await Promise.all([send(large, 'large'), send(large, 'large')])
  assert.deepEqual([one?.status, two?.body], [202, one?.body], 'sent twice at once')
  assert.equal((await send(tableFile(people(6_001)), 'large')).status, 409)
  await api.run(one)
  assert.equal((await leftovers(api)).length, 1, 'the result of the one, nothing of what came second')
  assert.equal((await api.exported()).entries.length, 6_000)
})

test('a key is free as long as nothing came of its requests', async (t) => {
  const api = await mappingApi(t)
  const headers = { ...JSON_TYPE, 'Idempotency-Key': 'k' }
  const faulty = await upload(api, '', tableFile([person('a', { presented: 'nonsense' })]), headers)
  assert.equal(faulty.status, 400)
  const stale = await upload(api, '', tableFile(people(1)), { ...headers, 'If-Match': '"7"' })
  assert.equal(stale.status, 412)
  assert.equal((await upload(api, '', tableFile(people(2)), headers)).status, 200)
})
